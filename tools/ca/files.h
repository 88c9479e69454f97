/* files.h - small files that appear whole or not at all. */
#ifndef GN_TOOLS_CA_FILES_H
#define GN_TOOLS_CA_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "firmware/core/status.h"

/* Writes 'text' to 'path' with 'mode': into a temporary file beside it, synced, then put in
 * place in one step, and the directory synced. Without 'replace' an existing file is
 * -EEXIST and stays. */
int gn_files_write(const char *path, const char *text, mode_t mode, bool replace,
                   struct gn_status *status);

/* Creates a directory with mode 0700; one that exists is fine. */
int gn_files_make_directory(const char *path, struct gn_status *status);

#endif
