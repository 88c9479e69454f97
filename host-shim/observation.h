/* observation.h - what may be observed: the owner's rules and the table of windows. Pure: no I/O,
 * clock or allocation; the shell around it is observer.h. */
#ifndef GN_SHIM_OBSERVATION_H
#define GN_SHIM_OBSERVATION_H

#include "bpf/window.h"
#include "host-shim/command.h"

#define GN_OBSERVATION_SLOTS      16 /* windows open, and ended ones that are kept */
#define GN_OBSERVATION_OPEN_MAX   8  /* that an owner may allow at once */
#define GN_OBSERVATION_MINIMUM_US 100000u
#define GN_OBSERVATION_MAXIMUM_S  3600 /* what an owner may allow at most */
#define GN_OBSERVATION_KEPT_US    (600ull * 1000000)

/* The owner's, from gnomon-shim.yaml. Immutable. */
struct gn_observation_rules {
	bool threads;
	bool kinds[GN_WINDOW_KINDS];
	uint64_t maximum_us; /* longest window */
	unsigned maximum_windows;
	const struct gn_command_limits *limits; /* which VMs */
};

/* As ObserveRequest in host.proto. */
struct gn_observation_request {
	char id[GN_COMMAND_ID_SIZE];
	char vm[GN_VM_NAME_SIZE];
	enum gn_window_kind kind;
	uint64_t duration_us;
	char reason[GN_COMMAND_REASON_SIZE];
};

enum gn_observation_end { GN_OBSERVATION_TIME, GN_OBSERVATION_STOP, GN_OBSERVATION_VM_GONE };

/* A window. Unused while 'request.id' is empty. */
struct gn_observation {
	struct gn_observation_request request;
	bool open;
	uint32_t process;
	uint64_t started_us, ends_us, ended_us; /* monotonic */
	uint64_t started_wall_us, ended_wall_us;
	enum gn_observation_end ended_by;
	struct gn_window_counts counts; /* when read last, or in all */
};

struct gn_observation_table {
	struct gn_observation slots[GN_OBSERVATION_SLOTS];
};

/* Whether the VM is one that cards may touch. INVALID_ARGUMENT, PERMISSION_DENIED. */
int gn_observation_check_vm(const struct gn_observation_rules *rules, const char *vm,
                            struct gn_status *status);
/* The request alone: also OUT_OF_RANGE. */
int gn_observation_check(const struct gn_observation_rules *rules,
                         const struct gn_observation_request *request, struct gn_status *status);

/* Finds a place for the request. '*same' is the window that an equal request opened already, and
 * then nothing is to be done; otherwise '*slot' is the place to use, whose content may be thrown
 * away. ALREADY_EXISTS, INVALID_ARGUMENT (another request had the id), RESOURCE_EXHAUSTED. */
int gn_observation_admit(struct gn_observation_table *table,
                         const struct gn_observation_rules *rules,
                         const struct gn_observation_request *request, struct gn_observation **same,
                         struct gn_observation **slot, struct gn_status *status);
/* The newest of that VM and kind; NULL: none. */
struct gn_observation *gn_observation_find(struct gn_observation_table *table, const char *vm,
                                           enum gn_window_kind kind);
/* An open one whose time is over; NULL: none. */
struct gn_observation *gn_observation_due(struct gn_observation_table *table, uint64_t now_us);
/* When the next one is due; UINT64_MAX: none is open. */
uint64_t gn_observation_next_us(const struct gn_observation_table *table);
/* Forgets what ended too long ago. */
void gn_observation_forget(struct gn_observation_table *table, uint64_t now_us);

#endif
