/* level.c - see level.h. */
#include "firmware/predict/level.h"

#include <stdbool.h>
#include <string.h>

#include "firmware/core/fixed.h"
#include "firmware/predict/history.h"

/* log2(value + 1) in 1/8 octaves, with the fraction of a bin in Q8. */
static uint32_t position(int32_t value, uint32_t *fraction_q8)
{
	uint32_t log = (uint32_t)gn_log2_q10((uint64_t)value + 1); /* <= 26 << 10 */

	*fraction_q8 = (log & 127) << 1;
	return log >> 7;
}

static int32_t value_at(uint32_t bin, uint32_t fraction_q8)
{
	int64_t value = gn_exp2_q10((int32_t)((bin << 7) + (fraction_q8 >> 1)), 0) - 1;

	return (int32_t)gn_clamp64(value, 0, GN_U_MAX);
}

void gn_level_init(struct gn_level *level)
{
	memset(level, 0, sizeof(*level));
	level->top = GN_LEVEL_BINS - 1;
}

/* Moves the window of bins so that 'bin' is inside: what falls out is merged below. */
static void make_room(struct gn_level *level, uint32_t bin)
{
	uint32_t by = bin - level->top;

	for (uint32_t memory = 0; memory < GN_LEVEL_MEMORIES; memory++) {
		uint16_t *counts = level->counts[memory];
		uint32_t low = 0;

		for (uint32_t i = 0; i <= by && i < GN_LEVEL_BINS; i++)
			low += counts[i];
		for (uint32_t i = 0; i < GN_LEVEL_BINS; i++)
			counts[i] = i + by < GN_LEVEL_BINS ? counts[i + by] : 0;
		counts[0] = low > UINT16_MAX ? UINT16_MAX : (uint16_t)low;
	}
	for (uint32_t i = 0; i < GN_LEVEL_BINS; i++)
		level->place[i] = i + by < GN_LEVEL_BINS ? level->place[i + by] : 128;
	level->top = (uint8_t)bin;
}

static void add(struct gn_level *level, uint32_t memory, uint32_t index, uint32_t half_life)
{
	/* The total stays below first_step * 2 * half_life / ln 2, some 2^16 at most. */
	uint32_t first_step = (uint32_t)gn_clamp64(22000 / half_life, 1, 127);
	uint32_t step = level->step_q16[memory];
	uint16_t *count = &level->counts[memory][index];

	if (step < first_step << 16)
		step = first_step << 16;
	*count = (uint16_t)gn_min64(*count + ((step + 32768) >> 16), UINT16_MAX);
	step += (uint32_t)(((uint64_t)step * 45426 / half_life) >> 16); /* times 2^(1/half_life) */
	if (step >= first_step << 17) {
		step = first_step << 16;
		for (uint32_t i = 0; i < GN_LEVEL_BINS; i++)
			level->counts[memory][i] >>= 1;
	}
	level->step_q16[memory] = step;
}

void gn_level_observe(struct gn_level *level, int32_t value,
                      const uint32_t half_lives[GN_LEVEL_MEMORIES])
{
	uint32_t fraction, bin = position(value, &fraction), lowest, index;

	if (bin > level->top)
		make_room(level, bin);
	lowest = level->top - (GN_LEVEL_BINS - 1);
	index = bin < lowest ? 0 : bin - lowest;
	if (level->counts[0][index] == 0 && level->counts[1][index] == 0)
		level->place[index] = (uint8_t)fraction;
	else
		level->place[index] = (uint8_t)(level->place[index] +
		                                ((int32_t)fraction - level->place[index]) / 4);
	for (uint32_t memory = 0; memory < GN_LEVEL_MEMORIES; memory++)
		add(level, memory, index, half_lives[memory]);
}

void gn_level_read(struct gn_level *level, uint32_t memory,
                   const uint32_t levels_q16[GN_LEVEL_KEPT])
{
	const uint16_t *counts = level->counts[memory];
	uint32_t lowest = level->top - (GN_LEVEL_BINS - 1), total = 0, above = 0;
	uint32_t q = GN_LEVEL_KEPT;
	int32_t *quantiles = level->kept[memory];

	for (uint32_t i = 0; i < GN_LEVEL_BINS; i++)
		total += counts[i];
	for (uint32_t i = GN_LEVEL_BINS; i-- > 0 && q > 0;) {
		if (counts[i] == 0)
			continue;
		above += counts[i];
		while (q > 0 &&
		       (uint64_t)above << 16 > (uint64_t)total * (65536 - levels_q16[q - 1]))
			quantiles[--q] = value_at(lowest + i, level->place[i]);
	}
	while (q > 0)
		quantiles[--q] = 0;
}

void gn_level_rescale(struct gn_level *level, unsigned int shift)
{
	uint32_t by = 8 * shift;

	for (uint32_t memory = 0; memory < GN_LEVEL_MEMORIES; memory++)
		for (uint32_t q = 0; q < GN_LEVEL_KEPT; q++)
			level->kept[memory][q] >>= shift;
	if (level->top >= by + GN_LEVEL_BINS - 1) {
		level->top = (uint8_t)(level->top - by);
		return;
	}
	/* The window cannot go below zero: move the bins instead. */
	by -= level->top - (GN_LEVEL_BINS - 1);
	level->top = GN_LEVEL_BINS - 1;
	for (uint32_t memory = 0; memory < GN_LEVEL_MEMORIES; memory++) {
		uint16_t *counts = level->counts[memory];
		uint32_t low = 0;

		for (uint32_t i = 0; i <= by && i < GN_LEVEL_BINS; i++)
			low += counts[i];
		for (uint32_t i = 0; i < GN_LEVEL_BINS; i++)
			counts[i] = i + by < GN_LEVEL_BINS ? counts[i + by] : 0;
		counts[0] = low > UINT16_MAX ? UINT16_MAX : (uint16_t)low;
	}
	for (uint32_t i = 0; i < GN_LEVEL_BINS; i++)
		level->place[i] = i + by < GN_LEVEL_BINS ? level->place[i + by] : 128;
}

bool gn_level_is_sound(const struct gn_level *level)
{
	for (uint32_t memory = 0; memory < GN_LEVEL_MEMORIES; memory++)
		if (level->step_q16[memory] >= 127u << 17)
			return false;
	for (uint32_t memory = 0; memory < GN_LEVEL_MEMORIES; memory++)
		for (uint32_t q = 0; q < GN_LEVEL_KEPT; q++)
			if (level->kept[memory][q] < 0 || level->kept[memory][q] > GN_U_MAX)
				return false;
	return level->top >= GN_LEVEL_BINS - 1 && level->top <= 8 * GN_U_BITS;
}
