/* file.c - see file.h. */
#include "tools/ctl/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/ctl/ctl.h"
#include "tools/ctl/output.h"

/* What is removed when the program ends before the file is complete. */
static struct gn_ctl_file *unfinished;

void *gn_ctl_file_read(const char *path, size_t most, size_t *size)
{
	FILE *file = fopen(path, "rb");
	void *bytes;

	if (!file)
		gn_ctl_usage("%s cannot be read: %s", path, strerror(errno));
	bytes = gn_output_checked(malloc(most + 1));
	*size = fread(bytes, 1, most + 1, file);
	if (ferror(file))
		gn_ctl_usage("%s cannot be read: %s", path, strerror(errno));
	fclose(file);
	if (*size > most)
		gn_ctl_usage("%s is larger than %zu bytes: it is not what is wanted here", path,
		             most);
	return bytes;
}

static void remove_unfinished(void)
{
	if (unfinished)
		unlink(unfinished->temporary);
}

static void __attribute__((noreturn)) give_up(const struct gn_ctl_file *file)
{
	gn_output_error("%s cannot be written: %s", file->path, strerror(errno));
	exit(GN_CTL_REFUSED);
}

void gn_ctl_file_begin(struct gn_ctl_file *file, const char *path)
{
	int fd;

	file->path = path;
	if (snprintf(file->temporary, sizeof file->temporary, "%s.XXXXXX", path) >=
	    (int)sizeof file->temporary)
		gn_ctl_usage("'%.40s...' is too long for a path", path);
	fd = mkstemp(file->temporary);
	if (fd < 0)
		give_up(file);
	file->out = gn_output_checked(fdopen(fd, "wb"));
	unfinished = file;
	atexit(remove_unfinished);
}

void gn_ctl_file_end(struct gn_ctl_file *file)
{
	if (fflush(file->out) || ferror(file->out) || fsync(fileno(file->out)) ||
	    fclose(file->out) || rename(file->temporary, file->path))
		give_up(file);
	unfinished = NULL;
}
