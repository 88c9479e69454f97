/* netframe.c - see netframe.h. */
#include "tests/frontend/netframe.h"

#include <string.h>

#define MAGIC        0x676e6f6du /* "gnom" */
#define ETH_SIZE     14
#define TAG_SIZE     4
#define IP_SIZE      20
#define UDP_SIZE     8
#define PAYLOAD_SIZE 16 /* magic, flow, sequence; then the filling */
#define ARP_SIZE     28
#define IP_PREFIX    0x0a670000u /* 10.103/16 */

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

void gn_netframe_mac(uint32_t station, uint8_t mac[6])
{
	mac[0] = 0x02;
	mac[1] = 0x67;
	mac[2] = 0x6e;
	mac[3] = 0;
	put16(mac + 4, (uint16_t)station);
}

/* RFC 1071. */
static uint32_t sum16(const uint8_t *p, uint32_t size, uint32_t sum)
{
	for (; size > 1; size -= 2, p += 2)
		sum += get16(p);
	return size ? sum + (uint32_t)(p[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Returns where the payload of the Ethernet header begins. */
static uint8_t *put_ethernet(uint8_t *p, const uint8_t to[6], uint32_t from, uint16_t vlan,
                             uint16_t type)
{
	memcpy(p, to, 6);
	gn_netframe_mac(from, p + 6);
	p += 12;
	if (vlan) {
		put16(p, 0x8100);
		put16(p + 2, vlan);
		p += TAG_SIZE;
	}
	put16(p, type);
	return p + 2;
}

static void put_ip(uint8_t *p, const struct gn_netframe *f, uint16_t size)
{
	memset(p, 0, IP_SIZE);
	p[0] = 0x45;
	put16(p + 2, size);
	put16(p + 4, (uint16_t)f->sequence);
	p[8] = 64;
	p[9] = 17;
	put32(p + 12, IP_PREFIX | (f->source & 0xffff));
	put32(p + 16, IP_PREFIX | (f->destination & 0xffff));
	put16(p + 10, fold(sum16(p, IP_SIZE, 0)));
}

static uint8_t filling(const struct gn_netframe *f, uint32_t at)
{
	return (uint8_t)(f->sequence * 31 + f->flow * 7 + at);
}

void gn_netframe_build(const struct gn_netframe *f, uint8_t *bytes)
{
	uint8_t to[6];
	uint8_t *ip;
	uint8_t *udp;
	uint16_t udp_size;
	uint16_t checksum;

	gn_netframe_mac(f->destination, to);
	ip = put_ethernet(bytes, to, f->source, f->vlan, 0x0800);
	udp = ip + IP_SIZE;
	udp_size = (uint16_t)(f->size_bytes - (udp - bytes));
	put_ip(ip, f, (uint16_t)(IP_SIZE + udp_size));
	put16(udp, (uint16_t)(10000 + f->flow % 50000));
	put16(udp + 2, 4789 + 1);
	put16(udp + 4, udp_size);
	put16(udp + 6, 0);
	put32(udp + 8, MAGIC);
	put32(udp + 12, f->flow);
	put32(udp + 16, (uint32_t)(f->sequence >> 32));
	put32(udp + 20, (uint32_t)f->sequence);
	for (uint32_t i = UDP_SIZE + PAYLOAD_SIZE; i < udp_size; i++)
		udp[i] = filling(f, i);
	checksum = fold(sum16(udp, udp_size, sum16(ip + 12, 8, 17u + udp_size)));
	put16(udp + 6, checksum ? checksum : 0xffff);
}

uint16_t gn_netframe_announce(uint32_t station, uint16_t vlan, uint8_t *bytes)
{
	static const uint8_t everyone[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint16_t size = vlan ? GN_NETFRAME_MIN + TAG_SIZE : GN_NETFRAME_MIN;
	uint8_t *arp;

	memset(bytes, 0, size);
	arp = put_ethernet(bytes, everyone, station, vlan, 0x0806);
	put16(arp, 1);
	put16(arp + 2, 0x0800);
	arp[4] = 6;
	arp[5] = 4;
	put16(arp + 6, 1);
	gn_netframe_mac(station, arp + 8);
	put32(arp + 14, IP_PREFIX | (station & 0xffff));
	put32(arp + 24, IP_PREFIX | (station & 0xffff));
	return size;
}

static enum gn_netframe_kind parse_announce(const uint8_t *arp, uint32_t size,
                                            struct gn_netframe *out)
{
	if (size < ARP_SIZE || get16(arp + 6) != 1 || (get32(arp + 14) & 0xffff0000) != IP_PREFIX ||
	    get32(arp + 14) != get32(arp + 24))
		return GN_NETFRAME_FOREIGN;
	out->source = get32(arp + 14) & 0xffff;
	return GN_NETFRAME_ANNOUNCE;
}

/* The frame that the headers claim to be is built again and compared. */
static enum gn_netframe_kind compare(const uint8_t *bytes, uint32_t size_bytes, uint32_t whole,
                                     bool cut, struct gn_netframe *out)
{
	uint8_t expected[GN_NETFRAME_MAX];

	if (whole < GN_NETFRAME_MIN || whole > GN_NETFRAME_MAX || size_bytes > whole ||
	    (size_bytes < whole && !cut))
		return GN_NETFRAME_CORRUPT;
	out->size_bytes = (uint16_t)whole;
	gn_netframe_build(out, expected);
	return memcmp(expected, bytes, size_bytes) ? GN_NETFRAME_CORRUPT : GN_NETFRAME_DATA;
}

enum gn_netframe_kind gn_netframe_parse(const uint8_t *bytes, uint32_t size_bytes, bool cut,
                                        struct gn_netframe *out)
{
	uint32_t at = ETH_SIZE;
	const uint8_t *ip;

	memset(out, 0, sizeof(*out));
	if (size_bytes < ETH_SIZE + TAG_SIZE)
		return GN_NETFRAME_FOREIGN;
	if (get16(bytes + 12) == 0x8100) {
		out->vlan = get16(bytes + 14) & 0xfff;
		at += TAG_SIZE;
	}
	ip = bytes + at;
	if (get16(ip - 2) == 0x0806)
		return parse_announce(ip, size_bytes - at, out);
	if (get16(ip - 2) != 0x0800 || size_bytes < at + IP_SIZE + UDP_SIZE + PAYLOAD_SIZE ||
	    ip[9] != 17 || get32(ip + IP_SIZE + UDP_SIZE) != MAGIC)
		return GN_NETFRAME_FOREIGN;
	out->source = get32(ip + 12) & 0xffff;
	out->destination = get32(ip + 16) & 0xffff;
	out->flow = get32(ip + 32);
	out->sequence = (uint64_t)get32(ip + 36) << 32 | get32(ip + 40);
	return compare(bytes, size_bytes, at + get16(ip + 2), cut, out);
}
