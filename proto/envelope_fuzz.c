/* envelope_fuzz.c - whatever a peer sends: as each kind of envelope, its body as the
 * messages with the most structure. */
#include "proto/envelope.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "proto/gnomon/v1/host.pb-c.h"
#include "proto/gnomon/v1/sample.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ProtobufCMessageDescriptor *const types[] = {
	        &gnomon__v1__command__descriptor, &gnomon__v1__report__descriptor,
	        &gnomon__v1__update_shadow_request__descriptor,
	        &gnomon__v1__sample_batch__descriptor};
	struct gn_envelope envelope;
	struct gn_status status;
	ProtobufCMessage *body;

	for (int kind = GN_ENVELOPE_REQUEST; kind <= GN_ENVELOPE_EVENT; kind++) {
		if (gn_envelope_decode(kind, data, size, &envelope, &status))
			continue;
		for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
			if (gn_message_unpack(types[i], envelope.body, envelope.body_size, &body,
			                      NULL, &status))
				continue;
			gn_message_check(body, &status);
			protobuf_c_message_free_unpacked(body, NULL);
		}
		gn_envelope_fini(&envelope);
	}
	return 0;
}
