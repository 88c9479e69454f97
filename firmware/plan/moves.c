/* moves.c - plans that take a VM through a move (runner.h): the steps and their flags are
 * firmware/failover/move.c's, who performs them is the mover. */
#include <stdio.h>
#include <string.h>
#include "firmware/failover/move.h"
#include "firmware/message/message.h"
#include "firmware/plan/runner_internal.h"

/* An operator may take so long to approve. */
#define PENDING_US  ((uint64_t)3600 * 1000000)
#define APPROVED_US ((uint64_t)60 * 1000000)

#define ACTION_BASE GNOMON__V1__ACTION__KIND__RESERVE

_Static_assert((int)GN_MOVE_STEP_RESERVE + ACTION_BASE == GNOMON__V1__ACTION__KIND__RESERVE &&
                       (int)GN_MOVE_STEP_FENCE + ACTION_BASE == GNOMON__V1__ACTION__KIND__FENCE &&
                       (int)GN_MOVE_STEP_PROMOTE + ACTION_BASE ==
                               GNOMON__V1__ACTION__KIND__PROMOTE &&
                       (int)GN_MOVE_STEP_BOOT + ACTION_BASE == GNOMON__V1__ACTION__KIND__BOOT &&
                       (int)GN_MOVE_STEP_ANNOUNCE + ACTION_BASE ==
                               GNOMON__V1__ACTION__KIND__ANNOUNCE &&
                       (int)GN_MOVE_STEP_CLONE + ACTION_BASE == GNOMON__V1__ACTION__KIND__CLONE &&
                       (int)GN_MOVE_STEP_TRIAL + ACTION_BASE == GNOMON__V1__ACTION__KIND__TRIAL &&
                       (int)GN_MOVE_STEP_PROBE + ACTION_BASE == GNOMON__V1__ACTION__KIND__PROBE,
               "numbered alike");

bool gn_runner_is_move(const struct gn_plan_record *record)
{
	return record->message->move != NULL;
}

uint32_t gn_runner_holds(const struct gn_plan_record *record)
{
	const struct gn_plan_mover *mover = record->runner->mover;

	return mover && gn_runner_is_move(record) ? mover->holds(mover->context, record) : 0;
}

static bool kind_of(const Gnomon__V1__Move *move, enum gn_move_kind *out)
{
	switch (move->kind) {
	case GNOMON__V1__MOVE__KIND__FAILOVER:
		*out = GN_MOVE_FAILOVER;
		return true;
	case GNOMON__V1__MOVE__KIND__REHEARSAL:
		*out = GN_MOVE_REHEARSE;
		return true;
	default:
		return false;
	}
}

static bool init_plan(struct gn_plan_record *record, bool approved)
{
	enum gn_move_kind kind;
	struct gn_move move;

	if (!kind_of(record->message->move, &kind))
		return false;
	gn_move_init(&move, kind, approved, record->message->expires_us);
	record->plan = move.plan;
	return true;
}

bool gn_runner_load_move(struct gn_plan_record *record)
{
	const Gnomon__V1__PlanProgress *progress = record->message->progress;

	if (!init_plan(record, false) || record->plan.n_actions != record->message->n_actions)
		return false;
	if (progress && progress->at < record->plan.n_actions) {
		record->plan.at = progress->at;
		record->plan.round = progress->round;
		record->plan.end = (enum gn_plan_end)progress->end;
		record->plan.left = progress->left;
		record->plan.succeeded = progress->succeeded;
	}
	return true;
}

void gn_runner_note_progress(struct gn_plan_record *record)
{
	Gnomon__V1__Plan *message = record->message;

	if (!message->move)
		return;
	if (!message->progress)
		message->progress =
		        GN_MESSAGE_NEW(Gnomon__V1__PlanProgress, gnomon__v1__plan_progress__init);
	message->progress->at = record->plan.at;
	message->progress->round = record->plan.round;
	message->progress->end = (uint32_t)record->plan.end;
	message->progress->left = record->plan.left;
	message->progress->succeeded = record->plan.succeeded;
}

static void add_actions(struct gn_plan_record *record)
{
	Gnomon__V1__Plan *message = record->message;
	uint32_t i;

	for (i = 0; i < record->plan.n_actions; i++) {
		Gnomon__V1__Action *action =
		        GN_MESSAGE_NEW(Gnomon__V1__Action, gnomon__v1__action__init);

		action->kind =
		        (Gnomon__V1__Action__Kind)(record->plan.actions[i].kind + ACTION_BASE);
		action->from = record->plan.actions[i].from;
		action->to = record->plan.actions[i].to;
		gn_message_set(&action->vm, "%s", message->vm);
		GN_MESSAGE_APPEND(message->actions, message->n_actions, action);
	}
}

struct gn_plan_record *gn_runner_begin_move(struct gn_runner *runner, const char *vm,
                                            const Gnomon__V1__Move *move, bool approved,
                                            const char *reason, struct gn_time now)
{
	struct gn_plan_record *record = gn_message_alloc(sizeof *record);
	Gnomon__V1__Plan *message = GN_MESSAGE_NEW(Gnomon__V1__Plan, gnomon__v1__plan__init);

	record->message = message;
	record->id = gn_store_next(runner->brain->store, "plan");
	gn_message_set(&message->name, "plans/%llu", (unsigned long long)record->id);
	gn_message_set(&message->vm, "%s", vm);
	gn_message_set(&message->reason, "%s", reason);
	message->created_us = now.wall_us;
	message->expires_us = now.wall_us + (approved ? APPROVED_US : PENDING_US);
	message->move = GN_MESSAGE_COPY(Gnomon__V1__Move, move);
	init_plan(record, approved);
	add_actions(record);
	gn_runner_add(runner, record);
	gn_runner_news(record, now);
	gn_runner_tick_one(record, now);
	return record;
}

static void keep_answer(struct gn_plan_record *record, const struct gn_status *status,
                        uint64_t now_us)
{
	Gnomon__V1__Action *action = record->message->actions[record->plan.at];

	/* Why it failed stays, however well it is undone. */
	if (record->plan.state == GN_PLAN_UNDOING && action->result && action->result->code)
		return;
	if (!action->result)
		action->result = GN_MESSAGE_NEW(Gnomon__V1__Status, gnomon__v1__status__init);
	action->result->code = (Gnomon__V1__Code)status->code;
	gn_message_set(&action->result->message, "%s", status->message);
	if (status->code == GN_OK && record->plan.state == GN_PLAN_RUNNING)
		action->done_us = now_us;
}

void gn_runner_answer(struct gn_plan_record *record, enum gn_plan_outcome outcome,
                      const struct gn_status *status)
{
	struct gn_time now = gn_time_now();
	struct gn_plan_event event = {.kind = GN_PLAN_EVENT_RESULT,
	                              .outcome = outcome,
	                              .after = outcome == GN_PLAN_EXECUTED};

	if (record->runner->closing || !record->plan.awaits_answer)
		return; /* it is performed again after the restart */
	keep_answer(record, status, now.wall_us);
	gn_runner_step(record, &event, now);
}

void gn_runner_withdraw(struct gn_plan_record *record, struct gn_time now)
{
	struct gn_plan_event event = {.kind = GN_PLAN_EVENT_WITHDRAW};

	gn_runner_step(record, &event, now);
}

void gn_runner_set_mover(struct gn_runner *runner, const struct gn_plan_mover *mover,
                         struct gn_time now)
{
	size_t i;

	runner->mover = mover;
	for (i = 0; i < runner->n_records; i++) {
		struct gn_plan_record *record = runner->records[i];
		struct gn_plan_event resume = {.kind = GN_PLAN_EVENT_RESUME};

		if (!gn_runner_is_move(record) || gn_plan_has_ended(&record->plan))
			continue;
		resume.holds = gn_runner_holds(record);
		gn_runner_step(record, &resume, now);
	}
}
