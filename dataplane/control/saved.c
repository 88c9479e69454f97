/* saved.c - what survives a restart: the state file, written after every change. */
#include "dataplane/control/saved.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/control/message.h"
#include "dataplane/state/state.h"
#include "firmware/core/log.h"

_Static_assert(offsetof(Gnomon__V1__Port, name) == offsetof(struct gn_saved, name) &&
                       offsetof(Gnomon__V1__Volume, name) == offsetof(struct gn_saved, name) &&
                       offsetof(Gnomon__V1__NbdExport, name) == offsetof(struct gn_saved, name) &&
                       offsetof(Gnomon__V1__Mirror, name) == offsetof(struct gn_saved, name) &&
                       offsetof(Gnomon__V1__Meter, vm) == offsetof(struct gn_saved, name),
               "names come first");

struct gn_saved_array gn_saved_array_of(Gnomon__V1__DataplaneState *state, enum gn_dp_kind kind)
{
	switch (kind) {
	case GN_DP_PORT:
		return (struct gn_saved_array){(struct gn_saved **)state->ports, &state->n_ports};
	case GN_DP_VOLUME:
		return (struct gn_saved_array){(struct gn_saved **)state->volumes,
		                               &state->n_volumes};
	case GN_DP_MIRROR:
		return (struct gn_saved_array){(struct gn_saved **)state->mirrors,
		                               &state->n_mirrors};
	case GN_DP_EXPORT:
		return (struct gn_saved_array){(struct gn_saved **)state->exports,
		                               &state->n_exports};
	case GN_DP_METER:
	case GN_DP_N_KINDS:
		break;
	}
	return (struct gn_saved_array){(struct gn_saved **)state->meters, &state->n_meters};
}

static void remove_at(struct gn_saved_array array, size_t i)
{
	gn_message_free(array.items[i]);
	array.items[i] = array.items[--*array.n];
}

bool gn_dp_forget(struct gn_dataplane *dp, enum gn_dp_kind kind, const char *name)
{
	struct gn_saved_array array;
	size_t i;

	if (!dp->left_out)
		return false;
	array = gn_saved_array_of(dp->left_out, kind);
	for (i = 0; i < *array.n; i++) {
		if (strcmp(array.items[i]->name, name) != 0)
			continue;
		remove_at(array, i);
		return true;
	}
	return false;
}

/* Pointers to all that is stored, kind after kind: what exists but for what the
 * configuration makes, and what was left out at the start. */
struct lists {
	Gnomon__V1__DataplaneState state;
	void **pointers; /* NULL: count only */
	size_t n;
};

static void put(struct lists *lists, size_t *n_of_kind, void *message)
{
	if (lists->pointers)
		lists->pointers[lists->n] = message;
	lists->n++;
	++*n_of_kind;
}

/* Where the next kind begins. */
static void *here(const struct lists *lists)
{
	return lists->pointers ? lists->pointers + lists->n : NULL;
}

static void put_left_out(struct lists *lists, size_t *n_of_kind, void *array, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		put(lists, n_of_kind, ((void **)array)[i]);
}

static void walk(const struct gn_dataplane *dp, struct lists *lists)
{
	static const Gnomon__V1__DataplaneState none = GNOMON__V1__DATAPLANE_STATE__INIT;
	const Gnomon__V1__DataplaneState *left = dp->left_out ? dp->left_out : &none;
	Gnomon__V1__DataplaneState *state = &lists->state;
	const struct gn_dp_port *port;
	const struct gn_dp_volume *volume;
	const struct gn_dp_mirror *mirror;
	const struct gn_dp_export *export;
	const struct gn_dp_vm *vm;

	*state = none;
	lists->n = 0;
	state->ports = here(lists);
	LIST_FOREACH(port, &dp->ports, link)
	if (!port->from_config)
		put(lists, &state->n_ports, port->spec);
	put_left_out(lists, &state->n_ports, left->ports, left->n_ports);
	state->volumes = here(lists);
	LIST_FOREACH(volume, &dp->volumes, link)
	if (!volume->from_config)
		put(lists, &state->n_volumes, volume->spec);
	put_left_out(lists, &state->n_volumes, left->volumes, left->n_volumes);
	state->mirrors = here(lists);
	LIST_FOREACH(mirror, &dp->mirrors, link)
	put(lists, &state->n_mirrors, mirror->spec);
	put_left_out(lists, &state->n_mirrors, left->mirrors, left->n_mirrors);
	state->meters = here(lists);
	LIST_FOREACH(vm, &dp->vms, link)
	if (vm->meter)
		put(lists, &state->n_meters, vm->meter);
	put_left_out(lists, &state->n_meters, left->meters, left->n_meters);
	state->exports = here(lists);
	LIST_FOREACH(export, &dp->exports, link)
	put(lists, &state->n_exports, export->spec);
	put_left_out(lists, &state->n_exports, left->exports, left->n_exports);
}

static int write_all(struct gn_dataplane *dp, struct gn_status *status)
{
	struct lists lists = {.pointers = NULL};
	int err;

	walk(dp, &lists);
	lists.pointers = calloc(lists.n + 1, sizeof *lists.pointers);
	if (!lists.pointers)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "out of memory for the state file");
	walk(dp, &lists);
	err = gn_state_save(dp->config->state_dir, &lists.state, status);
	free(lists.pointers);
	return err;
}

int gn_dataplane_save(struct gn_dataplane *dp, struct gn_status *status)
{
	int err;

	if (!dp->saving)
		return 0;
	err = write_all(dp, status);
	dp->unsaved = err != 0;
	return err;
}

void gn_dataplane_save_again(struct gn_dataplane *dp)
{
	struct gn_status status;

	if (dp->unsaved && gn_dataplane_save(dp, &status) == 0)
		gn_log(GN_LOG_INFO, "the state file in '%s' could be written again",
		       dp->config->state_dir);
}
