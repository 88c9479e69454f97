/* probe_target.c - see probe_target.h. */
#include "firmware/core/probe_target.h"

#include <stdbool.h>
#include <string.h>

#define HTTP_PORT 80

static const struct {
	const char *scheme;
	enum gn_probe_kind kind;
} schemes[] = {{"arp://", GN_PROBE_ARP}, {"tcp://", GN_PROBE_TCP}, {"http://", GN_PROBE_HTTP}};

static bool is_host(const uint8_t address[4])
{
	return address[0] && address[0] != 127 && address[0] < 224;
}

/* A number of at most 'most', without a sign. */
static bool take_number(const char **at, uint32_t most, uint32_t *out)
{
	const char *begin = *at;

	for (*out = 0; **at >= '0' && **at <= '9' && *out <= most; (*at)++)
		*out = *out * 10 + (uint32_t)(**at - '0');
	return *at > begin && *out <= most;
}

static bool take_address(const char **at, uint8_t out[4])
{
	uint32_t i, value;

	for (i = 0; i < 4; i++) {
		if ((i && *(*at)++ != '.') || !take_number(at, 255, &value))
			return false;
		out[i] = (uint8_t)value;
	}
	return is_host(out);
}

static bool take_port(const char **at, uint16_t *out)
{
	uint32_t value;

	if (!take_number(at, UINT16_MAX, &value))
		return false;
	*out = (uint16_t)value;
	return value > 0;
}

/* Printable and without spaces, so that it cannot end the request's line. */
static bool parse_path(const char *text, char out[GN_PROBE_PATH_SIZE])
{
	size_t n = strlen(text);
	const char *c;

	if (n >= GN_PROBE_PATH_SIZE)
		return false;
	for (c = text; *c; c++)
		if (*c <= ' ' || *c >= 0x7f)
			return false;
	memcpy(out, n ? text : "/", n ? n + 1 : 2);
	return true;
}

static bool parse(const char *text, struct gn_probe_target *out)
{
	size_t i;

	for (i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
		if (strncmp(text, schemes[i].scheme, strlen(schemes[i].scheme)) == 0)
			break;
	if (i == sizeof schemes / sizeof schemes[0])
		return false;
	out->kind = schemes[i].kind;
	text += strlen(schemes[i].scheme);
	if (!take_address(&text, out->address))
		return false;
	if (out->kind == GN_PROBE_ARP)
		return !*text;
	out->port = out->kind == GN_PROBE_HTTP ? HTTP_PORT : 0;
	if (*text == ':' && (text++, !take_port(&text, &out->port)))
		return false;
	if (out->kind == GN_PROBE_TCP)
		return !*text && out->port;
	return (!*text || *text == '/') && parse_path(text, out->path);
}

/* The other one of its pair, unless that may be the net's own address or a broadcast. */
static void take_neighbour(struct gn_probe_target *target)
{
	memcpy(target->from, target->address, sizeof target->from);
	target->from[3] ^= 1;
	if (target->from[3] == 0 || target->from[3] == 255)
		target->from[3] ^= 3;
}

int gn_probe_target_parse(const char *text, const char *from, struct gn_probe_target *out,
                          struct gn_status *status)
{
	const char *sender = from;

	*out = (struct gn_probe_target){0};
	if (!parse(text, out))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "probe '%.80s': write arp://ADDRESS, tcp://ADDRESS:PORT or "
		                     "http://ADDRESS[:PORT]/PATH, with the guest's IPv4 address",
		                     text);
	if (!*from)
		take_neighbour(out);
	else if (!take_address(&sender, out->from) || *sender ||
	         memcmp(out->from, out->address, sizeof out->from) == 0)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the probe's sender '%.40s': give an IPv4 address that the "
		                     "guest reaches without a gateway, and is not its own",
		                     from);
	return 0;
}
