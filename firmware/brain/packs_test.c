/* packs_test.c - the roles of model packs: imported, tried, adopted, rolled back, over restarts
 * and with keys that change; on a real store, with the shipped pack. */
#include "firmware/brain/packs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "firmware/brain/brain.h"
#include "firmware/message/message.h"
#include "firmware/peer/fake_peer.h"

#define S       ((uint64_t)1000000)
#define PACK    "firmware/model/default.pack"
#define KEY     "firmware/model/default.pem"
#define HAS_KEY "model_key: " KEY

static char directory[32];
static struct gn_config *config;
static struct gn_store *store;
static struct gn_brain *brain;
static struct gn_status status;
static uint8_t *shipped; /* signed */
static size_t shipped_size;

static void open_brain(const char *settings)
{
	const struct gn_store_bounds bounds = {3600 * S, 7200 * S, 86400 * S, 100, 100};
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
}

static void close_brain(void)
{
	gn_brain_destroy(brain);
	gn_store_close(store);
	gn_config_free(config);
}

/* As a kill: what was not committed is gone. */
static void restart(const char *settings)
{
	close_brain();
	open_brain(settings);
}

static int set_up(void **state)
{
	strcpy(directory, "/tmp/gnpkXXXXXX");
	if (!mkdtemp(directory))
		return -1;
	gn_fake_now_us = 1700000000 * S;
	open_brain(HAS_KEY);
	return 0;
}

static int tear_down(void **state)
{
	char command[64];

	close_brain();
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

static int read_shipped(void **state)
{
	FILE *file = fopen(PACK, "rb");

	if (!file)
		return -1;
	shipped = malloc(GN_MODEL_FILE_MAX);
	shipped_size = fread(shipped, 1, GN_MODEL_FILE_MAX, file);
	fclose(file);
	return shipped_size ? 0 : -1;
}

static int free_shipped(void **state)
{
	free(shipped);
	return 0;
}

/* Seconds of the host's figures for both VMs. */
static void run(unsigned seconds)
{
	while (seconds-- > 0) {
		Gnomon__V1__HostStats stats = GNOMON__V1__HOST_STATS__INIT;
		Gnomon__V1__HostVmStats vms[2], *list[2];
		Gnomon__V1__Allocation allocation = GNOMON__V1__ALLOCATION__INIT;

		gn_fake_now_us += S;
		allocation.vcpus = 1;
		allocation.vcpus_maximum = 4;
		allocation.memory_bytes = allocation.memory_maximum_bytes = (uint64_t)1 << 29;
		for (unsigned i = 0; i < 2; i++) {
			gnomon__v1__host_vm_stats__init(&vms[i]);
			vms[i].name = (char *)(i ? "vms/b" : "vms/a");
			vms[i].state = GNOMON__V1__VM_STATE__RUNNING;
			vms[i].allocation = &allocation;
			vms[i].cpu_time_ns = gn_fake_now_us / S * (200 + 100 * i) * S;
			list[i] = &vms[i];
		}
		stats.monotonic_us = gn_fake_now_us - 1600000000 * S;
		stats.vms = list;
		stats.n_vms = 2;
		gn_brain_host_stats(brain, &stats, gn_time_now());
		gn_brain_tick(brain, gn_time_now());
	}
}

static int import_shipped(bool replace)
{
	int error = gn_packs_import(brain, shipped, shipped_size, replace, gn_time_now(), &status);

	return error ? (int)status.code : 0;
}

static int rollback(bool trial_only)
{
	int error = gn_packs_rollback(brain, trial_only, gn_time_now(), &status);

	return error ? (int)status.code : 0;
}

/* The decision told of the role; NULL: nothing has it. */
static const char *decision(enum gn_packs_role role)
{
	const Gnomon__V1__Model *record = brain->packs.slots[role].record;

	return record ? record->decision : NULL;
}

/* As if every series on trial had scored enough forecasts, with these losses. */
static void score(int64_t present, int64_t candidate)
{
	for (size_t i = 0; i < brain->n_vms; i++)
		for (unsigned k = 1; k < GN_RESOURCE_END; k++) {
			struct gn_series_trial *trial = brain->vms[i]->series[k].trial;

			for (unsigned h = 0; trial && h < GN_PREDICT_MAX_HORIZONS; h++)
				trial->scores.losses[h] =
				        (struct gn_trial_losses){.n = GN_TRIAL_FIRST_TARGETS,
				                                 .present = present,
				                                 .candidate = candidate,
				                                 .naive = 2000};
		}
}

static void try_shipped(void)
{
	run(40);
	assert_int_equal(import_shipped(false), 0);
	run(2);
	assert_in_range(brain->packs.n_series * GN_PREDICT_MAX_HORIZONS, GN_TRIAL_MIN_PAIRS, 64);
	assert_non_null(brain->packs.in_use.trial);
	assert_null(brain->packs.in_use.active);
}

/* ---- tests ---------------------------------------------------------------------------- */

static void the_configured_pack_is_active(void **state)
{
	restart(HAS_KEY "\nmodel_pack: " PACK);
	assert_string_equal(brain->packs.note, "");
	assert_non_null(brain->packs.in_use.active);
	assert_string_equal(decision(GN_PACKS_ACTIVE), "the configuration's model_pack");
	assert_int_equal(import_shipped(false), GN_ALREADY_EXISTS);
	assert_int_equal(rollback(false), GN_FAILED_PRECONDITION);
	assert_int_equal(rollback(true), GN_FAILED_PRECONDITION);
}

static void a_pack_without_its_key_is_not_used(void **state)
{
	restart("model_pack: " PACK);
	assert_null(brain->packs.in_use.active);
	assert_non_null(strstr(brain->packs.note, "without model_key"));
	assert_int_equal(import_shipped(false), GN_FAILED_PRECONDITION);
	assert_non_null(strstr(status.message, "model_key"));
}

static void what_is_no_signed_pack_is_refused(void **state)
{
	uint8_t *bad = malloc(GN_MODEL_FILE_MAX + 1);

	memcpy(bad, shipped, shipped_size);
	bad[shipped_size / 2] ^= 1;
	assert_true(gn_packs_import(brain, bad, shipped_size, true, gn_time_now(), &status) != 0);
	assert_int_equal(status.code, GN_UNAUTHENTICATED);
	assert_true(gn_packs_import(brain, bad, 100, true, gn_time_now(), &status) != 0);
	assert_true(gn_packs_import(brain, bad, 0, true, gn_time_now(), &status) != 0);
	assert_true(gn_packs_import(brain, bad, GN_MODEL_FILE_MAX + 1, true, gn_time_now(),
	                            &status) != 0);
	assert_int_equal(status.code, GN_INVALID_ARGUMENT);
	assert_null(decision(GN_PACKS_TRIAL));
	free(bad);
}

static void a_better_pack_is_adopted_and_rolled_back(void **state)
{
	try_shipped();
	assert_int_equal(import_shipped(true), GN_ALREADY_EXISTS);
	score(1000, 900);
	run(1);
	assert_null(decision(GN_PACKS_TRIAL));
	assert_int_equal(strncmp(decision(GN_PACKS_ACTIVE), "adopted: its loss was 0.9", 25), 0);
	assert_int_equal(brain->packs.n_series, 0);
	restart(HAS_KEY); /* the adoption was committed */
	assert_non_null(brain->packs.in_use.active);
	assert_non_null(strstr(decision(GN_PACKS_PREVIOUS), "took its place"));
	assert_int_equal(rollback(false), 0);
	assert_null(brain->packs.in_use.active);
	assert_int_equal(rollback(false), 0);
	assert_non_null(brain->packs.in_use.active);
	run(2);
}

static void a_worse_pack_leaves_only_a_record(void **state)
{
	try_shipped();
	score(900, 1000);
	run(1);
	assert_null(brain->packs.in_use.trial);
	assert_null(brain->packs.in_use.active);
	assert_null(brain->packs.slots[GN_PACKS_REJECTED].model);
	assert_int_equal(strncmp(decision(GN_PACKS_REJECTED), "not adopted", 11), 0);
	assert_int_equal(import_shipped(false), 0); /* may try again */
}

static void a_trial_goes_on_after_a_kill(void **state)
{
	uint32_t n_series;

	try_shipped();
	n_series = brain->packs.n_series;
	gn_brain_save_all(brain);
	gn_store_commit(store, true);
	restart(HAS_KEY);
	assert_non_null(brain->packs.in_use.trial);
	assert_int_equal(brain->packs.n_series, n_series);
	assert_int_equal(rollback(true), 0);
	assert_int_equal(brain->packs.n_series, 0);
	assert_null(decision(GN_PACKS_TRIAL));
}

static void stored_packs_are_checked_with_the_key_of_now(void **state)
{
	try_shipped();
	restart("");
	assert_null(brain->packs.in_use.trial);
	assert_non_null(strstr(brain->packs.note, "no longer configured"));
}

static void damage_in_the_store_is_dropped(void **state)
{
	try_shipped();
	shipped[100] ^= 1;
	gn_store_put(store, "model_pack", "trial", shipped, shipped_size);
	shipped[100] ^= 1;
	gn_store_put(store, "model", "no-role", "x", 1);
	gn_store_commit(store, true);
	restart(HAS_KEY);
	assert_null(brain->packs.in_use.trial);
	assert_non_null(strstr(brain->packs.note, "it is dropped"));
	assert_int_equal(import_shipped(false), 0);
}

static void a_pack_that_is_now_configured_needs_no_trial(void **state)
{
	Gnomon__V1__ModelList *list;

	try_shipped();
	score(1000, 900);
	run(1);
	assert_int_equal(rollback(false), 0); /* active: none, previous: the pack */
	gn_store_commit(store, true);
	restart(HAS_KEY "\nmodel_pack: " PACK);
	assert_null(decision(GN_PACKS_TRIAL));
	assert_non_null(brain->packs.in_use.active);
	list = gn_packs_list(brain);
	assert_true(list->n_models >= 1);
	gn_message_free(&list->base);
}

int main(void)
{
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        ON_DISK(the_configured_pack_is_active),
	        ON_DISK(a_pack_without_its_key_is_not_used),
	        ON_DISK(what_is_no_signed_pack_is_refused),
	        ON_DISK(a_better_pack_is_adopted_and_rolled_back),
	        ON_DISK(a_worse_pack_leaves_only_a_record),
	        ON_DISK(a_trial_goes_on_after_a_kill),
	        ON_DISK(stored_packs_are_checked_with_the_key_of_now),
	        ON_DISK(damage_in_the_store_is_dropped),
	        ON_DISK(a_pack_that_is_now_configured_needs_no_trial),
	};

	return cmocka_run_group_tests_name("brain-packs", tests, read_shipped, free_shipped);
}
