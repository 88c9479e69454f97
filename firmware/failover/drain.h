/* drain.h - emptying a host: which VM moves next, and how.
 *
 * The important ones first (whoever drains a host may fear for it), among equals those with
 * little memory: they are away soonest. Only so many at a time, for they share the link.
 * What failed waits, longer each time, and the others go on. Pure. */
#ifndef GN_FAILOVER_DRAIN_H
#define GN_FAILOVER_DRAIN_H

#include "firmware/failover/move.h"

#define GN_DRAIN_STATES(X)                                                                         \
	X(HERE, "has not begun")                                                                   \
	X(GOING, "on its way")                                                                     \
	X(GONE, "away")                                                                            \
	X(STAYS, "cannot move")

enum gn_drain_state {
#define GN_DRAIN_ENUM(name, text) GN_DRAIN_##name,
	GN_DRAIN_STATES(GN_DRAIN_ENUM)
#undef GN_DRAIN_ENUM
};

struct gn_drain_vm {
	enum gn_drain_state state;
	uint32_t vm_class; /* higher goes first */
	uint64_t memory_bytes;
	bool in_step;     /* else it waits for its shadow */
	bool can_migrate; /* else it is shut down and booted */
	uint32_t n_failed;
	uint64_t retry_us; /* wall: not before */
};

struct gn_drain_progress {
	uint32_t n_here, n_going, n_gone, n_stay;
};

/* Returns the index of the VM to move now and sets '*kind', or n_vms: none now. */
uint32_t gn_drain_next(const struct gn_drain_vm *vms, uint32_t n_vms, uint32_t at_once,
                       uint64_t now_us, enum gn_move_kind *kind);
/* A move that ended; after the fifth failure in a row the VM stays, for an operator to see. */
void gn_drain_ended(struct gn_drain_vm *vm, bool done, uint64_t now_us);
void gn_drain_progress(const struct gn_drain_vm *vms, uint32_t n_vms,
                       struct gn_drain_progress *out);

#endif
