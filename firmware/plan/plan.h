/* plan.h - one plan's life: approval, preconditions, execution once, verification, the way
 * back, end.
 *
 *     PENDING --approve--> APPROVED --begin--> RUNNING ----verified----> DONE
 *        |                    |  ^--not stored--'  |\                    ^ (what is only lent)
 *        +- REJECTED, EXPIRED +- EXPIRED           | +---> UNDOING ------+--> FAILED
 *                                                  +-----> FAILED, EXPIRED
 *
 * Actions run in order. Each has what must hold when it is sent (and every time that it is
 * sent again), a time within which it must be begun, the value that must be read back, and
 * perhaps a way back. When one fails, those before it, and itself, are undone in reverse; an
 * undo is idempotent, and what is not there counts as undone. After an action that COMMITS
 * there is no way back: it is tried again, and if it fails the plan ends FAILED and says so.
 * Every wait is bounded, so every plan ends.
 *
 * Effects are returned, the shell performs them and feeds results back as events. What is
 * sent is stored first: GN_PLAN_STORE must be answered with the event STORED, and only then
 * GN_PLAN_SEND is returned. So after a crash RESUME sends the same command with the same id
 * again, and the shim executes it once.
 *
 * Pure; no pointers; the struct is the caller's. Time is wall time in microseconds. */
#ifndef GN_PLAN_H
#define GN_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define GN_PLAN_MAX_ACTIONS 12
/* A command must be begun within this time, and may be answered so long after it. */
#define GN_PLAN_COMMAND_LIFE_US ((uint64_t)30 * 1000000)
#define GN_PLAN_ANSWER_GRACE_US ((uint64_t)30 * 1000000)

/* Numbered as 'enum Plan.State' of control.proto. */
#define GN_PLAN_STATES(X)                                                                          \
	X(PENDING, 1)                                                                              \
	X(APPROVED, 2)                                                                             \
	X(RUNNING, 3)                                                                              \
	X(DONE, 4)                                                                                 \
	X(FAILED, 5)                                                                               \
	X(REJECTED, 6)                                                                             \
	X(EXPIRED, 7)                                                                              \
	X(UNDOING, 8)

enum gn_plan_state {
#define GN_PLAN_STATE_ENUM(name, number) GN_PLAN_##name = number,
	GN_PLAN_STATES(GN_PLAN_STATE_ENUM)
#undef GN_PLAN_STATE_ENUM
};

/* Why a plan ended otherwise than DONE; the text is what an operator reads. */
#define GN_PLAN_ENDS(X)                                                                            \
	X(NOT_ENDED, "")                                                                           \
	X(BY_OPERATOR, "rejected by an operator")                                                  \
	X(TOO_OLD, "nobody approved it in time")                                                   \
	X(WITHDRAWN, "no longer wanted")                                                           \
	X(VALUE_CHANGED, "the VM's allocation is no longer what the plan was made for")            \
	X(NO_ROOM, "the host no longer has room for it")                                           \
	X(REFUSED, "the command was refused")                                                      \
	X(NOT_VERIFIED, "the command was answered, but the value is not the one asked for")        \
	X(NOT_STORED, "the state database cannot be written, so nothing is sent")                  \
	X(NO_ANSWER, "no answer in time; whether it was executed shows in the VM's allocation")    \
	X(NEED, "what it needs did not come to hold in time")                                      \
	X(PREEMPTED, "gave way to a plan of higher priority")                                      \
	X(ABANDONED, "whoever it needs is gone")

enum gn_plan_end {
#define GN_PLAN_END_ENUM(name, text) GN_PLAN_END_##name,
	GN_PLAN_ENDS(GN_PLAN_END_ENUM)
#undef GN_PLAN_END_ENUM
};

enum gn_plan_outcome {
	GN_PLAN_EXECUTED,  /* 'after' is what the executor reads back */
	GN_PLAN_CHANGED,   /* the current value was not the expected one: nothing was done */
	GN_PLAN_FORBIDDEN, /* refused or failed for good */
	GN_PLAN_UNKNOWN,   /* no answer: may or may not have been executed */
};

enum gn_plan_event_kind {
	GN_PLAN_EVENT_APPROVE,
	GN_PLAN_EVENT_REJECT,
	GN_PLAN_EVENT_WITHDRAW, /* superseded, mode OFF, VM gone */
	GN_PLAN_EVENT_PREEMPT,  /* one of higher priority waits: turn back if that can be done */
	GN_PLAN_EVENT_ABANDON,  /* who would do it, or undo it, is gone: end now */
	GN_PLAN_EVENT_TICK,     /* with 'current', 'may_begin', 'has_room' and 'holds' */
	GN_PLAN_EVENT_STORED,   /* with 'ok' and 'holds' */
	GN_PLAN_EVENT_RESULT,   /* with 'outcome' and 'after' */
	GN_PLAN_EVENT_RESUME,   /* loaded from the store after a restart; with 'holds' */
};

struct gn_plan_event {
	enum gn_plan_event_kind kind;
	int64_t current; /* the value the next action would change, as seen now */
	bool may_begin;  /* no other plan of this VM runs */
	bool has_room;   /* the ledger has room for the whole plan */
	uint32_t holds;  /* the facts that hold now; see 'needs' */
	bool ok;
	enum gn_plan_outcome outcome;
	int64_t after;
};

/* Effects, a set. */
enum gn_plan_effect {
	GN_PLAN_STORE = 1, /* store the plan; answer STORED */
	GN_PLAN_SEND = 2,  /* send action 'at', always with the same id; answer RESULT */
	GN_PLAN_NEWS = 4,  /* the state changed: store and publish */
	GN_PLAN_UNDO = 8,  /* send the undo of action 'at'; answer RESULT */
};

enum gn_plan_flag {
	GN_PLAN_HAS_UNDO = 1,
	GN_PLAN_LENT = 2,    /* it is undone at the end of a plan that succeeded, too */
	GN_PLAN_COMMITS = 4, /* once it may have been executed there is no way back */
};

struct gn_plan_action {
	int64_t from, to; /* what is expected before, and must be read back after */
	uint32_t kind;    /* the caller's */
	uint32_t flags;
	uint32_t needs;    /* facts, a set of the caller's, that must hold when it is sent */
	uint32_t rounds;   /* definite failures after which it has failed; 0: the first */
	uint64_t life_us;  /* to be begun within; 0: GN_PLAN_COMMAND_LIFE_US */
	uint64_t grace_us; /* answered so long after that; 0: GN_PLAN_ANSWER_GRACE_US */
};

/* Who goes first. Of plans of the same VM only one runs; of different VMs, when room is
 * short, the higher one is asked first. */
enum gn_plan_priority {
	GN_PLAN_REHEARSAL,
	GN_PLAN_SHRINK,
	GN_PLAN_GROW,
	GN_PLAN_MOVE,
	GN_PLAN_FAILOVER,
};

struct gn_plan {
	enum gn_plan_state state;
	enum gn_plan_end end;
	enum gn_plan_priority priority;
	uint32_t vm_class; /* the VM's own priority class; higher goes first */
	uint32_t n_actions;
	uint32_t at;          /* action that is next, running, or being undone */
	uint32_t attempts;    /* of that action, this round */
	uint32_t round;       /* its definite failures: part of the command's id */
	uint32_t left;        /* actions, a set, that were not undone: something may be left over */
	bool stored;          /* that action and round */
	bool awaits_answer;   /* it was sent and RESULT has not come */
	bool turning;         /* back, once the answer is there */
	bool succeeded;       /* UNDOING: only what was lent */
	uint64_t expires_us;  /* PENDING and APPROVED end then */
	uint64_t retry_us;    /* not before; 0: at once */
	uint64_t deadline_us; /* of the running command; part of it when it is sent again */
	uint64_t resumed_us;  /* after a restart: what came of it is asked from then on */
	struct gn_plan_action actions[GN_PLAN_MAX_ACTIONS];
};

/* 'approved': nobody needs to be asked. A plan without actions (the VM must move) can only
 * be rejected or expire. */
void gn_plan_init(struct gn_plan *plan, bool approved, uint64_t expires_us);
/* -ENOSPC: too many. */
int gn_plan_add_action(struct gn_plan *plan, int64_t from, int64_t to);
int gn_plan_add(struct gn_plan *plan, const struct gn_plan_action *action);

/* Returns the effects. Events that make no sense in a state are ignored. */
unsigned gn_plan_step(struct gn_plan *plan, const struct gn_plan_event *event, uint64_t now_us);

bool gn_plan_has_ended(const struct gn_plan *plan);
/* It cannot be turned back any more. */
bool gn_plan_is_committed(const struct gn_plan *plan);

enum gn_plan_admission { GN_PLAN_MAY_BEGIN, GN_PLAN_MUST_WAIT, GN_PLAN_MAY_PREEMPT };
/* May 'plan' begin while 'running', of the same VM, is under way (NULL: none)? PREEMPT: send
 * PREEMPT to the other, and wait for its end. */
enum gn_plan_admission gn_plan_admit(const struct gn_plan *plan, const struct gn_plan *running);
/* Which of two waiting plans is asked first: > 0: a. */
int gn_plan_compare(const struct gn_plan *a, const struct gn_plan *b);

const char *gn_plan_state_name(enum gn_plan_state state);
const char *gn_plan_end_text(enum gn_plan_end end);

#endif
