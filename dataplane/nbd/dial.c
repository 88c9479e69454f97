/* dial.c - see dial.h. */
#include "dataplane/nbd/dial.h"

#include <string.h>

/* ---- problems -------------------------------------------------------------------- */

static void append(struct gn_nbd_dial *dial, const char *text, size_t size)
{
	size_t used = strlen(dial->problem);

	while (size-- && used + 1 < sizeof dial->problem) {
		char c = *text++;

		/* A server's words go into logs and terminals. */
		dial->problem[used++] = c >= ' ' && c <= '~' ? c : '?';
	}
	dial->problem[used] = '\0';
}

static enum gn_nbd_dial_step fail(struct gn_nbd_dial *dial, const char *text)
{
	append(dial, text, strlen(text));
	return GN_NBD_DIAL_FAILED;
}

/* ---- questions --------------------------------------------------------------------- */

static uint8_t *ask(struct gn_nbd_dial *dial, struct gn_nbd_out *out, uint32_t option,
                    uint32_t length)
{
	uint8_t *p = gn_nbd_put64(out->data + out->used, GN_NBD_OPTION_MAGIC);

	dial->option = option;
	dial->state = GN_NBD_DIAL_HEADER;
	out->used += GN_NBD_OPTION_SIZE + length;
	return gn_nbd_put32(gn_nbd_put32(p, option), length);
}

static void ask_go(struct gn_nbd_dial *dial, struct gn_nbd_out *out)
{
	uint32_t size = (uint32_t)strlen(dial->export);
	uint8_t *p = ask(dial, out, GN_NBD_OPT_GO, 4 + size + 4);

	memcpy(gn_nbd_put32(p, size), dial->export, size);
	gn_nbd_put16(gn_nbd_put16(p + 4 + size, 1), GN_NBD_INFO_BLOCK_SIZE);
}

static enum gn_nbd_dial_step take_greeting(struct gn_nbd_dial *dial, const uint8_t *data,
                                           struct gn_nbd_out *out)
{
	uint16_t flags = gn_nbd_get16(data + 16);

	if (gn_nbd_get64(data) != GN_NBD_INIT_MAGIC)
		return fail(dial, "what answers there does not speak NBD");
	if (gn_nbd_get64(data + 8) != GN_NBD_OPTION_MAGIC || !(flags & GN_NBD_FIXED_NEWSTYLE))
		return fail(dial, "the server knows only old forms of NBD");
	flags &= GN_NBD_FIXED_NEWSTYLE | GN_NBD_NO_ZEROES;
	gn_nbd_put32(out->data, flags);
	out->used = 4;
	ask(dial, out, dial->wants_tls ? GN_NBD_OPT_STARTTLS : GN_NBD_OPT_STRUCTURED_REPLY, 0);
	return GN_NBD_DIAL_MORE;
}

/* ---- answers ------------------------------------------------------------------------ */

static enum gn_nbd_dial_step take_header(struct gn_nbd_dial *dial, const uint8_t *data)
{
	if (gn_nbd_get64(data) != GN_NBD_REPLY_MAGIC || gn_nbd_get32(data + 8) != dial->option)
		return fail(dial, "the server's answer is garbled");
	dial->type = gn_nbd_get32(data + 12);
	dial->length = gn_nbd_get32(data + 16);
	if (dial->length > GN_NBD_DIAL_DATA_MAX || ++dial->n_replies > GN_NBD_DIAL_REPLIES_MAX)
		return fail(dial, "the server's answer does not end");
	dial->state = GN_NBD_DIAL_DATA;
	return GN_NBD_DIAL_MORE;
}

static enum gn_nbd_dial_step refused(struct gn_nbd_dial *dial, const uint8_t *data)
{
	append(dial, "the server refuses", 18);
	if (dial->type == GN_NBD_REP_ERR_UNKNOWN)
		append(dial, ": it has no such export", 23);
	else if (dial->type == GN_NBD_REP_ERR_TLS_REQD)
		append(dial, ": it wants TLS (nbds://)", 24);
	else if (dial->option == GN_NBD_OPT_STARTTLS)
		append(dial, " TLS", 4);
	if (dial->length) {
		append(dial, ": ", 2);
		append(dial, (const char *)data, dial->length);
	}
	return GN_NBD_DIAL_FAILED;
}

static bool is_power_of_two(uint32_t value)
{
	return value && !(value & (value - 1));
}

static enum gn_nbd_dial_step take_info(struct gn_nbd_dial *dial, const uint8_t *data)
{
	struct gn_nbd_dial_answer *answer = &dial->answer;
	uint16_t kind = dial->length >= 2 ? gn_nbd_get16(data) : UINT16_MAX;

	if (dial->length < 2 || (kind == GN_NBD_INFO_EXPORT && dial->length != 12) ||
	    (kind == GN_NBD_INFO_BLOCK_SIZE && dial->length != 14))
		return fail(dial, "the server's answer is garbled");
	dial->state = GN_NBD_DIAL_HEADER;
	if (kind == GN_NBD_INFO_EXPORT) {
		answer->size_bytes = gn_nbd_get64(data + 2);
		answer->flags = gn_nbd_get16(data + 10);
		dial->has_info = true;
	} else if (kind == GN_NBD_INFO_BLOCK_SIZE) {
		answer->min_block_bytes = gn_nbd_get32(data + 2);
		answer->preferred_block_bytes = gn_nbd_get32(data + 6);
		answer->max_block_bytes = gn_nbd_get32(data + 10);
		if (!is_power_of_two(answer->min_block_bytes) ||
		    !is_power_of_two(answer->preferred_block_bytes) ||
		    answer->max_block_bytes < answer->min_block_bytes)
			return fail(dial, "the server's block sizes make no sense");
	}
	return GN_NBD_DIAL_MORE;
}

static enum gn_nbd_dial_step finish(struct gn_nbd_dial *dial)
{
	if (!dial->has_info)
		return fail(dial, "the server does not tell the export's size");
	if (dial->answer.size_bytes > INT64_MAX || !(dial->answer.flags & GN_NBD_HAS_FLAGS))
		return fail(dial, "the server's description of the export makes no sense");
	return GN_NBD_DIAL_DONE;
}

static enum gn_nbd_dial_step take_data(struct gn_nbd_dial *dial, const uint8_t *data,
                                       struct gn_nbd_out *out)
{
	bool is_ack = dial->type == GN_NBD_REP_ACK;

	/* Those may fail, and the rest goes on. */
	if (dial->option == GN_NBD_OPT_STRUCTURED_REPLY &&
	    (is_ack || (dial->type & GN_NBD_REP_ERROR && dial->type != GN_NBD_REP_ERR_TLS_REQD))) {
		dial->answer.structured = is_ack;
		ask_go(dial, out);
		return GN_NBD_DIAL_MORE;
	}
	if (dial->type & GN_NBD_REP_ERROR)
		return refused(dial, data);
	if (dial->option == GN_NBD_OPT_GO && dial->type == GN_NBD_REP_INFO)
		return take_info(dial, data);
	if (!is_ack)
		return fail(dial, "the server's answer is garbled");
	return dial->option == GN_NBD_OPT_STARTTLS ? GN_NBD_DIAL_STARTTLS : finish(dial);
}

/* ---- states ---------------------------------------------------------------------------- */

void gn_nbd_dial_init(struct gn_nbd_dial *dial, const char *export, bool wants_tls)
{
	*dial = (struct gn_nbd_dial){
	        .export = export,
	        .wants_tls = wants_tls,
	        .answer = {.min_block_bytes = 1,
	                   .preferred_block_bytes = 1,
	                   .max_block_bytes = GN_NBD_PAYLOAD_MAX},
	};
}

size_t gn_nbd_dial_wants(const struct gn_nbd_dial *dial)
{
	switch (dial->state) {
	case GN_NBD_DIAL_GREETING:
		return GN_NBD_GREETING_SIZE;
	case GN_NBD_DIAL_HEADER:
		return GN_NBD_OPTION_REPLY_SIZE;
	case GN_NBD_DIAL_DATA:
		break;
	}
	return dial->length;
}

enum gn_nbd_dial_step gn_nbd_dial_take(struct gn_nbd_dial *dial, const uint8_t *data,
                                       struct gn_nbd_out *out)
{
	out->used = 0;
	switch (dial->state) {
	case GN_NBD_DIAL_GREETING:
		return take_greeting(dial, data, out);
	case GN_NBD_DIAL_HEADER:
		return take_header(dial, data);
	case GN_NBD_DIAL_DATA:
		break;
	}
	return take_data(dial, data, out);
}

void gn_nbd_dial_secured(struct gn_nbd_dial *dial, struct gn_nbd_out *out)
{
	out->used = 0;
	ask(dial, out, GN_NBD_OPT_STRUCTURED_REPLY, 0);
}
