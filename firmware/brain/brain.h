/* brain.h - the VMs that the card knows, what it has seen of them, and its decisions.
 *
 * The shell around the pure modules: it feeds samples to the predictors, asks the policy,
 * keeps the host's ledger and writes through to the store. It calls nobody: what follows
 * from a decision (plans, shadows) is told to one listener, and time is an argument. So the
 * whole of it runs in tests with invented time.
 *
 * Card time is the wall clock that never goes back; series, forecasts and history use it.
 * Structs are open for reading (the control service shows them); only brain/ writes them.
 * One thread. */
#ifndef GN_BRAIN_H
#define GN_BRAIN_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/brain/drives.h"
#include "firmware/brain/guest_signs.h"
#include "firmware/brain/hazards.h"
#include "firmware/brain/packs.h"
#include "firmware/brain/series.h"
#include "firmware/config/config.h"
#include "firmware/demand/source.h"
#include "firmware/ledger/ledger.h"
#include "firmware/names/names.h"
#include "firmware/store/store.h"
#include "proto/gnomon/v1/control.pb-c.h"

struct gn_time {
	uint64_t wall_us;
	uint64_t monotonic_us;
};
struct gn_time gn_time_now(void);

/* What says whether a VM that does not run is lost. Numbered as stored. */
enum gn_vm_past {
	GN_VM_NOT_STARTED = 0, /* it never ran, or was shut down in order: nothing is lost */
	GN_VM_RAN = 1,         /* it was seen running */
	GN_VM_ENDED_BY_US = 2, /* a move's fence ended it, and it has not run since */
};

struct gn_vm {
	char name[GN_NAME_SIZE];
	Gnomon__V1__VmSpec *spec;
	bool from_config; /* its spec is not stored */
	enum gn_policy_mode mode;
	bool policy_stored;                       /* an operator changed it */
	struct gn_series series[GN_RESOURCE_END]; /* by resource; [0] is not used */

	Gnomon__V1__VmState state;
	Gnomon__V1__Allocation *allocation; /* newest; NULL: libvirt never told */
	Gnomon__V1__Allocation *first;      /* the first that libvirt told, ever */
	Gnomon__V1__HostVm *host_vm;        /* its devices, as libvirt tells; NULL: unknown */
	struct gn_demand_host counters;
	struct gn_demand_limits limits; /* the card's meters */
	uint32_t ledger_entry;
	/* A running plan's larger allocation, promised before it is there; 0: none. */
	struct gn_ledger_amount promise;

	struct gn_hazard_vm *hazard;
	bool has_failed, was_crashed; /* since the last tick; at it */
	bool state_is_known;          /* libvirt has told it since the start */
	bool has_balloon;             /* libvirt once had the guest's own memory figures */

	uint64_t last_sample_us; /* wall; 0: never */
	uint64_t source_epoch;   /* of the dataplane */
	uint64_t sequence;

	Gnomon__V1__Sample *guest; /* newest of gnomon-introspect; NULL: never */
	uint64_t guest_us;         /* wall, when it came */
	struct gn_guest_signs guest_signs;
	/* Who measures what the host allocates; by resource, others are not used. */
	struct gn_source sources[GN_RESOURCE_MEMORY + 1];

	char trouble[GN_STATUS_MESSAGE_SIZE]; /* reconcile's; empty: none */
	/* A move has taken its ports and disks away, or is about to; stored. */
	bool fenced;
	enum gn_vm_past past; /* stored */
};

/* What the listener is told. All NULL-able. */
struct gn_brain_listener {
	void *context;
	/* After each forecast of a series; 'vm->series[..].decision' is new. */
	void (*decided)(void *context, struct gn_vm *vm, const struct gn_policy_input *input,
	                struct gn_time now);
	/* After each value of a series. */
	void (*observed)(void *context, struct gn_vm *vm, enum gn_resource resource,
	                 struct gn_time now);
	/* After each sample of a guest's kernel; 'vm->guest' is new. */
	void (*guest)(void *context, struct gn_vm *vm, struct gn_time now);
	void (*event)(void *context, const Gnomon__V1__Event *event);
	/* Before a VM is forgotten. */
	void (*removed)(void *context, struct gn_vm *vm);
};

struct gn_brain {
	const struct gn_config *config;
	struct gn_store *store;
	struct gn_brain_listener listener;
	struct gn_packs packs;
	struct gn_hazards hazards;
	struct gn_drives drives;
	struct gn_vm **vms; /* by name */
	size_t n_vms;
	struct gn_ledger ledger;
	struct gn_ledger_entry *entries;
	struct gn_ledger_edge *edges;
	Gnomon__V1__HostInfo *host; /* NULL: the shim has not told yet */
	uint64_t started_us;        /* wall */
	uint64_t n_samples;         /* since start */
	uint64_t n_lost;
	uint64_t n_forecasts;
	uint64_t card_us; /* newest card time */
	uint64_t card_monotonic_us;
	/* source's monotonic clock + offset = card time */
	int64_t host_offset_us, dataplane_offset_us, guest_offset_us;
	bool host_offset_known, dataplane_offset_known, guest_offset_known;
	size_t next_saved; /* whose predictors are stored next */
	uint64_t saved_us; /* monotonic: when the last VM's were */
};

/* Takes over what the store holds, then the configuration's VMs. 'config' and 'store' are
 * borrowed. */
int gn_brain_create(const struct gn_config *config, struct gn_store *store, struct gn_time now,
                    struct gn_brain **out);
/* Stores the predictors. NULL is fine. */
void gn_brain_destroy(struct gn_brain *brain);

/* Every period: stores some of the predictors; everything when the store asks for it. */
void gn_brain_tick(struct gn_brain *brain, struct gn_time now);
/* Writes all documents of the brain again. */
void gn_brain_save_all(struct gn_brain *brain);
uint64_t gn_brain_card_time(struct gn_brain *brain, struct gn_time now);

/* ---- what comes in ------------------------------------------------------------ */

void gn_brain_host(struct gn_brain *brain, const Gnomon__V1__HostInfo *host);
void gn_brain_host_vms(struct gn_brain *brain, const Gnomon__V1__HostVmList *list);
void gn_brain_host_stats(struct gn_brain *brain, const Gnomon__V1__HostStats *stats,
                         struct gn_time now);
void gn_brain_samples(struct gn_brain *brain, const Gnomon__V1__SampleBatch *batch,
                      struct gn_time now);
/* gnomon-introspect's. */
void gn_brain_guests(struct gn_brain *brain, const Gnomon__V1__SampleBatch *batch,
                     struct gn_time now);
void gn_brain_meters(struct gn_brain *brain, const Gnomon__V1__MeterList *meters);
/* Why the guest does not measure this resource (CPU, memory), as a sentence; empty: it does. */
void gn_brain_source_reason(const struct gn_brain *brain, const struct gn_vm *vm,
                            enum gn_resource resource, struct gn_text *text);
/* What libvirt reported after a command; NULL is ignored. */
void gn_brain_set_allocation(struct gn_brain *brain, struct gn_vm *vm,
                             const Gnomon__V1__Allocation *allocation);

/* ---- VMs ------------------------------------------------------------------------ */

struct gn_vm *gn_brain_vm(const struct gn_brain *brain, const char *name);
/* 'spec' has been checked. -EEXIST, -ENOSPC (max_vms). Stored unless 'from_config'. */
int gn_brain_add_vm(struct gn_brain *brain, const Gnomon__V1__VmSpec *spec, bool from_config,
                    struct gn_time now, struct gn_vm **out);
void gn_brain_remove_vm(struct gn_brain *brain, struct gn_vm *vm);
/* Rules for every resource, checked, [0] not used. Stored. */
void gn_brain_set_policy(struct gn_brain *brain, struct gn_vm *vm, enum gn_policy_mode mode,
                         const struct gn_policy_rules rules[GN_RESOURCE_END]);

/* Takes the larger promise before a plan's command goes out, -ENOSPC when the host has no
 * room; gn_brain_unpromise() returns to what the VM has. */
int gn_brain_promise(struct gn_brain *brain, struct gn_vm *vm, enum gn_resource resource,
                     int64_t value);
bool gn_brain_has_room(const struct gn_brain *brain, const struct gn_vm *vm,
                       enum gn_resource resource, int64_t value);
void gn_brain_unpromise(struct gn_brain *brain, struct gn_vm *vm);
/* An action changed the resource's allocation now: its cooldown begins. */
void gn_brain_note_changed(struct gn_brain *brain, struct gn_vm *vm, enum gn_resource resource,
                           struct gn_time now);
/* Room for the VM as it was started, promised before it is started again; -ENOSPC. */
int gn_brain_promise_restart(struct gn_brain *brain, struct gn_vm *vm);
bool gn_brain_has_room_to_restart(const struct gn_brain *brain, const struct gn_vm *vm);
void gn_brain_set_fenced(struct gn_brain *brain, struct gn_vm *vm, bool fenced);
void gn_brain_set_past(struct gn_brain *brain, struct gn_vm *vm, enum gn_vm_past past);
/* The disk is kept elsewhere from now on; stored with the VM's spec. */
void gn_brain_set_disk_path(struct gn_brain *brain, struct gn_vm *vm, const char *disk,
                            const char *path);

/* Room for the VM to grow in this resource; INT64_MAX where the host does not bound it. */
int64_t gn_brain_room(const struct gn_brain *brain, enum gn_resource resource);

/* Publishes and stores an event. */
void gn_brain_tell(struct gn_brain *brain, const char *kind, const char *resource,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The newest decision's input, made again from the series. */
void gn_brain_policy_input(const struct gn_brain *brain, const struct gn_vm *vm,
                           enum gn_resource resource, struct gn_time now,
                           struct gn_policy_input *input);

#endif
