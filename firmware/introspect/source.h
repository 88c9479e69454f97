/* source.h - receives the VMs' memory from the dataplane (proto/ram.h). */
#ifndef GN_INTROSPECT_SOURCE_H
#define GN_INTROSPECT_SOURCE_H

#include "proto/ram.h"

struct gn_source_table {
	struct gn_ram_message message; /* checked: terminated name, regions and fds match */
	int fds[GN_RAM_MAX_REGIONS];   /* the caller's now */
};

/* Connects. A descriptor to poll for reading, or a negative errno (-ECONNREFUSED, -ENOENT: the
 * dataplane is not there). */
int gn_source_connect(const char *path);

/* Next message: 1; 0: none now; -EPIPE: the dataplane has gone; -EBADMSG: it speaks another
 * version. Then the connection is to be closed. */
int gn_source_receive(int fd, struct gn_source_table *out);

void gn_source_close_fds(struct gn_source_table *table);

#endif
