/* exhaustion.h - when will it be full? Trends of what is used up: memory that leaks, a pool
 * that fills, connections that are never closed.
 *
 * Slope: the median of slopes between samples half a window apart (Theil and Sen's estimator
 * on a fixed set of pairs), so restarts, garbage collections and spikes do not tilt it; the
 * band comes from the 10th and 90th percentile of the same slopes. The window grows by
 * itself: when it is full every second sample is dropped, up to 'span_us'.
 * Pure. Owner: the caller; plain data without pointers. */
#ifndef GN_HAZARD_EXHAUSTION_H
#define GN_HAZARD_EXHAUSTION_H

#include <stdbool.h>
#include <stdint.h>

#define GN_EXHAUSTION_POINTS 64
#define GN_EXHAUSTION_NEVER  INT64_MAX

struct gn_exhaustion {
	uint64_t span_us;   /* how far back at most */
	uint64_t stride_us; /* between kept points */
	uint32_t n;
	uint64_t at_us[GN_EXHAUSTION_POINTS];
	int64_t used[GN_EXHAUSTION_POINTS];
};

struct gn_exhaustion_forecast {
	int64_t soonest_us, likely_us, latest_us; /* from now; GN_EXHAUSTION_NEVER */
	int64_t per_hour;                         /* the median slope */
	uint32_t n;                               /* points it rests on; below 16 it says NEVER */
};

void gn_exhaustion_init(struct gn_exhaustion *trend, uint64_t period_us, uint64_t span_us);

/* 'now_us' monotonic; older than the newest is ignored. 0 <= used <= 2^60. */
void gn_exhaustion_observe(struct gn_exhaustion *trend, uint64_t now_us, int64_t used);

/* Whether these may be the bytes of a trend over 'span_us' that saw nothing after 'newest_us'. For
 * state that comes from elsewhere. */
bool gn_exhaustion_is_sound(const struct gn_exhaustion *trend, uint64_t span_us,
                            uint64_t newest_us);

/* Against 'limit'. At or above the limit all three are 0. */
struct gn_exhaustion_forecast gn_exhaustion_forecast(const struct gn_exhaustion *trend,
                                                     int64_t limit);

#endif
