/* channel_internal.h - what the channel's own files share: the inbox by which nng's threads
 * hand finished operations to the owner, and endpoints. Only proto/channel*.c include this
 * (and nng messaging). */
#ifndef GN_PROTO_CHANNEL_INTERNAL_H
#define GN_PROTO_CHANNEL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>
#include "firmware/core/mutex.h"
#include "proto/channel.h"

/* nng closes the connection when a message is larger than this, which tells its sender
 * nothing; so it lets twice the limit in and the excess is answered in words. */
#define GN_CHANNEL_RECEIVE_MAX (2u * GN_CHANNEL_MAX_SIZE)

/* At most what an envelope adds to its body. */
#define GN_CHANNEL_OVERHEAD 1024u

#define GN_CHANNEL_URL_MAX 255u
#define GN_CHANNEL_IPC     "ipc://"
#define GN_CHANNEL_TLS     "tls+tcp://"

/* ---- inbox: many producers (nng's threads), one consumer (the owner) ------------- */

struct gn_inbox_item {
	struct gn_inbox_item *next;
};

/* A lock-free stack and an eventfd that is readable while the stack is not empty. */
struct gn_inbox {
	_Atomic(struct gn_inbox_item *) top;
	int fd;
};

int gn_inbox_init(struct gn_inbox *inbox);
/* Any thread. */
void gn_inbox_push(struct gn_inbox *inbox, struct gn_inbox_item *item);
/* The owner: everything pushed so far, oldest first, linked by 'next'. */
struct gn_inbox_item *gn_inbox_take(struct gn_inbox *inbox);
void gn_inbox_fini(struct gn_inbox *inbox);

/* ---- addresses and errors --------------------------------------------------------- */

/* Checks scheme, length and that 'tls' is given exactly when the scheme needs it. */
int gn_channel_check_url(const char *url, const struct gn_channel_tls *tls,
                         struct gn_status *status);
bool gn_channel_is_ipc(const char *url);

/* Sets 'status' from an nng error: "<what>: <nng's text>". Returns the negative errno. */
int gn_channel_fail_nng(struct gn_status *status, const char *what, int error);
enum gn_code gn_channel_code(int nng_error);

/* The name that the server's certificate must carry: as configured, else the host dialled. An nng
 * error. */
int gn_channel_server_name(const char *url, const char *peer_name, char *out, size_t room);

/* Reads and checks the files. On 0 the caller owns '*out' (nng_tls_config_free). */
int gn_channel_tls_config(nng_tls_mode mode, const char *url, const struct gn_channel_tls *tls,
                          nng_tls_config **out, struct gn_status *status);

/* ---- endpoints: an address that is listened on or dialled, and kept so ------------- */

/* What nng counted at a listener or dialer. It says why it failed nowhere else. */
struct gn_channel_counts {
	uint64_t accept, connect, refused, disconnect, timeout, proto, auth, other;
};

/* See channel_endpoint.c for why a thread watches it. */
struct gn_channel_endpoint {
	/* Immutable. */
	char url[GN_CHANNEL_URL_MAX + 1]; /* with the port really bound */
	nng_socket socket;
	bool listens;
	_Atomic int64_t group;  /* of an ipc socket that a group may open; 0: its owner alone */
	nng_tls_config *config; /* NULL for ipc */
	/* Shared: written by nng's threads and the guard, read by the owner. */
	_Atomic uint32_t nng_id; /* the listener or dialer; 0: closed, to be opened again */
	_Atomic int n_pipes;
	_Atomic uint32_t pipe_id; /* the newest */
	_Atomic uint64_t lost_us; /* monotonic, when the last pipe went; at first, creation */
	_Atomic bool was_connected;
	/* Owner: the guard's thread. */
	struct {
		uint64_t other_verified; /* 'other' when it was last known to live */
		uint64_t other_then;
		uint64_t total_then;
		uint64_t since_us; /* monotonic; 0: nothing is suspected */
		int probe_fd;
	} watch;
	/* The guard itself. */
	pthread_t thread;
	struct gn_mutex mutex; /* protects 'stopping' */
	pthread_cond_t cond;
	bool stopping;
	bool started;
};

/* Listens on 'url', or dials it in the background. The endpoint must not move afterwards.
 * On failure nothing is left. An nng error becomes a sentence. */
int gn_channel_endpoint_listen(struct gn_channel_endpoint *endpoint, nng_socket socket,
                               const char *url, const struct gn_channel_tls *tls,
                               struct gn_status *status);
int gn_channel_endpoint_dial(struct gn_channel_endpoint *endpoint, nng_socket socket,
                             const char *url, const struct gn_channel_tls *tls,
                             struct gn_status *status);
/* Ends the guard; call before nng_close(). A zeroed endpoint is fine. */
void gn_channel_endpoint_stop(struct gn_channel_endpoint *endpoint);
/* Frees the rest; call after nng_close(), since pipes call back until then. */
void gn_channel_endpoint_fini(struct gn_channel_endpoint *endpoint);

/* Lets a group open an ipc listener's socket, also one that is made later. */
int gn_channel_endpoint_share(struct gn_channel_endpoint *endpoint, gid_t group,
                              struct gn_status *status);

/* Of a listener: 0 for ipc. */
uint16_t gn_channel_endpoint_port(const struct gn_channel_endpoint *endpoint);

bool gn_channel_endpoint_is_up(const struct gn_channel_endpoint *endpoint);
/* Of a dialer: 0 when connected; else -ECONNREFUSED and a sentence with the address, for
 * how long, and what nng's counters say about why. */
int gn_channel_endpoint_explain(const struct gn_channel_endpoint *endpoint,
                                struct gn_status *status);

#endif
