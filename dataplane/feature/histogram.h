/* histogram.h - latencies in powers of two of a microsecond, as LatencyHistogram of
 * proto/gnomon/v1/sample.proto: bucket i counts values in [2^i, 2^(i+1)) us, bucket 0
 * also 0, the last one everything above.
 *
 * Pure; values only grow, so the difference of two copies is a period.
 * Owner: whoever embeds it; one writer. */
#ifndef GN_DATAPLANE_HISTOGRAM_H
#define GN_DATAPLANE_HISTOGRAM_H

#include <stdint.h>

#define GN_HISTOGRAM_N_BUCKETS 24

struct gn_histogram {
	uint64_t buckets[GN_HISTOGRAM_N_BUCKETS];
	uint64_t sum_us;
	uint64_t count;
};

static inline unsigned gn_histogram_bucket(uint64_t value_us)
{
	unsigned log2 = 63 - (unsigned)__builtin_clzll(value_us | 1);

	return log2 < GN_HISTOGRAM_N_BUCKETS ? log2 : GN_HISTOGRAM_N_BUCKETS - 1;
}

static inline void gn_histogram_add(struct gn_histogram *histogram, uint64_t value_us)
{
	histogram->buckets[gn_histogram_bucket(value_us)]++;
	histogram->sum_us += value_us;
	histogram->count++;
}

/* out = newer - older. 'out' may be either of them. */
static inline void gn_histogram_diff(const struct gn_histogram *newer,
                                     const struct gn_histogram *older, struct gn_histogram *out)
{
	for (unsigned i = 0; i < GN_HISTOGRAM_N_BUCKETS; i++)
		out->buckets[i] = newer->buckets[i] - older->buckets[i];
	out->sum_us = newer->sum_us - older->sum_us;
	out->count = newer->count - older->count;
}

/* sum += more. */
static inline void gn_histogram_merge(struct gn_histogram *sum, const struct gn_histogram *more)
{
	for (unsigned i = 0; i < GN_HISTOGRAM_N_BUCKETS; i++)
		sum->buckets[i] += more->buckets[i];
	sum->sum_us += more->sum_us;
	sum->count += more->count;
}

#endif
