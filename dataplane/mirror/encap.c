/* encap.c - see encap.h. What is the same for every frame is laid out once; per frame only
 * lengths, checksum, sequence and the flow's entropy are filled in. */
#include "dataplane/mirror/encap.h"

#include <errno.h>
#include <string.h>

enum {
	IP = 14, /* offsets in the header */
	L4 = 34,
	ERSPAN = 42, /* behind GRE with its sequence number */
	VXLAN = 42,
	IP_BYTES = 20,
	UDP_BYTES = 8,
	TTL = 64,
	DONT_FRAGMENT = 0x4000,
	PROTOCOL_GRE = 47,
	PROTOCOL_UDP = 17,
	GRE_SEQUENCE = 0x1000,
	GRE_ERSPAN_II = 0x88be,
	FIRST_DYNAMIC_PORT = 49152, /* RFC 6335; VXLAN's source, RFC 7348 section 5 */
};

_Static_assert(VXLAN + 8 == GN_ENCAP_BYTES && ERSPAN + 8 == GN_ENCAP_BYTES, "both are alike");

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

static bool is_unicast_mac(const uint8_t mac[6])
{
	static const uint8_t unset[6];

	return !(mac[0] & 1) && memcmp(mac, unset, sizeof(unset)) != 0;
}

/* Neither this-network (0/8), loopback, multicast nor reserved. */
static bool is_unicast_ip(uint32_t ip)
{
	uint8_t first;

	memcpy(&first, &ip, 1);
	return first != 0 && first != 127 && first < 224;
}

static int check(const struct gn_encap_config *config)
{
	uint32_t limit;

	if (config->kind == GN_ENCAP_ERSPAN)
		limit = GN_ENCAP_MAX_SESSION;
	else if (config->kind == GN_ENCAP_VXLAN)
		limit = GN_ENCAP_MAX_NETWORK;
	else
		return -EINVAL;
	if (!is_unicast_mac(config->local_mac) || !is_unicast_mac(config->collector_mac) ||
	    !is_unicast_ip(config->local_ip) || !is_unicast_ip(config->collector_ip))
		return -EINVAL;
	return config->session_id <= limit ? 0 : -ERANGE;
}

static uint32_t sum16(const uint8_t *at, unsigned bytes)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < bytes; i += 2)
		sum += (uint32_t)(at[i] << 8 | at[i + 1]);
	return sum;
}

int gn_encap_init(struct gn_encap *encap, const struct gn_encap_config *config)
{
	uint8_t *header = encap->header;
	int error = check(config);

	if (error)
		return error;
	memset(encap, 0, sizeof(*encap));
	encap->kind = config->kind;
	memcpy(header, config->collector_mac, 6);
	memcpy(header + 6, config->local_mac, 6);
	put16(header + 12, 0x0800);
	header[IP] = 0x45;
	put16(header + IP + 6, DONT_FRAGMENT); /* so the identification may stay 0: RFC 6864 */
	header[IP + 8] = TTL;
	header[IP + 9] = config->kind == GN_ENCAP_ERSPAN ? PROTOCOL_GRE : PROTOCOL_UDP;
	memcpy(header + IP + 12, &config->local_ip, 4);
	memcpy(header + IP + 16, &config->collector_ip, 4);
	encap->checksum = sum16(header + IP, IP_BYTES);
	if (config->kind == GN_ENCAP_ERSPAN) {
		put16(header + L4, GRE_SEQUENCE);
		put16(header + L4 + 2, GRE_ERSPAN_II);
		put16(header + ERSPAN + 2, config->session_id);
	} else {
		put16(header + L4 + 2, GN_ENCAP_VXLAN_PORT);
		header[VXLAN] = 0x08; /* the network id is valid */
		put32(header + VXLAN + 4, config->session_id << 8);
	}
	return 0;
}

static void put_ip_length(const struct gn_encap *encap, uint32_t length, uint8_t *out)
{
	uint32_t sum = encap->checksum + length;

	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	put16(out + IP + 2, length);
	put16(out + IP + 10, ~sum & 0xffff);
}

/* Version 1 (type II), the frame's VLAN and class of service; then whether the tag is still in
 * the frame (it always is, if there was one), truncation, session; then the direction as
 * index, since that field is the platform's own. */
static void put_erspan(struct gn_encap *encap, const struct gn_packet *packet, bool truncated,
                       enum gn_direction direction, uint8_t *out)
{
	enum { VERSION = 1, TAG_PRESERVED = 3 };
	bool tagged = packet->flags & GN_PACKET_TAGGED;
	uint32_t class_of_service = tagged ? packet->data[14] >> 5 : 0;
	uint32_t session = (uint32_t)(out[ERSPAN + 2] << 8 | out[ERSPAN + 3]);

	put32(out + L4 + 4, encap->sequence++);
	put16(out + ERSPAN, VERSION << 12 | (packet->vlan & 0xfffu));
	put16(out + ERSPAN + 2, class_of_service << 13 | (tagged ? TAG_PRESERVED : 0u) << 11 |
	                                (uint32_t)truncated << 10 | session);
	put32(out + ERSPAN + 4, direction == GN_TX);
}

/* The checksum stays zero: RFC 7348 section 5. */
static void put_udp(const struct gn_packet *packet, uint32_t length, uint8_t *out)
{
	uint32_t hash = gn_packet_flow_hash(packet);

	put16(out + L4, FIRST_DYNAMIC_PORT | (hash & (UINT16_MAX - FIRST_DYNAMIC_PORT)));
	put16(out + L4 + 4, length);
}

int gn_encap_write(struct gn_encap *encap, const struct gn_packet *packet, uint32_t frame_bytes,
                   enum gn_direction direction, uint8_t out[GN_ENCAP_BYTES])
{
	if (frame_bytes > GN_ENCAP_MAX_FRAME)
		return -EMSGSIZE;
	memcpy(out, encap->header, GN_ENCAP_BYTES);
	put_ip_length(encap, GN_ENCAP_BYTES - IP + frame_bytes, out);
	if (encap->kind == GN_ENCAP_ERSPAN)
		put_erspan(encap, packet, frame_bytes < packet->length, direction, out);
	else
		put_udp(packet, GN_ENCAP_BYTES - L4 + frame_bytes, out);
	return 0;
}
