/* drives.h - the reports of the host's drives, from a folder that its owner has smartctl write.
 * The shim itself needs no right on any drive. Any thread; calls block for files. */
#ifndef GN_SHIM_DRIVES_H
#define GN_SHIM_DRIVES_H

#include "host-shim/drive_report.h"

#define GN_HOST_DRIVES_MAX      64
#define GN_HOST_DRIVES_STALE_US (2 * 86400000000ull) /* an older report says nothing of today */

struct gn_host_drives {
	size_t n;
	struct gn_drive_report drives[GN_HOST_DRIVES_MAX];
	char trouble[GN_STATUS_MESSAGE_SIZE]; /* of the first report that cannot be used; or empty
	                                       */
};

/* Reads every *.json of 'directory' that is not stale at 'now_us' (wall), in order of their names.
 * A drive that is told twice counts once. */
void gn_host_drives_read(const char *directory, uint64_t now_us, struct gn_host_drives *out);

#endif
