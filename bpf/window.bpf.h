/* window.bpf.h - what the programs of observation windows share: the process that is looked at,
 * the end of the window, and histograms, one of each per CPU. Included by *.bpf.c alone.
 *
 * A program counts nothing after the window's end, even if whoever loaded it hangs; when the
 * loader ends or is killed, the kernel takes the hooks away, since only its descriptors hold
 * them. */
#ifndef GN_BPF_WINDOW_BPF_H
#define GN_BPF_WINDOW_BPF_H

#include "bpf/kernel.bpf.h"
#include "bpf/histogram_abi.h"
#include "bpf/target_abi.h"

#define TASK_RUNNING 0
#define MAX_THREADS  4096

const volatile uint32_t target = 0; /* process or GN_TARGET_EVERYBODY; set before loading */
volatile uint64_t end_ns = 0;       /* since boot, as gn_now_ns(); 0: the window has not begun */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, uint64_t);
} lost SEC(".maps"); /* events for which a table had no room */

static __always_inline bool is_target(uint32_t process)
{
	return target == GN_TARGET_EVERYBODY ? process != 0 : process == target;
}

/* The clock of firmware/core/clock.h. */
static __always_inline uint64_t gn_now_ns(void)
{
	return bpf_ktime_get_boot_ns();
}

static __always_inline bool is_over(uint64_t now_ns)
{
	return now_ns >= end_ns;
}

static __always_inline void count_lost(void)
{
	uint32_t zero = 0;
	uint64_t *n = bpf_map_lookup_elem(&lost, &zero);

	if (n)
		__sync_fetch_and_add(n, 1);
}

static __always_inline uint32_t slot_of(uint64_t ns)
{
	uint32_t slot = 0, shift;

#pragma unroll
	for (shift = 32; shift; shift >>= 1)
		if (ns >> shift) {
			ns >>= shift;
			slot += shift;
		}
	return slot < GN_HISTOGRAM_SLOTS ? slot : GN_HISTOGRAM_SLOTS - 1;
}

/* Atomic although per CPU: newer kernels may preempt a program, and interrupts run some. */
static __always_inline void observe(struct gn_histogram *h, uint64_t ns)
{
	uint32_t slot = slot_of(ns);

	if (slot >= GN_HISTOGRAM_SLOTS)
		return;
	__sync_fetch_and_add(&h->slots[slot], 1);
	__sync_fetch_and_add(&h->count, 1);
	__sync_fetch_and_add(&h->sum_ns, ns);
	if (ns > h->maximum_ns)
		h->maximum_ns = ns;
}

#endif
