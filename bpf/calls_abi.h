/* calls_abi.h - the table of calls.bpf.c, shared by it and its loader: what each process calls. */
#ifndef GN_BPF_CALLS_ABI_H
#define GN_BPF_CALLS_ABI_H

#include "bpf/syscalls_abi.h"
#ifndef __bpf__
#include <stdint.h>
#endif

#define GN_CALLS_ROWS      4096 /* processes times what they call, in one period */
#define GN_CALLS_NAME_SIZE 16
#define GN_CALLS_APIS      16
#define GN_CALLS_API       0x1000u /* slots from here on are functions of programs, by index */

struct gn_calls_key {
	uint32_t process;
	uint32_t
	        slot; /* of syscalls_abi.h, or GN_CALLS_API and more; bit 31: the period's parity */
};
#define GN_CALLS_PARITY 0x80000000u

/* Of functions of programs only the count is known. */
struct gn_calls_value {
	uint64_t count;
	uint64_t errors;
	uint64_t sum_ns;
	uint64_t maximum_ns;
	char name[GN_CALLS_NAME_SIZE]; /* the process's, when it first called */
};

#endif
