/* panel.h - the experts: each gives quantiles for a horizon, and learns. Pure. */
#ifndef GN_PREDICT_PANEL_H
#define GN_PREDICT_PANEL_H

#include <stdbool.h>

#include "firmware/predict/state.h"

#define GN_RESIDUAL_HALF_LIFE 1000

/* The levels of enum gn_predict_quantile, Q16. */
static const uint32_t gn_panel_levels_q16[GN_Q] = {32768, 58982, 62259, 64881};

void gn_panel_init(struct gn_predict *p);

/* Takes the newest sample of the history in; 'real' when it is not filled in. */
void gn_panel_observe(struct gn_predict *p, bool real);

/* What the past says of a target: its value one or two rounds of the rhythm and a day before,
 * and the profile of the day. Units. */
struct gn_echo {
	int32_t rhythm, rhythm_twice, day, profile;
};

/* The on-line experts' quantiles for all horizons from the newest sample, units; 'echoes': of
 * their targets. */
void gn_panel_quantiles(const struct gn_predict *p, int32_t quantiles[GN_H][GN_N_EXPERTS][GN_Q],
                        struct gn_echo echoes[GN_H]);

/* The rhythm in use: the best lag found, else the day. */
uint32_t gn_panel_rhythm(const struct gn_predict *p);

/* The value a whole number of periods before 'horizon' steps after the sample at 'lag'. */
int32_t gn_panel_seasonal(const struct gn_predict *p, uint32_t period, uint32_t horizon,
                          uint32_t lag);

void gn_panel_rescale(struct gn_predict *p, unsigned int shift);

#endif
