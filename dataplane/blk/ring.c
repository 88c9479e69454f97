/* ring.c - see ring.h. The order of the stores in take and put is the whole point; a
 * change here is to be held against the crash test in ring_test.c. */
#include "dataplane/blk/ring.h"

#include <errno.h>

/* A killed process leaves behind what its instructions had stored, in program order: only
 * the compiler must be kept from reordering. */
#define KEEP_ORDER() __asm__ volatile("" ::: "memory")

static uint16_t avail_index(const struct gn_blk_ring *ring)
{
	return __atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE);
}

int gn_blk_ring_pending(const struct gn_blk_ring *ring)
{
	uint16_t n = (uint16_t)(avail_index(ring) - ring->last_avail);

	return n <= ring->size ? n : -EPROTO;
}

uint16_t gn_blk_ring_head(const struct gn_blk_ring *ring)
{
	return __atomic_load_n(&ring->avail->ring[ring->last_avail & (ring->size - 1)],
	                       __ATOMIC_RELAXED);
}

void gn_blk_ring_take(struct gn_blk_ring *ring, uint16_t head)
{
	ring->last_avail++;
	if (!ring->inflight)
		return;
	ring->inflight->desc[head].counter = ring->counter++;
	KEEP_ORDER();
	ring->inflight->desc[head].inflight = 1;
	KEEP_ORDER();
}

void gn_blk_ring_put(struct gn_blk_ring *ring, uint16_t head, uint32_t written)
{
	struct vring_used_elem *elem = &ring->used->ring[ring->last_used & (ring->size - 1)];

	elem->id = head;
	elem->len = written;
	if (ring->inflight) {
		ring->inflight->last_inflight_io = head;
		KEEP_ORDER();
	}
	ring->last_used++;
	__atomic_store_n(&ring->used->idx, ring->last_used, __ATOMIC_RELEASE);
	if (!ring->inflight)
		return;
	KEEP_ORDER();
	ring->inflight->desc[head].inflight = 0;
	KEEP_ORDER();
	ring->inflight->used_idx = ring->last_used;
}

/* The guest's used_event sits behind its avail ring, ours (avail_event) behind the used
 * ring (2.7.10). */
static uint16_t used_event(const struct gn_blk_ring *ring)
{
	return __atomic_load_n(&ring->avail->ring[ring->size], __ATOMIC_RELAXED);
}

static void set_avail_event(struct gn_blk_ring *ring, uint16_t value)
{
	__atomic_store_n((uint16_t *)&ring->used->ring[ring->size], value, __ATOMIC_RELAXED);
}

bool gn_blk_ring_wants_signal(struct gn_blk_ring *ring)
{
	uint16_t before = ring->signalled;
	bool always = ring->signal_always;

	/* Our used index must be visible before we look at what the guest wants. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	ring->signalled = ring->last_used;
	ring->signal_always = false;
	if (!ring->event_idx)
		return !(__atomic_load_n(&ring->avail->flags, __ATOMIC_RELAXED) &
		         VRING_AVAIL_F_NO_INTERRUPT);
	return always || vring_need_event(used_event(ring), ring->last_used, before);
}

void gn_blk_ring_refuse_kicks(struct gn_blk_ring *ring)
{
	/* With an event index the old one stays: the guest kicks when it passes it. */
	if (!ring->event_idx)
		__atomic_store_n(&ring->used->flags, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
}

bool gn_blk_ring_ask_for_kicks(struct gn_blk_ring *ring)
{
	if (ring->event_idx)
		set_avail_event(ring, ring->last_avail);
	else
		__atomic_store_n(&ring->used->flags, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return avail_index(ring) == ring->last_avail;
}
