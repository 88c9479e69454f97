/* mix.c - see mix.h. A forecast waits in a ring of its horizon until its target arrives.
 * Forecasts of every second step are judged, of horizons longer than their ring of fewer. */
#include "firmware/predict/mix.h"

#include <string.h>

#include "firmware/core/fixed.h"
#include "firmware/predict/features.h"
#include "firmware/predict/panel.h"

#define REHEARSAL         128
#define REWEIGH_ALWAYS    64 /* judgements; later at some of them only */
#define REWEIGH_TURNS     8
#define LOSS_MEMORY       384
#define SHARPNESS_Q10     (12 << 10)
#define PENDING_SHIFT_MAX (GN_U_BITS - 14)
#define WEIGHT_ONE        4096

/* Slots that a horizon can use. */
static uint32_t slots_wanted(const struct gn_predict *p, uint32_t index)
{
	uint32_t turns = gn_turns(p->config.horizons[index]);

	return (p->config.horizons[index] + turns - 1) / turns;
}

void gn_mix_share_slots(struct gn_predict *p)
{
	uint32_t left = GN_PENDING;

	for (uint32_t i = 0; i < p->config.n_horizons; i++) {
		p->slots[i] = (uint8_t)gn_min64(slots_wanted(p, i), GN_PENDING / GN_H);
		left -= p->slots[i];
	}
	for (uint32_t i = 0; i < p->config.n_horizons; i++) {
		uint32_t more = (uint32_t)gn_min64(left, slots_wanted(p, i) - p->slots[i]);

		p->slots[i] = (uint8_t)(p->slots[i] + more);
		left -= more;
	}
}

void gn_mix_init(struct gn_predict *p)
{
	gn_mix_share_slots(p);
	for (uint32_t i = 0; i < GN_H; i++)
		for (uint32_t q = 0; q < GN_Q; q++)
			p->weights[i][q][GN_EXPERT_STACK] = p->weights[i][q][GN_EXPERT_MIX] =
			        WEIGHT_ONE;
}

/* Every how many steps a forecast is recorded. */
static uint32_t stride_of(const struct gn_predict *p, uint32_t index)
{
	uint32_t slots = p->slots[index], turns = gn_turns(p->config.horizons[index]);
	uint32_t stride = (p->config.horizons[index] + slots - 1) / slots;

	return stride < turns ? turns : stride;
}

/* For how many judgements one counts: far horizons are judged every few steps only. */
static uint32_t worth_of(uint32_t stride)
{
	return (uint32_t)gn_min64(1 + stride / 4, 8);
}

/* The ring place, in the ring that begins at 'first', of the forecast made at 'step' for a
 * horizon; NULL: not recorded. */
static struct gn_pending *place_of(struct gn_predict *p, uint32_t index, uint32_t first,
                                   uint32_t step)
{
	uint32_t stride = stride_of(p, index);

	return step % stride ? NULL : &p->pending[first + step / stride % p->slots[index]];
}

/* Moves a running mean by 'rate' (Q16, at most 1): it stays between the old and the sample,
 * so it needs no clamp. Samples are below 2^32: |differences| < 2^27 in Q4. */
static void average(uint32_t *running, int64_t sample, int64_t rate_q16)
{
	*running += (uint32_t)(((sample - (int64_t)*running) * rate_q16 + 32768) >> 16);
}

/* off * level, and for negative 'off' -off * (1 - level). */
static int64_t pinball_q4(int64_t off, int64_t level_q16)
{
	return (off * (off < 0 ? level_q16 - 65536 : level_q16)) >> 12;
}

/* 2^-x, 'x' in Q10 and at most 24. As gn_exp2_q10(), but it need not saturate. */
static uint32_t power_q16(uint32_t x_q10)
{
	uint32_t fraction = -x_q10 & 1023, whole = (x_q10 + 1023) >> 10;
	uint32_t mantissa =
	        (1024 << 10) + (fraction << 10) - ((fraction * (1024 - fraction) * 352) >> 10);

	return mantissa >> (4 + whole);
}

/* Weights of experts 'first' up to 'end', from their losses; their sum is WEIGHT_ONE. */
static void weigh(const uint32_t *losses, uint32_t first, uint32_t end, uint16_t *weights)
{
	uint32_t best = first, powers[GN_N_EXPERTS], sum = 0, left = WEIGHT_ONE;
	int64_t least, inverse_q20;

	for (uint32_t e = first + 1; e < end; e++)
		best = losses[e] < losses[best] ? e : best;
	least = (int64_t)losses[best] + 1;
	inverse_q20 = ((int64_t)SHARPNESS_Q10 << 20) / least;
	for (uint32_t e = first; e < end; e++) {
		/* beyond twice the least a loss weighs nothing: the product stays below 2^36 */
		int64_t worse = gn_min64((int64_t)losses[e] - losses[best], 2 * least);

		powers[e] = power_q16((uint32_t)((worse * inverse_q20) >> 20));
		sum += powers[e];
	}
	inverse_q20 = ((int64_t)WEIGHT_ONE << 20) / sum;
	for (uint32_t e = first; e < end; e++) {
		weights[e] = (uint16_t)((powers[e] * inverse_q20) >> 20);
		left -= weights[e];
	}
	weights[best] = (uint16_t)(weights[best] + left);
}

static void reweigh(struct gn_predict *p, uint32_t index)
{
	for (uint32_t q = 0; q < GN_Q; q++) {
		weigh(p->losses[index][q], 0, GN_N_ONLINE, p->weights[index][q]);
		weigh(p->losses[index][q], GN_N_ONLINE, GN_N_EXPERTS, p->weights[index][q]);
	}
}

/* Moves the offsets of what was issued. Young series are corrected faster: their spread is
 * still a guess. */
static void calibrate(struct gn_predict *p, uint32_t index, uint32_t worth, int64_t change,
                      const struct gn_pending *past)
{
	static const int32_t rates_q16[GN_Q] = {400, 800, 1000, 2000};
	int64_t haste_q8 = 256 + 32768 / ((int64_t)p->n_judged[index] + 64);

	haste_q8 *= worth;
	for (uint32_t q = 0; q < GN_Q; q++) {
		bool above = change > past->issued[q] * ((int64_t)1 << past->shift);
		int64_t level = gn_panel_levels_q16[q];
		int64_t push = (above ? level : level - 65536) * haste_q8;
		int64_t offset = p->offsets_q16[index][q] + ((push * rates_q16[q]) >> 24);

		p->offsets_q16[index][q] =
		        gn_clamp32(offset, -GN_OFFSET_MAX_Q16, GN_OFFSET_MAX_Q16);
	}
}

static bool is_level(uint32_t expert)
{
	return expert == GN_EXPERT_DAY || expert == GN_EXPERT_WEEK;
}

/* What one in a row of pending numbers stands for. */
static int64_t scale_of(const struct gn_pending *past, uint32_t expert)
{
	return (int64_t)1 << (is_level(expert) ? past->level_shift : past->shift);
}

/* The change that an expert's quantile stood for, units. */
static int64_t said(const struct gn_pending *past, uint32_t expert, uint32_t q)
{
	return past->experts[expert][q] * scale_of(past, expert);
}

static void judge_expert(uint32_t losses[GN_Q][GN_N_EXPERTS], uint32_t expert, int64_t change,
                         int64_t rate, const struct gn_pending *past)
{
	uint32_t shift = is_level(expert) ? past->level_shift : past->shift;

	for (uint32_t q = 0; q < GN_Q; q++) {
		int64_t off = change - past->experts[expert][q] * ((int64_t)1 << shift);

		average(&losses[q][expert], pinball_q4(off, gn_panel_levels_q16[q]), rate);
	}
}

static void learn_recent(struct gn_recent *recent, uint32_t index, uint32_t n, int64_t change,
                         const struct gn_pending *past)
{
	int64_t error = gn_abs64(change - said(past, GN_EXPERT_MIX, GN_P50));
	int64_t error_q4 = gn_min64(error, GN_U_MAX) << 4;
	bool above = change > said(past, GN_EXPERT_MIX, GN_P95);

	recent->error_fast_q4[index] +=
	        (int32_t)((error_q4 - recent->error_fast_q4[index]) / gn_min64(n + 1, 12));
	recent->above_q16[index] +=
	        ((above ? 65536 : 0) - recent->above_q16[index]) / (int32_t)gn_min64(n + 1, 64);
}

/* The Kubernetes vertical pod autoscaler's rule: P95 of a decaying day, and 15 % more. */
static int64_t vpa_loss_q4(int64_t value, int64_t then, const struct gn_pending *past)
{
	int64_t day = then + said(past, GN_EXPERT_DAY, GN_P95);

	return pinball_q4(value - gn_max64(day, 0) * 115 / 100, gn_panel_levels_q16[GN_P95]);
}

static void judge_accuracy(struct gn_accuracy *accuracy, int64_t value, int64_t then, int64_t rate,
                           const struct gn_pending *past)
{
	int64_t scale = (int64_t)1 << past->shift, change = value - then;
	int64_t off50 = change - past->issued[GN_P50] * scale;
	int64_t off95 = change - past->issued[GN_P95] * scale;

	average(&accuracy->loss_q4, gn_abs64(off50) << 4, rate);
	average(&accuracy->naive_q4, gn_abs64(change) << 4, rate);
	average(&accuracy->peak_loss_q4, pinball_q4(off95, gn_panel_levels_q16[GN_P95]), rate);
	average(&accuracy->vpa_loss_q4, vpa_loss_q4(value, then, past), rate);
	accuracy->n++;
}

static void judge(struct gn_predict *p, uint32_t index, const struct gn_pending *past)
{
	uint32_t horizon = p->config.horizons[index], n = p->n_judged[index];
	int64_t value = gn_history_at(&p->history, 0);
	int64_t then = gn_history_at(&p->history, horizon), change = value - then;
	uint32_t worth = worth_of(stride_of(p, index));
	int64_t rate = 65536 / gn_min64((int64_t)n + 1, LOSS_MEMORY / worth);

#pragma GCC unroll 6
	for (uint32_t e = 0; e < GN_N_EXPERTS; e++)
		judge_expert(p->losses[index], e, change, rate, past);
	calibrate(p, index, worth, change, past);
	learn_recent(&p->recent, index, n, change, past);
	judge_accuracy(&p->accuracy[index], value, then, rate, past);
	p->n_judged[index]++;
	if (n < REWEIGH_ALWAYS || (n + index) % REWEIGH_TURNS == 0)
		reweigh(p, index);
}

void gn_mix_judge(struct gn_predict *p)
{
	uint32_t step = p->history.n - 1, first = 0;

	for (uint32_t i = 0; i < p->config.n_horizons; first += p->slots[i++]) {
		uint32_t horizon = p->config.horizons[i];
		const struct gn_pending *past;

		if (step < horizon + GN_AUTOREG_N + 8)
			continue;
		past = place_of(p, i, first, step - horizon);
		if (past)
			judge(p, i, past);
	}
}

/* The weighted mean of experts 'first' up to 'end'. */
static void blend(const struct gn_predict *p, uint32_t index, int32_t experts[GN_N_EXPERTS][GN_Q],
                  uint32_t first, uint32_t end, int32_t *quantiles)
{
	int32_t least = 0;

	for (uint32_t q = 0; q < GN_Q; q++) {
		const uint16_t *weights = p->weights[index][q];
		uint64_t sum = WEIGHT_ONE / 2; /* experts' quantiles are not negative */

		for (uint32_t e = first; e < end; e++)
			sum += (uint64_t)(uint32_t)experts[e][q] * weights[e];
		sum /= WEIGHT_ONE;
		least = quantiles[q] = (int32_t)sum > least ? (int32_t)sum : least;
	}
}

void gn_mix_experts(const struct gn_predict *p, int32_t all[GN_H][GN_N_EXPERTS][GN_Q],
                    struct gn_echo echoes[GN_H])
{
	gn_panel_quantiles(p, all, echoes);
	for (uint32_t i = 0; i < p->config.n_horizons; i++)
		blend(p, i, all[i], 0, GN_N_ONLINE, all[i][GN_EXPERT_MIX]);
}

/* The mixture's quantiles, each moved by what the trees say. At every step: with the step the
 * target moves on, and what was said of one target is wrong of the next where a rhythm is. */
static void correct(const struct gn_predict *p, const struct gn_pack *pack,
                    const struct gn_features_common *common, const struct gn_echo *echo,
                    uint32_t index, int32_t experts[GN_N_EXPERTS][GN_Q])
{
	int64_t unit_q4 = gn_features_unit_q4(p, index);
	int32_t corrections_q10[GN_PACK_OUTPUTS], *quantiles = experts[GN_EXPERT_TREES];
	uint16_t features[GN_N_FEATURES];

	gn_features_make(p, common, echo, index, experts, features);
	gn_pack_evaluate(pack, features, corrections_q10);
	for (uint32_t q = 0; q < GN_Q; q++) {
		int64_t moved = experts[GN_EXPERT_MIX][q] + ((corrections_q10[q] * unit_q4) >> 14);

		quantiles[q] = (int32_t)gn_clamp64(moved, q ? quantiles[q - 1] : 0, GN_U_MAX);
	}
}

static void combine(struct gn_predict *p, uint32_t index, int32_t experts[GN_N_EXPERTS][GN_Q])
{
	int32_t *quantiles = p->quantiles[index];
	int64_t unit = p->spread[index].scale_q4 >> 4;

	blend(p, index, experts, GN_N_ONLINE, GN_N_EXPERTS, quantiles);
	for (uint32_t q = 0; q < GN_Q; q++) {
		int64_t shifted = quantiles[q] + ((p->offsets_q16[index][q] * unit) >> 16);

		quantiles[q] = (int32_t)gn_clamp64(shifted, q ? quantiles[q - 1] : 0, GN_U_MAX);
	}
}

/* The shift with which all of a row's differences fit 16 bits; 'bits' gathers over rows. Rows
 * ascend, so the first and the last are the largest. */
static uint32_t bits_of(const int32_t *quantiles, int32_t newest, uint32_t bits)
{
	int32_t low = quantiles[0] - newest, high = quantiles[GN_Q - 1] - newest;

	return bits | (uint32_t)(low ^ (low >> 31)) | (uint32_t)(high ^ (high >> 31));
}

static uint8_t shift_of(uint32_t bits)
{
	return (uint8_t)gn_max64(gn_top_bit(bits) - 14, 0);
}

static void pack_row(int16_t *packed, const int32_t *quantiles, int32_t newest, uint32_t shift)
{
	for (uint32_t q = 0; q < GN_Q; q++)
		packed[q] = (int16_t)((quantiles[q] - newest) >> shift);
}

static void remember(struct gn_pending *place, int32_t newest, int32_t experts[GN_N_EXPERTS][GN_Q],
                     const int32_t *issued)
{
	uint32_t bits = bits_of(issued, newest, 0), level_bits = 0;

#pragma GCC unroll 6
	for (uint32_t e = 0; e < GN_N_EXPERTS; e++) {
		if (is_level(e))
			level_bits = bits_of(experts[e], newest, level_bits);
		else
			bits = bits_of(experts[e], newest, bits);
	}
	place->shift = shift_of(bits);
	place->level_shift = shift_of(level_bits);
#pragma GCC unroll 6
	for (uint32_t e = 0; e < GN_N_EXPERTS; e++)
		pack_row(place->experts[e], experts[e], newest,
		         is_level(e) ? place->level_shift : place->shift);
	pack_row(place->issued, issued, newest, place->shift);
}

void gn_mix_issue(struct gn_predict *p, const struct gn_pack *pack)
{
	int32_t newest = gn_history_at(&p->history, 0);
	uint32_t first = 0;
	int32_t all[GN_H][GN_N_EXPERTS][GN_Q];
	struct gn_features_common common;
	struct gn_echo echoes[GN_H];

	gn_mix_experts(p, all, echoes);
	gn_features_prepare(p, &common);
	for (uint32_t i = 0; i < p->config.n_horizons; first += p->slots[i++]) {
		struct gn_pending *place = place_of(p, i, first, p->history.n - 1);

		if (pack)
			correct(p, pack, &common, &echoes[i], i, all[i]);
		else
			memcpy(all[i][GN_EXPERT_TREES], all[i][GN_EXPERT_MIX], sizeof(all[i][0]));
		combine(p, i, all[i]);
		if (place)
			remember(place, newest, all[i], p->quantiles[i]);
	}
}

static void rehearse(struct gn_predict *p, uint32_t index)
{
	uint32_t horizon = p->config.horizons[index], period = gn_panel_rhythm(p);
	struct gn_spread *spread = &p->rhythm_spread[index];
	int32_t quantiles[GN_Q];
	int64_t n = gn_min64((int64_t)p->history.n - period - horizon - 1, REHEARSAL);

	if (n < 8)
		return;
	memset(spread, 0, sizeof(*spread));
	for (uint32_t lag = (uint32_t)n; lag-- > 0;) {
		int32_t point = gn_panel_seasonal(p, period, horizon, lag + horizon);

		gn_spread_observe(spread, gn_history_at(&p->history, lag) - point,
		                  GN_RESIDUAL_HALF_LIFE);
	}
	gn_spread_read(spread, gn_panel_levels_q16);
	for (uint32_t q = 0; q < GN_Q; q++)
		quantiles[q] = gn_clamp32(gn_spread_quantile(spread, q), -GN_U_MAX, GN_U_MAX);
	for (uint32_t q = 0; q < GN_Q; q++) {
		int64_t sum = 0;

		for (uint32_t lag = 0; lag < (uint32_t)n; lag++) {
			int64_t point = gn_panel_seasonal(p, period, horizon, lag + horizon);

			sum += pinball_q4(gn_history_at(&p->history, lag) - point - quantiles[q],
			                  gn_panel_levels_q16[q]);
		}
		p->losses[index][q][GN_EXPERT_RHYTHM] =
		        (uint32_t)gn_clamp64(sum / n, 0, UINT32_MAX);
	}
	reweigh(p, index);
}

void gn_mix_rehearse(struct gn_predict *p)
{
	for (uint32_t i = 0; i < p->config.n_horizons; i++)
		rehearse(p, i);
}

bool gn_mix_is_sound(const struct gn_predict *p, uint32_t index)
{
	for (uint32_t q = 0; q < GN_Q; q++) {
		const uint16_t *weights = p->weights[index][q];
		uint32_t online = 0;

		for (uint32_t e = 0; e < GN_N_ONLINE; e++)
			online += weights[e];
		if (online != WEIGHT_ONE ||
		    weights[GN_EXPERT_MIX] + weights[GN_EXPERT_TREES] != WEIGHT_ONE)
			return false;
	}
	for (uint32_t i = 0; i < GN_PENDING; i++)
		if (p->pending[i].shift > PENDING_SHIFT_MAX ||
		    p->pending[i].level_shift > PENDING_SHIFT_MAX)
			return false;
	return true;
}

/* Divides numbers that count for 2^'has' each by 2^'shift', as far as 'has' cannot shrink. */
static void shrink_row(int16_t *packed, uint32_t has, uint32_t shift)
{
	for (uint32_t q = 0; q < GN_Q && shift > has; q++)
		packed[q] = (int16_t)(packed[q] >> gn_min64(shift - has, 15));
}

void gn_mix_rescale(struct gn_predict *p, unsigned int shift)
{
	for (uint32_t i = 0; i < GN_PENDING; i++) {
		struct gn_pending *pending = &p->pending[i];

		for (uint32_t e = 0; e < GN_N_EXPERTS; e++)
			shrink_row(pending->experts[e],
			           is_level(e) ? pending->level_shift : pending->shift, shift);
		shrink_row(pending->issued, pending->shift, shift);
		pending->shift = (uint8_t)(pending->shift - gn_min64(pending->shift, shift));
		pending->level_shift =
		        (uint8_t)(pending->level_shift - gn_min64(pending->level_shift, shift));
	}
	for (uint32_t i = 0; i < GN_H; i++) {
		for (uint32_t q = 0; q < GN_Q; q++) {
			p->quantiles[i][q] >>= shift;
			for (uint32_t e = 0; e < GN_N_EXPERTS; e++)
				p->losses[i][q][e] >>= shift;
		}
		p->accuracy[i].loss_q4 >>= shift;
		p->accuracy[i].naive_q4 >>= shift;
		p->accuracy[i].peak_loss_q4 >>= shift;
		p->accuracy[i].vpa_loss_q4 >>= shift;
	}
}
