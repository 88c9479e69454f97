/* globals.h - what the guest's kernel counts for the whole machine.
 *
 * CPU time is exact, not sampled by ticks: a run queue adds up the time for which tasks other
 * than the idle one had the CPU (rq_cpu_time) and for which they waited for it (run_delay);
 * what the current task has had so far is added here. See kernel/sched/stats.h of Linux. */
#ifndef GN_INTROSPECT_GLOBALS_H
#define GN_INTROSPECT_GLOBALS_H

#include "firmware/introspect/bootstrap.h"

#define GN_PAGE_SIZE 4096ull

struct gn_globals_cpu {
	bool is_online;
	uint64_t busy_ns;   /* since boot */
	uint64_t wait_ns;   /* since boot, of tasks that were given the CPU since */
	uint64_t clock_ns;  /* of the run queue; stands still while the CPU is idle */
	uint64_t idle_ns;   /* since boot, up to the end of the last idle time */
	uint32_t n_running; /* in the run queue, the current one included */
};

/* What a kernel does not tell is 0 and its 'has' false. */
struct gn_globals {
	bool has_cpu;
	bool has_load;
	bool has_memory;
	bool has_events;
	bool has_taint;
	bool has_forks;
	uint32_t n_cpus;
	struct gn_globals_cpu cpus[GN_KERNEL_MAX_CPUS];
	uint32_t load_milli[3]; /* over 1, 5, 15 minutes */
	uint64_t jiffies;
	uint32_t n_threads;
	uint64_t forks; /* since boot */
	/* Pages. */
	uint64_t total_pages;
	uint64_t free_pages;
	uint64_t available_pages;
	uint64_t cache_pages; /* with buffers, without swap cache */
	uint64_t swap_total_pages;
	uint64_t swap_free_pages;
	/* Since boot. */
	uint64_t faults;
	uint64_t major_faults;
	uint64_t swapped_in_pages;
	uint64_t swapped_out_pages;
	uint64_t oom_kills;
	/* Failure. */
	uint64_t taint; /* bits as in /proc/sys/kernel/tainted */
	bool is_panicked;
	bool is_oopsing;
	uint32_t retries;
};

/* 0, or -EFAULT when what is always there cannot be read. */
int gn_globals(const struct gn_kernel *kernel, struct gn_globals *out);

#endif
