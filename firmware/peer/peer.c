/* peer.c - see peer.h. */
#include "firmware/peer/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/message/message.h"

struct call {
	struct call *next;
	struct gn_peer *peer;
	gn_channel_done *done;
	void *context;
	struct gn_status status; /* of a call that was not sent */
};

struct gn_peer {
	const char *name;
	const ProtobufCServiceDescriptor *service;
	struct gn_channel_client *client;
	struct call *unsent, **unsent_end;
	bool connected;
	uint32_t epoch;
	struct gn_status error;
};

int gn_peer_create(const char *name, const char *url, const struct gn_channel_tls *tls,
                   const ProtobufCServiceDescriptor *service, struct gn_peer **out,
                   struct gn_status *status)
{
	struct gn_peer *peer = gn_message_alloc(sizeof *peer);
	int error;

	peer->name = name;
	peer->service = service;
	peer->unsent_end = &peer->unsent;
	gn_status_set(&peer->error, GN_UNAVAILABLE, "the %s at %s has not answered yet", name, url);
	error = gn_channel_client_create(url, tls, &peer->client, status);
	if (error) {
		free(peer);
		return error;
	}
	*out = peer;
	return 0;
}

/* Of what was sent, only these leave open whether the peer lives; and not even they do when they
 * are its own words, about what it waits for itself. */
static bool is_absence(enum gn_code code)
{
	return code == GN_UNAVAILABLE || code == GN_DEADLINE_EXCEEDED || code == GN_CANCELLED ||
	       code == GN_UNAUTHENTICATED;
}

static void note_outcome(struct gn_peer *peer, const struct gn_status *status, bool heard)
{
	bool reached = heard || !is_absence(status->code);

	if (reached && !peer->connected)
		peer->epoch++;
	peer->connected = reached;
	if (!reached)
		peer->error = *status;
}

static void end(struct call *call, const struct gn_status *status, const ProtobufCMessage *reply,
                bool heard)
{
	note_outcome(call->peer, status, heard);
	call->done(call->context, status, reply);
	free(call);
}

static void on_done(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct call *call = context;

	end(call, status, reply, gn_channel_client_heard(call->peer->client));
}

/* A name that is not in the service is a bug. */
static unsigned index_of(const ProtobufCServiceDescriptor *service, const char *name)
{
	unsigned i;

	for (i = 0; i < service->n_methods; i++)
		if (strcmp(service->methods[i].name, name) == 0)
			return i;
	abort();
}

void gn_peer_call(struct gn_peer *peer, const char *method, const ProtobufCMessage *request,
                  uint64_t timeout_us, gn_channel_done *done, void *context)
{
	struct call *call = gn_message_alloc(sizeof *call);

	call->peer = peer;
	call->done = done;
	call->context = context;
	if (gn_channel_client_call(peer->client, peer->service, index_of(peer->service, method),
	                           request, timeout_us, on_done, call, &call->status) == 0)
		return;
	*peer->unsent_end = call;
	peer->unsent_end = &call->next;
}

void gn_peer_set_caller(struct gn_peer *peer, const char *caller)
{
	gn_channel_client_set_caller(peer->client, caller);
}

void gn_peer_tick(struct gn_peer *peer)
{
	struct call *call = peer->unsent;

	peer->unsent = NULL;
	peer->unsent_end = &peer->unsent;
	while (call) {
		struct call *next = call->next;

		end(call, &call->status, NULL, false);
		call = next;
	}
}

int gn_peer_fd(const struct gn_peer *peer)
{
	return gn_channel_client_fd(peer->client);
}

void gn_peer_process(struct gn_peer *peer)
{
	gn_channel_client_process(peer->client);
}

void gn_peer_destroy(struct gn_peer *peer)
{
	if (!peer)
		return;
	gn_channel_client_destroy(peer->client);
	gn_peer_tick(peer);
	free(peer);
}

bool gn_peer_is_connected(const struct gn_peer *peer)
{
	return peer->connected;
}

const char *gn_peer_error(const struct gn_peer *peer)
{
	return peer->connected ? "" : peer->error.message;
}

uint32_t gn_peer_epoch(const struct gn_peer *peer)
{
	return peer->epoch;
}
