/* ram.h - how gnomon-dataplane hands a VM's memory to gnomon-introspect.
 *
 * A SOCK_SEQPACKET unix socket, the dataplane listening. It sends one message for each VM whose
 * memory it has when a reader connects, and one for each change after that. A table comes with
 * one read-only descriptor for each region (SCM_RIGHTS, in the regions' order) and replaces the
 * VM's earlier one; on GN_RAM_GONE the reader gives up what it has of that VM. The reader sends
 * nothing. One machine, one byte order; both sides are of one release, which 'version' checks. */
#ifndef GN_PROTO_RAM_H
#define GN_PROTO_RAM_H

#include <stdint.h>

#define GN_RAM_VERSION     0x31304d52u /* "RM01" */
#define GN_RAM_MAX_REGIONS 8
#define GN_RAM_MAX_VM      128

enum gn_ram_kind { GN_RAM_TABLE = 1, GN_RAM_GONE = 2 };

struct gn_ram_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t offset; /* in the descriptor's file */
};

struct gn_ram_message {
	uint32_t version;
	uint32_t kind;
	uint64_t generation;    /* grows with every table */
	char vm[GN_RAM_MAX_VM]; /* "vms/web-1", NUL-terminated */
	uint32_t n_regions;     /* 0 with GN_RAM_GONE */
	uint32_t reserved;
	struct gn_ram_region regions[GN_RAM_MAX_REGIONS];
};

#endif
