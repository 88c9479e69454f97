/* ledger.c - see ledger.h. Overflow: an amount is at most 2^48 and there are fewer than
 * 2^15 entries, so the sums stay below 2^63. */
#include "firmware/ledger/ledger.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define MAX_AMOUNT  ((uint64_t)1 << 48)
#define MAX_ENTRIES ((uint32_t)1 << 15)

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void gn_ledger_init(struct gn_ledger *ledger, struct gn_ledger_entry *entries, uint32_t n_entries)
{
	assert(n_entries < MAX_ENTRIES);
	memset(entries, 0, sizeof *entries * n_entries);
	*ledger = (struct gn_ledger){.entries = entries, .n_entries = n_entries};
}

void gn_ledger_set_host(struct gn_ledger *ledger, uint32_t cpus, uint32_t overcommit_milli,
                        uint64_t memory_bytes, uint64_t reserve_bytes)
{
	/* cpus * 1000 * overcommit / 1000 */
	ledger->capacity.cpu_milli = least((uint64_t)cpus * overcommit_milli, MAX_AMOUNT);
	memory_bytes = least(memory_bytes, MAX_AMOUNT);
	ledger->capacity.memory_bytes =
	        memory_bytes > reserve_bytes ? memory_bytes - reserve_bytes : 0;
}

static void copy_text(char *to, size_t size, const char *from)
{
	const char *end = memchr(from, '\0', size - 1);
	size_t n = end ? (size_t)(end - from) : size - 1;

	memcpy(to, from, n);
	to[n] = '\0';
}

static bool is_open(const struct gn_ledger *ledger, uint32_t entry)
{
	return entry < ledger->n_entries && ledger->entries[entry].owner[0];
}

uint32_t gn_ledger_find(const struct gn_ledger *ledger, const char *owner)
{
	uint32_t i;

	for (i = 0; i < ledger->n_entries; i++)
		if (is_open(ledger, i) && strcmp(ledger->entries[i].owner, owner) == 0)
			return i;
	return GN_LEDGER_NONE;
}

uint32_t gn_ledger_open(struct gn_ledger *ledger, const char *owner, const char *reason,
                        uint64_t now_us)
{
	uint32_t i = gn_ledger_find(ledger, owner);
	struct gn_ledger_entry *e;

	assert(owner[0]);
	if (i != GN_LEDGER_NONE)
		return i;
	for (i = 0; i < ledger->n_entries && is_open(ledger, i); i++)
		;
	if (i == ledger->n_entries)
		return GN_LEDGER_NONE;
	e = &ledger->entries[i];
	memset(e, 0, sizeof *e);
	copy_text(e->owner, sizeof e->owner, owner);
	copy_text(e->reason, sizeof e->reason, reason);
	e->start_us = now_us;
	return i;
}

static void set_amount(struct gn_ledger *ledger, uint32_t entry, struct gn_ledger_amount amount)
{
	struct gn_ledger_amount *held = &ledger->entries[entry].amount;

	ledger->promised.cpu_milli += amount.cpu_milli - held->cpu_milli;
	ledger->promised.memory_bytes += amount.memory_bytes - held->memory_bytes;
	*held = amount;
}

void gn_ledger_release(struct gn_ledger *ledger, uint32_t entry)
{
	if (!is_open(ledger, entry))
		return;
	set_amount(ledger, entry, (struct gn_ledger_amount){0});
	memset(&ledger->entries[entry], 0, sizeof ledger->entries[entry]);
}

void gn_ledger_record(struct gn_ledger *ledger, uint32_t entry, struct gn_ledger_amount amount)
{
	if (!is_open(ledger, entry))
		return;
	amount.cpu_milli = least(amount.cpu_milli, MAX_AMOUNT);
	amount.memory_bytes = least(amount.memory_bytes, MAX_AMOUNT);
	set_amount(ledger, entry, amount);
}

int gn_ledger_try(const struct gn_ledger *ledger, const struct gn_ledger_change *changes,
                  uint32_t n_changes)
{
	struct gn_ledger_amount sum = ledger->promised;
	bool more_cpu = false, more_memory = false;
	uint32_t i, k;

	for (i = 0; i < n_changes; i++) {
		const struct gn_ledger_amount *wanted = &changes[i].amount, *held;

		if (!is_open(ledger, changes[i].entry))
			return -ENOENT;
		for (k = 0; k < i; k++)
			if (changes[k].entry == changes[i].entry)
				return -EINVAL;
		if (wanted->cpu_milli > MAX_AMOUNT || wanted->memory_bytes > MAX_AMOUNT)
			return -EINVAL;
		held = &ledger->entries[changes[i].entry].amount;
		sum.cpu_milli += wanted->cpu_milli - held->cpu_milli;
		sum.memory_bytes += wanted->memory_bytes - held->memory_bytes;
	}
	more_cpu = sum.cpu_milli > ledger->promised.cpu_milli;
	more_memory = sum.memory_bytes > ledger->promised.memory_bytes;
	if ((more_cpu && sum.cpu_milli > ledger->capacity.cpu_milli) ||
	    (more_memory && sum.memory_bytes > ledger->capacity.memory_bytes))
		return -ENOSPC;
	return 0;
}

int gn_ledger_take(struct gn_ledger *ledger, const struct gn_ledger_change *changes,
                   uint32_t n_changes)
{
	int error = gn_ledger_try(ledger, changes, n_changes);
	uint32_t i;

	if (error)
		return error;
	for (i = 0; i < n_changes; i++)
		set_amount(ledger, changes[i].entry, changes[i].amount);
	return 0;
}

uint32_t gn_ledger_expire(struct gn_ledger *ledger, uint64_t now_us)
{
	uint32_t i, n = 0;

	for (i = 0; i < ledger->n_entries; i++) {
		if (!is_open(ledger, i) || !ledger->entries[i].end_us ||
		    ledger->entries[i].end_us > now_us)
			continue;
		gn_ledger_release(ledger, i);
		n++;
	}
	return n;
}

struct gn_ledger_amount gn_ledger_room(const struct gn_ledger *ledger)
{
	const struct gn_ledger_amount *c = &ledger->capacity, *p = &ledger->promised;

	return (struct gn_ledger_amount){
	        .cpu_milli = c->cpu_milli > p->cpu_milli ? c->cpu_milli - p->cpu_milli : 0,
	        .memory_bytes =
	                c->memory_bytes > p->memory_bytes ? c->memory_bytes - p->memory_bytes : 0,
	};
}
