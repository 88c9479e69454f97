/* state.h - what control told the dataplane, kept in one file so that a restart finds it.
 *
 * A file is a header (magic, version, length, CRC-32C) and a serialised DataplaneState. It is
 * written beside the old one, synced, renamed over it, and the directory synced: at every
 * instant the name holds a whole old or a whole new state. Control thread. */
#ifndef GN_DATAPLANE_STATE_H
#define GN_DATAPLANE_STATE_H

#include "firmware/core/status.h"
#include "proto/gnomon/v1/dataplane.pb-c.h"

#define GN_STATE_FILE     "dataplane.state"
#define GN_STATE_MAX_SIZE (16u << 20)

/* Takes 'directory' (made, 0700, when missing) for this process alone. The descriptor returned
 * holds the lock; close it to let go. Negative errno with a sentence: -EBUSY: another dataplane
 * runs with it. */
int gn_state_lock(const char *directory, struct gn_status *status);

/* '*out' is NULL when there is none yet; free it with
 * gnomon__v1__dataplane_state__free_unpacked(). -EBADMSG: the file was damaged and is now
 * kept as 'dataplane.state.damaged'; the sentence says so. */
int gn_state_load(const char *directory, Gnomon__V1__DataplaneState **out,
                  struct gn_status *status);

/* On failure the old state stays. */
int gn_state_save(const char *directory, const Gnomon__V1__DataplaneState *state,
                  struct gn_status *status);

#endif
