/* demand.h - turns what libvirt and the dataplane count into what a VM demands.
 *
 * The shim reports cumulative counters; two reports make the CPU and memory of a period.
 * The dataplane reports a period's network and disk; they become bits/s and bytes/s.
 *
 * Pure. Messages are those of proto/gnomon/v1; no message is allocated or freed here. */
#ifndef GN_DEMAND_H
#define GN_DEMAND_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/demand/resource.h"
#include "proto/gnomon/v1/host.pb-c.h"
#include "proto/gnomon/v1/sample.pb-c.h"

/* The newest report of one VM. All zero: none yet. Owner: the caller. */
struct gn_demand_host {
	bool seen;
	uint64_t monotonic_us; /* the host's clock */
	uint64_t cpu_time_ns;
	uint64_t cpu_wait_ns;
	uint64_t swap_in_bytes;
	uint64_t swap_out_bytes;
	uint64_t major_faults;
	uint64_t allocated_milli;
};

enum gn_demand_result {
	GN_DEMAND_SAMPLE,   /* 'cpu' and 'memory' are filled */
	GN_DEMAND_FIRST,    /* the first report, or the first after a restart: nothing to compare */
	GN_DEMAND_REPEATED, /* the same report again: ignored */
	GN_DEMAND_OFF,      /* the VM does not run */
};

/* Compares 'stats', taken when the host's monotonic clock showed 'monotonic_us', with the
 * report before and keeps it. Counters that went back, or more CPU than the VM could have
 * used, mean that the VM or the host restarted: then the report only starts a new
 * comparison. When vCPUs were added or removed within the period, the allocation is the
 * larger of the two, since the demand was measured under both. 'cpu' and 'memory' must be
 * initialised messages. '*period_us' is the time between the two reports. */
enum gn_demand_result gn_demand_from_host(struct gn_demand_host *previous,
                                          const Gnomon__V1__HostVmStats *stats,
                                          uint64_t monotonic_us, Gnomon__V1__CpuSample *cpu,
                                          Gnomon__V1__MemorySample *memory, uint64_t *period_us);

/* milli-vCPU that the allocation permits: online vCPUs, or the quota when lower. */
uint64_t gn_demand_cpu_allocated(const Gnomon__V1__Allocation *allocation);

/* What one resource needed over a period. */
struct gn_demand_value {
	bool valid;
	int64_t value;     /* in the resource's unit */
	int64_t allocated; /* 0: not limited */
	int64_t maximum;   /* what the VM's definition allows; 0: not limited */
	bool estimated;    /* the host's guess, not the guest's own figure: for display only */
};
struct gn_demand {
	struct gn_demand_value values[GN_RESOURCE_END];
};

/* What the card's meters allow; 0: not limited. Order of the fields as in message Meter. */
struct gn_demand_limits {
	uint64_t rx_bps, tx_bps, disk_operations, disk_bytes;
};

/* Each part of 'sample' that is present sets its resources; the others are left as they
 * are. CPU demand is what the VM would have used on an idle host: the time that it ran and
 * the time that it was ready to run, at most its allocation. A sample with period 0 sets nothing.
 * 'maximum_vcpus' is the definition's. */
void gn_demand_from_sample(const Gnomon__V1__Sample *sample, const struct gn_demand_limits *limits,
                           uint32_t maximum_vcpus, struct gn_demand *demand);

#endif
