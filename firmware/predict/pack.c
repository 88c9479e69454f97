/* pack.c - see pack.h. */
#include "firmware/predict/pack.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "firmware/predict/features.h"

#define BATCH 15 /* trees whose leaves are added before they are taken apart */

_Static_assert(sizeof(struct gn_pack_header) == 64, "the header has no padding");
_Static_assert(BATCH *GN_PACK_LEAF_MAX <= UINT16_MAX, "no carry between corrections");
_Static_assert(BATCH % 3 == 0, "trees are walked three at a time");
_Static_assert(GN_PACK_OUTPUTS == 4, "they fit 64 bits");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packs are little-endian");

/* Bytes of a tree: its nodes' features and thresholds, its leaves. */
static inline size_t tree_size(uint32_t depth)
{
	return (1 + sizeof(uint16_t) + GN_PACK_OUTPUTS * sizeof(uint16_t)) << depth;
}

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
	size_t step;

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
	step = tree_size(view.header.depth);
	view.size = sizeof(view.header) + view.header.n_trees * step;
	if (view.size > GN_PACK_SIZE_MAX || size < view.size)
		return -EBADMSG;
	view.trees = (const uint8_t *)data + sizeof(view.header);
	for (size_t i = 0; i < view.header.n_trees; i++)
		if (!tree_is_sound(&view, view.trees + i * step))
			return -EBADMSG;
	*pack = view;
	return 0;
}

/* The child of 'node' that 'features' lead to. Most of a forecast's instructions are spent here:
 * a step down is four of them, without a branch. gcc needs five on x86-64: it doubles before it
 * compares, and cannot add the comparison's carry while doubling. */
static inline __attribute__((always_inline)) size_t child_of(const uint8_t *tree, size_t leaves,
                                                             size_t node, const uint16_t *features)
{
	const uint16_t *threshold = (const uint16_t *)(const void *)(tree + leaves);
	uint16_t feature = features[tree[node]];

#ifdef __x86_64__
	__asm__("cmpw %2, %1\n\tadcq %0, %0"
	        : "+r"(node)
	        : "m"(threshold[node]), "r"(feature)
	        : "cc");
	return node;
#else
	return 2 * node + (threshold[node] < feature);
#endif
}

/* The four corrections of the leaf that 'features' lead to, one in each 16 bits. */
static inline __attribute__((always_inline)) uint64_t leaf_of(const uint8_t *tree, uint32_t depth,
                                                              const uint16_t *features)
{
	const size_t leaves = (size_t)1 << depth;
	const uint16_t *threshold = (const uint16_t *)(const void *)(tree + leaves);
	size_t node = 1;
	uint64_t leaf;

#pragma GCC unroll 8
	for (uint32_t level = 0; level < depth; level++)
		node = child_of(tree, leaves, node, features);
	memcpy(&leaf, threshold + leaves + GN_PACK_OUTPUTS * (node - leaves), sizeof(leaf));
	return leaf;
}

/* Leaves are added four corrections at a time, as long as none can carry into its neighbour;
 * such sums, two at a time: of 1000 trees they fit 32 bits. */
static inline __attribute__((always_inline)) void sum_trees(const struct gn_pack *pack,
                                                            uint32_t depth,
                                                            const uint16_t *features,
                                                            int32_t corrections[GN_PACK_OUTPUTS])
{
	const uint64_t alternate = 0x0000ffff0000ffffu;
	const size_t size = tree_size(depth);
	const uint8_t *tree = pack->trees;
	uint64_t sum = 0, even = 0, odd = 0;
	uint32_t left = pack->header.n_trees;
	int32_t zero = (int32_t)left * GN_PACK_LEAF_ZERO;

	for (; left >= BATCH; left -= BATCH) {
		for (const uint8_t *end = tree + BATCH * size; tree != end; tree += 3 * size)
			sum += leaf_of(tree, depth, features) +
			       leaf_of(tree + size, depth, features) +
			       leaf_of(tree + 2 * size, depth, features);
		even += sum & alternate;
		odd += sum >> 16 & alternate;
		sum = 0;
	}
	for (; left > 0; left--, tree += size)
		sum += leaf_of(tree, depth, features);
	even += sum & alternate;
	odd += sum >> 16 & alternate;
	corrections[0] = (int32_t)(uint32_t)even - zero;
	corrections[1] = (int32_t)(uint32_t)odd - zero;
	corrections[2] = (int32_t)(even >> 32) - zero;
	corrections[3] = (int32_t)(odd >> 32) - zero;
}

void gn_pack_evaluate(const struct gn_pack *pack, const uint16_t *features,
                      int32_t corrections[GN_PACK_OUTPUTS])
{
	if (pack->header.depth == GN_PACK_DEPTH_USUAL)
		sum_trees(pack, GN_PACK_DEPTH_USUAL, features, corrections);
	else
		sum_trees(pack, pack->header.depth, features, corrections);
}
