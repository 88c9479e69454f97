/* failover.h - whether and when a shadow is promoted: from the signs of a loss to a move, or a
 * refusal that has a name.
 *
 *   WATCHING --signs--> SUSPECT --long enough--> MOVING --plan done--> ACTIVE
 *      ^                   |                      |  |
 *      +----- well --------+      no: REFUSED <---+  +-- plan failed: REFUSED, judged again
 *                                    |                   after a while
 *                                    +-- the reason is gone, or an operator overrides --> MOVING
 *
 * One per VM, at the card that keeps its shadow. Nothing is promoted on doubt: every reason
 * against is looked at first, and the plan's own first step proves that the former writer
 * cannot write (tenure.h). An operator may override what would lose data or time, and names
 * the loss; nobody can override the fence, only swear that the writer is dead.
 *
 * Pure: step(state, event, facts, now) -> what to do. Monotonic time. */
#ifndef GN_FAILOVER_H
#define GN_FAILOVER_H

#include "firmware/failover/detect.h"
#include "firmware/failover/move.h"

#define GN_FAILOVER_STATES(X)                                                                      \
	X(WATCHING, "its VM is well")                                                              \
	X(SUSPECT, "something is wrong, not for long yet")                                         \
	X(MOVING, "a move is under way")                                                           \
	X(REFUSED, "it is not promoted, for a reason")                                             \
	X(ACTIVE, "the VM runs here")

enum gn_failover_state {
#define GN_FAILOVER_STATE_ENUM(name, text) GN_FAILOVER_##name,
	GN_FAILOVER_STATES(GN_FAILOVER_STATE_ENUM)
#undef GN_FAILOVER_STATE_ENUM
};
const char *gn_failover_state_name(enum gn_failover_state state);

/* In the order in which they are told. The second text is what to do. */
#define GN_FAILOVER_REFUSALS(X)                                                                    \
	X(NONE, "", "")                                                                            \
	X(OPERATOR_HOLD, "an operator holds it", "release the hold")                               \
	X(NO_SHADOW, "there is no shadow to promote", "make one")                                  \
	X(STALE, "the shadow lacks writes that were acknowledged",                                 \
	  "wait until it is in step, or override and name the loss")                               \
	X(CPU, "this host's CPU lacks what the VM was started with", "move it to another host")    \
	X(NO_CAPACITY, "this host has no room for it", "make room")                                \
	X(RELAPSE, "its guest failed again soon after a failover, so another would not help",      \
	  "see its console; promote it by hand if that is what it needs")                          \
	X(LEASE_HELD, "the VM runs and its card holds the volume", "migrate it instead")           \
	X(NO_FENCE, "nothing proves that the former writer cannot write",                          \
	  "make sure that its host is off, then swear to it")                                      \
	X(FAILED, "the move failed", "see the plan; it is tried again")

enum gn_failover_refusal {
#define GN_FAILOVER_REFUSAL_ENUM(name, text, advice) GN_FAILOVER_REFUSED_##name,
	GN_FAILOVER_REFUSALS(GN_FAILOVER_REFUSAL_ENUM)
#undef GN_FAILOVER_REFUSAL_ENUM
};
const char *gn_failover_refusal_text(enum gn_failover_refusal refusal);
const char *gn_failover_advice(enum gn_failover_refusal refusal);

/* A guest that fails by itself within this time of a failover is not failed over again by signs:
 * what ails it came along. A QEMU or host that is lost again is. */
#define GN_FAILOVER_RELAPSE_US ((uint64_t)900 * 1000000)

/* As they are at this instant; looked up by the shell. */
struct gn_failover_facts {
	bool has_shadow;
	bool in_step;             /* every acknowledged write is here */
	struct gn_move_loss loss; /* else: what would be missing */
	bool cpu_fits;
	bool has_room;              /* the ledger has it, or it is promised already */
	bool given_up;              /* the old holder has surrendered */
	bool lease_held;            /* it asked for its lease a moment ago */
	uint64_t since_failover_us; /* since the last one was done; 0: there was none */
};

/* An operator's promotion against STALE. It must name at least what would be lost: an age that
 * covers facts.loss.age_us; when the loss is not known, 'unknown' says so in so many words. */
struct gn_failover_override {
	bool given;
	bool unknown;
	uint64_t age_us;
};

enum gn_failover_event_kind {
	GN_FAILOVER_TICK,
	GN_FAILOVER_PLAN_DONE,
	GN_FAILOVER_PLAN_FAILED, /* 'fence_failed': at the fence */
	GN_FAILOVER_MOVE_BEGAN,  /* a migration or rehearsal of this VM, begun by others */
	GN_FAILOVER_PROMOTE,     /* an operator's, with 'override' */
	GN_FAILOVER_HOLD,        /* an operator's; 'on' */
};
struct gn_failover_event {
	enum gn_failover_event_kind kind;
	bool fence_failed;
	bool on;
	struct gn_failover_override override;
};

/* What to do, a set. */
enum gn_failover_action {
	GN_FAILOVER_BEGIN = 1,    /* make and run a FAILOVER move */
	GN_FAILOVER_NEWS = 2,     /* the state, the cause or the refusal changed */
	GN_FAILOVER_RESHADOW = 4, /* the VM runs here: make a shadow of it elsewhere */
	GN_FAILOVER_ABANDON = 8,  /* end the move under way: its source is gone */
};

struct gn_failover {
	enum gn_failover_state state;
	enum gn_failover_refusal refusal;
	enum gn_detect_sign cause;
	bool hold;
	bool asked; /* by an operator, not by signs */
	bool ours;  /* the move under way is a failover: it needs no source */
	struct gn_failover_override override;
	uint64_t first_us;    /* the cause began to show */
	uint64_t detected_us; /* it was long enough */
	uint64_t retry_us;
	uint32_t n_tries;
};

/* The first reason against a promotion now; the fence is proven by the move. */
enum gn_failover_refusal gn_failover_judge(const struct gn_failover_facts *facts, bool hold,
                                           bool asked, const struct gn_failover_override *override);

unsigned gn_failover_step(struct gn_failover *failover, const struct gn_failover_event *event,
                          const struct gn_detect *detect, const struct gn_failover_facts *facts,
                          uint64_t now_us);

/* "REFUSED: the shadow lacks writes that were acknowledged (12 MB, 3 s); wait until ..." */
void gn_failover_explain(const struct gn_failover *failover, const struct gn_failover_facts *facts,
                         struct gn_text *text);

#endif
