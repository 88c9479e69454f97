/* message.c - see message.h. */
#include "dataplane/control/message.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *pack(const ProtobufCMessage *message, size_t *size)
{
	uint8_t *data;

	*size = protobuf_c_message_get_packed_size(message);
	data = malloc(*size + 1);
	if (data)
		protobuf_c_message_pack(message, data);
	return data;
}

ProtobufCMessage *gn_message_copy(const ProtobufCMessage *message)
{
	size_t size;
	uint8_t *data = pack(message, &size);
	ProtobufCMessage *copy = NULL;

	if (data)
		copy = protobuf_c_message_unpack(message->descriptor, NULL, size, data);
	free(data);
	return copy;
}

void gn_message_free(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

bool gn_message_equal(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	size_t size_a, size_b;
	uint8_t *data_a = pack(a, &size_a);
	uint8_t *data_b = pack(b, &size_b);
	bool equal = data_a && data_b && size_a == size_b && memcmp(data_a, data_b, size_a) == 0;

	free(data_a);
	free(data_b);
	return equal;
}
