/* panel.h - the experts: each gives quantiles for a horizon, and learns. Pure. */
#ifndef GN_PREDICT_PANEL_H
#define GN_PREDICT_PANEL_H

#include <stdbool.h>

#include "firmware/predict/state.h"

#define GN_RESIDUAL_HALF_LIFE 1000

/* The levels of enum gn_predict_quantile, Q16. */
extern const uint32_t gn_panel_levels_q16[GN_Q];

void gn_panel_init(struct gn_predict *p);

/* Takes the newest sample of the history in; 'real' when it is not filled in. */
void gn_panel_observe(struct gn_predict *p, bool real);

/* The profile of the day 'ahead' steps after the sample at 'lag'. */
int32_t gn_panel_profile(const struct gn_predict *p, uint32_t lag, uint32_t ahead);

/* The on-line experts' quantiles for all horizons from the newest sample, units. */
void gn_panel_quantiles(const struct gn_predict *p, int32_t quantiles[GN_H][GN_N_EXPERTS][GN_Q]);

/* The rhythm in use: the best lag found, else the day. */
uint32_t gn_panel_rhythm(const struct gn_predict *p);

/* The value a whole number of periods before 'horizon' steps after the sample at 'lag'. */
int32_t gn_panel_seasonal(const struct gn_predict *p, uint32_t period, uint32_t horizon,
                          uint32_t lag);

void gn_panel_rescale(struct gn_predict *p, unsigned int shift);

#endif
