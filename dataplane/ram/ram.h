/* ram.h - the VMs' memory, for gnomon-introspect to read (proto/ram.h).
 *
 * A vhost-user device, named by its socket, offers the memory table that its front end sent,
 * and takes it back when another comes or the front end goes. A VM's devices all have the same
 * memory; the newest table speaks for the VM. Descriptors are opened anew, read-only.
 *
 * Threads: all functions from any thread but an lcore. They never wait for a reader: one that
 * does not keep up is disconnected, and gets everything anew when it connects again. */
#ifndef GN_DATAPLANE_RAM_H
#define GN_DATAPLANE_RAM_H

#include "firmware/core/status.h"

struct sd_event;

/* Listens on 'path' (mode 0600, a stale one is replaced), accepting in 'event''s loop. Without
 * it the other functions only keep books. */
int gn_ram_listen(struct sd_event *event, const char *path, struct gn_status *status);
/* Stops listening, disconnects readers, forgets everything. */
void gn_ram_stop(void);

/* For listen.c: a new reader, and the end of everything else. */
void gn_ram_welcome(int fd);
void gn_ram_forget(void);

/* The device behind 'socket_path' belongs to 'vm'. -ENOMEM, -ENAMETOOLONG. */
int gn_ram_bind(const char *socket_path, const char *vm);
void gn_ram_unbind(const char *socket_path);

/* rte_vhost has mapped the device's memory table. Nothing happens for a device that is not
 * bound, or has memory that cannot be shared. */
void gn_ram_offer(const char *socket_path, int vid);
void gn_ram_revoke(const char *socket_path);

#endif
