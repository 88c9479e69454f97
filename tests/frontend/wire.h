/* wire.h - vhost-user messages on a unix socket, as the front end sends them.
 *
 * Layouts are those of QEMU's docs/interop/vhost-user.rst; little-endian hosts only.
 * Nothing is checked on the way out, so that a test can also send nonsense: 'size' of a
 * message may lie, descriptors may be missing or too many.
 * Threads: one owner per socket. */
#ifndef GN_TESTS_FRONTEND_WIRE_H
#define GN_TESTS_FRONTEND_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <linux/vhost_types.h>

enum gn_wire_request {
	GN_WIRE_GET_FEATURES = 1,
	GN_WIRE_SET_FEATURES = 2,
	GN_WIRE_SET_OWNER = 3,
	GN_WIRE_RESET_OWNER = 4,
	GN_WIRE_SET_MEM_TABLE = 5,
	GN_WIRE_SET_LOG_BASE = 6,
	GN_WIRE_SET_LOG_FD = 7,
	GN_WIRE_SET_VRING_NUM = 8,
	GN_WIRE_SET_VRING_ADDR = 9,
	GN_WIRE_SET_VRING_BASE = 10,
	GN_WIRE_GET_VRING_BASE = 11,
	GN_WIRE_SET_VRING_KICK = 12,
	GN_WIRE_SET_VRING_CALL = 13,
	GN_WIRE_SET_VRING_ERR = 14,
	GN_WIRE_GET_PROTOCOL_FEATURES = 15,
	GN_WIRE_SET_PROTOCOL_FEATURES = 16,
	GN_WIRE_GET_QUEUE_NUM = 17,
	GN_WIRE_SET_VRING_ENABLE = 18,
	GN_WIRE_SEND_RARP = 19,
	GN_WIRE_NET_SET_MTU = 20,
	GN_WIRE_SET_SLAVE_REQ_FD = 21,
	GN_WIRE_IOTLB_MSG = 22,
	GN_WIRE_GET_CONFIG = 24,
	GN_WIRE_SET_CONFIG = 25,
	GN_WIRE_POSTCOPY_ADVISE = 28,
	GN_WIRE_POSTCOPY_LISTEN = 29,
	GN_WIRE_POSTCOPY_END = 30,
	GN_WIRE_GET_INFLIGHT_FD = 31,
	GN_WIRE_SET_INFLIGHT_FD = 32,
	GN_WIRE_RESET_DEVICE = 34,
	GN_WIRE_ADD_MEM_REG = 37,
	GN_WIRE_REM_MEM_REG = 38,
	GN_WIRE_SET_STATUS = 39,
	GN_WIRE_GET_STATUS = 40,
};

/* Bits of 'flags'. */
#define GN_WIRE_VERSION    0x1u
#define GN_WIRE_REPLY      0x4u
#define GN_WIRE_NEED_REPLY 0x8u

/* Protocol features, bit numbers. */
enum gn_wire_protocol_feature {
	GN_WIRE_F_MQ = 0,
	GN_WIRE_F_LOG_SHMFD = 1,
	GN_WIRE_F_RARP = 2,
	GN_WIRE_F_REPLY_ACK = 3,
	GN_WIRE_F_MTU = 4,
	GN_WIRE_F_SLAVE_REQ = 5,
	GN_WIRE_F_CONFIG = 9,
	GN_WIRE_F_INFLIGHT_SHMFD = 12,
	GN_WIRE_F_RESET_DEVICE = 13,
	GN_WIRE_F_STATUS = 16,
};

/* The virtio feature bit that says protocol features exist. */
#define GN_WIRE_F_PROTOCOL_FEATURES 30

/* In the index of SET_VRING_KICK, CALL and ERR: no descriptor comes with it. */
#define GN_WIRE_NO_FD 0x100u

#define GN_WIRE_MAX_REGIONS 8
#define GN_WIRE_CONFIG_MAX  256
#define GN_WIRE_MAX_FDS     16
#define GN_WIRE_HEADER_SIZE 12

struct gn_wire_region {
	uint64_t gpa;
	uint64_t size_bytes;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

struct gn_wire_memory {
	uint32_t n_regions;
	uint32_t padding;
	struct gn_wire_region regions[GN_WIRE_MAX_REGIONS];
};

struct gn_wire_config {
	uint32_t offset;
	uint32_t size_bytes;
	uint32_t flags;
	uint8_t bytes[GN_WIRE_CONFIG_MAX];
};

/* 24 bytes on the wire, with the padding: QEMU sends and rte_vhost demands that. */
struct gn_wire_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t n_queues;
	uint16_t queue_size;
};

struct gn_wire_message {
	uint32_t request; /* enum gn_wire_request, or anything */
	uint32_t flags;
	uint32_t size; /* of the payload, bytes */
	union {
		uint64_t u64;
		struct vhost_vring_state state;
		struct vhost_vring_addr addr;
		struct gn_wire_memory memory;
		struct gn_wire_config config;
		struct gn_wire_inflight inflight;
		uint8_t bytes[4096];
	} payload;
} __attribute__((packed));

/* Connects to the unix socket at 'path'; close(2) the descriptor. Negative errno. */
int gn_wire_connect(const char *path);

/* Sends header and 'n_bytes' of payload, with 'n_fds' descriptors (borrowed) attached to
 * the first byte. Usually n_bytes is message->size. 0 or a negative errno, -EPIPE when the
 * peer has gone. */
int gn_wire_send_raw(int socket, const struct gn_wire_message *message, size_t n_bytes,
                     const int *fds, unsigned n_fds);
int gn_wire_send(int socket, const struct gn_wire_message *message, const int *fds, unsigned n_fds);

/* Waits at most 'timeout_ms' for one message. A descriptor that comes with it is stored
 * in '*fd' (-1: none; the caller closes it); with 'fd' NULL it is closed here.
 * -ETIMEDOUT, -EPIPE (peer closed), -EBADMSG (longer than the struct). */
int gn_wire_receive(int socket, struct gn_wire_message *out, int *fd, int timeout_ms);

/* Whether the peer has closed its end. */
int gn_wire_hung_up(int socket);

#endif
