/* request_fuzz.c - any bytes as guest memory and ring. The input is the memory: a table of 16
 * descriptors, then two regions of which the second follows the first in the guest. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/blk/request.h"

#define N_DESCS 16u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t table = N_DESCS * sizeof(struct vring_desc);
	struct gn_blk_limits limits = {.capacity_bytes = 1 << 20, .block_bytes = 512};
	struct gn_blk_memory memory = {.n_regions = 2};
	struct iovec *iov = calloc(GN_BLK_MAX_IOV, sizeof *iov);
	struct gn_blk_plan plan;
	uint64_t sum = 0;

	if (size > table + 2) {
		size_t low = (size - table) / 2, high = size - table - low;
		uint8_t *copy[2] = {memcpy(malloc(low), data + table, low),
		                    memcpy(malloc(high), data + table + low, high)};
		struct vring_desc *descs = memcpy(malloc(table), data, table);

		memory.regions[0] = (struct gn_blk_region){0, low, copy[0]};
		memory.regions[1] = (struct gn_blk_region){low, high, copy[1]};
		for (uint16_t head = 0; head <= N_DESCS; head++) {
			if (!gn_blk_plan_chain(&memory, descs, N_DESCS, head, &limits, iov, &plan))
				continue;
			*plan.status_byte = 0;
			for (unsigned i = 0; i < plan.n_iov; sum += iov[i++].iov_len)
				memset(iov[i].iov_base, 0, iov[i].iov_len);
		}
		free(descs);
		free(copy[0]);
		free(copy[1]);
	}
	free(iov);
	return sum == UINT64_MAX;
}
