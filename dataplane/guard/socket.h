/* socket.h - a path for a unix socket of ours, before it is bound.
 *
 * Whoever names a path may be wrong, and whoever was killed leaves its socket behind. Any thread
 * that may make a system call. */
#ifndef GN_DATAPLANE_GUARD_SOCKET_H
#define GN_DATAPLANE_GUARD_SOCKET_H

#include "firmware/core/status.h"

/* Removes the socket that a process which no longer lives has left at 'path'. Returns 0: nothing
 * is there (any more). Else a sentence in 'status', and what is there stays: -EEXIST, it is no
 * socket; -EADDRINUSE, somebody listens on it, even if too busy to answer; or another negative
 * errno. Never waits. */
int gn_guard_clear_socket(const char *path, struct gn_status *status);

#endif
