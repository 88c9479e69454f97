/* openapi.c - the API's description (OpenAPI 3.0), made of the routes and of the messages'
 * descriptors, so that it cannot say what the API does not do. */
#include "firmware/console/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/gnomon/v1/control.pb-c.h"

#define TYPES_MAX 256

/* Message types that were named and must be described. */
struct types {
	const ProtobufCMessageDescriptor *of[TYPES_MAX];
	size_t n;
};

static void note_type(struct types *types, const ProtobufCMessageDescriptor *type)
{
	for (size_t i = 0; i < types->n; i++)
		if (types->of[i] == type)
			return;
	if (types->n < TYPES_MAX)
		types->of[types->n++] = type;
}

/* ---- schemas ----------------------------------------------------------------------------------
 */

static void put_enum(FILE *out, const ProtobufCEnumDescriptor *type)
{
	fputs("{\"type\":\"string\",\"enum\":[", out);
	for (unsigned i = 0; i < type->n_values; i++)
		fprintf(out, "%s\"%s\"", i ? "," : "", type->values[i].name);
	fputs("]}", out);
}

static void put_value(FILE *out, const ProtobufCFieldDescriptor *field, struct types *types)
{
	const ProtobufCMessageDescriptor *type;

	switch (field->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		type = field->descriptor;
		note_type(types, type);
		fprintf(out, "{\"$ref\":\"#/components/schemas/%s\"}", type->c_name);
		return;
	case PROTOBUF_C_TYPE_ENUM:
		put_enum(out, field->descriptor);
		return;
	case PROTOBUF_C_TYPE_STRING:
		fputs("{\"type\":\"string\"}", out);
		return;
	case PROTOBUF_C_TYPE_BYTES:
		fputs("{\"type\":\"string\",\"pattern\":\"^([0-9a-fA-F]{2})*$\"}", out);
		return;
	case PROTOBUF_C_TYPE_BOOL:
		fputs("{\"type\":\"boolean\"}", out);
		return;
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		fputs("{\"type\":\"number\"}", out);
		return;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		fputs("{\"type\":\"integer\",\"minimum\":0,\"maximum\":4294967295}", out);
		return;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		fputs("{\"type\":\"integer\",\"format\":\"int64\",\"minimum\":0}", out);
		return;
	default:
		fprintf(out, "{\"type\":\"integer\",\"format\":\"%s\"}",
		        field->type == PROTOBUF_C_TYPE_INT64 ? "int64" : "int32");
		return;
	}
}

static void put_schema(FILE *out, const ProtobufCMessageDescriptor *type, struct types *types)
{
	fprintf(out, "\"%s\":{\"type\":\"object\",\"properties\":{", type->c_name);
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;

		fprintf(out, "%s\"%s\":%s", i ? "," : "", field->name,
		        repeated ? "{\"type\":\"array\",\"items\":" : "");
		put_value(out, field, types);
		if (repeated)
			fputc('}', out);
	}
	fputs("}}", out);
}

/* ---- paths ------------------------------------------------------------------------------------
 */

static void put_path(FILE *out, const char *path)
{
	unsigned n = 0;

	for (; *path; path++) {
		if (*path != '{') {
			fputc(*path, out);
			continue;
		}
		fputs(n++ ? "{session}" : "{id}", out);
		path++;
	}
}

static void put_parameters(FILE *out, const struct gn_route *route,
                           const ProtobufCMessageDescriptor *request)
{
	bool first = true;

	fputs("\"parameters\":[", out);
	for (const char *hole = route->path; (hole = strstr(hole, "{}")); hole += 2) {
		fprintf(out,
		        "%s{\"name\":\"%s\",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":"
		        "\"string\"}}",
		        first ? "" : ",", first ? "id" : "session");
		first = false;
	}
	/* What neither path nor body gives comes in the query. */
	for (unsigned i = 0; !route->body && i < request->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &request->fields[i];

		if (field->type == PROTOBUF_C_TYPE_MESSAGE ||
		    (route->name && !strcmp(field->name, route->name)))
			continue;
		fprintf(out, "%s{\"name\":\"%s\",\"in\":\"query\",\"schema\":", first ? "" : ",",
		        field->name);
		put_value(out, field, NULL);
		fputc('}', out);
		first = false;
	}
	fputs("],", out);
}

static void put_body(FILE *out, const struct gn_route *route,
                     const ProtobufCMessageDescriptor *request, struct types *types)
{
	const ProtobufCMessageDescriptor *type = request;

	if (!route->body)
		return;
	if (route->body[0])
		type = protobuf_c_message_descriptor_get_field_by_name(request, route->body)
		               ->descriptor;
	note_type(types, type);
	fprintf(out,
	        "\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{\"schema\":"
	        "{\"$ref\":\"#/components/schemas/%s\"}}}},",
	        type->c_name);
}

static void put_operation(FILE *out, const struct gn_route *route, struct types *types)
{
	const ProtobufCMethodDescriptor *method = protobuf_c_service_descriptor_get_method_by_name(
	        &gnomon__v1__control__descriptor, route->method);
	char verb[8];
	size_t n = 0;

	for (; route->verb[n] && n < sizeof verb - 1; n++)
		verb[n] = (char)(route->verb[n] | 0x20);
	verb[n] = '\0';
	note_type(types, method->output);
	fprintf(out, "\"%s\":{\"operationId\":\"%s\",\"summary\":\"%s\",\"x-role\":\"%s\",", verb,
	        route->method, route->says, gn_role_name(route->role));
	put_parameters(out, route, method->input);
	put_body(out, route, method->input, types);
	fprintf(out,
	        "\"responses\":{\"200\":{\"description\":\"done\",\"content\":{\"application/"
	        "json\":"
	        "{\"schema\":{\"$ref\":\"#/components/schemas/%s\"}}}},"
	        "\"default\":{\"description\":\"not done, and "
	        "why\",\"content\":{\"application/json\":"
	        "{\"schema\":{\"$ref\":\"#/components/schemas/Error\"}}}}}}",
	        method->output->c_name);
}

/* Routes of one path stand together in the table. */
static void put_paths(FILE *out, struct types *types)
{
	const char *open = NULL;

	for (const struct gn_route *route = gn_routes; route->verb; route++) {
		if (open && !strcmp(open, route->path)) {
			fputc(',', out);
		} else {
			fprintf(out, "%s\"/api/v1", open ? "}," : "");
			put_path(out, route->path);
			fputs("\":{", out);
			open = route->path;
		}
		put_operation(out, route, types);
	}
	fputc('}', out);
}

char *gn_api_describe(void)
{
	struct types types = {.n = 0};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fprintf(out,
	        "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"gnomon\",\"version\":\"%s\"},"
	        "\"security\":[{\"session\":[]}],\"paths\":{",
	        GN_VERSION);
	put_paths(out, &types);
	fputs("},\"components\":{\"securitySchemes\":{\"session\":{\"type\":\"http\",\"scheme\":"
	      "\"bearer\"}},\"schemas\":{\"Error\":{\"type\":\"object\",\"properties\":{\"error\":"
	      "{\"type\":\"object\",\"properties\":{\"code\":{\"type\":\"integer\"},\"status\":"
	      "{\"type\":\"string\"},\"message\":{\"type\":\"string\"}}}}}",
	      out);
	/* Describing a type may note further ones. */
	for (size_t i = 0; i < types.n; i++) {
		fputc(',', out);
		put_schema(out, types.of[i], &types);
	}
	fputs("}}}\n", out);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}
