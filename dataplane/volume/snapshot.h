/* snapshot.h - keeps a file's content beside it, for a mirror (gn_vmirror_snapshots).
 *
 * The snapshot of FILE is FILE.point: by reflink where the file system has it, else by copying
 * what holds data. It replaces the one before only when it is complete and durable. The work is a
 * thread's; the file must not be written meanwhile, which the mirror sees to. */
#ifndef GN_DATAPLANE_VOLUME_SNAPSHOT_H
#define GN_DATAPLANE_VOLUME_SNAPSHOT_H

#include "dataplane/volume/mirror.h"

struct gn_snapshots;

/* 'fd' is the file's own descriptor, which must outlive this. NULL: no memory. */
struct gn_snapshots *gn_snapshots_create(const char *path, int fd);
/* Waits for a snapshot that is being taken. NULL is fine. */
void gn_snapshots_destroy(struct gn_snapshots *snapshots);
struct gn_vmirror_snapshots gn_snapshots_ops(struct gn_snapshots *snapshots);

#endif
