/* observation.c - see observation.h. */
#include "host-shim/observation.h"

#include <string.h>

int gn_observation_check_vm(const struct gn_observation_rules *rules, const char *vm,
                            struct gn_status *status)
{
	if (!gn_command_name_valid(vm))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "'%.64s' is not a VM's name; use 1 to 64 of [A-Za-z0-9._+-]",
		                     vm);
	if (!gn_command_vm_allowed(rules->limits, vm))
		return gn_status_set(status, GN_PERMISSION_DENIED,
		                     "this host's owner does not let cards touch vms/%s; see "
		                     "limits.vms in gnomon-shim.yaml",
		                     vm);
	return 0;
}

static bool is_id(const char *id)
{
	size_t n = strlen(id), i;

	for (i = 0; i < n; i++)
		if (!((id[i] >= '0' && id[i] <= '9') || (id[i] >= 'a' && id[i] <= 'z') ||
		      (id[i] >= 'A' && id[i] <= 'Z') || id[i] == '-'))
			return false;
	return n >= GN_COMMAND_ID_MIN;
}

int gn_observation_check(const struct gn_observation_rules *rules,
                         const struct gn_observation_request *request, struct gn_status *status)
{
	int error = gn_observation_check_vm(rules, request->vm, status);

	if (error)
		return error;
	if (!is_id(request->id))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the id '%s' is not 8 to 64 of [A-Za-z0-9-]", request->id);
	if (!rules->kinds[request->kind])
		return gn_status_set(status, GN_PERMISSION_DENIED,
		                     "this host's owner does not allow '%s'; see observe.kinds in "
		                     "gnomon-shim.yaml",
		                     gn_window_kind_name(request->kind));
	if (request->duration_us < GN_OBSERVATION_MINIMUM_US ||
	    request->duration_us > rules->maximum_us)
		return gn_status_set(status, GN_OUT_OF_RANGE,
		                     "a window of %llu ms; give 100 ms to %llu s, which is what "
		                     "this host's owner allows (observe.max_seconds)",
		                     (unsigned long long)request->duration_us / 1000,
		                     (unsigned long long)rules->maximum_us / 1000000);
	return 0;
}

static bool is_of(const struct gn_observation *o, const char *vm, enum gn_window_kind kind)
{
	return o->request.id[0] && o->request.kind == kind && !strcmp(o->request.vm, vm);
}

struct gn_observation *gn_observation_find(struct gn_observation_table *table, const char *vm,
                                           enum gn_window_kind kind)
{
	struct gn_observation *newest = NULL;
	unsigned i;

	for (i = 0; i < GN_OBSERVATION_SLOTS; i++) {
		struct gn_observation *o = &table->slots[i];

		if (is_of(o, vm, kind) && (!newest || o->started_us > newest->started_us))
			newest = o;
	}
	return newest;
}

static struct gn_observation *by_id(struct gn_observation_table *table, const char *id)
{
	unsigned i;

	for (i = 0; i < GN_OBSERVATION_SLOTS; i++)
		if (!strcmp(table->slots[i].request.id, id))
			return &table->slots[i];
	return NULL;
}

/* A free one, or that of the window that ended first. */
static struct gn_observation *place(struct gn_observation_table *table, unsigned *n_open)
{
	struct gn_observation *best = NULL;
	unsigned i;

	*n_open = 0;
	for (i = 0; i < GN_OBSERVATION_SLOTS; i++) {
		struct gn_observation *o = &table->slots[i];

		if (o->open)
			(*n_open)++;
		else if (!best || !o->request.id[0] ||
		         (best->request.id[0] && o->ended_us < best->ended_us))
			best = o;
	}
	return best;
}

static int answer_same(struct gn_observation *o, const struct gn_observation_request *request,
                       struct gn_observation **same, struct gn_status *status)
{
	if (!is_of(o, request->vm, request->kind) || o->request.duration_us != request->duration_us)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "another window was opened with the id '%s'; ids are for ever",
		                     request->id);
	*same = o;
	return 0;
}

int gn_observation_admit(struct gn_observation_table *table,
                         const struct gn_observation_rules *rules,
                         const struct gn_observation_request *request, struct gn_observation **same,
                         struct gn_observation **slot, struct gn_status *status)
{
	struct gn_observation *o = by_id(table, request->id), *free_slot;
	unsigned n_open;

	*same = NULL;
	if (o)
		return answer_same(o, request, same, status);
	o = gn_observation_find(table, request->vm, request->kind);
	if (o && o->open)
		return gn_status_set(status, GN_ALREADY_EXISTS,
		                     "a window '%s' on vms/%s is open (id %s); stop it, or wait "
		                     "for its end",
		                     gn_window_kind_name(request->kind), request->vm,
		                     o->request.id);
	free_slot = place(table, &n_open);
	if (n_open >= rules->maximum_windows || !free_slot)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "%u windows are open, as many as this host's owner allows "
		                     "(observe.max_windows); wait for one to end",
		                     n_open);
	*slot = free_slot;
	return 0;
}

struct gn_observation *gn_observation_due(struct gn_observation_table *table, uint64_t now_us)
{
	unsigned i;

	for (i = 0; i < GN_OBSERVATION_SLOTS; i++)
		if (table->slots[i].open && table->slots[i].ends_us <= now_us)
			return &table->slots[i];
	return NULL;
}

uint64_t gn_observation_next_us(const struct gn_observation_table *table)
{
	uint64_t next_us = UINT64_MAX;
	unsigned i;

	for (i = 0; i < GN_OBSERVATION_SLOTS; i++)
		if (table->slots[i].open && table->slots[i].ends_us < next_us)
			next_us = table->slots[i].ends_us;
	return next_us;
}

void gn_observation_forget(struct gn_observation_table *table, uint64_t now_us)
{
	unsigned i;

	for (i = 0; i < GN_OBSERVATION_SLOTS; i++) {
		struct gn_observation *o = &table->slots[i];

		if (o->request.id[0] && !o->open && now_us > o->ended_us + GN_OBSERVATION_KEPT_US)
			memset(o, 0, sizeof *o);
	}
}
