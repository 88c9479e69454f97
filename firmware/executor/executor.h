/* executor.h - carries an action out: a command to the host's shim, or a meter on the card.
 *
 * Sends each once; who wants it sent again calls again with the same id, and the shim
 * executes an id once. Says what became of it in the words of plan.h. One thread. */
#ifndef GN_EXECUTOR_H
#define GN_EXECUTOR_H

#include "firmware/demand/demand.h"
#include "firmware/peer/peer.h"
#include "firmware/plan/plan.h"
#include "proto/gnomon/v1/control.pb-c.h"

struct gn_executor;

struct gn_executor_result {
	enum gn_plan_outcome outcome;
	struct gn_status status; /* what an operator should read */
	int64_t value;           /* EXECUTED: what is there now, in the action's unit */
	const Gnomon__V1__Allocation *before; /* NULL: not told; live during the callback */
	const Gnomon__V1__Allocation *after;
	const char *uuid; /* of a shadow that was defined */
};
typedef void gn_executor_done(void *context, const struct gn_executor_result *result);

/* The peers are borrowed. */
void gn_executor_create(struct gn_peer *shim, struct gn_peer *dataplane, struct gn_executor **out);
/* Commands that still wait are answered before the peers are destroyed. NULL is fine. */
void gn_executor_destroy(struct gn_executor *executor);

/* Any command; its id, VM, deadline (wall) and action are set. */
void gn_executor_command(struct gn_executor *executor, const Gnomon__V1__Command *command,
                         gn_executor_done *done, void *context);

/* A plan's action on a resource. 'limits' are the VM's meters now (a meter is set as a
 * whole), 'allocation' its newest. Units of from and to: vCPUs, bytes of memory, us of quota
 * per period, or the resource's own for a meter. */
void gn_executor_act(struct gn_executor *executor, const Gnomon__V1__Action *action,
                     enum gn_resource resource, const char *reason, uint64_t deadline_us,
                     const struct gn_demand_limits *limits,
                     const Gnomon__V1__Allocation *allocation, gn_executor_done *done,
                     void *context);

/* The value that an action would change, as it is now, in the action's unit. */
int64_t gn_executor_current(Gnomon__V1__Action__Kind kind, enum gn_resource resource,
                            const Gnomon__V1__Allocation *allocation,
                            const struct gn_demand_limits *limits);

#endif
