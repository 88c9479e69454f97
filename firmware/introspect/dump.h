/* dump.h - guest memory from a file: a raw image (QEMU's memory-backend-file, pmemsave) or an
 * ELF core (virsh dump --memory-only, QEMU's dump-guest-memory). */
#ifndef GN_INTROSPECT_DUMP_H
#define GN_INTROSPECT_DUMP_H

#include "firmware/core/status.h"
#include "firmware/introspect/memory.h"

/* QEMU's q35 leaves a hole for devices below 4 GiB: from this size on a raw image's part above
 * GN_DUMP_LOW_BYTES begins at 4 GiB. */
#define GN_DUMP_SPLIT_BYTES 0xb0000000ull
#define GN_DUMP_LOW_BYTES   0x80000000ull

/* Adds the file's memory. 'base' is where a raw image begins in guest memory. 0, or an error
 * with a sentence. */
int gn_dump_open(struct gn_memory *memory, int fd, uint64_t base, struct gn_status *status);

#endif
