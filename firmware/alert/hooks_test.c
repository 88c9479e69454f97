/* hooks_test.c - real programs are run: what they are given, what becomes of those that fail,
 * hang, leave children behind or are too slow; and syslog's datagram. */
#include "firmware/alert/hooks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <signal.h>
#include <unistd.h>
#include <cmocka.h>

#define S          ((uint64_t)1000000)
#define PATIENCE   3000 /* times 10 ms, for a busy machine; nothing waits that long */
#define LONG_SLEEP "sleep 1000"

static char directory[32], program[64], output[64];
static struct gn_hooks *hooks;
static char told[512]; /* the newest trouble */
static unsigned n_told;

static void on_trouble(void *context, const char *text)
{
	snprintf(told, sizeof told, "%s", text);
	n_told++;
}

static int set_up(void **state)
{
	strcpy(directory, "/tmp/gnhkXXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(program, sizeof program, "%s/hook", directory);
	snprintf(output, sizeof output, "%s/out", directory);
	told[0] = 0;
	n_told = 0;
	hooks = NULL;
	return 0;
}

static int tear_down(void **state)
{
	char command[64];

	gn_hooks_destroy(hooks);
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

/* A hook that runs these lines of shell in the test's directory. */
static void make_program(const char *lines)
{
	FILE *file = fopen(program, "w");

	fprintf(file, "#!/bin/sh\ncd %s\n%s\n", directory, lines);
	fclose(file);
	assert_int_equal(chmod(program, 0700), 0);
}

static void create(unsigned n_concurrent, const char *syslog)
{
	const struct gn_hooks_options options = {.exec = syslog ? NULL : program,
	                                         .limit_us = 10 * S,
	                                         .n_concurrent = n_concurrent,
	                                         .syslog = syslog,
	                                         .trouble = on_trouble};

	hooks = gn_hooks_create(&options);
}

static void tell(const char *what, const char *name, const char *text)
{
	Gnomon__V1__Alert alert = GNOMON__V1__ALERT__INIT;

	alert.kind = GNOMON__V1__ALERT__KIND__POTENTIAL_FAILURE;
	alert.name = (char *)name;
	alert.resource = (char *)"vms/a";
	alert.text = (char *)text;
	gn_hooks_tell(hooks, what, &alert, S);
}

/* Ticks at the instant 'now_us' until nothing runs and nothing waits. */
static void finish(uint64_t now_us)
{
	for (unsigned i = 0; i < PATIENCE; i++) {
		gn_hooks_tick(hooks, now_us);
		if (!gn_hooks_running(hooks) && !gn_hooks_waiting(hooks))
			return;
		usleep(10000);
	}
	fail_msg("%u still run", gn_hooks_running(hooks));
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

static void await_file(const char *path)
{
	for (unsigned i = 0; i < PATIENCE && !is_there(path); i++)
		usleep(10000);
	assert_true(is_there(path));
}

static void assert_output(const char *wanted)
{
	char text[600] = "";
	FILE *file = fopen(output, "r");

	assert_non_null(file);
	text[fread(text, 1, sizeof text - 1, file)] = 0;
	fclose(file);
	assert_string_equal(text, wanted);
}

/* ---- tests ---------------------------------------------------------------------------- */

static void the_words_come_as_arguments(void **state)
{
	make_program("for w in \"$@\"; do echo \"$w\"; done > out; env | grep -v -e PWD= -e _= "
	             "-e SHLVL= -e PATH= >> out; ls /proc/$$/fd | grep -v -e '^[0-2]$' -e '^10$' "
	             "-e '^255$' >> out; read line || echo no input >> out");
	create(1, NULL);
	tell("raised", "alerts/1", "a; $(touch x) 'b' \"c\"\nd");
	finish(S);
	assert_output("raised\nPOTENTIAL_FAILURE\nvms/a\nalerts/1\na; $(touch x) 'b' \"c\"\nd\n"
	              "no input\n");
	assert_int_equal(n_told, 0);
}

static void what_cannot_be_run_is_told(void **state)
{
	create(1, NULL); /* there is no such file */
	tell("raised", "alerts/1", "x");
	finish(S);
	assert_non_null(strstr(told, "cannot be run: No such file"));
	assert_non_null(strstr(told, "alerts.exec"));
}

static void failures_are_told(void **state)
{
	make_program("test $4 = alerts/1 && exit 3; kill -SEGV $$");
	create(1, NULL);
	tell("raised", "alerts/1", "x");
	finish(S);
	assert_non_null(strstr(told, "run for alerts/1, ended with status 3"));
	tell("cleared", "alerts/2", "x");
	finish(S);
	assert_non_null(strstr(told, "run for alerts/2, ended with signal 11"));
}

static void what_hangs_is_killed_with_its_children(void **state)
{
	char path[64];
	FILE *file;
	int child = 0;

	make_program(LONG_SLEEP " & echo $! > tmp; mv tmp child; trap '' TERM; wait");
	create(1, NULL);
	tell("raised", "alerts/1", "x");
	snprintf(path, sizeof path, "%s/child", directory);
	await_file(path);
	gn_hooks_tick(hooks, S + 10 * S - 1);
	assert_int_equal(gn_hooks_running(hooks), 1);
	finish(S + 10 * S);
	assert_non_null(strstr(told, "took longer than 10 s and was killed"));
	file = fopen(path, "r");
	assert_int_equal(fscanf(file, "%d", &child), 1);
	fclose(file);
	/* An orphan in the test's process tree may stay a zombie, but runs no more. */
	for (unsigned i = 0; i < PATIENCE; i++) {
		char name[64], letter = 'Z';

		snprintf(name, sizeof name, "/proc/%d/stat", child);
		file = fopen(name, "r");
		if (!file || fscanf(file, "%*d %*s %c", &letter) != 1 || letter == 'Z')
			child = 0;
		if (file)
			fclose(file);
		if (!child)
			return;
		usleep(10000);
	}
	fail_msg("process %d was left behind", child);
}

static void so_many_run_at_once(void **state)
{
	make_program("while [ ! -e go ]; do sleep 0.05; done; echo $4 >> out");
	create(2, NULL);
	for (unsigned i = 0; i < 5; i++)
		tell("raised", "alerts/1", "x");
	assert_int_equal(gn_hooks_running(hooks), 2);
	assert_int_equal(gn_hooks_waiting(hooks), 3);
	snprintf(program, sizeof program, "%s/go", directory); /* 'hooks' started with the other */
	fclose(fopen(program, "w"));
	snprintf(program, sizeof program, "%s/hook", directory);
	finish(S);
	assert_output("alerts/1\nalerts/1\nalerts/1\nalerts/1\nalerts/1\n");
}

static void the_oldest_is_dropped_when_too_many_wait(void **state)
{
	make_program(LONG_SLEEP);
	create(1, NULL);
	for (unsigned i = 0; i < 1 + GN_HOOKS_QUEUE; i++)
		tell("raised", "alerts/1", "x");
	assert_int_equal(n_told, 0);
	for (unsigned i = 0; i < GN_HOOKS_QUEUE; i++)
		tell("raised", "alerts/2", "x");
	assert_int_equal(gn_hooks_waiting(hooks), GN_HOOKS_QUEUE);
	assert_int_equal(n_told, 1); /* not once for each */
	assert_non_null(strstr(told, "too slow: 64 alerts wait"));
	/* tear_down ends the one that runs */
}

static void syslog_gets_a_datagram(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	char line[2000], text[1900];
	ssize_t n;

	snprintf(address.sun_path, sizeof address.sun_path, "%s", output);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	create(0, output);
	tell("cleared", "alerts/7", "all is well");
	n = recv(fd, line, sizeof line, MSG_DONTWAIT);
	assert_true(n > 0);
	line[n] = 0;
	assert_string_equal(line, "<28>gnomond: alert cleared: alerts/7 POTENTIAL_FAILURE vms/a: "
	                          "all is well");
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = 0;
	tell("raised", "alerts/8", text); /* is cut */
	assert_int_equal(recv(fd, line, sizeof line, MSG_DONTWAIT), 1399);
	close(fd);
	unlink(output);
	tell("raised", "alerts/9", "x");
	assert_non_null(strstr(told, "cannot be told of alerts/9"));
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        IN_FOLDER(the_words_come_as_arguments),
	        IN_FOLDER(what_cannot_be_run_is_told),
	        IN_FOLDER(failures_are_told),
	        IN_FOLDER(what_hangs_is_killed_with_its_children),
	        IN_FOLDER(so_many_run_at_once),
	        IN_FOLDER(the_oldest_is_dropped_when_too_many_wait),
	        IN_FOLDER(syslog_gets_a_datagram),
	};

	return cmocka_run_group_tests_name("alert-hooks", tests, NULL, NULL);
}
