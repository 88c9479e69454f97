/* syscalls.bpf.c - the target's system calls by number. */
#include "bpf/window.bpf.h"
#include "bpf/compat.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, GN_SYSCALLS_SIZE);
	__type(key, uint32_t);
	__type(value, uint64_t);
} calls SEC(".maps");

SEC("raw_tp/sys_enter")
int syscalls_enter(struct bpf_raw_tracepoint_args *context)
{
	uint32_t slot;
	uint64_t *n;

	if (!is_target(bpf_get_current_pid_tgid() >> 32) || is_over(gn_now_ns()))
		return 0;
	slot = slot_of_call(context->args[1]);
	n = bpf_map_lookup_elem(&calls, &slot);
	if (n)
		__sync_fetch_and_add(n, 1);
	return 0;
}

char license_of_program[] SEC("license") = "GPL";
