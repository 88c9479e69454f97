/* changes.c - see changes.h. */
#include "dataplane/volume/changes.h"

uint64_t gn_changes_granule(uint64_t size_bytes, uint64_t least)
{
	uint64_t granule = least;

	while ((size_bytes + granule - 1) / granule > GN_CHANGES_MAX_GRANULES)
		granule *= 2;
	return granule;
}

void gn_changes_note(struct gn_changes *changes, uint64_t offset, uint64_t length)
{
	uint64_t end = (offset + length + changes->granule_bytes - 1) / changes->granule_bytes;

	if (!length)
		return;
	for (uint64_t i = offset / changes->granule_bytes; i < end; i++) {
		uint64_t bit = 1ull << i % 64;

		changes->n_set += !(changes->bits[i / 64] & bit);
		changes->bits[i / 64] |= bit;
	}
}

static bool is_set(const struct gn_changes *changes, uint64_t i)
{
	return changes->bits[i / 64] >> i % 64 & 1;
}

bool gn_changes_take(struct gn_changes *changes, uint64_t *cursor, uint64_t *offset,
                     uint64_t *length)
{
	uint64_t first = *cursor, end;

	while (first < changes->n && !is_set(changes, first))
		first += changes->bits[first / 64] >> first % 64 ? 1 : 64 - first % 64;
	if (first >= changes->n)
		return false;
	for (end = first; end < changes->n && is_set(changes, end); end++)
		changes->bits[end / 64] &= ~(1ull << end % 64);
	changes->n_set -= end - first;
	*cursor = end;
	*offset = first * changes->granule_bytes;
	*length = (end < changes->n ? end * changes->granule_bytes : changes->size_bytes) - *offset;
	return true;
}
