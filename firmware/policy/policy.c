/* policy.c - see policy.h. Overflow: values are below 2^48 + 1 and thousandths below
 * 10,001, so a product with a share stays below 2^62. */
#include "firmware/policy/policy.h"

#include <errno.h>

#define MIB       ((int64_t)1 << 20)
#define GIB       ((int64_t)1 << 30)
#define MINUTE_US ((uint64_t)60 * 1000000)
#define HOUR_US   (60 * MINUTE_US)
/* Demand at or above this share of the allocation may be cut off by it. */
#define SATURATED_MILLI 970
/* One plan takes away at most this part of the allocation (or one step). */
#define SHRINK_PART 8

const struct gn_policy_rules gn_policy_defaults[GN_RESOURCE_END] = {
        [GN_RESOURCE_CPU] = {950, MINUTE_US, 1000, 0, 1000, 200, 50, MINUTE_US, 10 * MINUTE_US,
                             4000},
        [GN_RESOURCE_MEMORY] = {950, MINUTE_US, 64 * MIB, 0, 64 * MIB, 150, 50, MINUTE_US,
                                30 * MINUTE_US, 4 * GIB},
        [GN_RESOURCE_NETWORK_RX] = {990, MINUTE_US, 1000000, 0, 1000000, 500, 100, MINUTE_US,
                                    30 * MINUTE_US, 0},
        [GN_RESOURCE_NETWORK_TX] = {990, MINUTE_US, 1000000, 0, 1000000, 500, 100, MINUTE_US,
                                    30 * MINUTE_US, 0},
        [GN_RESOURCE_DISK_READ] = {990, MINUTE_US, 1000000, 0, 1000000, 500, 100, MINUTE_US,
                                   30 * MINUTE_US, 0},
        [GN_RESOURCE_DISK_WRITE] = {990, MINUTE_US, 1000000, 0, 1000000, 500, 100, MINUTE_US,
                                    30 * MINUTE_US, 0},
        [GN_RESOURCE_DISK_OPERATIONS] = {990, MINUTE_US, 100, 0, 100, 500, 100, MINUTE_US,
                                         30 * MINUTE_US, 0},
};

/* ---- checking -------------------------------------------------------------- */

static int refuse(struct gn_text *why, enum gn_resource resource, const char *field, int64_t value,
                  const char *allowed)
{
	gn_text_add(why, "policy for ");
	gn_text_add(why, gn_resource_label(resource));
	gn_text_add(why, ": ");
	gn_text_add(why, field);
	gn_text_add(why, " is ");
	gn_text_add_int(why, value);
	gn_text_add(why, "; give ");
	gn_text_add(why, allowed);
	return -EINVAL;
}

static int quantile_index(uint32_t quantile_milli)
{
	switch (quantile_milli) {
	case 500:
		return GN_P50;
	case 900:
		return GN_P90;
	case 950:
		return GN_P95;
	case 990:
		return GN_P99;
	}
	return -1;
}

static int check_limits(enum gn_resource resource, const struct gn_policy_rules *r,
                        struct gn_text *why)
{
	if (r->step < 1 || r->step > GN_PREDICT_MAX / 2)
		return refuse(why, resource, "step", r->step, "1 to 2^47");
	if (resource == GN_RESOURCE_CPU && r->step % 1000)
		return refuse(why, resource, "step", r->step,
		              "a multiple of 1000: whole vCPUs are added and removed");
	if (r->minimum < 0 || r->minimum > GN_PREDICT_MAX)
		return refuse(why, resource, "minimum", r->minimum, "0 to 2^48");
	if (resource == GN_RESOURCE_CPU && (r->minimum < 1000 || r->minimum % 1000))
		return refuse(why, resource, "minimum", r->minimum,
		              "a multiple of 1000, at least 1000 (one vCPU)");
	if (r->maximum < 0 || r->maximum > GN_PREDICT_MAX)
		return refuse(why, resource, "maximum", r->maximum,
		              "0 (what the VM's definition allows) to 2^48");
	if (resource == GN_RESOURCE_CPU && r->maximum % 1000)
		return refuse(why, resource, "maximum", r->maximum, "a multiple of 1000");
	if (r->maximum && r->maximum < r->minimum)
		return refuse(why, resource, "maximum", r->maximum, "the minimum or more, or 0");
	if (r->max_change < 0 || (r->max_change && r->max_change < r->step))
		return refuse(why, resource, "max_change", r->max_change,
		              "0 (no limit), or one step or more");
	return 0;
}

int gn_policy_check(enum gn_resource resource, const struct gn_policy_rules *r, struct gn_text *why)
{
	if (quantile_index(r->quantile_milli) < 0)
		return refuse(why, resource, "quantile_milli", r->quantile_milli,
		              "500, 900, 950 or 990");
	if (r->horizon_us < 100000 || r->horizon_us > 7 * 24 * HOUR_US)
		return refuse(why, resource, "horizon_us", (int64_t)r->horizon_us,
		              "100000 (0.1 s) to 604800000000 (7 days)");
	if (r->headroom_milli > 10000)
		return refuse(why, resource, "headroom_milli", r->headroom_milli, "0 to 10000");
	if (r->dead_band_milli > 1000)
		return refuse(why, resource, "dead_band_milli", r->dead_band_milli, "0 to 1000");
	if (r->cooldown_us > 24 * HOUR_US)
		return refuse(why, resource, "cooldown_us", (int64_t)r->cooldown_us,
		              "0 to 86400000000 (one day)");
	if (r->shrink_after_us < 1000000 || r->shrink_after_us > 30 * 24 * HOUR_US)
		return refuse(why, resource, "shrink_after_us", (int64_t)r->shrink_after_us,
		              "1000000 (1 s) to 2592000000000 (30 days)");
	return check_limits(resource, r, why);
}

/* ---- the window ------------------------------------------------------------ */

void gn_policy_window_init(struct gn_policy_window *window, uint64_t shrink_after_us)
{
	unsigned i;

	*window =
	        (struct gn_policy_window){.bucket_us = shrink_after_us / GN_POLICY_WINDOW_BUCKETS};
	if (window->bucket_us == 0)
		window->bucket_us = 1;
	for (i = 0; i < GN_POLICY_WINDOW_BUCKETS; i++)
		window->maxima[i] = -1;
}

static void forget(struct gn_policy_window *window)
{
	uint64_t bucket_us = window->bucket_us;

	gn_policy_window_init(window, bucket_us * GN_POLICY_WINDOW_BUCKETS);
}

void gn_policy_window_add(struct gn_policy_window *window, uint64_t now_us, uint64_t gap_us,
                          int64_t value)
{
	uint64_t head = now_us / window->bucket_us;
	int64_t *slot;

	if (window->first_us && (now_us < window->newest_us || now_us - window->newest_us > gap_us))
		forget(window);
	if (!window->first_us) {
		window->first_us = now_us ? now_us : 1;
		window->head = head;
	}
	if (head - window->head >= GN_POLICY_WINDOW_BUCKETS) {
		/* A gap that was allowed may still be longer than the window. */
		uint64_t first = window->first_us;

		forget(window);
		window->first_us = first;
		window->head = head;
	}
	while (window->head < head)
		window->maxima[++window->head % GN_POLICY_WINDOW_BUCKETS] = -1;
	slot = &window->maxima[head % GN_POLICY_WINDOW_BUCKETS];
	if (value > *slot)
		*slot = value;
	window->newest_us = now_us;
}

int64_t gn_policy_window_maximum(const struct gn_policy_window *window)
{
	int64_t highest = 0;
	unsigned i;

	for (i = 0; i < GN_POLICY_WINDOW_BUCKETS; i++)
		if (window->maxima[i] > highest)
			highest = window->maxima[i];
	return highest;
}

uint64_t gn_policy_window_length(const struct gn_policy_window *window)
{
	return window->first_us ? window->newest_us - window->first_us : 0;
}

/* ---- the decision ---------------------------------------------------------- */

static int64_t clamp(int64_t value)
{
	return value < 0 ? 0 : value > GN_PREDICT_MAX ? GN_PREDICT_MAX : value;
}

static int64_t with_headroom(const struct gn_policy_rules *rules, int64_t value)
{
	return clamp(value * (1000 + (int64_t)rules->headroom_milli) / 1000);
}

static int64_t round_up(int64_t value, int64_t step)
{
	return (value + step - 1) / step * step;
}

static int64_t round_down(int64_t value, int64_t step)
{
	return value / step * step;
}

static bool may_count(const struct gn_predict_forecast *forecast)
{
	return forecast->reason != GN_PREDICT_WORSE_THAN_NAIVE &&
	       forecast->reason != GN_PREDICT_TOO_LITTLE_HISTORY;
}

/* The highest forecast of the horizons up to the first that covers the policy's. Horizons whose
 * forecasts are worse than naive, or that have not shown yet how good they are, are left out,
 * unless all are: then the whole is demoted. */
static void predict_peak(const struct gn_policy_rules *rules, const struct gn_policy_input *in,
                         struct gn_policy_decision *out)
{
	int quantile = quantile_index(rules->quantile_milli);
	int64_t trusted = -1, any = 0;
	uint32_t i;

	for (i = 0; i < in->n_forecasts; i++) {
		const struct gn_predict_forecast *forecast = &in->forecasts[i];
		uint64_t ahead = forecast->horizon * in->period_us;
		int64_t value = clamp(forecast->quantiles[quantile]);

		out->horizon_us = ahead;
		if (value > any)
			any = value;
		if (may_count(forecast) && value > trusted)
			trusted = value;
		if (ahead >= rules->horizon_us)
			break;
	}
	out->demoted = in->n_forecasts && trusted < 0 &&
	               in->forecasts[0].reason != GN_PREDICT_TOO_LITTLE_HISTORY;
	out->predicted = trusted < 0 ? any : trusted;
}

/* What forbids any plan, whatever the figures say. */
static enum gn_policy_bound blocked_by(const struct gn_policy_input *in)
{
	if (in->mode != GN_POLICY_FORECAST_ONLY && in->mode != GN_POLICY_ENFORCE)
		return GN_POLICY_BOUND_OFF;
	if (in->allocated <= 0)
		return GN_POLICY_BOUND_NOT_LIMITED;
	if (in->estimated)
		return GN_POLICY_BOUND_ESTIMATED;
	if (!in->n_forecasts || in->forecasts[0].reason == GN_PREDICT_TOO_LITTLE_HISTORY)
		return GN_POLICY_BOUND_HISTORY;
	if (in->forecasts[0].reason == GN_PREDICT_INTERRUPTED)
		return GN_POLICY_BOUND_INTERRUPTED;
	return GN_POLICY_BOUND_NONE;
}

static void keep(const struct gn_policy_input *in, struct gn_policy_decision *out,
                 enum gn_policy_bound bound)
{
	out->verdict = GN_POLICY_KEEP;
	out->target = in->allocated;
	out->bound = bound;
}

static void lower_to(struct gn_policy_decision *out, int64_t limit, enum gn_policy_bound bound)
{
	if (out->target > limit) {
		out->target = limit;
		out->bound = bound;
	}
}

static bool in_dead_band(const struct gn_policy_rules *rules, const struct gn_policy_input *in,
                         int64_t target)
{
	int64_t change = target > in->allocated ? target - in->allocated : in->allocated - target;

	return change * 1000 < in->allocated * (int64_t)rules->dead_band_milli;
}

/* Steps that 'change' permits; a limit smaller than the step never forbids one step. */
static int64_t whole_steps(const struct gn_policy_rules *rules, int64_t change)
{
	return change < rules->step ? rules->step : round_down(change, rules->step);
}

static void grow(const struct gn_policy_rules *rules, const struct gn_policy_input *in,
                 struct gn_policy_decision *out)
{
	int64_t room = in->host_free < 0 ? 0 : in->host_free;

	if (rules->maximum)
		lower_to(out, rules->maximum, GN_POLICY_BOUND_MAXIMUM);
	if (in->definition_maximum)
		lower_to(out, in->definition_maximum, GN_POLICY_BOUND_DEFINITION);
	if (out->target <= in->allocated) {
		keep(in, out, out->bound);
		return;
	}
	if (in_dead_band(rules, in, out->target) && !out->saturated) {
		keep(in, out, GN_POLICY_BOUND_DEAD_BAND);
		return;
	}
	if (in->since_change_us < rules->cooldown_us) {
		keep(in, out, GN_POLICY_BOUND_COOLDOWN);
		return;
	}
	if (rules->max_change)
		lower_to(out, in->allocated + whole_steps(rules, rules->max_change),
		         GN_POLICY_BOUND_MAX_CHANGE);
	if (room < GN_PREDICT_MAX && out->target > in->allocated + room) {
		lower_to(out, in->allocated + round_down(room, rules->step),
		         GN_POLICY_BOUND_HOST_CAPACITY);
		out->must_move = true;
	}
	out->verdict = out->target > in->allocated ? GN_POLICY_GROW : GN_POLICY_KEEP;
}

static void shrink(const struct gn_policy_rules *rules, const struct gn_policy_input *in,
                   struct gn_policy_decision *out)
{
	int64_t seen = round_up(with_headroom(rules, clamp(in->window_maximum)), rules->step);
	int64_t most = whole_steps(rules, in->allocated / SHRINK_PART);
	/* The window's oldest bucket is partly gone: see policy.h. */
	uint64_t full = rules->shrink_after_us - rules->shrink_after_us / GN_POLICY_WINDOW_BUCKETS;

	if (seen > out->target) { /* shrinks on observation only */
		out->target = seen;
		out->bound = GN_POLICY_BOUND_SHRINK_WAIT;
	}
	if (out->target >= in->allocated) {
		keep(in, out, out->bound);
		return;
	}
	if (out->bound == GN_POLICY_BOUND_SHRINK_WAIT)
		out->bound = GN_POLICY_BOUND_NONE;
	if (in_dead_band(rules, in, out->target)) {
		keep(in, out, GN_POLICY_BOUND_DEAD_BAND);
		return;
	}
	if (in->window_us < full) {
		keep(in, out, GN_POLICY_BOUND_SHRINK_WAIT);
		return;
	}
	if (in->since_change_us < rules->cooldown_us) {
		keep(in, out, GN_POLICY_BOUND_COOLDOWN);
		return;
	}
	if (rules->max_change && whole_steps(rules, rules->max_change) < most)
		most = whole_steps(rules, rules->max_change);
	if (in->allocated - out->target > most) {
		out->target = round_up(in->allocated - most, rules->step);
		out->bound = GN_POLICY_BOUND_MAX_CHANGE;
	}
	out->verdict = GN_POLICY_SHRINK;
}

void gn_policy_decide(const struct gn_policy_rules *rules, const struct gn_policy_input *input,
                      struct gn_policy_decision *out)
{
	struct gn_policy_input in = *input;
	int64_t highest;

	in.allocated = clamp(in.allocated);
	in.observed = clamp(in.observed);
	*out = (struct gn_policy_decision){.target = in.allocated};
	predict_peak(rules, &in, out);
	highest = out->predicted > in.observed ? out->predicted : in.observed;
	out->need = with_headroom(rules, highest);
	out->uncapped_target = round_up(out->need, rules->step);
	out->bound = blocked_by(&in);
	if (out->bound != GN_POLICY_BOUND_NONE)
		return;
	out->saturated = in.observed * 1000 >= in.allocated * SATURATED_MILLI;
	if (out->saturated && out->uncapped_target < in.allocated + rules->step)
		out->uncapped_target = round_up(in.allocated + rules->step, rules->step);
	out->advisory = out->demoted || in.mode == GN_POLICY_FORECAST_ONLY;
	out->target = out->uncapped_target;
	if (out->target < rules->minimum) {
		out->target = rules->minimum;
		out->bound = GN_POLICY_BOUND_MINIMUM;
	}
	if (out->target > in.allocated)
		grow(rules, &in, out);
	else
		shrink(rules, &in, out);
}
