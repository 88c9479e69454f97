/* link.c - what goes between cards: lost, late, twice and out of order; and the tenure's
 * parties, which live in the cards' dataplanes (sim.h). */
#include <string.h>
#include "tests/sim/sim.h"

static const char *const names[] = {
#define SIM_MESSAGE_NAME(name) #name,
        SIM_MESSAGES(SIM_MESSAGE_NAME)
#undef SIM_MESSAGE_NAME
};

bool sim_linked(const struct world *w, uint32_t a, uint32_t b)
{
	return w->cards[a].up && w->cards[b].up && !w->cut[a * w->o.n_hosts + b] &&
	       !w->cut[b * w->o.n_hosts + a];
}

static uint64_t travel_time(struct world *w)
{
	uint64_t delay = 200 + sim_roll(w, 800);

	if (sim_chance(w, w->slow_milli))
		delay += sim_roll(w, sim_roll(w, 4) ? 300 * MS : 5 * S);
	return delay;
}

void sim_send(struct world *w, const struct message *message)
{
	struct event e = {.kind = EV_MESSAGE, .message = *message};

	if (!w->cards[message->from].up)
		return;
	w->count.messages++;
	sim_trace(w, "card %u -> %u  %s vms/%u token %llu%s", message->from, message->to,
	          names[message->kind], message->vm, (unsigned long long)message->token,
	          message->kind == MSG_CALL || message->kind == MSG_REPLY
	                  ? gn_move_step_text((enum gn_move_step)message->step)
	                  : "");
	if (w->cut[message->from * w->o.n_hosts + message->to] || sim_chance(w, w->loss_milli))
		return;
	sim_post(w, &e, travel_time(w));
	if (sim_chance(w, w->twice_milli))
		sim_post(w, &e, travel_time(w) + sim_roll(w, 2 * S));
}

static struct message letter(const struct vm *vm, unsigned side, enum message_kind kind,
                             uint64_t token)
{
	return (struct message){.kind = kind,
	                        .from = vm->at[side],
	                        .to = vm->at[!side],
	                        .vm = vm->index,
	                        .token = token};
}

/* ---- writes ------------------------------------------------------------------------------- */

bool sim_may_write(const struct world *w, const struct vm *vm, unsigned side)
{
	const struct side *s = &vm->side[side];

	return s->role == HOLDER && w->cards[vm->at[side]].up &&
	       gn_holder_may_write(&s->holder, sim_monotonic(w, vm->at[side]));
}

/* The shadow's store takes the writes of the holder it knows until it is promoted. */
bool sim_can_replicate(const struct world *w, const struct vm *vm, unsigned holder)
{
	const struct side *h = &vm->side[holder], *k = &vm->side[!holder];

	return k->role == KEEPER && k->keeper.state != GN_KEEPER_TAKEN &&
	       sim_linked(w, vm->at[0], vm->at[1]) && w->now_us >= vm->shadow_fails_until_us &&
	       (k->keeper.token == h->holder.token || k->keeper.token == h->holder.token + 1);
}

bool sim_is_level(const struct world *w, const struct vm *vm, unsigned holder)
{
	return sim_can_replicate(w, vm, holder) &&
	       vm->side[holder].position == vm->side[!holder].position;
}

static void write_one(struct world *w, struct vm *vm, unsigned side)
{
	struct side *s = &vm->side[side], *other = &vm->side[!side];
	bool replicates = sim_can_replicate(w, vm, side);
	bool alone = s->holder.state == GN_HOLDER_ALONE;

	if (!alone && !replicates) { /* it waits, not acknowledged, for the shadow or its leave */
		struct message leave = letter(vm, side, MSG_LEAVE, s->holder.token);

		sim_send(w, &leave);
		return;
	}
	if (!alone && other->position != s->position) {
		sim_fail(w, "vms/%u writes in step, but its shadow was not level", vm->index);
		return;
	}
	sim_check_acknowledged(w, vm, side);
	s->position++;
	vm->acked++;
	vm->seen_alive_us = w->now_us;
	w->count.writes++;
	w->count.alone += alone;
	if (replicates)
		other->position = s->position;
}

void sim_guest_writes(struct world *w, struct vm *vm)
{
	unsigned side;

	for (side = 0; side < 2; side++)
		if (vm->side[side].qemu == RUNNING && w->hosts[vm->at[side]].up &&
		    vm->guest == GUEST_WELL && sim_may_write(w, vm, side))
			write_one(w, vm, side);
}

/* ---- the tenure's parties -------------------------------------------------------------------- */

void sim_holder_feed(struct world *w, struct vm *vm, unsigned side,
                     const struct gn_holder_event *event)
{
	struct side *s = &vm->side[side];
	enum gn_holder_state was = s->holder.state;
	struct gn_holder_event e = *event;
	struct message m;
	unsigned effects;

	e.level = sim_is_level(w, vm, side) || sim_is(w, SIM_EARLY_PAIR);
	effects = gn_holder_step(&s->holder, &e, sim_monotonic(w, vm->at[side]));
	if (sim_is(w, SIM_LONG_LEASE) && e.kind == GN_HOLDER_GRANTED && s->holder.until_us)
		s->holder.until_us = sim_monotonic(w, vm->at[side]) + 2 * GN_TENURE_TERM_US;
	if (was != s->holder.state)
		sim_trace(w, "vms/%u side %u: holder is %s", vm->index, side,
		          (const char *[]){"LEASED", "ALONE", "SURRENDERED"}[s->holder.state]);
	m = letter(vm, side, MSG_RENEW, s->holder.token);
	m.sequence = s->holder.sequence;
	m.alone = s->holder.state == GN_HOLDER_ALONE && !sim_is(w, SIM_HIDES);
	m.claimed = s->holder.claimed;
	m.level = e.level;
	if (effects & GN_TENURE_RENEW)
		sim_send(w, &m);
	m.kind = MSG_GAVE_UP;
	if (effects & GN_TENURE_GAVE_UP)
		sim_send(w, &m);
	m.kind = MSG_CLAIM;
	m.to = vm->witness_card;
	if (effects & GN_TENURE_CLAIM)
		sim_send(w, &m);
}

void sim_keeper_feed(struct world *w, struct vm *vm, unsigned side,
                     const struct gn_keeper_event *event, const struct message *cause)
{
	static const struct {
		unsigned effect;
		enum message_kind kind;
	} kinds[] = {{GN_TENURE_GRANT, MSG_GRANT},
	             {GN_TENURE_REFUSE, MSG_REFUSE},
	             {GN_TENURE_REVOKE, MSG_REVOKE},
	             {GN_TENURE_PAIR, MSG_PAIR}};
	struct side *s = &vm->side[side];
	unsigned effects = gn_keeper_step(&s->keeper, event, sim_monotonic(w, vm->at[side])), i;

	if (sim_is(w, SIM_HIDES))
		s->keeper.spent = false;
	for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		struct message m = letter(vm, side, kinds[i].kind, s->keeper.token);

		m.sequence = cause ? cause->sequence : 0;
		m.agreed = s->has_move && s->move.plan.state == GN_PLAN_RUNNING &&
		           gn_move_at(&s->move) == GN_MOVE_STEP_HAND_OVER;
		m.loss_accepted = s->failover.override.given;
		if (effects & kinds[i].effect)
			sim_send(w, &m);
	}
	if (effects & GN_TENURE_CLAIM) {
		struct message m = letter(vm, side, MSG_CLAIM, s->keeper.token);

		m.keeper = true;
		m.to = vm->witness_card;
		sim_send(w, &m);
	}
}

static void claim(struct world *w, struct vm *vm, const struct message *message)
{
	struct message answer = *message;

	if (!gn_witness_claim(&vm->witness, message->token,
	                      message->keeper ? GN_WITNESS_KEEPER : GN_WITNESS_HOLDER) &&
	    !sim_is(w, SIM_BOTH_WITNESSED))
		return;
	answer.kind = MSG_WITNESS_YES;
	answer.from = message->to;
	answer.to = message->from;
	sim_send(w, &answer);
}

/* Is the VM lost here, as the dataplane and the host's process table tell? */
static bool is_lost_here(const struct world *w, const struct vm *vm, unsigned side)
{
	return !w->hosts[vm->at[side]].up || vm->side[side].qemu != RUNNING ||
	       vm->guest != GUEST_WELL;
}

static void to_holder(struct world *w, struct vm *vm, unsigned side, const struct message *m)
{
	struct gn_holder_event e = {
	        .token = m->token, .sequence = m->sequence, .loss_accepted = m->loss_accepted};

	switch (m->kind) {
	case MSG_GRANT:
		e.kind = GN_HOLDER_GRANTED;
		break;
	case MSG_REFUSE:
		e.kind = GN_HOLDER_REFUSED;
		break;
	case MSG_REVOKE:
		e.kind = GN_HOLDER_REVOKED;
		e.willing = is_lost_here(w, vm, side);
		break;
	case MSG_PAIR:
		e.kind = GN_HOLDER_PAIRED;
		break;
	case MSG_CONSENT:
		e.kind = GN_HOLDER_CONSENTED;
		break;
	default:
		e.kind = GN_HOLDER_WITNESS_YES;
		break;
	}
	if (vm->side[side].role == HOLDER)
		sim_holder_feed(w, vm, side, &e);
}

/* The keeper lets it go: durably, before it says so. */
static void leave(struct world *w, struct vm *vm, unsigned side, const struct message *m)
{
	const struct gn_keeper_event e = {.kind = GN_KEEPER_LEAVE, .token = m->token};
	struct gn_keeper *k = &vm->side[side].keeper;
	struct message consent = letter(vm, side, MSG_CONSENT, k->token);

	if (vm->side[side].role != KEEPER)
		return;
	sim_keeper_feed(w, vm, side, &e, m);
	if (k->alone && k->state == GN_KEEPER_OPEN && k->token == m->token)
		sim_send(w, &consent);
}

static void to_keeper(struct world *w, struct vm *vm, unsigned side, const struct message *m)
{
	struct gn_keeper_event e = {
	        .token = m->token, .alone = m->alone, .claimed = m->claimed, .level = m->level};

	e.kind = m->kind == MSG_RENEW     ? GN_KEEPER_RENEW
	         : m->kind == MSG_GAVE_UP ? GN_KEEPER_GAVE_UP
	                                  : GN_KEEPER_WITNESS_YES;
	if (sim_is(w, SIM_EARLY_PAIR))
		e.level = true;
	if (vm->side[side].role == KEEPER)
		sim_keeper_feed(w, vm, side, &e, m);
	/* Here a promoted shadow's card tells its predecessor so. */
	if (vm->side[side].role == HOLDER && m->kind == MSG_RENEW &&
	    vm->side[side].holder.token > m->token) {
		struct message refuse = letter(vm, side, MSG_REFUSE, vm->side[side].holder.token);

		sim_send(w, &refuse);
	}
}

void sim_receive(struct world *w, const struct message *message)
{
	struct vm *vm = &w->vms[message->vm];
	unsigned side = vm->at[1] == message->to;

	if (!w->cards[message->to].up)
		return;
	switch (message->kind) {
	case MSG_CLAIM:
		claim(w, vm, message);
		return;
	case MSG_GRANT:
	case MSG_REFUSE:
	case MSG_REVOKE:
	case MSG_PAIR:
	case MSG_CONSENT:
		to_holder(w, vm, side, message);
		return;
	case MSG_LEAVE:
		leave(w, vm, side, message);
		return;
	case MSG_RENEW:
	case MSG_GAVE_UP:
		to_keeper(w, vm, side, message);
		return;
	case MSG_WITNESS_YES:
		if (message->keeper)
			to_keeper(w, vm, side, message);
		else
			to_holder(w, vm, side, message);
		return;
	case MSG_SIGNS:
	case MSG_ADOPT:
	case MSG_CALL:
	case MSG_REPLY:
	case MSG_WANT:
	case MSG_RAISE:
	case MSG_RAISED:
		break;
	}
	if (w->cards[message->to].brain_up)
		sim_brain_receive(w, message, side);
}
