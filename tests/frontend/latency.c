/* latency.c - see latency.h. */
#include "tests/frontend/latency.h"

#define STEP_BITS 6

static unsigned bucket_of(uint64_t ns)
{
	unsigned power;
	unsigned index;

	if (ns < GN_LATENCY_STEPS)
		return (unsigned)ns;
	power = 63 - (unsigned)__builtin_clzll(ns) - STEP_BITS;
	index = (power + 1) * GN_LATENCY_STEPS + (unsigned)((ns >> power) - GN_LATENCY_STEPS);
	return index < GN_LATENCY_POWERS * GN_LATENCY_STEPS
	               ? index
	               : GN_LATENCY_POWERS * GN_LATENCY_STEPS - 1;
}

static uint64_t upper_edge(unsigned bucket)
{
	unsigned power = bucket / GN_LATENCY_STEPS;

	if (power == 0)
		return bucket;
	return ((uint64_t)(bucket % GN_LATENCY_STEPS + GN_LATENCY_STEPS + 1) << (power - 1)) - 1;
}

void gn_latency_add(struct gn_latency *latency, uint64_t ns)
{
	latency->buckets[bucket_of(ns)]++;
	latency->n++;
	latency->sum_ns += ns;
	if (ns > latency->max_ns)
		latency->max_ns = ns;
}

uint64_t gn_latency_quantile(const struct gn_latency *latency, unsigned per_mille)
{
	uint64_t wanted = (latency->n * per_mille + 999) / 1000;
	uint64_t seen = 0;

	if (latency->n == 0)
		return 0;
	for (unsigned i = 0; i < GN_LATENCY_POWERS * GN_LATENCY_STEPS; i++) {
		seen += latency->buckets[i];
		if (seen >= wanted && seen > 0)
			return upper_edge(i) < latency->max_ns ? upper_edge(i) : latency->max_ns;
	}
	return latency->max_ns;
}
