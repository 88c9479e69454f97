/* writer.h - a pcapng file that a thread of its own writes, fed by the lcore through a ring.
 *
 * Threads: put by one lcore; create and destroy by control; the rest is the writer's. A
 * disk that is slow or full fills the ring, and then put refuses; it never waits. After a failed
 * write the file is cut back to its last whole block and tried again a second later. */
#ifndef GN_DATAPLANE_WRITER_H
#define GN_DATAPLANE_WRITER_H

#include <stdint.h>
#include <rte_mbuf.h>
#include "firmware/core/status.h"

#define GN_WRITER_RING 2048 /* packets that may wait; each keeps its buffer from the pool */

struct gn_writer;

/* Begins a new file, 0600. One that exists is kept as 'path'.1, .2, ... -EINVAL (not an absolute
 * path, or not a regular file), -ENOENT, -EACCES, ... with a sentence. */
int gn_writer_create(const char *path, const char *interface, struct gn_writer **out,
                     struct gn_status *status);
/* Writes what waits, closes. NULL is fine. */
void gn_writer_destroy(struct gn_writer *writer);

const char *gn_writer_path(const struct gn_writer *writer);

/* Gives packets with a gn_mirror_note in their private area; returns how many were taken,
 * the first ones. */
unsigned gn_writer_put(struct gn_writer *writer, struct rte_mbuf **mbufs, unsigned n);

/* Taken but not written, because the disk refused: packets and bytes of the originals. Grows. */
void gn_writer_lost(const struct gn_writer *writer, uint64_t out[2]);

#endif
