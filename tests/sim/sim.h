/* sim.h - a fleet in one process: hosts, cards, volumes and links as models, virtual time, one
 * seed; what decides is the very code of gnomond (policy, ledger, plan, failover).
 *
 * Each VM has two sides, one per host that it may run on: at one card it is held, at the other its
 * shadow is kept. A card is a dataplane, which holds and keeps (tenure), and a brain, which
 * watches, decides and moves; they crash together or the brain alone. What is durable
 * survives, the rest does not. A host runs QEMU processes as its shim is told by commands with ids.
 *
 * Every effect is an event in one queue; after each event the invariants of the VM it touched are
 * checked (check.c). Same seed, same run. */
#ifndef TESTS_SIM_H
#define TESTS_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/failover/failover.h"
#include "firmware/failover/tenure.h"
#include "firmware/ledger/ledger.h"

#define MS ((uint64_t)1000)
#define S  ((uint64_t)1000000)

/* ---- mutations: a rule that is broken on purpose, to see that the checks can fail ---- */
#define SIM_MUTATIONS(X)                                                                           \
	X(NONE, "none")                                                                            \
	X(NO_FENCE, "no-fence")     /* promote without a proof */                                  \
	X(LONG_LEASE, "long-lease") /* the holder counts its lease from the answer, doubled */     \
	X(FORGETS, "forgets")       /* a keeper that restarts forgets that it granted */           \
	X(HIDES, "hides-alone")     /* a holder does not say that it works alone */                \
	X(EARLY_PAIR, "early-pair") /* paired before the shadow is level */                        \
	X(BOTH_WITNESSED, "both-witnessed") /* the witness says yes to everybody */                \
	X(OVERBOOK, "overbook")             /* the ledger's refusal is ignored */                  \
	X(NO_NEEDS, "no-needs")             /* actions are sent without what they need */          \
	X(NOT_STORED, "not-stored")         /* sent before it is stored */                         \
	X(TWICE, "twice")                   /* the shim forgets which ids it has executed */       \
	X(NO_UNDO, "no-undo")               /* nothing is undone */                                \
	X(LOST_ANSWER, "lost-answer")       /* the executor does not answer what timed out */      \
	X(TWO_PLANS, "two-plans")           /* another plan of the VM begins meanwhile */          \
	X(NO_RESTART, "no-restart")         /* nobody boots what its host lost */

enum sim_mutation {
#define SIM_MUTATION_ENUM(name, text) SIM_##name,
	SIM_MUTATIONS(SIM_MUTATION_ENUM)
#undef SIM_MUTATION_ENUM
	        SIM_N_MUTATIONS
};

/* ---- the fleet --------------------------------------------------------------------- */

enum role { NO_ROLE, HOLDER, KEEPER };
enum qemu { OFF, PAUSED, RUNNING };
enum guest { GUEST_WELL, GUEST_DEAD, GUEST_HUNG };

struct host {
	bool up, dead; /* dead: for ever */
	uint64_t hangs_until_us;
	uint64_t refuses_until_us;
	uint64_t lies_until_us;
	int64_t wall_offset_us;
	uint64_t capacity_milli;
};

struct card {
	bool up, brain_up, dead;
	uint32_t life, brain_life; /* how often it began */
	uint64_t booted_us;
	int64_t rate_ppm; /* of its monotonic clock */
	int64_t wall_offset_us;
	uint64_t card_us; /* newest card time: durable */
	uint64_t card_monotonic_us;
	struct gn_ledger ledger;
	struct gn_ledger_entry *entries;
	struct gn_ledger_edge *edges;
	uint32_t *vms; /* that have a side here */
	uint32_t n_vms;
};

/* A plan that grows or shrinks a VM; one action. */
struct resize {
	bool open;
	struct gn_plan plan, stored;
	uint32_t no;
};

struct side {
	/* durable */
	enum role role;
	struct gn_holder holder;
	struct gn_keeper keeper;
	uint64_t position; /* writes that the volume holds: a prefix */
	bool has_move;
	struct gn_move move, stored;
	uint32_t move_no;
	struct resize resize;
	uint32_t entry;     /* in the card's ledger */
	uint32_t size_told; /* the VM's size, as the holder told it last */
	/* the host's */
	enum qemu qemu;
	uint32_t qemu_size;
	bool trial;
	/* the brain's, lost with it */
	struct gn_failover failover;
	struct gn_detect detect;
	uint32_t n_ticks;
	uint64_t source_heard_us;
	bool source_runs;
	uint64_t moving_until_us; /* a move by the other side was told of */
	uint64_t down_since_us;
	bool cloned;
};

struct vm {
	uint32_t index;
	enum gn_tenure_rule rule;
	uint32_t witness_card;
	struct gn_witness witness; /* durable, there */
	uint32_t at[2];            /* host and card of each side */
	struct side side[2];
	enum guest guest;
	uint32_t size;  /* milli-vCPU that the VM's definition has now */
	uint64_t acked; /* writes that the guest was told are safe */
	uint64_t token; /* of the newest acknowledged write */
	bool can_migrate;
	int64_t demand; /* milli-vCPU */
	uint64_t seen_alive_us;
	uint64_t shadow_fails_until_us; /* its store: the link is well */
};

enum event_kind {
	EV_TICK,
	EV_WRITE,
	EV_MESSAGE,
	EV_ANSWER,
	EV_COMMAND,
	EV_FAULT,
	EV_DEMAND,
	EV_OPERATOR
};

/* An operation of a plan; what an answer must match. */
struct op {
	uint32_t no;
	uint8_t at, round, attempt;
	bool undo, resize;
};

/* clang-format does not settle on a form of this list. */
// clang-format off
#define SIM_MESSAGES(X) \
	X(RENEW) X(GRANT) X(REFUSE) X(REVOKE) X(PAIR) X(GAVE_UP) X(CLAIM) X(WITNESS_YES) X(LEAVE) \
	X(CONSENT) X(SIGNS) X(ADOPT) X(CALL) X(REPLY) X(WANT) X(RAISE) X(RAISED)
// clang-format on
enum message_kind {
#define SIM_MESSAGE_ENUM(name) MSG_##name,
	SIM_MESSAGES(SIM_MESSAGE_ENUM)
#undef SIM_MESSAGE_ENUM
};

struct message {
	enum message_kind kind;
	uint32_t from, to, vm;
	uint64_t token, sequence;
	uint64_t deadline_us;
	uint32_t size;
	uint8_t step;    /* CALL, REPLY; the move's kind in WANT; the sign in SIGNS */
	uint8_t outcome; /* REPLY */
	bool alone, claimed, level, agreed, loss_accepted, keeper, lost, runs, yes;
	struct op op;
};

enum command_kind {
	CMD_START,
	CMD_DESTROY,
	CMD_SHUT_DOWN,
	CMD_MIGRATE,
	CMD_RESUME,
	CMD_SET,
	CMD_TRIAL,
	CMD_END_TRIAL
};

struct command {
	enum command_kind kind;
	uint64_t id;
	uint32_t vm;
	uint8_t side;
	uint32_t size;
	uint64_t deadline_us;
	struct op op;
	bool remote; /* ordered by the other side's card */
	bool second; /* its execution, after its time */
};

struct event {
	uint64_t at_us, order;
	enum event_kind kind;
	uint32_t a, b; /* card; or VM and side */
	uint32_t life;
	union {
		struct message message;
		struct command command;
		struct {
			struct op op;
			uint8_t outcome;
			bool verified, timeout;
		} answer;
	};
};

struct sim_options {
	uint32_t n_hosts, n_vms;
	uint64_t quiet_us; /* faults end here */
	uint64_t end_us;
	uint64_t write_us;  /* between a guest's writes */
	uint64_t demand_us; /* between decisions */
	uint32_t n_faults;
	enum sim_mutation mutation;
	bool trace;
};

struct sim_counts {
	uint64_t events, messages, writes, decisions, plans, done, failed, commands;
	uint64_t promoted, migrated, relocated, rehearsed, restarted, refused[16];
	uint64_t alone, resized, faults;
};

struct known_id {
	uint64_t id;
	uint8_t kind, executions;
};

struct world {
	struct sim_options o;
	uint64_t seed, random;
	uint64_t now_us;
	struct host *hosts;
	struct card *cards;
	struct vm *vms;
	struct event *heap;
	uint32_t n_heap, heap_room;
	uint64_t order;
	bool *cut; /* n_hosts * n_hosts */
	uint32_t loss_milli, slow_milli, twice_milli;
	uint64_t bad_until_us; /* of the three above */
	struct known_id *ids;
	uint32_t n_ids, ids_room;
	uint32_t trap; /* a fault strikes when so many operations were begun; 0: none */
	struct sim_counts count;
	char failure[512]; /* empty: all is well */
};

/* world.c */
uint64_t sim_roll(struct world *w, uint64_t sides); /* 0..sides-1 */
bool sim_chance(struct world *w, uint32_t milli);
void sim_create(struct world *w, const struct sim_options *options, uint64_t seed);
void sim_destroy(struct world *w);
/* Runs to the end, or to the first violation: then 'failure' says what and when. */
void sim_run(struct world *w);
void sim_post(struct world *w, const struct event *event, uint64_t delay_us);
void sim_trace(const struct world *w, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
void sim_fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t sim_monotonic(const struct world *w, uint32_t card);
uint64_t sim_card_time(struct world *w, uint32_t card);
static inline bool sim_is(const struct world *w, enum sim_mutation m)
{
	return w->o.mutation == m;
}

/* link.c: what goes between cards, and the tenure's parties */
void sim_send(struct world *w, const struct message *message);
bool sim_linked(const struct world *w, uint32_t a, uint32_t b);
bool sim_can_replicate(const struct world *w, const struct vm *vm, unsigned holder);
bool sim_is_level(const struct world *w, const struct vm *vm, unsigned holder);
bool sim_may_write(const struct world *w, const struct vm *vm, unsigned side);
void sim_holder_feed(struct world *w, struct vm *vm, unsigned side,
                     const struct gn_holder_event *event);
void sim_keeper_feed(struct world *w, struct vm *vm, unsigned side,
                     const struct gn_keeper_event *event, const struct message *cause);
void sim_receive(struct world *w, const struct message *message);
void sim_guest_writes(struct world *w, struct vm *vm);

/* host.c */
void sim_command(struct world *w, const struct command *command);
void sim_command_due(struct world *w, const struct command *command);
bool sim_host_answers(const struct world *w, uint32_t host);
/* The card has what it has no use for destroyed; nobody waits for it. */
void sim_destroy_qemu(struct world *w, const struct vm *vm, unsigned side);

/* brain.c */
void sim_brain_tick(struct world *w, uint32_t card);
void sim_brain_restarted(struct world *w, uint32_t card);
void sim_brain_receive(struct world *w, const struct message *message, unsigned side);
void sim_brain_answer(struct world *w, struct vm *vm, unsigned side, const struct op *op,
                      uint8_t outcome, bool verified, bool timeout);
void sim_brain_demand(struct world *w, struct vm *vm);
void sim_brain_promote(struct world *w, struct vm *vm, unsigned side,
                       const struct gn_failover_override *override);
bool sim_begin_move(struct world *w, struct vm *vm, unsigned side, enum gn_move_kind kind);

/* steps.c: what a move's step does */
uint32_t sim_move_facts(const struct world *w, const struct vm *vm, unsigned side);
void sim_move_do(struct world *w, struct vm *vm, unsigned side, bool undo);
void sim_move_poll(struct world *w, struct vm *vm, unsigned side);
void sim_called(struct world *w, struct vm *vm, unsigned side, const struct message *call);
void sim_answer_later(struct world *w, const struct vm *vm, unsigned side, struct op op,
                      uint8_t outcome, bool verified, bool timeout, uint64_t delay_us);
struct op sim_move_op(const struct side *side, bool undo);

/* fault.c */
void sim_plan_faults(struct world *w);
void sim_fault(struct world *w, uint32_t what, uint32_t target);
void sim_heal(struct world *w);
void sim_trap(struct world *w, struct vm *vm, unsigned side);
void sim_operator(struct world *w);

/* check.c */
void sim_check(struct world *w, const struct vm *vm);
void sim_check_card(struct world *w, uint32_t card);
void sim_check_acknowledged(struct world *w, struct vm *vm, unsigned side);
void sim_check_promoted(struct world *w, struct vm *vm, unsigned side);
void sim_check_sent(struct world *w, const struct vm *vm, unsigned side, bool undo);
void sim_check_end(struct world *w);
bool sim_lives(const struct world *w, const struct vm *vm, unsigned side);

#endif
