/* The state file: round trip, every kind of damage, a full disk, two owners. */
#include "dataplane/state/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];
static char file[128];
static char aside[128];

static int set_up(void **state)
{
	strcpy(directory, "/tmp/gnst-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(file, sizeof file, "%s/" GN_STATE_FILE, directory);
	snprintf(aside, sizeof aside, "%s/" GN_STATE_FILE ".damaged", directory);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

static int save(const char *port_name, struct gn_status *status)
{
	Gnomon__V1__DataplaneState state = GNOMON__V1__DATAPLANE_STATE__INIT;
	Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;
	Gnomon__V1__Port *ports[] = {&port};

	port.name = (char *)(uintptr_t)port_name;
	state.ports = ports;
	state.n_ports = 1;
	return gn_state_save(directory, &state, status);
}

static void assert_stored(const char *port_name)
{
	Gnomon__V1__DataplaneState *state = NULL;
	struct gn_status status = {.code = GN_OK};

	assert_int_equal(gn_state_load(directory, &state, &status), 0);
	assert_non_null(state);
	assert_int_equal(state->n_ports, 1);
	assert_string_equal(state->ports[0]->name, port_name);
	gnomon__v1__dataplane_state__free_unpacked(state, NULL);
}

static void none_yet(void **state)
{
	Gnomon__V1__DataplaneState *loaded = (void *)1;
	struct gn_status status;

	assert_int_equal(gn_state_load(directory, &loaded, &status), 0);
	assert_null(loaded);
}

static void round_trip_and_replace(void **state)
{
	struct gn_status status;
	struct stat st;

	assert_int_equal(save("ports/a", &status), 0);
	assert_stored("ports/a");
	assert_int_equal(save("ports/b", &status), 0);
	assert_stored("ports/b");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static size_t read_all(uint8_t *data, size_t max)
{
	FILE *f = fopen(file, "rb");
	size_t n;

	assert_non_null(f);
	n = fread(data, 1, max, f);
	fclose(f);
	return n;
}

static void write_all(const uint8_t *data, size_t n)
{
	FILE *f = fopen(file, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, n, f), n);
	fclose(f);
}

static void assert_damaged(void)
{
	Gnomon__V1__DataplaneState *loaded = NULL;
	struct gn_status status = {.code = GN_OK};

	unlink(aside);
	assert_int_equal(gn_state_load(directory, &loaded, &status), -EBADMSG);
	assert_null(loaded);
	assert_non_null(strstr(status.message, ".damaged"));
	assert_int_equal(access(aside, F_OK), 0);
	assert_int_equal(access(file, F_OK), -1);
	assert_int_equal(gn_state_load(directory, &loaded, &status), 0); /* then it starts anew */
	assert_null(loaded);
}

static void every_cut_is_noticed(void **state)
{
	uint8_t data[4096];
	struct gn_status status;
	size_t n, i;

	assert_int_equal(save("ports/web-1-net0", &status), 0);
	n = read_all(data, sizeof data);
	for (i = 0; i < n; i++) {
		write_all(data, i);
		assert_damaged();
	}
	write_all(data, n + 1 <= sizeof data ? n + 1 : n); /* one byte more */
	assert_damaged();
}

static void every_flipped_bit_is_noticed(void **state)
{
	uint8_t data[4096];
	struct gn_status status;
	size_t n, i;

	assert_int_equal(save("ports/web-1-net0", &status), 0);
	n = read_all(data, sizeof data);
	for (i = 0; i < n * 8; i++) {
		data[i / 8] ^= (uint8_t)(1 << i % 8);
		write_all(data, n);
		assert_damaged();
		data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

/* A write that fails leaves the old state and no debris. */
static void full_disk_keeps_the_old(void **state)
{
	struct rlimit old, small = {.rlim_cur = 8, .rlim_max = RLIM_INFINITY};
	struct gn_status status;
	char next[160];

	assert_int_equal(save("ports/a", &status), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	setrlimit(RLIMIT_FSIZE, &small);
	assert_true(save("ports/b", &status) < 0);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_non_null(strstr(status.message, "cannot be saved"));
	assert_stored("ports/a");
	snprintf(next, sizeof next, "%s.new", file);
	assert_int_equal(access(next, F_OK), -1);
}

/* A kill between writing and renaming leaves a '.new' that nobody reads. */
static void half_written_successor_is_ignored(void **state)
{
	struct gn_status status;
	char next[160];
	FILE *f;

	assert_int_equal(save("ports/a", &status), 0);
	snprintf(next, sizeof next, "%s.new", file);
	f = fopen(next, "w");
	fputs("half", f);
	fclose(f);
	assert_stored("ports/a");
	assert_int_equal(save("ports/b", &status), 0);
	assert_stored("ports/b");
}

static void one_owner(void **state)
{
	struct gn_status status = {.code = GN_OK};
	char deep[128];
	int fd = gn_state_lock(directory, &status);
	int again;

	assert_true(fd >= 0);
	assert_int_equal(gn_state_lock(directory, &status), -EBUSY);
	assert_non_null(strstr(status.message, "another gnomon-dataplane"));
	close(fd);
	again = gn_state_lock(directory, &status);
	assert_true(again >= 0);
	close(again);
	snprintf(deep, sizeof deep, "%s/a/b/c", directory);
	fd = gn_state_lock(deep, &status);
	assert_true(fd >= 0);
	close(fd);
	snprintf(deep, sizeof deep, "%s/lock/x", directory); /* below a file */
	assert_true(gn_state_lock(deep, &status) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(none_yet, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(round_trip_and_replace, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(every_cut_is_noticed, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(every_flipped_bit_is_noticed, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(full_disk_keeps_the_old, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(half_written_successor_is_ignored, set_up,
	                                        tear_down),
	        cmocka_unit_test_setup_teardown(one_owner, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
