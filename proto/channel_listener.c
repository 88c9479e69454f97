/* channel_listener.c - a listening address that stays open.
 *
 * nng 1.5.2 (Debian 12) stops accepting on an ipc address for good once a peer went away
 * while the connection was being negotiated (nng issue 1518): a client killed at the wrong
 * moment would close a card's control socket until its restart. The listener's error
 * counters tell when that happened; then the address is opened again. Connections that were
 * open are lost by that and their dialers come back. TLS addresses do not have this fault. */
#include "proto/channel_internal.h"

#include "firmware/core/clock.h"

#include <stdio.h>
#include <string.h>

static const char *const failures[] = {"disconnect", "canceled", "other", "timeout",
                                       "proto",      "auth",     "oom"};

static uint64_t count_failures(nng_listener nng)
{
	nng_stat *all, *own;
	uint64_t n = 0;

	if (nng_stats_get(&all))
		return 0;
	own = nng_stat_find_listener(all, nng);
	for (size_t i = 0; own && i < sizeof failures / sizeof failures[0]; i++) {
		nng_stat *counter = nng_stat_find(own, failures[i]);

		n += counter ? nng_stat_value(counter) : 0;
	}
	nng_stats_free(all);
	return n;
}

int gn_channel_listener_init(struct gn_channel_listener *listener, nng_socket socket,
                             const char *url, const struct gn_channel_tls *tls,
                             struct gn_status *status)
{
	listener->socket = socket;
	listener->is_ipc = gn_channel_is_ipc(url);
	listener->checked_us = gn_clock_monotonic_us();
	snprintf(listener->url, sizeof listener->url, "%s", url);
	return gn_channel_listen(socket, url, tls, &listener->nng, status);
}

void gn_channel_listener_heal(struct gn_channel_listener *listener)
{
	uint64_t now = gn_clock_monotonic_us();
	struct gn_status status;

	if (!listener->is_ipc || now - listener->checked_us < GN_CHANNEL_HEAL_US)
		return;
	listener->checked_us = now;
	if (!listener->is_closed && !count_failures(listener->nng))
		return;
	if (!listener->is_closed)
		nng_listener_close(listener->nng);
	/* When it cannot be opened now, the next call tries again. */
	listener->is_closed = gn_channel_listen(listener->socket, listener->url, NULL,
	                                        &listener->nng, &status) != 0;
}

uint16_t gn_channel_listener_port(const struct gn_channel_listener *listener)
{
	int port;

	return nng_listener_get_int(listener->nng, NNG_OPT_TCP_BOUND_PORT, &port) ? 0
	                                                                          : (uint16_t)port;
}
