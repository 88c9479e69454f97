/* bitmap.c - the persistent dirty bitmap: bits, sectors, and which are where. */
#include "dataplane/volume/bitmap.h"

#include <assert.h>
#include <string.h>
#include "dataplane/volume/journal.h"

#define SECTOR_WORDS (GN_BITMAP_SECTOR_BITS / 64)

_Static_assert((SECTOR_WORDS + 2) * 8 == GN_BITMAP_SECTOR, "number and checksum fill the sector");

uint64_t gn_bitmap_granule(uint64_t volume_bytes)
{
	uint64_t granule = GN_BITMAP_MIN_GRANULE;

	while ((volume_bytes + granule - 1) / granule > GN_BITMAP_MAX_GRANULES)
		granule *= 2;
	return granule;
}

void gn_bitmap_init(struct gn_bitmap *bitmap, uint64_t *bits, uint64_t *durable,
                    uint64_t volume_bytes, uint64_t granule_bytes)
{
	memset(bitmap, 0, sizeof *bitmap);
	bitmap->bits = bits;
	bitmap->durable = durable;
	bitmap->granule_bytes = granule_bytes;
	bitmap->n = (uint32_t)((volume_bytes + granule_bytes - 1) / granule_bytes);
	assert(bitmap->n <= GN_BITMAP_MAX_GRANULES);
	memset(bits, 0, GN_BITMAP_WORDS(bitmap->n) * sizeof *bits);
	memset(durable, 0, GN_BITMAP_WORDS(bitmap->n) * sizeof *durable);
	for (uint32_t i = 0; i < GN_BITMAP_SECTORS(bitmap->n); i++)
		gn_bitmap_failed(bitmap, i);
}

void gn_bitmap_range(const struct gn_bitmap *bitmap, uint64_t offset, uint64_t length,
                     uint32_t *first, uint32_t *end)
{
	*first = (uint32_t)(offset / bitmap->granule_bytes);
	*end = (uint32_t)((offset + length - 1) / bitmap->granule_bytes) + 1;
}

void gn_bitmap_set(struct gn_bitmap *bitmap, uint32_t first, uint32_t end)
{
	for (uint32_t i = first; i < end; i++) {
		if (i % 64 == 0 && i + 64 <= end && bitmap->bits[i / 64] == UINT64_MAX) {
			i += 63;
			continue;
		}
		if (gn_bitmap_get(bitmap, i))
			continue;
		bitmap->bits[i / 64] |= 1ull << i % 64;
		bitmap->n_set++;
		gn_bitmap_failed(bitmap, i / GN_BITMAP_SECTOR_BITS);
	}
}

void gn_bitmap_clear(struct gn_bitmap *bitmap, uint32_t i)
{
	if (!gn_bitmap_get(bitmap, i))
		return;
	bitmap->bits[i / 64] &= ~(1ull << i % 64);
	bitmap->n_set--;
	gn_bitmap_failed(bitmap, i / GN_BITMAP_SECTOR_BITS);
}

bool gn_bitmap_is_durable(const struct gn_bitmap *bitmap, uint32_t first, uint32_t end)
{
	for (uint32_t i = first; i < end; i++)
		if (!(bitmap->durable[i / 64] >> i % 64 & 1))
			return false;
	return true;
}

int gn_bitmap_take_stale(struct gn_bitmap *bitmap)
{
	for (uint32_t i = 0; i < GN_BITMAP_SECTORS(bitmap->n); i++) {
		if (!(bitmap->stale[i / 64] >> i % 64 & 1))
			continue;
		bitmap->stale[i / 64] &= ~(1ull << i % 64);
		return (int)i;
	}
	return -1;
}

static uint32_t words_of(const struct gn_bitmap *bitmap, uint32_t number)
{
	uint32_t left = GN_BITMAP_WORDS(bitmap->n) - number * SECTOR_WORDS;

	return left < SECTOR_WORDS ? left : SECTOR_WORDS;
}

void gn_bitmap_encode(struct gn_bitmap *bitmap, uint32_t number, uint64_t *sector)
{
	uint32_t n = words_of(bitmap, number);

	memset(sector, 0, GN_BITMAP_SECTOR);
	memcpy(sector, bitmap->bits + (size_t)number * SECTOR_WORDS, n * sizeof *sector);
	sector[SECTOR_WORDS] = number;
	sector[SECTOR_WORDS + 1] = gn_journal_checksum(sector, (SECTOR_WORDS + 1) * 8, 1);
	for (uint32_t i = 0; i < n; i++)
		bitmap->durable[number * SECTOR_WORDS + i] &= sector[i];
}

void gn_bitmap_commit(struct gn_bitmap *bitmap, uint32_t number, const uint64_t *sector)
{
	memcpy(bitmap->durable + (size_t)number * SECTOR_WORDS, sector,
	       words_of(bitmap, number) * sizeof *sector);
}

void gn_bitmap_failed(struct gn_bitmap *bitmap, uint32_t number)
{
	bitmap->stale[number / 64] |= 1ull << number % 64;
}

bool gn_bitmap_decode(struct gn_bitmap *bitmap, uint32_t number, const uint64_t *sector)
{
	uint32_t first = number * GN_BITMAP_SECTOR_BITS;
	bool good =
	        sector[SECTOR_WORDS] == number &&
	        sector[SECTOR_WORDS + 1] == gn_journal_checksum(sector, (SECTOR_WORDS + 1) * 8, 1);

	bitmap->stale[number / 64] &= ~(1ull << number % 64);
	for (uint32_t i = first; i < bitmap->n && i < first + GN_BITMAP_SECTOR_BITS; i++) {
		bool is_set = sector[(i - first) / 64] >> (i - first) % 64 & 1;

		if (!good || is_set)
			gn_bitmap_set(bitmap, i, i + 1);
		if (good && is_set)
			bitmap->durable[i / 64] |= 1ull << i % 64;
	}
	if (good)
		bitmap->stale[number / 64] &= ~(1ull << number % 64);
	return good;
}
