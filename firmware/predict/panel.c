/* panel.c - see panel.h. The stack is the point forecaster of the panel: it regresses the
 * change ahead on what the auto-regression, the last two rounds of the rhythm, yesterday, the
 * profile of the day and the long-run mean say. */
#include "firmware/predict/panel.h"

#include <string.h>

#include "firmware/core/fixed.h"
#include "firmware/predict/features.h"

#define STACK_FORGET_Q24 16794010u /* 2^24 / 0.999 */
#define SD_MEMORY        2016
#define FAST_MEMORY      12
#define SPREAD_YOUNG     256 /* errors: until then quantiles are read anew at each */
#define SPREAD_TURNS     8   /* errors between two readings, later */
#define LEVEL_TURNS      8   /* steps between two readings of a level, later */

_Static_assert(GN_SPREAD_KEPT == GN_Q && GN_LEVEL_KEPT == GN_Q, "all quantiles are kept");

void gn_panel_init(struct gn_predict *p)
{
	gn_autoreg_init(&p->ar);
	gn_level_init(&p->level);
	for (uint32_t i = 0; i < GN_H; i++)
		gn_rls_reset(p->stack[i].d, p->stack[i].u, GN_STACK_N, (uint64_t)1 << 28);
	p->norm = (struct gn_norm){.sd = 16, .inverse_sd_q36 = (int64_t)1 << 32};
}

static uint32_t slot_steps(const struct gn_predict *p)
{
	return p->day > GN_PROFILE_SLOTS ? p->day / GN_PROFILE_SLOTS : 1;
}

static uint32_t slot_at(const struct gn_predict *p, uint32_t step)
{
	uint32_t steps = slot_steps(p);
	uint32_t n_slots = p->day / steps;

	return step / steps % (n_slots > GN_PROFILE_SLOTS ? GN_PROFILE_SLOTS : n_slots);
}

/* The profile's value 'ahead' steps after the sample at 'lag'. */
static int32_t profile_at(const struct gn_predict *p, uint32_t lag, uint32_t ahead)
{
	uint32_t step = p->history.n - 1 - lag + ahead;

	if (p->history.n <= p->day)
		return gn_history_at(&p->history, lag);
	return (int32_t)gn_small_unpack(p->profile[slot_at(p, step)]);
}

static void learn_profile(struct gn_predict *p, int32_t value)
{
	uint32_t step = p->history.n - 1;
	uint16_t *slot = &p->profile[slot_at(p, step)];
	int64_t mean, old = (int64_t)gn_small_unpack(*slot);

	p->slot_sum += (uint64_t)value;
	p->slot_n++;
	if ((step + 1) % slot_steps(p))
		return;
	mean = (int64_t)(p->slot_sum / p->slot_n);
	p->slot_sum = 0;
	p->slot_n = 0;
	*slot = gn_small_pack(
	        (uint64_t)(step < p->day || old == 0 ? mean : old + (mean - old) / 4));
}

uint32_t gn_panel_rhythm(const struct gn_predict *p)
{
	if (p->period.best)
		return p->period.best;
	return p->day <= GN_PERIOD_MAX ? p->day : GN_PERIOD_MAX;
}

/* The value a whole number of periods before 'horizon' steps after the sample at 'lag'. */
int32_t gn_panel_seasonal(const struct gn_predict *p, uint32_t period, uint32_t horizon,
                          uint32_t lag)
{
	return gn_history_at(&p->history, lag + gn_period_lag(period, horizon));
}

/* What there is of the target 'horizon' steps after the sample at 'lag'. */
static struct gn_echo echo_of(const struct gn_predict *p, uint32_t horizon, uint32_t lag)
{
	uint32_t rhythm = gn_panel_rhythm(p), day = p->day <= GN_PERIOD_MAX ? p->day : rhythm;
	struct gn_echo echo;

	echo.rhythm = gn_panel_seasonal(p, rhythm, horizon, lag);
	echo.rhythm_twice = gn_panel_seasonal(p, rhythm, horizon, lag + rhythm);
	echo.day = day == rhythm ? echo.rhythm : gn_panel_seasonal(p, day, horizon, lag);
	echo.profile = profile_at(p, lag, horizon);
	return echo;
}

/* 'newest': the value at the origin; 'says': the change that the auto-regression expects, Q12. */
static void stack_inputs(const struct gn_predict *p, const struct gn_echo *echo, int64_t newest,
                         int32_t says, int32_t *x)
{
	/* Nothing here may have seen what came after the origin: with a running mean of the
	 * newest samples the regression would learn from its own target's neighbours. */
	x[0] = gn_clamp32(says, -GN_RLS_LIMIT_Q12, GN_RLS_LIMIT_Q12);
	x[1] = gn_norm_q12(&p->norm, echo->rhythm - newest);
	x[2] = gn_norm_q12(&p->norm, echo->day - newest);
	x[3] = gn_norm_q12(&p->norm, echo->profile - newest);
	x[4] = gn_norm_q12(&p->norm, echo->rhythm_twice - newest);
	x[5] = gn_norm_q12(&p->norm, (p->slow_q5 >> 5) - newest);
}

static int32_t to_units(const struct gn_predict *p, int32_t newest, int32_t change_q12)
{
	int64_t value = newest + (((int64_t)change_q12 * p->norm.sd) >> 12);

	return (int32_t)gn_clamp64(value, 0, gn_min64(2 * (int64_t)p->peak, GN_U_MAX));
}

static int32_t stack_point(const struct gn_predict *p, uint32_t index, const struct gn_echo *echo)
{
	int32_t x[GN_STACK_N], newest = gn_history_at(&p->history, 0);

	stack_inputs(p, echo, newest, gn_autoreg_predict(&p->ar, index, p->ar.newest), x);
	return to_units(p, newest, gn_rls_predict(p->stack[index].weights, x, GN_STACK_N));
}

/* Quantiles move slowly: they are read anew now and then, those of one horizon at a time. */
static void observe_spread(struct gn_spread *spread, int64_t error, bool its_turn)
{
	gn_spread_observe(spread, (int32_t)error, GN_RESIDUAL_HALF_LIFE);
	if (spread->n < SPREAD_YOUNG || its_turn)
		gn_spread_read(spread, gn_panel_levels_q16);
}

/* 'says': what the auto-regression now says of the origin 'horizon' steps ago, 'change_q12' what
 * became of it. */
static void learn_stack(struct gn_predict *p, uint32_t index, int32_t says, int32_t change_q12)
{
	struct gn_stack *stack = &p->stack[index];
	uint32_t horizon = p->config.horizons[index], turn = p->history.n / gn_turns(horizon);
	int32_t x[GN_STACK_N], gain[GN_STACK_N], expected, point;
	int64_t newest = gn_history_at(&p->history, 0);
	int32_t then = gn_history_at(&p->history, horizon);
	struct gn_echo echo = echo_of(p, horizon, horizon);

	stack_inputs(p, &echo, then, says, x);
	expected = gn_rls_predict(stack->weights, x, GN_STACK_N);
	point = to_units(p, then, expected);
	observe_spread(&p->spread[index], newest - point, turn % SPREAD_TURNS == index);
	observe_spread(&p->rhythm_spread[index], newest - echo.rhythm,
	               turn % SPREAD_TURNS == index);
	if (gn_rls_is_due(turn))
		gn_rls_update(stack->d, stack->u, GN_STACK_N, x, STACK_FORGET_Q24, gain);
	else
		gn_rls_gain(stack->d, stack->u, GN_STACK_N, x, gain);
	gn_rls_learn(stack->weights, gain, GN_STACK_N,
	             gn_clamp32(change_q12 - expected, -GN_RLS_LIMIT_Q12, GN_RLS_LIMIT_Q12));
}

/* The newest sample is the target of forecasts made 'horizon' steps ago. */
static void learn_horizon(struct gn_predict *p, uint32_t index)
{
	uint32_t horizon = p->config.horizons[index], origin = p->history.n - 1 - horizon;
	int32_t x[GN_AUTOREG_N], says, change;

	if (p->history.n <= horizon + GN_AUTOREG_N ||
	    (origin >= GN_YOUNG && origin % gn_turns(horizon)))
		return;
	gn_autoreg_regressors(&p->history, &p->norm, horizon, x);
	says = gn_autoreg_predict(&p->ar, index, x);
	change = gn_norm_q12(&p->norm, (int64_t)gn_history_at(&p->history, 0) -
	                                       gn_history_at(&p->history, horizon));
	learn_stack(p, index, says, change);
	gn_autoreg_learn(&p->ar, &p->history, index, horizon, x, change - says);
}

static void learn_level(struct gn_predict *p, int32_t value)
{
	uint32_t half_lives[GN_LEVEL_MEMORIES] = {
	        (uint32_t)gn_clamp64(p->day, 32, 2016),
	        (uint32_t)gn_clamp64(7 * (int64_t)p->day, 224, 2016),
	};

	gn_level_observe(&p->level, value, half_lives);
	for (uint32_t memory = 0; memory < GN_LEVEL_MEMORIES; memory++)
		if (p->history.n < GN_YOUNG || p->history.n % LEVEL_TURNS == memory)
			gn_level_read(&p->level, memory, gn_panel_levels_q16);
}

static void learn_norm(struct gn_predict *p, int32_t value)
{
	int64_t memory = gn_min64((int64_t)p->history.n, SD_MEMORY);
	int64_t fast = gn_min64((int64_t)p->history.n, FAST_MEMORY);
	int64_t off, sd;

	p->peak = value > p->peak ? value : p->peak;
	p->fast_q5 += (int32_t)((((int64_t)value << 5) - p->fast_q5) / fast);
	p->slow_q5 += (int32_t)((((int64_t)value << 5) - p->slow_q5) / memory);
	off = (int64_t)value - (p->slow_q5 >> 5);
	p->variance += (off * off - p->variance) / memory;
	sd = gn_sqrt64((uint64_t)gn_max64(p->variance, 0));
	sd = gn_max64(gn_max64(sd, (p->slow_q5 >> 5) / 1000), 16);
	p->norm = (struct gn_norm){.mean = p->slow_q5 >> 5,
	                           .sd = (int32_t)sd,
	                           .inverse_sd_q36 = ((int64_t)1 << 36) / sd};
}

void gn_panel_observe(struct gn_predict *p, bool real)
{
	int32_t value = gn_history_at(&p->history, 0);

	if (real) {
		for (uint32_t i = 0; i < p->config.n_horizons; i++)
			learn_horizon(p, i);
		learn_level(p, value);
	}
	learn_norm(p, value);
	gn_recent_observe(p);
	if (real)
		learn_profile(p, value);
	gn_period_observe(&p->period, &p->history, p->norm.inverse_sd_q36);
	gn_autoreg_regressors(&p->history, &p->norm, 0, p->ar.newest);
	gn_autoreg_absorb(&p->ar, &p->history);
}

static void around(const struct gn_spread *spread, int32_t point, int32_t *quantiles)
{
	for (uint32_t q = 0; q < GN_Q; q++)
		quantiles[q] = gn_clamp32(point + gn_spread_quantile(spread, q), 0, GN_U_MAX);
}

void gn_panel_quantiles(const struct gn_predict *p, int32_t quantiles[GN_H][GN_N_EXPERTS][GN_Q],
                        struct gn_echo echoes[GN_H])
{
	for (uint32_t i = 0; i < p->config.n_horizons; i++) {
		echoes[i] = echo_of(p, p->config.horizons[i], 0);
		around(&p->spread[i], stack_point(p, i, &echoes[i]), quantiles[i][GN_EXPERT_STACK]);
		around(&p->rhythm_spread[i], echoes[i].rhythm, quantiles[i][GN_EXPERT_RHYTHM]);
		memcpy(quantiles[i][GN_EXPERT_DAY], p->level.kept[0], sizeof(p->level.kept[0]));
		memcpy(quantiles[i][GN_EXPERT_WEEK], p->level.kept[1], sizeof(p->level.kept[1]));
	}
}

void gn_panel_rescale(struct gn_predict *p, unsigned int shift)
{
	gn_history_rescale(&p->history, shift);
	gn_level_rescale(&p->level, shift);
	gn_recent_rescale(&p->recent, shift);
	p->peak >>= shift;
	p->fast_q5 >>= shift;
	p->slow_q5 >>= shift;
	p->variance >>= 2 * shift;
	p->slot_sum >>= shift;
	for (uint32_t i = 0; i < GN_H; i++) {
		p->spread[i].scale_q4 >>= shift;
		p->rhythm_spread[i].scale_q4 >>= shift;
	}
	for (uint32_t i = 0; i < GN_PROFILE_SLOTS; i++)
		p->profile[i] = gn_small_pack(gn_small_unpack(p->profile[i]) >> shift);
}
