/* vhost.c - a VM's NIC: a vhost-user-net server on rte_vhost (port.h).
 *
 * Three threads meet here. rte_vhost's event thread runs the callbacks, the lcore polls,
 * control creates and destroys. new_device and destroy_device hand the device over and back
 * by gn_worker_call(). vring_state_changed must not wait: rte_vhost may hold the ring's
 * lock, which the lcore takes to enqueue; so it leaves the ring's new kick descriptor in a
 * mailbox, sets the port's 'changed' and wakes the lcore. */
#include "dataplane/port/port.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <rte_vhost.h>
#include "dataplane/graph/graph.h"
#include "dataplane/guard/guard.h"
#include "dataplane/guard/message.h"
#include "dataplane/guard/socket.h"
#include "dataplane/ram/ram.h"
#include "firmware/core/mutex.h"

#define MAX_VRINGS      (2 * GN_PORT_MAX_QUEUES)
#define NO_KICK_US      200 /* sleep bound while a ring has no kick descriptor */
#define VIRTIO_TX(pair) ((uint16_t)(2 * (pair) + 1)) /* the guest sends */
#define VIRTIO_RX(pair) ((uint16_t)(2 * (pair)))     /* the guest receives */
#define NO_FD           (-1)
#define SET_MEM_TABLE   5 /* VHOST_USER_SET_MEM_TABLE */

struct vhost_port {
	struct gn_port port;
	struct rte_mempool *pool;
	char socket_path[sizeof((struct sockaddr_un *)0)->sun_path];
	bool registered;             /* Owner: control */
	LIST_ENTRY(vhost_port) link; /* under ports_mutex */

	/* Written by rte_vhost's thread, read by the lcore. */
	_Atomic uint32_t enabled;      /* rings, one bit each */
	_Atomic int kicks[MAX_VRINGS]; /* mailbox: NO_FD or a descriptor to take over */

	/* Owner: lcore. */
	int vid; /* -1: no front end */
	uint32_t seen_enabled;
	uint16_t rx_pairs[GN_PORT_MAX_QUEUES]; /* pairs whose guest side sends */
	uint16_t tx_pairs[GN_PORT_MAX_QUEUES]; /* pairs whose guest side receives */
	int fds[MAX_VRINGS];
};

static struct gn_mutex ports_mutex = GN_MUTEX_INITIALIZER;
static LIST_HEAD(, vhost_port) ports GN_GUARDED_BY(ports_mutex) = LIST_HEAD_INITIALIZER(ports);

/* A port is found as long as its socket is registered, and rte_vhost's unregister waits
 * for callbacks, so the result stays valid in a callback. */
static struct vhost_port *port_of(int vid)
{
	struct vhost_port *v;
	char path[PATH_MAX];

	if (rte_vhost_get_ifname(vid, path, sizeof path) != 0)
		return NULL;
	gn_mutex_lock(&ports_mutex);
	LIST_FOREACH(v, &ports, link)
	if (strcmp(v->socket_path, path) == 0)
		break;
	gn_mutex_unlock(&ports_mutex);
	return v;
}

/* ---- lcore ------------------------------------------------------------------- */

static void take_kicks(struct vhost_port *v)
{
	unsigned i;

	for (i = 0; i < MAX_VRINGS; i++) {
		int fd = atomic_exchange(&v->kicks[i], NO_FD);

		if (fd == NO_FD)
			continue;
		if (v->fds[i] != NO_FD)
			close(v->fds[i]);
		v->fds[i] = fd;
	}
}

static void list_rings(struct vhost_port *v)
{
	struct gn_port *port = &v->port;
	struct gn_pollable *pollable = &port->pollable;
	uint16_t pair;

	port->n_rx_queues = port->n_tx_queues = 0;
	pollable->n_fds = 0;
	pollable->max_sleep_us = 0;
	for (pair = 0; pair < GN_PORT_MAX_QUEUES && v->vid >= 0; pair++) {
		int fd = v->fds[VIRTIO_TX(pair)];

		if (v->seen_enabled >> VIRTIO_RX(pair) & 1)
			v->tx_pairs[port->n_tx_queues++] = pair;
		if (!(v->seen_enabled >> VIRTIO_TX(pair) & 1))
			continue;
		v->rx_pairs[port->n_rx_queues++] = pair;
		if (fd != NO_FD)
			pollable->fds[pollable->n_fds++] = fd;
		else
			pollable->max_sleep_us = NO_KICK_US;
	}
}

/* No kicks while we poll. */
static void quiet_rings(struct vhost_port *v)
{
	unsigned i;

	for (i = 0; i < v->port.n_rx_queues; i++)
		rte_vhost_enable_guest_notification(v->vid, VIRTIO_TX(v->rx_pairs[i]), 0);
	for (i = 0; i < v->port.n_tx_queues; i++)
		rte_vhost_enable_guest_notification(v->vid, VIRTIO_RX(v->tx_pairs[i]), 0);
}

static void vhost_refresh(struct gn_port *port)
{
	struct vhost_port *v = (struct vhost_port *)port;

	atomic_store(&port->changed, false);
	/* Only a pollable that the worker does not have may change its descriptors. */
	gn_worker_remove(port->worker, &port->pollable);
	take_kicks(v);
	v->seen_enabled = atomic_load(&v->enabled);
	list_rings(v);
	if (v->vid >= 0)
		quiet_rings(v);
	if (port->graph) {
		gn_worker_add(port->worker, &port->pollable);
		gn_graph_port_connected(port->graph, port, port->n_tx_queues > 0);
	}
}

static unsigned vhost_rx(struct gn_port *port, unsigned queue, struct rte_mbuf **mbufs, unsigned n)
{
	struct vhost_port *v = (struct vhost_port *)port;

	return rte_vhost_dequeue_burst(v->vid, VIRTIO_TX(v->rx_pairs[queue]), v->pool, mbufs,
	                               (uint16_t)n);
}

/* Flows stay in order: each has its ring. */
static unsigned tx_spread(struct vhost_port *v, struct rte_mbuf **mbufs, struct gn_packet **packets,
                          unsigned n)
{
	struct rte_mbuf *batch[GN_PORT_BURST], *all[2][GN_PORT_BURST];
	struct gn_packet *from[GN_PORT_BURST], *all_from[2][GN_PORT_BURST];
	unsigned n_all[2] = {0, 0}; /* sent, unsent */
	unsigned queue, i;

	for (queue = 0; queue < v->port.n_tx_queues; queue++) {
		unsigned n_batch = 0, done;

		for (i = 0; i < n; i++) {
			if (gn_packet_flow_hash(packets[i]) % v->port.n_tx_queues != queue)
				continue;
			batch[n_batch] = mbufs[i];
			from[n_batch++] = packets[i];
		}
		if (!n_batch)
			continue;
		done = rte_vhost_enqueue_burst(v->vid, VIRTIO_RX(v->tx_pairs[queue]), batch,
		                               (uint16_t)n_batch);
		for (i = 0; i < n_batch; i++) {
			all[i >= done][n_all[i >= done]] = batch[i];
			all_from[i >= done][n_all[i >= done]++] = from[i];
		}
	}
	memcpy(mbufs, all[0], n_all[0] * sizeof *mbufs);
	memcpy(mbufs + n_all[0], all[1], n_all[1] * sizeof *mbufs);
	memcpy(packets, all_from[0], n_all[0] * sizeof *packets);
	memcpy(packets + n_all[0], all_from[1], n_all[1] * sizeof *packets);
	return n_all[0];
}

static unsigned vhost_tx(struct gn_port *port, struct rte_mbuf **mbufs, struct gn_packet **packets,
                         unsigned n)
{
	struct vhost_port *v = (struct vhost_port *)port;

	if (port->n_tx_queues == 1)
		return rte_vhost_enqueue_burst(v->vid, VIRTIO_RX(v->tx_pairs[0]), mbufs,
		                               (uint16_t)n);
	return port->n_tx_queues ? tx_spread(v, mbufs, packets, n) : 0;
}

static bool vhost_arm(struct gn_pollable *pollable)
{
	struct vhost_port *v = (struct vhost_port *)pollable;
	unsigned i;

	if (atomic_load(&v->port.changed))
		return false;
	for (i = 0; i < v->port.n_rx_queues; i++)
		rte_vhost_enable_guest_notification(v->vid, VIRTIO_TX(v->rx_pairs[i]), 1);
	atomic_thread_fence(memory_order_seq_cst);
	for (i = 0; i < v->port.n_rx_queues; i++)
		if (rte_vhost_rx_queue_count(v->vid, VIRTIO_TX(v->rx_pairs[i])))
			return false;
	return true;
}

static void vhost_disarm(struct gn_pollable *pollable)
{
	struct vhost_port *v = (struct vhost_port *)pollable;
	unsigned i;

	for (i = 0; i < v->port.n_rx_queues; i++)
		rte_vhost_enable_guest_notification(v->vid, VIRTIO_TX(v->rx_pairs[i]), 0);
}

struct handover {
	struct vhost_port *v;
	int vid;
};

static void hand_over(void *arg)
{
	struct handover *h = arg;

	h->v->vid = h->vid;
	vhost_refresh(&h->v->port);
}

/* Not when its successor is there already. */
static void take_back(void *arg)
{
	struct handover *h = arg;

	if (h->v->vid != h->vid)
		return;
	h->v->vid = -1;
	vhost_refresh(&h->v->port);
}

/* ---- rte_vhost's thread --------------------------------------------------------- */

static int new_device(int vid)
{
	struct handover h = {port_of(vid), vid};

	if (!h.v)
		return -1;
	gn_worker_call(h.v->port.worker, hand_over, &h);
	return 0;
}

static void destroy_device(int vid)
{
	struct handover h = {port_of(vid), vid};

	if (h.v)
		gn_worker_call(h.v->port.worker, take_back, &h);
}

/* A duplicate, so that rte_vhost may close its own at any time. A blocking descriptor would
 * let a front end stop the lcore that kicks the guest. */
static int own_kick(int vid, uint16_t ring)
{
	struct rte_vhost_vring vring;

	if (rte_vhost_get_vhost_vring(vid, ring, &vring) != 0)
		return NO_FD;
	if (vring.callfd >= 0)
		fcntl(vring.callfd, F_SETFL, O_NONBLOCK);
	return vring.kickfd >= 0 ? fcntl(vring.kickfd, F_DUPFD_CLOEXEC, 3) : NO_FD;
}

static int vring_state_changed(int vid, uint16_t ring, int enable)
{
	struct vhost_port *v = port_of(vid);
	int old;

	if (!v || ring >= MAX_VRINGS)
		return 0;
	if (enable) {
		old = atomic_exchange(&v->kicks[ring], own_kick(vid, ring));
		if (old != NO_FD)
			close(old);
		atomic_fetch_or(&v->enabled, 1u << ring);
	} else {
		atomic_fetch_and(&v->enabled, ~(1u << ring));
	}
	atomic_store(&v->port.changed, true);
	gn_worker_wake(v->port.worker);
	return 0;
}

static enum rte_vhost_msg_result before_message(int vid, void *message)
{
	return gn_guard_check(vid, message) ? RTE_VHOST_MSG_RESULT_ERR
	                                    : RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static enum rte_vhost_msg_result after_message(int vid, void *message)
{
	const struct gn_guard_message *m = message;
	const struct vhost_port *v = port_of(vid);

	if (v && m->request == SET_MEM_TABLE)
		gn_ram_offer(v->socket_path, vid);
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static const struct rte_vhost_user_extern_ops message_ops = {
        .pre_msg_handle = before_message,
        .post_msg_handle = after_message,
};

/* A new front end starts with every ring off. A socket has one at a time. */
static int new_connection(int vid)
{
	struct vhost_port *v = port_of(vid);

	if (!v || gn_guard_open(vid, MAX_VRINGS) != 0)
		return -1;
	if (rte_vhost_extern_callback_register(vid, &message_ops, NULL) != 0) {
		gn_guard_close(vid);
		return -1;
	}
	atomic_store(&v->enabled, 0);
	return 0;
}

static void destroy_connection(int vid)
{
	struct vhost_port *v = port_of(vid);

	if (v)
		gn_ram_revoke(v->socket_path);
	gn_guard_close(vid);
}

static const struct rte_vhost_device_ops vhost_callbacks = {
        .new_device = new_device,
        .destroy_device = destroy_device,
        .vring_state_changed = vring_state_changed,
        .new_connection = new_connection,
        .destroy_connection = destroy_connection,
};

/* ---- control ------------------------------------------------------------------- */

/* What we do not offer: the guest computes checksums and segments itself. Packed rings:
 * rte_vhost cannot tell how many buffers wait there, so a sleep could miss some. */
#define NOT_OFFERED                                                                                \
	(1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_GUEST_CSUM |                             \
	 1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO6 |                       \
	 1ull << VIRTIO_NET_F_GUEST_ECN | 1ull << VIRTIO_NET_F_GUEST_UFO |                         \
	 1ull << VIRTIO_NET_F_HOST_TSO4 | 1ull << VIRTIO_NET_F_HOST_TSO6 |                         \
	 1ull << VIRTIO_NET_F_HOST_ECN | 1ull << VIRTIO_NET_F_HOST_UFO |                           \
	 1ull << VIRTIO_F_RING_PACKED)

static int listen_on(struct vhost_port *v, struct gn_status *status)
{
	const char *path = v->socket_path;
	mode_t mask;
	int err = gn_guard_clear_socket(path, status);

	if (err)
		return err;
	if (rte_vhost_driver_register(path, RTE_VHOST_USER_LINEARBUF_SUPPORT |
	                                            RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS) != 0)
		return gn_status_set(
		        status, GN_INTERNAL,
		        "DPDK cannot make the vhost-user socket '%s'; is its directory "
		        "there and writable?",
		        path);
	v->registered = true;
	if (rte_vhost_driver_disable_features(path, NOT_OFFERED) != 0 ||
	    rte_vhost_driver_callback_register(path, &vhost_callbacks) != 0)
		return gn_status_set(status, GN_INTERNAL,
		                     "DPDK refused the features of vhost-user socket '%s'", path);
	mask = umask(0077);
	err = rte_vhost_driver_start(path);
	umask(mask);
	if (err)
		return gn_status_set(status, GN_INTERNAL, "cannot listen on vhost-user socket '%s'",
		                     path);
	return 0;
}

static int vhost_start(struct gn_port *port, struct gn_status *status)
{
	struct vhost_port *v = (struct vhost_port *)port;
	int err;

	gn_mutex_lock(&ports_mutex);
	LIST_INSERT_HEAD(&ports, v, link);
	gn_mutex_unlock(&ports_mutex);
	err = listen_on(v, status);
	if (err)
		port->ops->stop(port);
	return err;
}

static void vhost_stop(struct gn_port *port)
{
	struct vhost_port *v = (struct vhost_port *)port;

	if (v->registered) {
		rte_vhost_driver_unregister(v->socket_path); /* tells of no disconnection */
		gn_guard_forget(v->socket_path);
	}
	v->registered = false;
	gn_mutex_lock(&ports_mutex);
	if (v->link.le_prev) {
		LIST_REMOVE(v, link);
		v->link.le_prev = NULL;
	}
	gn_mutex_unlock(&ports_mutex);
}

static void vhost_free(struct gn_port *port)
{
	struct vhost_port *v = (struct vhost_port *)port;
	unsigned i;

	for (i = 0; i < MAX_VRINGS; i++) {
		if (v->fds[i] != NO_FD)
			close(v->fds[i]);
		if (atomic_load(&v->kicks[i]) != NO_FD)
			close(atomic_load(&v->kicks[i]));
	}
	gn_port_fini(port);
	free(v);
}

static const struct gn_port_ops vhost_ops = {
        .rx = vhost_rx,
        .tx = vhost_tx,
        .refresh = vhost_refresh,
        .tx_copies = true,
        .start = vhost_start,
        .stop = vhost_stop,
        .free = vhost_free,
};

int gn_port_vhost_create(struct gn_worker *worker, const struct gn_port_config *config,
                         struct gn_port **out, struct gn_status *status)
{
	struct vhost_port *v;
	unsigned i;

	if (strlen(config->socket_path) >= sizeof v->socket_path)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "socket path '%s' is %zu bytes long, the system allows %zu; "
		                     "choose a shorter one or a shorter run_dir",
		                     config->socket_path, strlen(config->socket_path),
		                     sizeof v->socket_path - 1);
	v = calloc(1, sizeof *v);
	if (!v || gn_port_init(&v->port, &vhost_ops, worker, config) != 0) {
		free(v);
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory for port '%s'",
		                     config->name);
	}
	strcpy(v->socket_path, config->socket_path);
	v->pool = config->pool;
	v->vid = -1;
	for (i = 0; i < MAX_VRINGS; i++) {
		v->fds[i] = NO_FD;
		atomic_init(&v->kicks[i], NO_FD);
	}
	v->port.done_when_sent = true;
	v->port.pollable.arm = vhost_arm;
	v->port.pollable.disarm = vhost_disarm;
	*out = &v->port;
	return 0;
}
