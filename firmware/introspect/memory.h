/* memory.h - a guest's RAM as regions, read without trusting anything that is in it.
 *
 * A region maps guest physical addresses to a part of a file (the VM's shared memory, or a
 * dump). Reads of single values go through a read-only mapping as one atomic load, so that a
 * running guest cannot tear them; bulk reads and scans go through pread(), and scans skip
 * holes (SEEK_DATA): touching a hole through the mapping would allocate guest RAM on the
 * host. Every access is checked against the regions; outside of them it fails, nothing else.
 *
 * Not thread-safe: one owner. A region whose file is made shorter while it is read ends the
 * process by SIGBUS; so whoever reads a VM's memory is a process of its own (child.h). */
#ifndef GN_INTROSPECT_MEMORY_H
#define GN_INTROSPECT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GN_MEMORY_MAX_REGIONS 16
#define GN_MEMORY_PAGE        4096u

struct gn_memory_region {
	uint64_t gpa;
	uint64_t size;
	int fd;             /* -1: 'map' is ordinary memory (tests) */
	uint64_t offset;    /* in the file */
	const uint8_t *map; /* NULL: 'offset' is not page-aligned (ELF cores), read by pread() */
};

/* Zeroed: no regions. */
struct gn_memory {
	struct gn_memory_region regions[GN_MEMORY_MAX_REGIONS];
	unsigned n_regions;
	uint64_t bytes_read; /* so far; for the budget */
};

/* Adds 'size' bytes of 'fd' from 'offset' on as the guest's memory at 'gpa'. The descriptor
 * stays the caller's and must live as long. -EINVAL ('gpa' not page-aligned, empty, wraps,
 * longer than the file), -EEXIST (overlaps a region), -ENOSPC, or mmap's error. */
int gn_memory_add(struct gn_memory *memory, uint64_t gpa, uint64_t size, int fd, uint64_t offset);

/* The same with memory of this process, borrowed and 8-byte aligned. */
int gn_memory_add_bytes(struct gn_memory *memory, uint64_t gpa, const void *bytes, uint64_t size);

void gn_memory_fini(struct gn_memory *memory);

uint64_t gn_memory_size(const struct gn_memory *memory);

/* One aligned load. False outside the regions or unaligned; '*value' is then untouched. */
bool gn_memory_u64(struct gn_memory *memory, uint64_t gpa, uint64_t *value);
bool gn_memory_u32(struct gn_memory *memory, uint64_t gpa, uint32_t *value);

/* 'size' bytes, which must lie in one region. 'read' loads word by word from the mapping, for
 * what is small and live; 'copy' uses the file, for what is large. */
bool gn_memory_read(struct gn_memory *memory, uint64_t gpa, void *buffer, size_t size);
bool gn_memory_copy(struct gn_memory *memory, uint64_t gpa, void *buffer, size_t size);

/* Walks over all populated memory in pieces, ascending. Zeroed: at the start. */
struct gn_memory_scan {
	unsigned region;
	uint64_t at;      /* in the region */
	uint64_t data_to; /* end of the populated stretch 'at' lies in */
};

/* Next piece of at most 'size' bytes (a multiple of the page); a piece that continues the one
 * before repeats its last 'overlap' bytes, so that what is shorter is seen whole. Returns its
 * length, 0 at the end. '*gpa' is where it begins. */
size_t gn_memory_scan_next(struct gn_memory *memory, struct gn_memory_scan *scan, void *buffer,
                           size_t size, size_t overlap, uint64_t *gpa);

#endif
