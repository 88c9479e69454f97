/* connections.c - see connections.h. */
#include "firmware/console/connections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "firmware/core/clock.h"

#define FDS_MAX 4096 /* descriptors that are looked at */

struct connection {
	struct in6_addr peer; /* IPv4 mapped */
	uint16_t peer_port;   /* 0: no connection */
	uint64_t born_us, moved_us;
	uint64_t acked, received; /* bytes, when it moved last */
	bool cut;
};

struct gn_connections {
	uint16_t port;
	int n_fds;
	uint64_t n_cut;
	struct connection of[FDS_MAX];
};

int gn_connections_create(uint16_t port, struct gn_connections **out)
{
	struct gn_connections *connections = calloc(1, sizeof *connections);
	struct rlimit limit;

	if (!connections)
		return -ENOMEM;
	connections->port = port;
	connections->n_fds = FDS_MAX;
	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < FDS_MAX)
		connections->n_fds = (int)limit.rlim_cur;
	*out = connections;
	return 0;
}

void gn_connections_destroy(struct gn_connections *connections)
{
	free(connections);
}

uint64_t gn_connections_cut(const struct gn_connections *connections)
{
	return connections->n_cut;
}

static bool take_address(const struct sockaddr_storage *from, struct in6_addr *address,
                         uint16_t *port)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;

	memset(address, 0, sizeof *address);
	if (from->ss_family == AF_INET6) {
		*address = v6->sin6_addr;
		*port = ntohs(v6->sin6_port);
		return true;
	}
	address->s6_addr[10] = address->s6_addr[11] = 0xff;
	memcpy(&address->s6_addr[12], &v4->sin_addr, 4);
	*port = ntohs(v4->sin_port);
	return from->ss_family == AF_INET;
}

/* Is 'fd' a connection to our port? Then its other end. */
static bool look(int fd, uint16_t port, struct connection *seen)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof address;
	struct in6_addr own;
	uint16_t own_port;

	if (getsockname(fd, (struct sockaddr *)&address, &size) ||
	    !take_address(&address, &own, &own_port) || own_port != port)
		return false;
	size = sizeof address;
	return !getpeername(fd, (struct sockaddr *)&address, &size) &&
	       take_address(&address, &seen->peer, &seen->peer_port);
}

static void cut(struct gn_connections *connections, int fd)
{
	struct connection *c = &connections->of[fd];

	if (c->cut)
		return;
	c->cut = true;
	connections->n_cut++;
	shutdown(fd, SHUT_RDWR);
}

/* Notes what moved; true when the connection has had its time, or sent too much. */
static bool is_over(struct connection *c, int fd, uint64_t now_us)
{
	struct tcp_info info;
	socklen_t size = sizeof info;

	memset(&info, 0, sizeof info);
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size))
		return false;
	if (info.tcpi_bytes_acked > c->acked) {
		c->acked = info.tcpi_bytes_acked;
		c->received = info.tcpi_bytes_received;
		c->moved_us = now_us;
	}
	return now_us - c->moved_us >= GN_CONNECTIONS_IDLE_US ||
	       info.tcpi_bytes_received - c->received > GN_CONNECTIONS_REQUEST;
}

/* The youngest connection of all, or (when 'of' is given) of those from the same address. */
static int youngest(const struct gn_connections *connections, const struct in6_addr *of, int *n)
{
	int found = -1;

	*n = 0;
	for (int fd = 0; fd < connections->n_fds; fd++) {
		const struct connection *c = &connections->of[fd];

		if (!c->peer_port || c->cut || (of && memcmp(&c->peer, of, sizeof *of)))
			continue;
		++*n;
		if (found < 0 || c->born_us >= connections->of[found].born_us)
			found = fd;
	}
	return found;
}

static void check_numbers(struct gn_connections *connections, int fd)
{
	int n, victim = youngest(connections, &connections->of[fd].peer, &n);

	if (n > GN_CONNECTIONS_EACH)
		cut(connections, victim);
	victim = youngest(connections, NULL, &n);
	if (n > GN_CONNECTIONS_MAX)
		cut(connections, victim);
}

static void check_one(struct gn_connections *connections, int fd, uint64_t now_us)
{
	struct connection *c = &connections->of[fd];
	struct connection seen = {.peer_port = 0};

	if (!look(fd, connections->port, &seen)) {
		c->peer_port = 0;
		return;
	}
	if (c->peer_port != seen.peer_port || memcmp(&c->peer, &seen.peer, sizeof seen.peer)) {
		*c = seen;
		c->born_us = c->moved_us = now_us;
		check_numbers(connections, fd);
	}
	if (!c->cut && is_over(c, fd, now_us))
		cut(connections, fd);
}

void gn_connections_check(struct gn_connections *connections)
{
	uint64_t now_us = gn_clock_monotonic_us();

	for (int fd = 0; fd < connections->n_fds; fd++)
		check_one(connections, fd, now_us);
}
