/* histogram_abi.h - durations counted by powers of two, shared by the programs that fill them
 * and what reads them. Slot i holds durations of 2^i up to 2^(i+1) nanoseconds, slot 0 also
 * those of 0, the last one everything longer. */
#ifndef GN_BPF_HISTOGRAM_ABI_H
#define GN_BPF_HISTOGRAM_ABI_H

#ifndef __bpf__
#include <stdint.h>
#endif

#define GN_HISTOGRAM_SLOTS 40 /* up to 18 minutes */

struct gn_histogram {
	uint64_t slots[GN_HISTOGRAM_SLOTS];
	uint64_t count;
	uint64_t sum_ns;
	uint64_t maximum_ns;
};

#endif
