/* mover.h - watches the VMs that have a shadow, and has one take its VM's place.
 *
 * The shell around firmware/failover: it looks (every 200 ms at the dataplane's volumes, and at
 * libvirt as soon as a VM's disk has lost its front end; and at the newest sample of its guest's
 * kernel), tells detect.h and failover.h, and performs the steps of the plans that follow
 * (plan/runner.h). On one host the VM keeps its name, port and domain: the fence cuts its ports and
 * disks and has the shim make sure that it does not run, then its disks are the shadow's, and it is
 * started. Afterwards the shadow follows in the other direction. It notices a QEMU that is gone, a
 * guest that has panicked or whose clock stands still; not yet queues that stand still or a silent
 * host, whose fence it could not prove.
 *
 * Nothing is promoted by itself but in ENFORCE; in FORECAST_ONLY the plan waits for an operator, in
 * OFF there is none. Rehearsals change nothing of the VM, so they run in every mode; a failover has
 * one turn back. One thread. */
#ifndef GN_MOVER_H
#define GN_MOVER_H

#include "firmware/executor/executor.h"
#include "firmware/ingest/view.h"
#include "firmware/plan/runner.h"
#include "firmware/shadow/provision.h"

struct gn_mover;

struct gn_mover_parts {
	struct gn_brain *brain;
	struct gn_runner *runner;
	struct gn_shadows *shadows;
	struct gn_executor *executor;
	struct gn_peer *shim, *dataplane;
	struct gn_view *view;
};

/* All is borrowed. Goes on with the moves that were stored. */
void gn_mover_create(const struct gn_mover_parts *parts, struct gn_time now, struct gn_mover **out);
/* From here on answers are ignored. */
void gn_mover_close(struct gn_mover *mover);
/* After the peers, whose last answers come here. NULL is fine. */
void gn_mover_destroy(struct gn_mover *mover);
/* A few times a second. */
void gn_mover_tick(struct gn_mover *mover, struct gn_time now);

/* An operator's promotion. FAILED_PRECONDITION with the reason, and what to do, when it is
 * refused. */
int gn_mover_promote(struct gn_mover *mover, struct gn_vm *vm,
                     const Gnomon__V1__PromoteShadowRequest *request, struct gn_time now,
                     struct gn_plan_record **out, struct gn_status *status);
/* An operator's rehearsal: begins it, or FAILED_PRECONDITION with the reason and what to do. What
 * it showed is then at the shadow's message. */
int gn_mover_rehearse(struct gn_mover *mover, struct gn_vm *vm,
                      const Gnomon__V1__RehearseShadowRequest *request, struct gn_time now,
                      struct gn_plan_record **out, struct gn_status *status);
bool gn_mover_is_rehearsing(const struct gn_mover *mover, const char *vm);
/* A move of this VM has begun and has not ended. */
bool gn_mover_is_moving(const struct gn_mover *mover, const char *vm);

#endif
