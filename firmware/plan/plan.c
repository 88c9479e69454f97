/* plan.c - see plan.h. */
#include "firmware/plan/plan.h"

#include <errno.h>

#define FIRST_RETRY_US   ((uint64_t)1000000)
#define LONGEST_RETRY_US ((uint64_t)8000000)
#define STORE_RETRY_US   ((uint64_t)5000000)

void gn_plan_init(struct gn_plan *plan, bool approved, uint64_t expires_us)
{
	*plan = (struct gn_plan){
	        .state = approved ? GN_PLAN_APPROVED : GN_PLAN_PENDING,
	        .expires_us = expires_us,
	};
}

int gn_plan_add_action(struct gn_plan *plan, int64_t from, int64_t to)
{
	if (plan->n_actions == GN_PLAN_MAX_ACTIONS)
		return -ENOSPC;
	plan->actions[plan->n_actions].from = from;
	plan->actions[plan->n_actions].to = to;
	plan->n_actions++;
	return 0;
}

static unsigned end_as(struct gn_plan *plan, enum gn_plan_state state, enum gn_plan_end end)
{
	plan->state = state;
	plan->end = end;
	plan->awaits_answer = false;
	return GN_PLAN_NEWS;
}

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
	plan->retry_us = 0;
	plan->deadline_us = now_us + GN_PLAN_COMMAND_LIFE_US;
	return GN_PLAN_STORE;
}

static unsigned send_now(struct gn_plan *plan)
{
	plan->attempts++;
	plan->retry_us = 0;
	plan->awaits_answer = true;
	return GN_PLAN_SEND;
}

static uint64_t backoff(uint32_t attempts)
{
	uint64_t wait = FIRST_RETRY_US << (attempts < 4 ? attempts : 4);

	return wait < LONGEST_RETRY_US ? wait : LONGEST_RETRY_US;
}

static unsigned action_executed(struct gn_plan *plan, int64_t after, uint64_t now_us)
{
	if (after != plan->actions[plan->at].to)
		return end_as(plan, GN_PLAN_FAILED, GN_PLAN_END_NOT_VERIFIED);
	if (++plan->at == plan->n_actions) {
		plan->at--;
		return end_as(plan, GN_PLAN_DONE, GN_PLAN_END_NOT_ENDED);
	}
	plan->attempts = 0;
	plan->deadline_us = now_us + GN_PLAN_COMMAND_LIFE_US;
	return GN_PLAN_STORE;
}

static unsigned take_result(struct gn_plan *plan, const struct gn_plan_event *event,
                            uint64_t now_us)
{
	if (!plan->awaits_answer)
		return 0; /* an answer that comes twice */
	plan->awaits_answer = false;
	switch (event->outcome) {
	case GN_PLAN_EXECUTED:
		return action_executed(plan, event->after, now_us);
	case GN_PLAN_CHANGED:
		return end_as(plan, plan->at ? GN_PLAN_FAILED : GN_PLAN_EXPIRED,
		              GN_PLAN_END_VALUE_CHANGED);
	case GN_PLAN_FORBIDDEN:
		return end_as(plan, GN_PLAN_FAILED, GN_PLAN_END_REFUSED);
	case GN_PLAN_UNKNOWN:
		if (now_us >= plan->deadline_us + GN_PLAN_ANSWER_GRACE_US)
			return end_as(plan, GN_PLAN_FAILED, GN_PLAN_END_NO_ANSWER);
		plan->retry_us = now_us + backoff(plan->attempts);
		return 0;
	}
	return 0;
}

static unsigned step_running(struct gn_plan *plan, const struct gn_plan_event *event,
                             uint64_t now_us)
{
	switch (event->kind) {
	case GN_PLAN_EVENT_STORED:
		if (plan->awaits_answer)
			return 0;
		if (event->ok)
			return send_now(plan) |
			       (plan->at == 0 && plan->attempts == 1 ? GN_PLAN_NEWS : 0);
		if (plan->at)
			return end_as(plan, GN_PLAN_FAILED, GN_PLAN_END_NOT_STORED);
		plan->state = GN_PLAN_APPROVED;
		plan->retry_us = now_us + STORE_RETRY_US;
		return 0;
	case GN_PLAN_EVENT_RESULT:
		return take_result(plan, event, now_us);
	case GN_PLAN_EVENT_RESUME:
		return send_now(plan);
	case GN_PLAN_EVENT_TICK:
		if (!plan->awaits_answer && plan->retry_us && now_us >= plan->retry_us)
			return send_now(plan);
		return 0;
	case GN_PLAN_EVENT_APPROVE:
	case GN_PLAN_EVENT_REJECT:
	case GN_PLAN_EVENT_WITHDRAW:
		return 0; /* the command is out: what it does will be seen */
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
	case GN_PLAN_DONE:
	case GN_PLAN_FAILED:
	case GN_PLAN_REJECTED:
	case GN_PLAN_EXPIRED:
		return 0;
	}
	return 0;
}

bool gn_plan_has_ended(const struct gn_plan *plan)
{
	switch (plan->state) {
	case GN_PLAN_PENDING:
	case GN_PLAN_APPROVED:
	case GN_PLAN_RUNNING:
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
