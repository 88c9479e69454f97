/* explain.c - the decision in words (policy.h). */
#include "firmware/policy/policy.h"

const char *gn_policy_bound_text(enum gn_policy_bound bound)
{
	static const char *const texts[] = {
#define GN_POLICY_BOUND_TEXT(name, text) text,
	        GN_POLICY_BOUNDS(GN_POLICY_BOUND_TEXT)
#undef GN_POLICY_BOUND_TEXT
	};

	return (unsigned)bound < sizeof texts / sizeof texts[0] ? texts[bound] : "unknown";
}

static void add_forecast(const struct gn_policy_rules *rules, const struct gn_policy_input *in,
                         const struct gn_policy_decision *d, struct gn_text *text)
{
	gn_text_add(text, "P");
	gn_text_add_ratio(text, rules->quantile_milli, 10, 1);
	gn_text_add(text, " within ");
	gn_text_add_duration(text, d->horizon_us);
	gn_text_add(text, " is ");
	gn_resource_add_value(text, in->resource, d->predicted);
	if (in->observed > d->predicted) {
		gn_text_add(text, ", seen now ");
		gn_resource_add_number(text, in->resource, in->observed);
	}
	gn_text_add(text, ", with ");
	gn_text_add_ratio(text, rules->headroom_milli, 10, 1);
	gn_text_add(text, "% headroom ");
	gn_resource_add_number(text, in->resource, d->need);
}

static void add_verdict(const struct gn_policy_rules *rules, const struct gn_policy_input *in,
                        const struct gn_policy_decision *d, struct gn_text *text)
{
	switch (d->verdict) {
	case GN_POLICY_KEEP:
		gn_text_add(text, d->must_move ? "cannot grow to " : "keep ");
		gn_resource_add_value(text, in->resource,
		                      d->must_move ? d->uncapped_target : in->allocated);
		return;
	case GN_POLICY_GROW:
		gn_text_add(text, "grow to ");
		break;
	case GN_POLICY_SHRINK:
		gn_text_add(text, "at most ");
		gn_resource_add_number(text, in->resource, in->window_maximum);
		gn_text_add(text, " was seen for ");
		gn_text_add_duration(text, rules->shrink_after_us);
		gn_text_add(text, ": shrink to ");
		break;
	}
	gn_resource_add_value(text, in->resource, d->target);
}

void gn_policy_explain(const struct gn_policy_rules *rules, const struct gn_policy_input *in,
                       const struct gn_policy_decision *d, const char *vm, struct gn_text *text)
{
	gn_text_add(text, gn_resource_label(in->resource));
	gn_text_add(text, " of ");
	gn_text_add(text, vm);
	gn_text_add(text, ": ");
	if (in->n_forecasts) {
		add_forecast(rules, in, d, text);
		gn_text_add(text, ", ");
	}
	gn_text_add(text, "has ");
	gn_resource_add_number(text, in->resource, in->allocated);
	if (d->saturated)
		gn_text_add(text, " and uses all of it, so more cannot be seen");
	gn_text_add(text, d->verdict == GN_POLICY_SHRINK ? "; " : ": ");
	add_verdict(rules, in, d, text);
	gn_text_add(text, " (bound by: ");
	gn_text_add(text, gn_policy_bound_text(d->bound));
	gn_text_add(text, ")");
	if (d->must_move) {
		gn_text_add(text, "; the host has room for ");
		gn_resource_add_value(text, in->resource, in->host_free > 0 ? in->host_free : 0);
		gn_text_add(text, " more: the VM must move");
	}
	if (d->demoted)
		gn_text_add(text, "; advice only: its forecasts are worse than 'stays as it is'");
}
