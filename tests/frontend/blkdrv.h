/* blkdrv.h - a guest's virtio-blk driver on top of frontend.h.
 *
 * Each queue has 'depth' requests, each with its own header, data and status in guest RAM.
 * A request belongs to the caller between get and submit, and from reap to put; in between
 * to the device. 'data' is guest RAM: fill it before a write, read it after a read.
 * Threads: one owner per queue once created; reconnect needs all of them to hold still. */
#ifndef GN_TESTS_FRONTEND_BLKDRV_H
#define GN_TESTS_FRONTEND_BLKDRV_H

#include <linux/virtio_blk.h>
#include "tests/frontend/frontend.h"

struct gn_blkdrv_config {
	const char *socket_path;
	unsigned n_queues;      /* 0: 1 */
	unsigned depth;         /* requests per queue; 0: 32 */
	uint32_t max_bytes;     /* data of one request; 0: 4096 */
	uint32_t segment_bytes; /* data is cut into descriptors of this size; 0: one */
	unsigned vring_size;    /* 0: room for 'depth' requests without indirect descriptors */
	unsigned n_regions;     /* of guest RAM; 0: 1 */
	bool no_event_idx;
	bool no_indirect;
	unsigned wait_ms;    /* how long to wait for the socket */
	unsigned timeout_ms; /* for a vhost-user reply; 0: 5000 */
};

struct gn_blkdrv_request {
	uint8_t *data;         /* max_bytes, in guest RAM */
	uint32_t type;         /* VIRTIO_BLK_T_x */
	uint64_t offset;       /* bytes, a multiple of 512; of reads and writes */
	uint32_t size_bytes;   /* of data */
	uint64_t tag;          /* the caller's */
	uint64_t submitted_ns; /* the caller's */
	uint8_t status;        /* after reap: VIRTIO_BLK_S_x, or 0xff: the device wrote none */
	uint32_t used_bytes;   /* after reap: what the device says it wrote */

	unsigned queue; /* the rest is the driver's */
	uint64_t header_gpa;
	uint64_t data_gpa;
	uint64_t status_gpa;
	struct virtio_blk_outhdr *header;
	uint8_t *status_byte;
	struct gn_blkdrv_request *next;
};

struct gn_blkdrv;

/* Connects, reads the configuration space, starts. */
int gn_blkdrv_create(const struct gn_blkdrv_config *config, struct gn_blkdrv **out,
                     struct gn_status *status);
void gn_blkdrv_destroy(struct gn_blkdrv *drv); /* NULL is fine */

struct gn_frontend *gn_blkdrv_frontend(struct gn_blkdrv *drv);
const struct virtio_blk_config *gn_blkdrv_info(const struct gn_blkdrv *drv);
uint64_t gn_blkdrv_capacity_bytes(const struct gn_blkdrv *drv);

/* NULL when all of the queue's requests are in use. */
struct gn_blkdrv_request *gn_blkdrv_get(struct gn_blkdrv *drv, unsigned queue);
void gn_blkdrv_put(struct gn_blkdrv *drv, struct gn_blkdrv_request *request);

/* Queues a request by its type, offset, size and data; kick lets the device see it.
 * -EINVAL: size above max_bytes. -ENOSPC: no descriptors. */
int gn_blkdrv_submit(struct gn_blkdrv *drv, struct gn_blkdrv_request *request);
void gn_blkdrv_kick(struct gn_blkdrv *drv, unsigned queue);

/* 1 and a completed request, 0, or -EBADMSG (see gn_vring_take). */
int gn_blkdrv_reap(struct gn_blkdrv *drv, unsigned queue, struct gn_blkdrv_request **out);

/* Waits for a completion on 'queue', or on any; as gn_frontend_wait(). */
int gn_blkdrv_wait(struct gn_blkdrv *drv, unsigned queue, int timeout_ms);
int gn_blkdrv_wait_any(struct gn_blkdrv *drv, int timeout_ms);
int gn_blkdrv_reconnect(struct gn_blkdrv *drv, unsigned wait_ms, struct gn_status *status);

/* One request from start to end on an idle queue. 'data' of 'size_bytes' is copied in or
 * out by the type. Returns the device's status byte, or a negative errno. */
int gn_blkdrv_run(struct gn_blkdrv *drv, unsigned queue, uint32_t type, uint64_t offset, void *data,
                  uint32_t size_bytes, int timeout_ms);

#endif
