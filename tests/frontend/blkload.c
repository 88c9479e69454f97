/* blkload.c - see blkload.h. */
#include "tests/frontend/blkload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "tests/frontend/blkmodel.h"

#define DEFAULT_STUCK_MS 30000
#define WAIT_MS          50
#define GONE_CHECK_LOOPS 4096
#define NS               1000000000ull

struct load {
	const struct gn_blkload_config *config;
	struct gn_blkload_result *result;
	struct gn_blkdrv *drv;
	struct gn_blkmodel model;
	unsigned n_queues;
	uint64_t random;
	uint64_t n_submitted;
	uint64_t n_outstanding;
	uint64_t start_ns;
	uint64_t last_done_ns;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

/* xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators",
 * 2016). */
static uint64_t next_random(struct load *l)
{
	l->random ^= l->random >> 12;
	l->random ^= l->random << 25;
	l->random ^= l->random >> 27;
	return l->random * 0x2545f4914f6cdd1dull;
}

static uint32_t choose_type(struct load *l)
{
	const struct gn_blkload_mix *m = &l->config->mix;
	unsigned total = m->read + m->write + m->zeroes + m->discard + m->flush;
	unsigned r = (unsigned)((next_random(l) >> 32) % total);

	if (r < m->read)
		return VIRTIO_BLK_T_IN;
	if ((r -= m->read) < m->write)
		return VIRTIO_BLK_T_OUT;
	if ((r -= m->write) < m->zeroes)
		return VIRTIO_BLK_T_WRITE_ZEROES;
	return r - m->zeroes < m->discard ? VIRTIO_BLK_T_DISCARD : VIRTIO_BLK_T_FLUSH;
}

/* A block that nothing is in flight for; with far more blocks than requests the first
 * try nearly always hits. */
static uint64_t choose_block(struct load *l)
{
	for (;;) {
		uint64_t block = (next_random(l) >> 16) % l->model.n_blocks;

		if (!l->config->verify || gn_blkmodel_lock(&l->model, block))
			return block;
	}
}

static void prepare(struct load *l, struct gn_blkdrv_request *r)
{
	struct virtio_blk_discard_write_zeroes range;

	r->type = choose_type(l);
	r->offset = 0;
	r->size_bytes = 0;
	r->tag = UINT64_MAX;
	if (r->type == VIRTIO_BLK_T_FLUSH)
		return;
	r->tag = choose_block(l);
	if (r->type == VIRTIO_BLK_T_IN || r->type == VIRTIO_BLK_T_OUT) {
		r->offset = r->tag * l->model.block_bytes;
		r->size_bytes = l->model.block_bytes;
		if (r->type == VIRTIO_BLK_T_OUT && l->config->verify)
			gn_blkmodel_fill_next(&l->model, r->tag, r->data);
		else if (r->type == VIRTIO_BLK_T_IN && l->config->verify)
			memset(r->data, 0xa5, 64);
		return;
	}
	range = (struct virtio_blk_discard_write_zeroes){.sector = r->tag * l->model.block_bytes /
	                                                           512,
	                                                 .num_sectors = l->model.block_bytes / 512};
	memcpy(r->data, &range, sizeof(range));
	r->size_bytes = sizeof(range);
}

static bool may_submit(const struct load *l, uint64_t now)
{
	const struct gn_blkload_config *c = l->config;

	if (c->stop && *c->stop)
		return false;
	if (c->n_ops && l->n_submitted >= c->n_ops)
		return false;
	if (c->duration_us && now - l->start_ns >= c->duration_us * 1000)
		return false;
	return !c->rate || l->n_submitted * NS <= (now - l->start_ns) * c->rate;
}

static int submit_queue(struct load *l, unsigned queue)
{
	uint64_t now = now_ns();
	unsigned n = 0;

	while (may_submit(l, now)) {
		struct gn_blkdrv_request *r = gn_blkdrv_get(l->drv, queue);
		int error;

		if (!r)
			break;
		prepare(l, r);
		r->submitted_ns = now;
		error = gn_blkdrv_submit(l->drv, r);
		if (error)
			return error;
		if (l->n_outstanding++ == 0)
			l->last_done_ns = now;
		l->n_submitted++;
		n++;
	}
	if (n > 0)
		gn_blkdrv_kick(l->drv, queue);
	return 0;
}

static enum gn_blkmodel_content content_after(const struct gn_blkdrv_request *r)
{
	if (r->status != VIRTIO_BLK_S_OK || r->type == VIRTIO_BLK_T_DISCARD)
		return GN_BLKMODEL_UNKNOWN;
	return r->type == VIRTIO_BLK_T_OUT ? GN_BLKMODEL_WRITTEN : GN_BLKMODEL_ZERO;
}

static void check_content(struct load *l, struct gn_blkdrv_request *r)
{
	if (r->tag == UINT64_MAX)
		return;
	if (r->type != VIRTIO_BLK_T_IN)
		gn_blkmodel_set(&l->model, r->tag, content_after(r));
	else if (r->status == VIRTIO_BLK_S_OK && !gn_blkmodel_matches(&l->model, r->tag, r->data))
		l->result->mismatches++;
	gn_blkmodel_unlock(&l->model, r->tag);
}

static void complete(struct load *l, struct gn_blkdrv_request *r, uint64_t now)
{
	gn_latency_add(&l->result->latency, now - r->submitted_ns);
	l->result->reads += r->type == VIRTIO_BLK_T_IN;
	l->result->writes += r->type == VIRTIO_BLK_T_OUT;
	l->result->others += r->type > VIRTIO_BLK_T_OUT;
	l->result->errors += r->status != VIRTIO_BLK_S_OK;
	if (l->config->verify)
		check_content(l, r);
	gn_blkdrv_put(l->drv, r);
	l->n_outstanding--;
}

static unsigned reap_queue(struct load *l, unsigned queue)
{
	struct gn_blkdrv_request *r;
	uint64_t now = 0;
	unsigned done = 0;
	int n;

	while ((n = gn_blkdrv_reap(l->drv, queue, &r)) != 0) {
		if (n < 0) {
			l->result->duplicates++;
			continue;
		}
		if (now == 0)
			now = now_ns();
		complete(l, r, now);
		done++;
	}
	if (done > 0) {
		uint64_t gap_us = (now - l->last_done_ns) / 1000;

		if (gap_us > l->result->longest_gap_us)
			l->result->longest_gap_us = gap_us;
		l->last_done_ns = now;
	}
	return done;
}

static int revive(struct load *l, struct gn_status *status)
{
	int error;

	if (l->config->reconnect_ms == 0)
		return gn_status_set(status, GN_UNAVAILABLE,
		                     "%s: the back end closed the connection",
		                     l->config->driver.socket_path);
	error = gn_blkdrv_reconnect(l->drv, l->config->reconnect_ms, status);
	l->result->reconnects += error == 0;
	if (!error && l->config->busy_poll)
		for (unsigned q = 0; q < l->n_queues; q++)
			gn_vring_mute(&gn_blkdrv_frontend(l->drv)->vrings[q]);
	return error;
}

static int check_stuck(struct load *l, struct gn_status *status)
{
	uint64_t limit_ms = l->config->stuck_ms ? l->config->stuck_ms : DEFAULT_STUCK_MS;

	if (l->n_outstanding == 0 || now_ns() - l->last_done_ns < limit_ms * 1000000)
		return 0;
	l->result->lost = l->n_outstanding;
	return gn_status_set(status, GN_DEADLINE_EXCEEDED,
	                     "%s: %llu requests outstanding, none completed for %llu ms",
	                     l->config->driver.socket_path, (unsigned long long)l->n_outstanding,
	                     (unsigned long long)limit_ms);
}

/* Nothing completed: sleep or spin, and look whether the back end lives. */
static int idle(struct load *l, unsigned *spins, struct gn_status *status)
{
	int error = 0;

	if (l->config->busy_poll) {
		for (unsigned q = 0; q < l->n_queues; q++)
			gn_vring_mute(&gn_blkdrv_frontend(l->drv)->vrings[q]);
		if (++*spins % GONE_CHECK_LOOPS == 0 &&
		    gn_frontend_gone(gn_blkdrv_frontend(l->drv)))
			error = -EPIPE;
	} else if (l->n_outstanding > 0) {
		error = gn_blkdrv_wait_any(l->drv, l->config->rate ? 1 : WAIT_MS);
	} else if (l->config->rate) {
		nanosleep(&(struct timespec){0, 500000}, NULL);
	}
	if (error == -EPIPE)
		return revive(l, status);
	if (error && error != -ETIMEDOUT)
		return gn_status_set(status, gn_code_from_errno(-error), "%s: waiting: %s",
		                     l->config->driver.socket_path, strerror(-error));
	return *spins % GONE_CHECK_LOOPS == 0 ? check_stuck(l, status) : 0;
}

static bool finished(const struct load *l)
{
	const struct gn_blkload_config *c = l->config;

	if (l->n_outstanding > 0)
		return false;
	return (c->stop && *c->stop) || (c->n_ops && l->n_submitted >= c->n_ops) ||
	       (c->duration_us && now_ns() - l->start_ns >= c->duration_us * 1000);
}

static int run_load(struct load *l, struct gn_status *status)
{
	unsigned spins = 0;
	int error = 0;

	l->start_ns = l->last_done_ns = now_ns();
	while (!error && !finished(l)) {
		unsigned done = 0;

		for (unsigned q = 0; q < l->n_queues; q++)
			done += reap_queue(l, q);
		for (unsigned q = 0; q < l->n_queues && !error; q++)
			error = submit_queue(l, q);
		if (error)
			gn_status_set(status, gn_code_from_errno(-error), "%s: submitting: %s",
			              l->config->driver.socket_path, strerror(-error));
		else if (done == 0)
			error = idle(l, &spins, status);
	}
	l->result->elapsed_us = (now_ns() - l->start_ns) / 1000;
	return error;
}

/* The last word: everything acknowledged, read back through the device. */
static int verify_device(struct load *l, struct gn_status *status)
{
	uint8_t *data = malloc(l->model.block_bytes);
	int result = data ? 0 : -ENOMEM;

	for (uint64_t b = 0; b < l->model.n_blocks && result == 0; b++) {
		if (l->model.blocks[b].content == GN_BLKMODEL_UNKNOWN)
			continue;
		result = gn_blkdrv_run(l->drv, 0, VIRTIO_BLK_T_IN, b * l->model.block_bytes, data,
		                       l->model.block_bytes, DEFAULT_STUCK_MS);
		if (result == 0 && !gn_blkmodel_matches(&l->model, b, data))
			l->result->mismatches++;
		l->result->verified_blocks += result == 0;
	}
	free(data);
	if (result == 0)
		return 0;
	return gn_status_set(status, GN_DATA_LOSS, "%s: reading back what was written: %s",
	                     l->config->driver.socket_path,
	                     result < 0 ? strerror(-result) : "the device reports an error");
}

static int verify_image(struct load *l, struct gn_status *status)
{
	int fd = open(l->config->image_path, O_RDONLY | O_CLOEXEC);
	uint8_t *data = malloc(l->model.block_bytes);
	int error = fd < 0 ? -errno : data ? 0 : -ENOMEM;

	for (uint64_t b = 0; b < l->model.n_blocks && !error; b++) {
		ssize_t n;

		if (l->model.blocks[b].content == GN_BLKMODEL_UNKNOWN)
			continue;
		n = pread(fd, data, l->model.block_bytes, (off_t)(b * l->model.block_bytes));
		if (n != (ssize_t)l->model.block_bytes)
			error = n < 0 ? -errno : -EIO;
		else if (!gn_blkmodel_matches(&l->model, b, data))
			l->result->mismatches++;
	}
	free(data);
	if (fd >= 0)
		close(fd);
	if (error)
		gn_status_set(status, gn_code_from_errno(-error), "%s: %s", l->config->image_path,
		              strerror(-error));
	return error;
}

static int verify_all(struct load *l, struct gn_status *status)
{
	int error = gn_blkdrv_run(l->drv, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, DEFAULT_STUCK_MS);

	if (error != 0 && error != VIRTIO_BLK_S_UNSUPP)
		return gn_status_set(status, GN_DATA_LOSS, "%s: the final flush failed",
		                     l->config->driver.socket_path);
	error = verify_device(l, status);
	if (!error && l->config->image_path)
		error = verify_image(l, status);
	return error;
}

static int open_load(struct load *l, struct gn_status *status)
{
	struct gn_blkdrv_config driver = l->config->driver;
	uint32_t block = l->config->block_bytes;
	uint64_t span;
	int error;

	driver.max_bytes = block;
	error = gn_blkdrv_create(&driver, &l->drv, status);
	if (error)
		return error;
	span = gn_blkdrv_capacity_bytes(l->drv);
	if (l->config->span_bytes && l->config->span_bytes < span)
		span = l->config->span_bytes;
	l->n_queues = gn_blkdrv_frontend(l->drv)->config.n_vrings;
	if (gn_blkmodel_init(&l->model, span / block, block, l->config->seed))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%llu bytes of disk in blocks of %u: nothing to do",
		                     (unsigned long long)span, block);
	if (l->model.n_blocks < 2ull * l->n_queues * (driver.depth ? driver.depth : 32))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "only %llu blocks: give at least twice the requests in flight",
		                     (unsigned long long)l->model.n_blocks);
	return 0;
}

int gn_blkload_run(const struct gn_blkload_config *config, struct gn_blkload_result *result,
                   struct gn_status *status)
{
	struct load l = {.config = config, .result = result, .random = config->seed | 1};
	int error;

	memset(result, 0, sizeof(*result));
	error = open_load(&l, status);
	if (!error)
		error = run_load(&l, status);
	if (!error && config->verify)
		error = verify_all(&l, status);
	if (l.drv)
		for (unsigned q = 0; q < l.n_queues; q++)
			result->kicks += gn_blkdrv_frontend(l.drv)->vrings[q].kicks;
	gn_blkmodel_fini(&l.model);
	gn_blkdrv_destroy(l.drv);
	return error;
}
