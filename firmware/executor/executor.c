/* executor.c - see executor.h. */
#include "firmware/executor/executor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/core/fixed.h"
#include "firmware/message/message.h"
#include "proto/gnomon/v1/dataplane.pb-c.h"
#include "proto/gnomon/v1/host.pb-c.h"

/* libvirt may take seconds to plug a CPU or move a balloon; the shim waits for it. */
#define COMMAND_TIMEOUT_US ((uint64_t)20000000)
#define METER_TIMEOUT_US   ((uint64_t)3000000)

struct gn_executor {
	struct gn_peer *shim;
	struct gn_peer *dataplane;
};

struct job {
	Gnomon__V1__Action__Kind kind; /* 0: a command of a shadow */
	enum gn_resource resource;
	int64_t to;
	char id[65];
	gn_executor_done *done;
	void *context;
};

void gn_executor_create(struct gn_peer *shim, struct gn_peer *dataplane, struct gn_executor **out)
{
	struct gn_executor *executor = gn_message_alloc(sizeof *executor);

	executor->shim = shim;
	executor->dataplane = dataplane;
	*out = executor;
}

void gn_executor_destroy(struct gn_executor *executor)
{
	free(executor);
}

static int64_t meter_of(enum gn_resource resource, const struct gn_demand_limits *limits)
{
	switch (resource) {
	case GN_RESOURCE_NETWORK_RX:
		return (int64_t)limits->rx_bps;
	case GN_RESOURCE_NETWORK_TX:
		return (int64_t)limits->tx_bps;
	case GN_RESOURCE_DISK_OPERATIONS:
		return (int64_t)limits->disk_operations;
	case GN_RESOURCE_DISK_READ:
	case GN_RESOURCE_DISK_WRITE:
		return (int64_t)limits->disk_bytes;
	case GN_RESOURCE_CPU:
	case GN_RESOURCE_MEMORY:
		break;
	}
	return 0;
}

int64_t gn_executor_current(Gnomon__V1__Action__Kind kind, enum gn_resource resource,
                            const Gnomon__V1__Allocation *allocation,
                            const struct gn_demand_limits *limits)
{
	switch (kind) {
	case GNOMON__V1__ACTION__KIND__SET_VCPUS:
		return allocation ? allocation->vcpus : 0;
	case GNOMON__V1__ACTION__KIND__SET_MEMORY:
		return allocation ? (int64_t)allocation->memory_bytes : 0;
	case GNOMON__V1__ACTION__KIND__SET_CPU_LIMIT:
		return allocation ? allocation->cpu_quota_us : 0;
	case GNOMON__V1__ACTION__KIND__SET_METER:
		return meter_of(resource, limits);
	default:
		return 0;
	}
}

/* ---- answers -------------------------------------------------------------------------- */

static void finish(struct job *job, const struct gn_executor_result *result)
{
	job->done(job->context, result);
	free(job);
}

/* Answers that do not say whether the command was carried out. */
static enum gn_plan_outcome outcome_of(enum gn_code code)
{
	switch (code) {
	case GN_OK:
		return GN_PLAN_EXECUTED;
	case GN_ABORTED:
		return GN_PLAN_CHANGED;
	case GN_UNAVAILABLE:
	case GN_DEADLINE_EXCEEDED:
	case GN_CANCELLED:
		return GN_PLAN_UNKNOWN;
	default:
		return GN_PLAN_FORBIDDEN;
	}
}

static void command_done(void *context, const struct gn_status *status,
                         const ProtobufCMessage *message)
{
	const Gnomon__V1__CommandResult *reply = (const Gnomon__V1__CommandResult *)message;
	struct job *job = context;
	struct gn_executor_result result = {.status = *status, .value = job->to};

	result.outcome = status->code == GN_OK ? GN_PLAN_FORBIDDEN : outcome_of(status->code);
	if (reply && strcmp(reply->id, job->id) != 0) {
		gn_status_set(&result.status, GN_INTERNAL,
		              "the shim answered for command %.64s, not %s: update the shim",
		              reply->id, job->id);
	} else if (reply) {
		gn_status_set(&result.status,
		              reply->status ? (enum gn_code)reply->status->code : GN_OK, "%s",
		              reply->status ? reply->status->message : "");
		result.outcome = outcome_of(result.status.code);
		result.before = reply->before;
		result.after = reply->after;
		result.uuid = reply->uuid;
		if (job->kind && reply->after)
			result.value = gn_executor_current(job->kind, job->resource, reply->after,
			                                   &(struct gn_demand_limits){0});
		if (job->kind == GNOMON__V1__ACTION__KIND__SET_MEMORY &&
		    gn_abs64(result.value - job->to) <= gn_resource_tolerance(GN_RESOURCE_MEMORY))
			result.value = job->to;
	}
	finish(job, &result);
}

static void meter_done(void *context, const struct gn_status *status,
                       const ProtobufCMessage *message)
{
	const Gnomon__V1__Meter *reply = (const Gnomon__V1__Meter *)message;
	struct job *job = context;
	struct gn_executor_result result = {.status = *status, .outcome = outcome_of(status->code)};

	if (reply) {
		const struct gn_demand_limits limits = {reply->rx_bps, reply->tx_bps,
		                                        reply->disk_operations, reply->disk_bytes};

		result.value = meter_of(job->resource, &limits);
	}
	finish(job, &result);
}

/* ---- requests --------------------------------------------------------------------------- */

static struct job *make_job(const char *id, gn_executor_done *done, void *context)
{
	struct job *job = gn_message_alloc(sizeof *job);

	snprintf(job->id, sizeof job->id, "%s", id);
	job->done = done;
	job->context = context;
	return job;
}

static void send_command(struct gn_executor *executor, const Gnomon__V1__Command *command,
                         struct job *job)
{
	gn_peer_call(executor->shim, "Execute", &command->base, COMMAND_TIMEOUT_US, command_done,
	             job);
}

void gn_executor_command(struct gn_executor *executor, const Gnomon__V1__Command *command,
                         gn_executor_done *done, void *context)
{
	send_command(executor, command, make_job(command->id, done, context));
}

static void set_meter(struct gn_executor *executor, const Gnomon__V1__Action *action,
                      const struct gn_demand_limits *limits, struct job *job)
{
	Gnomon__V1__Meter meter = GNOMON__V1__METER__INIT;

	meter.vm = action->vm;
	meter.rx_bps = limits->rx_bps;
	meter.tx_bps = limits->tx_bps;
	meter.disk_operations = limits->disk_operations;
	meter.disk_bytes = limits->disk_bytes;
	if (job->resource == GN_RESOURCE_NETWORK_RX)
		meter.rx_bps = (uint64_t)action->to;
	else if (job->resource == GN_RESOURCE_NETWORK_TX)
		meter.tx_bps = (uint64_t)action->to;
	else
		meter.disk_operations = (uint64_t)action->to;
	gn_peer_call(executor->dataplane, "UpdateMeter", &meter.base, METER_TIMEOUT_US, meter_done,
	             job);
}

void gn_executor_act(struct gn_executor *executor, const Gnomon__V1__Action *action,
                     enum gn_resource resource, const char *reason, uint64_t deadline_us,
                     const struct gn_demand_limits *limits,
                     const Gnomon__V1__Allocation *allocation, gn_executor_done *done,
                     void *context)
{
	Gnomon__V1__Command command = GNOMON__V1__COMMAND__INIT;
	Gnomon__V1__SetVcpus vcpus = GNOMON__V1__SET_VCPUS__INIT;
	Gnomon__V1__SetMemory memory = GNOMON__V1__SET_MEMORY__INIT;
	Gnomon__V1__SetCpuLimit limit = GNOMON__V1__SET_CPU_LIMIT__INIT;
	struct job *job = make_job(action->command_id, done, context);

	job->kind = action->kind;
	job->resource = resource;
	job->to = action->to;
	command.id = action->command_id;
	command.vm = action->vm;
	command.deadline_us = deadline_us;
	command.reason = (char *)reason;
	switch (action->kind) {
	case GNOMON__V1__ACTION__KIND__SET_VCPUS:
		vcpus.expected = (uint32_t)action->from;
		vcpus.vcpus = (uint32_t)action->to;
		command.action_case = GNOMON__V1__COMMAND__ACTION_SET_VCPUS;
		command.set_vcpus = &vcpus;
		break;
	case GNOMON__V1__ACTION__KIND__SET_MEMORY:
		memory.expected_bytes = (uint64_t)action->from;
		memory.bytes = (uint64_t)action->to;
		command.action_case = GNOMON__V1__COMMAND__ACTION_SET_MEMORY;
		command.set_memory = &memory;
		break;
	case GNOMON__V1__ACTION__KIND__SET_CPU_LIMIT:
		limit.expected_quota_us = action->from;
		limit.quota_us = action->to;
		limit.expected_shares = allocation ? allocation->cpu_shares : 0;
		command.action_case = GNOMON__V1__COMMAND__ACTION_SET_CPU_LIMIT;
		command.set_cpu_limit = &limit;
		break;
	default:
		set_meter(executor, action, limits, job);
		return;
	}
	send_command(executor, &command, job);
}
