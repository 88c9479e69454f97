/* user.c - submitters beside the VM's rings (blk.h, "users").
 *
 * While a front end is there, the device's own pollable polls the store, and so completes the
 * users' requests too; else a pollable of their own does. It watches a duplicate of the store's
 * descriptor, since epoll takes each only once. */
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <rte_cycles.h>
#include "dataplane/blk/device.h"
#include "dataplane/meter/disk_meter.h"

/* ---- on the lcore ------------------------------------------------------------ */

static struct gn_blk *device_of(struct gn_pollable *pollable)
{
	return (struct gn_blk *)((char *)pollable - offsetof(struct gn_blk, user_pollable));
}

static unsigned poll_users(struct gn_pollable *pollable, uint64_t now)
{
	struct gn_blk *blk = device_of(pollable);

	(void)now;
	return blk->is_added ? 0 : gn_volume_poll(blk->volume);
}

/* False: the time of those that wait for the meter has come. It is asked anew by whoever submits
 * again, if there is still somebody. */
static bool arm_meter(struct gn_blk *blk)
{
	uint64_t now = rte_rdtsc();

	if (!blk->users_throttled_since)
		return true;
	if (now < blk->users_throttled_until) {
		gn_blk_set_timer(blk, blk->user_timer_fd, blk->users_throttled_until - now);
		return true;
	}
	gn_blk_count_throttled(blk, now - blk->users_throttled_since);
	blk->users_throttled_since = 0;
	return false;
}

static bool arm_users(struct gn_pollable *pollable)
{
	struct gn_blk *blk = device_of(pollable);

	if (!arm_meter(blk))
		return false;
	return blk->is_added || !blk->volume->ops->arm || blk->volume->ops->arm(blk->volume);
}

static void disarm_users(struct gn_pollable *pollable)
{
	const struct gn_blk *blk = device_of(pollable);

	if (!blk->is_added && blk->volume->ops->disarm)
		blk->volume->ops->disarm(blk->volume);
}

static bool changes_content(const struct gn_volume_request *io)
{
	return io->op != GN_VOLUME_READ && io->op != GN_VOLUME_FLUSH;
}

static enum gn_blk_op kind_of(enum gn_volume_op op)
{
	switch (op) {
	case GN_VOLUME_READ:
		return GN_BLK_READ;
	case GN_VOLUME_WRITE:
		return GN_BLK_WRITE;
	case GN_VOLUME_FLUSH:
		return GN_BLK_FLUSH;
	case GN_VOLUME_DISCARD:
	case GN_VOLUME_WRITE_ZEROES:
	case GN_VOLUME_WRITE_ZEROES_UNMAP:
		break;
	}
	return GN_BLK_DISCARD;
}

/* Asks the VM's meter, which the rings ask too (queue.c). False: not now. */
static bool admit(struct gn_blk *blk, const struct gn_volume_request *io, uint64_t now)
{
	uint64_t wait_cycles;

	if (!blk->users_throttled_since && (!blk->meter || gn_disk_meter_unlimited(blk->meter)))
		return true;
	if (io->op != GN_VOLUME_READ && io->op != GN_VOLUME_WRITE)
		return true;
	if (blk->users_throttled_since && now < blk->users_throttled_until)
		return false;
	wait_cycles =
	        blk->meter ? gn_disk_meter_take(blk->meter, now, (uint32_t)io->length_bytes) : 0;
	if (wait_cycles) {
		if (wait_cycles > blk->recheck_cycles)
			wait_cycles = blk->recheck_cycles;
		if (!blk->users_throttled_since)
			blk->users_throttled_since = now;
		blk->users_throttled_until = now + wait_cycles;
		return false;
	}
	if (blk->users_throttled_since)
		gn_blk_count_throttled(blk, now - blk->users_throttled_since);
	blk->users_throttled_since = 0;
	return true;
}

static void count_in(struct gn_blk *blk)
{
	uint64_t depth = ++blk->n_users_flying + blk->n_taken;

	if (depth > blk->stats.queue_depth_max)
		blk->stats.queue_depth_max = depth;
}

static void on_done(struct gn_volume_request *io, int error)
{
	struct gn_blk_user_request *request = (struct gn_blk_user_request *)io;
	struct gn_blk *blk = request->user->blk;

	blk->n_users_flying--;
	if (changes_content(io))
		gn_blk_changed(blk);
	gn_blk_count(blk, kind_of(io->op), io->length_bytes, request->taken_at, error);
	request->done(request, error);
}

bool gn_blk_submit(struct gn_blk_user_request *request)
{
	struct gn_blk *blk = request->user->blk;
	struct gn_volume_request *io = &request->io;
	bool changes = changes_content(io);
	uint64_t now = rte_rdtsc();

	if (blk->holds_users || (changes && blk->holds_writes))
		return false;
	/* The meter is charged once, so only for what the store takes. */
	if (blk->volume->n_in_flight >= blk->volume->depth || !admit(blk, io, now))
		return false;
	request->taken_at = now;
	io->done = on_done;
	blk->n_changing += changes;
	if (gn_volume_submit(blk->volume, &io, 1) != 1) {
		blk->n_changing -= changes;
		return false;
	}
	count_in(blk);
	return true;
}

struct order {
	struct gn_blk *blk;
	int result;
};

static void call_add(void *arg)
{
	struct order *order = arg;
	struct gn_blk *blk = order->blk;

	blk->holds_users = false;
	order->result = gn_worker_add(blk->worker, &blk->user_pollable);
	blk->user_is_added = !order->result;
}

static void call_hold(void *arg)
{
	struct order *order = arg;

	order->blk->holds_users = true;
	order->result = (int)order->blk->n_users_flying;
}

static void call_remove(void *arg)
{
	struct gn_blk *blk = ((struct order *)arg)->blk;

	if (blk->user_is_added)
		gn_worker_remove(blk->worker, &blk->user_pollable);
	blk->user_is_added = false;
}

/* ---- control ----------------------------------------------------------------- */

static void forget_fds(struct gn_blk *blk)
{
	if (blk->user_event_fd >= 0)
		close(blk->user_event_fd);
	if (blk->user_timer_fd >= 0)
		close(blk->user_timer_fd);
	blk->user_event_fd = blk->user_timer_fd = -1;
}

void gn_blk_stop_users(struct gn_blk *blk)
{
	struct order order = {.blk = blk};

	if (!blk->n_users)
		return;
	for (;;) {
		gn_worker_call(blk->worker, call_hold, &order);
		if (!order.result)
			break;
		usleep(1000);
	}
	gn_worker_call(blk->worker, call_remove, &order);
	forget_fds(blk);
}

static int run_users(struct gn_blk *blk)
{
	struct order order = {.blk = blk};

	blk->user_pollable = (struct gn_pollable){
	        .name = blk->name,
	        .poll = poll_users,
	        .arm = arm_users,
	        .disarm = disarm_users,
	};
	if (blk->volume->event_fd >= 0)
		blk->user_event_fd = dup(blk->volume->event_fd);
	if (blk->user_event_fd >= 0)
		blk->user_pollable.fds[blk->user_pollable.n_fds++] = blk->user_event_fd;
	else
		blk->user_pollable.max_sleep_us = 1000;
	blk->user_timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (blk->user_timer_fd >= 0)
		blk->user_pollable.fds[blk->user_pollable.n_fds++] = blk->user_timer_fd;
	if (blk->user_timer_fd < 0)
		order.result = -errno;
	else
		gn_worker_call(blk->worker, call_add, &order);
	if (order.result)
		forget_fds(blk);
	return order.result;
}

void gn_blk_run_users(struct gn_blk *blk)
{
	if (blk->n_users)
		run_users(blk); /* its place on the worker was free a moment ago */
}

static int may_attach(const struct gn_blk *blk, const struct gn_blk_user *user,
                      struct gn_status *status)
{
	if (!user->may_write)
		return 0;
	if (blk->limits.read_only) {
		gn_status_set(status, GN_FAILED_PRECONDITION,
		              "'%s' is read-only; make '%s' read-only too", blk->name, user->name);
		return -EROFS;
	}
	if (!blk->writer && blk->vid < 0)
		return 0;
	gn_status_set(
	        status, GN_FAILED_PRECONDITION,
	        "'%s' has a writer already: %s%s; a volume has one at a time, so end that one "
	        "or make '%s' read-only",
	        blk->name, blk->writer ? "" : "the VM's disk is attached",
	        blk->writer ? blk->writer->name : "", user->name);
	return -EBUSY;
}

int gn_blk_attach(struct gn_blk *blk, struct gn_blk_user *user, struct gn_status *status)
{
	int err;

	gn_mutex_lock(&blk->lock);
	err = may_attach(blk, user, status);
	if (!err && !blk->n_users && run_users(blk) != 0)
		err = gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                    "the worker of '%s' polls too much already", blk->name);
	if (!err) {
		user->blk = blk;
		blk->n_users++;
		if (user->may_write) {
			blk->writer = user;
			blk->is_reserved = false;
		}
	}
	gn_mutex_unlock(&blk->lock);
	return err;
}

void gn_blk_detach(struct gn_blk_user *user)
{
	struct gn_blk *blk = user->blk;

	if (!blk)
		return;
	gn_mutex_lock(&blk->lock);
	if (blk->n_users == 1)
		gn_blk_stop_users(blk);
	blk->n_users--;
	if (blk->writer == user)
		blk->writer = NULL;
	user->blk = NULL;
	gn_mutex_unlock(&blk->lock);
}

void gn_blk_unreserve(struct gn_blk *blk)
{
	gn_mutex_lock(&blk->lock);
	blk->is_reserved = false;
	gn_mutex_unlock(&blk->lock);
}

struct gn_worker *gn_blk_worker(const struct gn_blk *blk)
{
	return blk->worker;
}

const struct gn_volume *gn_blk_volume(const struct gn_blk *blk)
{
	return blk->volume;
}
