/* move.h - how a VM gets to another host, or is tried there: sequences of steps, each a plan's
 * action (firmware/plan/plan.h) with what must hold, how long it may take and its way back.
 *
 * The driver is the card that will hold the VM afterwards: the reservation, the shadow's
 * store and the keeper of its tenure (tenure.h) are there, so what must agree is in one place,
 * and its death before the point of no return leaves the VM where it is.
 *
 *   FAILOVER  fence first: nothing is promoted before the old writer provably cannot write;
 *             what the promotion needs was promised when the shadow was made.
 *   MIGRATE   RAM goes over while the mirror is in step and its writes block; libvirt leaves the
 *             VM paused at both ends (VIR_MIGRATE_PAUSED), the old holder gives the volume
 *             up, only then does it run here. RAM that has left cannot be called back, so
 *             the RAM's step is the point of no return, and it is not begun unless in step.
 *   RELOCATE  for what cannot migrate: shut down in order, flush, give up, promote, boot. Until
 *             the volume is given up the way back is to start it where it was.
 *   REHEARSE  on a throw-away clone of the last consistent point, on a port without uplink.
 *             All that it makes is only lent: it goes at the end, however that comes.
 *   RESTART   the volume is here already and the VM is not running: boot it.
 *
 * Failback is a MIGRATE to where the VM came from; draining a host is one after another.
 *
 * Pure; no pointers: the struct is what is stored. Time is wall time, as the plan's; the
 * phases' durations are for people, nothing is decided by them. */
#ifndef GN_FAILOVER_MOVE_H
#define GN_FAILOVER_MOVE_H

#include "firmware/core/text.h"
#include "firmware/plan/plan.h"

enum gn_move_kind {
	GN_MOVE_FAILOVER,
	GN_MOVE_MIGRATE,
	GN_MOVE_RELOCATE,
	GN_MOVE_REHEARSE,
	GN_MOVE_RESTART,
	GN_MOVE_N_KINDS
};
const char *gn_move_kind_text(enum gn_move_kind kind);

/* What must hold; the driver looks it up whenever it steps the plan. */
#define GN_MOVE_FACTS(X)                                                                           \
	X(RESERVED, "room for it is promised here")                                                \
	X(FENCED, "the former writer provably cannot write")                                       \
	X(WRITER, "this card holds the volume")                                                    \
	X(IN_STEP, "the shadow is in step")                                                        \
	X(POINT, "there is a consistent point")                                                    \
	X(SOURCE_RUNS, "it runs at the source")                                                    \
	X(SOURCE_OFF, "it is shut down at the source")                                             \
	X(NOT_HERE, "it does not run here")                                                        \
	X(RUNS_HERE, "it runs here")                                                               \
	X(CLONED, "the clone is there")                                                            \
	X(TRIAL_RUNS, "the trial runs")

enum gn_move_fact_bit {
#define GN_MOVE_FACT_BIT(name, text) GN_MOVE_FACT_BIT_##name,
	GN_MOVE_FACTS(GN_MOVE_FACT_BIT)
#undef GN_MOVE_FACT_BIT
};
enum gn_move_fact {
#define GN_MOVE_FACT_ENUM(name, text) GN_MOVE_##name = 1 << GN_MOVE_FACT_BIT_##name,
	GN_MOVE_FACTS(GN_MOVE_FACT_ENUM)
#undef GN_MOVE_FACT_ENUM
};
/* Of the lowest fact in the set. */
const char *gn_move_fact_text(uint32_t facts);

/* What a step does, and what undoes it. */
#define GN_MOVE_STEPS(X)                                                                           \
	X(RESERVE, "reserve room here", "release the room")                                        \
	X(FENCE, "fence the former writer", "let the former writer go on")                         \
	X(PROMOTE, "take the volume over", "")                                                     \
	X(BOOT, "boot it here", "")                                                                \
	X(ANNOUNCE, "announce its address at this port", "")                                       \
	X(PREPARE, "make its port and disks here", "remove them")                                  \
	X(BLOCK, "let every write wait for the shadow", "let writes go on as before")              \
	X(SEND_RAM, "send its memory over", "")                                                    \
	X(HAND_OVER, "have the source give the volume up", "let the source go on")                 \
	X(RESUME, "let it run here", "")                                                           \
	X(SHUT_DOWN, "shut it down at the source", "start it at the source")                       \
	X(FLUSH, "bring the shadow level", "")                                                     \
	X(CLONE, "clone the last consistent point", "throw the clone away")                        \
	X(TRIAL, "boot the clone without uplink", "end the trial")                                 \
	X(PROBE, "wait for its sign of life", "")

enum gn_move_step {
#define GN_MOVE_STEP_ENUM(name, text, undo) GN_MOVE_STEP_##name,
	GN_MOVE_STEPS(GN_MOVE_STEP_ENUM)
#undef GN_MOVE_STEP_ENUM
	        GN_MOVE_N_STEPS
};
const char *gn_move_step_text(enum gn_move_step step);
const char *gn_move_undo_text(enum gn_move_step step);

/* What was acknowledged to the guest and is not here. */
struct gn_move_loss {
	bool known;
	uint64_t writes, bytes;
	uint64_t age_us; /* of the oldest of them; unknown: at most this long ago */
};

struct gn_move {
	enum gn_move_kind kind;
	struct gn_plan plan;
	uint64_t begun_us[GN_PLAN_MAX_ACTIONS]; /* 0: not yet; of the newest round */
	uint64_t ended_us[GN_PLAN_MAX_ACTIONS]; /* 0: not done */
	struct gn_move_loss loss;
};

/* 'approved' as in gn_plan_init(). Steps: each takes 0 to 1. */
void gn_move_init(struct gn_move *move, enum gn_move_kind kind, bool approved, uint64_t expires_us);
/* gn_plan_step(), and notes the time. */
unsigned gn_move_step(struct gn_move *move, const struct gn_plan_event *event, uint64_t now_us);
/* What it is doing, or next to do. */
enum gn_move_step gn_move_at(const struct gn_move *move);
/* Of the whole, from the first step's begin to the last one's end; 0: not done. */
uint64_t gn_move_duration_us(const struct gn_move *move);

/* For people: the move, its state, and each step with how long it took or why it waits. */
void gn_move_explain(const struct gn_move *move, const char *vm, struct gn_text *text);

#endif
