/* retention_test.c - tables, and a month of hourly and daily snapshots. */
#include "firmware/shadow/retention.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define HOUR ((uint64_t)3600 * 1000000)
#define DAY  (24 * HOUR)

static const struct gn_retention_rule usual[] = {{HOUR, 24}, {DAY, 7}};

static void one_is_due_in_each_slot(void **state)
{
	static const struct {
		uint64_t newest, now; /* 0: there is none */
		bool want;
	} cases[] = {
	        {0, 5 * HOUR, true},
	        {5 * HOUR, 5 * HOUR, false},
	        {5 * HOUR, 6 * HOUR - 1, false},
	        {5 * HOUR, 6 * HOUR, true},
	        {6 * HOUR - 1, 6 * HOUR, true},
	        {100 * HOUR, 6 * HOUR, false}, /* the clock was set back */
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(gn_retention_is_due(usual, 2, &cases[i].newest,
		                                     cases[i].newest != 0, cases[i].now),
		                 cases[i].want);
	assert_false(gn_retention_is_due(usual, 0, NULL, 0, HOUR));
	assert_false(gn_retention_is_due(&(struct gn_retention_rule){HOUR, 0}, 1, NULL, 0, HOUR));
}

static void the_first_of_each_of_the_newest_slots_is_kept(void **state)
{
	/* In hours and tenths. Two in hour 5; hour 7 has none; day 1 begins with 24. */
	static const uint64_t tenths[] = {10, 50, 55, 60, 80, 240, 250};
	static const struct {
		struct gn_retention_rule rule;
		const char *kept;
	} cases[] = {
	        {{HOUR, 3}, "....xxx"}, {{HOUR, 5}, ".x.xxxx"}, {{HOUR, 100}, "xx.xxxx"},
	        {{DAY, 1}, ".....x."},  {{DAY, 7}, "x....x."},  {{HOUR, 0}, "......."},
	};
	uint64_t made[7];
	bool keep[7];

	for (size_t i = 0; i < 7; i++)
		made[i] = tenths[i] * HOUR / 10;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		gn_retention_choose(&cases[i].rule, 1, made, 7, keep);
		for (size_t k = 0; k < 7; k++)
			assert_int_equal(keep[k], cases[i].kept[k] == 'x');
	}
}

/* Every ten minutes it is asked, and what it says is done. */
static void a_month_ends_with_what_the_rules_say(void **state)
{
	uint64_t made[64];
	size_t n = 0;

	for (uint64_t now = 20000 * DAY; now < 20031 * DAY; now += HOUR / 6) {
		bool keep[64];
		size_t left = 0;

		if (gn_retention_is_due(usual, 2, made, n, now))
			made[n++] = now;
		gn_retention_choose(usual, 2, made, n, keep);
		for (size_t i = 0; i < n; i++)
			if (keep[i])
				made[left++] = made[i];
		n = left;
		assert_true(n <= 31);
		assert_true(n == 0 || made[n - 1] > now - HOUR);
	}
	assert_int_equal(n, 24 + 6); /* the newest day's first is an hour's too */
	assert_int_equal(made[0], 20024 * DAY);
	assert_int_equal(made[5], 20029 * DAY);
	assert_int_equal(made[6], 20030 * DAY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(one_is_due_in_each_slot),
	        cmocka_unit_test(the_first_of_each_of_the_newest_slots_is_kept),
	        cmocka_unit_test(a_month_ends_with_what_the_rules_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
