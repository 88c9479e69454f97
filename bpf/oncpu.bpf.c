/* oncpu.bpf.c - how long the target's threads stay on a CPU each time: slices that began and
 * ended within the window. */
#include "bpf/threads.bpf.h"

SEC("tp_btf/sched_switch")
int BPF_PROG(oncpu_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	bool leaves = is_target((uint32_t)prev->tgid), comes = is_target((uint32_t)next->tgid);
	uint64_t now_ns;

	if (!leaves && !comes)
		return 0;
	now_ns = gn_now_ns();
	if (is_over(now_ns))
		return 0;
	if (leaves)
		end((uint32_t)prev->pid, now_ns);
	if (comes)
		begin((uint32_t)next->pid, now_ns);
	return 0;
}

char license_of_program[] SEC("license") = "GPL";
