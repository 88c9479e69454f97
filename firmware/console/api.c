/* api.c - see api.h. */
#include "firmware/console/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "proto/json.h"

#define JSON_TYPE "application/json"

static const ProtobufCServiceDescriptor *const service = &gnomon__v1__control__descriptor;

/* ---- answers ---------------------------------------------------------------------------- */

static void answer_json(struct gn_http_exchange *exchange, unsigned status, char *text, size_t size)
{
	gn_http_set_header(exchange, "Cache-Control", "no-store");
	gn_http_set_header(exchange, "X-Content-Type-Options", "nosniff");
	gn_http_answer(exchange, status, JSON_TYPE, text, size);
	free(text);
}

/* The sentence may quote the client. */
void gn_api_fail(struct gn_http_exchange *exchange, unsigned http_status,
                 const struct gn_status *status)
{
	char *text = NULL, *quoted;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out) {
		gn_http_answer(exchange, 503, NULL, NULL, 0);
		return;
	}
	fprintf(out, "{\"error\":{\"code\":%u,\"status\":\"%s\",\"message\":", http_status,
	        gn_code_name(status->code));
	quoted = gn_json_quote(status->message);
	fprintf(out, "%s}}\n", quoted ? quoted : "\"\"");
	free(quoted);
	fclose(out);
	answer_json(exchange, http_status, text, size);
}

static void answer_message(struct gn_http_exchange *exchange, const ProtobufCMessage *reply)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int error = out ? gn_json_print(reply, 1, out) : -ENOMEM;

	if (out)
		fclose(out);
	if (!error) {
		answer_json(exchange, 200, text, size);
		return;
	}
	free(text);
	gn_http_answer(exchange, 503, NULL, NULL, 0);
}

static void on_reply(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct gn_http_exchange *exchange = context;

	if (reply)
		answer_message(exchange, reply);
	else
		gn_api_fail(exchange, gn_route_http_status(status->code), status);
}

/* ---- requests ----------------------------------------------------------------------------- */

static int set_parameter(void *context, const char *key, const char *value,
                         struct gn_status *status)
{
	int error = gn_json_set(context, key, value, status);

	return error == -ENOENT ? gn_status_set(status, GN_INVALID_ARGUMENT,
	                                        "the query's '%.64s' is not known here", key)
	                        : error;
}

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessageDescriptor *type,
                                                const char *name)
{
	return protobuf_c_message_descriptor_get_field_by_name(type, name);
}

/* Puts 'body' into the request's field of that name, and its fields' names into 'update_mask'. */
static int put_body(const struct gn_route *route, const char *text, size_t size,
                    ProtobufCMessage *request, struct gn_status *status)
{
	const ProtobufCFieldDescriptor *field = field_of(request->descriptor, route->body);
	const ProtobufCFieldDescriptor *mask = field_of(request->descriptor, "update_mask");
	int error = gn_json_parse(text, size, field->descriptor,
	                          (ProtobufCMessage **)((char *)request + field->offset), status);
	size_t *n_mask;

	if (error || !route->mask)
		return error;
	n_mask = (size_t *)((char *)request + mask->quantifier_offset);
	error = gn_json_keys(text, size, (char ***)((char *)request + mask->offset), n_mask);
	/* An empty mask means every field to gnomond: it would set what nobody named. */
	if (!error && !*n_mask)
		error = gn_status_set(status, GN_INVALID_ARGUMENT,
		                      "the body names no field; give those that are to change");
	return error;
}

static int make_request(const struct gn_route *route, const struct gn_http_exchange *exchange,
                        const char *name, const ProtobufCMessageDescriptor *type,
                        ProtobufCMessage **out, struct gn_status *status)
{
	ProtobufCMessage *request = NULL;
	size_t size;
	const char *body = gn_http_body(exchange, &size);
	bool whole = route->body && !route->body[0];
	int error;

	if (size && !route->body)
		return gn_status_set(status, GN_INVALID_ARGUMENT, "%s takes no body here",
		                     route->verb);
	error = gn_json_parse(whole ? body : "", whole ? size : 0, type, &request, status);
	if (error)
		return error;
	if (route->body && !whole)
		error = put_body(route, body, size, request, status);
	if (!error)
		error = gn_route_query(gn_http_uri(exchange), set_parameter, request, status);
	/* Last: neither the body nor the query may name another resource. */
	if (!error && route->name)
		error = gn_json_set(request, route->name, name, status);
	if (error)
		protobuf_c_message_free_unpacked(request, NULL);
	else
		*out = request;
	return error;
}

static const ProtobufCMethodDescriptor *method_of(const struct gn_route *route)
{
	return protobuf_c_service_descriptor_get_method_by_name(service, route->method);
}

static int check_role(const struct gn_route *route, enum gn_role role, struct gn_status *status)
{
	if (role >= route->role)
		return 0;
	if (role == GN_ROLE_NONE)
		return gn_status_set(status, GN_UNAUTHENTICATED,
		                     "log in first: POST /api/v1/session, then send its token");
	return gn_status_set(status, GN_PERMISSION_DENIED, "this needs the role %s; yours is %s",
	                     gn_role_name(route->role), gn_role_name(role));
}

void gn_api_handle(struct gn_peer *peer, struct gn_http_exchange *exchange, enum gn_role role)
{
	struct gn_status status = {GN_OK, ""};
	char name[GN_ROUTE_NAME], allowed[64];
	ProtobufCMessage *request = NULL;
	const struct gn_route *route = gn_route_find(gn_http_method(exchange),
	                                             gn_http_uri(exchange), name, allowed, &status);

	if (!route) {
		if (allowed[0])
			gn_http_set_header(exchange, "Allow", allowed);
		gn_api_fail(exchange, allowed[0] ? 405 : 404, &status);
		return;
	}
	if (check_role(route, role, &status) ||
	    make_request(route, exchange, name, method_of(route)->input, &request, &status)) {
		gn_api_fail(exchange, gn_route_http_status(status.code), &status);
		return;
	}
	gn_peer_call(peer, route->method, request, GN_API_TIMEOUT_US, on_reply, exchange);
	protobuf_c_message_free_unpacked(request, NULL);
}
