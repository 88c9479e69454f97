/* packet.c - the one parser of frames in the dataplane. Every read is checked against
 * n_linear first; headers that would reach beyond it are treated as cut short. */
#include "dataplane/feature/packet.h"

#include <netinet/in.h>
#include <string.h>

enum {
	ETHERNET_BYTES = 14,
	TAG_BYTES = 4,
	MAX_TAGS = 2,
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	TCP_BYTES = 20,
	UDP_BYTES = 8,
	SCTP_BYTES = 12,
	TYPE_IPV4 = 0x0800,
	TYPE_IPV6 = 0x86dd,
	TYPE_VLAN = 0x8100,
	TYPE_QINQ = 0x88a8,
	TYPE_MIN = 0x0600, /* below: a length, IEEE 802.3 */
};

static inline uint16_t read16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void mark_malformed(struct gn_packet *packet)
{
	packet->flags |= GN_PACKET_MALFORMED;
}

/* 'end' is where the IP datagram ends, at most packet->length. */
static inline void set_payload(struct gn_packet *packet, uint32_t payload, uint32_t end)
{
	if (payload > end || payload > UINT16_MAX) {
		mark_malformed(packet);
		return;
	}
	end -= payload;
	packet->payload = (uint16_t)payload;
	packet->payload_bytes = (uint16_t)(end < UINT16_MAX ? end : UINT16_MAX);
	packet->source_port = read16(packet->data + packet->l4);
	packet->destination_port = read16(packet->data + packet->l4 + 2);
	packet->flags |= GN_PACKET_L4;
}

static inline void parse_udp(struct gn_packet *packet, uint32_t end)
{
	uint32_t length = read16(packet->data + packet->l4 + 4);

	if (length < UDP_BYTES ||
	    (length > end - packet->l4 && !(packet->flags & GN_PACKET_FRAGMENT))) {
		mark_malformed(packet);
		return;
	}
	if (length < end - packet->l4)
		end = packet->l4 + length;
	set_payload(packet, packet->l4 + UDP_BYTES, end);
}

static inline void parse_tcp(struct gn_packet *packet, uint32_t end)
{
	uint32_t header = (packet->data[packet->l4 + 12] >> 4) * 4u;

	if (header < TCP_BYTES)
		mark_malformed(packet);
	else
		set_payload(packet, packet->l4 + header, end);
}

static inline uint32_t l4_bytes(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return TCP_BYTES;
	case IPPROTO_UDP:
		return UDP_BYTES;
	case IPPROTO_SCTP:
		return SCTP_BYTES;
	default:
		return 0;
	}
}

static inline void parse_l4(struct gn_packet *packet, uint32_t end)
{
	uint32_t header = l4_bytes(packet->protocol);

	if (!header)
		return;
	if (packet->l4 + header > end || packet->l4 + header > packet->n_linear)
		mark_malformed(packet);
	else if (packet->protocol == IPPROTO_TCP)
		parse_tcp(packet, end);
	else if (packet->protocol == IPPROTO_UDP)
		parse_udp(packet, end);
	else
		set_payload(packet, packet->l4 + header, end);
}

/* The datagram's end; what claims to be longer than its frame is malformed. */
static inline uint32_t datagram_end(struct gn_packet *packet, uint32_t end)
{
	if (end <= packet->length)
		return end;
	mark_malformed(packet);
	return packet->length;
}

static inline void parse_ipv4(struct gn_packet *packet, uint32_t l3)
{
	const uint8_t *ip = packet->data + l3;
	uint32_t header, total;
	uint16_t fragment;

	if (l3 + IPV4_BYTES > packet->n_linear || ip[0] >> 4 != 4) {
		mark_malformed(packet);
		return;
	}
	header = (ip[0] & 15) * 4u;
	total = read16(ip + 2);
	if (header < IPV4_BYTES || total < header || l3 + header > packet->n_linear) {
		mark_malformed(packet);
		return;
	}
	fragment = read16(ip + 6);
	packet->flags |= GN_PACKET_IPV4;
	packet->protocol = ip[9];
	packet->l3 = (uint16_t)l3;
	memcpy(&packet->source.v4, ip + 12, 4);
	memcpy(&packet->destination.v4, ip + 16, 4);
	if (fragment & 0x3fff)
		packet->flags |= GN_PACKET_FRAGMENT;
	if (fragment & 0x1fff)
		return;
	packet->l4 = (uint16_t)(l3 + header);
	parse_l4(packet, datagram_end(packet, l3 + total));
}

/* Walks the extension headers from 'offset'. True when an upper-layer header follows, whose
 * place is then in packet->l4. RFC 8200 section 4; AH: RFC 4302. */
static bool skip_extensions(struct gn_packet *packet, uint32_t offset)
{
	for (unsigned i = 0; i <= GN_PACKET_MAX_EXTENSIONS; i++) {
		const uint8_t *header = packet->data + offset;
		uint8_t next = packet->protocol;
		uint32_t bytes;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT && next != IPPROTO_AH) {
			packet->l4 = (uint16_t)offset;
			return true;
		}
		if (offset + 8 > packet->n_linear)
			break;
		bytes = next == IPPROTO_FRAGMENT ? 8
		        : next == IPPROTO_AH     ? (header[1] + 2u) * 4
		                                 : (header[1] + 1u) * 8;
		packet->protocol = header[0];
		offset += bytes;
		if (next == IPPROTO_FRAGMENT && read16(header + 2) & 0xfff9) {
			packet->flags |= GN_PACKET_FRAGMENT;
			if (read16(header + 2) & 0xfff8)
				return false;
		}
		if (offset > packet->n_linear)
			break;
	}
	mark_malformed(packet);
	return false;
}

static void parse_ipv6(struct gn_packet *packet, uint32_t l3)
{
	const uint8_t *ip = packet->data + l3;
	uint32_t end;

	if (l3 + IPV6_BYTES > packet->n_linear || ip[0] >> 4 != 6) {
		mark_malformed(packet);
		return;
	}
	packet->flags |= GN_PACKET_IPV6;
	packet->protocol = ip[6];
	packet->l3 = (uint16_t)l3;
	memcpy(packet->source.v6, ip + 8, 16);
	memcpy(packet->destination.v6, ip + 24, 16);
	/* Zero stands for a jumbogram (RFC 2675), also in segmentation offload. */
	end = read16(ip + 4) ? l3 + IPV6_BYTES + read16(ip + 4) : packet->length;
	end = datagram_end(packet, end);
	if (skip_extensions(packet, l3 + IPV6_BYTES))
		parse_l4(packet, end);
}

/* Steps over VLAN tags; returns the offset behind the ethertype, 0 when cut short. */
static uint32_t skip_tags(struct gn_packet *packet, uint16_t *type)
{
	uint32_t offset = ETHERNET_BYTES;

	for (unsigned i = 0; i < MAX_TAGS && (*type == TYPE_VLAN || *type == TYPE_QINQ); i++) {
		if (offset + TAG_BYTES > packet->n_linear)
			return 0;
		if (i == 0)
			packet->vlan = read16(packet->data + offset) & 0xfff;
		packet->flags |= GN_PACKET_TAGGED;
		*type = read16(packet->data + offset + 2);
		offset += TAG_BYTES;
	}
	return offset;
}

static inline void clear(struct gn_packet *packet)
{
	if (packet->n_linear > packet->length)
		packet->n_linear = (uint16_t)packet->length;
	packet->flags = 0;
	packet->protocol = 0;
	packet->l3 = 0;
	packet->l4 = 0;
	packet->payload = 0;
	packet->payload_bytes = 0;
	packet->ethertype = 0;
	packet->vlan = 0;
	packet->source_port = 0;
	packet->destination_port = 0;
}

/* Nearly every packet: untagged, IPv4 without options, a whole TCP or UDP header, lengths that
 * agree. Then few checks suffice and every field is written once. The result is the same as
 * below; false: it is something else, nothing was written. */
static inline bool parse_plain(struct gn_packet *packet)
{
	enum { L4 = ETHERNET_BYTES + IPV4_BYTES };
	const uint8_t *data = packet->data;
	uint32_t total, header;

	if (packet->n_linear < L4 + TCP_BYTES || packet->n_linear > packet->length)
		return false;
	total = read16(data + 16);
	if (read16(data + 12) != TYPE_IPV4 || data[14] != 0x45 || read16(data + 20) & 0x3fff ||
	    total + ETHERNET_BYTES > packet->length)
		return false;
	if (data[23] == IPPROTO_UDP) {
		header = UDP_BYTES;
		if (read16(data + L4 + 4) + IPV4_BYTES != (int)total)
			return false;
	} else {
		header = (data[L4 + 12] >> 4) * 4u;
		if (data[23] != IPPROTO_TCP || header < TCP_BYTES)
			return false;
	}
	if (total < IPV4_BYTES + header)
		return false;
	packet->flags = GN_PACKET_IPV4 | GN_PACKET_L4;
	packet->protocol = data[23];
	packet->l3 = ETHERNET_BYTES;
	packet->l4 = L4;
	packet->payload = (uint16_t)(L4 + header);
	packet->payload_bytes = (uint16_t)(total - IPV4_BYTES - header);
	packet->ethertype = TYPE_IPV4;
	packet->vlan = 0;
	packet->source_port = read16(data + L4);
	packet->destination_port = read16(data + L4 + 2);
	memcpy(&packet->source.v4, data + 26, 4);
	memcpy(&packet->destination.v4, data + 30, 4);
	return true;
}

static void __attribute__((noinline)) parse_any(struct gn_packet *packet)
{
	uint32_t offset = ETHERNET_BYTES;
	uint16_t type;

	clear(packet);
	if (packet->n_linear < ETHERNET_BYTES) {
		mark_malformed(packet);
		return;
	}
	type = read16(packet->data + 12);
	if (type == TYPE_VLAN || type == TYPE_QINQ) {
		offset = skip_tags(packet, &type);
		if (!offset) {
			mark_malformed(packet);
			return;
		}
	}
	packet->ethertype = type >= TYPE_MIN ? type : 0;
	if (type == TYPE_IPV4)
		parse_ipv4(packet, offset);
	else if (type == TYPE_IPV6)
		parse_ipv6(packet, offset);
}

void gn_packet_parse(struct gn_packet *packet)
{
	if (!parse_plain(packet))
		parse_any(packet);
}

void gn_packet_parse_burst(struct gn_packet *const packets[], unsigned n)
{
	enum { AHEAD = 4 };

	for (unsigned i = 0; i < n; i++) {
		if (i + AHEAD < n)
			__builtin_prefetch(packets[i + AHEAD]->data);
		if (!parse_plain(packets[i]))
			parse_any(packets[i]);
	}
}

/* Finalizer of MurmurHash3, which spreads every input bit over the result. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccd;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53;
	return x ^ x >> 33;
}

uint32_t gn_packet_flow_hash(const struct gn_packet *packet)
{
	uint64_t a, b;

	if (packet->flags & GN_PACKET_IPV4) {
		a = packet->source.v4;
		b = packet->destination.v4;
	} else if (packet->flags & GN_PACKET_IPV6) {
		a = mix(packet->source.words[0]) ^ packet->source.words[1];
		b = mix(packet->destination.words[0]) ^ packet->destination.words[1];
	} else if (packet->n_linear >= 12) {
		a = read16(packet->data + 4) | (uint64_t)read16(packet->data + 2) << 16;
		b = read16(packet->data + 10) | (uint64_t)read16(packet->data + 8) << 16;
	} else {
		return 0;
	}
	/* Fragments of a datagram stay together: without ports. */
	if ((packet->flags & (GN_PACKET_L4 | GN_PACKET_FRAGMENT)) == GN_PACKET_L4) {
		a += (uint64_t)packet->source_port << 32;
		b += (uint64_t)packet->destination_port << 32;
	}
	return (uint32_t)mix((mix(a) + mix(b)) ^ packet->protocol);
}
