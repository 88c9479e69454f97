/* init_test.c - when services are started again, and when the watchdog is fed. */
#include "firmware/init/supervise.h"
#include "firmware/init/vitality.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define S 1000000u

static void test_starts_at_once(void **state)
{
	struct gn_supervise service;

	gn_supervise_init(&service, 5 * S);
	assert_true(gn_supervise_is_due(&service, 5 * S));
	gn_supervise_started(&service, 5 * S);
	assert_false(gn_supervise_is_due(&service, 500 * S));
	assert_true(gn_supervise_due_us(&service) == UINT64_MAX);
}

static void test_pauses_double_up_to_the_longest(void **state)
{
	struct gn_supervise service;
	uint64_t now = 0, pause = GN_SUPERVISE_PAUSE_MIN_US;

	gn_supervise_init(&service, now);
	for (int i = 0; i < 20; i++) {
		gn_supervise_started(&service, now);
		gn_supervise_ended(&service, now);
		assert_int_equal(gn_supervise_due_us(&service), now + pause);
		assert_false(gn_supervise_is_due(&service, now + pause - 1));
		now += pause;
		assert_true(gn_supervise_is_due(&service, now));
		pause = pause * 2 < GN_SUPERVISE_PAUSE_MAX_US ? pause * 2
		                                              : GN_SUPERVISE_PAUSE_MAX_US;
	}
	assert_int_equal(pause, GN_SUPERVISE_PAUSE_MAX_US);
	assert_int_equal(service.starts, 20);
}

static void test_a_minute_of_health_forgives(void **state)
{
	struct gn_supervise service;

	gn_supervise_init(&service, 0);
	for (int i = 0; i < 9; i++) {
		gn_supervise_started(&service, 0);
		gn_supervise_ended(&service, 0);
	}
	gn_supervise_started(&service, 0);
	gn_supervise_ended(&service, GN_SUPERVISE_HEALTHY_US - 1);
	assert_true(service.due_us > GN_SUPERVISE_HEALTHY_US + GN_SUPERVISE_PAUSE_MIN_US);
	gn_supervise_started(&service, 0);
	gn_supervise_ended(&service, GN_SUPERVISE_HEALTHY_US);
	assert_int_equal(service.due_us, GN_SUPERVISE_HEALTHY_US + GN_SUPERVISE_PAUSE_MIN_US);
}

static void test_stopped_is_never_started(void **state)
{
	struct gn_supervise service;

	gn_supervise_init(&service, 0);
	gn_supervise_started(&service, 0);
	gn_supervise_stop(&service);
	gn_supervise_ended(&service, S);
	assert_false(gn_supervise_is_due(&service, 1000 * S));
	assert_true(gn_supervise_due_us(&service) == UINT64_MAX);
}

static void test_fed_only_while_loops_grow(void **state)
{
	struct gn_vitality vitality;

	gn_vitality_init(&vitality, false, 10 * S);
	for (uint64_t second = 11; second < 100; second++) {
		gn_vitality_observe(&vitality, second * 1000, second * S);
		assert_true(gn_vitality_may_feed(&vitality, second * S));
	}
	gn_vitality_observe(&vitality, 99000, 99 * S + GN_VITALITY_PATIENCE_US - 1);
	assert_true(gn_vitality_may_feed(&vitality, 99 * S + GN_VITALITY_PATIENCE_US - 1));
	assert_false(gn_vitality_may_feed(&vitality, 99 * S + GN_VITALITY_PATIENCE_US));
}

static void test_a_start_has_more_time(void **state)
{
	struct gn_vitality vitality;

	gn_vitality_init(&vitality, false, S);
	gn_vitality_observe(&vitality, 0, 2 * S); /* up, but has not turned once */
	assert_true(gn_vitality_may_feed(&vitality, S + GN_VITALITY_START_US - 1));
	assert_false(gn_vitality_may_feed(&vitality, S + GN_VITALITY_START_US));
}

static void test_a_restart_is_progress(void **state)
{
	struct gn_vitality vitality;

	gn_vitality_init(&vitality, false, 0);
	gn_vitality_observe(&vitality, 1000000, S);
	gn_vitality_observe(&vitality, 5, 20 * S);
	assert_true(gn_vitality_may_feed(&vitality, 20 * S + GN_VITALITY_PATIENCE_US - 1));
}

static void test_a_trial_has_its_time(void **state)
{
	struct gn_vitality vitality;
	uint64_t now = 0;

	gn_vitality_init(&vitality, true, now);
	for (; now < GN_VITALITY_TRIAL_US; now += S) {
		gn_vitality_observe(&vitality, now + 1, now);
		assert_true(gn_vitality_may_feed(&vitality, now));
	}
	gn_vitality_observe(&vitality, now + 1, now);
	assert_true(gn_vitality_trial_failed(&vitality, now));
	assert_false(gn_vitality_may_feed(&vitality, now)); /* however well the dataplane does */
	gn_vitality_good(&vitality);
	assert_true(gn_vitality_may_feed(&vitality, now));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_starts_at_once),
	        cmocka_unit_test(test_pauses_double_up_to_the_longest),
	        cmocka_unit_test(test_a_minute_of_health_forgives),
	        cmocka_unit_test(test_stopped_is_never_started),
	        cmocka_unit_test(test_fed_only_while_loops_grow),
	        cmocka_unit_test(test_a_start_has_more_time),
	        cmocka_unit_test(test_a_restart_is_progress),
	        cmocka_unit_test(test_a_trial_has_its_time),
	};

	return cmocka_run_group_tests_name("init", tests, NULL, NULL);
}
