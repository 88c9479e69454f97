/* text_test.c - what a person reads must be right to the digit. */
#include "firmware/core/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void ratios_are_rounded_and_trimmed(void **state)
{
	static const struct {
		int64_t value, unit;
		unsigned decimals;
		const char *want;
	} cases[] = {
	        {970, 1000, 2, "0.97"},  {2000, 1000, 2, "2"},
	        {1164, 1000, 2, "1.16"}, {1165, 1000, 2, "1.17"},
	        {1996, 1000, 2, "2"},    {1040, 1000, 2, "1.04"},
	        {1500, 1000, 0, "2"},    {-1500, 1000, 1, "-1.5"},
	        {-1, 1000, 2, "0"},      {0, 1, 3, "0"},
	        {5, 1000, 3, "0.005"},   {INT64_MAX, 1, 2, "9223372036854775807"},
	        {100, 1000, 1, "0.1"},   {INT64_MIN, 1, 0, "-9223372036854775808"},
	};
	char buffer[64];
	struct gn_text text;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		gn_text_init(&text, buffer, sizeof buffer);
		gn_text_add_ratio(&text, cases[i].value, cases[i].unit, cases[i].decimals);
		assert_string_equal(buffer, cases[i].want);
	}
}

static void durations_take_the_unit_a_person_would(void **state)
{
	static const struct {
		uint64_t us;
		const char *want;
	} cases[] = {
	        {0, "0 ms"},          {250000, "250 ms"},       {15000000, "15 s"},
	        {90000000, "90 s"},   {150000000, "2.5 min"},   {3600000000, "60 min"},
	        {14400000000, "4 h"}, {259200000000, "3 days"},
	};
	char buffer[64];
	struct gn_text text;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		gn_text_init(&text, buffer, sizeof buffer);
		gn_text_add_duration(&text, cases[i].us);
		assert_string_equal(buffer, cases[i].want);
	}
}

static void a_full_buffer_cuts_and_still_ends(void **state)
{
	char *buffer = malloc(6); /* the sanitizer watches its end */
	struct gn_text text;

	gn_text_init(&text, buffer, 6);
	gn_text_add(&text, "abc");
	gn_text_add_int(&text, -1234567);
	gn_text_add(&text, "more");
	assert_string_equal(buffer, "abc-1");
	assert_int_equal(text.length, 5);
	free(buffer);
	buffer = malloc(1);
	gn_text_init(&text, buffer, 1);
	gn_text_add_int(&text, 7);
	assert_string_equal(buffer, "");
	free(buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(ratios_are_rounded_and_trimmed),
	        cmocka_unit_test(durations_take_the_unit_a_person_would),
	        cmocka_unit_test(a_full_buffer_cuts_and_still_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
