/* command.h - a card's command, decoded, and what is allowed at all.
 *
 * gn_command_check() is the gate in front of everything that acts: names and paths that
 * come from the network, ranges, the deadline, and the limits that this host's owner set
 * in gnomon-shim.yaml. It looks at the command alone; whether the VM is in a state for it
 * is executor.h's business. Pure: no I/O, clock or allocation. */
#ifndef GN_SHIM_COMMAND_H
#define GN_SHIM_COMMAND_H

#include "firmware/core/status.h"
#include "host-shim/vm.h"

#define GN_COMMAND_ID_MIN       8
#define GN_COMMAND_ID_SIZE      65
#define GN_COMMAND_REASON_SIZE  1025
#define GN_COMMAND_MAX_AHEAD_US (3600ull * 1000000)

#define GN_COMMAND_KINDS(X)                                                                        \
	X(SET_VCPUS, "set_vcpus")                                                                  \
	X(SET_MEMORY, "set_memory")                                                                \
	X(SET_CPU_LIMIT, "set_cpu_limit")                                                          \
	X(DEFINE_SHADOW, "define_shadow")                                                          \
	X(START_SHADOW, "start_shadow")                                                            \
	X(PAUSE_VM, "pause_vm")                                                                    \
	X(RESUME_VM, "resume_vm")                                                                  \
	X(DESTROY_SHADOW, "destroy_shadow")                                                        \
	X(UNDEFINE_SHADOW, "undefine_shadow")                                                      \
	X(FENCE_VM, "fence_vm")                                                                    \
	X(START_VM, "start_vm")

enum gn_command_kind {
#define GN_COMMAND_ENUM(name, text) GN_COMMAND_##name,
	GN_COMMAND_KINDS(GN_COMMAND_ENUM)
#undef GN_COMMAND_ENUM
};

struct gn_shadow_spec {
	char name[GN_VM_NAME_SIZE];
	uint32_t vcpus;
	uint64_t memory_bytes;
	struct gn_vm_nic nics[GN_VM_MAX_NICS]; /* mac and socket_path */
	size_t n_nics;
	struct gn_vm_disk disks[GN_VM_MAX_DISKS]; /* target and socket_path or source */
	size_t n_disks;
	char pool[GN_VM_NAME_SIZE]; /* empty: no pool */
	char pool_path[GN_VM_PATH_SIZE];
};

/* Fields as in host.proto. */
struct gn_command {
	char id[GN_COMMAND_ID_SIZE];
	char vm[GN_VM_NAME_SIZE]; /* without "vms/" */
	uint64_t deadline_us;     /* wall */
	char reason[GN_COMMAND_REASON_SIZE];
	enum gn_command_kind kind;
	union {
		struct {
			uint32_t expected;
			uint32_t vcpus;
		} set_vcpus;
		struct {
			uint64_t expected_bytes;
			uint64_t bytes; /* whole KiB */
		} set_memory;
		struct {
			uint64_t expected_shares;
			uint64_t shares;
			int64_t expected_quota_us;
			int64_t quota_us;
			uint64_t period_us;
		} set_cpu_limit;
		struct gn_shadow_spec define_shadow;
	};
};

/* What a card may do on this host at most. Immutable. */
struct gn_command_limits {
	/* Name patterns: '*' any run of characters, '?' one. A shadow goes by its VM's name. */
	const char *const *vms;
	size_t n_vms;
	const char *const *shadow_paths; /* directories below which sockets, files and pools lie */
	size_t n_shadow_paths;
	uint32_t max_vcpus;
	uint64_t min_memory_bytes;
	uint64_t max_memory_bytes;
	bool allow_shadow;
	bool allow_pause;    /* of production VMs; shadows may always be paused */
	bool allow_failover; /* production VMs may be fenced and started */
};

/* "set_vcpus" ... */
const char *gn_command_kind_name(enum gn_command_kind kind);

/* 1..64 of [A-Za-z0-9._+-], not starting with '.' or '-'. */
bool gn_command_name_valid(const char *name);
/* Absolute, of [A-Za-z0-9._+/-], no empty, "." or ".." part, shorter than 'size'. */
bool gn_command_path_valid(const char *path, size_t size);
bool gn_command_matches(const char *pattern, const char *name);
/* Whether the owner lets a card touch the VM of that name. */
bool gn_command_vm_allowed(const struct gn_command_limits *limits, const char *name);

/* 0, or a negative errno with a sentence: INVALID_ARGUMENT, DEADLINE_EXCEEDED (passed, or
 * nothing of it was begun), PERMISSION_DENIED (the limits). 'now_us' is wall time. */
int gn_command_check(const struct gn_command *command, const struct gn_command_limits *limits,
                     uint64_t now_us, struct gn_status *status);
/* The deadline's part of it, asked again right before execution. */
int gn_command_check_deadline(const struct gn_command *command, uint64_t now_us,
                              struct gn_status *status);

#endif
