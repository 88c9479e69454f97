/* pattern_test.c - values over time and texts that are no pattern. */
#include "tests/guest/load/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct {
	const char *text;
	uint64_t ms, value;
} values[] = {
        {"const:7", 0, 7},
        {"const:7", 99999, 7},
        {"periodic:100:900:40:10", 0, 100},
        {"periodic:100:900:40:10", 29999, 100},
        {"periodic:100:900:40:10", 30000, 900},
        {"periodic:100:900:40:10", 39999, 900},
        {"periodic:100:900:40:10", 40000, 100},
        {"periodic:100:900:40:10", 70000, 900},
        {"periodic:100:900:40:10:0", 0, 900},
        {"periodic:100:900:40:10:5", 4999, 100},
        {"periodic:100:900:40:10:5", 45000, 900},
        {"daily:0:1000:60", 0, 0},
        {"daily:0:1000:60", 30000, 1000},
        {"daily:0:1000:60", 15000, 500},
        {"daily:0:1000:60", 45000, 500},
        {"daily:1000:0:60", 30000, 0},
        {"ramp:10:110:100", 0, 10},
        {"ramp:10:110:100", 50000, 60},
        {"ramp:10:110:100", 900000, 110},
        {"ramp:110:10:100", 50000, 60},
        {"ramp:1:2:0", 0, 2},
        {"spike:5:50:10:2", 9999, 5},
        {"spike:5:50:10:2", 10000, 50},
        {"spike:5:50:10:2", 12000, 5},
};

static void values_over_time(void **state)
{
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		struct gn_pattern p;

		if (gn_pattern_parse(values[i].text, &p))
			fail_msg("'%s' refused", values[i].text);
		if (gn_pattern_value(&p, values[i].ms) != values[i].value)
			fail_msg("%s at %llu ms is %llu", values[i].text,
			         (unsigned long long)values[i].ms,
			         (unsigned long long)gn_pattern_value(&p, values[i].ms));
	}
}

static void other_texts_are_refused(void **state)
{
	static const char *const texts[] = {
	        "",
	        "const",
	        "const:",
	        "const:1:2",
	        "const:-1",
	        "const:1x",
	        "sine:1:2:3",
	        "periodic:1:2:0:0",
	        "ramp:1:2",
	        "periodic:1:2:3:4",
	        "spike:1:2:3:4:5:6",
	        "const:99999999999",
	};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct gn_pattern p;

		if (!gn_pattern_parse(texts[i], &p))
			fail_msg("'%s' accepted", texts[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(values_over_time),
	        cmocka_unit_test(other_texts_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
