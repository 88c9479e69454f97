/* blk.c - a device's life and its counters, for control threads. */
#include "dataplane/blk/blk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <rte_cycles.h>
#include "dataplane/blk/device.h"

#define CLONE_HOLD_MS 5000u
#define RECHECK_MS    10 /* a throttled ring asks its meter again after this, whatever it said */

static void free_device(struct gn_blk *blk)
{
	gn_volume_destroy(blk->volume);
	if (blk->timer_fd >= 0)
		close(blk->timer_fd);
	sem_destroy(&blk->drained);
	gn_mutex_destroy(&blk->lock);
	free(blk->name);
	free(blk->socket_path);
	free(blk->replica_problem);
	free(blk);
}

static int check(const struct gn_blk_config *config, struct gn_status *status)
{
	if (!config->name || !*config->name || (!config->path && !config->remote) ||
	    !config->socket_path)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "a volume needs a name, a path and a socket");
	if (config->queues > GN_BLK_MAX_QUEUES)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "volume '%s': %u queues; choose 1 to %u", config->name,
		                     config->queues, GN_BLK_MAX_QUEUES);
	if (strlen(config->socket_path) >= GN_BLK_PATH_MAX)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "volume '%s': socket path '%s' is longer than %u bytes; choose "
		        "a shorter run directory",
		        config->name, config->socket_path, GN_BLK_PATH_MAX - 1);
	if (config->serial && strlen(config->serial) > GN_BLK_SERIAL_SIZE)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "volume '%s': serial '%s' is longer than %u bytes",
		                     config->name, config->serial, GN_BLK_SERIAL_SIZE);
	return 0;
}

static void set_serial(struct gn_blk *blk, const struct gn_blk_config *config)
{
	const char *serial = config->serial;
	size_t n;

	if (!serial || !*serial) {
		serial = strrchr(config->name, '/');
		serial = serial ? serial + 1 : config->name;
	}
	n = strlen(serial);
	memcpy(blk->serial, serial, n < GN_BLK_SERIAL_SIZE ? n : GN_BLK_SERIAL_SIZE);
}

static struct gn_blk *allocate(struct gn_worker *worker, const struct gn_blk_config *config)
{
	struct gn_blk *blk = calloc(1, sizeof *blk);

	if (!blk)
		return NULL;
	blk->worker = worker;
	blk->n_queues = config->queues ? config->queues : 1;
	blk->vid = blk->back_fd = -1;
	blk->user_event_fd = blk->user_timer_fd = -1;
	blk->is_reserved = config->is_reserved;
	blk->is_stopped = true;
	blk->waiting_end = &blk->waiting;
	blk->us_per_cycle_q32 = (uint64_t)(((unsigned __int128)1000000 << 32) / rte_get_tsc_hz());
	blk->recheck_cycles = rte_get_tsc_hz() / 1000 * RECHECK_MS;
	blk->clone_hold_us =
	        (config->clone_hold_ms ? config->clone_hold_ms : CLONE_HOLD_MS) * 1000ull;
	sem_init(&blk->drained, 0, 0);
	gn_mutex_init(&blk->lock);
	for (unsigned i = 0; i < GN_BLK_MAX_QUEUES; i++) {
		blk->queues[i].blk = blk;
		blk->queues[i].index = i;
		blk->queues[i].call_fd = blk->queues[i].kick_fd = -1;
	}
	set_serial(blk, config);
	blk->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	blk->name = strdup(config->name);
	blk->socket_path = strdup(config->socket_path);
	if (blk->timer_fd >= 0 && blk->name && blk->socket_path)
		return blk;
	free_device(blk);
	return NULL;
}

static void attach_volume(struct gn_blk *blk)
{
	blk->limits = (struct gn_blk_limits){
	        .capacity_bytes = blk->volume->size_bytes,
	        .block_bytes = blk->volume->block_bytes,
	        .read_only = blk->volume->read_only,
	};
	blk->pollable = (struct gn_pollable){
	        .name = blk->name,
	        .poll = gn_blk_poll,
	        .arm = gn_blk_arm,
	        .disarm = gn_blk_disarm,
	};
}

static int open_store(struct gn_blk *blk, const struct gn_blk_config *config,
                      struct gn_status *status)
{
	const struct gn_volume_file_config file = {
	        .path = config->path,
	        .read_only = config->read_only,
	        .depth = GN_BLK_DEPTH,
	        .lock_wait_ms = config->lock_wait_ms,
	};
	struct gn_volume_nbd_config remote;
	int err;

	if (!config->remote)
		return gn_volume_file_create(&file, &blk->volume, status);
	remote = *config->remote;
	remote.depth = GN_BLK_DEPTH;
	remote.read_only = config->read_only;
	err = gn_volume_nbd_create(&remote, &blk->volume, status);
	blk->remote = blk->volume;
	return err;
}

int gn_blk_create(struct gn_worker *worker, const struct gn_blk_config *config, struct gn_blk **out,
                  struct gn_status *status)
{
	struct gn_blk *blk;
	int err = check(config, status);

	if (err)
		return err;
	blk = allocate(worker, config);
	if (!blk)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for volume '%s'",
		                     config->name);
	err = open_store(blk, config, status);
	if (!err) {
		attach_volume(blk);
		/* Before a front end can write anything. */
		if (config->replica)
			gn_blk_open_replica(blk, config->replica);
		blk->is_closing = config->is_fenced;
		if (!config->is_fenced)
			err = gn_blk_vhost_open(blk, status);
	}
	if (err) {
		gn_blk_close_replica(blk);
		free_device(blk);
		return err;
	}
	*out = blk;
	return 0;
}

void gn_blk_destroy(struct gn_blk *blk)
{
	if (!blk)
		return;
	assert(!blk->clone && !blk->n_users);
	gn_blk_fence(blk);
	gn_blk_close_replica(blk);
	free_device(blk);
}

static int check_resize(const struct gn_blk *blk, struct gn_status *status)
{
	if (blk->remote)
		return gn_status_set(
		        status, GN_FAILED_PRECONDITION,
		        "volume '%s' is kept by an NBD server: make it larger there, then "
		        "delete the volume, which leaves its data, and create it again",
		        blk->name);
	if (blk->replica)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "volume '%s' has a shadow of its size: delete the shadow, "
		                     "resize, and make the shadow again",
		                     blk->name);
	return 0;
}

int gn_blk_resize(struct gn_blk *blk, const char *path, uint64_t size_bytes,
                  struct gn_status *status)
{
	int err = check_resize(blk, status);
	bool ran;

	if (err)
		return err;
	gn_mutex_lock(&blk->lock);
	ran = !blk->is_stopped;
	gn_blk_stop(blk);
	err = gn_volume_file_resize(blk->volume, path, size_bytes, status);
	blk->limits.capacity_bytes = blk->volume->size_bytes;
	if (ran)
		gn_blk_run(blk);
	if (!err)
		gn_blk_tell_config(blk);
	gn_mutex_unlock(&blk->lock);
	return err;
}

const char *gn_blk_name(const struct gn_blk *blk)
{
	return blk->name;
}

uint64_t gn_blk_size_bytes(const struct gn_blk *blk)
{
	return blk->limits.capacity_bytes;
}

bool gn_blk_remote_status(const struct gn_blk *blk, struct gn_volume_nbd_status *out)
{
	return blk->remote && gn_volume_nbd_get_status(blk->remote, out);
}

bool gn_blk_connected(const struct gn_blk *blk)
{
	return __atomic_load_n(&blk->vid, __ATOMIC_RELAXED) >= 0;
}

/* ---- what runs on the lcore for a control thread ----------------------------- */

struct order {
	struct gn_blk *blk;
	struct gn_disk_meter *meter;
	struct gn_blk_stats *stats;
	bool take;
};

static void call_set_meter(void *arg)
{
	struct order *order = arg;

	order->blk->meter = order->meter;
	for (unsigned i = 0; i < order->blk->n_queues; i++)
		order->blk->queues[i].throttled_until = 0; /* ask the new one at once */
	order->blk->users_throttled_until = 0;
}

void gn_blk_set_meter(struct gn_blk *blk, struct gn_disk_meter *meter)
{
	struct order order = {.blk = blk, .meter = meter};

	gn_worker_call(blk->worker, call_set_meter, &order);
}

static void call_read_stats(void *arg)
{
	struct order *order = arg;
	struct gn_blk_stats *stats = &order->blk->stats;

	stats->in_flight = order->blk->n_taken + order->blk->n_users_flying;
	*order->stats = *stats;
	if (order->take)
		stats->queue_depth_max = order->blk->n_taken;
}

static void read_stats(struct gn_blk *blk, struct gn_blk_stats *out, bool take)
{
	struct order order = {.blk = blk, .stats = out, .take = take};

	gn_worker_call(blk->worker, call_read_stats, &order);
}

void gn_blk_get_stats(struct gn_blk *blk, struct gn_blk_stats *out)
{
	read_stats(blk, out, false);
}

void gn_blk_take_stats(struct gn_blk *blk, struct gn_blk_stats *out)
{
	read_stats(blk, out, true);
}
