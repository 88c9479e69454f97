/* ledger.h - what a host has and what is promised of it, now and later.
 *
 * Every VM, every shadow that may be promoted and every move under way holds one entry: its
 * owner, the reason, how much of each resource it was promised, from when and until when. A
 * VM's entry covers its predicted peak, a shadow's what the VM would need after a promotion,
 * so a failover never finds the host full.
 *
 * Promises are taken all or none: every resource of every change of a transaction, at every
 * instant that its entries cover, or nothing. What is there already (a VM that runs) is
 * recorded as it is, even when that is more than the host has; then nothing is free until
 * something goes.
 *
 * Pure; entries and edges are the caller's arrays. Sums are kept, so a promise without dates
 * costs the same however many VMs there are; with dates it costs the number of dates ahead.
 * An entry is found by its index, which stays the same until it is released. */
#ifndef GN_LEDGER_H
#define GN_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#define GN_LEDGER_OWNER_SIZE  129
#define GN_LEDGER_REASON_SIZE 96
#define GN_LEDGER_NONE        UINT32_MAX
#define GN_LEDGER_UNBOUNDED   UINT64_MAX /* a capacity that is not known: never short */

#define GN_LEDGER_RESOURCES(X)                                                                     \
	X(CPU, cpu_milli, "CPU")                                                                   \
	X(MEMORY, memory_bytes, "memory")                                                          \
	X(UPLINK, uplink_bps, "uplink bandwidth")                                                  \
	X(POOL, pool_bytes, "pool space")                                                          \
	X(OPERATIONS, operations, "disk operations")

enum gn_ledger_resource {
#define GN_LEDGER_ENUM(name, field, text) GN_LEDGER_##name,
	GN_LEDGER_RESOURCES(GN_LEDGER_ENUM)
#undef GN_LEDGER_ENUM
	        GN_LEDGER_N_RESOURCES
};
const char *gn_ledger_resource_text(enum gn_ledger_resource resource);

/* Each at most 2^48. */
struct gn_ledger_amount {
	union {
		struct {
#define GN_LEDGER_FIELD(name, field, text) uint64_t field;
			GN_LEDGER_RESOURCES(GN_LEDGER_FIELD)
#undef GN_LEDGER_FIELD
		};
		uint64_t of[GN_LEDGER_N_RESOURCES];
	};
};

struct gn_ledger_entry {
	char owner[GN_LEDGER_OWNER_SIZE]; /* empty: free */
	char reason[GN_LEDGER_REASON_SIZE];
	struct gn_ledger_amount amount;
	uint64_t start_us; /* wall */
	uint64_t end_us;   /* wall; 0: open */
	bool began;        /* counted in 'promised' */
};

/* A date ahead at which an entry begins or ends. */
struct gn_ledger_edge {
	uint64_t at_us;
	uint32_t entry;
	bool begins;
};

struct gn_ledger {
	struct gn_ledger_entry *entries;
	uint32_t n_entries;
	struct gn_ledger_edge *edges; /* by date; room for two per entry */
	uint32_t n_edges;
	uint64_t now_us;
	struct gn_ledger_amount capacity; /* after over-commitment */
	struct gn_ledger_amount promised; /* now */
};

/* One entry's new amount, within a transaction. */
struct gn_ledger_change {
	uint32_t entry;
	struct gn_ledger_amount amount;
};

/* What a host has. Over-commit ratios are thousandths; 0 means 1000. */
struct gn_ledger_host {
	struct gn_ledger_amount has;
	struct gn_ledger_amount kept; /* for the host itself, after over-commitment */
	uint32_t overcommit_milli[GN_LEDGER_N_RESOURCES];
};

/* 'edges' has room for 2 * n_entries. Every capacity is 0 until the host is known. */
void gn_ledger_init(struct gn_ledger *ledger, struct gn_ledger_entry *entries,
                    struct gn_ledger_edge *edges, uint32_t n_entries);
void gn_ledger_set_host(struct gn_ledger *ledger, const struct gn_ledger_host *host);

/* Makes an entry with nothing promised yet, from now on; the one that exists when the owner has
 * one. GN_LEDGER_NONE: the array is full. Texts that are too long are cut. */
uint32_t gn_ledger_open(struct gn_ledger *ledger, const char *owner, const char *reason,
                        uint64_t now_us);
uint32_t gn_ledger_find(const struct gn_ledger *ledger, const char *owner);
/* Lets an entry begin later, or end by itself (0: never). */
void gn_ledger_set_start(struct gn_ledger *ledger, uint32_t entry, uint64_t start_us);
void gn_ledger_set_end(struct gn_ledger *ledger, uint32_t entry, uint64_t end_us);
/* Gives back all of it. An index that is free or out of range is ignored. */
void gn_ledger_release(struct gn_ledger *ledger, uint32_t entry);

/* What is there already. */
void gn_ledger_record(struct gn_ledger *ledger, uint32_t entry, struct gn_ledger_amount amount);

/* Would all changes together fit, for as long as their entries last? An entry that shrinks
 * always may. -ENOSPC: no. -ENOENT: an entry is free. -EINVAL: an amount is out of range, or an
 * entry twice. */
int gn_ledger_try(const struct gn_ledger *ledger, const struct gn_ledger_change *changes,
                  uint32_t n_changes);
/* The same, and takes them when they fit; otherwise nothing changes. */
int gn_ledger_take(struct gn_ledger *ledger, const struct gn_ledger_change *changes,
                   uint32_t n_changes);

/* Time goes on, never back: entries whose date has come begin, or are released. Returns how many
 * were released. */
uint32_t gn_ledger_advance(struct gn_ledger *ledger, uint64_t now_us);

/* Room that is free now and stays so, as far as dates are known; 0 when more is promised
 * than there is. */
struct gn_ledger_amount gn_ledger_room(const struct gn_ledger *ledger);

struct gn_ledger_fit {
	uint64_t from_us;                 /* first instant, not before the one asked for, at
	                                   * which it fits; UINT64_MAX: none */
	uint64_t until_us;                /* and it does until then; UINT64_MAX: no end known */
	enum gn_ledger_resource short_of; /* what lacks before 'from_us', or from 'until_us' on */
};

/* What if: would something of this size fit at 'from_us' (not in the past), and for how long?
 * 0: yes, at once. -ENOSPC: not then; 'out' says when, and what lacks until then. -EINVAL: an
 * amount is out of range. Changes nothing. */
int gn_ledger_what_if(const struct gn_ledger *ledger, const struct gn_ledger_amount *amount,
                      uint64_t from_us, struct gn_ledger_fit *out);

#endif
