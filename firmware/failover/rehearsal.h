/* rehearsal.h - whether a shadow can be rehearsed now, and what a rehearsal showed.
 *
 * A rehearsal (move.h, REHEARSE) boots a throw-away clone of the shadow's last consistent point,
 * apart from the network, and measures how long it is until the clone gives a sign of life: what a
 * failover would take beyond noticing, fencing and promoting. It changes nothing of the VM, so
 * mode and hold do not forbid it; it only needs a shadow that stands and is not in use.
 *
 * Pure. Wall time. */
#ifndef GN_FAILOVER_REHEARSAL_H
#define GN_FAILOVER_REHEARSAL_H

#include <stdbool.h>
#include <stdint.h>

/* In the order in which they are told. The second text is what to do. */
#define GN_REHEARSAL_REFUSALS(X)                                                                   \
	X(NONE, "", "")                                                                            \
	X(NO_SHADOW, "there is no shadow to rehearse", "make one")                                 \
	X(MOVING, "the VM is being moved or rehearsed", "wait for the end of that plan")           \
	X(NOT_READY, "the shadow is being made, changed or removed", "wait until it stands")       \
	X(RUNS, "the shadow's own domain runs, and the rehearsal needs it", "stop it first")       \
	X(NO_POINT, "the shadow's disks hold no consistent point yet",                             \
	  "wait until it has been in step once")                                                   \
	X(NO_NIC, "it has no NIC, so no sign of life could be heard",                              \
	  "give the VM a NIC behind the card")

enum gn_rehearsal_refusal {
#define GN_REHEARSAL_ENUM(name, text, advice) GN_REHEARSAL_##name,
	GN_REHEARSAL_REFUSALS(GN_REHEARSAL_ENUM)
#undef GN_REHEARSAL_ENUM
};
const char *gn_rehearsal_refusal_text(enum gn_rehearsal_refusal refusal);
const char *gn_rehearsal_advice(enum gn_rehearsal_refusal refusal);

struct gn_rehearsal_facts {
	bool has_shadow;
	bool stands;    /* complete, and nothing of it is being changed */
	bool runs;      /* its domain runs, or is to */
	bool has_point; /* its disks hold some instant of the VM's */
	bool moving;    /* a move or a rehearsal of the VM has begun and not ended */
	uint32_t n_nics;
};

/* The first reason against one now. */
enum gn_rehearsal_refusal gn_rehearsal_judge(const struct gn_rehearsal_facts *facts);

/* The next rehearsal that a schedule (first time, interval; 0: once) asks for, after the newest
 * one begun at 'newest_us' (0: none), is due. */
bool gn_rehearsal_is_due(uint64_t first_us, uint64_t every_us, uint64_t newest_us, uint64_t now_us);

#endif
