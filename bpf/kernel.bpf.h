/* kernel.bpf.h - the little of the kernel that the programs here read, for CO-RE: only the names
 * matter, libbpf puts in the running kernel's offsets (preserve_access_index). Written by hand,
 * so that this builds on machines without type information. Kernels from 5.15.
 *
 * Included by *.bpf.c alone; libbpf's headers for them come in through here. */
#ifndef GN_BPF_KERNEL_BPF_H
#define GN_BPF_KERNEL_BPF_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

typedef __u8 uint8_t;
typedef __u32 uint32_t;
typedef __s32 int32_t;
typedef __s64 int64_t;
typedef __u64 uint64_t;
typedef _Bool bool;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sched_info {
	unsigned long pcount;
	unsigned long long run_delay;
};

struct sched_entity {
	uint64_t sum_exec_runtime;
};

struct task_io_accounting {
	uint64_t rchar, wchar, syscr, syscw, read_bytes, write_bytes;
};

/* What threads that ended have left to their process. */
struct signal_struct {
	unsigned long long sum_sched_runtime;
	unsigned long min_flt, maj_flt, nvcsw, nivcsw;
	struct task_io_accounting ioac;
};

struct thread_info {
	uint32_t status; /* x86 */
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;
	struct sched_entity se;
	struct sched_info sched_info;
	int32_t pid, tgid;
	unsigned long nvcsw, nivcsw, min_flt, maj_flt;
	uint64_t start_boottime;
	char comm[16];
	struct signal_struct *signal;
	struct task_io_accounting ioac;
};

struct request {
	unsigned int cmd_flags;
};

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

#endif
