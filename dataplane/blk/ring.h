/* ring.h - the device's side of a split virtqueue, with in-flight tracking.
 *
 * The guest and, for the tracking region, QEMU may write to this memory at any time;
 * indexes are checked where they are read.
 *
 * Tracking (vhost-user specification, "Inflight I/O tracking"): a request is marked
 * before anything is done for it and unmarked after it is in the used ring, one at a
 * time, and between these every store is in program order; so whichever instruction a
 * process is killed at, its successor finds exactly the requests that have no answer yet:
 * what is marked, less 'last_inflight_io' when the used index has moved past 'used_idx'.
 * That last step is in inflight.h.
 *
 * Pure, but for the memory it is given. Owner: one lcore per ring. */
#ifndef GN_DATAPLANE_BLK_RING_H
#define GN_DATAPLANE_BLK_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/virtio_ring.h>
#include <rte_vhost.h>

struct gn_blk_ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct rte_vhost_inflight_info_split *inflight; /* NULL: not tracked */
	uint64_t counter;                               /* order of the requests marked */
	uint16_t size;                                  /* power of two */
	uint16_t last_avail;                            /* next entry to take */
	uint16_t last_used;                             /* next entry to fill */
	uint16_t signalled; /* 'last_used' when the guest was last asked to look */
	bool signal_always; /* 'signalled' is not valid yet */
	bool event_idx;     /* VIRTIO_RING_F_EVENT_IDX was negotiated */
};

/* Requests that wait in the ring; -EPROTO when the guest's index makes no sense. */
int gn_blk_ring_pending(const struct gn_blk_ring *ring);

/* The chain head of the oldest of them; it may be >= size. */
uint16_t gn_blk_ring_head(const struct gn_blk_ring *ring);

/* Takes the oldest, whose head (< size) was just read: from here on it is in flight. */
void gn_blk_ring_take(struct gn_blk_ring *ring, uint16_t head);

/* Answers a request that was taken; 'written' bytes of the guest's memory were filled.
 * Everything written before is visible to the guest first. */
void gn_blk_ring_put(struct gn_blk_ring *ring, uint16_t head, uint32_t written);

/* After answers: whether the guest wants an interrupt for them. */
bool gn_blk_ring_wants_signal(struct gn_blk_ring *ring);

/* While the ring is polled the guest need not kick. ask_for_kicks returns false when a request
 * is already there. */
void gn_blk_ring_refuse_kicks(struct gn_blk_ring *ring);
bool gn_blk_ring_ask_for_kicks(struct gn_blk_ring *ring);

#endif
