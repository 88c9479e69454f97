/* plan.h - one plan's life: approval, preconditions, execution once, verification, end.
 *
 *     PENDING --approve--> APPROVED --begin--> RUNNING --verified--> DONE
 *        |                    |  ^--not stored--'  |
 *        +- REJECTED, EXPIRED +- EXPIRED           +- FAILED, EXPIRED
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

#define GN_PLAN_MAX_ACTIONS 4
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
	X(EXPIRED, 7)

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
	X(NO_ANSWER, "no answer in time; whether it was executed shows in the VM's allocation")

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
	GN_PLAN_EVENT_TICK,     /* with 'current', 'may_begin' and 'has_room' */
	GN_PLAN_EVENT_STORED,   /* with 'ok' */
	GN_PLAN_EVENT_RESULT,   /* with 'outcome' and 'after' */
	GN_PLAN_EVENT_RESUME,   /* loaded from the store after a restart */
};

struct gn_plan_event {
	enum gn_plan_event_kind kind;
	int64_t current; /* the value the next action would change, as seen now */
	bool may_begin;  /* no other plan of this VM runs */
	bool has_room;   /* the ledger has room for the whole plan */
	bool ok;
	enum gn_plan_outcome outcome;
	int64_t after;
};

/* Effects, a set. */
enum gn_plan_effect {
	GN_PLAN_STORE = 1, /* store the plan; answer STORED */
	GN_PLAN_SEND = 2,  /* send action 'at', always with the same id; answer RESULT */
	GN_PLAN_NEWS = 4,  /* the state changed: store and publish */
};

struct gn_plan {
	enum gn_plan_state state;
	enum gn_plan_end end;
	uint32_t n_actions;
	uint32_t at;          /* action that is next or running */
	uint32_t attempts;    /* of that action */
	bool awaits_answer;   /* it was sent and RESULT has not come */
	uint64_t expires_us;  /* PENDING and APPROVED end then */
	uint64_t retry_us;    /* not before; 0: at once */
	uint64_t deadline_us; /* of the running command; part of it when it is sent again */
	struct {
		int64_t from, to;
	} actions[GN_PLAN_MAX_ACTIONS];
};

/* 'approved': nobody needs to be asked. A plan without actions (the VM must move) can only
 * be rejected or expire. */
void gn_plan_init(struct gn_plan *plan, bool approved, uint64_t expires_us);
/* -ENOSPC: too many. */
int gn_plan_add_action(struct gn_plan *plan, int64_t from, int64_t to);

/* Returns the effects. Events that make no sense in a state are ignored. */
unsigned gn_plan_step(struct gn_plan *plan, const struct gn_plan_event *event, uint64_t now_us);

bool gn_plan_has_ended(const struct gn_plan *plan);
const char *gn_plan_state_name(enum gn_plan_state state);
const char *gn_plan_end_text(enum gn_plan_end end);

#endif
