/* arena.c - see arena.h. */
#include "dataplane/nbd/arena.h"

#include <assert.h>
#include <stdbool.h>

#define N_WORDS (GN_NBD_ARENA_PAGES / 64)

static bool is_used(const struct gn_nbd_arena *arena, unsigned page)
{
	return arena->used[page / 64] >> page % 64 & 1;
}

/* The first free page at or after 'page'; GN_NBD_ARENA_PAGES: none. */
static unsigned next_free(const struct gn_nbd_arena *arena, unsigned page)
{
	while (page < GN_NBD_ARENA_PAGES) {
		uint64_t available = ~arena->used[page / 64] >> page % 64;

		if (available)
			return page + (unsigned)__builtin_ctzll(available);
		page = (page / 64 + 1) * 64;
	}
	return GN_NBD_ARENA_PAGES;
}

int gn_nbd_arena_take(struct gn_nbd_arena *arena, unsigned n)
{
	unsigned first = next_free(arena, 0);

	assert(n && n <= GN_NBD_ARENA_PAGES);
	while (first + n <= GN_NBD_ARENA_PAGES) {
		unsigned end = first + 1;

		while (end < first + n && !is_used(arena, end))
			end++;
		if (end == first + n) {
			for (unsigned page = first; page < end; page++)
				arena->used[page / 64] |= 1ull << page % 64;
			return (int)first;
		}
		first = next_free(arena, end);
	}
	return -1;
}

void gn_nbd_arena_give(struct gn_nbd_arena *arena, unsigned first, unsigned n)
{
	for (unsigned page = first; page < first + n; page++) {
		assert(is_used(arena, page));
		arena->used[page / 64] &= ~(1ull << page % 64);
	}
}
