/* blkmodel.h - what a disk must contain, block by block, after what was acknowledged.
 *
 * Each write of a block carries a new generation; the content is made from seed, block
 * number and generation, so a lost, torn, misplaced or repeated stale write is seen.
 * A block with a request in flight is locked: nothing else touches it.
 * Pure but for its memory. One owner. */
#ifndef GN_TESTS_FRONTEND_BLKMODEL_H
#define GN_TESTS_FRONTEND_BLKMODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gn_blkmodel_content {
	GN_BLKMODEL_UNKNOWN, /* never written, discarded, or a write failed */
	GN_BLKMODEL_ZERO,
	GN_BLKMODEL_WRITTEN,
};

struct gn_blkmodel_block {
	uint32_t generation;
	uint8_t content; /* enum gn_blkmodel_content */
	uint8_t locked;
};

struct gn_blkmodel {
	struct gn_blkmodel_block *blocks;
	uint64_t n_blocks;
	uint32_t block_bytes; /* a multiple of 512 */
	uint64_t seed;
};

int gn_blkmodel_init(struct gn_blkmodel *model, uint64_t n_blocks, uint32_t block_bytes,
                     uint64_t seed);
void gn_blkmodel_fini(struct gn_blkmodel *model);

/* False: it is locked already. */
bool gn_blkmodel_lock(struct gn_blkmodel *model, uint64_t block);
void gn_blkmodel_unlock(struct gn_blkmodel *model, uint64_t block);

/* The next write of 'block': fills 'data' (block_bytes) with the content to write. */
void gn_blkmodel_fill_next(struct gn_blkmodel *model, uint64_t block, void *data);
/* A change of 'block' was acknowledged. */
void gn_blkmodel_set(struct gn_blkmodel *model, uint64_t block, enum gn_blkmodel_content content);

/* Whether 'data' (block_bytes) is what the block must contain; unknown content matches. */
bool gn_blkmodel_matches(const struct gn_blkmodel *model, uint64_t block, const void *data);

#endif
