/* counters.h - what a server remembers of its senders' counters (replay.h), across restarts.
 *
 * A file, replaced as a whole, with a line for each sender: its key's hash and a mark. Before a
 * request above the mark is taken, the mark is raised GN_COUNTERS_AHEAD_US beyond it and is on the
 * disk; so after a power cut nothing that was taken can be taken again, and at most what senders
 * send within that time must be sent once more with a later counter (the reply says which). While
 * the disk refuses, senders are remembered in memory alone. One thread. */
#ifndef GN_PROTO_SIGN_COUNTERS_H
#define GN_PROTO_SIGN_COUNTERS_H

#include "firmware/core/status.h"
#include "proto/sign/replay.h"

#define GN_COUNTERS_AHEAD_US                                                                       \
	1000000u /* counters are wall times: one writing a second and sender                       \
	          */

struct gn_counters;

/* 'path' NULL: in memory alone. -EINVAL with a sentence: the file is damaged. */
int gn_counters_open(const char *path, struct gn_counters **out, struct gn_status *status);
/* Writes what was really seen, so that a restart in order refuses nothing new. NULL is fine. */
void gn_counters_close(struct gn_counters *counters);

/* 0 and the request is remembered; or -EEXIST (it came already) or -ESTALE (it may have), both
 * UNAUTHENTICATED with a sentence that begins with "replayed", and '*floor' to send above. */
int gn_counters_take(struct gn_counters *counters, const uint8_t key[GN_REPLAY_KEY],
                     const struct gn_replay_request *request, uint64_t *floor,
                     struct gn_status *status);

#endif
