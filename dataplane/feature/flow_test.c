#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/feature/flow.h"

#define HZ 1000000000u

static const uint64_t seed[2] = {0x0123456789abcdef, 0xfedcba9876543210};

static void begin(struct gn_flow_table *table, uint32_t n_flows)
{
	size_t size = gn_flow_table_size(n_flows);
	void *memory = aligned_alloc(64, size);

	assert_non_null(memory);
	memset(memory, 0, size);
	gn_flow_table_init(table, memory, n_flows, HZ, seed);
}

static void end(struct gn_flow_table *table)
{
	free(table->sets);
}

static struct gn_flow_key key_of(uint64_t number)
{
	return (struct gn_flow_key){number << 32 | GN_PACKET_IPV4, {77 + number, 0, 0, 0}};
}

/* All keys in one set: the set does not depend on what is searched. */
static const uint64_t same_hash = 0x1234000000000007;

static void test_found_again(void **state)
{
	struct gn_flow_table table;

	begin(&table, 1024);
	for (uint64_t i = 0; i < 500; i++) {
		struct gn_flow_key key = key_of(i);
		uint64_t hash = gn_flow_hash(&table, &key);

		assert_int_equal(gn_flow_find(&table, &key, hash), -1);
		gn_flow_insert(&table, &key, hash, 1, GN_FLOW_OPEN);
		assert_true(gn_flow_find(&table, &key, hash) >= 0);
	}
	assert_int_equal(table.n_tracked + table.n_evicted, 500);
	assert_true(table.n_evicted < 50); /* half full: the hash spreads */
	end(&table);
}

static void test_same_tag_different_key(void **state)
{
	struct gn_flow_table table;

	begin(&table, 64);
	for (uint64_t i = 0; i < GN_FLOW_WAYS; i++) {
		struct gn_flow_key key = key_of(i);

		assert_int_equal(gn_flow_find(&table, &key, same_hash), -1);
		gn_flow_insert(&table, &key, same_hash, (uint32_t)i, GN_FLOW_OPEN);
	}
	for (uint64_t i = 0; i < GN_FLOW_WAYS; i++) {
		struct gn_flow_key key = key_of(i);
		gn_flow_id id = gn_flow_find(&table, &key, same_hash);

		assert_true(id >= 0);
		assert_memory_equal(&table.flows[id].key, &key, sizeof(key));
	}
	end(&table);
}

struct victim_case {
	const char *name;
	enum gn_flow_state states[3];
	uint32_t idle_s[3];
	unsigned victim;
};

/* Three flows, five full of fresh ones: which of them makes room for a ninth? */
static void test_victims(void **state)
{
	static const struct victim_case cases[] = {
	        {"the longest idle", {GN_FLOW_OPEN, GN_FLOW_OPEN, GN_FLOW_OPEN}, {5, 9, 7}, 1},
	        {"closed before idle",
	         {GN_FLOW_OPEN, GN_FLOW_CLOSED, GN_FLOW_OPEN},
	         {3000, 0, 9},
	         1},
	        {"half-open before open",
	         {GN_FLOW_OPEN, GN_FLOW_OPEN, GN_FLOW_HALF_OPEN},
	         {50, 9, 0},
	         2},
	        {"older than half-open",
	         {GN_FLOW_OPEN, GN_FLOW_OPEN, GN_FLOW_HALF_OPEN},
	         {70, 9, 0},
	         0},
	        {"free before all",
	         {GN_FLOW_CLOSED, GN_FLOW_HALF_OPEN, GN_FLOW_FREE},
	         {99, 99, 0},
	         2},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gn_flow_table table;
		uint32_t now;
		gn_flow_id id;
		bool counts;

		print_message("# %s\n", cases[i].name);
		begin(&table, 64);
		now = 5000 * table.ticks_per_s;
		for (unsigned k = 0; k < GN_FLOW_WAYS; k++) {
			struct gn_flow_key key = key_of(k);
			uint32_t idle = k < 3 ? cases[i].idle_s[k] : 0;

			id = gn_flow_insert(&table, &key, same_hash, now - idle * table.ticks_per_s,
			                    GN_FLOW_OPEN);
			if (k < 3)
				gn_flow_set_state(&table, id, cases[i].states[k]);
		}
		counts = gn_flow_is_tracked(cases[i].states[cases[i].victim]);
		id = gn_flow_insert(&table, &(struct gn_flow_key){99 << 8, {0}}, same_hash, now,
		                    GN_FLOW_OPEN);
		assert_int_equal(table.n_evicted, counts);
		for (unsigned k = 0; k < 3; k++) {
			struct gn_flow_key key = key_of(k);
			bool there = gn_flow_find(&table, &key, same_hash) >= 0;

			assert_int_equal(there, k != cases[i].victim &&
			                                cases[i].states[k] != GN_FLOW_FREE);
		}
		end(&table);
	}
}

static void test_insert_forgets_the_victim(void **state)
{
	struct gn_flow_table table;
	struct gn_flow_key key = key_of(1);
	gn_flow_id id;

	begin(&table, 64);
	id = gn_flow_insert(&table, &key, same_hash, 0, GN_FLOW_CLOSED);
	table.flows[id].seen = 0xff;
	table.details[id].http.n_pending = 7;
	for (unsigned i = 0; i < GN_FLOW_WAYS; i++) {
		key = key_of(100 + i);
		id = gn_flow_insert(&table, &key, same_hash, 1, GN_FLOW_OPEN);
		assert_int_equal(table.flows[id].seen, 0);
		assert_int_equal(table.details[id].http.n_pending, 0);
	}
	end(&table);
}

static void test_tick_wraps(void **state)
{
	struct gn_flow_table table;
	struct gn_flow_key old = key_of(1), young = key_of(2);

	begin(&table, 64);
	gn_flow_insert(&table, &old, same_hash, UINT32_MAX - 10, GN_FLOW_OPEN);
	for (unsigned i = 2; i <= GN_FLOW_WAYS; i++) {
		struct gn_flow_key key = key_of(i);

		gn_flow_insert(&table, &key, same_hash, 5, GN_FLOW_OPEN);
	}
	gn_flow_insert(&table, &(struct gn_flow_key){99 << 8, {0}}, same_hash, 10, GN_FLOW_OPEN);
	assert_int_equal(gn_flow_find(&table, &old, same_hash), -1);
	assert_true(gn_flow_find(&table, &young, same_hash) >= 0);
	end(&table);
}

static void test_sweep_reaches_every_set(void **state)
{
	struct gn_flow_table table;

	begin(&table, 1024);
	for (uint64_t i = 0; i < 600; i++) {
		struct gn_flow_key key = key_of(i);

		gn_flow_insert(&table, &key, gn_flow_hash(&table, &key), 0,
		               i % 2 ? GN_FLOW_OPEN : GN_FLOW_HALF_OPEN);
	}
	for (unsigned i = 0; i < 16; i++)
		gn_flow_sweep(&table, (GN_FLOW_OTHER_IDLE_S + 1) * table.ticks_per_s);
	for (uint64_t i = 0; i < 600; i += 2) {
		struct gn_flow_key key = key_of(i);

		assert_int_equal(gn_flow_find(&table, &key, gn_flow_hash(&table, &key)), -1);
	}
	assert_true(table.n_tracked > 250);
	for (unsigned i = 0; i < 16; i++)
		gn_flow_sweep(&table, (GN_FLOW_OPEN_IDLE_S + 1) * table.ticks_per_s);
	assert_int_equal(table.n_tracked, 0);
	end(&table);
}

static void test_hash_depends_on_seed_and_every_word(void **state)
{
	struct gn_flow_table table, other;
	struct gn_flow_key key = {5ull << 32, {1, 2, 3, 4}};
	uint64_t hash;

	begin(&table, 64);
	begin(&other, 64);
	other.seed[0]++;
	hash = gn_flow_hash(&table, &key);
	assert_int_not_equal(hash, gn_flow_hash(&other, &key));
	for (unsigned i = 0; i < 5; i++) {
		struct gn_flow_key changed = key;

		if (i < 4)
			changed.addresses[i] ^= 1ull << 40;
		else
			changed.ends ^= 1ull << 40;
		assert_int_not_equal(hash, gn_flow_hash(&table, &changed));
	}
	end(&table);
	end(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_found_again),
	        cmocka_unit_test(test_same_tag_different_key),
	        cmocka_unit_test(test_victims),
	        cmocka_unit_test(test_insert_forgets_the_victim),
	        cmocka_unit_test(test_tick_wraps),
	        cmocka_unit_test(test_sweep_reaches_every_set),
	        cmocka_unit_test(test_hash_depends_on_seed_and_every_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
