/* channel_events.c - publishers and subscribers of channel.h. A message on the wire is the
 * topic, a NUL (so that no topic is another's prefix: nng filters by leading bytes), and
 * an envelope whose method is the topic again. */
#include "proto/channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/channel_internal.h"
#include "proto/envelope.h"

#define SEND_BUFFER     128 /* messages kept for a subscriber that is slow */
#define RECEIVE_BUFFER  512 /* messages kept for an owner that is slow */
#define EVENTS_PER_CALL 256 /* one owner's turn */

/* ---- publisher -------------------------------------------------------------------- */

struct gn_channel_publisher {
	nng_socket socket;
	struct gn_channel_endpoint endpoint;
	uint64_t n_published;
};

int gn_channel_publisher_create(const char *url, const struct gn_channel_tls *tls,
                                struct gn_channel_publisher **out, struct gn_status *status)
{
	struct gn_channel_publisher *publisher;
	int rc = gn_channel_check_url(url, tls, status);

	if (rc)
		return rc;
	publisher = calloc(1, sizeof *publisher);
	if (!publisher)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	rc = nng_pub0_open(&publisher->socket);
	if (rc) {
		free(publisher);
		return gn_channel_fail_nng(status, "PUB socket", rc);
	}
	rc = nng_socket_set_int(publisher->socket, NNG_OPT_SENDBUF, SEND_BUFFER);
	rc = rc ? gn_channel_fail_nng(status, "send buffer", rc)
	        : gn_channel_endpoint_listen(&publisher->endpoint, publisher->socket, url, tls,
	                                     status);
	if (rc) {
		gn_channel_publisher_destroy(publisher);
		return rc;
	}
	*out = publisher;
	return 0;
}

uint16_t gn_channel_publisher_port(const struct gn_channel_publisher *publisher)
{
	return gn_channel_endpoint_port(&publisher->endpoint);
}

int gn_channel_publisher_share(struct gn_channel_publisher *publisher, gid_t group,
                               struct gn_status *status)
{
	return gn_channel_endpoint_share(&publisher->endpoint, group, status);
}

int gn_channel_publish(struct gn_channel_publisher *publisher, const char *topic,
                       const ProtobufCMessage *message)
{
	struct gn_envelope envelope = {0};
	size_t prefix = strlen(topic) + 1, size;
	nng_msg *wire;

	if (prefix > sizeof envelope.method)
		return -ENAMETOOLONG;
	memcpy(envelope.method, topic, prefix);
	snprintf(envelope.id, sizeof envelope.id, "%llu",
	         (unsigned long long)++publisher->n_published);
	size = gn_envelope_size(GN_ENVELOPE_EVENT, &envelope, message);
	if (prefix + size > GN_CHANNEL_MAX_SIZE)
		return -EMSGSIZE;
	if (nng_msg_alloc(&wire, prefix + size))
		return -ENOMEM;
	memcpy(nng_msg_body(wire), topic, prefix);
	gn_envelope_encode(GN_ENVELOPE_EVENT, &envelope, message,
	                   (uint8_t *)nng_msg_body(wire) + prefix);
	if (nng_sendmsg(publisher->socket, wire, NNG_FLAG_NONBLOCK)) {
		nng_msg_free(wire);
		return -EIO;
	}
	return 0;
}

void gn_channel_publisher_destroy(struct gn_channel_publisher *publisher)
{
	if (!publisher)
		return;
	gn_channel_endpoint_stop(&publisher->endpoint);
	nng_close(publisher->socket);
	gn_channel_endpoint_fini(&publisher->endpoint);
	free(publisher);
}

/* ---- subscriber ------------------------------------------------------------------- */

struct gn_channel_subscriber {
	nng_socket socket;
	struct gn_channel_endpoint endpoint;
	int fd; /* nng's */
	char topic[GN_ENVELOPE_METHOD_MAX + 1];
	const ProtobufCMessageDescriptor *descriptor;
	gn_channel_event *event;
	void *context;
	uint64_t n_errors;
};

static int open_subscription(struct gn_channel_subscriber *subscriber, const char *url,
                             const struct gn_channel_tls *tls, struct gn_status *status)
{
	nng_socket socket = subscriber->socket;
	int rc = nng_socket_set_int(socket, NNG_OPT_RECVBUF, RECEIVE_BUFFER);

	if (!rc)
		rc = nng_socket_set(socket, NNG_OPT_SUB_SUBSCRIBE, subscriber->topic,
		                    strlen(subscriber->topic) + 1);
	if (!rc)
		rc = nng_socket_get_int(socket, NNG_OPT_RECVFD, &subscriber->fd);
	if (rc)
		return gn_channel_fail_nng(status, "subscription", rc);
	return gn_channel_endpoint_dial(&subscriber->endpoint, socket, url, tls, status);
}

int gn_channel_subscriber_create(const char *url, const struct gn_channel_tls *tls,
                                 const char *topic, const ProtobufCMessageDescriptor *descriptor,
                                 gn_channel_event *event, void *context,
                                 struct gn_channel_subscriber **out, struct gn_status *status)
{
	struct gn_channel_subscriber *subscriber;
	int rc = gn_channel_check_url(url, tls, status);

	if (rc)
		return rc;
	if (!*topic || strlen(topic) > GN_ENVELOPE_METHOD_MAX)
		return gn_status_set(status, GN_INVALID_ARGUMENT, "a topic has 1 to %u bytes",
		                     GN_ENVELOPE_METHOD_MAX);
	subscriber = calloc(1, sizeof *subscriber);
	if (!subscriber)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	strcpy(subscriber->topic, topic);
	subscriber->descriptor = descriptor;
	subscriber->event = event;
	subscriber->context = context;
	rc = nng_sub0_open(&subscriber->socket);
	if (rc) {
		free(subscriber);
		return gn_channel_fail_nng(status, "SUB socket", rc);
	}
	rc = open_subscription(subscriber, url, tls, status);
	if (rc) {
		gn_channel_subscriber_destroy(subscriber);
		return rc;
	}
	*out = subscriber;
	return 0;
}

int gn_channel_subscriber_fd(const struct gn_channel_subscriber *subscriber)
{
	return subscriber->fd;
}

int gn_channel_subscriber_check(const struct gn_channel_subscriber *subscriber,
                                struct gn_status *status)
{
	return gn_channel_endpoint_explain(&subscriber->endpoint, status);
}

static int decode_event(const struct gn_channel_subscriber *subscriber, nng_msg *wire,
                        ProtobufCMessage **message)
{
	size_t prefix = strlen(subscriber->topic) + 1;
	struct gn_envelope envelope;
	int rc;

	if (nng_msg_len(wire) < prefix || nng_msg_len(wire) > GN_CHANNEL_MAX_SIZE)
		return -EINVAL;
	rc = gn_envelope_decode(GN_ENVELOPE_EVENT, (uint8_t *)nng_msg_body(wire) + prefix,
	                        nng_msg_len(wire) - prefix, &envelope, NULL);
	if (!rc && strcmp(envelope.method, subscriber->topic))
		rc = -EINVAL;
	if (!rc)
		rc = gn_message_unpack(subscriber->descriptor, envelope.body, envelope.body_size,
		                       message, NULL, NULL);
	gn_envelope_fini(&envelope);
	return rc;
}

void gn_channel_subscriber_process(struct gn_channel_subscriber *subscriber)
{
	for (int i = 0; i < EVENTS_PER_CALL; i++) {
		ProtobufCMessage *message;
		nng_msg *wire;
		int rc;

		if (nng_recvmsg(subscriber->socket, &wire, NNG_FLAG_NONBLOCK))
			return;
		rc = decode_event(subscriber, wire, &message);
		nng_msg_free(wire);
		if (rc) {
			subscriber->n_errors++;
			continue;
		}
		subscriber->event(subscriber->context, subscriber->topic, message);
		protobuf_c_message_free_unpacked(message, NULL);
	}
}

uint64_t gn_channel_subscriber_errors(const struct gn_channel_subscriber *subscriber)
{
	return subscriber->n_errors;
}

void gn_channel_subscriber_destroy(struct gn_channel_subscriber *subscriber)
{
	if (!subscriber)
		return;
	gn_channel_endpoint_stop(&subscriber->endpoint);
	nng_close(subscriber->socket);
	gn_channel_endpoint_fini(&subscriber->endpoint);
	free(subscriber);
}
