/* history.h - the newest samples of one series, in internal units.
 *
 * Internal units ("u"): the caller scales the series by a power of two so that its values
 * lie in 0..GN_U_MAX with some 20 bits of resolution. The last GN_HISTORY_EXACT samples are
 * kept exactly, older ones as small floats (relative error 2^-12). Missing samples are
 * filled with the newest real one, so a lag is always a time. Pure; owner: the series. */
#ifndef GN_PREDICT_HISTORY_H
#define GN_PREDICT_HISTORY_H

#include <stdint.h>

#include "firmware/core/fixed.h"

#define GN_U_BITS        26
#define GN_U_MAX         ((1 << GN_U_BITS) - 1)
#define GN_HISTORY_EXACT 40  /* the gain ring (24) and the AR's lags (11) fit */
#define GN_HISTORY_SIZE  540 /* a longest lag, period or day twice (288) */

struct gn_history {
	uint32_t n;                       /* samples since the start, filled ones included */
	uint16_t exact_next, packed_next; /* where the next sample goes */
	int32_t exact[GN_HISTORY_EXACT];
	uint16_t packed[GN_HISTORY_SIZE];
};

void gn_history_add(struct gn_history *history, int32_t value);

/* The value 'lag' steps before the newest (lag 0); the oldest kept when 'lag' goes beyond
 * what is kept; 0 when there is none. Inline: it is called some hundred times per sample. */
static inline int32_t gn_history_at(const struct gn_history *history, uint32_t lag)
{
	int32_t place;

	if (lag >= history->n)
		lag = history->n ? history->n - 1 : 0;
	if (lag < GN_HISTORY_EXACT) {
		place = history->exact_next - 1 - (int32_t)lag;
		return history->exact[place < 0 ? place + GN_HISTORY_EXACT : place];
	}
	if (lag >= GN_HISTORY_SIZE)
		lag = GN_HISTORY_SIZE - 1;
	place = history->packed_next - 1 - (int32_t)lag;
	return (int32_t)gn_small_unpack(
	        history->packed[place < 0 ? place + GN_HISTORY_SIZE : place]);
}

/* Divides all by 2^shift: the unit has become larger. */
void gn_history_rescale(struct gn_history *history, unsigned int shift);

#endif
