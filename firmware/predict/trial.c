/* trial.c - see trial.h. */
#include "firmware/predict/trial.h"

#include "firmware/core/fixed.h"

#define RATIO_LIMIT_Q10  2048 /* one pair counts for at most a factor of four */
#define EARLY_MARGIN_Q10 29   /* 2 %: log2(1.02) */
#define LAST_MARGIN_Q10  7    /* 0.5 % */

static const enum gn_predict_quantile levels[GN_TRIAL_LEVELS] = {GN_P90, GN_P95, GN_P99};
static const int32_t levels_q16[GN_TRIAL_LEVELS] = {58982, 62259, 64881};

static int64_t pinball(int64_t value, int64_t quantile, int32_t level_q16)
{
	int64_t off = value - quantile;

	return gn_mul_shift(gn_abs64(off), off >= 0 ? level_q16 : 65536 - level_q16, 16);
}

static void charge(int64_t *sum, int64_t value, const int64_t quantiles[GN_TRIAL_LEVELS])
{
	for (uint32_t i = 0; i < GN_TRIAL_LEVELS; i++)
		*sum = gn_sat_add64(*sum, pinball(value, quantiles[i], levels_q16[i]));
}

static void score(struct gn_trial_losses *losses, const struct gn_trial_pending *past,
                  int64_t value)
{
	const int64_t naive[GN_TRIAL_LEVELS] = {past->naive, past->naive, past->naive};

	charge(&losses->present, value, past->present);
	charge(&losses->candidate, value, past->candidate);
	charge(&losses->naive, value, naive);
	if (losses->n < UINT32_MAX)
		losses->n++;
}

/* Scores what is due; what was due in a gap is dropped. */
static void judge(struct gn_trial_series *series, uint32_t index, uint64_t period_us,
                  uint64_t now_us, int64_t value)
{
	for (uint32_t i = 0; i < GN_TRIAL_SLOTS; i++) {
		struct gn_trial_pending *past = &series->pending[index][i];

		if (past->due_us == 0 || now_us + period_us / 2 < past->due_us)
			continue;
		if (now_us <= past->due_us + period_us / 2)
			score(&series->losses[index], past, value);
		past->due_us = 0;
	}
}

static void take(struct gn_trial_series *series, uint32_t index, uint64_t period_us,
                 uint64_t now_us, int64_t value, const struct gn_predict_forecast *present,
                 const struct gn_predict_forecast *candidate)
{
	uint64_t stride = (present->horizon + GN_TRIAL_SLOTS - 1) / GN_TRIAL_SLOTS;

	if (now_us < series->next_us[index])
		return;
	for (uint32_t i = 0; i < GN_TRIAL_SLOTS; i++) {
		struct gn_trial_pending *place = &series->pending[index][i];

		if (place->due_us != 0)
			continue;
		place->due_us = now_us + present->horizon * period_us;
		place->naive = value;
		for (uint32_t q = 0; q < GN_TRIAL_LEVELS; q++) {
			place->present[q] = present->quantiles[levels[q]];
			place->candidate[q] = candidate->quantiles[levels[q]];
		}
		/* half a period early: samples come with some jitter */
		series->next_us[index] = now_us + stride * period_us - period_us / 2;
		return;
	}
}

void gn_trial_observe(struct gn_trial_series *series, uint64_t period_us, uint64_t now_us,
                      int64_t value, uint32_t n, const struct gn_predict_forecast *present,
                      const struct gn_predict_forecast *candidate)
{
	value = gn_clamp64(value, 0, GN_PREDICT_MAX);
	for (uint32_t i = 0; i < n && i < GN_PREDICT_MAX_HORIZONS; i++) {
		judge(series, i, period_us, now_us, value);
		take(series, i, period_us, now_us, value, &present[i], &candidate[i]);
	}
}

static int64_t log_ratio_q10(int64_t a, int64_t b)
{
	int64_t ratio = (int64_t)gn_log2_q10((uint64_t)a + 1) - gn_log2_q10((uint64_t)b + 1);

	return gn_clamp64(ratio, -RATIO_LIMIT_Q10, RATIO_LIMIT_Q10);
}

static void add_pair(struct gn_trial *trial, const struct gn_trial_losses *losses)
{
	int64_t ratio;

	trial->n_targets += losses->n;
	if (losses->n < GN_TRIAL_FIRST_TARGETS || losses->present < 0 || losses->candidate < 0 ||
	    losses->naive < 0)
		return;
	trial->n_ended += losses->n >= GN_TRIAL_LAST_TARGETS;
	ratio = log_ratio_q10(losses->candidate, losses->present);
	if (ratio == 0) {
		trial->n_tied++;
		return;
	}
	trial->n++;
	trial->n_better += ratio < 0;
	trial->n_worse += ratio > 0;
	trial->sum_log_q10 += ratio;
	trial->sum_log_candidate_q10 += log_ratio_q10(losses->candidate, losses->naive);
	trial->sum_log_present_q10 += log_ratio_q10(losses->present, losses->naive);
}

void gn_trial_add(struct gn_trial *trial, const struct gn_trial_series *series)
{
	for (uint32_t i = 0; i < GN_PREDICT_MAX_HORIZONS; i++)
		add_pair(trial, &series->losses[i]);
}

enum gn_trial_verdict gn_trial_decide(const struct gn_trial *trial)
{
	int64_t n = trial->n, early = EARLY_MARGIN_Q10 * n, last = LAST_MARGIN_Q10 * n;
	bool has_ended = 2 * trial->n_ended > trial->n + trial->n_tied;

	if (n + trial->n_tied < GN_TRIAL_MIN_PAIRS)
		return GN_TRIAL_WAIT;
	if (n < GN_TRIAL_MIN_PAIRS)
		return has_ended ? GN_TRIAL_WORSE : GN_TRIAL_WAIT;
	if (2 * trial->n_better > n && trial->sum_log_q10 < (has_ended ? -last : -early))
		return GN_TRIAL_BETTER;
	if (has_ended || (2 * trial->n_worse > n && trial->sum_log_q10 > early))
		return GN_TRIAL_WORSE;
	return GN_TRIAL_WAIT;
}
