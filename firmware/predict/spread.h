/* spread.h - how far off a point forecast has been: realised errors as a histogram.
 *
 * Errors are divided by their own running mean size and counted in bins of a third of an
 * octave, with forgetting. Quantiles of the error are read from the histogram. Pure. */
#ifndef GN_PREDICT_SPREAD_H
#define GN_PREDICT_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

#define GN_SPREAD_SIDE 26 /* bins per sign: errors of 2^-3 to 2^5.7 mean sizes */
#define GN_SPREAD_BINS (2 * GN_SPREAD_SIDE + 1)

struct gn_spread {
	uint32_t scale_q4; /* running mean of |error|, units */
	uint32_t step_q16; /* weight of the next error: grows instead of decay of the others */
	uint32_t total;    /* of the counts */
	uint16_t n;        /* errors seen, stops at 65535 */
	uint16_t counts[GN_SPREAD_BINS];
};

void gn_spread_observe(struct gn_spread *spread, int32_t error, uint32_t half_life);

/* Error quantiles at 'n' ascending levels (Q16), units. Before any error was seen: 0. */
void gn_spread_quantiles(const struct gn_spread *spread, const uint32_t *levels_q16, uint32_t n,
                         int32_t *quantiles);

/* Whether a state read from outside can be used. */
bool gn_spread_is_sound(const struct gn_spread *spread);

#endif
