#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include "dataplane/meter/meter.h"

/* Offers frames every 'gap' cycles for 'seconds'; returns the bytes that passed. */
static uint64_t offer(struct gn_meter *meter, uint64_t *now, uint64_t hz, double seconds,
                      uint64_t gap, uint32_t bytes)
{
	uint64_t until = *now + (uint64_t)(seconds * (double)hz), passed = 0;

	for (; *now < until; *now += gap)
		passed += gn_meter_pass(meter, *now, bytes) ? bytes : 0;
	return passed;
}

struct rate_case {
	uint64_t bps;
	uint64_t hz;
	uint32_t frame;
	double seconds;
};

/* Over-offered, the rate over a long time is the one that was set. */
static void test_long_run_rate(void **state)
{
	static const struct rate_case cases[] = {
	        {1000000, 2600000000ull, 1500, 400},
	        {10000000, 2600000000ull, 64, 60},
	        {100000000, 2596123000ull, 1500, 20},
	        {123456789, 2600000000ull, 9000, 20},
	        {1000000000, 2400000001ull, 1500, 4},
	        {9999999999u, 3300000000ull, 1500, 1},
	        {40000000000u, 200000000, 9000, 1},
	        {400000000000u, 1000000000, 65536, 1},
	        {10000000000000u, 2600000000ull, 65536, 0.02},
	        {1000000, 1000000, 1500, 400},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct rate_case *c = &cases[i];
		/* Half the time that a frame takes at the rate. */
		double frame_cycles = c->frame * 8.0 * (double)c->hz / (double)c->bps;
		uint64_t gap = frame_cycles > 2 ? (uint64_t)(frame_cycles / 2) : 1;
		uint32_t frame = c->frame;
		struct gn_meter meter;
		uint64_t now = 12345678901;
		double bytes, expected = (double)c->bps / 8 * c->seconds;

		while (frame_cycles < 2) { /* too fast for one frame a cycle */
			frame *= 2;
			frame_cycles *= 2;
		}
		gn_meter_init(&meter);
		assert_int_equal(gn_meter_set(&meter, c->bps, c->hz, now), 0);
		/* Empty the bucket first. */
		while (gn_meter_pass(&meter, now, frame))
			continue;
		bytes = (double)offer(&meter, &now, c->hz, c->seconds, gap, frame);
		print_message("# %llu bit/s: %.5f\n", (unsigned long long)c->bps, bytes / expected);
		assert_true(bytes > expected * 0.999 - 2 * frame);
		assert_true(bytes < expected * 1.001 + 2 * frame);
	}
}

static void test_burst_and_largest_frame(void **state)
{
	struct gn_meter meter;
	uint64_t now = 5, burst;

	gn_meter_init(&meter);
	gn_meter_set(&meter, 8000, 2600000000ull, now); /* 1000 bytes a second */
	assert_true(gn_meter_pass(&meter, now, 65550));
	assert_false(gn_meter_pass(&meter, now, 65550));
	/* After enough time it passes again: no frame is too large for ever. */
	now += 70 * 2600000000ull;
	assert_true(gn_meter_pass(&meter, now, 65550));
	gn_meter_init(&meter);
	gn_meter_set(&meter, 8000000000u, 2600000000ull, now);
	for (burst = 0; gn_meter_pass(&meter, now, 1000); burst += 1000)
		continue;
	assert_int_equal(burst, 1000000000 / 1000 * GN_METER_BURST_MS);
}

static void test_unlimited(void **state)
{
	struct gn_meter meter = {0};

	for (unsigned i = 0; i < 1000; i++)
		assert_true(gn_meter_pass(&meter, 0, UINT32_MAX));
	gn_meter_set(&meter, 8000, 1000000000, 0);
	gn_meter_set(&meter, 0, 1000000000, 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(gn_meter_pass(&meter, 0, UINT32_MAX));
}

static void test_limits_of_the_setting(void **state)
{
	struct gn_meter meter = {0}, before;

	assert_int_equal(gn_meter_set(&meter, GN_METER_MAX_BPS, 2600000000ull, 0), 0);
	before = meter;
	assert_int_equal(gn_meter_set(&meter, GN_METER_MAX_BPS + 1, 2600000000ull, 0), -ERANGE);
	assert_int_equal(gn_meter_set(&meter, UINT64_MAX, 2600000000ull, 0), -ERANGE);
	assert_int_equal(gn_meter_set(&meter, 1000, 0, 0), -EINVAL);
	assert_memory_equal(&meter, &before, sizeof(meter));
	/* One bit a second: a byte every eight seconds, once the bucket is empty. */
	gn_meter_init(&meter);
	assert_int_equal(gn_meter_set(&meter, 1, 2600000000ull, 0), 0);
	assert_true(gn_meter_pass(&meter, 0, GN_METER_MIN_BURST_BYTES));
	assert_false(gn_meter_pass(&meter, 7 * 2600000000ull, 1));
	assert_true(gn_meter_pass(&meter, 8 * 2600000000ull, 1));
	assert_false(gn_meter_pass(&meter, 8 * 2600000000ull, 1));
}

static void test_clock_going_back_gives_no_credit(void **state)
{
	struct gn_meter meter = {0};
	uint64_t now = 1000000;

	gn_meter_set(&meter, 8000, 1000000000, now);
	while (gn_meter_pass(&meter, now, 1000))
		continue;
	assert_false(gn_meter_pass(&meter, now - 1000, 1000));
	assert_false(gn_meter_pass(&meter, now, 1000));
}

/* Raised, lowered and set again all the time: what passes is what the rates add up to. */
static void test_changes_under_load(void **state)
{
	const uint64_t hz = 2600000000ull;
	struct gn_meter meter = {0};
	uint64_t now = 777, passed = 0;
	double expected = 0;
	unsigned seed = 3;

	gn_meter_set(&meter, 100000000, hz, now);
	while (gn_meter_pass(&meter, now, 1000))
		continue;
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t bps = 10000000 + (uint64_t)rand_r(&seed) % 1000000000;
		double seconds = 1e-5 * (1 + rand_r(&seed) % 30);

		assert_int_equal(gn_meter_set(&meter, bps, hz, now), 0);
		assert_int_equal(gn_meter_set(&meter, bps, hz, now), 0); /* again: nothing */
		passed += offer(&meter, &now, hz, seconds, hz / 1000000, 1000);
		expected += seconds * (double)bps / 8;
	}
	print_message("# %.5f\n", (double)passed / expected);
	assert_true((double)passed > expected * 0.99);
	assert_true((double)passed < expected * 1.01);
}

static void test_lowering_takes_what_is_too_much(void **state)
{
	struct gn_meter meter = {0};
	uint64_t burst = 0;

	gn_meter_set(&meter, 8000000000u, 1000000000, 0);
	gn_meter_set(&meter, 8000000, 1000000000, 0);
	for (; gn_meter_pass(&meter, 0, 1024); burst += 1024)
		continue;
	assert_int_equal(burst, GN_METER_MIN_BURST_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_long_run_rate),
	        cmocka_unit_test(test_burst_and_largest_frame),
	        cmocka_unit_test(test_unlimited),
	        cmocka_unit_test(test_limits_of_the_setting),
	        cmocka_unit_test(test_clock_going_back_gives_no_credit),
	        cmocka_unit_test(test_changes_under_load),
	        cmocka_unit_test(test_lowering_takes_what_is_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
