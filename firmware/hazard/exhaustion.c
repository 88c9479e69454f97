/* exhaustion.c - see exhaustion.h. */
#include "firmware/hazard/exhaustion.h"

#include <string.h>

#include "firmware/core/fixed.h"

#define HALF       (GN_EXHAUSTION_POINTS / 2)
#define MIN_POINTS 16
#define HOUR_US    3600000000
#define USED_MAX   ((int64_t)1 << 60)
#define STRIDE_MAX ((uint64_t)1 << 50) /* doubled once more it still fits */

void gn_exhaustion_init(struct gn_exhaustion *trend, uint64_t period_us, uint64_t span_us)
{
	memset(trend, 0, sizeof(*trend));
	trend->stride_us = period_us ? period_us : 1;
	trend->span_us = span_us;
}

static void drop(struct gn_exhaustion *trend, uint32_t first)
{
	trend->n -= first;
	memmove(trend->at_us, trend->at_us + first, trend->n * sizeof(trend->at_us[0]));
	memmove(trend->used, trend->used + first, trend->n * sizeof(trend->used[0]));
}

static void thin(struct gn_exhaustion *trend)
{
	trend->n /= 2;
	for (uint32_t i = 0; i < trend->n; i++) {
		trend->at_us[i] = trend->at_us[2 * i + 1];
		trend->used[i] = trend->used[2 * i + 1];
	}
	trend->stride_us *= 2;
}

void gn_exhaustion_observe(struct gn_exhaustion *trend, uint64_t now_us, int64_t used)
{
	uint32_t n = trend->n;

	if (n && (now_us <= trend->at_us[n - 1] ||
	          now_us - trend->at_us[n - 1] < trend->stride_us - trend->stride_us / 4))
		return;
	if (n == GN_EXHAUSTION_POINTS) {
		if (now_us - trend->at_us[0] < trend->span_us)
			thin(trend);
		else
			drop(trend, 1);
	}
	trend->at_us[trend->n] = now_us;
	trend->used[trend->n] = gn_clamp64(used, 0, USED_MAX);
	trend->n++;
}

bool gn_exhaustion_is_sound(const struct gn_exhaustion *trend, uint64_t span_us, uint64_t newest_us)
{
	if (trend->span_us != span_us || trend->stride_us == 0 || trend->stride_us > STRIDE_MAX ||
	    trend->n > GN_EXHAUSTION_POINTS)
		return false;
	for (uint32_t i = 0; i < trend->n; i++)
		if (trend->used[i] < 0 || trend->used[i] > USED_MAX ||
		    trend->at_us[i] > newest_us || (i && trend->at_us[i] <= trend->at_us[i - 1]))
			return false;
	return true;
}

/* Sorted slopes per hour between points half a window apart; how many. */
static uint32_t slopes_of(const struct gn_exhaustion *trend, int64_t slopes[HALF])
{
	uint32_t half = trend->n / 2, n = 0;

	for (uint32_t i = 0; i < half; i++) {
		uint32_t j = i + trend->n - half;
		int64_t rise = trend->used[j] - trend->used[i];
		int64_t run = (int64_t)(trend->at_us[j] - trend->at_us[i]), slope;
		uint32_t at = n++;

		/* in milliseconds, the division stays exact enough and the product in range */
		run = gn_max64(run / 1000, 1);
		slope = gn_clamp64(rise, -USED_MAX, USED_MAX) / run > ((int64_t)1 << 40)
		                ? (int64_t)1 << 60
		                : gn_mul_shift(rise, HOUR_US / 1000, 0) / run;
		while (at > 0 && slopes[at - 1] > slope) {
			slopes[at] = slopes[at - 1];
			at--;
		}
		slopes[at] = slope;
	}
	return n;
}

static int64_t time_to(int64_t room, int64_t per_hour)
{
	int64_t hours_q16;

	if (per_hour <= 0)
		return GN_EXHAUSTION_NEVER;
	hours_q16 = gn_div_shift(room, per_hour, 16);
	if (hours_q16 >= (int64_t)200000 << 16) /* beyond 20 years it is never */
		return GN_EXHAUSTION_NEVER;
	return gn_mul_shift(hours_q16, HOUR_US, 16);
}

struct gn_exhaustion_forecast gn_exhaustion_forecast(const struct gn_exhaustion *trend,
                                                     int64_t limit)
{
	struct gn_exhaustion_forecast out = {.soonest_us = GN_EXHAUSTION_NEVER,
	                                     .likely_us = GN_EXHAUSTION_NEVER,
	                                     .latest_us = GN_EXHAUSTION_NEVER,
	                                     .n = trend->n};
	int64_t slopes[HALF], room;
	uint32_t n;

	if (trend->n == 0)
		return out;
	room = gn_clamp64(limit, 0, USED_MAX) - trend->used[trend->n - 1];
	if (room <= 0) {
		out.soonest_us = out.likely_us = out.latest_us = 0;
		return out;
	}
	if (trend->n < MIN_POINTS)
		return out;
	n = slopes_of(trend, slopes);
	out.per_hour = slopes[n / 2];
	out.soonest_us = time_to(room, slopes[n - 1 - n / 10]);
	out.likely_us = time_to(room, slopes[n / 2]);
	out.latest_us = time_to(room, slopes[n / 10]);
	return out;
}
