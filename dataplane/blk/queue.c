/* queue.c - the lcore's part of a device: takes requests off the rings, gives them to the
 * store, answers. See device.h for who owns what. */
#include "dataplane/blk/device.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <linux/virtio_blk.h>
#include <rte_branch_prediction.h>
#include <rte_cycles.h>
#include "dataplane/meter/disk_meter.h"

#define BURST 64 /* requests taken from a ring in one round */

/* ---- answers ----------------------------------------------------------------- */

/* For live migration: what the device wrote into guest memory. Regions that are apart in the
 * guest may be neighbours here, so a piece can lie in several. */
static void log_write(const struct gn_blk *blk, const uint8_t *host, uint64_t size)
{
	for (unsigned i = 0; i < blk->memory.n_regions; i++) {
		const struct gn_blk_region *region = &blk->memory.regions[i];
		const uint8_t *from = host > region->host ? host : region->host;
		const uint8_t *end = region->host + region->size_bytes;

		if (end > host + size)
			end = host + size;
		if (from < end)
			rte_vhost_log_write(blk->vid,
			                    region->guest_addr + (uint64_t)(from - region->host),
			                    (uint64_t)(end - from));
	}
}

/* What is logged must have been written before: the front end may copy a page as soon as it is
 * logged, and would never see what came later. */
static void log_data(const struct gn_blk_request *request, uint32_t written)
{
	const struct gn_blk *blk = request->queue->blk;

	if (written > 1)
		for (unsigned i = 0; i < request->io.n_iov; i++)
			log_write(blk, request->iov[i].iov_base, request->iov[i].iov_len);
	log_write(blk, request->status_byte, 1);
}

static void log_used(const struct gn_blk_queue *queue, uint16_t slot)
{
	const struct gn_blk *blk = queue->blk;

	rte_vhost_log_used_vring(blk->vid, (uint16_t)queue->index,
	                         offsetof(struct vring_used, ring) +
	                                 slot * sizeof(struct vring_used_elem),
	                         sizeof(struct vring_used_elem));
	rte_vhost_log_used_vring(blk->vid, (uint16_t)queue->index, offsetof(struct vring_used, idx),
	                         sizeof(uint16_t));
}

static void answer(struct gn_blk_request *request, uint8_t status, uint32_t data_bytes)
{
	struct gn_blk_queue *queue = request->queue;
	uint16_t slot = queue->ring.last_used & (queue->ring.size - 1);
	uint32_t written = data_bytes + 1;

	*request->status_byte = status;
	if (unlikely(queue->blk->log_dirty))
		log_data(request, written);
	gn_blk_ring_put(&queue->ring, request->head, written);
	if (unlikely(queue->blk->log_dirty))
		log_used(queue, slot);
	queue->has_answers = true;
	request->is_taken = false;
	queue->blk->n_taken--;
}

static uint8_t status_of(int error)
{
	if (likely(!error))
		return VIRTIO_BLK_S_OK;
	return error == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

static uint64_t us_of(const struct gn_blk *blk, uint64_t cycles)
{
	return (uint64_t)((unsigned __int128)cycles * blk->us_per_cycle_q32 >> 32);
}

void gn_blk_count(struct gn_blk *blk, enum gn_blk_op op, uint64_t bytes, uint64_t taken_at,
                  int error)
{
	struct gn_blk_op_stats *stats = &blk->stats.op[op];

	stats->operations++;
	if (likely(!error))
		stats->bytes += bytes;
	else
		blk->stats.errors++;
	gn_histogram_add(&stats->latency, us_of(blk, rte_rdtsc() - taken_at));
}

void gn_blk_count_throttled(struct gn_blk *blk, uint64_t cycles)
{
	blk->stats.throttled_us += us_of(blk, cycles);
}

static bool changes_content(const struct gn_blk_request *request)
{
	return request->op == GN_BLK_WRITE || request->op == GN_BLK_DISCARD;
}

void gn_blk_changed(struct gn_blk *blk)
{
	if (--blk->n_changing == 0 && blk->writes_drained) {
		sem_post(blk->writes_drained);
		blk->writes_drained = NULL;
	}
}

static void on_done(struct gn_volume_request *io, int error)
{
	struct gn_blk_request *request = (struct gn_blk_request *)io;
	struct gn_blk *blk = request->queue->blk;
	bool read = request->op == GN_BLK_READ && !error;

	if (changes_content(request))
		gn_blk_changed(blk);
	gn_blk_count(blk, request->op, io->length_bytes, request->taken_at, error);
	answer(request, status_of(error), read ? (uint32_t)io->length_bytes : 0);
}

/* ---- requests ---------------------------------------------------------------- */

/* The guest broke the ring itself: nothing more is read from it until it resets the device. */
static void stop_corrupt(struct gn_blk_queue *queue)
{
	struct gn_blk *blk = queue->blk;

	queue->runs = false;
	blk->stats.rejected++;
	blk->stats.queues_stopped++;
	__atomic_sub_fetch(&blk->n_running, 1, __ATOMIC_RELAXED);
}

static void answer_id(struct gn_blk_request *request, const struct gn_blk_plan *plan)
{
	const struct gn_blk *blk = request->queue->blk;
	uint64_t done = 0;

	for (unsigned i = 0; i < plan->n_iov && done < plan->length_bytes; i++) {
		uint64_t n = request->iov[i].iov_len;

		if (n > plan->length_bytes - done)
			n = plan->length_bytes - done;
		memcpy(request->iov[i].iov_base, blk->serial + done, n);
		done += n;
	}
	request->io.n_iov = plan->n_iov;
	answer(request, VIRTIO_BLK_S_OK, (uint32_t)done);
}

static void fill(struct gn_blk_request *request, const struct gn_blk_plan *plan)
{
	static const struct {
		enum gn_volume_op io;
		enum gn_blk_op op;
	} kinds[] = {
	        [GN_BLK_PLAN_READ] = {GN_VOLUME_READ, GN_BLK_READ},
	        [GN_BLK_PLAN_WRITE] = {GN_VOLUME_WRITE, GN_BLK_WRITE},
	        [GN_BLK_PLAN_FLUSH] = {GN_VOLUME_FLUSH, GN_BLK_FLUSH},
	        [GN_BLK_PLAN_DISCARD] = {GN_VOLUME_DISCARD, GN_BLK_DISCARD},
	        [GN_BLK_PLAN_WRITE_ZEROES] = {GN_VOLUME_WRITE_ZEROES, GN_BLK_DISCARD},
	};
	struct gn_volume_request *io = &request->io;

	io->op = kinds[plan->kind].io;
	if (plan->may_unmap)
		io->op = GN_VOLUME_WRITE_ZEROES_UNMAP;
	io->offset_bytes = plan->offset_bytes;
	io->length_bytes = plan->length_bytes;
	io->iov = request->iov;
	io->n_iov = plan->n_iov;
	io->done = on_done;
	request->op = (uint8_t)kinds[plan->kind].op;
}

static void wait(struct gn_blk *blk, struct gn_blk_request *request)
{
	request->next = NULL;
	*blk->waiting_end = request;
	blk->waiting_end = &request->next;
}

static void take(struct gn_blk_request *request, const struct gn_blk_plan *plan, uint64_t now)
{
	request->is_taken = true;
	request->taken_at = now;
	request->status_byte = plan->status_byte;
	request->queue->blk->n_taken++;
	if (request->queue->blk->n_taken > request->queue->blk->stats.queue_depth_max)
		request->queue->blk->stats.queue_depth_max = request->queue->blk->n_taken;
}

/* A request that was taken: answered at once, or in the list of those to submit. */
static void dispatch(struct gn_blk_request *request, const struct gn_blk_plan *plan)
{
	struct gn_blk *blk = request->queue->blk;

	if (plan->kind == GN_BLK_PLAN_ANSWER) {
		if (plan->malformed)
			blk->stats.rejected++;
		else
			blk->stats.errors++;
		request->io.n_iov = 0;
		answer(request, plan->status, 0);
	} else if (plan->kind == GN_BLK_PLAN_GET_ID) {
		answer_id(request, plan);
	} else {
		fill(request, plan);
		wait(blk, request);
	}
}

/* Asks the VM's meter. False: the request stays in its ring for now. */
static bool admit(struct gn_blk_queue *queue, const struct gn_blk_plan *plan, uint64_t now)
{
	struct gn_blk *blk = queue->blk;
	uint64_t wait_cycles;

	if (likely(!blk->meter || gn_disk_meter_unlimited(blk->meter)) && !queue->throttled_since)
		return true;
	if (plan->kind != GN_BLK_PLAN_READ && plan->kind != GN_BLK_PLAN_WRITE)
		return true;
	wait_cycles =
	        blk->meter ? gn_disk_meter_take(blk->meter, now, (uint32_t)plan->length_bytes) : 0;
	if (wait_cycles) {
		if (wait_cycles > blk->recheck_cycles)
			wait_cycles = blk->recheck_cycles;
		if (!queue->throttled_since)
			queue->throttled_since = now;
		queue->throttled_until = now + wait_cycles;
		return false;
	}
	if (queue->throttled_since) {
		gn_blk_count_throttled(blk, now - queue->throttled_since);
		queue->throttled_since = 0;
	}
	return true;
}

/* The chain at 'head' as a plan in its slot; NULL: the ring is corrupt. */
static struct gn_blk_request *plan_head(struct gn_blk_queue *queue, uint16_t head,
                                        struct gn_blk_plan *plan)
{
	struct gn_blk *blk = queue->blk;
	struct gn_blk_request *request;

	if (head >= queue->ring.size)
		return NULL;
	request = &queue->requests[head];
	if (request->is_taken ||
	    !gn_blk_plan_chain(&blk->memory, queue->ring.desc, queue->ring.size, head, &blk->limits,
	                       request->iov, plan))
		return NULL;
	return request;
}

static bool has_room(const struct gn_blk *blk)
{
	return blk->n_taken < blk->volume->depth;
}

static unsigned take_burst(struct gn_blk_queue *queue, uint64_t now)
{
	struct gn_blk *blk = queue->blk;
	int pending = gn_blk_ring_pending(&queue->ring);
	unsigned n = 0;

	if (!pending || (queue->throttled_since && now < queue->throttled_until))
		return 0;
	if (unlikely(pending < 0)) {
		stop_corrupt(queue);
		return 1;
	}
	while (n < (unsigned)pending && n < BURST && has_room(blk)) {
		uint16_t head = gn_blk_ring_head(&queue->ring);
		struct gn_blk_plan plan;
		struct gn_blk_request *request = plan_head(queue, head, &plan);

		if (unlikely(!request)) {
			stop_corrupt(queue);
			break;
		}
		if (!admit(queue, &plan, now))
			break;
		gn_blk_ring_take(&queue->ring, head);
		take(request, &plan, now);
		dispatch(request, &plan);
		n++;
	}
	return n;
}

/* Requests that a former process had taken: they are marked in flight already. */
static void resubmit(struct gn_blk_queue *queue, uint64_t now)
{
	struct gn_blk_plan plan;

	for (unsigned i = 0; i < queue->n_resubmit && queue->runs; i++) {
		struct gn_blk_request *request = plan_head(queue, queue->resubmit[i], &plan);

		if (!request) {
			stop_corrupt(queue);
			break;
		}
		queue->blk->stats.resubmitted++;
		take(request, &plan, now);
		dispatch(request, &plan);
	}
	queue->n_resubmit = 0;
}

static void submit_one(struct gn_blk *blk, struct gn_blk_request *request)
{
	struct gn_volume_request *io = &request->io;

	if (changes_content(request))
		blk->n_changing++;
	if (gn_volume_submit(blk->volume, &io, 1) == 1)
		return;
	/* Rare: n_taken is kept below the store's depth, but users share it, and resubmission may
	 * exceed it. */
	if (changes_content(request))
		blk->n_changing--;
	request->next = blk->waiting;
	if (!blk->waiting)
		blk->waiting_end = &request->next;
	blk->waiting = request;
}

/* Gives the waiting requests to the store, in order; while writes are held, only what
 * does not change the content. */
static unsigned submit_waiting(struct gn_blk *blk)
{
	struct gn_blk_request **link = &blk->waiting;
	unsigned n = 0;

	while (*link && blk->volume->n_in_flight < blk->volume->depth) {
		struct gn_blk_request *request = *link;

		if (blk->holds_writes && changes_content(request)) {
			link = &request->next;
			continue;
		}
		*link = request->next;
		if (!*link)
			blk->waiting_end = link;
		submit_one(blk, request);
		n++;
	}
	return n;
}

/* ---- the pollable ------------------------------------------------------------ */

static void signal_guest(struct gn_blk_queue *queue)
{
	const uint64_t one = 1;

	queue->has_answers = false;
	if (gn_blk_ring_wants_signal(&queue->ring) && queue->call_fd >= 0 &&
	    write(queue->call_fd, &one, sizeof one) < 0)
		return; /* the counter is full: the guest has not looked for 2^64 answers */
}

static void signal_guests(struct gn_blk *blk)
{
	for (unsigned i = 0; i < blk->n_queues; i++)
		if (blk->queues[i].has_answers)
			signal_guest(&blk->queues[i]);
}

unsigned gn_blk_poll(struct gn_pollable *pollable, uint64_t now)
{
	struct gn_blk *blk = (struct gn_blk *)pollable;
	unsigned work = 0;

	for (unsigned i = 0; i < blk->n_queues; i++)
		if (blk->queues[i].runs)
			work += take_burst(&blk->queues[i], now);
	work += submit_waiting(blk);
	work += gn_volume_poll(blk->volume);
	signal_guests(blk);
	if (unlikely(blk->is_draining && !blk->n_taken)) {
		blk->is_draining = false;
		sem_post(&blk->drained);
	}
	return work;
}

void gn_blk_set_timer(const struct gn_blk *blk, int timer_fd, uint64_t cycles)
{
	uint64_t us = us_of(blk, cycles) + 1;
	struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(us / 1000000),
	                                       .tv_nsec = (long)(us % 1000000 * 1000)}};

	timerfd_settime(timer_fd, 0, &spec, NULL);
}

/* False when requests wait that could go on now. '*wake_in' becomes the earliest instant at
 * which a throttled ring may go on. */
static bool arm_queue(struct gn_blk_queue *queue, uint64_t now, uint64_t *wake_in)
{
	if (queue->throttled_since) {
		uint64_t cycles = queue->throttled_until - now;

		if (queue->throttled_until <= now)
			return false;
		if (cycles < *wake_in)
			*wake_in = cycles;
		return true;
	}
	/* A full store answers first, which wakes us; without a kick fd we must look. */
	return !has_room(queue->blk) ||
	       (gn_blk_ring_ask_for_kicks(&queue->ring) && queue->kick_fd >= 0);
}

bool gn_blk_arm(struct gn_pollable *pollable)
{
	struct gn_blk *blk = (struct gn_blk *)pollable;
	uint64_t wake_in = UINT64_MAX;
	uint64_t now = rte_rdtsc();

	if (blk->volume->ops->arm && !blk->volume->ops->arm(blk->volume))
		return false;
	for (unsigned i = 0; i < blk->n_queues; i++)
		if (blk->queues[i].runs && !arm_queue(&blk->queues[i], now, &wake_in))
			return false;
	if (wake_in != UINT64_MAX)
		gn_blk_set_timer(blk, blk->timer_fd, wake_in);
	return true;
}

/* The descriptors stay as they are, readable: they are watched edge-triggered, so only what
 * comes next wakes again, and a system call for each per sleep is saved. */
void gn_blk_disarm(struct gn_pollable *pollable)
{
	struct gn_blk *blk = (struct gn_blk *)pollable;

	if (blk->volume->ops->disarm)
		blk->volume->ops->disarm(blk->volume);
	for (unsigned i = 0; i < blk->n_queues; i++)
		if (blk->queues[i].runs)
			gn_blk_ring_refuse_kicks(&blk->queues[i].ring);
}

/* ---- called by other threads through gn_worker_call() ------------------------ */

void gn_blk_begin_drain(struct gn_blk *blk)
{
	for (unsigned i = 0; i < blk->n_queues; i++)
		blk->queues[i].runs = false;
	__atomic_store_n(&blk->n_running, 0, __ATOMIC_RELAXED);
	if (blk->holds_writes) {
		/* The VM comes first: its writes go on, the copy fails. */
		blk->holds_writes = false;
		blk->hold_was_broken = true;
	}
	if (blk->n_taken)
		blk->is_draining = true;
	else
		sem_post(&blk->drained);
}

static void collect_fds(struct gn_blk *blk)
{
	struct gn_pollable *pollable = &blk->pollable;

	pollable->n_fds = 0;
	pollable->fds[pollable->n_fds++] = blk->timer_fd;
	if (blk->volume->event_fd >= 0)
		pollable->fds[pollable->n_fds++] = blk->volume->event_fd;
	for (unsigned i = 0; i < blk->n_queues; i++)
		if (blk->queues[i].runs && blk->queues[i].kick_fd >= 0)
			pollable->fds[pollable->n_fds++] = blk->queues[i].kick_fd;
}

static uint32_t mark_running(struct gn_blk *blk)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < blk->n_queues; i++) {
		struct gn_blk_queue *queue = &blk->queues[i];

		queue->runs = queue->has_ring;
		queue->throttled_since = 0;
		n += queue->runs;
	}
	return n;
}

void gn_blk_start_queues(struct gn_blk *blk)
{
	uint64_t now = rte_rdtsc();
	uint32_t n = mark_running(blk);

	blk->stats.queues_stopped = 0;
	collect_fds(blk);
	if (!n || gn_worker_add(blk->worker, &blk->pollable) != 0) {
		for (unsigned i = 0; i < blk->n_queues; i++)
			blk->queues[i].runs = false;
		return;
	}
	blk->is_added = true;
	__atomic_store_n(&blk->n_running, n, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < blk->n_queues; i++) {
		if (!blk->queues[i].runs)
			continue;
		gn_blk_ring_refuse_kicks(&blk->queues[i].ring);
		resubmit(&blk->queues[i], now);
	}
}

void gn_blk_hold(struct gn_blk *blk, sem_t *drained)
{
	blk->holds_writes = true;
	blk->hold_was_broken = false;
	if (blk->n_changing)
		blk->writes_drained = drained;
	else
		sem_post(drained);
}

void gn_blk_release(struct gn_blk *blk)
{
	blk->holds_writes = false;
	blk->writes_drained = NULL;
}
