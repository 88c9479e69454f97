/* channel_internal.h - what the channel's own files share: addresses, TLS, and the inbox
 * by which nng's threads hand finished operations to the owner. Only proto/channel*.c
 * include this (and nng messaging). */
#ifndef GN_PROTO_CHANNEL_INTERNAL_H
#define GN_PROTO_CHANNEL_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <nng/nng.h>
#include "proto/channel.h"

/* nng closes the connection when a message is larger than this, which tells its sender
 * nothing; so it lets twice the limit in and the excess is answered in words. */
#define GN_CHANNEL_RECEIVE_MAX (2u * GN_CHANNEL_MAX_SIZE)

/* At most what an envelope adds to its body. */
#define GN_CHANNEL_OVERHEAD 1024u

#define GN_CHANNEL_URL_MAX 255u

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

/* ---- addresses and options ------------------------------------------------------- */

/* Checks scheme, length and that 'tls' is given exactly when the scheme needs it. */
int gn_channel_check_url(const char *url, const struct gn_channel_tls *tls,
                         struct gn_status *status);
bool gn_channel_is_ipc(const char *url);

/* Starts listening, with every option set. An nng error becomes a sentence. */
int gn_channel_listen(nng_socket socket, const char *url, const struct gn_channel_tls *tls,
                      nng_listener *out, struct gn_status *status);
#define GN_CHANNEL_HEAL_US 200000u /* how often a listening address is looked at */

/* A listening address that stays open: see channel_listener.c. Owner: the socket's. */
struct gn_channel_listener {
	char url[GN_CHANNEL_URL_MAX + 1];
	nng_socket socket;
	nng_listener nng;
	uint64_t checked_us; /* monotonic */
	bool is_ipc;
	bool is_closed; /* could not be opened again yet */
};

int gn_channel_listener_init(struct gn_channel_listener *listener, nng_socket socket,
                             const char *url, const struct gn_channel_tls *tls,
                             struct gn_status *status);
/* Call often; looks once in GN_CHANNEL_HEAL_US and opens the address again if it broke. */
void gn_channel_listener_heal(struct gn_channel_listener *listener);
uint16_t gn_channel_listener_port(const struct gn_channel_listener *listener);

/* Starts dialling in the background. */
int gn_channel_dial(nng_socket socket, const char *url, const struct gn_channel_tls *tls,
                    nng_dialer *out, struct gn_status *status);

/* Sets 'status' from an nng error: "<what>: <nng's text>". Returns the negative errno. */
int gn_channel_fail_nng(struct gn_status *status, const char *what, int error);

/* ---- a dialled connection -------------------------------------------------------- */

/* Whether the peer is there. Written by nng's threads in the pipe callbacks, read by the
 * owner. */
struct gn_channel_link {
	char url[GN_CHANNEL_URL_MAX + 1];
	nng_dialer dialer;
	_Atomic int n_pipes;
	_Atomic uint32_t pipe_id; /* the newest */
	_Atomic uint64_t lost_us; /* monotonic, when the last pipe went; at first, creation */
	_Atomic bool was_connected;
};

/* Installs the callbacks and dials. 'link' must not move afterwards. */
int gn_channel_link_init(struct gn_channel_link *link, nng_socket socket, const char *url,
                         const struct gn_channel_tls *tls, struct gn_status *status);
bool gn_channel_link_is_up(const struct gn_channel_link *link);
/* 0 when connected; else -ECONNREFUSED and a sentence with the address, for how long, and
 * what nng's counters say about why. */
int gn_channel_link_explain(const struct gn_channel_link *link, struct gn_status *status);

#endif
