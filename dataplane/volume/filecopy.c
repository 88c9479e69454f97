/* filecopy.c - see filecopy.h. */
#include "dataplane/volume/filecopy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "firmware/core/clock.h"

#define CHUNK_SIZE    (8u << 20) /* of data copied between two looks at 'may_go_on' */
#define FIRST_STEP    (64u << 20)
#define MIN_STEP      (64u << 10)
#define MAX_STEP      (1u << 30)
#define STEP_US       4000u
#define SHORT_STEP_US 500u /* needs no pause */

static int go_on(const struct gn_filecopy *copy)
{
	return copy->may_go_on ? copy->may_go_on(copy->context) : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- data -------------------------------------------------------------------- */

static uint8_t *buffer_of(struct gn_filecopy *copy)
{
	if (!copy->buffer)
		copy->buffer = malloc(CHUNK_SIZE);
	return copy->buffer;
}

static int copy_by_buffer(struct gn_filecopy *copy, uint64_t at, uint64_t end)
{
	uint8_t *buffer = buffer_of(copy);
	int err = buffer ? 0 : -ENOMEM;

	while (!err && at < end) {
		ssize_t n =
		        pread(copy->from, buffer, (size_t)least(end - at, CHUNK_SIZE), (off_t)at);

		if (n == 0)
			return -EIO;
		if (n > 0)
			n = pwrite(copy->to, buffer, (size_t)n, (off_t)at);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			at += (uint64_t)n;
		err = go_on(copy);
	}
	return err;
}

static int copy_data(struct gn_filecopy *copy, uint64_t at, uint64_t end)
{
	int err = 0;

	while (!err && at < end) {
		off_t from = (off_t)at, to = (off_t)at;
		ssize_t n = copy_file_range(copy->from, &from, copy->to, &to,
		                            (size_t)least(end - at, CHUNK_SIZE), 0);

		if (n > 0)
			at += (uint64_t)n;
		else if (n == 0 || errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP)
			return copy_by_buffer(copy, at, end);
		else if (errno != EINTR)
			return -errno;
		err = go_on(copy);
	}
	return err;
}

static int write_zeroes(struct gn_filecopy *copy, uint64_t at, uint64_t end)
{
	uint8_t *buffer = buffer_of(copy);
	int err = buffer ? 0 : -ENOMEM;

	if (buffer)
		memset(buffer, 0, CHUNK_SIZE);
	while (!err && at < end) {
		ssize_t n =
		        pwrite(copy->to, buffer, (size_t)least(end - at, CHUNK_SIZE), (off_t)at);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			at += (uint64_t)n;
		err = go_on(copy);
	}
	return err;
}

static int copy_hole(struct gn_filecopy *copy, uint64_t at, uint64_t end)
{
	if (copy->is_fresh || at >= end)
		return 0;
	if (fallocate(copy->to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
	              (off_t)(end - at)) == 0)
		return 0;
	return errno == EOPNOTSUPP ? write_zeroes(copy, at, end) : -errno;
}

static int copy_sparse(struct gn_filecopy *copy, uint64_t at, uint64_t end)
{
	int err = 0;

	while (!err && at < end) {
		off_t data = lseek(copy->from, (off_t)at, SEEK_DATA);
		off_t hole;

		if (data < 0 && errno != ENXIO) /* a block device, or a file system without holes */
			return copy_data(copy, at, end);
		if (data < 0 || (uint64_t)data >= end)
			return copy_hole(copy, at, end);
		hole = lseek(copy->from, data, SEEK_HOLE);
		if (hole < 0 || (uint64_t)hole > end)
			hole = (off_t)end;
		err = copy_hole(copy, at, (uint64_t)data);
		if (!err)
			err = copy_data(copy, (uint64_t)data, (uint64_t)hole);
		at = (uint64_t)hole;
	}
	return err;
}

/* ---- sharing ----------------------------------------------------------------- */

static bool share(const struct gn_filecopy *copy, uint64_t at, uint64_t size)
{
	const struct file_clone_range range = {
	        .src_fd = copy->from, .src_offset = at, .src_length = size, .dest_offset = at};

	return ioctl(copy->to, FICLONERANGE, &range) == 0;
}

/* Steps of about STEP_US; whoever waits to write has his turn between two. */
static void pace(struct gn_filecopy *copy, uint64_t took_us)
{
	if (took_us > 2 * STEP_US && copy->step_bytes > MIN_STEP)
		copy->step_bytes /= 2;
	else if (took_us < STEP_US / 2 && copy->step_bytes < MAX_STEP)
		copy->step_bytes *= 2;
	if (took_us > SHORT_STEP_US && !copy->hurries)
		usleep((useconds_t)least(took_us, STEP_US) / 4);
}

/* -EINVAL comes also of a part that is not whole blocks: that one is copied. */
static bool must_copy(struct gn_filecopy *copy)
{
	if (errno == EOPNOTSUPP || errno == EXDEV || errno == ENOTTY)
		copy->cannot_share = true;
	return copy->cannot_share || errno == EINVAL;
}

int gn_filecopy(struct gn_filecopy *copy, uint64_t offset, uint64_t length)
{
	const uint64_t end = offset + length;
	int err = 0;

	if (!copy->step_bytes)
		copy->step_bytes = FIRST_STEP;
	while (!err && offset < end && !copy->cannot_share) {
		uint64_t size = least(end - offset, copy->step_bytes);
		uint64_t begin_us = gn_clock_monotonic_us();

		if (share(copy, offset, size)) {
			copy->shared = true;
			pace(copy, gn_clock_monotonic_us() - begin_us);
		} else if (!must_copy(copy)) {
			return -errno;
		} else if (!copy->cannot_share) {
			err = copy_sparse(copy, offset, offset + size);
		} else {
			break;
		}
		offset += size;
		if (!err)
			err = go_on(copy);
	}
	return err ? err : copy_sparse(copy, offset, end);
}

void gn_filecopy_fini(struct gn_filecopy *copy)
{
	free(copy->buffer);
	copy->buffer = NULL;
}
