/* observer.c - the life of one VM's introspection (observer.h): search, pass, comparison with the
 * pass before. */
#include "firmware/introspect/observer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "firmware/introspect/signs.h"

#define TORN_US       5000u   /* until a torn pass is tried again */
#define MAX_TORN      8       /* in a row */
#define CONFIRM_US    50000u  /* after a kernel was found: does its clock move? */
#define SEARCH_MIN_US 200000u /* between two searches */
#define SEARCH_MAX_US 30000000u
#define SEARCH_SHARE                                                                               \
	10 /* searching takes at most that part of the time; half, when one takes long */
#define LOG_RECORDS    65536 /* read per pass at most */
#define TAINT_DIE      (1u << 7)
#define TAINT_SOFTLOCK (1u << 14)
#define NS_PER_MS      1000000u

struct baseline {
	uint64_t at_us;
	bool is_set;
	struct gn_globals globals;
	uint64_t queued_ns; /* what queued tasks have waited so far */
};

struct gn_observer {
	struct gn_memory *memory;
	struct gn_observer_config config;
	enum gn_guest_state state;
	bool has_kernel;
	bool is_confirmed; /* its clock was seen to move */
	struct gn_kernel kernel;
	struct gn_bootstrap_hints hints;
	enum gn_bootstrap_reason why;
	uint64_t search_since_us;
	uint64_t next_search_us;
	uint64_t next_pass_us;
	uint64_t bootstrap_us; /* CPU time */
	struct gn_walk walk;
	bool has_walk;
	struct gn_globals globals;
	struct baseline before;
	struct gn_top *top;
	struct gn_signs signs;
	struct gn_klog log;
	bool is_throttled;
	uint32_t n_torn; /* in a row */
};

/* The thread's clock, not the process's: that one stands still between two ticks while the
 * sandbox's ITIMER_PROF runs, and nearly all passes are shorter. */
static uint64_t cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

int gn_observer_create(struct gn_memory *memory, const struct gn_observer_config *config,
                       struct gn_observer **out)
{
	struct gn_observer *o = calloc(1, sizeof *o);

	if (!o)
		return -ENOMEM;
	o->memory = memory;
	o->config = *config;
	o->state = GN_GUEST_SCANNING;
	o->walk.capacity = config->max_processes;
	o->walk.processes = calloc(config->max_processes, sizeof *o->walk.processes);
	if (!o->walk.processes || gn_top_create(&o->top) != 0) {
		gn_observer_destroy(o);
		return -ENOMEM;
	}
	*out = o;
	return 0;
}

void gn_observer_destroy(struct gn_observer *o)
{
	if (!o)
		return;
	gn_top_destroy(o->top);
	free(o->walk.processes);
	free(o);
}

const struct gn_walk *gn_observer_walk(const struct gn_observer *o)
{
	return o->has_walk ? &o->walk : NULL;
}

const struct gn_globals *gn_observer_globals(const struct gn_observer *o)
{
	return o->has_walk ? &o->globals : NULL;
}

const struct gn_kernel *gn_observer_kernel(const struct gn_observer *o)
{
	return o->has_kernel ? &o->kernel : NULL;
}

/* ---- search --------------------------------------------------------------------------------- */

/* The kernel in hand stands still; another one may be found, or this one when it moves. */
static void refuse_kernel(struct gn_observer *o)
{
	struct gn_bootstrap_hints *h = &o->hints;
	unsigned at = h->n_refused;

	for (unsigned i = 0; i < h->n_refused; i++)
		if (h->refused[i].init_task == o->kernel.init_task)
			at = i;
	if (at == GN_BOOTSTRAP_REFUSED) {
		memmove(h->refused, h->refused + 1, (at - 1) * sizeof *h->refused);
		at--;
	} else if (at == h->n_refused) {
		h->n_refused++;
	}
	h->refused[at].init_task = o->kernel.init_task;
	h->refused[at].jiffies = o->signs.jiffies;
}

static void forget_history(struct gn_observer *o)
{
	o->before.is_set = false;
	o->has_walk = false;
	memset(&o->signs, 0, sizeof o->signs);
	memset(&o->log, 0, sizeof o->log);
	gn_top_reset(o->top);
}

static void lose_kernel(struct gn_observer *o, uint64_t now_us)
{
	o->has_kernel = false;
	o->n_torn = 0;
	o->state = GN_GUEST_SCANNING;
	o->why = GN_BOOTSTRAP_NO_TASKS;
	o->search_since_us = now_us;
	o->next_search_us = now_us;
	forget_history(o);
}

static void adopt_kernel(struct gn_observer *o, const struct gn_kernel *kernel, uint64_t now_us)
{
	o->kernel = *kernel;
	o->has_kernel = true;
	o->is_confirmed = o->config.is_frozen;
	o->state = o->is_confirmed ? GN_GUEST_READY : GN_GUEST_SCANNING;
	o->next_pass_us = now_us;
	forget_history(o);
	if (kernel->build_id[0]) {
		memcpy(o->hints.build_id, kernel->build_id, sizeof o->hints.build_id);
		o->hints.profile = kernel->profile;
	}
}

static bool is_same_kernel(const struct gn_kernel *a, const struct gn_kernel *b)
{
	return a->init_task == b->init_task && a->space.image_delta == b->space.image_delta &&
	       strcmp(a->build_id, b->build_id) == 0;
}

static void search(struct gn_observer *o, uint64_t now_us)
{
	uint64_t from = cpu_us(), cost, wait;
	struct gn_kernel *found = malloc(sizeof *found);

	o->why = found ? gn_bootstrap(o->memory, &o->hints, found) : GN_BOOTSTRAP_NO_MEMORY;
	cost = cpu_us() - from;
	wait = cost * SEARCH_SHARE;
	wait = wait < SEARCH_MIN_US ? SEARCH_MIN_US : wait > SEARCH_MAX_US ? SEARCH_MAX_US : wait;
	wait = wait < cost ? cost : wait;
	o->next_search_us = now_us + wait;
	if (o->why == GN_BOOTSTRAP_OK && o->has_kernel && is_same_kernel(&o->kernel, found)) {
		o->next_pass_us = now_us; /* it moves again */
	} else if (o->why == GN_BOOTSTRAP_OK) {
		o->bootstrap_us = cost;
		adopt_kernel(o, found, now_us);
	} else if (!o->has_kernel) {
		bool give_up = now_us - o->search_since_us >= o->config.give_up_us &&
		               o->why != GN_BOOTSTRAP_ONLY_STALE;

		o->state =
		        give_up || o->config.is_frozen ? GN_GUEST_UNSUPPORTED : GN_GUEST_SCANNING;
	}
	free(found);
}

/* ---- comparison --------------------------------------------------------------------------------
 */

static uint64_t grown(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static uint64_t milli(uint64_t ns, uint64_t period_us)
{
	return period_us ? ns / period_us : 0; /* ns/us is thousandths */
}

/* What the tasks in run queues now have waited since they were queued. */
static uint64_t queued_ns(const struct gn_observer *o)
{
	uint64_t clock = 0, waited = 0;

	for (uint32_t i = 0; i < o->globals.n_cpus; i++)
		if (o->globals.cpus[i].clock_ns > clock)
			clock = o->globals.cpus[i].clock_ns;
	for (uint32_t i = 0; i < o->walk.n; i++) {
		const struct gn_process *p = &o->walk.processes[i];

		waited += grown(p->n_queued * clock, p->queued_ns);
	}
	return waited;
}

static void compare_cpu(const struct gn_observer *o, uint64_t queued, struct gn_report *r)
{
	const struct gn_globals *now = &o->globals, *before = &o->before.globals;
	uint64_t busy = 0, wait_now = queued, wait_before = o->before.queued_ns;

	r->n_cpus = now->n_cpus;
	for (uint32_t i = 0; i < now->n_cpus; i++) {
		uint64_t ns = grown(now->cpus[i].busy_ns, before->cpus[i].busy_ns);
		uint64_t cpu = milli(ns, r->period_us);

		r->cpu_busy_milli[i] = (uint16_t)(cpu > 1000 ? 1000 : cpu);
		busy += ns;
		wait_now += now->cpus[i].wait_ns;
		wait_before += before->cpus[i].wait_ns;
	}
	r->busy_milli = milli(busy, r->period_us);
	r->wait_milli = milli(grown(wait_now, wait_before), r->period_us);
	r->demand_milli = r->busy_milli + r->wait_milli;
}

static void compare(struct gn_observer *o, uint64_t now_us, struct gn_report *r)
{
	const struct gn_globals *now = &o->globals, *before = &o->before.globals;
	uint64_t queued = queued_ns(o);

	if (o->before.is_set && now_us > o->before.at_us) {
		r->period_us = now_us - o->before.at_us;
		compare_cpu(o, queued, r);
		r->faults = grown(now->faults, before->faults);
		r->major_faults = grown(now->major_faults, before->major_faults);
		r->swapped_in_bytes =
		        GN_PAGE_SIZE * grown(now->swapped_in_pages, before->swapped_in_pages);
		r->swapped_out_bytes =
		        GN_PAGE_SIZE * grown(now->swapped_out_pages, before->swapped_out_pages);
		r->oom_kills = grown(now->oom_kills, before->oom_kills);
		r->forks = grown(now->forks, before->forks);
	}
	o->before.globals = o->globals;
	o->before.queued_ns = queued;
	o->before.at_us = now_us;
	o->before.is_set = true;
}

/* ---- report
 * ---------------------------------------------------------------------------------------- */

static void fill_now(const struct gn_observer *o, struct gn_report *r)
{
	const struct gn_globals *g = &o->globals;

	r->n_cpus = g->n_cpus;
	for (uint32_t i = 0; i < g->n_cpus; i++)
		r->n_online += g->cpus[i].is_online;
	memcpy(r->load_milli, g->load_milli, sizeof r->load_milli);
	r->total_bytes = g->total_pages * GN_PAGE_SIZE;
	r->free_bytes = g->free_pages * GN_PAGE_SIZE;
	r->available_bytes = g->available_pages * GN_PAGE_SIZE;
	r->cache_bytes = g->cache_pages * GN_PAGE_SIZE;
	r->swap_total_bytes = g->swap_total_pages * GN_PAGE_SIZE;
	r->swap_free_bytes = g->swap_free_pages * GN_PAGE_SIZE;
	r->n_processes = o->walk.n;
	r->n_threads = o->walk.n_threads;
	for (uint32_t i = 0; i < o->walk.n; i++) {
		r->n_running += o->walk.processes[i].n_running;
		r->n_blocked += o->walk.processes[i].n_blocked;
	}
}

static void fill_signs(struct gn_observer *o, uint64_t now_us, struct gn_report *r)
{
	struct gn_signs_found found;
	struct gn_klog_news news;
	const struct gn_globals *g = &o->globals;

	gn_signs_update(&o->signs, now_us, &o->config.limits, g, &o->walk, &found);
	r->is_fresh = found.is_advancing;
	r->clock_stopped_us = found.stopped_us;
	r->n_stuck = found.n_stuck;
	r->longest_sleep_us = found.longest_sleep_us;
	r->stuck_pid = found.stuck_pid;
	r->has_leak = found.has_slope;
	r->leak_bytes_per_hour = found.leak_bytes_per_hour;
	r->taint = g->taint;
	r->is_oops = g->is_oopsing || (g->taint & TAINT_DIE);
	r->is_panic = g->is_panicked;
	r->is_lockup = g->taint & TAINT_SOFTLOCK;
	r->has[GN_GUEST_HAS_log] = gn_klog_read(&o->kernel, &o->log, LOG_RECORDS, &news) == 0;
	if (!r->has[GN_GUEST_HAS_log])
		return;
	r->log_errors = news.n_errors;
	r->log_lost = news.n_lost;
	r->log_level = news.level;
	memcpy(r->log_text, news.text, sizeof r->log_text);
}

static void fill_capabilities(const struct gn_observer *o, struct gn_report *r)
{
	r->has[GN_GUEST_HAS_tasks] = o->kernel.profile.at.task_runtime != GN_PROFILE_ABSENT &&
	                             o->kernel.profile.at.task_state != GN_PROFILE_ABSENT;
	r->has[GN_GUEST_HAS_cpu] = o->globals.has_cpu;
	r->has[GN_GUEST_HAS_load] = o->globals.has_load;
	r->has[GN_GUEST_HAS_memory] = o->globals.has_memory;
	r->has[GN_GUEST_HAS_events] = o->globals.has_events;
	r->has[GN_GUEST_HAS_forks] = o->globals.has_forks;
	r->has[GN_GUEST_HAS_signs] = o->globals.has_taint;
}

static void fill_reason(const struct gn_observer *o, struct gn_report *r)
{
	if (o->state == GN_GUEST_STALE)
		snprintf(
		        r->reason, sizeof r->reason,
		        "the guest's clock has stood still for %llu ms: it is paused, hangs or was "
		        "reset",
		        (unsigned long long)(r->clock_stopped_us / 1000));
	else if (o->has_kernel && !o->is_confirmed)
		snprintf(r->reason, sizeof r->reason,
		         "kernel %s was found; waiting for its clock to move", o->kernel.release);
	else if (o->state != GN_GUEST_READY)
		snprintf(r->reason, sizeof r->reason, "%s", gn_bootstrap_reason_text(o->why));
}

/* Half for a clock that moves, the rest for how calm the reading was. */
static uint32_t confidence(const struct gn_observer *o, const struct gn_report *r)
{
	uint32_t points = r->is_fresh || o->config.is_frozen ? 100 : 50;
	uint32_t loss = r->retries < 20 ? r->retries : 20;

	if (o->walk.is_truncated)
		loss += 10;
	return points - loss;
}

/* ---- pass
 * ---------------------------------------------------------------------------------------------- */

static void judge(struct gn_observer *o, uint64_t now_us, struct gn_report *r)
{
	if (o->config.is_frozen)
		return;
	if (r->is_fresh) {
		o->is_confirmed = true;
		o->state = GN_GUEST_READY;
		o->hints.n_refused = 0;
	} else if (r->clock_stopped_us >= o->config.stale_us) {
		if (o->state != GN_GUEST_STALE)
			o->next_search_us = now_us;
		if (!o->is_confirmed) {
			refuse_kernel(o);
			lose_kernel(o, now_us);
			o->why = GN_BOOTSTRAP_ONLY_STALE;
			return;
		}
		o->state = GN_GUEST_STALE;
		refuse_kernel(o);
	}
}

/* A clock for kernels whose tick counter is not found. */
static uint64_t runtime_ns(const struct gn_walk *walk)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < walk->n; i++)
		sum += walk->processes[i].runtime_ns;
	return sum;
}

static void pass(struct gn_observer *o, uint64_t now_us, struct gn_report *r)
{
	int err = gn_walk(&o->kernel, &o->walk);

	r->retries = o->walk.retries;
	if (err == -EAGAIN) {
		/* Torn, or the kernel has gone from under us. */
		o->has_walk = false;
		o->n_torn++;
		if (!gn_kernel_check(&o->kernel))
			lose_kernel(o, now_us);
		return;
	}
	r->torn = o->n_torn;
	o->n_torn = 0;
	if (err || gn_globals(&o->kernel, &o->globals) != 0) {
		lose_kernel(o, now_us);
		return;
	}
	o->has_walk = true;
	if (!o->kernel.symbols.has[GN_SYM_jiffies])
		o->globals.jiffies = runtime_ns(&o->walk);
	r->retries += o->globals.retries;
	fill_capabilities(o, r);
	fill_signs(o, now_us, r);
	judge(o, now_us, r);
	if (!o->has_kernel)
		return;
	fill_now(o, r);
	compare(o, now_us, r);
	r->n_top = gn_top_update(o->top, &o->walk, o->config.n_top, r->top);
	r->confidence = confidence(o, r);
}

/* How long the read budget makes the time to the next pass. */
static uint64_t wait_of_budget(const struct gn_observer *o, const struct gn_report *r)
{
	uint64_t by_time = 0, by_bytes = 0;

	if (o->config.budget_us)
		by_time = r->cost_us * 1000000 / o->config.budget_us;
	if (o->config.budget_bytes)
		by_bytes = r->read_bytes * 1000000 / o->config.budget_bytes;
	return by_time > by_bytes ? by_time : by_bytes;
}

static void schedule(struct gn_observer *o, uint64_t now_us, const struct gn_report *r)
{
	uint64_t wait = wait_of_budget(o, r);

	o->is_throttled = wait > o->config.period_us;
	if (!o->is_throttled)
		wait = o->config.period_us;
	if (o->has_kernel && !o->is_confirmed && wait > CONFIRM_US)
		wait = CONFIRM_US;
	o->next_pass_us = now_us + wait;
}

/* A pass that was torn is tried again soon and not reported, unless that goes on and on. */
static bool is_to_repeat(struct gn_observer *o, uint64_t now_us, struct gn_report *r)
{
	if (!o->has_kernel || !o->n_torn)
		return false;
	if (o->n_torn < MAX_TORN) {
		o->next_pass_us = now_us + TORN_US;
		return true;
	}
	r->torn = o->n_torn;
	o->n_torn = 0;
	return false;
}

static bool is_search_due(const struct gn_observer *o, uint64_t now_us)
{
	return (!o->has_kernel || o->state == GN_GUEST_STALE) && now_us >= o->next_search_us;
}

/* A pass, if there is a kernel, and all of the report. */
static void fill_report(struct gn_observer *o, uint64_t now_us, struct gn_report *r)
{
	uint64_t bytes = o->memory->bytes_read, from = cpu_us();

	memset(r, 0, sizeof *r);
	r->is_throttled = o->is_throttled;
	if (o->has_kernel)
		pass(o, now_us, r);
	r->cost_us = cpu_us() - from;
	r->read_bytes = o->memory->bytes_read - bytes;
	r->state = o->state;
	r->bootstrap_us = o->bootstrap_us;
	if (o->has_kernel) {
		r->way = o->kernel.way;
		memcpy(r->release, o->kernel.release, sizeof r->release);
	}
	fill_reason(o, r);
}

bool gn_observer_step(struct gn_observer *o, uint64_t now_us, struct gn_report *r,
                      uint64_t *next_us)
{
	bool is_due;

	if (!o->search_since_us)
		o->search_since_us = now_us;
	if (is_search_due(o, now_us))
		search(o, now_us);
	is_due = now_us >= o->next_pass_us;
	if (is_due) {
		fill_report(o, now_us, r);
		is_due = !is_to_repeat(o, now_us, r);
	}
	if (is_due)
		schedule(o, now_us, r);
	*next_us = o->next_pass_us;
	if ((!o->has_kernel || o->state == GN_GUEST_STALE) && o->next_search_us < *next_us)
		*next_us = o->next_search_us;
	return is_due;
}
