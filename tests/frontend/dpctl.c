/* dpctl.c - gn-dpctl: one call to a dataplane's control socket, for tests and benchmarks.
 * The method's request is given in words, the reply printed as JSON. */
#include <protobuf-c/protobuf-c.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/core/log.h"
#include "proto/channel.h"
#include "proto/gnomon/v1/dataplane.pb-c.h"
#include "tests/frontend/pbtext.h"

#define TIMEOUT_US 60000000u

static const char usage[] =
        "usage: gn-dpctl URL METHOD [field=value]...\n"
        "example: gn-dpctl ipc:///tmp/r/dataplane.ipc CreatePort name=ports/a kind=VHOST_USER\n"
        "         gn-dpctl ipc:///tmp/r/dataplane.ipc GetDataplaneStatus\n";

static int find_method(const char *name)
{
	const ProtobufCServiceDescriptor *service = &gnomon__v1__dataplane__descriptor;

	for (unsigned i = 0; i < service->n_methods; i++)
		if (strcmp(service->methods[i].name, name) == 0)
			return (int)i;
	fprintf(stderr, "%s: no such method of Dataplane\n", name);
	return -1;
}

static int call(struct gn_channel_client *client, unsigned method, ProtobufCMessage *request)
{
	struct gn_status status = {0};
	ProtobufCMessage *reply = NULL;
	json_t *json;

	if (gn_channel_client_call_sync(client, &gnomon__v1__dataplane__descriptor, method, request,
	                                TIMEOUT_US, &reply, &status)) {
		fprintf(stderr, "%s: %s\n", gn_code_name(status.code), status.message);
		return 1;
	}
	json = gn_pbtext_json(reply);
	json_dumpf(json, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(json);
	protobuf_c_message_free_unpacked(reply, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	struct gn_channel_client *client;
	struct gn_status status = {0};
	ProtobufCMessage *request;
	int method;
	int result;

	if (argc < 3) {
		fputs(usage, argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
		return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
	}
	gn_log_init("gn-dpctl", GN_LOG_WARNING);
	method = find_method(argv[2]);
	if (method < 0)
		return 2;
	request = gn_pbtext_new(gnomon__v1__dataplane__descriptor.methods[method].input);
	for (int i = 3; i < argc; i++)
		if (gn_pbtext_set(request, argv[i]))
			return 2;
	if (gn_channel_client_create(argv[1], NULL, &client, &status)) {
		fprintf(stderr, "%s: %s\n", argv[1], status.message);
		return 1;
	}
	result = call(client, (unsigned)method, request);
	gn_channel_client_destroy(client);
	return result;
}
