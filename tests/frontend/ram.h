/* ram.h - the RAM of a guest that does not exist: a memfd, cut into regions with holes
 * between them in guest-physical space, as QEMU's below and above 4 GiB.
 *
 * Memory is handed out from the bottom and never taken back; a block lies inside one
 * region. Guest-physical address 0 is never handed out. One owner. */
#ifndef GN_TESTS_FRONTEND_RAM_H
#define GN_TESTS_FRONTEND_RAM_H

#include <stdbool.h>
#include <stdint.h>
#include "tests/frontend/wire.h"

#define GN_RAM_HOLE (1ull << 30) /* bytes between two regions in guest-physical space */

struct gn_ram_region {
	uint64_t gpa;
	uint64_t size_bytes;
	uint64_t offset; /* in the memfd, and from 'base' */
};

struct gn_ram {
	int fd;
	uint8_t *base; /* where it is mapped here, all regions in a row */
	uint64_t size_bytes;
	unsigned n_regions;
	struct gn_ram_region regions[GN_WIRE_MAX_REGIONS];
	uint64_t used; /* offset of what is still free */
};

/* 'size_bytes' is rounded up to whole pages per region; 1..GN_WIRE_MAX_REGIONS regions of
 * equal size. 'unsealable': nobody can seal the file, so it can be shortened later. Negative errno
 * on failure. */
int gn_ram_init(struct gn_ram *ram, uint64_t size_bytes, unsigned n_regions, bool unsealable);
void gn_ram_fini(struct gn_ram *ram);

/* A zeroed block; 'align' is a power of two. Returns its guest-physical address, 0 when
 * the RAM is used up. */
uint64_t gn_ram_alloc(struct gn_ram *ram, uint64_t size_bytes, uint64_t align);

/* Where 'gpa' is mapped here. NULL when it lies in no region. */
void *gn_ram_at(const struct gn_ram *ram, uint64_t gpa);

#endif
