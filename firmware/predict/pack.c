/* pack.c - see pack.h. */
#include "firmware/predict/pack.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "firmware/predict/features.h"

#define BATCH 15 /* trees whose leaves are added before they are taken apart */

_Static_assert(sizeof(struct gn_pack_header) == 64, "the header has no padding");
_Static_assert(BATCH *GN_PACK_LEAF_MAX <= UINT16_MAX, "no carry between corrections");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packs are little-endian");

static bool tree_is_sound(const struct gn_pack *pack, const uint8_t *tree)
{
	size_t leaves = (size_t)1 << pack->header.depth;
	const uint16_t *threshold = (const uint16_t *)(const void *)(tree + leaves);
	const uint16_t *leaf = threshold + leaves;

	for (size_t i = 0; i < leaves; i++)
		if (tree[i] >= pack->header.n_features)
			return false;
	for (size_t i = 0; i < leaves * GN_PACK_OUTPUTS; i++)
		if (leaf[i] > GN_PACK_LEAF_MAX)
			return false;
	return tree[0] == 0 && threshold[0] == 0;
}

int gn_pack_open(struct gn_pack *pack, const void *data, size_t size)
{
	struct gn_pack view = {0};
	size_t leaves;

	if (size < sizeof(view.header) || ((uintptr_t)data & 1))
		return -EBADMSG;
	memcpy(&view.header, data, sizeof(view.header));
	if (view.header.magic != GN_PACK_MAGIC)
		return -EBADMSG;
	if (view.header.version != GN_PACK_VERSION ||
	    view.header.features_version != GN_FEATURES_VERSION)
		return -EPROTO;
	if (view.header.n_features != GN_N_FEATURES || view.header.n_trees == 0 ||
	    view.header.n_trees > GN_PACK_TREES_MAX || view.header.depth == 0 ||
	    view.header.depth > GN_PACK_DEPTH_MAX || view.header.reserved ||
	    view.header.reserved2 || view.header.name[GN_PACK_NAME_SIZE - 1])
		return -EBADMSG;
	leaves = (size_t)1 << view.header.depth;
	view.tree_size = leaves + 2 * leaves + 2 * leaves * GN_PACK_OUTPUTS;
	view.size = sizeof(view.header) + view.header.n_trees * view.tree_size;
	if (view.size > GN_PACK_SIZE_MAX || size < view.size)
		return -EBADMSG;
	view.trees = (const uint8_t *)data + sizeof(view.header);
	for (size_t i = 0; i < view.header.n_trees; i++)
		if (!tree_is_sound(&view, view.trees + i * view.tree_size))
			return -EBADMSG;
	*pack = view;
	return 0;
}

/* The four corrections of the leaf that 'features' lead to, one in each 16 bits. Most of a
 * forecast's instructions are spent here: with the depth known to the compiler a step down is
 * five of them, without a branch. */
static inline __attribute__((always_inline)) uint64_t leaf_of(const uint8_t *tree, uint32_t depth,
                                                              const uint16_t *features)
{
	const size_t leaves = (size_t)1 << depth;
	const uint16_t *threshold = (const uint16_t *)(const void *)(tree + leaves);
	size_t node = 1;
	uint64_t leaf;

#pragma GCC unroll 8
	for (uint32_t level = 0; level < depth; level++) {
		size_t twin = node;

		__asm__("" : "+r"(twin)); /* else gcc doubles first, and adds the carry in three */
		node += twin + (threshold[node] < features[tree[node]]);
	}
	memcpy(&leaf, threshold + leaves + GN_PACK_OUTPUTS * (node - leaves), sizeof(leaf));
	return leaf;
}

/* Leaves are added four corrections at a time, as long as none can carry into its neighbour. */
static inline __attribute__((always_inline)) void sum_trees(const struct gn_pack *pack,
                                                            uint32_t depth,
                                                            const uint16_t *features,
                                                            int32_t corrections[GN_PACK_OUTPUTS])
{
	const uint8_t *tree = pack->trees;
	size_t left = pack->header.n_trees;
	int32_t zero = (int32_t)left * GN_PACK_LEAF_ZERO;

	for (uint32_t q = 0; q < GN_PACK_OUTPUTS; q++)
		corrections[q] = -zero;
	while (left) {
		const uint8_t *end = tree + (left < BATCH ? left : BATCH) * pack->tree_size;
		uint64_t sum = 0;

		left -= left < BATCH ? left : BATCH;
		for (; tree != end; tree += pack->tree_size)
			sum += leaf_of(tree, depth, features);
		for (uint32_t q = 0; q < GN_PACK_OUTPUTS; q++)
			corrections[q] += (int32_t)(sum >> 16 * q & 65535);
	}
}

void gn_pack_evaluate(const struct gn_pack *pack, const uint16_t *features,
                      int32_t corrections[GN_PACK_OUTPUTS])
{
	if (pack->header.depth == GN_PACK_DEPTH_USUAL)
		sum_trees(pack, GN_PACK_DEPTH_USUAL, features, corrections);
	else
		sum_trees(pack, pack->header.depth, features, corrections);
}
