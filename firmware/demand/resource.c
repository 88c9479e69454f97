/* resource.c - see resource.h. */
#include "firmware/demand/resource.h"

#include <string.h>

static const struct {
	const char *key;
	uint32_t key_length;
	const char *label;
} resources[GN_RESOURCE_END] = {
        [0] = {"unknown", 7, "unknown resource"},
        [GN_RESOURCE_CPU] = {"cpu", 3, "CPU"},
        [GN_RESOURCE_MEMORY] = {"memory", 6, "memory"},
        [GN_RESOURCE_NETWORK_RX] = {"network_rx", 10, "network-rx"},
        [GN_RESOURCE_NETWORK_TX] = {"network_tx", 10, "network-tx"},
        [GN_RESOURCE_DISK_READ] = {"disk_read", 9, "disk-read"},
        [GN_RESOURCE_DISK_WRITE] = {"disk_write", 10, "disk-write"},
        [GN_RESOURCE_DISK_OPERATIONS] = {"disk_operations", 15, "disk-operations"},
};

static unsigned row(enum gn_resource resource)
{
	return (unsigned)resource < GN_RESOURCE_END ? (unsigned)resource : 0;
}

const char *gn_resource_key(enum gn_resource resource)
{
	return resources[row(resource)].key;
}

const char *gn_resource_label(enum gn_resource resource)
{
	return resources[row(resource)].label;
}

enum gn_resource gn_resource_from_key(const char *key, uint32_t length)
{
	unsigned i;

	for (i = 1; i < GN_RESOURCE_END; i++)
		if (length == resources[i].key_length && memcmp(key, resources[i].key, length) == 0)
			return (enum gn_resource)i;
	return (enum gn_resource)0;
}

bool gn_resource_is_of_host(enum gn_resource resource)
{
	return resource == GN_RESOURCE_CPU || resource == GN_RESOURCE_MEMORY;
}

int64_t gn_resource_tolerance(enum gn_resource resource)
{
	return resource == GN_RESOURCE_MEMORY ? (int64_t)8 << 20 : 0;
}

struct scale {
	int64_t from; /* the smallest value shown in this unit */
	int64_t unit;
	const char *name;
};

static void add_scaled(struct gn_text *text, const struct scale *scales, unsigned n, int64_t value)
{
	unsigned i = 0;

	while (i + 1 < n && value >= scales[i + 1].from)
		i++;
	gn_text_add_ratio(text, value, scales[i].unit, i ? 2 : 0);
	gn_text_add(text, scales[i].name);
}

static void add_memory(struct gn_text *text, int64_t value)
{
	static const struct scale scales[] = {
	        {0, 1, " B"},
	        {1 << 10, 1 << 10, " KiB"},
	        {1 << 20, 1 << 20, " MiB"},
	        {(int64_t)4 << 30, (int64_t)1 << 30, " GiB"},
	};

	add_scaled(text, scales, 4, value);
}

static void add_network(struct gn_text *text, int64_t value)
{
	static const struct scale scales[] = {
	        {0, 1, " bit/s"},
	        {1000, 1000, " kbit/s"},
	        {1000000, 1000000, " Mbit/s"},
	        {1000000000, 1000000000, " Gbit/s"},
	};

	add_scaled(text, scales, 4, value);
}

static void add_disk(struct gn_text *text, int64_t value)
{
	static const struct scale scales[] = {
	        {0, 1, " B/s"},
	        {1000, 1000, " kB/s"},
	        {1000000, 1000000, " MB/s"},
	        {1000000000, 1000000000, " GB/s"},
	};

	add_scaled(text, scales, 4, value);
}

void gn_resource_add_number(struct gn_text *text, enum gn_resource resource, int64_t value)
{
	switch (resource) {
	case GN_RESOURCE_CPU:
		gn_text_add_ratio(text, value, 1000, 2);
		return;
	case GN_RESOURCE_MEMORY:
		add_memory(text, value);
		return;
	case GN_RESOURCE_NETWORK_RX:
	case GN_RESOURCE_NETWORK_TX:
		add_network(text, value);
		return;
	case GN_RESOURCE_DISK_READ:
	case GN_RESOURCE_DISK_WRITE:
		add_disk(text, value);
		return;
	case GN_RESOURCE_DISK_OPERATIONS:
		gn_text_add_int(text, value);
		gn_text_add(text, " operations/s");
		return;
	}
	gn_text_add_int(text, value);
}

void gn_resource_add_value(struct gn_text *text, enum gn_resource resource, int64_t value)
{
	gn_resource_add_number(text, resource, value);
	if (resource == GN_RESOURCE_CPU)
		gn_text_add(text, " vCPU");
}
