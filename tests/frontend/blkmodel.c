/* blkmodel.c - see blkmodel.h. */
#include "tests/frontend/blkmodel.h"

#include <errno.h>
#include <stdlib.h>

int gn_blkmodel_init(struct gn_blkmodel *model, uint64_t n_blocks, uint32_t block_bytes,
                     uint64_t seed)
{
	*model = (struct gn_blkmodel){NULL, n_blocks, block_bytes, seed};
	if (n_blocks == 0 || block_bytes == 0 || block_bytes % 512)
		return -EINVAL;
	model->blocks = calloc(n_blocks, sizeof(*model->blocks));
	return model->blocks ? 0 : -ENOMEM;
}

void gn_blkmodel_fini(struct gn_blkmodel *model)
{
	free(model->blocks);
	model->blocks = NULL;
}

bool gn_blkmodel_lock(struct gn_blkmodel *model, uint64_t block)
{
	if (model->blocks[block].locked)
		return false;
	model->blocks[block].locked = 1;
	return true;
}

void gn_blkmodel_unlock(struct gn_blkmodel *model, uint64_t block)
{
	model->blocks[block].locked = 0;
}

/* The finaliser of splitmix64 (Steele et al., "Fast splittable pseudorandom number
 * generators", OOPSLA 2014). */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static uint64_t first_word(const struct gn_blkmodel *model, uint64_t block)
{
	return mix(model->seed +
	           mix(block * 0x9e3779b97f4a7c15ull + mix(model->blocks[block].generation)));
}

void gn_blkmodel_fill_next(struct gn_blkmodel *model, uint64_t block, void *data)
{
	uint64_t *words = data;
	uint64_t word;

	model->blocks[block].generation++;
	word = first_word(model, block);
	for (uint32_t i = 0; i < model->block_bytes / 8; i++, word += 0x9e3779b97f4a7c15ull)
		words[i] = word;
}

void gn_blkmodel_set(struct gn_blkmodel *model, uint64_t block, enum gn_blkmodel_content content)
{
	model->blocks[block].content = (uint8_t)content;
}

bool gn_blkmodel_matches(const struct gn_blkmodel *model, uint64_t block, const void *data)
{
	const uint64_t *words = data;
	bool zero = model->blocks[block].content == GN_BLKMODEL_ZERO;
	uint64_t word = zero ? 0 : first_word(model, block);
	uint64_t wrong = 0;

	if (model->blocks[block].content == GN_BLKMODEL_UNKNOWN)
		return true;
	for (uint32_t i = 0; i < model->block_bytes / 8; i++) {
		wrong |= words[i] ^ word;
		word += zero ? 0 : 0x9e3779b97f4a7c15ull;
	}
	return wrong == 0;
}
