/* plans.c - ListPlans, GetPlan, ApprovePlan, RejectPlan. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/control/control_internal.h"
#include "firmware/message/message.h"

/* Or fails the call and gives NULL. */
static struct gn_plan_record *find(struct gn_control *control, struct gn_channel_call *call,
                                   const char *name)
{
	struct gn_plan_record *record = gn_runner_find(control->p.runner, name);

	if (!record)
		gn_control_fail(
		        call, GN_NOT_FOUND,
		        "there is no plan '%.60s'; give plans/<number> (gnomonctl plan list)",
		        name);
	return record;
}

static void reply_changed(struct gn_control *control, struct gn_channel_call *call,
                          const struct gn_plan_record *record)
{
	gn_control_commit(control);
	gn_channel_reply(call, &record->message->base);
}

/* A reply must fit into one message of the channel. */
#define MAX_REPLY_BYTES (GN_CHANNEL_MAX_SIZE / 10 * 9)

void gn_control_list_plans(void *context, struct gn_channel_call *call,
                           const ProtobufCMessage *message)
{
	const Gnomon__V1__ListPlansRequest *request = (const Gnomon__V1__ListPlansRequest *)message;
	struct gn_control *control = context;
	uint32_t limit = request->limit ? request->limit : 100;
	Gnomon__V1__PlanList *list;
	size_t i, size = 0;

	if (limit > 1000) {
		gn_control_fail(call, GN_OUT_OF_RANGE, "limit is %u; give 1 to 1000", limit);
		return;
	}
	if (request->vm[0] && !gn_control_vm(control, call, request->vm, ""))
		return;
	list = GN_MESSAGE_NEW(Gnomon__V1__PlanList, gnomon__v1__plan_list__init);
	for (i = gn_runner_count(control->p.runner); i-- > 0 && list->n_plans < limit;) {
		const struct gn_plan_record *record = gn_runner_at(control->p.runner, i);

		if ((request->vm[0] && strcmp(record->message->vm, request->vm) != 0) ||
		    (request->pending_only && record->plan.state != GN_PLAN_PENDING))
			continue;
		size += gnomon__v1__plan__get_packed_size(record->message) + 8;
		if (size > MAX_REPLY_BYTES)
			break;
		GN_MESSAGE_APPEND(list->plans, list->n_plans,
		                  GN_MESSAGE_COPY(Gnomon__V1__Plan, record->message));
	}
	gn_control_reply(call, &list->base);
}

/* A plan that is no longer in memory. */
static Gnomon__V1__Plan *old_plan(struct gn_control *control, const char *name)
{
	Gnomon__V1__Plan *plan = NULL;
	unsigned long long id;
	size_t size;
	void *bytes;
	char rest;

	if (sscanf(name, "plans/%19llu%c", &id, &rest) != 1)
		return NULL;
	bytes = gn_store_get_plan(control->p.brain->store, id, &size);
	if (bytes)
		plan = (Gnomon__V1__Plan *)gn_message_parse(&gnomon__v1__plan__descriptor, bytes,
		                                            size);
	free(bytes);
	return plan;
}

void gn_control_get_plan(void *context, struct gn_channel_call *call,
                         const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;
	struct gn_control *control = context;
	struct gn_plan_record *record = gn_runner_find(control->p.runner, request->name);
	Gnomon__V1__Plan *plan = record ? NULL : old_plan(control, request->name);

	if (plan)
		gn_control_reply(call, &plan->base);
	else if (record || (record = find(control, call, request->name)))
		gn_channel_reply(call, &record->message->base);
}

void gn_control_approve_plan(void *context, struct gn_channel_call *call,
                             const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;
	struct gn_plan_record *record = find(context, call, request->name);
	struct gn_status status;

	if (!record)
		return;
	if (gn_runner_approve(record, gn_time_now(), &status))
		gn_channel_fail(call, &status);
	else
		reply_changed(context, call, record);
}

void gn_control_reject_plan(void *context, struct gn_channel_call *call,
                            const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;
	struct gn_plan_record *record = find(context, call, request->name);
	struct gn_status status;

	if (!record)
		return;
	if (gn_runner_reject(record, gn_time_now(), &status))
		gn_channel_fail(call, &status);
	else
		reply_changed(context, call, record);
}
