/* observer.c - see observer.h. */
#include "host-shim/observer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/core/clock.h"

#define LOOK_US 1000000u /* how often a window's process is looked at */

struct gn_observer {
	const struct gn_observation_rules *rules;
	struct gn_processes *processes;
	struct gn_observation_table table;
	struct gn_window *windows[GN_OBSERVATION_SLOTS]; /* of the open ones */
	struct gn_observer_probe probes[GN_OBSERVER_PROBES];
	bool probed;
};

int gn_observer_create(const struct gn_observation_rules *rules, struct gn_processes *processes,
                       struct gn_observer **out)
{
	struct gn_observer *o = calloc(1, sizeof *o);

	if (!o)
		return -ENOMEM;
	o->rules = rules;
	o->processes = processes;
	*out = o;
	return 0;
}

void gn_observer_destroy(struct gn_observer *o)
{
	unsigned i;

	if (!o)
		return;
	for (i = 0; i < GN_OBSERVATION_SLOTS; i++)
		gn_window_close(o->windows[i]);
	free(o);
}

/* ---- probes ------------------------------------------------------------------------------ */

static void probe_all(struct gn_observer *o)
{
	unsigned i;

	o->probes[0] = (struct gn_observer_probe){.name = "threads", .allowed = o->rules->threads};
	if (o->rules->threads)
		gn_processes_check(o->processes, &o->probes[0].status);
	for (i = 0; i < GN_WINDOW_KINDS; i++) {
		struct gn_observer_probe *p = &o->probes[1 + i];

		*p = (struct gn_observer_probe){
		        .name = gn_window_kind_name((enum gn_window_kind)i),
		        .allowed = o->rules->kinds[i],
		};
		if (p->allowed)
			gn_window_probe((enum gn_window_kind)i, &p->status);
	}
	o->probed = true;
}

void gn_observer_probe(struct gn_observer *o, struct gn_observer_probe out[GN_OBSERVER_PROBES])
{
	if (!o->probed)
		probe_all(o);
	memcpy(out, o->probes, sizeof o->probes);
}

/* ---- windows ------------------------------------------------------------------------------- */

static struct gn_window **window_of(struct gn_observer *o, const struct gn_observation *w)
{
	return &o->windows[w - o->table.slots];
}

static void close_window(struct gn_observer *o, struct gn_observation *w,
                         enum gn_observation_end ended_by)
{
	struct gn_window **window = window_of(o, w);

	gn_window_read(*window, &w->counts);
	gn_window_close(*window);
	*window = NULL;
	w->open = false;
	w->ended_by = ended_by;
	w->ended_us = gn_clock_monotonic_us();
	w->ended_wall_us = gn_clock_wall_us();
	if (ended_by == GN_OBSERVATION_TIME) { /* the program counted nothing after it */
		w->ended_us = w->ends_us;
		w->ended_wall_us = w->started_wall_us + w->request.duration_us;
	}
}

static int open_window(struct gn_observer *o, const struct gn_observation_request *request,
                       struct gn_observation *w, struct gn_status *status)
{
	struct gn_window *window;
	uint32_t process;
	int error = gn_processes_find(o->processes, request->vm, &process, status);

	if (!error)
		error = gn_window_open(request->kind, process, &window, status);
	if (error)
		return error;
	*w = (struct gn_observation){
	        .request = *request,
	        .open = true,
	        .process = process,
	        .started_us = gn_clock_monotonic_us(),
	        .started_wall_us = gn_clock_wall_us(),
	};
	w->ends_us = w->started_us + request->duration_us;
	gn_window_start(window, w->ends_us);
	*window_of(o, w) = window;
	return 0;
}

int gn_observer_open(struct gn_observer *o, const struct gn_observation_request *request,
                     struct gn_observation *out, struct gn_status *status)
{
	struct gn_observation *same, *slot = NULL;
	int error = gn_observation_check(o->rules, request, status);

	gn_observer_turn(o);
	if (!error)
		error = gn_observation_admit(&o->table, o->rules, request, &same, &slot, status);
	if (!error && !same)
		error = open_window(o, request, slot, status);
	if (error)
		return error;
	*out = same ? *same : *slot;
	return 0;
}

static int find(struct gn_observer *o, const char *vm, enum gn_window_kind kind,
                struct gn_observation **out, struct gn_status *status)
{
	int error = gn_observation_check_vm(o->rules, vm, status);

	gn_observer_turn(o);
	if (error)
		return error;
	*out = gn_observation_find(&o->table, vm, kind);
	if (*out)
		return 0;
	return gn_status_set(status, GN_NOT_FOUND,
	                     "no window '%s' on vms/%s is open, nor ended within the last 10 "
	                     "minutes; open one with Observe",
	                     gn_window_kind_name(kind), vm);
}

int gn_observer_read(struct gn_observer *o, const char *vm, enum gn_window_kind kind,
                     struct gn_observation *out, struct gn_status *status)
{
	struct gn_observation *w;
	int error = find(o, vm, kind, &w, status);

	if (error)
		return error;
	if (w->open)
		gn_window_read(*window_of(o, w), &w->counts);
	*out = *w;
	return 0;
}

int gn_observer_stop(struct gn_observer *o, const char *vm, enum gn_window_kind kind,
                     struct gn_observation *out, struct gn_status *status)
{
	struct gn_observation *w;
	int error = find(o, vm, kind, &w, status);

	if (error)
		return error;
	if (w->open)
		close_window(o, w, GN_OBSERVATION_STOP);
	*out = *w;
	return 0;
}

uint64_t gn_observer_turn(struct gn_observer *o)
{
	uint64_t now_us = gn_clock_monotonic_us(), next_us;
	struct gn_observation *w;
	unsigned i;

	while ((w = gn_observation_due(&o->table, now_us)))
		close_window(o, w, GN_OBSERVATION_TIME);
	for (i = 0; i < GN_OBSERVATION_SLOTS; i++) {
		w = &o->table.slots[i];
		if (w->open && !gn_processes_is_alive(w->request.vm, w->process))
			close_window(o, w, GN_OBSERVATION_VM_GONE);
	}
	gn_observation_forget(&o->table, now_us);
	next_us = gn_observation_next_us(&o->table);
	if (next_us == UINT64_MAX)
		return next_us;
	return next_us < now_us + LOOK_US ? next_us : now_us + LOOK_US;
}
