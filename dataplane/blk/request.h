/* request.h - a guest's descriptor chain, checked, as a plan of what to do.
 *
 * The guest is hostile: it may change its memory at any time, so every descriptor and
 * header is copied once and then checked; no address is used that did not pass through
 * gn_blk_memory, and no chain is followed for longer than the ring is large.
 *
 * Pure. The virtio specification 1.2, sections 2.7 (split virtqueues) and 5.2 (block). */
#ifndef GN_DATAPLANE_BLK_REQUEST_H
#define GN_DATAPLANE_BLK_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <linux/virtio_ring.h>

#define GN_BLK_MAX_REGIONS       8u   /* rte_vhost's limit */
#define GN_BLK_MAX_SEGMENTS      126u /* what the device promises as seg_max */
#define GN_BLK_MAX_IOV           (GN_BLK_MAX_SEGMENTS + GN_BLK_MAX_REGIONS)
#define GN_BLK_MAX_DATA_BYTES    (1u << 30) /* of one read or write */
#define GN_BLK_MAX_RANGE_SECTORS (1u << 22) /* of one discard or write-zeroes: 2 GiB */
#define GN_BLK_MAX_INDIRECT      1024u      /* descriptors in an indirect table */
#define GN_BLK_ID_BYTES          20u

/* Guest memory as this process has it mapped. Regions do not overlap. */
struct gn_blk_region {
	uint64_t guest_addr;
	uint64_t size_bytes;
	uint8_t *host;
};
struct gn_blk_memory {
	unsigned n_regions;
	struct gn_blk_region regions[GN_BLK_MAX_REGIONS];
};

/* Where 'guest_addr' is, and in '*size' how much of the '*size' bytes asked for lies there
 * in one piece; NULL when none does. */
uint8_t *gn_blk_translate(const struct gn_blk_memory *memory, uint64_t guest_addr, uint64_t *size);

/* What the device can do. */
struct gn_blk_limits {
	uint64_t capacity_bytes;
	uint32_t block_bytes; /* power of two, >= 512 */
	bool read_only;
};

enum gn_blk_kind {
	GN_BLK_PLAN_READ,
	GN_BLK_PLAN_WRITE,
	GN_BLK_PLAN_FLUSH,
	GN_BLK_PLAN_DISCARD,
	GN_BLK_PLAN_WRITE_ZEROES,
	GN_BLK_PLAN_GET_ID,
	GN_BLK_PLAN_ANSWER, /* nothing to do: answer with 'status' */
};

struct gn_blk_plan {
	enum gn_blk_kind kind;
	bool malformed;       /* ANSWER because the guest broke the rules */
	bool may_unmap;       /* WRITE_ZEROES */
	uint8_t status;       /* ANSWER: VIRTIO_BLK_S_* */
	uint8_t *status_byte; /* where the answer goes */
	uint64_t offset_bytes;
	uint64_t length_bytes;
	unsigned n_iov; /* READ, WRITE, GET_ID: the guest's memory */
};

/* Makes a plan of the chain that starts at 'head' of the ring's table. 'iov' has room for
 * GN_BLK_MAX_IOV. False: the ring is corrupt (a descriptor number out of range, a loop, an
 * indirect table that cannot be read, no place for an answer): nothing of it can be trusted, and
 * nothing the device could write there would reach the driver. */
bool gn_blk_plan_chain(const struct gn_blk_memory *memory, const struct vring_desc *table,
                       uint16_t table_size, uint16_t head, const struct gn_blk_limits *limits,
                       struct iovec *iov, struct gn_blk_plan *plan);

#endif
