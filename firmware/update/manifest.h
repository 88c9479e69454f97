/* manifest.h - what an update says of itself, and whether this card may take it.
 *
 * Pure. A manifest is text, one item a line, in this order and nothing else:
 *
 *   gnomon-update 1
 *   compatible gnomon,qemu-virt
 *   version 0.2.0
 *   security 3
 *   part Image 33000000 <SHA-256, 64 lower-case hex digits>
 *   part initramfs.zst 6000000 <SHA-256>
 *
 * One form for one content: what is signed cannot be read in two ways. 'security' grows whenever
 * a fault is mended that an older version must not bring back. */
#ifndef GN_UPDATE_MANIFEST_H
#define GN_UPDATE_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#define GN_MANIFEST_MAX      2048u /* bytes of text */
#define GN_MANIFEST_WORD     64u
#define GN_MANIFEST_PART_MAX (1ull << 30) /* bytes of one part */

enum gn_manifest_part_kind { GN_MANIFEST_KERNEL, GN_MANIFEST_INITRAMFS, GN_MANIFEST_PARTS };

extern const char *const gn_manifest_part_names[GN_MANIFEST_PARTS]; /* "Image", "initramfs.zst" */

struct gn_manifest_part {
	uint64_t size; /* bytes, 1..GN_MANIFEST_PART_MAX */
	uint8_t sha256[32];
};

struct gn_manifest {
	char compatible[GN_MANIFEST_WORD]; /* [a-z0-9,.-] */
	char version[GN_MANIFEST_WORD];    /* [a-z0-9,.+~-] */
	uint32_t security;
	struct gn_manifest_part parts[GN_MANIFEST_PARTS];
};

/* 0, or the number (from 1) of the first line that is wrong; 'out' is then untouched. */
unsigned gn_manifest_parse(const char *text, size_t size, struct gn_manifest *out);

/* What the card is that shall take it. */
struct gn_update_card {
	const char *compatible;
	uint32_t security;   /* the highest it has run as good */
	uint64_t slot_bytes; /* room for both parts */
};

#define GN_UPDATE_VERDICTS(X)                                                                      \
	X(TAKE, "it may be installed")                                                             \
	X(WRONG_BOARD, "it is made for another board")                                             \
	X(GOES_BACK, "its security version is older than what the card has run")                   \
	X(TOO_LARGE, "it does not fit into a slot")

#define X(name, text) GN_UPDATE_##name,
enum gn_update_verdict { GN_UPDATE_VERDICTS(X) GN_UPDATE_N_VERDICTS };
#undef X

/* Judged in this order: the board before anything else. */
enum gn_update_verdict gn_update_judge(const struct gn_manifest *manifest,
                                       const struct gn_update_card *card);
const char *gn_update_verdict_text(enum gn_update_verdict verdict);

#endif
