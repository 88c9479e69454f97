/* blkdrv.c - see blkdrv.h. */
#include "tests/frontend/blkdrv.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define NO_STATUS 0xff
#define BIT(n)    (1ull << (n))
/* Back ends of QEMU 7.2 know the fields before secure erase, and refuse to be asked more. */
#define CONFIG_SIZE offsetof(struct virtio_blk_config, max_secure_erase_sectors)

struct gn_blkdrv {
	struct gn_blkdrv_config config;
	struct gn_frontend *fe;
	struct virtio_blk_config info;
	struct gn_blkdrv_request *requests;
	struct gn_blkdrv_request *free[GN_FRONTEND_MAX_VRINGS];
};

static unsigned data_segments(const struct gn_blkdrv_config *config, uint32_t size_bytes)
{
	if (config->segment_bytes == 0)
		return size_bytes > 0;
	return (size_bytes + config->segment_bytes - 1) / config->segment_bytes;
}

static int fill_defaults(struct gn_blkdrv_config *config, struct gn_status *status)
{
	unsigned n_desc;

	config->n_queues = config->n_queues ? config->n_queues : 1;
	config->depth = config->depth ? config->depth : 32;
	config->max_bytes = config->max_bytes ? config->max_bytes : 4096;
	n_desc = data_segments(config, config->max_bytes) + 2;
	if (n_desc > GN_VRING_MAX_SEGMENTS)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%u bytes in segments of %u: more than %d descriptors",
		                     config->max_bytes, config->segment_bytes,
		                     GN_VRING_MAX_SEGMENTS);
	if (config->vring_size == 0)
		for (config->vring_size = 2; config->vring_size < config->depth * n_desc;)
			config->vring_size *= 2;
	return 0;
}

static int make_request(struct gn_blkdrv *drv, unsigned queue, struct gn_blkdrv_request *r)
{
	struct gn_ram *ram = &drv->fe->ram;

	r->queue = queue;
	r->header_gpa = gn_ram_alloc(ram, sizeof(*r->header), 64);
	r->status_gpa = gn_ram_alloc(ram, 1, 1);
	r->data_gpa = gn_ram_alloc(ram, drv->config.max_bytes, 4096);
	if (!r->header_gpa || !r->data_gpa || !r->status_gpa)
		return -ENOMEM;
	r->header = gn_ram_at(ram, r->header_gpa);
	r->data = gn_ram_at(ram, r->data_gpa);
	r->status_byte = gn_ram_at(ram, r->status_gpa);
	gn_blkdrv_put(drv, r);
	return 0;
}

static int make_requests(struct gn_blkdrv *drv, struct gn_status *status)
{
	unsigned n = drv->config.n_queues * drv->config.depth;
	int error = 0;

	drv->requests = calloc(n, sizeof(*drv->requests));
	if (!drv->requests)
		error = -ENOMEM;
	for (unsigned i = 0; i < n && !error; i++)
		error = make_request(drv, i / drv->config.depth, &drv->requests[i]);
	if (error)
		gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for %u requests", n);
	return error;
}

static uint64_t ram_needed(const struct gn_blkdrv_config *c)
{
	uint64_t per_request = 2 * 4096 + ((c->max_bytes + 4095u) & ~4095u);
	uint64_t per_ring = c->vring_size * 512ull + 4 * 4096;

	return c->n_queues * (c->depth * per_request + per_ring) + (1 << 20);
}

static int open_frontend(struct gn_blkdrv *drv, struct gn_status *status)
{
	const struct gn_blkdrv_config *c = &drv->config;
	struct gn_frontend_config fc = {
	        .socket_path = c->socket_path,
	        .features = BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_DISCARD) |
	                    BIT(VIRTIO_BLK_F_WRITE_ZEROES) | BIT(VIRTIO_BLK_F_BLK_SIZE) |
	                    BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_RO) |
	                    (c->n_queues > 1 ? BIT(VIRTIO_BLK_F_MQ) : 0) |
	                    (c->no_event_idx ? 0 : BIT(VIRTIO_RING_F_EVENT_IDX)) |
	                    (c->no_indirect ? 0 : BIT(VIRTIO_RING_F_INDIRECT_DESC)),
	        .required = BIT(VIRTIO_F_VERSION_1),
	        .protocol_features = BIT(GN_WIRE_F_MQ) | BIT(GN_WIRE_F_REPLY_ACK) |
	                             BIT(GN_WIRE_F_CONFIG) | BIT(GN_WIRE_F_INFLIGHT_SHMFD),
	        .n_vrings = c->n_queues,
	        .vring_size = c->vring_size,
	        .ram_bytes = ram_needed(c),
	        .n_regions = c->n_regions,
	        .timeout_ms = c->timeout_ms};
	int error = gn_frontend_create(&fc, &drv->fe, status);

	if (!error)
		error = gn_frontend_connect(drv->fe, c->wait_ms, status);
	if (!error)
		error = gn_frontend_get_config(drv->fe, 0, &drv->info, CONFIG_SIZE, status);
	return error;
}

int gn_blkdrv_create(const struct gn_blkdrv_config *config, struct gn_blkdrv **out,
                     struct gn_status *status)
{
	struct gn_blkdrv *drv = calloc(1, sizeof(*drv));
	int error;

	if (!drv)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for a driver");
	drv->config = *config;
	error = fill_defaults(&drv->config, status);
	if (!error)
		error = open_frontend(drv, status);
	if (!error)
		error = make_requests(drv, status);
	if (!error)
		error = gn_frontend_start(drv->fe, status);
	if (error) {
		gn_blkdrv_destroy(drv);
		return error;
	}
	*out = drv;
	return 0;
}

void gn_blkdrv_destroy(struct gn_blkdrv *drv)
{
	if (!drv)
		return;
	gn_frontend_destroy(drv->fe);
	free(drv->requests);
	free(drv);
}

struct gn_frontend *gn_blkdrv_frontend(struct gn_blkdrv *drv)
{
	return drv->fe;
}

const struct virtio_blk_config *gn_blkdrv_info(const struct gn_blkdrv *drv)
{
	return &drv->info;
}

uint64_t gn_blkdrv_capacity_bytes(const struct gn_blkdrv *drv)
{
	return drv->info.capacity * 512;
}

struct gn_blkdrv_request *gn_blkdrv_get(struct gn_blkdrv *drv, unsigned queue)
{
	struct gn_blkdrv_request *r = drv->free[queue];

	if (r)
		drv->free[queue] = r->next;
	return r;
}

void gn_blkdrv_put(struct gn_blkdrv *drv, struct gn_blkdrv_request *request)
{
	request->next = drv->free[request->queue];
	drv->free[request->queue] = request;
}

static bool device_writes_data(uint32_t type)
{
	return type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
}

int gn_blkdrv_submit(struct gn_blkdrv *drv, struct gn_blkdrv_request *r)
{
	struct gn_vring_segment segments[GN_VRING_MAX_SEGMENTS] = {
	        {r->header_gpa, sizeof(*r->header), false}};
	bool writes = device_writes_data(r->type);
	uint32_t step = drv->config.segment_bytes ? drv->config.segment_bytes : UINT32_MAX;
	unsigned n = 1;

	if (r->size_bytes > drv->config.max_bytes)
		return -EINVAL;
	for (uint32_t done = 0; done < r->size_bytes; n++) {
		uint32_t left = r->size_bytes - done;
		uint32_t piece = left < step ? left : step;

		segments[n] = (struct gn_vring_segment){r->data_gpa + done, piece, writes};
		done += piece;
	}
	segments[n++] = (struct gn_vring_segment){r->status_gpa, 1, true};
	*r->header = (struct virtio_blk_outhdr){.type = r->type, .sector = r->offset / 512};
	*r->status_byte = NO_STATUS;
	return gn_vring_add(&drv->fe->vrings[r->queue], segments, n, r);
}

void gn_blkdrv_kick(struct gn_blkdrv *drv, unsigned queue)
{
	gn_vring_kick(&drv->fe->vrings[queue]);
}

int gn_blkdrv_reap(struct gn_blkdrv *drv, unsigned queue, struct gn_blkdrv_request **out)
{
	void *cookie;
	uint32_t size_bytes;
	int n = gn_vring_take(&drv->fe->vrings[queue], &cookie, &size_bytes);

	if (n == 1) {
		*out = cookie;
		(*out)->used_bytes = size_bytes;
		(*out)->status = *(volatile uint8_t *)(*out)->status_byte;
	}
	return n;
}

int gn_blkdrv_wait(struct gn_blkdrv *drv, unsigned queue, int timeout_ms)
{
	return gn_frontend_wait(drv->fe, queue, 1, 1, timeout_ms);
}

int gn_blkdrv_wait_any(struct gn_blkdrv *drv, int timeout_ms)
{
	return gn_frontend_wait(drv->fe, 0, 1, drv->config.n_queues, timeout_ms);
}

int gn_blkdrv_reconnect(struct gn_blkdrv *drv, unsigned wait_ms, struct gn_status *status)
{
	return gn_frontend_reconnect(drv->fe, wait_ms, status);
}

/* Reaps until 'wanted' comes; a queue used by run() has nothing else outstanding. */
static int await(struct gn_blkdrv *drv, struct gn_blkdrv_request *wanted, int timeout_ms)
{
	struct gn_blkdrv_request *done = NULL;

	for (;;) {
		int n = gn_blkdrv_reap(drv, wanted->queue, &done);

		if (n < 0)
			return n;
		if (n == 1)
			return done == wanted ? 0 : -EBUSY;
		n = gn_blkdrv_wait(drv, wanted->queue, timeout_ms);
		if (n)
			return n;
	}
}

int gn_blkdrv_run(struct gn_blkdrv *drv, unsigned queue, uint32_t type, uint64_t offset, void *data,
                  uint32_t size_bytes, int timeout_ms)
{
	struct gn_blkdrv_request *r = gn_blkdrv_get(drv, queue);
	int error;

	if (!r)
		return -EBUSY;
	r->type = type;
	r->offset = offset;
	r->size_bytes = size_bytes;
	if (size_bytes <= drv->config.max_bytes && !device_writes_data(type) && size_bytes)
		memcpy(r->data, data, size_bytes);
	error = gn_blkdrv_submit(drv, r);
	if (error) {
		gn_blkdrv_put(drv, r);
		return error;
	}
	gn_blkdrv_kick(drv, queue);
	error = await(drv, r, timeout_ms);
	if (error)
		return error; /* the device may still own it */
	if (device_writes_data(type))
		memcpy(data, r->data, size_bytes);
	gn_blkdrv_put(drv, r);
	return r->status;
}
