/* runner.c - see runner.h. Plans as messages and their way through the store; how they
 * are made of decisions is in propose.c. */
#include "firmware/plan/runner.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/message/message.h"
#include "firmware/plan/runner_internal.h"

#define MAX_IN_MEMORY 1000

/* ---- records -------------------------------------------------------------------------- */

size_t gn_runner_count(const struct gn_runner *runner)
{
	return runner->n_records;
}

struct gn_plan_record *gn_runner_at(const struct gn_runner *runner, size_t index)
{
	return runner->records[index];
}

struct gn_plan_record *gn_runner_find(const struct gn_runner *runner, const char *name)
{
	size_t i;

	for (i = runner->n_records; i-- > 0;)
		if (strcmp(runner->records[i]->message->name, name) == 0)
			return runner->records[i];
	return NULL;
}

size_t gn_runner_pending(const struct gn_runner *runner)
{
	size_t i, n = 0;

	for (i = 0; i < runner->n_records; i++)
		n += runner->records[i]->plan.state == GN_PLAN_PENDING;
	return n;
}

static void free_record(struct gn_plan_record *record)
{
	GN_MESSAGE_FREE(record->message);
	free(record);
}

/* An answer that is still awaited points to its record: such are never dropped. */
static void drop_oldest_ended(struct gn_runner *runner)
{
	size_t i;

	for (i = 0; i < runner->n_records && !gn_plan_has_ended(&runner->records[i]->plan); i++)
		;
	if (i == runner->n_records)
		return;
	free_record(runner->records[i]);
	memmove(&runner->records[i], &runner->records[i + 1],
	        (--runner->n_records - i) * sizeof *runner->records);
}

void gn_runner_add(struct gn_runner *runner, struct gn_plan_record *record)
{
	if (runner->n_records >= MAX_IN_MEMORY)
		drop_oldest_ended(runner);
	runner->records =
	        realloc(runner->records, (runner->n_records + 1) * sizeof *runner->records);
	if (!runner->records)
		abort();
	record->runner = runner;
	runner->records[runner->n_records++] = record;
}

static struct gn_vm *vm_of(const struct gn_plan_record *record)
{
	return gn_brain_vm(record->runner->brain, record->message->vm);
}

static enum gn_resource resource_of(const struct gn_plan_record *record)
{
	int resource = record->message->inputs ? (int)record->message->inputs->resource : 0;

	return resource > 0 && resource < GN_RESOURCE_END ? (enum gn_resource)resource
	                                                  : GN_RESOURCE_CPU;
}

/* ---- storing and telling ------------------------------------------------------------------ */

static int store_record(const struct gn_plan_record *record)
{
	size_t size;
	void *bytes = gn_message_pack(&record->message->base, &size);
	int error = gn_store_put_plan(record->runner->brain->store, record->id,
	                              record->plan.deadline_us, bytes, size);

	free(bytes);
	return error;
}

void gn_runner_save(struct gn_plan_record *record)
{
	store_record(record);
	gn_store_commit(record->runner->brain->store, true);
}

void gn_runner_save_all(struct gn_runner *runner)
{
	size_t i;

	for (i = 0; i < runner->n_records; i++)
		store_record(runner->records[i]);
}

static const char *event_kind(enum gn_plan_state state)
{
	switch (state) {
	case GN_PLAN_PENDING:
		return "plan.created";
	case GN_PLAN_APPROVED:
		return "plan.approved";
	case GN_PLAN_RUNNING:
		return "plan.running";
	case GN_PLAN_DONE:
		return "plan.done";
	case GN_PLAN_FAILED:
		return "plan.failed";
	case GN_PLAN_REJECTED:
		return "plan.rejected";
	case GN_PLAN_EXPIRED:
		return "plan.expired";
	case GN_PLAN_UNDOING:
		return "plan.undoing";
	}
	return "plan";
}

void gn_runner_news(struct gn_plan_record *record, struct gn_time now)
{
	Gnomon__V1__Plan *message = record->message;
	const Gnomon__V1__Action *action =
	        message->n_actions ? message->actions[record->plan.at] : NULL;
	const char *why = gn_plan_end_text(record->plan.end);

	message->state = (Gnomon__V1__Plan__State)record->plan.state;
	message->updated_us = now.wall_us;
	gn_runner_note_progress(record);
	store_record(record);
	if (why[0] && action && action->result && action->result->message[0])
		gn_brain_tell(record->runner->brain, event_kind(record->plan.state), message->name,
		              "%s: %s: %s", message->reason, why, action->result->message);
	else
		gn_brain_tell(record->runner->brain, event_kind(record->plan.state), message->name,
		              "%s%s%s", message->reason, why[0] ? ": " : "", why);
}

/* ---- effects -------------------------------------------------------------------------------- */

static void act_on_result(void *context, const struct gn_executor_result *result);

static void send_action(struct gn_plan_record *record, struct gn_vm *vm, bool undo,
                        struct gn_time now)
{
	Gnomon__V1__Action *action = record->message->actions[record->plan.at];

	if (gn_runner_is_move(record)) {
		record->runner->mover->perform(record->runner->mover->context, record, undo, now);
		return;
	}
	if (!vm) { /* its VM was removed meanwhile */
		struct gn_plan_event gone = {.kind = GN_PLAN_EVENT_RESULT,
		                             .outcome = GN_PLAN_FORBIDDEN};

		gn_runner_step(record, &gone, now);
		return;
	}
	if (!action->at_us)
		action->at_us = now.wall_us;
	gn_executor_act(record->runner->executor, action, resource_of(record),
	                record->message->reason, record->plan.deadline_us, &vm->limits,
	                vm->allocation, act_on_result, record);
}

#define FIRST_HOLD_US    ((uint64_t)30 * 1000000)
#define LONGEST_HOLD_US  ((uint64_t)3600 * 1000000)
#define REJECTED_HOLD_US ((uint64_t)300 * 1000000)

/* What fails again and again (a guest that cannot give a vCPU back) is tried less and less
 * often. */
static uint64_t hold_after_failure(uint32_t n_failed)
{
	uint64_t hold = FIRST_HOLD_US << (n_failed < 8 ? n_failed : 8);

	return hold < LONGEST_HOLD_US ? hold : LONGEST_HOLD_US;
}

/* After an end: the promise falls back to what the VM has, and what failed or was refused
 * is not proposed again at once. */
static void settle(struct gn_plan_record *record, struct gn_vm *vm, struct gn_time now)
{
	const Gnomon__V1__PlanInputs *inputs = record->message->inputs;
	struct gn_series *series = &vm->series[resource_of(record)];
	unsigned shrinks = inputs && inputs->target < inputs->allocated;
	uint64_t hold_us = 0;

	gn_brain_unpromise(record->runner->brain, vm);
	switch (record->plan.state) {
	case GN_PLAN_DONE:
		series->n_failed[shrinks] = 0;
		gn_brain_note_changed(record->runner->brain, vm, resource_of(record), now);
		return;
	case GN_PLAN_FAILED:
		hold_us = hold_after_failure(series->n_failed[shrinks]++);
		break;
	case GN_PLAN_REJECTED:
		hold_us = REJECTED_HOLD_US;
		break;
	case GN_PLAN_EXPIRED:
		hold_us = record->plan.end == GN_PLAN_END_VALUE_CHANGED ||
		                          record->plan.end == GN_PLAN_END_NO_ROOM
		                  ? series->rules.cooldown_us
		                  : 0;
		break;
	case GN_PLAN_PENDING:
	case GN_PLAN_APPROVED:
	case GN_PLAN_RUNNING:
	case GN_PLAN_UNDOING:
		return;
	}
	if (hold_us)
		series->hold_us[shrinks] = now.wall_us + hold_us;
}

/* The same after a restart; another one for each definite failure, and for the way back. */
static void name_command(struct gn_plan_record *record)
{
	char **id = &record->message->actions[record->plan.at]->command_id;

	gn_message_set(id, "%s-p%llu-%u", gn_store_nonce(record->runner->brain->store),
	               (unsigned long long)record->id, record->plan.at);
	if (record->plan.round || record->plan.state == GN_PLAN_UNDOING)
		gn_message_set(id, "%s-%s%u", *id,
		               record->plan.state == GN_PLAN_UNDOING ? "u" : "r",
		               record->plan.round);
}

static void perform(struct gn_plan_record *record, unsigned effects, struct gn_time now)
{
	struct gn_vm *vm = vm_of(record);

	if (effects & GN_PLAN_STORE) {
		struct gn_plan_event stored = {.kind = GN_PLAN_EVENT_STORED,
		                               .holds = gn_runner_holds(record)};
		Gnomon__V1__Plan *message = record->message;
		uint32_t at = record->plan.at;
		bool undoes = record->plan.state == GN_PLAN_UNDOING;

		message->state = (Gnomon__V1__Plan__State)record->plan.state;
		if (!undoes) /* else it stays known how long it took */
			message->actions[at]->at_us = now.wall_us;
		name_command(record);
		gn_runner_note_progress(record);
		if (vm && message->inputs)
			gn_brain_promise(record->runner->brain, vm, resource_of(record),
			                 message->inputs->target);
		stored.ok = store_record(record) == 0 &&
		            gn_store_commit(record->runner->brain->store, true) == 0;
		if (!stored.ok && !undoes)
			message->actions[at]->at_us = 0;
		effects = (effects & ~(unsigned)GN_PLAN_STORE) |
		          gn_plan_step(&record->plan, &stored, now.wall_us);
		if (!stored.ok && vm)
			gn_brain_unpromise(record->runner->brain, vm);
		message->state = (Gnomon__V1__Plan__State)record->plan.state;
	}
	if (effects & GN_PLAN_NEWS)
		gn_runner_news(record, now);
	if (effects & (GN_PLAN_SEND | GN_PLAN_UNDO))
		send_action(record, vm, effects & GN_PLAN_UNDO, now);
	if (!gn_plan_has_ended(&record->plan) || !effects)
		return;
	if (gn_runner_is_move(record)) {
		/* An answer within the call that sent it has ended the plan already. */
		if (!record->end_told && record->runner->mover) {
			record->end_told = true;
			record->runner->mover->ended(record->runner->mover->context, record, now);
		}
	} else if (vm)
		settle(record, vm, now);
}

void gn_runner_step(struct gn_plan_record *record, const struct gn_plan_event *event,
                    struct gn_time now)
{
	perform(record, gn_plan_step(&record->plan, event, now.wall_us), now);
}

static void keep_result(Gnomon__V1__Action *action, const struct gn_executor_result *result)
{
	if (!action->result)
		action->result = GN_MESSAGE_NEW(Gnomon__V1__Status, gnomon__v1__status__init);
	action->result->code = (Gnomon__V1__Code)result->status.code;
	gn_message_set(&action->result->message, "%s", result->status.message);
	if (result->before) {
		GN_MESSAGE_FREE(action->before);
		action->before = GN_MESSAGE_COPY(Gnomon__V1__Allocation, result->before);
	}
	if (result->after) {
		GN_MESSAGE_FREE(action->after);
		action->after = GN_MESSAGE_COPY(Gnomon__V1__Allocation, result->after);
	}
}

static void act_on_result(void *context, const struct gn_executor_result *result)
{
	struct gn_plan_record *record = context;
	struct gn_runner *runner = record->runner;
	struct gn_plan_event event = {
	        .kind = GN_PLAN_EVENT_RESULT, .outcome = result->outcome, .after = result->value};
	struct gn_vm *vm = vm_of(record);

	if (runner->closing)
		return; /* it is sent again, with the same id, after the restart */
	keep_result(record->message->actions[record->plan.at], result);
	if (vm && result->after)
		gn_brain_set_allocation(runner->brain, vm, result->after);
	gn_runner_step(record, &event, gn_time_now());
}

/* ---- time ------------------------------------------------------------------------------------ */

static bool is_under_way(const struct gn_plan *plan)
{
	return plan->state == GN_PLAN_RUNNING || plan->state == GN_PLAN_UNDOING;
}

/* What a rehearsal throws away is its own: nobody needs to wait for that. */
static bool only_clears_away(const struct gn_plan *plan)
{
	return plan->state == GN_PLAN_UNDOING && plan->priority == GN_PLAN_REHEARSAL;
}

/* Of plans of the same VM one runs. What waits and is more important has the other turn back. */
static bool may_begin(struct gn_plan_record *record, struct gn_time now)
{
	const struct gn_plan_event preempt = {.kind = GN_PLAN_EVENT_PREEMPT};
	struct gn_runner *runner = record->runner;
	bool waits = record->plan.state == GN_PLAN_APPROVED, may = true;
	size_t i;

	for (i = 0; i < runner->n_records; i++) {
		struct gn_plan_record *other = runner->records[i];

		if (other == record || !is_under_way(&other->plan) ||
		    strcmp(other->message->vm, record->message->vm) != 0 ||
		    only_clears_away(&other->plan))
			continue;
		may = false;
		if (waits && gn_plan_admit(&record->plan, &other->plan) == GN_PLAN_MAY_PREEMPT)
			gn_runner_step(other, &preempt, now);
	}
	return may;
}

void gn_runner_tick_one(struct gn_plan_record *record, struct gn_time now)
{
	const Gnomon__V1__Plan *message = record->message;
	struct gn_vm *vm = vm_of(record);
	struct gn_plan_event event = {.kind = GN_PLAN_EVENT_TICK};

	if (!vm) {
		event.kind = GN_PLAN_EVENT_WITHDRAW;
	} else if (gn_runner_is_move(record)) {
		event.may_begin = may_begin(record, now);
		event.has_room = true; /* its first action takes it */
		event.holds = gn_runner_holds(record);
	} else if (message->n_actions) {
		const Gnomon__V1__Action *action = message->actions[record->plan.at];

		event.current = gn_executor_current(action->kind, resource_of(record),
		                                    vm->allocation, &vm->limits);
		event.may_begin = may_begin(record, now);
		event.has_room = !message->inputs ||
		                 gn_brain_has_room(record->runner->brain, vm, resource_of(record),
		                                   message->inputs->target);
	}
	gn_runner_step(record, &event, now);
}

void gn_runner_tick(struct gn_runner *runner, struct gn_time now)
{
	size_t i;

	for (i = 0; i < runner->n_records; i++) {
		struct gn_plan_record *record = runner->records[i];
		struct gn_vm *vm;

		if (gn_plan_has_ended(&record->plan))
			continue;
		/* Until libvirt has told what the VM has, nothing can be compared. */
		vm = vm_of(record);
		if (vm && !vm->allocation && !gn_runner_is_move(record))
			continue;
		if (gn_runner_is_move(record) && !runner->mover)
			continue;
		gn_runner_tick_one(record, now);
	}
}

/* ---- operators ---------------------------------------------------------------------------------
 */

int gn_runner_approve(struct gn_plan_record *record, struct gn_time now, struct gn_status *status)
{
	struct gn_plan_event event = {.kind = GN_PLAN_EVENT_APPROVE};

	if (record->plan.state == GN_PLAN_APPROVED || record->plan.state == GN_PLAN_RUNNING)
		return 0;
	if (gn_plan_has_ended(&record->plan))
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "%s is %s; only a PENDING plan can be approved",
		                     record->message->name, gn_plan_state_name(record->plan.state));
	if (record->message->n_actions == 0)
		return gn_status_set(
		        status, GN_FAILED_PRECONDITION,
		        "%s has nothing to execute: the host has no room, the VM must be "
		        "moved or room be made",
		        record->message->name);
	record->plan.expires_us = now.wall_us + 60000000;
	record->message->expires_us = record->plan.expires_us;
	gn_runner_step(record, &event, now);
	gn_runner_tick_one(record, now);
	return 0;
}

int gn_runner_reject(struct gn_plan_record *record, struct gn_time now, struct gn_status *status)
{
	struct gn_plan_event event = {.kind = GN_PLAN_EVENT_REJECT};

	if (record->plan.state != GN_PLAN_PENDING && record->plan.state != GN_PLAN_APPROVED)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "%s is %s; only a plan that has not begun can be rejected",
		                     record->message->name, gn_plan_state_name(record->plan.state));
	gn_runner_step(record, &event, now);
	return 0;
}

void gn_runner_removed(struct gn_runner *runner, struct gn_vm *vm)
{
	struct gn_plan_event event = {.kind = GN_PLAN_EVENT_WITHDRAW};
	size_t i;

	for (i = 0; i < runner->n_records; i++)
		if (strcmp(runner->records[i]->message->vm, vm->name) == 0)
			gn_runner_step(runner->records[i], &event, gn_time_now());
}

/* ---- restart
 * ------------------------------------------------------------------------------------- */

static bool is_sound(const Gnomon__V1__Plan *message)
{
	return message->n_actions <= GN_PLAN_MAX_ACTIONS &&
	       message->state >= GNOMON__V1__PLAN__STATE__PENDING &&
	       message->state <= GNOMON__V1__PLAN__STATE__UNDOING;
}

/* Which action is next: the first without a good result. */
static uint32_t action_at(const Gnomon__V1__Plan *message)
{
	uint32_t i = 0;

	while (i + 1 < message->n_actions && message->actions[i]->result &&
	       message->actions[i]->result->code == GNOMON__V1__CODE__OK)
		i++;
	return i;
}

static void load_plan(void *context, uint64_t id, uint64_t deadline_us, const void *bytes,
                      size_t size)
{
	struct gn_runner *runner = context;
	Gnomon__V1__Plan *message =
	        (Gnomon__V1__Plan *)gn_message_parse(&gnomon__v1__plan__descriptor, bytes, size);
	struct gn_plan_record *record;
	size_t i;

	if (!message || !is_sound(message)) {
		GN_MESSAGE_FREE(message);
		return;
	}
	record = gn_message_alloc(sizeof *record);
	record->id = id;
	record->message = message;
	gn_plan_init(&record->plan, false, message->expires_us);
	record->plan.priority = gn_runner_priority(message);
	for (i = 0; !message->move && i < message->n_actions; i++)
		gn_plan_add_action(&record->plan, message->actions[i]->from,
		                   message->actions[i]->to);
	if (message->move && !gn_runner_load_move(record)) {
		GN_MESSAGE_FREE(message);
		free(record);
		return;
	}
	record->plan.state = (enum gn_plan_state)message->state;
	if (!message->move)
		record->plan.at = action_at(message);
	record->plan.deadline_us = deadline_us;
	gn_runner_add(runner, record);
}

void gn_runner_create(struct gn_brain *brain, struct gn_executor *executor, struct gn_time now,
                      struct gn_runner **out)
{
	struct gn_runner *runner = gn_message_alloc(sizeof *runner);
	struct gn_plan_event resume = {.kind = GN_PLAN_EVENT_RESUME};
	size_t i;

	runner->brain = brain;
	runner->executor = executor;
	gn_store_each_plan(brain->store, MAX_IN_MEMORY, load_plan, runner);
	for (i = 0; i < runner->n_records; i++) {
		struct gn_plan_record *record = runner->records[i];
		struct gn_vm *vm = vm_of(record);

		if (vm && record->plan.state == GN_PLAN_RUNNING && record->message->inputs)
			gn_brain_promise(brain, vm, resource_of(record),
			                 record->message->inputs->target);
		if (!gn_runner_is_move(record)) /* moves go on once there is a mover */
			gn_runner_step(record, &resume, now);
	}
	*out = runner;
}

void gn_runner_destroy(struct gn_runner *runner)
{
	size_t i;

	if (!runner)
		return;
	for (i = 0; i < runner->n_records; i++)
		free_record(runner->records[i]);
	free(runner->records);
	free(runner);
}

void gn_runner_close(struct gn_runner *runner)
{
	runner->closing = true;
}
