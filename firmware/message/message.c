/* message.c - see message.h. */
#include "firmware/message/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *memory)
{
	if (!memory) {
		static const char text[] = "<3>gnomond: out of memory\n";

		fwrite(text, 1, sizeof text - 1, stderr);
		abort();
	}
	return memory;
}

void *gn_message_alloc(size_t size)
{
	return checked(calloc(1, size));
}

char *gn_message_string(const char *text)
{
	return checked(strdup(text));
}

void gn_message_set(char **field, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	checked(text);
	if (*field != protobuf_c_empty_string)
		free(*field);
	*field = text;
}

void **gn_message_append(void *list, size_t *n)
{
	void ***items = list;

	*items = checked(realloc(*items, (*n + 1) * sizeof **items));
	return &(*items)[(*n)++];
}

void *gn_message_pack(const ProtobufCMessage *message, size_t *size)
{
	size_t n = protobuf_c_message_get_packed_size(message);
	uint8_t *bytes = gn_message_alloc(n ? n : 1);

	*size = protobuf_c_message_pack(message, bytes);
	return bytes;
}

ProtobufCMessage *gn_message_parse(const ProtobufCMessageDescriptor *descriptor, const void *bytes,
                                   size_t size)
{
	return protobuf_c_message_unpack(descriptor, NULL, size, bytes);
}

ProtobufCMessage *gn_message_copy(const ProtobufCMessage *message)
{
	size_t size;
	void *bytes = gn_message_pack(message, &size);
	ProtobufCMessage *copy = gn_message_parse(message->descriptor, bytes, size);

	free(bytes);
	return checked(copy);
}

void gn_message_free(ProtobufCMessage *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

int gn_message_equal(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	size_t size_a, size_b;
	void *bytes_a = gn_message_pack(a, &size_a), *bytes_b = gn_message_pack(b, &size_b);
	int equal = size_a == size_b && memcmp(bytes_a, bytes_b, size_a) == 0;

	free(bytes_a);
	free(bytes_b);
	return equal;
}
