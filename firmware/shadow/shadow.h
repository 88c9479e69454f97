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

/* Numbered as 'enum ShadowState' of control.proto. A shadow that stands is SYNCING, IN_STEP,
 * DEGRADED or STALE as its disks are (health.h); REHEARSING, PROMOTING and ACTIVE come with
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

/* In order; undone in reverse. The second column is what 'item' counts. A shadow stands once it is
 * mirrored; the steps from COPY on run it, on a copy of its disks, since those are written by the
 * replication alone. They are made and undone while it stands, as often as it is started. */
#define GN_SHADOW_STEPS(X)                                                                         \
	X(RESERVE, once, "reserve room on the host")                                               \
	X(PORT, nics, "make its port")                                                             \
	X(REPLICA, disks, "make its disk follow")                                                  \
	X(DEFINE, once, "define its domain")                                                       \
	X(MIRROR, mirrors, "mirror the packets to it")                                             \
	X(COPY, disks, "copy the disk that it runs on")                                            \
	X(VOLUME, disks, "make that copy its volume")                                              \
	X(START, once, "start it")

#define GN_SHADOW_FIRST_RUN_STEP GN_SHADOW_STEP_COPY

enum gn_shadow_step {
#define GN_SHADOW_STEP_ENUM(name, items, text) GN_SHADOW_STEP_##name,
	GN_SHADOW_STEPS(GN_SHADOW_STEP_ENUM)
#undef GN_SHADOW_STEP_ENUM
	        GN_SHADOW_N_STEPS
};

enum gn_shadow_event_kind {
	GN_SHADOW_EVENT_MAKE, /* an operator, a trigger or the schedule */
	GN_SHADOW_EVENT_DELETE,
	/* Undo and make again; one that follows needs no more than to run on a new copy. */
	GN_SHADOW_EVENT_REFRESH,
	GN_SHADOW_EVENT_DONE,   /* the step under way (or its undo) is done */
	GN_SHADOW_EVENT_FAILED, /* it failed: 'code' */
	GN_SHADOW_EVENT_TICK,
	GN_SHADOW_EVENT_RESUME, /* loaded from the store after a restart */
	GN_SHADOW_EVENT_START,  /* run it now: only while it stands */
	GN_SHADOW_EVENT_STOP,
	GN_SHADOW_EVENT_HEALTH, /* its disks' state: 'state'; only while it stands */
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
	bool start;          /* it is to run */
	bool runs;           /* it does */
	bool follows;        /* its disks are replicas; set by the shell with 'n_disks' */
	bool again;          /* to be started once it is stopped */
	bool busy;           /* a step is under way */
	bool undoing;        /* and it is an undo */
	bool toggling;       /* it stands, and is being started or stopped */
	uint32_t toggles;    /* starts and stops so far; part of the command's id */
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
	enum gn_shadow_state state;
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
