/* spread.c - see spread.h. */
#include "firmware/predict/spread.h"

#include "firmware/core/fixed.h"
#include "firmware/predict/history.h"

#define SCALE_MEMORY 1500
#define FIRST_STEP   22 /* so that a bin can hold all: 2 * 22 * 1000 / ln 2 < 2^16 */

/* Magnitude in thirds of an octave above 2^-3; -1 below. ratio in Q8. */
static int32_t bin_of(uint64_t ratio_q8)
{
	int32_t log = gn_log2_q10(ratio_q8); /* 5 << 10 is 2^-3 */

	if (ratio_q8 < 32)
		return -1;
	return (int32_t)gn_min64((log - (5 << 10)) * 3 >> 10, GN_SPREAD_SIDE - 1);
}

/* Upper edges of the bins, Q8: 2^(-3 + i/3) mean sizes for i = 0..26. */
static const uint16_t edges_q8[GN_SPREAD_SIDE + 1] = {
        32,  40,   51,   64,   81,   102,  128,  161,  203,  256,  323,  406,   512,  645,
        813, 1024, 1290, 1625, 2048, 2580, 3251, 4096, 5161, 6502, 8192, 10321, 13004};

static int64_t edge_q8(int32_t bin)
{
	return bin < 0 ? 0 : edges_q8[bin];
}

void gn_spread_observe(struct gn_spread *spread, int32_t error, uint32_t half_life)
{
	int64_t size = gn_abs64(error);
	int64_t memory = gn_min64(spread->n + 1, SCALE_MEMORY);
	uint32_t scale, index, before, step = spread->step_q16;
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
	before = spread->counts[index];
	spread->counts[index] = (uint16_t)gn_min64(before + ((step + 32768) >> 16), UINT16_MAX);
	spread->total += spread->counts[index] - before;
	step += (uint32_t)(((uint64_t)step * 45426 / half_life) >> 16);
	if (step >= FIRST_STEP << 17) {
		step = FIRST_STEP << 16;
		spread->total = 0;
		for (uint32_t i = 0; i < GN_SPREAD_BINS; i++) {
			spread->counts[i] >>= 1;
			spread->total += spread->counts[i];
		}
	}
	spread->step_q16 = step;
	if (spread->n < UINT16_MAX)
		spread->n++;
}

/* The error below which 'inside' of 'count' (both Q8) of a bin's errors lie, in mean sizes. */
static int16_t within(uint32_t index, uint32_t inside, uint32_t count)
{
	int32_t bin = (int32_t)index - GN_SPREAD_SIDE;
	int64_t low, high;

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
	return (int16_t)(low + (high - low) * inside / count);
}

void gn_spread_read(struct gn_spread *spread, const uint32_t levels_q16[GN_SPREAD_KEPT])
{
	/* Q8; counts below 2^16 and 53 bins: totals fit 30 bits */
	uint32_t above = 0, q = GN_SPREAD_KEPT, i = GN_SPREAD_BINS, want;

	while (q > 0) {
		want = (uint32_t)(((uint64_t)spread->total * (65536 - levels_q16[q - 1])) >> 8);
		while (i > 0 && above + (spread->counts[i - 1] << 8) <= want)
			above += (uint32_t)(spread->counts[--i] << 8);
		if (i == 0)
			break;
		q--;
		spread->kept_q8[q] = within(i - 1, above + (spread->counts[i - 1] << 8) - want,
		                            (uint32_t)(spread->counts[i - 1] << 8));
	}
	while (q > 0)
		spread->kept_q8[--q] = 0;
}

bool gn_spread_is_sound(const struct gn_spread *spread)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < GN_SPREAD_BINS; i++)
		total += spread->counts[i];
	for (uint32_t q = 0; q < GN_SPREAD_KEPT; q++)
		if (spread->kept_q8[q] < -edge_q8(GN_SPREAD_SIDE) ||
		    spread->kept_q8[q] > edge_q8(GN_SPREAD_SIDE))
			return false;
	return total == spread->total && spread->scale_q4 <= (uint32_t)GN_U_MAX << 5 &&
	       spread->step_q16 < FIRST_STEP << 17 && (spread->scale_q4 > 0 || spread->n == 0);
}
