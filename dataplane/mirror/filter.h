/* filter.h - which packets a mirror session copies (MirrorFilter of dataplane.proto),
 * compiled to masks and values. Pure; immutable after compilation. */
#ifndef GN_DATAPLANE_FILTER_H
#define GN_DATAPLANE_FILTER_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/feature/packet.h"
#include "firmware/core/status.h"

#define GN_FILTER_MAX 16

/* As a person writes it; 0 or empty: any. */
struct gn_filter_config {
	uint32_t ethertype;
	uint32_t vlan;
	uint32_t ip_protocol;
	const char *source; /* "10.0.0.0/8", "fd00::/8", "10.0.0.1"; NULL or empty: any */
	const char *destination;
	uint32_t source_port;
	uint32_t destination_port;
};

/* An address matches when (address & mask) == value, word by word; IPv4 uses the first half
 * of the first word. */
struct gn_filter_prefix {
	uint64_t mask[2];
	uint64_t value[2];
};

struct gn_filter {
	uint8_t flags;      /* GN_PACKET_* that the packet must have */
	uint8_t protocol;   /* 0: any */
	uint16_t ethertype; /* 0: any */
	uint16_t vlan;
	uint16_t source_port;
	uint16_t destination_port;
	struct gn_filter_prefix source;
	struct gn_filter_prefix destination;
};

/* -EINVAL with a sentence. */
int gn_filter_compile(const struct gn_filter_config *config, struct gn_filter *out,
                      struct gn_status *status);

static inline bool gn_filter_prefix_matches(const struct gn_filter_prefix *prefix,
                                            const union gn_packet_address *address)
{
	return !(((address->words[0] & prefix->mask[0]) ^ prefix->value[0]) |
	         ((address->words[1] & prefix->mask[1]) ^ prefix->value[1]));
}

static inline bool gn_filter_matches(const struct gn_filter *filter, const struct gn_packet *packet)
{
	return (packet->flags & filter->flags) == filter->flags &&
	       (!filter->ethertype || filter->ethertype == packet->ethertype) &&
	       (!filter->vlan || filter->vlan == packet->vlan) &&
	       (!filter->protocol || filter->protocol == packet->protocol) &&
	       (!filter->source_port || filter->source_port == packet->source_port) &&
	       (!filter->destination_port ||
	        filter->destination_port == packet->destination_port) &&
	       gn_filter_prefix_matches(&filter->source, &packet->source) &&
	       gn_filter_prefix_matches(&filter->destination, &packet->destination);
}

#endif
