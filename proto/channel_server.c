/* channel_server.c - the server of channel.h: a REP socket with a pool of nng contexts, one
 * per request that is being received, waits for its answer, or is being answered.
 *
 * nng's threads run on_done() alone, which moves a message in or out; a received request
 * goes through the inbox to the owner, who checks it and calls the handler. The pool grows
 * so that RESERVE contexts always receive: when the limit of waiting calls is reached, a
 * further one is therefore still told so. */
#include "proto/channel.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/core/clock.h"
#include "proto/channel_internal.h"
#include "proto/envelope.h"
#include "proto/sign/counters.h"
#include "proto/sign/sign.h"
#include "proto/tlsfiles.h"

#define RESERVE           32u
#define MAX_WAITING       1024u        /* calls that handlers have not answered yet */
#define MAX_WAITING_BYTES (128u << 20) /* memory of their requests */
#define SEND_TIMEOUT_MS   10000        /* a peer that does not read its replies */
#define STOP_TIMEOUT_MS   500
#define MAX_AHEAD_US                                                                               \
	(24ull * 3600 * 1000000) /* of a counter, which is a time, before our clock                \
	                          */

enum phase { RECEIVING, HANDLING, REPLYING };

/* Owner: the owner's thread in phase HANDLING, else nng's. 'phase' changes only in the
 * hand-over. */
struct gn_channel_call {
	struct gn_inbox_item item; /* first: the inbox gives it back */
	struct gn_channel_server *server;
	struct gn_channel_call *next; /* all of the server's */
	nng_ctx ctx;
	nng_aio *aio;
	_Atomic enum phase phase;
	nng_msg *received;
	/* Of the request being handled. */
	struct gn_envelope envelope;
	const struct gn_channel_service *service;
	const ProtobufCMethodDescriptor *method;
	ProtobufCMessage *request;
	size_t request_memory;
	bool is_waiting; /* counted in n_waiting */
	struct gn_sign_identity signer;
	uint64_t floor; /* of the sender's counters, when this one was too small */
};

struct gn_channel_server {
	nng_socket socket;
	struct gn_channel_endpoint endpoint;
	struct gn_inbox inbox;
	struct gn_verifier *verifier; /* NULL over ipc, and then 'counters' too */
	struct gn_counters *counters;
	const struct gn_channel_service *services;
	size_t n_services;
	struct gn_channel_call *calls;
	size_t n_waiting;
	size_t waiting_memory;
	_Atomic size_t n_receiving;
	_Atomic bool stopping;
};

/* ---- nng's side ------------------------------------------------------------------ */

static void start_receiving(struct gn_channel_call *call)
{
	if (atomic_load(&call->server->stopping))
		return;
	atomic_store(&call->phase, RECEIVING);
	atomic_fetch_add(&call->server->n_receiving, 1);
	nng_aio_set_timeout(call->aio, NNG_DURATION_INFINITE);
	nng_ctx_recv(call->ctx, call->aio);
}

static void on_received(struct gn_channel_call *call, int result)
{
	atomic_fetch_sub(&call->server->n_receiving, 1);
	if (result == NNG_ECLOSED)
		return;
	/* Other failures (no memory) go to the owner too, who starts again. */
	call->received = result ? NULL : nng_aio_get_msg(call->aio);
	atomic_store(&call->phase, HANDLING);
	gn_inbox_push(&call->server->inbox, &call->item);
}

static void on_done(void *context)
{
	struct gn_channel_call *call = context;
	int result = nng_aio_result(call->aio);

	if (atomic_load(&call->phase) == RECEIVING) {
		on_received(call, result);
		return;
	}
	if (result) { /* the reply was not taken, so it is still ours */
		nng_msg_free(nng_aio_get_msg(call->aio));
		nng_aio_set_msg(call->aio, NULL);
	}
	if (result != NNG_ECLOSED)
		start_receiving(call);
}

/* ---- pool ------------------------------------------------------------------------ */

static void free_call(struct gn_channel_call *call)
{
	if (call->aio)
		nng_aio_free(call->aio);
	free(call);
}

static int add_call(struct gn_channel_server *server)
{
	struct gn_channel_call *call = calloc(1, sizeof *call);
	int rc;

	if (!call)
		return NNG_ENOMEM;
	call->server = server;
	rc = nng_aio_alloc(&call->aio, on_done, call);
	if (!rc)
		rc = nng_ctx_open(&call->ctx, server->socket);
	if (rc) {
		free_call(call);
		return rc;
	}
	call->next = server->calls;
	server->calls = call;
	start_receiving(call);
	return 0;
}

/* Waiting calls are limited, so the pool is too. */
static int fill_pool(struct gn_channel_server *server)
{
	int rc = 0;

	while (!rc && atomic_load(&server->n_receiving) < RESERVE)
		rc = add_call(server);
	return rc;
}

/* ---- replying -------------------------------------------------------------------- */

static void release_request(struct gn_channel_call *call)
{
	struct gn_channel_server *server = call->server;

	if (call->is_waiting) {
		server->n_waiting--;
		server->waiting_memory -= call->request_memory;
	}
	if (call->request)
		protobuf_c_message_free_unpacked(call->request, NULL);
	gn_envelope_fini(&call->envelope);
	nng_msg_free(call->received);
	call->request = NULL;
	call->received = NULL;
	call->method = NULL;
	call->request_memory = 0;
	call->floor = 0;
	call->is_waiting = false;
}

static int make_reply(const struct gn_channel_call *call, const struct gn_status *status,
                      const ProtobufCMessage *body, nng_msg **out)
{
	struct gn_envelope envelope = {.status = *status};
	int rc;

	strcpy(envelope.id, call->envelope.id);
	strcpy(envelope.method, call->envelope.method);
	envelope.counter = call->floor;
	rc = nng_msg_alloc(out, gn_envelope_size(GN_ENVELOPE_REPLY, &envelope, body));
	if (!rc)
		gn_envelope_encode(GN_ENVELOPE_REPLY, &envelope, body, nng_msg_body(*out));
	return rc;
}

static void send_reply(struct gn_channel_call *call, const struct gn_status *status,
                       const ProtobufCMessage *body)
{
	bool stopping = atomic_load(&call->server->stopping);
	nng_msg *message;
	int rc;

	if (call->request && call->service->ended)
		call->service->ended(call->service->context, call, call->method->name,
		                     call->request, status);
	rc = make_reply(call, status, body, &message);
	release_request(call);
	if (rc) { /* no memory for a reply: the caller's deadline will tell it */
		start_receiving(call);
		return;
	}
	atomic_store(&call->phase, REPLYING);
	nng_aio_set_msg(call->aio, message);
	nng_aio_set_timeout(call->aio, stopping ? STOP_TIMEOUT_MS : SEND_TIMEOUT_MS);
	nng_ctx_send(call->ctx, call->aio);
}

void gn_channel_fail(struct gn_channel_call *call, const struct gn_status *status)
{
	assert(status->code != GN_OK);
	send_reply(call, status, NULL);
}

void gn_channel_reply(struct gn_channel_call *call, const ProtobufCMessage *reply)
{
	struct gn_status status = {GN_OK, ""};
	size_t size = protobuf_c_message_get_packed_size(reply);

	assert(call->method && reply->descriptor == call->method->output);
	if (size + GN_CHANNEL_OVERHEAD > GN_CHANNEL_MAX_SIZE) {
		gn_status_set(&status, GN_RESOURCE_EXHAUSTED,
		              "the answer has %zu bytes and %u is the limit: ask for fewer entries",
		              size, GN_CHANNEL_MAX_SIZE);
		reply = NULL;
	}
	send_reply(call, &status, reply);
}

const char *gn_channel_call_caller(const struct gn_channel_call *call)
{
	return call->envelope.caller;
}

bool gn_channel_call_signer(const struct gn_channel_call *call, struct gn_channel_signer *out)
{
	if (!call->server->verifier)
		return false;
	*out = (struct gn_channel_signer){.name = call->signer.name,
	                                  .role = call->signer.role,
	                                  .signature = call->envelope.signature.data,
	                                  .signature_size = call->envelope.signature.size};
	return true;
}

bool gn_channel_call_is_local(const struct gn_channel_call *call)
{
	return !call->server->endpoint.config;
}

uint64_t gn_channel_call_deadline_us(const struct gn_channel_call *call)
{
	return call->envelope.deadline_us;
}

/* ---- dispatch: decode (change nothing), then apply -------------------------------- */

static int decode_envelope(struct gn_channel_call *call, struct gn_status *status)
{
	const uint8_t *data = nng_msg_body(call->received);
	size_t size = nng_msg_len(call->received);
	int rc = gn_envelope_decode(GN_ENVELOPE_REQUEST, data, size, &call->envelope, status);

	if (size > GN_CHANNEL_MAX_SIZE)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "the message has %zu bytes and %u is the limit: send less at once", size,
		        GN_CHANNEL_MAX_SIZE);
	return rc;
}

/* Who sends, whether it is meant for us, and whether it came already: over TLS only. */
static int authenticate(struct gn_channel_call *call, struct gn_status *status)
{
	struct gn_channel_server *server = call->server;
	struct gn_replay_request request = {.counter = call->envelope.counter};
	uint8_t digest[GN_SIGN_DIGEST];
	int rc;

	if (!server->verifier)
		return 0;
	gn_sign_digest(&call->envelope, digest);
	rc = gn_verifier_check(server->verifier, &call->envelope, digest, &call->signer, status);
	if (rc)
		return rc;
	if (request.counter > gn_clock_wall_us() + MAX_AHEAD_US)
		return gn_status_set(status, GN_UNAUTHENTICATED,
		                     "wrong clock: the sender's is more than a day ahead; set it");
	memcpy(&request.digest, digest, sizeof request.digest);
	rc = gn_counters_take(server->counters, call->signer.key, &request, &call->floor, status);
	if (rc != -ESTALE)
		call->floor = 0;
	return rc;
}

static int check_deadline(const struct gn_channel_call *call, struct gn_status *status)
{
	if (call->envelope.deadline_us + GN_CHANNEL_SKEW_US >= gn_clock_wall_us() ||
	    call->envelope.deadline_us > UINT64_MAX - GN_CHANNEL_SKEW_US)
		return 0;
	return gn_status_set(status, GN_DEADLINE_EXCEEDED,
	                     "%s came %.1f s after its deadline and was not started: set both "
	                     "clocks, or allow more time",
	                     call->envelope.method,
	                     (double)(gn_clock_wall_us() - call->envelope.deadline_us) / 1e6);
}

static const struct gn_channel_service *find_service(const struct gn_channel_server *server,
                                                     const char *method, size_t length)
{
	for (size_t i = 0; i < server->n_services; i++) {
		const char *name = server->services[i].descriptor->short_name;

		if (strlen(name) == length && !strncmp(name, method, length))
			return &server->services[i];
	}
	return NULL;
}

static int fail_service(const struct gn_channel_server *server, const char *method,
                        struct gn_status *status)
{
	char names[128] = "";
	size_t used = 0;

	for (size_t i = 0; i < server->n_services && used < sizeof names; i++)
		used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
		                         server->services[i].descriptor->short_name);
	return gn_status_set(status, GN_UNIMPLEMENTED,
	                     "there is no method '%s' at this address, which serves %s: check the "
	                     "address",
	                     method, names);
}

static int find_method(struct gn_channel_call *call, const ProtobufCMethodDescriptor **method,
                       gn_channel_handler **handler, void **context, struct gn_status *status)
{
	const char *full = call->envelope.method;
	size_t length = strcspn(full, "/");
	const struct gn_channel_service *service = find_service(call->server, full, length);
	const ProtobufCMethodDescriptor *found;
	size_t index;

	if (!service || !full[length])
		return fail_service(call->server, full, status);
	found = protobuf_c_service_descriptor_get_method_by_name(service->descriptor,
	                                                         full + length + 1);
	index = found ? (size_t)(found - service->descriptor->methods) : 0;
	if (!found || !service->handlers[index])
		return gn_status_set(
		        status, GN_UNIMPLEMENTED,
		        "%s has no method '%s' in this version (%s): update the older side",
		        service->descriptor->short_name, full + length + 1, GN_VERSION);
	call->service = service;
	*method = found;
	*handler = service->handlers[index];
	*context = service->context;
	return 0;
}

static int decode_request(struct gn_channel_call *call, struct gn_status *status)
{
	int rc = gn_message_unpack(call->method->input, call->envelope.body,
	                           call->envelope.body_size, &call->request, &call->request_memory,
	                           status);

	return rc ? rc : gn_message_check(call->request, status);
}

static int permit(struct gn_channel_call *call, void *context, struct gn_status *status)
{
	return call->service->permit ? call->service->permit(context, call, call->method->name,
	                                                     call->request, status)
	                             : 0;
}

static int admit(struct gn_channel_call *call, struct gn_status *status)
{
	struct gn_channel_server *server = call->server;

	if (server->n_waiting >= MAX_WAITING ||
	    server->waiting_memory + call->request_memory > MAX_WAITING_BYTES)
		return gn_status_set(status, GN_UNAVAILABLE,
		                     "%zu calls wait for their answers already: try again later",
		                     server->n_waiting);
	server->n_waiting++;
	server->waiting_memory += call->request_memory;
	call->is_waiting = true;
	return 0;
}

static void handle(struct gn_channel_call *call)
{
	struct gn_status status = {GN_OK, ""};
	gn_channel_handler *handler = NULL;
	void *context = NULL;
	int rc;

	if (!call->received) {
		start_receiving(call);
		return;
	}
	rc = decode_envelope(call, &status);
	if (!rc)
		rc = authenticate(call, &status);
	if (!rc)
		rc = check_deadline(call, &status);
	if (!rc && atomic_load(&call->server->stopping))
		rc = gn_status_set(&status, GN_UNAVAILABLE,
		                   "the server is stopping: try again later");
	if (!rc)
		rc = find_method(call, &call->method, &handler, &context, &status);
	if (!rc)
		rc = decode_request(call, &status);
	if (!rc)
		rc = permit(call, context, &status);
	if (!rc)
		rc = admit(call, &status);
	if (rc)
		gn_channel_fail(call, &status);
	else
		handler(context, call, call->request);
}

static void handle_all(struct gn_channel_server *server)
{
	struct gn_inbox_item *item, *next;

	for (item = gn_inbox_take(&server->inbox); item; item = next) {
		next = item->next;
		handle((struct gn_channel_call *)item);
	}
}

void gn_channel_server_process(struct gn_channel_server *server)
{
	handle_all(server);
	fill_pool(server); /* short of memory: those that are there go on */
}

/* ---- life ------------------------------------------------------------------------ */

static int make_verifier(struct gn_channel_server *server, const struct gn_channel_tls *tls,
                         struct gn_status *status)
{
	char revoked[PATH_MAX];
	struct gn_tlsfiles files;
	size_t stem;
	int rc = gn_tlsfiles_load(tls, &files, status);

	if (rc)
		return rc;
	stem = strlen(tls->ca_file);
	if (stem > 4 && !strcmp(tls->ca_file + stem - 4, ".pem"))
		stem -= 4;
	snprintf(revoked, sizeof revoked, "%.*s.revoked", (int)stem, tls->ca_file);
	rc = gn_verifier_create(files.ca, files.cert, revoked, &server->verifier, status);
	gn_tlsfiles_fini(&files);
	return rc ? rc : gn_counters_open(tls->counters_file, &server->counters, status);
}

static void free_server(struct gn_channel_server *server)
{
	gn_inbox_fini(&server->inbox);
	gn_verifier_destroy(server->verifier);
	gn_counters_close(server->counters);
	free(server);
}

int gn_channel_server_create(const char *url, const struct gn_channel_tls *tls,
                             const struct gn_channel_service *services, size_t n_services,
                             struct gn_channel_server **out, struct gn_status *status)
{
	struct gn_channel_server *server;
	int rc = gn_channel_check_url(url, tls, status);

	if (rc)
		return rc;
	server = calloc(1, sizeof *server);
	if (!server)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	server->services = services;
	server->n_services = n_services;
	rc = gn_inbox_init(&server->inbox);
	if (rc) {
		free(server);
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "eventfd: %s", strerror(-rc));
	}
	rc = tls ? make_verifier(server, tls, status) : 0;
	if (rc) {
		free_server(server);
		return rc;
	}
	rc = nng_rep0_open(&server->socket);
	if (rc) {
		free_server(server);
		return gn_channel_fail_nng(status, "REP socket", rc);
	}
	rc = fill_pool(server);
	rc = rc ? gn_channel_fail_nng(status, "receiving", rc)
	        : gn_channel_endpoint_listen(&server->endpoint, server->socket, url, tls, status);
	if (rc) {
		gn_channel_server_destroy(server);
		return rc;
	}
	*out = server;
	return 0;
}

int gn_channel_server_fd(const struct gn_channel_server *server)
{
	return server->inbox.fd;
}

uint16_t gn_channel_server_port(const struct gn_channel_server *server)
{
	return gn_channel_endpoint_port(&server->endpoint);
}

int gn_channel_server_share(struct gn_channel_server *server, gid_t group, struct gn_status *status)
{
	return gn_channel_endpoint_share(&server->endpoint, group, status);
}

static void answer_waiting(struct gn_channel_server *server)
{
	struct gn_status status;

	gn_status_set(&status, GN_UNAVAILABLE,
	              "the server stopped before it answered: ask again, and check whether the "
	              "request was carried out");
	for (struct gn_channel_call *call = server->calls; call; call = call->next)
		if (call->is_waiting)
			gn_channel_fail(call, &status);
}

void gn_channel_server_destroy(struct gn_channel_server *server)
{
	struct gn_channel_call *call;

	if (!server)
		return;
	atomic_store(&server->stopping, true);
	answer_waiting(server);
	handle_all(server);
	for (call = server->calls; call; call = call->next)
		if (atomic_load(&call->phase) == REPLYING)
			nng_aio_wait(call->aio);
	gn_channel_endpoint_stop(&server->endpoint);
	nng_close(server->socket);
	gn_channel_endpoint_fini(&server->endpoint);
	while ((call = server->calls)) {
		server->calls = call->next;
		nng_aio_stop(call->aio); /* its callback has run, so nothing else touches it */
		release_request(call);
		free_call(call);
	}
	free_server(server);
}
