/* connection.h - where the card is, who we are, and calls to it. One thread. */
#ifndef GN_CTL_CONNECTION_H
#define GN_CTL_CONNECTION_H

#include "firmware/core/status.h"
#include "proto/channel.h"

/* NULL members come from the configuration file. */
struct gn_ctl_settings {
	const char *config; /* NULL: $GNOMONCTL_CONFIG, then ~/.config/gnomon/ctl.yaml */
	const char *server, *events;
	const char *ca, *cert, *key;
};

struct gn_ctl_connection;

/* Reads the file (which may be missing when the settings say all) and checks that nothing
 * is missing; dials only when first used. */
int gn_ctl_connection_create(const struct gn_ctl_settings *settings, struct gn_ctl_connection **out,
                             struct gn_status *status);
void gn_ctl_connection_destroy(struct gn_ctl_connection *connection);

/* The file with the root that signs cards; NULL: none is configured. */
const char *gn_ctl_connection_root(const struct gn_ctl_connection *connection);

/* Calls Control/<method>. The caller owns '*reply'. */
int gn_ctl_connection_call(struct gn_ctl_connection *connection, const char *method,
                           const ProtobufCMessage *request, uint64_t timeout_us,
                           ProtobufCMessage **reply, struct gn_status *status);

/* What the channel of the calls is: not opened (no call yet, or the url or our own files are
 * wrong), without its peer, or connected. */
enum gn_ctl_state { GN_CTL_CLOSED, GN_CTL_AWAY, GN_CTL_UP };
enum gn_ctl_state gn_ctl_connection_state(const struct gn_ctl_connection *connection);

/* Subscribes to the card's events. */
int gn_ctl_connection_subscribe(struct gn_ctl_connection *connection, gn_channel_event *event,
                                void *context, struct gn_channel_subscriber **out,
                                struct gn_status *status);

#endif
