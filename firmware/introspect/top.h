/* top.h - what each process did since the last pass, and the busiest of them.
 *
 * A process is known by its number and its start time, so a number used again is another
 * process. Counters that went back (a torn read, a hostile guest) count as no change. */
#ifndef GN_INTROSPECT_TOP_H
#define GN_INTROSPECT_TOP_H

#include "firmware/introspect/walk.h"

#define GN_TOP_MAX_N 20
#define GN_TOP_MAX   (3 * GN_TOP_MAX_N)

/* What a process did over the period; 0 for one that is new. */
struct gn_top_entry {
	struct gn_process process;
	uint64_t runtime_ns;
	uint64_t minor_faults;
	uint64_t major_faults;
	uint64_t read_calls;
	uint64_t write_calls;
	uint64_t read_bytes;
	uint64_t write_bytes;
};

struct gn_top;

/* -ENOMEM. */
int gn_top_create(struct gn_top **out);
void gn_top_destroy(struct gn_top *top); /* NULL is fine */

/* Compares with the pass before and chooses the 'n' <= GN_TOP_MAX_N first by CPU time, by memory
 * and by I/O, each process once, by CPU time first. Returns how many; 'out' has room for
 * GN_TOP_MAX. Without memory for comparing, nothing is chosen. */
unsigned gn_top_update(struct gn_top *top, const struct gn_walk *walk, unsigned n,
                       struct gn_top_entry *out);

/* Forgets all processes. */
void gn_top_reset(struct gn_top *top);

#endif
