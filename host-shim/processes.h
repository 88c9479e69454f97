/* processes.h - the QEMU processes of this host's VMs: finds them in /proc, reads their threads
 * with bpf/tasks.h. Thread-safe.
 *
 * A process that calls itself a VM counts only while it is alone in doing so, or is the only one
 * that libvirt has put into its partition of cgroups: so another user of the host can at most
 * prevent that a VM is observed. */
#ifndef GN_SHIM_PROCESSES_H
#define GN_SHIM_PROCESSES_H

#include "bpf/tasks.h"
#include "host-shim/vm.h"

struct gn_processes;

int gn_processes_create(struct gn_processes **out, struct gn_status *status);
void gn_processes_destroy(struct gn_processes *processes); /* NULL is fine */

/* 0, or why threads cannot be read here, as gn_tasks_open() said. */
int gn_processes_check(const struct gn_processes *processes, struct gn_status *status);

/* The VM's process: NOT_FOUND, or FAILED_PRECONDITION when several claim to be it. */
int gn_processes_find(struct gn_processes *processes, const char *vm, uint32_t *out,
                      struct gn_status *status);
/* Whether that process still is the VM's. */
bool gn_processes_is_alive(const char *vm, uint32_t process);

/* Its threads; '*out' is the caller's to free(). */
int gn_processes_threads(struct gn_processes *processes, const char *vm,
                         struct gn_tasks_record **out, size_t *n_out, struct gn_status *status);
/* Fills in 'process' of every VM whose process is known; of others its pid stays 0. */
void gn_processes_fill(struct gn_processes *processes, struct gn_vm_stats *vms, size_t n);

#endif
