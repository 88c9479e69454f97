/* clone.c - a volume's content as of one instant, in a new file.
 *
 * A thread of its own does it: it has the lcore hold back new writes, waits until those in
 * the store have ended (the instant), copies, and lets the writes go. With reflink the hold
 * lasts for one ioctl. The copy becomes visible under its name only when it is complete: until then
 * it has no name at all (O_TMPFILE), or is removed on failure. Success is told when it is durable.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <libgen.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "dataplane/blk/device.h"
#include "firmware/core/clock.h"

#define CHUNK_SIZE (8u << 20) /* copied between two looks at 'cancelled' */

struct gn_blk_clone {
	struct gn_blk *blk;
	pthread_t thread;
	int done_fd;
	char *target;
	int source; /* of its own, not O_DIRECT: holes and page cache need no alignment */
	int copy;
	sem_t drained;
	_Atomic bool cancelled;
	uint64_t until_us; /* monotonic: writes have been held for long enough */
	bool was_broken;
	enum { OF_VOLUME, OF_SHADOW, OF_FILE } what_of; /* OF_SHADOW: at a consistent point */
	bool in_place; /* 'target' exists already, since O_TMPFILE is not supported */
	struct gn_blk_clone_result result;
	int error;
	char what[64]; /* step that failed */
};

static int fail(struct gn_blk_clone *clone, int error, const char *what)
{
	clone->error = error;
	snprintf(clone->what, sizeof clone->what, "%s", what);
	return error;
}

/* ---- holding writes ---------------------------------------------------------- */

static void call_hold(void *arg)
{
	struct gn_blk_clone *clone = arg;

	gn_blk_hold(clone->blk, &clone->drained);
}

static void call_release(void *arg)
{
	struct gn_blk_clone *clone = arg;

	clone->was_broken = clone->blk->hold_was_broken;
	gn_blk_release(clone->blk);
}

static void hold(struct gn_blk_clone *clone)
{
	gn_worker_call(clone->blk->worker, call_hold, clone);
	while (sem_wait(&clone->drained) != 0)
		;
}

/* ---- copying ----------------------------------------------------------------- */

static bool gives_up(struct gn_blk_clone *clone)
{
	if (clone->cancelled)
		fail(clone, -ECANCELED, "copying");
	else if (gn_clock_monotonic_us() > clone->until_us)
		fail(clone, -ETIME, "copying");
	return clone->error != 0;
}

static int copy_by_buffer(struct gn_blk_clone *clone, off_t at, off_t end, uint8_t *buffer)
{
	while (at < end) {
		size_t size = end - at < CHUNK_SIZE ? (size_t)(end - at) : CHUNK_SIZE;
		ssize_t n = pread(clone->source, buffer, size, at);

		if (n == 0)
			return fail(clone, -EIO, "the volume became shorter");
		if (n > 0)
			n = pwrite(clone->copy, buffer, (size_t)n, at);
		if (n < 0 && errno != EINTR)
			return fail(clone, -errno, "copying");
		if (n > 0)
			at += n;
		if (gives_up(clone))
			return clone->error;
	}
	return 0;
}

static int copy_range(struct gn_blk_clone *clone, off_t at, off_t end, uint8_t *buffer)
{
	while (at < end) {
		off_t from = at, to = at;
		size_t size = end - at < CHUNK_SIZE ? (size_t)(end - at) : CHUNK_SIZE;
		ssize_t n = copy_file_range(clone->source, &from, clone->copy, &to, size, 0);

		if (gives_up(clone))
			return clone->error;
		if (n > 0)
			at += n;
		else if (n == 0 || errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP)
			return copy_by_buffer(clone, at, end, buffer);
		else if (errno != EINTR)
			return fail(clone, -errno, "copying");
	}
	return 0;
}

/* Copies what holds data; the copy already has its size and is all holes. */
static int copy_sparse(struct gn_blk_clone *clone, uint8_t *buffer)
{
	off_t end = (off_t)clone->blk->limits.capacity_bytes;
	off_t at = 0;
	int err = 0;

	while (!err && at < end) {
		off_t data = lseek(clone->source, at, SEEK_DATA);
		off_t hole;

		if (data < 0 && errno == ENXIO)
			return 0;
		if (data < 0) /* a block device, or a file system without holes */
			return copy_range(clone, at, end, buffer);
		if (data >= end)
			return 0;
		hole = lseek(clone->source, data, SEEK_HOLE);
		if (hole < 0 || hole > end)
			hole = end;
		err = copy_range(clone, data, hole, buffer);
		at = hole;
	}
	return err;
}

static bool clone_by_reflink(struct gn_blk_clone *clone)
{
	if (ioctl(clone->copy, FICLONE, clone->source) != 0)
		return false;
	/* The file may be longer than the volume, which is whole sectors. */
	return ftruncate(clone->copy, (off_t)clone->blk->limits.capacity_bytes) == 0;
}

static int copy_all(struct gn_blk_clone *clone)
{
	uint8_t *buffer;
	int err;

	if (ftruncate(clone->copy, (off_t)clone->blk->limits.capacity_bytes) != 0)
		return fail(clone, -errno, "sizing the copy");
	if (posix_memalign((void **)&buffer, 4096, CHUNK_SIZE) != 0)
		return fail(clone, -ENOMEM, "copying");
	err = copy_sparse(clone, buffer);
	free(buffer);
	return err;
}

static int copy_content(struct gn_blk_clone *clone)
{
	clone->result.reflink = clone_by_reflink(clone);
	return clone->result.reflink ? 0 : copy_all(clone);
}

static int copy_point(struct gn_blk_clone *clone)
{
	int err;

	clone->until_us = gn_clock_monotonic_us() + clone->blk->clone_hold_us;
	err = gn_blk_hold_point(clone->blk, clone->until_us, &clone->source,
	                        &clone->result.wall_us);
	if (err)
		return fail(clone, err, "waiting for a consistent point");
	err = copy_content(clone);
	gn_blk_release_point(clone->blk);
	return err;
}

/* Nobody writes it, so nobody waits. */
static int copy_file(struct gn_blk_clone *clone)
{
	clone->until_us = UINT64_MAX;
	clone->result.wall_us = gn_clock_wall_us();
	return copy_content(clone);
}

static int copy_at_instant(struct gn_blk_clone *clone)
{
	int err;

	hold(clone);
	clone->until_us = gn_clock_monotonic_us() + clone->blk->clone_hold_us;
	clone->result.wall_us = gn_clock_wall_us();
	err = copy_content(clone);
	gn_worker_call(clone->blk->worker, call_release, clone);
	if (!err && clone->was_broken)
		err = fail(clone, -ECANCELED, "the VM's disk was reset meanwhile");
	return err;
}

/* ---- the file ---------------------------------------------------------------- */

static int open_directory(const struct gn_blk_clone *clone, int flags)
{
	char path[4096];

	snprintf(path, sizeof path, "%s", clone->target);
	return open(dirname(path), flags, 0600);
}

static int give_name(struct gn_blk_clone *clone)
{
	char path[32];

	if (clone->in_place)
		return 0;
	snprintf(path, sizeof path, "/proc/self/fd/%d", clone->copy);
	if (linkat(AT_FDCWD, path, AT_FDCWD, clone->target, AT_SYMLINK_FOLLOW) != 0)
		return fail(clone, -errno, "naming the copy");
	clone->in_place = true;
	return 0;
}

/* A copy by reflink is in the file system's log before its name, so it gets that first: then one
 * flush of the disk makes both durable. */
static int make_durable(struct gn_blk_clone *clone)
{
	int fd, err = clone->result.reflink ? give_name(clone) : 0;

	if (err)
		return err;
	if (fsync(clone->copy) != 0)
		return fail(clone, -errno, "writing the copy");
	err = give_name(clone);
	if (err)
		return err;
	fd = open_directory(clone, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		err = fail(clone, -errno, "writing the copy's directory");
	if (fd >= 0)
		close(fd);
	return err;
}

static void *run(void *arg)
{
	struct gn_blk_clone *clone = arg;
	const uint64_t one = 1;
	int err = clone->what_of == OF_SHADOW ? copy_point(clone)
	          : clone->what_of == OF_FILE ? copy_file(clone)
	                                      : copy_at_instant(clone);

	if (!err)
		err = make_durable(clone);
	if (err && clone->in_place)
		unlink(clone->target);
	clone->result.size_bytes = clone->blk->limits.capacity_bytes;
	if (write(clone->done_fd, &one, sizeof one) < 0)
		return NULL; /* cannot be: it was empty */
	return NULL;
}

static int open_copy(struct gn_blk_clone *clone)
{
	if (access(clone->target, F_OK) == 0)
		return -EEXIST;
	clone->copy = open_directory(clone, O_TMPFILE | O_RDWR | O_CLOEXEC);
	if (clone->copy >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR)
		return -errno;
	clone->copy = open(clone->target, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (clone->copy < 0)
		return -errno;
	clone->in_place = true;
	return 0;
}

static int open_source(struct gn_blk_clone *clone, const char *source_path)
{
	char path[32];

	if (clone->what_of == OF_SHADOW)
		return 0; /* when it is held */
	if (clone->what_of == OF_FILE) {
		clone->source = open(source_path, O_RDONLY | O_CLOEXEC);
		return clone->source < 0 ? -errno : 0;
	}

	snprintf(path, sizeof path, "/proc/self/fd/%d", clone->blk->volume->file_fd);
	clone->source = open(path, O_RDONLY | O_CLOEXEC);
	return clone->source < 0 ? -errno : 0;
}

/* ---- the door ---------------------------------------------------------------- */

static void free_clone(struct gn_blk_clone *clone)
{
	if (clone->source >= 0)
		close(clone->source);
	if (clone->copy >= 0)
		close(clone->copy);
	if (clone->done_fd >= 0)
		close(clone->done_fd);
	sem_destroy(&clone->drained);
	free(clone->target);
	free(clone);
}

static struct gn_blk_clone *allocate(struct gn_blk *blk, const char *target_path)
{
	struct gn_blk_clone *clone = calloc(1, sizeof *clone);

	if (!clone)
		return NULL;
	clone->blk = blk;
	clone->source = clone->copy = -1;
	sem_init(&clone->drained, 0, 0);
	clone->target = strdup(target_path);
	clone->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (clone->target && clone->done_fd >= 0)
		return clone;
	free_clone(clone);
	return NULL;
}

static int report(const struct gn_blk *blk, const char *target, int error, const char *what,
                  struct gn_status *status)
{
	switch (-error) {
	case EEXIST:
		gn_status_set(status, GN_ALREADY_EXISTS,
		              "'%s' exists; choose another target or remove it", target);
		break;
	case ENOSPC:
	case EDQUOT:
		gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		              "no room for a copy of %s at '%s' (%llu bytes at most); free some or "
		              "choose another place",
		              blk->name, target, (unsigned long long)blk->limits.capacity_bytes);
		break;
	case ETIME:
		gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		              "the copy of %s was given up: it would have held writes back "
		              "for more than %llu ms; put the volume and '%s' on one file system "
		              "with reflink (XFS, btrfs)",
		              blk->name, (unsigned long long)blk->clone_hold_us / 1000, target);
		break;
	case EAGAIN:
		gn_status_set(
		        status, GN_UNAVAILABLE,
		        "the shadow of %s has no consistent content at this moment: it is "
		        "synchronised for the first time, or does not answer; try again later",
		        blk->name);
		break;
	case ECANCELED:
		gn_status_set(status, GN_CANCELLED, "the copy of %s was given up: %s; try again",
		              blk->name, what);
		break;
	default:
		gn_status_set(status, gn_code_from_errno(error), "the copy of %s to '%s': %s: %s",
		              blk->name, target, what, strerror(-error));
	}
	return error;
}

/* The thread belongs to the device from here on, so that destroy can end it. */
static int enter(struct gn_blk_clone *clone)
{
	struct gn_blk *blk = clone->blk;
	int err = 0;

	gn_mutex_lock(&blk->lock);
	if (blk->clone || blk->is_closing)
		err = -EBUSY;
	else
		err = -pthread_create(&clone->thread, NULL, run, clone);
	if (!err)
		blk->clone = clone;
	gn_mutex_unlock(&blk->lock);
	return err;
}

static int start(struct gn_blk *blk, int what_of, const char *source_path, const char *target_path,
                 struct gn_blk_clone **out, struct gn_status *status)
{
	struct gn_blk_clone *clone;
	int err;

	if (blk->volume->file_fd < 0)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "%s is kept by an NBD server; copy it there, or by nbdcopy",
		                     blk->name);
	clone = allocate(blk, target_path);
	if (!clone)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for a copy of %s",
		                     blk->name);
	clone->what_of = what_of;
	err = open_source(clone, source_path);
	if (!err)
		err = open_copy(clone);
	if (!err)
		err = enter(clone);
	if (!err) {
		*out = clone;
		return 0;
	}
	if (clone->in_place)
		unlink(target_path);
	free_clone(clone);
	if (err == -EBUSY) {
		gn_status_set(status, GN_FAILED_PRECONDITION,
		              "%s is being copied already; wait for that copy", blk->name);
		return err;
	}
	return report(blk, target_path, err, "opening", status);
}

int gn_blk_clone_start(struct gn_blk *blk, const char *target_path, struct gn_blk_clone **out,
                       struct gn_status *status)
{
	return start(blk, OF_VOLUME, NULL, target_path, out, status);
}

int gn_blk_point_start(struct gn_blk *blk, const char *target_path, struct gn_blk_clone **out,
                       struct gn_status *status)
{
	if (!blk->replica) {
		gn_status_set(status, GN_FAILED_PRECONDITION,
		              "%s has no shadow to copy from; mirror it first", blk->name);
		return -ENOENT;
	}
	return start(blk, OF_SHADOW, NULL, target_path, out, status);
}

int gn_blk_copy_start(struct gn_blk *blk, const char *source_path, const char *target_path,
                      struct gn_blk_clone **out, struct gn_status *status)
{
	return start(blk, OF_FILE, source_path, target_path, out, status);
}

int gn_blk_clone_fd(const struct gn_blk_clone *clone)
{
	return clone->done_fd;
}

void gn_blk_clone_cancel(struct gn_blk_clone *clone)
{
	clone->cancelled = true;
}

int gn_blk_clone_finish(struct gn_blk_clone *clone, struct gn_blk_clone_result *result,
                        struct gn_status *status)
{
	struct gn_blk *blk = clone->blk;
	int err;

	pthread_join(clone->thread, NULL);
	gn_mutex_lock(&blk->lock);
	blk->clone = NULL;
	gn_mutex_unlock(&blk->lock);
	err = clone->error;
	if (err)
		report(blk, clone->target, err, clone->what, status);
	else
		*result = clone->result;
	free_clone(clone);
	return err;
}
