/* rehearsal.c - rehearsals: what each step does, and what they showed (mover.h).
 *
 * The shadow's own state machine clones the disks and runs the domain (shadow/shadow.h, from step
 * COPY on); the plan's steps only begin that and look how far it is. So there is one way in which a
 * shadow is started, and a restart at any point finds both where they were. */
#include <stdio.h>
#include <string.h>
#include "firmware/failover/rehearsal.h"
#include "firmware/message/message.h"
#include "firmware/mover/mover_internal.h"

#define SECOND_US    ((uint64_t)1000000)
#define LOOK_US      (2 * SECOND_US)
#define PROBE_US     (90 * SECOND_US)
#define PROBE_MAX_US (110 * SECOND_US) /* the plan waits a little longer (move.c) */
#define UNKNOWN      UINT64_MAX

static struct gn_shadow_record *shadow_of(const struct gn_mover_vm *moved)
{
	return gn_shadows_find(moved->mover->p.shadows, moved->name);
}

static enum gn_move_step step_of(const struct gn_plan_record *record)
{
	return (enum gn_move_step)record->plan.actions[record->plan.at].kind;
}

static void answer(struct gn_plan_record *record, enum gn_code code, const char *why)
{
	struct gn_status status;

	gn_status_set(&status, code, "%s", why);
	gn_runner_answer(record, code == GN_OK ? GN_PLAN_EXECUTED : GN_PLAN_FORBIDDEN, &status);
}

uint32_t gn_mover_rehearsal_holds(const struct gn_mover *mover, const struct gn_plan_record *record)
{
	const struct gn_shadow_record *shadow =
	        gn_shadows_find(mover->p.shadows, record->message->vm);
	uint32_t i, holds = 0;

	if (!shadow)
		return 0;
	for (i = 0; i < record->plan.n_actions; i++) {
		uint32_t kind = record->plan.actions[i].kind;

		if (!record->message->actions[i]->done_us)
			continue;
		holds |= kind == GN_MOVE_STEP_RESERVE ? GN_MOVE_RESERVED
		         : kind == GN_MOVE_STEP_CLONE ? GN_MOVE_CLONED
		                                      : 0;
	}
	if (shadow->message->disk_point_us)
		holds |= GN_MOVE_POINT;
	if (shadow->shadow.runs)
		holds |= GN_MOVE_TRIAL_RUNS;
	return holds;
}

/* ---- signs of life ----------------------------------------------------------------------------
 */

/* Packets that the clone has sent, at all its NICs; UNKNOWN: one is not up. */
static uint64_t sent(const struct gn_mover_vm *moved)
{
	const struct gn_vm *vm = gn_mover_vm_of(moved);
	uint64_t packets = 0;
	size_t i;

	for (i = 0; i < vm->spec->n_nics; i++) {
		const Gnomon__V1__Port *port;
		char name[GN_NAME_SIZE];

		gn_name_port(vm->name, true, vm->spec->nics[i]->name, name);
		port = gn_view_port(moved->mover->p.view, name);
		if (!port || !port->counters)
			return UNKNOWN;
		packets += port->counters->tx_packets;
	}
	return packets;
}

static bool is_up(const struct gn_mover_vm *moved)
{
	const struct gn_vm *vm = gn_mover_vm_of(moved);
	size_t i;

	for (i = 0; i < vm->spec->n_nics; i++) {
		const Gnomon__V1__Port *port;
		char name[GN_NAME_SIZE];

		gn_name_port(vm->name, true, vm->spec->nics[i]->name, name);
		port = gn_view_port(moved->mover->p.view, name);
		if (!port || !port->connected)
			return false;
	}
	return true;
}

/* Where its guest is asked, when an operator has said what; NULL: anything that it sends counts, or
 * the port is not there. */
static const Gnomon__V1__Port *asked_port(const struct gn_mover_vm *moved)
{
	const struct gn_vm *vm = gn_mover_vm_of(moved);
	char name[GN_NAME_SIZE];

	if (!shadow_of(moved)->message->probe[0] || !vm->spec->n_nics)
		return NULL;
	gn_name_port(vm->name, true, vm->spec->nics[0]->name, name);
	return gn_view_port(moved->mover->p.view, name);
}

static void on_asked(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct gn_mover_vm *moved = context;
	struct gn_rehearsal *r = &moved->rehearsal;

	r->asks = false;
	if (reply && !moved->mover->closing) {
		r->is_asked = true;
		gn_view_note_port(moved->mover->p.view, (const Gnomon__V1__Port *)reply);
	}
}

static void ask(struct gn_mover_vm *moved, const Gnomon__V1__Port *port)
{
	const Gnomon__V1__Shadow *shadow = shadow_of(moved)->message;
	Gnomon__V1__ProbePortRequest request = GNOMON__V1__PROBE_PORT_REQUEST__INIT;

	if (moved->rehearsal.asks)
		return;
	moved->rehearsal.asks = true;
	request.name = port->name;
	request.probe = shadow->probe;
	request.from = shadow->probe_from;
	gn_peer_call(moved->mover->p.dataplane, "ProbePort", &request.base, LOOK_US, on_asked,
	             moved);
}

static bool has_answered(struct gn_mover_vm *moved, const Gnomon__V1__Port *port)
{
	struct gn_rehearsal *r = &moved->rehearsal;
	uint64_t packets = sent(moved);

	if (!shadow_of(moved)->message->probe[0])
		return packets != UNKNOWN && is_up(moved) && packets > r->heard;
	/* A dataplane that was restarted has forgotten it. */
	if (port && (!r->is_asked || !port->probe))
		ask(moved, port);
	return port && r->is_asked && port->probe && port->probe->passed;
}

static void has_not_answered(struct gn_mover_vm *moved, const Gnomon__V1__Port *port,
                             uint64_t waited_us)
{
	const char *probe = shadow_of(moved)->message->probe;
	char why[400], seen[100] = "sent nothing";

	if (probe[0])
		snprintf(seen, sizeof seen, "did not answer %.60s", probe);
	snprintf(why, sizeof why,
	         "the clone was started and %s within %llu s%s%s: start the shadow (shadow update "
	         "%.60s --start) and see its console",
	         seen, (unsigned long long)(waited_us / SECOND_US), port && port->probe ? "; " : "",
	         port && port->probe ? port->probe->seen : "", moved->name + 4);
	answer(moved->rehearsal.plan, GN_FAILED_PRECONDITION, why);
}

static void probe(struct gn_mover_vm *moved)
{
	struct gn_rehearsal *r = &moved->rehearsal;
	uint64_t wait = r->plan->message->move->probe_timeout_us;
	const Gnomon__V1__Port *port = asked_port(moved);

	if (has_answered(moved, port))
		answer(r->plan, GN_OK, "");
	else if (gn_time_now().monotonic_us - r->step_us > wait)
		has_not_answered(moved, port, wait);
}

static void on_ports(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct gn_mover_vm *moved = context;
	struct gn_rehearsal *r = &moved->rehearsal;

	r->looks = false;
	if (!reply || moved->mover->closing || !gn_mover_vm_of(moved))
		return;
	gn_view_set_ports(moved->mover->p.view, (const Gnomon__V1__PortList *)reply);
	/* What was sent before does not count: of an earlier run, or before a restart of ours. */
	if (r->heard == UNKNOWN)
		r->heard = sent(moved);
	else if (r->plan && r->plan->plan.awaits_answer && r->plan->plan.state == GN_PLAN_RUNNING &&
	         step_of(r->plan) == GN_MOVE_STEP_PROBE)
		probe(moved);
}

static void look(struct gn_mover_vm *moved)
{
	const Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;

	if (moved->rehearsal.looks)
		return;
	moved->rehearsal.looks = true;
	gn_peer_call(moved->mover->p.dataplane, "ListPorts", &empty.base, LOOK_US, on_ports, moved);
}

/* ---- steps ------------------------------------------------------------------------------------
 */

static void reserve(struct gn_mover_vm *moved, struct gn_shadow_record *shadow)
{
	const struct gn_ledger *ledger = &moved->mover->p.brain->ledger;

	/* A shadow that stands has its room; the clone takes it. */
	if (gn_ledger_find(ledger, shadow->message->name) == GN_LEDGER_NONE)
		answer(moved->rehearsal.plan, GN_RESOURCE_EXHAUSTED,
		       "no room is promised to the shadow: make room, and make the shadow again");
	else
		answer(moved->rehearsal.plan, GN_OK, "");
}

/* What was sent before the clone boots is looked up first. */
static void clone(struct gn_mover_vm *moved, struct gn_shadow_record *shadow, struct gn_time now)
{
	if (moved->rehearsal.heard == UNKNOWN) {
		look(moved);
	} else {
		moved->rehearsal.begun = true;
		gn_shadows_run(shadow, true, now);
	}
}

void gn_mover_perform_rehearsal(struct gn_mover_vm *moved, struct gn_plan_record *record, bool undo,
                                struct gn_time now)
{
	struct gn_shadow_record *shadow = shadow_of(moved);
	struct gn_rehearsal *r = &moved->rehearsal;

	r->plan = record;
	r->step_us = now.monotonic_us;
	r->is_asked = false;
	if (!shadow) {
		answer(r->plan, undo ? GN_OK : GN_NOT_FOUND, undo ? "" : "the shadow was deleted");
		return;
	}
	if (step_of(r->plan) == GN_MOVE_STEP_RESERVE) {
		if (undo)
			answer(r->plan, GN_OK, "");
		else
			reserve(moved, shadow);
		return;
	}
	if (undo)
		gn_shadows_run(shadow, false, now);
	else if (step_of(r->plan) == GN_MOVE_STEP_CLONE)
		clone(moved, shadow, now);
}

static void tick_undo(struct gn_mover_vm *moved, const struct gn_shadow_record *shadow)
{
	const struct gn_shadow *s = &shadow->shadow;

	if (s->toggling)
		return;
	if (s->runs)
		answer(moved->rehearsal.plan, GN_FAILED_PRECONDITION, shadow->why_failed);
	else
		answer(moved->rehearsal.plan, GN_OK, "");
}

/* The shadow's machine has taken the start back, or somebody else has. */
static bool has_failed(const struct gn_mover_vm *moved, const struct gn_shadow *s)
{
	bool is_off = !s->start && !s->toggling;

	return !gn_shadow_stands(s) ||
	       (is_off &&
	        (moved->rehearsal.begun || step_of(moved->rehearsal.plan) != GN_MOVE_STEP_CLONE));
}

static void tick_do(struct gn_mover_vm *moved, struct gn_shadow_record *shadow, struct gn_time now)
{
	const struct gn_shadow *s = &shadow->shadow;
	struct gn_plan_record *plan = moved->rehearsal.plan;
	bool is_cloned = s->runs || (s->toggling && s->step == GN_SHADOW_STEP_START);

	if (plan->plan.turning) {
		answer(plan, GN_CANCELLED, "it gives way to something more important");
	} else if (has_failed(moved, s)) {
		answer(plan, s->code == GN_OK ? GN_FAILED_PRECONDITION : s->code,
		       s->code == GN_OK ? "the shadow was stopped meanwhile" : shadow->why_failed);
	} else if (step_of(plan) == GN_MOVE_STEP_CLONE) {
		if (is_cloned)
			answer(plan, GN_OK, "");
		else if (!s->start)
			clone(moved, shadow, now);
	} else if (step_of(plan) == GN_MOVE_STEP_TRIAL) {
		if (s->runs)
			answer(plan, GN_OK, "");
	} else {
		moved->rehearsal.point_us = shadow->message->run_point_us;
		look(moved);
	}
}

/* ---- by itself ---------------------------------------------------------------------------------
 */

static enum gn_rehearsal_refusal judge(const struct gn_mover_vm *moved)
{
	const struct gn_shadow_record *shadow = shadow_of(moved);
	const struct gn_shadow *s = shadow ? &shadow->shadow : NULL;
	const struct gn_rehearsal_facts facts = {
	        .has_shadow = s,
	        .stands = s && gn_shadow_stands(s) && !(s->busy && !s->toggling),
	        .runs = s && (s->runs || s->start || s->toggling),
	        /* The disk of one that does not follow is its only copy: it is not started on a
	           clone. */
	        .has_point = s && s->follows && shadow->message->disk_point_us,
	        .moving = moved->plan || moved->rehearsal.plan,
	        .n_nics = s ? s->n_nics : 0,
	};

	return gn_rehearsal_judge(&facts);
}

static struct gn_plan_record *begin(struct gn_mover_vm *moved, uint64_t timeout_us,
                                    const char *cause, struct gn_time now)
{
	Gnomon__V1__Move move = GNOMON__V1__MOVE__INIT;
	struct gn_plan_record *plan;
	char words[300];

	snprintf(words, sizeof words,
	         "%s is rehearsed because %s: a clone of its shadow is booted apart from the "
	         "network, "
	         "and thrown away",
	         moved->name, cause);
	moved->rehearsal = (struct gn_rehearsal){
	        .heard = UNKNOWN, .looks = moved->rehearsal.looks, .asks = moved->rehearsal.asks};
	move.kind = GNOMON__V1__MOVE__KIND__REHEARSAL;
	move.cause = (char *)cause;
	move.first_us = move.detected_us = now.wall_us;
	move.probe_timeout_us = timeout_us;
	plan = gn_runner_begin_move(moved->mover->p.runner, moved->name, &move, true, words, now);
	moved->rehearsal.plan = gn_plan_has_ended(&plan->plan) ? NULL : plan;
	return plan;
}

static void tick_schedule(struct gn_mover_vm *moved, struct gn_time now)
{
	const struct gn_shadow_record *shadow = shadow_of(moved);
	const Gnomon__V1__ShadowSchedule *schedule = shadow ? shadow->message->rehearse : NULL;
	const Gnomon__V1__Rehearsal *newest = shadow ? shadow->message->rehearsal : NULL;

	if (schedule &&
	    gn_rehearsal_is_due(schedule->first_us, schedule->every_us,
	                        newest ? newest->begun_us : 0, now.wall_us) &&
	    judge(moved) == GN_REHEARSAL_NONE)
		begin(moved, PROBE_US, "its schedule asks for it", now);
}

void gn_mover_tick_rehearsal(struct gn_mover_vm *moved, struct gn_time now)
{
	struct gn_plan_record *plan = moved->rehearsal.plan;
	struct gn_shadow_record *shadow = shadow_of(moved);

	if (!plan) {
		tick_schedule(moved, now);
		return;
	}
	if (!plan->plan.awaits_answer)
		return;
	if (!shadow)
		answer(plan, plan->plan.state == GN_PLAN_UNDOING ? GN_OK : GN_NOT_FOUND,
		       "the shadow was deleted");
	else if (plan->plan.state == GN_PLAN_UNDOING)
		tick_undo(moved, shadow);
	else
		tick_do(moved, shadow, now);
}

/* ---- what it showed ---------------------------------------------------------------------------
 */

static uint64_t duration_us(const Gnomon__V1__Action *action)
{
	return action->done_us > action->at_us ? action->done_us - action->at_us : 0;
}

static void fill_phases(const struct gn_plan_record *record, const struct gn_shadow_record *shadow,
                        struct gn_time now, Gnomon__V1__Rehearsal *out)
{
	uint32_t i;

	for (i = 0; i < record->plan.n_actions; i++) {
		const Gnomon__V1__Action *action = record->message->actions[i];

		if (action->kind == GNOMON__V1__ACTION__KIND__CLONE)
			out->clone_us = duration_us(action);
		if (action->kind == GNOMON__V1__ACTION__KIND__TRIAL)
			out->boot_us = duration_us(action);
		if (action->kind != GNOMON__V1__ACTION__KIND__PROBE || !action->done_us)
			continue;
		out->probe_us = duration_us(action);
		out->passed = true;
		out->remove_us = now.wall_us - action->done_us;
		if (shadow->started_us && shadow->started_us < action->done_us)
			out->rto_us = action->done_us - shadow->started_us;
		else
			out->rto_us = out->boot_us + out->probe_us;
	}
}

static const char *why_not(const struct gn_plan_record *record)
{
	uint32_t i;

	for (i = 0; i < record->plan.n_actions; i++) {
		const Gnomon__V1__Action *action = record->message->actions[i];

		if (!action->done_us && action->result && action->result->message[0])
			return action->result->message;
	}
	return gn_plan_end_text(record->plan.end);
}

void gn_mover_rehearsal_ended(struct gn_mover_vm *moved, struct gn_plan_record *record,
                              struct gn_time now)
{
	Gnomon__V1__Rehearsal showed = GNOMON__V1__REHEARSAL__INIT;
	struct gn_shadow_record *shadow = shadow_of(moved);

	moved->rehearsal.plan = NULL;
	if (!shadow)
		return;
	showed.plan = record->message->name;
	showed.begun_us = record->message->created_us;
	showed.point_us = moved->rehearsal.point_us;
	fill_phases(record, shadow, now, &showed);
	if (!showed.passed)
		showed.message = (char *)why_not(record);
	record->message->move->done_us = now.wall_us;
	gn_runner_save(record);
	gn_shadows_note_rehearsal(shadow, &showed);
}

/* ---- operators --------------------------------------------------------------------------------
 */

int gn_mover_rehearse(struct gn_mover *mover, struct gn_vm *vm,
                      const Gnomon__V1__RehearseShadowRequest *request, struct gn_time now,
                      struct gn_plan_record **out, struct gn_status *status)
{
	struct gn_mover_vm *moved = gn_mover_find_or_add(mover, vm->name);
	uint64_t timeout_us = request->timeout_us ? request->timeout_us : PROBE_US;
	enum gn_rehearsal_refusal refusal = judge(moved);

	if (timeout_us < SECOND_US || timeout_us > PROBE_MAX_US)
		return gn_status_set(status, GN_OUT_OF_RANGE,
		                     "timeout_us is %llu; give 1000000 (1 s) to %llu (110 s), or 0 "
		                     "for 90 s",
		                     (unsigned long long)timeout_us,
		                     (unsigned long long)PROBE_MAX_US);
	if (refusal != GN_REHEARSAL_NONE)
		return gn_status_set(status, GN_FAILED_PRECONDITION, "%s is not rehearsed: %s; %s",
		                     vm->name, gn_rehearsal_refusal_text(refusal),
		                     gn_rehearsal_advice(refusal));
	*out = begin(moved, timeout_us, "an operator asked for it", now);
	return 0;
}

void gn_mover_resume_rehearsal(struct gn_mover_vm *moved, struct gn_plan_record *record)
{
	moved->rehearsal = (struct gn_rehearsal){.plan = record, .heard = UNKNOWN};
}

bool gn_mover_is_rehearsing(const struct gn_mover *mover, const char *vm)
{
	const struct gn_mover_vm *moved = gn_mover_find(mover, vm);

	return moved && moved->rehearsal.plan;
}
