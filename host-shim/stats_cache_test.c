/* stats_cache_test.c - sums over vCPUs that come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "host-shim/stats_cache.h"

static const char uuid[] = "ed68a2f8-2898-4158-b224-9f89109c281e";

static void never_goes_back(void **state)
{
	/* Per reading: what two vCPUs show, and the sum that must come out. */
	static const struct {
		uint64_t a, b, total;
	} readings[] = {
	        {100, 0, 100}, {150, 10, 160}, {200, 50, 250}, {220, 0, 270},
	        {230, 0, 280}, {240, 5, 295},  {250, 60, 360}, {250, 3, 363},
	};
	struct gn_stats_cache cache = {0};
	struct gn_vm_description d = {.balloon = true};
	struct gn_stats_entry *e;
	size_t i;

	gn_stats_cache_add(&cache, uuid, 1, &d);
	e = gn_stats_cache_find(&cache, uuid, 1);
	assert_non_null(e);
	assert_true(e->silent);
	for (i = 0; i < sizeof readings / sizeof readings[0]; i++) {
		uint64_t time_ns, wait_ns;

		gn_stats_cache_vcpu(e, 0, readings[i].a, readings[i].a / 2);
		gn_stats_cache_vcpu(e, 1, readings[i].b, readings[i].b / 2);
		gn_stats_cache_total(e, &time_ns, &wait_ns);
		assert_int_equal(time_ns, readings[i].total);
		assert_true(wait_ns <= time_ns / 2);
	}
	gn_stats_cache_vcpu(e, 4000000000u, 1, 1); /* not a vCPU's number */
	gn_stats_cache_clear(&cache);
}

static void one_entry_per_start(void **state)
{
	struct gn_stats_cache cache = {0};
	struct gn_vm_description d = {.balloon = true, .balloon_period_s = 2};

	strcpy(d.shadow_of, "web-1");
	gn_stats_cache_add(&cache, uuid, 1, &d);
	gn_stats_cache_add(&cache, "another", 1, &d);
	gn_stats_cache_add(&cache, uuid, 2, &d);
	assert_null(gn_stats_cache_find(&cache, uuid, 1));
	assert_false(gn_stats_cache_find(&cache, uuid, 2)->silent);
	assert_string_equal(gn_stats_cache_find(&cache, uuid, 2)->shadow_of, "web-1");
	gn_stats_cache_forget(&cache, uuid);
	assert_null(gn_stats_cache_find(&cache, uuid, 2));
	assert_non_null(gn_stats_cache_find(&cache, "another", 1));
	gn_stats_cache_clear(&cache);
	assert_null(cache.first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(never_goes_back),
	        cmocka_unit_test(one_entry_per_start),
	};

	return cmocka_run_group_tests_name("shim stats", tests, NULL, NULL);
}
