/* netdrv.c - see netdrv.h. */
#include "tests/frontend/netdrv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_SIZE sizeof(struct virtio_net_hdr_v1)
#define BIT(n)      (1ull << (n))

struct buffer {
	uint64_t gpa;
	uint8_t *bytes;
	struct buffer *next; /* free transmit buffers */
};

struct pair {
	struct gn_vring *rx;
	struct gn_vring *tx;
	struct buffer *buffers; /* the receive ones, then the transmit ones */
	struct buffer *free;
};

struct gn_netdrv {
	struct gn_netdrv_config config;
	struct gn_frontend *fe;
	struct pair pairs[GN_FRONTEND_MAX_VRINGS / 2];
};

static int give_rx(struct gn_netdrv *drv, struct pair *p, struct buffer *b)
{
	struct gn_vring_segment s = {b->gpa, drv->config.buffer_bytes, true};

	return gn_vring_add(p->rx, &s, 1, b);
}

static int make_pair(struct gn_netdrv *drv, unsigned index)
{
	struct pair *p = &drv->pairs[index];
	unsigned n = drv->config.vring_size;

	p->rx = &drv->fe->vrings[2 * index];
	p->tx = &drv->fe->vrings[2 * index + 1];
	p->buffers = calloc(2 * n, sizeof(*p->buffers));
	if (!p->buffers)
		return -ENOMEM;
	for (unsigned i = 0; i < 2 * n; i++) {
		struct buffer *b = &p->buffers[i];

		b->gpa = gn_ram_alloc(&drv->fe->ram, drv->config.buffer_bytes, 64);
		if (!b->gpa)
			return -ENOMEM;
		b->bytes = gn_ram_at(&drv->fe->ram, b->gpa);
		if (i >= n) {
			b->next = p->free;
			p->free = b;
		} else if (give_rx(drv, p, b)) {
			return -ENOMEM;
		}
	}
	gn_vring_publish(p->rx);
	gn_vring_mute(p->tx);
	return 0;
}

static uint64_t ram_needed(const struct gn_netdrv_config *c)
{
	uint64_t buffers = 2ull * c->vring_size * (c->buffer_bytes + 64);

	return c->n_pairs * (buffers + 2 * (c->vring_size * 512ull + 4 * 4096)) + (1 << 20);
}

static int open_frontend(struct gn_netdrv *drv, struct gn_status *status)
{
	struct gn_netdrv_config *c = &drv->config;
	struct gn_frontend_config fc;

	c->n_pairs = c->n_pairs ? c->n_pairs : 1;
	c->vring_size = c->vring_size ? c->vring_size : 256;
	c->buffer_bytes = c->buffer_bytes ? c->buffer_bytes : 2048;
	fc = (struct gn_frontend_config){
	        .socket_path = c->socket_path,
	        .features = (c->n_pairs > 1 ? BIT(VIRTIO_NET_F_MQ) : 0) |
	                    (c->no_mergeable ? 0 : BIT(VIRTIO_NET_F_MRG_RXBUF)) |
	                    (c->no_event_idx ? 0 : BIT(VIRTIO_RING_F_EVENT_IDX)) |
	                    (c->no_indirect ? 0 : BIT(VIRTIO_RING_F_INDIRECT_DESC)),
	        .required = BIT(VIRTIO_F_VERSION_1),
	        .protocol_features = BIT(GN_WIRE_F_MQ) | BIT(GN_WIRE_F_REPLY_ACK),
	        .n_vrings = 2 * c->n_pairs,
	        .vring_size = c->vring_size,
	        .ram_bytes = ram_needed(c),
	        .n_regions = c->n_regions,
	        .timeout_ms = c->timeout_ms};
	if (c->buffer_bytes < 128 || c->n_pairs > GN_FRONTEND_MAX_VRINGS / 2)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%u queue pairs with buffers of %u bytes: give 1 to %d and at "
		                     "least 128",
		                     c->n_pairs, c->buffer_bytes, GN_FRONTEND_MAX_VRINGS / 2);
	if (gn_frontend_create(&fc, &drv->fe, status))
		return gn_code_to_errno(GN_RESOURCE_EXHAUSTED);
	return gn_frontend_connect(drv->fe, c->wait_ms, status);
}

int gn_netdrv_create(const struct gn_netdrv_config *config, struct gn_netdrv **out,
                     struct gn_status *status)
{
	struct gn_netdrv *drv = calloc(1, sizeof(*drv));
	int error;

	if (!drv)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for a driver");
	drv->config = *config;
	error = open_frontend(drv, status);
	for (unsigned i = 0; i < drv->config.n_pairs && !error; i++) {
		error = make_pair(drv, i);
		if (error)
			gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for buffers");
	}
	if (!error)
		error = gn_frontend_start(drv->fe, status);
	if (error) {
		gn_netdrv_destroy(drv);
		return error;
	}
	for (unsigned i = 0; i < drv->config.n_pairs; i++)
		gn_vring_kick_always(drv->pairs[i].rx);
	*out = drv;
	return 0;
}

void gn_netdrv_destroy(struct gn_netdrv *drv)
{
	if (!drv)
		return;
	for (unsigned i = 0; i < GN_FRONTEND_MAX_VRINGS / 2; i++)
		free(drv->pairs[i].buffers);
	gn_frontend_destroy(drv->fe);
	free(drv);
}

struct gn_frontend *gn_netdrv_frontend(struct gn_netdrv *drv)
{
	return drv->fe;
}

void gn_netdrv_reclaim(struct gn_netdrv *drv, unsigned pair)
{
	struct pair *p = &drv->pairs[pair];
	void *cookie;
	uint32_t size_bytes;

	while (gn_vring_take(p->tx, &cookie, &size_bytes) == 1) {
		struct buffer *b = cookie;

		b->next = p->free;
		p->free = b;
	}
}

unsigned gn_netdrv_unsent(struct gn_netdrv *drv, unsigned pair)
{
	struct gn_vring *tx = drv->pairs[pair].tx;

	return (uint16_t)(tx->avail_idx - tx->used_idx);
}

int gn_netdrv_send(struct gn_netdrv *drv, unsigned pair, const void *frame, uint32_t size_bytes)
{
	struct pair *p = &drv->pairs[pair];
	struct buffer *b;
	struct gn_vring_segment s[2];
	int error;

	if (size_bytes + HEADER_SIZE > drv->config.buffer_bytes)
		return -EINVAL;
	if (!p->free || p->tx->n_free < 2)
		gn_netdrv_reclaim(drv, pair);
	b = p->free;
	if (!b)
		return -ENOSPC;
	memset(b->bytes, 0, HEADER_SIZE);
	memcpy(b->bytes + HEADER_SIZE, frame, size_bytes);
	s[0] = (struct gn_vring_segment){b->gpa, (uint32_t)HEADER_SIZE, false};
	s[1] = (struct gn_vring_segment){b->gpa + HEADER_SIZE, size_bytes, false};
	if (!drv->config.split_header)
		s[0].size_bytes += size_bytes;
	error = gn_vring_add(p->tx, s, drv->config.split_header ? 2 : 1, b);
	if (!error)
		p->free = b->next;
	return error;
}

void gn_netdrv_kick(struct gn_netdrv *drv, unsigned pair)
{
	gn_vring_kick(drv->pairs[pair].tx);
	gn_vring_kick(drv->pairs[pair].rx);
}

/* Takes one buffer of a frame, appends its bytes and gives it back to the device. */
static int take_piece(struct gn_netdrv *drv, struct pair *p, bool first, uint8_t *frame,
                      uint32_t *size_bytes, uint16_t *n_buffers)
{
	uint32_t skip = first ? (uint32_t)HEADER_SIZE : 0;
	uint32_t used;
	void *cookie;
	struct buffer *b;
	int n = gn_vring_take(p->rx, &cookie, &used);

	if (n != 1)
		return n;
	b = cookie;
	if (used < skip || used > drv->config.buffer_bytes ||
	    *size_bytes + used - skip > GN_NETDRV_MAX_FRAME) {
		n = -EBADMSG;
	} else {
		if (first)
			*n_buffers = ((struct virtio_net_hdr_v1 *)b->bytes)->num_buffers;
		memcpy(frame + *size_bytes, b->bytes + skip, used - skip);
		*size_bytes += used - skip;
	}
	if (give_rx(drv, p, b))
		return -EBADMSG;
	return n;
}

int gn_netdrv_receive(struct gn_netdrv *drv, unsigned pair, void *frame, uint32_t *size_bytes)
{
	struct pair *p = &drv->pairs[pair];
	uint16_t n_buffers = 1;
	uint32_t size = 0;
	int n = take_piece(drv, p, true, frame, &size, &n_buffers);

	if (n != 1)
		return n;
	if (drv->config.no_mergeable)
		n_buffers = 1;
	if (n_buffers == 0)
		return -EBADMSG;
	while (--n_buffers > 0)
		if (take_piece(drv, p, false, frame, &size, NULL) != 1)
			return -EBADMSG;
	*size_bytes = size;
	return 1;
}

int gn_netdrv_wait(struct gn_netdrv *drv, int timeout_ms)
{
	return gn_frontend_wait(drv->fe, 0, 2, drv->config.n_pairs, timeout_ms);
}

int gn_netdrv_reconnect(struct gn_netdrv *drv, unsigned wait_ms, struct gn_status *status)
{
	return gn_frontend_reconnect(drv->fe, wait_ms, status);
}
