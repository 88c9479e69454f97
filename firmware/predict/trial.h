/* trial.h - whether a new model pack is better than the one in use, on this card.
 *
 * The shell keeps, for some series, a second predictor that is fed the same samples with the
 * candidate pack (a copy of the first made when the trial begins, so both start equal). Both
 * forecasts of the same instants wait here until that instant's value is known; then both are
 * charged the pinball loss of P90, P95 and P99, and so is the naive forecast 'stays as it
 * is', as a yardstick. Forecasts that were made before the trial count for nothing.
 *
 * The rule (gn_trial_decide), over all pairs of a series and a horizon:
 *   - a pair counts once GN_TRIAL_FIRST_TARGETS of its forecasts were scored, unless both
 *     lost exactly the same;
 *   - GN_TRIAL_MIN_PAIRS pairs must count;
 *   - the candidate is taken when it loses less on more than half of them, and by 2 % on
 *     their (geometric) mean; it is refused when the reverse holds;
 *   - what is undecided once most pairs have GN_TRIAL_LAST_TARGETS is decided then: taken
 *     when better on more than half and by 0.5 % on the mean, else refused.
 * One pair counts for at most a factor of four, so no single series decides.
 *
 * Pure; owner: the caller; plain data without pointers. Sums saturate. */
#ifndef GN_PREDICT_TRIAL_H
#define GN_PREDICT_TRIAL_H

#include <stdint.h>

#include "firmware/predict/predict.h"

#define GN_TRIAL_FIRST_TARGETS 64
#define GN_TRIAL_LAST_TARGETS  256
#define GN_TRIAL_MIN_PAIRS     8
#define GN_TRIAL_SLOTS         4 /* forecasts of one horizon that wait at once */
#define GN_TRIAL_LEVELS        3 /* P90, P95, P99 */

struct gn_trial_losses {
	uint32_t n; /* forecasts scored */
	uint32_t reserved;
	int64_t present, candidate, naive; /* sums, in the series' unit */
};

struct gn_trial_pending {
	uint64_t due_us; /* 0: free */
	int64_t naive;
	int64_t present[GN_TRIAL_LEVELS], candidate[GN_TRIAL_LEVELS];
};

/* One series. All zero: nothing seen yet. */
struct gn_trial_series {
	uint64_t next_us[GN_PREDICT_MAX_HORIZONS]; /* not before is a forecast taken */
	struct gn_trial_losses losses[GN_PREDICT_MAX_HORIZONS];
	struct gn_trial_pending pending[GN_PREDICT_MAX_HORIZONS][GN_TRIAL_SLOTS];
};

/* After both predictors were given 'value', seen over the period that ended at 'now_us': scores
 * what was forecast for now, and takes some of the new forecasts. Both have 'n' horizons. */
void gn_trial_observe(struct gn_trial_series *series, uint64_t period_us, uint64_t now_us,
                      int64_t value, uint32_t n, const struct gn_predict_forecast *present,
                      const struct gn_predict_forecast *candidate);

/* All series together. All zero: none yet. Mean logarithms (base 2, Q10) are sums over the
 * 'n' pairs that count. */
struct gn_trial {
	uint32_t n, n_better, n_worse;
	uint32_t n_tied;  /* scored often enough, without any difference */
	uint32_t n_ended; /* of n and n_tied: with GN_TRIAL_LAST_TARGETS */
	uint64_t n_targets;
	int64_t sum_log_q10;           /* candidate's loss / present one's */
	int64_t sum_log_candidate_q10; /* candidate's loss / naive's */
	int64_t sum_log_present_q10;   /* present one's / naive's */
};

enum gn_trial_verdict {
	GN_TRIAL_WAIT,   /* too little seen yet */
	GN_TRIAL_BETTER, /* take the candidate */
	GN_TRIAL_WORSE,  /* keep what is in use */
};

void gn_trial_add(struct gn_trial *trial, const struct gn_trial_series *series);
enum gn_trial_verdict gn_trial_decide(const struct gn_trial *trial);

#endif
