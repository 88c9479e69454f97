/* parse.c - see parse.h. */
#include "tools/ctl/parse.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/ctl/format.h"

int gn_parse_number(const char *text, uint64_t maximum, uint64_t *out)
{
	bool is_hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	unsigned long long value;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, is_hexadecimal ? 16 : 10);
	if (*end || errno || value > maximum)
		return -EINVAL;
	*out = value;
	return 0;
}

struct decimal {
	uint64_t whole, nano;
};

/* "12.5" and what follows it, '*rest' at the unit. What is smaller than a billionth is
 * refused unless it is zero. */
static int parse_decimal(const char *text, struct decimal *out, const char **rest)
{
	struct decimal d = {0, 0};
	uint64_t scale = 1000000000;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(d.whole, 10u, &d.whole) ||
		    __builtin_add_overflow(d.whole, (uint64_t)(*text - '0'), &d.whole))
			return -EINVAL;
	if (*text == '.') {
		text++;
		if (*text < '0' || *text > '9')
			return -EINVAL;
		for (; *text >= '0' && *text <= '9'; text++) {
			scale /= 10;
			if (!scale && *text != '0')
				return -EINVAL;
			d.nano += (uint64_t)(*text - '0') * scale;
		}
	}
	*out = d;
	*rest = text;
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

/* A factor of at most 1000 must divide without rest ("0.0001" thousandths is a mistake);
 * "1.1GiB" is rounded down to bytes. */
static int scale_by(const struct decimal *d, uint64_t factor, uint64_t *out)
{
	unsigned __int128 part = (unsigned __int128)d->nano * factor;
	unsigned __int128 value = (unsigned __int128)d->whole * factor + part / 1000000000u;

	if (value > UINT64_MAX || (factor <= 1000 && part % 1000000000u))
		return -EINVAL;
	*out = (uint64_t)value;
	return 0;
}

static int parse_scaled(const char *text, const struct unit *units, uint64_t *out)
{
	struct decimal decimal;
	const char *rest;

	if (parse_decimal(text, &decimal, &rest))
		return -EINVAL;
	if (*rest == ' ') /* as the tables print it */
		rest++;
	for (; units->name; units++)
		if (!strcasecmp(rest, units->name))
			return scale_by(&decimal, units->factor, out);
	return -EINVAL;
}

#define BYTE_UNITS(suffix)                                                                         \
	{"B" suffix, 1}, {"K" suffix, 1 << 10}, {"KiB" suffix, 1 << 10}, {"KB" suffix, 1000},      \
	        {"M" suffix, 1 << 20}, {"MiB" suffix, 1 << 20}, {"MB" suffix, 1000000},            \
	        {"G" suffix, 1 << 30}, {"GiB" suffix, 1 << 30}, {"GB" suffix, 1000000000},         \
	        {"T" suffix, 1ull << 40}, {"TiB" suffix, 1ull << 40},                              \
	{                                                                                          \
		"TB" suffix, 1000000000000ull                                                      \
	}

int gn_parse_bytes(const char *text, uint64_t *out)
{
	static const struct unit units[] = {{"", 1}, BYTE_UNITS(""), {NULL, 0}};

	return parse_scaled(text, units, out);
}

static int parse_byte_rate(const char *text, uint64_t *out)
{
	static const struct unit units[] = {{"", 1}, BYTE_UNITS(""), BYTE_UNITS("/s"), {NULL, 0}};

	return parse_scaled(text, units, out);
}

int gn_parse_duration(const char *text, uint64_t *out_us)
{
	static const struct unit units[] = {
	        {"us", 1},         {"ms", 1000},       {"s", 1000000},      {"m", 60000000},
	        {"min", 60000000}, {"h", 3600000000u}, {"d", 86400000000u}, {NULL, 0},
	};

	return parse_scaled(text, units, out_us);
}

int gn_parse_milli(const char *text, uint64_t *out)
{
	static const struct unit units[] = {{"", 1000}, {NULL, 0}};

	return parse_scaled(text, units, out);
}

static int parse_vcpus(const char *text, uint64_t *out)
{
	static const struct unit units[] = {{"", 1000}, {"vCPU", 1000}, {"vCPUs", 1000}, {NULL, 0}};

	return parse_scaled(text, units, out);
}

static int parse_operations(const char *text, uint64_t *out)
{
	static const struct unit units[] = {{"", 1}, {"/s", 1}, {"k", 1000}, {NULL, 0}};

	return parse_scaled(text, units, out);
}

int gn_parse_bits(const char *text, uint64_t *out)
{
	static const struct unit units[] = {
	        {"", 1},           {"bit", 1},           {"bit/s", 1},
	        {"k", 1000},       {"kbit", 1000},       {"kbit/s", 1000},
	        {"M", 1000000},    {"Mbit", 1000000},    {"Mbit/s", 1000000},
	        {"G", 1000000000}, {"Gbit", 1000000000}, {"Gbit/s", 1000000000},
	        {NULL, 0},
	};

	return parse_scaled(text, units, out);
}

int gn_parse_resource(const char *text)
{
	for (int i = 1; i <= GN_FORMAT_RESOURCES; i++)
		if (!strcasecmp(text, gn_format_resource(i)))
			return i;
	return 0;
}

int gn_parse_demand(int resource, const char *text, int64_t *out)
{
	static int (*const parsers[])(const char *, uint64_t *) = {
	        [GNOMON__V1__RESOURCE__CPU] = parse_vcpus,
	        [GNOMON__V1__RESOURCE__MEMORY] = gn_parse_bytes,
	        [GNOMON__V1__RESOURCE__NETWORK_RX] = gn_parse_bits,
	        [GNOMON__V1__RESOURCE__NETWORK_TX] = gn_parse_bits,
	        [GNOMON__V1__RESOURCE__DISK_READ] = parse_byte_rate,
	        [GNOMON__V1__RESOURCE__DISK_WRITE] = parse_byte_rate,
	        [GNOMON__V1__RESOURCE__DISK_OPERATIONS] = parse_operations,
	};
	uint64_t value;

	if (resource < 1 || resource > GN_FORMAT_RESOURCES || parsers[resource](text, &value) ||
	    value > INT64_MAX)
		return -EINVAL;
	*out = (int64_t)value;
	return 0;
}

static int parse_protocol(const char *text, uint32_t *out)
{
	static const struct {
		const char *name;
		uint32_t number;
	} known[] = {{"icmp", 1}, {"tcp", 6}, {"udp", 17}, {"icmp6", 58}, {"sctp", 132}};
	uint64_t number;

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		if (strcasecmp(text, known[i].name))
			continue;
		*out = known[i].number;
		return 0;
	}
	if (gn_parse_number(text, 255, &number) || !number)
		return -EINVAL;
	*out = (uint32_t)number;
	return 0;
}

/* A term given twice is refused: the second would silently replace the first. */
static int parse_number_term(const char *value, uint64_t maximum, uint32_t *out)
{
	uint64_t number;

	if (*out || gn_parse_number(value, maximum, &number) || !number)
		return -EINVAL;
	*out = (uint32_t)number;
	return 0;
}

static int parse_address_term(char *value, char **out)
{
	if (**out)
		return -EINVAL;
	*out = value;
	return 0;
}

static int parse_term(const char *key, char *value, Gnomon__V1__MirrorFilter *f)
{
	if (!strcmp(key, "proto"))
		return f->ip_protocol ? -EINVAL : parse_protocol(value, &f->ip_protocol);
	if (!strcmp(key, "sport"))
		return parse_number_term(value, 65535, &f->source_port);
	if (!strcmp(key, "dport"))
		return parse_number_term(value, 65535, &f->destination_port);
	if (!strcmp(key, "vlan"))
		return parse_number_term(value, 4094, &f->vlan);
	if (!strcmp(key, "ethertype"))
		return parse_number_term(value, 65535, &f->ethertype);
	if (!strcmp(key, "src"))
		return parse_address_term(value, &f->source);
	if (!strcmp(key, "dst"))
		return parse_address_term(value, &f->destination);
	return -EINVAL;
}

int gn_parse_filter(char *text, Gnomon__V1__MirrorFilter *out)
{
	Gnomon__V1__MirrorFilter filter = GNOMON__V1__MIRROR_FILTER__INIT;
	char *state = NULL, *key;
	int n = 0;

	for (key = strtok_r(text, " ,", &state); key; key = strtok_r(NULL, " ,", &state)) {
		char *value = strtok_r(NULL, " ,", &state);

		if (!value || parse_term(key, value, &filter))
			return -EINVAL;
		n++;
	}
	if (!n)
		return -EINVAL;
	*out = filter;
	return 0;
}

int gn_parse_trigger(const char *text, Gnomon__V1__ShadowTrigger *out)
{
	Gnomon__V1__ShadowTrigger trigger = GNOMON__V1__SHADOW_TRIGGER__INIT;
	char resource[32], value[32], duration[32], rest;

	if (sscanf(text, "%31s %31s for %31s %c", resource, value, duration, &rest) != 3)
		return -EINVAL;
	trigger.resource = (Gnomon__V1__Resource)gn_parse_resource(resource);
	if (!trigger.resource ||
	    gn_parse_demand((int)trigger.resource, value, &trigger.threshold) ||
	    gn_parse_duration(duration, &trigger.for_us))
		return -EINVAL;
	*out = trigger;
	return 0;
}
