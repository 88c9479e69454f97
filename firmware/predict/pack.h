/* pack.h - the model pack: boosted trees in integers, learnt off-line by tools/train.
 *
 * Layout, little-endian, no padding but what is named:
 *   u32 magic 'GNMP', u16 format version, u16 features version, u16 features, u16 trees,
 *   u16 depth, u16 zero, u32 serial, u32 zero, char name[40] (NUL-terminated text),
 *   then per tree, with n = 2^depth: u8 feature[n], u16 threshold[n] (those of node 0, which
 *   does not exist, are zero), u16 leaf[n][4] (corrections of P50, P90, P95, P99; Q10 of the
 *   features' unit, GN_PACK_LEAF_ZERO added).
 * The root is node 1; node i has the children 2i (feature <= threshold) and 2i+1; leaves are
 * numbered from left to right. A file on disk carries a signature behind this
 * (firmware/model). Pure: the bytes stay the caller's, immutable. */
#ifndef GN_PREDICT_PACK_H
#define GN_PREDICT_PACK_H

#include <stddef.h>
#include <stdint.h>

#define GN_PACK_MAGIC       0x504d4e47u
#define GN_PACK_VERSION     2
#define GN_PACK_DEPTH_MAX   8
#define GN_PACK_DEPTH_USUAL 7 /* what tools/train makes; the quickest */
#define GN_PACK_TREES_MAX   1000
#define GN_PACK_OUTPUTS     4
#define GN_PACK_LEAF_ZERO   2184 /* stands for no correction */
#define GN_PACK_LEAF_MAX    4369 /* fifteen of them fit into 16 bits: see pack.c */
#define GN_PACK_NAME_SIZE   40
#define GN_PACK_SIZE_MAX    ((size_t)256 << 10)

struct gn_pack_header {
	uint32_t magic;
	uint16_t version;
	uint16_t features_version;
	uint16_t n_features;
	uint16_t n_trees;
	uint16_t depth;
	uint16_t reserved;
	uint32_t serial; /* grows with each training; what rollback goes back on */
	uint32_t reserved2;
	char name[GN_PACK_NAME_SIZE];
};

/* A checked view of the bytes. Owner: immutable after gn_pack_open(). */
struct gn_pack {
	struct gn_pack_header header;
	const uint8_t *trees;
	size_t size; /* of the whole pack */
};

/* Checks every byte that steers evaluation. 'data' must be aligned to 2 and outlive 'pack';
 * bytes behind the pack are left alone. Returns 0; -EPROTO for another version of the format
 * or of the features; -EBADMSG when anything is out of place. */
int gn_pack_open(struct gn_pack *pack, const void *data, size_t size);

/* The sum of the trees' corrections for 'features', Q10; |sum| < 2^22. */
void gn_pack_evaluate(const struct gn_pack *pack, const uint16_t *features,
                      int32_t corrections[GN_PACK_OUTPUTS]);

#endif
