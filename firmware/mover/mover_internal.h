/* mover_internal.h - between mover.c (who is lost, and what follows) and steps.c (what each step
 * does). */
#ifndef GN_MOVER_INTERNAL_H
#define GN_MOVER_INTERNAL_H

#include "firmware/failover/failover.h"
#include "firmware/mover/mover.h"

struct gn_mover_vm {
	struct gn_mover *mover;
	char name[GN_NAME_SIZE];
	struct gn_failover failover;
	struct gn_detect detect;
	struct gn_plan_record *plan; /* the open move; NULL: none */
	bool has_run;                /* it was seen running; what never ran is not lost */
	bool was_connected;          /* its disks had a front end at the last look */
	uint64_t dropped_us;         /* monotonic: when they lost it; 0: not yet */
	bool asks;                   /* libvirt is being asked about it */
	bool is_rejected;            /* by an operator: not proposed again for this loss */
	/* The step under way: calls that have not been answered, and the first failure. */
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

struct gn_vm *gn_mover_vm_of(const struct gn_mover_vm *moved);
/* steps.c: gn_plan_mover's 'perform' for this VM's plan. */
void gn_mover_perform(struct gn_mover_vm *moved, bool undo, struct gn_time now);
/* Looks whether the step that waits for the guest is done. */
void gn_mover_tick_step(struct gn_mover_vm *moved);

#endif
