/* pcapng.h - blocks of a pcapng file (draft-ietf-opsawg-pcapng), as bytes in the
 * caller's buffer, in the machine's byte order. A file is one section, one or more
 * interfaces, then packets.
 *
 * Pure. A function returns the bytes it wrote, or 0 when 'size' is too small and nothing was
 * written. Owner: lcore. */
#ifndef GN_DATAPLANE_PCAPNG_H
#define GN_DATAPLANE_PCAPNG_H

#include <stddef.h>
#include <stdint.h>
#include "dataplane/feature/packet.h"

#define GN_PCAPNG_MAX_NAME      128 /* longer interface names are cut */
#define GN_PCAPNG_SECTION_MAX   (40 + GN_PCAPNG_MAX_NAME)
#define GN_PCAPNG_INTERFACE_MAX (64 + GN_PCAPNG_MAX_NAME)
#define GN_PCAPNG_HEAD_BYTES    28 /* of a packet, in front of its data */
#define GN_PCAPNG_TAIL_MAX      19 /* behind its data: padding, flags, length */

/* Section header with the writing application ("gnomon 0.1.0"). */
size_t gn_pcapng_section(const char *application, uint8_t *buffer, size_t size);

/* Interface of link type Ethernet, timestamps in nanoseconds. 'snap_bytes': 0 for no limit. */
size_t gn_pcapng_interface(const char *name, uint32_t snap_bytes, uint8_t *buffer, size_t size);

struct gn_pcapng_packet {
	uint32_t interface;      /* in order of gn_pcapng_interface(), from 0 */
	uint64_t wall_ns;        /* since the epoch */
	uint32_t captured_bytes; /* data that will be stored */
	uint32_t original_bytes;
	enum gn_direction direction; /* rx: inbound, tx: outbound */
};

/* Enhanced packet block in two parts, so that the data need not be copied: head, then
 * captured_bytes of data, then tail. */
size_t gn_pcapng_packet_head(const struct gn_pcapng_packet *packet,
                             uint8_t out[GN_PCAPNG_HEAD_BYTES]);
size_t gn_pcapng_packet_tail(const struct gn_pcapng_packet *packet,
                             uint8_t out[GN_PCAPNG_TAIL_MAX]);
/* Size of the whole block. */
size_t gn_pcapng_packet_size(uint32_t captured_bytes);

#endif
