/* netdrv.h - a guest's virtio-net driver on top of frontend.h.
 *
 * Vrings come in pairs: 2 * pair receives, 2 * pair + 1 transmits. Buffers hold the 12-byte
 * header and the frame in one descriptor, or header and frame apart ('split_header').
 * Threads: one owner per pair once created; reconnect needs all of them to hold still. */
#ifndef GN_TESTS_FRONTEND_NETDRV_H
#define GN_TESTS_FRONTEND_NETDRV_H

#include <linux/virtio_net.h>
#include "tests/frontend/frontend.h"

#define GN_NETDRV_MAX_FRAME 65536

struct gn_netdrv_config {
	const char *socket_path;
	unsigned n_pairs;      /* 0: 1 */
	unsigned vring_size;   /* 0: 256 */
	uint32_t buffer_bytes; /* of one buffer, header included; 0: 2048 */
	unsigned n_regions;    /* of guest RAM; 0: 1 */
	bool split_header;     /* transmit: the header in a descriptor of its own */
	bool no_event_idx;
	bool no_indirect;
	bool no_mergeable;
	unsigned wait_ms;    /* how long to wait for the socket */
	unsigned timeout_ms; /* for a vhost-user reply; 0: 5000 */
};

struct gn_netdrv;

/* Connects, gives the device all receive buffers, starts. */
int gn_netdrv_create(const struct gn_netdrv_config *config, struct gn_netdrv **out,
                     struct gn_status *status);
void gn_netdrv_destroy(struct gn_netdrv *drv); /* NULL is fine */
struct gn_frontend *gn_netdrv_frontend(struct gn_netdrv *drv);

/* Queues a frame; kick lets the device see it. -ENOSPC: the ring is full. -EINVAL: longer
 * than a buffer. */
int gn_netdrv_send(struct gn_netdrv *drv, unsigned pair, const void *frame, uint32_t size_bytes);
/* Shows the device what was sent, and the receive buffers given back. */
void gn_netdrv_kick(struct gn_netdrv *drv, unsigned pair);

/* 1: a frame, copied to 'frame' (GN_NETDRV_MAX_FRAME bytes). 0: none. -EBADMSG: the device
 * broke the rules: an unknown or repeated completion, fewer bytes than a header, more than
 * the buffer, or a merged frame that is incomplete. */
int gn_netdrv_receive(struct gn_netdrv *drv, unsigned pair, void *frame, uint32_t *size_bytes);

/* Frames given to the device and not yet taken back by it. */
unsigned gn_netdrv_unsent(struct gn_netdrv *drv, unsigned pair);

/* Takes back transmit buffers the device is done with; send does so too. */
void gn_netdrv_reclaim(struct gn_netdrv *drv, unsigned pair);

/* Waits for a frame on any pair; as gn_frontend_wait(). */
int gn_netdrv_wait(struct gn_netdrv *drv, int timeout_ms);
int gn_netdrv_reconnect(struct gn_netdrv *drv, unsigned wait_ms, struct gn_status *status);

#endif
