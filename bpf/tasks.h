/* tasks.h - reads the threads of processes out of the kernel: CPU time, time spent waiting for a
 * CPU, faults, storage I/O. One system call or two for any number of processes; no hook, so it
 * costs nothing between readings. Needs CAP_BPF, CAP_PERFMON, the kernel's type information, and
 * the host's own pid namespace. Not thread-safe. */
#ifndef GN_BPF_TASKS_H
#define GN_BPF_TASKS_H

#include <stddef.h>
#include "bpf/tasks_abi.h"
#include "firmware/core/status.h"

struct gn_tasks;

/* Errors as object.h has them; FAILED_PRECONDITION in a container's pid namespace. */
int gn_tasks_open(struct gn_tasks **out, struct gn_status *status);
void gn_tasks_close(struct gn_tasks *tasks); /* NULL is fine */

/* Every thread of the processes 'ids' (at most GN_TASKS_MAX), by process, then thread; '*out' is
 * the caller's to free(). A process that is gone has none. Negative errno. */
int gn_tasks_read(struct gn_tasks *tasks, const uint32_t *ids, size_t n_ids,
                  struct gn_tasks_record **out, size_t *n_out);

/* A whole process: its threads and what ended threads left. */
struct gn_tasks_total {
	uint32_t n_threads;
	uint64_t cpu_ns;
	uint64_t run_delay_ns; /* of the threads that live */
	uint64_t minor_faults;
	uint64_t major_faults;
	struct gn_tasks_io io;
};

/* Of the records of 'process'; all 0 if there are none. Pure. */
void gn_tasks_sum(const struct gn_tasks_record *records, size_t n, uint32_t process,
                  struct gn_tasks_total *out);

#endif
