/* anomaly.c - see anomaly.h. */
#include "firmware/hazard/anomaly.h"

#include <string.h>

#include "firmware/core/fixed.h"

#define REFRESH  8
#define NONE     INT64_MIN
#define N_MAX    ((uint64_t)1 << 48) /* samples: one each microsecond for nine years */
#define MONTH_MS ((int64_t)30 * 86400 * 1000)

static const struct {
	uint32_t first;     /* samples before the view may speak */
	int32_t margin_q16; /* how far outside does not count yet */
} views[GN_ANOMALY_VIEWS] = {{50, 0}, {50, 32768}, {150, 6554}};

void gn_anomaly_init(struct gn_anomaly *anomaly, uint32_t quiet)
{
	memset(anomaly, 0, sizeof(*anomaly));
	anomaly->quiet = (uint32_t)gn_clamp64(quiet, GN_ANOMALY_RECENT, 100000);
	for (uint32_t v = 0; v < GN_ANOMALY_VIEWS; v++) {
		for (uint32_t b = 0; b < GN_ANOMALY_BLOCKS; b++) {
			for (uint32_t i = 0; i < GN_ANOMALY_ORDER; i++) {
				anomaly->ranges[v].high[b][i] = NONE;
				anomaly->ranges[v].low[b][i] = NONE;
			}
		}
	}
}

/* Puts 'value' into its place among the greatest; false when it is not among them. */
static bool insert(int64_t greatest[GN_ANOMALY_ORDER], int64_t value)
{
	uint32_t at = GN_ANOMALY_ORDER - 1;

	if (value <= greatest[at])
		return false;
	for (; at > 0 && value > greatest[at - 1]; at--)
		greatest[at] = greatest[at - 1];
	greatest[at] = value;
	return true;
}

/* The 'order'-th greatest of all blocks. */
static int64_t order_statistic(int64_t blocks[GN_ANOMALY_BLOCKS][GN_ANOMALY_ORDER], uint32_t order)
{
	int64_t greatest[GN_ANOMALY_ORDER];

	for (uint32_t i = 0; i < GN_ANOMALY_ORDER; i++)
		greatest[i] = NONE;
	for (uint32_t b = 0; b < GN_ANOMALY_BLOCKS; b++)
		for (uint32_t i = 0; i < GN_ANOMALY_ORDER && insert(greatest, blocks[b][i]); i++)
			;
	while (order > 1 && greatest[order - 1] == NONE)
		order--;
	return greatest[order - 1];
}

static void refresh(struct gn_anomaly_range *range, uint64_t n)
{
	uint32_t order = (uint32_t)(1 + gn_min64((int64_t)n, 5000) / 1000);

	range->top = order_statistic(range->high, order);
	range->bottom = -order_statistic(range->low, order);
}

static void absorb(struct gn_anomaly_range *range, uint64_t n, int64_t value)
{
	uint32_t block = n / GN_ANOMALY_BLOCK % GN_ANOMALY_BLOCKS;

	if (n % GN_ANOMALY_BLOCK == 0) {
		for (uint32_t i = 0; i < GN_ANOMALY_ORDER; i++)
			range->high[block][i] = range->low[block][i] = NONE;
	}
	insert(range->high[block], value);
	insert(range->low[block], -value);
}

/* How far outside the range, in its widths (Q16); negative inside. */
static int32_t outside_q16(const struct gn_anomaly_range *range, int64_t value, bool *above)
{
	/* |values| <= 2^48, so sums and differences fit with room for Q14 */
	int64_t width = range->top - range->bottom;
	int64_t middle = gn_abs64(range->top + range->bottom) / 2;
	int64_t up = value - range->top, down = range->bottom - value;

	width = gn_max64(width, middle / 1000 + 1);
	*above = up >= down;
	return gn_clamp32(gn_div_shift(gn_max64(up, down), width, 14) * 4,
	                  -GN_ANOMALY_SCORE_MAX_Q16, GN_ANOMALY_SCORE_MAX_Q16);
}

static int64_t view_value(const struct gn_anomaly *anomaly, uint32_t view, int64_t value)
{
	int64_t sum = value, n = 1;

	if (view == GN_ANOMALY_MEAN_12) {
		for (uint64_t i = 1; i < 12 && i <= anomaly->n; i++, n++)
			sum += anomaly->last_12[(anomaly->n - i) % 12];
	} else if (view == GN_ANOMALY_MEAN_100) {
		uint64_t now = anomaly->n / GN_ANOMALY_SUMS;

		for (uint64_t i = 0; i < GN_ANOMALY_SUMS && i <= now; i++)
			sum += anomaly->sums[(now - i) % GN_ANOMALY_SUMS];
		n = (int64_t)(anomaly->n % GN_ANOMALY_SUMS) + 1;
		n += GN_ANOMALY_SUMS * gn_min64((int64_t)now, GN_ANOMALY_SUMS - 1);
	}
	return sum / n;
}

static void take(struct gn_anomaly *anomaly, int64_t value)
{
	int64_t *sum = &anomaly->sums[anomaly->n / GN_ANOMALY_SUMS % GN_ANOMALY_SUMS];

	anomaly->last_12[anomaly->n % 12] = value;
	anomaly->n++;
	*sum += value;
	if (anomaly->n % GN_ANOMALY_SUMS == 0)
		anomaly->sums[anomaly->n / GN_ANOMALY_SUMS % GN_ANOMALY_SUMS] = 0;
}

/* Whether the score tops those of the quiet time; remembers it. */
static bool tops(struct gn_anomaly *anomaly, int32_t score_q16)
{
	uint32_t step = anomaly->quiet / GN_ANOMALY_RECENT;
	int32_t *place = &anomaly->recent_q16[anomaly->n / step % GN_ANOMALY_RECENT];
	int32_t most = 0;

	if (anomaly->n % step == 0)
		*place = 0;
	for (uint32_t i = 0; i < GN_ANOMALY_RECENT; i++)
		most = anomaly->recent_q16[i] > most ? anomaly->recent_q16[i] : most;
	*place = score_q16 > *place ? score_q16 : *place;
	return score_q16 > most;
}

/* Half octaves above 2^-8. */
static uint32_t bin_of(int32_t score_q16)
{
	int32_t log = gn_log2_q10((uint64_t)gn_max64(score_q16, 1)) - (8 << 10);

	return (uint32_t)gn_clamp64(log * 2 >> 10, 0, GN_ANOMALY_BINS - 1);
}

static uint32_t monthly_q8(const struct gn_anomaly *anomaly, uint32_t from_bin, uint64_t period_us)
{
	int64_t period_ms = (int64_t)gn_min64((int64_t)(period_us / 1000), MONTH_MS);
	int64_t count = 0, span_ms;

	span_ms = gn_mul_shift((int64_t)anomaly->n, gn_max64(period_ms, 1), 0);
	for (uint32_t b = from_bin; b < GN_ANOMALY_BINS; b++)
		count += anomaly->counts[b];
	/* half an event more than were seen: what has not happened yet is not impossible.
	 * count < 2^21, so the product stays below 2^61 */
	return (uint32_t)gn_min64((2 * count + 1) * 128 * MONTH_MS / gn_max64(span_ms, 1),
	                          UINT32_MAX);
}

static void count(struct gn_anomaly *anomaly, int32_t score_q16)
{
	uint16_t *place = &anomaly->counts[bin_of(score_q16)];

	if (*place < UINT16_MAX)
		(*place)++;
}

struct gn_anomaly_result gn_anomaly_observe(struct gn_anomaly *anomaly, int64_t value,
                                            uint64_t period_us)
{
	struct gn_anomaly_result result = {.per_month_q8 = UINT32_MAX};

	value = gn_clamp64(value, -GN_ANOMALY_VALUE_MAX, GN_ANOMALY_VALUE_MAX);
	for (uint32_t v = 0; v < GN_ANOMALY_VIEWS; v++) {
		struct gn_anomaly_range *range = &anomaly->ranges[v];
		int64_t seen = view_value(anomaly, v, value);
		int32_t score;
		bool above;

		if (anomaly->n % REFRESH == 0 && anomaly->n > 0)
			refresh(range, anomaly->n);
		if (anomaly->n >= views[v].first) {
			score = outside_q16(range, seen, &above) - views[v].margin_q16;
			if (score > result.score_q16) {
				result.score_q16 = score;
				result.view = (enum gn_anomaly_view)v;
				result.above = above;
			}
		}
		absorb(range, anomaly->n, seen);
	}
	if (!tops(anomaly, result.score_q16))
		result.score_q16 = 0;
	if (result.score_q16 > 0) {
		result.per_month_q8 = monthly_q8(anomaly, bin_of(result.score_q16), period_us);
		count(anomaly, result.score_q16);
	}
	take(anomaly, value);
	return result;
}

int32_t gn_anomaly_threshold(const struct gn_anomaly *anomaly, uint64_t period_us,
                             uint32_t budget_q8)
{
	for (uint32_t bin = 0; bin < GN_ANOMALY_BINS; bin++)
		if (monthly_q8(anomaly, bin, period_us) <= budget_q8)
			return (int32_t)gn_exp2_q10((int32_t)(bin << 9) + (8 << 10), 0);
	return GN_ANOMALY_SCORE_MAX_Q16;
}

static bool is_value(int64_t value)
{
	return value >= -GN_ANOMALY_VALUE_MAX && value <= GN_ANOMALY_VALUE_MAX;
}

static bool extremes_are_sound(const int64_t greatest[GN_ANOMALY_ORDER])
{
	for (uint32_t i = 0; i < GN_ANOMALY_ORDER; i++)
		if ((greatest[i] != NONE && !is_value(greatest[i])) ||
		    (i > 0 && greatest[i] > greatest[i - 1]))
			return false;
	return true;
}

/* The newest block holds a value once there was one: without any, refresh() would negate NONE. */
static bool range_is_sound(const struct gn_anomaly_range *range, uint64_t n)
{
	uint64_t newest = (n - 1) / GN_ANOMALY_BLOCK % GN_ANOMALY_BLOCKS;

	for (uint32_t b = 0; b < GN_ANOMALY_BLOCKS; b++)
		if (!extremes_are_sound(range->high[b]) || !extremes_are_sound(range->low[b]))
			return false;
	return is_value(range->top) && is_value(range->bottom) &&
	       (n == 0 || (range->high[newest][0] != NONE && range->low[newest][0] != NONE));
}

bool gn_anomaly_is_sound(const struct gn_anomaly *anomaly, uint32_t quiet)
{
	if (anomaly->n > N_MAX || anomaly->quiet != gn_clamp64(quiet, GN_ANOMALY_RECENT, 100000))
		return false;
	for (uint32_t v = 0; v < GN_ANOMALY_VIEWS; v++)
		if (!range_is_sound(&anomaly->ranges[v], anomaly->n))
			return false;
	for (uint32_t i = 0; i < 12; i++)
		if (!is_value(anomaly->last_12[i]))
			return false;
	for (uint32_t i = 0; i < GN_ANOMALY_SUMS; i++)
		if (!is_value(anomaly->sums[i] / GN_ANOMALY_SUMS))
			return false;
	for (uint32_t i = 0; i < GN_ANOMALY_RECENT; i++)
		if (anomaly->recent_q16[i] < 0 || anomaly->recent_q16[i] > GN_ANOMALY_SCORE_MAX_Q16)
			return false;
	return true;
}

const char *gn_anomaly_view_text(enum gn_anomaly_view view)
{
	static const char *const texts[GN_ANOMALY_VIEWS] = {"value", "mean over 12 samples",
	                                                    "mean over 100 samples"};

	return view < GN_ANOMALY_VIEWS ? texts[view] : "unknown";
}
