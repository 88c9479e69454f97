/* state.c - see state.h. */
#include "dataplane/state/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC       0x53504447u /* "GDPS" */
#define VERSION     1u
#define HEADER_SIZE 16
#define LOCK_FILE   "lock"

static uint32_t crc32c(const uint8_t *data, size_t size)
{
	uint32_t crc = 0xffffffff;
	int bit;

	while (size--) {
		crc ^= *data++;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
	}
	return ~crc;
}

static void put32(uint8_t *at, uint32_t value)
{
	int i;

	for (i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static int join(char out[PATH_MAX], const char *directory, const char *file)
{
	return snprintf(out, PATH_MAX, "%s/%s", directory, file) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* mkdir -p */
static int make_directories(const char *directory)
{
	char path[PATH_MAX];
	char *slash;

	if (snprintf(path, sizeof path, "%s", directory) >= (int)sizeof path)
		return -ENAMETOOLONG;
	for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) != 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(path, 0700) != 0 && errno != EEXIST ? -errno : 0;
}

int gn_state_lock(const char *directory, struct gn_status *status)
{
	char path[PATH_MAX];
	int fd, err;

	err = make_directories(directory);
	if (!err)
		err = join(path, directory, LOCK_FILE);
	if (err)
		return gn_status_set(status, gn_code_from_errno(err),
		                     "state_dir '%s' cannot be made: %s", directory,
		                     strerror(-err));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return gn_status_set(status, gn_code_from_errno(errno), "'%s' cannot be opened: %s",
		                     path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		close(fd);
		return gn_status_set(
		        status, GN_FAILED_PRECONDITION,
		        "another gnomon-dataplane uses state_dir '%s'; stop it or give this "
		        "one a directory of its own",
		        directory);
	}
	return fd;
}

/* The whole file in memory; NULL with '*err' 0: there is none. */
static uint8_t *read_file(const char *path, size_t *size, int *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *data = NULL;
	size_t done = 0;

	*err = fd < 0 && errno != ENOENT ? -errno : 0;
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) != 0)
		*err = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size > GN_STATE_MAX_SIZE)
		*err = -EBADMSG;
	else if (!(data = malloc((size_t)st.st_size + 1)))
		*err = -ENOMEM;
	while (!*err && done < (size_t)st.st_size) {
		ssize_t n = read(fd, data + done, (size_t)st.st_size - done);

		if (n <= 0)
			*err = n < 0 ? -errno : -EBADMSG;
		else
			done += (size_t)n;
	}
	close(fd);
	if (*err) {
		free(data);
		return NULL;
	}
	*size = done;
	return data;
}

static Gnomon__V1__DataplaneState *decode(const uint8_t *data, size_t size)
{
	if (size < HEADER_SIZE || get32(data) != MAGIC || get32(data + 4) != VERSION ||
	    get32(data + 8) != size - HEADER_SIZE ||
	    get32(data + 12) != crc32c(data + HEADER_SIZE, size - HEADER_SIZE))
		return NULL;
	return gnomon__v1__dataplane_state__unpack(NULL, size - HEADER_SIZE, data + HEADER_SIZE);
}

static int set_aside(const char *directory, const char *path, struct gn_status *status)
{
	char aside[PATH_MAX];

	if (join(aside, directory, GN_STATE_FILE ".damaged") != 0 || rename(path, aside) != 0)
		return gn_status_set(
		        status, GN_DATA_LOSS,
		        "the state file '%s' is damaged and cannot be moved aside (%s); "
		        "remove it to start from the configuration",
		        path, strerror(errno));
	return gn_status_set(status, GN_DATA_LOSS,
	                     "the state file '%s' is damaged; it is kept as '%s' and the dataplane "
	                     "starts from its configuration",
	                     path, aside);
}

int gn_state_load(const char *directory, Gnomon__V1__DataplaneState **out, struct gn_status *status)
{
	Gnomon__V1__DataplaneState *state;
	char path[PATH_MAX];
	uint8_t *data;
	size_t size = 0;
	int err = join(path, directory, GN_STATE_FILE);

	if (err)
		return gn_status_set(status, GN_INVALID_ARGUMENT, "state_dir is too long");
	data = read_file(path, &size, &err);
	if (err == -EBADMSG)
		return set_aside(directory, path, status);
	if (err)
		return gn_status_set(status, gn_code_from_errno(err), "'%s' cannot be read: %s",
		                     path, strerror(-err));
	if (!data) {
		*out = NULL;
		return 0;
	}
	state = decode(data, size);
	free(data);
	if (!state)
		return set_aside(directory, path, status);
	*out = state;
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

static int sync_directory(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 || fsync(fd) != 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

static int replace_file(const char *directory, const uint8_t *data, size_t size)
{
	char path[PATH_MAX], next[PATH_MAX];
	int fd, err;

	if (join(path, directory, GN_STATE_FILE) != 0 ||
	    join(next, directory, GN_STATE_FILE ".new") != 0)
		return -ENAMETOOLONG;
	fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = write_all(fd, data, size);
	if (!err && fsync(fd) != 0)
		err = -errno;
	if (close(fd) != 0 && !err)
		err = -errno;
	if (!err && rename(next, path) != 0)
		err = -errno;
	if (err)
		unlink(next);
	return err ? err : sync_directory(directory);
}

int gn_state_save(const char *directory, const Gnomon__V1__DataplaneState *state,
                  struct gn_status *status)
{
	size_t size = gnomon__v1__dataplane_state__get_packed_size(state);
	uint8_t *data;
	int err;

	if (size > GN_STATE_MAX_SIZE - HEADER_SIZE)
		return gn_status_set(
		        status, GN_RESOURCE_EXHAUSTED,
		        "the state would take %zu bytes, more than %u; remove some resources", size,
		        GN_STATE_MAX_SIZE);
	data = malloc(HEADER_SIZE + size);
	if (!data)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "out of memory for the state file");
	gnomon__v1__dataplane_state__pack(state, data + HEADER_SIZE);
	put32(data, MAGIC);
	put32(data + 4, VERSION);
	put32(data + 8, (uint32_t)size);
	put32(data + 12, crc32c(data + HEADER_SIZE, size));
	err = replace_file(directory, data, HEADER_SIZE + size);
	free(data);
	if (err)
		return gn_status_set(
		        status, gn_code_from_errno(err),
		        "the state cannot be saved in '%s': %s; make room there, else a "
		        "restart forgets the newest changes",
		        directory, strerror(-err));
	return 0;
}
