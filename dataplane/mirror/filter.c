/* filter.c - see filter.h. */
#include "dataplane/mirror/filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void make_mask(uint64_t mask[2], unsigned bits)
{
	uint8_t bytes[16] = {0};
	unsigned i;

	for (i = 0; i < bits / 8; i++)
		bytes[i] = 0xff;
	if (bits % 8)
		bytes[i] = (uint8_t)(0xff00 >> bits % 8);
	memcpy(mask, bytes, sizeof bytes);
}

/* The length behind '/', or 'max' without one; -1 when it is none. */
static int prefix_length(const char *slash, int max)
{
	char *end;
	long n;

	if (!slash)
		return max;
	if (slash[1] < '0' || slash[1] > '9')
		return -1;
	n = strtol(slash + 1, &end, 10);
	return *end || n > max ? -1 : (int)n;
}

/* Sets the version's flag in '*flags'. */
static int compile_prefix(const char *text, struct gn_filter_prefix *out, uint8_t *flags,
                          struct gn_status *status)
{
	const char *slash;
	char address[INET6_ADDRSTRLEN];
	union gn_packet_address value = {.words = {0, 0}};
	bool v6;
	int bits;
	size_t n;

	if (!text || !*text)
		return 0;
	slash = strchr(text, '/');
	n = slash ? (size_t)(slash - text) : strlen(text);
	v6 = memchr(text, ':', n) != NULL;
	bits = prefix_length(slash, v6 ? 128 : 32);
	if (n < sizeof address) {
		memcpy(address, text, n);
		address[n] = 0;
	}
	if (bits < 0 || n >= sizeof address ||
	    inet_pton(v6 ? AF_INET6 : AF_INET, address, &value) != 1)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "'%.64s' is no IP prefix; write it like 10.0.0.0/8 or fd00::/8", text);
	make_mask(out->mask, (unsigned)bits);
	out->value[0] = value.words[0] & out->mask[0];
	out->value[1] = value.words[1] & out->mask[1];
	*flags |= v6 ? GN_PACKET_IPV6 : GN_PACKET_IPV4;
	return 0;
}

static int check_range(const char *what, uint32_t value, uint32_t max, struct gn_status *status)
{
	if (value <= max)
		return 0;
	return gn_status_set(status, GN_INVALID_ARGUMENT,
	                     "a filter's %s is %u; 0 (any) to %u are possible", what, value, max);
}

static int check_ranges(const struct gn_filter_config *config, struct gn_status *status)
{
	int err = check_range("ethertype", config->ethertype, 0xffff, status);

	if (!err)
		err = check_range("vlan", config->vlan, 4094, status);
	if (!err)
		err = check_range("ip_protocol", config->ip_protocol, 255, status);
	if (!err)
		err = check_range("source_port", config->source_port, 65535, status);
	if (!err)
		err = check_range("destination_port", config->destination_port, 65535, status);
	return err;
}

int gn_filter_compile(const struct gn_filter_config *config, struct gn_filter *out,
                      struct gn_status *status)
{
	struct gn_filter filter = {
	        .protocol = (uint8_t)config->ip_protocol,
	        .ethertype = (uint16_t)config->ethertype,
	        .vlan = (uint16_t)config->vlan,
	        .source_port = (uint16_t)config->source_port,
	        .destination_port = (uint16_t)config->destination_port,
	};
	int err = check_ranges(config, status);

	if (!err)
		err = compile_prefix(config->source, &filter.source, &filter.flags, status);
	if (!err)
		err = compile_prefix(config->destination, &filter.destination, &filter.flags,
		                     status);
	if (err)
		return err;
	if ((filter.flags & (GN_PACKET_IPV4 | GN_PACKET_IPV6)) == (GN_PACKET_IPV4 | GN_PACKET_IPV6))
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "a filter's source '%s' and destination '%s' are of different IP "
		        "versions; nothing could match",
		        config->source, config->destination);
	if (filter.source_port || filter.destination_port)
		filter.flags |= GN_PACKET_L4;
	*out = filter;
	return 0;
}
