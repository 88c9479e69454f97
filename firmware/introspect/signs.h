/* signs.h - signs that a guest's kernel hangs, dies or runs out of memory.
 *
 * Pure: time is an argument. The caller's storage; zeroed: nothing seen yet. */
#ifndef GN_INTROSPECT_SIGNS_H
#define GN_INTROSPECT_SIGNS_H

#include "firmware/introspect/globals.h"
#include "firmware/introspect/walk.h"

#define GN_SIGNS_LEAK_POINTS 64
#define GN_SIGNS_LEAK_STEPS  30 /* a slope needs that many, over the span that it needs */

struct gn_signs_limits {
	uint64_t stuck_us; /* a thread may sleep uninterruptibly that long */
	uint64_t leak_us;  /* a slope needs so much time */
};

struct gn_signs_sleeper {
	uint64_t task;
	uint64_t start_ns;
	uint64_t switches;
	uint64_t since_us;
};

struct gn_signs {
	uint64_t jiffies;
	uint64_t jiffies_since_us;
	bool has_jiffies;
	struct gn_signs_sleeper sleepers[GN_WALK_MAX_BLOCKED];
	unsigned n_sleepers;
	struct {
		uint64_t at_us;
		uint64_t used_pages;
	} points[GN_SIGNS_LEAK_POINTS]; /* ring */
	unsigned n_points;
};

struct gn_signs_found {
	bool is_advancing;   /* the tick counter moved since the last call */
	uint64_t stopped_us; /* for how long it has stood still */
	uint32_t n_stuck;    /* threads asleep uninterruptibly for longer than the limit */
	uint64_t longest_sleep_us;
	int32_t stuck_pid; /* of the longest */
	bool has_slope;
	int64_t leak_bytes_per_hour; /* growth of memory in use; least squares */
};

void gn_signs_update(struct gn_signs *signs, uint64_t now_us, const struct gn_signs_limits *limits,
                     const struct gn_globals *globals, const struct gn_walk *walk,
                     struct gn_signs_found *out);

#endif
