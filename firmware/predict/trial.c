/* trial.c - see trial.h. */
#include "firmware/predict/trial.h"

#include "firmware/core/fixed.h"

#define RATIO_LIMIT_Q10 2048 /* one resource counts for at most a factor of four */
#define MARGIN_Q10      7    /* better by half a per cent on the mean */

void gn_trial_init(struct gn_trial *trial)
{
	*trial = (struct gn_trial){0};
}

void gn_trial_add(struct gn_trial *trial, const struct gn_predict *present,
                  const struct gn_predict *candidate, uint32_t n_horizons)
{
	for (uint32_t h = 0; h < n_horizons; h++) {
		struct gn_predict_accuracy old, new;
		int64_t ratio;

		if (gn_predict_accuracy(present, h, &old) != 0 ||
		    gn_predict_accuracy(candidate, h, &new) != 0 || old.n < GN_TRIAL_MIN_TARGETS ||
		    new.n < GN_TRIAL_MIN_TARGETS)
			continue;
		ratio = gn_log2_q10((uint64_t) new.loss95_milli + 1) -
		        gn_log2_q10((uint64_t)old.loss95_milli + 1);
		trial->n++;
		trial->n_better += ratio < 0;
		trial->sum_log_q10 += gn_clamp64(ratio, -RATIO_LIMIT_Q10, RATIO_LIMIT_Q10);
	}
}

enum gn_trial_verdict gn_trial_decide(const struct gn_trial *trial)
{
	if (trial->n < GN_TRIAL_MIN_PAIRS)
		return GN_TRIAL_WAIT;
	if (2 * trial->n_better > trial->n && trial->sum_log_q10 < -MARGIN_Q10 * (int64_t)trial->n)
		return GN_TRIAL_BETTER;
	return GN_TRIAL_WORSE;
}
