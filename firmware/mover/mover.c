/* mover.c - see mover.h: what is seen of each VM, what failover.h makes of it, and the plans. */
#include "firmware/mover/mover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/message/message.h"
#include "firmware/mover/mover_internal.h"

#define SECOND_US ((uint64_t)1000000)
#define LOOK_US   (2 * SECOND_US) /* for an answer to a look */
/* libvirt may notice a little later than the dataplane that QEMU is gone. */
#define DROPPED_US (3 * SECOND_US)
/* Longer than it takes to see that QEMU is gone; a guest that is hung raises its plan anew. */
#define WELL_US SECOND_US
/* Guests are read once a second. */
#define GUEST_FRESH_US (3 * SECOND_US)

struct gn_vm *gn_mover_vm_of(const struct gn_mover_vm *moved)
{
	return gn_brain_vm(moved->mover->p.brain, moved->name);
}

struct gn_mover_vm *gn_mover_find(const struct gn_mover *mover, const char *vm)
{
	size_t i;

	for (i = 0; i < mover->n_vms; i++)
		if (strcmp(mover->vms[i]->name, vm) == 0)
			return mover->vms[i];
	return NULL;
}

struct gn_mover_vm *gn_mover_find_or_add(struct gn_mover *mover, const char *vm)
{
	struct gn_mover_vm *moved = gn_mover_find(mover, vm);

	if (moved)
		return moved;
	moved = gn_message_alloc(sizeof *moved);
	moved->mover = mover;
	snprintf(moved->name, sizeof moved->name, "%s", vm);
	mover->vms = realloc(mover->vms, (mover->n_vms + 1) * sizeof *mover->vms);
	if (!mover->vms)
		abort();
	mover->vms[mover->n_vms++] = moved;
	return moved;
}

/* ---- facts ------------------------------------------------------------------------------------
 */

static bool is_connected(const struct gn_mover *mover, const struct gn_vm *vm)
{
	size_t i;

	for (i = 0; i < vm->spec->n_disks; i++) {
		const Gnomon__V1__Volume *volume;
		char name[GN_NAME_SIZE];

		gn_name_volume(vm->name, false, vm->spec->disks[i]->name, name);
		volume = gn_view_volume(mover->p.view, name);
		if (volume && volume->connected)
			return true;
	}
	return false;
}

static bool runs(const struct gn_vm *vm)
{
	return vm->state == GNOMON__V1__VM_STATE__RUNNING ||
	       vm->state == GNOMON__V1__VM_STATE__PAUSED;
}

static bool is_rehearsal(const struct gn_plan_record *record)
{
	return record->message->move->kind == GNOMON__V1__MOVE__KIND__REHEARSAL;
}

/* When its newest failover was done; 0: none was. */
static uint64_t failed_over_us(const struct gn_mover *mover, const char *vm)
{
	uint64_t newest = 0;
	size_t i;

	for (i = 0; i < gn_runner_count(mover->p.runner); i++) {
		const struct gn_plan_record *record = gn_runner_at(mover->p.runner, i);
		const Gnomon__V1__Move *move = record->message->move;

		if (move && !is_rehearsal(record) && record->plan.state == GN_PLAN_DONE &&
		    strcmp(record->message->vm, vm) == 0 && move->done_us > newest)
			newest = move->done_us;
	}
	return newest;
}

static struct gn_failover_facts facts_of(const struct gn_mover_vm *moved, const struct gn_vm *vm,
                                         struct gn_time now)
{
	const struct gn_shadow_record *shadow = gn_shadows_find(moved->mover->p.shadows, vm->name);
	bool has_shadow = shadow && shadow->shadow.follows && shadow->shadow.n_disks &&
	                  gn_shadow_stands(&shadow->shadow);
	uint64_t point_us = has_shadow ? shadow->message->disk_point_us : 0;
	uint64_t done_us = failed_over_us(moved->mover, vm->name);
	enum gn_detect_verdict verdict =
	        gn_detect_verdict(&moved->detect, now.monotonic_us, NULL, NULL);

	return (struct gn_failover_facts){
	        .has_shadow = has_shadow,
	        .in_step = has_shadow && shadow->shadow.state == GN_SHADOW_IN_STEP,
	        .loss = {.known = point_us && point_us < now.wall_us,
	                 .bytes = has_shadow && shadow->message->lag ? shadow->message->lag->bytes
	                                                             : 0,
	                 .age_us = point_us < now.wall_us ? now.wall_us - point_us : 0},
	        .cpu_fits = true, /* it is the same host */
	        .has_room = gn_brain_has_room_to_restart(moved->mover->p.brain, vm),
	        .lease_held = verdict != GN_DETECT_LOST && runs(vm),
	        .since_failover_us = done_us && done_us < now.wall_us ? now.wall_us - done_us : 0,
	};
}

/* What a step was answered is what holds: the shim and the dataplane have verified it. */
static uint32_t on_holds(void *context, const struct gn_plan_record *record)
{
	static const uint32_t gives[] = {
	        [GN_MOVE_STEP_RESERVE] = GN_MOVE_RESERVED,
	        [GN_MOVE_STEP_FENCE] = GN_MOVE_FENCED | GN_MOVE_NOT_HERE,
	        [GN_MOVE_STEP_PROMOTE] = GN_MOVE_WRITER,
	        [GN_MOVE_STEP_BOOT] = GN_MOVE_RUNS_HERE,
	        [GN_MOVE_STEP_ANNOUNCE] = 0,
	};
	uint32_t i, holds = 0;

	if (is_rehearsal(record))
		return gn_mover_rehearsal_holds(context, record);
	for (i = 0; i < record->plan.n_actions; i++)
		if (record->message->actions[i]->done_us &&
		    record->plan.actions[i].kind < sizeof gives / sizeof gives[0])
			holds |= gives[record->plan.actions[i].kind];
	return holds;
}

/* ---- plans ------------------------------------------------------------------------------------
 */

static void tell(struct gn_mover_vm *moved, const struct gn_failover_facts *facts)
{
	char words[512];
	struct gn_text text;

	gn_text_init(&text, words, sizeof words);
	gn_failover_explain(&moved->failover, facts, &text);
	gn_brain_tell(moved->mover->p.brain, "failover.state", moved->name, "%s: %s", moved->name,
	              words);
}

static void reason_of(const struct gn_mover_vm *moved, const struct gn_failover_facts *facts,
                      struct gn_text *text)
{
	const struct gn_failover *f = &moved->failover;

	gn_text_add(text, moved->name);
	if (f->asked) {
		gn_text_add(text, " fails over because an operator asked for it");
	} else {
		gn_text_add(text, " is lost: ");
		gn_text_add(text, gn_detect_text(f->cause));
		gn_text_add(text, ", seen for ");
		gn_text_add_duration(text, f->detected_us - f->first_us);
	}
	gn_text_add(text, "; its shadow, ");
	if (facts->in_step) {
		gn_text_add(text, "which has every write");
	} else {
		gn_text_add(text, "which lacks the writes of the last ");
		gn_text_add_duration(text, facts->loss.age_us);
	}
	gn_text_add(text, ", is to take its place");
}

static void begin(struct gn_mover_vm *moved, struct gn_vm *vm,
                  const struct gn_failover_facts *facts, struct gn_time now)
{
	const struct gn_failover *f = &moved->failover;
	Gnomon__V1__Move move = GNOMON__V1__MOVE__INIT;
	struct gn_plan_record *plan;
	char words[512], cause[96];
	struct gn_text text;

	gn_text_init(&text, words, sizeof words);
	reason_of(moved, facts, &text);
	snprintf(cause, sizeof cause, "%s",
	         f->asked ? "an operator asked for it" : gn_detect_text(f->cause));
	move.kind = GNOMON__V1__MOVE__KIND__FAILOVER;
	move.cause = cause;
	/* Their monotonic instants, as wall time. */
	move.first_us = now.wall_us - (now.monotonic_us - f->first_us);
	move.detected_us = now.wall_us - (now.monotonic_us - f->detected_us);
	move.accept_loss = f->override.given;
	move.token = gn_store_next(moved->mover->p.brain->store, "lease");
	plan = gn_runner_begin_move(moved->mover->p.runner, moved->name, &move,
	                            f->asked || vm->mode == GN_POLICY_ENFORCE, words, now);
	moved->plan = gn_plan_has_ended(&plan->plan) ? NULL : plan;
}

static void handle(struct gn_mover_vm *moved, struct gn_vm *vm,
                   const struct gn_failover_event *event, struct gn_time now)
{
	struct gn_failover_facts facts = facts_of(moved, vm, now);
	unsigned actions =
	        gn_failover_step(&moved->failover, event, &moved->detect, &facts, now.monotonic_us);

	if (actions & GN_FAILOVER_NEWS)
		tell(moved, &facts);
	if (actions & GN_FAILOVER_BEGIN)
		begin(moved, vm, &facts, now);
	if (moved->failover.state != GN_FAILOVER_ACTIVE)
		return;
	/* On one host it is watched here again. */
	moved->failover = (struct gn_failover){.hold = moved->failover.hold};
	moved->detect = (struct gn_detect){0};
}

static void on_ended(void *context, struct gn_plan_record *record, struct gn_time now)
{
	struct gn_mover *mover = context;
	struct gn_mover_vm *moved = gn_mover_find_or_add(mover, record->message->vm);
	struct gn_vm *vm = gn_mover_vm_of(moved);
	bool done = record->plan.state == GN_PLAN_DONE;
	struct gn_failover_event event = {
	        .kind = done ? GN_FAILOVER_PLAN_DONE : GN_FAILOVER_PLAN_FAILED,
	        .fence_failed = record->plan.actions[record->plan.at].kind == GN_MOVE_STEP_FENCE &&
	                        record->plan.end,
	};

	if (is_rehearsal(record)) {
		gn_mover_rehearsal_ended(moved, record, now);
		return;
	}
	moved->plan = NULL;
	moved->is_rejected = record->plan.state == GN_PLAN_REJECTED;
	if (!vm)
		return;
	gn_brain_set_fenced(mover->p.brain, vm, false);
	gn_brain_unpromise(mover->p.brain, vm);
	if (done) {
		gn_brain_set_past(mover->p.brain, vm,
		                  GN_VM_NOT_STARTED); /* until it is seen running */
		record->message->move->done_us = now.wall_us;
		gn_runner_save(record);
	}
	handle(moved, vm, &event, now);
}

static void on_perform(void *context, struct gn_plan_record *record, bool undo, struct gn_time now)
{
	struct gn_mover_vm *moved = gn_mover_find_or_add(context, record->message->vm);

	if (is_rehearsal(record)) {
		gn_mover_perform_rehearsal(moved, record, undo, now);
		return;
	}
	moved->plan = record;
	gn_mover_perform(moved, undo, now);
}

/* ---- looking -----------------------------------------------------------------------------------
 */

static void on_host_vms(void *context, const struct gn_status *status,
                        const ProtobufCMessage *reply)
{
	struct gn_mover_vm *moved = context;

	moved->asks = false;
	if (reply && !moved->mover->closing)
		gn_brain_host_vms(moved->mover->p.brain, (const Gnomon__V1__HostVmList *)reply);
}

static void ask_libvirt(struct gn_mover_vm *moved)
{
	const Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;

	if (moved->asks)
		return;
	moved->asks = true;
	gn_peer_call(moved->mover->p.shim, "ListHostVms", &empty.base, LOOK_US, on_host_vms, moved);
}

static void on_volumes(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct gn_mover *mover = context;

	mover->looks = false;
	if (reply && !mover->closing)
		gn_view_set_volumes(mover->p.view, (const Gnomon__V1__VolumeList *)reply);
}

/* A sample of before the last failover is one of the guest that is gone. */
static void see_guest(struct gn_mover_vm *moved, const struct gn_vm *vm, struct gn_time now)
{
	const Gnomon__V1__GuestSample *sample = vm->guest ? vm->guest->guest : NULL;
	const Gnomon__V1__GuestSigns *signs = sample ? sample->signs : NULL;
	/* A guest with nothing to run may let its clock stand: it is not hung, but idle. */
	bool has_work = sample && sample->tasks && sample->tasks->running > 0;
	const struct gn_detect_guest guest = {
	        .is_fresh = signs && vm->guest_us + GUEST_FRESH_US > now.wall_us &&
	                    vm->guest_us > failed_over_us(moved->mover, vm->name),
	        /* What was said before the shim went may be old: it may be paused since. */
	        .is_running = vm->state == GNOMON__V1__VM_STATE__RUNNING &&
	                      gn_peer_is_connected(moved->mover->p.shim),
	        .has_panicked = signs && signs->panic,
	        .clock_stopped_us = signs && has_work ? signs->clock_stopped_us : 0,
	};

	gn_detect_see_guest(&moved->detect, &guest, now.monotonic_us);
}

/* What never ran is not lost, nor what was shut down in order; what a failover of ours ended, and
 * did not start again, is. */
static bool is_gone(const struct gn_vm *vm)
{
	bool is_off = vm->state == GNOMON__V1__VM_STATE__SHUT_OFF;
	bool has_failed = vm->state == GNOMON__V1__VM_STATE__CRASHED ||
	                  (is_off && vm->host_vm && vm->host_vm->failed);

	return (vm->past == GN_VM_RAN && has_failed) ||
	       (vm->past == GN_VM_ENDED_BY_US && (is_off || has_failed));
}

static void note_past(const struct gn_mover_vm *moved, struct gn_vm *vm, bool connected)
{
	/* State and cause of one answer of libvirt: those of two may be of before and after a
	 * crash. */
	bool was_shut_down = vm->host_vm && !vm->host_vm->failed &&
	                     vm->host_vm->state == GNOMON__V1__VM_STATE__SHUT_OFF;

	if (connected && runs(vm) && !vm->fenced)
		gn_brain_set_past(moved->mover->p.brain, vm, GN_VM_RAN);
	else if (vm->past == GN_VM_RAN && was_shut_down)
		gn_brain_set_past(moved->mover->p.brain, vm, GN_VM_NOT_STARTED);
}

static void see(struct gn_mover_vm *moved, struct gn_vm *vm, struct gn_time now)
{
	bool connected = is_connected(moved->mover, vm);

	if (moved->was_connected && !connected)
		moved->dropped_us = now.monotonic_us;
	if (!connected && moved->dropped_us && now.monotonic_us - moved->dropped_us < DROPPED_US)
		ask_libvirt(moved);
	moved->was_connected = connected;
	note_past(moved, vm, connected);
	/* Disks that are served say more than what libvirt said a moment ago. */
	gn_detect_see(&moved->detect, GN_DETECT_QEMU_GONE, is_gone(vm) && !connected,
	              now.monotonic_us);
	see_guest(moved, vm, now);
}

/* What the operator last said of the shadow holds at once, not from the next tick on. */
static void take_hold(struct gn_mover_vm *moved, struct gn_vm *vm, struct gn_time now)
{
	const struct gn_shadow_record *shadow = gn_shadows_find(moved->mover->p.shadows, vm->name);
	struct gn_failover_event hold = {.kind = GN_FAILOVER_HOLD,
	                                 .on = shadow && shadow->message->hold};

	if (moved->failover.hold != hold.on)
		handle(moved, vm, &hold, now);
}

/* What is not known yet, as after a restart, or only begins to show is no sign of health. */
static void withdraw_when_well(struct gn_mover_vm *moved, const struct gn_vm *vm, bool is_well,
                               struct gn_time now)
{
	bool is_known = vm->host_vm && gn_peer_is_connected(moved->mover->p.shim);

	if (!is_well || !is_known)
		moved->well_us = 0;
	else if (!moved->well_us)
		moved->well_us = now.monotonic_us;
	else if (now.monotonic_us - moved->well_us >= WELL_US && moved->plan &&
	         moved->plan->plan.state == GN_PLAN_PENDING)
		gn_runner_withdraw(moved->plan, now);
}

static void tick_vm(struct gn_mover_vm *moved, struct gn_vm *vm, struct gn_time now)
{
	const struct gn_shadow_record *shadow = gn_shadows_find(moved->mover->p.shadows, vm->name);
	struct gn_failover_event event = {.kind = GN_FAILOVER_TICK};
	bool is_well;

	take_hold(moved, vm, now);
	see(moved, vm, now);
	is_well = gn_detect_verdict(&moved->detect, now.monotonic_us, NULL, NULL) == GN_DETECT_WELL;
	moved->is_rejected &= !is_well;
	withdraw_when_well(moved, vm, is_well, now);
	gn_mover_tick_step(moved);
	gn_mover_tick_rehearsal(moved, now);
	if (shadow && vm->mode != GN_POLICY_OFF && !vm->fenced && !moved->is_rejected)
		handle(moved, vm, &event, now);
}

void gn_mover_tick(struct gn_mover *mover, struct gn_time now)
{
	const Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;
	size_t i;

	for (i = 0; i < gn_shadows_count(mover->p.shadows); i++)
		gn_mover_find_or_add(mover, gn_shadows_at(mover->p.shadows, i)->vm);
	if (mover->n_vms && !mover->looks) {
		mover->looks = true;
		gn_peer_call(mover->p.dataplane, "ListVolumes", &empty.base, LOOK_US, on_volumes,
		             mover);
	}
	for (i = 0; i < mover->n_vms; i++) {
		struct gn_vm *vm = gn_mover_vm_of(mover->vms[i]);

		if (vm)
			tick_vm(mover->vms[i], vm, now);
	}
}

/* ---- operators --------------------------------------------------------------------------------
 */

bool gn_mover_is_moving(const struct gn_mover *mover, const char *vm)
{
	const struct gn_mover_vm *moved = gn_mover_find(mover, vm);

	return moved && moved->plan && moved->plan->plan.state != GN_PLAN_PENDING;
}

static void end_pending(struct gn_mover_vm *moved, struct gn_time now)
{
	if (moved->plan && moved->plan->plan.state == GN_PLAN_PENDING)
		gn_runner_withdraw(moved->plan, now);
}

int gn_mover_promote(struct gn_mover *mover, struct gn_vm *vm,
                     const Gnomon__V1__PromoteShadowRequest *request, struct gn_time now,
                     struct gn_plan_record **out, struct gn_status *status)
{
	struct gn_mover_vm *moved = gn_mover_find_or_add(mover, vm->name);
	struct gn_failover_event event = {
	        .kind = GN_FAILOVER_PROMOTE,
	        .override = {.given = request->accept_loss,
	                     .unknown = request->accept_loss && !request->accept_us,
	                     .age_us = request->accept_us ? request->accept_us : UINT64_MAX},
	};
	struct gn_failover_facts facts;
	char words[512];
	struct gn_text text;

	end_pending(moved, now);
	if (moved->plan)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "%s is being moved already: see %s", vm->name,
		                     moved->plan->message->name);
	take_hold(moved, vm, now);
	handle(moved, vm, &event, now);
	facts = facts_of(moved, vm, now);
	if (moved->plan) {
		*out = moved->plan;
		return 0;
	}
	gn_text_init(&text, words, sizeof words);
	gn_failover_explain(&moved->failover, &facts, &text);
	gn_status_set(status, GN_FAILED_PRECONDITION, "%s: %s", vm->name, words);
	/* The wish is not kept: the next one is judged anew. */
	moved->failover = (struct gn_failover){.hold = moved->failover.hold};
	return -EPERM;
}

/* ---- life -------------------------------------------------------------------------------------
 */

/* What was under way, and a fence that nothing will lift any more. */
static void take_over(struct gn_mover *mover)
{
	size_t i;

	for (i = 0; i < gn_runner_count(mover->p.runner); i++) {
		struct gn_plan_record *record = gn_runner_at(mover->p.runner, i);
		struct gn_mover_vm *moved;

		if (!record->message->move || gn_plan_has_ended(&record->plan))
			continue;
		moved = gn_mover_find_or_add(mover, record->message->vm);
		if (is_rehearsal(record)) {
			gn_mover_resume_rehearsal(moved, record);
			continue;
		}
		moved->plan = record;
		moved->is_resumed = true;
		moved->failover.state = GN_FAILOVER_MOVING;
		moved->failover.ours = true;
	}
	for (i = 0; i < mover->p.brain->n_vms; i++) {
		struct gn_vm *vm = mover->p.brain->vms[i];
		const struct gn_mover_vm *moved = gn_mover_find(mover, vm->name);

		if (vm->fenced && !(moved && moved->plan))
			gn_brain_set_fenced(mover->p.brain, vm, false);
	}
}

void gn_mover_create(const struct gn_mover_parts *parts, struct gn_time now, struct gn_mover **out)
{
	struct gn_mover *mover = gn_message_alloc(sizeof *mover);

	mover->p = *parts;
	mover->door = (struct gn_plan_mover){
	        .context = mover, .holds = on_holds, .perform = on_perform, .ended = on_ended};
	take_over(mover);
	*out = mover;
	gn_runner_set_mover(parts->runner, &mover->door, now);
}

void gn_mover_close(struct gn_mover *mover)
{
	mover->closing = true;
}

void gn_mover_destroy(struct gn_mover *mover)
{
	size_t i;

	if (!mover)
		return;
	for (i = 0; i < mover->n_vms; i++)
		free(mover->vms[i]);
	free(mover->vms);
	free(mover);
}
