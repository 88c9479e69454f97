#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include "dataplane/meter/disk_meter.h"

#define HZ 2600000000ull

/* A guest that always has a request waiting, for 'seconds': as blk does, it asks again when it was
 * told to. Returns the operations admitted. */
static uint64_t run(struct gn_disk_meter *meter, uint64_t *now, double seconds, uint32_t bytes)
{
	uint64_t until = *now + (uint64_t)(seconds * HZ), n = 0;

	while (*now < until) {
		uint64_t wait = gn_disk_meter_take(meter, *now, bytes);

		if (wait) {
			*now += wait;
			/* What was promised holds. */
			assert_int_equal(gn_disk_meter_take(meter, *now, bytes), 0);
		}
		n++;
	}
	return n;
}

struct disk_case {
	const char *name;
	uint64_t operations, bytes;
	uint32_t request;
	double expected; /* operations a second */
};

static void test_long_run_rate(void **state)
{
	static const struct disk_case cases[] = {
	        {"operations", 1000, 0, 4096, 1000},
	        {"an odd rate", 333, 0, 512, 333},
	        {"a fast rate", 2000000, 0, 512, 2000000},
	        {"bytes", 0, 50000000, 4096, 50000000.0 / 4096},
	        {"operations are the tighter", 100, 50000000, 4096, 100},
	        {"bytes are the tighter", 100000, 4096000, 4096, 1000},
	        {"request of 16 times the burst", 0, 1u << 20, 16u * 104857, 10.0 / 16},
	        {"one a second", 1, 0, 4096, 1},
	        {"bytes faster than the clock", 0, 100000000000u, 1u << 20,
	         100000000000.0 / (1u << 20)},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct disk_case *c = &cases[i];
		double seconds = c->expected > 10000 ? 2 : 300, n;
		struct gn_disk_meter meter = {0};
		uint64_t now = 99;

		gn_disk_meter_set(&meter, c->operations, c->bytes, HZ, now);
		run(&meter, &now, 2, c->request); /* the burst */
		n = (double)run(&meter, &now, seconds, c->request);
		print_message("# %s: %.6f\n", c->name, n / (c->expected * seconds));
		assert_true(n >= c->expected * seconds * 0.9999 - 2);
		assert_true(n <= c->expected * seconds * 1.0001 + 2);
	}
}

static void test_burst_after_idle(void **state)
{
	struct gn_disk_meter meter = {0};
	uint64_t now = 5, n = 0;

	gn_disk_meter_set(&meter, 1000, 0, HZ, now);
	for (unsigned round = 0; round < 2; round++, n = 0) {
		while (!gn_disk_meter_take(&meter, now, 512))
			n++;
		/* The one that reaches beyond the burst is the debt. */
		assert_int_equal(n, 1000 * GN_DISK_METER_BURST_MS / 1000 + 1);
		now += 3600ull * HZ; /* no more than one burst is saved up */
	}
}

static void test_unlimited(void **state)
{
	struct gn_disk_meter meter = {0};

	assert_true(gn_disk_meter_unlimited(&meter));
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(gn_disk_meter_take(&meter, i, UINT32_MAX), 0);
	gn_disk_meter_set(&meter, 1, 0, HZ, 0);
	assert_false(gn_disk_meter_unlimited(&meter));
	gn_disk_meter_take(&meter, 0, 512);
	assert_true(gn_disk_meter_take(&meter, 0, 512) > 0);
	gn_disk_meter_set(&meter, 0, 0, HZ, 0);
	assert_int_equal(gn_disk_meter_take(&meter, 0, 512), 0);
}

static void test_refused_request_costs_nothing(void **state)
{
	struct gn_disk_meter meter = {0}, before;
	uint64_t wait;

	gn_disk_meter_set(&meter, 1000000, 1000, HZ, 0);
	gn_disk_meter_take(&meter, 0, 5000);
	before = meter;
	wait = gn_disk_meter_take(&meter, 0, 5000);
	assert_true(wait > 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(gn_disk_meter_take(&meter, 0, 5000), wait);
	assert_memory_equal(&before, &meter, sizeof(meter));
	assert_true(gn_disk_meter_take(&meter, wait - 1, 5000) == 1);
	assert_int_equal(gn_disk_meter_take(&meter, wait, 5000), 0);
}

static void test_debt_is_bounded(void **state)
{
	struct gn_disk_meter meter = {0};

	gn_disk_meter_set(&meter, 0, 1, HZ, 0);
	assert_int_equal(gn_disk_meter_take(&meter, 0, UINT32_MAX), 0);
	assert_true(gn_disk_meter_take(&meter, 0, 512) <= (uint64_t)GN_DISK_METER_MAX_DEBT_S * HZ);
}

static void test_debt_is_paid_at_the_new_rate(void **state)
{
	struct gn_disk_meter meter = {0};
	uint64_t slow, fast;

	gn_disk_meter_set(&meter, 0, 1000, HZ, 0);
	gn_disk_meter_take(&meter, 0, 10000); /* ten seconds */
	slow = gn_disk_meter_take(&meter, 0, 1);
	assert_in_range(slow, 99 * (uint64_t)HZ / 10 - 9, 99 * (uint64_t)HZ / 10);
	gn_disk_meter_set(&meter, 0, 10000, HZ, 0);
	fast = gn_disk_meter_take(&meter, 0, 1);
	assert_in_range(fast, 9 * (uint64_t)HZ / 10 - 9, 9 * (uint64_t)HZ / 10);
	gn_disk_meter_set(&meter, 0, 1000, HZ, 0);
	assert_in_range(gn_disk_meter_take(&meter, 0, 1), slow - 99, slow);
	/* Setting the same again changes nothing. */
	slow = gn_disk_meter_take(&meter, 0, 1);
	gn_disk_meter_set(&meter, 0, 1000, HZ, 0);
	assert_int_equal(gn_disk_meter_take(&meter, 0, 1), slow);
}

/* Random rates all the time: admitted bytes are what the rates add up to, and nobody waits
 * for ever. */
static void test_changes_under_load(void **state)
{
	struct gn_disk_meter meter = {0};
	uint64_t now = 1, bytes = 0, started = 0;
	double expected = 0;
	unsigned seed = 7;

	gn_disk_meter_set(&meter, 0, 1000000, HZ, now);
	while (!gn_disk_meter_take(&meter, now, 4096))
		continue;
	for (unsigned i = 0; i < 30000; i++) {
		uint64_t rate = 10000000 + (uint64_t)rand_r(&seed) % 90000000;
		uint64_t until = now + (uint64_t)rand_r(&seed) % (HZ / 1000);

		gn_disk_meter_set(&meter, 0, rate, HZ, now);
		started = now;
		for (; now < until; now += HZ / 100000)
			while (!gn_disk_meter_take(&meter, now, 4096))
				bytes += 4096;
		expected += (double)(now - started) / HZ * (double)rate;
	}
	print_message("# %.5f\n", (double)bytes / expected);
	/* The burst grows and shrinks with the rate: at most one of the largest is won. */
	assert_true((double)bytes > expected * 0.99);
	assert_true((double)bytes < expected * 1.01 + 100000000.0 * GN_DISK_METER_BURST_MS / 1000);
}

static void test_limits_of_the_setting(void **state)
{
	struct gn_disk_meter meter = {0};

	assert_int_equal(gn_disk_meter_set(&meter, 1, 1, 0, 0), -EINVAL);
	assert_int_equal(gn_disk_meter_set(&meter, 1, 1, 17000000000u, 0), -EINVAL);
	assert_true(gn_disk_meter_unlimited(&meter));
	/* The extremes neither overflow nor divide by zero. */
	assert_int_equal(gn_disk_meter_set(&meter, UINT64_MAX, UINT64_MAX, 16000000000u, 0), 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(gn_disk_meter_take(&meter, UINT64_MAX - 5 + i, UINT32_MAX), 0);
	assert_int_equal(gn_disk_meter_set(&meter, 1, 1, 1000000, UINT64_MAX), 0);
	gn_disk_meter_take(&meter, UINT64_MAX, UINT32_MAX);
	assert_true(gn_disk_meter_take(&meter, UINT64_MAX, UINT32_MAX) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_long_run_rate),
	        cmocka_unit_test(test_burst_after_idle),
	        cmocka_unit_test(test_unlimited),
	        cmocka_unit_test(test_refused_request_costs_nothing),
	        cmocka_unit_test(test_debt_is_bounded),
	        cmocka_unit_test(test_debt_is_paid_at_the_new_rate),
	        cmocka_unit_test(test_changes_under_load),
	        cmocka_unit_test(test_limits_of_the_setting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
