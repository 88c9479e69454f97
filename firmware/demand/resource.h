/* resource.h - the seven resources of a VM: their names, units and how a person reads
 * their values.
 *
 * Pure. The numbers equal those of 'enum Resource' in proto/gnomon/v1/control.proto. */
#ifndef GN_DEMAND_RESOURCE_H
#define GN_DEMAND_RESOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/core/text.h"

enum gn_resource {
	GN_RESOURCE_CPU = 1,        /* milli-vCPU */
	GN_RESOURCE_MEMORY,         /* bytes */
	GN_RESOURCE_NETWORK_RX,     /* bits/s */
	GN_RESOURCE_NETWORK_TX,     /* bits/s */
	GN_RESOURCE_DISK_READ,      /* bytes/s */
	GN_RESOURCE_DISK_WRITE,     /* bytes/s */
	GN_RESOURCE_DISK_OPERATIONS /* operations/s */
};
#define GN_RESOURCE_END 8 /* one above the last */

/* "cpu", "memory", "network_rx", ...: in field masks and in the store. */
const char *gn_resource_key(enum gn_resource resource);
/* "CPU", "memory", "network-rx", ...: in sentences. */
const char *gn_resource_label(enum gn_resource resource);
/* The resource of that key, or 0. 'length' is the key's. */
enum gn_resource gn_resource_from_key(const char *key, uint32_t length);

/* True for what the host's hypervisor allocates (CPU, memory); the card's own meters
 * allocate the rest. */
bool gn_resource_is_of_host(enum gn_resource resource);

/* Two allocations as far apart as this are the same one. A balloon is moved in blocks: it stops
 * near its target and drifts by some blocks, with nobody having asked. */
int64_t gn_resource_tolerance(enum gn_resource resource);

/* "2 vCPU", "512 MiB", "12.3 Mbit/s", "1.5 MB/s", "120 operations/s". */
void gn_resource_add_value(struct gn_text *text, enum gn_resource resource, int64_t value);
/* The same, but for CPU without the unit: "0.97". */
void gn_resource_add_number(struct gn_text *text, enum gn_resource resource, int64_t value);

#endif
