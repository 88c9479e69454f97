/* spread.c - see spread.h. */
#include "firmware/predict/spread.h"

#include "firmware/core/fixed.h"
#include "firmware/predict/history.h"

#define SCALE_MEMORY 1500
#define FIRST_STEP   40

/* Magnitude in thirds of an octave above 2^-3; -1 below. ratio in Q8. */
static int32_t bin_of(uint64_t ratio_q8)
{
	int32_t log = gn_log2_q10(ratio_q8); /* 5 << 10 is 2^-3 */

	if (ratio_q8 < 32)
		return -1;
	return (int32_t)gn_min64((log - (5 << 10)) * 3 >> 10, GN_SPREAD_SIDE - 1);
}

/* Lower edge of a magnitude bin, Q8. */
static int64_t edge_q8(int32_t bin)
{
	return bin < 0 ? 0 : gn_exp2_q10((5 << 10) + (bin << 10) / 3, 0);
}

void gn_spread_observe(struct gn_spread *spread, int32_t error, uint32_t half_life)
{
	int64_t size = gn_abs64(error);
	int64_t memory = gn_min64(spread->n + 1, SCALE_MEMORY);
	uint32_t scale, index, step = spread->step_q16;
	int32_t bin;

	spread->scale_q4 = (uint32_t)gn_max64(
	        1, spread->scale_q4 + ((size << 4) - (int64_t)spread->scale_q4) / memory);
	scale = spread->scale_q4;
	bin = bin_of(((uint64_t)size << 12) / scale);
	index = GN_SPREAD_SIDE;
	if (bin >= 0)
		index = (uint32_t)(error < 0 ? GN_SPREAD_SIDE - 1 - bin : GN_SPREAD_SIDE + 1 + bin);
	if (step < FIRST_STEP << 16)
		step = FIRST_STEP << 16;
	spread->counts[index] =
	        (uint16_t)gn_min64(spread->counts[index] + ((step + 32768) >> 16), UINT16_MAX);
	step += (uint32_t)(((uint64_t)step * 45426 / half_life) >> 16);
	if (step >= FIRST_STEP << 17) {
		step = FIRST_STEP << 16;
		for (uint32_t i = 0; i < GN_SPREAD_BINS; i++)
			spread->counts[i] >>= 1;
	}
	spread->step_q16 = step;
	if (spread->n < UINT16_MAX)
		spread->n++;
}

/* The error below which 'inside' of 'count' of a bin's errors lie. */
static int32_t within(const struct gn_spread *spread, uint32_t index, uint64_t inside,
                      uint64_t count)
{
	int32_t bin = (int32_t)index - GN_SPREAD_SIDE;
	int64_t low, high, value_q8;

	if (bin == 0) {
		low = -edge_q8(0);
		high = edge_q8(0);
	} else if (bin > 0) {
		low = edge_q8(bin - 1);
		high = edge_q8(bin);
	} else {
		low = -edge_q8(-bin);
		high = -edge_q8(-bin - 1);
	}
	value_q8 = low + (int64_t)((uint64_t)(high - low) * inside / count);
	return (int32_t)gn_clamp64((value_q8 * spread->scale_q4) >> 12, -GN_U_MAX, GN_U_MAX);
}

void gn_spread_quantiles(const struct gn_spread *spread, const uint32_t *levels_q16, uint32_t n,
                         int32_t *quantiles)
{
	uint64_t total = 0, above = 0; /* Q16 from here on; counts fit 22 bits */
	uint32_t q = n;

	for (uint32_t i = 0; i < GN_SPREAD_BINS; i++)
		total += spread->counts[i];
	for (uint32_t i = GN_SPREAD_BINS; i-- > 0 && q > 0;) {
		uint64_t count = (uint64_t)spread->counts[i] << 16;

		if (count == 0)
			continue;
		while (q > 0 && above + count > total * (65536 - levels_q16[q - 1])) {
			uint64_t want = total * (65536 - levels_q16[q - 1]);

			q--;
			quantiles[q] = within(spread, i, above + count - want, count);
		}
		above += count;
	}
	while (q > 0)
		quantiles[--q] = 0;
}

bool gn_spread_is_sound(const struct gn_spread *spread)
{
	return spread->scale_q4 <= (uint32_t)GN_U_MAX << 5 && spread->step_q16 < FIRST_STEP << 17 &&
	       (spread->scale_q4 > 0 || spread->n == 0);
}
