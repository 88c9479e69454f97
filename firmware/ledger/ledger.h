/* ledger.h - what the host has and what is promised of it.
 *
 * Every VM and every shadow holds one entry: its owner, the reason and how much CPU and
 * memory it was promised. Promises are taken all or none: a plan that needs CPU and memory,
 * or a shadow that needs both, never gets half of it. What is there already (a VM that
 * runs) is recorded as it is, even when that is more than the host has; then nothing is
 * free until something goes.
 *
 * Pure; entries are the caller's array. Sums are kept, so room is known at once; an entry
 * is found by its index, which stays the same until it is released. */
#ifndef GN_LEDGER_H
#define GN_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#define GN_LEDGER_OWNER_SIZE  129
#define GN_LEDGER_REASON_SIZE 96
#define GN_LEDGER_NONE        UINT32_MAX

struct gn_ledger_amount {
	uint64_t cpu_milli; /* at most 2^48; so is memory */
	uint64_t memory_bytes;
};

struct gn_ledger_entry {
	char owner[GN_LEDGER_OWNER_SIZE]; /* empty: free */
	char reason[GN_LEDGER_REASON_SIZE];
	struct gn_ledger_amount amount;
	uint64_t start_us; /* wall */
	uint64_t end_us;   /* wall; 0: open */
};

struct gn_ledger {
	struct gn_ledger_entry *entries;
	uint32_t n_entries;
	struct gn_ledger_amount capacity;
	struct gn_ledger_amount promised;
};

/* One entry's new amount, within a transaction. */
struct gn_ledger_change {
	uint32_t entry;
	struct gn_ledger_amount amount;
};

void gn_ledger_init(struct gn_ledger *ledger, struct gn_ledger_entry *entries, uint32_t n_entries);

/* host CPUs * over-commit (thousandths), memory less what the host keeps for itself. */
void gn_ledger_set_host(struct gn_ledger *ledger, uint32_t cpus, uint32_t overcommit_milli,
                        uint64_t memory_bytes, uint64_t reserve_bytes);

/* Makes an entry with nothing promised yet; the one that exists when the owner has one.
 * GN_LEDGER_NONE: the array is full. Texts that are too long are cut. */
uint32_t gn_ledger_open(struct gn_ledger *ledger, const char *owner, const char *reason,
                        uint64_t now_us);
uint32_t gn_ledger_find(const struct gn_ledger *ledger, const char *owner);
/* Gives back all of it. An index that is free or out of range is ignored. */
void gn_ledger_release(struct gn_ledger *ledger, uint32_t entry);

/* What is there already. */
void gn_ledger_record(struct gn_ledger *ledger, uint32_t entry, struct gn_ledger_amount amount);

/* Would all changes together fit? An entry that shrinks always may. -ENOSPC: no.
 * -ENOENT: an entry is free. -EINVAL: an amount is out of range, or an entry twice. */
int gn_ledger_try(const struct gn_ledger *ledger, const struct gn_ledger_change *changes,
                  uint32_t n_changes);
/* The same, and takes them when they fit; otherwise nothing changes. */
int gn_ledger_take(struct gn_ledger *ledger, const struct gn_ledger_change *changes,
                   uint32_t n_changes);

/* Releases entries whose end has come; returns how many. */
uint32_t gn_ledger_expire(struct gn_ledger *ledger, uint64_t now_us);

/* Room left; 0 when more is promised than there is. */
struct gn_ledger_amount gn_ledger_room(const struct gn_ledger *ledger);

#endif
