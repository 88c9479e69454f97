/* file_test.c - the file store on real files: in the temporary directory (which usually has
 * O_DIRECT) and on small tmpfs mounts of our own (no space, no O_DIRECT). */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "dataplane/volume/volume.h"

#define MIB        (1u << 20)
#define IMAGE_SIZE (16u * MIB)

struct fixture {
	char directory[64];
	char image[96];
	struct gn_volume *volume;
};

struct request {
	struct gn_volume_request io;
	int error;
	bool done;
};

static void on_done(struct gn_volume_request *io, int error)
{
	struct request *request = (struct request *)io;

	assert_false(request->done);
	request->done = true;
	request->error = error;
}

static int open_image(struct fixture *fixture, bool read_only, unsigned depth)
{
	struct gn_volume_file_config config = {fixture->image, read_only, depth, 200};
	struct gn_status status = {0};
	int err = gn_volume_file_create(&config, &fixture->volume, &status);

	if (err)
		assert_true(strlen(status.message) > 10);
	return err;
}

static void make_image(const char *path, off_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);

	strcpy(fixture->directory, "/tmp/gnv.XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	snprintf(fixture->image, sizeof fixture->image, "%s/image", fixture->directory);
	make_image(fixture->image, IMAGE_SIZE);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	gn_volume_destroy(fixture->volume);
	unlink(fixture->image);
	rmdir(fixture->directory);
	free(fixture);
	return 0;
}

static void submit(struct gn_volume *volume, struct request *request)
{
	struct gn_volume_request *io = &request->io;

	request->done = false;
	io->done = on_done;
	assert_int_equal(gn_volume_submit(volume, &io, 1), 1);
	assert_false(request->done);
}

/* Sleeps as a worker does, so a lost wake-up hangs the test. */
static void wait_for(struct gn_volume *volume, const struct request *request)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	errno = 0;
	assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, volume->event_fd, &event), 0);
	while (gn_volume_poll(volume), !request->done) {
		if (volume->ops->arm(volume) && epoll_wait(epoll_fd, &event, 1, 20000) != 1)
			assert_int_equal(errno, EINTR); /* the kernel's own work for the ring */
		volume->ops->disarm(volume);
	}
	close(epoll_fd);
}

static int run(struct gn_volume *volume, enum gn_volume_op op, uint64_t offset, uint64_t length,
               const struct iovec *iov, unsigned n_iov)
{
	struct request request = {.io = {.op = op,
	                                 .offset_bytes = offset,
	                                 .length_bytes = length,
	                                 .iov = iov,
	                                 .n_iov = n_iov}};

	submit(volume, &request);
	wait_for(volume, &request);
	assert_int_equal(volume->n_in_flight, 0);
	return request.error;
}

static int move(struct gn_volume *volume, enum gn_volume_op op, uint64_t offset, void *data,
                size_t size)
{
	struct iovec iov = {data, size};

	return run(volume, op, offset, size, &iov, 1);
}

static uint8_t *pattern(size_t size, unsigned seed)
{
	uint8_t *data = aligned_alloc(4096, (size + 8192) / 4096 * 4096);

	assert_non_null(data);
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(i * 7 + i / 256 + seed);
	return data;
}

static void check_file(const struct fixture *fixture, off_t at, const uint8_t *expected,
                       size_t size)
{
	uint8_t *data = malloc(size);
	int fd = open(fixture->image, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, data, size, at), size);
	assert_memory_equal(data, expected, size);
	close(fd);
	free(data);
}

/* ---- open -------------------------------------------------------------------- */

static void test_open_refused(void **state)
{
	struct fixture *fixture = *state;
	char image[sizeof fixture->image];

	memcpy(image, fixture->image, sizeof image);
	assert_int_equal(open_image(fixture, false, 0), -EINVAL);
	assert_int_equal(open_image(fixture, false, 5000), -EINVAL);
	snprintf(fixture->image, sizeof fixture->image, "%s/none", fixture->directory);
	assert_int_equal(open_image(fixture, false, 8), -ENOENT);
	strcpy(fixture->image, fixture->directory);
	assert_int_equal(open_image(fixture, false, 8), -EISDIR);
	assert_int_equal(open_image(fixture, true, 8), -EINVAL);
	strcpy(fixture->image, "/dev/null");
	assert_int_equal(open_image(fixture, false, 8), -EINVAL);
	memcpy(fixture->image, image, sizeof image);
	assert_int_equal(truncate(image, 511), 0);
	assert_int_equal(open_image(fixture, false, 8), -EINVAL);
}

static void test_whole_sectors(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(truncate(fixture->image, 512 * 9 + 100), 0);
	assert_int_equal(open_image(fixture, false, 8), 0);
	assert_int_equal(fixture->volume->size_bytes, 512 * 9);
	assert_int_equal(fixture->volume->block_bytes, 512);
}

static void test_one_writer(void **state)
{
	struct fixture *fixture = *state;
	struct gn_volume *first;

	assert_int_equal(open_image(fixture, false, 8), 0);
	first = fixture->volume;
	assert_int_equal(open_image(fixture, false, 8), -EBUSY);
	assert_int_equal(open_image(fixture, true, 8), -EBUSY);
	gn_volume_destroy(first);
	assert_int_equal(open_image(fixture, true, 8), 0);
	first = fixture->volume;
	assert_int_equal(open_image(fixture, true, 8), 0); /* readers share */
	gn_volume_destroy(first);
}

/* ---- data -------------------------------------------------------------------- */

static void test_write_read(void **state)
{
	struct fixture *fixture = *state;
	uint8_t *data = pattern(MIB, 1);
	uint8_t *back = pattern(MIB, 2);
	struct iovec out[] = {{data, 4096}, {data + 4096, 512}, {data + 4608, MIB - 4608}};
	struct iovec in[] = {{back, 512}, {back + 512, MIB - 512}};

	assert_int_equal(open_image(fixture, false, 8), 0);
	assert_int_equal(run(fixture->volume, GN_VOLUME_WRITE, 512, MIB, out, 3), 0);
	assert_int_equal(run(fixture->volume, GN_VOLUME_READ, 512, MIB, in, 2), 0);
	assert_memory_equal(data, back, MIB);
	check_file(fixture, 512, data, MIB);
	assert_int_equal(run(fixture->volume, GN_VOLUME_FLUSH, 0, 0, NULL, 0), 0);
	free(data);
	free(back);
}

/* Guest memory at odd addresses, in odd pieces, larger than a bounce buffer. */
static void test_unaligned_memory(void **state)
{
	struct fixture *fixture = *state;
	const size_t size = 300 * 1024;
	uint8_t *data = pattern(size + 3, 3);
	uint8_t *back = pattern(size + 5, 4);
	struct iovec out[] = {{data + 3, 1}, {data + 4, 200001}, {data + 200005, size - 200002}};
	struct iovec in[] = {{back + 5, 131072}, {back + 5 + 131072, size - 131072}};

	assert_int_equal(open_image(fixture, false, 8), 0);
	assert_int_equal(run(fixture->volume, GN_VOLUME_WRITE, 4096, size, out, 3), 0);
	check_file(fixture, 4096, data + 3, size);
	assert_int_equal(run(fixture->volume, GN_VOLUME_READ, 4096, size, in, 2), 0);
	assert_memory_equal(data + 3, back + 5, size);
	free(data);
	free(back);
}

/* More unaligned requests than bounce buffers, and more requests than the store takes. */
static void test_depth(void **state)
{
	enum { N = 64, SIZE = 4096 };
	struct fixture *fixture = *state;
	struct request requests[N + 1] = {0};
	struct iovec iov[N + 1];
	uint8_t *data = pattern((N + 1) * SIZE + 1, 5);

	assert_int_equal(open_image(fixture, false, N), 0);
	for (unsigned i = 0; i <= N; i++) {
		struct gn_volume_request *io = &requests[i].io;

		iov[i] = (struct iovec){data + 1 + i * SIZE, SIZE};
		*io = (struct gn_volume_request){.op = GN_VOLUME_WRITE,
		                                 .offset_bytes = i * SIZE,
		                                 .length_bytes = SIZE,
		                                 .iov = &iov[i],
		                                 .n_iov = 1,
		                                 .done = on_done};
		assert_int_equal(gn_volume_submit(fixture->volume, &io, 1), i < N);
	}
	for (unsigned i = 0; i < N; i++)
		wait_for(fixture->volume, &requests[i]);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(requests[i].error, 0);
	check_file(fixture, 0, data + 1, N * SIZE);
	free(data);
}

static void test_zeroes_and_discard(void **state)
{
	static const enum gn_volume_op ops[] = {GN_VOLUME_WRITE_ZEROES,
	                                        GN_VOLUME_WRITE_ZEROES_UNMAP, GN_VOLUME_DISCARD};
	struct fixture *fixture = *state;
	uint8_t *data = pattern(4 * MIB, 6);
	uint8_t *expected = pattern(4 * MIB, 6);
	struct stat before, after;

	assert_int_equal(open_image(fixture, false, 8), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(move(fixture->volume, GN_VOLUME_WRITE, 0, data, 4 * MIB), 0);
		assert_int_equal(stat(fixture->image, &before), 0);
		assert_int_equal(run(fixture->volume, ops[i], MIB, 2 * MIB, NULL, 0), 0);
		assert_int_equal(stat(fixture->image, &after), 0);
		memset(expected + MIB, 0, 2 * MIB);
		check_file(fixture, 0, expected, 4 * MIB);
		if (ops[i] == GN_VOLUME_WRITE_ZEROES)
			assert_int_equal(after.st_blocks, before.st_blocks);
		else
			assert_true(after.st_blocks < before.st_blocks);
		assert_int_equal(after.st_size, IMAGE_SIZE);
	}
	free(data);
	free(expected);
}

static void test_shortened_file(void **state)
{
	struct fixture *fixture = *state;
	uint8_t *data = pattern(MIB, 7);

	assert_int_equal(open_image(fixture, false, 8), 0);
	assert_int_equal(truncate(fixture->image, MIB / 2), 0);
	assert_int_equal(move(fixture->volume, GN_VOLUME_READ, 0, data, MIB), -EIO);
	assert_int_equal(move(fixture->volume, GN_VOLUME_READ, MIB, data, 512), -EIO);
	assert_int_equal(move(fixture->volume, GN_VOLUME_READ, 0, data, MIB / 2), 0);
	free(data);
}

static void test_read_only(void **state)
{
	struct fixture *fixture = *state;
	uint8_t *data = pattern(4096, 8);

	assert_int_equal(open_image(fixture, true, 8), 0);
	assert_int_equal(move(fixture->volume, GN_VOLUME_READ, 0, data, 4096), 0);
	assert_int_equal(move(fixture->volume, GN_VOLUME_WRITE, 0, data, 4096), -EROFS);
	assert_int_equal(run(fixture->volume, GN_VOLUME_DISCARD, 0, 4096, NULL, 0), -EROFS);
	assert_int_equal(run(fixture->volume, GN_VOLUME_FLUSH, 0, 0, NULL, 0), 0);
	free(data);
}

static void test_memory_that_is_not_there(void **state)
{
	struct fixture *fixture = *state;
	uint8_t *nowhere = (uint8_t *)(uintptr_t)0x10000; /* below mmap_min_addr */

	assert_int_equal(open_image(fixture, false, 8), 0);
	assert_int_equal(move(fixture->volume, GN_VOLUME_WRITE, 0, nowhere, 4096), -EFAULT);
}

/* ---- tmpfs: in a child with its own mounts ----------------------------------- */

static int on_small_disk(void *arg)
{
	struct fixture *fixture = arg;
	uint8_t *data = pattern(MIB, 9);
	int first, last = 0;

	snprintf(fixture->image, sizeof fixture->image, "%s/image", fixture->directory);
	make_image(fixture->image, 8 * MIB);
	if (open_image(fixture, false, 8) != 0)
		return 10;
	first = move(fixture->volume, GN_VOLUME_WRITE, 0, data, MIB);
	for (unsigned i = 1; i < 8 && !last; i++)
		last = move(fixture->volume, GN_VOLUME_WRITE, i * MIB, data, MIB);
	/* What was written stays readable, and room that is given back can be used. */
	if (move(fixture->volume, GN_VOLUME_READ, 0, data, MIB) != 0)
		return 11;
	if (run(fixture->volume, GN_VOLUME_DISCARD, 0, MIB, NULL, 0) != 0)
		return 12;
	if (move(fixture->volume, GN_VOLUME_WRITE, 4096, data, MIB / 2) != 0)
		return 13;
	/* tmpfs has no ZERO_RANGE: zeroes are written. */
	memset(data, 1, MIB);
	if (run(fixture->volume, GN_VOLUME_WRITE_ZEROES, 8192, 4096, NULL, 0) != 0 ||
	    move(fixture->volume, GN_VOLUME_READ, 8192, data, 4096) != 0 || data[0] || data[4095])
		return 14;
	gn_volume_destroy(fixture->volume);
	free(data);
	return first ? 15 : last == -ENOSPC ? 0 : 16;
}

static void test_full_disk(void **state)
{
	struct fixture *fixture = *state;
	int result;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child) {
		if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mount("tmpfs", fixture->directory, "tmpfs", 0, "size=3m"))
			_exit(77);
		_exit(on_small_disk(fixture));
	}
	assert_int_equal(waitpid(child, &result, 0), child);
	assert_true(WIFEXITED(result));
	if (WEXITSTATUS(result) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(result), 0);
}

/* A killed process' lock is free only when its requests have ended; then it is at once. */
static void test_killed_owner(void **state)
{
	struct fixture *fixture = *state;
	int ready[2], result;
	char byte;
	pid_t child;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (!child) {
		uint8_t *data = pattern(4 * MIB, 10);
		struct iovec iov = {data, 4 * MIB};
		struct request request = {.io = {.op = GN_VOLUME_WRITE,
		                                 .length_bytes = 4 * MIB,
		                                 .iov = &iov,
		                                 .n_iov = 1}};

		if (open_image(fixture, false, 8) != 0)
			_exit(1);
		submit(fixture->volume, &request);
		gn_volume_poll(fixture->volume);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &result, 0), child);
	for (unsigned i = 0; i < 100 && open_image(fixture, false, 8) != 0; i++)
		;
	assert_non_null(fixture->volume);
	close(ready[0]);
	close(ready[1]);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        CASE(open_refused),       CASE(whole_sectors),
	        CASE(one_writer),         CASE(write_read),
	        CASE(unaligned_memory),   CASE(depth),
	        CASE(zeroes_and_discard), CASE(shortened_file),
	        CASE(read_only),          CASE(memory_that_is_not_there),
	        CASE(full_disk),          CASE(killed_owner),
	};

	return cmocka_run_group_tests_name("volume", tests, NULL, NULL);
}
