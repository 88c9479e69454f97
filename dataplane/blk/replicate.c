/* replicate.c - a device's shadow: puts a mirror (volume/mirror.h) between the device and its
 * store, and takes it away, while the VM uses the disk.
 *
 * The mirror works on when no front end is there, so it is polled by a pollable of its own; while
 * the device is on the worker that one leaves the polling to it, since requests must end
 * inside the device's poll. Its memory is in the hands of the kernel while anything is in
 * flight: one whose store hangs is never freed, at worst it is left behind. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "dataplane/blk/device.h"
#include "dataplane/volume/journal.h"
#include "dataplane/volume/lease_file.h"
#include "dataplane/volume/snapshot.h"
#include "firmware/core/clock.h"

#define RAM_BYTES           (16u << 20)
#define JOURNAL_BYTES       (64u << 20)
#define MIN_JOURNAL_BYTES   (2 * RAM_BYTES)
#define STORE_DEPTH         64u
#define MAX_SLEEP_US        5000u
#define CLEAN_STOP_MS       3000u
#define HURRIED_STOP_MS     2000u
#define SHADOW_LOCK_WAIT_MS 5000u
#define HOLD_LOOK_US        200u
#define REMOTE_GIVE_UP_MS   8000u

struct gn_blk_mirror {
	struct gn_pollable pollable;
	struct gn_blk *blk;
	struct gn_vmirror *mirror;
	struct gn_snapshots *snapshots;
	char *shadow_path, *journal_path; /* the first may be an address */
	uint64_t token;
	uint64_t holder; /* of the lease: this volume on this card */
	int lease_fd;    /* holds the shadow's lock */
	bool is_added;
};

/* ---- on the lcore ------------------------------------------------------------ */

static struct gn_volume *volume_of(struct gn_pollable *pollable)
{
	return gn_vmirror_volume(((struct gn_blk_mirror *)pollable)->mirror);
}

/* False while the device polls it, and before it is in its place and after. */
static bool polls(const struct gn_pollable *pollable)
{
	const struct gn_blk_mirror *replica = (const struct gn_blk_mirror *)pollable;

	return !replica->blk->is_added &&
	       replica->blk->volume == gn_vmirror_volume(replica->mirror);
}

static unsigned poll_mirror(struct gn_pollable *pollable, uint64_t now)
{
	(void)now;
	return polls(pollable) ? gn_volume_poll(volume_of(pollable)) : 0;
}

static bool arm_mirror(struct gn_pollable *pollable)
{
	struct gn_volume *volume = volume_of(pollable);

	return !polls(pollable) || volume->ops->arm(volume);
}

static void disarm_mirror(struct gn_pollable *pollable)
{
	struct gn_volume *volume = volume_of(pollable);

	if (polls(pollable))
		volume->ops->disarm(volume);
}

struct order {
	struct gn_blk_mirror *replica;
	struct gn_vmirror_status *status;
	enum gn_vmirror_mode mode;
	uint64_t rate;
	bool result;
	enum gn_vmirror_hold hold;
	uint64_t wall_us;
	struct gn_vmirror_verify *verify;
	struct gn_vmirror_verify_status *verify_status;
	int error;
};

static void call_add(void *arg)
{
	struct order *order = arg;
	struct gn_blk_mirror *replica = order->replica;

	order->result = gn_worker_add(replica->blk->worker, &replica->pollable) == 0;
	replica->is_added = order->result;
}

static void call_remove(void *arg)
{
	struct order *order = arg;

	if (order->replica->is_added)
		gn_worker_remove(order->replica->blk->worker, &order->replica->pollable);
	order->replica->is_added = false;
}

static void call_stop(void *arg)
{
	gn_vmirror_stop(((struct order *)arg)->replica->mirror, false);
}

static void call_hurry(void *arg)
{
	gn_vmirror_stop(((struct order *)arg)->replica->mirror, true);
}

static void call_abandon(void *arg)
{
	gn_vmirror_abandon(((struct order *)arg)->replica->mirror);
}

static void call_is_idle(void *arg)
{
	struct order *order = arg;

	order->result = gn_vmirror_is_idle(order->replica->mirror);
}

static void call_status(void *arg)
{
	struct order *order = arg;

	gn_vmirror_get_status(order->replica->mirror, order->status);
}

static void call_set_mode(void *arg)
{
	struct order *order = arg;

	gn_vmirror_set_mode(order->replica->mirror, order->mode, order->rate);
}

static void call_hold(void *arg)
{
	gn_vmirror_hold(((struct order *)arg)->replica->mirror);
}

static void call_held(void *arg)
{
	struct order *order = arg;

	order->hold = gn_vmirror_held(order->replica->mirror, &order->wall_us);
}

static void call_release(void *arg)
{
	gn_vmirror_release(((struct order *)arg)->replica->mirror);
}

static void call_start_verify(void *arg)
{
	struct order *order = arg;

	order->error = gn_vmirror_verify_start(order->replica->mirror, &order->verify);
}

static void call_cancel_verify(void *arg)
{
	gn_vmirror_verify_cancel(((struct order *)arg)->replica->mirror);
}

static void call_verify_status(void *arg)
{
	struct order *order = arg;

	gn_vmirror_get_verify(order->replica->mirror, order->verify_status);
}

static bool wait_idle(struct gn_blk_mirror *replica, unsigned limit_ms)
{
	struct order order = {.replica = replica};

	for (unsigned ms = 0; ms < limit_ms; ms += 2) {
		gn_worker_call(replica->blk->worker, call_is_idle, &order);
		if (order.result)
			return true;
		gn_worker_wake(replica->blk->worker);
		usleep(2000);
	}
	return false;
}

/* ---- opening ----------------------------------------------------------------- */

static uint64_t mono_us(void *clock)
{
	(void)clock;
	return gn_clock_monotonic_us();
}

static uint64_t wall_us(void *clock)
{
	(void)clock;
	return gn_clock_wall_us();
}

/* Makes the journal's file when it is not there. One that is keeps its size. */
static int make_journal(const struct gn_blk_replica *config, struct gn_status *status)
{
	uint64_t size = config->journal_bytes ? config->journal_bytes : JOURNAL_BYTES;
	struct stat st;
	int fd, err = 0;

	if (size < MIN_JOURNAL_BYTES)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "a journal of %llu bytes is too small; choose %u or more",
		                     (unsigned long long)size, MIN_JOURNAL_BYTES);
	fd = open(config->journal_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) != 0)
		err = -errno;
	/* Room is taken now: it must not run out when the shadow is slow. */
	if (!err && !st.st_size)
		err = -posix_fallocate(fd, 0, (off_t)(size + GN_VMIRROR_META_BYTES));
	if (err)
		gn_status_set(status, gn_code_from_errno(err), "journal '%s': %s",
		              config->journal_path, strerror(-err));
	if (err && fd >= 0 && !st.st_size)
		unlink(config->journal_path);
	if (fd >= 0)
		close(fd);
	return err;
}

/* Requests that a lost link leaves behind must end before the shadow is tried again. */
static int open_remote(const struct gn_blk *blk, const struct gn_volume_nbd_config *config,
                       bool restores, struct gn_volume **out, struct gn_status *status)
{
	struct gn_volume_nbd_config remote = *config;

	remote.depth = STORE_DEPTH;
	remote.read_only = false;
	remote.give_up_ms = REMOTE_GIVE_UP_MS;
	remote.may_be_larger = true;
	/* After a restart the VM's disk does not wait for the shadow's server. */
	remote.size_bytes = restores ? blk->volume->size_bytes : 0;
	remote.block_bytes = blk->volume->block_bytes;
	return gn_volume_nbd_create(&remote, out, status);
}

static int open_store(const char *path, struct gn_volume **out, unsigned lock_wait_ms,
                      struct gn_status *status)
{
	const struct gn_volume_file_config config = {
	        .path = path, .depth = STORE_DEPTH, .lock_wait_ms = lock_wait_ms};

	return gn_volume_file_create(&config, out, status);
}

static void free_replica(struct gn_blk_mirror *replica)
{
	gn_snapshots_destroy(replica->snapshots);
	if (replica->lease_fd >= 0)
		close(replica->lease_fd);
	free(replica->shadow_path);
	free(replica->journal_path);
	free(replica);
}

static int make_mirror(struct gn_blk_mirror *replica, const struct gn_blk_replica *config,
                       struct gn_volume *shadow, struct gn_volume *journal,
                       struct gn_status *status)
{
	struct gn_blk *blk = replica->blk;
	struct gn_vmirror_config mirror = {
	        .primary = blk->volume,
	        .shadow = shadow,
	        .journal = journal,
	        .mode = config->mode,
	        .token = config->token,
	        .holder = replica->holder,
	        .ram_bytes = RAM_BYTES,
	        .resync_bytes_per_s = config->resync_bytes_per_s,
	        .mono_us = mono_us,
	        .wall_us = wall_us,
	};

	if (!config->shadow_remote) {
		replica->snapshots = gn_snapshots_create(config->shadow_path, shadow->file_fd);
		if (!replica->snapshots)
			return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
			                     "no memory for a mirror");
		mirror.snapshots = gn_snapshots_ops(replica->snapshots);
	}
	return gn_vmirror_create(&mirror, &replica->mirror, status);
}

/* This volume on this card and no other. */
static uint64_t holder_of(const struct gn_blk *blk, const struct gn_blk_replica *config)
{
	char machine[33] = "";
	uint64_t hash;
	int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && read(fd, machine, sizeof machine - 1) < 0)
		machine[0] = '\0';
	if (fd >= 0)
		close(fd);
	hash = gn_journal_checksum(machine, strlen(machine), 0);
	if (config->card)
		hash = gn_journal_checksum(config->card, strlen(config->card), hash);
	return gn_journal_checksum(blk->name, strlen(blk->name), hash);
}

static const char *address_of(const struct gn_blk_replica *config)
{
	return config->shadow_remote ? config->shadow_remote->url : config->shadow_path;
}

static int fill(struct gn_blk_mirror *replica, const struct gn_blk_replica *config,
                unsigned lock_wait_ms, struct gn_status *status)
{
	const char *leased = config->shadow_remote ? config->journal_path : config->shadow_path;
	struct gn_volume *shadow = NULL, *journal = NULL;
	int err;

	replica->shadow_path = strdup(address_of(config));
	replica->journal_path = strdup(config->journal_path);
	replica->token = config->token;
	if (!replica->shadow_path || !replica->journal_path)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for a mirror");
	replica->holder = holder_of(replica->blk, config);
	err = gn_lease_file_attach(leased, config->token, replica->holder, lock_wait_ms,
	                           &replica->lease_fd, status);
	if (!err)
		err = make_journal(config, status);
	if (!err && config->shadow_remote)
		err = open_remote(replica->blk, config->shadow_remote, lock_wait_ms != 0, &shadow,
		                  status);
	else if (!err)
		err = open_store(config->shadow_path, &shadow, lock_wait_ms, status);
	if (!err)
		err = open_store(config->journal_path, &journal, lock_wait_ms, status);
	if (!err)
		err = make_mirror(replica, config, shadow, journal, status);
	if (err) {
		gn_volume_destroy(shadow);
		gn_volume_destroy(journal);
	}
	return err;
}

static struct gn_blk_mirror *make_replica(struct gn_blk *blk, const struct gn_blk_replica *config,
                                          unsigned lock_wait_ms, int *err, struct gn_status *status)
{
	struct gn_blk_mirror *replica = calloc(1, sizeof *replica);

	if (!replica) {
		*err = gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for a mirror");
		return NULL;
	}
	replica->blk = blk;
	replica->lease_fd = -1;
	*err = fill(replica, config, lock_wait_ms, status);
	if (*err) {
		free_replica(replica);
		return NULL;
	}
	replica->pollable = (struct gn_pollable){
	        .name = blk->name,
	        .poll = poll_mirror,
	        .arm = arm_mirror,
	        .disarm = disarm_mirror,
	        .fds = {gn_vmirror_volume(replica->mirror)->event_fd},
	        .n_fds = 1,
	        .max_sleep_us = MAX_SLEEP_US,
	};
	return replica;
}

/* The device reads and writes through 'volume' from now on. */
static void put_volume(struct gn_blk *blk, struct gn_volume *volume)
{
	bool ran;

	gn_mutex_lock(&blk->lock);
	ran = !blk->is_stopped;
	gn_blk_stop(blk);
	gn_blk_stop_users(blk);
	blk->volume = volume;
	gn_blk_run_users(blk);
	if (ran)
		gn_blk_run(blk);
	gn_mutex_unlock(&blk->lock);
}

static void set_problem(struct gn_blk *blk, const char *text)
{
	free(blk->replica_problem);
	blk->replica_problem = text ? strdup(text) : NULL;
}

static int attach(struct gn_blk *blk, const struct gn_blk_replica *config, unsigned lock_wait_ms,
                  struct gn_status *status)
{
	struct order order = {.replica = NULL};
	int err;

	order.replica = make_replica(blk, config, lock_wait_ms, &err, status);
	if (err)
		return err;
	gn_worker_call(blk->worker, call_add, &order);
	if (!order.result) {
		gn_vmirror_detach(order.replica->mirror);
		free_replica(order.replica);
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "the worker of volume '%s' polls too much already", blk->name);
	}
	put_volume(blk, gn_vmirror_volume(order.replica->mirror));
	blk->replica = order.replica;
	set_problem(blk, NULL);
	return 0;
}

void gn_blk_open_replica(struct gn_blk *blk, const struct gn_blk_replica *config)
{
	struct gn_status status = {.code = GN_OK};

	int err = attach(blk, config, SHADOW_LOCK_WAIT_MS, &status);

	if (!err)
		return;
	/* The VM's disk comes first; what it writes now nobody remembers. */
	unlink(config->journal_path);
	set_problem(blk, status.message);
	blk->is_fenced = err == -EPERM || err == -EBUSY; /* or another is at work on it */
}

int gn_blk_start_replica(struct gn_blk *blk, const struct gn_blk_replica *config,
                         struct gn_status *status)
{
	struct order order = {
	        .replica = blk->replica, .mode = config->mode, .rate = config->resync_bytes_per_s};

	if (!blk->replica) {
		/* A journal that is there is of a former mirror, without what came since. */
		if (unlink(config->journal_path) != 0 && errno != ENOENT)
			return gn_status_set(status, gn_code_from_errno(errno),
			                     "the old journal '%s' cannot be removed: %s",
			                     config->journal_path, strerror(errno));
		return attach(blk, config, 0, status);
	}
	if (strcmp(blk->replica->shadow_path, address_of(config)) != 0 ||
	    strcmp(blk->replica->journal_path, config->journal_path) != 0 ||
	    blk->replica->token != config->token) {
		gn_status_set(status, GN_ALREADY_EXISTS,
		              "volume '%s' is mirrored to '%s'; switch that off first", blk->name,
		              blk->replica->shadow_path);
		return -EEXIST;
	}
	gn_worker_call(blk->worker, call_set_mode, &order);
	return 0;
}

/* ---- ending ------------------------------------------------------------------ */

int gn_blk_stop_replica(struct gn_blk *blk, struct gn_status *status)
{
	struct order order = {.replica = blk->replica};

	set_problem(blk, NULL);
	if (!blk->replica)
		return 0;
	/* Whatever happens from here on, the next mirror copies everything. */
	unlink(blk->replica->journal_path);
	gn_worker_call(blk->worker, call_abandon, &order);
	if (!wait_idle(blk->replica, HURRIED_STOP_MS)) {
		gn_status_set(status, GN_UNAVAILABLE,
		              "the shadow '%s' of volume '%s' does not answer; try again",
		              blk->replica->shadow_path, blk->name);
		return -EBUSY;
	}
	/* Nothing but the guest's own requests is in flight any more, and those put_volume awaits.
	 */
	gn_worker_call(blk->worker, call_remove, &order);
	put_volume(blk, gn_vmirror_primary(blk->replica->mirror));
	gn_vmirror_detach(blk->replica->mirror);
	free_replica(blk->replica);
	blk->replica = NULL;
	return 0;
}

void gn_blk_close_replica(struct gn_blk *blk)
{
	struct gn_blk_mirror *replica = blk->replica;
	struct order order = {.replica = replica};
	bool is_idle;

	if (!replica)
		return;
	gn_worker_call(blk->worker, call_stop, &order);
	is_idle = wait_idle(replica, CLEAN_STOP_MS);
	if (!is_idle) {
		gn_worker_call(blk->worker, call_hurry, &order);
		is_idle = wait_idle(replica, HURRIED_STOP_MS);
	}
	gn_worker_call(blk->worker, call_remove, &order);
	blk->volume = gn_vmirror_primary(replica->mirror);
	blk->replica = NULL;
	if (!is_idle)
		return; /* left behind: the kernel may still read from its memory */
	gn_vmirror_detach(replica->mirror);
	free_replica(replica);
}

/* ---- consistent points ------------------------------------------------------- */

static int open_point(const struct gn_blk_mirror *replica, enum gn_vmirror_hold hold, int *fd)
{
	char path[4096];

	if (replica->shadow_path[0] != '/')
		return -EOPNOTSUPP; /* at another server */
	snprintf(path, sizeof path, "%s%s", replica->shadow_path,
	         hold == GN_VMIRROR_HOLD_SNAPSHOT ? ".point" : "");
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	/* The snapshot went between the two looks: the shadow is the point again. */
	return errno == ENOENT ? -EAGAIN : -errno;
}

bool gn_blk_shadow_is_point(struct gn_blk *blk)
{
	struct order order = {.replica = blk->replica};

	gn_worker_call(blk->worker, call_held, &order);
	return order.hold == GN_VMIRROR_HOLD_WAIT || order.hold == GN_VMIRROR_HOLD_SHADOW;
}

int gn_blk_hold_point(struct gn_blk *blk, uint64_t until_us, int *fd, bool *of_snapshot,
                      uint64_t *wall_us)
{
	struct order order = {.replica = blk->replica};
	int err;

	gn_worker_call(blk->worker, call_hold, &order);
	for (;;) {
		gn_worker_call(blk->worker, call_held, &order);
		if (order.hold != GN_VMIRROR_HOLD_WAIT || gn_clock_monotonic_us() > until_us)
			break;
		usleep(HOLD_LOOK_US);
	}
	if (order.hold == GN_VMIRROR_HOLD_SHADOW || order.hold == GN_VMIRROR_HOLD_SNAPSHOT)
		err = open_point(blk->replica, order.hold, fd);
	else
		err = order.hold == GN_VMIRROR_HOLD_WAIT ? -ETIME : -EAGAIN;
	*of_snapshot = order.hold == GN_VMIRROR_HOLD_SNAPSHOT;
	*wall_us = order.wall_us;
	if (err)
		gn_worker_call(blk->worker, call_release, &order);
	return err;
}

void gn_blk_release_point(struct gn_blk *blk)
{
	struct order order = {.replica = blk->replica};

	gn_worker_call(blk->worker, call_release, &order);
	gn_worker_wake(blk->worker);
}

struct gn_volume *gn_blk_store(struct gn_blk *blk)
{
	return blk->replica ? gn_vmirror_primary(blk->replica->mirror) : blk->volume;
}

struct gn_volume *gn_blk_shadow_store(struct gn_blk *blk)
{
	return gn_vmirror_shadow(blk->replica->mirror);
}

/* ---- looking ----------------------------------------------------------------- */

bool gn_blk_replica_status(struct gn_blk *blk, struct gn_vmirror_status *out, const char **problem)
{
	struct order order = {.replica = blk->replica, .status = out};

	if (problem)
		*problem = blk->replica_problem ? blk->replica_problem : "";
	if (!blk->replica) {
		*out = (struct gn_vmirror_status){.state = GN_REPLICA_STALE,
		                                  .reason = blk->is_fenced ? GN_REPLICA_LEASE
		                                                           : GN_REPLICA_SHADOW};
		return false;
	}
	gn_worker_call(blk->worker, call_status, &order);
	return true;
}

/* ---- comparing --------------------------------------------------------------- */

int gn_blk_start_verify(struct gn_blk *blk, bool repairs, uint64_t bytes_per_s,
                        struct gn_status *status)
{
	struct order order = {.replica = blk->replica};

	if (!blk->replica) {
		gn_status_set(status, GN_FAILED_PRECONDITION,
		              "volume '%s' has no shadow to compare with; mirror it first",
		              blk->name);
		return -ENOENT;
	}
	order.verify = gn_vmirror_verify_create(blk->replica->mirror, repairs, bytes_per_s);
	if (!order.verify)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "no memory to compare volume '%s' with its shadow", blk->name);
	gn_worker_call(blk->worker, call_start_verify, &order);
	gn_vmirror_verify_destroy(order.verify);
	if (order.error)
		gn_status_set(status, GN_FAILED_PRECONDITION,
		              "volume '%s' is being compared with its shadow already; wait for "
		              "that, or cancel it",
		              blk->name);
	gn_worker_wake(blk->worker);
	return order.error;
}

void gn_blk_cancel_verify(struct gn_blk *blk)
{
	struct order order = {.replica = blk->replica};

	if (blk->replica)
		gn_worker_call(blk->worker, call_cancel_verify, &order);
}

void gn_blk_verify_status(struct gn_blk *blk, struct gn_vmirror_verify_status *out)
{
	struct order order = {.replica = blk->replica, .verify_status = out};

	*out = (struct gn_vmirror_verify_status){.state = GN_VMIRROR_VERIFY_NONE};
	if (blk->replica)
		gn_worker_call(blk->worker, call_verify_status, &order);
}

void gn_blk_check_replica(struct gn_blk *blk)
{
	struct gn_vmirror_status status;

	if (gn_blk_replica_status(blk, &status, NULL) && !status.tracked)
		unlink(blk->replica->journal_path);
}
