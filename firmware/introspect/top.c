/* top.c - two hash tables, the last pass's and this one's (top.h). */
#include "firmware/introspect/top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIN_SLOTS 256

struct slot {
	uint64_t start_ns;
	int32_t pid; /* 0: free */
	uint64_t runtime_ns;
	uint64_t minor_faults;
	uint64_t major_faults;
	uint64_t read_calls;
	uint64_t write_calls;
	uint64_t read_bytes;
	uint64_t write_bytes;
};

struct table {
	struct slot *slots;
	uint32_t n_slots; /* a power of two */
};

struct gn_top {
	struct table old;
	struct table now;
};

int gn_top_create(struct gn_top **out)
{
	*out = calloc(1, sizeof **out);
	return *out ? 0 : -ENOMEM;
}

void gn_top_destroy(struct gn_top *top)
{
	if (!top)
		return;
	free(top->old.slots);
	free(top->now.slots);
	free(top);
}

void gn_top_reset(struct gn_top *top)
{
	if (top->old.slots)
		memset(top->old.slots, 0, top->old.n_slots * sizeof *top->old.slots);
}

static bool make_room(struct table *table, uint32_t n)
{
	uint32_t n_slots = MIN_SLOTS;

	while (n_slots < 2 * n)
		n_slots *= 2;
	if (table->n_slots < n_slots) {
		free(table->slots);
		table->slots = malloc(n_slots * sizeof *table->slots);
		table->n_slots = table->slots ? n_slots : 0;
	}
	if (table->slots)
		memset(table->slots, 0, table->n_slots * sizeof *table->slots);
	return table->slots;
}

/* The process's slot, or the free one where it belongs. */
static struct slot *find(const struct table *table, int32_t pid, uint64_t start_ns)
{
	uint32_t at = (uint32_t)(((uint64_t)(uint32_t)pid * 0x9e3779b97f4a7c15u) >> 32);

	for (;; at++) {
		struct slot *slot = &table->slots[at & (table->n_slots - 1)];

		if (!slot->pid || (slot->pid == pid && slot->start_ns == start_ns))
			return slot;
	}
}

static uint64_t grown(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static void compare(const struct gn_top *top, const struct gn_process *p, struct gn_top_entry *out)
{
	const struct slot *old = top->old.slots ? find(&top->old, p->pid, p->start_ns) : NULL;

	memset(out, 0, sizeof *out);
	out->process = *p;
	if (!old || !old->pid)
		return;
	out->runtime_ns = grown(p->runtime_ns, old->runtime_ns);
	out->minor_faults = grown(p->minor_faults, old->minor_faults);
	out->major_faults = grown(p->major_faults, old->major_faults);
	out->read_calls = grown(p->read_calls, old->read_calls);
	out->write_calls = grown(p->write_calls, old->write_calls);
	out->read_bytes = grown(p->read_bytes, old->read_bytes);
	out->write_bytes = grown(p->write_bytes, old->write_bytes);
}

static void remember(struct gn_top *top, const struct gn_process *p)
{
	struct slot *slot = find(&top->now, p->pid, p->start_ns);

	*slot = (struct slot){p->start_ns,     p->pid,          p->runtime_ns,
	                      p->minor_faults, p->major_faults, p->read_calls,
	                      p->write_calls,  p->read_bytes,   p->write_bytes};
}

/* ---- the first ones ----------------------------------------------------------------------- */

struct ranking {
	uint64_t (*key)(const struct gn_top_entry *entry);
	unsigned n;
	struct gn_top_entry best[GN_TOP_MAX_N]; /* descending */
};

static uint64_t by_cpu(const struct gn_top_entry *e)
{
	return e->runtime_ns;
}

static uint64_t by_memory(const struct gn_top_entry *e)
{
	return e->process.rss_pages;
}

/* A call without bytes still counts. */
static uint64_t by_io(const struct gn_top_entry *e)
{
	return e->read_bytes + e->write_bytes + e->read_calls + e->write_calls;
}

static void rank(struct ranking *r, unsigned most, const struct gn_top_entry *entry)
{
	uint64_t key = r->key(entry);
	unsigned at = r->n;

	if (!key || (r->n == most && key <= r->key(&r->best[most - 1])))
		return;
	while (at && r->key(&r->best[at - 1]) < key)
		at--;
	if (r->n < most)
		r->n++;
	memmove(&r->best[at + 1], &r->best[at], (r->n - 1 - at) * sizeof *r->best);
	r->best[at] = *entry;
}

static unsigned merge(const struct ranking *r, struct gn_top_entry *out, unsigned n)
{
	for (unsigned i = 0; i < r->n; i++) {
		unsigned k = 0;

		while (k < n && out[k].process.task != r->best[i].process.task)
			k++;
		if (k == n)
			out[n++] = r->best[i];
	}
	return n;
}

unsigned gn_top_update(struct gn_top *top, const struct gn_walk *walk, unsigned most,
                       struct gn_top_entry *out)
{
	struct ranking cpu = {.key = by_cpu}, memory = {.key = by_memory}, io = {.key = by_io};
	struct table swap;
	unsigned n;

	if (!most || most > GN_TOP_MAX_N || !make_room(&top->now, walk->n))
		return 0;
	for (uint32_t i = 0; i < walk->n; i++) {
		struct gn_top_entry entry;

		if (walk->processes[i].pid <= 0)
			continue;
		compare(top, &walk->processes[i], &entry);
		remember(top, &walk->processes[i]);
		rank(&cpu, most, &entry);
		rank(&memory, most, &entry);
		rank(&io, most, &entry);
	}
	swap = top->old;
	top->old = top->now;
	top->now = swap;
	n = merge(&cpu, out, 0);
	n = merge(&memory, out, n);
	return merge(&io, out, n);
}
