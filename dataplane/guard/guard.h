/* guard.h - looks at every vhost-user message before rte_vhost acts on it.
 *
 * A front end (QEMU) is only one step away from its guest; a guest that broke out of it
 * must not be able to harm other VMs through the process that all of them share. DPDK 22.11's
 * rte_vhost believes much of what it is told: it maps what is smaller than claimed, keeps
 * pointers into memory that a refused table has just unmapped, lets a running ring grow past
 * what was checked, uses rings whose shadow it has freed, walks off the end of an in-flight
 * buffer, and reads a half-sent message with its one event thread for ever. So every message must
 * have its exact size and descriptors, make sense by itself, and come at a time when
 * rte_vhost can take it; the rest is refused, counted, and its descriptors are closed.
 *
 * Use: gn_guard_open() in new_connection, gn_guard_check() first of all in pre_msg_handle,
 * gn_guard_close() in destroy_connection, gn_guard_forget() once a socket is unregistered.
 * fault.h catches what a message cannot show: memory that is taken away later.
 *
 * Threads: rte_vhost's event thread; gn_guard_forget() from control. The counter from
 * any. */
#ifndef GN_DATAPLANE_GUARD_H
#define GN_DATAPLANE_GUARD_H

#include <stdint.h>
#include <rte_vhost.h>

#define GN_GUARD_MAX_VRINGS 64

/* A new front end. It gets 'n_vrings' <= GN_GUARD_MAX_VRINGS. Its socket is given time
 * limits, so that it cannot stop the event thread by sending half a message or never reading
 * a reply. -EBUSY: the socket's previous front end is still connected; there is one at a
 * time, which also bounds the devices that a front end can use up. -EINVAL, -ENOENT. */
int gn_guard_open(int vid, unsigned n_vrings);
void gn_guard_close(int vid);

/* Closes every front end of the socket at 'path', of whose end rte_vhost does not tell. By path,
 * since rte_vhost may have given its number to another socket's front end by now. */
void gn_guard_forget(const char *path);

/* Returns NULL when the message may be handled. Otherwise it must not be: its descriptors are
 * closed already, return RTE_VHOST_MSG_RESULT_ERR; the text says why, for the log. */
const char *gn_guard_check(int vid, void *msg);

/* Messages refused since the start. */
uint64_t gn_guard_refused(void);

#endif
