/* globals.c - machine-wide counters (globals.h). */
#include "firmware/introspect/globals.h"

#include <errno.h>
#include <string.h>

#define RETRIES   8
#define MAX_NODES 64
#define MAX_ZONES 8
#define FIXED_ONE 2048 /* avenrun: 11 fractional bits */
#define MAX_PAGES                                                                                  \
	((uint64_t)1 << 52) /* 64-bit addresses have no more; sums of some stay numbers            \
	                     */
#define N(array) (sizeof(array) / sizeof(array)[0])

static bool has(const struct gn_kernel *k, enum gn_symbol symbol)
{
	return k->symbols.has[symbol];
}

static bool variable(const struct gn_kernel *k, enum gn_symbol symbol, uint64_t *value)
{
	*value = 0;
	return has(k, symbol) && gn_space_u64(&k->space, k->symbols.va[symbol], value);
}

static bool variable32(const struct gn_kernel *k, enum gn_symbol symbol, uint32_t *value)
{
	*value = 0;
	return has(k, symbol) && gn_space_u32(&k->space, k->symbols.va[symbol], value);
}

/* ---- CPUs ----------------------------------------------------------------------------------- */

static bool is_online(const struct gn_kernel *k, unsigned cpu)
{
	uint64_t word;

	return !has(k, GN_SYM_cpu_online_mask) ||
	       (gn_space_u64(&k->space, k->symbols.va[GN_SYM_cpu_online_mask] + cpu / 64 * 8,
	                     &word) &&
	        (word >> (cpu % 64) & 1));
}

struct queue {
	uint64_t cpu_time;
	uint64_t current;
	uint64_t idle;
	uint64_t clock;
	uint64_t arrival;
	uint64_t queued;
};

static bool read_queue(const struct gn_kernel *k, uint64_t rq, struct queue *q)
{
	const struct gn_profile *p = &k->profile;

	return gn_space_u64(&k->space, rq + p->at.rq_cpu_time, &q->cpu_time) &&
	       gn_space_u64(&k->space, rq + p->at.rq_curr, &q->current) &&
	       gn_space_u64(&k->space, rq + p->at.rq_idle, &q->idle) &&
	       gn_space_u64(&k->space, q->current + p->at.task_last_arrival, &q->arrival) &&
	       gn_space_u64(&k->space, q->current + p->at.task_last_queued, &q->queued) &&
	       gn_space_u64(&k->space, rq + p->at.rq_clock, &q->clock);
}

/* In a switch, the current task is already the new one but nothing is accounted yet: the new
 * one still counts as queued. Such a moment is read again, and, if it lasts (the guest is
 * stopped there), left to the next period. */
static bool read_busy(const struct gn_kernel *k, uint64_t rq, struct gn_globals_cpu *cpu,
                      uint32_t *retries)
{
	struct queue q, again;

	for (unsigned i = 0;; i++) {
		if (!read_queue(k, rq, &q) || !read_queue(k, rq, &again))
			return false;
		if (q.cpu_time == again.cpu_time && q.current == again.current &&
		    q.arrival == again.arrival && (!q.queued || q.current == q.idle))
			break;
		if (i == RETRIES) {
			cpu->busy_ns = again.cpu_time;
			cpu->clock_ns = again.clock;
			return true;
		}
		++*retries;
	}
	cpu->busy_ns = q.cpu_time;
	cpu->clock_ns = q.clock;
	if (q.current != q.idle && q.clock > q.arrival)
		cpu->busy_ns += q.clock - q.arrival;
	return true;
}

static bool read_cpu(const struct gn_kernel *k, unsigned index, struct gn_globals *out)
{
	const struct gn_profile *p = &k->profile;
	struct gn_globals_cpu *cpu = &out->cpus[index];
	uint64_t rq, tick;

	cpu->is_online = is_online(k, index);
	if (!gn_kernel_percpu(k, GN_SYM_runqueues, p->percpu.runqueues, index, &rq) ||
	    !read_busy(k, rq, cpu, &out->retries) ||
	    !gn_space_u64(&k->space, rq + p->at.rq_run_delay, &cpu->wait_ns) ||
	    !gn_space_u32(&k->space, rq + p->at.rq_nr_running, &cpu->n_running))
		return false;
	if (p->at.tick_idle_sleeptime != GN_PROFILE_ABSENT &&
	    p->at.tick_iowait_sleeptime != GN_PROFILE_ABSENT &&
	    gn_kernel_percpu(k, GN_SYM_tick_cpu_sched, p->percpu.tick_cpu_sched, index, &tick)) {
		uint64_t idle = 0, iowait = 0;

		gn_space_u64(&k->space, tick + p->at.tick_idle_sleeptime, &idle);
		gn_space_u64(&k->space, tick + p->at.tick_iowait_sleeptime, &iowait);
		cpu->idle_ns = idle + iowait;
	}
	return true;
}

static void read_cpus(const struct gn_kernel *k, struct gn_globals *out)
{
	const struct gn_profile *p = &k->profile;
	const uint32_t needed[] = {p->at.rq_cpu_time,       p->at.rq_curr,
	                           p->at.rq_idle,           p->at.rq_clock,
	                           p->at.rq_run_delay,      p->at.rq_nr_running,
	                           p->at.task_last_arrival, p->at.task_last_queued};

	for (unsigned i = 0; i < N(needed); i++)
		if (needed[i] == GN_PROFILE_ABSENT)
			return;
	out->n_cpus = k->n_cpus;
	out->has_cpu = k->n_cpus != 0;
	for (unsigned i = 0; i < k->n_cpus && out->has_cpu; i++)
		out->has_cpu = read_cpu(k, i, out);
}

/* ---- load, memory, events ----------------------------------------------------------------------
 */

static void read_load(const struct gn_kernel *k, struct gn_globals *out)
{
	uint64_t load[3];

	out->has_load = has(k, GN_SYM_avenrun) &&
	                gn_space_read(&k->space, k->symbols.va[GN_SYM_avenrun], load, sizeof load);
	for (unsigned i = 0; out->has_load && i < 3; i++)
		out->load_milli[i] =
		        load[i] > UINT32_MAX ? 0 : (uint32_t)(load[i] * 1000 / FIXED_ONE);
}

/* What cannot be a number of pages is none. */
static uint64_t as_pages(uint64_t value)
{
	return value > MAX_PAGES ? 0 : value;
}

/* A counter of the given array; negative ones are 0, as in /proc. */
static bool counter(const struct gn_kernel *k, enum gn_symbol array, uint32_t index,
                    uint64_t *pages)
{
	*pages = 0;
	if (!has(k, array) || index == GN_PROFILE_ABSENT ||
	    !gn_space_u64(&k->space, k->symbols.va[array] + 8ull * index, pages))
		return false;
	*pages = as_pages(*pages);
	return true;
}

/* The zones' low watermarks, summed (low_wmark_pages). */
static uint64_t node_watermark(const struct gn_kernel *k, uint64_t node)
{
	const struct gn_profile *p = &k->profile;
	uint64_t sum = 0, low, boost;
	uint32_t n_zones;

	if (!gn_space_u32(&k->space, node + p->at.node_nr_zones, &n_zones) || n_zones > MAX_ZONES)
		return 0;
	for (uint32_t i = 0; i < n_zones; i++) {
		uint64_t zone = node + p->at.node_zones + (uint64_t)i * p->size.zone;

		if (gn_space_u64(&k->space, zone + p->at.zone_watermark + 8ull * p->value.wmark_low,
		                 &low) &&
		    gn_space_u64(&k->space, zone + p->at.zone_boost, &boost))
			sum += as_pages(low) + as_pages(boost);
	}
	return sum;
}

/* Address of the node's data, NUMA or not. */
static bool node_at(const struct gn_kernel *k, unsigned index, uint64_t *node)
{
	if (!has(k, GN_SYM_node_data)) {
		*node = k->symbols.va[GN_SYM_contig_page_data];
		return index == 0 && has(k, GN_SYM_contig_page_data);
	}
	return index < MAX_NODES &&
	       gn_space_u64(&k->space, k->symbols.va[GN_SYM_node_data] + 8ull * index, node) &&
	       gn_space_is_pointer(&k->space, *node);
}

static uint64_t watermark(const struct gn_kernel *k)
{
	const struct gn_profile *p = &k->profile;
	uint64_t sum = 0, node;

	if (p->at.node_zones == GN_PROFILE_ABSENT || p->at.node_nr_zones == GN_PROFILE_ABSENT ||
	    p->at.zone_watermark == GN_PROFILE_ABSENT || p->at.zone_boost == GN_PROFILE_ABSENT ||
	    p->size.zone == GN_PROFILE_ABSENT || p->value.wmark_low == GN_PROFILE_ABSENT)
		return 0;
	for (unsigned i = 0; node_at(k, i, &node); i++)
		sum += node_watermark(k, node);
	return sum;
}

/* What the kernel keeps back, from its total or, where that is no symbol, from the nodes'. */
static uint64_t reserve(const struct gn_kernel *k)
{
	uint64_t sum = 0, pages, node;

	if (variable(k, GN_SYM_totalreserve_pages, &sum) ||
	    k->profile.at.node_reserve == GN_PROFILE_ABSENT)
		return as_pages(sum);
	for (unsigned i = 0; node_at(k, i, &node); i++)
		if (gn_space_u64(&k->space, node + k->profile.at.node_reserve, &pages))
			sum += as_pages(pages);
	return sum;
}

/* si_mem_available() of Linux. */
static uint64_t available(const struct gn_kernel *k, uint64_t free_pages)
{
	const struct gn_profile *p = &k->profile;
	uint64_t active, inactive, slab, misc, low = watermark(k);
	int64_t pages, cache, reclaimable;

	counter(k, GN_SYM_vm_node_stat, p->value.active_file, &active);
	counter(k, GN_SYM_vm_node_stat, p->value.inactive_file, &inactive);
	counter(k, GN_SYM_vm_node_stat, p->value.slab_reclaimable, &slab);
	counter(k, GN_SYM_vm_node_stat, p->value.misc_reclaimable, &misc);
	cache = (int64_t)(active + inactive);
	reclaimable = (int64_t)(slab + misc);
	pages = (int64_t)(free_pages - reserve(k));
	pages += cache - ((uint64_t)cache / 2 < low ? cache / 2 : (int64_t)low);
	pages += reclaimable - ((uint64_t)reclaimable / 2 < low ? reclaimable / 2 : (int64_t)low);
	return pages < 0 ? 0 : (uint64_t)pages;
}

static void read_memory(const struct gn_kernel *k, struct gn_globals *out)
{
	const struct gn_profile *p = &k->profile;
	uint64_t file, swapcache;

	out->has_memory = variable(k, GN_SYM_totalram_pages, &out->total_pages) &&
	                  counter(k, GN_SYM_vm_zone_stat, p->value.free_pages, &out->free_pages) &&
	                  counter(k, GN_SYM_vm_node_stat, p->value.file_pages, &file);
	if (!out->has_memory)
		return;
	counter(k, GN_SYM_vm_node_stat, p->value.swapcache, &swapcache);
	out->cache_pages = file > swapcache ? file - swapcache : 0;
	out->available_pages = available(k, out->free_pages);
	variable(k, GN_SYM_total_swap_pages, &out->swap_total_pages);
	variable(k, GN_SYM_nr_swap_pages, &out->swap_free_pages);
	if ((int64_t)out->swap_free_pages < 0)
		out->swap_free_pages = 0;
}

/* Per-CPU counters, which may wrap into each other: only their sum means something. */
static void read_events(const struct gn_kernel *k, struct gn_globals *out)
{
	const struct gn_profile *p = &k->profile;
	const struct {
		uint32_t index;
		uint64_t *sum;
	} events[] = {
	        {p->value.pgfault, &out->faults},
	        {p->value.pgmajfault, &out->major_faults},
	        {p->value.pswpin, &out->swapped_in_pages},
	        {p->value.pswpout, &out->swapped_out_pages},
	        {p->value.oom_kill, &out->oom_kills},
	};
	uint64_t base, value;

	out->has_events = k->n_cpus != 0 && p->at.vm_event != GN_PROFILE_ABSENT;
	for (unsigned cpu = 0; cpu < k->n_cpus && out->has_events; cpu++) {
		if (!gn_kernel_percpu(k, GN_SYM_vm_event_states, p->percpu.vm_event_states, cpu,
		                      &base)) {
			out->has_events = false;
			break;
		}
		for (unsigned i = 0; i < N(events); i++)
			if (events[i].index != GN_PROFILE_ABSENT &&
			    gn_space_u64(&k->space, base + p->at.vm_event + 8ull * events[i].index,
			                 &value))
				*events[i].sum += value;
	}
}

static void read_failure(const struct gn_kernel *k, struct gn_globals *out)
{
	uint32_t value;

	out->has_taint = variable(k, GN_SYM_tainted_mask, &out->taint);
	if (variable32(k, GN_SYM_panic_cpu, &value))
		out->is_panicked = value != UINT32_MAX; /* PANIC_CPU_INVALID */
	if (variable32(k, GN_SYM_oops_in_progress, &value))
		out->is_oopsing = value != 0;
}

int gn_globals(const struct gn_kernel *k, struct gn_globals *out)
{
	memset(out, 0, sizeof *out);
	if (has(k, GN_SYM_jiffies) && !gn_kernel_jiffies(k, &out->jiffies))
		return -EFAULT;
	read_cpus(k, out);
	read_load(k, out);
	read_memory(k, out);
	read_events(k, out);
	read_failure(k, out);
	variable32(k, GN_SYM_nr_threads, &out->n_threads);
	out->has_forks = variable(k, GN_SYM_total_forks, &out->forks);
	return 0;
}
