/* snapshot.c - snapshots of a shadow's file, by a thread per snapshot. */
#include "dataplane/volume/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/volume/filecopy.h"
#include "firmware/core/durable.h"

struct gn_snapshots {
	char *path, *point, *temporary;
	int fd;
	pthread_t thread;
	bool has_thread;
	bool drops;         /* the thread removes the snapshot */
	_Atomic int result; /* 0 while it runs */
};

static int fill(int from, int to)
{
	struct gn_filecopy copy = {.from = from, .to = to, .is_fresh = true};
	struct stat st;
	int err = fstat(from, &st) != 0 || ftruncate(to, st.st_size) != 0 ? -errno : 0;

	if (!err)
		err = gn_filecopy(&copy, 0, (uint64_t)st.st_size);
	gn_filecopy_fini(&copy);
	if (!err && fsync(to) != 0)
		err = -errno;
	return err;
}

static int take(const struct gn_snapshots *snapshots)
{
	char own[32];
	int from, to, err;

	/* Of its own: not O_DIRECT. */
	snprintf(own, sizeof own, "/proc/self/fd/%d", snapshots->fd);
	from = open(own, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return -errno;
	to = open(snapshots->temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	err = to < 0 ? -errno : fill(from, to);
	if (!err && rename(snapshots->temporary, snapshots->point) != 0)
		err = -errno;
	if (!err)
		err = gn_sync_directory_of(snapshots->point);
	else if (to >= 0)
		unlink(snapshots->temporary);
	if (to >= 0)
		close(to);
	close(from);
	return err;
}

static void *run(void *arg)
{
	struct gn_snapshots *snapshots = arg;
	int err = 0;

	if (!snapshots->drops)
		err = take(snapshots);
	else if (unlink(snapshots->point) != 0)
		err = -errno;
	snapshots->result = err ? err : 1;
	return NULL;
}

static void join(struct gn_snapshots *snapshots)
{
	if (snapshots->has_thread)
		pthread_join(snapshots->thread, NULL);
	snapshots->has_thread = false;
}

static int start_thread(struct gn_snapshots *snapshots, bool drops)
{
	int err;

	join(snapshots); /* only the removal of the one before can still run, for a moment */
	snapshots->drops = drops;
	snapshots->result = 0;
	err = -pthread_create(&snapshots->thread, NULL, run, snapshots);
	snapshots->has_thread = !err;
	return err;
}

static int start(void *context)
{
	return start_thread(context, false);
}

static int poll_result(void *context)
{
	struct gn_snapshots *snapshots = context;
	int result = snapshots->result;

	if (result)
		join(snapshots);
	return result;
}

static void drop(void *context)
{
	/* One that stays is replaced by the next. */
	(void)start_thread(context, true);
}

struct gn_vmirror_snapshots gn_snapshots_ops(struct gn_snapshots *snapshots)
{
	return (struct gn_vmirror_snapshots){start, poll_result, drop, snapshots};
}

void gn_snapshots_destroy(struct gn_snapshots *snapshots)
{
	if (!snapshots)
		return;
	join(snapshots);
	free(snapshots->path);
	free(snapshots->point);
	free(snapshots->temporary);
	free(snapshots);
}

struct gn_snapshots *gn_snapshots_create(const char *path, int fd)
{
	struct gn_snapshots *snapshots = calloc(1, sizeof *snapshots);

	if (!snapshots)
		return NULL;
	snapshots->fd = fd;
	snapshots->path = strdup(path);
	if (asprintf(&snapshots->point, "%s.point", path) < 0)
		snapshots->point = NULL;
	if (asprintf(&snapshots->temporary, "%s.point.new", path) < 0)
		snapshots->temporary = NULL;
	if (snapshots->path && snapshots->point && snapshots->temporary)
		return snapshots;
	gn_snapshots_destroy(snapshots);
	return NULL;
}
