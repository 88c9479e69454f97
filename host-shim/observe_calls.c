/* observe_calls.c - see observe_calls.h. The observer belongs to the pool's single thread; the
 * event loop's thread only hands jobs over and answers with what they brought. */
#include "host-shim/observe_calls.h"

#include <stdlib.h>
#include <string.h>

#include "firmware/core/clock.h"
#include "firmware/core/log.h"
#include "host-shim/worker.h"

#define MAX_JOBS        32
#define DESTROY_WAIT_MS 3000

struct gn_observe_calls {
	const struct gn_observation_rules *rules; /* NULL: off */
	struct gn_processes *processes;
	struct gn_observer *observer;
	struct gn_worker_pool *pool;
	struct job *jobs;
	sd_event_source *source, *timer;
	bool turning; /* a job without a call is on its way */
	bool ending;
};

struct job {
	struct job *next;
	struct gn_observe_calls *owner;
	bool is_turn;                 /* nobody asked for it, the time came */
	struct gn_channel_call *call; /* the event loop's alone; NULL once answered */
	enum gn_wire_observe method;
	struct gn_observation_request request;
	/* What it brought. */
	int error;
	struct gn_status status;
	struct gn_observer_probe probes[GN_OBSERVER_PROBES];
	struct gn_tasks_record *records;
	size_t n_records;
	uint64_t monotonic_us;
	struct gn_observation observation;
	uint64_t next_us; /* when the observer wants its turn */
};

/* ---- the observer's thread ----------------------------------------------------------------- */

static void list_threads(struct job *j)
{
	struct gn_observe_calls *c = j->owner;

	if (!c->rules->threads)
		j->error = gn_status_set(&j->status, GN_PERMISSION_DENIED,
		                         "this host's owner does not allow to read threads; see "
		                         "observe.threads in gnomon-shim.yaml");
	else
		j->error = gn_observation_check_vm(c->rules, j->request.vm, &j->status);
	if (!j->error)
		j->error = gn_processes_threads(c->processes, j->request.vm, &j->records,
		                                &j->n_records, &j->status);
	j->monotonic_us = gn_clock_monotonic_us();
}

static void answer_for(struct job *j)
{
	struct gn_observer *o = j->owner->observer;
	const struct gn_observation_request *r = &j->request;

	switch (j->method) {
	case GN_WIRE_LIST_PROBES:
		gn_observer_probe(o, j->probes);
		j->error = 0;
		break;
	case GN_WIRE_LIST_THREADS:
		list_threads(j);
		break;
	case GN_WIRE_OBSERVE:
		j->error = gn_observer_open(o, r, &j->observation, &j->status);
		break;
	case GN_WIRE_STOP_OBSERVE:
		j->error = gn_observer_stop(o, r->vm, r->kind, &j->observation, &j->status);
		break;
	case GN_WIRE_GET_OBSERVATION:
		j->error = gn_observer_read(o, r->vm, r->kind, &j->observation, &j->status);
		break;
	}
}

static void run(void *context)
{
	struct job *j = context;

	if (!j->is_turn)
		answer_for(j);
	j->next_us = gn_observer_turn(j->owner->observer);
}

/* ---- the event loop's thread ----------------------------------------------------------------- */

static void log_opened(const struct job *j)
{
	const struct gn_observation_request *r = &j->request;
	char reason[128];
	size_t i;

	for (i = 0; r->reason[i] && i < sizeof reason - 1; i++)
		reason[i] = (unsigned char)r->reason[i] < ' ' || r->reason[i] == 0x7f
		                    ? ' '
		                    : r->reason[i];
	reason[i] = '\0';
	gn_log(j->error ? GN_LOG_WARNING : GN_LOG_INFO,
	       "vms/%s: observe %s for %llu ms, %s: %s%s (reason: %s)", r->vm,
	       gn_window_kind_name(r->kind), (unsigned long long)r->duration_us / 1000, r->id,
	       j->error ? gn_code_name(j->status.code) : "open", j->error ? " " : "",
	       reason[0] ? reason : "none given");
}

static void reply(struct job *j)
{
	if (j->method == GN_WIRE_OBSERVE)
		log_opened(j);
	if (j->error)
		gn_channel_fail(j->call, &j->status);
	else if (j->method == GN_WIRE_LIST_PROBES)
		gn_wire_reply_probes(j->call, j->probes, j->owner->rules);
	else if (j->method == GN_WIRE_LIST_THREADS)
		gn_wire_reply_threads(j->call, j->request.vm, j->records, j->n_records,
		                      j->monotonic_us);
	else
		gn_wire_reply_observation(j->call, &j->observation);
}

static void done(void *context)
{
	struct job *j = context, **at;
	struct gn_observe_calls *c = j->owner;

	for (at = &c->jobs; *at != j;)
		at = &(*at)->next;
	*at = j->next;
	if (j->call)
		reply(j);
	if (j->is_turn)
		c->turning = false;
	if (!c->ending && j->next_us != UINT64_MAX) {
		sd_event_source_set_time(c->timer, j->next_us);
		sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
	}
	free(j->records);
	free(j);
}

static int submit(struct gn_observe_calls *c, struct job *j)
{
	int error;

	j->owner = c;
	j->next_us = UINT64_MAX;
	j->error = gn_status_set(&j->status, GN_UNAVAILABLE, "gnomon-shim is ending");
	j->next = c->jobs;
	error = gn_worker_submit(c->pool, run, done, j);
	if (!error)
		c->jobs = j;
	return error;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *context)
{
	struct gn_observe_calls *c = context;
	struct job *j = c->turning ? NULL : calloc(1, sizeof *j);

	if (!j)
		return 0;
	j->is_turn = true;
	c->turning = submit(c, j) == 0;
	if (!c->turning)
		free(j);
	return 0;
}

static void fail(struct gn_channel_call *call, enum gn_code code, const char *message)
{
	struct gn_status status;

	gn_status_set(&status, code, "%s", message);
	gn_channel_fail(call, &status);
}

static int decode(enum gn_wire_observe method, const ProtobufCMessage *request,
                  struct gn_observation_request *out, struct gn_status *status)
{
	switch (method) {
	case GN_WIRE_LIST_PROBES:
		return 0;
	case GN_WIRE_LIST_THREADS:
		return gn_wire_vm_name(request, out, status);
	case GN_WIRE_OBSERVE:
		return gn_wire_observe_request(request, out, status);
	case GN_WIRE_STOP_OBSERVE:
	case GN_WIRE_GET_OBSERVATION:
		return gn_wire_observation_name(request, out, status);
	}
	return -1;
}

/* Of a host whose owner did not opt in. */
static void refuse(enum gn_wire_observe method, struct gn_channel_call *call)
{
	static const struct gn_observation_rules nothing = {0};
	struct gn_observer_probe probes[GN_OBSERVER_PROBES] = {{.name = "threads"}};
	unsigned i;

	if (method != GN_WIRE_LIST_PROBES) {
		fail(call, GN_PERMISSION_DENIED,
		     "this host's owner has not opted in to being observed; see observe in "
		     "gnomon-shim.yaml");
		return;
	}
	for (i = 0; i < GN_WINDOW_KINDS; i++)
		probes[1 + i].name = gn_window_kind_name((enum gn_window_kind)i);
	gn_wire_reply_probes(call, probes, &nothing);
}

void gn_observe_calls_take(struct gn_observe_calls *c, enum gn_wire_observe method,
                           struct gn_channel_call *call, const ProtobufCMessage *request)
{
	struct gn_status status;
	struct job *j;

	if (!c->rules) {
		refuse(method, call);
		return;
	}
	j = calloc(1, sizeof *j);
	if (!j) {
		fail(call, GN_RESOURCE_EXHAUSTED, "gnomon-shim is out of memory");
		return;
	}
	j->method = method;
	if (decode(method, request, &j->request, &status)) {
		gn_channel_fail(call, &status);
		free(j);
		return;
	}
	j->call = call;
	if (submit(c, j)) {
		fail(call, GN_UNAVAILABLE,
		     "too many calls about observing wait already; ask again later");
		free(j);
	}
}

static int on_pool(sd_event_source *source, int fd, uint32_t events, void *context)
{
	gn_worker_process(context);
	return 0;
}

static int start(struct gn_observe_calls *c, sd_event *event, struct gn_status *status)
{
	int error = gn_processes_create(&c->processes, status);

	if (error)
		return error;
	if (gn_observer_create(c->rules, c->processes, &c->observer) ||
	    gn_worker_create(1, MAX_JOBS, &c->pool))
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "no memory or thread for observing");
	error = sd_event_add_io(event, &c->source, gn_worker_fd(c->pool), EPOLLIN, on_pool,
	                        c->pool);
	if (error >= 0)
		error = sd_event_add_time(event, &c->timer, CLOCK_BOOTTIME, 0, 1000, on_timer, c);
	if (error >= 0)
		error = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
	if (error < 0)
		return gn_status_set(status, GN_INTERNAL, "event loop: %s", strerror(-error));
	return 0;
}

int gn_observe_calls_create(const struct gn_observation_rules *rules, sd_event *event,
                            struct gn_observe_calls **out, struct gn_status *status)
{
	struct gn_observe_calls *c = calloc(1, sizeof *c);
	int error = 0;

	if (!c)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	c->rules = rules;
	if (rules)
		error = start(c, event, status);
	if (error) {
		gn_observe_calls_destroy(c);
		return error;
	}
	*out = c;
	return 0;
}

struct gn_processes *gn_observe_calls_processes(struct gn_observe_calls *c)
{
	return c->rules && c->rules->threads ? c->processes : NULL;
}

unsigned gn_observe_calls_destroy(struct gn_observe_calls *c)
{
	unsigned hanging;
	struct job *j;

	if (!c)
		return 0;
	c->ending = true;
	sd_event_source_unref(c->source);
	sd_event_source_unref(c->timer);
	for (j = c->jobs; j; j = j->next) {
		if (j->call)
			fail(j->call, GN_UNAVAILABLE, "gnomon-shim is ending");
		j->call = NULL;
	}
	hanging = gn_worker_destroy(c->pool, DESTROY_WAIT_MS);
	if (hanging)
		return hanging; /* it still uses the rest */
	gn_observer_destroy(c->observer);
	gn_processes_destroy(c->processes);
	free(c);
	return 0;
}
