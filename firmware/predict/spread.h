/* spread.h - how far off a point forecast has been: realised errors as a histogram.
 *
 * Errors are divided by their own running mean size and counted in bins of a third of an
 * octave, with forgetting. Quantiles of the error are read from the histogram, which changes
 * slowly: they are kept as multiples of the mean size and read anew now and then. Pure. */
#ifndef GN_PREDICT_SPREAD_H
#define GN_PREDICT_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

#define GN_SPREAD_SIDE 26 /* bins per sign: errors of 2^-3 to 2^5.7 mean sizes */
#define GN_SPREAD_BINS (2 * GN_SPREAD_SIDE + 1)
#define GN_SPREAD_KEPT 4 /* quantiles */

struct gn_spread {
	uint32_t scale_q4; /* running mean of |error|, units */
	uint32_t step_q16; /* weight of the next error: grows instead of decay of the others */
	uint32_t total;    /* of the counts */
	uint16_t n;        /* errors seen, stops at 65535 */
	uint16_t counts[GN_SPREAD_BINS];
	int16_t kept_q8[GN_SPREAD_KEPT]; /* quantiles in mean sizes, as last read; 0 before */
};

void gn_spread_observe(struct gn_spread *spread, int32_t error, uint32_t half_life);

/* Reads the error quantiles at ascending levels (Q16) from the histogram and keeps them. */
void gn_spread_read(struct gn_spread *spread, const uint32_t levels_q16[GN_SPREAD_KEPT]);

/* A quantile of the error as last read, units: |kept| < 2^14 and |scale| < 2^31, so < 2^33. */
static inline int64_t gn_spread_quantile(const struct gn_spread *spread, uint32_t q)
{
	return ((int64_t)spread->kept_q8[q] * spread->scale_q4) >> 12;
}

/* Whether a state read from outside can be used. */
bool gn_spread_is_sound(const struct gn_spread *spread);

#endif
