/* period.c - see period.h. The choice is made anew every 16 steps, later every 64. While the
 * series is young all lags are visited at each step; later a sixteenth of them, in a shuffled
 * order, since a fixed order would alias with the very rhythms that are looked for. */
#include "firmware/predict/period.h"

#include "firmware/core/fixed.h"

#define BLOCKS       16
#define BLOCK_SIZE   (GN_PERIOD_MAX / BLOCKS)
#define EVERY        16
#define EVERY_LATER  64
#define VISITS_MAX   640
#define DISTANCE_MAX 128 /* Q5 */

/* Visits the lags from 'first' up to 'last'; returns the largest sum seen. Reads the ring of
 * small floats directly: with a hundred lags per sample, finding each one's place would cost
 * more than comparing it. */
static uint32_t visit(struct gn_period *period, const struct gn_history *history, uint32_t first,
                      uint32_t last, int64_t inverse_sd_q36)
{
	int32_t newest = gn_history_at(history, 0), place;
	uint32_t dither = (history->n * 2654435761u >> 24) + first * 157, most = 0;
	int64_t inverse_q24 = inverse_sd_q36 >> 12;

	if (last >= history->n)
		last = history->n - 1;
	place = history->packed_next - 1 - (int32_t)first;
	for (uint32_t lag = first; lag <= last; lag++, place--, dither += 157) {
		int64_t distance;

		place += place < 0 ? GN_HISTORY_SIZE : 0;
		distance = newest - (int64_t)gn_small_unpack(history->packed[place]);
		distance = distance < 0 ? -distance : distance;
		/* to Q13, then to Q5 with a dither, since most distances are below one Q5 unit */
		distance = gn_min64((distance * inverse_q24) >> 11, DISTANCE_MAX << 8);
		period->sums[lag] += (uint16_t)((distance + (dither & 255)) >> 8);
		most = period->sums[lag] > most ? period->sums[lag] : most;
	}
	return most;
}

static void forget(struct gn_period *period, uint32_t most)
{
	if (period->visits < VISITS_MAX && most < UINT16_MAX - 2 * DISTANCE_MAX)
		return;
	period->visits >>= 1;
	period->halvings++;
	for (uint32_t lag = 1; lag <= GN_PERIOD_MAX; lag++)
		period->sums[lag] >>= 1;
}

static uint32_t visits_of(const struct gn_period *period, uint32_t lag)
{
	uint32_t missed = period->halvings > 15 ? 0 : lag >> period->halvings;

	return period->visits > missed ? period->visits - missed : 0;
}

int32_t gn_period_error(const struct gn_period *period, uint32_t lag)
{
	uint32_t visits = visits_of(period, lag);

	if (lag > GN_PERIOD_MAX || visits == 0)
		return -1;
	return (int32_t)(((uint64_t)period->sums[lag] << 7) / visits);
}

/* The smallest error among the lags with two periods of evidence; a multiple of the true
 * period is as good as the period itself, so among near equals the shortest wins. */
static void choose(struct gn_period *period)
{
	int32_t least = INT32_MAX, highest = 0, at_best, dip = 0;
	uint32_t best = 0;

	for (uint32_t lag = 6; lag <= GN_PERIOD_MAX && visits_of(period, lag) >= lag; lag++) {
		int32_t error = gn_period_error(period, lag);

		/* multiples of a period that is good are not better by chance */
		if (error < least - least / (best && lag % best <= 1 ? 8 : 32)) {
			least = error;
			best = lag;
		}
	}
	if (best == 0)
		return;
	at_best = gn_period_error(period, period->best);
	if (period->best == 0 || at_best < 0 ||
	    least < at_best - at_best / (best % period->best <= 1 ? 8 : 16))
		period->best = (uint16_t)best;
	at_best = gn_period_error(period, period->best);
	for (uint32_t lag = 1; lag < period->best; lag++) {
		int32_t error = gn_period_error(period, lag);

		highest = error > highest ? error : highest;
	}
	dip = highest - at_best;
	period->found = dip > highest / 4 ? period->best : 0;
}

void gn_period_observe(struct gn_period *period, const struct gn_history *history,
                       int64_t inverse_sd_q36)
{
	uint32_t step = history->n, block, most;

	if (step <= GN_PERIOD_WARM) {
		most = visit(period, history, 1, GN_PERIOD_MAX, inverse_sd_q36);
		period->visits++;
	} else {
		/* an odd step and a start that change every round: each block once a round */
		uint32_t hash = (step / BLOCKS) * 2654435761u >> 26;

		block = (step * ((hash & 3) * 2 + 1) + (hash >> 2)) % BLOCKS;
		most = visit(period, history, 1 + block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE,
		             inverse_sd_q36);
		if (step % BLOCKS == 0)
			period->visits++;
	}
	forget(period, most);
	if (step % (step <= GN_PERIOD_WARM ? EVERY : EVERY_LATER) == 0)
		choose(period);
}

bool gn_period_is_sound(const struct gn_period *period)
{
	for (uint32_t lag = 0; lag <= GN_PERIOD_MAX; lag++)
		if (period->sums[lag] > UINT16_MAX - DISTANCE_MAX)
			return false;
	return true;
}
