/* journal_test.c - the journal across restarts, power cuts at every write, damage and full
 * disks. The linker puts the functions below in the place of the system calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host-shim/journal.h"

#define NOW   1700000000000000ull
#define LATER (NOW + 60000000)

static char directory[] = "/tmp/gnjXXXXXX";
static char path[64];

/* ---- a disk that loses power ------------------------------------------------------------- */

enum cut { CUT_NONE, CUT_NOTHING, CUT_HALF, CUT_WHOLE };

/* At operation number 'at' the power goes: nothing, half or all of it has been done, and
 * whatever was not synced before is lost as well if 'lose' is set. */
static struct {
	enum cut cut;
	unsigned at, n;
	int full; /* errno for every write */
	int lose;
	int fd; /* being written */
	off_t synced;
} disk;

ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t offset);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_rename(const char *from, const char *to);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_rename(const char *from, const char *to);

static void power_off(int fd)
{
	if (disk.lose && fd >= 0 && ftruncate(fd, disk.fd == fd ? disk.synced : 0))
		_exit(99);
	_exit(42);
}

static int is_last(void)
{
	return disk.cut != CUT_NONE && ++disk.n == disk.at;
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset)
{
	if (disk.full) {
		errno = disk.full;
		return size > 8 ? __real_pwrite(fd, data, size / 2, offset) : -1;
	}
	if (offset == 0) { /* a new file */
		disk.fd = fd;
		disk.synced = 0;
	}
	if (is_last()) {
		if (disk.cut == CUT_HALF)
			__real_pwrite(fd, data, size / 2, offset);
		if (disk.cut == CUT_WHOLE)
			__real_pwrite(fd, data, size, offset);
		power_off(fd);
	}
	return __real_pwrite(fd, data, size, offset);
}

static void note_synced(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		disk.synced = st.st_size;
}

int __wrap_fsync(int fd)
{
	if (disk.full) {
		errno = disk.full;
		return -1;
	}
	if (is_last()) {
		if (disk.cut == CUT_WHOLE)
			note_synced(fd);
		power_off(fd == disk.fd ? fd : -1);
	}
	note_synced(fd);
	return __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
	return __wrap_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
	if (is_last()) {
		if (disk.cut == CUT_WHOLE)
			__real_rename(from, to);
		power_off(-1);
	}
	return __real_rename(from, to);
}

/* ---- helpers -------------------------------------------------------------------------------- */

static struct gn_journal_blob text(const char *s)
{
	return (struct gn_journal_blob){s, strlen(s)};
}

static int blob_is(struct gn_journal_blob b, const char *s)
{
	return b.size == strlen(s) && !memcmp(b.data, s, b.size);
}

static struct gn_journal *open_ok(void)
{
	struct gn_status status = {0};
	struct gn_journal *j = NULL;

	if (gn_journal_open(path, &j, &status))
		fail_msg("%s", status.message);
	return j;
}

static int begin(struct gn_journal *j, const char *id, uint64_t deadline)
{
	return gn_journal_begin(j, id, deadline, text("command"), text("noted"), NOW, NULL);
}

static int finish(struct gn_journal *j, const char *id, uint64_t deadline)
{
	return gn_journal_finish(j, id, deadline, text("command"), text("result"), NOW, NULL);
}

static int clean(void **state)
{
	char other[80];

	memset(&disk, 0, sizeof disk);
	unlink(path);
	snprintf(other, sizeof other, "%s.new", path);
	unlink(other);
	return 0;
}

/* ---- tests ------------------------------------------------------------------------------------
 */

static void remembers(void **state)
{
	struct gn_journal *j = open_ok();
	const struct gn_journal_entry *e;

	assert_null(gn_journal_find(j, "id-1"));
	assert_int_equal(begin(j, "id-1", LATER), 0);
	assert_int_equal(finish(j, "id-1", LATER), 0);
	assert_int_equal(begin(j, "id-2", LATER), 0);
	assert_int_equal(finish(j, "id-3", LATER), 0); /* refused at once */
	assert_int_equal(begin(j, "id-4", LATER), 0);
	assert_int_equal(gn_journal_void(j, "id-4", NULL), 0);
	gn_journal_close(j);
	j = open_ok();
	e = gn_journal_find(j, "id-1");
	assert_true(e && e->finished && blob_is(e->command, "command") &&
	            blob_is(e->result, "result") && e->deadline_us == LATER);
	e = gn_journal_find(j, "id-2");
	assert_true(e && !e->finished && blob_is(e->result, "noted"));
	assert_ptr_equal(gn_journal_unfinished(j, NULL, NULL), e);
	e = gn_journal_find(j, "id-3");
	assert_true(e && e->finished && blob_is(e->command, "command"));
	assert_null(gn_journal_find(j, "id-4"));
	gn_journal_close(j);
}

static void one_process_only(void **state)
{
	struct gn_journal *j = open_ok(), *second = NULL;
	struct gn_status status = {0};

	assert_int_not_equal(gn_journal_open(path, &second, &status), 0);
	assert_int_equal(status.code, GN_FAILED_PRECONDITION);
	gn_journal_close(j);
}

/* What a shim does with three commands; tells by a pipe which calls have returned 0. */
static void script(int progress)
{
	struct gn_journal *j;
	char done = 0;

	if (gn_journal_open(path, &j, NULL))
		_exit(1);
#define STEP(call)                                                                                 \
	if ((call) != 0 || ++done == 0 || write(progress, &done, 1) != 1)                          \
	_exit(2)
	STEP(begin(j, "id-1", LATER));
	STEP(finish(j, "id-1", LATER));
	STEP(begin(j, "id-2", LATER));
	STEP(gn_journal_void(j, "id-2", NULL));
	STEP(begin(j, "id-3", LATER));
#undef STEP
	_exit(0);
}

/* Runs the script until the cut; returns how many steps were acknowledged. */
static int run_cut(enum cut cut, unsigned at, int lose, int *exit_code)
{
	int ends[2], status, steps = 0;
	char done;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		disk.cut = cut;
		disk.at = at;
		disk.lose = lose;
		script(ends[1]);
	}
	close(ends[1]);
	while (read(ends[0], &done, 1) == 1)
		steps = done;
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	*exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return steps;
}

static void check_after(int steps, const char *what)
{
	struct gn_journal *j = open_ok();
	const struct gn_journal_entry *one = gn_journal_find(j, "id-1");
	const struct gn_journal_entry *two = gn_journal_find(j, "id-2");
	const struct gn_journal_entry *three = gn_journal_find(j, "id-3");

	/* Whatever was acknowledged is there; what was not may be, whole (so may be the voiding
	 * of id-2 that follows its beginning). */
	if ((steps >= 1 && !one) || (steps >= 2 && !one->finished) || (steps >= 4 && two) ||
	    (steps >= 5 && !three))
		fail_msg("%s: lost after %d acknowledged steps", what, steps);
	if ((steps < 1 && one && one->finished) || (steps < 2 && two) || (steps < 4 && three))
		fail_msg("%s: something that was not asked for after %d steps", what, steps);
	if (one && !(blob_is(one->command, "command") &&
	             blob_is(one->result, one->finished ? "result" : "noted")))
		fail_msg("%s: id-1 is not whole", what);
	/* And it works on. */
	assert_int_equal(begin(j, "id-9", LATER), 0);
	gn_journal_close(j);
	j = open_ok();
	assert_non_null(gn_journal_find(j, "id-9"));
	gn_journal_close(j);
}

static void power_cuts(void **state)
{
	unsigned cases = 0, at;
	int cut, lose, code = 42;

	for (cut = CUT_NOTHING; cut <= CUT_WHOLE; cut++) {
		for (lose = 0; lose < 2; lose++) {
			code = 42;
			for (at = 1; code == 42; at++, cases++) {
				char what[64];

				clean(NULL);
				snprintf(what, sizeof what, "cut %d, lose %d, operation %u", cut,
				         lose, at);
				check_after(run_cut((enum cut)cut, at, lose, &code), what);
			}
			assert_int_equal(code, 0);
		}
	}
	assert_true(cases > 60); /* some fourteen operations, six ways */
}

static void full_disk(void **state)
{
	struct gn_journal *j = open_ok();
	struct gn_status status = {0};

	assert_int_equal(begin(j, "id-1", LATER), 0);
	disk.full = ENOSPC;
	assert_int_not_equal(gn_journal_begin(j, "id-2", LATER, text("c"), text("n"), NOW, &status),
	                     0);
	assert_int_equal(status.code, GN_RESOURCE_EXHAUSTED);
	assert_null(gn_journal_find(j, "id-2"));
	/* A result that cannot be noted is still given again by this process. */
	assert_int_not_equal(finish(j, "id-1", LATER), 0);
	assert_true(gn_journal_find(j, "id-1")->finished);
	disk.full = 0;
	assert_int_equal(begin(j, "id-3", LATER), 0);
	gn_journal_close(j);
	j = open_ok();
	assert_true(gn_journal_find(j, "id-1")->finished); /* with the next write it was */
	assert_null(gn_journal_find(j, "id-2"));
	assert_non_null(gn_journal_find(j, "id-3"));
	gn_journal_close(j);
}

static void failing_disk(void **state)
{
	struct gn_journal *j = open_ok();
	struct gn_status status = {0};

	disk.full = EIO;
	assert_int_not_equal(gn_journal_begin(j, "id-2", LATER, text("c"), text("n"), NOW, &status),
	                     0);
	assert_int_equal(status.code, GN_UNAVAILABLE);
	gn_journal_close(j);
	disk.full = 0;
	j = open_ok();
	gn_journal_close(j);
}

static void damage(void **state)
{
	struct gn_journal *j = open_ok();
	struct gn_status status = {0};
	struct stat st;
	off_t at;
	int fd;
	unsigned refused = 0, kept = 0;

	assert_int_equal(finish(j, "id-1", LATER), 0);
	assert_int_equal(finish(j, "id-2", LATER), 0);
	gn_journal_close(j);
	fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	for (at = 0; at < st.st_size; at++) {
		uint8_t good, bad;

		assert_int_equal(pread(fd, &good, 1, at), 1);
		bad = (uint8_t)(good ^ 0x10);
		assert_int_equal(__real_pwrite(fd, &bad, 1, at), 1);
		if (gn_journal_open(path, &j, &status) == 0) {
			/* Taken for a torn tail: then the first record is whole. */
			assert_null(gn_journal_find(j, "id-2"));
			assert_non_null(gn_journal_find(j, "id-1"));
			gn_journal_close(j);
			kept++;
			/* It was rewritten: put the old one back. */
			clean(NULL);
			close(fd);
			j = open_ok();
			assert_int_equal(finish(j, "id-1", LATER), 0);
			assert_int_equal(finish(j, "id-2", LATER), 0);
			gn_journal_close(j);
			fd = open(path, O_RDWR);
		} else {
			assert_int_equal(status.code, GN_DATA_LOSS);
			assert_int_equal(__real_pwrite(fd, &good, 1, at), 1);
			refused++;
		}
	}
	close(fd);
	assert_true(refused > 100 && kept > 50);
}

static void cut_at_every_byte(void **state)
{
	struct gn_journal *j = open_ok();
	char saved[4096];
	ssize_t size, n;
	int fd;

	assert_int_equal(finish(j, "id-1", LATER), 0);
	assert_int_equal(begin(j, "id-2", LATER), 0);
	gn_journal_close(j);
	fd = open(path, O_RDONLY);
	size = read(fd, saved, sizeof saved);
	close(fd);
	assert_true(size > 100 && size < (ssize_t)sizeof saved);
	for (n = 0; n < size; n++) {
		fd = open(path, O_WRONLY | O_TRUNC);
		assert_int_equal(write(fd, saved, (size_t)n), n);
		close(fd);
		j = open_ok();
		assert_null(gn_journal_find(j, "id-2"));
		gn_journal_close(j);
	}
}

static void forgets_only_what_is_past(void **state)
{
	struct gn_journal *j = open_ok();
	struct gn_status status = {0};
	char id[32];
	int i;

	for (i = 0; i < GN_JOURNAL_MAX_ENTRIES; i++) {
		snprintf(id, sizeof id, "id-%d", i);
		assert_int_equal(finish(j, id, NOW + (unsigned)i), 0);
	}
	assert_int_equal(gn_journal_forgotten_us(j), 0);
	/* All deadlines are ahead: there is no room. */
	assert_int_not_equal(gn_journal_begin(j, "id-x", LATER, text("c"), text("n"), NOW, &status),
	                     0);
	assert_int_equal(status.code, GN_RESOURCE_EXHAUSTED);
	/* Half of them are past. */
	assert_int_equal(gn_journal_begin(j, "id-x", LATER, text("c"), text("n"), NOW + 512, NULL),
	                 0);
	assert_null(gn_journal_find(j, "id-0"));
	assert_non_null(gn_journal_find(j, "id-512"));
	assert_true(gn_journal_forgotten_us(j) >= NOW && gn_journal_forgotten_us(j) < NOW + 512);
	gn_journal_close(j);
	j = open_ok();
	assert_null(gn_journal_find(j, "id-0"));
	assert_true(gn_journal_forgotten_us(j) >= NOW); /* known after a restart, too */
	gn_journal_close(j);
}

static void stays_small(void **state)
{
	struct gn_journal *j = open_ok();
	struct gn_status status = {0};
	static char large[GN_JOURNAL_BLOB_MAX + 1];
	struct gn_journal_blob most = {large, GN_JOURNAL_BLOB_MAX};
	struct gn_journal_blob too_much = {large, sizeof large};
	struct stat st;
	char id[32];
	int i;

	assert_int_not_equal(gn_journal_begin(j, "id", LATER, too_much, most, NOW, &status), 0);
	assert_int_equal(status.code, GN_INVALID_ARGUMENT);
	for (i = 0; i < 300; i++) {
		snprintf(id, sizeof id, "id-%d", i);
		assert_int_equal(gn_journal_finish(j, id, NOW, most, most, NOW + 1, NULL), 0);
		assert_int_equal(stat(path, &st), 0);
		assert_true(st.st_size <= 4ll * GN_JOURNAL_MAX_BYTES);
	}
	assert_non_null(gn_journal_find(j, "id-299"));
	gn_journal_close(j);
}

static int set_up(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof path, "%s/j", directory);
	return 0;
}

static int tear_down(void **state)
{
	char lock[80];

	clean(state);
	snprintf(lock, sizeof lock, "%s.lock", path);
	unlink(lock);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(remembers, clean),
	        cmocka_unit_test_setup(one_process_only, clean),
	        cmocka_unit_test_setup(power_cuts, clean),
	        cmocka_unit_test_setup(full_disk, clean),
	        cmocka_unit_test_setup(failing_disk, clean),
	        cmocka_unit_test_setup(damage, clean),
	        cmocka_unit_test_setup(cut_at_every_byte, clean),
	        cmocka_unit_test_setup(forgets_only_what_is_past, clean),
	        cmocka_unit_test_setup(stays_small, clean),
	};

	return cmocka_run_group_tests_name("shim journal", tests, set_up, tear_down);
}
