/* compat.bpf.h - whether a system call is made through the 32-bit interface. Included by *.bpf.c
 * alone. */
#ifndef GN_BPF_COMPAT_BPF_H
#define GN_BPF_COMPAT_BPF_H

#include "bpf/kernel.bpf.h"
#include "bpf/syscalls_abi.h"

#define TS_COMPAT 2 /* x86: the system call that is under way is a 32-bit one */

static __always_inline uint32_t slot_of_call(uint64_t number)
{
	const struct task_struct *task = (void *)bpf_get_current_task();

	if (bpf_core_field_exists(task->thread_info.status) &&
	    BPF_CORE_READ(task, thread_info.status) & TS_COMPAT)
		return GN_SYSCALLS_COMPAT;
	return number < GN_SYSCALLS_NUMBERS ? (uint32_t)number : GN_SYSCALLS_OTHER;
}

#endif
