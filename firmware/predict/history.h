/* history.h - the newest samples of one series, in internal units.
 *
 * Internal units ("u"): the caller scales the series by a power of two so that its values
 * lie in 0..GN_U_MAX with some 20 bits of resolution. The last GN_HISTORY_EXACT samples are
 * kept exactly, older ones as small floats (relative error 2^-12). Missing samples are
 * filled with the newest real one, so a lag is always a time. Pure; owner: the series. */
#ifndef GN_PREDICT_HISTORY_H
#define GN_PREDICT_HISTORY_H

#include <stdint.h>

#define GN_U_BITS        26
#define GN_U_MAX         ((1 << GN_U_BITS) - 1)
#define GN_HISTORY_EXACT 48
#define GN_HISTORY_SIZE  560 /* a longest lag, period or day twice (288) */

struct gn_history {
	uint32_t n; /* samples since the start, filled ones included */
	int32_t exact[GN_HISTORY_EXACT];
	uint16_t packed[GN_HISTORY_SIZE];
};

void gn_history_add(struct gn_history *history, int32_t value);

/* The value 'lag' steps before the newest (lag 0); the oldest kept when 'lag' goes beyond
 * what is kept; 0 when there is none. */
int32_t gn_history_at(const struct gn_history *history, uint32_t lag);

/* Divides all by 2^shift: the unit has become larger. */
void gn_history_rescale(struct gn_history *history, unsigned int shift);

#endif
