/* check.c - what must hold, whatever happens (sim.h). */
#include "tests/sim/sim.h"

bool sim_lives(const struct world *w, const struct vm *vm, unsigned side)
{
	return w->hosts[vm->at[side]].up && vm->side[side].qemu == RUNNING &&
	       sim_may_write(w, vm, side);
}

/* After each event of a VM. */
void sim_check(struct world *w, const struct vm *vm)
{
	if (sim_may_write(w, vm, 0) && sim_may_write(w, vm, 1))
		sim_fail(w, "vms/%u has two writers: cards %u and %u, tokens %llu and %llu",
		         vm->index, vm->at[0], vm->at[1],
		         (unsigned long long)vm->side[0].holder.token,
		         (unsigned long long)vm->side[1].holder.token);
	if (sim_lives(w, vm, 0) && sim_lives(w, vm, 1))
		sim_fail(w, "vms/%u runs in two places: hosts %u and %u", vm->index, vm->at[0],
		         vm->at[1]);
}

void sim_check_card(struct world *w, uint32_t card)
{
	const struct card *c = &w->cards[card];
	uint64_t used = 0;
	uint32_t i;

	for (i = 0; i < c->n_vms; i++) {
		const struct vm *vm = &w->vms[c->vms[i]];
		const struct side *s = &vm->side[vm->at[1] == card];

		used += s->qemu != OFF ? s->qemu_size : 0;
	}
	if (c->ledger.promised.cpu_milli > w->hosts[card].capacity_milli)
		sim_fail(w, "host %u has %llu milli-vCPU, %llu are promised", card,
		         (unsigned long long)w->hosts[card].capacity_milli,
		         (unsigned long long)c->ledger.promised.cpu_milli);
	if (used > w->hosts[card].capacity_milli)
		sim_fail(w, "host %u has %llu milli-vCPU, its VMs %llu", card,
		         (unsigned long long)w->hosts[card].capacity_milli,
		         (unsigned long long)used);
}

/* Just before a write is acknowledged by 'side'. */
void sim_check_acknowledged(struct world *w, struct vm *vm, unsigned side)
{
	const struct side *s = &vm->side[side];

	if (s->holder.token < vm->token)
		sim_fail(w, "vms/%u: card %u acknowledged under token %llu after %llu", vm->index,
		         vm->at[side], (unsigned long long)s->holder.token,
		         (unsigned long long)vm->token);
	vm->token = s->holder.token;
	if (s->position != vm->acked)
		sim_fail(w, "vms/%u goes on at card %u with %llu of %llu acknowledged writes",
		         vm->index, vm->at[side], (unsigned long long)s->position,
		         (unsigned long long)vm->acked);
}

/* A shadow was promoted as one that has everything. */
void sim_check_promoted(struct world *w, struct vm *vm, unsigned side)
{
	if (vm->side[side].position < vm->acked)
		sim_fail(w, "vms/%u was promoted as in step with %llu of %llu acknowledged writes",
		         vm->index, (unsigned long long)vm->side[side].position,
		         (unsigned long long)vm->acked);
}

/* As an action is sent. */
void sim_check_sent(struct world *w, const struct vm *vm, unsigned side, bool undo)
{
	const struct side *s = &vm->side[side];
	const struct gn_plan *p = &s->move.plan, *stored = &s->stored.plan;
	uint32_t missing = p->actions[p->at].needs & ~sim_move_facts(w, vm, side);

	if (!undo && missing)
		sim_fail(w, "vms/%u: '%s' was begun, but this does not hold: %s", vm->index,
		         gn_move_step_text(gn_move_at(&s->move)), gn_move_fact_text(missing));
	if (stored->at != p->at || stored->round != p->round || stored->state != p->state)
		sim_fail(w, "vms/%u: '%s' was sent before it was stored", vm->index,
		         gn_move_step_text(gn_move_at(&s->move)));
}

/* ---- at the end, when all that is not dead has been well for a while ---------------------------
 */

static bool is_dead(const struct world *w, uint32_t at)
{
	return w->hosts[at].dead || w->cards[at].dead;
}

static unsigned holder_of(const struct vm *vm)
{
	return vm->side[1].role == HOLDER &&
	       (vm->side[0].role != HOLDER || vm->side[1].holder.token > vm->side[0].holder.token);
}

/* The holder's host and card are well: does its rule let it write? */
static bool holder_must(const struct world *w, const struct vm *vm, unsigned h)
{
	bool keeper_dead = w->cards[vm->at[!h]].dead;

	if (w->seed % 2 && keeper_dead && w->hosts[vm->at[!h]].dead)
		return true; /* an operator swears */
	if (vm->side[h].holder.state == GN_HOLDER_SURRENDERED)
		return false;
	if (vm->side[h].holder.state == GN_HOLDER_ALONE || !keeper_dead ||
	    vm->rule == GN_TENURE_KEEP_RUNNING)
		return true;
	return vm->rule == GN_TENURE_WITNESSED && !w->cards[vm->witness_card].dead &&
	       (vm->witness.token < vm->side[h].holder.token ||
	        vm->witness.winner != GN_WITNESS_KEEPER);
}

/* The holder cannot: must its shadow be promoted? */
static bool shadow_must(const struct world *w, const struct vm *vm, unsigned h)
{
	const struct side *k = &vm->side[!h];

	if (is_dead(w, vm->at[!h]) || k->role != KEEPER)
		return false;
	if (vm->side[h].holder.state == GN_HOLDER_SURRENDERED && !w->cards[vm->at[h]].dead)
		return !k->keeper.alone;
	if (w->seed % 2 && w->hosts[vm->at[h]].dead && w->cards[vm->at[h]].dead)
		return true;
	if (k->keeper.alone || vm->side[h].holder.state == GN_HOLDER_ALONE)
		return false;
	if (!w->cards[vm->at[h]].dead) /* its card gives up what its host cannot run */
		return true;
	return vm->rule == GN_TENURE_ZERO_LOSS ||
	       (vm->rule == GN_TENURE_WITNESSED && !w->cards[vm->witness_card].dead &&
	        (vm->witness.token < k->keeper.token || vm->witness.winner != GN_WITNESS_HOLDER));
}

static bool must_live(const struct world *w, const struct vm *vm)
{
	unsigned h = holder_of(vm);

	if (!is_dead(w, vm->at[h]) && holder_must(w, vm, h))
		return true;
	return shadow_must(w, vm, h);
}

static void check_plans_ended(struct world *w, const struct vm *vm, unsigned side)
{
	const struct side *s = &vm->side[side];
	bool lasts = w->o.end_us - w->o.quiet_us > 1300 * S;

	if (!w->cards[vm->at[side]].brain_up)
		return;
	if (s->has_move && (lasts || !is_dead(w, vm->at[!side])) &&
	    s->move.begun_us[0] + 400 * S < sim_card_time(w, vm->at[side]))
		sim_fail(w, "vms/%u at card %u: its plan to %s never ends (%s, step '%s')",
		         vm->index, vm->at[side], gn_move_kind_text(s->move.kind),
		         gn_plan_state_name(s->move.plan.state),
		         gn_move_step_text(gn_move_at(&s->move)));
	if (s->resize.open && !is_dead(w, vm->at[side]) &&
	    s->resize.plan.deadline_us + 60 * S < sim_card_time(w, vm->at[side]))
		sim_fail(w, "vms/%u at card %u: its plan to resize never ends", vm->index,
		         vm->at[side]);
}

void sim_check_end(struct world *w)
{
	uint32_t i;

	for (i = 0; i < w->o.n_vms && !w->failure[0]; i++) {
		const struct vm *vm = &w->vms[i];
		unsigned h = holder_of(vm);

		check_plans_ended(w, vm, 0);
		check_plans_ended(w, vm, 1);
		/* One that is moved at this instant may be between two hosts. */
		if (must_live(w, vm) && !sim_lives(w, vm, 0) && !sim_lives(w, vm, 1) &&
		    w->now_us > vm->seen_alive_us + 60 * S)
			sim_fail(
			        w,
			        "vms/%u never comes back: held at card %u (%s), kept at %u: %s, %s",
			        i, vm->at[h],
			        vm->side[h].holder.state == GN_HOLDER_SURRENDERED ? "given up"
			                                                          : "not given up",
			        vm->at[!h], gn_failover_state_name(vm->side[!h].failover.state),
			        gn_failover_refusal_text(vm->side[!h].failover.refusal));
	}
}
