/* encap.h - the headers in front of a mirrored frame on its way to a collector:
 * Ethernet, IPv4 and either
 *   ERSPAN type II  GRE with sequence number, protocol 0x88be (draft-foschiano-erspan-03)
 *   VXLAN           UDP port 4789 (RFC 7348), source port from the inner flow
 * Both happen to be GN_ENCAP_BYTES long, so one headroom serves both.
 *
 * Pure: no mbuf; the caller puts the bytes in front of the frame. Owner: lcore. */
#ifndef GN_DATAPLANE_ENCAP_H
#define GN_DATAPLANE_ENCAP_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/feature/packet.h"

#define GN_ENCAP_BYTES 50
/* What fits an IPv4 packet; truncate longer frames (segmentation offload) to it. */
#define GN_ENCAP_MAX_FRAME   (65535 - (GN_ENCAP_BYTES - 14))
#define GN_ENCAP_VXLAN_PORT  4789
#define GN_ENCAP_MAX_SESSION 1023     /* ERSPAN */
#define GN_ENCAP_MAX_NETWORK 0xffffff /* VXLAN */

enum gn_encap_kind { GN_ENCAP_ERSPAN, GN_ENCAP_VXLAN };

struct gn_encap_config {
	enum gn_encap_kind kind;
	uint8_t local_mac[6];
	uint8_t collector_mac[6]; /* the next hop's */
	uint32_t local_ip;        /* network order */
	uint32_t collector_ip;
	uint32_t session_id; /* ERSPAN session, or VXLAN network id */
};

struct gn_encap {
	enum gn_encap_kind kind;
	uint32_t sequence;              /* of ERSPAN: of the next frame; wraps */
	uint32_t checksum;              /* of the IPv4 header without its length, not folded */
	uint8_t header[GN_ENCAP_BYTES]; /* what is the same for every frame */
};

/* -ERANGE: session_id; -EINVAL: kind, an unset or multicast MAC or IP. */
int gn_encap_init(struct gn_encap *encap, const struct gn_encap_config *config);

/* Writes GN_ENCAP_BYTES to 'out' for a copy of 'packet' (parsed) of which 'frame_bytes' are
 * carried; fewer than packet->length marks it truncated (ERSPAN). 0, or -EMSGSIZE when
 * frame_bytes is above GN_ENCAP_MAX_FRAME: nothing was written and no sequence used. A
 * frame that is written but then dropped by the sink shows as a gap in the sequence. */
int gn_encap_write(struct gn_encap *encap, const struct gn_packet *packet, uint32_t frame_bytes,
                   enum gn_direction direction, uint8_t out[GN_ENCAP_BYTES]);

#endif
