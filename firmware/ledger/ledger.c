/* ledger.c - see ledger.h. Overflow: an amount is at most 2^48 and there are fewer than
 * 2^15 entries, so the sums stay below 2^63. Differences are kept modulo 2^64. */
#include "firmware/ledger/ledger.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define MAX_AMOUNT  ((uint64_t)1 << 48)
#define MAX_ENTRIES ((uint32_t)1 << 15)
#define N           GN_LEDGER_N_RESOURCES

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

const char *gn_ledger_resource_text(enum gn_ledger_resource resource)
{
	static const char *const texts[] = {
#define GN_LEDGER_TEXT(name, field, text) text,
	        GN_LEDGER_RESOURCES(GN_LEDGER_TEXT)
#undef GN_LEDGER_TEXT
	};

	return (unsigned)resource < N ? texts[resource] : "unknown";
}

void gn_ledger_init(struct gn_ledger *ledger, struct gn_ledger_entry *entries,
                    struct gn_ledger_edge *edges, uint32_t n_entries)
{
	assert(n_entries < MAX_ENTRIES);
	memset(entries, 0, sizeof *entries * n_entries);
	*ledger = (struct gn_ledger){.entries = entries, .edges = edges, .n_entries = n_entries};
}

void gn_ledger_set_host(struct gn_ledger *ledger, const struct gn_ledger_host *host)
{
	unsigned i;

	for (i = 0; i < N; i++) {
		uint64_t ratio = host->overcommit_milli[i] ? host->overcommit_milli[i] : 1000;
		uint64_t whole = host->has.of[i] / 1000, rest = host->has.of[i] % 1000;
		uint64_t gross;

		if (host->has.of[i] == GN_LEDGER_UNBOUNDED) {
			ledger->capacity.of[i] = GN_LEDGER_UNBOUNDED;
			continue;
		}
		gross = whole > MAX_AMOUNT / ratio ? MAX_AMOUNT
		                                   : whole * ratio + rest * ratio / 1000;
		gross = least(gross, MAX_AMOUNT);
		ledger->capacity.of[i] = gross - least(gross, host->kept.of[i]);
	}
}

/* ---- dates ahead ------------------------------------------------------------- */

static void add_edge(struct gn_ledger *ledger, uint64_t at_us, uint32_t entry, bool begins)
{
	uint32_t i = ledger->n_edges++;

	while (i > 0 && ledger->edges[i - 1].at_us > at_us) {
		ledger->edges[i] = ledger->edges[i - 1];
		i--;
	}
	ledger->edges[i] = (struct gn_ledger_edge){at_us, entry, begins};
}

static void remove_edge(struct gn_ledger *ledger, uint32_t entry, bool begins)
{
	uint32_t i, kept = 0;

	for (i = 0; i < ledger->n_edges; i++)
		if (ledger->edges[i].entry != entry || ledger->edges[i].begins != begins)
			ledger->edges[kept++] = ledger->edges[i];
	ledger->n_edges = kept;
}

static void add(struct gn_ledger_amount *sum, const struct gn_ledger_amount *amount)
{
	unsigned i;

	for (i = 0; i < N; i++)
		sum->of[i] += amount->of[i];
}

static void subtract(struct gn_ledger_amount *sum, const struct gn_ledger_amount *amount)
{
	unsigned i;

	for (i = 0; i < N; i++)
		sum->of[i] -= amount->of[i];
}

/* Takes 'level' over every edge of the same instant, from *at on. */
static void cross(const struct gn_ledger *ledger, uint32_t *at, struct gn_ledger_amount *level)
{
	uint64_t instant = ledger->edges[*at].at_us;

	for (; *at < ledger->n_edges && ledger->edges[*at].at_us == instant; (*at)++) {
		const struct gn_ledger_edge *edge = &ledger->edges[*at];

		if (edge->begins)
			add(level, &ledger->entries[edge->entry].amount);
		else
			subtract(level, &ledger->entries[edge->entry].amount);
	}
}

/* ---- entries ----------------------------------------------------------------- */

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
	e->began = true;
	return i;
}

void gn_ledger_set_start(struct gn_ledger *ledger, uint32_t entry, uint64_t start_us)
{
	struct gn_ledger_entry *e;

	if (!is_open(ledger, entry))
		return;
	e = &ledger->entries[entry];
	if (e->began)
		subtract(&ledger->promised, &e->amount);
	else
		remove_edge(ledger, entry, true);
	e->start_us = start_us;
	e->began = start_us <= ledger->now_us;
	if (e->began)
		add(&ledger->promised, &e->amount);
	else
		add_edge(ledger, start_us, entry, true);
}

void gn_ledger_set_end(struct gn_ledger *ledger, uint32_t entry, uint64_t end_us)
{
	struct gn_ledger_entry *e;

	if (!is_open(ledger, entry))
		return;
	e = &ledger->entries[entry];
	if (e->end_us)
		remove_edge(ledger, entry, false);
	e->end_us = end_us;
	if (end_us)
		add_edge(ledger, end_us, entry, false);
}

static void set_amount(struct gn_ledger *ledger, uint32_t entry,
                       const struct gn_ledger_amount *amount)
{
	struct gn_ledger_entry *e = &ledger->entries[entry];

	if (e->began) {
		subtract(&ledger->promised, &e->amount);
		add(&ledger->promised, amount);
	}
	e->amount = *amount;
}

void gn_ledger_release(struct gn_ledger *ledger, uint32_t entry)
{
	if (!is_open(ledger, entry))
		return;
	set_amount(ledger, entry, &(struct gn_ledger_amount){0});
	if (!ledger->entries[entry].began)
		remove_edge(ledger, entry, true);
	gn_ledger_set_end(ledger, entry, 0);
	memset(&ledger->entries[entry], 0, sizeof ledger->entries[entry]);
}

void gn_ledger_record(struct gn_ledger *ledger, uint32_t entry, struct gn_ledger_amount amount)
{
	unsigned i;

	if (!is_open(ledger, entry))
		return;
	for (i = 0; i < N; i++)
		amount.of[i] = least(amount.of[i], MAX_AMOUNT);
	set_amount(ledger, entry, &amount);
}

/* ---- transactions -------------------------------------------------------------- */

static bool in_range(const struct gn_ledger_amount *amount)
{
	unsigned i;

	for (i = 0; i < N; i++)
		if (amount->of[i] > MAX_AMOUNT)
			return false;
	return true;
}

static int check(const struct gn_ledger *ledger, const struct gn_ledger_change *changes,
                 uint32_t n_changes)
{
	uint32_t i, k;

	for (i = 0; i < n_changes; i++) {
		if (!is_open(ledger, changes[i].entry))
			return -ENOENT;
		for (k = 0; k < i; k++)
			if (changes[k].entry == changes[i].entry)
				return -EINVAL;
		if (!in_range(&changes[i].amount))
			return -EINVAL;
	}
	return 0;
}

/* Do the changes that count at this instant fit on top of 'level'? */
static bool fits_at(const struct gn_ledger *ledger, uint64_t at_us,
                    const struct gn_ledger_amount *level, const struct gn_ledger_change *changes,
                    uint32_t n_changes)
{
	struct gn_ledger_amount sum = *level;
	uint32_t i;
	unsigned r;

	for (i = 0; i < n_changes; i++) {
		const struct gn_ledger_entry *e = &ledger->entries[changes[i].entry];

		if ((!e->began && e->start_us > at_us) || (e->end_us && e->end_us <= at_us))
			continue;
		add(&sum, &changes[i].amount);
		subtract(&sum, &e->amount);
	}
	for (r = 0; r < N; r++)
		if (sum.of[r] > level->of[r] && sum.of[r] > ledger->capacity.of[r])
			return false;
	return true;
}

int gn_ledger_try(const struct gn_ledger *ledger, const struct gn_ledger_change *changes,
                  uint32_t n_changes)
{
	struct gn_ledger_amount level = ledger->promised;
	uint64_t at_us = ledger->now_us;
	int error = check(ledger, changes, n_changes);
	uint32_t edge = 0;

	if (error)
		return error;
	for (;;) {
		if (!fits_at(ledger, at_us, &level, changes, n_changes))
			return -ENOSPC;
		if (edge == ledger->n_edges)
			return 0;
		at_us = ledger->edges[edge].at_us;
		cross(ledger, &edge, &level);
	}
}

int gn_ledger_take(struct gn_ledger *ledger, const struct gn_ledger_change *changes,
                   uint32_t n_changes)
{
	int error = gn_ledger_try(ledger, changes, n_changes);
	uint32_t i;

	if (error)
		return error;
	for (i = 0; i < n_changes; i++)
		set_amount(ledger, changes[i].entry, &changes[i].amount);
	return 0;
}

/* ---- time ------------------------------------------------------------------------ */

uint32_t gn_ledger_advance(struct gn_ledger *ledger, uint64_t now_us)
{
	uint32_t n = 0;

	if (now_us > ledger->now_us)
		ledger->now_us = now_us;
	while (ledger->n_edges && ledger->edges[0].at_us <= ledger->now_us) {
		uint32_t entry = ledger->edges[0].entry;
		struct gn_ledger_entry *e = &ledger->entries[entry];

		if (!ledger->edges[0].begins) {
			gn_ledger_release(ledger, entry);
			n++;
			continue;
		}
		remove_edge(ledger, entry, true);
		e->began = true;
		add(&ledger->promised, &e->amount);
	}
	return n;
}

static uint64_t left_of(const struct gn_ledger *ledger, const struct gn_ledger_amount *level,
                        unsigned r)
{
	if (ledger->capacity.of[r] == GN_LEDGER_UNBOUNDED)
		return MAX_AMOUNT;
	return ledger->capacity.of[r] - least(ledger->capacity.of[r], level->of[r]);
}

struct gn_ledger_amount gn_ledger_room(const struct gn_ledger *ledger)
{
	struct gn_ledger_amount level = ledger->promised, room;
	uint32_t edge = 0;
	unsigned r;

	for (r = 0; r < N; r++)
		room.of[r] = left_of(ledger, &level, r);
	while (edge < ledger->n_edges) {
		cross(ledger, &edge, &level);
		for (r = 0; r < N; r++)
			room.of[r] = least(room.of[r], left_of(ledger, &level, r));
	}
	return room;
}

/* The first resource that lacks; N: none. */
static unsigned lacking(const struct gn_ledger *ledger, const struct gn_ledger_amount *level,
                        const struct gn_ledger_amount *amount)
{
	unsigned r;

	for (r = 0; r < N; r++)
		if (amount->of[r] > left_of(ledger, level, r))
			break;
	return r;
}

int gn_ledger_what_if(const struct gn_ledger *ledger, const struct gn_ledger_amount *amount,
                      uint64_t from_us, struct gn_ledger_fit *out)
{
	struct gn_ledger_amount level = ledger->promised;
	uint64_t at_us = from_us > ledger->now_us ? from_us : ledger->now_us;
	struct gn_ledger_fit fit = {UINT64_MAX, UINT64_MAX, GN_LEDGER_CPU};
	uint64_t asked_us = at_us;
	uint32_t edge = 0;

	if (!in_range(amount))
		return -EINVAL;
	while (edge < ledger->n_edges && ledger->edges[edge].at_us <= at_us)
		cross(ledger, &edge, &level);
	for (;;) {
		unsigned r = lacking(ledger, &level, amount);

		if (r == N && fit.from_us == UINT64_MAX)
			fit.from_us = at_us;
		if (r < N && (fit.from_us == UINT64_MAX || fit.from_us == asked_us))
			fit.short_of = (enum gn_ledger_resource)r;
		if (r < N && fit.from_us != UINT64_MAX) {
			fit.until_us = at_us;
			break;
		}
		if (edge == ledger->n_edges)
			break;
		at_us = ledger->edges[edge].at_us;
		cross(ledger, &edge, &level);
	}
	*out = fit;
	return fit.from_us == asked_us ? 0 : -ENOSPC;
}
