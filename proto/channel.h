/* channel.h - request/reply and publish/subscribe between gnomon's processes.
 *
 * Messages are protobuf messages of proto/gnomon/v1 inside an Envelope, over nng:
 * "ipc:///path" on one machine, "tls+tcp://host:port" with mutual TLS (mbedTLS)
 * between machines. Servers implement a protobuf-c service; clients call its methods
 * by index. Every call has a deadline, every message a size limit, and whatever is
 * malformed, oversized, unknown or late gets a reply that says so.
 *
 * Threads: nng has its own; they only move messages and never run a caller's code.
 * All callbacks run inside the *_process() call of the thread that owns the object:
 * poll *_fd() for reading, then call *_process(). One owner per object.
 *
 * TLS: an endpoint trusts exactly one root for its peers, given as 'ca_file'.
 * There are three roots: operators, cards, hosts. A card's operator endpoint trusts
 * 'operators', its calls to shims trust 'hosts', and a shim trusts 'cards': so a shim's
 * key commands neither a card nor another shim.
 *
 * Requests over TLS are signed by their sender's key and name their target; a server verifies both,
 * takes each request once, and heeds the list of revoked certificates beside 'ca_file'
 * ("operators.pem": "operators.revoked"). Requests over ipc are not signed: whoever may open the
 * socket (mode 0600, or a group) could as well use the keys that are kept beside it.
 *
 * This is the only user of nng messaging (style.md). */
#ifndef GN_PROTO_CHANNEL_H
#define GN_PROTO_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <protobuf-c/protobuf-c.h>
#include "firmware/core/status.h"

#define GN_CHANNEL_MAX_SIZE (1u << 20) /* bytes of one message; larger ones are refused */
#define GN_CHANNEL_SKEW_US  2000000u   /* clock difference forgiven when a deadline is checked */

/* PEM files. 'key_file' must not be readable by others (checked). */
struct gn_channel_tls {
	const char *ca_file;   /* the root that signs our peers */
	const char *cert_file; /* our own chain */
	const char *key_file;
	const char *peer_name; /* client: name the server's certificate must carry */
	/* Server: file that remembers its senders' counters, so that no request is taken again
	 * after a restart (proto/sign/counters.h). NULL: in memory alone. */
	const char *counters_file;
};

/* ---- server ---------------------------------------------------------------- */

struct gn_channel_server;
struct gn_channel_call; /* one request that waits for its reply */

/* Called for each request that decodes. 'request' lives until the reply is given. The
 * handler answers exactly once, now or later, with gn_channel_reply() or _fail(). */
typedef void gn_channel_handler(void *context, struct gn_channel_call *call,
                                const ProtobufCMessage *request);

/* Called for each call that a handler got, just before its answer goes out; 'outcome' is what the
 * caller will be told. For the audit log. */
typedef void gn_channel_ended(void *context, const struct gn_channel_call *call, const char *method,
                              const ProtobufCMessage *request, const struct gn_status *outcome);

/* Whether the caller may do this: 0, or an error whose sentence it is told. */
typedef int gn_channel_permit(void *context, const struct gn_channel_call *call, const char *method,
                              const ProtobufCMessage *request, struct gn_status *status);

/* At most 1024 calls wait for their answers, in 128 MiB; further ones are answered
 * UNAVAILABLE. Requests that decode but name unknown enum values or hold text that is not
 * UTF-8 are answered INVALID_ARGUMENT before a handler sees them. */
struct gn_channel_service {
	const ProtobufCServiceDescriptor *descriptor;
	gn_channel_handler *const *handlers; /* by method index; NULL: UNIMPLEMENTED */
	void *context;
	gn_channel_ended *ended;   /* NULL: nobody wants to know */
	gn_channel_permit *permit; /* NULL: all may do all */
};

/* Listens on 'url'. 'tls' is required for tls+tcp and must be NULL for ipc. An ipc
 * socket is created with mode 0600; a stale one is replaced, a live one is -EADDRINUSE.
 * 'services' is borrowed for the server's life. -EINVAL, -EACCES (key file),
 * -EADDRINUSE, ... with a sentence in 'status'. */
int gn_channel_server_create(const char *url, const struct gn_channel_tls *tls,
                             const struct gn_channel_service *services, size_t n_services,
                             struct gn_channel_server **out, struct gn_status *status);
/* Lets the members of a group connect to an ipc server: mode 0660. They are trusted as its owner
 * is. */
int gn_channel_server_share(struct gn_channel_server *server, gid_t group,
                            struct gn_status *status);
int gn_channel_server_fd(const struct gn_channel_server *server);
void gn_channel_server_process(struct gn_channel_server *server);
/* The port really bound, for urls with port 0; 0 for ipc. */
uint16_t gn_channel_server_port(const struct gn_channel_server *server);
/* Answers what still waits with UNAVAILABLE. Not from a handler. NULL is fine. */
void gn_channel_server_destroy(struct gn_channel_server *server);

/* The reply must be of the method's output type (assert). Both free the call. */
void gn_channel_reply(struct gn_channel_call *call, const ProtobufCMessage *reply);
void gn_channel_fail(struct gn_channel_call *call, const struct gn_status *status);
/* For whom the sender asks, as it says; "" when it does not. To be believed only when the call came
 * over a socket of this machine, which is its owner's alone. */
const char *gn_channel_call_caller(const struct gn_channel_call *call);
/* Who signed it: the certificate's common name and organisational unit. False over ipc. */
struct gn_channel_signer {
	const char *name, *role;
	const uint8_t *signature;
	size_t signature_size;
};
bool gn_channel_call_signer(const struct gn_channel_call *call, struct gn_channel_signer *out);
bool gn_channel_call_is_local(const struct gn_channel_call *call);
/* Wall time after which the caller has given up. */
uint64_t gn_channel_call_deadline_us(const struct gn_channel_call *call);

/* ---- client ---------------------------------------------------------------- */

struct gn_channel_client;

/* 'status' is GN_OK and 'reply' the decoded message, or 'reply' is NULL. Both live
 * during the callback only. */
typedef void gn_channel_done(void *context, const struct gn_status *status,
                             const ProtobufCMessage *reply);

/* Dials in the background and again whenever the peer is lost; so create succeeds while
 * the peer is away. A call made then fails with UNAVAILABLE after at most 3 s, sooner when
 * the peer has been away for longer; one whose connection is lost fails with UNAVAILABLE
 * at once; one without an answer with DEADLINE_EXCEEDED. Three calls in a row without an
 * answer make it dial anew (the peer may have vanished without a word). */
int gn_channel_client_create(const char *url, const struct gn_channel_tls *tls,
                             struct gn_channel_client **out, struct gn_status *status);
int gn_channel_client_fd(const struct gn_channel_client *client);
void gn_channel_client_process(struct gn_channel_client *client);
/* 0 when the peer is connected, else -ECONNREFUSED and a sentence that says to whom, for
 * how long and most likely why not. For status displays; calls need not ask first. */
int gn_channel_client_check(const struct gn_channel_client *client, struct gn_status *status);
/* Whether the status of the call that ended last (within a callback: its own) came from the peer.
 * DEADLINE_EXCEEDED and UNAVAILABLE can: from a peer that is there but waits for another. */
bool gn_channel_client_heard(const struct gn_channel_client *client);
/* Calls that still wait are answered CANCELLED, within this call. Not from a callback. NULL
 * is fine. */
void gn_channel_client_destroy(struct gn_channel_client *client);

/* For whom the calls from now on are made: "console: ann". Cut to 64 bytes. */
void gn_channel_client_set_caller(struct gn_channel_client *client, const char *caller);

/* Sends 'request' to the method of that index. Never answered before it returns. The
 * message is not sent twice by the channel itself; still make methods idempotent, since
 * a caller that got DEADLINE_EXCEEDED, or UNAVAILABLE after a lost connection, does not
 * know. 'timeout_us' is 1 us to 24 h. At most 4096 calls wait at once. Returns 0, or an
 * error and 'done' is not called. */
int gn_channel_client_call(struct gn_channel_client *client,
                           const ProtobufCServiceDescriptor *service, unsigned method,
                           const ProtobufCMessage *request, uint64_t timeout_us,
                           gn_channel_done *done, void *context, struct gn_status *status);

/* The same, waiting here (other calls' callbacks run meanwhile). On 0 the caller owns '*reply'
 * (protobuf_c_message_free_unpacked with a NULL allocator). For gnomonctl and tests. */
int gn_channel_client_call_sync(struct gn_channel_client *client,
                                const ProtobufCServiceDescriptor *service, unsigned method,
                                const ProtobufCMessage *request, uint64_t timeout_us,
                                ProtobufCMessage **reply, struct gn_status *status);

/* ---- events ---------------------------------------------------------------- */

struct gn_channel_publisher;
struct gn_channel_subscriber;

int gn_channel_publisher_create(const char *url, const struct gn_channel_tls *tls,
                                struct gn_channel_publisher **out, struct gn_status *status);
int gn_channel_publisher_share(struct gn_channel_publisher *publisher, gid_t group,
                               struct gn_status *status); /* as gn_channel_server_share() */
/* Never waits: a slow subscriber loses messages, which their sequence shows. -EMSGSIZE above
 * GN_CHANNEL_MAX_SIZE, -ENOMEM. */
int gn_channel_publish(struct gn_channel_publisher *publisher, const char *topic,
                       const ProtobufCMessage *message);
/* The port really bound, for urls with port 0; 0 for ipc. */
uint16_t gn_channel_publisher_port(const struct gn_channel_publisher *publisher);
void gn_channel_publisher_destroy(struct gn_channel_publisher *publisher);

typedef void gn_channel_event(void *context, const char *topic, const ProtobufCMessage *message);

/* Receives messages of 'topic', all of type 'descriptor'. What does not decode is
 * counted in gn_channel_subscriber_errors() and skipped. */
int gn_channel_subscriber_create(const char *url, const struct gn_channel_tls *tls,
                                 const char *topic, const ProtobufCMessageDescriptor *descriptor,
                                 gn_channel_event *event, void *context,
                                 struct gn_channel_subscriber **out, struct gn_status *status);
int gn_channel_subscriber_fd(const struct gn_channel_subscriber *subscriber);
void gn_channel_subscriber_process(struct gn_channel_subscriber *subscriber);
uint64_t gn_channel_subscriber_errors(const struct gn_channel_subscriber *subscriber);
/* As gn_channel_client_check(). */
int gn_channel_subscriber_check(const struct gn_channel_subscriber *subscriber,
                                struct gn_status *status);
void gn_channel_subscriber_destroy(struct gn_channel_subscriber *subscriber);

#endif
