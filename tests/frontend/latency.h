/* latency.h - a histogram of nanoseconds with a relative error below 1.6 %: 64 linear steps
 * in each power of two. Pure; the caller's storage; all zero is empty. */
#ifndef GN_TESTS_FRONTEND_LATENCY_H
#define GN_TESTS_FRONTEND_LATENCY_H

#include <stdint.h>

#define GN_LATENCY_STEPS  64
#define GN_LATENCY_POWERS 40 /* up to 2^45 ns; more counts as that */

struct gn_latency {
	uint64_t buckets[GN_LATENCY_POWERS * GN_LATENCY_STEPS];
	uint64_t n;
	uint64_t sum_ns;
	uint64_t max_ns;
};

void gn_latency_add(struct gn_latency *latency, uint64_t ns);
/* The value that 'per_mille' of 1000 do not exceed, ns; 0 when empty. */
uint64_t gn_latency_quantile(const struct gn_latency *latency, unsigned per_mille);

#endif
