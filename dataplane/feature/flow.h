/* flow.h - the table of a VM's TCP connections. Internal to feature/.
 *
 * Fixed size, 8-way set-associative. A set's line holds a tag, a state and the time of the
 * last packet of each of its flows, so looking up and choosing a victim touch one cache
 * line, and a match one more. The hash is keyed, so nobody outside can choose which flows
 * share a set; whoever could would only push flows out of it.
 *
 * Victims, in this order: free, closed, then the longest idle, where a half-open flow
 * counts as GN_FLOW_HALF_OPEN_MALUS_S older than it is: a SYN flood displaces itself before it
 * displaces connections.
 *
 * Pure. Owner: lcore. */
#ifndef GN_DATAPLANE_FLOW_H
#define GN_DATAPLANE_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "dataplane/feature/http.h"
#include "dataplane/feature/packet.h"

#define GN_FLOW_WAYS              8
#define GN_FLOW_HALF_OPEN_MALUS_S 60
/* Idle flows are retired after: */
#define GN_FLOW_OPEN_IDLE_S  3600
#define GN_FLOW_OTHER_IDLE_S 120

enum gn_flow_state {
	GN_FLOW_FREE,
	GN_FLOW_CLOSED,    /* kept so that stragglers do not look like new connections */
	GN_FLOW_HALF_OPEN, /* handshake under way */
	GN_FLOW_OPEN,
};

/* Local is the VM's side: source of what it sends, destination of what it receives. */
struct gn_flow_key {
	uint64_t ends;         /* both ports, VLAN, IP version */
	uint64_t addresses[4]; /* IPv6: local, remote; IPv4: both in the first, else zero */
};

/* Bits of gn_flow.seen; index by direction: GN_FLOW_SYN << direction. */
enum {
	GN_FLOW_SYN = 1 << 0,
	GN_FLOW_SYN_ACKED = 1 << 2, /* the SYN sent in this direction was acknowledged */
	GN_FLOW_FIN = 1 << 4,
	GN_FLOW_NEXT = 1 << 6, /* next[direction] is known */
};

enum {
	GN_FLOW_MIDSTREAM = 1 << 0, /* taken up without its handshake */
	GN_FLOW_UNTIMED = 1 << 1,   /* first SYN not seen: no handshake time */
};

enum gn_flow_l7 { GN_FLOW_L7_UNKNOWN, GN_FLOW_L7_HTTP, GN_FLOW_L7_OTHER };

/* What every segment needs. */
struct gn_flow {
	struct gn_flow_key key;
	uint32_t next[2]; /* sequence number behind the newest byte, per direction */
	uint64_t syn_at;  /* TSC */
	uint8_t seen;
	uint8_t marks;
	uint8_t l7; /* enum gn_flow_l7 */
	uint8_t l7_tries;
	uint8_t strays[2]; /* segments far outside the stream, per direction */
} __attribute__((aligned(64)));

/* The newest gap in a stream. */
struct gn_flow_hole {
	uint32_t start;
	uint32_t end; /* == start: none */
	uint64_t at;  /* TSC when it appeared */
};

/* What few segments need. */
struct gn_flow_detail {
	struct gn_flow_hole holes[2];
	struct gn_http http;
} __attribute__((aligned(64)));

struct gn_flow_set {
	uint16_t tags[GN_FLOW_WAYS];
	uint32_t used[GN_FLOW_WAYS]; /* TSC >> table.tick_shift of the last packet */
	uint8_t states[GN_FLOW_WAYS];
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct gn_flow) == 64 && sizeof(struct gn_flow_set) == 64 &&
                       sizeof(struct gn_flow_detail) == 192,
               "whole cache lines: 264 bytes a flow");

struct gn_flow_table {
	struct gn_flow_set *sets;
	struct gn_flow *flows;
	struct gn_flow_detail *details;
	uint64_t seed[2];
	uint64_t n_tracked; /* half-open and open */
	uint64_t n_evicted;
	uint32_t set_mask;
	uint32_t tick_shift;
	uint32_t ticks_per_s;
	uint32_t swept; /* next set to look at */
};

/* A flow, by number: set * GN_FLOW_WAYS + way. Negative: none. */
typedef int32_t gn_flow_id;

size_t gn_flow_table_size(uint32_t n_flows);
/* 'memory' is gn_flow_table_size() zeroed bytes, 64-byte aligned. */
void gn_flow_table_init(struct gn_flow_table *table, void *memory, uint32_t n_flows,
                        uint64_t tsc_hz, const uint64_t seed[2]);

/* Makes room for 'key', which must not be there, and zeroes its flow and detail. */
gn_flow_id gn_flow_insert(struct gn_flow_table *table, const struct gn_flow_key *key, uint64_t hash,
                          uint32_t tick, enum gn_flow_state state);

/* Forgets what is known about a connection, but for its key: the next one begins. */
void gn_flow_restart(struct gn_flow_table *table, gn_flow_id id);

/* Retires idle flows in the next sixteenth of the table. */
void gn_flow_sweep(struct gn_flow_table *table, uint32_t tick);

static inline struct gn_flow_set *gn_flow_set_of(const struct gn_flow_table *table, gn_flow_id id)
{
	return &table->sets[(uint32_t)id / GN_FLOW_WAYS];
}

static inline enum gn_flow_state gn_flow_state(const struct gn_flow_table *table, gn_flow_id id)
{
	return (enum gn_flow_state)gn_flow_set_of(table, id)->states[id % GN_FLOW_WAYS];
}

static inline bool gn_flow_is_tracked(enum gn_flow_state state)
{
	return state == GN_FLOW_HALF_OPEN || state == GN_FLOW_OPEN;
}

static inline void gn_flow_set_state(struct gn_flow_table *table, gn_flow_id id,
                                     enum gn_flow_state state)
{
	uint8_t *place = &gn_flow_set_of(table, id)->states[id % GN_FLOW_WAYS];

	table->n_tracked += gn_flow_is_tracked(state);
	table->n_tracked -= gn_flow_is_tracked((enum gn_flow_state) * place);
	*place = (uint8_t)state;
}

static inline void gn_flow_key_of(const struct gn_packet *packet, enum gn_direction direction,
                                  struct gn_flow_key *key)
{
	const union gn_packet_address *local = &packet->source, *remote = &packet->destination;
	uint64_t local_port = packet->source_port, remote_port = packet->destination_port;

	if (direction == GN_RX) {
		local = &packet->destination;
		remote = &packet->source;
		local_port = packet->destination_port;
		remote_port = packet->source_port;
	}
	key->ends = local_port << 48 | remote_port << 32 | (uint64_t)packet->vlan << 16 |
	            (packet->flags & GN_PACKET_IPV4);
	if (packet->flags & GN_PACKET_IPV4) {
		key->addresses[0] = local->v4 | (uint64_t)remote->v4 << 32;
		key->addresses[1] = 0;
		key->addresses[2] = 0;
		key->addresses[3] = 0;
	} else {
		key->addresses[0] = local->words[0];
		key->addresses[1] = local->words[1];
		key->addresses[2] = remote->words[0];
		key->addresses[3] = remote->words[1];
	}
}

static inline bool gn_flow_key_is_ipv4(const struct gn_flow_key *key)
{
	return key->ends & GN_PACKET_IPV4;
}

/* Both halves of the product of two words, folded: the step of wyhash. */
static inline uint64_t gn_flow_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

static inline uint64_t gn_flow_hash(const struct gn_flow_table *table,
                                    const struct gn_flow_key *key)
{
	uint64_t address = key->addresses[0];

	if (!gn_flow_key_is_ipv4(key))
		address = gn_flow_fold(key->addresses[0] ^ table->seed[1],
		                       key->addresses[1] ^ table->seed[0]) ^
		          gn_flow_fold(key->addresses[2] ^ ~table->seed[0],
		                       key->addresses[3] ^ ~table->seed[1]);
	return gn_flow_fold(address ^ table->seed[0], key->ends ^ table->seed[1]);
}

static inline struct gn_flow_set *gn_flow_set_for(const struct gn_flow_table *table, uint64_t hash)
{
	return &table->sets[(uint32_t)hash & table->set_mask];
}

static inline bool gn_flow_key_equal(const struct gn_flow_key *a, const struct gn_flow_key *b)
{
	uint64_t different = (a->ends ^ b->ends) | (a->addresses[0] ^ b->addresses[0]);

	if (!gn_flow_key_is_ipv4(a))
		for (unsigned i = 1; i < 4; i++)
			different |= a->addresses[i] ^ b->addresses[i];
	return !different;
}

static inline uint16_t gn_flow_tag(uint64_t hash)
{
	return (uint16_t)(hash >> 48);
}

/* Eight bits, all set or all clear, for each way of the set: has it that tag? In the compiler's
 * portable vectors: three instructions on x86-64 and arm64. */
static inline uint64_t gn_flow_match_tags(const struct gn_flow_set *set, uint16_t tag)
{
	typedef uint16_t gn_lanes __attribute__((vector_size(16), may_alias));
	typedef int8_t gn_narrow __attribute__((vector_size(8)));
	gn_lanes wanted = {tag, tag, tag, tag, tag, tag, tag, tag};
	gn_narrow equal =
	        __builtin_convertvector(*(const gn_lanes *)set->tags == wanted, gn_narrow);
	uint64_t mask;

	__builtin_memcpy(&mask, &equal, sizeof(mask));
	return mask;
}

static inline gn_flow_id gn_flow_id_of(const struct gn_flow_table *table,
                                       const struct gn_flow_set *set, unsigned way)
{
	return (gn_flow_id)((set - table->sets) * GN_FLOW_WAYS + way);
}

/* The flow with that key in its set, or -1. */
static inline gn_flow_id gn_flow_find_in(const struct gn_flow_table *table,
                                         const struct gn_flow_set *set,
                                         const struct gn_flow_key *key, uint16_t tag)
{
	uint64_t match = gn_flow_match_tags(set, tag);

	while (match) {
		unsigned shift = (unsigned)__builtin_ctzll(match);
		gn_flow_id id = gn_flow_id_of(table, set, shift / 8);

		if (set->states[shift / 8] != GN_FLOW_FREE &&
		    gn_flow_key_equal(key, &table->flows[id].key))
			return id;
		match &= ~(0xffull << shift);
	}
	return -1;
}

static inline gn_flow_id gn_flow_find(const struct gn_flow_table *table,
                                      const struct gn_flow_key *key, uint64_t hash)
{
	return gn_flow_find_in(table, gn_flow_set_for(table, hash), key, gn_flow_tag(hash));
}

#endif
