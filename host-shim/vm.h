/* vm.h - what the shim knows about a domain, as plain data.
 *
 * Shared by the libvirt adapter (which fills it), the executor (which judges it) and the
 * wire (which sends it). Strings are NUL-terminated and bounded; what libvirt has longer
 * is left out by the adapter rather than cut. Owner: whoever holds the struct. */
#ifndef GN_SHIM_VM_H
#define GN_SHIM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bpf/tasks.h"

#define GN_VM_NAME_SIZE   65  /* domain names from the network: 1..64 of [A-Za-z0-9._+-] */
#define GN_VM_PATH_SIZE   256 /* files */
#define GN_VM_SOCKET_SIZE 108 /* unix sockets: sun_path */
#define GN_VM_MAC_SIZE    18
#define GN_VM_TARGET_SIZE 32
#define GN_VM_UUID_SIZE   37
#define GN_VM_MAX_NICS    16
#define GN_VM_MAX_DISKS   32

/* Numbered as VmState in host.proto. */
enum gn_vm_state {
	GN_VM_UNKNOWN = 0,
	GN_VM_RUNNING = 1,
	GN_VM_PAUSED = 2,
	GN_VM_SHUT_OFF = 3,
	GN_VM_CRASHED = 4,
	GN_VM_OTHER = 5, /* shutting down, suspended by the guest */
};

struct gn_vm_allocation {
	uint32_t vcpus;
	uint32_t vcpus_maximum;
	uint64_t memory_bytes; /* balloon */
	uint64_t memory_maximum_bytes;
	uint64_t cpu_shares;    /* 0: libvirt reports none */
	int64_t cpu_quota_us;   /* per period and vCPU; -1: none; 0: not known */
	uint64_t cpu_period_us; /* 0: not known */
};

struct gn_vm_nic {
	char mac[GN_VM_MAC_SIZE];
	char socket_path[GN_VM_SOCKET_SIZE]; /* empty: not vhost-user */
	char target[GN_VM_TARGET_SIZE];
};

struct gn_vm_disk {
	char target[GN_VM_TARGET_SIZE];
	char socket_path[GN_VM_SOCKET_SIZE]; /* empty: not vhost-user */
	char source[GN_VM_PATH_SIZE];
};

/* What a domain's XML says that the shim cares about. */
struct gn_vm_description {
	struct gn_vm_nic nics[GN_VM_MAX_NICS];
	size_t n_nics;
	struct gn_vm_disk disks[GN_VM_MAX_DISKS];
	size_t n_disks;
	char shadow_of[GN_VM_NAME_SIZE]; /* domain it is gnomon's shadow of; empty: none */
	uint32_t balloon_period_s;       /* how often the guest reports; 0: never */
	bool balloon;                    /* has a balloon device */
	bool kvm;
	bool tcg; /* QEMU without KVM */
};

struct gn_vm {
	char name[GN_VM_NAME_SIZE];
	char uuid[GN_VM_UUID_SIZE];
	enum gn_vm_state state;
	bool failed; /* shut off because its QEMU ended unexpectedly */
	struct gn_vm_allocation allocation;
	struct gn_vm_description description;
};

/* Cumulative since the VM's start, as HostVmStats in host.proto. */
struct gn_vm_stats {
	char name[GN_VM_NAME_SIZE];
	char shadow_of[GN_VM_NAME_SIZE];
	enum gn_vm_state state;
	struct gn_vm_allocation allocation;
	uint64_t cpu_time_ns;
	uint64_t cpu_wait_ns;
	uint64_t memory_usable_bytes;
	uint64_t memory_available_bytes;
	uint64_t memory_rss_bytes;
	uint64_t memory_updated_us;
	uint64_t swap_in_bytes;
	uint64_t swap_out_bytes;
	uint64_t major_faults;
	bool wants_period;   /* has a balloon that reports nothing yet */
	uint32_t process_id; /* QEMU's; 0: not observed */
	struct gn_tasks_total process;
	struct gn_agent_report *agent; /* gnomon-guest's newest (agents.h); NULL: none */
	uint64_t agent_age_us;
};

struct gn_host_info {
	char hostname[256];
	char libvirt_version[32];
	char hypervisor[64];
	uint32_t cpus;
	uint64_t memory_bytes;
	uint64_t memory_free_bytes;
	bool kvm;
	bool tcg; /* QEMU without KVM */
};

#endif
