/* mix.h - one forecast out of many experts, and then calibrated.
 *
 * Aggregation: exponential weights on discounted pinball loss, per horizon and quantile
 * (Vovk; Cesa-Bianchi and Lugosi, Prediction, Learning and Games, ch. 2). Calibration: the
 * issued quantile is shifted on-line until it is exceeded as often as it says, through
 * change points (Gibbs and Candes, Adaptive conformal inference, 2021; Angelopoulos, Candes
 * and Tibshirani, Conformal PID control, 2023). Pure. */
#ifndef GN_PREDICT_MIX_H
#define GN_PREDICT_MIX_H

#include <stdbool.h>

#include "firmware/predict/pack.h"
#include "firmware/predict/panel.h"
#include "firmware/predict/state.h"

#define GN_OFFSET_MAX_Q16 (32 << 16)

void gn_mix_init(struct gn_predict *p);

/* Divides the pending ring among the configured horizons. */
void gn_mix_share_slots(struct gn_predict *p);

/* Judges the forecasts whose target is the newest, real, sample. */
void gn_mix_judge(struct gn_predict *p);

/* The on-line experts' quantiles from the newest sample, and the mixture's. */
void gn_mix_experts(const struct gn_predict *p, int32_t all[GN_H][GN_N_EXPERTS][GN_Q],
                    struct gn_echo echoes[GN_H]);

/* Makes the forecasts from the newest sample and remembers them until they are judged. */
void gn_mix_issue(struct gn_predict *p, const struct gn_pack *pack);

/* A new rhythm was found: works out what it would have said lately, so that it is weighed
 * at once rather than after periods of waiting. */
void gn_mix_rehearse(struct gn_predict *p);

/* Whether what this module keeps of a horizon, in a state read from outside, can be used. */
bool gn_mix_is_sound(const struct gn_predict *p, uint32_t index);

void gn_mix_rescale(struct gn_predict *p, unsigned int shift);

#endif
