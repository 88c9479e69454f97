/* channel_events_test.c - events over ipc: what subscribers get, lose, and are spared. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>

#include "proto/channel.h"
#include "proto/gnomon/v1/dataplane.pb-c.h"

/* The state of a test: an address in a directory of its own. */
static int set_up(void **state)
{
	char *url = malloc(64), directory[] = "/tmp/gnce.XXXXXX";

	assert_non_null(url);
	assert_non_null(mkdtemp(directory));
	snprintf(url, 64, "ipc://%s/e", directory);
	*state = url;
	return 0;
}

static int tear_down(void **state)
{
	char *path = (char *)*state + strlen("ipc://");

	unlink(path);
	*strrchr(path, '/') = '\0';
	assert_int_equal(rmdir(path), 0);
	free(*state);
	return 0;
}

struct seen {
	unsigned n;
	char last[64];
};

static void on_event(void *context, const char *topic, const ProtobufCMessage *message)
{
	struct seen *seen = context;

	assert_string_equal(topic, "events");
	seen->n++;
	snprintf(seen->last, sizeof seen->last, "%s",
	         ((const Gnomon__V1__NameRequest *)message)->name);
}

static struct gn_channel_subscriber *subscribe(const char *url, struct seen *seen)
{
	struct gn_channel_subscriber *subscriber;
	struct gn_status status;

	assert_int_equal(gn_channel_subscriber_create(url, NULL, "events",
	                                              &gnomon__v1__name_request__descriptor,
	                                              on_event, seen, &subscriber, &status),
	                 0);
	return subscriber;
}

/* Subscribers are known some time after they connect, so publish until one is seen. */
static void publish_until_seen(struct gn_channel_publisher *publisher,
                               struct gn_channel_subscriber *subscriber, struct seen *seen)
{
	struct pollfd fd = {.fd = gn_channel_subscriber_fd(subscriber), .events = POLLIN};
	Gnomon__V1__NameRequest event = GNOMON__V1__NAME_REQUEST__INIT;

	event.name = (char *)"first";
	while (!seen->n) {
		assert_int_equal(gn_channel_publish(publisher, "events", &event.base), 0);
		if (poll(&fd, 1, 10) > 0)
			gn_channel_subscriber_process(subscriber);
	}
}

static void await_event(struct gn_channel_subscriber *subscriber, const struct seen *seen,
                        const char *name)
{
	struct pollfd fd = {.fd = gn_channel_subscriber_fd(subscriber), .events = POLLIN};

	while (strcmp(seen->last, name)) {
		assert_int_equal(poll(&fd, 1, 60000), 1);
		gn_channel_subscriber_process(subscriber);
	}
}

static void test_events(void **state)
{
	const char *url = *state;
	Gnomon__V1__NameRequest event = GNOMON__V1__NAME_REQUEST__INIT;
	struct gn_channel_publisher *publisher;
	struct gn_channel_subscriber *subscriber;
	struct gn_status status = {0};
	struct seen seen = {0};

	assert_int_equal(gn_channel_publisher_create(url, NULL, &publisher, &status), 0);
	subscriber = subscribe(url, &seen);
	publish_until_seen(publisher, subscriber, &seen);
	assert_int_equal(gn_channel_subscriber_check(subscriber, &status), 0);
	event.name = (char *)"other";
	assert_int_equal(gn_channel_publish(publisher, "events-of-another-kind", &event.base), 0);
	event.name = (char *)"last";
	assert_int_equal(gn_channel_publish(publisher, "events", &event.base), 0);
	await_event(subscriber, &seen, "last");
	assert_int_equal(gn_channel_subscriber_errors(subscriber), 0);
	gn_channel_subscriber_destroy(subscriber);
	gn_channel_publisher_destroy(publisher);
}

static void test_slow_subscriber_loses_and_publisher_goes_on(void **state)
{
	const char *url = *state;
	Gnomon__V1__NameRequest event = GNOMON__V1__NAME_REQUEST__INIT;
	struct gn_channel_publisher *publisher;
	struct gn_channel_subscriber *subscriber;
	struct gn_status status = {0};
	struct seen seen = {0};

	assert_int_equal(gn_channel_publisher_create(url, NULL, &publisher, &status), 0);
	subscriber = subscribe(url, &seen);
	publish_until_seen(publisher, subscriber, &seen);
	event.name = malloc(60001);
	memset(event.name, 'x', 60000);
	event.name[60000] = '\0';
	for (unsigned i = 0; i < 5000; i++)
		assert_int_equal(gn_channel_publish(publisher, "events", &event.base), 0);
	free(event.name);
	seen.last[0] = '\0';
	event.name = (char *)"last";
	for (unsigned i = 0; strcmp(seen.last, "last"); i++) {
		struct pollfd fd = {.fd = gn_channel_subscriber_fd(subscriber), .events = POLLIN};

		assert_int_equal(gn_channel_publish(publisher, "events", &event.base), 0);
		if (poll(&fd, 1, 10) > 0)
			gn_channel_subscriber_process(subscriber);
	}
	assert_true(seen.n < 5000);
	gn_channel_subscriber_destroy(subscriber);
	gn_channel_publisher_destroy(publisher);
}

static void test_bad_events_are_counted(void **state)
{
	const char *url = *state;
	struct gn_channel_subscriber *subscriber;
	struct seen seen = {0};
	nng_socket socket;

	assert_int_equal(nng_pub0_open(&socket), 0);
	assert_int_equal(nng_listen(socket, url, NULL, 0), 0);
	subscriber = subscribe(url, &seen);
	while (!gn_channel_subscriber_errors(subscriber)) {
		struct pollfd fd = {.fd = gn_channel_subscriber_fd(subscriber), .events = POLLIN};

		assert_int_equal(nng_send(socket, (void *)"events\0\xff\xff", 9, 0), 0);
		if (poll(&fd, 1, 10) > 0)
			gn_channel_subscriber_process(subscriber);
	}
	assert_int_equal(seen.n, 0);
	gn_channel_subscriber_destroy(subscriber);
	nng_close(socket);
}

static void test_publish_limits(void **state)
{
	const char *url = *state;
	Gnomon__V1__NameRequest event = GNOMON__V1__NAME_REQUEST__INIT;
	struct gn_channel_publisher *publisher;
	struct gn_status status = {0};
	char topic[200];

	assert_int_equal(gn_channel_publisher_create(url, NULL, &publisher, &status), 0);
	event.name = malloc(GN_CHANNEL_MAX_SIZE + 1);
	memset(event.name, 'x', GN_CHANNEL_MAX_SIZE);
	event.name[GN_CHANNEL_MAX_SIZE] = '\0';
	assert_int_equal(gn_channel_publish(publisher, "events", &event.base), -EMSGSIZE);
	free(event.name);
	event.name = (char *)"x";
	memset(topic, 't', sizeof topic - 1);
	topic[sizeof topic - 1] = '\0';
	assert_int_equal(gn_channel_publish(publisher, topic, &event.base), -ENAMETOOLONG);
	gn_channel_publisher_destroy(publisher);
}

#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        CASE(events),
	        CASE(slow_subscriber_loses_and_publisher_goes_on),
	        CASE(bad_events_are_counted),
	        CASE(publish_limits),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	nng_fini();
	return failed;
}
