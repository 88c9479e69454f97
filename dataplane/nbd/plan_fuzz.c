/* plan_fuzz.c - any bytes as requests: what is to be done lies within the export. */
#include "dataplane/nbd/plan.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gn_nbd_limits limits = {
	        .size_bytes = 1 << 20, .block_bytes = 512, .chunk_bytes = 1 << 16};
	struct gn_nbd_request request;
	struct gn_nbd_plan plan;

	for (; size >= GN_NBD_REQUEST_SIZE;
	     data += GN_NBD_REQUEST_SIZE, size -= GN_NBD_REQUEST_SIZE) {
		limits.structured = limits.allocation = data[0] & 1;
		gn_nbd_get_request(data, &request);
		gn_nbd_plan(&limits, &request, &plan);
		if (plan.kind != GN_NBD_PLAN_ANSWER && plan.kind < GN_NBD_PLAN_DISCONNECT &&
		    plan.kind != GN_NBD_PLAN_FLUSH &&
		    (request.offset_bytes > limits.size_bytes ||
		     request.length_bytes > limits.size_bytes - request.offset_bytes))
			abort();
	}
	return 0;
}
