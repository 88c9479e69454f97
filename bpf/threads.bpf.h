/* threads.bpf.h - one duration per thread of the target: begun, then ended into a histogram.
 * Included by the programs on the scheduler's hooks. */
#ifndef GN_BPF_THREADS_BPF_H
#define GN_BPF_THREADS_BPF_H

#include "bpf/window.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_THREADS);
	__type(key, uint32_t);
	__type(value, uint64_t);
} begun SEC(".maps"); /* by thread, when */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct gn_histogram);
} histograms SEC(".maps");

static __always_inline void begin(uint32_t thread, uint64_t now_ns)
{
	if (bpf_map_update_elem(&begun, &thread, &now_ns, BPF_ANY))
		count_lost();
}

/* Does nothing for a thread that had begun before the window. */
static __always_inline void end(uint32_t thread, uint64_t now_ns)
{
	uint64_t *since = bpf_map_lookup_elem(&begun, &thread);
	struct gn_histogram *h;
	uint32_t zero = 0;

	if (!since)
		return;
	h = bpf_map_lookup_elem(&histograms, &zero);
	if (h && now_ns >= *since)
		observe(h, now_ns - *since);
	bpf_map_delete_elem(&begun, &thread);
}

#endif
