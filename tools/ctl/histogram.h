/* histogram.h - durations counted by powers of two (DurationHistogram), as lines with bars. */
#ifndef GN_CTL_HISTOGRAM_H
#define GN_CTL_HISTOGRAM_H

#include <stdio.h>
#include "proto/gnomon/v1/host.pb-c.h"

/* "850 ns", "12.3 us", "4.19 ms", "17.2 s". Returns 'text'. */
char *gn_histogram_duration(uint64_t ns, char *text, size_t size);
/* A head with count, mean, quantiles (as bounds of their buckets) and maximum, then one line a
 * bucket, from the first to the last that is not empty. The longest bar has 'width' characters. */
void gn_histogram_print(const Gnomon__V1__DurationHistogram *histogram, int width, FILE *out);

#endif
