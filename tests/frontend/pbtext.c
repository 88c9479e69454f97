/* pbtext.c - see pbtext.h. */
#include "tests/frontend/pbtext.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_REPEATED 64

ProtobufCMessage *gn_pbtext_new(const ProtobufCMessageDescriptor *type)
{
	ProtobufCMessage *message = calloc(1, type->sizeof_message);

	if (!message)
		abort();
	protobuf_c_message_init(type, message);
	return message;
}

static int complain(const char *word, const char *what)
{
	fprintf(stderr, "%s: %s\n", word, what);
	return -EINVAL;
}

static size_t element_size(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	default:
		return 4;
	}
}

/* Where a field's value is stored; grows a repeated field to hold 'index'. */
static void *locate(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, long index)
{
	uint8_t *base = (uint8_t *)message;
	uint32_t *oneof = (uint32_t *)(base + field->quantifier_offset);
	size_t *count = (size_t *)(base + field->quantifier_offset);
	void **array = (void **)(base + field->offset);

	if (field->label != PROTOBUF_C_LABEL_REPEATED) {
		if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
			*oneof = field->id;
		return base + field->offset;
	}
	if (*count == 0)
		*array = calloc(MAX_REPEATED, element_size(field));
	if (!*array)
		abort();
	for (; *count <= (size_t)index; ++*count)
		if (field->type == PROTOBUF_C_TYPE_MESSAGE)
			((ProtobufCMessage **)*array)[*count] = gn_pbtext_new(field->descriptor);
	return (uint8_t *)*array + (size_t)index * element_size(field);
}

static int set_enum(const ProtobufCFieldDescriptor *field, const char *word, const char *text,
                    int32_t *value)
{
	const ProtobufCEnumValue *named =
	        protobuf_c_enum_descriptor_get_value_by_name(field->descriptor, text);
	char *end;

	*value = named ? named->value : (int32_t)strtol(text, &end, 0);
	return named || (*text && !*end) ? 0 : complain(word, "no such value");
}

static int set_integer(const ProtobufCFieldDescriptor *field, const char *word, const char *text,
                       void *place)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 0);

	if (!*text || *end)
		return complain(word, "not a number");
	if (element_size(field) == 8)
		*(uint64_t *)place = value;
	else
		*(uint32_t *)place = (uint32_t)value;
	return 0;
}

static int set_value(const ProtobufCFieldDescriptor *field, const char *word, const char *text,
                     void *place)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		*(char **)place = strdup(text);
		return 0;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)place = strcmp(text, "true") == 0;
		return 0;
	case PROTOBUF_C_TYPE_ENUM:
		return set_enum(field, word, text, place);
	case PROTOBUF_C_TYPE_MESSAGE:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		return complain(word, "a field of this type cannot be set");
	default:
		return set_integer(field, word, text, place);
	}
}

static int set_path(ProtobufCMessage *message, const char *word, char *path, const char *text)
{
	char *rest = path;
	const char *name = strsep(&rest, ".");
	const ProtobufCFieldDescriptor *field =
	        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
	long index = 0;
	ProtobufCMessage **sub;
	void *place;

	if (!field)
		return complain(word, "no such field");
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		index = rest ? strtol(strsep(&rest, "."), NULL, 10) : 0;
	if (index < 0 || index >= MAX_REPEATED)
		return complain(word, "index out of range");
	place = locate(message, field, index);
	if (field->type != PROTOBUF_C_TYPE_MESSAGE || !rest)
		return rest ? complain(word, "not a message") : set_value(field, word, text, place);
	sub = place;
	if (!*sub)
		*sub = gn_pbtext_new(field->descriptor);
	return set_path(*sub, word, rest, text);
}

int gn_pbtext_set(ProtobufCMessage *message, const char *word)
{
	char *path = strdup(word);
	char *text = path ? strchr(path, '=') : NULL;
	int error;

	if (!text) {
		free(path);
		return complain(word, "give field=value");
	}
	*text++ = '\0';
	error = set_path(message, word, path, text);
	free(path);
	return error;
}

/* ---- to JSON ----------------------------------------------------------------- */

static json_t *enum_json(const ProtobufCFieldDescriptor *field, int value)
{
	const ProtobufCEnumValue *named =
	        protobuf_c_enum_descriptor_get_value(field->descriptor, value);

	return named ? json_string(named->name) : json_integer(value);
}

static json_t *value_json(const ProtobufCFieldDescriptor *field, const void *place)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return json_string(*(char *const *)place ? *(char *const *)place : "");
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)place);
	case PROTOBUF_C_TYPE_ENUM:
		return enum_json(field, *(const int *)place);
	case PROTOBUF_C_TYPE_MESSAGE:
		return gn_pbtext_json(*(ProtobufCMessage *const *)place);
	case PROTOBUF_C_TYPE_FLOAT:
		return json_real(*(const float *)place);
	case PROTOBUF_C_TYPE_DOUBLE:
		return json_real(*(const double *)place);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return json_integer(*(const int32_t *)place);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_integer(*(const uint32_t *)place);
	case PROTOBUF_C_TYPE_BYTES:
		return json_null();
	default:
		return json_integer((json_int_t) * (const uint64_t *)place);
	}
}

static json_t *field_json(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	const uint8_t *base = (const uint8_t *)message;
	const uint8_t *place = base + field->offset;
	size_t count;
	json_t *array;

	if (field->label != PROTOBUF_C_LABEL_REPEATED) {
		if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
		    *(const uint32_t *)(base + field->quantifier_offset) != field->id)
			return NULL;
		if (field->type == PROTOBUF_C_TYPE_MESSAGE && !*(void *const *)place)
			return NULL;
		return value_json(field, place);
	}
	count = *(const size_t *)(base + field->quantifier_offset);
	place = *(uint8_t *const *)place;
	array = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, value_json(field, place + i * element_size(field)));
	return array;
}

json_t *gn_pbtext_json(const ProtobufCMessage *message)
{
	json_t *object = json_object();

	for (unsigned i = 0; message && i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		json_t *value = field_json(message, field);

		if (value)
			json_object_set_new(object, field->name, value);
	}
	return object;
}
