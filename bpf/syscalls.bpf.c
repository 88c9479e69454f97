/* syscalls.bpf.c - the target's system calls by number. */
#include "bpf/window.bpf.h"
#include "bpf/syscalls_abi.h"

#define TS_COMPAT 2 /* x86: the system call that is under way is a 32-bit one */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, GN_SYSCALLS_SIZE);
	__type(key, uint32_t);
	__type(value, uint64_t);
} calls SEC(".maps");

static __always_inline bool is_compat(void)
{
	const struct task_struct *task = (void *)bpf_get_current_task();

	return bpf_core_field_exists(task->thread_info.status) &&
	       BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}

SEC("raw_tp/sys_enter")
int syscalls_enter(struct bpf_raw_tracepoint_args *context)
{
	uint64_t number = context->args[1], *n;
	uint32_t slot = number < GN_SYSCALLS_NUMBERS ? (uint32_t)number : GN_SYSCALLS_OTHER;

	if (bpf_get_current_pid_tgid() >> 32 != target || is_over(gn_now_ns()))
		return 0;
	if (is_compat())
		slot = GN_SYSCALLS_COMPAT;
	n = bpf_map_lookup_elem(&calls, &slot);
	if (n)
		__sync_fetch_and_add(n, 1);
	return 0;
}

char license_of_program[] SEC("license") = "GPL";
