/* message.h - a vhost-user message as rte_vhost hands it to external handlers.
 *
 * DPDK documents only that the message comes first, and promises in lib/vhost/vhost_user.h
 * that what follows is not changed carelessly, since handlers rely on it. Descriptors of a
 * refused message can be closed by nobody else, so it is relied on here, for the release it
 * was checked with. */
#ifndef GN_DATAPLANE_GUARD_MESSAGE_H
#define GN_DATAPLANE_GUARD_MESSAGE_H

#include <stddef.h>
#include <stdint.h>
#include <linux/vhost_types.h>
#include <rte_version.h>

#if RTE_VER_YEAR != 22 || RTE_VER_MONTH != 11
#error "compare this file with struct vhu_msg_context in lib/vhost/vhost_user.h of this DPDK"
#endif

#define GN_GUARD_MAX_REGIONS  8
#define GN_GUARD_PAYLOAD_SIZE 632 /* of DPDK's largest, VhostUserCryptoSessionParam */
#define GN_GUARD_HEADER_SIZE  12

struct gn_guard_region {
	uint64_t gpa;
	uint64_t size_bytes;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

struct gn_guard_message {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
	union {
		uint64_t u64;
		struct vhost_vring_state state;
		struct vhost_vring_addr addr;
		struct {
			uint32_t n_regions;
			uint32_t padding;
			struct gn_guard_region regions[GN_GUARD_MAX_REGIONS];
		} memory;
		struct {
			uint64_t mmap_size;
			uint64_t mmap_offset;
		} log;
		struct {
			uint64_t mmap_size;
			uint64_t mmap_offset;
			uint16_t n_queues;
			uint16_t queue_size;
		} inflight;
		uint8_t bytes[GN_GUARD_PAYLOAD_SIZE];
	} payload;
	int fds[GN_GUARD_MAX_REGIONS];
	int n_fds;
} __attribute__((packed));

_Static_assert(offsetof(struct gn_guard_message, fds) == GN_GUARD_HEADER_SIZE + 632,
               "layout of struct vhu_msg_context");

#endif
