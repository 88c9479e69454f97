/* tasks_abi.h - what the iterator over tasks writes, shared by tasks.bpf.c and tasks.c. */
#ifndef GN_BPF_TASKS_ABI_H
#define GN_BPF_TASKS_ABI_H

#ifndef __bpf__
#include <stdint.h>
#endif

#define GN_TASKS_NAME_SIZE 16
#define GN_TASKS_MAX       1024 /* processes in one reading */

/* Cumulative. */
struct gn_tasks_io {
	uint64_t read_calls;
	uint64_t write_calls;
	uint64_t read_bytes; /* from and to storage, not the page cache */
	uint64_t write_bytes;
};

/* One thread. What the kernel was built without stays 0. */
struct gn_tasks_record {
	uint32_t process;
	uint32_t thread;
	char name[GN_TASKS_NAME_SIZE];
	uint64_t started_ns;   /* since boot; tells threads with the same number apart */
	uint64_t cpu_ns;       /* on a CPU; for vCPUs this includes the guest's time */
	uint64_t run_delay_ns; /* runnable, but waiting for a CPU */
	uint64_t runs;         /* times put on a CPU */
	uint64_t voluntary_switches;
	uint64_t involuntary_switches;
	uint64_t minor_faults;
	uint64_t major_faults;
	struct gn_tasks_io io;
	/* In the process's first thread alone: what threads that have ended used. The kernel keeps
	 * no run-queue delay of those. */
	uint64_t ended_cpu_ns;
	uint64_t ended_minor_faults;
	uint64_t ended_major_faults;
	struct gn_tasks_io ended_io;
};

#endif
