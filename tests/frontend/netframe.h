/* netframe.h - Ethernet frames that carry their own proof: UDP over IPv4 with a flow, a
 * sequence number and a filling made from both, right checksums included. Pure. */
#ifndef GN_TESTS_FRONTEND_NETFRAME_H
#define GN_TESTS_FRONTEND_NETFRAME_H

#include <stdbool.h>
#include <stdint.h>

#define GN_NETFRAME_MIN 60
#define GN_NETFRAME_MAX 9018

struct gn_netframe {
	uint32_t source; /* station numbers; they make MAC and IP addresses */
	uint32_t destination;
	uint32_t flow;
	uint64_t sequence;
	uint16_t vlan;       /* 802.1Q tag; 0: none */
	uint16_t size_bytes; /* without FCS, GN_NETFRAME_MIN (64 with a tag)..GN_NETFRAME_MAX */
};

/* 02:67:6e:00:hi:lo of a station. */
void gn_netframe_mac(uint32_t station, uint8_t mac[6]);

/* Writes size_bytes to 'bytes'. */
void gn_netframe_build(const struct gn_netframe *frame, uint8_t *bytes);
/* A broadcast ARP announcement of a station, GN_NETFRAME_MIN bytes (64 with a tag); returns
 * the size. */
uint16_t gn_netframe_announce(uint32_t station, uint16_t vlan, uint8_t *bytes);

enum gn_netframe_kind {
	GN_NETFRAME_FOREIGN,  /* not made here */
	GN_NETFRAME_ANNOUNCE, /* 'source' tells whose */
	GN_NETFRAME_DATA,     /* whole and right */
	GN_NETFRAME_CORRUPT,  /* made here, then changed */
};

/* Says what it is; fills 'out' for ANNOUNCE and DATA. 'cut': the frame may be truncated
 * (a mirror that truncates); what is there must still be right. */
enum gn_netframe_kind gn_netframe_parse(const uint8_t *bytes, uint32_t size_bytes, bool cut,
                                        struct gn_netframe *out);

#endif
