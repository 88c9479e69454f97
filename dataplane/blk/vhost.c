/* vhost.c - the front end's messages: which rings run, where guest memory is, what the
 * disk looks like.
 *
 * rte_vhost handles the protocol on a thread of its own, one for all devices, and holds
 * locks of the rings while it does. The lcore takes none of them, so this thread may wait for
 * the lcore. Around every message that may change rings or memory the device is stopped and run
 * again (attach.c). That does not depend on rte_vhost's own callbacks, which come too late for a
 * new memory table and not at all for a device of which the guest's firmware uses one ring of
 * several. */
#include "dataplane/blk/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <rte_vhost.h>
#include "dataplane/guard/guard.h"
#include "dataplane/guard/message.h"
#include "dataplane/guard/socket.h"
#include "dataplane/ram/ram.h"

#define CONFIG_SIZE 256u
#define NEED_REPLY  (1u << 3)

/* Requests of the vhost-user specification ("Front-end message types"). */
enum {
	SET_FEATURES = 2,
	RESET_OWNER = 4,
	SET_MEM_TABLE = 5,
	SET_LOG_BASE = 6,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	GET_QUEUE_NUM = 17,
	SET_SLAVE_REQ_FD = 21,
	GET_CONFIG = 24,
	SET_CONFIG = 25,
	GET_INFLIGHT_FD = 31,
	SET_INFLIGHT_FD = 32,
};

#define SLAVE_CONFIG_CHANGE 2u /* a "back-end message type" */
#define WIRE_VERSION        1u

/* A message as it is on the wire, which is also what rte_vhost hands out. */
struct message {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
	union {
		uint64_t u64;
		struct {
			uint32_t index;
			uint32_t num;
		} state;
		struct {
			uint32_t offset;
			uint32_t size;
			uint32_t flags;
			uint8_t region[CONFIG_SIZE];
		} config;
	} payload;
} __attribute__((packed));

/* Devices by socket (to find a connection's) and by connection. Lock order: this one, a
 * device's, then those of guard and ram. */
static struct gn_mutex registry_lock = GN_MUTEX_INITIALIZER;
static struct {
	struct gn_blk *by_vid[RTE_MAX_VHOST_DEVICE];
	struct gn_blk **open;
	size_t n_open;
} registry GN_GUARDED_BY(registry_lock);

static struct gn_blk *of_vid(int vid)
{
	struct gn_blk *blk = NULL;

	gn_mutex_lock(&registry_lock);
	if (vid >= 0 && vid < RTE_MAX_VHOST_DEVICE)
		blk = registry.by_vid[vid];
	gn_mutex_unlock(&registry_lock);
	return blk;
}

/* A device's lock is held by its callers. */
static enum rte_vhost_msg_result set_inflight(struct gn_blk *blk, struct gn_guard_message *message)
        GN_REQUIRES(blk->lock);
static void prepare_change(struct gn_blk *blk, const struct message *message)
        GN_REQUIRES(blk->lock);
static int adopt(struct gn_blk *blk, int vid) GN_REQUIRES(registry_lock) GN_REQUIRES(blk->lock);

/* ---- messages ---------------------------------------------------------------- */

static void fill_config(const struct gn_blk *blk, struct virtio_blk_config *config)
{
	uint32_t physical = blk->volume->physical_block_bytes / blk->limits.block_bytes;

	memset(config, 0, sizeof *config);
	config->capacity = blk->limits.capacity_bytes / GN_VOLUME_SECTOR_SIZE;
	config->seg_max = GN_BLK_MAX_SEGMENTS;
	config->blk_size = blk->limits.block_bytes;
	if (physical > 1)
		config->physical_block_exp = (uint8_t)__builtin_ctz(physical);
	config->min_io_size = (uint16_t)(physical ? physical : 1);
	config->num_queues = (uint16_t)blk->n_queues;
	config->max_discard_sectors = GN_BLK_MAX_RANGE_SECTORS;
	config->max_discard_seg = 1;
	config->discard_sector_alignment =
	        blk->volume->physical_block_bytes / GN_VOLUME_SECTOR_SIZE;
	config->max_write_zeroes_sectors = GN_BLK_MAX_RANGE_SECTORS;
	config->max_write_zeroes_seg = 1;
	config->write_zeroes_may_unmap = 1;
}

static enum rte_vhost_msg_result get_config(const struct gn_blk *blk, struct message *message)
{
	uint8_t space[CONFIG_SIZE] = {0};
	uint32_t offset = message->payload.config.offset;
	uint32_t size = message->payload.config.size;

	if (message->size < 12 || size > CONFIG_SIZE || offset > CONFIG_SIZE - size) {
		message->size = 0; /* the specification's way to say no */
		return RTE_VHOST_MSG_RESULT_REPLY;
	}
	fill_config(blk, (struct virtio_blk_config *)space);
	memcpy(message->payload.config.region, space + offset, size);
	message->size = 12 + size;
	return RTE_VHOST_MSG_RESULT_REPLY;
}

/* Nothing in the configuration can be written, and a guest that tries must not cost it the
 * connection. */
static enum rte_vhost_msg_result set_config(const struct message *message)
{
	return message->flags & NEED_REPLY ? RTE_VHOST_MSG_RESULT_ERR : RTE_VHOST_MSG_RESULT_OK;
}

static enum rte_vhost_msg_result get_queue_num(const struct gn_blk *blk, struct message *message)
{
	message->payload.u64 = blk->n_queues;
	message->size = sizeof message->payload.u64;
	return RTE_VHOST_MSG_RESULT_REPLY;
}

/* The descriptor is closed once it has been sent (on_after). */
static enum rte_vhost_msg_result get_inflight(struct gn_blk *blk, struct gn_guard_message *message)
{
	uint64_t size_bytes;
	int fd = gn_blk_inflight_make(message->payload.inflight.n_queues,
	                              message->payload.inflight.queue_size, &size_bytes);

	if (fd < 0)
		return RTE_VHOST_MSG_RESULT_ERR;
	message->payload.inflight.mmap_size = size_bytes;
	message->payload.inflight.mmap_offset = 0;
	message->fds[0] = fd;
	message->n_fds = 1;
	blk->sent_fd = fd;
	return RTE_VHOST_MSG_RESULT_REPLY;
}

static enum rte_vhost_msg_result set_inflight(struct gn_blk *blk, struct gn_guard_message *message)
{
	int err = gn_blk_inflight_map(
	        &blk->inflight, message->fds[0], message->payload.inflight.mmap_offset,
	        message->payload.inflight.mmap_size, message->payload.inflight.n_queues,
	        message->payload.inflight.queue_size);

	close(message->fds[0]);
	message->n_fds = 0;
	if (!err)
		return RTE_VHOST_MSG_RESULT_OK;
	gn_blk_count_rejected(blk);
	blk->in_message = false; /* on_after is not called */
	gn_blk_run(blk);
	return RTE_VHOST_MSG_RESULT_ERR;
}

static bool changes_rings(uint32_t request)
{
	switch (request) {
	case SET_FEATURES:
	case RESET_OWNER:
	case SET_MEM_TABLE:
	case SET_LOG_BASE:
	case SET_VRING_NUM:
	case SET_VRING_ADDR:
	case SET_VRING_BASE:
	case GET_VRING_BASE:
	case SET_INFLIGHT_FD: /* and it is all ours, see inflight.h */
		return true;
	default:
		return false;
	}
}

static void prepare_change(struct gn_blk *blk, const struct message *message)
{
	blk->in_message = changes_rings(message->request);
	if (!blk->in_message)
		return;
	gn_blk_stop(blk);
	if (message->request == RESET_OWNER) {
		memset(blk->is_ready, 0, sizeof blk->is_ready);
		gn_blk_inflight_unmap(&blk->inflight);
	}
	if (message->request == RESET_OWNER || message->request == SET_MEM_TABLE)
		blk->has_memory = false;
	if (message->request == GET_VRING_BASE && message->payload.state.index < blk->n_queues)
		blk->is_ready[message->payload.state.index] = false;
}

/* The front end may keep a hand on it, so it is never sent to but with MSG_DONTWAIT. */
static void set_back_channel(struct gn_blk *blk, const struct gn_guard_message *message)
{
	if (blk->back_fd >= 0)
		close(blk->back_fd);
	blk->back_fd =
	        message && message->n_fds == 1 ? fcntl(message->fds[0], F_DUPFD_CLOEXEC, 0) : -1;
}

static enum rte_vhost_msg_result on_before(int vid, void *msg)
{
	struct gn_blk *blk = of_vid(vid);
	struct message *message = msg;
	enum rte_vhost_msg_result result = RTE_VHOST_MSG_RESULT_NOT_HANDLED;

	if (!blk)
		return RTE_VHOST_MSG_RESULT_ERR;
	if (gn_guard_check(vid, msg)) {
		gn_blk_count_rejected(blk);
		return RTE_VHOST_MSG_RESULT_ERR;
	}
	gn_mutex_lock(&blk->lock);
	prepare_change(blk, message);
	switch (message->request) {
	case GET_CONFIG:
		result = get_config(blk, message);
		break;
	case SET_CONFIG:
		result = set_config(message);
		break;
	case GET_QUEUE_NUM:
		result = get_queue_num(blk, message);
		break;
	case GET_INFLIGHT_FD:
		result = get_inflight(blk, msg);
		break;
	case SET_INFLIGHT_FD:
		result = set_inflight(blk, msg);
		break;
	case SET_SLAVE_REQ_FD:
		set_back_channel(blk, msg);
		break;
	default:
		break;
	}
	gn_mutex_unlock(&blk->lock);
	return result;
}

static enum rte_vhost_msg_result on_after(int vid, void *msg)
{
	struct gn_blk *blk = of_vid(vid);
	const struct message *message = msg;

	if (!blk)
		return RTE_VHOST_MSG_RESULT_ERR;
	gn_mutex_lock(&blk->lock);
	blk->in_message = false;
	if (message->request == SET_MEM_TABLE) {
		blk->has_memory = true;
		gn_ram_offer(blk->socket_path, vid);
	}
	if (message->request == GET_INFLIGHT_FD)
		close(blk->sent_fd);
	gn_blk_run(blk);
	gn_mutex_unlock(&blk->lock);
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

/* ---- connections ------------------------------------------------------------- */

static const struct rte_vhost_user_extern_ops message_ops = {
        .pre_msg_handle = on_before,
        .post_msg_handle = on_after,
};

GN_REQUIRES(registry_lock) static struct gn_blk *of_socket(const char *path)
{
	for (size_t i = 0; i < registry.n_open; i++)
		if (!strcmp(registry.open[i]->socket_path, path))
			return registry.open[i];
	return NULL;
}

/* One front end at a time: a second one would be a second writer, as a user that writes is. But one
 * whose peer is gone gives way, although rte_vhost may tell of its end later than of its successor.
 */
static int adopt(struct gn_blk *blk, int vid)
{
	if (blk->is_closing || blk->is_reserved || blk->writer ||
	    gn_guard_open(vid, blk->n_queues) != 0)
		return -1;
	if (rte_vhost_extern_callback_register(vid, &message_ops, NULL) != 0) {
		gn_guard_close(vid);
		return -1;
	}
	gn_blk_stop(blk);
	gn_blk_inflight_unmap(&blk->inflight);
	if (blk->vid >= 0)
		registry.by_vid[blk->vid] = NULL;
	registry.by_vid[vid] = blk;
	blk->vid = vid;
	blk->in_message = false;
	blk->has_memory = false;
	memset(blk->is_ready, 0, sizeof blk->is_ready);
	return 0;
}

static int on_connect(int vid)
{
	char path[GN_BLK_PATH_MAX];
	struct gn_blk *blk;
	int err = -1;

	if (rte_vhost_get_ifname(vid, path, sizeof path) != 0)
		return -1;
	gn_mutex_lock(&registry_lock);
	blk = of_socket(path);
	if (blk) {
		gn_mutex_lock(&blk->lock);
		err = adopt(blk, vid);
		gn_mutex_unlock(&blk->lock);
	}
	gn_mutex_unlock(&registry_lock);
	return err;
}

static void on_disconnect(int vid)
{
	struct gn_blk *blk = of_vid(vid);

	gn_guard_close(vid);
	if (!blk)
		return;
	gn_mutex_lock(&blk->lock);
	gn_blk_stop(blk);
	gn_blk_inflight_unmap(&blk->inflight);
	gn_ram_revoke(blk->socket_path);
	set_back_channel(blk, NULL);
	blk->vid = -1;
	gn_mutex_unlock(&blk->lock);
	gn_mutex_lock(&registry_lock);
	registry.by_vid[vid] = NULL;
	gn_mutex_unlock(&registry_lock);
}

static int on_ring_state(int vid, uint16_t index, int enable)
{
	struct gn_blk *blk = of_vid(vid);

	if (!blk || index >= blk->n_queues)
		return 0;
	gn_mutex_lock(&blk->lock);
	gn_blk_stop(blk);
	blk->is_ready[index] = enable;
	if (!blk->in_message)
		gn_blk_run(blk);
	gn_mutex_unlock(&blk->lock);
	return 0;
}

static const struct rte_vhost_device_ops device_ops = {
        .new_connection = on_connect,
        .destroy_connection = on_disconnect,
        .vring_state_changed = on_ring_state,
};

/* A front end without a channel for it, or one that does not read it, learns the size when it
 * connects next. (rte_vhost's own function for it waits until there is room.) */
void gn_blk_tell_config(struct gn_blk *blk)
{
	const uint32_t message[3] = {SLAVE_CONFIG_CHANGE, WIRE_VERSION, 0};

	if (blk->back_fd >= 0 &&
	    send(blk->back_fd, message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		gn_blk_count_rejected(blk);
}

/* ---- open, close ------------------------------------------------------------- */

static int enter_registry(struct gn_blk *blk)
{
	struct gn_blk **grown;

	gn_mutex_lock(&registry_lock);
	grown = realloc(registry.open, (registry.n_open + 1) * sizeof(*grown));
	if (grown) {
		registry.open = grown;
		grown[registry.n_open++] = blk;
	}
	gn_mutex_unlock(&registry_lock);
	return grown ? 0 : -ENOMEM;
}

static void leave_registry(struct gn_blk *blk)
{
	gn_mutex_lock(&registry_lock);
	for (size_t i = 0; i < registry.n_open; i++)
		if (registry.open[i] == blk)
			registry.open[i--] = registry.open[--registry.n_open];
	for (size_t i = 0; i < RTE_MAX_VHOST_DEVICE; i++)
		if (registry.by_vid[i] == blk)
			registry.by_vid[i] = NULL;
	gn_mutex_unlock(&registry_lock);
}

static uint64_t features_of(const struct gn_blk *blk)
{
	uint64_t features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_INDIRECT_DESC |
	                    1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_BLK_F_SEG_MAX |
	                    1ull << VIRTIO_BLK_F_BLK_SIZE | 1ull << VIRTIO_BLK_F_TOPOLOGY |
	                    1ull << VIRTIO_BLK_F_FLUSH | 1ull << VHOST_F_LOG_ALL |
	                    1ull << VHOST_USER_F_PROTOCOL_FEATURES;

	if (blk->n_queues > 1)
		features |= 1ull << VIRTIO_BLK_F_MQ;
	if (blk->limits.read_only)
		return features | 1ull << VIRTIO_BLK_F_RO;
	return features | 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
}

static int listen_on(struct gn_blk *blk, struct gn_status *status)
{
	static const uint64_t protocol =
	        1ull << VHOST_USER_PROTOCOL_F_MQ | 1ull << VHOST_USER_PROTOCOL_F_LOG_SHMFD |
	        1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK | 1ull << VHOST_USER_PROTOCOL_F_CONFIG |
	        1ull << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD |
	        1ull << VHOST_USER_PROTOCOL_F_SLAVE_REQ; /* for gn_blk_tell_config() */
	const char *path = blk->socket_path;
	mode_t mask;
	int err;

	if (rte_vhost_driver_register(path, 0) != 0)
		return gn_status_set(
		        status, GN_RESOURCE_EXHAUSTED,
		        "socket '%s' cannot be registered; too many are open, or it is "
		        "used by another port or volume",
		        path);
	if (rte_vhost_driver_set_features(path, features_of(blk)) == 0 &&
	    rte_vhost_driver_set_protocol_features(path, protocol) == 0 &&
	    rte_vhost_driver_callback_register(path, &device_ops) == 0) {
		mask = umask(0077); /* who may connect may read and write the disk */
		err = rte_vhost_driver_start(path);
		umask(mask);
		if (!err)
			return 0;
	}
	rte_vhost_driver_unregister(path);
	return gn_status_set(status, GN_UNAVAILABLE,
	                     "socket '%s' cannot be listened on; see that its directory exists and "
	                     "is writable",
	                     path);
}

int gn_blk_vhost_open(struct gn_blk *blk, struct gn_status *status)
{
	int err = gn_guard_clear_socket(blk->socket_path, status);

	if (err)
		return err;
	err = enter_registry(blk);
	if (err)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for a volume");
	err = listen_on(blk, status);
	if (err)
		leave_registry(blk);
	return err;
}

/* rte_vhost_driver_unregister() tells of no disconnection, so the device is stopped first;
 * and it waits for callbacks that run, so no lock may be held. */
void gn_blk_vhost_close(struct gn_blk *blk)
{
	gn_mutex_lock(&blk->lock);
	blk->is_closing = true;
	gn_blk_stop(blk);
	gn_mutex_unlock(&blk->lock);
	rte_vhost_driver_unregister(blk->socket_path);
	gn_mutex_lock(&blk->lock);
	set_back_channel(blk, NULL);
	blk->vid = -1;
	gn_mutex_unlock(&blk->lock);
	gn_blk_inflight_unmap(&blk->inflight);
	gn_guard_forget(blk->socket_path);
	leave_registry(blk);
}
