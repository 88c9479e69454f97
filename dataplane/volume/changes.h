/* changes.h - which parts of a store were changed since somebody began to ask.
 *
 * Whoever copies a file that is being written copies it once, then what changed meanwhile, then
 * what changed during that: soon so little is left that writes can be held back for it.
 *
 * Pure: memory is the caller's. Owner: the lcore that uses the store, while a volume's 'changes'
 * points here; else whoever took it away. */
#ifndef GN_DATAPLANE_VOLUME_CHANGES_H
#define GN_DATAPLANE_VOLUME_CHANGES_H

#include <stdbool.h>
#include <stdint.h>

#define GN_CHANGES_MAX_GRANULES (1u << 23) /* a mebibyte of bits */

struct gn_changes {
	uint64_t *bits; /* GN_CHANGES_WORDS(n) words, all zero in the beginning */
	uint64_t n;     /* granules */
	uint64_t n_set;
	uint64_t granule_bytes;
	uint64_t size_bytes;
};

#define GN_CHANGES_WORDS(n) (((n) + 63) / 64)

/* The smallest power of two that is at least 'least' (one itself) and needs no more than
 * GN_CHANGES_MAX_GRANULES. */
uint64_t gn_changes_granule(uint64_t size_bytes, uint64_t least);

/* 'length' bytes (0: none) from 'offset' on, within the size. */
void gn_changes_note(struct gn_changes *changes, uint64_t offset, uint64_t length);

/* Takes the first range that is left out of it, of adjacent granules: false when there is none.
 * '*cursor' is 0 at first, then what the call before left there. */
bool gn_changes_take(struct gn_changes *changes, uint64_t *cursor, uint64_t *offset,
                     uint64_t *length);

#endif
