/* lease_file.h - the lease that is kept with a shadow, in FILE.lease beside it.
 *
 * The journal's own lease tells a card that it was fenced; this one tells any card, wherever the
 * shadow is mounted: whoever is about to write the shadow shows its token here first (lease.h),
 * and holds the file's lock for as long as it writes. So two cards never write one shadow: at the
 * same time by the lock, after each other by the token. */
#ifndef GN_DATAPLANE_VOLUME_LEASE_FILE_H
#define GN_DATAPLANE_VOLUME_LEASE_FILE_H

#include <stdint.h>
#include "firmware/core/status.h"

/* Blocks for I/O and, up to 'wait_ms', for a killed predecessor: control threads only. The lease is
 * durable and '*fd' holds the lock when this returns 0; close it to let go. -EPERM: fenced, a
 * higher token was shown before, or the same by another holder; -EBUSY: locked; or of the files. */
int gn_lease_file_attach(const char *shadow_path, uint64_t token, uint64_t holder, unsigned wait_ms,
                         int *fd, struct gn_status *status);

#endif
