/* durable.h - what makes a renamed or new file survive a power cut. Any thread. */
#ifndef GN_CORE_DURABLE_H
#define GN_CORE_DURABLE_H

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* Puts the directory entry of 'path' on the disk: fsync(2) of the file alone does not. 0 or a
 * negative errno. */
static inline int gn_sync_directory_of(const char *path)
{
	char copy[PATH_MAX];
	int fd, error;

	if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy)
		return -ENAMETOOLONG;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = fsync(fd) ? -errno : 0;
	close(fd);
	return error;
}

#endif
