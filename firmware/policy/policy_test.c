/* policy_test.c - every limit in a table of its own cases; then what must hold for any
 * input at all, over many seeded random ones. */
#include "firmware/policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define S ((uint64_t)1000000)

/* One forecast 15 s ahead whose P95 is 'p95'. */
struct scene {
	struct gn_policy_rules rules;
	struct gn_policy_input input;
	struct gn_predict_forecast forecasts[GN_PREDICT_MAX_HORIZONS];
};

static void set_forecast(struct scene *s, unsigned index, uint32_t horizon, int64_t p95)
{
	s->forecasts[index] = (struct gn_predict_forecast){
	        .quantiles = {p95 / 2, p95 - p95 / 10, p95, p95 + p95 / 10},
	        .horizon = horizon,
	        .n_observed = 1000,
	};
}

static void set_up(struct scene *s)
{
	s->rules = gn_policy_defaults[GN_RESOURCE_CPU];
	s->rules.horizon_us = 15 * S;
	s->input = (struct gn_policy_input){
	        .resource = GN_RESOURCE_CPU,
	        .mode = GN_POLICY_ENFORCE,
	        .allocated = 1000,
	        .definition_maximum = 8000,
	        .observed = 300,
	        .window_maximum = 300,
	        .window_us = 24 * 3600 * S,
	        .since_change_us = UINT64_MAX,
	        .host_free = 64000,
	        .period_us = S,
	        .n_forecasts = 1,
	        .forecasts = s->forecasts,
	};
	set_forecast(s, 0, 15, 970);
}

#define CASES(X)                                                                                   \
	X(grows_ahead_of_the_spike, , GROW, 2000, NONE)                                            \
	X(keeps_when_it_fits, set_forecast(&s, 0, 15, 800), KEEP, 1000, NONE)                      \
	X(off, s.input.mode = GN_POLICY_OFF, KEEP, 1000, OFF)                                      \
	X(mode_unknown_is_off, s.input.mode = (enum gn_policy_mode)9, KEEP, 1000, OFF)             \
	X(no_allocation, s.input.allocated = 0, KEEP, 0, NOT_LIMITED)                              \
	X(host_guess_only, s.input.estimated = true, KEEP, 1000, ESTIMATED)                        \
	X(no_forecast_yet, s.input.n_forecasts = 0, KEEP, 1000, HISTORY)                           \
	X(little_history, s.forecasts[0].reason = GN_PREDICT_TOO_LITTLE_HISTORY, KEEP, 1000,       \
	  HISTORY)                                                                                 \
	X(interrupted, s.forecasts[0].reason = GN_PREDICT_INTERRUPTED, KEEP, 1000, INTERRUPTED)    \
	X(demoted_still_says, s.forecasts[0].reason = GN_PREDICT_WORSE_THAN_NAIVE, GROW, 2000,     \
	  NONE)                                                                                    \
	X(maximum, (set_forecast(&s, 0, 15, 3900), s.rules.maximum = 2000), GROW, 2000, MAXIMUM)   \
	X(at_the_maximum, s.rules.maximum = 1000, KEEP, 1000, MAXIMUM)                             \
	X(definition, (set_forecast(&s, 0, 15, 9000), s.rules.max_change = 0), GROW, 8000,         \
	  DEFINITION)                                                                              \
	X(below_the_minimum, s.rules.minimum = 3000, GROW, 3000, MINIMUM)                          \
	X(rate_of_change, (set_forecast(&s, 0, 15, 6000), s.rules.max_change = 2000), GROW, 3000,  \
	  MAX_CHANGE)                                                                              \
	X(cooldown, s.input.since_change_us = 59 * S, KEEP, 1000, COOLDOWN)                        \
	X(cooldown_over, s.input.since_change_us = 60 * S, GROW, 2000, NONE)                       \
	X(host_full, s.input.host_free = 999, KEEP, 1000, HOST_CAPACITY)                           \
	X(host_overfull, s.input.host_free = -5000, KEEP, 1000, HOST_CAPACITY)                     \
	X(host_has_some, (set_forecast(&s, 0, 15, 3000), s.input.host_free = 2500), GROW, 3000,    \
	  HOST_CAPACITY)                                                                           \
	X(dead_band,                                                                               \
	  (s.rules.dead_band_milli = 500, s.input.allocated = 4000, set_forecast(&s, 0, 15, 4000), \
	   s.input.window_maximum = 3000),                                                         \
	  KEEP, 4000, DEAD_BAND)                                                                   \
	X(saturation_ignores_the_dead_band,                                                        \
	  (s.rules.dead_band_milli = 500, s.input.allocated = 4000, s.input.observed = 3900),      \
	  GROW, 5000, NONE)                                                                        \
	X(saturated_without_headroom, (s.rules.headroom_milli = 0, s.input.observed = 1000), GROW, \
	  2000, NONE)                                                                              \
	X(seen_now_counts, (set_forecast(&s, 0, 15, 100), s.input.observed = 900), GROW, 2000,     \
	  NONE)                                                                                    \
	X(beyond_the_horizon_is_ignored,                                                           \
	  (set_forecast(&s, 0, 15, 500), set_forecast(&s, 1, 60, 5000), s.input.n_forecasts = 2),  \
	  KEEP, 1000, NONE)                                                                        \
	X(highest_up_to_the_horizon,                                                               \
	  (set_forecast(&s, 0, 5, 1900), set_forecast(&s, 1, 15, 500), s.input.n_forecasts = 2),   \
	  GROW, 3000, NONE)                                                                        \
	X(between_two_horizons_the_further_covers_it,                                              \
	  (s.rules.horizon_us = 10 * S, set_forecast(&s, 0, 5, 500), set_forecast(&s, 1, 15, 970), \
	   s.input.n_forecasts = 2),                                                               \
	  GROW, 2000, NONE)                                                                        \
	X(all_beyond_takes_the_nearest, set_forecast(&s, 0, 60, 970), GROW, 2000, NONE)            \
	X(untrusted_horizon_is_left_out,                                                           \
	  (set_forecast(&s, 0, 5, 5000), s.forecasts[0].reason = GN_PREDICT_WORSE_THAN_NAIVE,      \
	   set_forecast(&s, 1, 15, 970), s.input.n_forecasts = 2),                                 \
	  GROW, 2000, NONE)                                                                        \
	X(unproven_horizon_is_left_out,                                                            \
	  (set_forecast(&s, 0, 5, 970), set_forecast(&s, 1, 15, 5000),                             \
	   s.forecasts[1].reason = GN_PREDICT_TOO_LITTLE_HISTORY, s.input.n_forecasts = 2),        \
	  GROW, 2000, NONE)                                                                        \
	X(shrinks_after_observation, (s.input.allocated = 2000, set_forecast(&s, 0, 15, 300)),     \
	  SHRINK, 1000, NONE)                                                                      \
	X(shrink_waits,                                                                            \
	  (s.input.allocated = 2000, set_forecast(&s, 0, 15, 300), s.input.window_us = 60 * S),    \
	  KEEP, 2000, SHRINK_WAIT)                                                                 \
	X(shrink_waits_for_the_seen_peak,                                                          \
	  (s.input.allocated = 2000, set_forecast(&s, 0, 15, 300), s.input.window_maximum = 1500), \
	  KEEP, 2000, SHRINK_WAIT)                                                                 \
	X(forecast_forbids_shrinking, (s.input.allocated = 2000, set_forecast(&s, 0, 15, 1200)),   \
	  KEEP, 2000, NONE)                                                                        \
	X(shrinks_slowly, (s.input.allocated = 8000, set_forecast(&s, 0, 15, 300)), SHRINK, 7000,  \
	  MAX_CHANGE)                                                                              \
	X(shrink_cooldown,                                                                         \
	  (s.input.allocated = 2000, set_forecast(&s, 0, 15, 300), s.input.since_change_us = 0),   \
	  KEEP, 2000, COOLDOWN)                                                                    \
	X(shrink_stops_at_minimum,                                                                 \
	  (s.input.allocated = 2000, s.rules.minimum = 2000, set_forecast(&s, 0, 15, 300)), KEEP,  \
	  2000, MINIMUM)                                                                           \
	X(above_a_new_maximum_nothing_grows,                                                       \
	  (s.input.allocated = 4000, s.rules.maximum = 2000, s.input.observed = 3999,              \
	   s.input.window_maximum = 3999),                                                         \
	  KEEP, 4000, MAXIMUM)

static void each_limit_decides_where_it_should(void **state)
{
#define RUN(name, change, want_verdict, want_target, want_bound)                                   \
	{                                                                                          \
		struct scene s;                                                                    \
		struct gn_policy_decision d;                                                       \
		set_up(&s);                                                                        \
		change;                                                                            \
		print_message("# " #name "\n");                                                    \
		gn_policy_decide(&s.rules, &s.input, &d);                                          \
		assert_string_equal(gn_policy_bound_text(d.bound),                                 \
		                    gn_policy_bound_text(GN_POLICY_BOUND_##want_bound));           \
		assert_int_equal(d.verdict, GN_POLICY_##want_verdict);                             \
		assert_int_equal(d.target, want_target);                                           \
	}
	CASES(RUN)
#undef RUN
}

static void a_full_host_means_the_vm_must_move(void **state)
{
	struct scene s;
	struct gn_policy_decision d;

	set_up(&s);
	s.input.host_free = 0;
	gn_policy_decide(&s.rules, &s.input, &d);
	assert_true(d.must_move);
	assert_int_equal(d.uncapped_target, 2000);
	s.input.host_free = 1000;
	gn_policy_decide(&s.rules, &s.input, &d);
	assert_false(d.must_move);
	s.input.host_free = 0;
	s.input.since_change_us = 0; /* no plan at all in the cooldown */
	gn_policy_decide(&s.rules, &s.input, &d);
	assert_false(d.must_move);
}

static void a_demoted_forecast_only_advises(void **state)
{
	struct scene s;
	struct gn_policy_decision d;

	set_up(&s);
	gn_policy_decide(&s.rules, &s.input, &d);
	assert_false(d.advisory);
	s.forecasts[0].reason = GN_PREDICT_WORSE_THAN_NAIVE;
	gn_policy_decide(&s.rules, &s.input, &d);
	assert_true(d.advisory);
	assert_true(d.demoted);
	set_up(&s);
	s.input.mode = GN_POLICY_FORECAST_ONLY;
	gn_policy_decide(&s.rules, &s.input, &d);
	assert_true(d.advisory);
	assert_false(d.demoted);
	assert_int_equal(d.verdict, GN_POLICY_GROW); /* shown, though not executed */
}

static void explain(struct scene *s, char *buffer, size_t size)
{
	struct gn_policy_decision d;
	struct gn_text text;

	gn_policy_decide(&s->rules, &s->input, &d);
	gn_text_init(&text, buffer, size);
	gn_policy_explain(&s->rules, &s->input, &d, "vms/web-1", &text);
}

static void the_reason_is_a_sentence_with_the_figures(void **state)
{
	char buffer[512];
	struct scene s;

	set_up(&s);
	explain(&s, buffer, sizeof buffer);
	assert_string_equal(buffer, "CPU of vms/web-1: P95 within 15 s is 0.97 vCPU, with 20% "
	                            "headroom 1.16, has 1: grow to 2 vCPU (bound by: none)");
	s.input.host_free = 500;
	explain(&s, buffer, sizeof buffer);
	assert_string_equal(
	        buffer,
	        "CPU of vms/web-1: P95 within 15 s is 0.97 vCPU, with 20% headroom 1.16, has "
	        "1: cannot grow to 2 vCPU (bound by: host capacity); the host has room for "
	        "0.5 vCPU more: the VM must move");
	set_up(&s);
	s.input.allocated = 2000;
	set_forecast(&s, 0, 15, 250);
	explain(&s, buffer, sizeof buffer);
	assert_string_equal(
	        buffer, "CPU of vms/web-1: P95 within 15 s is 0.25 vCPU, seen now 0.3, with 20% "
	                "headroom 0.36, has 2; at most 0.3 was seen for 10 min: shrink to 1 vCPU "
	                "(bound by: none)");
	set_up(&s);
	s.input.n_forecasts = 0;
	explain(&s, buffer, sizeof buffer);
	assert_string_equal(buffer,
	                    "CPU of vms/web-1: has 1: keep 1 vCPU (bound by: too little history)");
	set_up(&s);
	s.input.observed = 990;
	s.forecasts[0].reason = GN_PREDICT_WORSE_THAN_NAIVE;
	explain(&s, buffer, sizeof buffer);
	assert_string_equal(
	        buffer,
	        "CPU of vms/web-1: P95 within 15 s is 0.97 vCPU, seen now 0.99, with 20% "
	        "headroom 1.19, has 1 and uses all of it, so more cannot be seen: grow to 2 "
	        "vCPU (bound by: none); advice only: its forecasts are worse than 'stays as "
	        "it is'");
	explain(&s, buffer, 8); /* a short buffer cuts */
	assert_string_equal(buffer, "CPU of ");
}

static void rules_out_of_range_are_refused_with_the_field(void **state)
{
#define BAD(field, value)                                                                          \
	{                                                                                          \
#field, offsetof(struct gn_policy_rules, field),                                   \
		        sizeof(((struct gn_policy_rules *)0)->field), value                        \
	}
	static const struct {
		const char *field;
		size_t offset, size;
		int64_t value;
	} cases[] = {
	        BAD(quantile_milli, 951),
	        BAD(quantile_milli, 0),
	        BAD(horizon_us, 0),
	        BAD(horizon_us, INT64_MAX),
	        BAD(minimum, -1),
	        BAD(minimum, 0),
	        BAD(minimum, 1500),
	        BAD(maximum, 500),
	        BAD(maximum, -1000),
	        BAD(maximum, INT64_MAX),
	        BAD(step, 0),
	        BAD(step, -1000),
	        BAD(step, 1500),
	        BAD(step, INT64_MAX),
	        BAD(headroom_milli, 10001),
	        BAD(dead_band_milli, 1001),
	        BAD(cooldown_us, INT64_MAX),
	        BAD(shrink_after_us, 0),
	        BAD(max_change, -1),
	        BAD(max_change, 500),
	};
	char buffer[256];
	struct gn_text why;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_policy_rules rules = gn_policy_defaults[GN_RESOURCE_CPU];

		memcpy((char *)&rules + cases[i].offset, &cases[i].value, cases[i].size);
		gn_text_init(&why, buffer, sizeof buffer);
		assert_int_not_equal(gn_policy_check(GN_RESOURCE_CPU, &rules, &why), 0);
		assert_non_null(strstr(buffer, cases[i].field));
		assert_non_null(strstr(buffer, "; give "));
	}
	for (i = 1; i < GN_RESOURCE_END; i++)
		assert_int_equal(gn_policy_check((enum gn_resource)i, &gn_policy_defaults[i], &why),
		                 0);
}

/* ---- the window ---- */

static void the_window_remembers_the_peak_for_its_length(void **state)
{
	struct gn_policy_window w;
	uint64_t t;

	gn_policy_window_init(&w, 160 * S);
	assert_int_equal(gn_policy_window_maximum(&w), 0);
	for (t = 1000; t < 1400; t++) {
		gn_policy_window_add(&w, t * S, 3 * S, t == 1100 ? 900 : 100);
		if (t >= 1100 && t < 1100 + 150)
			assert_int_equal(gn_policy_window_maximum(&w), 900);
		if (t > 1100 + 160)
			assert_int_equal(gn_policy_window_maximum(&w), 100);
	}
	assert_int_equal(gn_policy_window_length(&w), 399 * S);
}

static void a_gap_begins_observation_anew(void **state)
{
	struct gn_policy_window w;

	gn_policy_window_init(&w, 160 * S);
	gn_policy_window_add(&w, 1 * S, 3 * S, 500);
	gn_policy_window_add(&w, 4 * S, 3 * S, 100);
	assert_int_equal(gn_policy_window_length(&w), 3 * S);
	assert_int_equal(gn_policy_window_maximum(&w), 500);
	gn_policy_window_add(&w, 8 * S, 3 * S, 100);
	assert_int_equal(gn_policy_window_length(&w), 0);
	assert_int_equal(gn_policy_window_maximum(&w), 100);
	gn_policy_window_add(&w, 7 * S, 3 * S, 50); /* time went back */
	assert_int_equal(gn_policy_window_length(&w), 0);
	gn_policy_window_init(&w, 16); /* buckets of 1 us, gap longer than the window */
	gn_policy_window_add(&w, 100, 1000, 7);
	gn_policy_window_add(&w, 900, 1000, 5);
	assert_int_equal(gn_policy_window_maximum(&w), 5);
	assert_int_equal(gn_policy_window_length(&w), 800);
}

/* ---- properties ---- */

static uint64_t seed_state;
static uint64_t next_random(void)
{
	seed_state = seed_state * 6364136223846793005u + 1442695040888963407u;
	return seed_state >> 20;
}

static int64_t random_value(void)
{
	unsigned bits = (unsigned)(next_random() % 63);

	return (int64_t)(next_random() << 20 ^ next_random()) & (((int64_t)1 << bits) - 1);
}

static void random_scene(struct scene *s)
{
	static const uint32_t quantiles[] = {500, 900, 950, 990};
	unsigned i;

	set_up(s);
	s->rules.quantile_milli = quantiles[next_random() % 4];
	s->rules.step = 1 + random_value() % 100000;
	s->rules.minimum = random_value() % 100000;
	s->rules.maximum = next_random() % 2 ? 0 : s->rules.minimum + random_value() % 1000000;
	s->rules.headroom_milli = (uint32_t)(next_random() % 10001);
	s->rules.dead_band_milli = (uint32_t)(next_random() % 1001);
	s->rules.max_change =
	        next_random() % 2 ? 0 : s->rules.step * (1 + (int64_t)(next_random() % 9));
	s->rules.cooldown_us = next_random() % (100 * S);
	s->rules.shrink_after_us = S + next_random() % (100 * S);
	s->rules.horizon_us = 100000 + next_random() % (200 * S);
	s->input.allocated = random_value();
	s->input.definition_maximum = next_random() % 2 ? 0 : random_value();
	s->input.observed = random_value();
	s->input.window_maximum = random_value();
	s->input.window_us = next_random() % (200 * S);
	s->input.since_change_us = next_random() % (200 * S);
	s->input.host_free = next_random() % 4 ? random_value() : -random_value();
	s->input.mode = (enum gn_policy_mode)(1 + next_random() % 3);
	s->input.n_forecasts = (uint32_t)(next_random() % 5);
	for (i = 0; i < s->input.n_forecasts; i++) {
		set_forecast(s, i, 1 + i * 20, random_value() / 2);
		s->forecasts[i].reason =
		        (enum gn_predict_reason)(next_random() % 4 ? 0 : next_random() % 4);
	}
}

static void check_properties(const struct scene *s, const struct gn_policy_decision *d)
{
	int64_t had = s->input.allocated > GN_PREDICT_MAX ? GN_PREDICT_MAX : s->input.allocated;

	if (d->verdict == GN_POLICY_KEEP)
		assert_int_equal(d->target, had);
	if (d->verdict == GN_POLICY_GROW) {
		assert_true(d->target > had);
		assert_true(!s->rules.maximum || d->target <= s->rules.maximum);
		assert_true(!s->input.definition_maximum ||
		            d->target <= s->input.definition_maximum);
		assert_true(d->target - had <= (s->input.host_free > 0 ? s->input.host_free : 0));
		assert_true(!s->rules.max_change || d->target - had <= s->rules.max_change);
	}
	if (d->verdict == GN_POLICY_SHRINK) {
		assert_true(d->target < had);
		assert_true(d->target >= s->rules.minimum);
		assert_true(d->target >= (s->input.window_maximum < GN_PREDICT_MAX
		                                  ? s->input.window_maximum
		                                  : GN_PREDICT_MAX));
		assert_true(d->target >= d->predicted);
		assert_false(d->must_move);
	}
	if (d->verdict != GN_POLICY_KEEP) {
		assert_true(s->input.since_change_us >= s->rules.cooldown_us);
		assert_true(s->input.mode == GN_POLICY_ENFORCE || d->advisory);
		assert_int_not_equal(s->input.mode, GN_POLICY_OFF);
	}
}

static void limits_hold_for_any_input(void **state)
{
	struct gn_policy_decision d, again;
	struct scene s;
	unsigned i, n_changes = 0;

	for (i = 0; i < 200000; i++) {
		seed_state = i * 7919u + 1;
		random_scene(&s);
		gn_policy_decide(&s.rules, &s.input, &d);
		gn_policy_decide(&s.rules, &s.input, &again);
		assert_int_equal(d.target, again.target);
		check_properties(&s, &d);
		n_changes += d.verdict != GN_POLICY_KEEP;
	}
	assert_true(n_changes > 2000); /* the generator reaches what it is to test */
}

static void growing_forecasts_never_lower_the_target(void **state)
{
	struct gn_policy_decision less, more;
	struct scene s;
	unsigned i;

	for (i = 0; i < 20000; i++) {
		seed_state = i * 104729u + 5;
		random_scene(&s);
		s.input.n_forecasts = 1;
		s.forecasts[0].reason = GN_PREDICT_TRUSTED;
		s.rules.dead_band_milli = 0;
		set_forecast(&s, 0, 1, random_value() / 4);
		gn_policy_decide(&s.rules, &s.input, &less);
		set_forecast(&s, 0, 1, s.forecasts[0].quantiles[GN_P95] * 2 + 1);
		gn_policy_decide(&s.rules, &s.input, &more);
		assert_true(more.target >= less.target);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_limit_decides_where_it_should),
	        cmocka_unit_test(a_full_host_means_the_vm_must_move),
	        cmocka_unit_test(a_demoted_forecast_only_advises),
	        cmocka_unit_test(the_reason_is_a_sentence_with_the_figures),
	        cmocka_unit_test(rules_out_of_range_are_refused_with_the_field),
	        cmocka_unit_test(the_window_remembers_the_peak_for_its_length),
	        cmocka_unit_test(a_gap_begins_observation_anew),
	        cmocka_unit_test(limits_hold_for_any_input),
	        cmocka_unit_test(growing_forecasts_never_lower_the_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
