/* series.c - GetForecast, GetHistory, GetPolicy, UpdatePolicy. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/brain/policy_message.h"
#include "firmware/control/control_internal.h"
#include "firmware/message/message.h"

/* Why the forecast only advises, with the figures. */
static void say_why_not(const struct gn_predict_forecast *f, Gnomon__V1__Forecast *out)
{
	int64_t ratio = f->error_ratio_q16 * 100ll / 65536;

	switch (f->reason) {
	case GN_PREDICT_TRUSTED:
		break;
	case GN_PREDICT_TOO_LITTLE_HISTORY:
		gn_message_set(&out->reason, "%s (%llu samples, %llu forecasts judged)",
		               gn_predict_reason_text(f->reason), (unsigned long long)out->history,
		               (unsigned long long)out->scored);
		break;
	case GN_PREDICT_WORSE_THAN_NAIVE:
		gn_message_set(&out->reason,
		               "%s: %lld.%02lld times its error, %llu forecasts judged",
		               gn_predict_reason_text(f->reason), (long long)(ratio / 100),
		               (long long)(ratio % 100), (unsigned long long)out->scored);
		break;
	case GN_PREDICT_INTERRUPTED:
		gn_message_set(&out->reason, "%s", gn_predict_reason_text(f->reason));
		break;
	}
}

static void add_accuracy(const struct gn_series *series, uint32_t index, Gnomon__V1__Forecast *out)
{
	struct gn_predict_accuracy accuracy;

	if (gn_predict_accuracy(series->predict, index, &accuracy))
		return;
	out->scored = accuracy.n;
	out->error_milli = accuracy.error_milli;
	out->naive_error_milli = accuracy.naive_error_milli;
	out->loss95_milli = accuracy.loss95_milli;
	out->vpa_loss95_milli = accuracy.vpa_loss95_milli;
}

static Gnomon__V1__Forecast *forecast_message(const struct gn_config *config,
                                              const struct gn_series *series, uint32_t index)
{
	const struct gn_predict_forecast *f = &series->forecasts[index];
	uint64_t period_us = config->predict_period_ms * 1000ull;
	Gnomon__V1__Forecast *out =
	        GN_MESSAGE_NEW(Gnomon__V1__Forecast, gnomon__v1__forecast__init);
	struct gn_text change;
	char words[512];

	out->resource = (Gnomon__V1__Resource)series->resource;
	out->horizon_us = f->horizon * period_us;
	out->p50 = f->quantiles[GN_P50];
	out->p90 = f->quantiles[GN_P90];
	out->p95 = f->quantiles[GN_P95];
	out->p99 = f->quantiles[GN_P99];
	out->period_us = f->found_period * period_us;
	out->history = f->n_observed;
	out->error_ratio_q16 = f->error_ratio_q16;
	out->trusted = f->reason == GN_PREDICT_TRUSTED;
	add_accuracy(series, index, out);
	say_why_not(f, out);
	gn_predict_explain(series->predict, index, words, sizeof words);
	gn_message_set(&out->explanation, "%s", words);
	gn_text_init(&change, words, sizeof words);
	gn_change_describe(&series->change, series->resource, period_us, series->card_us, &change);
	gn_message_set(&out->change, "%s", words);
	out->observed = f->observed;
	return out;
}

void gn_control_get_forecast(void *context, struct gn_channel_call *call,
                             const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;
	struct gn_control *control = context;
	struct gn_vm *vm = gn_control_vm(control, call, request->name, "");
	Gnomon__V1__ForecastSet *set;
	uint32_t i, k;

	if (!vm)
		return;
	set = GN_MESSAGE_NEW(Gnomon__V1__ForecastSet, gnomon__v1__forecast_set__init);
	gn_message_set(&set->vm, "%s", vm->name);
	for (i = 1; i < GN_RESOURCE_END; i++) {
		const struct gn_series *series = &vm->series[i];

		if (series->n_forecasts && series->made_us > set->made_us)
			set->made_us = series->made_us;
		for (k = 0; k < series->n_forecasts; k++)
			GN_MESSAGE_APPEND(set->forecasts, set->n_forecasts,
			                  forecast_message(control->config, series, k));
	}
	gn_control_reply(call, &set->base);
}

static Gnomon__V1__History *history_message(const struct gn_store_point *points, size_t n,
                                            uint64_t interval_us)
{
	Gnomon__V1__History *history =
	        GN_MESSAGE_NEW(Gnomon__V1__History, gnomon__v1__history__init);
	size_t i;

	history->interval_us = interval_us;
	history->points = gn_message_alloc((n ? n : 1) * sizeof *history->points);
	for (i = 0; i < n; i++) {
		Gnomon__V1__History__Point *p = GN_MESSAGE_NEW(Gnomon__V1__History__Point,
		                                               gnomon__v1__history__point__init);

		p->wall_us = points[i].wall_us;
		p->mean = points[i].mean;
		p->maximum = points[i].maximum;
		p->allocated = points[i].allocated;
		p->forecast_p95 = points[i].forecast_p95;
		history->points[history->n_points++] = p;
	}
	return history;
}

void gn_control_get_history(void *context, struct gn_channel_call *call,
                            const ProtobufCMessage *message)
{
	const Gnomon__V1__HistoryRequest *r = (const Gnomon__V1__HistoryRequest *)message;
	struct gn_control *control = context;
	struct gn_vm *vm = gn_control_vm(control, call, r->vm, "");
	uint64_t now = gn_time_now().wall_us, to = r->to_us ? r->to_us : now + 1, interval;
	uint32_t max = r->max_points ? r->max_points : 1000;
	struct gn_store_point *points = NULL;
	size_t n = 0;

	if (!vm)
		return;
	if ((int)r->resource < 1 || (int)r->resource >= GN_RESOURCE_END || max > 10000 ||
	    r->from_us >= to || to > INT64_MAX) {
		gn_control_fail(call, GN_INVALID_ARGUMENT,
		                "resource %d, from_us %llu, to_us %llu, max_points %u; give CPU to "
		                "DISK_OPERATIONS, a from before the to, at most 10000 points",
		                (int)r->resource, (unsigned long long)r->from_us,
		                (unsigned long long)r->to_us, r->max_points);
		return;
	}
	if (gn_store_history(control->p.brain->store, vm->name, (enum gn_resource)r->resource,
	                     r->from_us, to, now, max, control->config->period_ms * 1000ull,
	                     &points, &n, &interval)) {
		gn_control_fail(call, GN_UNAVAILABLE, "no history now: %s",
		                gn_store_error(control->p.brain->store));
		return;
	}
	gn_control_reply(
	        call, &history_message(points, n,
	                               interval ? interval : control->config->period_ms * 1000ull)
	                       ->base);
	free(points);
}

static Gnomon__V1__Policy *policy_of(const struct gn_vm *vm)
{
	struct gn_policy_rules rules[GN_RESOURCE_END];
	unsigned i;

	for (i = 1; i < GN_RESOURCE_END; i++)
		rules[i] = vm->series[i].rules;
	return gn_policy_message(vm->name, vm->mode, rules);
}

void gn_control_get_policy(void *context, struct gn_channel_call *call,
                           const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;
	struct gn_vm *vm = gn_control_vm(context, call, request->name, "/policy");

	if (vm)
		gn_control_reply(call, &policy_of(vm)->base);
}

void gn_control_update_policy(void *context, struct gn_channel_call *call,
                              const ProtobufCMessage *message)
{
	const Gnomon__V1__UpdatePolicyRequest *request =
	        (const Gnomon__V1__UpdatePolicyRequest *)message;
	struct gn_control *control = context;
	struct gn_policy_rules rules[GN_RESOURCE_END];
	enum gn_policy_mode mode;
	struct gn_status status;
	struct gn_vm *vm;
	unsigned i;

	if (!request->policy) {
		gn_control_fail(
		        call, GN_INVALID_ARGUMENT,
		        "the request has no policy; give one with its name, vms/<vm>/policy");
		return;
	}
	vm = gn_control_vm(control, call, request->policy->name, "/policy");
	if (!vm)
		return;
	mode = vm->mode;
	for (i = 1; i < GN_RESOURCE_END; i++)
		rules[i] = vm->series[i].rules;
	if (gn_policy_message_apply(request->policy, request->update_mask, request->n_update_mask,
	                            &mode, rules, &status)) {
		gn_channel_fail(call, &status);
		return;
	}
	gn_brain_set_policy(control->p.brain, vm, mode, rules);
	gn_control_commit(control);
	gn_control_reply(call, &policy_of(vm)->base);
}
