/* features.c - see features.h. */
#include "firmware/predict/features.h"

#include "firmware/core/fixed.h"
#include "firmware/predict/panel.h"

#define LIMIT    32000
#define N_NEWEST (sizeof(((struct gn_features_common *)0)->newest) / sizeof(int32_t))

/* Units to features: one reciprocal per horizon instead of a division per feature. */
struct scale {
	int64_t origin;
	int64_t inverse_q36; /* of the unit in Q4 */
};

static uint16_t feature_of(int64_t value)
{
	return (uint16_t)(GN_FEATURES_ZERO + gn_within64(value, LIMIT));
}

static uint16_t relative(const struct scale *scale, int64_t value)
{
	/* |difference| < 2^27, inverse <= 2^36: the product fits 63 bits; Q4 off, Q8 on */
	return feature_of(((value - scale->origin) * scale->inverse_q36) >> 24);
}

static int32_t log_q10(uint64_t value)
{
	return gn_log2_q10(value + 1);
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

/* The blocks' maxima: a block leaves only when a new one begins. */
static void observe_blocks(struct gn_recent *recent, int32_t value, bool begins)
{
	uint16_t packed = gn_small_pack((uint64_t)value), *block;
	int32_t rounded = (int32_t)gn_small_unpack(packed);

	if (begins) {
		recent->block = (uint8_t)((recent->block + 1) % GN_RECENT_BLOCKS);
		recent->blocks[recent->block] = 0;
	}
	block = &recent->blocks[recent->block];
	*block = packed > *block ? packed : *block;
	if (begins) {
		recent->max_96 = block_max(recent, 8);
		recent->max_288 = block_max(recent, GN_RECENT_BLOCKS);
	} else {
		recent->max_96 = rounded > recent->max_96 ? rounded : recent->max_96;
		recent->max_288 = rounded > recent->max_288 ? rounded : recent->max_288;
	}
}

/* The highest of the newest 'n' samples, 'before' being what it was one sample ago: only when
 * the sample that held it leaves must the others be looked at. */
static int32_t max_of(const struct gn_history *history, uint32_t n, int32_t before)
{
	int32_t value = gn_history_at(history, 0);

	if (value >= before)
		return value;
	if (gn_history_at(history, n) < before)
		return before;
	for (uint32_t lag = 1; lag < n; lag++)
		value = gn_history_at(history, lag) > value ? gn_history_at(history, lag) : value;
	return value;
}

void gn_recent_observe(struct gn_predict *p)
{
	struct gn_recent *recent = &p->recent;
	int32_t value = gn_history_at(&p->history, 0), before = gn_history_at(&p->history, 1);
	int64_t change = gn_abs64((int64_t)value - before) << 4;
	int64_t n = p->history.n;

	recent->change_fast_q4 += (int32_t)((change - recent->change_fast_q4) / gn_min64(n, 8));
	recent->change_slow_q4 += (int32_t)((change - recent->change_slow_q4) / gn_min64(n, 512));
	observe_blocks(recent, value, (n - 1) % GN_RECENT_BLOCK == 0);
	learn_high(p, value);
	recent->max_6 = max_of(&p->history, 6, recent->max_6);
}

void gn_recent_rescale(struct gn_recent *recent, unsigned int shift)
{
	recent->change_fast_q4 >>= shift;
	recent->change_slow_q4 >>= shift;
	recent->max_6 >>= shift;
	recent->max_96 >>= shift;
	recent->max_288 >>= shift;
	for (uint32_t i = 0; i < GN_RECENT_BLOCKS; i++)
		recent->blocks[i] = gn_small_pack(gn_small_unpack(recent->blocks[i]) >> shift);
	for (uint32_t i = 0; i < GN_HIGH_SLOTS; i++)
		recent->high[i] = gn_small_pack(gn_small_unpack(recent->high[i]) >> shift);
	for (uint32_t i = 0; i < GN_H; i++)
		recent->error_fast_q4[i] >>= shift;
}

/* Highest value within two steps of 'lag'. */
static int32_t window_max(const struct gn_history *history, uint32_t lag)
{
	uint32_t first = lag > 2 ? lag - 2 : 0, n = lag + 3 - first;
	int32_t most = 0, place = history->packed_next - 1 - (int32_t)first;

	if (first >= GN_HISTORY_EXACT && first + n <= history->n && first + n <= GN_HISTORY_SIZE) {
		uint16_t packed = 0; /* small floats order like their values */

		place += place < 0 ? GN_HISTORY_SIZE : 0;
		for (; n > 0; n--) {
			packed = history->packed[place] > packed ? history->packed[place] : packed;
			place += place ? -1 : GN_HISTORY_SIZE - 1;
		}
		return (int32_t)gn_small_unpack(packed);
	}
	for (uint32_t i = 0; i < n; i++) {
		int32_t value = gn_history_at(history, first + i);

		most = value > most ? value : most;
	}
	return most;
}

/* What the experts say, and the newest samples. Returns where the next feature goes. */
static uint16_t *add_experts(uint16_t *f, const struct scale *scale,
                             const struct gn_features_common *common,
                             int32_t experts[GN_N_EXPERTS][GN_Q])
{
	for (uint32_t q = GN_P90; q <= GN_P99; q++)
		*f++ = relative(scale, experts[GN_EXPERT_MIX][q]);
	for (uint32_t q = GN_P50; q <= GN_P95; q++)
		*f++ = relative(scale, experts[GN_EXPERT_STACK][q]);
	*f++ = relative(scale, experts[GN_EXPERT_RHYTHM][GN_P50]);
	*f++ = relative(scale, experts[GN_EXPERT_RHYTHM][GN_P95]);
	*f++ = relative(scale, experts[GN_EXPERT_DAY][GN_P50]);
	*f++ = relative(scale, experts[GN_EXPERT_DAY][GN_P90]);
	*f++ = relative(scale, experts[GN_EXPERT_WEEK][GN_P50]);
	for (uint32_t i = 0; i < N_NEWEST; i++)
		*f++ = relative(scale, common->newest[i]);
	return f;
}

/* The levels of the last hours and days, and what the time of day and the rhythm say. */
static uint16_t *add_levels(uint16_t *f, const struct scale *scale, const struct gn_predict *p,
                            const struct gn_echo *echo, uint32_t horizon)
{
	const struct gn_recent *recent = &p->recent;
	const struct gn_history *past = &p->history;
	uint32_t rhythm = gn_panel_rhythm(p), day = p->day <= GN_PERIOD_MAX ? p->day : rhythm;
	uint32_t rhythm_lag = gn_period_lag(rhythm, horizon), day_lag = gn_period_lag(day, horizon);
	uint32_t high = high_slot(p, past->n - 1 + horizon);
	int32_t rhythm_max = window_max(past, rhythm_lag);

	*f++ = relative(scale, recent->max_6);
	*f++ = relative(scale, recent->max_96);
	*f++ = relative(scale, recent->max_288);
	*f++ = relative(scale, p->fast_q5 >> 5);
	*f++ = relative(scale, p->slow_q5 >> 5);
	*f++ = relative(scale, rhythm_max);
	*f++ = relative(scale, echo->rhythm_twice);
	*f++ = relative(scale, echo->day);
	*f++ = relative(scale, day_lag == rhythm_lag ? rhythm_max : window_max(past, day_lag));
	*f++ = relative(scale, echo->profile);
	*f++ = relative(scale, gn_history_at(past, day_lag + day));
	*f++ = relative(scale, (int64_t)gn_small_unpack(recent->high[high]));
	*f++ = relative(scale, p->peak);
	return f;
}

/* A difference of logarithms, which are 0..2^16 in Q10, or a share in Q16: never beyond LIMIT. */
static uint16_t ratio_of(int32_t ratio_q10)
{
	return (uint16_t)(GN_FEATURES_ZERO + (ratio_q10 >> 2));
}

/* Ratios, as differences of logarithms in Q8, and the share above P95. */
static void add_ratios(uint16_t *f, const struct gn_predict *p,
                       const struct gn_features_common *common, uint32_t index, int32_t median)
{
	const struct gn_recent *recent = &p->recent;
	int32_t error_h = gn_period_error(&p->period, p->config.horizons[index]);
	int32_t unit = log_q10(gn_features_unit_q4(p, index));
	int32_t slow = common->change_slow, mean = common->mean;
	bool known = common->rhythm_error >= 0 && error_h >= 0;

	*f++ = ratio_of(common->change_fast - slow);
	*f++ = ratio_of(log_q10((uint64_t)recent->error_fast_q4[index]) - unit);
	*f++ = ratio_of(slow - unit);
	*f++ = ratio_of(mean - unit);
	*f++ = ratio_of(log_q10((uint64_t)median << 4) - mean);
	*f++ = ratio_of(recent->above_q16[index]);
	*f++ = ratio_of(known ? common->rhythm_error - log_q10((uint64_t)error_h) : 0);
	*f++ = ratio_of(common->length);
}

void gn_features_prepare(const struct gn_predict *p, struct gn_features_common *common)
{
	static const uint8_t lags[N_NEWEST] = {0, 1, 2, 3, 6};
	int32_t error = gn_period_error(&p->period, gn_panel_rhythm(p));

	for (uint32_t i = 0; i < N_NEWEST; i++)
		common->newest[i] = gn_history_at(&p->history, lags[i]);
	common->change_fast = log_q10((uint64_t)p->recent.change_fast_q4);
	common->change_slow = log_q10((uint64_t)p->recent.change_slow_q4);
	common->mean = log_q10((uint64_t)(p->slow_q5 >> 1));
	common->length = gn_log2_q10(p->history.n);
	common->rhythm_error = error < 0 ? -1 : log_q10((uint64_t)error);
}

void gn_features_make(const struct gn_predict *p, const struct gn_features_common *common,
                      const struct gn_echo *echo, uint32_t index,
                      int32_t experts[GN_N_EXPERTS][GN_Q], uint16_t features[GN_N_FEATURES])
{
	int32_t median = experts[GN_EXPERT_MIX][GN_P50];
	struct scale scale = {median, ((int64_t)1 << 36) / gn_features_unit_q4(p, index)};
	uint16_t *f = features;

	f = add_experts(f, &scale, common, experts);
	f = add_levels(f, &scale, p, echo, p->config.horizons[index]);
	add_ratios(f, p, common, index, median);
}
