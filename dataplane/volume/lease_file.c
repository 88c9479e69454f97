/* lease_file.c - see lease_file.h; the rule is lease.c's. */
#include "dataplane/volume/lease_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "dataplane/volume/lease.h"
#include "firmware/core/durable.h"

#define LOOK_US 10000

static int lock(int fd, unsigned wait_ms)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	for (uint64_t waited_us = 0;; waited_us += LOOK_US) {
		if (fcntl(fd, F_OFD_SETLK, &all) == 0)
			return 0;
		if (errno != EAGAIN && errno != EACCES)
			return -errno;
		if (waited_us >= wait_ms * 1000ull)
			return -EBUSY;
		usleep(LOOK_US);
	}
}

/* A file that is shorter than two slots is a new one, or its making was cut off. */
static int read_slots(int fd, struct gn_lease slots[2])
{
	memset(slots, 0, 2 * sizeof *slots);
	return pread(fd, slots, 2 * sizeof *slots, 0) < 0 ? -errno : 0;
}

static int sync_all(int fd, const char *path)
{
	return fdatasync(fd) ? -errno : gn_sync_directory_of(path);
}

static int write_slot(int fd, const struct gn_lease *lease, unsigned slot, const char *path)
{
	ssize_t n = pwrite(fd, lease, sizeof *lease, (off_t)(slot * sizeof *lease));

	if (n != (ssize_t)sizeof *lease)
		return n < 0 ? -errno : -ENOSPC;
	return sync_all(fd, path);
}

static int attach(int fd, const char *path, uint64_t token, uint64_t holder, unsigned wait_ms,
                  uint64_t *found)
{
	struct gn_lease slots[2], lease;
	unsigned slot;
	int err = lock(fd, wait_ms);

	if (!err)
		err = read_slots(fd, slots);
	if (err)
		return err;
	switch (gn_lease_attach(slots, token, holder, &lease, &slot)) {
	case GN_LEASE_HELD:
		/* Whoever wrote it may have been killed before it was on the disk. */
		return sync_all(fd, path);
	case GN_LEASE_TAKE:
		return write_slot(fd, &lease, slot, path);
	case GN_LEASE_REFUSED:
		break;
	}
	*found = slots[slots[1].generation > slots[0].generation].token;
	return -EPERM;
}

int gn_lease_file_attach(const char *shadow_path, uint64_t token, uint64_t holder, unsigned wait_ms,
                         int *fd, struct gn_status *status)
{
	char path[4096];
	uint64_t found = 0;
	int file, err;

	if (snprintf(path, sizeof path, "%s.lease", shadow_path) >= (int)sizeof path)
		return gn_status_set(status, GN_INVALID_ARGUMENT, "'%.100s...' is too long",
		                     shadow_path);
	file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	err = file < 0 ? -errno : attach(file, path, token, holder, wait_ms, &found);
	if (!err) {
		*fd = file;
		return 0;
	}
	if (err == -EPERM && found)
		gn_status_set(
		        status, GN_FAILED_PRECONDITION,
		        "the lease '%s' was given with token %llu, and this writer shows %llu: "
		        "it is fenced; only a writer with a higher token may take the shadow",
		        path, (unsigned long long)found, (unsigned long long)token);
	else if (err == -EBUSY)
		gn_status_set(status, GN_FAILED_PRECONDITION,
		              "the lease '%s' is held by another writer, which is at work", path);
	else
		gn_status_set(status, gn_code_from_errno(err), "the lease '%s': %s", path,
		              strerror(-err));
	if (file >= 0)
		close(file);
	return err;
}
