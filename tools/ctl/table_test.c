/* table_test.c - columns, wrapping, cutting and cleaning (table.h, output.h). */
#include "tools/ctl/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tools/ctl/output.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void test_columns(void **state)
{
	static const char *const heads[] = {"NAME", ">COUNT", "WHY", NULL};
	struct gn_table *table = gn_table_create(heads);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	gn_table_add(table, "%s", "web-1");
	gn_table_add(table, "%d", 5);
	gn_table_add(table, "%s", "because");
	gn_table_add(table, "%s", "größer");
	gn_table_add(table, "%d", 1234567);
	gn_table_add(table, "%s", "");
	gn_table_write(table, out);
	fclose(out);
	assert_string_equal(text, "NAME      COUNT  WHY\n"
	                          "web-1         5  because\n"
	                          "größer  1234567\n");
	free(text);
}

static void test_empty_and_large(void **state)
{
	static const char *const heads[] = {"A", "B", NULL};
	struct gn_table *table = gn_table_create(heads);
	char *text = NULL, *longest = malloc(5001);
	size_t size;
	FILE *out = open_memstream(&text, &size);

	gn_table_write(gn_table_create(heads), out);
	memset(longest, 'x', 5000);
	longest[5000] = '\0';
	for (int i = 0; i < 400; i++)
		gn_table_add(table, "%s", longest);
	gn_table_write(table, out);
	fclose(out);
	assert_int_equal(strncmp(text, "A  B\nA", 6), 0);
	assert_int_equal(size, 5 + (5000 + 2 + 1 + 1) + 200 * (2 * 5000 + 2 + 1));
	free(text);
	free(longest);
}

static void test_clean(void **state)
{
	static const struct {
		const char *text, *clean;
	} cases[] = {
	        {"plain größer €", "plain größer €"},
	        {"a\033[31mred", "a?[31mred"},
	        {"two\nlines\ttab\r", "two?lines?tab?"},
	        {"\177", "?"},
	        {"\xc2\x9b"
	         "31m",
	         "??31m"},
	        {"\xc2\xa0", "\xc2\xa0"},
	        {"\xc2", "\xc2"},
	        {"", ""},
	};
	char text[64];

	for (size_t i = 0; i < COUNT(cases); i++) {
		strcpy(text, cases[i].text);
		gn_output_clean(text);
		assert_string_equal(text, cases[i].clean);
	}
}

static void test_cut(void **state)
{
	assert_int_equal(gn_output_cut("abc", 5), 3);
	assert_int_equal(gn_output_cut("abc", 2), 2);
	assert_int_equal(gn_output_cut("€€€", 2), 6);
	assert_int_equal(gn_output_cut("abc", 0), 0);
	assert_int_equal(gn_output_cut("", 4), 0);
	assert_int_equal(gn_output_columns("a€"), 2);
}

static void test_wrap(void **state)
{
	static const struct {
		const char *text;
		int indent, width;
		const char *wrapped;
	} cases[] = {
	        {"short", 4, 24, "short"},
	        {"one two three four five six", 4, 24, "one two three four\n    five six"},
	        {"one two three four five six", 4, 0, "one two three four five six"},
	        {"exactly twenty chars here", 0, 20, "exactly twenty chars\nhere"},
	        {"averyveryverylongwordindeed /with/a/path", 0, 20,
	         "averyveryverylongwordindeed\n/with/a/path"},
	        {"no room to wrap it in at all", 20, 30, "no room to wrap it in at all"},
	        {"", 0, 20, ""},
	        {"trailing blanks         ", 0, 16, "trailing blanks"},
	        {"ääää öööö üüüü ßßßß éééé", 0, 19, "ääää öööö üüüü ßßßß\néééé"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char *text = NULL;
		size_t size;
		FILE *out = open_memstream(&text, &size);

		gn_output_wrap(cases[i].text, cases[i].indent, cases[i].width, out);
		fclose(out);
		assert_string_equal(text, cases[i].wrapped);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_columns), cmocka_unit_test(test_empty_and_large),
	        cmocka_unit_test(test_clean),   cmocka_unit_test(test_cut),
	        cmocka_unit_test(test_wrap),
	};

	return cmocka_run_group_tests_name("ctl_table", tests, NULL, NULL);
}
