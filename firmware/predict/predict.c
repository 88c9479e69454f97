/* predict.c - the door of the predictor: time, gaps, units and trust. The forecast itself is
 * made by the panel of experts (panel.h) and their aggregation (mix.h). */
#include "firmware/predict/predict.h"

#include <errno.h>
#include <string.h>

#include "firmware/core/fixed.h"
#include "firmware/predict/config.h"
#include "firmware/predict/mix.h"
#include "firmware/predict/panel.h"
#include "firmware/predict/state.h"

#define FIRST_BITS          20  /* the first non-zero value is scaled to about 2^20 units */
#define REHEARSE_UNTIL      576 /* steps; later, experts are weighed by what they forecast */
#define LONG_GAP            12
#define GAP_MAX             288 /* longer gaps are shortened: the lags have lost their meaning */
#define INTERRUPTED_AFTER   3   /* missing samples in a row */
#define DEFAULT_MIN_HISTORY 60
#define MIN_SCORED          24 /* forecasts of a horizon whose time has come, before it counts */

const size_t gn_predict_size = sizeof(struct gn_predict);

bool gn_predict_config_is_valid(const struct gn_predict_config *config)
{
	if (config->period_us < 100000 || config->period_us > 3600000000u)
		return false;
	if (config->n_horizons < 1 || config->n_horizons > GN_PREDICT_MAX_HORIZONS)
		return false;
	for (uint32_t i = 0; i < config->n_horizons; i++) {
		if (config->horizons[i] < 1 || config->horizons[i] > GN_PREDICT_MAX_HORIZON)
			return false;
		if (i && config->horizons[i] <= config->horizons[i - 1])
			return false;
	}
	return true;
}

int gn_predict_init(struct gn_predict *p, const struct gn_predict_config *config)
{
	if (!gn_predict_config_is_valid(config))
		return -EINVAL;
	memset(p, 0, sizeof(*p));
	p->config = *config;
	if (p->config.min_history == 0)
		p->config.min_history = DEFAULT_MIN_HISTORY;
	p->day = (uint32_t)(GN_PREDICT_DAY_US / config->period_us);
	gn_panel_init(p);
	gn_mix_init(p);
	return 0;
}

static void rescale(struct gn_predict *p, unsigned int shift)
{
	gn_panel_rescale(p, shift);
	gn_mix_rescale(p, shift);
	p->shift = (int8_t)(p->shift - (int)shift);
}

/* Into units; chooses the scale at the first non-zero value and coarsens it when a value
 * needs it. 'value' <= 2^48, so shift lies in -26..20. */
static int32_t scale_in(struct gn_predict *p, int64_t value)
{
	int64_t units;

	if (!p->scaled && value > 0) {
		p->shift = (int8_t)(FIRST_BITS - gn_top_bit((uint64_t)value));
		p->scaled = 1;
	}
	units = gn_sat_shift(value, p->shift);
	while (units > GN_U_MAX) {
		int excess = gn_top_bit((uint64_t)units) - GN_U_BITS + 3;

		rescale(p, (unsigned int)gn_min64(excess, 16));
		units = gn_sat_shift(value, p->shift);
	}
	return (int32_t)units;
}

/* Back from units, which are 0..GN_U_MAX; |shift| <= 32. */
static inline int64_t scale_out(int shift, int32_t units)
{
	if (shift <= 0)
		return gn_min64((int64_t)units << -shift, GN_PREDICT_MAX);
	return (units + ((int64_t)1 << (shift - 1))) >> shift;
}

/* How many periods have passed; moves the grid along with a sender that drifts. */
static uint64_t periods_passed(struct gn_predict *p, uint64_t now_us)
{
	uint64_t period = p->config.period_us, steps;
	int64_t late;

	if (p->n_observed == 0) {
		p->expected_us = now_us;
		return 1;
	}
	late = (int64_t)(now_us - p->expected_us);
	steps = late < (int64_t)period ? 1 : ((uint64_t)late + period / 2) / period;
	p->expected_us += steps * period;
	late = (int64_t)(now_us - p->expected_us);
	p->expected_us += (uint64_t)(late / 8);
	return steps;
}

static void step(struct gn_predict *p, const struct gn_pack *pack, int32_t units, bool real)
{
	uint32_t rhythm;

	gn_history_add(&p->history, units);
	if (real)
		gn_mix_judge(p);
	rhythm = p->period.best;
	gn_panel_observe(p, real);
	if (p->period.found && p->period.best != rhythm && p->history.n <= REHEARSE_UNTIL)
		gn_mix_rehearse(p);
	gn_mix_issue(p, pack);
}

/* What stands in for a missing sample: the newest one, in a longer gap the rhythm's. */
static int32_t fill_of(const struct gn_predict *p)
{
	if (p->period.found && p->n_missing > LONG_GAP)
		return gn_panel_seasonal(p, p->period.found, 1, 0);
	return gn_history_at(&p->history, 0);
}

/* How many steps of a gap are filled in. A long gap is shortened by whole days, so that the time
 * of day stays right. Where a day is longer than the longest gap, the count of samples is moved
 * on instead, by whole turns of the gain ring. */
static uint32_t gap_of(struct gn_predict *p, uint64_t missing)
{
	uint64_t over;

	if (missing <= GAP_MAX)
		return (uint32_t)missing;
	if (p->day <= GAP_MAX)
		return (uint32_t)(missing % p->day);
	over = (missing - GAP_MAX) % p->day;
	p->history.n += (uint32_t)(over - over % GN_AUTOREG_RING);
	return GAP_MAX;
}

int gn_predict_observe(struct gn_predict *p, uint64_t now_us, int64_t value)
{
	return gn_predict_observe_with(p, NULL, now_us, value);
}

int gn_predict_observe_with(struct gn_predict *p, const struct gn_pack *pack, uint64_t now_us,
                            int64_t value)
{
	uint64_t steps;
	int32_t units;

	if (p->n_observed && now_us <= p->now_us)
		return -ERANGE;
	value = gn_clamp64(value, 0, GN_PREDICT_MAX);
	steps = periods_passed(p, now_us);
	p->now_us = now_us;
	units = scale_in(p, value);
	p->n_missing = gap_of(p, steps - 1);
	if (steps > 1)
		p->n_since_gap = 0;
	for (uint32_t i = 0; i < p->n_missing; i++)
		step(p, pack, fill_of(p), false);
	step(p, pack, units, true);
	p->n_observed++;
	p->n_since_gap++;
	return 0;
}

static enum gn_predict_reason trust(const struct gn_predict *p, uint32_t index)
{
	const struct gn_accuracy *accuracy = &p->accuracy[index];

	if (p->n_observed < p->config.min_history || accuracy->n < MIN_SCORED)
		return GN_PREDICT_TOO_LITTLE_HISTORY;
	if (p->n_missing >= INTERRUPTED_AFTER)
		return GN_PREDICT_INTERRUPTED;
	if (accuracy->loss_q4 > accuracy->naive_q4 + accuracy->naive_q4 / 10 + 32)
		return GN_PREDICT_WORSE_THAN_NAIVE;
	return GN_PREDICT_TRUSTED;
}

int gn_predict_forecast(const struct gn_predict *p, uint32_t index, struct gn_predict_forecast *out)
{
	const struct gn_accuracy *accuracy;
	int shift;

	if (index >= p->config.n_horizons)
		return -EINVAL;
	if (p->n_observed == 0)
		return -EAGAIN;
	accuracy = &p->accuracy[index];
	shift = p->shift;
	for (uint32_t q = 0; q < GN_Q; q++)
		out->quantiles[q] = scale_out(shift, p->quantiles[index][q]);
	out->observed = scale_out(shift, gn_history_at(&p->history, 0));
	out->horizon = p->config.horizons[index];
	out->found_period = p->period.found;
	out->n_observed = p->n_observed;
	out->error_ratio_q16 = 65536;
	if (accuracy->naive_q4)
		out->error_ratio_q16 = (int32_t)gn_min64(
		        ((int64_t)accuracy->loss_q4 << 16) / accuracy->naive_q4, INT32_MAX);
	else if (accuracy->loss_q4)
		out->error_ratio_q16 = INT32_MAX;
	out->reason = trust(p, index);
	return 0;
}

/* Units in Q4 to thousandths of the resource's unit. */
static int64_t milli_out(const struct gn_predict *p, uint32_t units_q4)
{
	return gn_sat_shift((int64_t)units_q4 * 1000, -4 - p->shift);
}

int gn_predict_accuracy(const struct gn_predict *p, uint32_t index, struct gn_predict_accuracy *out)
{
	const struct gn_accuracy *accuracy = &p->accuracy[index < GN_H ? index : 0];

	if (index >= p->config.n_horizons)
		return -EINVAL;
	*out = (struct gn_predict_accuracy){
	        .error_milli = milli_out(p, accuracy->loss_q4),
	        .naive_error_milli = milli_out(p, accuracy->naive_q4),
	        .loss95_milli = milli_out(p, accuracy->peak_loss_q4),
	        .vpa_loss95_milli = milli_out(p, accuracy->vpa_loss_q4),
	        .n = accuracy->n,
	};
	return 0;
}

const struct gn_predict_config *gn_predict_configuration(const struct gn_predict *p)
{
	return &p->config;
}

uint64_t gn_predict_newest_us(const struct gn_predict *p)
{
	return p->now_us;
}

void gn_predict_note_resize(struct gn_predict *p, int64_t old_limit, int64_t new_limit)
{
	if (old_limit == new_limit)
		return;
	/* What was cut off at the old limit may now grow: judge quickly anew. */
	for (uint32_t i = 0; i < GN_H; i++) {
		p->n_judged[i] = (uint32_t)gn_min64(p->n_judged[i], 32);
		p->spread[i].n = (uint16_t)gn_min64(p->spread[i].n, 32);
		p->rhythm_spread[i].n = (uint16_t)gn_min64(p->rhythm_spread[i].n, 32);
	}
}

const char *gn_predict_reason_text(enum gn_predict_reason reason)
{
	switch (reason) {
	case GN_PREDICT_TRUSTED:
		return "trusted";
	case GN_PREDICT_TOO_LITTLE_HISTORY:
		return "too little history";
	case GN_PREDICT_WORSE_THAN_NAIVE:
		return "it has been worse than assuming no change";
	case GN_PREDICT_INTERRUPTED:
		return "samples were missing just now";
	}
	return "unknown";
}
