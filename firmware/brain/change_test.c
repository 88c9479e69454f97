/* change_test.c - what is told to have driven a forecast's change. */
#include "firmware/brain/change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define S ((uint64_t)1000000)

static struct gn_change change;

static int set_up(void **state)
{
	const struct gn_predict_forecast first = {.quantiles = {0, 0, 1000, 0}, .observed = 800};

	change = (struct gn_change){0};
	gn_change_note(&change, S, &first);
	return 0;
}

static void note(int64_t p95, int64_t observed, uint32_t period, enum gn_predict_reason reason)
{
	struct gn_predict_forecast f = {
	        .observed = observed, .found_period = period, .reason = reason};

	f.quantiles[GN_P95] = p95;
	gn_change_note(&change, 10 * S, &f);
}

static void says(const char *expected)
{
	char words[256];
	struct gn_text text;

	gn_text_init(&text, words, sizeof words);
	gn_change_describe(&change, GN_RESOURCE_CPU, S, 22 * S, &text);
	assert_string_equal(words, expected);
}

static void small_moves_are_no_change(void **state)
{
	note(1050, 900, 0, GN_PREDICT_TRUSTED);
	note(950, 100, 0, GN_PREDICT_TRUSTED);
	says("");
	note(1051, 1000, 0, GN_PREDICT_TRUSTED);
	assert_int_equal(change.cause, GN_CHANGE_VALUE);
}

static void the_value_itself(void **state)
{
	note(1200, 1000, 0, GN_PREDICT_TRUSTED);
	says("P95 rose from 1 vCPU to 1.2 vCPU 12 s ago: the value itself rose from 0.8 vCPU to 1 "
	     "vCPU");
	note(600, 400, 0, GN_PREDICT_TRUSTED);
	says("P95 fell from 1.2 vCPU to 0.6 vCPU 12 s ago: the value itself fell from 1 vCPU to "
	     "0.4 "
	     "vCPU");
}

static void other_causes(void **state)
{
	note(1200, 790, 30, GN_PREDICT_TRUSTED);
	says("P95 rose from 1 vCPU to 1.2 vCPU 12 s ago: a rhythm was found, of 30 s");
	note(1800, 790, 30, GN_PREDICT_TRUSTED);
	assert_int_equal(change.cause, GN_CHANGE_RHYTHM);
	note(1000, 790, 0, GN_PREDICT_TRUSTED);
	says("P95 fell from 1.8 vCPU to 1 vCPU 12 s ago: its rhythm was lost");
	note(1500, 790, 0, GN_PREDICT_TRUSTED);
	assert_int_equal(change.cause, GN_CHANGE_EXPERTS);
	gn_change_resize(&change);
	note(3000, 2000, 0, GN_PREDICT_TRUSTED);
	assert_int_equal(change.cause, GN_CHANGE_ALLOCATION);
	note(1000, 2000, 0, GN_PREDICT_INTERRUPTED);
	assert_int_equal(change.cause, GN_CHANGE_INTERRUPTED);
}

static void extremes(void **state)
{
	note(GN_PREDICT_MAX, 0, 0, GN_PREDICT_TRUSTED);
	note(0, GN_PREDICT_MAX, 0, GN_PREDICT_TRUSTED);
	note(0, 0, 0, GN_PREDICT_TRUSTED);
	note(1, 0, 0, GN_PREDICT_TRUSTED);
	assert_int_equal(change.to, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(small_moves_are_no_change, set_up),
	        cmocka_unit_test_setup(the_value_itself, set_up),
	        cmocka_unit_test_setup(other_causes, set_up),
	        cmocka_unit_test_setup(extremes, set_up),
	};
	return cmocka_run_group_tests_name("change", tests, NULL, NULL);
}
