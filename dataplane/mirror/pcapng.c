/* pcapng.c - see pcapng.h. Block layouts: draft-ietf-opsawg-pcapng sections 4.1 to 4.3; a reader
 * learns the byte order from the section header's magic number. */
#include "dataplane/mirror/pcapng.h"

#include <string.h>

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 6,
	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	LINKTYPE_ETHERNET = 1,
	OPTION_END = 0,
	OPTION_APPLICATION = 4, /* shb_userappl */
	OPTION_NAME = 2,        /* if_name */
	OPTION_RESOLUTION = 9,  /* if_tsresol */
	OPTION_FLAGS = 2,       /* epb_flags */
	FLAG_INBOUND = 1,
	FLAG_OUTBOUND = 2,
	NANOSECONDS = 9,        /* ten to the minus ninth */
	PACKET_TAIL_BYTES = 16, /* flags option, end of options, length */
};

static uint32_t padded(uint32_t n)
{
	return (n + 3) & ~3u;
}

static uint8_t *put16(uint8_t *at, uint16_t value)
{
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static uint8_t *put_option(uint8_t *at, uint16_t code, const void *value, uint32_t n)
{
	at = put16(put16(at, code), (uint16_t)n);
	memset(at, 0, padded(n));
	if (n)
		memcpy(at, value, n);
	return at + padded(n);
}

static uint32_t option_bytes(uint32_t n)
{
	return 4 + padded(n);
}

static uint32_t text_length(const char *text)
{
	return (uint32_t)strnlen(text, GN_PCAPNG_MAX_NAME);
}

size_t gn_pcapng_section(const char *application, uint8_t *buffer, size_t size)
{
	uint32_t n = text_length(application);
	uint32_t total = 28 + option_bytes(n) + option_bytes(0);
	uint8_t *at = buffer;

	if (total > size)
		return 0;
	at = put32(put32(put32(at, BLOCK_SECTION), total), BYTE_ORDER_MAGIC);
	at = put16(put16(at, 1), 0);                   /* version 1.0 */
	at = put32(put32(at, UINT32_MAX), UINT32_MAX); /* length of the section: not given */
	at = put_option(at, OPTION_APPLICATION, application, n);
	at = put_option(at, OPTION_END, NULL, 0);
	put32(at, total);
	return total;
}

size_t gn_pcapng_interface(const char *name, uint32_t snap_bytes, uint8_t *buffer, size_t size)
{
	static const uint8_t resolution = NANOSECONDS;
	uint32_t n = text_length(name);
	uint32_t total = 20 + option_bytes(n) + option_bytes(1) + option_bytes(0);
	uint8_t *at = buffer;

	if (total > size)
		return 0;
	at = put32(put32(at, BLOCK_INTERFACE), total);
	at = put16(put16(at, LINKTYPE_ETHERNET), 0);
	at = put32(at, snap_bytes);
	at = put_option(at, OPTION_NAME, name, n);
	at = put_option(at, OPTION_RESOLUTION, &resolution, 1);
	at = put_option(at, OPTION_END, NULL, 0);
	put32(at, total);
	return total;
}

size_t gn_pcapng_packet_size(uint32_t captured_bytes)
{
	return GN_PCAPNG_HEAD_BYTES + (size_t)padded(captured_bytes) + PACKET_TAIL_BYTES;
}

size_t gn_pcapng_packet_head(const struct gn_pcapng_packet *packet,
                             uint8_t out[GN_PCAPNG_HEAD_BYTES])
{
	uint8_t *at = out;

	at = put32(put32(at, BLOCK_PACKET),
	           (uint32_t)gn_pcapng_packet_size(packet->captured_bytes));
	at = put32(at, packet->interface);
	at = put32(put32(at, (uint32_t)(packet->wall_ns >> 32)), (uint32_t)packet->wall_ns);
	put32(put32(at, packet->captured_bytes), packet->original_bytes);
	return GN_PCAPNG_HEAD_BYTES;
}

size_t gn_pcapng_packet_tail(const struct gn_pcapng_packet *packet, uint8_t out[GN_PCAPNG_TAIL_MAX])
{
	uint32_t flags = packet->direction == GN_RX ? FLAG_INBOUND : FLAG_OUTBOUND;
	uint32_t padding = padded(packet->captured_bytes) - packet->captured_bytes;
	uint8_t *at = out + padding;

	memset(out, 0, padding);
	at = put_option(at, OPTION_FLAGS, &flags, sizeof(flags));
	at = put_option(at, OPTION_END, NULL, 0);
	put32(at, (uint32_t)gn_pcapng_packet_size(packet->captured_bytes));
	return padding + PACKET_TAIL_BYTES;
}
