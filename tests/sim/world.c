/* world.c - the fleet's start, its clocks and its one queue of events (sim.h). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/sim/sim.h"

#define TICK_US      (100 * MS)
#define VM_MILLI     1000u
#define MAX_IN_QUEUE (1u << 24)

/* ---- chance and words ---------------------------------------------------------------- */

uint64_t sim_roll(struct world *w, uint64_t sides)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (w->random >> 11) % sides;
}

bool sim_chance(struct world *w, uint32_t milli)
{
	return milli && sim_roll(w, 1000) < milli;
}

void sim_trace(const struct world *w, const char *format, ...)
{
	va_list args;

	if (!w->o.trace)
		return;
	printf("%10.6f  ", (double)w->now_us / 1e6);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

void sim_fail(struct world *w, const char *format, ...)
{
	va_list args;
	int n;

	if (w->failure[0])
		return; /* the first one counts */
	n = snprintf(w->failure, sizeof w->failure, "at %.6f s: ", (double)w->now_us / 1e6);
	va_start(args, format);
	vsnprintf(w->failure + n, sizeof w->failure - (size_t)n, format, args);
	va_end(args);
	sim_trace(w, "VIOLATED %s", w->failure);
}

/* ---- clocks --------------------------------------------------------------------------- */

uint64_t sim_monotonic(const struct world *w, uint32_t card)
{
	const struct card *c = &w->cards[card];
	int64_t ran = (int64_t)(w->now_us - c->booted_us);

	return (uint64_t)(ran + ran * c->rate_ppm / 1000000) + 100 * S;
}

/* As gn_brain_card_time(): the wall clock, but never back. */
uint64_t sim_card_time(struct world *w, uint32_t card)
{
	struct card *c = &w->cards[card];
	uint64_t wall = (uint64_t)((int64_t)(w->now_us + 1000000 * S) + c->wall_offset_us);

	uint64_t monotonic = sim_monotonic(w, card);

	if (monotonic > c->card_monotonic_us)
		c->card_us += monotonic - c->card_monotonic_us;
	c->card_monotonic_us = monotonic;
	if (wall > c->card_us)
		c->card_us = wall;
	return c->card_us;
}

/* ---- the queue ------------------------------------------------------------------------- */

static bool earlier(const struct event *a, const struct event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void sim_post(struct world *w, const struct event *event, uint64_t delay_us)
{
	uint32_t i = w->n_heap;
	struct event e = *event;

	if (i == w->heap_room) {
		w->heap_room = w->heap_room ? w->heap_room * 2 : 1024;
		w->heap = realloc(w->heap, w->heap_room * sizeof *w->heap);
		if (!w->heap || w->heap_room > MAX_IN_QUEUE)
			abort();
	}
	e.at_us = w->now_us + delay_us;
	e.order = w->order++;
	w->n_heap++;
	for (; i > 0 && earlier(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = e;
}

static struct event take_first(struct world *w)
{
	struct event first = w->heap[0], last = w->heap[--w->n_heap];
	uint32_t i = 0;

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= w->n_heap)
			break;
		if (child + 1 < w->n_heap && earlier(&w->heap[child + 1], &w->heap[child]))
			child++;
		if (earlier(&last, &w->heap[child]))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = last;
	return first;
}

/* ---- the start -------------------------------------------------------------------------- */

static void *zeroed(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		abort();
	return p;
}

static void open_card(struct world *w, uint32_t i)
{
	struct card *c = &w->cards[i];
	uint32_t n = w->o.n_vms + 8;
	struct gn_ledger_host has = {0};
	unsigned r;

	*c = (struct card){.up = true, .brain_up = true, .vms = zeroed(w->o.n_vms, sizeof *c->vms)};
	c->rate_ppm = (int64_t)sim_roll(w, 40000) - 20000;
	c->wall_offset_us = (int64_t)sim_roll(w, 2 * S) - (int64_t)S;
	c->entries = zeroed(n, sizeof *c->entries);
	c->edges = zeroed(2 * n, sizeof *c->edges);
	for (r = 0; r < GN_LEDGER_N_RESOURCES; r++)
		has.has.of[r] = GN_LEDGER_UNBOUNDED;
	has.has.cpu_milli = w->hosts[i].capacity_milli;
	gn_ledger_init(&c->ledger, c->entries, c->edges, n);
	gn_ledger_set_host(&c->ledger, &has);
}

/* Both sides promise the VM's size: so a failover never finds the host full. */
static bool promise(struct world *w, struct vm *vm, unsigned side)
{
	struct card *c = &w->cards[vm->at[side]];
	struct gn_ledger_change change = {.amount = {.cpu_milli = vm->size}};
	char owner[32];

	snprintf(owner, sizeof owner, "vms/%u", vm->index);
	change.entry =
	        gn_ledger_open(&c->ledger, owner, side ? "may be promoted" : "allocation", 0);
	vm->side[side].entry = change.entry;
	c->vms[c->n_vms++] = vm->index;
	return gn_ledger_take(&c->ledger, &change, 1) == 0;
}

static void open_vm(struct world *w, uint32_t i)
{
	struct vm *vm = &w->vms[i];
	struct event e = {.kind = EV_WRITE, .a = i};
	uint32_t n = w->o.n_hosts;

	*vm = (struct vm){.index = i, .size = VM_MILLI, .demand = VM_MILLI / 2};
	vm->rule = (enum gn_tenure_rule)(1 + sim_roll(w, 5) % 3); /* 3 is rarer than 1 and 2 */
	if (sim_roll(w, 2))
		vm->rule = GN_TENURE_WITNESSED;
	vm->at[0] = i % n;
	vm->at[1] = (vm->at[0] + 1 + (i / n) % (n - 1)) % n;
	do
		vm->witness_card = (uint32_t)sim_roll(w, n);
	while (vm->witness_card == vm->at[0] || vm->witness_card == vm->at[1]);
	vm->can_migrate = sim_roll(w, 4) != 0;
	if (!promise(w, vm, 0) || !promise(w, vm, 1))
		abort(); /* the fleet was made too small for its VMs */
	vm->side[0].role = HOLDER;
	vm->side[0].qemu = RUNNING;
	vm->side[0].qemu_size = vm->side[0].size_told = vm->size;
	vm->side[1].role = KEEPER;
	vm->side[1].size_told = vm->size;
	gn_holder_init(&vm->side[0].holder, vm->rule, 1, GN_HOLDER_LEASED,
	               sim_monotonic(w, vm->at[0]));
	gn_keeper_init(&vm->side[1].keeper, vm->rule, 1, false, sim_monotonic(w, vm->at[1]));
	gn_detect_heard(&vm->side[1].detect, GN_DETECT_CARD_SILENT, sim_monotonic(w, vm->at[1]));
	sim_post(w, &e, sim_roll(w, w->o.write_us));
	e.kind = EV_DEMAND;
	sim_post(w, &e, sim_roll(w, w->o.demand_us));
}

void sim_create(struct world *w, const struct sim_options *options, uint64_t seed)
{
	uint32_t i, per_host;

	memset(w, 0, sizeof *w);
	w->o = *options;
	w->seed = seed;
	w->random = seed * 0x9e3779b97f4a7c15u | 1;
	for (i = 0; i < 8; i++)
		sim_roll(w, 2);
	w->hosts = zeroed(w->o.n_hosts, sizeof *w->hosts);
	w->cards = zeroed(w->o.n_hosts, sizeof *w->cards);
	w->vms = zeroed(w->o.n_vms, sizeof *w->vms);
	w->cut = zeroed((size_t)w->o.n_hosts * w->o.n_hosts, sizeof *w->cut);
	w->slow_milli = 5;
	/* Room for every VM and shadow, and little to grow. */
	per_host = 2 * (w->o.n_vms / w->o.n_hosts + 2) + (uint32_t)sim_roll(w, 4);
	for (i = 0; i < w->o.n_hosts; i++) {
		struct event tick = {.kind = EV_TICK, .a = i};

		w->hosts[i] = (struct host){.up = true, .capacity_milli = per_host * VM_MILLI};
		w->hosts[i].wall_offset_us = (int64_t)sim_roll(w, 2 * S) - (int64_t)S;
		open_card(w, i);
		sim_post(w, &tick, sim_roll(w, TICK_US));
	}
	for (i = 0; i < w->o.n_vms; i++)
		open_vm(w, i);
	sim_plan_faults(w);
}

void sim_destroy(struct world *w)
{
	uint32_t i;

	for (i = 0; i < w->o.n_hosts; i++) {
		free(w->cards[i].vms);
		free(w->cards[i].entries);
		free(w->cards[i].edges);
	}
	free(w->hosts);
	free(w->cards);
	free(w->vms);
	free(w->cut);
	free(w->heap);
	free(w->ids);
}

/* ---- the run ------------------------------------------------------------------------------ */

/* A dead card ticks on: when it comes back it finds its rhythm again. */
static void tick(struct world *w, const struct event *event)
{
	struct card *c = &w->cards[event->a];
	uint32_t i;

	sim_post(w, event, TICK_US);
	if (!c->up)
		return;
	for (i = 0; i < c->n_vms; i++) {
		struct vm *vm = &w->vms[c->vms[i]];
		unsigned side = vm->at[1] == event->a;
		const struct gn_holder_event held = {.kind = GN_HOLDER_TICK};
		const struct gn_keeper_event kept = {.kind = GN_KEEPER_TICK};

		if (vm->side[side].role == HOLDER)
			sim_holder_feed(w, vm, side, &held);
		else if (vm->side[side].role == KEEPER)
			sim_keeper_feed(w, vm, side, &kept, NULL);
	}
	if (c->brain_up)
		sim_brain_tick(w, event->a);
	sim_check_card(w, event->a);
}

static void perform(struct world *w, struct event *e)
{
	struct vm *vm = &w->vms[e->a < w->o.n_vms ? e->a : 0];

	switch (e->kind) {
	case EV_TICK:
		tick(w, e);
		return;
	case EV_WRITE:
		sim_guest_writes(w, vm);
		sim_post(w, e, w->o.write_us / 2 + sim_roll(w, w->o.write_us));
		break;
	case EV_MESSAGE:
		vm = &w->vms[e->message.vm];
		sim_receive(w, &e->message);
		break;
	case EV_ANSWER:
		if (w->cards[vm->at[e->b]].brain_life != e->life)
			return;
		sim_brain_answer(w, vm, e->b, &e->answer.op, e->answer.outcome, e->answer.verified,
		                 e->answer.timeout);
		break;
	case EV_COMMAND:
		vm = &w->vms[e->command.vm];
		sim_command_due(w, &e->command);
		break;
	case EV_FAULT:
		sim_fault(w, e->b, e->a);
		return;
	case EV_DEMAND:
		sim_brain_demand(w, vm);
		sim_post(w, e, w->o.demand_us / 2 + sim_roll(w, w->o.demand_us));
		break;
	case EV_OPERATOR:
		sim_operator(w);
		return;
	}
	sim_check(w, vm);
}

void sim_run(struct world *w)
{
	while (w->n_heap && !w->failure[0]) {
		struct event e = take_first(w);

		if (e.at_us > w->o.end_us)
			break;
		w->now_us = e.at_us;
		w->count.events++;
		perform(w, &e);
	}
	if (!w->failure[0])
		sim_check_end(w);
}
