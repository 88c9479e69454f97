/* features.c - see features.h. */
#include "firmware/predict/features.h"

#include "firmware/core/fixed.h"
#include "firmware/predict/panel.h"

#define LIMIT 32000

/* Units to features: one reciprocal per horizon instead of a division per feature. */
struct scale {
	int64_t origin;
	int64_t inverse_q36; /* of the unit in Q4 */
};

static int16_t relative(const struct scale *scale, int64_t value)
{
	/* |difference| < 2^27, inverse <= 2^36: the product fits 63 bits; Q4 off, Q8 on */
	return (int16_t)gn_clamp64(((value - scale->origin) * scale->inverse_q36) >> 24, -LIMIT,
	                           LIMIT);
}

static int16_t log_ratio(uint64_t a, uint64_t b)
{
	return (int16_t)((gn_log2_q10(a + 1) - gn_log2_q10(b + 1)) >> 2);
}

uint32_t gn_features_unit_q4(const struct gn_predict *p, uint32_t index)
{
	uint32_t unit = p->spread[index].scale_q4;

	return unit ? unit : 1;
}

/* The highest of the newest 'n' blocks. */
static int32_t block_max(const struct gn_recent *recent, uint32_t n)
{
	uint32_t at = recent->block;
	uint16_t most = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint16_t block = recent->blocks[at];

		most = block > most ? block : most; /* small floats order like their values */
		at = at ? at - 1 : GN_RECENT_BLOCKS - 1;
	}
	return (int32_t)gn_small_unpack(most);
}

static uint32_t high_slot(const struct gn_predict *p, uint32_t step)
{
	return (uint32_t)((uint64_t)(step % p->day) * GN_HIGH_SLOTS / p->day);
}

static void learn_high(struct gn_predict *p, int32_t value)
{
	uint32_t step = p->history.n - 1, slot = high_slot(p, step);
	uint16_t *high = &p->recent.high[slot];
	int64_t old = (int64_t)gn_small_unpack(*high);

	if (step && high_slot(p, step - 1) != slot)
		old -= old / 8; /* once a day */
	*high = gn_small_pack((uint64_t)gn_max64(old, value));
}

void gn_recent_observe(struct gn_predict *p)
{
	struct gn_recent *recent = &p->recent;
	int32_t value = gn_history_at(&p->history, 0), before = gn_history_at(&p->history, 1);
	int64_t change = gn_abs64((int64_t)value - before) << 4;
	uint16_t packed = gn_small_pack((uint64_t)value), *block;
	int64_t n = p->history.n;

	recent->change_fast_q4 += (int32_t)((change - recent->change_fast_q4) / gn_min64(n, 8));
	recent->change_slow_q4 += (int32_t)((change - recent->change_slow_q4) / gn_min64(n, 512));
	if ((n - 1) % GN_RECENT_BLOCK == 0) {
		recent->block = (uint8_t)((recent->block + 1) % GN_RECENT_BLOCKS);
		recent->blocks[recent->block] = 0;
	}
	block = &recent->blocks[recent->block];
	*block = packed > *block ? packed : *block;
	recent->max_96 = block_max(recent, 8);
	recent->max_288 = block_max(recent, GN_RECENT_BLOCKS);
	learn_high(p, value);
	recent->max_6 = recent->max_24 = value;
	recent->min_12 = value;
	for (uint32_t lag = 1; lag < 24; lag++) {
		value = gn_history_at(&p->history, lag);
		recent->max_24 = value > recent->max_24 ? value : recent->max_24;
		if (lag < 6)
			recent->max_6 = recent->max_24;
		if (lag < 12)
			recent->min_12 = value < recent->min_12 ? value : recent->min_12;
	}
}

void gn_recent_rescale(struct gn_recent *recent, unsigned int shift)
{
	recent->change_fast_q4 >>= shift;
	recent->change_slow_q4 >>= shift;
	recent->max_6 >>= shift;
	recent->max_24 >>= shift;
	recent->min_12 >>= shift;
	recent->max_96 >>= shift;
	recent->max_288 >>= shift;
	for (uint32_t i = 0; i < GN_RECENT_BLOCKS; i++)
		recent->blocks[i] = gn_small_pack(gn_small_unpack(recent->blocks[i]) >> shift);
	for (uint32_t i = 0; i < GN_HIGH_SLOTS; i++)
		recent->high[i] = gn_small_pack(gn_small_unpack(recent->high[i]) >> shift);
	for (uint32_t i = 0; i < GN_H; i++)
		recent->error_fast_q4[i] >>= shift;
}

/* Highest value within two steps of a whole number of periods before the target. */
static int32_t window_max(const struct gn_predict *p, uint32_t lag)
{
	int32_t most = 0;

	for (uint32_t i = lag > 2 ? lag - 2 : 0; i <= lag + 2; i++) {
		int32_t value = gn_history_at(&p->history, i);

		most = value > most ? value : most;
	}
	return most;
}

void gn_features_make(const struct gn_predict *p, uint32_t index,
                      int32_t experts[GN_N_EXPERTS][GN_Q], int16_t features[GN_N_FEATURES])
{
	const struct gn_recent *recent = &p->recent;
	uint32_t unit_q4 = gn_features_unit_q4(p, index), horizon = p->config.horizons[index];
	uint32_t rhythm = gn_panel_rhythm(p), day = p->day <= GN_PERIOD_MAX ? p->day : rhythm;
	uint32_t rhythm_lag = gn_period_lag(rhythm, horizon), day_lag = gn_period_lag(day, horizon);
	const int32_t *mix = experts[GN_EXPERT_MIX];
	struct scale scale = {mix[GN_P50], ((int64_t)1 << 36) / unit_q4};
	int32_t error_p = gn_period_error(&p->period, rhythm);
	int32_t error_h = gn_period_error(&p->period, horizon);
	int16_t *f = features;

	for (uint32_t q = GN_P90; q <= GN_P99; q++)
		*f++ = relative(&scale, mix[q]);
	for (uint32_t q = GN_P50; q <= GN_P99; q++)
		*f++ = relative(&scale, experts[GN_EXPERT_STACK][q]);
	*f++ = relative(&scale, experts[GN_EXPERT_RHYTHM][GN_P50]);
	*f++ = relative(&scale, experts[GN_EXPERT_RHYTHM][GN_P95]);
	for (uint32_t q = GN_P50; q <= GN_P99; q++)
		*f++ = relative(&scale, experts[GN_EXPERT_DAY][q]);
	*f++ = relative(&scale, experts[GN_EXPERT_WEEK][GN_P50]);
	*f++ = relative(&scale, experts[GN_EXPERT_WEEK][GN_P95]);
	*f++ = relative(&scale, experts[GN_EXPERT_WEEK][GN_P99]);
	*f++ = relative(&scale, gn_history_at(&p->history, 0));
	*f++ = relative(&scale, gn_history_at(&p->history, 1));
	*f++ = relative(&scale, gn_history_at(&p->history, 2));
	*f++ = relative(&scale, gn_history_at(&p->history, 3));
	*f++ = relative(&scale, gn_history_at(&p->history, 6));
	*f++ = relative(&scale, recent->max_6);
	*f++ = relative(&scale, recent->max_24);
	*f++ = relative(&scale, recent->min_12);
	*f++ = relative(&scale, recent->max_96);
	*f++ = relative(&scale, recent->max_288);
	*f++ = relative(&scale, p->fast_q5 >> 5);
	*f++ = relative(&scale, p->slow_q5 >> 5);
	*f++ = relative(&scale, window_max(p, rhythm_lag));
	*f++ = relative(&scale, window_max(p, rhythm_lag + rhythm));
	*f++ = relative(&scale, gn_history_at(&p->history, rhythm_lag + rhythm));
	*f++ = relative(&scale, gn_history_at(&p->history, day_lag));
	*f++ = relative(&scale, window_max(p, day_lag));
	*f++ = relative(&scale, gn_panel_profile(p, 0, horizon));
	*f++ = relative(&scale, gn_history_at(&p->history, day_lag + day));
	*f++ = relative(&scale, window_max(p, day_lag + day));
	*f++ = relative(&scale, (int32_t)gn_small_unpack(
	                                recent->high[high_slot(p, p->history.n - 1 + horizon)]));
	*f++ = relative(&scale, p->peak);
	*f++ = log_ratio((uint64_t)recent->change_fast_q4, (uint64_t)recent->change_slow_q4);
	*f++ = log_ratio((uint64_t)recent->error_fast_q4[index], unit_q4);
	*f++ = log_ratio((uint64_t)recent->change_slow_q4, unit_q4);
	*f++ = log_ratio((uint64_t)(p->slow_q5 >> 1), unit_q4);
	*f++ = log_ratio((uint64_t)mix[GN_P50] << 4, (uint64_t)(p->slow_q5 >> 1));
	*f++ = (int16_t)(recent->above_q16[index] >> 2);
	*f++ = error_p < 0 || error_h < 0 ? 0 : log_ratio((uint64_t)error_p, (uint64_t)error_h);
	*f++ = (int16_t)(gn_log2_q10(horizon) >> 2);
	*f++ = (int16_t)(gn_log2_q10(p->history.n) >> 2);
	*f++ = (int16_t)(gn_log2_q10(rhythm) >> 2);
	_Static_assert(GN_N_FEATURES == 49, "count the lines above");
}
