/* ledger_test.c - nothing is promised twice, nothing is half promised. */
#include "firmware/ledger/ledger.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define GIB ((uint64_t)1 << 30)
#define N   8

static struct gn_ledger_entry entries[N];
static struct gn_ledger_edge edges[2 * N];

static struct gn_ledger_amount amount(uint64_t cpu_milli, uint64_t memory_bytes)
{
	return (struct gn_ledger_amount){.cpu_milli = cpu_milli, .memory_bytes = memory_bytes};
}

static void set_host(struct gn_ledger *l, uint64_t cpus, uint32_t overcommit, uint64_t memory,
                     uint64_t reserve)
{
	struct gn_ledger_host host = {.has = amount(cpus * 1000, memory),
	                              .kept = amount(0, reserve),
	                              .overcommit_milli = {[GN_LEDGER_CPU] = overcommit}};

	host.has.uplink_bps = host.has.pool_bytes = host.has.operations = GN_LEDGER_UNBOUNDED;
	gn_ledger_set_host(l, &host);
}

static void set_up(struct gn_ledger *l)
{
	gn_ledger_init(l, entries, edges, N);
	set_host(l, 4, 1500, 8 * GIB, 2 * GIB); /* 6000 milli, 6 GiB */
}

static void capacity_is_the_host_less_its_reserve(void **state)
{
	static const struct {
		uint32_t cpus, overcommit;
		uint64_t memory, reserve, cpu, left;
	} cases[] = {
	        {4, 1000, 8 * GIB, GIB, 4000, 7 * GIB},
	        {2, 2000, GIB, 2 * GIB, 4000, 0},
	        {0, 1000, 0, 0, 0, 0},
	        {UINT32_MAX, UINT32_MAX, UINT64_MAX - 1, 0, (uint64_t)1 << 48, (uint64_t)1 << 48},
	        {3, 1500, 1001, 1, 4500, 1000},
	        {3, 0, GIB, 0, 3000, GIB}, /* no ratio: as it is */
	};
	struct gn_ledger l;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		gn_ledger_init(&l, entries, edges, N);
		set_host(&l, cases[i].cpus, cases[i].overcommit, cases[i].memory, cases[i].reserve);
		assert_int_equal(gn_ledger_room(&l).cpu_milli, cases[i].cpu);
		assert_int_equal(gn_ledger_room(&l).memory_bytes, cases[i].left);
	}
}

static void all_or_none(void **state)
{
	struct gn_ledger l;
	uint32_t a, b;
	struct gn_ledger_change changes[2];

	set_up(&l);
	a = gn_ledger_open(&l, "vms/a", "allocation", 1);
	b = gn_ledger_open(&l, "vms/b", "allocation", 1);
	changes[0] = (struct gn_ledger_change){a, amount(4000, GIB)};
	changes[1] = (struct gn_ledger_change){b, amount(1000, 6 * GIB)}; /* memory does not fit */
	assert_int_equal(gn_ledger_take(&l, changes, 2), -ENOSPC);
	assert_int_equal(gn_ledger_room(&l).cpu_milli, 6000);
	assert_int_equal(entries[a].amount.cpu_milli, 0);
	changes[1].amount.memory_bytes = 5 * GIB;
	assert_int_equal(gn_ledger_try(&l, changes, 2), 0);
	assert_int_equal(gn_ledger_room(&l).cpu_milli, 6000); /* what-if changes nothing */
	assert_int_equal(gn_ledger_take(&l, changes, 2), 0);
	assert_int_equal(gn_ledger_room(&l).cpu_milli, 1000);
	assert_int_equal(gn_ledger_room(&l).memory_bytes, 0);
	/* One gives what the other takes. */
	changes[0].amount = amount(1000, GIB);
	changes[1].amount = amount(5000, 5 * GIB);
	assert_int_equal(gn_ledger_take(&l, changes, 2), 0);
	assert_int_equal(gn_ledger_take(&l, changes, 1), 0); /* taking the same again is no more */
}

static void bad_changes_are_refused_whole(void **state)
{
	struct gn_ledger l;
	struct gn_ledger_change changes[2];
	uint32_t a;

	set_up(&l);
	a = gn_ledger_open(&l, "vms/a", "allocation", 1);
	changes[0] = (struct gn_ledger_change){a, amount(1000, 0)};
	changes[1] = (struct gn_ledger_change){a, amount(1000, 0)};
	assert_int_equal(gn_ledger_take(&l, changes, 2), -EINVAL); /* an entry twice */
	changes[1].entry = N - 1;
	assert_int_equal(gn_ledger_take(&l, changes, 2), -ENOENT);
	changes[1].entry = GN_LEDGER_NONE;
	assert_int_equal(gn_ledger_take(&l, changes, 2), -ENOENT);
	changes[0].amount.cpu_milli = UINT64_MAX;
	assert_int_equal(gn_ledger_take(&l, changes, 1), -EINVAL);
	assert_int_equal(l.promised.cpu_milli, 0);
}

static void what_is_there_is_recorded_even_beyond_the_capacity(void **state)
{
	struct gn_ledger l;
	struct gn_ledger_change change;
	uint32_t a, b;

	set_up(&l);
	a = gn_ledger_open(&l, "vms/a", "allocation", 1);
	b = gn_ledger_open(&l, "vms/b", "allocation", 1);
	gn_ledger_record(&l, a, amount(9000, GIB));
	assert_int_equal(gn_ledger_room(&l).cpu_milli, 0);
	change = (struct gn_ledger_change){b, amount(0, GIB)};
	assert_int_equal(gn_ledger_take(&l, &change, 1), 0); /* memory is not short */
	change.amount.cpu_milli = 1;
	assert_int_equal(gn_ledger_take(&l, &change, 1), -ENOSPC);
	change = (struct gn_ledger_change){a, amount(8000, GIB)};
	assert_int_equal(gn_ledger_take(&l, &change, 1), 0); /* shrinking is always allowed */
	gn_ledger_release(&l, a);
	assert_int_equal(gn_ledger_room(&l).cpu_milli, 6000);
	gn_ledger_release(&l, a); /* twice is harmless */
	gn_ledger_release(&l, GN_LEDGER_NONE);
	gn_ledger_record(&l, a, amount(1, 1));
	assert_int_equal(l.promised.cpu_milli, 0);
}

static void owners_are_found_and_the_array_has_an_end(void **state)
{
	char name[GN_LEDGER_OWNER_SIZE + 20];
	struct gn_ledger l;
	uint32_t i;

	set_up(&l);
	for (i = 0; i < N; i++) {
		char owner[] = "vms/0";

		owner[4] = (char)('0' + i);
		assert_int_equal(gn_ledger_open(&l, owner, "r", 1), i);
		assert_int_equal(gn_ledger_open(&l, owner, "r", 1), i);
	}
	assert_int_equal(gn_ledger_open(&l, "vms/x", "r", 1), GN_LEDGER_NONE);
	assert_int_equal(gn_ledger_find(&l, "vms/3"), 3);
	gn_ledger_release(&l, 3);
	assert_int_equal(gn_ledger_find(&l, "vms/3"), GN_LEDGER_NONE);
	memset(name, 'a', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	assert_int_equal(gn_ledger_open(&l, name, name, 1), 3); /* cut, not overrun */
	assert_int_equal(strlen(entries[3].owner), GN_LEDGER_OWNER_SIZE - 1);
}

static void ends_release(void **state)
{
	struct gn_ledger l;
	uint32_t a;

	set_up(&l);
	a = gn_ledger_open(&l, "vms/a/shadow", "shadow", 1);
	gn_ledger_record(&l, a, amount(1000, GIB));
	gn_ledger_set_end(&l, a, 50);
	gn_ledger_set_end(&l, a, 100); /* it stays longer */
	assert_int_equal(gn_ledger_advance(&l, 99), 0);
	assert_int_equal(gn_ledger_advance(&l, 100), 1);
	assert_int_equal(l.promised.memory_bytes, 0);
	assert_int_equal(l.n_edges, 0);
}

/* 6 vCPU: a has 4 until 100, b is promised 5 from 200 to 300. */
static void set_up_dates(struct gn_ledger *l, uint32_t *a, uint32_t *b)
{
	struct gn_ledger_change changes[2];

	set_up(l);
	*a = gn_ledger_open(l, "vms/a", "allocation", 1);
	gn_ledger_set_end(l, *a, 100);
	*b = gn_ledger_open(l, "vms/b", "night run", 1);
	gn_ledger_set_start(l, *b, 200);
	gn_ledger_set_end(l, *b, 300);
	changes[0] = (struct gn_ledger_change){*a, amount(4000, GIB)};
	changes[1] = (struct gn_ledger_change){*b, amount(5000, GIB)};
	assert_int_equal(gn_ledger_take(l, changes, 2), 0); /* never at the same time */
	assert_int_equal(l->promised.cpu_milli, 4000);
}

static void a_promise_holds_at_every_instant_it_covers(void **state)
{
	static const struct {
		uint64_t start, end, cpu;
		int want;
	} cases[] = {
	        {0, 0, 1000, 0},         {0, 0, 1001, -ENOSPC},    {0, 100, 2000, 0},
	        {0, 100, 2001, -ENOSPC}, {0, 200, 2000, 0},        {0, 201, 2000, -ENOSPC},
	        {100, 200, 6000, 0},     {99, 200, 6000, -ENOSPC}, {100, 201, 6000, -ENOSPC},
	        {300, 0, 6000, 0},       {299, 0, 6000, -ENOSPC},  {150, 0, 1000, 0},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_ledger_change change;
		struct gn_ledger l;
		uint32_t a, b;

		set_up_dates(&l, &a, &b);
		change.entry = gn_ledger_open(&l, "vms/c", "r", 1);
		if (cases[i].start)
			gn_ledger_set_start(&l, change.entry, cases[i].start);
		gn_ledger_set_end(&l, change.entry, cases[i].end);
		change.amount = amount(cases[i].cpu, GIB);
		assert_int_equal(gn_ledger_take(&l, &change, 1), cases[i].want);
	}
}

static void dates_come_and_go(void **state)
{
	struct gn_ledger l;
	uint32_t a, b;

	set_up_dates(&l, &a, &b);
	assert_int_equal(gn_ledger_room(&l).cpu_milli, 1000); /* what stays free */
	assert_int_equal(gn_ledger_advance(&l, 150), 1);
	assert_int_equal(l.promised.cpu_milli, 0);
	assert_int_equal(gn_ledger_find(&l, "vms/a"), GN_LEDGER_NONE);
	assert_int_equal(gn_ledger_advance(&l, 200), 0);
	assert_int_equal(l.promised.cpu_milli, 5000);
	assert_int_equal(gn_ledger_advance(&l, 100), 0); /* time never goes back */
	assert_int_equal(l.promised.cpu_milli, 5000);
	gn_ledger_set_start(&l, b, 250); /* postponed */
	assert_int_equal(l.promised.cpu_milli, 0);
	gn_ledger_release(&l, b);
	assert_int_equal(l.n_edges, 0);
}

static void what_if_tells_when_and_for_how_long(void **state)
{
	static const struct {
		uint64_t from, cpu;
		int want;
		uint64_t fits_from, until;
	} cases[] = {
	        {0, 1000, 0, 0, UINT64_MAX},
	        {0, 2000, 0, 0, 200},
	        {0, 3000, -ENOSPC, 100, 200},
	        {150, 3000, 0, 150, 200},
	        {250, 3000, -ENOSPC, 300, UINT64_MAX},
	        {400, 6000, 0, 400, UINT64_MAX},
	        {0, 6001, -ENOSPC, UINT64_MAX, UINT64_MAX},
	};
	struct gn_ledger_amount much = amount(0, 7 * GIB);
	struct gn_ledger_fit fit;
	struct gn_ledger l;
	uint32_t a, b;
	size_t i;

	set_up_dates(&l, &a, &b);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_ledger_amount it = amount(cases[i].cpu, GIB);

		assert_int_equal(gn_ledger_what_if(&l, &it, cases[i].from, &fit), cases[i].want);
		assert_int_equal(fit.from_us, cases[i].fits_from);
		assert_int_equal(fit.until_us, cases[i].until);
	}
	assert_int_equal(gn_ledger_what_if(&l, &much, 0, &fit), -ENOSPC);
	assert_string_equal(gn_ledger_resource_text(fit.short_of), "memory");
	much.pool_bytes = UINT64_MAX;
	assert_int_equal(gn_ledger_what_if(&l, &much, 0, &fit), -EINVAL);
}

static void every_resource_binds(void **state)
{
	struct gn_ledger_host host = {
	        .has = {{{1000, 1000, 1000, 1000, 1000}}},
	        .overcommit_milli = {[GN_LEDGER_UPLINK] = 2000},
	};
	struct gn_ledger_change change;
	struct gn_ledger l;
	unsigned r;

	gn_ledger_init(&l, entries, edges, N);
	gn_ledger_set_host(&l, &host);
	change.entry = gn_ledger_open(&l, "vms/a", "allocation", 1);
	for (r = 0; r < GN_LEDGER_N_RESOURCES; r++) {
		uint64_t most = r == GN_LEDGER_UPLINK ? 2000 : 1000;

		change.amount = (struct gn_ledger_amount){0};
		change.amount.of[r] = most + 1;
		assert_int_equal(gn_ledger_take(&l, &change, 1), -ENOSPC);
		change.amount.of[r] = most;
		assert_int_equal(gn_ledger_take(&l, &change, 1), 0);
	}
}

/* Counts again what the ledger sums, and walks its dates. */
static void check_sums(const struct gn_ledger *l)
{
	struct gn_ledger_amount sum = {0};
	unsigned i, n_dates = 0;

	for (i = 0; i < N; i++) {
		const struct gn_ledger_entry *e = &entries[i];

		if (!e->owner[0])
			continue;
		n_dates += !e->began + (e->end_us != 0);
		if (e->began) {
			sum.cpu_milli += e->amount.cpu_milli;
			sum.memory_bytes += e->amount.memory_bytes;
		}
	}
	assert_int_equal(sum.cpu_milli, l->promised.cpu_milli);
	assert_int_equal(sum.memory_bytes, l->promised.memory_bytes);
	assert_int_equal(n_dates, l->n_edges);
	for (i = 1; i < l->n_edges; i++)
		assert_true(l->edges[i - 1].at_us <= l->edges[i].at_us);
}

/* When nothing is recorded beyond the capacity, what was taken fits at every instant. */
static void random_dates_never_exceed_the_capacity(void **state)
{
	static const char *const owners[] = {"vms/a", "vms/b", "vms/c", "vms/d", "vms/e"};
	uint64_t seed = 42, now = 0;
	unsigned step, taken = 0;
	struct gn_ledger l;

	set_up(&l);
	for (step = 0; step < 100000; step++) {
		struct gn_ledger_change c;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		c.amount = amount((seed >> 20) % 4000, (seed >> 12) % (3 * GIB));
		c.entry = gn_ledger_open(&l, owners[(seed >> 33) % 5], "r", now);
		switch ((seed >> 40) % 6) {
		case 0:
			gn_ledger_release(&l, c.entry);
			break;
		case 1:
			now += (seed >> 50) % 50;
			gn_ledger_advance(&l, now);
			break;
		case 2: /* dates may be moved only while nothing is promised */
			gn_ledger_record(&l, c.entry, amount(0, 0));
			gn_ledger_set_start(&l, c.entry, now + (seed >> 50) % 100);
			gn_ledger_set_end(&l, c.entry, now + 100 + (seed >> 44) % 100);
			break;
		default:
			taken += gn_ledger_take(&l, &c, 1) == 0;
		}
		check_sums(&l);
		assert_true(l.promised.cpu_milli <= l.capacity.cpu_milli);
		assert_true(l.promised.memory_bytes <= l.capacity.memory_bytes);
	}
	assert_true(taken > 10000);
}

static void sums_equal_the_entries_after_any_sequence(void **state)
{
	uint64_t seed = 42, cpu, memory;
	struct gn_ledger l;
	unsigned step, i;

	set_up(&l);
	for (step = 0; step < 100000; step++) {
		struct gn_ledger_change c;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		c.entry = (uint32_t)(seed >> 33) % N;
		c.amount.cpu_milli = (seed >> 20) % 4000;
		c.amount.memory_bytes = (seed >> 12) % (3 * GIB);
		switch ((seed >> 40) % 5) {
		case 0:
			gn_ledger_open(&l, (const char *[]){"vms/a", "vms/b", "vms/c"}[c.entry % 3],
			               "r", 1);
			break;
		case 1:
			gn_ledger_release(&l, c.entry);
			break;
		case 2:
			gn_ledger_record(&l, c.entry, c.amount);
			break;
		default:
			if (gn_ledger_take(&l, &c, 1) == 0)
				assert_int_equal(entries[c.entry].amount.cpu_milli,
				                 c.amount.cpu_milli);
		}
		for (cpu = memory = i = 0; i < N; i++) {
			cpu += entries[i].amount.cpu_milli;
			memory += entries[i].amount.memory_bytes;
		}
		assert_int_equal(cpu, l.promised.cpu_milli);
		assert_int_equal(memory, l.promised.memory_bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(capacity_is_the_host_less_its_reserve),
	        cmocka_unit_test(all_or_none),
	        cmocka_unit_test(bad_changes_are_refused_whole),
	        cmocka_unit_test(what_is_there_is_recorded_even_beyond_the_capacity),
	        cmocka_unit_test(owners_are_found_and_the_array_has_an_end),
	        cmocka_unit_test(ends_release),
	        cmocka_unit_test(a_promise_holds_at_every_instant_it_covers),
	        cmocka_unit_test(dates_come_and_go),
	        cmocka_unit_test(what_if_tells_when_and_for_how_long),
	        cmocka_unit_test(every_resource_binds),
	        cmocka_unit_test(random_dates_never_exceed_the_capacity),
	        cmocka_unit_test(sums_equal_the_entries_after_any_sequence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
