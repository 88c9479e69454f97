/* propose.c - from a decision to a plan: what it would do, why, and whether it replaces
 * the one that is pending (runner.h). */
#include <stdio.h>
#include <string.h>
#include "firmware/message/message.h"
#include "firmware/plan/runner_internal.h"

#define SECOND_US ((uint64_t)1000000)
/* An operator has so long to approve; what needs no approval is begun at once or not. */
#define PENDING_US  (300 * SECOND_US)
#define APPROVED_US (60 * SECOND_US)

/* The quota per vCPU and period that gives the VM 'target' milli-vCPU; -1, none, when its
 * vCPUs give no more than that anyway. */
static int64_t quota_for(const Gnomon__V1__Allocation *a, int64_t target)
{
	if (target >= a->vcpus * 1000ll)
		return -1;
	return (int64_t)((uint64_t)target * a->cpu_period_us / (a->vcpus * 1000ull));
}

/* vCPUs where they can be changed. A quota that is set stays the means; and under TCG, where
 * QEMU does not survive the loss of a vCPU, it is the only one to shrink by. */
static bool fill_cpu(const struct gn_runner *runner, const Gnomon__V1__Allocation *a,
                     const struct gn_policy_input *input, int64_t target,
                     Gnomon__V1__Action *action)
{
	const Gnomon__V1__HostInfo *host = runner->brain->host;
	bool no_unplug = host && !host->kvm && target < input->allocated;

	if (!a || !a->vcpus)
		return false;
	if (a->cpu_quota_us > 0 || no_unplug) {
		action->kind = GNOMON__V1__ACTION__KIND__SET_CPU_LIMIT;
		action->to = quota_for(a, target);
		return a->cpu_period_us > 0;
	}
	action->kind = GNOMON__V1__ACTION__KIND__SET_VCPUS;
	action->to = target / 1000;
	/* Else the VM changes at this very moment. */
	return input->allocated == a->vcpus * 1000ll;
}

/* The action that leads from what is to the target; false: there is none. */
static bool fill_action(const struct gn_runner *runner, const struct gn_vm *vm,
                        const struct gn_policy_input *input, int64_t target,
                        Gnomon__V1__Action *action)
{
	const Gnomon__V1__Allocation *a = vm->allocation;

	switch (input->resource) {
	case GN_RESOURCE_CPU:
		if (!fill_cpu(runner, a, input, target, action))
			return false;
		break;
	case GN_RESOURCE_MEMORY:
		action->kind = GNOMON__V1__ACTION__KIND__SET_MEMORY;
		action->to = target;
		break;
	case GN_RESOURCE_NETWORK_RX:
	case GN_RESOURCE_NETWORK_TX:
	case GN_RESOURCE_DISK_OPERATIONS:
		action->kind = GNOMON__V1__ACTION__KIND__SET_METER;
		action->to = target;
		break;
	case GN_RESOURCE_DISK_READ:
	case GN_RESOURCE_DISK_WRITE:
		return false; /* one meter for both: see brain/observe.c */
	}
	action->from = gn_executor_current(action->kind, input->resource, a, &vm->limits);
	return action->from != action->to;
}

static Gnomon__V1__PlanInputs *make_inputs(const struct gn_runner *runner, const struct gn_vm *vm,
                                           const struct gn_policy_input *input)
{
	const struct gn_series *series = &vm->series[input->resource];
	const struct gn_policy_decision *d = &series->decision;
	const struct gn_predict_forecast *deciding =
	        gn_series_deciding(series, runner->brain->config);
	Gnomon__V1__PlanInputs *inputs =
	        GN_MESSAGE_NEW(Gnomon__V1__PlanInputs, gnomon__v1__plan_inputs__init);

	inputs->resource = (Gnomon__V1__Resource)input->resource;
	inputs->observed = input->observed;
	inputs->predicted = d->predicted;
	inputs->quantile_milli = series->rules.quantile_milli;
	inputs->horizon_us = d->horizon_us;
	inputs->allocated = input->allocated;
	inputs->target = d->target;
	inputs->uncapped_target = d->uncapped_target;
	gn_message_set(&inputs->bound_by, "%s", gn_policy_bound_text(d->bound));
	inputs->host_free = input->host_free;
	if (deciding) {
		inputs->history = deciding->n_observed;
		inputs->error_ratio_q16 = deciding->error_ratio_q16;
	}
	return inputs;
}

static void set_reason(const struct gn_vm *vm, const struct gn_policy_input *input,
                       Gnomon__V1__Plan *message)
{
	const struct gn_series *series = &vm->series[input->resource];
	char words[1024];
	struct gn_text text;

	gn_text_init(&text, words, sizeof words);
	gn_policy_explain(&series->rules, input, &series->decision, vm->name, &text);
	gn_message_set(&message->reason, "%s", words);
}

/* NULL: there is nothing to do or tell. */
static struct gn_plan_record *make_record(struct gn_runner *runner, struct gn_vm *vm,
                                          const struct gn_policy_input *input, struct gn_time now)
{
	const struct gn_policy_decision *d = &vm->series[input->resource].decision;
	bool acts = d->verdict != GN_POLICY_KEEP, approved = acts && !d->advisory;
	Gnomon__V1__Action *action = NULL;
	struct gn_plan_record *record;
	Gnomon__V1__Plan *message;

	if (acts) {
		action = GN_MESSAGE_NEW(Gnomon__V1__Action, gnomon__v1__action__init);
		if (!fill_action(runner, vm, input, d->target, action)) {
			GN_MESSAGE_FREE(action);
			return NULL;
		}
	}
	record = gn_message_alloc(sizeof *record);
	message = record->message = GN_MESSAGE_NEW(Gnomon__V1__Plan, gnomon__v1__plan__init);
	record->id = gn_store_next(runner->brain->store, "plan");
	gn_message_set(&message->name, "plans/%llu", (unsigned long long)record->id);
	gn_message_set(&message->vm, "%s", vm->name);
	message->created_us = now.wall_us;
	message->expires_us = now.wall_us + (approved ? APPROVED_US : PENDING_US);
	message->must_move = d->must_move;
	message->inputs = make_inputs(runner, vm, input);
	set_reason(vm, input, message);
	gn_plan_init(&record->plan, approved, message->expires_us);
	record->plan.priority = gn_runner_priority(message);
	if (action) {
		gn_message_set(&action->vm, "%s", vm->name);
		GN_MESSAGE_APPEND(message->actions, message->n_actions, action);
		gn_plan_add_action(&record->plan, action->from, action->to);
	}
	return record;
}

enum gn_plan_priority gn_runner_priority(const Gnomon__V1__Plan *plan)
{
	return plan->inputs && plan->inputs->target < plan->inputs->allocated ? GN_PLAN_SHRINK
	                                                                      : GN_PLAN_GROW;
}

static struct gn_plan_record *find_open(const struct gn_runner *runner, const struct gn_vm *vm,
                                        enum gn_resource resource)
{
	size_t i;

	for (i = runner->n_records; i-- > 0;) {
		struct gn_plan_record *record = runner->records[i];

		if (!gn_plan_has_ended(&record->plan) && record->message->inputs &&
		    (enum gn_resource)record->message->inputs->resource == resource &&
		    strcmp(record->message->vm, vm->name) == 0)
			return record;
	}
	return NULL;
}

enum fate { LEAVE, REPLACE };

/* What a new decision does to the plan that is open. */
static enum fate judge(const struct gn_plan_record *open, const struct gn_policy_decision *d)
{
	const Gnomon__V1__PlanInputs *was = open->message->inputs;
	bool acts = d->verdict != GN_POLICY_KEEP;
	bool grew = was->target > was->allocated, same;

	if (open->plan.state != GN_PLAN_PENDING)
		return LEAVE;
	same = was->target == d->target && open->message->must_move == d->must_move;
	if (acts && !d->advisory)
		return REPLACE; /* nobody needs to be asked any more */
	if (same)
		return LEAVE;
	if (acts && d->verdict == GN_POLICY_GROW && grew && d->target < was->target)
		return LEAVE; /* smaller than what is proposed: wait, forecasts move */
	if (acts && d->verdict == GN_POLICY_SHRINK && was->target && was->target < was->allocated)
		return LEAVE;
	return acts || !open->message->must_move ? REPLACE : LEAVE;
}

void gn_runner_decided(struct gn_runner *runner, struct gn_vm *vm,
                       const struct gn_policy_input *input, struct gn_time now)
{
	struct gn_series *series = &vm->series[input->resource];
	const struct gn_policy_decision *d = &series->decision;
	struct gn_plan_record *open = find_open(runner, vm, input->resource), *record;
	struct gn_plan_event withdraw = {.kind = GN_PLAN_EVENT_WITHDRAW};

	if (d->verdict == GN_POLICY_KEEP && !d->must_move) {
		if (open && vm->mode == GN_POLICY_OFF)
			gn_runner_step(open, &withdraw, now);
		return;
	}
	if (open && judge(open, d) == LEAVE)
		return;
	if (!open && now.wall_us < series->hold_us[d->verdict == GN_POLICY_SHRINK])
		return;
	record = make_record(runner, vm, input, now);
	if (!record)
		return;
	if (open)
		gn_runner_step(open, &withdraw, now);
	gn_runner_add(runner, record);
	gn_runner_news(record, now);
	gn_runner_tick_one(record, now);
}
