/* handshake.c - see handshake.h. */
#include "dataplane/nbd/handshake.h"

#include <string.h>

#define SKIP_PIECE GN_NBD_OPTION_MAX

/* ---- output ------------------------------------------------------------------ */

static void put_reply(const struct gn_nbd_handshake *handshake, struct gn_nbd_out *out,
                      uint32_t type, const void *data, uint32_t size)
{
	uint8_t *p = out->data + out->used;

	p = gn_nbd_put32(gn_nbd_put64(p, GN_NBD_REPLY_MAGIC), handshake->option);
	p = gn_nbd_put32(gn_nbd_put32(p, type), size);
	if (size)
		memcpy(p, data, size);
	out->used += GN_NBD_OPTION_REPLY_SIZE + size;
}

static enum gn_nbd_step refuse(const struct gn_nbd_handshake *handshake, struct gn_nbd_out *out,
                               uint32_t type, const char *why)
{
	put_reply(handshake, out, type, why, (uint32_t)strlen(why));
	return GN_NBD_STEP_MORE;
}

static enum gn_nbd_step acknowledge(const struct gn_nbd_handshake *handshake,
                                    struct gn_nbd_out *out)
{
	put_reply(handshake, out, GN_NBD_REP_ACK, NULL, 0);
	return GN_NBD_STEP_MORE;
}

static uint16_t flags_of(const struct gn_nbd_handshake *handshake, const struct gn_nbd_offer *offer)
{
	return (uint16_t)(offer->flags | (handshake->structured ? GN_NBD_SEND_DF : 0));
}

/* ---- the option's data --------------------------------------------------------- */

struct reader {
	const uint8_t *at;
	uint32_t left;
	bool failed;
};

static uint32_t take_number(struct reader *reader, uint32_t size)
{
	uint32_t value;

	if (reader->left < size) {
		reader->failed = true;
		return 0;
	}
	value = size == 4 ? gn_nbd_get32(reader->at) : gn_nbd_get16(reader->at);
	reader->at += size;
	reader->left -= size;
	return value;
}

/* A string with its length in front; NULL: it is longer than what is left. */
static const uint8_t *take_string(struct reader *reader, uint32_t *size)
{
	const uint8_t *text;

	*size = take_number(reader, 4);
	text = reader->at;
	if (reader->failed || *size > reader->left) {
		reader->failed = true;
		return NULL;
	}
	reader->at += *size;
	reader->left -= *size;
	return text;
}

static bool equals(const uint8_t *text, uint32_t size, const char *word)
{
	return strlen(word) == size && memcmp(text, word, size) == 0;
}

/* The export of that name; the empty name is the only one's there is. n_offers: none. */
static unsigned find(const struct gn_nbd_offer *offers, unsigned n_offers, const uint8_t *name,
                     uint32_t size)
{
	unsigned i;

	if (!size && n_offers == 1)
		return 0;
	for (i = 0; i < n_offers; i++)
		if (equals(name, size, offers[i].name))
			break;
	return i;
}

/* ---- options ------------------------------------------------------------------- */

static enum gn_nbd_step do_export_name(struct gn_nbd_handshake *handshake,
                                       const struct gn_nbd_offer *offers, unsigned n_offers,
                                       const uint8_t *data, struct gn_nbd_out *out)
{
	unsigned i = find(offers, n_offers, data, handshake->length);
	uint8_t *p = out->data;

	if (i == n_offers || offers[i].refusal)
		return GN_NBD_STEP_CLOSE; /* the protocol has no way to say why */
	p = gn_nbd_put16(gn_nbd_put64(p, offers[i].size_bytes), flags_of(handshake, &offers[i]));
	if (!handshake->no_zeroes) {
		memset(p, 0, 124);
		p += 124;
	}
	out->used = (size_t)(p - out->data);
	handshake->chosen = i;
	handshake->allocation = handshake->allocation && handshake->meta_offer == i;
	return GN_NBD_STEP_GO;
}

static enum gn_nbd_step do_list(const struct gn_nbd_handshake *handshake,
                                const struct gn_nbd_offer *offers, unsigned n_offers,
                                struct gn_nbd_out *out)
{
	uint8_t entry[4 + GN_NBD_NAME_MAX];

	if (handshake->length)
		return refuse(handshake, out, GN_NBD_REP_ERR_INVALID, "LIST takes no data");
	for (unsigned i = 0; i < n_offers; i++) {
		uint32_t size = (uint32_t)strlen(offers[i].name);

		if (offers[i].refusal || size > GN_NBD_NAME_MAX)
			continue;
		memcpy(gn_nbd_put32(entry, size), offers[i].name, size);
		put_reply(handshake, out, GN_NBD_REP_SERVER, entry, 4 + size);
	}
	return acknowledge(handshake, out);
}

static void put_info(const struct gn_nbd_handshake *handshake, const struct gn_nbd_offer *offer,
                     bool with_name, struct gn_nbd_out *out)
{
	uint8_t info[2 + GN_NBD_NAME_MAX], *p;
	size_t size = strlen(offer->name);

	p = gn_nbd_put64(gn_nbd_put16(info, GN_NBD_INFO_EXPORT), offer->size_bytes);
	p = gn_nbd_put16(p, flags_of(handshake, offer));
	put_reply(handshake, out, GN_NBD_REP_INFO, info, (uint32_t)(p - info));
	p = gn_nbd_put32(gn_nbd_put16(info, GN_NBD_INFO_BLOCK_SIZE), offer->min_block_bytes);
	p = gn_nbd_put32(gn_nbd_put32(p, offer->preferred_block_bytes), offer->max_block_bytes);
	put_reply(handshake, out, GN_NBD_REP_INFO, info, (uint32_t)(p - info));
	if (!with_name || size > GN_NBD_NAME_MAX)
		return;
	memcpy(gn_nbd_put16(info, GN_NBD_INFO_NAME), offer->name, size);
	put_reply(handshake, out, GN_NBD_REP_INFO, info, (uint32_t)(2 + size));
}

/* INFO and GO. */
static enum gn_nbd_step do_info(struct gn_nbd_handshake *handshake,
                                const struct gn_nbd_offer *offers, unsigned n_offers,
                                const uint8_t *data, struct gn_nbd_out *out)
{
	struct reader reader = {data, handshake->length, false};
	uint32_t size, n_infos;
	const uint8_t *name = take_string(&reader, &size);
	bool with_name = false;
	unsigned i;

	n_infos = take_number(&reader, 2);
	if (reader.failed || reader.left != n_infos * 2)
		return refuse(handshake, out, GN_NBD_REP_ERR_INVALID, "malformed INFO or GO");
	while (n_infos--)
		with_name |= take_number(&reader, 2) == GN_NBD_INFO_NAME;
	i = find(offers, n_offers, name, size);
	if (i == n_offers)
		return refuse(handshake, out, GN_NBD_REP_ERR_UNKNOWN,
		              "there is no export of that name here");
	if (offers[i].refusal)
		return refuse(handshake, out, GN_NBD_REP_ERR_POLICY, offers[i].refusal);
	put_info(handshake, &offers[i], with_name, out);
	acknowledge(handshake, out);
	if (handshake->option == GN_NBD_OPT_INFO)
		return GN_NBD_STEP_MORE;
	handshake->chosen = i;
	handshake->allocation = handshake->allocation && handshake->meta_offer == i;
	return GN_NBD_STEP_GO;
}

/* Whether the query selects our one context. A list's may be the bare namespace. */
static bool selects(const uint8_t *query, uint32_t size, bool lists)
{
	return equals(query, size, GN_NBD_ALLOCATION) || (lists && equals(query, size, "base:"));
}

static enum gn_nbd_step do_meta(struct gn_nbd_handshake *handshake,
                                const struct gn_nbd_offer *offers, unsigned n_offers,
                                const uint8_t *data, struct gn_nbd_out *out)
{
	bool lists = handshake->option == GN_NBD_OPT_LIST_META_CONTEXT;
	struct reader reader = {data, handshake->length, false};
	uint32_t size, n_queries;
	const uint8_t *name = take_string(&reader, &size);
	uint8_t context[4 + sizeof GN_NBD_ALLOCATION];
	bool selected;
	unsigned i;

	n_queries = take_number(&reader, 4);
	selected = lists && !n_queries;
	for (uint32_t q = 0; q < n_queries && !reader.failed; q++) {
		uint32_t n;
		const uint8_t *query = take_string(&reader, &n);

		selected |= query && selects(query, n, lists);
	}
	if (!lists)
		handshake->allocation = false;
	if (!handshake->structured || reader.failed || reader.left)
		return refuse(handshake, out, GN_NBD_REP_ERR_INVALID,
		              handshake->structured ? "malformed query"
		                                    : "negotiate structured replies first");
	i = find(offers, n_offers, name, size);
	if (i == n_offers || offers[i].refusal)
		return refuse(handshake, out, GN_NBD_REP_ERR_UNKNOWN,
		              "there is no export of that name here");
	if (selected) {
		memcpy(gn_nbd_put32(context, lists ? 0 : GN_NBD_CONTEXT_ID), GN_NBD_ALLOCATION,
		       sizeof GN_NBD_ALLOCATION - 1);
		put_reply(handshake, out, GN_NBD_REP_META_CONTEXT, context,
		          4 + sizeof GN_NBD_ALLOCATION - 1);
		handshake->meta_offer = i;
		handshake->allocation |= !lists;
	}
	return acknowledge(handshake, out);
}

static enum gn_nbd_step do_starttls(struct gn_nbd_handshake *handshake, struct gn_nbd_out *out)
{
	if (handshake->tls_active || handshake->length)
		return refuse(handshake, out, GN_NBD_REP_ERR_INVALID,
		              handshake->length ? "STARTTLS takes no data" : "TLS is up already");
	if (!handshake->tls_required)
		return refuse(handshake, out, GN_NBD_REP_ERR_POLICY,
		              "this listener has no TLS; connect without");
	acknowledge(handshake, out);
	return GN_NBD_STEP_STARTTLS;
}

static enum gn_nbd_step do_option(struct gn_nbd_handshake *handshake,
                                  const struct gn_nbd_offer *offers, unsigned n_offers,
                                  const uint8_t *data, struct gn_nbd_out *out)
{
	switch (handshake->option) {
	case GN_NBD_OPT_ABORT:
		acknowledge(handshake, out);
		return GN_NBD_STEP_CLOSE;
	case GN_NBD_OPT_STARTTLS:
		return do_starttls(handshake, out);
	default:
		break;
	}
	if (handshake->tls_required && !handshake->tls_active)
		return handshake->option == GN_NBD_OPT_EXPORT_NAME
		               ? GN_NBD_STEP_CLOSE
		               : refuse(handshake, out, GN_NBD_REP_ERR_TLS_REQD,
		                        "this listener wants TLS first");
	switch (handshake->option) {
	case GN_NBD_OPT_EXPORT_NAME:
		return do_export_name(handshake, offers, n_offers, data, out);
	case GN_NBD_OPT_LIST:
		return do_list(handshake, offers, n_offers, out);
	case GN_NBD_OPT_INFO:
	case GN_NBD_OPT_GO:
		return do_info(handshake, offers, n_offers, data, out);
	case GN_NBD_OPT_STRUCTURED_REPLY:
		if (handshake->length)
			return refuse(handshake, out, GN_NBD_REP_ERR_INVALID,
			              "STRUCTURED_REPLY takes no data");
		handshake->structured = true;
		return acknowledge(handshake, out);
	case GN_NBD_OPT_LIST_META_CONTEXT:
	case GN_NBD_OPT_SET_META_CONTEXT:
		return do_meta(handshake, offers, n_offers, data, out);
	default:
		return refuse(handshake, out, GN_NBD_REP_ERR_UNSUP, "unknown option");
	}
}

/* ---- states ---------------------------------------------------------------------- */

static enum gn_nbd_step take_flags(struct gn_nbd_handshake *handshake, const uint8_t *data)
{
	uint32_t flags = gn_nbd_get32(data);

	if (flags & ~(GN_NBD_FIXED_NEWSTYLE | GN_NBD_NO_ZEROES) || !(flags & GN_NBD_FIXED_NEWSTYLE))
		return GN_NBD_STEP_CLOSE;
	handshake->no_zeroes = flags & GN_NBD_NO_ZEROES;
	handshake->state = GN_NBD_HANDSHAKE_HEADER;
	return GN_NBD_STEP_MORE;
}

static enum gn_nbd_step take_header(struct gn_nbd_handshake *handshake, const uint8_t *data)
{
	if (gn_nbd_get64(data) != GN_NBD_OPTION_MAGIC ||
	    ++handshake->n_options > GN_NBD_OPTIONS_MAX)
		return GN_NBD_STEP_CLOSE;
	handshake->option = gn_nbd_get32(data + 8);
	handshake->length = gn_nbd_get32(data + 12);
	handshake->state = GN_NBD_HANDSHAKE_DATA;
	if (handshake->length <= GN_NBD_OPTION_MAX)
		return GN_NBD_STEP_MORE;
	if (handshake->length > GN_NBD_SKIP_MAX || handshake->option == GN_NBD_OPT_EXPORT_NAME)
		return GN_NBD_STEP_CLOSE;
	handshake->skip_left = handshake->length;
	handshake->state = GN_NBD_HANDSHAKE_SKIP;
	return GN_NBD_STEP_MORE;
}

static enum gn_nbd_step take_skipped(struct gn_nbd_handshake *handshake, struct gn_nbd_out *out)
{
	handshake->skip_left -= (uint32_t)gn_nbd_handshake_wants(handshake);
	if (handshake->skip_left)
		return GN_NBD_STEP_MORE;
	handshake->state = GN_NBD_HANDSHAKE_HEADER;
	return refuse(handshake, out, GN_NBD_REP_ERR_TOO_BIG, "the option's data is too long");
}

void gn_nbd_handshake_init(struct gn_nbd_handshake *handshake, bool tls_required,
                           struct gn_nbd_out *out)
{
	uint8_t *p = out->data;

	memset(handshake, 0, sizeof *handshake);
	handshake->tls_required = tls_required;
	p = gn_nbd_put64(gn_nbd_put64(p, GN_NBD_INIT_MAGIC), GN_NBD_OPTION_MAGIC);
	p = gn_nbd_put16(p, GN_NBD_FIXED_NEWSTYLE | GN_NBD_NO_ZEROES);
	out->used = (size_t)(p - out->data);
}

size_t gn_nbd_handshake_wants(const struct gn_nbd_handshake *handshake)
{
	switch (handshake->state) {
	case GN_NBD_HANDSHAKE_FLAGS:
		return 4;
	case GN_NBD_HANDSHAKE_HEADER:
		return GN_NBD_OPTION_SIZE;
	case GN_NBD_HANDSHAKE_DATA:
		return handshake->length;
	case GN_NBD_HANDSHAKE_SKIP:
		break;
	}
	return handshake->skip_left < SKIP_PIECE ? handshake->skip_left : SKIP_PIECE;
}

enum gn_nbd_step gn_nbd_handshake_take(struct gn_nbd_handshake *handshake,
                                       const struct gn_nbd_offer *offers, unsigned n_offers,
                                       const uint8_t *data, struct gn_nbd_out *out)
{
	out->used = 0;
	switch (handshake->state) {
	case GN_NBD_HANDSHAKE_FLAGS:
		return take_flags(handshake, data);
	case GN_NBD_HANDSHAKE_HEADER:
		return take_header(handshake, data);
	case GN_NBD_HANDSHAKE_DATA:
		handshake->state = GN_NBD_HANDSHAKE_HEADER;
		return do_option(handshake, offers, n_offers, data, out);
	case GN_NBD_HANDSHAKE_SKIP:
		break;
	}
	return take_skipped(handshake, out);
}

void gn_nbd_handshake_secured(struct gn_nbd_handshake *handshake)
{
	handshake->tls_active = true;
	handshake->structured = false;
	handshake->allocation = false;
}
