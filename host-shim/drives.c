/* drives.c - see drives.h. */
#include "host-shim/drives.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((1u << 20) + 1) /* one more than is read, to tell */

static int is_report(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return n > 5 && entry->d_name[0] != '.' && !strcmp(entry->d_name + n - 5, ".json");
}

/* Bytes read, or -errno. Only regular files: a pipe would block for ever. */
static ssize_t read_file(int directory, const char *name, uint64_t oldest_us, char *text)
{
	int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
	size_t size = 0;
	ssize_t n = 1;
	struct stat stat;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &stat) != 0)
		err = -errno;
	else if (!S_ISREG(stat.st_mode))
		err = -EINVAL;
	else if ((uint64_t)stat.st_mtim.tv_sec * 1000000 < oldest_us)
		err = -ESTALE;
	while (!err && n > 0 && size < FILE_MAX) {
		n = read(fd, text + size, FILE_MAX - size);
		if (n < 0)
			err = -errno;
		else
			size += (size_t)n;
	}
	close(fd);
	return err ? err : (ssize_t)size;
}

static void complain(struct gn_host_drives *out, const char *directory, const char *name,
                     const char *what)
{
	if (!out->trouble[0])
		snprintf(out->trouble, sizeof out->trouble, "%.120s/%.80s cannot be used: %.250s",
		         directory, name, what);
}

static void add(struct gn_host_drives *out, const struct gn_drive_report *report)
{
	for (size_t i = 0; i < out->n; i++)
		if (!strcmp(out->drives[i].name, report->name))
			return;
	out->drives[out->n++] = *report;
}

static void read_reports(const char *directory, int fd, struct dirent **entries, int n,
                         uint64_t oldest_us, struct gn_host_drives *out)
{
	char *text = malloc(FILE_MAX);

	for (int i = 0; text && i < n && out->n < GN_HOST_DRIVES_MAX; i++) {
		const char *name = entries[i]->d_name;
		struct gn_drive_report report;
		struct gn_status status;
		ssize_t size = read_file(fd, name, oldest_us, text);

		if (size == -ESTALE)
			complain(out, directory, name, "it is more than two days old");
		else if (size < 0)
			complain(out, directory, name, strerror((int)-size));
		else if (gn_drive_report_parse(text, (size_t)size, &report, &status) != 0)
			complain(out, directory, name, status.message);
		else
			add(out, &report);
	}
	free(text);
}

void gn_host_drives_read(const char *directory, uint64_t now_us, struct gn_host_drives *out)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n;
	struct dirent **entries = NULL;

	out->n = 0;
	out->trouble[0] = '\0';
	n = fd < 0 ? -1 : scandirat(fd, ".", &entries, is_report, alphasort);
	if (n < 0)
		complain(out, directory, "", strerror(errno));
	else
		read_reports(directory, fd, entries, n,
		             now_us > GN_HOST_DRIVES_STALE_US ? now_us - GN_HOST_DRIVES_STALE_US
		                                              : 0,
		             out);
	for (int i = 0; i < n; i++)
		free(entries[i]);
	free(entries);
	if (fd >= 0)
		close(fd);
}
