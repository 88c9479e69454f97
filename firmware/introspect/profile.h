/* profile.h - where a kernel keeps what is read: offsets from its own type information (BTF).
 *
 * The BTF is found in the guest's memory and parsed by libbpf. It is hostile input: a guest
 * can make any offset look like anything. So an offset is bounded here and every read through
 * it is checked (memory.h); a wrong profile yields wrong numbers of that VM and nothing else.
 * Hence a profile may be kept for a kernel (by its build id) of one VM, never across VMs.
 *
 * The struct is plain data and may be copied. */
#ifndef GN_INTROSPECT_PROFILE_H
#define GN_INTROSPECT_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GN_PROFILE_MAX_OFFSET (1u << 20)
#define GN_PROFILE_ABSENT     UINT32_MAX
#define GN_PROFILE_MAX_BTF    (32u << 20)

/* field, structure, path; the first that exists is taken, so renamed members have a second
 * line with the same field. */
#define GN_PROFILE_FIELDS(X)                                                                       \
	X(task_state, "task_struct", "__state")                                                    \
	X(task_tasks, "task_struct", "tasks")                                                      \
	X(task_pid, "task_struct", "pid")                                                          \
	X(task_tgid, "task_struct", "tgid")                                                        \
	X(task_comm, "task_struct", "comm")                                                        \
	X(task_flags, "task_struct", "flags")                                                      \
	X(task_exit_state, "task_struct", "exit_state")                                            \
	X(task_start, "task_struct", "start_boottime")                                             \
	X(task_runtime, "task_struct", "se.sum_exec_runtime")                                      \
	X(task_run_delay, "task_struct", "sched_info.run_delay")                                   \
	X(task_last_arrival, "task_struct", "sched_info.last_arrival")                             \
	X(task_last_queued, "task_struct", "sched_info.last_queued")                               \
	X(task_signal, "task_struct", "signal")                                                    \
	X(task_mm, "task_struct", "mm")                                                            \
	X(task_thread_node, "task_struct", "thread_node")                                          \
	X(task_real_parent, "task_struct", "real_parent")                                          \
	X(task_nvcsw, "task_struct", "nvcsw")                                                      \
	X(task_nivcsw, "task_struct", "nivcsw")                                                    \
	X(task_minflt, "task_struct", "min_flt")                                                   \
	X(task_majflt, "task_struct", "maj_flt")                                                   \
	X(task_syscr, "task_struct", "ioac.syscr")                                                 \
	X(task_syscw, "task_struct", "ioac.syscw")                                                 \
	X(task_read_bytes, "task_struct", "ioac.read_bytes")                                       \
	X(task_write_bytes, "task_struct", "ioac.write_bytes")                                     \
	X(signal_threads, "signal_struct", "thread_head")                                          \
	X(signal_stats_seq, "signal_struct", "stats_lock.seqcount.seqcount.sequence")              \
	X(signal_nr_threads, "signal_struct", "nr_threads")                                        \
	X(signal_runtime, "signal_struct", "sum_sched_runtime")                                    \
	X(signal_minflt, "signal_struct", "min_flt")                                               \
	X(signal_majflt, "signal_struct", "maj_flt")                                               \
	X(signal_syscr, "signal_struct", "ioac.syscr")                                             \
	X(signal_syscw, "signal_struct", "ioac.syscw")                                             \
	X(signal_read_bytes, "signal_struct", "ioac.read_bytes")                                   \
	X(signal_write_bytes, "signal_struct", "ioac.write_bytes")                                 \
	X(mm_rss_stat, "mm_struct", "rss_stat")                                                    \
	X(counter_count, "percpu_counter", "count")                                                \
	X(rq_nr_running, "rq", "nr_running")                                                       \
	X(rq_curr, "rq", "curr")                                                                   \
	X(rq_idle, "rq", "idle")                                                                   \
	X(rq_clock, "rq", "clock")                                                                 \
	X(rq_cpu_time, "rq", "rq_cpu_time")                                                        \
	X(rq_run_delay, "rq", "rq_sched_info.run_delay")                                           \
	X(rq_nr_switches, "rq", "nr_switches")                                                     \
	X(tick_idle_sleeptime, "tick_sched", "idle_sleeptime")                                     \
	X(tick_iowait_sleeptime, "tick_sched", "iowait_sleeptime")                                 \
	X(vm_event, "vm_event_state", "event")                                                     \
	X(zone_watermark, "zone", "_watermark")                                                    \
	X(zone_boost, "zone", "watermark_boost")                                                   \
	X(node_zones, "pglist_data", "node_zones")                                                 \
	X(node_nr_zones, "pglist_data", "nr_zones")                                                \
	X(node_reserve, "pglist_data", "totalreserve_pages")                                       \
	X(uts_name, "uts_namespace", "name")                                                       \
	X(uts_release, "new_utsname", "release")                                                   \
	X(prb_descs, "printk_ringbuffer", "desc_ring.descs")                                       \
	X(prb_infos, "printk_ringbuffer", "desc_ring.infos")                                       \
	X(prb_count_bits, "printk_ringbuffer", "desc_ring.count_bits")                             \
	X(prb_head_id, "printk_ringbuffer", "desc_ring.head_id")                                   \
	X(prb_tail_id, "printk_ringbuffer", "desc_ring.tail_id")                                   \
	X(prb_size_bits, "printk_ringbuffer", "text_data_ring.size_bits")                          \
	X(prb_data, "printk_ringbuffer", "text_data_ring.data")                                    \
	X(desc_state, "prb_desc", "state_var")                                                     \
	X(desc_begin, "prb_desc", "text_blk_lpos.begin")                                           \
	X(desc_next, "prb_desc", "text_blk_lpos.next")                                             \
	X(info_seq, "printk_info", "seq")                                                          \
	X(info_ts, "printk_info", "ts_nsec")                                                       \
	X(info_text_len, "printk_info", "text_len")                                                \
	X(info_facility, "printk_info", "facility")                                                \
	X(info_level, "printk_info", "level")

#define GN_PROFILE_SIZES(X)                                                                        \
	X(task, "task_struct")                                                                     \
	X(mm_rss_stat, "mm_rss_stat") /* absent since 6.2: percpu_counter[4] */                    \
	X(counter, "percpu_counter")                                                               \
	X(zone, "zone")                                                                            \
	X(desc, "prb_desc")                                                                        \
	X(info, "printk_info")

#define GN_PROFILE_VALUES(X)                                                                       \
	X(free_pages, "zone_stat_item", "NR_FREE_PAGES")                                           \
	X(file_pages, "node_stat_item", "NR_FILE_PAGES")                                           \
	X(active_file, "node_stat_item", "NR_ACTIVE_FILE")                                         \
	X(inactive_file, "node_stat_item", "NR_INACTIVE_FILE")                                     \
	X(slab_reclaimable, "node_stat_item", "NR_SLAB_RECLAIMABLE_B")                             \
	X(misc_reclaimable, "node_stat_item", "NR_KERNEL_MISC_RECLAIMABLE")                        \
	X(swapcache, "node_stat_item", "NR_SWAPCACHE")                                             \
	X(pgfault, "vm_event_item", "PGFAULT")                                                     \
	X(pgmajfault, "vm_event_item", "PGMAJFAULT")                                               \
	X(pswpin, "vm_event_item", "PSWPIN")                                                       \
	X(pswpout, "vm_event_item", "PSWPOUT")                                                     \
	X(oom_kill, "vm_event_item", "OOM_KILL")                                                   \
	X(wmark_low, "zone_watermarks", "WMARK_LOW")

#define GN_PROFILE_PERCPU(X)                                                                       \
	X(runqueues)                                                                               \
	X(tick_cpu_sched)                                                                          \
	X(kernel_cpustat)                                                                          \
	X(vm_event_states)                                                                         \
	X(process_counts)

#define GN_PROFILE_MEMBER(field, ...) uint32_t field;
struct gn_profile {
	struct {
		GN_PROFILE_FIELDS(GN_PROFILE_MEMBER)
	} at; /* byte offsets; info_level: bit offset; or ABSENT */
	struct {
		GN_PROFILE_SIZES(GN_PROFILE_MEMBER)
	} size;
	struct {
		GN_PROFILE_VALUES(GN_PROFILE_MEMBER)
	} value;
	struct {
		GN_PROFILE_PERCPU(GN_PROFILE_MEMBER)
	} percpu; /* in the per-CPU section */
	bool is_arm64;
};
#undef GN_PROFILE_MEMBER

/* 'btf' is a private copy. -EBADMSG: not valid BTF; -ENOENT: it has no kernel's task_struct. */
int gn_profile_load(const void *btf, size_t size, struct gn_profile *out);

#endif
