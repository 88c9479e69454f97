/* vring.h - the driver's side of a split virtqueue (virtio 1.2, section 2.7) in guest RAM.
 *
 * Everything is visible, so that a test can also write what no driver would: descriptors,
 * indices and flags through 'desc', 'avail' and 'used'. Completions are checked: one that
 * was not asked for, or comes a second time, is -EBADMSG.
 * One owner per ring; different rings may belong to different threads. */
#ifndef GN_TESTS_FRONTEND_VRING_H
#define GN_TESTS_FRONTEND_VRING_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/virtio_ring.h>
#include "tests/frontend/ram.h"

#define GN_VRING_MAX_SEGMENTS 16

struct gn_vring_segment {
	uint64_t gpa;
	uint32_t size_bytes;
	bool device_writes;
};

struct gn_vring_slot {
	void *cookie;
	uint16_t n_desc; /* taken from the descriptor table */
	bool busy;
	uint64_t table_gpa; /* indirect table of this head; 0 when indirect is not used */
};

struct gn_vring {
	unsigned size; /* a power of two */
	bool event_idx;
	bool indirect; /* chains of more than one descriptor go through a table */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint64_t desc_gpa;
	uint64_t avail_gpa;
	uint64_t used_gpa;
	int kick_fd;
	int call_fd;
	uint16_t avail_idx;    /* next to fill */
	uint16_t notified_idx; /* 'avail_idx' when a kick was last considered */
	uint16_t used_idx;     /* next to take */
	uint16_t free_head;
	uint16_t n_free;
	struct gn_vring_slot *slots;
	struct gn_ram *ram; /* borrowed */
	uint64_t kicks;
};

/* Lays the ring out in 'ram' and opens its two eventfds. Negative errno; fini is due on
 * success only. */
int gn_vring_init(struct gn_vring *vring, struct gn_ram *ram, unsigned size, bool event_idx,
                  bool indirect);
void gn_vring_fini(struct gn_vring *vring);

/* Queues a chain of 1..GN_VRING_MAX_SEGMENTS segments; the device sees it after publish.
 * -ENOSPC: no descriptor free. */
int gn_vring_add(struct gn_vring *vring, const struct gn_vring_segment *segments,
                 unsigned n_segments, void *cookie);
/* Makes what was added visible to the device. */
void gn_vring_publish(struct gn_vring *vring);
/* Publishes, and kicks if the device asked for it. */
void gn_vring_kick(struct gn_vring *vring);
/* Kicks whatever the device asked for: after a reconnect. */
void gn_vring_kick_always(struct gn_vring *vring);

/* 1: a completion, with the cookie of its add and the bytes the device says it wrote.
 * 0: none. -EBADMSG: the device completed what was not outstanding; it is skipped. */
int gn_vring_take(struct gn_vring *vring, void **cookie, uint32_t *size_bytes);

/* Asks for an interrupt; true when nothing has been completed meanwhile, so that waiting
 * for call_fd is safe. */
bool gn_vring_arm(struct gn_vring *vring);
/* Asks for none: the caller polls. */
void gn_vring_mute(struct gn_vring *vring);
/* Clears call_fd. */
void gn_vring_drain_call(struct gn_vring *vring);

#endif
