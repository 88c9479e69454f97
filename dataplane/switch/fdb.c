/* fdb.c - see fdb.h. Linear probing; deletion shifts the cluster back, so there are no
 * tombstones and a probe ends at the first empty slot. */
#include "dataplane/switch/fdb.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MASK       (GN_FDB_SLOTS - 1)
#define HUGE_BYTES (2u << 20)

enum { ENTRY_OWN = 1 }; /* the port's own address: neither moves nor ages */

struct entry {
	uint64_t key; /* 0: empty */
	uint32_t seen_ms;
	uint16_t port;
	uint16_t flags;
};

/* The newest sources, so that most packets do not touch the table. */
#define N_RECENT 16

struct recent {
	uint64_t key;
	uint32_t seen_ms;
};

struct port {
	bool used;
	bool uplink;
	bool connected;
	uint32_t quota;
	uint32_t n_entries;
	uint64_t own_key;    /* 0: none yet */
	uint32_t moves_from; /* start of the current second of moves */
	uint32_t n_moves;
	struct recent recent[N_RECENT]; /* by the address's last byte */
};

struct gn_fdb {
	struct entry *entries;
	uint64_t seed[2];
	uint32_t n_entries;
	uint32_t cursor; /* of ageing */
	unsigned n_uplinks;
	struct port ports[GN_FDB_MAX_PORTS];
};

/* The multiply-and-fold step of wyhash with both factors secret. */
static inline uint32_t slot_of(const struct gn_fdb *fdb, uint64_t key)
{
	unsigned __int128 product = (unsigned __int128)(key ^ fdb->seed[0]) * fdb->seed[1];

	return (uint32_t)((uint64_t)product ^ (uint64_t)(product >> 64)) & MASK;
}

int gn_fdb_create(const uint64_t seed[2], struct gn_fdb **out)
{
	struct gn_fdb *fdb = calloc(1, sizeof *fdb);
	size_t size = GN_FDB_SLOTS * sizeof(struct entry);

	if (!fdb)
		return -ENOMEM;
	fdb->entries = aligned_alloc(HUGE_BYTES, size);
	if (!fdb->entries) {
		free(fdb);
		return -ENOMEM;
	}
	madvise(fdb->entries, size, MADV_HUGEPAGE); /* a wish: fewer TLB misses */
	memset(fdb->entries, 0, size);
	fdb->seed[0] = seed[0];
	fdb->seed[1] = seed[1] | 1;
	*out = fdb;
	return 0;
}

void gn_fdb_destroy(struct gn_fdb *fdb)
{
	if (!fdb)
		return;
	free(fdb->entries);
	free(fdb);
}

static inline struct entry *find_from(const struct gn_fdb *fdb, uint64_t key, uint32_t slot)
{
	unsigned i;

	for (i = 0; i < GN_FDB_MAX_PROBES; i++, slot = (slot + 1) & MASK) {
		struct entry *entry = &fdb->entries[slot];

		if (entry->key == key)
			return entry;
		if (!entry->key)
			return NULL;
	}
	return NULL;
}

static struct entry *find(const struct gn_fdb *fdb, uint64_t key)
{
	return find_from(fdb, key, slot_of(fdb, key));
}

/* Entries whose home lies at or before the hole move into it, up to the cluster's end. */
static void remove_slot(struct gn_fdb *fdb, uint32_t hole)
{
	uint32_t slot = hole;

	fdb->ports[fdb->entries[hole].port].n_entries--;
	fdb->n_entries--;
	for (;;) {
		uint32_t home;

		slot = (slot + 1) & MASK;
		if (!fdb->entries[slot].key)
			break;
		home = slot_of(fdb, fdb->entries[slot].key);
		if (((slot - home) & MASK) < ((slot - hole) & MASK))
			continue;
		fdb->entries[hole] = fdb->entries[slot];
		hole = slot;
	}
	memset(&fdb->entries[hole], 0, sizeof fdb->entries[hole]);
}

int gn_fdb_port_add(struct gn_fdb *fdb, uint16_t port, bool uplink)
{
	assert(port < GN_FDB_MAX_PORTS && !fdb->ports[port].used);
	if (uplink && fdb->n_uplinks == GN_FDB_MAX_UPLINKS)
		return -ENOSPC;
	fdb->n_uplinks += uplink;
	fdb->ports[port] =
	        (struct port){.used = true,
	                      .uplink = uplink,
	                      .quota = uplink ? GN_FDB_UPLINK_QUOTA : GN_FDB_GUEST_QUOTA};
	return 0;
}

void gn_fdb_port_remove(struct gn_fdb *fdb, uint16_t port)
{
	struct port *p = &fdb->ports[port];
	uint32_t slot;

	if (!p->used)
		return;
	/* Twice around at the seam: a shift may carry an entry from the start to the end. */
	for (slot = 0; slot < GN_FDB_SLOTS + GN_FDB_MAX_PROBES && p->n_entries; slot++)
		while (fdb->entries[slot & MASK].key && fdb->entries[slot & MASK].port == port)
			remove_slot(fdb, slot & MASK);
	fdb->n_uplinks -= p->uplink;
	p->used = false;
}

void gn_fdb_port_connected(struct gn_fdb *fdb, uint16_t port, bool connected)
{
	struct port *p = &fdb->ports[port];
	struct entry *own = p->own_key ? find(fdb, p->own_key) : NULL;

	p->connected = connected;
	p->own_key = 0;
	memset(p->recent, 0, sizeof p->recent);
	if (own && own->port == port)
		own->flags &= (uint16_t)~ENTRY_OWN;
}

static bool expired(const struct entry *entry, uint32_t now_ms)
{
	return !(entry->flags & ENTRY_OWN) && now_ms - entry->seen_ms > GN_FDB_AGE_MS;
}

static bool take_move(struct port *port, uint32_t now_ms)
{
	if (now_ms - port->moves_from >= 1000) {
		port->moves_from = now_ms;
		port->n_moves = 0;
	}
	return port->n_moves++ < GN_FDB_MAX_MOVES;
}

/* The rules of fdb.h, for an address that is at 'from'. */
static enum gn_fdb_learn may_move(const struct entry *entry, const struct port *from,
                                  struct port *to, uint32_t now_ms)
{
	if (expired(entry, now_ms))
		return GN_FDB_KNOWN;
	if (from->uplink && !to->uplink)
		return now_ms - entry->seen_ms >= GN_FDB_HOLD_MS ? GN_FDB_KNOWN : GN_FDB_NOT_NOW;
	if (from->uplink || !from->connected)
		return GN_FDB_KNOWN;
	if ((entry->flags & ENTRY_OWN) || to->uplink)
		return GN_FDB_REFUSED;
	return take_move(to, now_ms) ? GN_FDB_KNOWN : GN_FDB_REFUSED;
}

static void claim_own(struct port *port, struct entry *entry)
{
	if (port->own_key || port->uplink || !port->connected)
		return;
	port->own_key = entry->key;
	entry->flags |= ENTRY_OWN;
}

static enum gn_fdb_learn move(struct gn_fdb *fdb, struct entry *entry, uint16_t port,
                              uint32_t now_ms)
{
	struct port *to = &fdb->ports[port];
	struct port *from = &fdb->ports[entry->port];
	enum gn_fdb_learn verdict = may_move(entry, from, to, now_ms);

	if (verdict != GN_FDB_KNOWN)
		return verdict;
	if (to->n_entries >= to->quota)
		return GN_FDB_NOT_NOW;
	from->n_entries--;
	to->n_entries++;
	entry->port = port;
	entry->flags = 0;
	entry->seen_ms = now_ms;
	claim_own(to, entry);
	return GN_FDB_KNOWN;
}

static enum gn_fdb_learn insert(struct gn_fdb *fdb, uint64_t key, uint16_t port, uint32_t now_ms)
{
	struct port *p = &fdb->ports[port];
	uint32_t slot = slot_of(fdb, key);
	unsigned i;

	if (p->n_entries >= p->quota)
		return GN_FDB_NOT_NOW;
	for (i = 0; i < GN_FDB_MAX_PROBES; i++, slot = (slot + 1) & MASK) {
		struct entry *entry = &fdb->entries[slot];

		if (entry->key)
			continue;
		*entry = (struct entry){.key = key, .port = port, .seen_ms = now_ms};
		p->n_entries++;
		fdb->n_entries++;
		claim_own(p, entry);
		return GN_FDB_KNOWN;
	}
	return GN_FDB_NOT_NOW;
}

enum gn_fdb_learn gn_fdb_learn(struct gn_fdb *fdb, uint64_t key, uint16_t port, uint32_t now_ms)
{
	struct entry *entry = find(fdb, key);

	if (!entry)
		return insert(fdb, key, port, now_ms);
	if (entry->port != port)
		return move(fdb, entry, port, now_ms);
	entry->seen_ms = now_ms;
	claim_own(&fdb->ports[port], entry);
	return GN_FDB_KNOWN;
}

uint32_t gn_fdb_learn_burst(struct gn_fdb *fdb, const uint64_t *keys, unsigned n, uint16_t port,
                            uint32_t now_ms)
{
	struct recent *recent = fdb->ports[port].recent;
	uint32_t refused = 0;
	unsigned i;

	for (i = 0; i < n; i++) {
		struct recent *known = &recent[keys[i] >> 40 & (N_RECENT - 1)];
		enum gn_fdb_learn verdict;

		if (__builtin_expect(known->key == keys[i] && known->seen_ms == now_ms, 1))
			continue;
		verdict = gn_fdb_learn(fdb, keys[i], port, now_ms);
		if (verdict == GN_FDB_KNOWN)
			*known = (struct recent){keys[i], now_ms};
		else if (verdict == GN_FDB_REFUSED)
			refused |= 1u << i;
	}
	return refused;
}

static inline uint16_t port_of(const struct entry *entry, uint32_t now_ms)
{
	return entry && !expired(entry, now_ms) ? entry->port : GN_FDB_NO_PORT;
}

uint16_t gn_fdb_lookup(const struct gn_fdb *fdb, uint64_t key, uint32_t now_ms)
{
	return port_of(find(fdb, key), now_ms);
}

void gn_fdb_lookup_burst(const struct gn_fdb *fdb, const uint64_t *keys, unsigned n,
                         uint32_t now_ms, uint16_t *ports)
{
	uint32_t slots[GN_FDB_MAX_BURST];
	unsigned i;

	for (i = 0; i < n; i++) {
		slots[i] = slot_of(fdb, keys[i]);
		__builtin_prefetch(&fdb->entries[slots[i]]);
	}
	for (i = 0; i < n; i++)
		ports[i] = i && keys[i] == keys[i - 1]
		                   ? ports[i - 1]
		                   : port_of(find_from(fdb, keys[i], slots[i]), now_ms);
}

void gn_fdb_age(struct gn_fdb *fdb, uint32_t n_slots, uint32_t now_ms)
{
	while (n_slots--) {
		while (fdb->entries[fdb->cursor].key && expired(&fdb->entries[fdb->cursor], now_ms))
			remove_slot(fdb, fdb->cursor);
		fdb->cursor = (fdb->cursor + 1) & MASK;
	}
}

uint32_t gn_fdb_count(const struct gn_fdb *fdb)
{
	return fdb->n_entries;
}
