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

static void set_up(struct gn_ledger *l)
{
	gn_ledger_init(l, entries, N);
	gn_ledger_set_host(l, 4, 1500, 8 * GIB, 2 * GIB); /* 6000 milli, 6 GiB */
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
	        {UINT32_MAX, UINT32_MAX, UINT64_MAX, 0, (uint64_t)1 << 48, (uint64_t)1 << 48},
	};
	struct gn_ledger l;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		gn_ledger_init(&l, entries, N);
		gn_ledger_set_host(&l, cases[i].cpus, cases[i].overcommit, cases[i].memory,
		                   cases[i].reserve);
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
	changes[0] = (struct gn_ledger_change){a, {4000, GIB}};
	changes[1] = (struct gn_ledger_change){b, {1000, 6 * GIB}}; /* memory does not fit */
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
	changes[0].amount = (struct gn_ledger_amount){1000, GIB};
	changes[1].amount = (struct gn_ledger_amount){5000, 5 * GIB};
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
	changes[0] = (struct gn_ledger_change){a, {1000, 0}};
	changes[1] = (struct gn_ledger_change){a, {1000, 0}};
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
	gn_ledger_record(&l, a, (struct gn_ledger_amount){9000, GIB});
	assert_int_equal(gn_ledger_room(&l).cpu_milli, 0);
	change = (struct gn_ledger_change){b, {0, GIB}};
	assert_int_equal(gn_ledger_take(&l, &change, 1), 0); /* memory is not short */
	change.amount.cpu_milli = 1;
	assert_int_equal(gn_ledger_take(&l, &change, 1), -ENOSPC);
	change = (struct gn_ledger_change){a, {8000, GIB}};
	assert_int_equal(gn_ledger_take(&l, &change, 1), 0); /* shrinking is always allowed */
	gn_ledger_release(&l, a);
	assert_int_equal(gn_ledger_room(&l).cpu_milli, 6000);
	gn_ledger_release(&l, a); /* twice is harmless */
	gn_ledger_release(&l, GN_LEDGER_NONE);
	gn_ledger_record(&l, a, (struct gn_ledger_amount){1, 1});
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
	gn_ledger_record(&l, a, (struct gn_ledger_amount){1000, GIB});
	entries[a].end_us = 100;
	assert_int_equal(gn_ledger_expire(&l, 99), 0);
	assert_int_equal(gn_ledger_expire(&l, 100), 1);
	assert_int_equal(l.promised.memory_bytes, 0);
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
	        cmocka_unit_test(sums_equal_the_entries_after_any_sequence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
