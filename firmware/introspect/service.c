/* service.c - VMs, their parsers and the connection to the dataplane (service.h). */
#include "firmware/introspect/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "firmware/core/clock.h"
#include "firmware/core/log.h"
#include "firmware/introspect/child.h"
#include "firmware/introspect/publish.h"
#include "firmware/introspect/sandbox.h"
#include "firmware/introspect/source.h"

#define TICK_US        200000u
#define RECONNECT_US   1000000u
#define ORPHAN_US      10000000u /* a dataplane that restarts may need that long */
#define BACKOFF_US     1000000u  /* doubles with every failure in a row */
#define BACKOFF_MAX_US 60000000u
#define GOOD_US        60000000u /* a parser that lived so long did not fail at once */
#define SETTLE_US      100000u /* between two parsers of a VM whose memory changes again and again */

struct vm {
	LIST_ENTRY(vm) link;
	struct gn_introspect_service *service;
	struct gn_source_table table; /* n_regions 0: no memory */
	struct gn_child child;
	sd_event_source *source;
	unsigned n_failures; /* in a row */
	uint64_t started_us;
	uint64_t restart_us;
	uint64_t orphan_since_us; /* 0: the dataplane vouches for the memory */
	uint64_t heard_us;
	uint64_t said_us; /* newest sample that told why there is none */
	uint64_t sequence;
};

struct gn_introspect_service {
	sd_event *event;
	const struct gn_introspect_config *config;
	struct gn_observer_config observer;
	struct gn_channel_publisher *publisher;
	uint64_t epoch;
	LIST_HEAD(, vm) vms;
	int ram_fd; /* -1: not connected */
	sd_event_source *ram_source;
	uint64_t reconnect_us;
	bool has_complained;
	sd_event_source *timer;
	struct gn_report report; /* scratch */
};

/* ---- publishing --------------------------------------------------------------------------- */

static void publish(struct vm *vm, const struct gn_report *report)
{
	struct gn_introspect_service *s = vm->service;
	const struct gn_publish_stamp stamp = {
	        .vm = vm->table.message.vm,
	        .wall_us = gn_clock_wall_us(),
	        .monotonic_us = gn_clock_monotonic_us(),
	        .period_us = s->observer.period_us,
	        .sequence = ++vm->sequence,
	        .epoch = s->epoch,
	};
	int err = gn_publish_report(s->publisher, &stamp, report);

	if (err) {
		static struct gn_log_limit limit = {.burst = 1};

		gn_log_limited(&limit, GN_LOG_WARNING, "%s: a sample cannot be published: %s",
		               stamp.vm, strerror(-err));
	}
}

static void publish_state(struct vm *vm, enum gn_guest_state state, const char *reason)
{
	struct gn_report *report = &vm->service->report;

	memset(report, 0, sizeof *report);
	report->state = state;
	strncpy(report->reason, reason, sizeof report->reason - 1);
	vm->said_us = gn_clock_monotonic_us();
	publish(vm, report);
}

/* ---- parsers -------------------------------------------------------------------------------- */

static void stop_parser(struct vm *vm, int *status)
{
	vm->source = sd_event_source_disable_unref(vm->source);
	gn_child_stop(&vm->child, status);
}

static void fail_parser(struct vm *vm, const char *why)
{
	uint64_t now_us = gn_clock_monotonic_us(), wait = BACKOFF_US;
	int status = 0;

	stop_parser(vm, &status);
	if (now_us - vm->started_us > GOOD_US)
		vm->n_failures = 0;
	for (unsigned i = 0; i < vm->n_failures && wait < BACKOFF_MAX_US; i++)
		wait *= 2;
	vm->n_failures++;
	vm->restart_us = now_us + (wait < BACKOFF_MAX_US ? wait : BACKOFF_MAX_US);
	gn_log(GN_LOG_WARNING, "%s: the parser of its memory %s (%s %d); it starts again in %llu s",
	       vm->table.message.vm, why, WIFSIGNALED(status) ? "signal" : "exit status",
	       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
	       (unsigned long long)(vm->restart_us - now_us) / 1000000);
	publish_state(
	        vm, GN_GUEST_UNSUPPORTED,
	        "the parser of the guest's memory ended unexpectedly: the guest damaged it, or "
	        "its memory was taken away; it is started again");
}

static int on_report(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct vm *vm = userdata;
	struct gn_report *report = &vm->service->report;
	int got;

	while ((got = gn_child_receive(&vm->child, gn_clock_monotonic_us(), report)) == 1) {
		vm->heard_us = gn_clock_monotonic_us();
		publish(vm, report);
	}
	if (got < 0)
		fail_parser(vm, got == -EPIPE       ? "ended"
		                : got == -EOVERFLOW ? "sent too much"
		                                    : "sent nonsense");
	return 0;
}

static void start_parser(struct vm *vm)
{
	struct gn_introspect_service *s = vm->service;
	int err = gn_child_start(&vm->table.message, vm->table.fds, &s->observer, &vm->child);

	vm->started_us = vm->heard_us = gn_clock_monotonic_us();
	if (!err) {
		err = sd_event_add_io(s->event, &vm->source, vm->child.fd, EPOLLIN, on_report, vm);
		if (err < 0)
			gn_child_stop(&vm->child, NULL);
	}
	if (err < 0) {
		vm->restart_us = vm->started_us + BACKOFF_US;
		gn_log(GN_LOG_WARNING, "%s: no process for its memory: %s", vm->table.message.vm,
		       strerror(-err));
	}
}

/* ---- memory ------------------------------------------------------------------------------------
 */

static struct vm *find(struct gn_introspect_service *s, const char *name)
{
	struct vm *vm;

	LIST_FOREACH(vm, &s->vms, link)
	if (strcmp(vm->table.message.vm, name) == 0)
		break;
	return vm;
}

static void forget(struct vm *vm)
{
	stop_parser(vm, NULL);
	gn_source_close_fds(&vm->table);
	publish_state(vm, GN_GUEST_NO_MEMORY,
	              "the dataplane does not have the VM's memory any more");
	LIST_REMOVE(vm, link);
	free(vm);
}

static bool is_same_memory(const struct gn_source_table *a, const struct gn_source_table *b)
{
	if (a->message.n_regions != b->message.n_regions ||
	    memcmp(a->message.regions, b->message.regions,
	           a->message.n_regions * sizeof *a->message.regions) != 0)
		return false;
	for (uint32_t i = 0; i < a->message.n_regions; i++) {
		struct stat x, y;

		if (fstat(a->fds[i], &x) != 0 || fstat(b->fds[i], &y) != 0 ||
		    x.st_dev != y.st_dev || x.st_ino != y.st_ino)
			return false;
	}
	return true;
}

/* Another table means another guest, or the same after a reset: nothing known stays. Only a
 * dataplane that was restarted may hand out the same again. A front end that sends tables without
 * end gets a parser now and then (tend()), so that the other VMs' are served. */
static void take_table(struct gn_introspect_service *s, struct gn_source_table *table)
{
	struct vm *vm = find(s, table->message.vm);

	if (!vm) {
		vm = calloc(1, sizeof *vm);
		if (!vm) {
			gn_source_close_fds(table);
			return;
		}
		vm->service = s;
		LIST_INSERT_HEAD(&s->vms, vm, link);
	}
	if (vm->child.pid && vm->orphan_since_us && is_same_memory(&vm->table, table)) {
		vm->orphan_since_us = 0;
		gn_source_close_fds(table);
		return;
	}
	stop_parser(vm, NULL);
	gn_source_close_fds(&vm->table);
	vm->table = *table;
	vm->orphan_since_us = 0;
	vm->n_failures = 0;
	if (gn_clock_monotonic_us() - vm->started_us >= SETTLE_US)
		start_parser(vm);
	else
		vm->restart_us = vm->started_us + SETTLE_US;
}

static void lose_dataplane(struct gn_introspect_service *s, const char *why)
{
	uint64_t now_us = gn_clock_monotonic_us();
	struct vm *vm;

	gn_log(GN_LOG_WARNING, "the dataplane's socket '%s' %s; connecting again",
	       s->config->ram_socket, why);
	s->ram_source = sd_event_source_disable_unref(s->ram_source);
	close(s->ram_fd);
	s->ram_fd = -1;
	s->reconnect_us = now_us + RECONNECT_US;
	LIST_FOREACH(vm, &s->vms, link)
	vm->orphan_since_us = now_us;
}

static int on_memory(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct gn_introspect_service *s = userdata;
	struct gn_source_table table;
	int got;

	while ((got = gn_source_receive(fd, &table)) == 1) {
		struct vm *vm = find(s, table.message.vm);

		if (table.message.kind == GN_RAM_TABLE)
			take_table(s, &table);
		else if (vm)
			forget(vm);
	}
	if (got < 0)
		lose_dataplane(s, got == -EPIPE ? "was closed" : "speaks another version");
	return 0;
}

static void connect_dataplane(struct gn_introspect_service *s, uint64_t now_us)
{
	int fd = gn_source_connect(s->config->ram_socket), err;

	s->reconnect_us = now_us + RECONNECT_US;
	if (fd < 0) {
		if (!s->has_complained)
			gn_log(GN_LOG_WARNING,
			       "the dataplane's socket '%s': %s; is gnomon-dataplane running with "
			       "this run_dir? Trying again every second",
			       s->config->ram_socket, strerror(-fd));
		s->has_complained = true;
		return;
	}
	s->has_complained = false;
	err = sd_event_add_io(s->event, &s->ram_source, fd, EPOLLIN, on_memory, s);
	if (err < 0)
		close(fd);
	else
		s->ram_fd = fd;
}

/* ---- time
 * ---------------------------------------------------------------------------------------- */

/* How long a parser may say nothing: twice its CPU time for one step, as it may have to wait for a
 * CPU. */
static uint64_t silence_us(const struct vm *vm)
{
	const struct gn_ram_message *m = &vm->table.message;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < m->n_regions; i++)
		bytes += m->regions[i].size;
	return 2000000ull * gn_sandbox_step_s(bytes) + 4 * vm->service->observer.period_us;
}

static void tend(struct vm *vm, uint64_t now_us)
{
	uint64_t period_us = vm->service->observer.period_us;

	if (vm->child.pid && now_us - vm->heard_us > silence_us(vm))
		fail_parser(vm, "is silent");
	if (!vm->child.pid && now_us >= vm->restart_us)
		start_parser(vm);
	/* Long searches: say that there is still nothing. */
	if (vm->child.pid && now_us - vm->heard_us > 2 * period_us &&
	    now_us - vm->said_us > period_us)
		publish_state(vm, GN_GUEST_SCANNING, "the guest's kernel is being looked for");
}

static int on_tick(sd_event_source *timer, uint64_t usec, void *userdata)
{
	struct gn_introspect_service *s = userdata;
	uint64_t now_us = gn_clock_monotonic_us();
	struct vm *vm = LIST_FIRST(&s->vms);

	if (s->ram_fd < 0 && now_us >= s->reconnect_us)
		connect_dataplane(s, now_us);
	while (vm) {
		struct vm *next = LIST_NEXT(vm, link);

		if (vm->orphan_since_us && now_us - vm->orphan_since_us > ORPHAN_US)
			forget(vm);
		else
			tend(vm, now_us);
		vm = next;
	}
	sd_event_source_set_time(timer, usec + TICK_US);
	return sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

/* ---- start, end
 * ------------------------------------------------------------------------------------- */

static void copy_config(struct gn_introspect_service *s)
{
	const struct gn_introspect_config *c = s->config;

	s->observer = (struct gn_observer_config){
	        .period_us = c->period_ms * 1000ull,
	        .n_top = *c->top,
	        .max_processes = c->max_processes,
	        .stale_us = c->stale_ms * 1000ull,
	        .give_up_us = c->give_up_s * 1000000ull,
	        .limits = {.stuck_us = c->stuck_s * 1000000ull, .leak_us = c->leak_s * 1000000ull},
	        .budget_us = c->budget_us,
	        .budget_bytes = c->budget_kib * 1024ull,
	};
}

static int begin(struct gn_introspect_service *s, struct gn_status *status)
{
	uint64_t now_us = 0;
	int err = gn_channel_publisher_create(s->config->publish_url, NULL, &s->publisher, status);

	if (err)
		return err;
	sd_event_now(s->event, CLOCK_MONOTONIC, &now_us);
	err = sd_event_add_time(s->event, &s->timer, CLOCK_MONOTONIC, now_us, 0, on_tick, s);
	if (err < 0)
		return gn_status_set(status, GN_INTERNAL, "no timer: %s", strerror(-err));
	err = gn_sandbox_supervisor();
	if (err < 0)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "the process cannot be confined (seccomp): %s; a kernel with "
		                     "CONFIG_SECCOMP_FILTER is needed",
		                     strerror(-err));
	return 0;
}

int gn_introspect_service_create(sd_event *event, const struct gn_introspect_config *config,
                                 struct gn_introspect_service **out, struct gn_status *status)
{
	struct gn_introspect_service *s = calloc(1, sizeof *s);
	int err;

	if (!s)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	s->event = event;
	s->config = config;
	s->ram_fd = -1;
	s->epoch = gn_clock_wall_us();
	LIST_INIT(&s->vms);
	copy_config(s);
	err = begin(s, status);
	if (err)
		gn_introspect_service_destroy(s);
	else
		*out = s;
	return err;
}

void gn_introspect_service_destroy(struct gn_introspect_service *s)
{
	struct vm *vm;

	if (!s)
		return;
	while ((vm = LIST_FIRST(&s->vms))) {
		stop_parser(vm, NULL);
		gn_source_close_fds(&vm->table);
		LIST_REMOVE(vm, link);
		free(vm);
	}
	sd_event_source_disable_unref(s->ram_source);
	sd_event_source_disable_unref(s->timer);
	if (s->ram_fd >= 0)
		close(s->ram_fd);
	gn_channel_publisher_destroy(s->publisher);
	free(s);
}
