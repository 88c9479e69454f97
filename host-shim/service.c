/* service.c - see service.h. Commands have their own threads, so that statistics flow while
 * a guest takes its time. One timer serves all that waits. */
#include "host-shim/service.h"
#include "firmware/core/clock.h"
#include "firmware/core/log.h"
#include "host-shim/agents.h"
#include "host-shim/execution.h"
#include "host-shim/observe_calls.h"
#include "host-shim/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_THREADS    4
#define QUERY_THREADS      2
#define MAX_COMMANDS       64
#define MAX_QUERIES        32
#define MAX_WAITERS        8
#define TICK_US            250000u
#define HOST_PATIENCE_US   1000000u /* then GetHost is answered from what is known */
#define DEADLINE_MARGIN_US 100000u  /* a late answer is given this long before the caller leaves */
#define DESTROY_WAIT_MS    3000

/* A command under way. Owner: control; while 'running', 'execution' is its thread's. */
struct operation {
	struct operation *next;
	struct gn_service *service;
	struct gn_execution execution;
	struct gn_channel_call *waiters[MAX_WAITERS];
	unsigned n_waiters;
	bool begun;          /* its first step was started: others on the same domain wait */
	bool running;        /* a step is on a thread */
	uint64_t due_us;     /* monotonic: when the next step is to run */
	uint64_t running_us; /* monotonic: since when */
	uint64_t wait_us;    /* what the last step returned */
};

/* A question under way, or one that nobody asked (call NULL): it keeps the connection up. */
struct query {
	struct query *next;
	struct gn_service *service;
	enum gn_wire_method method;
	struct gn_channel_call *call; /* NULL once answered */
	uint64_t asked_us;            /* monotonic */
	int error;
	struct gn_status status;
	struct gn_host_info info;
	struct gn_vm *vms;
	struct gn_vm_stats *stats;
	size_t n;
	uint64_t wall_us, monotonic_us;
	struct gn_host_drives *drives; /* NULL: not asked for */
};

struct period_job {
	struct gn_host *host;
	char name[GN_VM_NAME_SIZE];
	uint32_t seconds;
};

struct gn_service {
	struct gn_service_config config;
	struct gn_host *host;
	struct gn_journal *journal;
	struct gn_mutex journal_lock;
	struct gn_execution_world world;
	struct gn_worker_pool *commands, *queries;
	struct gn_observe_calls *observe;
	struct gn_agents *agents; /* NULL: the owner did not opt in */
	struct gn_channel_server *server;
	struct gn_channel_service channel_service;
	struct operation *operations;
	struct query *query_list;
	struct gn_host_info info;      /* the last known */
	struct gn_host_drives *drives; /* the same; NULL: none yet */
	bool connected, connect_pending, ending;
	uint64_t started_us; /* wall */
	sd_event_source *timer, *sources[3];
	struct gn_log_limit log_limit;
};

static void run_due(struct gn_service *s);

/* ---- commands: threads' side ------------------------------------------------------------- */

static void run_step(void *context)
{
	struct operation *op = context;

	op->wait_us = gn_execution_step(&op->service->world, &op->execution);
}

/* ---- commands: control -------------------------------------------------------------------- */

static void operation_unlink(struct operation *op)
{
	struct operation **at = &op->service->operations;

	while (*at != op)
		at = &(*at)->next;
	*at = op->next;
}

static void operation_free(struct operation *op)
{
	operation_unlink(op);
	gn_execution_fini(&op->execution);
	free(op);
}

/* One line, whatever the network or libvirt put into it. */
static void log_line(struct gn_service *s, enum gn_log_level level, char *line)
{
	char *p;

	for (p = line; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	gn_log_limited(&s->log_limit, level, "%s", line);
}

static void log_result(struct gn_service *s, const struct gn_execution *e)
{
	const struct gn_command *c = &e->command;
	bool ok = e->result.status.code == GN_OK;
	char line[1200];

	snprintf(line, sizeof line, "vms/%s: %s %s%s: %s%s%s (reason: %.200s)", c->vm,
	         gn_command_kind_name(c->kind), c->id, e->result.repeated ? " again" : "",
	         gn_code_name(e->result.status.code), ok ? "" : ": ",
	         ok ? "" : e->result.status.message, c->reason[0] ? c->reason : "none given");
	log_line(s, ok ? GN_LOG_INFO : GN_LOG_WARNING, line);
	if (e->journal_status.code)
		gn_log(GN_LOG_ERROR, "%s", e->journal_status.message);
}

static void answer_waiters(struct operation *op)
{
	unsigned i;

	for (i = 0; i < op->n_waiters; i++) {
		gn_wire_reply_result(op->waiters[i], &op->execution.result);
		op->execution.result.repeated = true; /* for the others */
	}
	op->n_waiters = 0;
}

static void step_done(void *context)
{
	struct operation *op = context;
	struct gn_service *s = op->service;

	op->running = false;
	if (op->wait_us) {
		op->due_us = gn_clock_monotonic_us() + op->wait_us;
	} else if (op->execution.voided && op->n_waiters) {
		op->due_us = 0;
	} else {
		log_result(s, &op->execution);
		answer_waiters(op);
		operation_free(op);
	}
	if (!s->ending)
		run_due(s);
}

static bool is_blocked(const struct operation *op)
{
	const struct operation *other;

	if (op->begun)
		return false;
	for (other = op->service->operations; other; other = other->next)
		if (other != op && other->begun &&
		    gn_execution_conflicts(&op->execution, &other->execution))
			return true;
	return false;
}

static void start_step(struct operation *op, uint64_t now_us)
{
	op->begun = true;
	op->running_us = now_us;
	op->wait_us = TICK_US; /* if the step is never run */
	op->running = gn_worker_submit(op->service->commands, run_step, step_done, op) == 0;
	if (!op->running)
		op->due_us = now_us + TICK_US;
}

static struct operation *operation_find(struct gn_service *s, const char *id)
{
	struct operation *op;

	for (op = s->operations; op; op = op->next)
		if (!strcmp(op->execution.command.id, id))
			return op;
	return NULL;
}

/* Appends: first come, first served. */
static void operation_add(struct gn_service *s, struct operation *op)
{
	struct operation **at = &s->operations;

	while (*at)
		at = &(*at)->next;
	op->service = s;
	op->next = NULL;
	*at = op;
}

static void fail_call(struct gn_channel_call *call, enum gn_code code, const char *message)
{
	struct gn_status status;

	gn_status_set(&status, code, "%s", message);
	gn_channel_fail(call, &status);
}

/* The same command again, while the first is under way: it gets the same answer. */
static void join(struct operation *op, const struct gn_wire_bytes *packed,
                 struct gn_channel_call *call)
{
	struct gn_result result = {0};

	if (op->execution.packed.size != packed->size ||
	    memcmp(op->execution.packed.data, packed->data, packed->size)) {
		strcpy(result.id, op->execution.command.id);
		gn_status_set(&result.status, GN_INVALID_ARGUMENT,
		              "another command was sent with the id '%s'; ids are for ever",
		              result.id);
		gn_wire_reply_result(call, &result);
	} else if (op->n_waiters == MAX_WAITERS) {
		fail_call(call, GN_RESOURCE_EXHAUSTED,
		          "too many calls wait for this command's result; ask again later");
	} else {
		op->waiters[op->n_waiters++] = call;
	}
}

static unsigned count_operations(const struct gn_service *s)
{
	const struct operation *op;
	unsigned n = 0;

	for (op = s->operations; op; op = op->next)
		n++;
	return n;
}

static void accept_command(struct gn_service *s, const struct gn_command *command,
                           struct gn_wire_bytes packed, struct gn_channel_call *call)
{
	struct operation *op = operation_find(s, command->id);

	if (op) {
		join(op, &packed, call);
		free(packed.data);
		return;
	}
	op = count_operations(s) < MAX_COMMANDS ? calloc(1, sizeof *op) : NULL;
	if (!op) {
		fail_call(call, GN_RESOURCE_EXHAUSTED,
		          "too many commands are under way; nothing was done; send it again later");
		free(packed.data);
		return;
	}
	gn_execution_init(&op->execution, command, packed);
	op->waiters[op->n_waiters++] = call;
	operation_add(s, op);
	run_due(s);
}

static void on_execute(void *context, struct gn_channel_call *call, const ProtobufCMessage *request)
{
	struct gn_service *s = context;
	struct gn_command *command = malloc(sizeof *command);
	struct gn_wire_bytes packed = {0};
	struct gn_result result = {0};
	char line[GN_STATUS_MESSAGE_SIZE + 64];

	if (!command || gn_wire_pack(request, &packed)) {
		fail_call(call, GN_RESOURCE_EXHAUSTED, "gnomon-shim is out of memory");
	} else if (gn_wire_command(request, command, &result.status)) {
		memcpy(result.id, command->id, sizeof result.id);
		snprintf(line, sizeof line, "a command was refused: %s", result.status.message);
		log_line(s, GN_LOG_WARNING, line);
		gn_wire_reply_result(call, &result);
		free(packed.data);
	} else {
		accept_command(s, command, packed, call);
	}
	free(command);
}

static bool is_under_way(void *context, const char *id)
{
	return operation_find(context, id) != NULL;
}

/* Takes up what a previous process began. Before any thread runs. */
static int resume_unfinished(struct gn_service *s, struct gn_status *status)
{
	const struct gn_journal_entry *entry;

	while ((entry = gn_journal_unfinished(s->journal, is_under_way, s))) {
		struct operation *op = calloc(1, sizeof *op);
		int error = op ? gn_execution_resume(&op->execution, entry) : -ENOMEM;

		if (error) {
			free(op);
			return gn_status_set(status, GN_DATA_LOSS,
			                     "the journal's entry '%s' cannot be read; make sure "
			                     "that no command is under way, then move the journal "
			                     "away",
			                     entry->id);
		}
		gn_log(GN_LOG_WARNING,
		       "vms/%s: %s %s was begun before a restart; finding out what "
		       "became of it",
		       op->execution.command.vm, gn_command_kind_name(op->execution.command.kind),
		       entry->id);
		operation_add(s, op);
	}
	return 0;
}

/* ---- questions ---------------------------------------------------------------------------------
 */

static void read_drives(struct query *q)
{
	const char *directory = q->service->config.drives;

	if (directory && (q->drives = malloc(sizeof *q->drives)))
		gn_host_drives_read(directory, gn_clock_wall_us(), q->drives);
}

static void run_query(void *context)
{
	struct query *q = context;
	struct gn_host *host = q->service->host;
	struct gn_processes *processes = gn_observe_calls_processes(q->service->observe);

	switch (q->method) {
	case GN_WIRE_LIST_VMS:
		q->error = gn_host_list_vms(host, &q->vms, &q->n, &q->status);
		break;
	case GN_WIRE_GET_STATS:
		q->error = gn_host_get_free_memory(host, &q->info.memory_free_bytes, &q->status);
		if (!q->error)
			q->error = gn_host_get_stats(host, &q->stats, &q->n, &q->status);
		if (!q->error && processes)
			gn_processes_fill(processes, q->stats, q->n);
		if (!q->error && q->service->agents)
			gn_agents_fill(q->service->agents, q->stats, q->n);
		q->wall_us = gn_clock_wall_us();
		q->monotonic_us = gn_clock_monotonic_us();
		break;
	case GN_WIRE_GET_HOST:
		read_drives(q);
		/* fall through */
	case GN_WIRE_EXECUTE:
		q->error = gn_host_get_info(host, &q->info, &q->status);
		break;
	}
}

static void set_period(void *context)
{
	struct period_job *job = context;

	gn_host_set_stats_period(job->host, job->name, job->seconds, NULL);
}

/* The guest is asked to report its memory use, once it has a balloon that does not. */
static void ask_for_reports(struct gn_service *s, const struct query *q)
{
	size_t i;

	for (i = 0; i < q->n && s->config.stats_period_s; i++) {
		struct period_job *job;

		if (!q->stats[i].wants_period || !(job = calloc(1, sizeof *job)))
			continue;
		job->host = s->host;
		job->seconds = s->config.stats_period_s;
		memcpy(job->name, q->stats[i].name, sizeof job->name);
		if (gn_worker_submit(s->commands, set_period, free, job))
			free(job);
	}
}

static void answer_query(struct gn_service *s, struct query *q)
{
	struct gn_channel_call *call = q->call;

	q->call = NULL;
	if (q->method == GN_WIRE_GET_HOST)
		gn_wire_reply_host(call, &s->info, s->drives, s->config.libvirt_uri, !q->error,
		                   s->started_us);
	else if (q->error)
		gn_channel_fail(call, &q->status);
	else if (q->method == GN_WIRE_LIST_VMS)
		gn_wire_reply_vms(call, q->vms, q->n);
	else
		gn_wire_reply_stats(call, q->stats, q->n, q->wall_us, q->monotonic_us,
		                    q->info.memory_free_bytes);
}

static void note_connection(struct gn_service *s, const struct query *q)
{
	bool connected = !q->error;

	if (q->error && q->status.code != GN_UNAVAILABLE)
		return;
	if (connected != s->connected && connected)
		gn_log(GN_LOG_INFO, "connected to libvirt at %s", s->config.libvirt_uri);
	else if (connected != s->connected)
		gn_log(GN_LOG_WARNING, "%s; trying again", q->status.message);
	s->connected = connected;
}

/* What is wrong with them is said once, not at every question. */
static void take_drives(struct gn_service *s, struct query *q)
{
	if (!q->drives)
		return;
	if (q->drives->trouble[0] && (!s->drives || strcmp(q->drives->trouble, s->drives->trouble)))
		gn_log(GN_LOG_WARNING, "drives: %s", q->drives->trouble);
	free(s->drives);
	s->drives = q->drives;
}

static void query_done(void *context)
{
	struct query *q = context, **at;
	struct gn_service *s = q->service;

	if (!q->error && (q->method == GN_WIRE_GET_HOST || q->method == GN_WIRE_EXECUTE))
		s->info = q->info;
	take_drives(s, q);
	note_connection(s, q);
	if (q->call)
		answer_query(s, q);
	else if (q->method == GN_WIRE_EXECUTE)
		s->connect_pending = false;
	if (!q->error && q->method == GN_WIRE_GET_STATS && !s->ending)
		ask_for_reports(s, q);
	for (at = &s->query_list; *at != q;)
		at = &(*at)->next;
	*at = q->next;
	free(q->vms);
	gn_agents_release(q->stats, q->n);
	free(q->stats);
	free(q);
}

static int ask(struct gn_service *s, enum gn_wire_method method, struct gn_channel_call *call)
{
	struct query *q = calloc(1, sizeof *q);

	if (!q)
		return -ENOMEM;
	q->service = s;
	q->method = method;
	q->call = call;
	q->error = -ECANCELED; /* if it is never run */
	q->asked_us = gn_clock_monotonic_us();
	q->next = s->query_list;
	if (gn_worker_submit(s->queries, run_query, query_done, q)) {
		free(q);
		return -EAGAIN;
	}
	s->query_list = q;
	run_due(s);
	return 0;
}

static void on_query(struct gn_service *s, enum gn_wire_method method, struct gn_channel_call *call)
{
	if (ask(s, method, call) == 0)
		return;
	if (method == GN_WIRE_GET_HOST)
		gn_wire_reply_host(call, &s->info, s->drives, s->config.libvirt_uri, false,
		                   s->started_us);
	else
		fail_call(call, GN_UNAVAILABLE,
		          "libvirt does not answer, and too many questions wait for it already; "
		          "look at libvirtd on this host");
}

static void on_get_host(void *context, struct gn_channel_call *call,
                        const ProtobufCMessage *request)
{
	on_query(context, GN_WIRE_GET_HOST, call);
}

static void on_list_vms(void *context, struct gn_channel_call *call,
                        const ProtobufCMessage *request)
{
	on_query(context, GN_WIRE_LIST_VMS, call);
}

static void on_get_stats(void *context, struct gn_channel_call *call,
                         const ProtobufCMessage *request)
{
	on_query(context, GN_WIRE_GET_STATS, call);
}

/* ---- time
 * ---------------------------------------------------------------------------------------- */

/* When its caller has to be answered at the latest, wall time. */
static uint64_t leaving_us(const struct gn_channel_call *call)
{
	uint64_t deadline_us = gn_channel_call_deadline_us(call);

	return deadline_us > DEADLINE_MARGIN_US ? deadline_us - DEADLINE_MARGIN_US : UINT64_MAX;
}

static bool is_leaving(const struct gn_channel_call *call, uint64_t wall_us)
{
	return wall_us >= leaving_us(call);
}

/* Whoever is about to give up is told why. */
static void tell_waiters(struct operation *op, uint64_t now_us, uint64_t wall_us)
{
	unsigned i = 0;
	char message[256];

	while (i < op->n_waiters) {
		if (!is_leaving(op->waiters[i], wall_us)) {
			i++;
			continue;
		}
		if (op->running)
			snprintf(message, sizeof message,
			         "libvirt has been at %s for %llu ms; ask again with the same "
			         "command for its result",
			         gn_command_kind_name(op->execution.command.kind),
			         (unsigned long long)(now_us - op->running_us) / 1000);
		else
			snprintf(message, sizeof message,
			         "the command is %s; ask again with the same command for its "
			         "result",
			         op->begun ? "still being verified"
			                   : "waiting for another one on the same VM");
		fail_call(op->waiters[i], GN_DEADLINE_EXCEEDED, message);
		op->waiters[i] = op->waiters[--op->n_waiters];
	}
}

static void tell_askers(struct gn_service *s, uint64_t now_us, uint64_t wall_us)
{
	struct query *q;

	for (q = s->query_list; q; q = q->next) {
		if (q->call && q->method == GN_WIRE_GET_HOST &&
		    (now_us - q->asked_us > HOST_PATIENCE_US || is_leaving(q->call, wall_us))) {
			gn_wire_reply_host(q->call, &s->info, s->drives, s->config.libvirt_uri,
			                   false, s->started_us);
			q->call = NULL;
		} else if (q->call && is_leaving(q->call, wall_us)) {
			fail_call(
			        q->call, GN_DEADLINE_EXCEEDED,
			        "libvirt has not answered in time; look at libvirtd on this host");
			q->call = NULL;
		}
	}
}

static void keep_connected(struct gn_service *s)
{
	if (s->connect_pending || gn_host_connected(s->host))
		return;
	/* GN_WIRE_EXECUTE stands for "nobody's question" here. */
	s->connect_pending = ask(s, GN_WIRE_EXECUTE, NULL) == 0;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void arm(struct gn_service *s, uint64_t at_us)
{
	sd_event_source_set_time(s->timer, at_us);
	sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

/* When (monotonic) somebody has to be told that it takes too long; at most 'next_us'. */
static uint64_t next_leaving(const struct gn_service *s, uint64_t now_us, uint64_t next_us)
{
	uint64_t wall_us = gn_clock_wall_us(), first_us = UINT64_MAX;
	const struct operation *op;
	const struct query *q;
	unsigned i;

	for (op = s->operations; op; op = op->next)
		for (i = 0; i < op->n_waiters; i++)
			first_us = earlier(first_us, leaving_us(op->waiters[i]));
	for (q = s->query_list; q; q = q->next)
		if (q->call)
			first_us = earlier(first_us, leaving_us(q->call));
	if (first_us == UINT64_MAX)
		return next_us;
	return earlier(next_us, first_us > wall_us ? now_us + (first_us - wall_us) : now_us);
}

/* Starts every step that is due and sets the timer for the next one. */
static void run_due(struct gn_service *s)
{
	uint64_t now_us = gn_clock_monotonic_us(), next_us = now_us + TICK_US;
	struct operation *op;

	for (op = s->operations; op; op = op->next) {
		if (!op->running && op->due_us <= now_us && !is_blocked(op))
			start_step(op, now_us);
		if (!op->running && op->due_us > now_us)
			next_us = earlier(next_us, op->due_us);
	}
	arm(s, next_leaving(s, now_us, next_us));
}

static int on_timer(sd_event_source *source, uint64_t usec, void *context)
{
	struct gn_service *s = context;
	uint64_t now_us = gn_clock_monotonic_us(), wall_us = gn_clock_wall_us();
	struct operation *op;

	for (op = s->operations; op; op = op->next)
		tell_waiters(op, now_us, wall_us);
	tell_askers(s, now_us, wall_us);
	keep_connected(s);
	run_due(s);
	return 0;
}

/* ---- life
 * ----------------------------------------------------------------------------------------- */

static int on_server(sd_event_source *source, int fd, uint32_t events, void *context)
{
	gn_channel_server_process(((struct gn_service *)context)->server);
	return 0;
}

static int on_worker(sd_event_source *source, int fd, uint32_t events, void *context)
{
	gn_worker_process(context);
	return 0;
}

#define OBSERVE_HANDLER(name, method)                                                              \
	static void name(void *context, struct gn_channel_call *call,                              \
	                 const ProtobufCMessage *request)                                          \
	{                                                                                          \
		gn_observe_calls_take(((struct gn_service *)context)->observe, method, call,       \
		                      request);                                                    \
	}
OBSERVE_HANDLER(on_list_probes, GN_WIRE_LIST_PROBES)
OBSERVE_HANDLER(on_list_threads, GN_WIRE_LIST_THREADS)
OBSERVE_HANDLER(on_observe, GN_WIRE_OBSERVE)
OBSERVE_HANDLER(on_stop_observe, GN_WIRE_STOP_OBSERVE)
OBSERVE_HANDLER(on_get_observation, GN_WIRE_GET_OBSERVATION)

static gn_channel_handler *const handlers[GN_WIRE_METHODS] = {
        [GN_WIRE_GET_HOST] = on_get_host,
        [GN_WIRE_LIST_VMS] = on_list_vms,
        [GN_WIRE_GET_STATS] = on_get_stats,
        [GN_WIRE_EXECUTE] = on_execute,
        [GN_WIRE_LIST_PROBES] = on_list_probes,
        [GN_WIRE_LIST_THREADS] = on_list_threads,
        [GN_WIRE_OBSERVE] = on_observe,
        [GN_WIRE_STOP_OBSERVE] = on_stop_observe,
        [GN_WIRE_GET_OBSERVATION] = on_get_observation,
};

static int watch(struct gn_service *s, sd_event *event)
{
	int error = sd_event_add_io(event, &s->sources[0], gn_channel_server_fd(s->server), EPOLLIN,
	                            on_server, s);

	if (error >= 0)
		error = sd_event_add_io(event, &s->sources[1], gn_worker_fd(s->commands), EPOLLIN,
		                        on_worker, s->commands);
	if (error >= 0)
		error = sd_event_add_io(event, &s->sources[2], gn_worker_fd(s->queries), EPOLLIN,
		                        on_worker, s->queries);
	if (error >= 0)
		error = sd_event_add_time(event, &s->timer, CLOCK_BOOTTIME, 0, 1000, on_timer, s);
	return error < 0 ? error : 0;
}

static int create_parts(struct gn_service *s, struct gn_status *status)
{
	int error = gn_journal_open(s->config.journal_path, &s->journal, status);

	if (!error)
		error = resume_unfinished(s, status);
	if (!error)
		error = gn_host_create(s->config.libvirt_uri, &s->host, status);
	if (error)
		return error;
	s->world = (struct gn_execution_world){
	        .host = s->host,
	        .journal = s->journal,
	        .journal_lock = &s->journal_lock,
	        .limits = &s->config.limits,
	        .verify_us = s->config.verify_us,
	        .settle_us = s->config.settle_us,
	};
	s->channel_service = (struct gn_channel_service){
	        .descriptor = gn_wire_service(), .handlers = handlers, .context = s};
	if (gn_worker_create(COMMAND_THREADS, 2 * MAX_COMMANDS, &s->commands) ||
	    gn_worker_create(QUERY_THREADS, MAX_QUERIES, &s->queries))
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "cannot start threads");
	return gn_channel_server_create(s->config.url, s->config.tls, &s->channel_service, 1,
	                                &s->server, status);
}

int gn_service_create(const struct gn_service_config *config, sd_event *event,
                      struct gn_service **out, struct gn_status *status)
{
	struct gn_service *s = calloc(1, sizeof *s);
	int error;

	if (!s)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	s->config = *config;
	s->started_us = gn_clock_wall_us();
	s->log_limit.burst = 20;
	gn_mutex_init(&s->journal_lock);
	error = gn_observe_calls_create(config->observe, event, &s->observe, status);
	if (!error && config->agents && gn_agents_create(config->agents, &s->agents))
		error = gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	if (!error)
		error = create_parts(s, status);
	if (!error) {
		error = watch(s, event);
		if (error)
			gn_status_set(status, GN_INTERNAL, "event loop: %s", strerror(-error));
	}
	if (error) {
		gn_service_destroy(s);
		return error;
	}
	*out = s;
	return 0;
}

uint16_t gn_service_port(const struct gn_service *s)
{
	return gn_channel_server_port(s->server);
}

static void leave_calls(struct gn_service *s)
{
	struct operation *op;
	struct query *q;
	unsigned i;

	for (op = s->operations; op; op = op->next) {
		for (i = 0; i < op->n_waiters; i++)
			fail_call(op->waiters[i], GN_UNAVAILABLE,
			          "gnomon-shim is ending; ask again with the same command");
		op->n_waiters = 0;
	}
	for (q = s->query_list; q; q = q->next) {
		if (q->call)
			fail_call(q->call, GN_UNAVAILABLE, "gnomon-shim is ending");
		q->call = NULL;
	}
}

unsigned gn_service_destroy(struct gn_service *s)
{
	unsigned hanging, i;

	if (!s)
		return 0;
	s->ending = true;
	for (i = 0; i < sizeof s->sources / sizeof s->sources[0]; i++)
		sd_event_source_unref(s->sources[i]);
	sd_event_source_unref(s->timer);
	leave_calls(s);
	hanging = gn_worker_destroy(s->commands, DESTROY_WAIT_MS);
	hanging += gn_worker_destroy(s->queries, DESTROY_WAIT_MS);
	hanging += gn_observe_calls_destroy(hanging ? NULL : s->observe);
	gn_channel_server_destroy(s->server);
	if (hanging)
		return hanging; /* they still use the rest */
	while (s->operations)
		operation_free(s->operations);
	gn_agents_destroy(s->agents);
	free(s->drives);
	gn_host_destroy(s->host);
	gn_journal_close(s->journal);
	gn_mutex_destroy(&s->journal_lock);
	free(s);
	return 0;
}
