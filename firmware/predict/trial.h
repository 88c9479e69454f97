/* trial.h - whether a new model pack is better than the one in use, on this card.
 *
 * For a sample of VMs the shell keeps a second predictor that is fed the same samples with the
 * candidate pack (a copy of the first made when the trial begins, so both start equal). The
 * trial adds up, per resource and horizon, who loses less; the candidate replaces the pack in
 * use only when it is better on most of them and on the mean, after enough targets. Pure;
 * owner: the caller. */
#ifndef GN_PREDICT_TRIAL_H
#define GN_PREDICT_TRIAL_H

#include "firmware/predict/predict.h"

#define GN_TRIAL_MIN_TARGETS 300 /* per resource and horizon; 300 are a day at 5 min */
#define GN_TRIAL_MIN_PAIRS   8

struct gn_trial {
	uint32_t n;          /* resources and horizons compared */
	uint32_t n_better;   /* where the candidate lost less */
	int64_t sum_log_q10; /* of candidate loss / present loss, log2 */
};

enum gn_trial_verdict {
	GN_TRIAL_WAIT,   /* too little seen yet */
	GN_TRIAL_BETTER, /* take the candidate */
	GN_TRIAL_WORSE,  /* keep what is in use */
};

void gn_trial_init(struct gn_trial *trial);

/* Adds one VM's resource: the predictor in use, and the one with the candidate. */
void gn_trial_add(struct gn_trial *trial, const struct gn_predict *present,
                  const struct gn_predict *candidate, uint32_t n_horizons);

enum gn_trial_verdict gn_trial_decide(const struct gn_trial *trial);

#endif
