/* steps.c - what each step of a move does in the model, and the facts that it needs (sim.h). The
 * driver is the card of 'side'; the source is the other one. */
#include "tests/sim/sim.h"

/* The executor gives up waiting after so long, and says that it does not know. */
static uint64_t patience_us(enum gn_move_step step)
{
	switch (step) {
	case GN_MOVE_STEP_SEND_RAM:
	case GN_MOVE_STEP_SHUT_DOWN:
		return 40 * S;
	case GN_MOVE_STEP_FENCE:
	case GN_MOVE_STEP_HAND_OVER:
		return 8 * S;
	case GN_MOVE_STEP_BOOT:
	case GN_MOVE_STEP_TRIAL:
		return 15 * S;
	default:
		return 5 * S;
	}
}

struct op sim_move_op(const struct side *s, bool undo)
{
	return (struct op){.no = s->move_no,
	                   .at = (uint8_t)s->move.plan.at,
	                   .round = (uint8_t)s->move.plan.round,
	                   .attempt = (uint8_t)s->move.plan.attempts,
	                   .undo = undo};
}

void sim_answer_later(struct world *w, const struct vm *vm, unsigned side, struct op op,
                      uint8_t outcome, bool verified, bool timeout, uint64_t delay_us)
{
	struct event e = {.kind = EV_ANSWER,
	                  .a = vm->index,
	                  .b = side,
	                  .life = w->cards[vm->at[side]].brain_life};

	e.answer.op = op;
	e.answer.outcome = outcome;
	e.answer.verified = verified;
	e.answer.timeout = timeout;
	sim_post(w, &e, delay_us);
}

uint32_t sim_move_facts(const struct world *w, const struct vm *vm, unsigned side)
{
	const struct side *s = &vm->side[side];
	const struct card *card = &w->cards[vm->at[side]];
	uint64_t now = sim_monotonic(w, vm->at[side]);
	bool sees_host = sim_host_answers(w, vm->at[side]);
	bool heard = now < s->source_heard_us + S;
	uint32_t facts = GN_MOVE_POINT;

	if (s->move.kind != GN_MOVE_REHEARSE ||
	    gn_ledger_find(&card->ledger, "trial") != GN_LEDGER_NONE)
		if (card->entries[s->entry].amount.cpu_milli >= s->size_told)
			facts |= GN_MOVE_RESERVED;
	if (s->role == KEEPER) {
		if (gn_keeper_proof(&s->keeper, now) != GN_TENURE_PROOF_NONE ||
		    (sim_is(w, SIM_NO_FENCE) && s->keeper.state == GN_KEEPER_CLOSING))
			facts |= GN_MOVE_FENCED;
		if (gn_keeper_is_in_step(&s->keeper, now))
			facts |= GN_MOVE_IN_STEP;
	}
	if (s->role == HOLDER && s->holder.state != GN_HOLDER_SURRENDERED)
		facts |= GN_MOVE_WRITER | GN_MOVE_FENCED;
	if (heard)
		facts |= s->source_runs ? GN_MOVE_SOURCE_RUNS : GN_MOVE_SOURCE_OFF;
	if (sees_host && s->qemu == OFF)
		facts |= GN_MOVE_NOT_HERE;
	if (sees_host && s->qemu == RUNNING)
		facts |= GN_MOVE_RUNS_HERE;
	if (s->cloned)
		facts |= GN_MOVE_CLONED;
	if (s->trial)
		facts |= GN_MOVE_TRIAL_RUNS;
	return facts;
}

/* ---- at the driver ------------------------------------------------------------------------ */

static uint64_t command_id(const struct vm *vm, unsigned side, struct op op, enum command_kind kind)
{
	return ((uint64_t)vm->index << 44 | (uint64_t)side << 43 |
	        (uint64_t)(op.no & 0x3ffff) << 25 | (uint64_t)op.at << 20 |
	        (uint64_t)op.round << 14 | (uint64_t)op.undo << 13 | (uint64_t)op.resize << 12 |
	        (uint64_t)kind << 4) +
	       1;
}

static void order(struct world *w, const struct vm *vm, unsigned side, enum command_kind kind,
                  struct op op, uint64_t deadline_us)
{
	const struct side *s = &vm->side[side];

	sim_command(w, &(struct command){
	                       .kind = kind,
	                       .id = command_id(vm, side, op, kind),
	                       .vm = vm->index,
	                       .side = (uint8_t)side,
	                       .size = s->size_told,
	                       .deadline_us = deadline_us,
	                       .op = op,
	               });
}

static void call_source(struct world *w, const struct vm *vm, unsigned side, struct op op)
{
	const struct side *s = &vm->side[side];

	sim_send(w, &(struct message){.kind = MSG_CALL,
	                              .from = vm->at[side],
	                              .to = vm->at[!side],
	                              .vm = vm->index,
	                              .token = s->keeper.token,
	                              .deadline_us = s->move.plan.deadline_us,
	                              .step = (uint8_t)gn_move_at(&s->move),
	                              .op = op});
}

static uint8_t reserve_trial(struct world *w, struct vm *vm, unsigned side, bool undo)
{
	struct card *card = &w->cards[vm->at[side]];
	struct gn_ledger_change change = {.amount = {.cpu_milli = vm->side[side].size_told}};

	change.entry = gn_ledger_find(&card->ledger, "trial");
	if (undo) {
		gn_ledger_release(&card->ledger, change.entry);
		return GN_PLAN_EXECUTED;
	}
	if (change.entry != GN_LEDGER_NONE)
		return GN_PLAN_FORBIDDEN; /* one at a time on a host */
	change.entry =
	        gn_ledger_open(&card->ledger, "trial", "rehearsal", sim_card_time(w, vm->at[side]));
	if (gn_ledger_take(&card->ledger, &change, 1) == 0)
		return GN_PLAN_EXECUTED;
	gn_ledger_release(&card->ledger, change.entry);
	return GN_PLAN_FORBIDDEN;
}

/* The room was promised when the shadow was made. */
static uint8_t reserve(struct world *w, struct vm *vm, unsigned side, bool undo)
{
	const struct side *s = &vm->side[side];

	if (s->move.kind == GN_MOVE_REHEARSE)
		return reserve_trial(w, vm, side, undo);
	return undo || w->cards[vm->at[side]].entries[s->entry].amount.cpu_milli >= s->size_told
	               ? GN_PLAN_EXECUTED
	               : GN_PLAN_FORBIDDEN;
}

static uint8_t promote(struct world *w, struct vm *vm, unsigned side)
{
	struct side *s = &vm->side[side];
	const struct gn_keeper_event take = {.kind = GN_KEEPER_TAKE};
	bool lossless;

	if (s->role == HOLDER)
		return GN_PLAN_EXECUTED; /* the answer was lost */
	lossless = !s->failover.override.given &&
	           gn_keeper_is_in_step(&s->keeper, sim_monotonic(w, vm->at[side]));
	if (sim_is(w, SIM_NO_FENCE) && s->keeper.state == GN_KEEPER_CLOSING)
		s->keeper.surrendered = true;
	sim_keeper_feed(w, vm, side, &take, NULL);
	if (s->keeper.state != GN_KEEPER_TAKEN)
		return GN_PLAN_FORBIDDEN;
	s->role = HOLDER;
	s->detect = (struct gn_detect){0}; /* from here on it watches its own VM */
	gn_holder_init(&s->holder, vm->rule, s->keeper.token, GN_HOLDER_ALONE,
	               sim_monotonic(w, vm->at[side]));
	w->count.promoted++;
	if (lossless)
		sim_check_promoted(w, vm, side);
	else
		vm->acked = s->position; /* the loss was named */
	sim_trace(w, "vms/%u: promoted at card %u, token %llu", vm->index, vm->at[side],
	          (unsigned long long)s->holder.token);
	return GN_PLAN_EXECUTED;
}

static void close_tenure(struct world *w, struct vm *vm, unsigned side, bool undo)
{
	const struct gn_keeper_event e = {.kind = undo ? GN_KEEPER_REOPEN : GN_KEEPER_CLOSE};

	if (vm->side[side].role == KEEPER)
		sim_keeper_feed(w, vm, side, &e, NULL);
}

/* Steps that the driver does by itself; the outcome, or -1: it comes later. */
static int do_here(struct world *w, struct vm *vm, unsigned side, bool undo, struct op op)
{
	struct side *s = &vm->side[side];
	uint64_t deadline = s->move.plan.deadline_us;

	switch (gn_move_at(&s->move)) {
	case GN_MOVE_STEP_RESERVE:
		return reserve(w, vm, side, undo);
	case GN_MOVE_STEP_FENCE:
	case GN_MOVE_STEP_HAND_OVER:
		close_tenure(w, vm, side, undo);
		return undo ? GN_PLAN_EXECUTED : -1; /* sim_move_poll() */
	case GN_MOVE_STEP_PROMOTE:
		return promote(w, vm, side);
	case GN_MOVE_STEP_BOOT:
		order(w, vm, side, CMD_START, op, deadline);
		return -1;
	case GN_MOVE_STEP_RESUME:
		order(w, vm, side, CMD_RESUME, op, deadline);
		return -1;
	case GN_MOVE_STEP_TRIAL:
		order(w, vm, side, undo ? CMD_END_TRIAL : CMD_TRIAL, op, deadline);
		return -1;
	case GN_MOVE_STEP_CLONE:
		s->cloned = !undo;
		return GN_PLAN_EXECUTED;
	case GN_MOVE_STEP_PROBE:
		return s->trial ? GN_PLAN_EXECUTED : GN_PLAN_FORBIDDEN;
	case GN_MOVE_STEP_PREPARE:
	case GN_MOVE_STEP_ANNOUNCE:
	case GN_MOVE_STEP_FLUSH:
		return sim_chance(w, 20) ? GN_PLAN_FORBIDDEN : GN_PLAN_EXECUTED;
	case GN_MOVE_STEP_BLOCK:
	case GN_MOVE_STEP_SEND_RAM:
	case GN_MOVE_STEP_SHUT_DOWN:
	case GN_MOVE_N_STEPS:
		break;
	}
	call_source(w, vm, side, op);
	return -1;
}

void sim_move_do(struct world *w, struct vm *vm, unsigned side, bool undo)
{
	struct side *s = &vm->side[side];
	struct op op = sim_move_op(s, undo);
	enum gn_move_step step = gn_move_at(&s->move);
	int outcome;

	sim_check_sent(w, vm, side, undo);
	sim_trace(w, "vms/%u, move %u: %s", vm->index, s->move_no,
	          undo ? gn_move_undo_text(step) : gn_move_step_text(step));
	if (!sim_is(w, SIM_LOST_ANSWER))
		sim_answer_later(w, vm, side, op, GN_PLAN_UNKNOWN, true, true, patience_us(step));
	outcome =
	        undo && sim_is(w, SIM_NO_UNDO) ? GN_PLAN_EXECUTED : do_here(w, vm, side, undo, op);
	if (outcome >= 0)
		sim_answer_later(w, vm, side, op, (uint8_t)outcome, true, false,
		                 500 + sim_roll(w, 20 * MS));
	sim_trap(w, vm, side);
}

/* The fence is no command: it is there when its proof is. */
void sim_move_poll(struct world *w, struct vm *vm, unsigned side)
{
	struct side *s = &vm->side[side];
	enum gn_move_step step = gn_move_at(&s->move);

	if (s->move.plan.state == GN_PLAN_RUNNING && s->move.plan.awaits_answer &&
	    (step == GN_MOVE_STEP_FENCE || step == GN_MOVE_STEP_HAND_OVER) &&
	    sim_move_facts(w, vm, side) & GN_MOVE_FENCED) {
		struct op op = sim_move_op(s, false);

		sim_brain_answer(w, vm, side, &op, GN_PLAN_EXECUTED, true, false);
	}
}

/* ---- at the source --------------------------------------------------------------------------- */

static void reply(struct world *w, const struct message *call, uint8_t outcome)
{
	struct message m = *call;

	m.kind = MSG_REPLY;
	m.from = call->to;
	m.to = call->from;
	m.outcome = outcome;
	sim_send(w, &m);
}

/* A driver asks the source's card for a step. It does what its own facts allow. */
void sim_called(struct world *w, struct vm *vm, unsigned side, const struct message *call)
{
	struct side *s = &vm->side[side];
	enum gn_move_step step = (enum gn_move_step)call->step;
	struct command c = {.vm = vm->index,
	                    .side = (uint8_t)side,
	                    .size = s->qemu_size,
	                    .deadline_us = call->deadline_us,
	                    .op = call->op,
	                    .remote = true};
	bool leased = s->holder.state == GN_HOLDER_LEASED && sim_may_write(w, vm, side);

	if (s->role != HOLDER || s->holder.token != call->token || s->resize.open || s->has_move ||
	    (!leased && !call->op.undo)) {
		reply(w, call, GN_PLAN_FORBIDDEN);
		return;
	}
	s->moving_until_us =
	        sim_monotonic(w, vm->at[side]) + (step == GN_MOVE_STEP_BLOCK ? 5 * S : 45 * S);
	if (step == GN_MOVE_STEP_SEND_RAM)
		c.kind = CMD_MIGRATE;
	else if (step == GN_MOVE_STEP_SHUT_DOWN && !call->op.undo)
		c.kind = CMD_SHUT_DOWN;
	else if (step == GN_MOVE_STEP_SHUT_DOWN && sim_may_write(w, vm, side))
		c.kind = CMD_START;
	else {
		reply(w, call,
		      step == GN_MOVE_STEP_SHUT_DOWN ? GN_PLAN_FORBIDDEN : GN_PLAN_EXECUTED);
		return;
	}
	c.id = command_id(vm, !side, call->op, c.kind);
	if (c.kind == CMD_START)
		c.size = vm->size;
	sim_command(w, &c);
}
