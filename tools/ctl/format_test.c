/* format_test.c - figures and times as people read them, in tables. */
#include "tools/ctl/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define SECOND   1000000ull

struct unsigned_case {
	uint64_t value;
	const char *text;
};

static void check(char *(*format)(uint64_t, char *, size_t), const struct unsigned_case *cases,
                  size_t n)
{
	char text[GN_FORMAT_SIZE];

	for (size_t i = 0; i < n; i++)
		assert_string_equal(format(cases[i].value, text, sizeof text), cases[i].text);
}

static void test_bytes(void **state)
{
	static const struct unsigned_case cases[] = {
	        {0, "0 B"},
	        {1023, "1023 B"},
	        {1024, "1 KiB"},
	        {1536, "1.50 KiB"},
	        {1 << 20, "1 MiB"},
	        {(1 << 20) - 1, "1023 KiB"},
	        {66060288, "63 MiB"},
	        {66112717, "63.0 MiB"},
	        {201326592, "192 MiB"},
	        {UINT64_MAX, "16383 PiB"},
	};

	check(gn_format_bytes, cases, COUNT(cases));
}

static void test_counts(void **state)
{
	static const struct unsigned_case cases[] = {
	        {0, "0"},
	        {999, "999"},
	        {1000, "1,000"},
	        {12345678, "12,345,678"},
	        {UINT64_MAX, "18,446,744,073,709,551,615"},
	};
	char small[6];

	check(gn_format_count, cases, COUNT(cases));
	gn_format_count(12345678, small, sizeof small); /* cut, not overrun */
	assert_true(strlen(small) < sizeof small);
}

static void test_durations(void **state)
{
	static const struct unsigned_case cases[] = {
	        {0, "0 us"},
	        {850, "850 us"},
	        {1500, "1 ms 500 us"},
	        {2500000, "2 s 500 ms"},
	        {59 * SECOND, "59 s"},
	        {60 * SECOND, "1 min"},
	        {90 * SECOND, "1 min 30 s"},
	        {7200 * SECOND, "2 h"},
	        {183600 * SECOND, "2 d 3 h"},
	        {UINT64_MAX, "213503982 d 8 h"},
	};

	check(gn_format_duration, cases, COUNT(cases));
}

static void test_when(void **state)
{
	const uint64_t now = 1000000 * SECOND;
	const struct unsigned_case cases[] = {
	        {0, "never"},
	        {now, "just now"},
	        {now - SECOND + 1, "just now"},
	        {now - 3 * SECOND - 700000, "3 s ago"},
	        {now - 200 * SECOND, "3 min 20 s ago"},
	        {now + 5 * SECOND + 1, "in 5 s"},
	        {1, "11 d 13 h ago"},
	};
	char text[GN_FORMAT_SIZE];

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_string_equal(gn_format_when(cases[i].value, now, text, sizeof text),
		                    cases[i].text);
}

static void test_demands(void **state)
{
	static const struct {
		int resource;
		int64_t value;
		const char *text;
	} cases[] = {
	        {1, 1200, "1.20 vCPU"},
	        {1, 995, "1.00 vCPU"},
	        {1, 994, "0.99 vCPU"},
	        {1, -1500, "-1.50 vCPU"},
	        {1, INT64_MIN, "-9223372036854775.81 vCPU"},
	        {2, 80 << 20, "80 MiB"},
	        {2, -1, "0 B"},
	        {3, 1500000, "1.50 Mbit/s"},
	        {4, 999, "999 bit/s"},
	        {5, 1000000, "1 MB/s"},
	        {6, 2097152, "2.09 MB/s"},
	        {7, 1234, "1,234/s"},
	        {7, INT64_MAX, "9,223,372,036,854,775,807/s"},
	        {0, 5, "5"},
	        {99, -5, "-5"},
	};
	char text[GN_FORMAT_SIZE];

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_string_equal(
		        gn_format_demand(cases[i].resource, cases[i].value, text, sizeof text),
		        cases[i].text);
	assert_string_equal(gn_format_resource(3), "network-rx");
	assert_string_equal(gn_format_resource(0), "?");
	assert_string_equal(gn_format_resource(-1), "?");
	assert_string_equal(gn_format_resource(8), "?");
}

static void test_ratios(void **state)
{
	char text[GN_FORMAT_SIZE];

	assert_string_equal(gn_format_ratio_q16(65536, text, sizeof text), "1.00");
	assert_string_equal(gn_format_ratio_q16(47841, text, sizeof text), "0.73");
	assert_string_equal(gn_format_ratio_q16(100 * 65536, text, sizeof text), ">99");
	assert_string_equal(gn_format_ratio_q16(INT64_MAX, text, sizeof text), ">99");
}

static void test_local_time(void **state)
{
	char text[GN_FORMAT_SIZE];

	setenv("TZ", "UTC", 1);
	tzset();
	assert_string_equal(gn_format_date(1700000000 * SECOND, text, sizeof text),
	                    "2023-11-14 22:13:20");
	assert_string_equal(gn_format_clock(1700000000 * SECOND, text, sizeof text), "22:13:20");
	gn_format_date(UINT64_MAX, text, sizeof text); /* far ahead, but no overrun */
	assert_true(strlen(text) < sizeof text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_bytes),      cmocka_unit_test(test_counts),
	        cmocka_unit_test(test_durations),  cmocka_unit_test(test_when),
	        cmocka_unit_test(test_demands),    cmocka_unit_test(test_ratios),
	        cmocka_unit_test(test_local_time),
	};

	return cmocka_run_group_tests_name("ctl_format", tests, NULL, NULL);
}
