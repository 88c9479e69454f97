/* features.h - what the learned model sees of a series, free of its unit.
 *
 * Every difference is measured from the median of the on-line mixture, in units of the
 * recent size of its errors at this horizon, as Q8; ratios are logarithms (base 2), Q8. So
 * one model serves CPU, memory, network and disk of any VM. Zero stands at GN_FEATURES_ZERO,
 * since unsigned numbers are compared with one instruction less. The order is the contract
 * with tools/train and part of the pack's version (GN_FEATURES_VERSION). Pure. */
#ifndef GN_PREDICT_FEATURES_H
#define GN_PREDICT_FEATURES_H

#include "firmware/predict/panel.h"
#include "firmware/predict/state.h"

#define GN_FEATURES_VERSION 2
#define GN_FEATURES_ZERO    32768
#define GN_FEATURES_BASE    0 /* here stand the mixture's P90, P95 and P99: where trees start from */

/* The unit of the differences, in series units, Q4; at least 1. */
uint32_t gn_features_unit_q4(const struct gn_predict *p, uint32_t index);

/* What is the same for all horizons. */
struct gn_features_common {
	int32_t newest[5];                              /* samples 0, 1, 2, 3 and 6 steps back */
	int32_t change_fast, change_slow, mean, length; /* logarithms, Q10 */
	int32_t rhythm_error; /* as gn_period_error(), its logarithm; -1 */
};
void gn_features_prepare(const struct gn_predict *p, struct gn_features_common *common);

/* For horizon 'index' from the newest sample; 'experts' and 'echo' as the panel gave them. */
void gn_features_make(const struct gn_predict *p, const struct gn_features_common *common,
                      const struct gn_echo *echo, uint32_t index,
                      int32_t experts[GN_N_EXPERTS][GN_Q], uint16_t features[GN_N_FEATURES]);

/* Takes in the newest sample, for the running figures below. */
void gn_recent_observe(struct gn_predict *p);
void gn_recent_rescale(struct gn_recent *recent, unsigned int shift);

#endif
