/* signs.c - signs of failure (signs.h). */
#include "firmware/introspect/signs.h"

#include <string.h>

#define HOUR_S 3600

static void watch_clock(struct gn_signs *s, uint64_t now_us, uint64_t jiffies,
                        struct gn_signs_found *out)
{
	out->is_advancing = s->has_jiffies && jiffies != s->jiffies;
	if (!s->has_jiffies || out->is_advancing)
		s->jiffies_since_us = now_us;
	s->has_jiffies = true;
	s->jiffies = jiffies;
	out->stopped_us = now_us - s->jiffies_since_us;
}

/* ---- sleepers -------------------------------------------------------------------------------- */

static uint64_t asleep_since(const struct gn_signs *s, const struct gn_blocked *b, uint64_t now_us)
{
	for (unsigned i = 0; i < s->n_sleepers; i++) {
		const struct gn_signs_sleeper *old = &s->sleepers[i];

		if (old->task == b->task && old->start_ns == b->start_ns &&
		    old->switches == b->switches)
			return old->since_us;
	}
	return now_us;
}

/* As khungtaskd does: asleep without having been switched to in between. */
static void watch_sleepers(struct gn_signs *s, uint64_t now_us, uint64_t limit_us,
                           const struct gn_walk *walk, struct gn_signs_found *out)
{
	struct gn_signs_sleeper now[GN_WALK_MAX_BLOCKED];

	for (uint32_t i = 0; i < walk->n_blocked; i++) {
		const struct gn_blocked *b = &walk->blocked[i];
		uint64_t since_us = asleep_since(s, b, now_us), length_us = now_us - since_us;

		now[i] = (struct gn_signs_sleeper){b->task, b->start_ns, b->switches, since_us};
		out->n_stuck += length_us >= limit_us;
		if (length_us > out->longest_sleep_us) {
			out->longest_sleep_us = length_us;
			out->stuck_pid = b->pid;
		}
	}
	memcpy(s->sleepers, now, walk->n_blocked * sizeof *now);
	s->n_sleepers = walk->n_blocked;
}

/* ---- leak ------------------------------------------------------------------------------------ */

static void add_point(struct gn_signs *s, uint64_t now_us, uint64_t step_us, uint64_t used_pages)
{
	unsigned last = (s->n_points + GN_SIGNS_LEAK_POINTS - 1) % GN_SIGNS_LEAK_POINTS;

	if (s->n_points && now_us - s->points[last].at_us < step_us)
		return;
	s->points[s->n_points % GN_SIGNS_LEAK_POINTS].at_us = now_us;
	s->points[s->n_points % GN_SIGNS_LEAK_POINTS].used_pages = used_pages;
	s->n_points++;
}

/* Least squares over the points, relative to the oldest one; milliseconds and pages. */
static bool slope(const struct gn_signs *s, uint64_t least_us, int64_t *bytes_per_hour)
{
	unsigned n = s->n_points < GN_SIGNS_LEAK_POINTS ? s->n_points : GN_SIGNS_LEAK_POINTS;
	unsigned first = s->n_points - n;
	__int128 sum_x = 0, sum_y = 0, sum_xy = 0, sum_xx = 0, below, above;
	uint64_t from_us = s->points[first % GN_SIGNS_LEAK_POINTS].at_us, span_us = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned at = (first + i) % GN_SIGNS_LEAK_POINTS;
		int64_t x, y;

		span_us = s->points[at].at_us - from_us;
		x = (int64_t)(span_us / 1000);
		y = (int64_t)(s->points[at].used_pages & UINT32_MAX);
		sum_x += x;
		sum_y += y;
		sum_xy += (__int128)x * y;
		sum_xx += (__int128)x * x;
	}
	below = n * sum_xx - sum_x * sum_x;
	above = n * sum_xy - sum_x * sum_y;
	if (span_us < least_us || below <= 0)
		return false;
	*bytes_per_hour = (int64_t)(above * (int64_t)GN_PAGE_SIZE * HOUR_S * 1000 / below);
	return true;
}

void gn_signs_update(struct gn_signs *s, uint64_t now_us, const struct gn_signs_limits *limits,
                     const struct gn_globals *globals, const struct gn_walk *walk,
                     struct gn_signs_found *out)
{
	memset(out, 0, sizeof *out);
	watch_clock(s, now_us, globals->jiffies, out);
	watch_sleepers(s, now_us, limits->stuck_us, walk, out);
	if (globals->has_memory) {
		uint64_t used = globals->total_pages > globals->available_pages
		                        ? globals->total_pages - globals->available_pages
		                        : 0;

		add_point(s, now_us, limits->leak_us / GN_SIGNS_LEAK_STEPS, used);
		out->has_slope = slope(s, limits->leak_us, &out->leak_bytes_per_hour);
	}
}
