/* libvirt_internal.h - what the libvirt adapter's three sources share; nobody else includes
 * this. libvirt_host.c has the connection and the host, libvirt_domain.c domains and pools,
 * libvirt_stats.c the statistics. */
#ifndef GN_SHIM_LIBVIRT_INTERNAL_H
#define GN_SHIM_LIBVIRT_INTERNAL_H

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "firmware/core/mutex.h"
#include "host-shim/libvirt_host.h"
#include "host-shim/stats_cache.h"

struct gn_host {
	char *uri;
	struct gn_mutex lock; /* everything below */
	virConnectPtr conn;
	bool opening; /* somebody is at it, without the lock */
	int event_id;
	uint64_t backoff_us;
	uint64_t next_try_us; /* monotonic */
	char last_error[GN_STATUS_MESSAGE_SIZE];
	struct gn_stats_cache cache;
	bool kvm_known; /* whether KVM is there, on this connection */
	bool kvm;
};

/* A reference to a live connection, the caller's to close; or NULL with the reason in
 * 'status' (UNAVAILABLE). */
virConnectPtr gn_libvirt_acquire(struct gn_host *host, struct gn_status *status);

/* Translates libvirt's last error of this thread. */
int gn_libvirt_error(virConnectPtr conn, struct gn_status *status);

enum gn_vm_state gn_libvirt_state(int state);
int gn_libvirt_describe(virDomainPtr domain, struct gn_vm_description *out,
                        struct gn_status *status);

#endif
