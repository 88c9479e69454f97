/* pack.c - see pack.h. */
#include "firmware/predict/pack.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "firmware/predict/features.h"

_Static_assert(sizeof(struct gn_pack_header) == 64, "the header has no padding");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packs are little-endian");

static bool tree_is_sound(const struct gn_pack *pack, const uint8_t *tree)
{
	size_t nodes = ((size_t)1 << pack->header.depth) - 1;

	for (size_t i = 0; i < nodes; i++)
		if (tree[i] >= pack->header.n_features)
			return false;
	return tree[nodes] == 0;
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

/* The leaf that 'features' lead to. Nodes are counted from 1 here, so that a step down is one
 * doubling; half of the time of a forecast is spent in this loop. */
static size_t leaf_of(const uint8_t *feature, const int16_t *threshold, uint32_t depth,
                      const int16_t *features)
{
	size_t node = 1;

	for (; depth >= 2; depth -= 2) {
		node = 2 * node + (features[feature[node - 1]] > threshold[node - 1]);
		node = 2 * node + (features[feature[node - 1]] > threshold[node - 1]);
	}
	if (depth)
		node = 2 * node + (features[feature[node - 1]] > threshold[node - 1]);
	return node;
}

void gn_pack_evaluate(const struct gn_pack *pack, const int16_t *features,
                      int32_t corrections[GN_PACK_OUTPUTS])
{
	uint32_t leaves = 1u << pack->header.depth;
	const uint8_t *tree = pack->trees;
	int32_t p50 = 0, p90 = 0, p95 = 0, p99 = 0;

	for (uint32_t i = 0; i < pack->header.n_trees; i++, tree += pack->tree_size) {
		const int16_t *threshold = (const int16_t *)(const void *)(tree + leaves);
		const int16_t *leaf = threshold + leaves;

		leaf += (leaf_of(tree, threshold, pack->header.depth, features) - leaves) *
		        GN_PACK_OUTPUTS;
		p50 += leaf[0];
		p90 += leaf[1];
		p95 += leaf[2];
		p99 += leaf[3];
	}
	corrections[0] = p50;
	corrections[1] = p90;
	corrections[2] = p95;
	corrections[3] = p99;
}
