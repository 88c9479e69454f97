/* verify.c - the book of a comparison; see verify.h. */
#include "dataplane/volume/verify.h"

#include <string.h>

#define READ_TRIES 3u /* what still cannot be read is told */

static bool get(const uint64_t *bits, uint64_t i)
{
	return bits[i / 64] >> i % 64 & 1;
}

static void set(uint64_t *bits, uint64_t i)
{
	bits[i / 64] |= 1ull << i % 64;
}

static void clear(uint64_t *bits, uint64_t i)
{
	bits[i / 64] &= ~(1ull << i % 64);
}

static uint64_t n_blocks(const struct gn_verify *v)
{
	return (v->end - v->begin) / v->block_bytes;
}

void gn_verify_init(struct gn_verify *v, uint64_t volume_bytes, uint32_t block_bytes, bool repairs)
{
	memset(v, 0, sizeof *v);
	v->volume_bytes = volume_bytes;
	v->block_bytes = block_bytes;
	v->repairs = repairs;
}

bool gn_verify_next_window(struct gn_verify *v)
{
	v->begin = v->end;
	v->tries = 0;
	if (v->begin >= v->volume_bytes)
		return false;
	v->end = v->begin + GN_VERIFY_WINDOW_BYTES;
	if (v->end > v->volume_bytes)
		v->end = v->volume_bytes;
	memset(v->todo, 0, sizeof v->todo);
	memset(v->differs, 0, sizeof v->differs);
	memset(v->todo, 0xff, n_blocks(v) / 64 * 8);
	for (uint64_t i = n_blocks(v) / 64 * 64; i < n_blocks(v); i++)
		set(v->todo, i);
	return true;
}

void gn_verify_begin_try(struct gn_verify *v)
{
	v->tries++;
	memset(v->touched, 0, sizeof v->touched);
}

/* The blocks of the window that the range touches: first, and one past the last. */
static bool blocks_of(const struct gn_verify *v, uint64_t offset, uint64_t length, uint64_t *first,
                      uint64_t *end)
{
	uint64_t to = offset + length;

	if (offset < v->begin)
		offset = v->begin;
	if (to > v->end)
		to = v->end;
	if (offset >= to)
		return false;
	*first = (offset - v->begin) / v->block_bytes;
	*end = (to - v->begin + v->block_bytes - 1) / v->block_bytes;
	return true;
}

void gn_verify_touch(struct gn_verify *v, uint64_t offset, uint64_t length)
{
	uint64_t i, end;

	if (blocks_of(v, offset, length, &i, &end))
		for (; i < end; i++)
			set(v->touched, i);
}

bool gn_verify_is_open(const struct gn_verify *v, uint64_t offset, uint64_t length)
{
	uint64_t i, end;

	if (!blocks_of(v, offset, length, &i, &end))
		return false;
	while (i < end && !get(v->todo, i))
		i++;
	return i < end;
}

/* ---- results ------------------------------------------------------------------- */

static void note_range(struct gn_verify *v, uint64_t offset)
{
	struct gn_verify_result *result = &v->result;
	struct gn_verify_range *last =
	        result->n_ranges ? &result->ranges[result->n_ranges - 1] : NULL;

	if (last && last->offset_bytes + last->length_bytes == offset)
		last->length_bytes += v->block_bytes;
	else if (result->n_ranges < GN_VERIFY_MAX_RANGES)
		result->ranges[result->n_ranges++] =
		        (struct gn_verify_range){offset, v->block_bytes};
}

static void close_block(struct gn_verify *v, uint64_t i)
{
	clear(v->todo, i);
	clear(v->differs, i);
	v->result.done_bytes += v->block_bytes;
}

static void found_equal(struct gn_verify *v, uint64_t i)
{
	if (get(v->differs, i))
		v->result.repaired_bytes += v->block_bytes;
	close_block(v, i);
}

static void found_different(struct gn_verify *v, uint64_t i)
{
	bool again = get(v->differs, i);

	if (!again) {
		v->result.differing_bytes += v->block_bytes;
		note_range(v, v->begin + i * v->block_bytes);
	}
	set(v->differs, i);
	if (!v->repairs)
		close_block(v, i);
}

static void found_unreadable(struct gn_verify *v, uint64_t i, bool is_primary)
{
	if (v->tries < READ_TRIES)
		return;
	if (!is_primary && v->repairs) {
		found_different(v, i);
		return;
	}
	*(is_primary ? &v->result.primary_unreadable_bytes : &v->result.shadow_unreadable_bytes) +=
	        v->block_bytes;
	close_block(v, i);
}

static void judge_block(struct gn_verify *v, uint64_t i, const uint8_t *primary,
                        const uint8_t *shadow)
{
	if (!get(v->todo, i) || get(v->touched, i))
		return;
	if (!primary || !shadow)
		found_unreadable(v, i, !primary);
	else if (memcmp(primary, shadow, v->block_bytes) == 0)
		found_equal(v, i);
	else
		found_different(v, i);
}

void gn_verify_judge(struct gn_verify *v, uint64_t offset, uint64_t length, const void *primary,
                     const void *shadow)
{
	const uint8_t *a = primary, *b = shadow;
	uint64_t first = (offset - v->begin) / v->block_bytes;

	for (uint64_t k = 0; k < length / v->block_bytes; k++)
		judge_block(v, first + k, a ? a + k * v->block_bytes : NULL,
		            b ? b + k * v->block_bytes : NULL);
}

bool gn_verify_next_repair(const struct gn_verify *v, uint64_t at, uint64_t limit,
                           struct gn_verify_range *out)
{
	uint64_t i = (at - v->begin) / v->block_bytes, end = n_blocks(v), first;

	while (i < end && !get(v->differs, i))
		i++;
	first = i;
	while (i < end && get(v->differs, i) && (i + 1 - first) * v->block_bytes <= limit)
		i++;
	*out = (struct gn_verify_range){v->begin + first * v->block_bytes,
	                                (i - first) * v->block_bytes};
	return i > first;
}

bool gn_verify_window_is_done(const struct gn_verify *v)
{
	for (uint64_t i = 0; i < GN_VERIFY_WORDS; i++)
		if (v->todo[i])
			return false;
	return true;
}

void gn_verify_give_up_window(struct gn_verify *v)
{
	for (uint64_t i = 0; i < n_blocks(v); i++) {
		if (!get(v->todo, i))
			continue;
		if (!get(v->differs, i))
			v->result.unsettled_bytes += v->block_bytes;
		close_block(v, i);
	}
}
