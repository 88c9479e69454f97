/* manifest.c - see manifest.h. */
#include "firmware/update/manifest.h"

#include <stdbool.h>
#include <string.h>

const char *const gn_manifest_part_names[GN_MANIFEST_PARTS] = {"Image", "initramfs.zst"};

/* The text that is left, and the line it is at. */
struct reader {
	const char *at, *end;
};

/* Takes exactly 'word'. */
static bool take(struct reader *r, const char *word)
{
	size_t size = strlen(word);

	if ((size_t)(r->end - r->at) < size || memcmp(r->at, word, size) != 0)
		return false;
	r->at += size;
	return true;
}

static bool is_letter(char c, const char *more)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       (c && memchr(more, c, strlen(more)) != NULL);
}

/* Takes one word of letters, digits and 'more'; at least one, and they fit. */
static bool take_word(struct reader *r, const char *more, char out[GN_MANIFEST_WORD])
{
	size_t n = 0;

	while (r->at + n < r->end && is_letter(r->at[n], more))
		n++;
	if (n == 0 || n >= GN_MANIFEST_WORD)
		return false;
	memcpy(out, r->at, n);
	out[n] = '\0';
	r->at += n;
	return true;
}

/* Takes a decimal number in its only form: no sign, no zeros before it. */
static bool take_number(struct reader *r, uint64_t maximum, uint64_t *out)
{
	const char *from = r->at;
	uint64_t value = 0;

	for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
		value = value * 10 + (uint64_t)(*r->at - '0');
		if (value > maximum)
			return false;
	}
	if (r->at == from || (*from == '0' && r->at - from > 1))
		return false;
	*out = value;
	return true;
}

static bool take_digit(struct reader *r, unsigned *out)
{
	char c;

	if (r->at == r->end)
		return false;
	c = *r->at++;
	*out = c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool take_digest(struct reader *r, uint8_t out[32])
{
	unsigned high, low;

	for (size_t i = 0; i < 32; i++) {
		if (!take_digit(r, &high) || !take_digit(r, &low))
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool take_part(struct reader *r, const char *name, struct gn_manifest_part *part)
{
	return take(r, "part ") && take(r, name) && take(r, " ") &&
	       take_number(r, GN_MANIFEST_PART_MAX, &part->size) && part->size && take(r, " ") &&
	       take_digest(r, part->sha256) && take(r, "\n");
}

unsigned gn_manifest_parse(const char *text, size_t size, struct gn_manifest *out)
{
	struct reader r = {.at = text, .end = text + size};
	struct gn_manifest m = {0};
	uint64_t security = 0;

	if (size > GN_MANIFEST_MAX || !take(&r, "gnomon-update 1\n"))
		return 1;
	if (!take(&r, "compatible ") || !take_word(&r, ",.-", m.compatible) || !take(&r, "\n"))
		return 2;
	if (!take(&r, "version ") || !take_word(&r, ",.+~-", m.version) || !take(&r, "\n"))
		return 3;
	if (!take(&r, "security ") || !take_number(&r, UINT32_MAX, &security) || !take(&r, "\n"))
		return 4;
	m.security = (uint32_t)security;
	for (unsigned i = 0; i < GN_MANIFEST_PARTS; i++)
		if (!take_part(&r, gn_manifest_part_names[i], &m.parts[i]))
			return 5 + i;
	if (r.at != r.end)
		return 5 + GN_MANIFEST_PARTS;
	*out = m;
	return 0;
}

enum gn_update_verdict gn_update_judge(const struct gn_manifest *manifest,
                                       const struct gn_update_card *card)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < GN_MANIFEST_PARTS; i++)
		size += manifest->parts[i].size;
	if (strcmp(manifest->compatible, card->compatible) != 0)
		return GN_UPDATE_WRONG_BOARD;
	if (manifest->security < card->security)
		return GN_UPDATE_GOES_BACK;
	return size > card->slot_bytes ? GN_UPDATE_TOO_LARGE : GN_UPDATE_TAKE;
}

#define X(name, text) text,
static const char *const verdict_texts[] = {GN_UPDATE_VERDICTS(X)};
#undef X

const char *gn_update_verdict_text(enum gn_update_verdict verdict)
{
	return verdict_texts[verdict];
}
