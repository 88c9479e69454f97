/* observer.h - watches one VM's memory: finds the kernel, reads it once a period, finds it
 * again after a reset. Time is an argument; the CPU clock is read here, for the budget.
 *
 * NO_MEMORY is the state of whoever has no observer yet. This one begins in SCANNING:
 *
 *   SCANNING     a kernel is looked for; found, but its clock has not been seen to move yet
 *   READY        read in every period
 *   STALE        its clock has stood still for 'stale_us': paused, dead or reset; another
 *                kernel is looked for meanwhile
 *   UNSUPPORTED  nothing was found for 'give_up_us'; looks again now and then */
#ifndef GN_INTROSPECT_OBSERVER_H
#define GN_INTROSPECT_OBSERVER_H

#include "firmware/introspect/globals.h"
#include "firmware/introspect/report.h"
#include "firmware/introspect/signs.h"

struct gn_observer_config {
	uint64_t period_us;
	unsigned n_top; /* 0..GN_TOP_MAX_N */
	uint32_t max_processes;
	uint64_t stale_us;   /* default 1.5 s */
	uint64_t give_up_us; /* default 60 s */
	struct gn_signs_limits limits;
	uint64_t budget_us;    /* CPU time per second of wall time; 0: no limit */
	uint64_t budget_bytes; /* read per second of wall time; 0: no limit */
	bool is_frozen;        /* a dump: its clock never moves */
};

struct gn_observer;

/* 'memory' is borrowed. -ENOMEM. */
int gn_observer_create(struct gn_memory *memory, const struct gn_observer_config *config,
                       struct gn_observer **out);
void gn_observer_destroy(struct gn_observer *observer); /* NULL is fine */

/* Does what is due at 'now_us' (monotonic). True: 'report' is filled and to be published.
 * '*next_us' is when to call again. */
bool gn_observer_step(struct gn_observer *observer, uint64_t now_us, struct gn_report *report,
                      uint64_t *next_us);

/* The newest pass's processes, and machine-wide counters; for --dump and tests. Valid until the
 * next step; NULL when there was none. */
const struct gn_walk *gn_observer_walk(const struct gn_observer *observer);
const struct gn_globals *gn_observer_globals(const struct gn_observer *observer);
const struct gn_kernel *gn_observer_kernel(const struct gn_observer *observer);

#endif
