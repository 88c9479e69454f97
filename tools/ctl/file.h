/* file.h - whole files on the operator's machine. One thread; failures end the program with
 * a sentence, as in ctl.h. */
#ifndef GN_CTL_FILE_H
#define GN_CTL_FILE_H

#include <stddef.h>
#include <stdio.h>

/* The file's bytes, for the caller to free(). Larger than 'most' is a usage error. */
void *gn_ctl_file_read(const char *path, size_t most, size_t *size);

/* A file that appears under its name only when it is complete. */
struct gn_ctl_file {
	const char *path;
	char temporary[4200];
	FILE *out;
};
void gn_ctl_file_begin(struct gn_ctl_file *file, const char *path);
void gn_ctl_file_end(struct gn_ctl_file *file);

#endif
