/* http_fuzz.c - both streams of a connection in pieces: a byte of length (the top bit is the
 * direction), then the piece. */
#include "dataplane/feature/feature.h"
#include "dataplane/feature/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gn_feature_counters counters = {0};
	struct gn_http_context context = {&counters, 0, 1000};
	struct gn_http http = {.client = GN_RX};
	enum gn_http_verdict verdict = GN_HTTP_GO_ON;

	while (size > 1 && verdict == GN_HTTP_GO_ON) {
		enum gn_direction direction = data[0] >> 7 ? GN_TX : GN_RX;
		uint32_t n = data[0] & 0x7f;

		n = n < size - 1 ? n : (uint32_t)(size - 1);
		verdict = n ? gn_http_feed(&http, direction, data + 1, n, 0, &context)
		            : gn_http_gap(&http, direction, 10);
		data += 1 + n;
		size -= 1 + n;
	}
	return 0;
}
