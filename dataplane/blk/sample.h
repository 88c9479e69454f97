/* sample.h - disk counters as a protobuf DiskSample. No I/O; the caller keeps the storage,
 * so that nothing is allocated. */
#ifndef GN_DATAPLANE_BLK_SAMPLE_H
#define GN_DATAPLANE_BLK_SAMPLE_H

#include "dataplane/blk/blk.h"
#include "proto/gnomon/v1/sample.pb-c.h"

/* The message and what it points to; valid as long as the struct stays where it is. */
struct gn_blk_sample {
	Gnomon__V1__DiskSample message;
	Gnomon__V1__DiskOperation op[GN_BLK_N_OPS];
	Gnomon__V1__LatencyHistogram latency[GN_BLK_N_OPS];
	uint64_t buckets[GN_BLK_N_OPS][24];
};

/* 'period' is what gn_blk_stats_diff() gave, summed over the VM's volumes. */
void gn_blk_sample_fill(struct gn_blk_sample *sample, const struct gn_blk_stats *period);

#endif
