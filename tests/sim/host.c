/* host.c - the model of a host: its shim takes a command with an id, executes it once and
 * answers; libvirt below it refuses, hangs, is slow, or says done and has not (sim.h). */
#include <stdlib.h>
#include <string.h>
#include "tests/sim/sim.h"

static const struct {
	const char *name;
	uint64_t shortest_us, longest_us;
} kinds[] = {
        [CMD_START] = {"start", 300 * MS, 4 * S},    [CMD_DESTROY] = {"destroy", 50 * MS, 500 * MS},
        [CMD_SHUT_DOWN] = {"shut down", S, 20 * S},  [CMD_MIGRATE] = {"migrate", 500 * MS, 8 * S},
        [CMD_RESUME] = {"resume", 5 * MS, 50 * MS},  [CMD_SET] = {"set", 20 * MS, 300 * MS},
        [CMD_TRIAL] = {"start the trial", S, 5 * S}, [CMD_END_TRIAL] = {"end the trial", MS, S},
};

bool sim_host_answers(const struct world *w, uint32_t host)
{
	return w->hosts[host].up && w->now_us >= w->hosts[host].hangs_until_us;
}

/* The shim's journal: the entry of an id, made when it is new. */
static struct known_id *know(struct world *w, uint64_t id)
{
	uint32_t i;

	if (w->n_ids * 2 >= w->ids_room) {
		struct known_id *old = w->ids;
		uint32_t room = w->ids_room;

		w->ids_room = room ? room * 4 : 1024;
		w->ids = calloc(w->ids_room, sizeof *w->ids);
		if (!w->ids)
			abort();
		w->n_ids = 0;
		for (i = 0; i < room; i++)
			if (old[i].id)
				*know(w, old[i].id) = old[i];
		free(old);
	}
	for (i = (uint32_t)(id * 0x9e3779b97f4a7c15u >> 32) % w->ids_room; w->ids[i].id;
	     i = (i + 1) % w->ids_room)
		if (w->ids[i].id == id)
			return &w->ids[i];
	w->ids[i].id = id;
	w->n_ids++;
	return &w->ids[i];
}

static void answer(struct world *w, const struct command *c, uint8_t outcome, bool verified)
{
	struct vm *vm = &w->vms[c->vm];
	unsigned driver = c->remote ? !c->side : c->side;

	if (c->op.attempt == UINT8_MAX)
		return;
	if (!c->remote) {
		sim_answer_later(w, vm, driver, c->op, outcome, verified, false,
		                 100 + sim_roll(w, 900));
		return;
	}
	/* By way of the card of the host that executed it. */
	sim_send(w, &(struct message){.kind = MSG_REPLY,
	                              .from = vm->at[c->side],
	                              .to = vm->at[driver],
	                              .vm = vm->index,
	                              .op = c->op,
	                              .outcome = verified ? outcome : GN_PLAN_FORBIDDEN});
}

/* ---- what libvirt does ------------------------------------------------------------------- */

static bool migrate(struct world *w, struct vm *vm, unsigned side)
{
	struct side *from = &vm->side[side], *to = &vm->side[!side];

	if (from->qemu != RUNNING || to->qemu != OFF || !sim_host_answers(w, vm->at[!side]) ||
	    !sim_linked(w, vm->at[0], vm->at[1]))
		return false;
	to->qemu = PAUSED;
	to->qemu_size = from->qemu_size;
	from->qemu = OFF;
	return true;
}

static bool start(struct vm *vm, struct side *s, uint32_t size)
{
	if (s->qemu == PAUSED)
		return false; /* something of another move: to be destroyed first */
	if (s->qemu == OFF) {
		s->qemu = RUNNING;
		s->qemu_size = size;
		vm->guest = GUEST_WELL;
	}
	return true;
}

static bool execute(struct world *w, struct vm *vm, const struct command *c)
{
	struct side *s = &vm->side[c->side];

	switch (c->kind) {
	case CMD_START:
		return start(vm, s, c->size);
	case CMD_DESTROY:
		s->qemu = OFF;
		return true;
	case CMD_SHUT_DOWN:
		if (vm->guest != GUEST_WELL)
			return false;
		s->qemu = OFF;
		return true;
	case CMD_MIGRATE:
		return migrate(w, vm, c->side);
	case CMD_RESUME:
		if (s->qemu == OFF)
			return false;
		s->qemu = RUNNING;
		return true;
	case CMD_SET:
		if (s->qemu != RUNNING)
			return false;
		s->qemu_size = c->size;
		return true;
	case CMD_TRIAL:
		s->trial = true;
		return true;
	case CMD_END_TRIAL:
		s->trial = false;
		return true;
	}
	return false;
}

/* ---- the shim -------------------------------------------------------------------------------- */

void sim_command(struct world *w, const struct command *command)
{
	uint32_t host = w->vms[command->vm].at[command->side];
	struct event e = {.kind = EV_COMMAND, .command = *command};
	uint64_t takes =
	        kinds[command->kind].shortest_us +
	        sim_roll(w, kinds[command->kind].longest_us - kinds[command->kind].shortest_us);

	if (!w->hosts[host].up)
		return;
	w->count.commands++;
	if (w->now_us < w->hosts[host].hangs_until_us) /* it comes to it later */
		takes += w->hosts[host].hangs_until_us - w->now_us;
	sim_post(w, &e, takes);
}

void sim_destroy_qemu(struct world *w, const struct vm *vm, unsigned side)
{
	sim_command(w, &(struct command){.kind = CMD_DESTROY,
	                                 .id = (uint64_t)1 << 63 | w->order,
	                                 .vm = vm->index,
	                                 .side = (uint8_t)side,
	                                 .op = {.attempt = UINT8_MAX}});
}

/* The time that it takes is over: what it does, it does at this instant. */
void sim_command_due(struct world *w, const struct command *c)
{
	struct vm *vm = &w->vms[c->vm];
	struct host *h = &w->hosts[vm->at[c->side]];
	uint64_t wall = (uint64_t)((int64_t)(w->now_us + 1000000 * S) + h->wall_offset_us);
	struct known_id *known;
	bool done;

	if (!h->up)
		return;
	known = know(w, c->id);
	if (known->executions && known->kind != c->kind + 1)
		sim_fail(w, "an id was used for two commands: vms/%u, %s", vm->index,
		         kinds[c->kind].name);
	known->kind = (uint8_t)(c->kind + 1);
	if (known->executions && !sim_is(w, SIM_TWICE)) {
		answer(w, c, GN_PLAN_EXECUTED, true);
		return;
	}
	if (w->now_us < h->refuses_until_us ||
	    (c->deadline_us && wall > c->deadline_us + 300 * S)) {
		answer(w, c, GN_PLAN_FORBIDDEN, true);
		return;
	}
	if (w->now_us < h->lies_until_us && sim_roll(w, 2)) {
		answer(w, c, GN_PLAN_EXECUTED, false); /* said so, but read back it is not */
		return;
	}
	done = execute(w, vm, c);
	sim_trace(w, "host %u: %s vms/%u%s", vm->at[c->side], kinds[c->kind].name, vm->index,
	          done ? "" : ": refused");
	if (done && ++known->executions > 1)
		sim_fail(w, "executed twice: %s vms/%u on host %u", kinds[c->kind].name, vm->index,
		         vm->at[c->side]);
	answer(w, c, done ? GN_PLAN_EXECUTED : GN_PLAN_FORBIDDEN, true);
}
