/* fake_peer.c - see fake_peer.h. */
#include "firmware/peer/fake_peer.h"

#include <stdlib.h>
#include <string.h>
#include "firmware/brain/brain.h"
#include "firmware/message/message.h"

uint64_t gn_fake_now_us = 1700000000ull * 1000000;

struct gn_time gn_time_now(void)
{
	return (struct gn_time){gn_fake_now_us, gn_fake_now_us};
}

struct gn_peer {
	struct gn_fake_call *calls;
};

struct gn_peer *gn_fake_peer_create(void)
{
	return gn_message_alloc(sizeof(struct gn_peer));
}

void gn_peer_call(struct gn_peer *peer, const char *method, const ProtobufCMessage *request,
                  uint64_t timeout_us, gn_channel_done *done, void *context)
{
	struct gn_fake_call *call = gn_message_alloc(sizeof *call), **end = &peer->calls;

	call->method = method;
	call->request = gn_message_copy(request);
	call->done = done;
	call->context = context;
	while (*end)
		end = &(*end)->next;
	*end = call;
}

struct gn_fake_call *gn_fake_peer_take(struct gn_peer *peer, const char *method)
{
	struct gn_fake_call **link;

	for (link = &peer->calls; *link; link = &(*link)->next) {
		struct gn_fake_call *call = *link;

		if (method && strcmp(call->method, method) != 0)
			continue;
		*link = call->next;
		return call;
	}
	return NULL;
}

unsigned gn_fake_peer_waiting(const struct gn_peer *peer)
{
	const struct gn_fake_call *call;
	unsigned n = 0;

	for (call = peer->calls; call; call = call->next)
		n++;
	return n;
}

static void finish(struct gn_fake_call *call, const struct gn_status *status,
                   const ProtobufCMessage *reply)
{
	call->done(call->context, status, reply);
	gn_message_free(call->request);
	free(call);
}

void gn_fake_peer_answer(struct gn_fake_call *call, const ProtobufCMessage *reply)
{
	finish(call, &(struct gn_status){GN_OK, ""}, reply);
}

void gn_fake_peer_refuse(struct gn_fake_call *call, enum gn_code code, const char *message)
{
	struct gn_status status;

	gn_status_set(&status, code, "%s", message);
	finish(call, &status, NULL);
}

void gn_peer_destroy(struct gn_peer *peer)
{
	struct gn_fake_call *call;

	while (peer && (call = gn_fake_peer_take(peer, NULL)))
		gn_fake_peer_refuse(call, GN_CANCELLED, "the peer is closed");
	free(peer);
}

bool gn_peer_is_connected(const struct gn_peer *peer)
{
	return true;
}

const char *gn_peer_error(const struct gn_peer *peer)
{
	return "";
}

uint32_t gn_peer_epoch(const struct gn_peer *peer)
{
	return 1;
}
