/* series.c - see series.h. */
#include "firmware/brain/series.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/core/fixed.h"
#include "firmware/message/message.h"

static struct gn_predict_config predict_config(const struct gn_config *config)
{
	struct gn_predict_config p = {
	        .period_us = config->predict_period_ms * 1000ull,
	        .n_horizons = config->horizons_count,
	        .min_history = config->min_history,
	};

	memcpy(p.horizons, config->horizons, config->horizons_count * sizeof *config->horizons);
	return p;
}

static void begin_predictor(struct gn_series *series, const struct gn_config *config)
{
	struct gn_predict_config p = predict_config(config);

	if (gn_predict_init(series->predict, &p))
		abort(); /* config.c has checked the same ranges */
	series->n_forecasts = 0;
}

void gn_series_init(struct gn_series *series, const struct gn_config *config,
                    const struct gn_series_packs *packs, enum gn_resource resource,
                    const struct gn_policy_rules *rules)
{
	*series = (struct gn_series){.resource = resource, .packs = packs, .rules = *rules};
	gn_policy_window_init(&series->window, rules->shrink_after_us);
	series->predict = gn_message_alloc(gn_predict_size);
	begin_predictor(series, config);
}

void gn_series_fini(struct gn_series *series)
{
	gn_series_end_trial(series, false);
	free(series->predict);
	series->predict = NULL;
}

void gn_series_set_rules(struct gn_series *series, const struct gn_policy_rules *rules)
{
	if (rules->shrink_after_us != series->rules.shrink_after_us)
		gn_policy_window_init(&series->window, rules->shrink_after_us);
	series->rules = *rules;
	memset(series->hold_us, 0, sizeof series->hold_us);
	memset(series->n_failed, 0, sizeof series->n_failed);
}

const struct gn_predict_forecast *gn_series_deciding(const struct gn_series *series,
                                                     const struct gn_config *config)
{
	const struct gn_predict_forecast *best = NULL;
	uint32_t i;

	for (i = 0; i < series->n_forecasts; i++) {
		best = &series->forecasts[i];
		if (best->horizon * (config->predict_period_ms * 1000ull) >=
		    series->rules.horizon_us)
			break;
	}
	return best;
}

static uint64_t step_of(const struct gn_config *config, uint64_t card_us)
{
	uint64_t period_us = config->predict_period_ms * 1000ull;

	return (card_us + period_us / 2) / period_us;
}

int64_t gn_series_forecast_for(const struct gn_series *series, const struct gn_config *config,
                               uint64_t card_us)
{
	uint64_t step = step_of(config, card_us);

	return series->ring[step % GN_SERIES_RING].step == step
	               ? series->ring[step % GN_SERIES_RING].p95
	               : 0;
}

static void remember_forecast(struct gn_series *series, const struct gn_config *config)
{
	const struct gn_predict_forecast *deciding = gn_series_deciding(series, config);
	uint64_t step;

	if (!deciding)
		return;
	gn_change_note(&series->change, series->card_us, deciding);
	step = step_of(config, series->card_us) + deciding->horizon;
	series->ring[step % GN_SERIES_RING].step = step;
	series->ring[step % GN_SERIES_RING].p95 = deciding->quantiles[GN_P95];
}

static uint32_t forecast_all(const struct gn_predict *predict, const struct gn_config *config,
                             struct gn_predict_forecast forecasts[GN_PREDICT_MAX_HORIZONS])
{
	uint32_t i;

	for (i = 0; i < config->horizons_count; i++)
		if (gn_predict_forecast(predict, i, &forecasts[i]))
			break;
	return i;
}

/* The pack on trial sees what the active one sees, and is judged on the same instants. */
static void observe_trial(struct gn_series *series, const struct gn_config *config,
                          uint64_t card_us, int64_t value)
{
	struct gn_predict_forecast candidate[GN_PREDICT_MAX_HORIZONS];
	struct gn_series_trial *trial = series->trial;

	if (gn_predict_observe_with(trial->predict, series->packs->trial, card_us, value) ||
	    forecast_all(trial->predict, config, candidate) != series->n_forecasts)
		return;
	gn_trial_observe(&trial->scores, config->predict_period_ms * 1000ull, card_us, value,
	                 series->n_forecasts, series->forecasts, candidate);
}

static void end_step(struct gn_series *series, const struct gn_config *config, uint64_t card_us)
{
	/* What a rate needed is its mean; memory must hold the most at any time. */
	int64_t value = series->resource == GN_RESOURCE_MEMORY
	                        ? series->step_maximum
	                        : series->step_sum / series->n_in_step;

	series->n_in_step = 0;
	if (gn_predict_observe_with(series->predict, series->packs->active, card_us, value))
		return;
	series->n_forecasts = forecast_all(series->predict, config, series->forecasts);
	series->made_us = card_us;
	if (series->trial)
		observe_trial(series, config, card_us, value);
	remember_forecast(series, config);
}

/* Adds a value to the step; true when it ended the step. */
static bool gather(struct gn_series *series, const struct gn_config *config, uint64_t card_us,
                   int64_t value)
{
	uint64_t period_us = config->predict_period_ms * 1000ull;
	uint64_t sample_us = config->period_ms * 1000ull;

	if (series->n_in_step == 0) {
		series->step_begin_us = card_us - sample_us;
		series->step_sum = 0;
		series->step_maximum = 0;
	}
	series->step_sum += value;
	series->n_in_step++;
	if (value > series->step_maximum)
		series->step_maximum = value;
	if (card_us - series->step_begin_us + sample_us / 2 < period_us)
		return false;
	end_step(series, config, card_us);
	return true;
}

static uint64_t gap_of(const struct gn_config *config)
{
	return config->period_ms * 3000ull + 2000000;
}

static bool differ(const struct gn_series *series, int64_t a, int64_t b)
{
	return a && b && gn_abs64(a - b) > gn_resource_tolerance(series->resource);
}

bool gn_series_allocation_is_news(const struct gn_series *series, int64_t before)
{
	int64_t now = series->newest.allocated;

	return differ(series, series->told, now) &&
	       (!gn_resource_tolerance(series->resource) || !differ(series, before, now));
}

static void note_allocation(struct gn_series *series, int64_t allocated)
{
	int64_t before = series->allocated;

	if (!series->told)
		series->told = allocated;
	if (differ(series, before, allocated)) {
		gn_predict_note_resize(series->predict, before, allocated);
		gn_change_resize(&series->change);
		if (series->trial)
			gn_predict_note_resize(series->trial->predict, before, allocated);
	}
	if (!before || differ(series, before, allocated))
		series->allocated = allocated;
}

int gn_series_observe(struct gn_series *series, const struct gn_config *config, uint64_t card_us,
                      const struct gn_demand_value *value)
{
	if (series->seen && card_us <= series->card_us)
		return -ERANGE;
	series->seen = true;
	series->newest = *value;
	series->card_us = card_us;
	note_allocation(series, value->allocated);
	gn_policy_window_add(&series->window, card_us, gap_of(config), value->value);
	return gather(series, config, card_us, value->value) ? 1 : 0;
}

/* ---- the trial of a pack --------------------------------------------------------- */

bool gn_series_begin_trial(struct gn_series *series)
{
	gn_series_end_trial(series, false);
	if (!series->made_us)
		return false;
	series->trial = gn_message_alloc(sizeof *series->trial);
	series->trial->predict = gn_message_alloc(gn_predict_size);
	memcpy(series->trial->predict, series->predict, gn_predict_size);
	return true;
}

void gn_series_end_trial(struct gn_series *series, bool adopt)
{
	struct gn_series_trial *trial = series->trial;

	if (!trial)
		return;
	if (adopt)
		memcpy(series->predict, trial->predict, gn_predict_size);
	free(trial->predict);
	free(trial);
	series->trial = NULL;
}

struct trial_head {
	uint64_t digest;
	uint64_t card_us;
	struct gn_trial_series scores;
};

void *gn_series_export_trial(const struct gn_series *series, size_t *size)
{
	char *bytes = gn_message_alloc(sizeof(struct trial_head) + gn_predict_blob_max);
	struct trial_head head;

	memset(&head, 0, sizeof head);
	head.digest = series->packs->trial_digest;
	head.card_us = series->made_us;
	head.scores = series->trial->scores;
	memcpy(bytes, &head, sizeof head);
	*size = sizeof head +
	        gn_predict_export(series->trial->predict, bytes + sizeof head, gn_predict_blob_max);
	return bytes;
}

int gn_series_import_trial(struct gn_series *series, const void *bytes, size_t size)
{
	struct trial_head head;

	if (size <= sizeof head)
		return -EBADMSG;
	memcpy(&head, bytes, sizeof head);
	if (!series->packs->trial || head.digest != series->packs->trial_digest ||
	    head.card_us != series->made_us || !gn_series_begin_trial(series))
		return -EBADMSG;
	if (gn_predict_import(series->trial->predict, (const char *)bytes + sizeof head,
	                      size - sizeof head)) {
		gn_series_end_trial(series, false);
		return -EBADMSG;
	}
	series->trial->scores = head.scores;
	return 0;
}

/* ---- as bytes ------------------------------------------------------------------- */

/* What the stored state was made under; other settings need another state. */
struct head {
	uint64_t card_us;
	struct gn_predict_config config;
};

void *gn_series_export(const struct gn_series *series, const struct gn_config *config, size_t *size)
{
	char *bytes = gn_message_alloc(sizeof(struct head) + gn_predict_blob_max);
	struct head head;

	memset(&head, 0, sizeof head);
	head.card_us = series->made_us;
	head.config = predict_config(config);
	memcpy(bytes, &head, sizeof head);
	*size = sizeof head +
	        gn_predict_export(series->predict, bytes + sizeof head, gn_predict_blob_max);
	return bytes;
}

static bool fits(const struct gn_predict_config *made, const struct gn_predict_config *wanted)
{
	return made->period_us == wanted->period_us && made->n_horizons == wanted->n_horizons &&
	       memcmp(made->horizons, wanted->horizons, sizeof wanted->horizons) == 0;
}

static int import(struct gn_series *series, const struct gn_config *config, const void *bytes,
                  size_t size)
{
	struct gn_predict_config now = predict_config(config);
	struct head head;
	int error;

	if (size <= sizeof head)
		return -EBADMSG;
	memcpy(&head, bytes, sizeof head);
	if (!fits(&head.config, &now) || head.config.min_history != now.min_history)
		return -EPROTO;
	error = gn_predict_import(series->predict, (const char *)bytes + sizeof head,
	                          size - sizeof head);
	/* The blob must be what its head says: one that had seen later times, say, would refuse
	 * every sample. */
	if (!error && (gn_predict_newest_us(series->predict) != head.card_us ||
	               !fits(gn_predict_configuration(series->predict), &now)))
		error = -EBADMSG;
	if (!error) {
		series->card_us = head.card_us;
		series->made_us = head.card_us;
		series->n_forecasts = forecast_all(series->predict, config, series->forecasts);
	}
	return error;
}

int gn_series_import(struct gn_series *series, const struct gn_config *config, const void *bytes,
                     size_t size)
{
	int error = import(series, config, bytes, size);

	if (error)
		begin_predictor(series, config);
	return error;
}

void gn_series_take_over(struct gn_series *series, const struct gn_series *other)
{
	bool on_trial = series->trial != NULL;

	memcpy(series->predict, other->predict, gn_predict_size);
	series->card_us = other->card_us;
	series->made_us = other->made_us;
	series->n_in_step = 0;
	series->n_forecasts = other->n_forecasts;
	memcpy(series->forecasts, other->forecasts, sizeof series->forecasts);
	if (on_trial)
		gn_series_begin_trial(series);
}
