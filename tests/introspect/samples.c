/* samples.c - gn-samples: prints the sample batches that a process publishes, one JSON object a
 * line, until it is killed. For tests.
 *
 *   gn-samples ipc:///run/gnomon/guests.ipc */
#include <poll.h>
#include <stdio.h>
#include <jansson.h>
#include "firmware/core/log.h"
#include "proto/channel.h"
#include "proto/gnomon/v1/sample.pb-c.h"
#include "tests/frontend/pbtext.h"

static void print(void *context, const char *topic, const ProtobufCMessage *message)
{
	json_t *json = gn_pbtext_json(message);

	json_dumpf(json, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(json);
}

int main(int argc, char **argv)
{
	struct gn_channel_subscriber *subscriber;
	struct gn_status status = {.code = GN_OK};
	struct pollfd poller = {.events = POLLIN};

	gn_log_init("gn-samples", GN_LOG_WARNING);
	if (argc != 2 || gn_channel_subscriber_create(argv[1], NULL, "samples",
	                                              &gnomon__v1__sample_batch__descriptor, print,
	                                              NULL, &subscriber, &status) != 0) {
		fprintf(stderr, "gn-samples: %s\n", argc == 2 ? status.message : "give one url");
		return 1;
	}
	poller.fd = gn_channel_subscriber_fd(subscriber);
	while (poll(&poller, 1, -1) >= 0)
		gn_channel_subscriber_process(subscriber);
	return 0;
}
