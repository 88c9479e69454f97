/* vm_test.c - signs of one VM: what raises them, what does not, and how they fade. */
#include "firmware/hazard/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define S      ((uint64_t)1000000)
#define HOUR   (3600 * S)
#define MIB    ((int64_t)1 << 20)
#define BUDGET 256 /* one a month */

static struct gn_hazard_vm vm;
static uint64_t now;

static int set_up(void **state)
{
	gn_hazard_vm_init(&vm, S);
	now = 1000000 * S;
	return 0;
}

static bool second(struct gn_hazard_input *input)
{
	now += S;
	input->now_us = now;
	return gn_hazard_vm_observe(&vm, input, BUDGET);
}

static struct gn_hazard_input input_of(void)
{
	struct gn_hazard_input input;

	gn_hazard_input_init(&input, now, S);
	return input;
}

static int32_t level(enum gn_sign sign, uint64_t horizon_us)
{
	int32_t levels[GN_N_SIGNS];

	gn_hazard_vm_levels(&vm, now, horizon_us, levels);
	return levels[sign];
}

static uint32_t noise(uint32_t *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16;
}

/* 'slope' bytes a second upon noise, for so many seconds. */
static void use_memory(int64_t begin, int64_t slope, unsigned seconds)
{
	struct gn_hazard_input input = input_of();
	uint32_t seed = 1;

	for (unsigned i = 0; i < seconds; i++) {
		input.metrics[GN_HAZARD_MEMORY] =
		        begin + slope * (int64_t)i + (int64_t)noise(&seed) % (20 * MIB);
		input.memory_limit = 1024 * MIB;
		second(&input);
	}
}

static void a_leak_is_foreseen_with_a_band(void **state)
{
	struct gn_exhaustion_forecast f;
	char words[200];
	struct gn_text text;

	use_memory(300 * MIB, MIB / 4, 1200); /* full after 2896 s */
	f = gn_hazard_vm_memory(&vm);
	assert_in_range(f.likely_us, 1400 * S, 2000 * S); /* about 1660 s are left */
	assert_true(f.soonest_us <= f.likely_us && f.likely_us <= f.latest_us);
	assert_int_equal(level(GN_SIGN_EXHAUSTION, 600 * S), 0);
	assert_int_equal(level(GN_SIGN_EXHAUSTION, HOUR), 768);
	gn_text_init(&text, words, sizeof words);
	gn_hazard_vm_describe(&vm, GN_SIGN_EXHAUSTION, &text);
	assert_non_null(strstr(words, "memory is full in "));
	assert_non_null(strstr(words, " min ("));
}

static void noise_is_no_leak(void **state)
{
	for (int day = 0; day < 10; day++) {
		use_memory(500 * MIB, 0, 3000);
		assert_int_equal(level(GN_SIGN_EXHAUSTION, 24 * HOUR), 0);
	}
}

/* A start-up fills memory quickly, then stops: no further than four times as far ahead. */
static void a_short_rise_is_not_believed_for_long(void **state)
{
	use_memory(100 * MIB, MIB, 40);
	assert_int_equal(level(GN_SIGN_EXHAUSTION, 24 * HOUR), 0); /* 880 s would be left */
}

/* However near it seems. */
static void a_quick_rise_foretells_nothing(void **state)
{
	use_memory(100 * MIB, 20 * MIB, 25);
	assert_int_equal(level(GN_SIGN_EXHAUSTION, 24 * HOUR), 0); /* 21 s would be left */
	use_memory(600 * MIB, 10 * MIB, 10);
	assert_true(level(GN_SIGN_EXHAUSTION, 600 * S) > 0);
}

static void a_freed_leak_is_over(void **state)
{
	use_memory(300 * MIB, MIB / 4, 1200);
	assert_int_equal(level(GN_SIGN_EXHAUSTION, HOUR), 768);
	use_memory(300 * MIB, 0, 300);
	assert_int_equal(level(GN_SIGN_EXHAUSTION, 24 * HOUR), 0);
}

static void full_is_full(void **state)
{
	use_memory(1024 * MIB, 0, 1);
	assert_int_equal(level(GN_SIGN_EXHAUSTION, 600 * S), 1024);
}

static void errors_add_up_and_fade(void **state)
{
	struct gn_hazard_input input = input_of();

	input.has_disk = true;
	input.disk_errors = 1;
	second(&input);
	assert_int_equal(level(GN_SIGN_IO_ERRORS, HOUR), 128);
	second(&input);
	assert_in_range(level(GN_SIGN_IO_ERRORS, HOUR), 250, 256);
	input.disk_errors = UINT64_MAX;
	second(&input);
	assert_int_equal(level(GN_SIGN_IO_ERRORS, HOUR), 16 * 256);
	now += 900 * S;
	assert_int_equal(level(GN_SIGN_IO_ERRORS, HOUR), 8 * 256);
	now += 450 * S;
	assert_int_equal(level(GN_SIGN_IO_ERRORS, HOUR), 6 * 256);
	now += 24 * HOUR;
	assert_int_equal(level(GN_SIGN_IO_ERRORS, HOUR), 0);
}

static void shares_of_the_network(void **state)
{
	struct gn_hazard_input input = input_of();

	input.has_network = true;
	input.packets = 1000;
	for (int i = 0; i < 600; i++) {
		input.retransmissions = 1; /* 0.1 %: every network has them */
		second(&input);
	}
	assert_in_range(level(GN_SIGN_RETRANSMISSIONS, HOUR), 1, 20);
	input.retransmissions = 100;
	for (int i = 0; i < 600; i++)
		second(&input);
	assert_in_range(level(GN_SIGN_RETRANSMISSIONS, HOUR), 1100, 1300);
	assert_int_equal(level(GN_SIGN_RESETS, HOUR), 0);
	input.resets = 10;
	for (int i = 0; i < 600; i++)
		second(&input);
	assert_in_range(level(GN_SIGN_RESETS, HOUR), 900, 1024);
}

static void a_month_of_noise_keeps_to_the_budget(void **state)
{
	struct gn_hazard_input input = input_of();
	unsigned n_alarms = 0;
	uint32_t seed = 7;
	bool was = false;

	gn_hazard_vm_init(&vm, 60 * S);
	input.period_us = 60 * S;
	for (int i = 0; i < 30 * 1440; i++) {
		bool is;

		/* one in fifty is twice as slow: usual, once it was seen */
		input.metrics[GN_HAZARD_DISK_LATENCY] =
		        200 + (int64_t)noise(&seed) % 200 + (noise(&seed) % 50 ? 0 : 300);
		now += 60 * S;
		input.now_us = now;
		gn_hazard_vm_observe(&vm, &input, BUDGET);
		is = level(GN_SIGN_LATENCY, HOUR) >= 256;
		n_alarms += is && !was;
		was = is;
	}
	assert_true(n_alarms <= 2);
	input.metrics[GN_HAZARD_DISK_LATENCY] = 900000;
	now += 60 * S;
	input.now_us = now;
	gn_hazard_vm_observe(&vm, &input, BUDGET);
	assert_true(level(GN_SIGN_LATENCY, HOUR) >= 256);
}

static void a_guest_that_fails_is_told_once(void **state)
{
	struct gn_hazard_input input = input_of();

	input.has_guest = true;
	assert_false(second(&input));
	input.clock_stopped_us = 30 * S;
	assert_false(second(&input));
	assert_int_equal(level(GN_SIGN_STUCK_TASKS, HOUR), 768);
	input.clock_stopped_us = 61 * S;
	assert_true(second(&input));
	assert_false(second(&input));
	input.clock_stopped_us = 0;
	input.oom_kills = 1;
	assert_false(second(&input)); /* the same trouble */
	now += 600 * S;
	assert_true(second(&input));
	assert_true(level(GN_SIGN_KERNEL, HOUR) >= 512);
}

/* The card learns which signs were followed by failures here. */
static void outcomes_teach_the_model(void **state)
{
	struct gn_signs models[GN_HAZARD_HORIZONS];
	struct gn_hazard_input input = input_of();
	int32_t weight;

	for (int h = 0; h < GN_HAZARD_HORIZONS; h++)
		gn_signs_init(&models[h]);
	weight = models[0].weights_q16[GN_SIGN_RETRANSMISSIONS];
	input.has_network = true;
	input.packets = 100;
	input.retransmissions = 10;
	for (int i = 0; i < 200 * 660; i++) {
		bool failed = i % 660 == 659;

		second(&input);
		if (failed)
			vm.failed_us = now;
		gn_hazard_vm_examine(&vm, models, now, failed);
	}
	assert_true(models[0].n_outcomes >= 190);
	assert_true(models[0].weights_q16[GN_SIGN_RETRANSMISSIONS] > weight);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(a_leak_is_foreseen_with_a_band, set_up),
	        cmocka_unit_test_setup(noise_is_no_leak, set_up),
	        cmocka_unit_test_setup(a_short_rise_is_not_believed_for_long, set_up),
	        cmocka_unit_test_setup(a_quick_rise_foretells_nothing, set_up),
	        cmocka_unit_test_setup(a_freed_leak_is_over, set_up),
	        cmocka_unit_test_setup(full_is_full, set_up),
	        cmocka_unit_test_setup(errors_add_up_and_fade, set_up),
	        cmocka_unit_test_setup(shares_of_the_network, set_up),
	        cmocka_unit_test_setup(a_month_of_noise_keeps_to_the_budget, set_up),
	        cmocka_unit_test_setup(a_guest_that_fails_is_told_once, set_up),
	        cmocka_unit_test_setup(outcomes_teach_the_model, set_up),
	};
	return cmocka_run_group_tests_name("hazard-vm", tests, NULL, NULL);
}
