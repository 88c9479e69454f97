/* state_test.c - what was learnt of a VM goes to another one as a blob and goes on the same there;
 * blobs that are cut, damaged, forged or from other settings change nothing. */
#include "firmware/brain/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "firmware/message/message.h"
#include "firmware/peer/fake_peer.h"

#define S   ((uint64_t)1000000)
#define MIB ((uint64_t)1 << 20)

#define HEAD_SIZE  24 /* state.h has the layout */
#define ENTRY_SIZE 16

static char directory[32];
static struct gn_config *config;
static struct gn_store *store;
static struct gn_brain *brain;
static struct gn_vm *from, *to;

static void open_brain(const char *settings)
{
	const struct gn_store_bounds bounds = {3600 * S, 7200 * S, 86400 * S, 100, 100};
	struct gn_status status;
	char path[64];
	FILE *file;

	snprintf(path, sizeof path, "%s/g.yaml", directory);
	file = fopen(path, "w");
	fprintf(file,
	        "board: devbox\nstate_dir: /s\nrun_dir: /r\ncontrol_local: {url: "
	        "'ipc:///r/g.ipc'}\n"
	        "dataplane: {url: 'ipc:///r/d.ipc'}\nsamples: {url: 'ipc:///r/s.ipc'}\n"
	        "shim: {url: 'ipc:///r/h.ipc'}\nvms: [{name: vms/a}, {name: vms/b}]\n%s\n",
	        settings);
	fclose(file);
	assert_int_equal(gn_config_load(path, &config, &status), 0);
	assert_int_equal(gn_store_open(directory, &bounds, gn_fake_now_us, &store, &status), 0);
	assert_int_equal(gn_brain_create(config, store, gn_time_now(), &brain), 0);
	from = gn_brain_vm(brain, "vms/a");
	to = gn_brain_vm(brain, "vms/b");
}

static void close_brain(void)
{
	gn_brain_destroy(brain);
	gn_store_close(store);
	gn_config_free(config);
}

static int set_up(void **state)
{
	strcpy(directory, "/tmp/gnstXXXXXX");
	if (!mkdtemp(directory))
		return -1;
	gn_fake_now_us = 1700000000 * S;
	open_brain("");
	return 0;
}

static int tear_down(void **state)
{
	char command[64];

	close_brain();
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

/* A second of a VM whose memory leaks and whose disk fails now and then. */
static void second(struct gn_vm *vm, uint64_t k)
{
	Gnomon__V1__SampleBatch batch = GNOMON__V1__SAMPLE_BATCH__INIT;
	Gnomon__V1__Sample sample = GNOMON__V1__SAMPLE__INIT, *samples[] = {&sample};
	Gnomon__V1__MemorySample memory = GNOMON__V1__MEMORY_SAMPLE__INIT;
	Gnomon__V1__DiskSample disk = GNOMON__V1__DISK_SAMPLE__INIT;
	Gnomon__V1__NetworkSample network = GNOMON__V1__NETWORK_SAMPLE__INIT;

	memory.used_bytes = (100 + k / 2 % 400) * MIB;
	memory.allocated_bytes = memory.maximum_bytes = 512 * MIB;
	memory.guest_reported = 1;
	disk.errors = k % 97 == 0;
	network.rx_bytes = 1000 + k % 30 * 100;
	network.rx_packets = 10;
	network.tcp_retransmissions = k % 5 == 0;
	sample.vm = vm->name;
	sample.wall_us = gn_fake_now_us;
	sample.monotonic_us = gn_fake_now_us - 1600000000 * S;
	sample.period_us = S;
	sample.sequence = k;
	sample.source_epoch = 1;
	sample.memory = &memory;
	sample.disk = &disk;
	sample.network = &network;
	batch.samples = samples;
	batch.n_samples = 1;
	gn_brain_samples(brain, &batch, gn_time_now());
}

static void learn(struct gn_vm *vm, uint64_t first, unsigned seconds)
{
	for (uint64_t k = first; k < first + seconds; k++) {
		gn_fake_now_us += S;
		second(vm, k);
	}
}

static int import_into(struct gn_vm *vm, const void *blob, size_t size, bool replace)
{
	struct gn_status status = {0};
	int error = gn_state_import(brain, vm, blob, size, replace, gn_time_now(), &status);

	assert_int_equal(error != 0, status.message[0] != 0);
	return error ? (int)status.code : 0;
}

/* Makes the checksum right, so that what lies behind it is reached. */
static void seal(uint8_t *blob, size_t size)
{
	uint64_t hash = 14695981039346656037u, whole = size;

	for (size_t i = HEAD_SIZE; i < size; i++)
		hash = (hash ^ blob[i]) * 1099511628211u;
	memcpy(blob + 8, &whole, sizeof whole);
	memcpy(blob + 16, &hash, sizeof hash);
}

/* Where the entry of that number begins; 0: it is not there. */
static size_t find_entry(const uint8_t *blob, size_t size, uint32_t number, uint64_t *entry_size)
{
	for (size_t at = HEAD_SIZE; at < size; at += ENTRY_SIZE + *entry_size) {
		uint32_t is;

		memcpy(&is, blob + at, sizeof is);
		memcpy(entry_size, blob + at + 8, sizeof *entry_size);
		if (is == number)
			return at;
	}
	return 0;
}

static void assert_same_learnt(void)
{
	void *a, *b;
	size_t n_a, n_b;

	a = gn_state_export(brain, from, &n_a);
	b = gn_state_export(brain, to, &n_b);
	assert_int_equal(n_a, n_b);
	assert_memory_equal(a, b, n_a);
	free(a);
	free(b);
}

/* ---- tests ---------------------------------------------------------------------------- */

static void what_was_learnt_goes_on_elsewhere(void **state)
{
	struct gn_signs_hazard here[GN_HAZARD_HORIZONS], there[GN_HAZARD_HORIZONS];
	uint64_t card_us;
	size_t size;
	void *blob;

	learn(from, 0, 600);
	blob = gn_state_export(brain, from, &size);
	assert_int_equal(import_into(to, blob, size, false), 0);
	free(blob);
	assert_same_learnt();
	card_us = gn_brain_card_time(brain, gn_time_now());
	gn_hazards_of(brain, from, card_us, here);
	gn_hazards_of(brain, to, card_us, there);
	assert_memory_equal(here, there, sizeof here);
	assert_true(here[0].contributions_q8[GN_SIGN_IO_ERRORS] > 0);
	for (uint64_t k = 600; k < 660; k++) {
		gn_fake_now_us += S;
		second(from, k);
		second(to, k);
	}
	assert_memory_equal(from->hazard, to->hazard, sizeof *to->hazard);
}

static void it_survives_a_restart(void **state)
{
	struct gn_hazard_vm *was = malloc(sizeof *was);
	size_t size;
	void *blob;

	learn(from, 0, 300);
	blob = gn_state_export(brain, from, &size);
	assert_int_equal(import_into(to, blob, size, false), 0);
	free(blob);
	*was = *to->hazard;
	gn_store_commit(store, true);
	close_brain();
	open_brain("");
	assert_memory_equal(to->hazard, was, sizeof *was);
	free(was);
	blob = gn_state_export(brain, to, &size);
	assert_true(size > HEAD_SIZE + sizeof *was);
	free(blob);
}

static void a_vm_that_was_never_sampled_gives_an_empty_blob(void **state)
{
	size_t size;
	void *blob = gn_state_export(brain, from, &size);

	assert_int_equal(size, HEAD_SIZE);
	assert_int_equal(import_into(to, blob, size, false), 0);
	assert_int_equal(to->hazard->newest_us, 0);
	free(blob);
}

static void who_knows_more_is_not_overwritten(void **state)
{
	size_t size;
	void *blob;

	learn(from, 0, 200);
	blob = gn_state_export(brain, from, &size);
	learn(to, 0, 300);
	assert_int_equal(import_into(to, blob, size, false), GN_FAILED_PRECONDITION);
	assert_int_equal(gn_hazard_vm_n_observed(to->hazard), 300);
	assert_int_equal(import_into(to, blob, size, true), 0);
	assert_int_equal(gn_hazard_vm_n_observed(to->hazard), 200);
	free(blob);
}

static void other_periods_and_futures_are_refused(void **state)
{
	size_t size;
	void *blob;

	learn(from, 0, 200);
	blob = gn_state_export(brain, from, &size);
	gn_fake_now_us -= 3600 * S;
	close_brain();
	open_brain("period_ms: 500");
	assert_int_equal(import_into(to, blob, size, false), GN_FAILED_PRECONDITION);
	assert_int_equal(to->hazard->newest_us, 0);
	free(blob);
}

static void signs_of_the_future_are_refused(void **state)
{
	size_t size, at;
	uint64_t entry_size, later;
	uint8_t *blob;

	learn(from, 0, 100);
	blob = gn_state_export(brain, from, &size);
	at = find_entry(blob, size, GN_STATE_HAZARD, &entry_size);
	assert_int_equal(entry_size, sizeof(struct gn_hazard_vm));
	memcpy(&later, blob + at + ENTRY_SIZE, sizeof later); /* newest_us */
	later += GN_STATE_SKEW_US + 2 * S;
	memcpy(blob + at + ENTRY_SIZE, &later, sizeof later);
	seal(blob, size);
	assert_int_equal(import_into(to, blob, size, false), GN_OUT_OF_RANGE);
	free(blob);
}

static void what_is_cut_or_doubled_is_refused(void **state)
{
	uint8_t *blob, *doubled;
	size_t size, at;
	uint64_t entry_size;

	learn(from, 0, 100);
	blob = gn_state_export(brain, from, &size);
	for (size_t n = 0; n < size; n += 1 + n / 40)
		assert_int_equal(import_into(to, blob, n, true), GN_INVALID_ARGUMENT);
	for (size_t n = HEAD_SIZE + 1; n < size; n += 1 + n / 40) {
		uint8_t *cut = malloc(n);
		bool is_whole = false;

		memcpy(cut, blob, n);
		seal(cut, n);
		for (uint32_t i = 0; i < GN_RESOURCE_END; i++)
			is_whole |= find_entry(blob, size, i, &entry_size) == n;
		if (!is_whole)
			assert_int_equal(import_into(to, cut, n, true), GN_INVALID_ARGUMENT);
		free(cut);
	}
	at = find_entry(blob, size, GN_STATE_HAZARD, &entry_size);
	doubled = malloc(size + ENTRY_SIZE + entry_size);
	memcpy(doubled, blob, size);
	memcpy(doubled + size, blob + at, ENTRY_SIZE + entry_size);
	seal(doubled, size + ENTRY_SIZE + entry_size);
	assert_int_equal(import_into(to, doubled, size + ENTRY_SIZE + entry_size, true),
	                 GN_INVALID_ARGUMENT);
	assert_int_equal(to->hazard->newest_us, 0);
	free(doubled);
	free(blob);
}

/* Forged signs are refused, or work on (the sanitizers watch). */
static void forged_signs_do_no_harm(void **state)
{
	uint8_t *blob, *forged;
	size_t size, at;
	uint64_t entry_size;
	uint32_t seed = 1, n_taken = 0;

	learn(from, 0, 700);
	blob = gn_state_export(brain, from, &size);
	at = find_entry(blob, size, GN_STATE_HAZARD, &entry_size) + ENTRY_SIZE;
	forged = malloc(size);
	for (unsigned round = 0; round < 300; round++) {
		static const uint8_t bytes[] = {0, 0xff, 0x7f, 0x80, 1};
		size_t n = 1;

		memcpy(forged, blob, size);
		seed = seed * 1103515245 + 12345;
		n += seed >> 16 & 15;
		memset(forged + at + (seed >> 4) % (entry_size - n), bytes[round % 5], n);
		seal(forged, size);
		if (import_into(to, forged, size, true))
			continue;
		n_taken++;
		learn(to, round, 3);
		gn_brain_tick(brain, gn_time_now());
		gn_message_free(&gn_hazards_message(brain, to, gn_time_now())->base);
	}
	assert_in_range(n_taken, 1, 299);
	free(forged);
	free(blob);
}

int main(void)
{
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        ON_DISK(what_was_learnt_goes_on_elsewhere),
	        ON_DISK(it_survives_a_restart),
	        ON_DISK(a_vm_that_was_never_sampled_gives_an_empty_blob),
	        ON_DISK(who_knows_more_is_not_overwritten),
	        ON_DISK(other_periods_and_futures_are_refused),
	        ON_DISK(signs_of_the_future_are_refused),
	        ON_DISK(what_is_cut_or_doubled_is_refused),
	        ON_DISK(forged_signs_do_no_harm),
	};

	return cmocka_run_group_tests_name("brain-state", tests, NULL, NULL);
}
