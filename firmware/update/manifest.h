/* manifest.h - what an update says of itself, and whether this card may take it.
 *
 * Pure. A manifest is text, one item a line, in this order and nothing else:
 *
 *   gnomon-update 1
 *   board gnomon,qemu-virt
 *   version 0.2.0
 *   security 3
 *   valid 1764000000 1795536000
 *   image 46137344 <SHA-256, 64 lower-case hex digits>
 *
 * One form for one content: what is signed cannot be read in two ways. 'security' grows whenever
 * a fault is mended that an older version must not bring back. 'valid' is from and until, in
 * seconds since the epoch: an update that is no longer offered cannot be offered by somebody who
 * kept it. 'image' is what a slot is filled with, from its first byte. */
#ifndef GN_UPDATE_MANIFEST_H
#define GN_UPDATE_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#define GN_MANIFEST_MAX       1024u /* bytes of text */
#define GN_MANIFEST_BOARD     64u   /* with the NUL */
#define GN_MANIFEST_VERSION   32u
#define GN_MANIFEST_IMAGE_MAX (1ull << 32) /* bytes */
#define GN_MANIFEST_DIGEST    32u

struct gn_manifest {
	char board[GN_MANIFEST_BOARD];     /* [a-z0-9,.-] */
	char version[GN_MANIFEST_VERSION]; /* [a-z0-9.+~-] */
	uint32_t security;
	uint64_t from_s, until_s; /* wall; from < until */
	uint64_t size;            /* bytes, 1..GN_MANIFEST_IMAGE_MAX */
	uint8_t sha256[GN_MANIFEST_DIGEST];
};

/* 0, or the number (from 1) of the first line that is wrong; 'out' is then untouched. */
unsigned gn_manifest_parse(const char *text, size_t size, struct gn_manifest *out);

/* What the card is that shall take it. */
struct gn_update_card {
	const char *board;   /* board.yaml's 'compatible' */
	uint32_t security;   /* the highest it has run as good */
	uint64_t slot_bytes; /* room */
	uint64_t now_s;      /* wall */
};

/* Judged in this order: the board before anything else. */
#define GN_UPDATE_VERDICTS(X)                                                                      \
	X(TAKE, "it may be installed")                                                             \
	X(WRONG_BOARD, "it is made for another board")                                             \
	X(GOES_BACK, "its security version is older than one that was good here")                  \
	X(TOO_EARLY, "it is not valid yet")                                                        \
	X(EXPIRED, "it has expired")                                                               \
	X(TOO_LARGE, "it does not fit into a slot")

#define X(name, text) GN_UPDATE_##name,
enum gn_update_verdict { GN_UPDATE_VERDICTS(X) GN_UPDATE_N_VERDICTS };
#undef X

enum gn_update_verdict gn_update_judge(const struct gn_manifest *manifest,
                                       const struct gn_update_card *card);
const char *gn_update_verdict_text(enum gn_update_verdict verdict);

#endif
