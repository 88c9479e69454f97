/* command_test.c - the table of commands, the words of a command line, and what mirror
 * options make of them. What ends the program is tested by cli_test.c. */
#include "tools/ctl/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tools/ctl/session.h"

#define WORDS_MAX 16

/* ---- the table ---------------------------------------------------------------------------- */

static void test_every_entry_is_found(void **state)
{
	for (size_t i = 0; i < gn_ctl_n_entries; i++) {
		const struct gn_ctl_entry *entry = &gn_ctl_entries[i];
		char *words[] = {(char *)entry->noun, (char *)entry->verb, (char *)"web-1"};
		int n = entry->verb ? 2 : 1, taken = 0;
		bool noun_known;

		assert_ptr_equal(gn_ctl_find(n, words, &taken, &noun_known), entry);
		assert_int_equal(taken, n);
		assert_true(noun_known);
		assert_non_null(entry->run);
		assert_true(entry->summary[0] && entry->help && entry->options && entry->arguments);
	}
}

static void test_what_is_no_command(void **state)
{
	char *vm[] = {(char *)"vm", (char *)"frobnicate"}, *none[] = {(char *)"frobnicate"};
	char *empty[] = {(char *)""};
	bool known;
	int taken;

	assert_null(gn_ctl_find(2, vm, &taken, &known));
	assert_true(known);
	assert_null(gn_ctl_find(1, vm, &taken, &known));
	assert_true(known);
	assert_null(gn_ctl_find(1, none, &taken, &known));
	assert_false(known);
	assert_null(gn_ctl_find(1, empty, &taken, &known));
	assert_null(gn_ctl_find(0, NULL, &taken, &known));
	assert_false(known);
}

/* Completion tells a noun's verbs from runs of entries. */
static void test_nouns_are_together(void **state)
{
	for (size_t i = 0; i < gn_ctl_n_entries; i++)
		for (size_t j = i + 1; j < gn_ctl_n_entries; j++)
			if (!strcmp(gn_ctl_entries[i].noun, gn_ctl_entries[j].noun))
				assert_string_equal(gn_ctl_entries[j - 1].noun,
				                    gn_ctl_entries[i].noun);
}

/* Each option that completion offers is explained by the help or the synopsis. */
static void test_options_are_explained(void **state)
{
	for (size_t i = 0; i < gn_ctl_n_entries; i++) {
		const struct gn_ctl_entry *entry = &gn_ctl_entries[i];
		char options[2048], *at = options, *option;

		if (!strcmp(entry->noun, "policy")) /* --RESOURCE-x there */
			continue;
		assert_true(snprintf(options, sizeof options, "%s", entry->options) <
		            (int)sizeof options);
		while ((option = strsep(&at, " ")))
			if (option[0] && !strstr(entry->help, option) &&
			    !strstr(entry->arguments, option))
				fail_msg("%s %s: %s is not explained", entry->noun,
				         entry->verb ? entry->verb : "", option);
	}
}

static void test_verbs(void **state)
{
	char text[64], small[8];

	assert_string_equal(gn_ctl_verbs("policy", text, sizeof text), "get or set");
	assert_string_equal(gn_ctl_verbs("mirror", text, sizeof text), "show, set or delete");
	assert_string_equal(gn_ctl_verbs("status", text, sizeof text), "");
	gn_ctl_verbs("shadow", small, sizeof small);
	assert_string_equal(small, "create,");
}

/* ---- words -------------------------------------------------------------------------------- */

struct line {
	struct gn_ctl_arguments arguments;
	char text[512];
	char *words[WORDS_MAX];
};

/* Cuts at '|', since options' values may hold blanks. */
static struct gn_ctl_arguments *line_of(struct line *line, const char *text)
{
	char *at = line->text, *word;

	snprintf(line->text, sizeof line->text, "%s", text);
	line->arguments = (struct gn_ctl_arguments){0, line->words};
	while ((word = strsep(&at, "|")))
		line->words[line->arguments.n_words++] = word;
	return &line->arguments;
}

static void test_options(void **state)
{
	struct line line;
	struct gn_ctl_arguments *a =
	        line_of(&line, "web-1|--pool|/a|--x=|--start|--pools=1|--pool=b=c");
	const char *value = NULL;

	assert_true(gn_ctl_option(a, "--pool", &value));
	assert_string_equal(value, "/a");
	assert_true(gn_ctl_option(a, "--pool", &value));
	assert_string_equal(value, "b=c");
	assert_false(gn_ctl_option(a, "--pool", &value));
	assert_true(gn_ctl_option(a, "--x", &value));
	assert_string_equal(value, "");
	assert_true(gn_ctl_flag(a, "--start"));
	assert_false(gn_ctl_flag(a, "--start"));
	assert_int_equal(a->n_words, 2);
	assert_string_equal(gn_ctl_vm_name(a, "/shadow"), "vms/web-1/shadow");
	assert_int_equal(a->n_words, 1);
}

static void test_vm_names(void **state)
{
	struct line line;

	assert_string_equal(gn_ctl_vm_name(line_of(&line, "vms/web-1"), ""), "vms/web-1");
	assert_string_equal(gn_ctl_vm_name(line_of(&line, "web-1"), "/policy"), "vms/web-1/policy");
}

/* ---- mirror sessions ------------------------------------------------------------------------ */

static void test_session_options(void **state)
{
	struct gn_ctl_session s;
	struct line line;

	assert_false(gn_ctl_session_options(line_of(&line, "web-1"), &s));
	assert_true(gn_ctl_session_options(
	        line_of(&line, "--direction|rx|--truncate|64|--sample|10|--filter|proto tcp dport "
	                       "80|--filter=src fd00::/8"),
	        &s));
	assert_int_equal(line.arguments.n_words, 0);
	assert_int_equal(s.mirror.direction, GNOMON__V1__MIRROR__DIRECTION__RX);
	assert_int_equal(s.mirror.truncate_bytes, 64);
	assert_int_equal(s.mirror.sample_one_in, 10);
	assert_int_equal(s.mirror.n_filters, 2);
	assert_int_equal(s.mirror.filters[0]->destination_port, 80);
	assert_string_equal(s.mirror.filters[1]->source, "fd00::/8");
	assert_true(gn_ctl_session_options(line_of(&line, "--filter|all"), &s));
	assert_int_equal(s.mirror.n_filters, 0);
	assert_int_equal(s.given, GN_SESSION_FILTER);
}

static void test_session_keeps_the_rest(void **state)
{
	Gnomon__V1__Mirror current = GNOMON__V1__MIRROR__INIT;
	Gnomon__V1__MirrorFilter filter = GNOMON__V1__MIRROR_FILTER__INIT;
	Gnomon__V1__MirrorFilter *filters[] = {&filter};
	struct gn_ctl_session s;
	struct line line;

	current.direction = GNOMON__V1__MIRROR__DIRECTION__TX;
	current.truncate_bytes = 60;
	current.sample_one_in = 3;
	current.filters = filters;
	current.n_filters = 1;
	gn_ctl_session_options(line_of(&line, "--sample|1"), &s);
	gn_ctl_session_keep(&s, NULL);
	assert_int_equal(s.mirror.truncate_bytes, 0);
	gn_ctl_session_keep(&s, &current);
	assert_int_equal(s.mirror.direction, GNOMON__V1__MIRROR__DIRECTION__TX);
	assert_int_equal(s.mirror.truncate_bytes, 60);
	assert_int_equal(s.mirror.sample_one_in, 1);
	assert_ptr_equal(s.mirror.filters[0], &filter);
	gn_ctl_session_options(line_of(&line, "--filter|all|--direction|both|--truncate|0"), &s);
	gn_ctl_session_keep(&s, &current);
	assert_int_equal(s.mirror.direction, GNOMON__V1__MIRROR__DIRECTION__BOTH);
	assert_int_equal(s.mirror.truncate_bytes, 0);
	assert_int_equal(s.mirror.n_filters, 0);
	assert_int_equal(s.mirror.sample_one_in, 3);
}

static void test_sinks(void **state)
{
	struct gn_ctl_session s;
	struct line line;

	gn_ctl_session_options(line_of(&line, "--sink|port=ports/x"), &s);
	gn_ctl_session_sink(&line.arguments, &s);
	assert_int_equal(s.mirror.sink_case, GNOMON__V1__MIRROR__SINK_PORT);
	assert_string_equal(s.mirror.port, "ports/x");
	gn_ctl_session_options(line_of(&line, "--sink=pcapng=/var/a=b"), &s);
	gn_ctl_session_sink(&line.arguments, &s);
	assert_string_equal(s.mirror.pcapng_path, "/var/a=b");
	gn_ctl_session_options(line_of(&line,
	                               "--sink|erspan=ports/up,ip=10.0.0.9,mac=02:00:00:00:00:01,"
	                               "local-ip=10.0.0.1,local-mac=02:00:00:00:00:02,id=7"),
	                       &s);
	gn_ctl_session_sink(&line.arguments, &s);
	assert_int_equal(s.mirror.sink_case, GNOMON__V1__MIRROR__SINK_ERSPAN);
	assert_string_equal(s.mirror.erspan->via_port, "ports/up");
	assert_string_equal(s.mirror.erspan->collector_ip, "10.0.0.9");
	assert_string_equal(s.mirror.erspan->collector_mac, "02:00:00:00:00:01");
	assert_string_equal(s.mirror.erspan->local_ip, "10.0.0.1");
	assert_string_equal(s.mirror.erspan->local_mac, "02:00:00:00:00:02");
	assert_int_equal(s.mirror.erspan->session_id, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_every_entry_is_found),
	        cmocka_unit_test(test_what_is_no_command),
	        cmocka_unit_test(test_nouns_are_together),
	        cmocka_unit_test(test_options_are_explained),
	        cmocka_unit_test(test_verbs),
	        cmocka_unit_test(test_options),
	        cmocka_unit_test(test_vm_names),
	        cmocka_unit_test(test_session_options),
	        cmocka_unit_test(test_session_keeps_the_rest),
	        cmocka_unit_test(test_sinks),
	};

	return cmocka_run_group_tests_name("ctl_command", tests, NULL, NULL);
}
