/* clone.c - a volume's content as of one instant, in a new file.
 *
 * A thread of its own does it. It copies everything while the VM goes on writing, then what was
 * written meanwhile (volume/changes.h), and so on. When little is left it has the lcore hold back
 * new writes, waits until those in the store have ended (the instant), copies the rest, and lets
 * the writes go. Even with reflink all at once would not do: a disk that was written at random has
 * hundreds of thousands of extents, and that ioctl then takes seconds. The copy becomes visible
 * under its name only when it is complete: until then it has no name at all (O_TMPFILE), or is
 * removed on failure. Success is told when it is durable. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include "dataplane/blk/device.h"
#include "dataplane/volume/filecopy.h"
#include "firmware/core/clock.h"

#define FEW_GRANULES  64u /* take a millisecond or two */
#define MAX_PASSES    16u
#define MAX_TRIES     16u
#define LEAST_GRANULE 4096u
#define MOST_GRANULE  65536u

struct gn_blk_clone {
	struct gn_blk *blk;
	pthread_t thread;
	int done_fd;
	char *target;
	int source; /* of its own, not O_DIRECT: holes and page cache need no alignment */
	int copy;
	struct gn_filecopy files;
	struct gn_volume *store;      /* that has 'source'; NULL: nobody writes it */
	struct gn_changes changes[2]; /* of it, since they were taken last: in turn */
	struct gn_changes *noted;     /* the one that the lcore has */
	uint64_t n_noted;
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

/* ---- what changes meanwhile --------------------------------------------------- */

static int go_on(void *context)
{
	const struct gn_blk_clone *clone = context;

	if (clone->cancelled)
		return -ECANCELED;
	return gn_clock_monotonic_us() > clone->until_us ? -ETIME : 0;
}

static void call_note(void *arg)
{
	struct gn_blk_clone *clone = arg;

	clone->store->changes = clone->noted;
}

static void call_count(void *arg)
{
	struct gn_blk_clone *clone = arg;

	clone->n_noted = clone->noted->n_set;
}

/* What was noted so far is the thread's from here on, and the other set takes what comes. */
static struct gn_changes *take_noted(struct gn_blk_clone *clone)
{
	struct gn_changes *taken = clone->noted;

	clone->noted = taken == &clone->changes[0] ? &clone->changes[1] : &clone->changes[0];
	gn_worker_call(clone->blk->worker, call_note, clone);
	return taken;
}

/* All holes. */
static int size_copy(struct gn_blk_clone *clone)
{
	if (ftruncate(clone->copy, 0) != 0 ||
	    ftruncate(clone->copy, (off_t)clone->blk->limits.capacity_bytes) != 0)
		return fail(clone, -errno, "sizing the copy");
	return 0;
}

static int begin_noting(struct gn_blk_clone *clone)
{
	const uint64_t size = clone->blk->limits.capacity_bytes;
	uint64_t least = LEAST_GRANULE, granule;
	struct stat st;

	if (fstat(clone->source, &st) == 0 && S_ISREG(st.st_mode))
		while (least < (uint64_t)st.st_blksize && least < MOST_GRANULE)
			least *= 2;
	granule = gn_changes_granule(size, least);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t n = (size + granule - 1) / granule;
		uint64_t *bits = calloc(GN_CHANGES_WORDS(n), sizeof *bits);

		clone->changes[i] = (struct gn_changes){bits, n, 0, granule, size};
		if (!bits)
			return -ENOMEM;
	}
	clone->noted = &clone->changes[0];
	gn_worker_call(clone->blk->worker, call_note, clone);
	clone->files.from = clone->source;
	return size_copy(clone);
}

static void end_noting(struct gn_blk_clone *clone)
{
	clone->noted = NULL;
	gn_worker_call(clone->blk->worker, call_note, clone);
}

/* ---- copying ----------------------------------------------------------------- */

static int copy_all(struct gn_blk_clone *clone)
{
	int err = size_copy(clone);

	clone->files.from = clone->source;
	clone->files.is_fresh = true;
	return err ? err : gn_filecopy(&clone->files, 0, clone->blk->limits.capacity_bytes);
}

static int copy_changes(struct gn_blk_clone *clone, struct gn_changes *changes)
{
	uint64_t cursor = 0, offset, length;
	int err = 0;

	clone->files.is_fresh = false;
	while (!err && gn_changes_take(changes, &cursor, &offset, &length))
		err = gn_filecopy(&clone->files, offset, length);
	return err;
}

/* Copies all of it, then what changed meanwhile, until that is little or does not become less.
 * Nobody waits for this. Sharing blocks is done once: each step waits for the file's writes in
 * flight, so what is left is shared ten times faster while there are none. */
static int copy_ahead(struct gn_blk_clone *clone)
{
	uint64_t before = UINT64_MAX;
	int err = copy_all(clone);

	for (unsigned pass = 1; !err && pass < MAX_PASSES; pass++) {
		gn_worker_call(clone->blk->worker, call_count, clone);
		if (clone->files.shared || clone->n_noted <= FEW_GRANULES ||
		    clone->n_noted > before - before / 8)
			break;
		before = clone->n_noted;
		err = copy_changes(clone, take_noted(clone));
	}
	return err;
}

/* With writes held back. */
static int copy_rest(struct gn_blk_clone *clone)
{
	int err;

	clone->files.hurries = true;
	clone->until_us = gn_clock_monotonic_us() + clone->blk->clone_hold_us;
	err = copy_changes(clone, take_noted(clone));
	clone->files.hurries = false;
	clone->until_us = UINT64_MAX;
	return err;
}

/* ---- of the volume: its writes are held back ------------------------------------ */

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

/* Until those in the store have ended. */
static int wait_drained(struct gn_blk_clone *clone)
{
	struct timespec until;
	uint64_t us = gn_clock_wall_us() + clone->blk->clone_hold_us;

	until.tv_sec = (time_t)(us / 1000000);
	until.tv_nsec = (long)(us % 1000000) * 1000;
	while (sem_timedwait(&clone->drained, &until) != 0)
		if (errno != EINTR)
			return fail(clone, -ETIME, "waiting for writes");
	return 0;
}

static int copy_instant(struct gn_blk_clone *clone)
{
	uint64_t begin_us = gn_clock_monotonic_us();
	int err;

	sem_destroy(&clone->drained);
	sem_init(&clone->drained, 0, 0);
	gn_worker_call(clone->blk->worker, call_hold, clone);
	err = wait_drained(clone);
	clone->result.wall_us = gn_clock_wall_us();
	if (!err)
		err = copy_rest(clone);
	gn_worker_call(clone->blk->worker, call_release, clone);
	gn_worker_wake(clone->blk->worker);
	clone->result.held_us = gn_clock_monotonic_us() - begin_us;
	return err;
}

/* A VM that resets its disk is let go on; what it wrote was noted. */
static int copy_at_instant(struct gn_blk_clone *clone)
{
	int err = begin_noting(clone);

	if (!err)
		err = copy_ahead(clone);
	for (unsigned try = 0; !err; try++) {
		err = copy_instant(clone);
		if (err || !clone->was_broken)
			break;
		if (try == MAX_TRIES)
			err = fail(clone, -ECANCELED, "the VM's disk was reset meanwhile");
		else
			err = go_on(clone);
	}
	end_noting(clone);
	return err;
}

/* ---- of the shadow: only its own writes are held back --------------------------- */

static int copy_held_point(struct gn_blk_clone *clone)
{
	bool of_snapshot;
	int fd, err;
	uint64_t begin_us = gn_clock_monotonic_us();

	err = gn_blk_hold_point(clone->blk, begin_us + clone->blk->clone_hold_us, &fd, &of_snapshot,
	                        &clone->result.wall_us);
	if (err)
		return fail(clone, err, "waiting for a consistent point");
	if (of_snapshot) {
		/* It stays as it is, under this descriptor. */
		gn_blk_release_point(clone->blk);
		close(clone->source);
		clone->source = fd;
		return copy_all(clone);
	}
	close(fd);
	err = copy_rest(clone);
	gn_blk_release_point(clone->blk);
	clone->result.held_us = gn_clock_monotonic_us() - begin_us;
	return err;
}

static int copy_point(struct gn_blk_clone *clone)
{
	int err = begin_noting(clone);

	if (!err && gn_blk_shadow_is_point(clone->blk))
		err = copy_ahead(clone);
	else if (!err)
		gn_changes_note(clone->noted, 0, clone->blk->limits.capacity_bytes);
	if (!err)
		err = copy_held_point(clone);
	end_noting(clone);
	return err;
}

/* Nobody writes it, so nobody waits. */
static int copy_file(struct gn_blk_clone *clone)
{
	clone->result.wall_us = gn_clock_wall_us();
	return copy_all(clone);
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
	int fd, err = clone->files.shared ? give_name(clone) : 0;

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
	if (err && !clone->error)
		fail(clone, err, "copying");
	if (err && clone->in_place)
		unlink(clone->target);
	clone->result.reflink = clone->files.shared;
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

	if (clone->store)
		snprintf(path, sizeof path, "/proc/self/fd/%d", clone->store->file_fd);
	clone->source = open(clone->store ? path : source_path, O_RDONLY | O_CLOEXEC);
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
	for (unsigned i = 0; i < 2; i++)
		free(clone->changes[i].bits);
	gn_filecopy_fini(&clone->files);
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
	clone->until_us = UINT64_MAX;
	clone->files.may_go_on = go_on;
	clone->files.context = clone;
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
		              "the copy of %s was given up: it is written faster than it can be "
		              "copied, and would have held writes back for more than %llu ms; try "
		              "when there is less to do, or put the volume and '%s' on one file "
		              "system with reflink (XFS, btrfs)",
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

/* 'store' or 'source_path' is NULL. */
static int start(struct gn_blk *blk, int what_of, struct gn_volume *store, const char *source_path,
                 const char *target_path, struct gn_blk_clone **out, struct gn_status *status)
{
	struct gn_blk_clone *clone;
	int err;

	if (store && store->file_fd < 0)
		return gn_status_set(
		        status, GN_FAILED_PRECONDITION,
		        "%s of %s is kept by an NBD server; copy it there, or by nbdcopy",
		        what_of == OF_SHADOW ? "the shadow" : "the content", blk->name);
	clone = allocate(blk, target_path);
	if (!clone)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for a copy of %s",
		                     blk->name);
	clone->what_of = what_of;
	clone->store = store;
	err = open_source(clone, source_path);
	if (!err)
		err = open_copy(clone);
	clone->files.to = clone->copy;
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
	return start(blk, OF_VOLUME, gn_blk_store(blk), NULL, target_path, out, status);
}

int gn_blk_point_start(struct gn_blk *blk, const char *target_path, struct gn_blk_clone **out,
                       struct gn_status *status)
{
	if (!blk->replica) {
		gn_status_set(status, GN_FAILED_PRECONDITION,
		              "%s has no shadow to copy from; mirror it first", blk->name);
		return -ENOENT;
	}
	return start(blk, OF_SHADOW, gn_blk_shadow_store(blk), NULL, target_path, out, status);
}

int gn_blk_copy_start(struct gn_blk *blk, const char *source_path, const char *target_path,
                      struct gn_blk_clone **out, struct gn_status *status)
{
	return start(blk, OF_FILE, NULL, source_path, target_path, out, status);
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
