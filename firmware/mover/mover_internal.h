/* mover_internal.h - between mover.c (who is lost, and what follows), steps.c (what each step of a
 * failover does) and rehearsal.c. */
#ifndef GN_MOVER_INTERNAL_H
#define GN_MOVER_INTERNAL_H

#include "firmware/failover/failover.h"
#include "firmware/mover/mover.h"

/* rehearsal.c's */
struct gn_rehearsal {
	struct gn_plan_record *plan; /* the open one; NULL: none */
	uint64_t heard;      /* packets that the clone's NICs had sent before; or not known */
	uint64_t step_us;    /* monotonic: begun */
	uint64_t point_us;   /* wall: what the clone holds */
	bool begun;          /* by this process: its domain was told to start */
	bool looks;          /* the dataplane is being asked for its ports */
	bool asks, is_asked; /* the guest: the dataplane is told to; it does */
};

struct gn_mover_vm {
	struct gn_mover *mover;
	char name[GN_NAME_SIZE];
	struct gn_failover failover;
	struct gn_detect detect;
	struct gn_plan_record *plan; /* the open move; NULL: none */
	bool was_connected;          /* its disks had a front end at the last look */
	uint64_t well_us;            /* monotonic: seen well since; 0: it is not, or not known */
	uint64_t dropped_us;         /* monotonic: when they lost it; 0: not yet */
	bool asks;                   /* libvirt is being asked about it */
	struct gn_rehearsal rehearsal;
	bool is_rejected; /* by an operator: not proposed again for this loss */
	/* The step under way: calls that have not been answered, and the first failure. */
	bool is_resumed;      /* it was under way when this program ended */
	enum gn_vm_past past; /* before the fence */
	unsigned n_waiting;
	unsigned stage;
	uint64_t step_us; /* monotonic: begun */
	struct gn_status failure;
};

struct gn_mover {
	struct gn_mover_parts p;
	struct gn_plan_mover door;
	struct gn_mover_vm **vms;
	size_t n_vms;
	bool looks; /* the dataplane is being asked for its volumes */
	bool closing;
};

struct gn_mover_vm *gn_mover_find(const struct gn_mover *mover, const char *vm);
struct gn_mover_vm *gn_mover_find_or_add(struct gn_mover *mover, const char *vm);
struct gn_vm *gn_mover_vm_of(const struct gn_mover_vm *moved);
/* steps.c: gn_plan_mover's 'perform' for this VM's plan. */
void gn_mover_perform(struct gn_mover_vm *moved, bool undo, struct gn_time now);
/* Looks whether the step that waits for the guest is done. */
void gn_mover_tick_step(struct gn_mover_vm *moved);

/* rehearsal.c: gn_plan_mover's calls for rehearsals. */
uint32_t gn_mover_rehearsal_holds(const struct gn_mover *mover,
                                  const struct gn_plan_record *record);
void gn_mover_perform_rehearsal(struct gn_mover_vm *moved, struct gn_plan_record *record, bool undo,
                                struct gn_time now);
void gn_mover_rehearsal_ended(struct gn_mover_vm *moved, struct gn_plan_record *record,
                              struct gn_time now);
/* Looks how far the one under way is, and whether the schedule asks for one. */
void gn_mover_tick_rehearsal(struct gn_mover_vm *moved, struct gn_time now);
/* One that was stored goes on. */
void gn_mover_resume_rehearsal(struct gn_mover_vm *moved, struct gn_plan_record *record);

#endif
