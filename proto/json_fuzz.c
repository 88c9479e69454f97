/* json_fuzz.c - what a client sends as JSON, against every request of the operators' service:
 * the first byte picks it. What parses must print. */
#include <stdint.h>
#include <stdlib.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "proto/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ProtobufCServiceDescriptor *service = &gnomon__v1__control__descriptor;
	ProtobufCMessage *message;
	struct gn_status status;
	FILE *sink;

	if (!size ||
	    gn_json_parse((const char *)data + 1, size - 1,
	                  service->methods[data[0] % service->n_methods].input, &message, &status))
		return 0;
	sink = fopen("/dev/null", "we");
	if (!sink || gn_json_print(message, 1, sink))
		abort();
	fclose(sink);
	protobuf_c_message_free_unpacked(message, NULL);
	return 0;
}
