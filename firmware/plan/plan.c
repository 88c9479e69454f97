/* plan.c - see plan.h. */
#include "firmware/plan/plan.h"

#include <errno.h>

#define FIRST_RETRY_US   ((uint64_t)1000000)
#define LONGEST_RETRY_US ((uint64_t)8000000)
#define STORE_RETRY_US   ((uint64_t)5000000)
/* An undo is tried so often, and so long after its deadline, before it is left. */
#define MAX_UNDO_ROUNDS  5
#define UNDO_PATIENCE_US ((uint64_t)600 * 1000000)

void gn_plan_init(struct gn_plan *plan, bool approved, uint64_t expires_us)
{
	*plan = (struct gn_plan){
	        .state = approved ? GN_PLAN_APPROVED : GN_PLAN_PENDING,
	        .expires_us = expires_us,
	};
}

int gn_plan_add(struct gn_plan *plan, const struct gn_plan_action *action)
{
	if (plan->n_actions == GN_PLAN_MAX_ACTIONS)
		return -ENOSPC;
	plan->actions[plan->n_actions++] = *action;
	return 0;
}

int gn_plan_add_action(struct gn_plan *plan, int64_t from, int64_t to)
{
	const struct gn_plan_action action = {.from = from, .to = to};

	return gn_plan_add(plan, &action);
}

static const struct gn_plan_action *current(const struct gn_plan *plan)
{
	return &plan->actions[plan->at];
}

static unsigned end_as(struct gn_plan *plan, enum gn_plan_state state, enum gn_plan_end end)
{
	plan->state = state;
	plan->end = end;
	plan->awaits_answer = false;
	return GN_PLAN_NEWS;
}

/* The action's command, or its undo, is to be stored; then it is sent. */
static unsigned store_again(struct gn_plan *plan, uint64_t now_us)
{
	uint64_t life = current(plan)->life_us;

	plan->attempts = 0;
	plan->retry_us = 0;
	plan->stored = false;
	plan->resumed_us = 0;
	plan->deadline_us = now_us + (life ? life : GN_PLAN_COMMAND_LIFE_US);
	return GN_PLAN_STORE;
}

static unsigned begin_action(struct gn_plan *plan, uint64_t now_us)
{
	plan->round = 0;
	return store_again(plan, now_us);
}

static unsigned undo_below(struct gn_plan *plan, uint32_t n, bool succeeded, uint64_t now_us);

/* Before the first command everything may still be called off. */
static unsigned step_waiting(struct gn_plan *plan, const struct gn_plan_event *event,
                             uint64_t now_us)
{
	switch (event->kind) {
	case GN_PLAN_EVENT_APPROVE:
		if (plan->state == GN_PLAN_APPROVED || plan->n_actions == 0)
			return 0;
		plan->state = GN_PLAN_APPROVED;
		return GN_PLAN_NEWS;
	case GN_PLAN_EVENT_REJECT:
		return end_as(plan, GN_PLAN_REJECTED, GN_PLAN_END_BY_OPERATOR);
	case GN_PLAN_EVENT_WITHDRAW:
		return end_as(plan, GN_PLAN_EXPIRED, GN_PLAN_END_WITHDRAWN);
	case GN_PLAN_EVENT_PREEMPT:
		return end_as(plan, GN_PLAN_EXPIRED, GN_PLAN_END_PREEMPTED);
	case GN_PLAN_EVENT_ABANDON:
		return end_as(plan, GN_PLAN_EXPIRED, GN_PLAN_END_ABANDONED);
	case GN_PLAN_EVENT_TICK:
		break;
	case GN_PLAN_EVENT_STORED:
	case GN_PLAN_EVENT_RESULT:
	case GN_PLAN_EVENT_RESUME:
		return 0;
	}
	if (plan->n_actions && event->current != plan->actions[plan->at].from)
		return end_as(plan, GN_PLAN_EXPIRED, GN_PLAN_END_VALUE_CHANGED);
	if (now_us >= plan->expires_us)
		return end_as(plan, GN_PLAN_EXPIRED, GN_PLAN_END_TOO_OLD);
	if (plan->state == GN_PLAN_PENDING || now_us < plan->retry_us)
		return 0;
	if (!event->has_room)
		return end_as(plan, GN_PLAN_EXPIRED, GN_PLAN_END_NO_ROOM);
	if (!event->may_begin)
		return 0;
	plan->state = GN_PLAN_RUNNING;
	return begin_action(plan, now_us);
}

/* ---- forward ------------------------------------------------------------------- */

static unsigned send_now(struct gn_plan *plan)
{
	plan->attempts++;
	plan->retry_us = 0;
	plan->awaits_answer = true;
	return plan->state == GN_PLAN_UNDOING ? GN_PLAN_UNDO : GN_PLAN_SEND;
}

static void retry_at(struct gn_plan *plan, uint64_t at_us)
{
	plan->retry_us = at_us ? at_us : 1;
}

static uint64_t backoff(uint32_t attempts)
{
	uint64_t wait = FIRST_RETRY_US << (attempts < 4 ? attempts : 4);

	return wait < LONGEST_RETRY_US ? wait : LONGEST_RETRY_US;
}

static uint64_t answer_by(const struct gn_plan *plan)
{
	uint64_t grace = current(plan)->grace_us;

	return (plan->deadline_us > plan->resumed_us ? plan->deadline_us : plan->resumed_us) +
	       (grace ? grace : GN_PLAN_ANSWER_GRACE_US);
}

static unsigned fail(struct gn_plan *plan, enum gn_plan_end end, uint64_t now_us);

/* Sends when all that it needs holds; else waits for it, until the deadline. */
static unsigned send_if_it_may(struct gn_plan *plan, uint32_t holds, uint64_t now_us)
{
	if ((current(plan)->needs & ~holds) == 0)
		return send_now(plan);
	if (!plan->attempts && now_us >= plan->deadline_us)
		return fail(plan, GN_PLAN_END_NEED, now_us);
	if (plan->attempts && now_us >= answer_by(plan))
		return fail(plan, GN_PLAN_END_NO_ANSWER, now_us);
	retry_at(plan, now_us);
	return 0;
}

static unsigned action_executed(struct gn_plan *plan, int64_t after, uint64_t now_us)
{
	if (after != current(plan)->to)
		return fail(plan, GN_PLAN_END_NOT_VERIFIED, now_us);
	if (plan->at + 1 == plan->n_actions)
		return undo_below(plan, plan->n_actions, true, now_us);
	plan->at++;
	return begin_action(plan, now_us);
}

static unsigned action_refused(struct gn_plan *plan, uint64_t now_us)
{
	if (plan->round + 1 >= current(plan)->rounds)
		return fail(plan, GN_PLAN_END_REFUSED, now_us);
	plan->round++;
	plan->stored = false; /* another id */
	retry_at(plan, now_us + backoff(plan->round));
	return 0;
}

static unsigned take_result(struct gn_plan *plan, const struct gn_plan_event *event,
                            uint64_t now_us)
{
	switch (event->outcome) {
	case GN_PLAN_EXECUTED:
		return action_executed(plan, event->after, now_us);
	case GN_PLAN_CHANGED:
		plan->attempts = 0; /* surely not executed */
		if (plan->at == 0)
			return end_as(plan, GN_PLAN_EXPIRED, GN_PLAN_END_VALUE_CHANGED);
		return fail(plan, GN_PLAN_END_VALUE_CHANGED, now_us);
	case GN_PLAN_FORBIDDEN:
		plan->attempts = 0;
		return action_refused(plan, now_us);
	case GN_PLAN_UNKNOWN:
		if (now_us >= answer_by(plan))
			return fail(plan, GN_PLAN_END_NO_ANSWER, now_us);
		retry_at(plan, now_us + backoff(plan->attempts));
		return 0;
	}
	return 0;
}

/* The answer for which the turn was put off. Where there is no way back any more, on. */
static unsigned turn(struct gn_plan *plan, const struct gn_plan_event *event, uint64_t now_us)
{
	bool executed = event->outcome == GN_PLAN_EXECUTED;
	bool may_be = executed || event->outcome == GN_PLAN_UNKNOWN;

	plan->turning = false;
	if ((executed && plan->at + 1 == plan->n_actions) ||
	    (may_be && current(plan)->flags & GN_PLAN_COMMITS))
		return take_result(plan, event, now_us);
	return fail(plan, GN_PLAN_END_PREEMPTED, now_us);
}

static unsigned preempt(struct gn_plan *plan, uint64_t now_us)
{
	if (gn_plan_is_committed(plan))
		return 0;
	if (!plan->awaits_answer)
		return fail(plan, GN_PLAN_END_PREEMPTED, now_us);
	plan->turning = true;
	return 0;
}

static unsigned abandon(struct gn_plan *plan)
{
	uint32_t i;

	for (i = 0; i <= plan->at; i++)
		if (plan->actions[i].flags & (GN_PLAN_HAS_UNDO | GN_PLAN_LENT))
			plan->left |= 1u << i;
	return end_as(plan, GN_PLAN_FAILED, GN_PLAN_END_ABANDONED);
}

static unsigned not_stored(struct gn_plan *plan, uint64_t now_us)
{
	if (plan->at || plan->round)
		return fail(plan, GN_PLAN_END_NOT_STORED, now_us);
	plan->state = GN_PLAN_APPROVED;
	retry_at(plan, now_us + STORE_RETRY_US);
	return 0;
}

static unsigned step_running(struct gn_plan *plan, const struct gn_plan_event *event,
                             uint64_t now_us)
{
	switch (event->kind) {
	case GN_PLAN_EVENT_STORED:
		if (plan->awaits_answer || plan->stored)
			return 0;
		if (!event->ok)
			return not_stored(plan, now_us);
		plan->stored = true;
		return send_if_it_may(plan, event->holds, now_us) |
		       (plan->at == 0 && plan->round == 0 ? GN_PLAN_NEWS : 0);
	case GN_PLAN_EVENT_RESULT:
		if (!plan->awaits_answer)
			return 0; /* an answer that comes twice */
		plan->awaits_answer = false;
		return plan->turning ? turn(plan, event, now_us) : take_result(plan, event, now_us);
	case GN_PLAN_EVENT_RESUME:
		plan->stored = true;
		plan->awaits_answer = false;
		if (!plan->attempts)
			plan->attempts = 1; /* it may have been sent before the restart */
		plan->resumed_us = now_us;
		return send_if_it_may(plan, event->holds, now_us);
	case GN_PLAN_EVENT_TICK:
		if (plan->awaits_answer || !plan->retry_us || now_us < plan->retry_us)
			return 0;
		if (!plan->stored)
			return store_again(plan, now_us);
		return send_if_it_may(plan, event->holds, now_us);
	case GN_PLAN_EVENT_PREEMPT:
		return preempt(plan, now_us);
	case GN_PLAN_EVENT_ABANDON:
		return abandon(plan);
	case GN_PLAN_EVENT_APPROVE:
	case GN_PLAN_EVENT_REJECT:
	case GN_PLAN_EVENT_WITHDRAW:
		return 0; /* the command is out: what it does will be seen */
	}
	return 0;
}

/* ---- back ------------------------------------------------------------------------ */

bool gn_plan_is_committed(const struct gn_plan *plan)
{
	uint32_t i;

	for (i = 0; i < plan->at; i++)
		if (plan->actions[i].flags & GN_PLAN_COMMITS)
			return true;
	return plan->attempts && current(plan)->flags & GN_PLAN_COMMITS;
}

/* Undoes the next action below 'n' that has a way back; with 'succeeded' only what was lent. */
static unsigned undo_below(struct gn_plan *plan, uint32_t n, bool succeeded, uint64_t now_us)
{
	const uint32_t which = succeeded ? GN_PLAN_LENT : GN_PLAN_HAS_UNDO | GN_PLAN_LENT;

	plan->succeeded = succeeded;
	while (n > 0) {
		if (!(plan->actions[--n].flags & which))
			continue;
		plan->state = GN_PLAN_UNDOING;
		plan->at = n;
		return begin_action(plan, now_us) | GN_PLAN_NEWS;
	}
	return end_as(plan, succeeded ? GN_PLAN_DONE : GN_PLAN_FAILED, plan->end);
}

static unsigned fail(struct gn_plan *plan, enum gn_plan_end end, uint64_t now_us)
{
	plan->end = end;
	if (gn_plan_is_committed(plan))
		return end_as(plan, GN_PLAN_FAILED, end);
	return undo_below(plan, plan->at + 1, false, now_us);
}

static unsigned undo_failed(struct gn_plan *plan, uint64_t now_us, uint64_t wait_us)
{
	if (++plan->round >= MAX_UNDO_ROUNDS) {
		plan->left |= 1u << plan->at;
		return undo_below(plan, plan->at, plan->succeeded, now_us);
	}
	plan->stored = false;
	retry_at(plan, now_us + wait_us);
	return 0;
}

static unsigned take_undo_result(struct gn_plan *plan, enum gn_plan_outcome outcome,
                                 uint64_t now_us)
{
	switch (outcome) {
	case GN_PLAN_EXECUTED:
		return undo_below(plan, plan->at, plan->succeeded, now_us);
	case GN_PLAN_CHANGED:
	case GN_PLAN_FORBIDDEN:
		return undo_failed(plan, now_us, backoff(plan->round));
	case GN_PLAN_UNKNOWN:
		if (now_us >= plan->deadline_us + UNDO_PATIENCE_US) {
			plan->left |= 1u << plan->at;
			return undo_below(plan, plan->at, plan->succeeded, now_us);
		}
		retry_at(plan, now_us + backoff(plan->attempts));
		return 0;
	}
	return 0;
}

static unsigned step_undoing(struct gn_plan *plan, const struct gn_plan_event *event,
                             uint64_t now_us)
{
	switch (event->kind) {
	case GN_PLAN_EVENT_STORED:
		if (plan->awaits_answer || plan->stored)
			return 0;
		if (!event->ok)
			return undo_failed(plan, now_us, STORE_RETRY_US);
		plan->stored = true;
		return send_now(plan);
	case GN_PLAN_EVENT_RESULT:
		if (!plan->awaits_answer)
			return 0;
		plan->awaits_answer = false;
		return take_undo_result(plan, event->outcome, now_us);
	case GN_PLAN_EVENT_RESUME:
		plan->stored = true;
		return send_now(plan);
	case GN_PLAN_EVENT_TICK:
		if (plan->awaits_answer || !plan->retry_us || now_us < plan->retry_us)
			return 0;
		return plan->stored ? send_now(plan) : store_again(plan, now_us);
	case GN_PLAN_EVENT_APPROVE:
	case GN_PLAN_EVENT_REJECT:
	case GN_PLAN_EVENT_WITHDRAW:
	case GN_PLAN_EVENT_PREEMPT:
		return 0;
	case GN_PLAN_EVENT_ABANDON:
		return abandon(plan);
	}
	return 0;
}

unsigned gn_plan_step(struct gn_plan *plan, const struct gn_plan_event *event, uint64_t now_us)
{
	switch (plan->state) {
	case GN_PLAN_PENDING:
	case GN_PLAN_APPROVED:
		return step_waiting(plan, event, now_us);
	case GN_PLAN_RUNNING:
		return step_running(plan, event, now_us);
	case GN_PLAN_UNDOING:
		return step_undoing(plan, event, now_us);
	case GN_PLAN_DONE:
	case GN_PLAN_FAILED:
	case GN_PLAN_REJECTED:
	case GN_PLAN_EXPIRED:
		return 0;
	}
	return 0;
}

/* ---- who goes first --------------------------------------------------------------- */

int gn_plan_compare(const struct gn_plan *a, const struct gn_plan *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority ? 1 : -1;
	return (a->vm_class > b->vm_class) - (a->vm_class < b->vm_class);
}

enum gn_plan_admission gn_plan_admit(const struct gn_plan *plan, const struct gn_plan *running)
{
	if (!running || gn_plan_has_ended(running))
		return GN_PLAN_MAY_BEGIN;
	if (plan->priority <= running->priority || running->state != GN_PLAN_RUNNING ||
	    gn_plan_is_committed(running))
		return GN_PLAN_MUST_WAIT;
	return GN_PLAN_MAY_PREEMPT;
}

bool gn_plan_has_ended(const struct gn_plan *plan)
{
	switch (plan->state) {
	case GN_PLAN_PENDING:
	case GN_PLAN_APPROVED:
	case GN_PLAN_RUNNING:
	case GN_PLAN_UNDOING:
		return false;
	case GN_PLAN_DONE:
	case GN_PLAN_FAILED:
	case GN_PLAN_REJECTED:
	case GN_PLAN_EXPIRED:
		return true;
	}
	return true;
}

const char *gn_plan_state_name(enum gn_plan_state state)
{
	switch (state) {
#define GN_PLAN_STATE_NAME(name, number)                                                           \
	case GN_PLAN_##name:                                                                       \
		return #name;
		GN_PLAN_STATES(GN_PLAN_STATE_NAME)
#undef GN_PLAN_STATE_NAME
	}
	return "UNKNOWN";
}

const char *gn_plan_end_text(enum gn_plan_end end)
{
	static const char *const texts[] = {
#define GN_PLAN_END_TEXT(name, text) text,
	        GN_PLAN_ENDS(GN_PLAN_END_TEXT)
#undef GN_PLAN_END_TEXT
	};

	return (unsigned)end < sizeof texts / sizeof texts[0] ? texts[end] : "unknown";
}
