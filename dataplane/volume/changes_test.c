/* changes_test.c - ranges noted come out again, whole granules, each once. */
#include "dataplane/volume/changes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SIZE ((200ull << 12) + 512) /* 201 granules, the last one a sector */

static uint64_t bits[GN_CHANGES_WORDS(201)];

static struct gn_changes none(void)
{
	memset(bits, 0, sizeof bits);
	return (struct gn_changes){bits, 201, 0, 4096, SIZE};
}

static void expect(struct gn_changes *changes, uint64_t *cursor, uint64_t offset, uint64_t length)
{
	uint64_t at = 1, n = 1;

	assert_true(gn_changes_take(changes, cursor, &at, &n));
	assert_int_equal(at, offset);
	assert_int_equal(n, length);
}

static void test_ranges(void **state)
{
	struct gn_changes changes = none();
	uint64_t cursor = 0, at, n;

	(void)state;
	assert_false(gn_changes_take(&changes, &cursor, &at, &n));
	gn_changes_note(&changes, 4096, 0);
	assert_int_equal(changes.n_set, 0);
	gn_changes_note(&changes, 5000, 1);
	gn_changes_note(&changes, 4096, 4096);
	assert_int_equal(changes.n_set, 1);
	gn_changes_note(&changes, 63 * 4096, 3 * 4096); /* over two words */
	gn_changes_note(&changes, 66 * 4096 + 512, 512);
	gn_changes_note(&changes, SIZE - 512, 512);
	assert_int_equal(changes.n_set, 6);
	expect(&changes, &cursor, 4096, 4096);
	expect(&changes, &cursor, 63ull * 4096, 4 * 4096);
	expect(&changes, &cursor, 200ull * 4096, 512);
	assert_false(gn_changes_take(&changes, &cursor, &at, &n));
	assert_int_equal(changes.n_set, 0);
}

static void test_everything(void **state)
{
	struct gn_changes changes = none();
	uint64_t cursor = 0, at, n;

	(void)state;
	gn_changes_note(&changes, 0, SIZE);
	assert_int_equal(changes.n_set, 201);
	expect(&changes, &cursor, 0, SIZE);
	assert_false(gn_changes_take(&changes, &cursor, &at, &n));
}

static void test_granule(void **state)
{
	(void)state;
	assert_int_equal(gn_changes_granule(1, 4096), 4096);
	assert_int_equal(gn_changes_granule(32ull << 30, 4096), 4096);
	assert_int_equal(gn_changes_granule((32ull << 30) + 1, 4096), 8192);
	assert_int_equal(gn_changes_granule(64ull << 40, 4096), 8ull << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_ranges),
	        cmocka_unit_test(test_everything),
	        cmocka_unit_test(test_granule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
