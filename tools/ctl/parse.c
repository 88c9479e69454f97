/* parse.c - see parse.h. */
#include "tools/ctl/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/gnomon/v1/control.pb-c.h"

int gn_parse_number(const char *text, uint64_t maximum, uint64_t *out)
{
	char *end;
	unsigned long long value;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 0);
	if (*end || errno || value > maximum)
		return -EINVAL;
	*out = value;
	return 0;
}

/* "12.5" and what follows it: thousandths in '*milli', '*rest' at the unit. */
static int parse_decimal(const char *text, uint64_t *milli, const char **rest)
{
	uint64_t value = 0, scale = 1000;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	for (; *text >= '0' && *text <= '9'; text++) {
		if (value > UINT64_MAX / 100000)
			return -EINVAL;
		value = value * 10 + (uint64_t)(*text - '0') * 1000;
	}
	if (*text == '.') {
		text++;
		if (*text < '0' || *text > '9')
			return -EINVAL;
		for (; *text >= '0' && *text <= '9'; text++) {
			scale /= 10;
			value += (uint64_t)(*text - '0') * scale;
		}
	}
	*milli = value;
	*rest = text;
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int parse_scaled(const char *text, const struct unit *units, uint64_t *out)
{
	uint64_t milli;
	const char *rest;

	if (parse_decimal(text, &milli, &rest))
		return -EINVAL;
	for (; units->name; units++) {
		if (strcasecmp(rest, units->name))
			continue;
		if (milli > UINT64_MAX / units->factor)
			return -EINVAL;
		*out = milli * units->factor / 1000;
		return 0;
	}
	return -EINVAL;
}

int gn_parse_bytes(const char *text, uint64_t *out)
{
	static const struct unit units[] = {
	        {"", 1},           {"B", 1},
	        {"K", 1 << 10},    {"KiB", 1 << 10},
	        {"M", 1 << 20},    {"MiB", 1 << 20},
	        {"G", 1 << 30},    {"GiB", 1 << 30},
	        {"T", 1ull << 40}, {"TiB", 1ull << 40},
	        {NULL, 0},
	};

	return parse_scaled(text, units, out);
}

int gn_parse_duration(const char *text, uint64_t *out_us)
{
	static const struct unit units[] = {
	        {"us", 1},          {"ms", 1000},        {"s", 1000000}, {"min", 60000000},
	        {"h", 3600000000u}, {"d", 86400000000u}, {NULL, 0},
	};

	return parse_scaled(text, units, out_us);
}

int gn_parse_milli(const char *text, uint64_t *out)
{
	static const struct unit units[] = {{"", 1000}, {NULL, 0}};

	return parse_scaled(text, units, out);
}

int gn_parse_bits(const char *text, uint64_t *out)
{
	static const struct unit units[] = {
	        {"", 1},
	        {"bit", 1},
	        {"k", 1000},
	        {"kbit", 1000},
	        {"M", 1000000},
	        {"Mbit", 1000000},
	        {"G", 1000000000},
	        {"Gbit", 1000000000},
	        {"Gbit/s", 1000000000},
	        {"Mbit/s", 1000000},
	        {"kbit/s", 1000},
	        {NULL, 0},
	};

	return parse_scaled(text, units, out);
}

static const char *const resources[] = {
        [GNOMON__V1__RESOURCE__CPU] = "cpu",
        [GNOMON__V1__RESOURCE__MEMORY] = "memory",
        [GNOMON__V1__RESOURCE__NETWORK_RX] = "network-rx",
        [GNOMON__V1__RESOURCE__NETWORK_TX] = "network-tx",
        [GNOMON__V1__RESOURCE__DISK_READ] = "disk-read",
        [GNOMON__V1__RESOURCE__DISK_WRITE] = "disk-write",
        [GNOMON__V1__RESOURCE__DISK_OPERATIONS] = "disk-operations",
};

int gn_parse_resource(const char *text)
{
	for (int i = 1; i < (int)(sizeof resources / sizeof resources[0]); i++)
		if (!strcasecmp(text, resources[i]))
			return i;
	return 0;
}

int gn_parse_demand(int resource, const char *text, int64_t *out)
{
	uint64_t value;
	int rc;

	switch (resource) {
	case GNOMON__V1__RESOURCE__CPU:
		rc = gn_parse_milli(text, &value);
		break;
	case GNOMON__V1__RESOURCE__NETWORK_RX:
	case GNOMON__V1__RESOURCE__NETWORK_TX:
		rc = gn_parse_bits(text, &value);
		break;
	case GNOMON__V1__RESOURCE__DISK_OPERATIONS:
		rc = gn_parse_number(text, INT64_MAX, &value);
		break;
	default:
		rc = gn_parse_bytes(text, &value);
	}
	if (rc || value > INT64_MAX)
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

static int parse_limited(const char *text, uint64_t maximum, uint32_t *out)
{
	uint64_t number;

	if (gn_parse_number(text, maximum, &number) || !number)
		return -EINVAL;
	*out = (uint32_t)number;
	return 0;
}

static int parse_term(const char *key, char *value, Gnomon__V1__MirrorFilter *f)
{
	if (!strcmp(key, "proto"))
		return parse_protocol(value, &f->ip_protocol);
	if (!strcmp(key, "sport"))
		return parse_limited(value, 65535, &f->source_port);
	if (!strcmp(key, "dport"))
		return parse_limited(value, 65535, &f->destination_port);
	if (!strcmp(key, "vlan"))
		return parse_limited(value, 4094, &f->vlan);
	if (!strcmp(key, "ethertype"))
		return parse_limited(value, 65535, &f->ethertype);
	if (!strcmp(key, "src"))
		f->source = value;
	else if (!strcmp(key, "dst"))
		f->destination = value;
	else
		return -EINVAL;
	return 0;
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
