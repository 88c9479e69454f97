/* alert_test.c - raising, clearing and not flapping, in invented time. */
#include "firmware/alert/alert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#define S ((uint64_t)1000000)

static const struct gn_alert_rules rules = {30000, 15000, 10 * S, 300 * S};

/* The level for so many seconds, one step each; how many effects of the kind came. */
static unsigned hold(struct gn_alert *alert, uint64_t *now_us, uint32_t level, unsigned seconds,
                     enum gn_alert_effect effect)
{
	unsigned n = 0;

	while (seconds--) {
		*now_us += S;
		n += gn_alert_step(alert, &rules, level, *now_us) == effect;
	}
	return n;
}

static void is_raised_and_cleared_once(void **state)
{
	struct gn_alert alert = {0};
	uint64_t now = 1000 * S;

	assert_int_equal(hold(&alert, &now, 40000, 10, GN_ALERT_RAISE), 0); /* not long enough */
	assert_int_equal(hold(&alert, &now, 40000, 100, GN_ALERT_RAISE), 1);
	assert_int_equal(alert.state, GN_ALERT_RAISED);
	assert_int_equal(hold(&alert, &now, 0, 300, GN_ALERT_CLEAR), 0);
	assert_int_equal(hold(&alert, &now, 0, 300, GN_ALERT_CLEAR), 1);
	assert_int_equal(alert.state, GN_ALERT_QUIET);
	assert_int_equal(alert.n_raised, 1);
}

static void a_short_peak_raises_nothing(void **state)
{
	struct gn_alert alert = {0};
	uint64_t now = 1000 * S;

	for (int i = 0; i < 100; i++) {
		assert_int_equal(hold(&alert, &now, 60000, 9, GN_ALERT_RAISE), 0);
		hold(&alert, &now, 29999, 1, GN_ALERT_RAISE);
	}
}

static void between_the_bounds_nothing_changes(void **state)
{
	struct gn_alert alert = {0};
	uint64_t now = 1000 * S;

	assert_int_equal(hold(&alert, &now, 29999, 1000, GN_ALERT_RAISE), 0);
	hold(&alert, &now, 30000, 20, GN_ALERT_RAISE);
	assert_int_equal(hold(&alert, &now, 15000, 10000, GN_ALERT_CLEAR), 0);
	for (int i = 0; i < 100; i++) { /* a level that swings keeps it raised */
		assert_int_equal(hold(&alert, &now, 0, 299, GN_ALERT_CLEAR), 0);
		assert_int_equal(hold(&alert, &now, 40000, 20, GN_ALERT_RAISE), 0);
	}
	assert_int_equal(alert.n_raised, 1);
}

/* A cause that comes and goes just slowly enough is told ever more seldom. */
static void what_returns_must_be_quiet_for_longer(void **state)
{
	struct gn_alert alert = {0};
	uint64_t now = 1000 * S;
	unsigned raised = 0;

	for (int i = 0; i < 1000; i++) {
		raised += hold(&alert, &now, 40000, 20, GN_ALERT_RAISE);
		hold(&alert, &now, 0, 310, GN_ALERT_CLEAR);
	}
	assert_in_range(raised, 2, 3);
	hold(&alert, &now, 0, 20 * 300, GN_ALERT_CLEAR);
	assert_int_equal(alert.state, GN_ALERT_QUIET);
	hold(&alert, &now, 0, 86400, GN_ALERT_CLEAR);
	hold(&alert, &now, 40000, 20, GN_ALERT_RAISE);
	assert_int_equal(alert.n_returns, 0); /* after a day it is new */
}

static void acknowledged_until_it_is_over(void **state)
{
	struct gn_alert alert = {0};
	uint64_t now = 1000 * S;

	assert_false(gn_alert_acknowledge(&alert));
	hold(&alert, &now, 65536, 20, GN_ALERT_RAISE);
	assert_true(gn_alert_acknowledge(&alert));
	assert_false(gn_alert_acknowledge(&alert));
	assert_int_equal(hold(&alert, &now, 65536, 1000, GN_ALERT_RAISE), 0);
	assert_int_equal(gn_alert_end(&alert, now), GN_ALERT_CLEAR);
	assert_int_equal(gn_alert_end(&alert, now), GN_ALERT_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(is_raised_and_cleared_once),
	        cmocka_unit_test(a_short_peak_raises_nothing),
	        cmocka_unit_test(between_the_bounds_nothing_changes),
	        cmocka_unit_test(what_returns_must_be_quiet_for_longer),
	        cmocka_unit_test(acknowledged_until_it_is_over),
	};
	return cmocka_run_group_tests_name("alert", tests, NULL, NULL);
}
