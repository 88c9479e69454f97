/* progress.c - see progress.h. */
#include "firmware/init/progress.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "proto/channel.h"
#include "proto/gnomon/v1/dataplane.pb-c.h"

#define TIMEOUT_US 3000000u

struct gn_progress {
	struct gn_channel_client *client;
	unsigned method;
	bool asked;
	gn_progress_answer *answer;
	void *context;
};

static unsigned method_index(const char *name)
{
	const ProtobufCServiceDescriptor *service = &gnomon__v1__dataplane__descriptor;
	unsigned i = 0;

	while (service->methods + i !=
	       protobuf_c_service_descriptor_get_method_by_name(service, name))
		i++;
	return i;
}

int gn_progress_create(const char *url, gn_progress_answer *answer, void *context,
                       struct gn_progress **out)
{
	struct gn_progress *progress = calloc(1, sizeof *progress);
	struct gn_status status;
	int error;

	if (!progress)
		return -ENOMEM;
	progress->method = method_index("GetDataplaneStatus");
	progress->answer = answer;
	progress->context = context;
	error = gn_channel_client_create(url, NULL, &progress->client, &status);
	if (error)
		free(progress);
	else
		*out = progress;
	return error;
}

int gn_progress_fd(const struct gn_progress *progress)
{
	return progress ? gn_channel_client_fd(progress->client) : -1;
}

void gn_progress_process(struct gn_progress *progress)
{
	gn_channel_client_process(progress->client);
}

static void on_reply(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct gn_progress *progress = context;

	progress->asked = false;
	if (reply)
		progress->answer(progress->context,
		                 ((const Gnomon__V1__DataplaneStatus *)reply)->loops);
}

void gn_progress_ask(struct gn_progress *progress)
{
	Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;
	struct gn_status status;

	if (!progress || progress->asked)
		return;
	progress->asked = !gn_channel_client_call(
	        progress->client, &gnomon__v1__dataplane__descriptor, progress->method, &empty.base,
	        TIMEOUT_US, on_reply, progress, &status);
}
