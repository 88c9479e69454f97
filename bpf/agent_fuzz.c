/* What a guest may write into its port, in pieces of any size, through all that reads it. The first
 * byte chooses the pieces; a frame whose checksum is wrong is also tried as if it were right. */
#include <stdlib.h>
#include <string.h>
#include "bpf/agent_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gn_agent_stream stream;
	static struct gn_agent_report report;
	size_t piece = size ? data[0] * 64u + 1 : 1, left = size;

	memset(&stream, 0, sizeof stream);
	while (left) {
		size_t room, n = left < piece ? left : piece;
		uint8_t *at = gn_agent_stream_room(&stream, &room);

		if (!room)
			abort();
		n = n < room ? n : room;
		memcpy(at, data + size - left, n);
		gn_agent_stream_add(&stream, n);
		left -= n;
		while (gn_agent_stream_next(&stream, &report))
			if (report.n_calls > GN_AGENT_CALLS || report.n_apis > GN_CALLS_APIS)
				abort();
	}
	if (size > 12 && gn_agent_decode(data + 12, size - 12, &report)) {
		uint8_t frame[GN_AGENT_FRAME_MAX];

		gn_agent_encode(&report, frame);
	}
	return 0;
}
