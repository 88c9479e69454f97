/* json.c - see json.h. Walks the message by its descriptor, so that a new field needs no
 * code here. */
#include "tools/ctl/json.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

static json_t *message_to_json(const ProtobufCMessage *message);

static json_t *bytes_to_json(const ProtobufCBinaryData *bytes)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(2 * bytes->len + 1);
	json_t *json;

	if (!text)
		return NULL;
	for (size_t i = 0; i < bytes->len; i++) {
		text[2 * i] = digits[bytes->data[i] >> 4];
		text[2 * i + 1] = digits[bytes->data[i] & 15];
	}
	text[2 * bytes->len] = '\0';
	json = json_string(text);
	free(text);
	return json;
}

static json_t *enum_to_json(const ProtobufCFieldDescriptor *field, int value)
{
	const ProtobufCEnumValue *named =
	        protobuf_c_enum_descriptor_get_value(field->descriptor, value);

	return named ? json_string(named->name) : json_integer(value);
}

/* Text that is not UTF-8 (a peer's mistake) becomes a note rather than a failure. */
static json_t *string_to_json(const char *text)
{
	json_t *json = json_string(text ? text : "");

	return json ? json : json_string("(not UTF-8)");
}

/* jansson's integers are signed; what is larger becomes a real, which loses its last digits
 * but not its sign. */
static json_t *unsigned_to_json(uint64_t value)
{
	return value <= INT64_MAX ? json_integer((json_int_t)value) : json_real((double)value);
}

static json_t *real_to_json(double value)
{
	json_t *json = json_real(value);

	return json ? json : json_null(); /* JSON knows no NaN and no infinity */
}

static json_t *value_to_json(const ProtobufCFieldDescriptor *field, const void *value)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return json_integer(*(const int32_t *)value);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_integer(*(const uint32_t *)value);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return json_integer(*(const int64_t *)value);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return unsigned_to_json(*(const uint64_t *)value);
	case PROTOBUF_C_TYPE_FLOAT:
		return real_to_json((double)*(const float *)value);
	case PROTOBUF_C_TYPE_DOUBLE:
		return real_to_json(*(const double *)value);
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)value);
	case PROTOBUF_C_TYPE_ENUM:
		return enum_to_json(field, *(const int *)value);
	case PROTOBUF_C_TYPE_STRING:
		return string_to_json(*(char *const *)value);
	case PROTOBUF_C_TYPE_BYTES:
		return bytes_to_json(value);
	case PROTOBUF_C_TYPE_MESSAGE:
		return message_to_json(*(const ProtobufCMessage *const *)value);
	}
	return NULL;
}

static size_t size_of(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return sizeof(char *);
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(ProtobufCMessage *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return 4;
	case PROTOBUF_C_TYPE_ENUM:
		return sizeof(int);
	default:
		return 8;
	}
}

static json_t *repeated_to_json(const ProtobufCFieldDescriptor *field, const char *base)
{
	size_t n = *(const size_t *)(base + field->quantifier_offset);
	const char *values = *(char *const *)(base + field->offset);
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, value_to_json(field, values + i * size_of(field)));
	return array;
}

static int is_absent(const ProtobufCFieldDescriptor *field, const char *base)
{
	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *)(base + field->quantifier_offset) != field->id;
	return field->type == PROTOBUF_C_TYPE_MESSAGE &&
	       !*(const ProtobufCMessage *const *)(base + field->offset);
}

static json_t *message_to_json(const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *descriptor = message->descriptor;
	const char *base = (const char *)message;
	json_t *object = json_object();

	for (unsigned i = 0; i < descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &descriptor->fields[i];

		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			json_object_set_new(object, field->name, repeated_to_json(field, base));
		else if (!is_absent(field, base))
			json_object_set_new(object, field->name,
			                    value_to_json(field, base + field->offset));
	}
	return object;
}

int gn_json_print(const ProtobufCMessage *message, int compact, FILE *out)
{
	json_t *json = message_to_json(message);
	int failed = !json || json_dumpf(json, out, compact ? JSON_COMPACT : JSON_INDENT(1));

	json_decref(json);
	fputc('\n', out);
	return failed ? -ENOMEM : 0;
}
