/* names.h - resource names: "ports/web-1-net0", "vms/web-1", "vms/web-1/mirrors/shadow". Pure.
 * An id is 1..64 of [A-Za-z0-9._-] and begins with a letter or digit, so it is also a safe
 * file name. */
#ifndef GN_DATAPLANE_NAMES_H
#define GN_DATAPLANE_NAMES_H

#include "firmware/core/status.h"

#define GN_NAME_MAX_ID 64

/* 'collection' is "ports/", "vms/" or "volumes/". -EINVAL with a sentence. */
int gn_name_check(const char *name, const char *collection, struct gn_status *status);

/* "vms/VM/mirrors/ID": writes "vms/VM" to 'vm'. */
int gn_name_check_mirror(const char *name, char vm[GN_NAME_MAX_ID + 8], struct gn_status *status);

/* What follows the last slash. */
const char *gn_name_id(const char *name);

#endif
