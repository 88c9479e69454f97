/* fdb.h - the forwarding database: which port an address of a VLAN was last seen at.
 *
 * Owner: lcore; create and destroy: control. Pure (time and seed are arguments; no DPDK). A
 * fixed open-addressing table, 16 bytes an entry, hashed with a secret; a lookup reads one
 * or two cache lines and at most GN_FDB_MAX_PROBES entries, whatever guests send.
 *
 * What a hostile guest cannot do:
 * - evict: an entry leaves only by age or with its port. Each port has a quota, and all
 *   quotas together fit the table. Beyond its quota a port's new addresses are not learnt
 *   (packets to them are flooded).
 * - steal from a VM: the first address a VM's port uses after it connects is its own; no other
 *   port learns it, and it does not age, while that VM is connected. Further addresses of
 *   a VM (VRRP, a bridge in the guest) may move to another VM's port, at most
 *   GN_FDB_MAX_MOVES a second and port, but not to an uplink while the VM is connected. A
 *   frame whose source is refused is to be dropped: it tells a lie.
 * - steal from the network: an address learnt at an uplink moves to a VM's port only after
 *   it has been silent for GN_FDB_HOLD_MS there (as it is when a VM migrates to us), so a
 *   gateway that is in use cannot be taken.
 * Who comes first to an address nobody has used yet is believed. */
#ifndef GN_DATAPLANE_FDB_H
#define GN_DATAPLANE_FDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GN_FDB_MAX_PORTS    256
#define GN_FDB_SLOTS        131072u /* power of two; at most half are used */
#define GN_FDB_MAX_PROBES   32
#define GN_FDB_GUEST_QUOTA  128
#define GN_FDB_UPLINK_QUOTA 8192
#define GN_FDB_MAX_UPLINKS  4
#define GN_FDB_MAX_MOVES    8 /* to one port, a second */
#define GN_FDB_HOLD_MS      500
#define GN_FDB_AGE_MS       300000
#define GN_FDB_NO_PORT      0xffffu
#define GN_FDB_MAX_BURST    32

_Static_assert(GN_FDB_MAX_UPLINKS *GN_FDB_UPLINK_QUOTA +
                               (GN_FDB_MAX_PORTS - GN_FDB_MAX_UPLINKS) * GN_FDB_GUEST_QUOTA <=
                       GN_FDB_SLOTS / 2,
               "the quotas of all ports fit the table");

struct gn_fdb;

enum gn_fdb_learn {
	GN_FDB_KNOWN,   /* was there, or is now */
	GN_FDB_NOT_NOW, /* quota or probes exhausted, or held by an uplink: not learnt */
	GN_FDB_REFUSED, /* the address is another port's */
};

/* -ENOMEM. 'seed': random bits. */
int gn_fdb_create(const uint64_t seed[2], struct gn_fdb **out);
void gn_fdb_destroy(struct gn_fdb *fdb); /* NULL is fine */

/* -ENOSPC: GN_FDB_MAX_UPLINKS uplinks exist. 'port' < GN_FDB_MAX_PORTS. */
int gn_fdb_port_add(struct gn_fdb *fdb, uint16_t port, bool uplink);
/* Forgets the port and its entries; walks the table (some 100 us). */
void gn_fdb_port_remove(struct gn_fdb *fdb, uint16_t port);
/* A VM's port connected; or not any more: then others may take its addresses. */
void gn_fdb_port_connected(struct gn_fdb *fdb, uint16_t port, bool connected);

/* Address and VLAN as one word, never 0. 8 bytes at 'mac' must be readable. */
static inline uint64_t gn_fdb_key(const uint8_t *mac, uint16_t vlan)
{
	uint64_t word;

	__builtin_memcpy(&word, mac, sizeof word);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	word &= 0xffffffffffffu;
#else
	word >>= 16;
#endif
	return word | (uint64_t)vlan << 48 | 1ull << 63;
}

/* Notes that 'key' was a source at 'port'. 'now_ms' is monotonic and may wrap. */
enum gn_fdb_learn gn_fdb_learn(struct gn_fdb *fdb, uint64_t key, uint16_t port, uint32_t now_ms);

/* The same for up to 32 packets; returns a bit for each that is GN_FDB_REFUSED. */
uint32_t gn_fdb_learn_burst(struct gn_fdb *fdb, const uint64_t *keys, unsigned n, uint16_t port,
                            uint32_t now_ms);

/* The port, or GN_FDB_NO_PORT when unknown or older than GN_FDB_AGE_MS. */
uint16_t gn_fdb_lookup(const struct gn_fdb *fdb, uint64_t key, uint32_t now_ms);

/* The same for up to 32 packets, whose table entries are fetched side by side. */
void gn_fdb_lookup_burst(const struct gn_fdb *fdb, const uint64_t *keys, unsigned n,
                         uint32_t now_ms, uint16_t *ports);

/* Looks at the next 'n_slots' slots and removes what is too old. All slots must be
 * visited at least once in 24 days. */
void gn_fdb_age(struct gn_fdb *fdb, uint32_t n_slots, uint32_t now_ms);

uint32_t gn_fdb_count(const struct gn_fdb *fdb);

#endif
