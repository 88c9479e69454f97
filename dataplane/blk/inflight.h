/* inflight.h - the buffer that says what was in flight, kept by QEMU across our death.
 *
 * Layout of the vhost-user specification ("Inflight I/O tracking", split virtqueues). It is
 * handled here and never given to rte_vhost, because that trusts what the other side can
 * change while it reads: the number of descriptors, the index of the last request, and how many
 * are marked, by which it sizes a list before it counts them again. Here every figure comes from
 * the message or the ring, the buffer is read once, and each index is checked.
 *
 * Owner: rte_vhost's thread while the device is stopped; the lcore, through ring.h, while
 * it runs. */
#ifndef GN_DATAPLANE_BLK_INFLIGHT_H
#define GN_DATAPLANE_BLK_INFLIGHT_H

#include <stdint.h>
#include <rte_vhost.h>

struct gn_blk_inflight {
	uint8_t *map; /* NULL: not tracked */
	uint64_t size_bytes;
	unsigned n_queues;
	unsigned queue_size;
};

/* A new, empty buffer's file, sealed against being resized. Its descriptor, which the caller
 * closes, or a negative errno. */
int gn_blk_inflight_make(unsigned n_queues, unsigned queue_size, uint64_t *size_bytes);

/* Maps a buffer that the front end sent; 'fd' stays the caller's. -EINVAL: it is too small
 * for so many queues. Replaces what was mapped before, also on failure. */
int gn_blk_inflight_map(struct gn_blk_inflight *inflight, int fd, uint64_t offset,
                        uint64_t size_bytes, unsigned n_queues, unsigned queue_size);
void gn_blk_inflight_unmap(struct gn_blk_inflight *inflight);

/* One queue's part. NULL: not tracked, or the ring is larger than the buffer knows. */
struct rte_vhost_inflight_info_split *gn_blk_inflight_of(const struct gn_blk_inflight *inflight,
                                                         unsigned queue, unsigned ring_size);

/* What was in flight when the device last stopped: heads, oldest first, at most 'ring_size',
 * and the number that comes after theirs. 'used_idx' is the used ring's index, by which the
 * request whose answer was the last thing done is told. Returns how many; -ENOMEM: not known,
 * and the queue must not run, or they would be lost. */
int gn_blk_inflight_recover(struct rte_vhost_inflight_info_split *info, unsigned ring_size,
                            uint16_t used_idx, uint16_t *heads, uint64_t *next_counter);

#endif
