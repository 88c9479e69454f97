/* channel_client.c - the client of channel.h: a REQ socket with one nng context per call.
 *
 * A call is sent, then its reply received, both by one nng_aio whose callback runs on
 * nng's threads and only moves it on; the end comes through the inbox to the owner.
 *
 * Once only: nng's REQ protocol resends a request after a time and after a lost
 * connection. With NNG_OPT_REQ_RESENDTIME infinite it does neither (a request whose
 * connection is lost ends with NNG_ECONNRESET), so the channel delivers at most once. */
#include "proto/channel.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "firmware/core/clock.h"
#include "proto/channel_internal.h"
#include "proto/envelope.h"
#include "proto/sign/sign.h"
#include "proto/tlsfiles.h"

#define CONNECT_GRACE_US 3000000u /* a call made while the peer is away fails after so long */
#define CONNECT_LEAST_US 250000u  /* ... but not sooner than this, when it is away for long */
#define MAX_CALLS        4096u
#define MAX_TIMEOUT_US   (24ull * 3600 * 1000000)
#define MAX_AHEAD_US     (24ull * 3600 * 1000000) /* as far as a server may push our counter */
#define SILENCE_LIMIT    3u /* calls without any answer until the connection is made anew */

enum phase { SENDING, RECEIVING };

struct call {
	struct gn_inbox_item item; /* first: the inbox gives it back */
	struct gn_channel_client *client;
	struct call *previous, *next; /* all of the client's */
	nng_ctx ctx;
	nng_aio *aio;
	enum phase phase;
	int result; /* nng's */
	nng_msg *reply;
	uint64_t started_us; /* monotonic */
	uint64_t timeout_us;
	char id[GN_ENVELOPE_ID_MAX + 1];
	char method[GN_ENVELOPE_METHOD_MAX + 1];
	uint64_t counter; /* when it is signed, and 'body' then: to sign it again */
	uint64_t deadline_us;
	uint8_t *body;
	size_t body_size;
	bool was_resent;
	const ProtobufCMessageDescriptor *output;
	gn_channel_done *done;
	void *context;
	struct sync *sync;
};

/* Where a call that is waited for puts its end, instead of a callback. */
struct sync {
	bool finished;
	struct gn_status status;
	ProtobufCMessage *reply;
};

/* Owner: the owner's thread, but for 'inbox' and 'endpoint'. */
struct gn_channel_client {
	nng_socket socket;
	struct gn_channel_endpoint endpoint;
	struct gn_inbox inbox;
	struct call *calls;
	size_t n_calls;
	uint64_t id_base; /* random, so that no two clients choose the same identifiers */
	uint64_t n_ids;
	unsigned n_silent; /* calls in a row that timed out with no reply between them */
	char caller[GN_ENVELOPE_CALLER_MAX + 1];
	struct gn_signer *signer; /* NULL over ipc */
	char target[GN_ENVELOPE_TARGET_MAX + 1];
	uint64_t last_counter;
	bool closing;
	bool heard; /* the call that is being ended has a reply */
};

/* ---- nng's side ------------------------------------------------------------------ */

/* nng counts whole milliseconds; round up, so that no wait ends before its deadline. */
static nng_duration remaining_ms(const struct call *call)
{
	uint64_t spent = gn_clock_monotonic_us() - call->started_us;

	return spent >= call->timeout_us ? 1
	                                 : (nng_duration)((call->timeout_us - spent + 999) / 1000);
}

static void on_done(void *context)
{
	struct call *call = context;
	int result = nng_aio_result(call->aio);

	if (!result && call->phase == SENDING) {
		call->phase = RECEIVING;
		nng_aio_set_timeout(call->aio, remaining_ms(call));
		nng_ctx_recv(call->ctx, call->aio);
		return;
	}
	if (!result) {
		call->reply = nng_aio_get_msg(call->aio);
	} else if (call->phase == SENDING) { /* not taken, so it is still ours */
		nng_msg_free(nng_aio_get_msg(call->aio));
		nng_aio_set_msg(call->aio, NULL);
	}
	call->result = result;
	gn_inbox_push(&call->client->inbox, &call->item);
}

/* ---- the end of a call ------------------------------------------------------------- */

static int explain_timeout(const struct call *call, struct gn_status *status)
{
	const struct gn_channel_endpoint *endpoint = &call->client->endpoint;

	if (call->phase == SENDING && !gn_channel_endpoint_is_up(endpoint))
		return gn_channel_endpoint_explain(endpoint, status);
	if (call->phase == SENDING)
		return gn_status_set(
		        status, GN_UNAVAILABLE,
		        "%s does not take %s: it is overloaded or stuck; try again later",
		        endpoint->url, call->method);
	return gn_status_set(status, GN_DEADLINE_EXCEEDED,
	                     "%s did not answer %s within %.1f s: it may yet carry it out; check, "
	                     "then ask again or allow more time",
	                     endpoint->url, call->method, (double)call->timeout_us / 1e6);
}

static int explain_failure(const struct call *call, struct gn_status *status)
{
	if (call->client->closing || call->result == NNG_ECANCELED || call->result == NNG_ECLOSED)
		return gn_status_set(status, GN_CANCELLED, "%s was given up: this side is stopping",
		                     call->method);
	switch (call->result) {
	case NNG_ETIMEDOUT:
		return explain_timeout(call, status);
	case NNG_ECONNRESET:
		return gn_status_set(status, GN_UNAVAILABLE,
		                     "the connection to %s was lost before %s was answered: check "
		                     "whether it was carried out, then ask again",
		                     call->client->endpoint.url, call->method);
	default:
		return gn_status_set(status, GN_UNAVAILABLE, "%s to %s failed: %s", call->method,
		                     call->client->endpoint.url, nng_strerror(call->result));
	}
}

static int unpack_reply(const struct call *call, const struct gn_envelope *envelope,
                        ProtobufCMessage **reply, struct gn_status *status)
{
	if (envelope->status.code) {
		*status = envelope->status;
		return gn_code_to_errno(status->code);
	}
	if (strcmp(envelope->id, call->id))
		return gn_status_set(status, GN_INTERNAL,
		                     "%s answered another request (id '%s' instead of '%s'): its "
		                     "answer is not used",
		                     call->client->endpoint.url, envelope->id, call->id);
	return gn_message_unpack(call->output, envelope->body, envelope->body_size, reply, NULL,
	                         status);
}

/* Whether the server takes only later counters than this one's: it has not carried it out then. */
static bool is_stale(struct call *call, const struct gn_envelope *envelope)
{
	struct gn_channel_client *client = call->client;

	if (!client->signer || call->was_resent || client->closing ||
	    envelope->status.code != GN_UNAUTHENTICATED || envelope->counter < call->counter ||
	    envelope->counter > gn_clock_wall_us() + MAX_AHEAD_US)
		return false;
	if (envelope->counter > client->last_counter)
		client->last_counter = envelope->counter;
	return true;
}

/* '*stale': the request is to be sent again; nothing else is set then. */
static int decode_reply(struct call *call, ProtobufCMessage **reply, bool *stale,
                        struct gn_status *status)
{
	struct gn_envelope envelope;
	int rc;

	if (nng_msg_len(call->reply) > GN_CHANNEL_MAX_SIZE)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "the answer has %zu bytes and %u is the limit: ask for less",
		                     nng_msg_len(call->reply), GN_CHANNEL_MAX_SIZE);
	rc = gn_envelope_decode(GN_ENVELOPE_REPLY, nng_msg_body(call->reply),
	                        nng_msg_len(call->reply), &envelope, status);
	if (rc)
		return rc;
	*stale = is_stale(call, &envelope);
	rc = *stale ? 0 : unpack_reply(call, &envelope, reply, status);
	gn_envelope_fini(&envelope);
	return rc;
}

static void unlink_call(struct call *call)
{
	struct gn_channel_client *client = call->client;

	if (call->previous)
		call->previous->next = call->next;
	else
		client->calls = call->next;
	if (call->next)
		call->next->previous = call->previous;
	client->n_calls--;
}

/* Of a call whose aio does nothing any more. */
static void free_call(struct call *call)
{
	nng_aio_free(call->aio);
	nng_ctx_close(call->ctx);
	nng_msg_free(call->reply);
	free(call->body);
	free(call);
}

/* A peer that vanished without closing (power cut, cable) would keep its connection for a
 * quarter of an hour in the kernel, and one whose connection takes no bytes any more would keep
 * it for ever. Calls without any answer, also those that could not even be sent, are the sign;
 * dialling anew then costs a live peer nothing but the calls it is slow with. */
static void watch_silence(struct gn_channel_client *client, const struct call *call)
{
	nng_pipe pipe = {.id = atomic_load(&client->endpoint.pipe_id)};

	if (call->reply)
		client->n_silent = 0;
	else if (call->result == NNG_ETIMEDOUT && gn_channel_endpoint_is_up(&client->endpoint))
		client->n_silent++;
	if (client->n_silent < SILENCE_LIMIT || !gn_channel_endpoint_is_up(&client->endpoint))
		return;
	client->n_silent = 0;
	nng_pipe_close(pipe);
}

static int make_message(struct call *call, const ProtobufCMessage *request, nng_msg **out,
                        struct gn_status *status);

/* Once more, signed anew with a later counter. */
static bool resend(struct call *call, struct gn_status *status)
{
	nng_msg *message;

	call->was_resent = true;
	if (make_message(call, NULL, &message, status))
		return false;
	nng_msg_free(call->reply);
	call->reply = NULL;
	call->phase = SENDING;
	nng_aio_set_msg(call->aio, message);
	nng_aio_set_timeout(call->aio, remaining_ms(call));
	nng_ctx_send(call->ctx, call->aio);
	return true;
}

static void deliver(const struct call *call, const struct gn_status *status,
                    ProtobufCMessage *reply)
{
	if (call->sync) {
		call->sync->status = *status;
		call->sync->reply = reply;
		call->sync->finished = true;
		return;
	}
	call->done(call->context, status, reply);
	if (reply)
		protobuf_c_message_free_unpacked(reply, NULL);
}

static void finish(struct call *call)
{
	struct gn_status status = {GN_OK, ""};
	ProtobufCMessage *reply = NULL;
	bool stale = false;

	watch_silence(call->client, call);
	if (call->reply)
		decode_reply(call, &reply, &stale, &status);
	if (stale && resend(call, &status))
		return;
	if (!call->reply)
		explain_failure(call, &status);
	unlink_call(call);
	call->client->heard = call->reply != NULL;
	deliver(call, &status, reply);
	free_call(call);
}

bool gn_channel_client_heard(const struct gn_channel_client *client)
{
	return client->heard;
}

static void finish_all(struct gn_channel_client *client)
{
	struct gn_inbox_item *item, *next;

	for (item = gn_inbox_take(&client->inbox); item; item = next) {
		next = item->next;
		finish((struct call *)item);
	}
}

void gn_channel_client_process(struct gn_channel_client *client)
{
	finish_all(client);
}

/* ---- the start of a call ----------------------------------------------------------- */

static int check_call(const struct gn_channel_client *client, uint64_t timeout_us,
                      struct gn_status *status)
{
	if (client->closing)
		return gn_status_set(status, GN_CANCELLED, "this side is stopping");
	if (!timeout_us || timeout_us > MAX_TIMEOUT_US)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "a timeout of %llu us is not possible: give 1 us to 24 h",
		                     (unsigned long long)timeout_us);
	if (client->n_calls >= MAX_CALLS)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "%zu calls to %s wait already: wait for answers first",
		                     client->n_calls, client->endpoint.url);
	return 0;
}

/* Over TLS: the sender's counter is its clock, and never the same twice. */
static int sign(struct call *call, struct gn_envelope *envelope, struct gn_status *status)
{
	struct gn_channel_client *client = call->client;
	uint64_t now_us = gn_clock_wall_us();

	client->last_counter = now_us > client->last_counter ? now_us : client->last_counter + 1;
	call->counter = client->last_counter;
	envelope->counter = call->counter;
	strcpy(envelope->target, client->target);
	envelope->body = call->body;
	envelope->body_size = call->body_size;
	return gn_signer_sign(client->signer, envelope)
	               ? gn_status_set(status, GN_INTERNAL, "%s cannot be signed", call->method)
	               : 0;
}

/* 'request' is NULL when the call has its body. */
static int make_message(struct call *call, const ProtobufCMessage *request, nng_msg **out,
                        struct gn_status *status)
{
	struct gn_envelope envelope = {.deadline_us = call->deadline_us};
	size_t size;
	int rc;

	strcpy(envelope.id, call->id);
	strcpy(envelope.method, call->method);
	strcpy(envelope.caller, call->client->caller);
	if (call->client->signer) {
		rc = sign(call, &envelope, status);
		if (rc)
			return rc;
		request = NULL;
	}
	size = gn_envelope_size(GN_ENVELOPE_REQUEST, &envelope, request);
	if (size > GN_CHANNEL_MAX_SIZE)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "%s would be a message of %zu bytes and %u is the limit: send less "
		        "at once",
		        call->method, size, GN_CHANNEL_MAX_SIZE);
	rc = nng_msg_alloc(out, size);
	if (rc)
		return gn_channel_fail_nng(status, "message", rc);
	gn_envelope_encode(GN_ENVELOPE_REQUEST, &envelope, request, nng_msg_body(*out));
	return 0;
}

static int make_request(struct call *call, const ProtobufCMessage *request, nng_msg **out,
                        struct gn_status *status)
{
	call->deadline_us = gn_clock_wall_us() + call->timeout_us;
	if (call->client->signer) {
		call->body_size = protobuf_c_message_get_packed_size(request);
		call->body = malloc(call->body_size + 1);
		if (!call->body)
			return gn_channel_fail_nng(status, "message", NNG_ENOMEM);
		protobuf_c_message_pack(request, call->body);
	}
	return make_message(call, request, out, status);
}

static struct call *alloc_call(struct gn_channel_client *client, struct gn_status *status)
{
	struct call *call = calloc(1, sizeof *call);
	int rc = NNG_ENOMEM;

	if (call) {
		call->client = client;
		rc = nng_aio_alloc(&call->aio, on_done, call);
		if (!rc && (rc = nng_ctx_open(&call->ctx, client->socket)))
			nng_aio_free(call->aio);
	}
	if (rc) {
		gn_channel_fail_nng(status, "call", rc);
		free(call);
		return NULL;
	}
	return call;
}

/* While the peer is away a call waits a little for it, not for its whole deadline. */
static nng_duration send_timeout_ms(const struct call *call)
{
	const struct gn_channel_endpoint *endpoint = &call->client->endpoint;
	uint64_t away_us = gn_clock_monotonic_us() - atomic_load(&endpoint->lost_us);
	uint64_t wait_us = CONNECT_GRACE_US;

	if (gn_channel_endpoint_is_up(endpoint))
		return remaining_ms(call);
	wait_us = away_us >= wait_us ? 0 : wait_us - away_us;
	if (wait_us < CONNECT_LEAST_US)
		wait_us = CONNECT_LEAST_US;
	if (wait_us > call->timeout_us)
		wait_us = call->timeout_us;
	return (nng_duration)((wait_us + 999) / 1000);
}

void gn_channel_client_set_caller(struct gn_channel_client *client, const char *caller)
{
	snprintf(client->caller, sizeof client->caller, "%s", caller);
}

static void start(struct call *call, nng_msg *message)
{
	struct gn_channel_client *client = call->client;

	call->next = client->calls;
	if (call->next)
		call->next->previous = call;
	client->calls = call;
	client->n_calls++;
	nng_aio_set_msg(call->aio, message);
	nng_aio_set_timeout(call->aio, send_timeout_ms(call));
	nng_ctx_send(call->ctx, call->aio);
}

static int submit(struct gn_channel_client *client, const ProtobufCServiceDescriptor *service,
                  unsigned method, const ProtobufCMessage *request, uint64_t timeout_us,
                  const struct call *how, struct gn_status *status)
{
	struct call *call;
	nng_msg *message;
	int rc = check_call(client, timeout_us, status);

	assert(method < service->n_methods);
	assert(request->descriptor == service->methods[method].input);
	if (rc)
		return rc;
	call = alloc_call(client, status);
	if (!call)
		return -ENOMEM;
	call->done = how->done;
	call->context = how->context;
	call->sync = how->sync;
	call->output = service->methods[method].output;
	call->started_us = gn_clock_monotonic_us();
	call->timeout_us = timeout_us;
	snprintf(call->id, sizeof call->id, "%016llx-%llu", (unsigned long long)client->id_base,
	         (unsigned long long)++client->n_ids);
	snprintf(call->method, sizeof call->method, "%s/%s", service->short_name,
	         service->methods[method].name);
	rc = make_request(call, request, &message, status);
	if (rc)
		free_call(call);
	else
		start(call, message);
	return rc;
}

int gn_channel_client_call(struct gn_channel_client *client,
                           const ProtobufCServiceDescriptor *service, unsigned method,
                           const ProtobufCMessage *request, uint64_t timeout_us,
                           gn_channel_done *done, void *context, struct gn_status *status)
{
	const struct call how = {.done = done, .context = context};

	return submit(client, service, method, request, timeout_us, &how, status);
}

int gn_channel_client_call_sync(struct gn_channel_client *client,
                                const ProtobufCServiceDescriptor *service, unsigned method,
                                const ProtobufCMessage *request, uint64_t timeout_us,
                                ProtobufCMessage **reply, struct gn_status *status)
{
	struct pollfd poll_fd = {.fd = client->inbox.fd, .events = POLLIN};
	struct sync sync = {0};
	const struct call how = {.sync = &sync};
	int rc = submit(client, service, method, request, timeout_us, &how, status);

	if (rc)
		return rc;
	while (!sync.finished) {
		if (poll(&poll_fd, 1, -1) > 0)
			finish_all(client);
	}
	if (!sync.reply) {
		if (status)
			*status = sync.status;
		return gn_code_to_errno(sync.status.code);
	}
	*reply = sync.reply;
	return 0;
}

/* ---- life ------------------------------------------------------------------------- */

static int open_socket(struct gn_channel_client *client, const char *url,
                       const struct gn_channel_tls *tls, struct gn_status *status)
{
	int rc = nng_req0_open(&client->socket);

	if (rc)
		return gn_channel_fail_nng(status, "REQ socket", rc);
	rc = nng_socket_set_ms(client->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
	rc = rc ? gn_channel_fail_nng(status, "resend time", rc)
	        : gn_channel_endpoint_dial(&client->endpoint, client->socket, url, tls, status);
	if (rc) {
		gn_channel_endpoint_stop(&client->endpoint);
		nng_close(client->socket);
		gn_channel_endpoint_fini(&client->endpoint);
	}
	return rc;
}

static int make_signer(struct gn_channel_client *client, const char *url,
                       const struct gn_channel_tls *tls, struct gn_status *status)
{
	struct gn_tlsfiles files;
	int rc = gn_channel_server_name(url, tls->peer_name, client->target, sizeof client->target);

	if (rc)
		return gn_channel_fail_nng(status, url, rc);
	rc = gn_tlsfiles_load(tls, &files, status);
	if (rc)
		return rc;
	rc = gn_signer_create(files.cert, files.key, &client->signer, status);
	gn_tlsfiles_fini(&files);
	return rc;
}

int gn_channel_client_create(const char *url, const struct gn_channel_tls *tls,
                             struct gn_channel_client **out, struct gn_status *status)
{
	struct gn_channel_client *client;
	int rc = gn_channel_check_url(url, tls, status);

	if (rc)
		return rc;
	client = calloc(1, sizeof *client);
	if (!client)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	if (getrandom(&client->id_base, sizeof client->id_base, 0) != sizeof client->id_base)
		client->id_base = gn_clock_wall_us();
	rc = gn_inbox_init(&client->inbox);
	if (rc)
		gn_status_set(status, GN_RESOURCE_EXHAUSTED, "eventfd: %s", strerror(-rc));
	else if (tls)
		rc = make_signer(client, url, tls, status);
	if (!rc)
		rc = open_socket(client, url, tls, status);
	if (rc) {
		gn_inbox_fini(&client->inbox);
		gn_signer_destroy(client->signer);
		free(client);
		return rc;
	}
	*out = client;
	return 0;
}

int gn_channel_client_fd(const struct gn_channel_client *client)
{
	return client->inbox.fd;
}

int gn_channel_client_check(const struct gn_channel_client *client, struct gn_status *status)
{
	return gn_channel_endpoint_explain(&client->endpoint, status);
}

void gn_channel_client_destroy(struct gn_channel_client *client)
{
	if (!client)
		return;
	client->closing = true;
	gn_channel_endpoint_stop(&client->endpoint);
	nng_close(client->socket); /* ends every operation with NNG_ECLOSED */
	gn_channel_endpoint_fini(&client->endpoint);
	for (struct call *call = client->calls; call; call = call->next)
		nng_aio_stop(call->aio);
	finish_all(client);
	assert(!client->calls);
	gn_inbox_fini(&client->inbox);
	gn_signer_destroy(client->signer);
	free(client);
}
