/* report.h - what one pass over one VM's memory found: plain data, sent by the process that
 * parses to the one that publishes, which trusts none of it (child.h).
 *
 * Names and units as GuestSample in proto/gnomon/v1/sample.proto. */
#ifndef GN_INTROSPECT_REPORT_H
#define GN_INTROSPECT_REPORT_H

#include "firmware/introspect/bootstrap.h"
#include "firmware/introspect/klog.h"
#include "firmware/introspect/top.h"

/* state, name; numbered as GuestState */
#define GN_GUEST_STATES(X)                                                                         \
	X(NO_MEMORY, 1)                                                                            \
	X(SCANNING, 2)                                                                             \
	X(READY, 3)                                                                                \
	X(STALE, 4)                                                                                \
	X(UNSUPPORTED, 5)

#define GN_GUEST_STATE(name, number) GN_GUEST_##name = number,
enum gn_guest_state { GN_GUEST_STATES(GN_GUEST_STATE) };
#undef GN_GUEST_STATE

/* capability, what is missing without it */
#define GN_GUEST_CAPABILITIES(X)                                                                   \
	X(tasks, "the kernel's type information lacks the tasks' counters")                        \
	X(cpu, "the kernel keeps no scheduler statistics, or its per-CPU symbols are not found")   \
	X(load, "the symbol avenrun is not found")                                                 \
	X(memory, "the symbols of the memory counters are not found")                              \
	X(events, "the per-CPU symbol vm_event_states is not found")                               \
	X(forks, "the symbol total_forks is not found")                                            \
	X(log, "the symbol prb or the layout of the log buffer is not found")                      \
	X(signs, "the symbol tainted_mask is not found")

#define GN_GUEST_CAPABILITY(name, reason) GN_GUEST_HAS_##name,
enum gn_guest_capability { GN_GUEST_CAPABILITIES(GN_GUEST_CAPABILITY) GN_GUEST_N_CAPABILITIES };
#undef GN_GUEST_CAPABILITY

#define GN_REPORT_REASON   256
#define GN_REPORT_MAX_CPUS 256

struct gn_report {
	enum gn_guest_state state;
	char reason[GN_REPORT_REASON];
	bool has[GN_GUEST_N_CAPABILITIES];
	bool is_fresh;
	bool is_throttled;
	uint32_t torn;
	uint32_t retries;
	uint32_t confidence; /* 0: what follows the costs is not filled */
	char release[GN_KERNEL_RELEASE + 1];
	enum gn_bootstrap_way way;
	uint64_t period_us; /* since the pass that deltas refer to; 0: there is none */
	uint64_t read_bytes;
	uint64_t cost_us;
	uint64_t bootstrap_us;

	/* CPU, over the period. */
	uint64_t demand_milli;
	uint64_t busy_milli;
	uint64_t wait_milli;
	uint32_t n_online;
	uint32_t n_cpus;
	uint16_t cpu_busy_milli[GN_REPORT_MAX_CPUS];
	uint32_t load_milli[3];

	/* Memory: bytes now; faults and swap over the period. */
	uint64_t total_bytes;
	uint64_t free_bytes;
	uint64_t available_bytes;
	uint64_t cache_bytes;
	uint64_t swap_total_bytes;
	uint64_t swap_free_bytes;
	uint64_t faults;
	uint64_t major_faults;
	uint64_t swapped_in_bytes;
	uint64_t swapped_out_bytes;

	/* Tasks. */
	uint32_t n_processes;
	uint32_t n_threads;
	uint32_t n_running;
	uint32_t n_blocked;
	uint64_t forks;

	/* Signs. */
	uint64_t clock_stopped_us;
	uint32_t n_stuck;
	uint64_t longest_sleep_us;
	int32_t stuck_pid;
	uint64_t taint;
	bool is_oops;
	bool is_panic;
	bool is_lockup;
	uint64_t oom_kills;
	uint64_t log_errors;
	uint64_t log_lost;
	char log_text[GN_KLOG_TEXT + 1];
	uint8_t log_level;
	bool has_leak;
	int64_t leak_bytes_per_hour;

	uint32_t n_top;
	struct gn_top_entry top[GN_TOP_MAX];
};

const char *gn_guest_state_name(enum gn_guest_state state);
const char *gn_guest_capability_name(enum gn_guest_capability capability);
const char *gn_guest_capability_reason(enum gn_guest_capability capability);

/* Makes a report that came from a process under a guest's control safe to use: numbers in
 * range, text printable and terminated. Returns false when it is not worth mending. */
bool gn_report_check(struct gn_report *report);

#endif
