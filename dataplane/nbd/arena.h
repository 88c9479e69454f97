/* arena.h - which pages of a connection's buffer are in use. First fit from the start, so that a
 * client of small requests only ever touches the first pages. Pure. */
#ifndef GN_DATAPLANE_NBD_ARENA_H
#define GN_DATAPLANE_NBD_ARENA_H

#include <stdint.h>

#define GN_NBD_PAGE_SIZE   4096u
#define GN_NBD_ARENA_PAGES 1024u /* 4 MiB */
#define GN_NBD_ARENA_SIZE  ((uint64_t)GN_NBD_ARENA_PAGES * GN_NBD_PAGE_SIZE)

/* All zero: everything is free. */
struct gn_nbd_arena {
	uint64_t used[GN_NBD_ARENA_PAGES / 64];
};

/* 'n' pages in a row, 1..GN_NBD_ARENA_PAGES: the first one's number, or -1: not now. */
int gn_nbd_arena_take(struct gn_nbd_arena *arena, unsigned n);
void gn_nbd_arena_give(struct gn_nbd_arena *arena, unsigned first, unsigned n);

#endif
