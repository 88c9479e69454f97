/* explain.c - a forecast in words, for operators: who spoke for it, which rhythm was found,
 * how wrong it has been, and what moves it. */
#include "firmware/core/fixed.h"
#include "firmware/core/text.h"
#include "firmware/predict/state.h"

static const char *const expert_names[GN_N_ONLINE] = {
        [GN_EXPERT_STACK] = "auto-regression",
        [GN_EXPERT_RHYTHM] = "rhythm",
        [GN_EXPERT_DAY] = "level of the day",
        [GN_EXPERT_WEEK] = "level of the week",
};

static void add_experts(struct gn_text *text, const struct gn_predict *p, uint32_t index)
{
	uint32_t sum = 0, n = 0;

	if (p->n_judged[index] == 0) {
		gn_text_add(text, "no expert judged yet");
		return;
	}
	for (uint32_t e = 0; e < GN_N_ONLINE; e++)
		sum += p->weights[index][GN_P95][e];
	for (uint32_t e = 0; e < GN_N_ONLINE; e++) {
		uint32_t percent = (p->weights[index][GN_P95][e] * 100u + sum / 2) / sum;

		if (percent < 5)
			continue;
		gn_text_add(text, n++ ? ", " : "");
		gn_text_add(text, expert_names[e]);
		gn_text_add(text, " ");
		gn_text_add_int(text, percent);
		gn_text_add(text, " %");
	}
}

static void add_accuracy(struct gn_text *text, const struct gn_predict *p, uint32_t index)
{
	const struct gn_accuracy *accuracy = &p->accuracy[index];

	if (accuracy->n < 8 || accuracy->naive_q4 == 0)
		return;
	gn_text_add(text, "; error ");
	gn_text_add_ratio(text, accuracy->loss_q4, accuracy->naive_q4, 2);
	gn_text_add(text, " times that of assuming no change");
	if (accuracy->vpa_loss_q4 == 0)
		return;
	gn_text_add(text, ", P95 loss ");
	gn_text_add_ratio(text, accuracy->peak_loss_q4, accuracy->vpa_loss_q4, 2);
	gn_text_add(text, " times that of the VPA's rule");
}

/* The direction of the median against now, and whose forecast it is nearest to. */
static void add_change(struct gn_text *text, const struct gn_predict *p, uint32_t index)
{
	int64_t now = gn_history_at(&p->history, 0);
	int64_t change = p->quantiles[index][GN_P50] - now;

	if (now == 0 || gn_abs64(change) * 50 < now) {
		gn_text_add(text, "; expected to stay");
		return;
	}
	gn_text_add(text, change > 0 ? "; expected to rise by " : "; expected to fall by ");
	gn_text_add_ratio(text, gn_abs64(change) * 100, now, 0);
	gn_text_add(text, " %");
}

size_t gn_predict_explain(const struct gn_predict *p, uint32_t index, char *buffer, size_t size)
{
	struct gn_text text;

	if (size == 0)
		return 0;
	gn_text_init(&text, buffer, size);
	if (index >= p->config.n_horizons || p->n_observed == 0) {
		gn_text_add(&text, "nothing was observed yet");
		return text.length;
	}
	gn_text_add(&text, "in ");
	gn_text_add_duration(&text, p->config.horizons[index] * p->config.period_us);
	gn_text_add(&text, ": ");
	add_experts(&text, p, index);
	if (p->period.found) {
		gn_text_add(&text, "; repeats every ");
		gn_text_add_duration(&text, p->period.found * p->config.period_us);
	}
	add_accuracy(&text, p, index);
	add_change(&text, p, index);
	return text.length;
}
