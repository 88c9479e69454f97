/* calls.bpf.c - every process's system calls, with errors and time, and its calls of chosen
 * functions of programs (uprobes). For gnomon-guest: the whole machine but the reader itself. */
#include "bpf/compat.bpf.h"
#include "bpf/calls_abi.h"

#define MAX_ERRNO   4095
#define MAX_THREADS 8192

const volatile uint32_t self = 0; /* the reader's process; set before loading */
volatile uint32_t parity = 0;     /* 0 or GN_CALLS_PARITY: into which period calls are counted */

struct begun {
	uint32_t slot;
	uint64_t at_ns;
};

/* Least recently used ones go: threads that ended in a call are never taken out. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_THREADS);
	__type(key, uint32_t);
	__type(value, struct begun);
} begun SEC(".maps"); /* by thread */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * GN_CALLS_ROWS);
	__type(key, struct gn_calls_key);
	__type(value, struct gn_calls_value);
} table SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, uint64_t);
} lost SEC(".maps"); /* calls for which the table had no room */

static __always_inline struct gn_calls_value *value_of(uint32_t process, uint32_t slot)
{
	struct gn_calls_key key = {process, slot | parity};
	struct gn_calls_value *value = bpf_map_lookup_elem(&table, &key), fresh = {};
	uint32_t zero = 0;
	uint64_t *n;

	if (value)
		return value;
	bpf_get_current_comm(fresh.name, sizeof fresh.name);
	bpf_map_update_elem(&table, &key, &fresh, BPF_NOEXIST);
	value = bpf_map_lookup_elem(&table, &key);
	if (!value) {
		n = bpf_map_lookup_elem(&lost, &zero);
		if (n)
			__sync_fetch_and_add(n, 1);
	}
	return value;
}

SEC("raw_tp/sys_enter")
int calls_enter(struct bpf_raw_tracepoint_args *context)
{
	uint64_t id = bpf_get_current_pid_tgid();
	uint32_t process = id >> 32, thread = (uint32_t)id;
	struct begun now = {slot_of_call(context->args[1]), bpf_ktime_get_ns()};
	struct gn_calls_value *value;

	if (process == self)
		return 0;
	value = value_of(process, now.slot);
	if (value)
		__sync_fetch_and_add(&value->count, 1);
	bpf_map_update_elem(&begun, &thread, &now, BPF_ANY);
	return 0;
}

SEC("raw_tp/sys_exit")
int calls_exit(struct bpf_raw_tracepoint_args *context)
{
	uint64_t id = bpf_get_current_pid_tgid(), took_ns;
	uint32_t process = id >> 32, thread = (uint32_t)id;
	int64_t result = (int64_t)context->args[1];
	struct gn_calls_value *value;
	struct begun *since;

	if (process == self)
		return 0;
	since = bpf_map_lookup_elem(&begun, &thread);
	if (!since)
		return 0;
	took_ns = bpf_ktime_get_ns() - since->at_ns;
	value = value_of(process, since->slot);
	if (value) {
		if (result < 0 && result >= -MAX_ERRNO)
			__sync_fetch_and_add(&value->errors, 1);
		__sync_fetch_and_add(&value->sum_ns, took_ns);
		if (took_ns > value->maximum_ns)
			value->maximum_ns = took_ns;
	}
	bpf_map_delete_elem(&begun, &thread);
	return 0;
}

SEC("uprobe")
int calls_api(void *context)
{
	uint32_t process = bpf_get_current_pid_tgid() >> 32;
	uint32_t index = (uint32_t)bpf_get_attach_cookie(context);
	struct gn_calls_value *value = value_of(process, GN_CALLS_API | index);

	if (value)
		__sync_fetch_and_add(&value->count, 1);
	return 0;
}

char license_of_program[] SEC("license") = "GPL";
