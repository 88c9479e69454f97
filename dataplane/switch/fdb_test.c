/* Addresses are learnt, move, age and are refused, by the rules of fdb.h. */
#include "dataplane/switch/fdb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

enum { UPLINK, ALICE, BOB, UPLINK2 };

static struct gn_fdb *new_fdb(void)
{
	const uint64_t seed[2] = {0x1234, 0x9e3779b97f4a7c15u};
	struct gn_fdb *fdb;

	assert_int_equal(gn_fdb_create(seed, &fdb), 0);
	assert_int_equal(gn_fdb_port_add(fdb, UPLINK, true), 0);
	assert_int_equal(gn_fdb_port_add(fdb, ALICE, false), 0);
	assert_int_equal(gn_fdb_port_add(fdb, BOB, false), 0);
	assert_int_equal(gn_fdb_port_add(fdb, UPLINK2, true), 0);
	gn_fdb_port_connected(fdb, UPLINK, true);
	gn_fdb_port_connected(fdb, UPLINK2, true);
	gn_fdb_port_connected(fdb, ALICE, true);
	gn_fdb_port_connected(fdb, BOB, true);
	return fdb;
}

static uint64_t key(uint32_t address, uint16_t vlan)
{
	uint8_t mac[8] = {2,
	                  0,
	                  (uint8_t)(address >> 24),
	                  (uint8_t)(address >> 16),
	                  (uint8_t)(address >> 8),
	                  (uint8_t)address,
	                  0xff,
	                  0xff};

	return gn_fdb_key(mac, vlan);
}

static void key_ignores_what_follows_the_address(void **state)
{
	uint8_t a[8] = {2, 0, 0, 0, 0, 1, 0, 0}, b[8] = {2, 0, 0, 0, 0, 1, 0xaa, 0xbb};

	assert_true(gn_fdb_key(a, 5) == gn_fdb_key(b, 5));
	assert_true(gn_fdb_key(a, 5) != gn_fdb_key(a, 6));
	memset(a, 0, sizeof a);
	assert_true(gn_fdb_key(a, 0) != 0);
}

static void learns_per_vlan(void **state)
{
	struct gn_fdb *fdb = new_fdb();

	assert_int_equal(gn_fdb_lookup(fdb, key(1, 10), 0), GN_FDB_NO_PORT);
	assert_int_equal(gn_fdb_learn(fdb, key(1, 10), ALICE, 0), GN_FDB_KNOWN);
	assert_int_equal(gn_fdb_learn(fdb, key(1, 20), BOB, 0), GN_FDB_KNOWN);
	assert_int_equal(gn_fdb_lookup(fdb, key(1, 10), 0), ALICE);
	assert_int_equal(gn_fdb_lookup(fdb, key(1, 20), 0), BOB);
	assert_int_equal(gn_fdb_lookup(fdb, key(1, 30), 0), GN_FDB_NO_PORT);
	assert_int_equal(gn_fdb_count(fdb), 2);
	gn_fdb_destroy(fdb);
}

static void age_everything(struct gn_fdb *fdb, uint32_t now)
{
	unsigned i;

	for (i = 0; i < GN_FDB_SLOTS / 64; i++)
		gn_fdb_age(fdb, 64, now);
}

static void ages(void **state)
{
	/* Also across the wrap of the 32-bit clock. */
	static const uint32_t starts[] = {0, 0xffffff00u};
	unsigned i;

	for (i = 0; i < 2; i++) {
		struct gn_fdb *fdb = new_fdb();
		uint32_t t = starts[i];

		gn_fdb_learn(fdb, key(1, 0), UPLINK, t);
		gn_fdb_learn(fdb, key(2, 0), UPLINK, t + 1000);
		assert_int_equal(gn_fdb_lookup(fdb, key(1, 0), t + GN_FDB_AGE_MS), UPLINK);
		assert_int_equal(gn_fdb_lookup(fdb, key(1, 0), t + GN_FDB_AGE_MS + 1),
		                 GN_FDB_NO_PORT);
		age_everything(fdb, t + GN_FDB_AGE_MS + 1);
		assert_int_equal(gn_fdb_count(fdb), 1);
		assert_int_equal(gn_fdb_lookup(fdb, key(2, 0), t + GN_FDB_AGE_MS + 1), UPLINK);
		gn_fdb_destroy(fdb);
	}
}

static void own_address_does_not_age_or_move(void **state)
{
	struct gn_fdb *fdb = new_fdb();

	gn_fdb_learn(fdb, key(1, 0), ALICE, 0);
	age_everything(fdb, 10 * GN_FDB_AGE_MS);
	assert_int_equal(gn_fdb_lookup(fdb, key(1, 0), 10 * GN_FDB_AGE_MS), ALICE);
	assert_int_equal(gn_fdb_learn(fdb, key(1, 0), BOB, 10 * GN_FDB_AGE_MS), GN_FDB_REFUSED);
	assert_int_equal(gn_fdb_learn(fdb, key(1, 0), UPLINK, 10 * GN_FDB_AGE_MS), GN_FDB_REFUSED);
	assert_int_equal(gn_fdb_lookup(fdb, key(1, 0), 10 * GN_FDB_AGE_MS), ALICE);
	gn_fdb_destroy(fdb);
}

static void disconnected_vm_gives_up_its_addresses(void **state)
{
	struct gn_fdb *fdb = new_fdb();

	gn_fdb_learn(fdb, key(1, 0), ALICE, 0);
	gn_fdb_port_connected(fdb, ALICE, false);
	assert_int_equal(gn_fdb_lookup(fdb, key(1, 0), 0), ALICE); /* until someone else has it */
	assert_int_equal(gn_fdb_learn(fdb, key(1, 0), BOB, 1), GN_FDB_KNOWN);
	assert_int_equal(gn_fdb_lookup(fdb, key(1, 0), 1), BOB);
	gn_fdb_port_connected(fdb, ALICE, true);
	assert_int_equal(gn_fdb_learn(fdb, key(1, 0), ALICE, 2),
	                 GN_FDB_REFUSED); /* BOB's own now */
	gn_fdb_destroy(fdb);
}

static void second_address_may_move_between_vms(void **state)
{
	struct gn_fdb *fdb = new_fdb();

	gn_fdb_learn(fdb, key(1, 0), ALICE, 0);
	gn_fdb_learn(fdb, key(2, 0), BOB, 0);
	gn_fdb_learn(fdb, key(0x5e0001, 0), ALICE, 0); /* VRRP */
	assert_int_equal(gn_fdb_learn(fdb, key(0x5e0001, 0), UPLINK, 0), GN_FDB_REFUSED);
	assert_int_equal(gn_fdb_learn(fdb, key(0x5e0001, 0), BOB, 0), GN_FDB_KNOWN);
	assert_int_equal(gn_fdb_lookup(fdb, key(0x5e0001, 0), 0), BOB);
	gn_fdb_destroy(fdb);
}

static void flapping_is_bounded(void **state)
{
	struct gn_fdb *fdb = new_fdb();
	unsigned i, moved = 0;

	gn_fdb_learn(fdb, key(1, 0), ALICE, 0);
	gn_fdb_learn(fdb, key(2, 0), BOB, 0);
	gn_fdb_learn(fdb, key(3, 0), ALICE, 0);
	for (i = 0; i < 100; i++) {
		moved += gn_fdb_learn(fdb, key(3, 0), BOB, 5) == GN_FDB_KNOWN;
		gn_fdb_learn(fdb, key(3, 0), ALICE, 5);
	}
	assert_int_equal(moved, GN_FDB_MAX_MOVES);
	gn_fdb_destroy(fdb);
}

static void gateway_in_use_cannot_be_taken(void **state)
{
	struct gn_fdb *fdb = new_fdb();

	gn_fdb_learn(fdb, key(9, 0), UPLINK, 1000);
	assert_int_equal(gn_fdb_learn(fdb, key(9, 0), ALICE, 1000 + GN_FDB_HOLD_MS - 1),
	                 GN_FDB_NOT_NOW);
	assert_int_equal(gn_fdb_lookup(fdb, key(9, 0), 1000), UPLINK);
	/* A VM that migrated to us: its old place has been silent. */
	assert_int_equal(gn_fdb_learn(fdb, key(9, 0), ALICE, 1000 + GN_FDB_HOLD_MS), GN_FDB_KNOWN);
	assert_int_equal(gn_fdb_lookup(fdb, key(9, 0), 2000), ALICE);
	gn_fdb_destroy(fdb);
}

static void moves_freely_between_uplinks(void **state)
{
	struct gn_fdb *fdb = new_fdb();

	gn_fdb_learn(fdb, key(9, 0), UPLINK, 0);
	assert_int_equal(gn_fdb_learn(fdb, key(9, 0), UPLINK2, 0), GN_FDB_KNOWN);
	assert_int_equal(gn_fdb_lookup(fdb, key(9, 0), 0), UPLINK2);
	gn_fdb_destroy(fdb);
}

/* A guest that invents addresses fills its quota and nothing else. */
static void hostile_guest_evicts_nobody(void **state)
{
	struct gn_fdb *fdb = new_fdb();
	uint32_t i, known = 0;

	for (i = 0; i < 1000; i++)
		assert_int_equal(gn_fdb_learn(fdb, key(i, 7), UPLINK, 0), GN_FDB_KNOWN);
	gn_fdb_learn(fdb, key(1, 0), ALICE, 0);
	for (i = 0; i < 200000; i++)
		known += gn_fdb_learn(fdb, key(0x10000000 + i, 0), BOB, i / 100) == GN_FDB_KNOWN;
	assert_int_equal(known, GN_FDB_GUEST_QUOTA);
	assert_int_equal(gn_fdb_lookup(fdb, key(1, 0), 0), ALICE);
	for (i = 0; i < 1000; i++)
		assert_int_equal(gn_fdb_lookup(fdb, key(i, 7), 0), UPLINK);
	assert_int_equal(gn_fdb_count(fdb), 1000 + 1 + GN_FDB_GUEST_QUOTA);
	gn_fdb_destroy(fdb);
}

/* Against a plain model, with clusters, wraps and deletions in the middle. */
static void removal_keeps_the_others_reachable(void **state)
{
	struct gn_fdb *fdb = new_fdb();
	uint32_t i;

	for (i = 0; i < GN_FDB_UPLINK_QUOTA; i++) {
		gn_fdb_learn(fdb, key(i, 1), UPLINK, 0);
		gn_fdb_learn(fdb, key(i, 2), UPLINK2, 0);
	}
	for (i = 0; i < GN_FDB_GUEST_QUOTA; i++)
		gn_fdb_learn(fdb, key(i, 3), ALICE, 0);
	gn_fdb_port_remove(fdb, UPLINK);
	assert_int_equal(gn_fdb_count(fdb), GN_FDB_UPLINK_QUOTA + GN_FDB_GUEST_QUOTA);
	for (i = 0; i < GN_FDB_UPLINK_QUOTA; i++) {
		assert_int_equal(gn_fdb_lookup(fdb, key(i, 1), 0), GN_FDB_NO_PORT);
		assert_int_equal(gn_fdb_lookup(fdb, key(i, 2), 0), UPLINK2);
	}
	for (i = 0; i < GN_FDB_GUEST_QUOTA; i++)
		assert_int_equal(gn_fdb_lookup(fdb, key(i, 3), 0), ALICE);
	assert_int_equal(gn_fdb_port_add(fdb, UPLINK, true), 0); /* the index can be used again */
	gn_fdb_destroy(fdb);
}

static void uplinks_are_bounded(void **state)
{
	struct gn_fdb *fdb = new_fdb();
	uint16_t i;

	for (i = 10; i < 10 + GN_FDB_MAX_UPLINKS - 2; i++)
		assert_int_equal(gn_fdb_port_add(fdb, i, true), 0);
	assert_int_equal(gn_fdb_port_add(fdb, i, true), -ENOSPC);
	gn_fdb_port_remove(fdb, UPLINK);
	assert_int_equal(gn_fdb_port_add(fdb, i, true), 0);
	gn_fdb_destroy(fdb);
	gn_fdb_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(key_ignores_what_follows_the_address),
	        cmocka_unit_test(learns_per_vlan),
	        cmocka_unit_test(ages),
	        cmocka_unit_test(own_address_does_not_age_or_move),
	        cmocka_unit_test(disconnected_vm_gives_up_its_addresses),
	        cmocka_unit_test(second_address_may_move_between_vms),
	        cmocka_unit_test(flapping_is_bounded),
	        cmocka_unit_test(gateway_in_use_cannot_be_taken),
	        cmocka_unit_test(moves_freely_between_uplinks),
	        cmocka_unit_test(hostile_guest_evicts_nobody),
	        cmocka_unit_test(removal_keeps_the_others_reachable),
	        cmocka_unit_test(uplinks_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
