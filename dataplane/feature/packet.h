/* packet.h - one frame and where its headers are. Parsed once per frame; features, mirror
 * filters, the mirror's encapsulation and the switch all read the result.
 *
 * Pure: bytes in, offsets out; no DPDK, no allocation. Reads nothing beyond 'n_linear',
 * whatever the headers claim. Understood: Ethernet II, up to two VLAN tags (802.1Q,
 * 802.1ad), IPv4 with options, IPv6 with up to GN_PACKET_MAX_EXTENSIONS extension
 * headers, fragments, TCP, UDP, SCTP. LLC frames have ethertype 0.
 *
 * Owner: lcore. Fits one cache line, so it can live in an mbuf's private area. */
#ifndef GN_DATAPLANE_PACKET_H
#define GN_DATAPLANE_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#define GN_PACKET_MAX_EXTENSIONS 8

/* As the VM sees it. */
enum gn_direction { GN_RX, GN_TX };

enum {
	GN_PACKET_IPV4 = 1 << 0, /* 'source.v4', 'destination.v4' and 'protocol' are valid */
	GN_PACKET_IPV6 = 1 << 1, /* 'source.v6', 'destination.v6' and 'protocol' are valid */
	GN_PACKET_L4 = 1 << 2,   /* TCP, UDP or SCTP, header complete: ports and 'payload' valid */
	GN_PACKET_FRAGMENT = 1 << 3,  /* of an IP datagram; only the first one may have L4 */
	GN_PACKET_MALFORMED = 1 << 4, /* cut short, or lengths that contradict each other */
	GN_PACKET_TAGGED = 1 << 5,    /* carries at least one VLAN tag */
};

/* IPv4: 'v4' in network order, the rest undefined. */
union gn_packet_address {
	uint32_t v4;
	uint8_t v6[16];
	uint64_t words[2];
};

struct gn_packet {
	/* Set by the caller before gn_packet_parse(). */
	const uint8_t *data; /* first byte of the Ethernet header */
	uint32_t length;     /* of the whole frame, without FCS */
	uint16_t n_linear;   /* bytes readable at 'data' (first segment); <= length */
	/* Set by gn_packet_parse(). Offsets count from 'data'. */
	uint8_t flags;          /* GN_PACKET_* */
	uint8_t protocol;       /* of IP: IPPROTO_*; after extension headers */
	uint16_t l3;            /* 0: none */
	uint16_t l4;            /* 0: none, or a fragment that is not the first */
	uint16_t payload;       /* of TCP, UDP, SCTP */
	uint16_t payload_bytes; /* by the IP header, at most what the frame has; may reach
	                         * beyond n_linear */
	uint16_t ethertype;     /* host order, behind the tags */
	uint16_t vlan;        /* outer tag's id, 0: untagged or priority tag. The caller may put an
	                       * access port's VLAN here after parsing. */
	uint16_t source_port; /* host order */
	uint16_t destination_port;
	union gn_packet_address source;
	union gn_packet_address destination;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct gn_packet) == 64, "a packet fills one cache line");

/* Fills everything from 'flags' on. Never fails: what is not there is flagged. */
void gn_packet_parse(struct gn_packet *packet);
void gn_packet_parse_burst(struct gn_packet *const packets[], unsigned n);

/* Payload bytes that may be read at data + payload. */
static inline uint32_t gn_packet_linear_payload(const struct gn_packet *packet)
{
	uint32_t linear = packet->n_linear > packet->payload
	                          ? (uint32_t)packet->n_linear - packet->payload
	                          : 0;

	return linear < packet->payload_bytes ? linear : packet->payload_bytes;
}

/* The same for both directions of a conversation: for flow entropy, ECMP and the like.
 * Not keyed, so not for tables that a guest could flood. */
uint32_t gn_packet_flow_hash(const struct gn_packet *packet);

#endif
