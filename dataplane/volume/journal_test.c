/* Tests of the journal's format and arithmetic, the dirty bitmap, the lease and the phases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/volume/bitmap.h"
#include "dataplane/volume/journal.h"
#include "dataplane/volume/lease.h"
#include "dataplane/volume/replica.h"

#define KIB 1024u
#define MIB (1024u * KIB)

/* ---- journal ----------------------------------------------------------------- */

/* Well-known values of XXH64 with seed 0. */
static void test_checksum(void **state)
{
	char text[64];

	for (unsigned i = 0; i < sizeof text; i++)
		text[i] = (char)('a' + i % 26);
	assert_true(gn_journal_checksum("", 0, 0) == 0xef46db3751d8e999ull);
	assert_true(gn_journal_checksum("a", 1, 0) == 0xd24ec4f1a98c6e5bull);
	assert_true(gn_journal_checksum("abc", 3, 0) == 0x44bc2cf5ad770999ull);
	assert_true(gn_journal_checksum(text, 64, 0) != gn_journal_checksum(text, 63, 0));
	assert_true(gn_journal_checksum(text, 64, 0) != gn_journal_checksum(text, 64, 1));
}

static struct gn_journal_record record_of(uint32_t op, uint64_t length)
{
	return (struct gn_journal_record){.epoch = 3,
	                                  .position = 8 * KIB,
	                                  .sequence = 5,
	                                  .op = op,
	                                  .offset_bytes = 4096,
	                                  .length_bytes = length};
}

static int check(const struct gn_journal_record *record)
{
	return gn_journal_check(record, 3, 8 * KIB, 5, MIB);
}

static void test_record(void **state)
{
	static uint8_t payload[4096];
	struct gn_journal_record record = record_of(GN_JOURNAL_WRITE, sizeof payload);

	gn_journal_seal(&record, payload);
	assert_int_equal(check(&record), 0);
	assert_true(gn_journal_check_payload(&record, payload));
	assert_int_equal(gn_journal_record_size(&record), 512 + 4096);
	assert_int_equal(gn_journal_check(&record, 2, 8 * KIB, 5, MIB), -EILSEQ);
	assert_int_equal(gn_journal_check(&record, 3, 9 * KIB, 5, MIB), -EILSEQ);
	assert_int_equal(gn_journal_check(&record, 3, 8 * KIB, 6, MIB), -EILSEQ);
	assert_int_equal(gn_journal_check(&record, 3, 8 * KIB, 5, 4096), -EINVAL);
	payload[4095] ^= 1;
	assert_false(gn_journal_check_payload(&record, payload));
	for (size_t bit = 0; bit < sizeof record * 8; bit++) {
		struct gn_journal_record damaged = record;

		((uint8_t *)&damaged)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(check(&damaged), -EILSEQ);
	}
}

/* Well sealed, by whoever, and impossible. */
static void test_hostile_record(void **state)
{
	const struct {
		uint32_t op;
		uint64_t offset, length;
	} cases[] = {
	        {GN_JOURNAL_N_OPS, 0, 512},
	        {GN_JOURNAL_WRITE, 0, 511},
	        {GN_JOURNAL_WRITE, MIB, 512},
	        {GN_JOURNAL_WRITE, UINT64_MAX - 511, 1024},
	        {GN_JOURNAL_WRITE, 0, UINT64_MAX - 511},
	        {GN_JOURNAL_PAD, 0, 0},
	        {GN_JOURNAL_PAD, 0, 1ull << 40},
	        {GN_JOURNAL_DISCARD, 512, MIB},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct gn_journal_record record = record_of(cases[i].op, cases[i].length);

		record.offset_bytes = cases[i].offset;
		gn_journal_seal(&record, NULL);
		assert_int_equal(check(&record), -EINVAL);
	}
}

static void test_super(void **state)
{
	struct gn_journal_super a = {.generation = 7, .ram_bytes = MIB, .ring_bytes = 2 * MIB};
	struct gn_journal_super b = a, bad;

	b.generation = 8;
	gn_journal_super_seal(&a);
	gn_journal_super_seal(&b);
	assert_ptr_equal(gn_journal_super_choose(&a, &b), &b);
	assert_ptr_equal(gn_journal_super_choose(&b, &a), &b);
	bad = b;
	bad.tail++;
	assert_ptr_equal(gn_journal_super_choose(&a, &bad), &a);
	assert_ptr_equal(gn_journal_super_choose(&bad, &a), &a);
	assert_null(gn_journal_super_choose(&bad, &bad));
	bad = a;
	bad.ring_bytes = MIB + 512;
	gn_journal_super_seal(&bad);
	assert_null(gn_journal_super_choose(&bad, &bad));
}

static void test_room(void **state)
{
	struct gn_journal journal = {.ram_bytes = 4 * MIB, .ring_bytes = 16 * MIB};

	gn_journal_restart(&journal, 1, 0);
	assert_int_equal(gn_journal_cost(&journal, 0), 512);
	assert_int_equal(gn_journal_cost(&journal, 4096), 4608);
	assert_int_equal(gn_journal_cost(&journal, MIB + 512), 512 + MIB + 512 + 512);
	/* Not across a multiple of the RAM's size. */
	journal.head = 4 * MIB - 4096;
	assert_int_equal(gn_journal_cost(&journal, 4096), 4096 + 4608);
	assert_false(gn_journal_fits(&journal, 2 * MIB + 512, journal.head));
	/* Not over what is not written yet, or read from the RAM. */
	assert_false(gn_journal_fits(&journal, 4096, journal.head));
	journal.written = journal.head;
	assert_true(gn_journal_fits(&journal, 4096, journal.head));
	assert_false(gn_journal_fits(&journal, 4096, 4096));
	/* Not over what a restart needs. */
	journal.head = journal.written = 16 * MIB - 512;
	assert_false(gn_journal_fits(&journal, 4096, journal.head));
	journal.tail = MIB;
	assert_true(gn_journal_fits(&journal, 4096, journal.head));
	assert_true(gn_journal_in_ram(&journal, journal.head - 4 * MIB));
	assert_false(gn_journal_in_ram(&journal, journal.head - 4 * MIB - 512));
}

static void test_lag(void **state)
{
	struct gn_lag lag = {.n = 0};

	assert_int_equal(gn_lag_age_us(&lag, 5000), 0);
	gn_lag_add(&lag, 0, 1000);
	gn_lag_add(&lag, 100, 1500);
	gn_lag_add(&lag, 200, 3000);
	assert_int_equal(gn_lag_age_us(&lag, 5000), 4000);
	assert_int_equal(gn_lag_writes(&lag), 3);
	gn_lag_applied(&lag, 150); /* inside the first mark's */
	assert_int_equal(gn_lag_age_us(&lag, 5000), 4000);
	gn_lag_applied(&lag, 200);
	assert_int_equal(gn_lag_age_us(&lag, 5000), 2000);
	assert_int_equal(gn_lag_writes(&lag), 1);
	gn_lag_clear(&lag);
	assert_int_equal(gn_lag_age_us(&lag, 5000), 0);
	assert_int_equal(gn_lag_writes(&lag), 0);
}

/* With few marks for many writes it never says less than is true. */
static void test_lag_is_never_too_small(void **state)
{
	enum { N = 5000 };
	struct gn_lag lag = {.n = 0};

	for (unsigned i = 0; i < N; i++)
		gn_lag_add(&lag, i * 10, 1000 + i * 700);
	for (unsigned i = 0; i < N; i++) {
		gn_lag_applied(&lag, i * 10);
		assert_true(gn_lag_writes(&lag) >= N - i);
		assert_true(gn_lag_age_us(&lag, 10000000) >= 10000000 - (1000 + i * 700));
	}
	assert_true(gn_lag_writes(&lag) < N / 8);
}

/* ---- bitmap ------------------------------------------------------------------ */

#define N_GRANULES (2 * GN_BITMAP_SECTOR_BITS + 100)

struct map {
	struct gn_bitmap bitmap;
	uint64_t bits[GN_BITMAP_WORDS(N_GRANULES)], durable[GN_BITMAP_WORDS(N_GRANULES)];
};

static void map_init(struct map *map)
{
	gn_bitmap_init(&map->bitmap, map->bits, map->durable, (uint64_t)N_GRANULES * 65536 - 512,
	               65536);
}

/* Writes what is stale, as the mirror does; how many sectors. */
static unsigned write_back(struct map *map, uint64_t disk[][64])
{
	unsigned n = 0;
	int number;

	while ((number = gn_bitmap_take_stale(&map->bitmap)) >= 0) {
		gn_bitmap_encode(&map->bitmap, (uint32_t)number, disk[number]);
		gn_bitmap_commit(&map->bitmap, (uint32_t)number, disk[number]);
		n++;
	}
	return n;
}

static void test_granule(void **state)
{
	assert_int_equal(gn_bitmap_granule(512), 65536);
	assert_int_equal(gn_bitmap_granule(4ull << 30), 65536);
	assert_int_equal(gn_bitmap_granule((4ull << 30) + 1), 131072);
	assert_int_equal(gn_bitmap_granule(1ull << 40), 16 * MIB);
}

static void test_bitmap(void **state)
{
	static struct map map, again;
	static uint64_t disk[3][64];
	uint32_t first, end;

	map_init(&map);
	assert_int_equal(map.bitmap.n, N_GRANULES);
	assert_int_equal(write_back(&map, disk), 3);
	gn_bitmap_range(&map.bitmap, 65535, 2, &first, &end);
	assert_int_equal(first, 0);
	assert_int_equal(end, 2);
	gn_bitmap_set(&map.bitmap, GN_BITMAP_SECTOR_BITS - 1, GN_BITMAP_SECTOR_BITS + 1);
	assert_false(gn_bitmap_is_durable(&map.bitmap, GN_BITMAP_SECTOR_BITS - 1,
	                                  GN_BITMAP_SECTOR_BITS + 1));
	assert_int_equal(write_back(&map, disk), 2);
	assert_true(gn_bitmap_is_durable(&map.bitmap, GN_BITMAP_SECTOR_BITS - 1,
	                                 GN_BITMAP_SECTOR_BITS + 1));
	map_init(&again);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(gn_bitmap_decode(&again.bitmap, i, disk[i]));
	assert_int_equal(again.bitmap.n_set, 2);
	assert_memory_equal(map.bits, again.bits, sizeof map.bits);
	assert_int_equal(gn_bitmap_take_stale(&again.bitmap), -1);
	/* A damaged sector costs its own bits only; one in the place of another is damaged. */
	map_init(&again);
	assert_false(gn_bitmap_decode(&again.bitmap, 2, disk[1]));
	assert_int_equal(again.bitmap.n_set, 100);
	assert_int_equal(gn_bitmap_take_stale(&again.bitmap), 0);
}

/* While a cleared bit is on its way to the disk nobody may rely on it being set there. */
static void test_clearing_is_not_durable(void **state)
{
	static struct map map;
	static uint64_t disk[3][64];

	map_init(&map);
	gn_bitmap_set(&map.bitmap, 7, 8);
	write_back(&map, disk);
	gn_bitmap_clear(&map.bitmap, 7);
	assert_int_equal(gn_bitmap_take_stale(&map.bitmap), 0);
	gn_bitmap_encode(&map.bitmap, 0, disk[0]);
	gn_bitmap_set(&map.bitmap, 7, 8);
	assert_false(gn_bitmap_is_durable(&map.bitmap, 7, 8));
	gn_bitmap_commit(&map.bitmap, 0, disk[0]);
	assert_false(gn_bitmap_is_durable(&map.bitmap, 7, 8));
	write_back(&map, disk);
	assert_true(gn_bitmap_is_durable(&map.bitmap, 7, 8));
}

/* ---- lease ------------------------------------------------------------------- */

static void test_lease(void **state)
{
	struct gn_lease slots[2], lease;
	unsigned slot;

	memset(slots, 0, sizeof slots);
	for (uint64_t token = 1; token <= 4; token++) {
		/* A torn write of the next lease leaves this one. */
		struct gn_lease torn[2];

		assert_int_equal(gn_lease_attach(slots, token, 1, &lease, &slot), GN_LEASE_TAKE);
		memcpy(torn, slots, sizeof torn);
		memset(&torn[slot], 0xa5, 300);
		if (token > 1)
			assert_int_equal(gn_lease_attach(torn, token - 1, 1, &lease, &slot),
			                 GN_LEASE_HELD);
		assert_int_equal(gn_lease_attach(slots, token, 1, &lease, &slot), GN_LEASE_TAKE);
		slots[slot] = lease;
		assert_int_equal(gn_lease_attach(slots, token, 1, &lease, &slot), GN_LEASE_HELD);
		assert_int_equal(gn_lease_attach(slots, token, 2, &lease, &slot), GN_LEASE_REFUSED);
		assert_int_equal(gn_lease_attach(slots, token - 1, 1, &lease, &slot),
		                 GN_LEASE_REFUSED);
	}
}

/* ---- phases ------------------------------------------------------------------ */

/* From every phase an end in IN_STEP can be reached, but for the fenced one. */
static void test_every_phase_leads_to_live(void **state)
{
	bool leads[GN_REPLICA_N_PHASES] = {[GN_REPLICA_LIVE] = true};

	for (unsigned round = 0; round < GN_REPLICA_N_PHASES; round++)
		for (unsigned phase = 0; phase < GN_REPLICA_N_PHASES; phase++)
			for (unsigned event = 0; event < GN_REPLICA_N_EVENTS; event++)
				leads[phase] |=
				        leads[gn_replica_step((enum gn_replica_phase)phase,
				                              (enum gn_replica_event)event)];
	for (unsigned phase = 0; phase < GN_REPLICA_N_PHASES; phase++)
		assert_int_equal(leads[phase], phase != GN_REPLICA_FENCED);
}

static void test_phases(void **state)
{
	for (unsigned i = 0; i < GN_REPLICA_N_PHASES; i++) {
		enum gn_replica_phase phase = (enum gn_replica_phase)i;

		/* A write that is not journaled ends the journaling. */
		if (gn_replica_journals(phase))
			assert_false(gn_replica_journals(gn_replica_step(phase, GN_REPLICA_GAP)));
		/* Nobody copies to a shadow that the journal is applied to. */
		assert_false(gn_replica_copies(phase) && gn_replica_applies(phase));
		if (gn_replica_state(phase) == GN_REPLICA_IN_STEP)
			assert_true(gn_replica_journals(phase) && gn_replica_applies(phase));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_checksum),
	        cmocka_unit_test(test_record),
	        cmocka_unit_test(test_hostile_record),
	        cmocka_unit_test(test_super),
	        cmocka_unit_test(test_room),
	        cmocka_unit_test(test_lag),
	        cmocka_unit_test(test_lag_is_never_too_small),
	        cmocka_unit_test(test_granule),
	        cmocka_unit_test(test_bitmap),
	        cmocka_unit_test(test_clearing_is_not_durable),
	        cmocka_unit_test(test_lease),
	        cmocka_unit_test(test_every_phase_leads_to_live),
	        cmocka_unit_test(test_phases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
