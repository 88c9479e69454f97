/* libvirt_host.h - this host's domains through libvirt; the only user of libvirt's API.
 *
 * Every call may take long, or hang with libvirtd or QEMU: call from worker threads only.
 * Thread-safe. A call that finds no connection opens one, at most once per backoff period
 * (half a second, doubling up to 30 s, then as often as that); in between, calls fail at once.
 *
 * Errors carry libvirt's own text. UNAVAILABLE means that the connection was not there or
 * was lost: then nobody knows whether what was asked for was done. Any other code is
 * libvirt's answer: NOT_FOUND, FAILED_PRECONDITION, DEADLINE_EXCEEDED (libvirt gave up
 * waiting), PERMISSION_DENIED, ...
 *
 * Domains whose names are not 1..64 of [A-Za-z0-9._+-] cannot be addressed and are left out
 * everywhere. */
#ifndef GN_SHIM_LIBVIRT_HOST_H
#define GN_SHIM_LIBVIRT_HOST_H

#include "firmware/core/status.h"
#include "host-shim/vm.h"

struct gn_host;

/* Starts libvirt's event thread (one per process); connects with the first call. */
int gn_host_create(const char *uri, struct gn_host **out, struct gn_status *status);
/* No call may be under way. NULL is fine. */
void gn_host_destroy(struct gn_host *host);

bool gn_host_connected(struct gn_host *host);
/* What the last attempt to connect said; empty if it succeeded. */
void gn_host_last_error(struct gn_host *host, char *out, size_t size);

/* memory_free_bytes is what new VMs can have: the kernel's estimate on a local host,
 * otherwise what libvirt calls free. 'kvm' tells of the domains that run or, if none does,
 * of what could run. The first call may take seconds, while libvirt looks at its emulators. */
int gn_host_get_info(struct gn_host *host, struct gn_host_info *out, struct gn_status *status);
int gn_host_get_free_memory(struct gn_host *host, uint64_t *out, struct gn_status *status);

int gn_host_get_vm(struct gn_host *host, const char *name, struct gn_vm *out,
                   struct gn_status *status);
/* '*out' is the caller's to free(). */
int gn_host_list_vms(struct gn_host *host, struct gn_vm **out, size_t *n_out,
                     struct gn_status *status);
/* All running or paused domains in one call that waits for no domain: of one that is busy the
 * memory figures are those of the last time (memory_updated_us tells). CPU time never goes back
 * when a vCPU is taken away. Allocations are without shares and quota (0). '*out' is the caller's
 * to free(). */
int gn_host_get_stats(struct gn_host *host, struct gn_vm_stats **out, size_t *n_out,
                      struct gn_status *status);

/* How often the guest shall report its memory use to the balloon device. */
int gn_host_set_stats_period(struct gn_host *host, const char *name, uint32_t seconds,
                             struct gn_status *status);

/* Changes of a running domain, which last until it is shut off. They return when libvirt
 * does; what then is the case is told by gn_host_get_vm(). */
int gn_host_set_vcpus(struct gn_host *host, const char *name, uint32_t vcpus,
                      struct gn_status *status);
int gn_host_set_memory(struct gn_host *host, const char *name, uint64_t bytes,
                       struct gn_status *status);
/* 0 leaves a parameter as it is; a quota of -1 is none. */
int gn_host_set_cpu_limit(struct gn_host *host, const char *name, uint64_t shares, int64_t quota_us,
                          uint64_t period_us, struct gn_status *status);
int gn_host_pause(struct gn_host *host, const char *name, struct gn_status *status);
int gn_host_resume(struct gn_host *host, const char *name, struct gn_status *status);

/* The whole definition, with secrets: the live one of a running domain. The caller's to
 * free(). */
int gn_host_get_xml(struct gn_host *host, const char *name, char **out, struct gn_status *status);
/* Never replaces a domain: one of that name is ALREADY_EXISTS or FAILED_PRECONDITION. */
int gn_host_define(struct gn_host *host, const char *xml, char uuid[GN_VM_UUID_SIZE],
                   struct gn_status *status);
/* The storage pool of that name, a directory: defines, builds and starts it as needed.
 * FAILED_PRECONDITION if one of that name is elsewhere. */
int gn_host_ensure_pool(struct gn_host *host, const char *name, const char *path,
                        struct gn_status *status);

/* These three touch only a domain that bears gnomon's mark: checked again on the very
 * domain that is then acted on (PERMISSION_DENIED). */
int gn_host_start_shadow(struct gn_host *host, const char *name, struct gn_status *status);
int gn_host_destroy_shadow(struct gn_host *host, const char *name, struct gn_status *status);
int gn_host_undefine_shadow(struct gn_host *host, const char *name, struct gn_status *status);
/* And these only one that does not: what a failover needs of a production VM. */
int gn_host_destroy_vm(struct gn_host *host, const char *name, struct gn_status *status);
int gn_host_start_vm(struct gn_host *host, const char *name, struct gn_status *status);

#endif
