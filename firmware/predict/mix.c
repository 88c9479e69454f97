/* mix.c - see mix.h. A forecast waits in a ring of its horizon until its target arrives;
 * horizons longer than their ring record every few steps only. */
#include "firmware/predict/mix.h"

#include <string.h>

#include "firmware/core/fixed.h"
#include "firmware/predict/features.h"
#include "firmware/predict/panel.h"

#define REHEARSAL      128
#define REWEIGH_ALWAYS 64 /* judgements; later every horizon in turn */
#define LOSS_MEMORY    384
#define SHARPNESS_Q10  (12 << 10)

void gn_mix_share_slots(struct gn_predict *p)
{
	uint32_t left = GN_PENDING;

	for (uint32_t i = 0; i < p->config.n_horizons; i++) {
		p->slots[i] = (uint8_t)gn_min64(p->config.horizons[i], GN_PENDING / GN_H);
		left -= p->slots[i];
	}
	for (uint32_t i = 0; i < p->config.n_horizons; i++) {
		uint32_t more = (uint32_t)gn_min64(left, p->config.horizons[i] - p->slots[i]);

		p->slots[i] = (uint8_t)(p->slots[i] + more);
		left -= more;
	}
}

static uint32_t stride_of(const struct gn_predict *p, uint32_t index)
{
	uint32_t slots = p->slots[index];

	return (p->config.horizons[index] + slots - 1) / slots;
}

/* For how many judgements one counts: far horizons are judged every few steps only. */
static uint32_t worth_of(const struct gn_predict *p, uint32_t index)
{
	return (uint32_t)gn_min64(1 + stride_of(p, index) / 4, 8);
}

/* The ring place of the forecast made at 'step' for a horizon; NULL: not recorded. */
static struct gn_pending *place_of(struct gn_predict *p, uint32_t index, uint32_t step)
{
	uint32_t first = 0, stride = stride_of(p, index);

	for (uint32_t i = 0; i < index; i++)
		first += p->slots[i];
	return step % stride ? NULL : &p->pending[first + step / stride % p->slots[index]];
}

/* Moves a running mean by 'rate' (Q16, at most 1): it stays between the old and the sample,
 * so it needs no clamp. Samples are below 2^32: |differences| < 2^27 in Q4. */
static void average(uint32_t *running, int64_t sample, int64_t rate_q16)
{
	*running += (uint32_t)(((sample - (int64_t)*running) * rate_q16 + 32768) >> 16);
}

static int64_t pinball_q4(int64_t off, uint32_t level_q16)
{
	return (off >= 0 ? off * level_q16 : -off * (65536 - level_q16)) >> 12;
}

/* Weights of experts 'first' up to 'end', from their losses. */
static void weigh(const uint32_t *losses, uint32_t first, uint32_t end, uint8_t *weights)
{
	uint32_t least = UINT32_MAX, powers[GN_N_EXPERTS], sum = 0;

	for (uint32_t e = first; e < end; e++)
		least = losses[e] < least ? losses[e] : least;
	for (uint32_t e = first; e < end; e++) {
		int64_t worse = ((int64_t)(losses[e] - least) * SHARPNESS_Q10) / (least + 1);

		powers[e] = (uint32_t)gn_exp2_q10(-(int32_t)gn_min64(worse, 20 << 10), 16);
		sum += powers[e];
	}
	for (uint32_t e = first; e < end; e++)
		weights[e] = (uint8_t)((powers[e] * 255u) / sum);
}

static void reweigh(struct gn_predict *p, uint32_t index)
{
	for (uint32_t q = 0; q < GN_Q; q++) {
		weigh(p->losses[index][q], 0, GN_N_ONLINE, p->weights[index][q]);
		weigh(p->losses[index][q], GN_N_ONLINE, GN_N_EXPERTS, p->weights[index][q]);
	}
}

/* Young series are corrected faster: their spread is still a guess. */
static void calibrate(struct gn_predict *p, uint32_t index, uint32_t q, int64_t off)
{
	static const int32_t rates_q16[GN_Q] = {400, 800, 1000, 2000};
	int64_t haste_q8 = 256 + 32768 / ((int64_t)p->n_judged[index] + 64);
	int64_t level = gn_panel_levels_q16[q];
	int64_t push = (off > 0 ? level : level - 65536) * worth_of(p, index) * haste_q8;
	int64_t offset = p->offsets_q16[index][q] + ((push * rates_q16[q]) >> 24);

	p->offsets_q16[index][q] = gn_clamp32(offset, -GN_OFFSET_MAX_Q16, GN_OFFSET_MAX_Q16);
}

static void learn_recent(struct gn_recent *recent, uint32_t index, uint32_t n, int64_t change,
                         const struct gn_pending *past)
{
	const int16_t *mix = past->experts[GN_EXPERT_MIX];
	int64_t error = gn_min64(gn_abs64(change - gn_small_unpack_signed(mix[GN_P50])), GN_U_MAX)
	                << 4;
	bool above = change > gn_small_unpack_signed(mix[GN_P95]);

	recent->error_fast_q4[index] +=
	        (int32_t)((error - recent->error_fast_q4[index]) / gn_min64(n + 1, 12));
	recent->above_q16[index] +=
	        ((above ? 65536 : 0) - recent->above_q16[index]) / (int32_t)gn_min64(n + 1, 64);
}

/* The Kubernetes vertical pod autoscaler's rule: P95 of a decaying day, and 15 % more. */
static int64_t vpa_loss_q4(int64_t value, int64_t then, const struct gn_pending *past)
{
	int64_t day = then + gn_small_unpack_signed(past->experts[GN_EXPERT_DAY][GN_P95]);

	return pinball_q4(value - gn_max64(day, 0) * 115 / 100, gn_panel_levels_q16[GN_P95]);
}

static void judge(struct gn_predict *p, uint32_t index, const struct gn_pending *past)
{
	uint32_t horizon = p->config.horizons[index], n = p->n_judged[index];
	int64_t value = gn_history_at(&p->history, 0);
	int64_t then = gn_history_at(&p->history, horizon);
	struct gn_accuracy *accuracy = &p->accuracy[index];
	int64_t rate = 65536 / gn_min64((int64_t)n + 1, LOSS_MEMORY / worth_of(p, index));

	for (uint32_t q = 0; q < GN_Q; q++) {
		uint32_t level = gn_panel_levels_q16[q];

		for (uint32_t e = 0; e < GN_N_EXPERTS; e++) {
			int64_t off = value - then - gn_small_unpack_signed(past->experts[e][q]);

			average(&p->losses[index][q][e], pinball_q4(off, level), rate);
		}
		calibrate(p, index, q, value - then - gn_small_unpack_signed(past->issued[q]));
	}
	learn_recent(&p->recent, index, n, value - then, past);
	average(&accuracy->loss_q4,
	        gn_abs64(value - then - gn_small_unpack_signed(past->issued[GN_P50])) << 4, rate);
	average(&accuracy->naive_q4, gn_abs64(value - then) << 4, rate);
	average(&accuracy->peak_loss_q4,
	        pinball_q4(value - then - gn_small_unpack_signed(past->issued[GN_P95]),
	                   gn_panel_levels_q16[GN_P95]),
	        rate);
	average(&accuracy->vpa_loss_q4, vpa_loss_q4(value, then, past), rate);
	accuracy->n++;
	p->n_judged[index]++;
	if (n < REWEIGH_ALWAYS || (n + index) % GN_H == 0)
		reweigh(p, index);
}

void gn_mix_judge(struct gn_predict *p)
{
	for (uint32_t i = 0; i < p->config.n_horizons; i++) {
		uint32_t horizon = p->config.horizons[i], step = p->history.n - 1;
		const struct gn_pending *past;

		if (step < horizon + GN_AUTOREG_N + 8)
			continue;
		past = place_of(p, i, step - horizon);
		if (past)
			judge(p, i, past);
	}
}

/* The weighted mean of experts 'first' up to 'end'; without weights the first one's. */
static void blend(const struct gn_predict *p, uint32_t index, int32_t experts[GN_N_EXPERTS][GN_Q],
                  uint32_t first, uint32_t end, int32_t *quantiles)
{
	for (uint32_t q = 0; q < GN_Q; q++) {
		int64_t sum = 0, weights = 0;

		for (uint32_t e = first; e < end; e++) {
			sum += (int64_t)experts[e][q] * p->weights[index][q][e];
			weights += p->weights[index][q][e];
		}
		sum = weights ? sum / weights : experts[first][q];
		quantiles[q] = (int32_t)gn_max64(sum, q ? quantiles[q - 1] : 0);
	}
}

/* The mixture's quantiles, each moved by what the trees say. */
static void correct(const struct gn_predict *p, const struct gn_pack *pack, uint32_t index,
                    int32_t experts[GN_N_EXPERTS][GN_Q])
{
	int64_t unit_q4 = gn_features_unit_q4(p, index);
	int32_t corrections[GN_PACK_OUTPUTS], *quantiles = experts[GN_EXPERT_TREES];
	int16_t features[GN_N_FEATURES];

	gn_features_make(p, index, experts, features);
	gn_pack_evaluate(pack, features, corrections);
	for (uint32_t q = 0; q < GN_Q; q++) {
		int64_t moved = experts[GN_EXPERT_MIX][q] + ((corrections[q] * unit_q4) >> 14);

		quantiles[q] = (int32_t)gn_clamp64(moved, q ? quantiles[q - 1] : 0, GN_U_MAX);
	}
}

void gn_mix_experts(const struct gn_predict *p, const struct gn_pack *pack,
                    int32_t all[GN_H][GN_N_EXPERTS][GN_Q])
{
	gn_panel_quantiles(p, all);
	for (uint32_t i = 0; i < p->config.n_horizons; i++) {
		int32_t(*experts)[GN_Q] = all[i];

		blend(p, i, experts, 0, GN_N_ONLINE, experts[GN_EXPERT_MIX]);
		if (pack)
			correct(p, pack, i, experts);
		else
			memcpy(experts[GN_EXPERT_TREES], experts[GN_EXPERT_MIX],
			       sizeof(experts[0]));
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

static void pack_row(int16_t *packed, const int32_t *quantiles, int32_t newest)
{
	for (uint32_t q = 0; q < GN_Q; q++)
		packed[q] = gn_small_pack_signed((int64_t)quantiles[q] - newest);
}

/* 'levels': what the day's and the week's level packs to, the same for all horizons. */
static void remember(struct gn_pending *place, int32_t newest, int32_t experts[GN_N_EXPERTS][GN_Q],
                     int16_t levels[2][GN_Q], const int32_t *issued)
{
	pack_row(place->experts[GN_EXPERT_STACK], experts[GN_EXPERT_STACK], newest);
	pack_row(place->experts[GN_EXPERT_RHYTHM], experts[GN_EXPERT_RHYTHM], newest);
	memcpy(place->experts[GN_EXPERT_DAY], levels, 2 * sizeof(levels[0]));
	pack_row(place->experts[GN_EXPERT_MIX], experts[GN_EXPERT_MIX], newest);
	pack_row(place->experts[GN_EXPERT_TREES], experts[GN_EXPERT_TREES], newest);
	pack_row(place->issued, issued, newest);
}

void gn_mix_issue(struct gn_predict *p, const struct gn_pack *pack)
{
	int32_t newest = gn_history_at(&p->history, 0);
	int32_t all[GN_H][GN_N_EXPERTS][GN_Q];
	int16_t levels[2][GN_Q];

	gn_mix_experts(p, pack, all);
	pack_row(levels[0], all[0][GN_EXPERT_DAY], newest);
	pack_row(levels[1], all[0][GN_EXPERT_WEEK], newest);
	for (uint32_t i = 0; i < p->config.n_horizons; i++) {
		struct gn_pending *place = place_of(p, i, p->history.n - 1);

		combine(p, i, all[i]);
		if (place)
			remember(place, newest, all[i], levels, p->quantiles[i]);
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
	gn_spread_quantiles(spread, gn_panel_levels_q16, GN_Q, quantiles);
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

void gn_mix_rescale(struct gn_predict *p, unsigned int shift)
{
	for (uint32_t i = 0; i < GN_PENDING; i++) {
		int16_t *all = &p->pending[i].experts[0][0];

		for (uint32_t j = 0; j < sizeof(p->pending[0]) / sizeof(*all); j++)
			all[j] = gn_small_pack_signed(gn_small_unpack_signed(all[j]) >> shift);
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
