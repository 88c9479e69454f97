/* reply.c - see reply.h. */
#include "dataplane/nbd/reply.h"

#define ERROR_MAX 8192u /* bytes of an error chunk */

static void parse_simple(const uint8_t *data, struct gn_nbd_reply *out)
{
	out->kind = GN_NBD_REPLY_SIMPLE;
	out->size_bytes = GN_NBD_SIMPLE_SIZE;
	out->error = gn_nbd_get32(data + 4);
	out->cookie = gn_nbd_get64(data + 8);
	out->is_last = true;
}

static uint32_t fixed_size(uint16_t type)
{
	switch (type) {
	case GN_NBD_CHUNK_DATA:
		return 8;
	case GN_NBD_CHUNK_HOLE:
		return 12;
	default:
		return type & GN_NBD_CHUNK_IS_ERROR ? 6 : 0;
	}
}

static bool parse_payload(uint16_t type, uint32_t length, const uint8_t *payload,
                          struct gn_nbd_reply *out)
{
	switch (type) {
	case GN_NBD_CHUNK_NONE:
		out->kind = GN_NBD_REPLY_NONE;
		return !length && out->is_last;
	case GN_NBD_CHUNK_DATA:
		out->kind = GN_NBD_REPLY_DATA;
		out->offset_bytes = gn_nbd_get64(payload);
		out->data_bytes = length - 8;
		return length > 8;
	case GN_NBD_CHUNK_HOLE:
		out->kind = GN_NBD_REPLY_HOLE;
		out->offset_bytes = gn_nbd_get64(payload);
		out->data_bytes = gn_nbd_get32(payload + 8);
		return length == 12 && out->data_bytes;
	default:
		break;
	}
	if (!(type & GN_NBD_CHUNK_IS_ERROR))
		return false;
	out->kind = GN_NBD_REPLY_ERROR;
	out->error = gn_nbd_get32(payload);
	out->skip_bytes = length - 6;
	return out->error && length <= ERROR_MAX;
}

static void parse_chunk(const uint8_t *data, size_t size, struct gn_nbd_reply *out)
{
	uint16_t type = gn_nbd_get16(data + 6);
	uint32_t length = gn_nbd_get32(data + 16);
	uint32_t fixed = fixed_size(type);

	out->cookie = gn_nbd_get64(data + 8);
	out->is_last = gn_nbd_get16(data + 4) & GN_NBD_CHUNK_DONE;
	out->size_bytes = GN_NBD_STRUCTURED_SIZE + fixed;
	if (length < fixed)
		out->kind = GN_NBD_REPLY_GARBLED;
	else if (size >= out->size_bytes &&
	         !parse_payload(type, length, data + GN_NBD_STRUCTURED_SIZE, out))
		out->kind = GN_NBD_REPLY_GARBLED;
}

void gn_nbd_reply_parse(const uint8_t *data, size_t size, bool structured, struct gn_nbd_reply *out)
{
	uint32_t magic = size >= 4 ? gn_nbd_get32(data) : 0;

	*out = (struct gn_nbd_reply){.kind = GN_NBD_REPLY_MORE};
	if (size < 4)
		return;
	if (magic == GN_NBD_SIMPLE_MAGIC && size >= GN_NBD_SIMPLE_SIZE)
		parse_simple(data, out);
	else if (magic == GN_NBD_STRUCTURED_MAGIC && structured && size >= GN_NBD_STRUCTURED_SIZE)
		parse_chunk(data, size, out);
	else if (magic != GN_NBD_SIMPLE_MAGIC && (magic != GN_NBD_STRUCTURED_MAGIC || !structured))
		out->kind = GN_NBD_REPLY_GARBLED;
}
