/* period.h - finds the rhythm of a series, on-line.
 *
 * For every lag up to GN_PERIOD_MAX it sums how far the series was from itself that many
 * steps earlier (the average magnitude difference function of speech coding), with slow
 * forgetting. A rhythm is a lag at which that sum has a clear dip. Pure. */
#ifndef GN_PREDICT_PERIOD_H
#define GN_PREDICT_PERIOD_H

#include <stdbool.h>
#include <stdint.h>

#include "firmware/predict/history.h"

#define GN_PERIOD_MIN  3
#define GN_PERIOD_MAX  288
#define GN_PERIOD_WARM 1152 /* steps during which every lag is visited at every step */

struct gn_period {
	uint32_t visits; /* per lag, halved with the sums */
	uint32_t halvings;
	uint16_t best;                    /* the lag that forecasts best, 0: none yet */
	uint16_t found;                   /* 'best' when it stands out as a rhythm, else 0 */
	uint16_t sums[GN_PERIOD_MAX + 1]; /* |difference| / sd, Q5, at most 4 each */
};

/* Takes the newest sample in; 'inverse_sd_q36' turns units into standard deviations. */
void gn_period_observe(struct gn_period *period, const struct gn_history *history,
                       int64_t inverse_sd_q36);

/* Whether a state read from outside can be used. */
bool gn_period_is_sound(const struct gn_period *period);

/* Mean |difference| at a lag, in standard deviations Q12; -1 when unknown. */
int32_t gn_period_error(const struct gn_period *period, uint32_t lag);

/* The latest known sample a whole number of periods before 'horizon' steps after the
 * sample at 'origin' (a lag). */
static inline uint32_t gn_period_lag(uint32_t period, uint32_t horizon)
{
	uint32_t over = horizon % period;

	return over ? period - over : 0;
}

#endif
