/* call.c - gn-call: one call to any of gnomon's services over an ipc socket, for tests. The
 * request is given in words, the reply printed as JSON. */
#include <protobuf-c/protobuf-c.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "firmware/core/log.h"
#include "proto/channel.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "proto/gnomon/v1/dataplane.pb-c.h"
#include "proto/gnomon/v1/host.pb-c.h"
#include "tests/frontend/pbtext.h"

#define TIMEOUT_US 10000000u

static const char usage[] =
        "usage: gn-call URL SERVICE/METHOD [field=value]...\n"
        "example: gn-call ipc:///tmp/r/gnomond.ipc Control/GetVm name=vms/web-1\n";

static const ProtobufCServiceDescriptor *find_service(const char *name, size_t length)
{
	static const ProtobufCServiceDescriptor *const services[] = {
	        &gnomon__v1__control__descriptor,
	        &gnomon__v1__dataplane__descriptor,
	        &gnomon__v1__host__descriptor,
	};

	for (unsigned i = 0; i < sizeof services / sizeof services[0]; i++)
		if (strlen(services[i]->short_name) == length &&
		    strncmp(services[i]->short_name, name, length) == 0)
			return services[i];
	return NULL;
}

static int call(struct gn_channel_client *client, const ProtobufCServiceDescriptor *service,
                unsigned method, ProtobufCMessage *request)
{
	struct gn_status status = {0};
	ProtobufCMessage *reply = NULL;
	json_t *json;

	if (gn_channel_client_call_sync(client, service, method, request, TIMEOUT_US, &reply,
	                                &status)) {
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
	const ProtobufCServiceDescriptor *service = NULL;
	struct gn_channel_client *client;
	struct gn_status status = {0};
	ProtobufCMessage *request;
	const char *slash = argc > 2 ? strchr(argv[2], '/') : NULL;
	unsigned method = 0;
	int result;

	if (slash)
		service = find_service(argv[2], (size_t)(slash - argv[2]));
	while (service && method < service->n_methods &&
	       strcmp(service->methods[method].name, slash + 1) != 0)
		method++;
	if (!service || method == service->n_methods) {
		fputs(usage, stderr);
		return 2;
	}
	gn_log_init("gn-call", GN_LOG_WARNING);
	request = gn_pbtext_new(service->methods[method].input);
	for (int i = 3; i < argc; i++)
		if (gn_pbtext_set(request, argv[i]))
			return 2;
	if (gn_channel_client_create(argv[1], NULL, &client, &status)) {
		fprintf(stderr, "%s: %s\n", argv[1], status.message);
		return 1;
	}
	result = call(client, service, method, request);
	gn_channel_client_destroy(client);
	return result;
}
