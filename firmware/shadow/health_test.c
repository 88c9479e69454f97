/* health_test.c - of several disks the worst decides. */
#include "firmware/shadow/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void the_worst_disk_decides(void **state)
{
	static const struct {
		enum gn_shadow_state disks[3], want;
		size_t worst;
	} cases[] = {
	        {{GN_SHADOW_IN_STEP, GN_SHADOW_IN_STEP, GN_SHADOW_IN_STEP}, GN_SHADOW_IN_STEP, 0},
	        {{GN_SHADOW_IN_STEP, GN_SHADOW_SYNCING, GN_SHADOW_IN_STEP}, GN_SHADOW_SYNCING, 1},
	        {{GN_SHADOW_SYNCING, GN_SHADOW_IN_STEP, GN_SHADOW_DEGRADED}, GN_SHADOW_DEGRADED, 2},
	        {{GN_SHADOW_STALE, GN_SHADOW_DEGRADED, GN_SHADOW_STALE}, GN_SHADOW_STALE, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_shadow_health health;

		gn_shadow_health_init(&health);
		for (unsigned k = 0; k < 3; k++)
			gn_shadow_health_add(&health, &(struct gn_shadow_disk){
			                                      .state = cases[i].disks[k],
			                                      .cause = (enum gn_shadow_cause)k});
		assert_int_equal(health.all.state, cases[i].want);
		assert_int_equal(health.worst, cases[i].worst);
		assert_int_equal(health.all.cause, cases[i].worst);
	}
}

static void sums_and_extremes(void **state)
{
	const struct gn_shadow_disk a = {.state = GN_SHADOW_IN_STEP,
	                                 .lag_bytes = 10,
	                                 .lag_writes = 1,
	                                 .lag_us = 7,
	                                 .resync_left_us = 3,
	                                 .journal_size_bytes = 100,
	                                 .point_us = 1000};
	const struct gn_shadow_disk b = {.state = GN_SHADOW_IN_STEP,
	                                 .lag_bytes = 5,
	                                 .lag_writes = 2,
	                                 .lag_us = 4,
	                                 .resync_left_us = 9,
	                                 .journal_size_bytes = 50,
	                                 .point_us = 900};
	struct gn_shadow_health health;

	gn_shadow_health_init(&health);
	assert_int_equal(health.all.state, GN_SHADOW_NONE);
	gn_shadow_health_add(&health, &a);
	gn_shadow_health_add(&health, &b);
	assert_int_equal(health.n_disks, 2);
	assert_int_equal(health.all.lag_bytes, 15);
	assert_int_equal(health.all.lag_writes, 3);
	assert_int_equal(health.all.lag_us, 7);
	assert_int_equal(health.all.resync_left_us, 9);
	assert_int_equal(health.all.journal_size_bytes, 150);
	assert_int_equal(health.all.point_us, 900);
	gn_shadow_health_add(&health, &(struct gn_shadow_disk){.state = GN_SHADOW_SYNCING});
	assert_int_equal(health.all.point_us, 0); /* one disk has no point: there is none */
}

static void every_cause_has_words(void **state)
{
	for (unsigned i = 1; i < GN_SHADOW_N_CAUSES; i++)
		assert_true(strlen(gn_shadow_cause_text((enum gn_shadow_cause)i)) > 10);
	assert_string_equal(gn_shadow_cause_text(GN_SHADOW_CAUSE_FINE), "");
	assert_string_equal(gn_shadow_cause_text((enum gn_shadow_cause)99), "something unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_worst_disk_decides),
	        cmocka_unit_test(sums_and_extremes),
	        cmocka_unit_test(every_cause_has_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
