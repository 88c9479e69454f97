/* walk.h - the guest's processes and threads, from the kernel's ring of tasks.
 *
 * The guest changes the ring while it is read. So: every link is checked from both sides, a
 * task is checked again after its values were read, what does not hold is taken back and read
 * again from the task before it, at most GN_WALK_RETRIES times (more in a long ring); then the
 * pass is torn and yields nothing. All loops have limits. */
#ifndef GN_INTROSPECT_WALK_H
#define GN_INTROSPECT_WALK_H

#include "firmware/introspect/bootstrap.h"

#define GN_WALK_RETRIES     8
#define GN_WALK_COMM        16
#define GN_WALK_MAX_BLOCKED 64
#define GN_WALK_MAX         65536 /* processes */
#define GN_WALK_MAX_READS   (1u << 19)

/* A process: all its threads together, those that ended included. */
struct gn_process {
	uint64_t task; /* address of the first thread */
	int32_t pid;
	int32_t ppid;
	char comm[GN_WALK_COMM + 1]; /* printable ASCII */
	char state;                  /* as ps has it: R S D T t X Z P I */
	bool is_kernel;
	uint64_t start_ns; /* since boot */
	uint32_t n_threads;
	uint32_t n_running; /* threads on a CPU or in its queue */
	uint32_t n_blocked; /* threads in uninterruptible sleep */
	uint64_t runtime_ns;
	uint64_t wait_ns;   /* of live threads: in run queues so far */
	uint64_t queued_ns; /* of threads that wait in a run queue right now: clock at which each
	                     * began, summed over n_queued */
	uint32_t n_queued;
	uint64_t rss_pages;
	uint64_t minor_faults;
	uint64_t major_faults;
	uint64_t read_calls;
	uint64_t write_calls;
	uint64_t read_bytes; /* from and to the disk */
	uint64_t write_bytes;
};

/* A thread in uninterruptible sleep. */
struct gn_blocked {
	uint64_t task;
	uint32_t process; /* index */
	int32_t pid;
	uint64_t start_ns;
	uint64_t switches; /* does not change as long as it sleeps */
};

struct gn_walk {
	struct gn_process *processes; /* 'capacity' of them, the caller's */
	uint32_t capacity;
	uint32_t n;
	uint32_t n_threads;
	struct gn_blocked blocked[GN_WALK_MAX_BLOCKED];
	uint32_t n_blocked;
	uint32_t retries;
	uint32_t n_reads;  /* threads read, retries included; at most GN_WALK_MAX_READS */
	bool is_truncated; /* there are more processes than room */
};

/* One pass. 0; -EAGAIN: torn; -EFAULT: the ring is not there any more. */
int gn_walk(const struct gn_kernel *kernel, struct gn_walk *walk);

/* The letter for a task's state and exit state. */
char gn_walk_state(uint32_t state, uint32_t exit_state);

#endif
