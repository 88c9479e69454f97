/* manifest.c - see manifest.h. */
#include "firmware/update/manifest.h"

#include <stdbool.h>
#include <string.h>

/* The text that is left. */
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

/* Takes one word of letters, digits and 'more', of 1 to 'size' - 1 bytes. */
static bool take_word(struct reader *r, const char *more, char *out, size_t size)
{
	size_t n = 0;

	while (r->at + n < r->end && is_letter(r->at[n], more))
		n++;
	if (n == 0 || n >= size)
		return false;
	memcpy(out, r->at, n);
	out[n] = '\0';
	r->at += n;
	return true;
}

/* Takes a decimal number in its only form: no sign, no zeros before it. 'maximum' is at most
 * 2^60, so that no digit overflows. */
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

static bool take_digest(struct reader *r, uint8_t out[GN_MANIFEST_DIGEST])
{
	unsigned high, low;

	for (size_t i = 0; i < GN_MANIFEST_DIGEST; i++) {
		if (!take_digit(r, &high) || !take_digit(r, &low))
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool take_validity(struct reader *r, struct gn_manifest *m)
{
	const uint64_t maximum = 1ull << 40; /* the year 36812 */

	return take(r, "valid ") && take_number(r, maximum, &m->from_s) && take(r, " ") &&
	       take_number(r, maximum, &m->until_s) && m->from_s < m->until_s && take(r, "\n");
}

static bool take_image(struct reader *r, struct gn_manifest *m)
{
	return take(r, "image ") && take_number(r, GN_MANIFEST_IMAGE_MAX, &m->size) && m->size &&
	       take(r, " ") && take_digest(r, m->sha256) && take(r, "\n");
}

unsigned gn_manifest_parse(const char *text, size_t size, struct gn_manifest *out)
{
	struct reader r = {.at = text, .end = text + size};
	struct gn_manifest m = {0};
	uint64_t security = 0;

	if (size > GN_MANIFEST_MAX || !take(&r, "gnomon-update 1\n"))
		return 1;
	if (!take(&r, "board ") || !take_word(&r, ",.-", m.board, sizeof m.board) ||
	    !take(&r, "\n"))
		return 2;
	if (!take(&r, "version ") || !take_word(&r, ".+~-", m.version, sizeof m.version) ||
	    !take(&r, "\n"))
		return 3;
	if (!take(&r, "security ") || !take_number(&r, UINT32_MAX, &security) || !take(&r, "\n"))
		return 4;
	m.security = (uint32_t)security;
	if (!take_validity(&r, &m))
		return 5;
	if (!take_image(&r, &m))
		return 6;
	if (r.at != r.end)
		return 7;
	*out = m;
	return 0;
}

enum gn_update_verdict gn_update_judge(const struct gn_manifest *manifest,
                                       const struct gn_update_card *card)
{
	if (strcmp(manifest->board, card->board) != 0)
		return GN_UPDATE_WRONG_BOARD;
	if (manifest->security < card->security)
		return GN_UPDATE_GOES_BACK;
	if (card->now_s < manifest->from_s)
		return GN_UPDATE_TOO_EARLY;
	if (card->now_s >= manifest->until_s)
		return GN_UPDATE_EXPIRED;
	return manifest->size > card->slot_bytes ? GN_UPDATE_TOO_LARGE : GN_UPDATE_TAKE;
}

#define X(name, text) text,
static const char *const verdict_texts[] = {GN_UPDATE_VERDICTS(X)};
#undef X

const char *gn_update_verdict_text(enum gn_update_verdict verdict)
{
	return verdict_texts[verdict];
}
