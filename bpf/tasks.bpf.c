/* tasks.bpf.c - an iterator over tasks: each reading walks the host's tasks once and writes a
 * record for every thread of the wanted processes. No hook: between readings it costs nothing. */
#include "bpf/kernel.bpf.h"
#include "bpf/tasks_abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GN_TASKS_MAX);
	__type(key, uint32_t);
	__type(value, uint8_t);
} wanted SEC(".maps");

static __always_inline void copy_io(const struct task_io_accounting *in, struct gn_tasks_io *out)
{
	if (!bpf_core_field_exists(in->syscr))
		return;
	out->read_calls = BPF_CORE_READ(in, syscr);
	out->write_calls = BPF_CORE_READ(in, syscw);
	out->read_bytes = BPF_CORE_READ(in, read_bytes);
	out->write_bytes = BPF_CORE_READ(in, write_bytes);
}

static __always_inline void copy_ended(const struct signal_struct *in, struct gn_tasks_record *out)
{
	out->ended_cpu_ns = BPF_CORE_READ(in, sum_sched_runtime);
	out->ended_minor_faults = BPF_CORE_READ(in, min_flt);
	out->ended_major_faults = BPF_CORE_READ(in, maj_flt);
	if (bpf_core_field_exists(in->ioac))
		copy_io(&in->ioac, &out->ended_io);
}

static __always_inline void copy_task(const struct task_struct *in, struct gn_tasks_record *out)
{
	out->process = (uint32_t)in->tgid;
	out->thread = (uint32_t)in->pid;
	BPF_CORE_READ_STR_INTO(&out->name, in, comm);
	out->started_ns = in->start_boottime;
	out->cpu_ns = in->se.sum_exec_runtime;
	if (bpf_core_field_exists(in->sched_info.run_delay)) {
		out->run_delay_ns = in->sched_info.run_delay;
		out->runs = in->sched_info.pcount;
	}
	out->voluntary_switches = in->nvcsw;
	out->involuntary_switches = in->nivcsw;
	out->minor_faults = in->min_flt;
	out->major_faults = in->maj_flt;
	if (bpf_core_field_exists(in->ioac))
		copy_io(&in->ioac, &out->io);
}

SEC("iter/task")
int gn_tasks(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task;
	struct gn_tasks_record record = {};
	uint32_t process;

	if (!task)
		return 0;
	process = (uint32_t)task->tgid;
	if (!bpf_map_lookup_elem(&wanted, &process))
		return 0;
	copy_task(task, &record);
	if (record.process == record.thread)
		copy_ended(task->signal, &record);
	bpf_seq_write(context->meta->seq, &record, sizeof record);
	return 0;
}

char license_of_program[] SEC("license") = "GPL";
