/* bitmap.h - which parts of a mirrored volume may differ from its shadow, on disk.
 *
 * A granule's bit is durable before a write to it goes to the primary, and is cleared only when
 * the shadow has that write durably too. So after any end, expected or not, what differs is
 * within the set bits. Sectors carry their number and a checksum: one that is damaged counts as
 * all set, which costs time and never a write.
 *
 * Pure: memory is the caller's. Owner: one lcore. */
#ifndef GN_DATAPLANE_VOLUME_BITMAP_H
#define GN_DATAPLANE_VOLUME_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

#define GN_BITMAP_SECTOR          512u
#define GN_BITMAP_SECTOR_BITS     3968u /* 62 words; the last two: number and checksum */
#define GN_BITMAP_MAX_GRANULES    65536u
#define GN_BITMAP_MIN_GRANULE     65536u
#define GN_BITMAP_WORDS(n_bits)   (((n_bits) + 63u) / 64u)
#define GN_BITMAP_SECTORS(n_bits) (((n_bits) + GN_BITMAP_SECTOR_BITS - 1) / GN_BITMAP_SECTOR_BITS)
#define GN_BITMAP_MAX_SECTORS     GN_BITMAP_SECTORS(GN_BITMAP_MAX_GRANULES)

/* A power of two of at least GN_BITMAP_MIN_GRANULE that needs at most GN_BITMAP_MAX_GRANULES. */
uint64_t gn_bitmap_granule(uint64_t volume_bytes);

struct gn_bitmap {
	uint64_t *bits;    /* what is true now; GN_BITMAP_WORDS(n) words */
	uint64_t *durable; /* what is on disk for certain: a subset of every state on disk */
	uint32_t n;        /* granules */
	uint32_t n_set;
	uint64_t granule_bytes;
	uint64_t stale[GN_BITMAP_WORDS(GN_BITMAP_MAX_SECTORS)]; /* sectors to be written */
};

/* All clear and all to be written. */
void gn_bitmap_init(struct gn_bitmap *bitmap, uint64_t *bits, uint64_t *durable,
                    uint64_t volume_bytes, uint64_t granule_bytes);

static inline bool gn_bitmap_get(const struct gn_bitmap *bitmap, uint32_t i)
{
	return bitmap->bits[i / 64] >> i % 64 & 1;
}

/* The granules that 'length' (> 0) bytes from 'offset' on touch: first, and one past the last. */
void gn_bitmap_range(const struct gn_bitmap *bitmap, uint64_t offset, uint64_t length,
                     uint32_t *first, uint32_t *end);

void gn_bitmap_set(struct gn_bitmap *bitmap, uint32_t first, uint32_t end);
void gn_bitmap_clear(struct gn_bitmap *bitmap, uint32_t i);
/* True when all of these bits are on disk. */
bool gn_bitmap_is_durable(const struct gn_bitmap *bitmap, uint32_t first, uint32_t end);

/* The next sector to be written, or -1; it counts as written from here on ... */
int gn_bitmap_take_stale(struct gn_bitmap *bitmap);
/* ... so this is what to write; 'sector' is 64 words. From now until commit its cleared bits
 * are not durable. */
void gn_bitmap_encode(struct gn_bitmap *bitmap, uint32_t number, uint64_t *sector);
/* What was encoded is on disk, flushed. */
void gn_bitmap_commit(struct gn_bitmap *bitmap, uint32_t number, const uint64_t *sector);
/* It could not be written: it is to be written again. */
void gn_bitmap_failed(struct gn_bitmap *bitmap, uint32_t number);

/* Takes a sector from disk; false: damaged, all its bits are set now. */
bool gn_bitmap_decode(struct gn_bitmap *bitmap, uint32_t number, const uint64_t *sector);

#endif
