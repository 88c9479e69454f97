/* change.c - see change.h. Values are at most 2^48, so the products below fit. */
#include "firmware/brain/change.h"

#include "firmware/core/fixed.h"

#define SHARE 20 /* a change is one of a twentieth */

void gn_change_resize(struct gn_change *change)
{
	change->resized = true;
}

static enum gn_change_cause cause_of(const struct gn_change *change,
                                     const struct gn_predict_forecast *forecast)
{
	int64_t moved = forecast->quantiles[GN_P95] - change->to;
	int64_t observed = forecast->observed - change->observed_to;

	if (forecast->reason == GN_PREDICT_INTERRUPTED)
		return GN_CHANGE_INTERRUPTED;
	if (change->resized)
		return GN_CHANGE_ALLOCATION;
	if (forecast->found_period != change->period)
		return GN_CHANGE_RHYTHM_FOUND;
	if ((moved > 0) == (observed > 0) && 2 * gn_abs64(observed) >= gn_abs64(moved))
		return GN_CHANGE_VALUE;
	return forecast->found_period ? GN_CHANGE_RHYTHM : GN_CHANGE_EXPERTS;
}

void gn_change_note(struct gn_change *change, uint64_t at_us,
                    const struct gn_predict_forecast *forecast)
{
	int64_t now = forecast->quantiles[GN_P95];

	if (change->seen && gn_abs64(now - change->to) * SHARE <= change->to)
		return;
	if (change->seen) {
		change->cause = cause_of(change, forecast);
		change->at_us = at_us;
		change->from = change->to;
		change->observed_from = change->observed_to;
	}
	change->seen = true;
	change->resized = false;
	change->to = now;
	change->observed_to = forecast->observed;
	change->period = forecast->found_period;
}

static void add_move(struct gn_text *text, enum gn_resource resource, int64_t from, int64_t to)
{
	gn_text_add(text, to > from ? " rose from " : " fell from ");
	gn_resource_add_value(text, resource, from);
	gn_text_add(text, " to ");
	gn_resource_add_value(text, resource, to);
}

static void add_cause(const struct gn_change *change, enum gn_resource resource, uint64_t period_us,
                      struct gn_text *text)
{
	switch (change->cause) {
	case GN_CHANGE_NONE:
		break;
	case GN_CHANGE_INTERRUPTED:
		gn_text_add(text, "samples were missing before");
		break;
	case GN_CHANGE_ALLOCATION:
		gn_text_add(text, "the allocation changed");
		break;
	case GN_CHANGE_RHYTHM_FOUND:
		gn_text_add(text,
		            change->period ? "a rhythm was found, of " : "its rhythm was lost");
		if (change->period)
			gn_text_add_duration(text, change->period * period_us);
		break;
	case GN_CHANGE_VALUE:
		gn_text_add(text, "the value itself");
		add_move(text, resource, change->observed_from, change->observed_to);
		break;
	case GN_CHANGE_RHYTHM:
		gn_text_add(text, "the next turn of its rhythm of ");
		gn_text_add_duration(text, change->period * period_us);
		gn_text_add(text, " comes nearer");
		break;
	case GN_CHANGE_EXPERTS:
		gn_text_add(text, "the experts that did better lately count for more");
		break;
	}
}

void gn_change_describe(const struct gn_change *change, enum gn_resource resource,
                        uint64_t period_us, uint64_t now_us, struct gn_text *text)
{
	if (change->cause == GN_CHANGE_NONE)
		return;
	gn_text_add(text, "P95");
	add_move(text, resource, change->from, change->to);
	gn_text_add(text, " ");
	gn_text_add_duration(text, now_us > change->at_us ? now_us - change->at_us : 0);
	gn_text_add(text, " ago: ");
	add_cause(change, resource, period_us, text);
}
