/* store_test.c - on a real file: what was put is there again after a kill, a damaged file
 * is moved aside, a full disk stops nothing, and the history keeps its bounds. */
#include "firmware/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define S        ((uint64_t)1000000)
#define START_US (1700000000ull * S / (300 * S) * (300 * S)) /* begins a five-minute interval */

static const struct gn_store_bounds bounds = {.raw_us = 600 * S,
                                              .minute_us = 3600 * S,
                                              .five_minutes_us = 7200 * S,
                                              .n_events = 100,
                                              .n_plans = 50};

static char directory[32];

static int make_directory(void **state)
{
	strcpy(directory, "/tmp/gnstXXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char command[64];

	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

static struct gn_store *open_store(enum gn_code want)
{
	struct gn_store *store = NULL;
	struct gn_status note;

	assert_int_equal(gn_store_open(directory, &bounds, START_US, &store, &note), 0);
	if (note.code != GN_OK)
		print_message("# %s\n", note.message);
	assert_int_equal(note.code, want);
	return store;
}

struct found {
	char names[256];
	char last[64];
	unsigned n;
};

static void collect(void *context, const char *name, const void *bytes, size_t size)
{
	struct found *found = context;

	snprintf(found->names + strlen(found->names), sizeof found->names - strlen(found->names),
	         "%s;", name);
	snprintf(found->last, sizeof found->last, "%.*s", (int)size, (const char *)bytes);
	found->n++;
}

static void collect_plan(void *context, uint64_t id, uint64_t deadline_us, const void *bytes,
                         size_t size)
{
	char name[32];

	snprintf(name, sizeof name, "%llu/%llu", (unsigned long long)id,
	         (unsigned long long)deadline_us);
	collect(context, name, bytes, size);
}

static void documents_are_there_again(void **state)
{
	struct gn_store *store = open_store(GN_OK);
	struct found found = {0};
	char nonce[17];
	uint64_t plan;

	strcpy(nonce, gn_store_nonce(store));
	assert_int_equal(strlen(nonce), 16);
	assert_int_equal(gn_store_put(store, "policy", "vms/b", "two", 3), 0);
	assert_int_equal(gn_store_put(store, "policy", "vms/a", "one", 3), 0);
	assert_int_equal(gn_store_put(store, "policy", "vms/a", "new", 3), 0);
	assert_int_equal(gn_store_put(store, "shadow", "vms/a", "other", 5), 0);
	assert_int_equal(gn_store_delete(store, "policy", "vms/b"), 0);
	assert_int_equal(gn_store_delete(store, "policy", "vms/b"), 0);
	plan = gn_store_next(store, "plan");
	assert_int_equal(gn_store_put_plan(store, plan, 77, "p", 1), 0);
	assert_int_equal(gn_store_next(store, "plan"), plan + 1);
	gn_store_put_number(store, "x", 5);
	gn_store_close(store);

	store = open_store(GN_OK);
	assert_string_equal(gn_store_nonce(store), nonce);
	assert_int_equal(gn_store_each(store, "policy", collect, &found), 0);
	assert_string_equal(found.names, "vms/a;");
	assert_string_equal(found.last, "new");
	assert_int_equal(gn_store_each_plan(store, 10, collect_plan, &found), 0);
	assert_string_equal(found.names, "vms/a;1/77;");
	assert_int_equal(gn_store_next(store, "plan"), plan + 2);
	assert_int_equal(gn_store_number(store, "x"), 5);
	assert_int_equal(gn_store_number(store, "y"), 0);
	assert_string_equal(gn_store_error(store), "");
	assert_false(gn_store_wants_all(store));
	gn_store_close(store);
}

static void what_was_committed_survives_a_kill(void **state)
{
	struct found found = {0};
	struct gn_store *store;
	pid_t child = fork();
	int status;

	if (child == 0) {
		store = open_store(GN_OK);
		gn_store_put(store, "policy", "vms/a", "kept", 4);
		gn_store_commit(store, false);
		gn_store_put(store, "policy", "vms/b", "not", 3);
		kill(getpid(), SIGKILL);
	}
	waitpid(child, &status, 0);
	assert_true(WIFSIGNALED(status));
	store = open_store(GN_OK);
	gn_store_each(store, "policy", collect, &found);
	assert_string_equal(found.names, "vms/a;");
	gn_store_close(store);
}

static void file_of(char *path, const char *suffix)
{
	snprintf(path, 64, "%s/gnomond.db%s", directory, suffix);
}

static unsigned n_aside(void)
{
	char pattern[64];
	glob_t found;
	unsigned n;

	file_of(pattern, ".damaged-*");
	n = glob(pattern, 0, NULL, &found) ? 0 : (unsigned)found.gl_pathc;
	globfree(&found);
	return n;
}

static void fill(struct gn_store *store)
{
	char name[32];
	unsigned i;

	for (i = 0; i < 500; i++) {
		snprintf(name, sizeof name, "vms/%u", i);
		gn_store_put(store, "policy", name, "some bytes of a policy", 22);
	}
	gn_store_commit(store, true);
}

static void damage_is_moved_aside(void **state)
{
	static const struct {
		const char *name;
		long from, length; /* overwritten */
		long cut;          /* or the new length */
	} cases[] = {
	        {"header", 0, 100, 0},          {"schema page", 100, 600, 0},
	        {"a data page", 8192, 4096, 0}, {"all", 0, 16384, 0},
	        {"cut in a page", 0, 0, 6000},  {"cut after the header", 0, 0, 100},
	};
	char path[64], garbage[16384];
	unsigned i;

	memset(garbage, 0xa5, sizeof garbage);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_store *store;
		int fd;

		print_message("# %s\n", cases[i].name);
		remove_directory(NULL);
		assert_int_equal(mkdir(directory, 0700), 0);
		store = open_store(GN_OK);
		fill(store);
		gn_store_close(store);
		file_of(path, "");
		fd = open(path, O_WRONLY);
		if (cases[i].cut)
			assert_int_equal(ftruncate(fd, cases[i].cut), 0);
		else
			assert_int_equal(
			        pwrite(fd, garbage, (size_t)cases[i].length, cases[i].from),
			        cases[i].length);
		close(fd);
		store = open_store(GN_DATA_LOSS);
		assert_int_equal(n_aside(), 1);
		assert_int_equal(gn_store_put(store, "policy", "vms/a", "x", 1), 0);
		assert_int_equal(gn_store_commit(store, true), 0);
		gn_store_close(store);
		store = open_store(GN_OK); /* the new one is sound */
		gn_store_close(store);
	}
}

static void an_empty_or_foreign_file_is_no_crash(void **state)
{
	struct gn_store *store;
	char path[64];
	int fd;

	file_of(path, "");
	close(open(path, O_CREAT | O_WRONLY, 0600)); /* empty: a database not yet begun */
	gn_store_close(open_store(GN_OK));
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "#!/bin/sh\necho hello, this is no database at all\n", 49), 49);
	close(fd);
	store = open_store(GN_DATA_LOSS);
	gn_store_close(store);
}

static void a_newer_schema_is_left_alone(void **state)
{
	struct gn_store *store = NULL;
	struct gn_status note;
	char command[256], path[64];

	gn_store_close(open_store(GN_OK));
	file_of(path, "");
	snprintf(command, sizeof command,
	         "/usr/bin/python3 -c \"import sqlite3; sqlite3.connect('%s').execute('PRAGMA "
	         "user_version=99')\"",
	         path);
	assert_int_equal(system(command), 0);
	assert_int_equal(gn_store_open(directory, &bounds, START_US, &store, &note), -EPROTO);
	assert_null(store);
	assert_non_null(strstr(note.message, "newer version"));
	assert_int_equal(n_aside(), 0);
}

static void limit_file_size(rlim_t size)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = size == RLIM_INFINITY ? limit.rlim_max : size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_stops_nothing_and_passes(void **state)
{
	struct gn_store *store = open_store(GN_OK);
	struct found found = {0};
	struct gn_status note;
	char big[2000];
	uint64_t now = START_US, before;
	unsigned i;

	memset(big, 'x', sizeof big);
	signal(SIGXFSZ, SIG_IGN);
	gn_store_put(store, "policy", "vms/first", "kept", 4);
	gn_store_next(store, "plan");
	assert_int_equal(gn_store_commit(store, true), 0);
	limit_file_size(100000);
	for (i = 0; i < 400 && !gn_store_error(store)[0]; i++) {
		char name[32];

		snprintf(name, sizeof name, "vms/%u", i);
		gn_store_put(store, "policy", name, big, sizeof big);
		gn_store_commit(store, false);
	}
	assert_true(i < 400);
	assert_non_null(strstr(gn_store_error(store), "make room"));
	assert_int_not_equal(gn_store_put(store, "policy", "vms/late", "x", 1), 0);
	assert_int_not_equal(gn_store_add(store, "vms/a", GN_RESOURCE_CPU, now, 1, 1, 1), 0);
	assert_int_not_equal(gn_store_commit(store, true), 0);
	before = gn_store_next(store, "plan"); /* numbers go on */
	gn_store_tick(store, now, &note);
	assert_int_equal(note.code, GN_UNAVAILABLE);
	limit_file_size(1000); /* a new log would still have found room */
	gn_store_tick(store, now += 6 * S, &note);
	assert_true(gn_store_error(store)[0] != '\0');
	assert_false(gn_store_wants_all(store));
	limit_file_size(RLIM_INFINITY);
	gn_store_tick(store, now += 6 * S, &note);
	assert_int_equal(note.code, GN_ABORTED);
	assert_string_equal(gn_store_error(store), "");
	assert_true(gn_store_wants_all(store));
	assert_false(gn_store_wants_all(store));
	assert_int_equal(gn_store_next(store, "plan"), before + 1);
	assert_int_equal(gn_store_put(store, "policy", "vms/late", "x", 1), 0);
	gn_store_close(store);
	store = open_store(GN_OK);
	gn_store_each(store, "policy", collect, &found);
	assert_non_null(strstr(found.names, "vms/first;") ? found.names : NULL);
	assert_int_equal(gn_store_next(store, "plan"), before + 2);
	gn_store_close(store);
}

static void a_directory_that_cannot_be_used_degrades(void **state)
{
	struct gn_store *store = NULL;
	struct gn_status note;

	assert_int_equal(gn_store_open("/proc/nowhere", &bounds, START_US, &store, &note), 0);
	assert_int_equal(note.code, GN_UNAVAILABLE);
	assert_int_not_equal(gn_store_put(store, "policy", "a", "x", 1), 0);
	assert_int_equal(gn_store_next(store, "plan"), 1);
	gn_store_tick(store, START_US + 10 * S, &note);
	gn_store_close(store);
}

/* ---- history ---- */

/* 'n' seconds of samples; value i % 60. */
static uint64_t feed(struct gn_store *store, uint64_t from, unsigned n)
{
	struct gn_status note;
	unsigned i;

	for (i = 0; i < n; i++) {
		uint64_t now = from + i * S;

		assert_int_equal(
		        gn_store_add(store, "vms/a", GN_RESOURCE_CPU, now, i % 60, 1000, 500), 0);
		assert_int_equal(gn_store_add(store, "vms/b", GN_RESOURCE_CPU, now, 7, 2000, 0), 0);
		gn_store_tick(store, now, &note);
	}
	return from + n * S;
}

static size_t read_history(struct gn_store *store, uint64_t from, uint64_t to, uint64_t now,
                           uint32_t max, struct gn_store_point **points, uint64_t *interval)
{
	size_t n = 0;

	assert_int_equal(gn_store_history(store, "vms/a", GN_RESOURCE_CPU, from, to, now, max, S,
	                                  points, &n, interval),
	                 0);
	return n;
}

static void history_gets_coarser_and_stays_bounded(void **state)
{
	struct gn_store *store = open_store(GN_OK);
	struct gn_store_point *points = NULL;
	uint64_t interval, now, size;
	size_t n;

	now = feed(store, START_US, 9000);
	size = gn_store_size(store);
	n = read_history(store, now - 300 * S, now, now, 1000, &points, &interval);
	assert_int_equal(interval, 0);
	assert_int_equal(n, 300);
	assert_int_equal(points[0].mean, points[0].maximum);
	free(points);
	n = read_history(store, now - 300 * S, now, now, 10, &points, &interval); /* fewer points */
	assert_int_equal(interval, 30 * S);
	assert_in_range(n, 10, 11);
	free(points);
	n = read_history(store, now - 1800 * S, now - 600 * S, now, 1000, &points, &interval);
	assert_int_equal(interval, 60 * S);
	assert_int_equal(n, 20);
	assert_int_equal(points[3].maximum, 59);
	assert_int_equal(points[3].mean, 29); /* 29.5, cut */
	assert_int_equal(points[3].allocated, 1000);
	assert_int_equal(points[3].forecast_p95, 500);
	free(points);
	n = read_history(store, START_US, now, now, 1000, &points, &interval);
	assert_int_equal(interval, 300 * S);
	assert_in_range(n, 23, 25); /* 7200 s of them are kept, the last are not full yet */
	assert_int_equal(points[5].maximum, 59);
	free(points);
	n = read_history(store, START_US, now, now, 3, &points, &interval);
	assert_true(n <= 4);
	free(points);
	now = feed(store, now, 9000); /* as much again: the file does not grow on */
	assert_true(gn_store_size(store) < size + size / 5);
	gn_store_close(store);
}

static void history_goes_on_after_a_pause(void **state)
{
	struct gn_store *store = open_store(GN_OK);
	struct gn_store_point *points = NULL;
	uint64_t interval, now;
	size_t n;

	feed(store, START_US, 130);
	gn_store_close(store); /* in the middle of a minute */
	store = open_store(GN_OK);
	now = feed(store, START_US + 700 * S, 130);
	n = read_history(store, START_US, now - 650 * S, now, 100, &points, &interval);
	assert_int_equal(interval, 60 * S);
	assert_int_equal(n, 3); /* 2 minutes and 10 s: rolled up before they were pruned */
	assert_int_equal(points[2].maximum, 9);
	free(points);
	gn_store_close(store);
}

static void forgetting_takes_all_of_one_vm(void **state)
{
	struct gn_store *store = open_store(GN_OK);
	struct gn_store_point *points = NULL;
	uint64_t interval, now = feed(store, START_US, 200);

	assert_int_equal(gn_store_forget(store, "vms/a"), 0);
	assert_int_equal(read_history(store, START_US, now, now, 1000, &points, &interval), 0);
	free(points);
	feed(store, now, 1);
	gn_store_close(store);
	store = open_store(GN_OK);
	assert_int_equal(read_history(store, START_US, now + S, now, 1000, &points, &interval), 1);
	free(points);
	gn_store_close(store);
}

static void plans_and_events_are_bounded(void **state)
{
	struct gn_store *store = open_store(GN_OK);
	struct found found = {0};
	struct gn_status note;
	uint64_t i;
	size_t size;
	void *bytes;

	for (i = 1; i <= 300; i++) {
		assert_int_equal(gn_store_put_plan(store, i, 0, "p", 1), 0);
		assert_int_equal(gn_store_put_event(store, i, i, "kind", "vms/a", "text"), 0);
	}
	gn_store_tick(store, START_US, &note);
	gn_store_each_plan(store, 1000, collect_plan, &found);
	assert_int_equal(found.n, 50);
	assert_null(gn_store_get_plan(store, 250, &size));
	bytes = gn_store_get_plan(store, 251, &size);
	assert_int_equal(size, 1);
	free(bytes);
	gn_store_close(store);
}

int main(void)
{
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)
	const struct CMUnitTest tests[] = {
	        ON_DISK(documents_are_there_again),
	        ON_DISK(what_was_committed_survives_a_kill),
	        ON_DISK(damage_is_moved_aside),
	        ON_DISK(an_empty_or_foreign_file_is_no_crash),
	        ON_DISK(a_newer_schema_is_left_alone),
	        ON_DISK(a_full_disk_stops_nothing_and_passes),
	        ON_DISK(a_directory_that_cannot_be_used_degrades),
	        ON_DISK(history_gets_coarser_and_stays_bounded),
	        ON_DISK(history_goes_on_after_a_pause),
	        ON_DISK(forgetting_takes_all_of_one_vm),
	        ON_DISK(plans_and_events_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
