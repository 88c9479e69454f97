/* brain.c - a card's brain: watches, decides with gnomond's pure modules, makes plans and steps
 * them; what it does not know it does not use (sim.h). */
#include <string.h>
#include "firmware/policy/policy.h"
#include "tests/sim/sim.h"

static struct message letter(const struct vm *vm, unsigned side, enum message_kind kind)
{
	return (struct message){
	        .kind = kind, .from = vm->at[side], .to = vm->at[!side], .vm = vm->index};
}

/* ---- moves --------------------------------------------------------------------------------- */

static void move_feed(struct world *w, struct vm *vm, unsigned side, struct gn_plan_event event);

static struct gn_failover_facts failover_facts(const struct world *w, const struct vm *vm,
                                               unsigned side)
{
	const struct side *s = &vm->side[side];
	uint64_t now = sim_monotonic(w, vm->at[side]);

	return (struct gn_failover_facts){
	        .has_shadow = true,
	        .in_step = gn_keeper_is_in_step(&s->keeper, now),
	        .cpu_fits = true,
	        .has_room =
	                w->cards[vm->at[side]].entries[s->entry].amount.cpu_milli >= s->size_told,
	        .given_up = s->keeper.surrendered,
	        .lease_held = now < s->keeper.granted_us + GN_TENURE_TERM_US && s->source_runs,
	};
}

static void failover_feed(struct world *w, struct vm *vm, unsigned side,
                          const struct gn_failover_event *event)
{
	struct side *s = &vm->side[side];
	struct gn_failover_facts facts = failover_facts(w, vm, side);
	enum gn_failover_state was = s->failover.state;
	unsigned actions = gn_failover_step(&s->failover, event, &s->detect, &facts,
	                                    sim_monotonic(w, vm->at[side]));

	if (actions & GN_FAILOVER_NEWS && was != s->failover.state) {
		sim_trace(w, "vms/%u at card %u: %s, %s", vm->index, vm->at[side],
		          gn_failover_state_name(s->failover.state),
		          s->failover.state == GN_FAILOVER_REFUSED
		                  ? gn_failover_refusal_text(s->failover.refusal)
		                  : gn_detect_text(s->failover.cause));
		if (s->failover.state == GN_FAILOVER_REFUSED)
			w->count.refused[s->failover.refusal]++;
	}
	if (actions & GN_FAILOVER_ABANDON && s->move.kind != GN_MOVE_FAILOVER)
		move_feed(w, vm, side, (struct gn_plan_event){.kind = GN_PLAN_EVENT_ABANDON});
	if (actions & GN_FAILOVER_BEGIN && !sim_begin_move(w, vm, side, GN_MOVE_FAILOVER)) {
		const struct gn_failover_event failed = {.kind = GN_FAILOVER_PLAN_FAILED};

		failover_feed(w, vm, side, &failed);
	}
}

static void move_ended(struct world *w, struct vm *vm, unsigned side)
{
	struct side *s = &vm->side[side];
	bool done = s->move.plan.state == GN_PLAN_DONE;
	struct gn_failover_event e = {.kind = done ? GN_FAILOVER_PLAN_DONE
	                                           : GN_FAILOVER_PLAN_FAILED};

	sim_trace(w, "vms/%u, move %u: %s %s %s", vm->index, s->move_no,
	          gn_move_kind_text(s->move.kind), gn_plan_state_name(s->move.plan.state),
	          gn_plan_end_text(s->move.plan.end));
	s->has_move = false;
	e.fence_failed = !done && gn_move_at(&s->move) == GN_MOVE_STEP_RESERVE &&
	                 s->move.begun_us[1] && !s->move.ended_us[1];
	w->count.done += done;
	w->count.failed += !done;
	w->count.migrated += done && s->move.kind == GN_MOVE_MIGRATE;
	w->count.relocated += done && s->move.kind == GN_MOVE_RELOCATE;
	w->count.rehearsed += done && s->move.kind == GN_MOVE_REHEARSE;
	w->count.restarted += done && s->move.kind == GN_MOVE_RESTART;
	if (s->role == HOLDER) { /* it watches no more */
		s->failover = (struct gn_failover){.hold = s->failover.hold};
		s->down_since_us = 0;
		return;
	}
	if (s->failover.state == GN_FAILOVER_MOVING)
		failover_feed(w, vm, side, &e);
}

static void move_perform(struct world *w, struct vm *vm, unsigned side, unsigned effects)
{
	struct side *s = &vm->side[side];

	if (effects & GN_PLAN_STORE) {
		if (sim_is(w, SIM_NOT_STORED)) {
			sim_move_do(w, vm, side, s->move.plan.state == GN_PLAN_UNDOING);
			s->stored = s->move;
		}
		s->stored = s->move;
		move_feed(w, vm, side,
		          (struct gn_plan_event){.kind = GN_PLAN_EVENT_STORED, .ok = true});
	}
	if (effects & (GN_PLAN_SEND | GN_PLAN_UNDO))
		sim_move_do(w, vm, side, effects & GN_PLAN_UNDO);
	if (effects & GN_PLAN_NEWS)
		s->stored = s->move;
	if (effects && s->has_move && gn_plan_has_ended(&s->move.plan))
		move_ended(w, vm, side);
}

static void move_feed(struct world *w, struct vm *vm, unsigned side, struct gn_plan_event event)
{
	struct side *s = &vm->side[side];

	if (!s->has_move)
		return;
	event.holds = sim_is(w, SIM_NO_NEEDS) ? UINT32_MAX : sim_move_facts(w, vm, side);
	event.may_begin = true;
	event.has_room = true;
	move_perform(w, vm, side, gn_move_step(&s->move, &event, sim_card_time(w, vm->at[side])));
}

/* One plan of a VM at a time: a more urgent one asks the other to turn back, and waits. */
bool sim_begin_move(struct world *w, struct vm *vm, unsigned side, enum gn_move_kind kind)
{
	struct side *s = &vm->side[side];
	struct gn_move move;

	gn_move_init(&move, kind, true, sim_card_time(w, vm->at[side]) + 60 * S);
	if (s->has_move && !sim_is(w, SIM_TWO_PLANS)) {
		if (gn_plan_admit(&move.plan, &s->move.plan) == GN_PLAN_MAY_PREEMPT)
			move_feed(w, vm, side,
			          (struct gn_plan_event){.kind = GN_PLAN_EVENT_PREEMPT});
		return false;
	}
	if (s->resize.open)
		return false;
	if (s->has_move)
		sim_fail(w, "vms/%u has two plans at card %u", vm->index, vm->at[side]);
	s->move = s->stored = move;
	s->has_move = true;
	s->move_no++;
	w->count.plans++;
	sim_trace(w, "vms/%u at card %u: begins to %s (move %u)", vm->index, vm->at[side],
	          gn_move_kind_text(kind), s->move_no);
	move_feed(w, vm, side, (struct gn_plan_event){.kind = GN_PLAN_EVENT_TICK});
	return true;
}

/* ---- growing and shrinking ---------------------------------------------------------------------
 */

static struct op resize_op(const struct side *s)
{
	return (struct op){.no = s->resize.no,
	                   .round = (uint8_t)s->resize.plan.round,
	                   .attempt = (uint8_t)s->resize.plan.attempts,
	                   .resize = true};
}

static void set_promise(struct world *w, struct vm *vm, unsigned side, uint32_t size)
{
	struct gn_ledger_amount amount = {.cpu_milli = size};

	gn_ledger_record(&w->cards[vm->at[side]].ledger, vm->side[side].entry, amount);
}

static void resize_ended(struct world *w, struct vm *vm, unsigned side)
{
	struct side *s = &vm->side[side];

	s->resize.open = false;
	if (s->resize.plan.state == GN_PLAN_DONE) {
		vm->size = (uint32_t)s->resize.plan.actions[0].to;
		w->count.resized++;
	}
	/* It may have been executed after all: the larger one of both is promised. */
	if (s->resize.plan.state == GN_PLAN_DONE || s->resize.plan.end == GN_PLAN_END_REFUSED)
		set_promise(w, vm, side, s->qemu_size > vm->size ? s->qemu_size : vm->size);
}

static void resize_feed(struct world *w, struct vm *vm, unsigned side, struct gn_plan_event event)
{
	struct side *s = &vm->side[side];
	unsigned effects;

	if (!s->resize.open)
		return;
	event.may_begin = event.has_room = true;
	event.current = s->resize.plan.actions[0].from;
	effects = gn_plan_step(&s->resize.plan, &event, sim_card_time(w, vm->at[side]));
	if (effects & GN_PLAN_STORE) {
		s->resize.stored = s->resize.plan;
		resize_feed(w, vm, side,
		            (struct gn_plan_event){.kind = GN_PLAN_EVENT_STORED, .ok = true});
	}
	if (effects & GN_PLAN_SEND) {
		struct op op = resize_op(s);

		sim_command(w, &(struct command){
		                       .kind = CMD_SET,
		                       .id = (uint64_t)vm->index << 44 | (uint64_t)side << 43 |
		                             (uint64_t)(op.no & 0x3ffff) << 25 |
		                             (uint64_t)op.round << 14 | 1u << 12 | CMD_SET << 4 | 2,
		                       .vm = vm->index,
		                       .side = (uint8_t)side,
		                       .size = (uint32_t)s->resize.plan.actions[0].to,
		                       .deadline_us = s->resize.plan.deadline_us,
		                       .op = op});
		if (!sim_is(w, SIM_LOST_ANSWER))
			sim_answer_later(w, vm, side, op, GN_PLAN_UNKNOWN, true, true, 5 * S);
	}
	if (effects && s->resize.open && gn_plan_has_ended(&s->resize.plan))
		resize_ended(w, vm, side);
}

static void begin_resize(struct world *w, struct vm *vm, unsigned side, uint32_t size)
{
	struct side *s = &vm->side[side];
	struct gn_ledger_change change = {.entry = s->entry, .amount = {.cpu_milli = size}};

	if (size > s->qemu_size) {
		if (sim_is(w, SIM_OVERBOOK))
			gn_ledger_record(&w->cards[vm->at[side]].ledger, s->entry, change.amount);
		else if (gn_ledger_take(&w->cards[vm->at[side]].ledger, &change, 1))
			return;
	}
	gn_plan_init(&s->resize.plan, true, sim_card_time(w, vm->at[side]) + 60 * S);
	s->resize.plan.priority = size > s->qemu_size ? GN_PLAN_GROW : GN_PLAN_SHRINK;
	gn_plan_add_action(&s->resize.plan, s->qemu_size, size);
	s->resize.stored = s->resize.plan;
	s->resize.open = true;
	s->resize.no++;
	w->count.plans++;
	resize_feed(w, vm, side, (struct gn_plan_event){.kind = GN_PLAN_EVENT_TICK});
}

/* The forecast is made of the demand, and wrong one time in four. */
static void forecast(struct world *w, const struct vm *vm, struct gn_predict_forecast *out)
{
	int64_t value = vm->demand + (int64_t)sim_roll(w, 300);
	unsigned i;

	if (sim_chance(w, 250))
		value = (int64_t)sim_roll(w, 6000);
	*out = (struct gn_predict_forecast){.horizon = 60};
	for (i = 0; i < GN_PREDICT_N_QUANTILES; i++)
		out->quantiles[i] = value;
}

static void ask_for_growth(struct world *w, struct vm *vm, unsigned side, uint32_t size)
{
	struct message m = letter(vm, side, MSG_RAISE);

	/* The shadow's host promises it first: else a failover might find it full. */
	m.size = size;
	m.token = vm->side[side].holder.token;
	sim_send(w, &m);
}

void sim_brain_demand(struct world *w, struct vm *vm)
{
	unsigned side = vm->side[1].role == HOLDER;
	struct side *s = &vm->side[side];
	struct gn_policy_rules rules = gn_policy_defaults[GN_RESOURCE_CPU];
	struct gn_predict_forecast f;
	struct gn_policy_decision d;
	struct gn_policy_input in = {.resource = GN_RESOURCE_CPU,
	                             .mode = GN_POLICY_ENFORCE,
	                             .allocated = s->qemu_size,
	                             .definition_maximum = 4000,
	                             .window_us = UINT64_MAX,
	                             .since_change_us = UINT64_MAX,
	                             .period_us = S,
	                             .n_forecasts = 1,
	                             .forecasts = &f};

	vm->demand += (int64_t)sim_roll(w, 801) - 400;
	vm->demand = vm->demand < 100 ? 100 : vm->demand > 3500 ? 3500 : vm->demand;
	if (!w->cards[vm->at[side]].brain_up || s->qemu != RUNNING || s->resize.open ||
	    s->has_move || sim_monotonic(w, vm->at[side]) < s->moving_until_us ||
	    !sim_may_write(w, vm, side))
		return;
	forecast(w, vm, &f);
	in.observed = in.window_maximum = vm->demand;
	in.host_free = (int64_t)gn_ledger_room(&w->cards[vm->at[side]].ledger).cpu_milli;
	gn_policy_decide(&rules, &in, &d);
	w->count.decisions++;
	if (d.verdict == GN_POLICY_SHRINK)
		begin_resize(w, vm, side, (uint32_t)d.target);
	else if (d.verdict == GN_POLICY_GROW)
		ask_for_growth(w, vm, side, (uint32_t)d.target);
	else if (d.must_move) {
		struct message m = letter(vm, side, MSG_WANT);

		m.step = vm->can_migrate ? GN_MOVE_MIGRATE : GN_MOVE_RELOCATE;
		sim_send(w, &m);
	}
}

/* ---- watching ----------------------------------------------------------------------------------
 */

static bool shows(const struct world *w, const struct vm *vm, unsigned side,
                  enum gn_detect_sign sign)
{
	const struct side *s = &vm->side[side];
	bool up = w->hosts[vm->at[side]].up;

	switch (sign) {
	case GN_DETECT_QEMU_GONE:
		return up && s->qemu == OFF;
	case GN_DETECT_GUEST_DEAD:
		return s->qemu == RUNNING && vm->guest == GUEST_DEAD;
	case GN_DETECT_GUEST_HUNG:
		return s->qemu == RUNNING && vm->guest == GUEST_HUNG;
	case GN_DETECT_QUEUES_STOPPED:
		return !up || s->qemu != RUNNING || vm->guest != GUEST_WELL;
	case GN_DETECT_HOST_SILENT:
		return !sim_host_answers(w, vm->at[side]);
	case GN_DETECT_GIVEN_UP:
		return s->holder.state == GN_HOLDER_SURRENDERED;
	case GN_DETECT_CARD_SILENT:
	case GN_DETECT_N_SIGNS:
		break;
	}
	return false;
}

/* The holder's brain looks after its own, and tells the keeper's. */
static void watch_own(struct world *w, struct vm *vm, unsigned side)
{
	struct side *s = &vm->side[side];
	uint64_t now = sim_monotonic(w, vm->at[side]);
	struct message m = letter(vm, side, MSG_SIGNS);
	enum gn_detect_sign cause = GN_DETECT_QEMU_GONE;
	unsigned sign;

	for (sign = 0; sign < GN_DETECT_CARD_SILENT; sign++)
		gn_detect_see(&s->detect, (enum gn_detect_sign)sign,
		              shows(w, vm, side, (enum gn_detect_sign)sign), now);
	m.lost = gn_detect_verdict(&s->detect, now, &cause, NULL) == GN_DETECT_LOST;
	m.step = (uint8_t)cause;
	m.runs = s->qemu == RUNNING && w->hosts[vm->at[side]].up;
	m.size = s->qemu != OFF ? s->qemu_size : s->size_told;
	s->size_told = m.size;
	m.token = s->holder.token;
	if (s->n_ticks % 3 == 0 || m.lost)
		sim_send(w, &m);
	if (s->n_ticks % 20 == 0 && s->holder.state == GN_HOLDER_ALONE) {
		m.kind = MSG_ADOPT;
		sim_send(w, &m);
	}
	if (!s->down_since_us && m.lost)
		s->down_since_us = now;
	if (!m.lost)
		s->down_since_us = 0;
}

/* What nobody could take over is booted where it was, once its shadow had its chance. */
static void boot_again(struct world *w, struct vm *vm, unsigned side)
{
	struct side *s = &vm->side[side];
	uint64_t now = sim_monotonic(w, vm->at[side]);

	if (!s->down_since_us || now < s->down_since_us + 5 * S || now < s->moving_until_us ||
	    s->has_move || s->resize.open || !sim_host_answers(w, vm->at[side]) ||
	    !sim_may_write(w, vm, side) || sim_is(w, SIM_NO_RESTART))
		return;
	if (s->qemu != OFF) { /* dead inside, or left over */
		sim_destroy_qemu(w, vm, side);
		return;
	}
	s->down_since_us = now;
	sim_begin_move(w, vm, side, GN_MOVE_RESTART);
}

/* What runs without the right to is destroyed; its card has cut it off already. */
static void tidy(struct world *w, struct vm *vm, unsigned side)
{
	struct side *s = &vm->side[side];
	bool superfluous = s->role == KEEPER && !s->has_move;

	superfluous |= s->role == HOLDER && s->holder.state == GN_HOLDER_SURRENDERED;
	superfluous |= s->qemu == PAUSED && s->has_move && s->move.kind != GN_MOVE_MIGRATE;
	superfluous |= s->qemu == PAUSED && !s->has_move;
	if (superfluous && s->qemu != OFF && s->n_ticks % 10 == 0)
		sim_destroy_qemu(w, vm, side);
}

/* A move that ended past its point of no return left the tenure closed. */
static void let_go_on(struct world *w, struct vm *vm, unsigned side)
{
	const struct gn_keeper_event reopen = {.kind = GN_KEEPER_REOPEN};
	struct side *s = &vm->side[side];

	if (s->role == KEEPER && !s->has_move && s->keeper.state == GN_KEEPER_CLOSING &&
	    !sim_is(w, SIM_NO_UNDO))
		sim_keeper_feed(w, vm, side, &reopen, NULL);
}

void sim_brain_tick(struct world *w, uint32_t card)
{
	struct card *c = &w->cards[card];
	uint32_t i;

	gn_ledger_advance(&c->ledger, sim_card_time(w, card));
	for (i = 0; i < c->n_vms; i++) {
		struct vm *vm = &w->vms[c->vms[i]];
		unsigned side = vm->at[1] == card;
		struct side *s = &vm->side[side];
		const struct gn_failover_event look = {.kind = GN_FAILOVER_TICK};

		s->n_ticks++;
		if (s->role == HOLDER) {
			watch_own(w, vm, side);
			boot_again(w, vm, side);
		} else if (s->role == KEEPER) {
			gn_detect_see(&s->detect, GN_DETECT_GIVEN_UP, s->keeper.surrendered,
			              sim_monotonic(w, card));
			failover_feed(w, vm, side, &look);
			let_go_on(w, vm, side);
		}
		tidy(w, vm, side);
		if (s->has_move)
			sim_move_poll(w, vm, side);
		move_feed(w, vm, side, (struct gn_plan_event){.kind = GN_PLAN_EVENT_TICK});
		resize_feed(w, vm, side, (struct gn_plan_event){.kind = GN_PLAN_EVENT_TICK});
		sim_check(w, vm);
	}
}

/* What was lost with it is observed again; what was stored goes on. */
void sim_brain_restarted(struct world *w, uint32_t card)
{
	struct card *c = &w->cards[card];
	uint64_t now = sim_monotonic(w, card);
	uint32_t i;

	for (i = 0; i < c->n_vms; i++) {
		struct vm *vm = &w->vms[c->vms[i]];
		unsigned side = vm->at[1] == card;
		struct side *s = &vm->side[side];
		const struct gn_plan_event resume = {.kind = GN_PLAN_EVENT_RESUME};

		s->failover = (struct gn_failover){.hold = s->failover.hold};
		memset(&s->detect, 0, sizeof s->detect);
		gn_detect_heard(&s->detect, GN_DETECT_CARD_SILENT, now);
		s->source_heard_us = s->moving_until_us = s->down_since_us = 0;
		s->move = s->stored;
		s->resize.plan = s->resize.stored;
		if (s->has_move && s->role == KEEPER && s->move.kind != GN_MOVE_REHEARSE)
			s->failover.state = GN_FAILOVER_MOVING,
			s->failover.ours = s->move.kind == GN_MOVE_FAILOVER;
		if (s->has_move && (s->move.plan.state == GN_PLAN_RUNNING ||
		                    s->move.plan.state == GN_PLAN_UNDOING))
			move_feed(w, vm, side, resume);
		resize_feed(w, vm, side, resume);
	}
}

/* ---- what comes in -------------------------------------------------------------------------- */

static void take_signs(struct world *w, struct vm *vm, unsigned side, const struct message *m)
{
	struct side *s = &vm->side[side];
	uint64_t now = sim_monotonic(w, vm->at[side]);
	unsigned sign;

	if (s->role != KEEPER || m->token > s->keeper.token || m->token + 1 < s->keeper.token)
		return;
	for (sign = 0; sign < GN_DETECT_GIVEN_UP; sign++) /* the other card waited long enough */
		gn_detect_see(&s->detect, (enum gn_detect_sign)sign, m->lost && m->step == sign,
		              now - gn_detect_timeout_us((enum gn_detect_sign)sign));
	gn_detect_heard(&s->detect, GN_DETECT_CARD_SILENT, now);
	s->source_heard_us = now;
	s->source_runs = m->runs;
	s->size_told = m->size;
}

/* The VM runs elsewhere now; this card is to keep its shadow, if it has the room. */
static void adopt(struct world *w, struct vm *vm, unsigned side, const struct message *m)
{
	struct side *s = &vm->side[side];
	struct gn_ledger_change change = {.entry = s->entry, .amount = {.cpu_milli = m->size}};
	const struct gn_holder_event refused = {.kind = GN_HOLDER_REFUSED, .token = m->token};

	if (s->has_move || s->resize.open)
		return;
	if (s->role == HOLDER) {
		if (m->token <= s->holder.token)
			return;
		sim_holder_feed(w, vm, side, &refused);
	} else if (s->role == KEEPER && m->token <= s->keeper.token)
		return;
	if (s->qemu != OFF || !sim_host_answers(w, vm->at[side]))
		return; /* tidy() sees to that first */
	if (gn_ledger_take(&w->cards[vm->at[side]].ledger, &change, 1))
		return;
	s->role = KEEPER;
	s->size_told = m->size;
	gn_keeper_init(&s->keeper, vm->rule, m->token, true, sim_monotonic(w, vm->at[side]));
	s->failover = (struct gn_failover){0};
	memset(&s->detect, 0, sizeof s->detect);
	gn_detect_heard(&s->detect, GN_DETECT_CARD_SILENT, sim_monotonic(w, vm->at[side]));
	sim_trace(w, "vms/%u: card %u keeps its shadow now", vm->index, vm->at[side]);
}

static void raise_promise(struct world *w, struct vm *vm, unsigned side, const struct message *m)
{
	struct side *s = &vm->side[side];
	struct card *c = &w->cards[vm->at[side]];
	struct gn_ledger_change change = {.entry = s->entry, .amount = {.cpu_milli = m->size}};
	struct message answer = letter(vm, side, MSG_RAISED);

	if (s->role != KEEPER || m->token != s->keeper.token || s->has_move)
		return;
	answer.size = m->size;
	answer.token = m->token;
	answer.yes = c->entries[s->entry].amount.cpu_milli >= m->size ||
	             gn_ledger_take(&c->ledger, &change, 1) == 0;
	sim_send(w, &answer);
}

static void raised(struct world *w, struct vm *vm, unsigned side, const struct message *m)
{
	struct side *s = &vm->side[side];

	if (s->role == HOLDER && m->yes && m->token == s->holder.token && !s->resize.open &&
	    !s->has_move && m->size > s->qemu_size && s->qemu == RUNNING &&
	    sim_may_write(w, vm, side) && sim_monotonic(w, vm->at[side]) >= s->moving_until_us)
		begin_resize(w, vm, side, m->size);
}

void sim_brain_promote(struct world *w, struct vm *vm, unsigned side,
                       const struct gn_failover_override *override)
{
	const struct gn_failover_event e = {.kind = GN_FAILOVER_PROMOTE, .override = *override};

	if (vm->side[side].role == KEEPER && w->cards[vm->at[side]].brain_up)
		failover_feed(w, vm, side, &e);
}

static void wanted(struct world *w, struct vm *vm, unsigned side, const struct message *m)
{
	struct side *s = &vm->side[side];
	const struct gn_failover_event began = {.kind = GN_FAILOVER_MOVE_BEGAN};

	if (s->role != KEEPER || s->failover.state != GN_FAILOVER_WATCHING || s->failover.hold ||
	    s->keeper.state != GN_KEEPER_OPEN)
		return;
	if (sim_begin_move(w, vm, side, (enum gn_move_kind)m->step) && m->step != GN_MOVE_REHEARSE)
		failover_feed(w, vm, side, &began);
}

void sim_brain_receive(struct world *w, const struct message *m, unsigned side)
{
	struct vm *vm = &w->vms[m->vm];

	switch (m->kind) {
	case MSG_SIGNS:
		take_signs(w, vm, side, m);
		return;
	case MSG_ADOPT:
		adopt(w, vm, side, m);
		return;
	case MSG_CALL:
		sim_called(w, vm, side, m);
		return;
	case MSG_REPLY:
		sim_brain_answer(w, vm, side, &m->op, m->outcome, true, false);
		return;
	case MSG_WANT:
		wanted(w, vm, side, m);
		return;
	case MSG_RAISE:
		raise_promise(w, vm, side, m);
		return;
	case MSG_RAISED:
		raised(w, vm, side, m);
		return;
	default:
		return;
	}
}

/* An answer counts for the action, round and direction that it is of; a timeout only for the
 * attempt that it timed. */
void sim_brain_answer(struct world *w, struct vm *vm, unsigned side, const struct op *op,
                      uint8_t outcome, bool verified, bool timeout)
{
	struct side *s = &vm->side[side];
	struct gn_plan_event e = {.kind = GN_PLAN_EVENT_RESULT,
	                          .outcome = (enum gn_plan_outcome)outcome};
	bool undoing = s->move.plan.state == GN_PLAN_UNDOING;

	if (op->resize) {
		if (op->no != s->resize.no || op->round != s->resize.plan.round ||
		    (timeout && op->attempt != s->resize.plan.attempts))
			return;
		e.after = verified ? s->resize.plan.actions[0].to : 0;
		resize_feed(w, vm, side, e);
		return;
	}
	if (!s->has_move || op->no != s->move_no || op->at != s->move.plan.at ||
	    op->round != s->move.plan.round || op->undo != undoing ||
	    (timeout && op->attempt != s->move.plan.attempts))
		return;
	if (timeout &&
	    (gn_move_at(&s->move) == GN_MOVE_STEP_FENCE ||
	     gn_move_at(&s->move) == GN_MOVE_STEP_HAND_OVER) &&
	    !op->undo)
		e.outcome = GN_PLAN_FORBIDDEN; /* there is no proof */
	e.after = verified;
	move_feed(w, vm, side, e);
}
