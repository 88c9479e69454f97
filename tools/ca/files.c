/* files.c - see files.h. */
#include "tools/ca/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "firmware/core/durable.h"

static int fail(struct gn_status *status, const char *verb, const char *path)
{
	int error = errno;

	if (error == EEXIST)
		return gn_status_set(status, GN_ALREADY_EXISTS,
		                     "'%s' exists and is not overwritten: remove it first, or give "
		                     "--if-missing to keep it",
		                     path);
	gn_status_set(status, gn_code_from_errno(error), "cannot %s '%s': %s", verb, path,
	              strerror(error));
	return -error;
}

static int write_all(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left) {
		ssize_t n = write(fd, text, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		text += n;
		left -= (size_t)n;
	}
	return fsync(fd);
}

static int put_in_place(const char *temporary, const char *path, bool replace)
{
	if (replace ? rename(temporary, path) : link(temporary, path))
		return -1;
	return gn_sync_directory_of(path);
}

int gn_files_write(const char *path, const char *text, mode_t mode, bool replace,
                   struct gn_status *status)
{
	char temporary[PATH_MAX];
	int fd, rc;

	if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary) {
		errno = ENAMETOOLONG;
		return fail(status, "write", path);
	}
	fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
	if (fd < 0)
		return fail(status, "create a file beside", path);
	rc = fchmod(fd, mode) || write_all(fd, text) ? fail(status, "write", path) : 0;
	close(fd);
	if (!rc && put_in_place(temporary, path, replace))
		rc = fail(status, "put in place", path);
	unlink(temporary); /* gone already when it was renamed */
	return rc;
}

int gn_files_make_directory(const char *path, struct gn_status *status)
{
	struct stat stat_;

	if (!mkdir(path, 0700))
		return 0;
	if (errno == EEXIST && !stat(path, &stat_) && S_ISDIR(stat_.st_mode))
		return 0;
	return fail(status, "create directory", path);
}
