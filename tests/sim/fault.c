/* fault.c - what goes wrong: by the seed's choice, at any instant and right after any step of a
 * move; and what operators do meanwhile (sim.h). */
#include <string.h>
#include "tests/sim/sim.h"

enum { STRIKE, HEAL, HOST_BACK, CARD_BACK, BRAIN_BACK, LINK_BACK };

static void later(struct world *w, uint32_t what, uint32_t target, uint64_t delay_us)
{
	const struct event e = {.kind = EV_FAULT, .a = target, .b = what};

	sim_post(w, &e, delay_us);
}

void sim_plan_faults(struct world *w)
{
	uint32_t i;
	const struct event asks = {.kind = EV_OPERATOR};

	for (i = 0; i < w->o.n_faults; i++)
		later(w, STRIKE, 0, 2 * S + sim_roll(w, w->o.quiet_us - 2 * S));
	if (w->o.n_faults && sim_roll(w, 2))
		w->trap = 1 + (uint32_t)sim_roll(w, 40);
	later(w, HEAL, 0, w->o.quiet_us);
	sim_post(w, &asks, S + sim_roll(w, 3 * S));
}

/* ---- hosts and cards go and come back ------------------------------------------------------ */

static void host_goes(struct world *w, uint32_t h)
{
	uint32_t i;

	sim_trace(w, "FAULT host %u goes", h);
	w->hosts[h].up = false;
	for (i = 0; i < w->cards[h].n_vms; i++) {
		struct vm *vm = &w->vms[w->cards[h].vms[i]];
		struct side *s = &vm->side[vm->at[1] == h];

		s->qemu = OFF;
		s->trial = false;
	}
}

static void brain_goes(struct world *w, uint32_t c)
{
	sim_trace(w, "FAULT brain %u goes", c);
	w->cards[c].brain_up = false;
	w->cards[c].brain_life++;
}

static void card_goes(struct world *w, uint32_t c)
{
	brain_goes(w, c);
	sim_trace(w, "FAULT card %u goes", c);
	w->cards[c].up = false;
	w->cards[c].life++;
}

static void host_returns(struct world *w, uint32_t h)
{
	if (w->hosts[h].up || w->hosts[h].dead)
		return;
	sim_trace(w, "host %u is back", h);
	w->hosts[h].up = true;
}

static void brain_returns(struct world *w, uint32_t c)
{
	struct card *card = &w->cards[c];

	if (card->brain_up || !card->up)
		return;
	sim_trace(w, "brain %u is back", c);
	card->brain_up = true;
	card->brain_life++;
	sim_brain_restarted(w, c);
}

static void card_returns(struct world *w, uint32_t c)
{
	struct gn_holder_event held = {.kind = GN_HOLDER_RESTARTED};
	const struct gn_keeper_event kept = {.kind = GN_KEEPER_RESTARTED};
	struct card *card = &w->cards[c];
	uint32_t i;

	if (card->up || card->dead)
		return;
	sim_trace(w, "card %u is back", c);
	card->up = true;
	card->booted_us = w->now_us;
	for (i = 0; i < card->n_vms; i++) {
		struct vm *vm = &w->vms[card->vms[i]];
		unsigned side = vm->at[1] == c;

		held.sequence = vm->side[side].holder.sequence + 1000;
		if (vm->side[side].role == HOLDER)
			sim_holder_feed(w, vm, side, &held);
		else if (vm->side[side].role == KEEPER && !sim_is(w, SIM_FORGETS))
			sim_keeper_feed(w, vm, side, &kept, NULL);
		else if (vm->side[side].role == KEEPER)
			vm->side[side].keeper.granted_us = 0;
	}
	brain_returns(w, c);
	for (i = 0; i < card->n_vms; i++) /* somebody is impatient */
		if (sim_chance(w, 60))
			sim_brain_promote(w, &w->vms[card->vms[i]], w->vms[card->vms[i]].at[1] == c,
			                  &(struct gn_failover_override){0});
}

/* ---- one fault ------------------------------------------------------------------------------- */

static uint32_t n_dead(const struct world *w)
{
	uint32_t i, n = 0;

	for (i = 0; i < w->o.n_hosts; i++)
		n += w->hosts[i].dead || w->cards[i].dead;
	return n;
}

/* Host and card together: they share a power supply. */
static void power_goes(struct world *w, uint32_t h, bool for_ever)
{
	for_ever &= n_dead(w) < (w->o.n_hosts + 3) / 4;
	host_goes(w, h);
	card_goes(w, h);
	w->hosts[h].dead |= for_ever;
	w->cards[h].dead |= for_ever;
	later(w, HOST_BACK, h, sim_roll(w, 20 * S));
	later(w, CARD_BACK, h, sim_roll(w, 20 * S));
}

static void cut(struct world *w, uint32_t a, uint32_t b, bool both)
{
	uint32_t n = w->o.n_hosts;

	sim_trace(w, "FAULT link %u -> %u is cut%s", a, b, both ? ", and back" : "");
	w->cut[a * n + b] = true;
	w->cut[b * n + a] |= both;
	later(w, LINK_BACK, a * n + b, sim_roll(w, 15 * S));
	later(w, LINK_BACK, b * n + a, sim_roll(w, 15 * S));
}

static void isolate(struct world *w, uint32_t a)
{
	uint32_t b;

	for (b = 0; b < w->o.n_hosts; b++)
		if (b != a)
			cut(w, a, b, true);
}

static void misbehave(struct world *w, uint32_t h)
{
	uint64_t until = w->now_us + sim_roll(w, 20 * S);

	switch (sim_roll(w, 3)) {
	case 0:
		w->hosts[h].hangs_until_us = until;
		break;
	case 1:
		w->hosts[h].refuses_until_us = until;
		break;
	default:
		w->hosts[h].lies_until_us = until;
	}
	sim_trace(w, "FAULT libvirt of host %u misbehaves", h);
}

static void hurt_vm(struct world *w)
{
	struct vm *vm = &w->vms[sim_roll(w, w->o.n_vms)];
	unsigned side = vm->side[1].role == HOLDER;

	if (vm->side[side].qemu != RUNNING)
		return;
	switch (sim_roll(w, 4)) {
	case 0:
		sim_trace(w, "FAULT QEMU of vms/%u is killed", vm->index);
		vm->side[side].qemu = OFF;
		break;
	case 1:
		sim_trace(w, "FAULT guest of vms/%u panics", vm->index);
		vm->guest = GUEST_DEAD;
		break;
	case 2:
		sim_trace(w, "FAULT shadow store of vms/%u fails", vm->index);
		vm->shadow_fails_until_us = w->now_us + sim_roll(w, 10 * S);
		break;
	default:
		sim_trace(w, "FAULT guest of vms/%u hangs", vm->index);
		vm->guest = GUEST_HUNG;
	}
}

static void spoil_links(struct world *w)
{
	w->bad_until_us = w->now_us + sim_roll(w, 20 * S);
	w->loss_milli = (uint32_t)sim_roll(w, 500);
	w->slow_milli = (uint32_t)sim_roll(w, 300);
	w->twice_milli = (uint32_t)sim_roll(w, 300);
	sim_trace(w, "FAULT links lose %u, delay %u, repeat %u of 1000", w->loss_milli,
	          w->slow_milli, w->twice_milli);
}

static void jump(struct world *w, uint32_t h)
{
	int64_t by = (int64_t)sim_roll(w, 400 * S) - 200 * (int64_t)S;

	sim_trace(w, "FAULT wall clock of %u jumps by %lld s", h, (long long)(by / (int64_t)S));
	if (sim_roll(w, 2))
		w->cards[h].wall_offset_us += by;
	else
		w->hosts[h].wall_offset_us += by;
}

static void strike_at(struct world *w, uint32_t h)
{
	w->count.faults++;
	switch (sim_roll(w, 15)) {
	case 0:
	case 1:
		host_goes(w, h);
		later(w, HOST_BACK, h, sim_roll(w, 30 * S));
		return;
	case 2:
	case 3:
		card_goes(w, h);
		later(w, CARD_BACK, h, sim_roll(w, 15 * S));
		return;
	case 4:
	case 5:
		brain_goes(w, h);
		later(w, BRAIN_BACK, h, sim_roll(w, 10 * S));
		return;
	case 6:
	case 7:
		power_goes(w, h, sim_roll(w, 2));
		return;
	case 8:
		cut(w, h, (h + 1 + (uint32_t)sim_roll(w, w->o.n_hosts - 1)) % w->o.n_hosts,
		    sim_roll(w, 2));
		return;
	case 9:
		isolate(w, h);
		return;
	case 10:
		misbehave(w, h);
		return;
	case 11:
	case 12:
		hurt_vm(w);
		hurt_vm(w);
		return;
	case 13:
		spoil_links(w);
		return;
	default:
		jump(w, h);
	}
}

void sim_heal(struct world *w)
{
	uint32_t i;

	sim_trace(w, "all heals that is not dead");
	memset(w->cut, 0, (size_t)w->o.n_hosts * w->o.n_hosts * sizeof *w->cut);
	w->loss_milli = w->twice_milli = 0;
	w->slow_milli = 5;
	w->trap = 0;
	for (i = 0; i < w->o.n_hosts; i++) {
		struct host *h = &w->hosts[i];

		h->hangs_until_us = h->refuses_until_us = h->lies_until_us = 0;
		host_returns(w, i);
		card_returns(w, i);
		brain_returns(w, i);
	}
}

void sim_fault(struct world *w, uint32_t what, uint32_t target)
{
	switch (what) {
	case STRIKE:
		strike_at(w, (uint32_t)sim_roll(w, w->o.n_hosts));
		return;
	case HEAL:
		sim_heal(w);
		return;
	case HOST_BACK:
		host_returns(w, target);
		return;
	case CARD_BACK:
		card_returns(w, target);
		return;
	case BRAIN_BACK:
		brain_returns(w, target);
		return;
	case LINK_BACK:
		w->cut[target] = false;
		return;
	}
}

/* The seed chose a step of a move, right after which somebody who takes part fails. */
void sim_trap(struct world *w, struct vm *vm, unsigned side)
{
	if (!w->trap || --w->trap)
		return;
	w->trap = 1 + (uint32_t)sim_roll(w, 40);
	strike_at(w, vm->at[sim_roll(w, 2) ? side : !side]);
}

/* ---- operators ----------------------------------------------------------------------------------
 */

static void ask(struct world *w, struct vm *vm, enum gn_move_kind kind)
{
	unsigned side = vm->side[1].role == HOLDER;

	sim_send(w, &(struct message){.kind = MSG_WANT,
	                              .from = vm->at[side],
	                              .to = vm->at[!side],
	                              .vm = vm->index,
	                              .step = (uint8_t)kind});
}

/* Its host and card are dead, and the operator has looked. */
static void swear(struct world *w, struct vm *vm, unsigned keeper)
{
	const struct gn_keeper_event swear = {.kind = GN_KEEPER_SWEAR};
	struct side *s = &vm->side[keeper];

	if (s->role != KEEPER || !w->cards[vm->at[keeper]].brain_up ||
	    s->failover.state != GN_FAILOVER_REFUSED || !w->hosts[vm->at[!keeper]].dead ||
	    !w->cards[vm->at[!keeper]].dead)
		return;
	sim_trace(w, "an operator swears that host %u is dead: vms/%u", vm->at[!keeper], vm->index);
	sim_keeper_feed(w, vm, keeper, &swear, NULL);
	sim_brain_promote(w, vm, keeper,
	                  &(struct gn_failover_override){.given = true, .unknown = true});
}

/* The same, about the keeper: its holder may go on, even if it had given up. */
static void swear_to_holder(struct world *w, struct vm *vm, unsigned holder)
{
	const struct gn_holder_event sworn = {.kind = GN_HOLDER_SWORN};
	struct side *s = &vm->side[holder];
	uint32_t keeper = vm->at[!holder];

	if (s->role != HOLDER || !w->cards[vm->at[holder]].up || sim_may_write(w, vm, holder) ||
	    !w->hosts[keeper].dead || !w->cards[keeper].dead)
		return;
	sim_trace(w, "an operator swears that host %u is dead: vms/%u may go on", keeper,
	          vm->index);
	if (vm->side[!holder].role == HOLDER)
		vm->acked = s->position; /* it had been promoted: the loss was named */
	sim_holder_feed(w, vm, holder, &sworn);
}

static void swear_all(struct world *w)
{
	uint32_t i;

	for (i = 0; i < w->o.n_vms; i++) {
		swear(w, &w->vms[i], w->vms[i].side[0].role == HOLDER);
		swear_to_holder(w, &w->vms[i], 0);
		swear_to_holder(w, &w->vms[i], 1);
	}
}

void sim_operator(struct world *w)
{
	const struct event again = {.kind = EV_OPERATOR};
	struct vm *vm = &w->vms[sim_roll(w, w->o.n_vms)];
	unsigned keeper = vm->side[0].role == HOLDER;

	sim_post(w, &again, S + sim_roll(w, 3 * S));
	if (w->now_us > w->o.quiet_us) {
		if (w->now_us > w->o.quiet_us + 20 * S && w->seed % 2)
			swear_all(w);
		return;
	}
	switch (sim_roll(w, 6)) {
	case 0:
		ask(w, vm, GN_MOVE_REHEARSE);
		return;
	case 1:
		sim_brain_promote(w, vm, keeper, &(struct gn_failover_override){0});
		return;
	default:
		ask(w, vm, vm->can_migrate ? GN_MOVE_MIGRATE : GN_MOVE_RELOCATE);
	}
}
