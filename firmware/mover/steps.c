/* steps.c - what each step of a failover does on one host, and how it is undone (mover.h).
 *
 * A step is one or two stages of calls that run side by side; it is answered when all of them
 * are. Every call may meet what an earlier attempt left: what is so already counts as done. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/message/message.h"
#include "firmware/mover/mover_internal.h"

#define SECOND_US         ((uint64_t)1000000)
#define CALL_TIMEOUT_US   (5 * SECOND_US)
#define REACHABLE_WAIT_US (90 * SECOND_US)

/* ---- answers --------------------------------------------------------------------------------- */

/* Whether what failed may have been done all the same. */
static enum gn_plan_outcome outcome_of(enum gn_code code)
{
	switch (code) {
	case GN_OK:
		return GN_PLAN_EXECUTED;
	case GN_UNAVAILABLE:
	case GN_DEADLINE_EXCEEDED:
	case GN_CANCELLED:
		return GN_PLAN_UNKNOWN;
	default:
		return GN_PLAN_FORBIDDEN;
	}
}

static void answer(struct gn_mover_vm *moved, const struct gn_status *status)
{
	gn_runner_answer(moved->plan, outcome_of(status->code), status);
}

static void fail(struct gn_mover_vm *moved, enum gn_code code, const char *why)
{
	struct gn_status status;

	gn_status_set(&status, code, "%s", why);
	answer(moved, &status);
}

static void next_stage(struct gn_mover_vm *moved);

static bool is_at(const struct gn_mover_vm *moved, enum gn_move_step step)
{
	const struct gn_plan *plan = &moved->plan->plan;

	return plan->actions[plan->at].kind == (uint32_t)step;
}

/* A VM that the shim would not end has not been ended by us. */
static void note_refused_fence(struct gn_mover_vm *moved)
{
	struct gn_vm *vm = gn_mover_vm_of(moved);

	if (vm && outcome_of(moved->failure.code) == GN_PLAN_FORBIDDEN)
		gn_brain_set_past(moved->mover->p.brain, vm, moved->past);
}

/* A definite failure is told rather than a passing one. */
static void one_answered(struct gn_mover_vm *moved, const struct gn_status *status)
{
	if (status->code != GN_OK &&
	    (moved->failure.code == GN_OK || outcome_of(status->code) == GN_PLAN_FORBIDDEN))
		moved->failure = *status;
	if (--moved->n_waiting || moved->mover->closing || !moved->plan)
		return;
	if (is_at(moved, GN_MOVE_STEP_FENCE) && moved->stage == 0)
		note_refused_fence(moved);
	if (moved->failure.code != GN_OK)
		answer(moved, &moved->failure);
	else
		next_stage(moved);
}

static void on_gone(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct gn_status ok = {GN_OK, ""};

	one_answered(context, status->code == GN_NOT_FOUND ? &ok : status);
}

static void on_command(void *context, const struct gn_executor_result *result)
{
	one_answered(context, &result->status);
}

static void on_volume(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct gn_mover_vm *moved = context;

	if (reply)
		gn_view_note_volume(moved->mover->p.view, (const Gnomon__V1__Volume *)reply);
	one_answered(moved, status);
}

static void on_port(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct gn_mover_vm *moved = context;

	if (reply)
		gn_view_note_port(moved->mover->p.view, (const Gnomon__V1__Port *)reply);
	one_answered(moved, status);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void call(struct gn_mover_vm *moved, const char *method, const ProtobufCMessage *request,
                 gn_channel_done *done)
{
	moved->n_waiting++;
	gn_peer_call(moved->mover->p.dataplane, method, request, CALL_TIMEOUT_US, done, moved);
}

static void command(struct gn_mover_vm *moved, Gnomon__V1__Command__ActionCase what)
{
	Gnomon__V1__Command request = GNOMON__V1__COMMAND__INIT;
	Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;
	const struct gn_plan_record *plan = moved->plan;

	request.id = plan->message->actions[plan->plan.at]->command_id;
	request.vm = moved->name;
	request.deadline_us = plan->plan.deadline_us; /* the same when it is sent again */
	request.reason = (char *)"its shadow takes its place";
	request.action_case = what;
	request.fence_vm = &empty; /* the union's members of type Empty are one */
	moved->n_waiting++;
	gn_executor_command(moved->mover->p.executor, &request, on_command, moved);
}

static void set_fence(struct gn_mover_vm *moved, bool fenced)
{
	const struct gn_vm *vm = gn_mover_vm_of(moved);
	size_t i;

	for (i = 0; i < vm->spec->n_disks; i++) {
		Gnomon__V1__FenceVolumeRequest request = GNOMON__V1__FENCE_VOLUME_REQUEST__INIT;
		char name[GN_NAME_SIZE];

		gn_name_volume(vm->name, false, vm->spec->disks[i]->name, name);
		request.name = name;
		request.fenced = fenced;
		call(moved, "FenceVolume", &request.base, on_volume);
	}
}

static void delete_ports(struct gn_mover_vm *moved)
{
	const struct gn_vm *vm = gn_mover_vm_of(moved);
	size_t i;

	for (i = 0; i < vm->spec->n_nics; i++) {
		Gnomon__V1__NameRequest request = GNOMON__V1__NAME_REQUEST__INIT;
		char name[GN_NAME_SIZE];

		gn_name_port(vm->name, false, vm->spec->nics[i]->name, name);
		request.name = name;
		call(moved, "DeletePort", &request.base, on_gone);
	}
}

static void create_ports(struct gn_mover_vm *moved)
{
	const struct gn_vm *vm = gn_mover_vm_of(moved);
	size_t i;

	for (i = 0; i < vm->spec->n_nics; i++) {
		Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;
		char name[GN_NAME_SIZE];

		gn_name_port(vm->name, false, vm->spec->nics[i]->name, name);
		port.name = name;
		port.vm = (char *)vm->name;
		port.kind = GNOMON__V1__PORT__KIND__VHOST_USER;
		port.vlan = vm->spec->nics[i]->vlan;
		port.queues = vm->spec->nics[i]->queues;
		call(moved, "CreatePort", &port.base, on_port);
	}
}

/* ---- promotion ------------------------------------------------------------------------------- */

/* What is lost, of all disks: sums, and the oldest content. */
static void note_loss(Gnomon__V1__Move *move, const Gnomon__V1__VolumePromotion *promotion)
{
	uint64_t age = promotion->complete || move->first_us < promotion->point_us
	                       ? 0
	                       : move->first_us - promotion->point_us;

	move->loss_is_known = true;
	move->lost_bytes += promotion->lost_bytes;
	move->lost_writes += promotion->lost_writes;
	if (age > move->lost_us)
		move->lost_us = age;
}

static void on_promoted(void *context, const struct gn_status *status,
                        const ProtobufCMessage *message)
{
	const Gnomon__V1__Volume *volume = (const Gnomon__V1__Volume *)message;
	struct gn_mover_vm *moved = context;
	struct gn_vm *vm = gn_mover_vm_of(moved);
	char name[GN_NAME_SIZE];
	size_t i;

	for (i = 0; volume && vm && moved->plan && i < vm->spec->n_disks; i++) {
		gn_name_volume(vm->name, false, vm->spec->disks[i]->name, name);
		if (strcmp(name, volume->name) != 0 || !volume->promotion ||
		    strcmp(vm->spec->disks[i]->path, volume->path) == 0)
			continue;
		note_loss(moved->plan->message->move, volume->promotion);
		gn_brain_set_disk_path(moved->mover->p.brain, vm, vm->spec->disks[i]->name,
		                       volume->path);
	}
	on_volume(context, status, message);
}

static void promote_disks(struct gn_mover_vm *moved)
{
	const struct gn_vm *vm = gn_mover_vm_of(moved);
	const Gnomon__V1__Move *move = moved->plan->message->move;
	size_t i;

	for (i = 0; i < vm->spec->n_disks; i++) {
		Gnomon__V1__PromoteVolumeRequest request = GNOMON__V1__PROMOTE_VOLUME_REQUEST__INIT;
		char name[GN_NAME_SIZE];

		if (vm->spec->disks[i]->read_only)
			continue;
		gn_name_volume(vm->name, false, vm->spec->disks[i]->name, name);
		request.name = name;
		request.token = move->token;
		request.accept_loss = move->accept_loss;
		call(moved, "PromoteVolume", &request.base, on_promoted);
	}
}

/* ---- reachable --------------------------------------------------------------------------------
 */

/* Its NICs are up, and it has been heard on each. */
static bool is_reachable(const struct gn_mover_vm *moved)
{
	const struct gn_vm *vm = gn_mover_vm_of(moved);
	size_t i;

	for (i = 0; i < vm->spec->n_nics; i++) {
		const Gnomon__V1__Port *port;
		char name[GN_NAME_SIZE];

		gn_name_port(vm->name, false, vm->spec->nics[i]->name, name);
		port = gn_view_port(moved->mover->p.view, name);
		if (!port || !port->connected || !port->counters || !port->counters->tx_packets)
			return false;
	}
	return true;
}

static void on_ports(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct gn_mover_vm *moved = context;
	struct gn_status ok = {GN_OK, ""};

	moved->n_waiting--;
	if (moved->mover->closing || !moved->plan || !gn_mover_vm_of(moved))
		return;
	if (reply)
		gn_view_set_ports(moved->mover->p.view, (const Gnomon__V1__PortList *)reply);
	if (is_reachable(moved))
		answer(moved, &ok);
	else if (gn_time_now().monotonic_us - moved->step_us > REACHABLE_WAIT_US)
		fail(moved, GN_FAILED_PRECONDITION,
		     "the VM was started and sends nothing: see its console");
}

void gn_mover_tick_step(struct gn_mover_vm *moved)
{
	const Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;

	if (moved->plan && moved->plan->plan.state == GN_PLAN_RUNNING &&
	    moved->plan->plan.awaits_answer && is_at(moved, GN_MOVE_STEP_ANNOUNCE) &&
	    !moved->n_waiting)
		call(moved, "ListPorts", &empty.base, on_ports);
}

/* ---- which -----------------------------------------------------------------------------------
 */

static void reserve(struct gn_mover_vm *moved)
{
	struct gn_status ok = {GN_OK, ""};

	if (gn_brain_promise_restart(moved->mover->p.brain, gn_mover_vm_of(moved)))
		fail(moved, GN_RESOURCE_EXHAUSTED, "this host has no room for it: make room");
	else
		answer(moved, &ok);
}

/* First nothing can come back by itself: not even after a restart of this program or of the
 * dataplane. */
static void fence(struct gn_mover_vm *moved, bool is_resumed)
{
	struct gn_vm *vm = gn_mover_vm_of(moved);

	if (is_resumed) {
		fail(moved, GN_FAILED_PRECONDITION,
		     "gnomond was away meanwhile: whether there is still a reason is judged anew");
		return;
	}
	moved->past = vm->past;
	gn_brain_set_fenced(moved->mover->p.brain, vm, true);
	gn_brain_set_past(moved->mover->p.brain, vm, GN_VM_ENDED_BY_US);
	if (gn_store_commit(moved->mover->p.brain->store, true)) {
		fail(moved, GN_UNAVAILABLE, "the fence cannot be stored");
		return;
	}
	command(moved, GNOMON__V1__COMMAND__ACTION_FENCE_VM);
}

/* Only once the shim has agreed: a VM that goes on running keeps its disks and ports. */
static void cut_off(struct gn_mover_vm *moved)
{
	moved->stage = 1;
	set_fence(moved, true);
	delete_ports(moved);
}

static void next_stage(struct gn_mover_vm *moved)
{
	struct gn_status ok = {GN_OK, ""};

	if (is_at(moved, GN_MOVE_STEP_FENCE) && moved->stage == 0) {
		cut_off(moved);
		if (moved->n_waiting)
			return;
	}
	if (is_at(moved, GN_MOVE_STEP_PROMOTE) && moved->stage == 0) {
		moved->stage = 1;
		gn_shadows_promoted(gn_shadows_find(moved->mover->p.shadows, moved->name));
		if (gn_store_commit(moved->mover->p.brain->store, true)) {
			fail(moved, GN_UNAVAILABLE, "the promotion cannot be stored");
			return;
		}
		set_fence(moved, false);
		create_ports(moved);
		return;
	}
	answer(moved, &ok);
}

static void undo_step(struct gn_mover_vm *moved)
{
	struct gn_vm *vm = gn_mover_vm_of(moved);
	struct gn_status ok = {GN_OK, ""};

	if (is_at(moved, GN_MOVE_STEP_FENCE)) {
		gn_brain_set_fenced(moved->mover->p.brain, vm, false);
		set_fence(moved, false);
		create_ports(moved);
		return;
	}
	gn_brain_unpromise(moved->mover->p.brain, vm);
	answer(moved, &ok);
}

static void do_step(struct gn_mover_vm *moved, bool is_resumed)
{
	if (is_at(moved, GN_MOVE_STEP_RESERVE))
		reserve(moved);
	else if (is_at(moved, GN_MOVE_STEP_FENCE))
		fence(moved, is_resumed);
	else if (is_at(moved, GN_MOVE_STEP_PROMOTE))
		promote_disks(moved);
	else if (is_at(moved, GN_MOVE_STEP_BOOT))
		command(moved, GNOMON__V1__COMMAND__ACTION_START_VM);
	else if (!is_at(moved, GN_MOVE_STEP_ANNOUNCE))
		fail(moved, GN_UNIMPLEMENTED, "this card does not know that step");
}

void gn_mover_perform(struct gn_mover_vm *moved, bool undo, struct gn_time now)
{
	bool is_resumed = moved->is_resumed;

	moved->is_resumed = false;
	moved->stage = undo ? 1 : 0; /* an undo has one */
	moved->step_us = now.monotonic_us;
	moved->failure = (struct gn_status){GN_OK, ""};
	if (moved->n_waiting) /* an earlier attempt's calls are still under way */
		fail(moved, GN_UNAVAILABLE, "calls of an earlier attempt are under way");
	else if (!gn_mover_vm_of(moved))
		fail(moved, GN_NOT_FOUND, "the VM is no longer behind the card");
	else if (undo)
		undo_step(moved);
	else
		do_step(moved, is_resumed);
}
