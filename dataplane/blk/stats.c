/* stats.c - arithmetic on counters; pure. */
#include <string.h>
#include "dataplane/blk/blk.h"
#include "dataplane/blk/sample.h"

void gn_blk_stats_add(struct gn_blk_stats *sum, const struct gn_blk_stats *stats)
{
	for (unsigned i = 0; i < GN_BLK_N_OPS; i++) {
		sum->op[i].operations += stats->op[i].operations;
		sum->op[i].bytes += stats->op[i].bytes;
		gn_histogram_merge(&sum->op[i].latency, &stats->op[i].latency);
	}
	sum->errors += stats->errors;
	sum->rejected += stats->rejected;
	sum->resubmitted += stats->resubmitted;
	sum->throttled_us += stats->throttled_us;
	sum->in_flight += stats->in_flight;
	sum->queue_depth_max += stats->queue_depth_max;
	sum->queues_stopped += stats->queues_stopped;
}

void gn_blk_stats_diff(const struct gn_blk_stats *now, const struct gn_blk_stats *before,
                       struct gn_blk_stats *out)
{
	struct gn_blk_stats diff = *now;

	for (unsigned i = 0; i < GN_BLK_N_OPS; i++) {
		diff.op[i].operations -= before->op[i].operations;
		diff.op[i].bytes -= before->op[i].bytes;
		gn_histogram_diff(&now->op[i].latency, &before->op[i].latency, &diff.op[i].latency);
	}
	diff.errors -= before->errors;
	diff.rejected -= before->rejected;
	diff.resubmitted -= before->resubmitted;
	diff.throttled_us -= before->throttled_us;
	*out = diff;
}

static void fill_op(struct gn_blk_sample *sample, unsigned op, const struct gn_blk_op_stats *stats)
{
	Gnomon__V1__DiskOperation *operation = &sample->op[op];
	Gnomon__V1__LatencyHistogram *latency = &sample->latency[op];

	gnomon__v1__disk_operation__init(operation);
	gnomon__v1__latency_histogram__init(latency);
	memcpy(sample->buckets[op], stats->latency.buckets, sizeof sample->buckets[op]);
	latency->n_buckets = GN_HISTOGRAM_N_BUCKETS;
	latency->buckets = sample->buckets[op];
	latency->sum_us = stats->latency.sum_us;
	latency->count = stats->latency.count;
	operation->operations = stats->operations;
	operation->bytes = stats->bytes;
	operation->latency = latency;
}

void gn_blk_sample_fill(struct gn_blk_sample *sample, const struct gn_blk_stats *period)
{
	gnomon__v1__disk_sample__init(&sample->message);
	for (unsigned i = 0; i < GN_BLK_N_OPS; i++)
		fill_op(sample, i, &period->op[i]);
	sample->message.read = &sample->op[GN_BLK_READ];
	sample->message.write = &sample->op[GN_BLK_WRITE];
	sample->message.flush = &sample->op[GN_BLK_FLUSH];
	sample->message.discard = &sample->op[GN_BLK_DISCARD];
	sample->message.errors = period->errors;
	sample->message.rejected = period->rejected;
	sample->message.queue_depth_max = period->queue_depth_max;
	sample->message.throttled_us = period->throttled_us;
}
