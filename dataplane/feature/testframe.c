/* testframe.c - see testframe.h. */
#include "dataplane/feature/testframe.h"

#include <netinet/in.h>
#include <string.h>

static uint8_t *put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
	return at + 2;
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
	return put16(put16(at, value >> 16), value & 0xffff);
}

static uint8_t *put_ethernet(const struct gn_testframe_spec *spec, uint8_t *at)
{
	static const uint8_t macs[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};

	memcpy(at, macs, sizeof(macs));
	at += sizeof(macs);
	if (spec->outer_vlan)
		at = put16(put16(at, spec->inner_vlan ? 0x88a8 : 0x8100), spec->outer_vlan);
	if (spec->inner_vlan)
		at = put16(put16(at, 0x8100), spec->inner_vlan);
	return put16(at, spec->ipv6 ? 0x86dd : 0x0800);
}

static uint8_t *put_ipv4(const struct gn_testframe_spec *spec, uint8_t protocol, uint32_t n,
                         uint8_t *at)
{
	at[0] = (uint8_t)(0x45 + spec->ip_options / 4);
	at[1] = 0;
	put16(at + 2, 20u + spec->ip_options + n);
	put16(at + 4, 1);
	put16(at + 6, spec->fragment);
	at[8] = 64;
	at[9] = protocol;
	put16(at + 10, 0);
	put32(at + 12, spec->source);
	put32(at + 16, spec->destination);
	memset(at + 20, 1, spec->ip_options);
	return at + 20 + spec->ip_options;
}

static uint8_t *put_ipv6(const struct gn_testframe_spec *spec, uint8_t protocol, uint32_t n,
                         uint8_t *at)
{
	put32(at, 6u << 28);
	put16(at + 4, 8u * spec->n_extensions + n);
	at[6] = spec->n_extensions ? IPPROTO_DSTOPTS : protocol;
	at[7] = 64;
	memset(at + 8, 0, 32);
	at[8] = at[24] = 0xfd;
	put32(at + 20, spec->source);
	put32(at + 36, spec->destination);
	at += 40;
	for (unsigned i = 0; i < spec->n_extensions; i++, at += 8) {
		memset(at, 0, 8);
		at[0] = i + 1u < spec->n_extensions ? IPPROTO_DSTOPTS : protocol;
		at[2] = 1; /* PadN of 4 */
		at[3] = 4;
	}
	return at;
}

static uint8_t *put_tcp(const struct gn_testframe_spec *spec, uint8_t *at)
{
	put32(at + 4, spec->sequence);
	put32(at + 8, spec->acknowledged);
	at[12] = (uint8_t)((5 + spec->tcp_options / 4) << 4);
	at[13] = spec->tcp_flags;
	put16(at + 14, 65535);
	put32(at + 16, 0);
	memset(at + 20, 1, spec->tcp_options);
	return at + 20 + spec->tcp_options;
}

static uint32_t l4_bytes(const struct gn_testframe_spec *spec, uint8_t protocol)
{
	return protocol == IPPROTO_TCP    ? 20u + spec->tcp_options
	       : protocol == IPPROTO_UDP  ? 8
	       : protocol == IPPROTO_SCTP ? 12
	                                  : 0;
}

uint32_t gn_testframe_build(const struct gn_testframe_spec *spec, uint8_t *frame)
{
	uint8_t protocol = spec->protocol ? spec->protocol : IPPROTO_TCP;
	uint32_t n = l4_bytes(spec, protocol) + spec->n_payload;
	uint8_t *at = put_ethernet(spec, frame);

	at = spec->ipv6 ? put_ipv6(spec, protocol, n, at) : put_ipv4(spec, protocol, n, at);
	if (l4_bytes(spec, protocol)) {
		put16(put16(at, spec->source_port), spec->destination_port);
		if (protocol == IPPROTO_TCP) {
			at = put_tcp(spec, at);
		} else if (protocol == IPPROTO_UDP) {
			put16(put16(at + 4, n), 0);
			at += 8;
		} else {
			memset(at + 4, 0, 8);
			at += 12;
		}
	}
	if (spec->n_payload)
		memcpy(at, spec->payload, spec->n_payload);
	return (uint32_t)(at - frame) + spec->n_payload;
}

struct gn_packet gn_testframe_parse(const uint8_t *frame, uint32_t n)
{
	struct gn_packet packet = {.data = frame, .length = n, .n_linear = (uint16_t)n};

	gn_packet_parse(&packet);
	return packet;
}
