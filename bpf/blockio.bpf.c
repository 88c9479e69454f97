/* blockio.bpf.c - how long block requests of the target take, from being queued (or issued, where
 * there is no queue) until completed. A request belongs to the process that submits it; what the
 * kernel writes back later from its page cache belongs to nobody. */
#include "bpf/window.bpf.h"
#include "bpf/blockio_abi.h"

#define REQUEST_OPERATION 0xff /* of cmd_flags */
#define MAX_REQUESTS      8192

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_REQUESTS);
	__type(key, uint64_t);
	__type(value, uint64_t);
} begun SEC(".maps"); /* by request, when */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, GN_BLOCKIO_KINDS);
	__type(key, uint32_t);
	__type(value, struct gn_histogram);
} histograms SEC(".maps");

/* Queued first, then issued: the first of the two counts. */
static __always_inline int on_begin(struct request *request)
{
	uint64_t key = (uint64_t)request, now_ns;

	if (!is_target(bpf_get_current_pid_tgid() >> 32))
		return 0;
	now_ns = gn_now_ns();
	if (!is_over(now_ns) && !bpf_map_lookup_elem(&begun, &key) &&
	    bpf_map_update_elem(&begun, &key, &now_ns, BPF_NOEXIST))
		count_lost();
	return 0;
}

SEC("tp_btf/block_rq_insert")
int BPF_PROG(blockio_insert, struct request *request)
{
	return on_begin(request);
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(blockio_issue, struct request *request)
{
	return on_begin(request);
}

/* Into another request: this one is never completed, and its memory is used again. */
SEC("tp_btf/block_rq_merge")
int BPF_PROG(blockio_merge, struct request *request)
{
	uint64_t key = (uint64_t)request;

	bpf_map_delete_elem(&begun, &key);
	return 0;
}

static __always_inline uint32_t kind_of(struct request *request)
{
	uint32_t operation = request->cmd_flags & REQUEST_OPERATION;

	return operation < GN_BLOCKIO_OTHER ? operation : GN_BLOCKIO_OTHER;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(blockio_complete, struct request *request)
{
	uint64_t key = (uint64_t)request, now_ns, *since = bpf_map_lookup_elem(&begun, &key);
	struct gn_histogram *h;
	uint32_t kind;

	if (!since)
		return 0;
	now_ns = gn_now_ns();
	kind = kind_of(request);
	h = bpf_map_lookup_elem(&histograms, &kind);
	if (h && !is_over(now_ns) && now_ns >= *since)
		observe(h, now_ns - *since);
	bpf_map_delete_elem(&begun, &key);
	return 0;
}

char license_of_program[] SEC("license") = "GPL";
