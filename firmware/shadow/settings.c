/* settings.c - what an operator may ask of a shadow (provision.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "firmware/core/probe_target.h"
#include "firmware/message/message.h"
#include "firmware/shadow/provision_internal.h"
#include "firmware/shadow/retention.h"

static int check_scaling(const Gnomon__V1__ShadowScaling *s, const struct gn_vm *vm,
                         struct gn_status *status)
{
	uint32_t most = vm->allocation ? vm->allocation->vcpus_maximum : 0;

	if (!s)
		return 0;
	if (most && (s->start_vcpus > most || s->ceiling_vcpus > most))
		return gn_status_set(
		        status, GN_OUT_OF_RANGE,
		        "scaling: start_vcpus %u, ceiling_vcpus %u; %s is defined with at "
		        "most %u vCPUs, give no more",
		        s->start_vcpus, s->ceiling_vcpus, vm->name, most);
	if (s->ceiling_vcpus && s->start_vcpus > s->ceiling_vcpus)
		return gn_status_set(status, GN_OUT_OF_RANGE,
		                     "scaling: start_vcpus %u is above ceiling_vcpus %u; lower it",
		                     s->start_vcpus, s->ceiling_vcpus);
	if (s->ceiling_memory_bytes && s->start_memory_bytes > s->ceiling_memory_bytes)
		return gn_status_set(
		        status, GN_OUT_OF_RANGE,
		        "scaling: start_memory_bytes is above ceiling_memory_bytes; lower "
		        "it");
	if (s->start_memory_bytes && s->start_memory_bytes < (uint64_t)64 << 20)
		return gn_status_set(
		        status, GN_OUT_OF_RANGE,
		        "scaling: start_memory_bytes is %llu; give 64 MiB or more, or 0 "
		        "for what the VM has",
		        (unsigned long long)s->start_memory_bytes);
	return 0;
}

static int check_triggers(const Gnomon__V1__Shadow *settings, struct gn_status *status)
{
	size_t i;

	if (settings->n_triggers > GN_SHADOW_MAX_TRIGGERS)
		return gn_status_set(status, GN_OUT_OF_RANGE, "%zu triggers; give at most %d",
		                     settings->n_triggers, GN_SHADOW_MAX_TRIGGERS);
	for (i = 0; i < settings->n_triggers; i++) {
		const Gnomon__V1__ShadowTrigger *t = settings->triggers[i];

		if ((int)t->resource < 1 || (int)t->resource >= GN_RESOURCE_END)
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "triggers[%zu].resource is %d; give CPU to "
			                     "DISK_OPERATIONS",
			                     i, (int)t->resource);
		if (t->threshold <= 0 || t->for_us > 24ull * 3600 * 1000000)
			return gn_status_set(status, GN_OUT_OF_RANGE,
			                     "triggers[%zu]: threshold %lld, for_us %llu; give a "
			                     "threshold above 0 and at most one day",
			                     i, (long long)t->threshold,
			                     (unsigned long long)t->for_us);
	}
	return 0;
}

static int check_mirror(const Gnomon__V1__Mirror *mirror, struct gn_status *status)
{
	if (!mirror)
		return 0;
	if (mirror->sink_case != GNOMON__V1__MIRROR__SINK__NOT_SET)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "mirror: the sink of a shadow's mirror is the shadow; leave it out");
	if (mirror->n_filters > 16 || (mirror->truncate_bytes && mirror->truncate_bytes < 14))
		return gn_status_set(
		        status, GN_OUT_OF_RANGE,
		        "mirror: %zu filters, truncate_bytes %u; give at most 16 filters "
		        "and 0 or 14 and more bytes",
		        mirror->n_filters, mirror->truncate_bytes);
	return 0;
}

static int check_schedule(const Gnomon__V1__ShadowSchedule *schedule, const char *field,
                          struct gn_status *status)
{
	if (schedule && schedule->every_us && schedule->every_us < 60000000)
		return gn_status_set(status, GN_OUT_OF_RANGE,
		                     "%s.every_us is %llu; give 60000000 (one minute) or more, "
		                     "or 0 for once",
		                     field, (unsigned long long)schedule->every_us);
	return 0;
}

#define LEAST_JOURNAL ((uint64_t)32 << 20)

static int check_replication(const Gnomon__V1__ShadowReplication *r, struct gn_status *status)
{
	if (!r)
		return 0;
	if ((unsigned)r->mode > GNOMON__V1__SHADOW_REPLICATION__MODE__IN_STEP)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "replication.mode is %d; give OFF, ASYNC or IN_STEP",
		                     (int)r->mode);
	if (r->journal_bytes && r->journal_bytes < LEAST_JOURNAL)
		return gn_status_set(
		        status, GN_OUT_OF_RANGE,
		        "replication.journal_bytes is %llu; give %llu (32 MiB) or more, or 0 for "
		        "64 MiB",
		        (unsigned long long)r->journal_bytes, (unsigned long long)LEAST_JOURNAL);
	return 0;
}

static int check_snapshots(const Gnomon__V1__Shadow *settings, struct gn_status *status)
{
	if (settings->n_snapshots > GN_RETENTION_MAX_RULES)
		return gn_status_set(status, GN_OUT_OF_RANGE, "%zu snapshot rules; give at most %d",
		                     settings->n_snapshots, GN_RETENTION_MAX_RULES);
	for (size_t i = 0; i < settings->n_snapshots; i++)
		if (settings->snapshots[i]->every_us < 60000000 || !settings->snapshots[i]->keep ||
		    settings->snapshots[i]->keep > 100)
			return gn_status_set(status, GN_OUT_OF_RANGE,
			                     "snapshots[%zu]: every_us %llu, keep %u; give one "
			                     "minute (60000000) or more and 1 to 100",
			                     i,
			                     (unsigned long long)settings->snapshots[i]->every_us,
			                     settings->snapshots[i]->keep);
	return 0;
}

static int check_probe(const Gnomon__V1__Shadow *settings, const struct gn_vm *vm,
                       struct gn_status *status)
{
	struct gn_probe_target target;

	if (!settings->probe[0])
		return 0;
	if (!vm->spec->n_nics)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "%s has no NIC through which it could be asked", vm->name);
	return gn_probe_target_parse(settings->probe, settings->probe_from, &target, status);
}

int gn_shadow_check(const struct gn_shadows *shadows, const Gnomon__V1__Shadow *settings,
                    const struct gn_vm *vm, struct gn_status *status)
{
	const char *pool =
	        settings->pool_path[0] ? settings->pool_path : shadows->brain->config->pool_path;

	if (check_scaling(settings->scaling, vm, status) || check_triggers(settings, status) ||
	    check_mirror(settings->mirror, status) ||
	    check_schedule(settings->schedule, "schedule", status) ||
	    check_schedule(settings->rehearse, "rehearse", status) ||
	    check_replication(settings->replication, status) || check_snapshots(settings, status) ||
	    check_probe(settings, vm, status))
		return -EINVAL;
	if (vm->spec->n_disks && !pool)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "%s has disks, but there is no pool to clone them to: set "
		                     "pool_path in gnomond.yaml, or name one in the request",
		                     vm->name);
	if (pool && (pool[0] != '/' || strstr(pool, "/../") || strlen(pool) > 3000))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "pool_path is '%.100s'; give an absolute path without '..'",
		                     pool);
	return 0;
}

static bool is_named(char *const *mask, size_t n_mask, const char *field)
{
	size_t i;

	for (i = 0; i < n_mask; i++)
		if (strcmp(mask[i], field) == 0)
			return true;
	return n_mask == 0;
}

static bool can_be_changed(const char *field)
{
	static const char *const known[] = {"start",    "scaling",     "triggers",  "schedule",
	                                    "mirror",   "replication", "snapshots", "hold",
	                                    "rehearse", "probe"};
	size_t i;

	for (i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strcmp(known[i], field) == 0)
			return true;
	return false;
}

int gn_shadow_check_mask(char *const *mask, size_t n_mask, struct gn_status *status)
{
	size_t i;

	for (i = 0; i < n_mask; i++)
		if (!can_be_changed(mask[i]))
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "update_mask '%.60s' cannot be changed; give start, "
			                     "scaling, triggers, schedule, mirror, replication, "
			                     "snapshots, hold, rehearse or probe",
			                     mask[i]);
	return 0;
}

static void take_triggers(Gnomon__V1__Shadow *to, const Gnomon__V1__Shadow *from)
{
	while (to->n_triggers)
		GN_MESSAGE_FREE(to->triggers[--to->n_triggers]);
	for (size_t i = 0; i < from->n_triggers; i++)
		GN_MESSAGE_APPEND(to->triggers, to->n_triggers,
		                  GN_MESSAGE_COPY(Gnomon__V1__ShadowTrigger, from->triggers[i]));
}

static void take_rules(Gnomon__V1__Shadow *to, const Gnomon__V1__Shadow *from)
{
	while (to->n_snapshots)
		GN_MESSAGE_FREE(to->snapshots[--to->n_snapshots]);
	for (size_t i = 0; i < from->n_snapshots; i++)
		GN_MESSAGE_APPEND(to->snapshots, to->n_snapshots,
		                  GN_MESSAGE_COPY(Gnomon__V1__SnapshotRule, from->snapshots[i]));
}

void gn_shadow_take(Gnomon__V1__Shadow *to, const Gnomon__V1__Shadow *from, char *const *mask,
                    size_t n_mask)
{
	if (is_named(mask, n_mask, "start"))
		to->start = from->start;
	if (is_named(mask, n_mask, "hold"))
		to->hold = from->hold;
	if (is_named(mask, n_mask, "probe")) {
		gn_message_set(&to->probe, "%s", from->probe);
		gn_message_set(&to->probe_from, "%s", from->probe_from);
	}
	if (is_named(mask, n_mask, "triggers"))
		take_triggers(to, from);
	if (is_named(mask, n_mask, "snapshots"))
		take_rules(to, from);
#define TAKE(field, type)                                                                          \
	if (is_named(mask, n_mask, #field)) {                                                      \
		GN_MESSAGE_FREE(to->field);                                                        \
		to->field = from->field ? GN_MESSAGE_COPY(type, from->field) : NULL;               \
	}
	TAKE(scaling, Gnomon__V1__ShadowScaling)
	TAKE(schedule, Gnomon__V1__ShadowSchedule)
	TAKE(rehearse, Gnomon__V1__ShadowSchedule)
	TAKE(mirror, Gnomon__V1__Mirror)
	TAKE(replication, Gnomon__V1__ShadowReplication)
#undef TAKE
}

Gnomon__V1__VolumeMirror__Mode gn_shadow_mode(const struct gn_shadow_record *record)
{
	const Gnomon__V1__ShadowReplication *r = record->message->replication;

	switch (r ? r->mode : GNOMON__V1__SHADOW_REPLICATION__MODE__DEFAULT) {
	case GNOMON__V1__SHADOW_REPLICATION__MODE__OFF:
		return GNOMON__V1__VOLUME_MIRROR__MODE__OFF;
	case GNOMON__V1__SHADOW_REPLICATION__MODE__IN_STEP:
		return GNOMON__V1__VOLUME_MIRROR__MODE__IN_STEP;
	default:
		return GNOMON__V1__VOLUME_MIRROR__MODE__ASYNC;
	}
}

const char *gn_shadow_pool(const struct gn_shadow_record *record)
{
	const char *own = record->message->pool_path;

	return own[0] ? own : record->shadows->brain->config->pool_path;
}

uint32_t gn_shadow_vcpus(const struct gn_shadow_record *record, const struct gn_vm *vm)
{
	const Gnomon__V1__ShadowScaling *s = record->message->scaling;

	return s && s->start_vcpus ? s->start_vcpus : 1;
}

uint64_t gn_shadow_memory(const struct gn_shadow_record *record, const struct gn_vm *vm)
{
	const Gnomon__V1__ShadowScaling *s = record->message->scaling;

	if (s && s->start_memory_bytes)
		return s->start_memory_bytes;
	return vm->allocation ? vm->allocation->memory_bytes : 0;
}

Gnomon__V1__Mirror *gn_shadow_mirror(const struct gn_shadow_record *record, const struct gn_vm *vm)
{
	Gnomon__V1__Mirror *mirror =
	        record->message->mirror
	                ? GN_MESSAGE_COPY(Gnomon__V1__Mirror, record->message->mirror)
	                : GN_MESSAGE_NEW(Gnomon__V1__Mirror, gnomon__v1__mirror__init);
	char name[GN_NAME_SIZE];

	gn_name_child(vm->name, "/mirrors/shadow", name);
	gn_message_set(&mirror->name, "%s", name);
	gn_message_set(&mirror->vm, "%s", vm->name);
	gn_name_port(vm->name, true, vm->spec->nics[0]->name, name);
	mirror->sink_case = GNOMON__V1__MIRROR__SINK_PORT;
	mirror->port = gn_message_string(name);
	GN_MESSAGE_FREE(mirror->counters);
	mirror->counters = NULL;
	return mirror;
}
