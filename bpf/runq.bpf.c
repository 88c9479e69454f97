/* runq.bpf.c - how long the target's threads wait for a CPU: from being woken, or put off a CPU
 * while runnable, until they run. For a VM this is the steal time that its guest sees. */
#include "bpf/threads.bpf.h"

static __always_inline int on_wakeup(struct task_struct *task)
{
	uint64_t now_ns;

	if (!is_target((uint32_t)task->tgid))
		return 0;
	now_ns = gn_now_ns();
	if (!is_over(now_ns))
		begin((uint32_t)task->pid, now_ns);
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(runq_wakeup, struct task_struct *task)
{
	return on_wakeup(task);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(runq_wakeup_new, struct task_struct *task)
{
	return on_wakeup(task);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(runq_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	bool leaves = is_target((uint32_t)prev->tgid), comes = is_target((uint32_t)next->tgid);
	uint64_t now_ns;

	if (!leaves && !comes)
		return 0;
	now_ns = gn_now_ns();
	if (is_over(now_ns))
		return 0;
	if (leaves && (preempt || prev->__state == TASK_RUNNING))
		begin((uint32_t)prev->pid, now_ns);
	if (comes)
		end((uint32_t)next->pid, now_ns);
	return 0;
}

char license_of_program[] SEC("license") = "GPL";
