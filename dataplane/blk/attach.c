/* attach.c - hands rings and memory to the lcore and takes them back.
 *
 * gn_blk_stop() leaves a device that nobody polls and that has nothing in flight, its rings'
 * positions with rte_vhost; gn_blk_run() reads everything anew and starts. Both run with
 * 'lock' held, on rte_vhost's thread or a control thread, which may wait for the lcore, since the
 * lcore waits for nobody. */
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_config.h>
#include <rte_vhost.h>
#include "dataplane/blk/device.h"

static void call_count_rejected(void *arg)
{
	struct gn_blk *blk = arg;

	blk->stats.rejected++;
}

void gn_blk_count_rejected(struct gn_blk *blk)
{
	gn_worker_call(blk->worker, call_count_rejected, blk);
}

/* ---- stop -------------------------------------------------------------------- */

static void call_begin_drain(void *arg)
{
	gn_blk_begin_drain(arg);
}

static void call_leave_worker(void *arg)
{
	struct gn_blk *blk = arg;

	if (blk->is_added)
		gn_worker_remove(blk->worker, &blk->pollable);
	blk->is_added = false;
}

static void forget_ring(struct gn_blk_queue *queue)
{
	free(queue->requests);
	free(queue->resubmit);
	queue->requests = NULL;
	queue->resubmit = NULL;
	queue->n_resubmit = 0;
	queue->has_ring = false;
	queue->call_fd = queue->kick_fd = -1;
}

void gn_blk_stop(struct gn_blk *blk)
{
	if (blk->is_stopped)
		return;
	gn_worker_call(blk->worker, call_begin_drain, blk);
	while (sem_wait(&blk->drained) != 0)
		;
	gn_worker_call(blk->worker, call_leave_worker, blk);
	for (unsigned i = 0; i < blk->n_queues; i++) {
		struct gn_blk_queue *queue = &blk->queues[i];

		if (queue->has_ring)
			rte_vhost_set_vring_base(blk->vid, (uint16_t)i, queue->ring.last_avail,
			                         queue->ring.last_used);
		forget_ring(queue);
	}
	blk->is_stopped = true;
}

/* ---- run --------------------------------------------------------------------- */

static bool load_memory(struct gn_blk *blk)
{
	struct rte_vhost_memory *memory;

	blk->memory.n_regions = 0;
	if (rte_vhost_get_mem_table(blk->vid, &memory) != 0)
		return false;
	for (uint32_t i = 0; i < memory->nregions && i < GN_BLK_MAX_REGIONS; i++) {
		const struct rte_vhost_mem_region *from = &memory->regions[i];

		blk->memory.regions[blk->memory.n_regions++] = (struct gn_blk_region){
		        .guest_addr = from->guest_phys_addr,
		        .size_bytes = from->size,
		        .host = (uint8_t *)(uintptr_t)from->host_user_addr,
		};
	}
	free(memory);
	return true;
}

/* What the former process left in flight is ahead of what it answered. */
static bool load_inflight(struct gn_blk *blk, struct gn_blk_queue *queue)
{
	struct gn_blk_ring *ring = &queue->ring;
	int n;

	if (!blk->inflight.map)
		return true; /* the front end does without */
	ring->inflight = gn_blk_inflight_of(&blk->inflight, queue->index, ring->size);
	queue->resubmit = calloc(ring->size, sizeof *queue->resubmit);
	if (!ring->inflight || !queue->resubmit)
		return false;
	n = gn_blk_inflight_recover(ring->inflight, ring->size, ring->last_used, queue->resubmit,
	                            &ring->counter);
	if (n < 0)
		return false;
	queue->n_resubmit = (unsigned)n;
	ring->last_avail = (uint16_t)(ring->last_used + queue->n_resubmit);
	return true;
}

static bool is_usable(const struct rte_vhost_vring *vring)
{
	return vring->size && vring->size <= GN_BLK_MAX_RING && !(vring->size & (vring->size - 1));
}

static struct gn_blk_request *allocate_requests(struct gn_blk_queue *queue)
{
	struct gn_blk_request *requests = calloc(queue->ring.size, sizeof *requests);

	for (unsigned i = 0; requests && i < queue->ring.size; i++) {
		requests[i].queue = queue;
		requests[i].head = (uint16_t)i;
	}
	return requests;
}

static bool load_ring(struct gn_blk *blk, struct gn_blk_queue *queue, uint64_t features)
{
	struct rte_vhost_vring vring;
	struct gn_blk_ring *ring = &queue->ring;

	memset(ring, 0, sizeof *ring);
	if (rte_vhost_get_vhost_vring(blk->vid, (uint16_t)queue->index, &vring) != 0 ||
	    !vring.desc || !vring.avail || !vring.used)
		return true; /* not there (yet): nothing to run */
	if (!is_usable(&vring) ||
	    rte_vhost_get_vring_base(blk->vid, (uint16_t)queue->index, &ring->last_avail,
	                             &ring->last_used) != 0)
		return false;
	ring->desc = vring.desc;
	ring->avail = vring.avail;
	ring->used = vring.used;
	ring->size = vring.size;
	ring->event_idx = features & (1ull << VIRTIO_RING_F_EVENT_IDX);
	ring->signalled = ring->last_used;
	ring->signal_always = true;
	queue->call_fd = vring.callfd;
	queue->kick_fd = vring.kickfd;
	queue->requests = allocate_requests(queue);
	if (!queue->requests || !load_inflight(blk, queue))
		return false;
	queue->has_ring = true;
	return true;
}

static void call_start(void *arg)
{
	gn_blk_start_queues(arg);
}

static unsigned load_rings(struct gn_blk *blk)
{
	uint64_t features = 0;
	unsigned n = 0;

	rte_vhost_get_negotiated_features(blk->vid, &features);
	blk->log_dirty = features & (1ull << VHOST_F_LOG_ALL);
	for (unsigned i = 0; i < blk->n_queues; i++) {
		struct gn_blk_queue *queue = &blk->queues[i];

		if (!blk->is_ready[i])
			continue;
		if (!load_ring(blk, queue, features)) {
			forget_ring(queue);
			gn_blk_count_rejected(blk);
		}
		n += queue->has_ring;
	}
	return n;
}

void gn_blk_run(struct gn_blk *blk)
{
	/* rte_vhost has no memory table to show before it got one, nor after it refused one. */
	if (!blk->is_stopped || blk->is_closing || blk->vid < 0 || !blk->has_memory)
		return;
	if (!load_rings(blk))
		return;
	if (!load_memory(blk)) {
		for (unsigned i = 0; i < blk->n_queues; i++)
			forget_ring(&blk->queues[i]);
		return;
	}
	blk->is_stopped = false;
	gn_worker_call(blk->worker, call_start, blk);
}
