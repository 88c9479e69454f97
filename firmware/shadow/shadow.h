/* shadow.h - one shadow's life: made step by step, undone in reverse, and what sets it off.
 *
 * Making a shadow is a fixed list of steps, some of them once per NIC or disk. A step that
 * fails for good, or an operator who deletes it, turns the list round: what was done is
 * undone in reverse, and only then is the shadow FAILED, gone, or made again (a refresh).
 * Every step and undo is idempotent, so after a crash the one that was under way is simply
 * done again; commands to the shim carry an id made of generation, step and round, and the
 * shim executes an id once.
 *
 * Pure; no pointers; the struct is the caller's and is what is stored. Wall time. */
#ifndef GN_SHADOW_H
#define GN_SHADOW_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/core/status.h"

/* Numbered as 'enum ShadowState' of control.proto. This part reaches PROVISIONING, STALE
 * (its disk is of one instant) and FAILED; the others come with ordered replication,
 * rehearsal and promotion. */
#define GN_SHADOW_STATES(X)                                                                        \
	X(NONE, 0)                                                                                 \
	X(PROVISIONING, 1)                                                                         \
	X(SYNCING, 2)                                                                              \
	X(IN_STEP, 3)                                                                              \
	X(DEGRADED, 4)                                                                             \
	X(STALE, 5)                                                                                \
	X(REHEARSING, 6)                                                                           \
	X(PROMOTING, 7)                                                                            \
	X(ACTIVE, 8)                                                                               \
	X(FAILED, 9)

enum gn_shadow_state {
#define GN_SHADOW_STATE_ENUM(name, number) GN_SHADOW_##name = number,
	GN_SHADOW_STATES(GN_SHADOW_STATE_ENUM)
#undef GN_SHADOW_STATE_ENUM
};

/* In order; undone in reverse. The second column is what 'item' counts. */
#define GN_SHADOW_STEPS(X)                                                                         \
	X(RESERVE, once, "reserve room on the host")                                               \
	X(PORT, nics, "make its port")                                                             \
	X(CLONE, disks, "clone the production volume")                                             \
	X(VOLUME, disks, "make its volume")                                                        \
	X(DEFINE, once, "define its domain")                                                       \
	X(START, starts, "start it")                                                               \
	X(MIRROR, mirrors, "mirror the packets to it")

enum gn_shadow_step {
#define GN_SHADOW_STEP_ENUM(name, items, text) GN_SHADOW_STEP_##name,
	GN_SHADOW_STEPS(GN_SHADOW_STEP_ENUM)
#undef GN_SHADOW_STEP_ENUM
	        GN_SHADOW_N_STEPS
};

enum gn_shadow_event_kind {
	GN_SHADOW_EVENT_MAKE, /* an operator, a trigger or the schedule */
	GN_SHADOW_EVENT_DELETE,
	GN_SHADOW_EVENT_REFRESH, /* undo and make again */
	GN_SHADOW_EVENT_DONE,    /* the step under way (or its undo) is done */
	GN_SHADOW_EVENT_FAILED,  /* it failed: 'code' */
	GN_SHADOW_EVENT_TICK,
	GN_SHADOW_EVENT_RESUME, /* loaded from the store after a restart */
	GN_SHADOW_EVENT_START,  /* run it now: only while it stands */
	GN_SHADOW_EVENT_STOP,
};

/* What the undoing leads to. */
enum gn_shadow_goal {
	GN_SHADOW_GOAL_STAND, /* being made, or made */
	GN_SHADOW_GOAL_AGAIN,
	GN_SHADOW_GOAL_FAIL,
	GN_SHADOW_GOAL_GONE,
};

/* Effects, a set. */
enum gn_shadow_effect {
	GN_SHADOW_DO = 1,     /* do 'step', 'item'; answer DONE or FAILED */
	GN_SHADOW_UNDO = 2,   /* undo it; what is not there counts as DONE */
	GN_SHADOW_NEWS = 4,   /* the state changed: store and publish */
	GN_SHADOW_FORGET = 8, /* it is gone: the record may go */
};

struct gn_shadow {
	enum gn_shadow_state state;
	enum gn_shadow_goal goal;
	enum gn_shadow_step step;
	uint32_t item;
	uint32_t n_nics;
	uint32_t n_disks;
	bool start;
	bool busy;           /* a step is under way */
	bool undoing;        /* and it is an undo */
	bool toggling;       /* that step is a START or its undo, of a shadow that stands */
	bool gave_up;        /* an undo was skipped: something is left over */
	uint32_t attempts;   /* of this step */
	uint32_t round;      /* definite failures of this step; part of the command's id */
	uint32_t generation; /* set by the shell on every MAKE; part of the command's id */
	uint64_t since_us;   /* begin of making */
	uint64_t retry_us;   /* not before; 0: not waiting */
	enum gn_code code;   /* why it failed */
	enum gn_shadow_step failed_step;
};

/* 'n_nics' and 'n_disks' are the production VM's. */
void gn_shadow_init(struct gn_shadow *shadow, uint32_t n_nics, uint32_t n_disks, bool start);

struct gn_shadow_event {
	enum gn_shadow_event_kind kind;
	enum gn_code code;
};

/* Returns the effects. Events that make no sense in a state are ignored. */
unsigned gn_shadow_step(struct gn_shadow *shadow, const struct gn_shadow_event *event,
                        uint64_t now_us);

/* Nothing of it exists. */
bool gn_shadow_is_armed(const struct gn_shadow *shadow);
/* It failed, and what was made of it is undone. */
bool gn_shadow_is_at_rest(const struct gn_shadow *shadow);
/* It is complete. */
bool gn_shadow_stands(const struct gn_shadow *shadow);
const char *gn_shadow_state_name(enum gn_shadow_state state);
const char *gn_shadow_step_text(enum gn_shadow_step step);

/* ---- what sets it off ------------------------------------------------------- */

struct gn_shadow_trigger {
	int64_t threshold;
	uint64_t for_us;
	uint64_t above_since_us; /* 0: not above */
	uint64_t newest_us;
};

/* True when 'value' has been above the threshold for 'for_us' without a break; a break is
 * also no value for longer than 'gap_us'. Time does not go back. */
bool gn_shadow_trigger_observe(struct gn_shadow_trigger *trigger, int64_t value, uint64_t now_us,
                               uint64_t gap_us);

/* True when a schedule (first time, interval; 0: once) asks for a shadow newer than the
 * one made at 'made_us' (0: none). */
bool gn_shadow_is_due(uint64_t first_us, uint64_t every_us, uint64_t made_us, uint64_t now_us);

#endif
