/* peer.h - one of the services that gnomond calls: the shim, the dataplane.
 *
 * Covers a channel client: every call is answered exactly once, later, also when it could
 * not even be sent; and the peer knows whether it was reached lately and why not. Until
 * the first answer, whatever it says, it counts as not connected. One thread. */
#ifndef GN_PEER_H
#define GN_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include "proto/channel.h"

struct gn_peer;

/* 'name' ("host shim") is for sentences and is borrowed, as are 'url' and 'tls'. */
int gn_peer_create(const char *name, const char *url, const struct gn_channel_tls *tls,
                   const ProtobufCServiceDescriptor *service, struct gn_peer **out,
                   struct gn_status *status);
/* Calls that still wait are answered CANCELLED, within this call. NULL is fine. */
void gn_peer_destroy(struct gn_peer *peer);

int gn_peer_fd(const struct gn_peer *peer);
void gn_peer_process(struct gn_peer *peer);
/* A few times a second: answers the calls that could not be sent. */
void gn_peer_tick(struct gn_peer *peer);

/* Calls the service's method of that name. 'done' is called once, never before this
 * returns. */
void gn_peer_call(struct gn_peer *peer, const char *method, const ProtobufCMessage *request,
                  uint64_t timeout_us, gn_channel_done *done, void *context);

/* For whom the calls from now on are made; for the peer's audit log. */
void gn_peer_set_caller(struct gn_peer *peer, const char *caller);

bool gn_peer_is_connected(const struct gn_peer *peer);
/* Why not; "" when connected. */
const char *gn_peer_error(const struct gn_peer *peer);
/* Grows by one whenever the peer is reached again after it was not. */
uint32_t gn_peer_epoch(const struct gn_peer *peer);

#endif
