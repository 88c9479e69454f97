/* demand.c - see demand.h. All quotients are computed without overflow: counters are taken
 * as differences first, and a difference that no VM could produce is a restart. */
#include "firmware/demand/demand.h"

#include <string.h>

/* A VM has at most this many vCPUs; together with the period it bounds the run time. */
#define MAX_VCPUS 4096u
/* Reports further apart than this are not compared: the mean would hide the peaks. */
#define MAX_PERIOD_US ((uint64_t)3600 * 1000000)
#define MAX_VALUE     ((uint64_t)1 << 48)

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t gn_demand_cpu_allocated(const Gnomon__V1__Allocation *allocation)
{
	uint64_t vcpus = least(allocation->vcpus, MAX_VCPUS);
	uint64_t period = allocation->cpu_period_us;
	uint64_t quota_milli;

	if (allocation->cpu_quota_us <= 0 || period == 0 || period > MAX_PERIOD_US)
		return vcpus * 1000;
	/* The quota is per vCPU. */
	quota_milli = least((uint64_t)allocation->cpu_quota_us, MAX_PERIOD_US) * 1000 / period;
	return vcpus * least(quota_milli, 1000);
}

static void keep(struct gn_demand_host *previous, const Gnomon__V1__HostVmStats *stats,
                 uint64_t monotonic_us, uint64_t allocated)
{
	previous->seen = true;
	previous->monotonic_us = monotonic_us;
	previous->cpu_time_ns = stats->cpu_time_ns;
	previous->cpu_wait_ns = stats->cpu_wait_ns;
	previous->swap_in_bytes = stats->swap_in_bytes;
	previous->swap_out_bytes = stats->swap_out_bytes;
	previous->major_faults = stats->major_faults;
	previous->allocated_milli = allocated;
}

/* Nanoseconds of CPU in microseconds of time, as milli-CPUs: ns / (us * 1000) * 1000. */
static uint64_t milli(uint64_t cpu_ns, uint64_t period_us)
{
	return (cpu_ns + period_us / 2) / period_us;
}

static uint64_t grown(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0; /* a guest's counter may restart by itself */
}

static void fill_memory(const struct gn_demand_host *previous, const Gnomon__V1__HostVmStats *stats,
                        Gnomon__V1__MemorySample *memory)
{
	const Gnomon__V1__Allocation *allocation = stats->allocation;
	uint64_t balloon = allocation ? allocation->memory_bytes : 0;
	uint64_t size = stats->memory_available_bytes
	                        ? least(stats->memory_available_bytes, balloon)
	                        : balloon;

	memory->allocated_bytes = balloon;
	memory->maximum_bytes = allocation ? allocation->memory_maximum_bytes : 0;
	memory->guest_reported =
	        stats->memory_updated_us != 0 && stats->memory_available_bytes != 0;
	if (memory->guest_reported)
		/* What the guest's kernel keeps for itself is used as well. */
		memory->used_bytes = balloon - least(stats->memory_usable_bytes, size);
	else
		memory->used_bytes = least(stats->memory_rss_bytes, MAX_VALUE);
	memory->swap_in_bytes = grown(stats->swap_in_bytes, previous->swap_in_bytes);
	memory->swap_out_bytes = grown(stats->swap_out_bytes, previous->swap_out_bytes);
	memory->major_faults = grown(stats->major_faults, previous->major_faults);
}

enum gn_demand_result gn_demand_from_host(struct gn_demand_host *previous,
                                          const Gnomon__V1__HostVmStats *stats,
                                          uint64_t monotonic_us, Gnomon__V1__CpuSample *cpu,
                                          Gnomon__V1__MemorySample *memory, uint64_t *period_us)
{
	uint64_t allocated = stats->allocation ? gn_demand_cpu_allocated(stats->allocation) : 0;
	struct gn_demand_host before = *previous;
	uint64_t period, used, limit;

	if (stats->state != GNOMON__V1__VM_STATE__RUNNING) {
		previous->seen = false;
		return GN_DEMAND_OFF;
	}
	if (before.seen && monotonic_us == before.monotonic_us)
		return GN_DEMAND_REPEATED;
	keep(previous, stats, monotonic_us, allocated);
	if (!before.seen || monotonic_us < before.monotonic_us ||
	    monotonic_us - before.monotonic_us > MAX_PERIOD_US ||
	    stats->cpu_time_ns < before.cpu_time_ns)
		return GN_DEMAND_FIRST;
	period = monotonic_us - before.monotonic_us;
	used = milli(stats->cpu_time_ns - before.cpu_time_ns, period);
	if (used > (uint64_t)MAX_VCPUS * 1000)
		return GN_DEMAND_FIRST;
	limit = allocated > before.allocated_milli ? allocated : before.allocated_milli;
	/* Reports are not taken at the very instant that they name: forgive a little. */
	cpu->used_milli = limit ? least(used, limit + limit / 20) : used;
	cpu->allocated_milli = limit;
	cpu->wait_milli = least(milli(grown(stats->cpu_wait_ns, before.cpu_wait_ns), period),
	                        (uint64_t)MAX_VCPUS * 1000);
	fill_memory(&before, stats, memory);
	*period_us = period;
	return GN_DEMAND_SAMPLE;
}

static void set(struct gn_demand *demand, enum gn_resource resource, uint64_t value,
                uint64_t allocated, uint64_t maximum)
{
	struct gn_demand_value *v = &demand->values[resource];

	v->valid = true;
	v->value = (int64_t)least(value, MAX_VALUE);
	v->allocated = (int64_t)least(allocated, MAX_VALUE);
	v->maximum = (int64_t)least(maximum, MAX_VALUE);
	v->estimated = false;
}

/* 'n' things of 'weight' over the period, per second. */
static uint64_t per_second(uint64_t n, uint64_t weight, uint64_t period_us)
{
	n = least(n, MAX_VALUE);
	if (n < (uint64_t)1 << 40)
		return n * weight * 1000000 / period_us; /* below 2^40 * 2^3 * 2^20 */
	return least(n / period_us, MAX_VALUE / 8000000) * weight * 1000000;
}

static void from_disk(const Gnomon__V1__Sample *sample, const struct gn_demand_limits *limits,
                      struct gn_demand *demand)
{
	const Gnomon__V1__DiskOperation *read = sample->disk->read, *write = sample->disk->write;
	uint64_t period = sample->period_us;
	uint64_t operations = (read ? least(read->operations, MAX_VALUE) : 0) +
	                      (write ? least(write->operations, MAX_VALUE) : 0);

	set(demand, GN_RESOURCE_DISK_READ, per_second(read ? read->bytes : 0, 1, period),
	    limits->disk_bytes, 0);
	set(demand, GN_RESOURCE_DISK_WRITE, per_second(write ? write->bytes : 0, 1, period),
	    limits->disk_bytes, 0);
	set(demand, GN_RESOURCE_DISK_OPERATIONS, per_second(operations, 1, period),
	    limits->disk_operations, 0);
}

/* On a busy host a VM gets less than it asks for: the time that it was ready to run and
 * had to wait is demand as well, up to what it is allowed. */
static uint64_t cpu_demand(const Gnomon__V1__CpuSample *cpu)
{
	uint64_t wanted = least(cpu->used_milli, MAX_VALUE) + least(cpu->wait_milli, MAX_VALUE);
	uint64_t most =
	        cpu->allocated_milli > cpu->used_milli ? cpu->allocated_milli : cpu->used_milli;

	return cpu->allocated_milli ? least(wanted, most) : cpu->used_milli;
}

void gn_demand_from_sample(const Gnomon__V1__Sample *sample, const struct gn_demand_limits *limits,
                           uint32_t maximum_vcpus, struct gn_demand *demand)
{
	uint64_t period = sample->period_us;

	if (period == 0)
		return;
	if (sample->network) {
		set(demand, GN_RESOURCE_NETWORK_RX,
		    per_second(sample->network->rx_bytes, 8, period), limits->rx_bps, 0);
		set(demand, GN_RESOURCE_NETWORK_TX,
		    per_second(sample->network->tx_bytes, 8, period), limits->tx_bps, 0);
	}
	if (sample->disk)
		from_disk(sample, limits, demand);
	if (sample->cpu)
		set(demand, GN_RESOURCE_CPU, cpu_demand(sample->cpu), sample->cpu->allocated_milli,
		    (uint64_t)maximum_vcpus * 1000);
	if (sample->memory) {
		set(demand, GN_RESOURCE_MEMORY, sample->memory->used_bytes,
		    sample->memory->allocated_bytes, sample->memory->maximum_bytes);
		demand->values[GN_RESOURCE_MEMORY].estimated = !sample->memory->guest_reported;
	}
}
