/* agents.h - the reports of gnomon-guest, for VMs whose guest runs it: read from the host's end of
 * their virtio-serial channels, Unix sockets DIRECTORY/<domain>.sock that QEMU listens on.
 *
 * What comes is the guest's: it is bounded per VM and reading, checked (bpf/agent_wire.h), and only
 * the newest good report is kept. A VM does not need this: it starts and runs without. Thread-safe.
 */
#ifndef GN_SHIM_AGENTS_H
#define GN_SHIM_AGENTS_H

#include "host-shim/vm.h"

struct gn_agents;

/* 'directory' is borrowed. -ENOMEM. */
int gn_agents_create(const char *directory, struct gn_agents **out);
void gn_agents_destroy(struct gn_agents *agents); /* NULL is fine */

/* Takes in what has come, without waiting, and fills in 'agent' of every running VM whose report
 * is not older than ten seconds. Channels of VMs that are not listed are closed. */
void gn_agents_fill(struct gn_agents *agents, struct gn_vm_stats *vms, size_t n);
/* Frees what gn_agents_fill() filled in; NULL is fine. */
void gn_agents_release(struct gn_vm_stats *vms, size_t n);

#endif
