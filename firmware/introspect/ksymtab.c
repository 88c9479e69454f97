/* ksymtab.c - finds exported symbols (kallsyms.h).
 *
 * An entry is three 32-bit numbers, each relative to its own address: value, name and name
 * space; entries are sorted by name, and all of it lies in the kernel's image. A name may be
 * the end of a longer one (linkers merge them). So: find the text "init_task", then the entry that
 * points to it, then the others by binary search over the table around it. */
#include "firmware/introspect/kallsyms.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_SIZE      12
#define NAME_OFFSET     4 /* of the name's number in an entry */
#define MAX_NAME        64
#define MAX_IMAGE_BYTES (96u << 20)
#define MAX_STRINGS     32 /* places where the text is found */

struct image {
	const uint8_t *bytes;
	size_t size;
	uint64_t delta; /* virtual address of bytes[0] */
};

static int64_t relative(const struct image *image, size_t at)
{
	int32_t value;

	memcpy(&value, image->bytes + at, 4);
	return (int64_t)at + value;
}

/* The name of the entry at 'at', or NULL when it cannot be one. */
static const char *entry_name(const struct image *image, size_t at)
{
	int64_t name;

	if (at % 4 || at + ENTRY_SIZE > image->size)
		return NULL;
	name = relative(image, at + NAME_OFFSET);
	if (name < 0 || name >= (int64_t)image->size - MAX_NAME)
		return NULL;
	if (image->bytes[name] < '0' || image->bytes[name] > 'z' ||
	    !memchr(image->bytes + name, 0, MAX_NAME))
		return NULL;
	return (const char *)image->bytes + name;
}

/* How many entries with ascending names lie before (step -12) or after (12). */
static size_t count_entries(const struct image *image, size_t at, int step)
{
	const char *name = entry_name(image, at);
	size_t n = 0;

	while (step > 0 || at >= ENTRY_SIZE) {
		const char *next;

		at = step > 0 ? at + ENTRY_SIZE : at - ENTRY_SIZE;
		next = entry_name(image, at);
		if (!next || (step > 0 ? strcmp(next, name) <= 0 : strcmp(next, name) >= 0))
			break;
		name = next;
		n++;
	}
	return n;
}

static bool find_in_table(const struct image *image, size_t first, size_t n, const char *wanted,
                          uint64_t *va)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const char *name = entry_name(image, first + middle * ENTRY_SIZE);
		int order = name ? strcmp(wanted, name) : -1;

		if (order == 0) {
			*va = image->delta + (uint64_t)relative(image, first + middle * ENTRY_SIZE);
			return true;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

static bool read_table(const struct image *image, size_t entry, struct gn_symbols *symbols)
{
	size_t before = count_entries(image, entry, -1), n = before + 1;
	size_t first = entry - before * ENTRY_SIZE;
	bool found = false;

	n += count_entries(image, entry, 1);
	if (n < 16)
		return false;
	for (int i = 0; i < GN_N_SYMBOLS; i++) {
		uint64_t va;

		if (symbols->has[i] || !find_in_table(image, first, n, gn_symbol_name(i), &va))
			continue;
		symbols->va[i] = va;
		symbols->has[i] = found = true;
	}
	return found;
}

static size_t find_strings(const struct image *image, const char *text, size_t *at)
{
	size_t length = strlen(text) + 1, n = 0;
	const uint8_t *p = image->bytes, *end = p + image->size;

	while (n < MAX_STRINGS && (p = memmem(p, (size_t)(end - p), text, length))) {
		at[n++] = (size_t)(p - image->bytes);
		p++;
	}
	return n;
}

/* The text found first and last, so that most numbers cost one comparison. */
static int search(const struct image *image, struct gn_symbols *symbols)
{
	size_t strings[MAX_STRINGS];
	size_t n = find_strings(image, "init_task", strings);

	if (!n)
		return -ENOENT;
	for (size_t at = NAME_OFFSET; at + 8 <= image->size; at += 4) {
		uint64_t name = (uint64_t)relative(image, at);

		if (name - strings[0] > strings[n - 1] - strings[0])
			continue;
		for (size_t i = 0; i < n; i++)
			if (name == strings[i] && entry_name(image, at - NAME_OFFSET) &&
			    read_table(image, at - NAME_OFFSET, symbols))
				return 0;
	}
	return -ENOENT;
}

int gn_ksymtab_load(struct gn_memory *memory, uint64_t from, uint64_t to, uint64_t delta,
                    struct gn_symbols *symbols)
{
	struct image image = {.delta = from + delta};
	uint8_t *bytes;
	int err = -ENOENT;

	if (to <= from)
		return -ENOENT;
	image.size = to - from < MAX_IMAGE_BYTES ? to - from : MAX_IMAGE_BYTES;
	bytes = malloc(image.size);
	if (!bytes)
		return -ENOMEM;
	image.bytes = bytes;
	if (gn_memory_copy(memory, from, bytes, image.size))
		err = search(&image, symbols);
	free(bytes);
	return err;
}
