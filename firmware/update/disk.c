/* disk.c - see disk.h. */
#include "firmware/update/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "firmware/core/durable.h"

struct gn_disk {
	struct gn_disk_paths paths;
	int slots[GN_SLOTS]; /* -1: not open */
	char progress[512], history[512];
};

int gn_disk_open(const struct gn_disk_paths *paths, struct gn_disk **out)
{
	struct gn_disk *disk = calloc(1, sizeof *disk);

	if (!disk)
		return -ENOMEM;
	disk->paths = *paths;
	snprintf(disk->progress, sizeof disk->progress, "%s/progress", paths->state_dir);
	snprintf(disk->history, sizeof disk->history, "%s/history", paths->state_dir);
	for (unsigned i = 0; i < GN_SLOTS; i++)
		disk->slots[i] = open(paths->slots[i], O_RDWR | O_CLOEXEC);
	if (mkdir(paths->state_dir, 0700) && errno != EEXIST) {
		int error = -errno;

		gn_disk_close(disk);
		return error;
	}
	*out = disk;
	return 0;
}

void gn_disk_close(struct gn_disk *disk)
{
	if (!disk)
		return;
	for (unsigned i = 0; i < GN_SLOTS; i++)
		if (disk->slots[i] >= 0)
			close(disk->slots[i]);
	free(disk);
}

/* ---- whole reads and writes ---------------------------------------------------------------------
 */

static int write_all(int fd, uint64_t offset, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t n = pwrite(fd, at, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		at += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

static int read_all(int fd, uint64_t offset, void *data, size_t size)
{
	char *at = data;

	while (size) {
		ssize_t n = pread(fd, at, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		at += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

/* ---- the boot environment -----------------------------------------------------------------------
 */

int gn_disk_read_environment(struct gn_disk *disk, char block[GN_SLOTS_BLOCK])
{
	int fd = open(disk->paths.environment, O_RDONLY | O_CLOEXEC);
	int error = fd < 0 ? -errno : read_all(fd, 0, block, GN_SLOTS_BLOCK);

	if (fd >= 0)
		close(fd);
	return error;
}

int gn_disk_write_environment(struct gn_disk *disk, const char block[GN_SLOTS_BLOCK])
{
	/* Never truncated and never another file: GRUB knows its blocks, and FAT has no journal. */
	int fd = open(disk->paths.environment, O_WRONLY | O_CLOEXEC);
	int error = fd < 0 ? -errno : write_all(fd, 0, block, GN_SLOTS_BLOCK);

	if (!error && fsync(fd))
		error = -errno;
	if (fd >= 0)
		close(fd);
	return error;
}

/* ---- slots --------------------------------------------------------------------------------------
 */

uint64_t gn_disk_slot_size(struct gn_disk *disk, unsigned slot)
{
	off_t size = disk->slots[slot] < 0 ? -1 : lseek(disk->slots[slot], 0, SEEK_END);

	return size < 0 ? 0 : (uint64_t)size;
}

int gn_disk_write_slot(struct gn_disk *disk, unsigned slot, uint64_t offset, const void *data,
                       size_t size)
{
	return write_all(disk->slots[slot], offset, data, size);
}

int gn_disk_sync_slot(struct gn_disk *disk, unsigned slot)
{
	return fsync(disk->slots[slot]) ? -errno : 0;
}

int gn_disk_read_slot(struct gn_disk *disk, unsigned slot, uint64_t offset, void *data, size_t size)
{
	if (!offset) { /* what memory holds of it proves nothing */
		ioctl(disk->slots[slot], BLKFLSBUF, 0);
		posix_fadvise(disk->slots[slot], 0, 0, POSIX_FADV_DONTNEED);
	}
	return read_all(disk->slots[slot], offset, data, size);
}

/* ---- small files, replaced as a whole -----------------------------------------------------------
 */

static int replace(const char *path, const void *data, size_t size)
{
	char temporary[520];
	int fd, error;

	snprintf(temporary, sizeof temporary, "%s.new", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	error = write_all(fd, 0, data, size);
	if (!error && fsync(fd))
		error = -errno;
	close(fd);
	if (!error && rename(temporary, path))
		error = -errno;
	return error ? error : gn_sync_directory_of(path);
}

int gn_disk_save_progress(struct gn_disk *disk, const struct gn_disk_progress *progress)
{
	return replace(disk->progress, progress, sizeof *progress);
}

void gn_disk_load_progress(struct gn_disk *disk, struct gn_disk_progress *progress)
{
	int fd = open(disk->progress, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read_all(fd, 0, progress, sizeof *progress))
		memset(progress, 0, sizeof *progress);
	if (fd >= 0)
		close(fd);
}

/* ---- history ------------------------------------------------------------------------------------
 */

#define HISTORY_BYTES ((GN_DISK_LINE + 1) * GN_DISK_LINES * 2)

static size_t read_history(struct gn_disk *disk, char *text)
{
	int fd = open(disk->history, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, HISTORY_BYTES - 1);

	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return n < 0 ? 0 : (size_t)n;
}

/* The start of the newest 'n' lines. */
static const char *newest(const char *text, size_t size, unsigned n)
{
	const char *at = text + size;

	while (at > text) {
		if (at < text + size && at[-1] == '\n' && !--n)
			break;
		at--;
	}
	return at;
}

int gn_disk_add_history(struct gn_disk *disk, const char *line)
{
	char *text = malloc(HISTORY_BYTES + GN_DISK_LINE + 2);
	const char *kept;
	size_t size;
	int error;

	if (!text)
		return -ENOMEM;
	size = read_history(disk, text);
	kept = newest(text, size, GN_DISK_LINES - 1);
	size -= (size_t)(kept - text);
	memmove(text, kept, size);
	size += (size_t)snprintf(text + size, GN_DISK_LINE + 2, "%.*s\n", (int)GN_DISK_LINE, line);
	error = replace(disk->history, text, size);
	free(text);
	return error;
}

void gn_disk_each_history(struct gn_disk *disk, void (*each)(void *context, char *line),
                          void *context)
{
	char *text = malloc(HISTORY_BYTES), *rest = NULL;

	if (!text)
		return;
	read_history(disk, text);
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		each(context, line);
	free(text);
}
