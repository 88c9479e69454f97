/* connections.h - cuts the connections of clients that are slow, silent or too many, since
 * nng's HTTP server keeps every one for ever.
 *
 * The kernel knows what is needed (TCP_INFO): a connection on which for GN_CONNECTIONS_IDLE_US
 * no byte of ours has reached the client is cut, and so is one that has sent more since than a
 * request may have. So slow headers, slow bodies, clients that do not read, idle ones and
 * endless headers all fall under one rule; event streams have their heartbeat. Beyond
 * GN_CONNECTIONS_MAX, or GN_CONNECTIONS_EACH from one address, the youngest are cut.
 *
 * They are found among this process's descriptors by their local port, so there is nothing to
 * register. A descriptor that nng closes and the kernel gives away again between a look and a
 * cut would hit another connection, which then comes back; nothing else can happen.
 * One owner. */
#ifndef GN_CONSOLE_CONNECTIONS_H
#define GN_CONSOLE_CONNECTIONS_H

#include <stdint.h>

#define GN_CONNECTIONS_MAX     512
#define GN_CONNECTIONS_EACH    64
#define GN_CONNECTIONS_IDLE_US 20000000u
#define GN_CONNECTIONS_REQUEST (1u << 20) /* bytes: body, headers and TLS's share */

struct gn_connections;

/* Watches the connections to this local TCP port. -ENOMEM. */
int gn_connections_create(uint16_t port, struct gn_connections **out);
void gn_connections_destroy(struct gn_connections *connections);

/* Looks at all; a few times a second. */
void gn_connections_check(struct gn_connections *connections);
/* Cut since the start. */
uint64_t gn_connections_cut(const struct gn_connections *connections);

#endif
