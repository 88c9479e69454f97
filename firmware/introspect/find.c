/* find.c - the scans (find.h). */
#include "firmware/introspect/find.h"

#include <stdlib.h>
#include <string.h>
#include "firmware/introspect/vmcoreinfo.h"

#define PIECE   (1u << 20)
#define OVERLAP 64u

static const char btf_magic[8] = {'\x9f', '\xeb', 1, 0, 24, 0, 0, 0};
static const char first_task[] = "swapper/0";

/* Calls 'look' with each place in [from, to) where the text is found. */
struct hits {
	const char *text;
	size_t size;
	bool is_aligned; /* lies at multiples of 4 */
	void (*look)(struct hits *hits, struct gn_memory *memory, uint64_t gpa);
	void *context;
};

/* memmem() is slow where the text ends in zeros and most of the memory is zero. */
static void search_words(struct gn_memory *memory, struct hits *hits, const uint8_t *piece,
                         size_t size, uint64_t gpa)
{
	uint32_t first, word;

	memcpy(&first, hits->text, sizeof first);
	for (size_t at = 0; at + hits->size <= size; at += 4) {
		memcpy(&word, piece + at, sizeof word);
		if (word == first && memcmp(piece + at, hits->text, hits->size) == 0)
			hits->look(hits, memory, gpa + at);
	}
}

static void search_piece(struct gn_memory *memory, struct hits *hits, const uint8_t *piece,
                         size_t size, uint64_t gpa)
{
	const uint8_t *at = piece, *end = piece + size;

	if (hits->is_aligned) {
		search_words(memory, hits, piece, size, gpa);
		return;
	}

	while ((at = memmem(at, (size_t)(end - at), hits->text, hits->size))) {
		hits->look(hits, memory, gpa + (uint64_t)(at - piece));
		at++;
	}
}

/* Stands 'scan' in [from, to), when it is before, or on the next region, when it is behind. */
static bool enter_range(const struct gn_memory *memory, struct gn_memory_scan *scan, uint64_t from,
                        uint64_t to)
{
	for (; scan->region < memory->n_regions; scan->region++, scan->at = scan->data_to = 0) {
		const struct gn_memory_region *r = &memory->regions[scan->region];

		if (from >= r->gpa + r->size || r->gpa + scan->at >= to)
			continue;
		if (from > r->gpa + scan->at)
			scan->at = scan->data_to = from - r->gpa;
		return true;
	}
	return false;
}

static bool search(struct gn_memory *memory, uint64_t from, uint64_t to, struct hits *hits,
                   unsigned n_hits)
{
	struct gn_memory_scan scan = {.region = 0};
	uint8_t *piece = malloc(PIECE);
	bool has_room = piece;
	uint64_t gpa;
	size_t size;

	while (has_room && enter_range(memory, &scan, from, to)) {
		size = gn_memory_scan_next(memory, &scan, piece, PIECE, OVERLAP, &gpa);
		if (!size)
			break;
		for (unsigned i = 0; gpa < to && i < n_hits; i++)
			search_piece(memory, &hits[i], piece, size, gpa);
	}
	free(piece);
	return has_room;
}

/* ---- BTF and symbol tables -------------------------------------------------------------- */

/* struct btf_header: magic, version, flags, hdr_len, type_off, type_len, str_off, str_len. */
static void look_btf(struct hits *hits, struct gn_memory *memory, uint64_t gpa)
{
	struct gn_found *found = hits->context;
	uint32_t header[6];
	uint64_t size;

	if (gpa % 4 || found->n_btf == GN_FIND_MAX_BTF ||
	    !gn_memory_copy(memory, gpa, header, sizeof header))
		return;
	size = 24 + (uint64_t)header[4] + header[5];
	if (header[2] != 0 || header[4] != header[3] || size < GN_FIND_MIN_BTF ||
	    size > GN_PROFILE_MAX_BTF)
		return;
	for (unsigned i = 0; i < found->n_btf; i++)
		if (found->btf[i].gpa == gpa)
			return; /* in two pieces' overlap */
	found->btf[found->n_btf].gpa = gpa;
	found->btf[found->n_btf++].size = size;
}

static void look_kallsyms(struct hits *hits, struct gn_memory *memory, uint64_t gpa)
{
	struct gn_found *found = hits->context;

	for (unsigned i = 0; i < found->n_kallsyms; i++)
		if (found->kallsyms[i] == gpa)
			return;
	if (found->n_kallsyms < GN_FIND_MAX_KALLSYMS)
		found->kallsyms[found->n_kallsyms++] = gpa;
}

bool gn_find_tables(struct gn_memory *memory, uint64_t from, uint64_t to, struct gn_found *found)
{
	struct hits hits[] = {
	        {btf_magic, sizeof btf_magic, true, look_btf, found},
	        {GN_KALLSYMS_SIGNATURE, GN_KALLSYMS_SIGNATURE_SIZE, false, look_kallsyms, found},
	};

	memset(found, 0, sizeof *found);
	return search(memory, from, to, hits, 2);
}

/* ---- tasks -------------------------------------------------------------------------------- */

struct tasks {
	uint64_t *at;
	unsigned n;
	uint32_t comm;
};

static void look_task(struct hits *hits, struct gn_memory *memory, uint64_t gpa)
{
	struct tasks *tasks = hits->context;

	if (gpa < tasks->comm || (gpa - tasks->comm) % 8 || tasks->n == GN_FIND_MAX_TASKS ||
	    (tasks->n && tasks->at[tasks->n - 1] == gpa - tasks->comm))
		return;
	tasks->at[tasks->n++] = gpa - tasks->comm;
}

unsigned gn_find_tasks(struct gn_memory *memory, uint32_t comm, uint64_t *at)
{
	struct tasks tasks = {at, 0, comm};
	struct hits hits = {first_task, sizeof first_task, false, look_task, &tasks};

	search(memory, 0, UINT64_MAX, &hits, 1);
	return tasks.n;
}

/* ---- VMCOREINFO ----------------------------------------------------------------------------- */

bool gn_find_vmcoreinfo(struct gn_memory *memory, struct gn_memory_scan *scan, uint64_t *page)
{
	uint8_t *piece = malloc(PIECE);
	bool found = false;
	uint64_t gpa;
	size_t size;

	while (piece && !found && (size = gn_memory_scan_next(memory, scan, piece, PIECE, 0, &gpa)))
		for (size_t at = 0; at + GN_MEMORY_PAGE <= size && !found; at += GN_MEMORY_PAGE) {
			if (memcmp(piece + at, GN_VMCOREINFO_PREFIX,
			           sizeof GN_VMCOREINFO_PREFIX - 1) != 0)
				continue;
			*page = gpa + at;
			scan->at = gpa + at + GN_MEMORY_PAGE - memory->regions[scan->region].gpa;
			found = true;
		}
	free(piece);
	return found;
}

/* ---- ciphertext ----------------------------------------------------------------------------- */

#define CIPHER_MIN_PAGES 64
#define CIPHER_MAX_PAGES 512
/* Of 4096 random bytes, the sum over the 256 values of (count - 16)^2 is 16 * 255 on average, with
 * a standard deviation of 16 * 22.6; this is six of those above. */
#define CIPHER_MAX_SPREAD (16 * 391)

static bool is_even(const uint8_t *page)
{
	uint16_t counts[256] = {0};
	uint32_t spread = 0;

	for (unsigned i = 0; i < GN_MEMORY_PAGE; i++)
		counts[page[i]]++;
	for (unsigned i = 0; i < 256; i++) {
		int32_t off = counts[i] - (int32_t)(GN_MEMORY_PAGE / 256);

		spread += (uint32_t)(off * off);
	}
	return spread <= CIPHER_MAX_SPREAD;
}

/* One page of every piece; a few may be shared with the hypervisor and so be plain. */
bool gn_find_is_cipher(struct gn_memory *memory)
{
	struct gn_memory_scan scan = {.region = 0};
	uint8_t *piece = malloc(PIECE);
	unsigned n = 0, n_even = 0;
	uint64_t gpa;

	while (piece && n < CIPHER_MAX_PAGES &&
	       gn_memory_scan_next(memory, &scan, piece, PIECE, 0, &gpa) >= GN_MEMORY_PAGE) {
		n++;
		n_even += is_even(piece);
	}
	free(piece);
	return n >= CIPHER_MIN_PAGES && n_even * 4 >= n * 3;
}
