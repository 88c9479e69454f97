/* testframe.h - builds frames for tests and benchmarks from a few named fields. */
#ifndef GN_DATAPLANE_TESTFRAME_H
#define GN_DATAPLANE_TESTFRAME_H

#include <stdint.h>
#include "dataplane/feature/packet.h"

#define GN_TESTFRAME_MAX 9216

/* Unset fields are zero; what zero means is said. */
struct gn_testframe_spec {
	bool ipv6;
	uint8_t protocol;    /* 0: TCP */
	uint16_t outer_vlan; /* 0: none; QinQ when inner_vlan is set too */
	uint16_t inner_vlan;
	uint32_t source; /* host order; the last 32 bits of an IPv6 address */
	uint32_t destination;
	uint16_t source_port;
	uint16_t destination_port;
	uint16_t fragment;    /* IPv4: flags and offset as on the wire */
	uint8_t ip_options;   /* bytes of IPv4 options, a multiple of 4, at most 40 */
	uint8_t n_extensions; /* IPv6: that many destination-options headers */
	uint8_t tcp_options;  /* bytes, a multiple of 4, at most 40 */
	uint8_t tcp_flags;
	uint32_t sequence;
	uint32_t acknowledged;
	const void *payload;
	uint32_t n_payload;
};

/* Lengths and checksum-free headers as the fields say. Returns the frame's length,
 * without padding to the Ethernet minimum. */
uint32_t gn_testframe_build(const struct gn_testframe_spec *spec, uint8_t *frame);

/* A parsed packet over 'n' bytes. */
struct gn_packet gn_testframe_parse(const uint8_t *frame, uint32_t n);

#endif
