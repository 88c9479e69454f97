/* passes.c - gn-introspect-passes: many passes over a running guest's memory, each checked for
 * what cannot be. For tests and benchmarks.
 *
 *   gn-introspect-passes FILE [--base ADDRESS] [--passes N] [--interval-us N]
 *
 * Prints one JSON object: passes, torn, retries, wrong (values that cannot be), missing
 * (processes that lived all the time but were not seen), and costs. A process's counters must
 * not go back, its start must not change while it lives, a number is used once a pass. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "firmware/core/status.h"
#include "firmware/introspect/dump.h"
#include "firmware/introspect/globals.h"
#include "firmware/introspect/walk.h"

#define MAX_PID      (4 << 20)
#define MAX_RUNTIME  ((uint64_t)1 << 50)
#define MAX_MESSAGES 10

struct seen {
	uint64_t start_ns;
	uint64_t runtime_ns;
	uint64_t minor_faults;
	uint64_t read_calls;
	uint64_t write_calls;
	uint32_t first_pass;
	uint32_t last_pass;
	uint32_t n_passes;
};

static struct {
	struct gn_memory memory;
	struct gn_kernel kernel;
	struct gn_walk walk;
	struct gn_globals globals;
	struct seen *seen; /* by process number */
	uint32_t *costs_ns;
	uint64_t passes, torn, retries, wrong, missing;
	uint64_t globals_ns;
	uint32_t max_pid;
} run;

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void wrong(const struct gn_process *p, const char *what, uint64_t now, uint64_t before)
{
	if (run.wrong++ < MAX_MESSAGES)
		fprintf(stderr, "pass %llu: process %d '%s': %s %llu, before %llu\n",
		        (unsigned long long)run.passes, p->pid, p->comm, what,
		        (unsigned long long)now, (unsigned long long)before);
}

/* ---- checks ------------------------------------------------------------------------------- */

static void check_alone(const struct gn_process *p)
{
	if (!p->comm[0])
		wrong(p, "no name", 0, 0);
	if (!strchr("RSDTtXZPI", p->state))
		wrong(p, "state", (uint64_t)p->state, 0);
	if (!p->n_threads || p->n_threads > 1000)
		wrong(p, "threads", p->n_threads, 0);
	if (p->rss_pages * GN_MEMORY_PAGE > gn_memory_size(&run.memory))
		wrong(p, "rss pages", p->rss_pages, 0);
	if (p->runtime_ns > MAX_RUNTIME)
		wrong(p, "runtime", p->runtime_ns, 0);
	if (p->ppid < 0 || p->ppid >= MAX_PID)
		wrong(p, "parent", (uint64_t)p->ppid, 0);
}

static void check_history(const struct gn_process *p, struct seen *s)
{
	if (s->last_pass == run.passes + 1)
		wrong(p, "number seen twice", 0, 0);
	if (p->runtime_ns < s->runtime_ns)
		wrong(p, "runtime went back", p->runtime_ns, s->runtime_ns);
	if (p->minor_faults < s->minor_faults)
		wrong(p, "faults went back", p->minor_faults, s->minor_faults);
	if (p->read_calls < s->read_calls)
		wrong(p, "reads went back", p->read_calls, s->read_calls);
	if (p->write_calls < s->write_calls)
		wrong(p, "writes went back", p->write_calls, s->write_calls);
}

static void check(const struct gn_process *p)
{
	struct seen *s;

	if (p->pid <= 0 || p->pid >= MAX_PID) {
		wrong(p, "number", (uint64_t)p->pid, 0);
		return;
	}
	check_alone(p);
	s = &run.seen[p->pid];
	if (s->first_pass && s->start_ns != p->start_ns) {
		if (p->start_ns < s->start_ns)
			wrong(p, "started before the one it follows", p->start_ns, s->start_ns);
		memset(s, 0, sizeof *s);
	}
	check_history(p, s);
	*s = (struct seen){p->start_ns,
	                   p->runtime_ns,
	                   p->minor_faults,
	                   p->read_calls,
	                   p->write_calls,
	                   s->first_pass ? s->first_pass : (uint32_t)run.passes + 1,
	                   (uint32_t)run.passes + 1,
	                   s->n_passes + 1};
	if ((uint32_t)p->pid > run.max_pid)
		run.max_pid = (uint32_t)p->pid;
}

/* ---- passes --------------------------------------------------------------------------------- */

static int one_pass(void)
{
	uint64_t from = cpu_ns(), middle;
	int err = gn_walk(&run.kernel, &run.walk);

	middle = cpu_ns();
	if (!err)
		err = gn_globals(&run.kernel, &run.globals);
	run.costs_ns[run.passes] = (uint32_t)(cpu_ns() - from);
	run.globals_ns += cpu_ns() - middle;
	run.retries += run.walk.retries;
	if (err == -EAGAIN) {
		run.torn++;
		return 0;
	}
	for (uint32_t i = 0; !err && i < run.walk.n; i++)
		check(&run.walk.processes[i]);
	return err;
}

static int by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void print_result(uint64_t bootstrap_ns)
{
	uint64_t good = run.passes - run.torn;

	for (uint32_t pid = 1; pid <= run.max_pid; pid++) {
		const struct seen *s = &run.seen[pid];

		if (s->first_pass && s->n_passes + run.torn < s->last_pass - s->first_pass + 1)
			run.missing++;
	}
	qsort(run.costs_ns, run.passes, sizeof *run.costs_ns, by_value);
	printf("{\"passes\":%llu,\"torn\":%llu,\"retries\":%llu,\"wrong\":%llu,\"missing\":%llu,"
	       "\"processes\":%u,\"threads\":%u,\"highest_pid\":%u,\"p50_us\":%.3f,\"p99_us\":%.3f,"
	       "\"globals_us\":%.3f,\"bootstrap_us\":%.1f,\"found_by\":\"%s\",\"release\":\"%s\"}"
	       "\n",
	       (unsigned long long)run.passes, (unsigned long long)run.torn,
	       (unsigned long long)run.retries, (unsigned long long)run.wrong,
	       (unsigned long long)run.missing, run.walk.n, run.walk.n_threads, run.max_pid,
	       run.costs_ns[run.passes / 2] / 1e3, run.costs_ns[run.passes * 99 / 100] / 1e3,
	       good ? (double)run.globals_ns / (double)good / 1e3 : 0.0, (double)bootstrap_ns / 1e3,
	       gn_bootstrap_way_name(run.kernel.way), run.kernel.release);
}

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "gn-introspect-passes: %s: %s\n", what, why);
	return 1;
}

/* Copies of one process must not look like its memory: seen is large and mostly untouched. */
static bool make_room(uint64_t passes)
{
	run.seen = mmap(NULL, MAX_PID * sizeof *run.seen, PROT_READ | PROT_WRITE,
	                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	run.costs_ns = calloc(passes, sizeof *run.costs_ns);
	run.walk.capacity = GN_WALK_MAX;
	run.walk.processes = calloc(GN_WALK_MAX, sizeof *run.walk.processes);
	return run.seen != MAP_FAILED && run.costs_ns && run.walk.processes;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"base", 1, NULL, 'b'},
	                                        {"passes", 1, NULL, 'n'},
	                                        {"interval-us", 1, NULL, 'i'},
	                                        {NULL, 0, NULL, 0}};
	static const struct gn_bootstrap_hints hints;
	enum gn_bootstrap_reason reason;
	struct gn_status status;
	uint64_t base = 0, passes = 1, interval_us = 0, from;
	int option, fd;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		uint64_t value = optarg ? strtoull(optarg, NULL, 0) : 0;

		if (option == 'b')
			base = value;
		else if (option == 'n' && value && value < UINT32_MAX)
			passes = value;
		else if (option == 'i')
			interval_us = value;
		else
			return 2;
	}
	if (optind + 1 != argc)
		return fail("usage", "gn-introspect-passes FILE [--base A] [--passes N]");
	fd = open(argv[optind], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !make_room(passes))
		return fail(argv[optind], strerror(errno));
	if (gn_dump_open(&run.memory, fd, base, &status) != 0)
		return fail(argv[optind], status.message);
	from = cpu_ns();
	reason = gn_bootstrap(&run.memory, &hints, &run.kernel);
	from = cpu_ns() - from;
	if (reason != GN_BOOTSTRAP_OK)
		return fail(argv[optind], gn_bootstrap_reason_text(reason));
	for (; run.passes < passes; run.passes++) {
		if (one_pass() != 0)
			return fail(argv[optind], "the kernel has gone");
		if (interval_us)
			usleep((useconds_t)interval_us);
	}
	print_result(from);
	return 0;
}
