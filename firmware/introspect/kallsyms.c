/* kallsyms.c - decodes kallsyms (kallsyms.h).
 *
 * A name is its length (one byte, or two with the first one's top bit set, since 6.1) and that
 * many token numbers; a token is text in the token table. The first character of the expanded
 * name is the symbol's type. */
#include "firmware/introspect/kallsyms.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS           256
#define TOKEN_TABLE_SIZE (16u << 10)
#define NAME_SIZE        512
#define MAX_WORK         (8u << 20) /* names decoded in the search for a table */
#define MARKER_STEP      256
#define SEARCH_BACK      (24ull << 20) /* names and markers before the token table */

struct tokens {
	char table[TOKEN_TABLE_SIZE];
	uint16_t index[TOKENS];
	uint8_t length[TOKENS];
};

static const char *const names[GN_N_SYMBOLS] = {
#define NAME(field, name) name,
        GN_SYMBOLS(NAME)
#undef NAME
};

const char *gn_symbol_name(enum gn_symbol symbol)
{
	return names[symbol];
}

static uint64_t align8(uint64_t value)
{
	return (value + 7) & ~7ull;
}

/* ---- tokens ---------------------------------------------------------------------------- */

/* The index must be what counting through the table gives. */
static bool check_tokens(struct tokens *tokens)
{
	size_t at = 0;

	for (unsigned i = 0; i < TOKENS; i++) {
		size_t length = strnlen(tokens->table + at, TOKEN_TABLE_SIZE - at);

		if (tokens->index[i] != at || length == TOKEN_TABLE_SIZE - at || length > 255)
			return false;
		tokens->length[i] = (uint8_t)length;
		at += length + 1;
	}
	return true;
}

static bool load_tokens(struct gn_memory *memory, uint64_t table, uint64_t index,
                        struct tokens *tokens)
{
	memset(tokens->table, 0, sizeof tokens->table);
	/* The table may end close to the end of a region. */
	for (size_t at = 0; at < TOKEN_TABLE_SIZE; at += 1024)
		if (!gn_memory_copy(memory, table + at, tokens->table + at, 1024))
			break;
	return gn_memory_copy(memory, index, tokens->index, sizeof tokens->index) &&
	       check_tokens(tokens);
}

/* ---- names ------------------------------------------------------------------------------ */

struct cursor {
	const uint8_t *at;
	const uint8_t *end;
};

/* Returns the name's token numbers, or NULL at the end of the bytes. */
static const uint8_t *next_name(struct cursor *c, unsigned *n_tokens)
{
	const uint8_t *name;
	unsigned n;

	if (c->at >= c->end)
		return NULL;
	n = *c->at++;
	if (n & 0x80) {
		if (c->at >= c->end)
			return NULL;
		n = (n & 0x7f) | (unsigned)*c->at++ << 7;
	}
	if (!n || n > (size_t)(c->end - c->at))
		return NULL;
	name = c->at;
	c->at += n;
	*n_tokens = n;
	return name;
}

static unsigned expand(const struct tokens *tokens, const uint8_t *name, unsigned n, char *out)
{
	unsigned length = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned add = tokens->length[name[i]];

		if (length + add >= NAME_SIZE)
			return 0;
		memcpy(out + length, tokens->table + tokens->index[name[i]], add);
		length += add;
	}
	out[length] = '\0';
	return length;
}

/* Wanted names by their first two characters, so that most names cost two comparisons. */
static int find_wanted(const char *name, unsigned length)
{
	for (int i = 0; i < GN_N_SYMBOLS; i++)
		if (names[i][0] == name[0] && names[i][1] == name[1] &&
		    strlen(names[i]) == length && memcmp(names[i], name, length) == 0)
			return i;
	return -1;
}

/* ---- layout ------------------------------------------------------------------------------ */

/* Whether 'n' names from 'from' on end, with the markers after them, exactly at 'end'. Some
 * kernels (6.2, 6.3, 6.1 with fixes) have three bytes a symbol of sequence numbers there too. */
static bool names_fit(const uint8_t *from, const uint8_t *end, uint32_t n, uint64_t *work)
{
	uint64_t markers = align8(4ull * ((n + MARKER_STEP - 1) / MARKER_STEP));
	uint64_t sequence = align8(3ull * n), used;
	struct cursor c = {from, end};
	unsigned n_tokens;

	if ((uint64_t)(end - from) < n * 2ull + markers)
		return false;
	for (uint32_t i = 0; i < n; i++, --*work)
		if (!*work || !next_name(&c, &n_tokens))
			return false;
	used = align8((uint64_t)(c.at - from)) + markers;
	return used == (uint64_t)(end - from) || used + sequence == (uint64_t)(end - from);
}

/* Looks for the count and the names before the token table at buffer + size. */
static bool find_names(const uint8_t *buffer, size_t size, size_t *names_at, uint32_t *n_symbols)
{
	uint64_t work = MAX_WORK;

	for (size_t back = 16; back <= size && work; back += 8) {
		const uint8_t *at = buffer + size - back;
		uint32_t n, zero;

		memcpy(&n, at, 4);
		memcpy(&zero, at + 4, 4);
		/* Two bytes a name at least, 128 at most; then the rest decides. */
		if (zero || n < 64 || n > GN_KALLSYMS_MAX_SYMBOLS || n > back / 2 || n < back / 128)
			continue;
		if (names_fit(at + 8, buffer + size, n, &work)) {
			*names_at = size - back + 8;
			*n_symbols = n;
			return true;
		}
	}
	return false;
}

/* The region's part before 'gpa', at most SEARCH_BACK, as a copy. */
static uint8_t *copy_before(struct gn_memory *memory, uint64_t gpa, size_t *size)
{
	uint8_t *buffer = NULL;

	*size = 0;
	for (unsigned i = 0; i < memory->n_regions; i++) {
		const struct gn_memory_region *r = &memory->regions[i];

		if (gpa >= r->gpa && gpa - r->gpa < r->size)
			*size = gpa - r->gpa < SEARCH_BACK ? gpa - r->gpa : SEARCH_BACK;
	}
	if (*size)
		buffer = malloc(*size);
	if (buffer && !gn_memory_copy(memory, gpa - *size, buffer, *size)) {
		free(buffer);
		buffer = NULL;
	}
	return buffer;
}

/* Up to 6.3: offsets, relative_base, num_syms, names ...; since 6.4 the offsets and the base
 * follow the token index. The base is a kernel address, so its top bits tell. */
static bool is_kernel_address(struct gn_memory *memory, uint64_t gpa)
{
	uint64_t value;

	return gn_memory_u64(memory, gpa, &value) && value >> 47 == 0x1ffff;
}

static int place_offsets(struct gn_memory *memory, struct gn_kallsyms_layout *layout)
{
	uint64_t size = align8(4ull * layout->n_symbols);
	uint64_t old_base = layout->names - 16, new_base;

	layout->offsets = align8(layout->token_index + 2 * TOKENS);
	new_base = layout->offsets + size;
	if (is_kernel_address(memory, old_base)) {
		layout->offsets = old_base - size;
		layout->relative_base = old_base;
	} else if (is_kernel_address(memory, new_base)) {
		layout->relative_base = new_base;
	} else {
		return -ENOENT;
	}
	return 0;
}

/* The token index is the first place after the table where it fits the table. */
static bool find_index(struct gn_memory *memory, uint64_t table, struct tokens *tokens,
                       uint64_t *index)
{
	for (uint64_t at = 256; at < TOKEN_TABLE_SIZE; at += 8) {
		uint64_t head;

		if (!gn_memory_u64(memory, table + at, &head))
			return false;
		if (head & 0xffff)
			continue; /* the first token begins at 0 */
		if ((head >> 16 & 0xffff) == 0 || (head >> 16 & 0xffff) > 64)
			continue;
		if (load_tokens(memory, table, table + at, tokens)) {
			*index = table + at;
			return true;
		}
	}
	return false;
}

/* The digits' tokens are numbers 48 to 57; counts back to where number 0 begins. */
static uint64_t table_start(struct gn_memory *memory, uint64_t gpa)
{
	char before[2048];
	size_t size = gpa < sizeof before ? gpa : sizeof before;
	unsigned ends = 0;

	while (size && !gn_memory_copy(memory, gpa - size, before, size))
		size /= 2;
	for (size_t back = 1; back <= size; back++) {
		if (before[size - back] != '\0')
			continue;
		if (++ends == '0' + 1)
			return gpa - back + 1;
	}
	return 0;
}

int gn_kallsyms_locate(struct gn_memory *memory, uint64_t gpa, struct gn_kallsyms_layout *layout)
{
	struct tokens *tokens = malloc(sizeof *tokens);
	struct gn_kallsyms_layout found = {.token_table = 0};
	uint8_t *before = NULL;
	uint64_t start = table_start(memory, gpa);
	size_t size, at;
	int err = -ENOENT;

	/* The table is aligned to 8, so its first token (number 0) may follow padding. */
	if (!tokens)
		return -ENOMEM;
	found.token_table = align8(start);
	for (unsigned i = 0; start && i < 2 && !before; i++) {
		found.token_table = i ? start & ~7ull : align8(start);
		if (!find_index(memory, found.token_table, tokens, &found.token_index))
			continue;
		before = copy_before(memory, found.token_table, &size);
		if (before && find_names(before, size, &at, &found.n_symbols)) {
			found.names = found.token_table - size + at;
			err = place_offsets(memory, &found);
		}
	}
	if (!err)
		*layout = found;
	free(before);
	free(tokens);
	return err;
}

/* ---- load -------------------------------------------------------------------------------- */

/* x86 keeps per-CPU symbols apart: offsets >= 0 are absolute, others count down from the base
 * (CONFIG_KALLSYMS_ABSOLUTE_PERCPU). */
static uint64_t address(enum gn_arch arch, uint64_t base, uint32_t offset)
{
	if (arch == GN_ARCH_ARM64)
		return base + offset;
	return (int32_t)offset >= 0 ? offset : base - 1 - (uint64_t)(int64_t)(int32_t)offset;
}

struct load {
	const struct tokens *tokens;
	const uint8_t *names;
	size_t names_size;
	const uint32_t *offsets;
	uint64_t base;
};

static int decode(const struct load *load, enum gn_arch arch, uint32_t n_symbols,
                  struct gn_symbols *symbols)
{
	struct cursor c = {load->names, load->names + load->names_size};
	char text[NAME_SIZE];
	unsigned n_found = 0;

	for (uint32_t i = 0; i < n_symbols; i++) {
		unsigned n_tokens, length;
		const uint8_t *name = next_name(&c, &n_tokens);
		int wanted;

		if (!name)
			return -EBADMSG;
		length = expand(load->tokens, name, n_tokens, text);
		wanted = length > 2 ? find_wanted(text + 1, length - 1) : -1;
		if (wanted < 0 || symbols->has[wanted])
			continue;
		symbols->va[wanted] = address(arch, load->base, load->offsets[i]);
		symbols->has[wanted] = true;
		n_found++;
	}
	return n_found ? 0 : -ENOENT;
}

/* The names' size is known only after decoding; they end before the token table. */
static size_t names_size(const struct gn_kallsyms_layout *layout)
{
	uint64_t most =
	        layout->token_table > layout->names ? layout->token_table - layout->names : 0;

	return most > GN_KALLSYMS_MAX_BYTES ? 0 : most;
}

int gn_kallsyms_load(struct gn_memory *memory, enum gn_arch arch,
                     const struct gn_kallsyms_layout *layout, struct gn_symbols *symbols)
{
	struct load load = {.names_size = names_size(layout)};
	struct tokens *tokens;
	uint8_t *bytes = NULL;
	uint32_t *offsets = NULL;
	int err = -EBADMSG;

	if (!layout->n_symbols || layout->n_symbols > GN_KALLSYMS_MAX_SYMBOLS || !load.names_size)
		return -EFBIG;
	tokens = malloc(sizeof *tokens);
	bytes = malloc(load.names_size);
	offsets = malloc(4 * (size_t)layout->n_symbols);
	if (!tokens || !bytes || !offsets)
		err = -ENOMEM;
	else if (load_tokens(memory, layout->token_table, layout->token_index, tokens) &&
	         gn_memory_copy(memory, layout->names, bytes, load.names_size) &&
	         gn_memory_copy(memory, layout->offsets, offsets, 4 * (size_t)layout->n_symbols) &&
	         gn_memory_u64(memory, layout->relative_base, &load.base)) {
		load.tokens = tokens;
		load.names = bytes;
		load.offsets = offsets;
		err = decode(&load, arch, layout->n_symbols, symbols);
	}
	free(tokens);
	free(bytes);
	free(offsets);
	return err;
}
