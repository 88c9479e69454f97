/* json.c - see json.h. */
#include "proto/json.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- printing ------------------------------------------------------------------------ */

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

char *gn_json_quote(const char *text)
{
	json_t *json = string_to_json(text);
	char *quoted = json_dumps(json, JSON_ENCODE_ANY);

	json_decref(json);
	return quoted;
}

/* ---- parsing -------------------------------------------------------------------------- */

#define PATH_SIZE 128

/* Where in the text we are, for sentences. */
struct place {
	char path[PATH_SIZE];
	struct gn_status *status;
};

static int parse_message(const json_t *json, ProtobufCMessage *message, struct place *place);

static int refuse(const struct place *place, const char *what)
{
	return gn_status_set(place->status, GN_INVALID_ARGUMENT, "'%s' %s", place->path, what);
}

static int no_memory(const struct place *place)
{
	return gn_status_set(place->status, GN_RESOURCE_EXHAUSTED, "no memory for '%s'",
	                     place->path);
}

/* Appends ".name"; returns the length before, to go back to. A path that is too long is cut. */
static size_t enter(struct place *place, const char *name)
{
	size_t length = strlen(place->path);

	snprintf(place->path + length, PATH_SIZE - length, "%s%s", length ? "." : "", name);
	return length;
}

static int parse_integer(const json_t *json, int64_t minimum, int64_t maximum, int64_t *out,
                         struct place *place)
{
	char what[96];
	int64_t value;

	if (!json_is_integer(json))
		return refuse(place, "must be a whole number");
	value = json_integer_value(json);
	if (value < minimum || value > maximum) {
		snprintf(what, sizeof what, "is %lld, but must be %lld to %lld", (long long)value,
		         (long long)minimum, (long long)maximum);
		return refuse(place, what);
	}
	*out = value;
	return 0;
}

static int parse_enum(const json_t *json, const ProtobufCFieldDescriptor *field, int *out,
                      struct place *place)
{
	const ProtobufCEnumDescriptor *type = field->descriptor;
	const ProtobufCEnumValue *value = NULL;
	char what[256];
	size_t length;

	if (json_is_string(json))
		value = protobuf_c_enum_descriptor_get_value_by_name(type, json_string_value(json));
	if (value) {
		*out = value->value;
		return 0;
	}
	length = (size_t)snprintf(what, sizeof what, "must be one of");
	for (unsigned i = 0; i < type->n_values && length < sizeof what; i++)
		length += (size_t)snprintf(what + length, sizeof what - length, " %s",
		                           type->values[i].name);
	return refuse(place, what);
}

static int parse_string(const json_t *json, char **out, struct place *place)
{
	char *copy;

	if (!json_is_string(json) || strlen(json_string_value(json)) != json_string_length(json))
		return refuse(place, "must be a text without NUL characters");
	if (!(copy = strdup(json_string_value(json))))
		return no_memory(place);
	*out = copy;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 'a' ^ 'A';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_bytes(const json_t *json, ProtobufCBinaryData *out, struct place *place)
{
	const char *text = json_string_value(json);
	size_t length = json_string_length(json);
	uint8_t *data;

	if (!text || length % 2)
		return refuse(place, "must be bytes as pairs of hexadecimal digits");
	if (!(data = malloc(length / 2 + 1)))
		return no_memory(place);
	for (size_t i = 0; i < length / 2; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0) {
			free(data);
			return refuse(place, "must be bytes as pairs of hexadecimal digits");
		}
		data[i] = (uint8_t)(high << 4 | low);
	}
	*out = (ProtobufCBinaryData){.len = length / 2, .data = data};
	return 0;
}

static int parse_child(const json_t *json, const ProtobufCMessageDescriptor *type,
                       ProtobufCMessage **out, struct place *place)
{
	ProtobufCMessage *child = calloc(1, type->sizeof_message);

	if (!child)
		return no_memory(place);
	protobuf_c_message_init(type, child);
	*out = child; /* the parent frees it, also when it is incomplete */
	return parse_message(json, child, place);
}

/* jansson reads no integer above INT64_MAX, and the contract needs none. */
static int parse_number(const json_t *json, const ProtobufCFieldDescriptor *field, void *out,
                        struct place *place)
{
	int64_t value = 0;
	int error;

	switch (field->type) {
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		error = parse_integer(json, 0, UINT32_MAX, &value, place);
		*(uint32_t *)out = (uint32_t)value;
		return error;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		error = parse_integer(json, 0, INT64_MAX, &value, place);
		*(uint64_t *)out = (uint64_t)value;
		return error;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		error = parse_integer(json, INT64_MIN, INT64_MAX, &value, place);
		*(int64_t *)out = value;
		return error;
	default:
		error = parse_integer(json, INT32_MIN, INT32_MAX, &value, place);
		*(int32_t *)out = (int32_t)value;
		return error;
	}
}

static int parse_value(const json_t *json, const ProtobufCFieldDescriptor *field, void *out,
                       struct place *place)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		if (!json_is_number(json))
			return refuse(place, "must be a number");
		if (field->type == PROTOBUF_C_TYPE_FLOAT)
			*(float *)out = (float)json_number_value(json);
		else
			*(double *)out = json_number_value(json);
		return 0;
	case PROTOBUF_C_TYPE_BOOL:
		if (!json_is_boolean(json))
			return refuse(place, "must be true or false");
		*(protobuf_c_boolean *)out = json_is_true(json);
		return 0;
	case PROTOBUF_C_TYPE_ENUM:
		return parse_enum(json, field, out, place);
	case PROTOBUF_C_TYPE_STRING:
		return parse_string(json, out, place);
	case PROTOBUF_C_TYPE_BYTES:
		return parse_bytes(json, out, place);
	case PROTOBUF_C_TYPE_MESSAGE:
		return parse_child(json, field->descriptor, out, place);
	default:
		return parse_number(json, field, out, place);
	}
}

static int parse_repeated(const json_t *json, const ProtobufCFieldDescriptor *field, char *base,
                          struct place *place)
{
	size_t length = strlen(place->path), n = json_array_size(json);
	size_t *count = (size_t *)(base + field->quantifier_offset);
	char *values;
	int error = 0;

	if (!json_is_array(json))
		return refuse(place, "must be an array");
	if (!n)
		return 0;
	if (!(values = calloc(n, size_of(field))))
		return no_memory(place);
	*(char **)(base + field->offset) = values;
	for (size_t i = 0; !error && i < n; i++) {
		/* Strings that fail stay NULL and are freed as such. */
		*count = i + 1;
		snprintf(place->path + length, PATH_SIZE - length, "[%zu]", i);
		error = parse_value(json_array_get(json, i), field, values + i * size_of(field),
		                    place);
	}
	if (!error)
		place->path[length] = '\0';
	return error;
}

static int parse_field(const json_t *json, const ProtobufCFieldDescriptor *field, char *base,
                       struct place *place)
{
	uint32_t *which = (uint32_t *)(base + field->quantifier_offset);
	int error;

	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return parse_repeated(json, field, base, place);
	if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
		return parse_value(json, field, base + field->offset, place);
	if (*which)
		return refuse(place,
		              "excludes another field that is there too: leave one of them out");
	error = parse_value(json, field, base + field->offset, place);
	/* Also a half-made message is the parent's to free. */
	if (!error || field->type == PROTOBUF_C_TYPE_MESSAGE)
		*which = field->id;
	return error;
}

static int parse_message(const json_t *json, ProtobufCMessage *message, struct place *place)
{
	const char *name;
	json_t *value;
	int error = 0;

	if (!json_is_object(json))
		return refuse(place, "must be an object");
	json_object_foreach((json_t *)json, name, value)
	{
		const ProtobufCFieldDescriptor *field =
		        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
		size_t length = enter(place, name);

		error = field ? parse_field(value, field, (char *)message, place)
		              : refuse(place, "is not known: is it spelt right?");
		if (error)
			return error;
		place->path[length] = '\0';
	}
	return 0;
}

int gn_json_parse(const char *text, size_t size, const ProtobufCMessageDescriptor *descriptor,
                  ProtobufCMessage **out, struct gn_status *status)
{
	struct place place = {.status = status};
	ProtobufCMessage *message = NULL;
	json_error_t wrong;
	json_t *json =
	        size ? json_loadb(text, size, JSON_REJECT_DUPLICATES, &wrong) : json_object();
	int error;

	if (!json)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the body is no JSON object (line %d, column %d: %s)",
		                     wrong.line, wrong.column, wrong.text);
	if (!json_is_object(json)) {
		json_decref(json);
		return gn_status_set(status, GN_INVALID_ARGUMENT, "the body must be a JSON object");
	}
	error = parse_child(json, descriptor, &message, &place);
	json_decref(json);
	if (error)
		protobuf_c_message_free_unpacked(message, NULL);
	else
		*out = message;
	return error;
}

void gn_json_free_keys(char **keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(keys[i]);
	free(keys);
}

int gn_json_keys(const char *text, size_t size, char ***out, size_t *n)
{
	json_t *json = json_loadb(text, size, 0, NULL);
	char **keys = calloc(json_object_size(json) + 1, sizeof *keys);
	size_t n_keys = 0;
	const char *name;
	json_t *value;

	json_object_foreach(json, name, value) if (keys && (keys[n_keys] = strdup(name))) n_keys++;
	json_decref(json);
	if (!keys)
		return -ENOMEM;
	*out = keys;
	*n = n_keys;
	return 0;
}

/* ---- single fields ------------------------------------------------------------------------ */

/* The message that the dotted 'path' leads into, and the name of its last part. */
static ProtobufCMessage *descend(ProtobufCMessage *message, const char **path)
{
	const ProtobufCFieldDescriptor *field;
	ProtobufCMessage **child;
	const char *dot;
	char name[64];

	while ((dot = strchr(*path, '.'))) {
		snprintf(name, sizeof name, "%.*s", (int)(dot - *path), *path);
		field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
		if (!field || field->type != PROTOBUF_C_TYPE_MESSAGE ||
		    field->label == PROTOBUF_C_LABEL_REPEATED ||
		    field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
			return NULL;
		child = (ProtobufCMessage **)((char *)message + field->offset);
		if (!*child) {
			const ProtobufCMessageDescriptor *type = field->descriptor;

			if (!(*child = calloc(1, type->sizeof_message)))
				return NULL;
			protobuf_c_message_init(type, *child);
		}
		message = *child;
		*path = dot + 1;
	}
	return message;
}

/* A text as the JSON value that a field of this type takes. */
static json_t *json_of_text(const ProtobufCFieldDescriptor *field, const char *value)
{
	if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_ENUM ||
	    field->type == PROTOBUF_C_TYPE_BYTES)
		return json_string(value);
	return json_loads(value, JSON_DECODE_ANY, NULL);
}

static void clear_string(const ProtobufCFieldDescriptor *field, void *at)
{
	char **text = at;

	if (field->type == PROTOBUF_C_TYPE_STRING && *text != field->default_value) {
		free(*text);
		*text = (char *)field->default_value;
	}
}

int gn_json_set(ProtobufCMessage *message, const char *path, const char *value,
                struct gn_status *status)
{
	struct place place = {.status = status};
	const ProtobufCFieldDescriptor *field = NULL;
	const char *name = path;
	json_t *json;
	int error;

	snprintf(place.path, PATH_SIZE, "%s", path);
	message = descend(message, &name);
	if (message)
		field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
	if (!field || field->label == PROTOBUF_C_LABEL_REPEATED ||
	    field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_BYTES ||
	    field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return gn_status_set(status, GN_NOT_FOUND, "'%s' is not known here", path);
	json = json_of_text(field, value);
	clear_string(field, (char *)message + field->offset);
	error = parse_value(json, field, (char *)message + field->offset, &place);
	json_decref(json);
	return error;
}
