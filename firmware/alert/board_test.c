/* board_test.c - alerts over restarts, for VMs that go, and what the watch makes of forecasts and
 * signs; on a real store, in invented time. */
#include "firmware/alert/board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "firmware/alert/watch.h"
#include "firmware/message/message.h"
#include "firmware/peer/fake_peer.h"

#define S    ((uint64_t)1000000)
#define MIB  ((uint64_t)1 << 20)
#define KIND GNOMON__V1__ALERT__KIND__RESOURCE_SHORTAGE

static char directory[32];
static struct gn_config *config;
static struct gn_store *store;
static struct gn_brain *brain;
static struct gn_alerts *alerts;
static struct gn_watch watch;
static const struct gn_alert_rules rules = {30000, 15000, 10 * S, 60 * S};

static void open_all(const char *settings)
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
	        "shim: {url: 'ipc:///r/h.ipc'}\n%s\n",
	        settings);
	fclose(file);
	assert_int_equal(gn_config_load(path, &config, &status), 0);
	assert_int_equal(gn_store_open(directory, &bounds, gn_fake_now_us, &store, &status), 0);
	assert_int_equal(gn_brain_create(config, store, gn_time_now(), &brain), 0);
	alerts = gn_alerts_create(brain, NULL);
	gn_watch_init(&watch, brain, alerts);
}

static void close_all(void)
{
	gn_alerts_destroy(alerts);
	gn_brain_destroy(brain);
	gn_store_close(store);
	gn_config_free(config);
}

static int set_up(void **state)
{
	strcpy(directory, "/tmp/gnabXXXXXX");
	if (!mkdtemp(directory))
		return -1;
	gn_fake_now_us = 1700000000 * S;
	open_all("vms: [{name: vms/a}, {name: vms/b}]");
	return 0;
}

static int tear_down(void **state)
{
	char command[64];

	close_all();
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

static void restart(const char *settings)
{
	gn_store_commit(store, true);
	close_all();
	open_all(settings);
}

/* The same report for so many seconds. */
static void hold(const char *resource, const char *subject, uint32_t level_q16, unsigned seconds)
{
	struct gn_alert_report report = {.kind = KIND,
	                                 .resource = resource,
	                                 .subject = subject,
	                                 .level_q16 = level_q16,
	                                 .text = "it is short"};

	while (seconds-- > 0) {
		gn_fake_now_us += S;
		gn_alerts_report(alerts, &report, &rules, gn_time_now());
	}
}

static size_t count(bool with_cleared)
{
	Gnomon__V1__AlertList *list = gn_alerts_list(alerts, "", with_cleared);
	size_t n = list->n_alerts;

	gn_message_free(&list->base);
	return n;
}

/* The only alert of the resource, which the caller frees with its list. */
static Gnomon__V1__AlertList *only(const char *resource)
{
	Gnomon__V1__AlertList *list = gn_alerts_list(alerts, resource, true);

	assert_int_equal(list->n_alerts, 1);
	return list;
}

/* ---- the board ------------------------------------------------------------------------- */

static void one_that_comes_back_is_the_same(void **state)
{
	Gnomon__V1__AlertList *list;

	hold("vms/a", "cpu", 10000, 100);
	assert_int_equal(count(true), 0);
	hold("vms/a", "cpu", 40000, 60);
	hold("vms/a", "memory", 40000, 60);
	assert_int_equal(count(false), 2);
	assert_true(gn_alerts_is_raised(alerts, KIND, "vms/a", "cpu"));
	assert_false(gn_alerts_is_raised(alerts, KIND, "vms/b", "cpu"));
	hold("vms/a", "memory", 0, 200);
	hold("vms/a", "cpu", 0, 200);
	assert_int_equal(count(false), 0);
	hold("vms/a", "cpu", 40000, 60);
	assert_int_equal(count(true), 2);
	list = gn_alerts_list(alerts, "vms/a", false);
	assert_int_equal(list->n_alerts, 1);
	assert_int_equal(list->alerts[0]->times, 2);
	assert_string_equal(list->alerts[0]->name, "alerts/1");
	assert_string_equal(list->alerts[0]->text, "it is short");
	gn_message_free(&list->base);
}

static void acknowledged_stays_so_over_a_restart(void **state)
{
	struct gn_status status;

	hold("vms/a", "cpu", 40000, 60);
	assert_null(gn_alerts_acknowledge(alerts, "alerts/9", gn_time_now(), &status));
	assert_int_equal(status.code, GN_NOT_FOUND);
	assert_null(gn_alerts_acknowledge(alerts, "", gn_time_now(), &status));
	assert_non_null(gn_alerts_acknowledge(alerts, "alerts/1", gn_time_now(), &status));
	restart("vms: [{name: vms/a}]");
	assert_true(gn_alerts_is_raised(alerts, KIND, "vms/a", "cpu"));
	assert_null(gn_alerts_acknowledge(alerts, "alerts/1", gn_time_now(), &status));
	assert_int_equal(status.code, GN_FAILED_PRECONDITION);
	assert_non_null(strstr(status.message, "acknowledged already"));
	hold("vms/a", "cpu", 0, 200);
	assert_int_equal(count(false), 0);
	assert_null(gn_alerts_acknowledge(alerts, "alerts/1", gn_time_now(), &status));
	assert_non_null(strstr(status.message, "over"));
}

static void alerts_of_vms_that_are_gone_end(void **state)
{
	hold("vms/a", "cpu", 40000, 60);
	hold("vms/b", "cpu", 40000, 60);
	hold("vms/b", "memory", 40000, 5); /* not raised yet: leaves nothing */
	hold("card", "shadow pool", 40000, 60);
	gn_alerts_end(alerts, "vms/b", gn_time_now());
	assert_int_equal(count(false), 2);
	restart("vms: [{name: vms/b}]");
	gn_alerts_end_gone(alerts, gn_time_now());
	assert_int_equal(count(false), 1);
	assert_true(gn_alerts_is_raised(alerts, KIND, "card", "shadow pool"));
	assert_int_equal(count(true), 3);
}

static void of_the_cleared_only_so_many_are_kept(void **state)
{
	char subject[32];

	for (unsigned i = 0; i < GN_ALERTS_CLEARED + 20; i++) {
		snprintf(subject, sizeof subject, "s%u", i);
		hold("vms/a", subject, 40000, 12);
		hold("vms/a", subject, 0, 70);
	}
	assert_int_equal(count(true), GN_ALERTS_CLEARED);
	hold("vms/a", "s0", 40000, 60); /* the oldest were dropped: it is a new one */
	assert_int_equal(count(false), 1);
	gn_store_put(store, "alert", "alerts/x", "\xff\xff", 2); /* damage is passed over */
	restart("vms: [{name: vms/a}]");
	assert_int_equal(count(true), GN_ALERTS_CLEARED + 1);
}

/* ---- the watch ------------------------------------------------------------------------- */

static void probabilities_fall_as_the_limit_rises(void **state)
{
	static const int64_t quantiles[][GN_PREDICT_N_QUANTILES] = {
	        {100, 200, 300, 400},
	        {0, 0, 0, 0},
	        {7, 7, 7, 8},
	        {0, 1, (int64_t)1 << 40, (int64_t)1 << 44},
	};

	for (unsigned k = 0; k < sizeof quantiles / sizeof quantiles[0]; k++) {
		struct gn_predict_forecast f = {0};
		uint32_t before = 65536;

		memcpy(f.quantiles, quantiles[k], sizeof f.quantiles);
		for (int64_t limit = 0; limit < (int64_t)1 << 45; limit += 1 + limit / 16) {
			uint32_t now = gn_watch_exceeds_q16(&f, limit);

			assert_true(now <= before);
			before = now;
		}
		assert_int_equal(before, 0);
	}
}

static void probabilities_are_those_of_the_quantiles(void **state)
{
	const struct gn_predict_forecast f = {.quantiles = {100, 200, 300, 400}};

	assert_int_equal(gn_watch_exceeds_q16(&f, 99), 32768);
	assert_int_equal(gn_watch_exceeds_q16(&f, 100), 32768);
	assert_in_range(gn_watch_exceeds_q16(&f, 150), 19650, 19670); /* 30 % */
	assert_in_range(gn_watch_exceeds_q16(&f, 200), 6550, 6560);
	assert_in_range(gn_watch_exceeds_q16(&f, 300), 3270, 3280);
	assert_in_range(gn_watch_exceeds_q16(&f, 400), 650, 660);
	assert_int_equal(gn_watch_exceeds_q16(&f, 401), 0);
}

/* Seconds of vms/a, whose memory grows by so many MiB each and whose disk may fail. */
static void run(unsigned seconds, uint64_t first_mib, uint64_t step_mib, uint64_t errors)
{
	for (unsigned k = 0; k < seconds; k++) {
		Gnomon__V1__SampleBatch batch = GNOMON__V1__SAMPLE_BATCH__INIT;
		Gnomon__V1__Sample sample = GNOMON__V1__SAMPLE__INIT, *samples[] = {&sample};
		Gnomon__V1__MemorySample memory = GNOMON__V1__MEMORY_SAMPLE__INIT;
		Gnomon__V1__DiskSample disk = GNOMON__V1__DISK_SAMPLE__INIT;

		gn_fake_now_us += S;
		memory.used_bytes = (first_mib + k * step_mib) * MIB;
		memory.allocated_bytes = memory.maximum_bytes = 4096 * MIB;
		memory.guest_reported = 1;
		disk.errors = errors;
		sample.vm = (char *)"vms/a";
		sample.wall_us = gn_fake_now_us;
		sample.monotonic_us = gn_fake_now_us - 1600000000 * S;
		sample.period_us = S;
		sample.sequence = gn_fake_now_us / S;
		sample.source_epoch = 1;
		sample.memory = &memory;
		sample.disk = &disk;
		batch.samples = samples;
		batch.n_samples = 1;
		gn_brain_samples(brain, &batch, gn_time_now());
		gn_brain_tick(brain, gn_time_now());
		gn_watch_tick(&watch, gn_time_now());
	}
}

static void a_failing_vm_is_told_of_with_its_signs(void **state)
{
	Gnomon__V1__AlertList *list;

	run(60, 500, 0, 0);
	assert_int_equal(count(true), 0);
	run(120, 500, 20, 3);
	assert_true(gn_alerts_is_raised(alerts, GNOMON__V1__ALERT__KIND__POTENTIAL_FAILURE, "vms/a",
	                                "failure"));
	list = only("vms/a");
	assert_non_null(strstr(list->alerts[0]->text, "disk requests failed"));
	assert_non_null(strstr(list->alerts[0]->text, "vms/a may fail within"));
	gn_message_free(&list->base);
	assert_int_equal(count(true), 1); /* nothing of vms/b, which was never sampled */
}

static void what_is_no_longer_sampled_is_not_judged(void **state)
{
	run(60, 500, 0, 0);
	run(120, 500, 20, 3);
	for (unsigned k = 0; k < 3 * 3600; k++) {
		gn_fake_now_us += S;
		gn_brain_tick(brain, gn_time_now());
		gn_watch_tick(&watch, gn_time_now());
	}
	assert_int_equal(count(false), 1); /* as it was */
}

/* A drive of the host with so many pending sectors, or none at all, for a minute. */
static void tell_drive(const char *name, uint64_t hours, uint64_t pending)
{
	Gnomon__V1__SmartAttribute smart[2] = {GNOMON__V1__SMART_ATTRIBUTE__INIT,
	                                       GNOMON__V1__SMART_ATTRIBUTE__INIT};
	Gnomon__V1__SmartAttribute *attributes[] = {&smart[0], &smart[1]};
	Gnomon__V1__HostDrive drive = GNOMON__V1__HOST_DRIVE__INIT, *drives[] = {&drive};
	Gnomon__V1__HostInfo host = GNOMON__V1__HOST_INFO__INIT;

	smart[0].id = 197;
	smart[0].raw = pending;
	smart[1].id = 250; /* nobody knows what it means */
	smart[1].raw = UINT64_MAX;
	drive.name = (char *)name;
	drive.device = (char *)"/dev/sda";
	drive.size_bytes = 4000787030016;
	drive.power_on_hours = hours;
	drive.attributes = attributes;
	drive.n_attributes = 2;
	host.drives = drives;
	host.n_drives = 1;
	gn_brain_host(brain, &host);
	for (unsigned k = 0; k < 60; k++) {
		gn_fake_now_us += S;
		gn_watch_tick(&watch, gn_time_now());
	}
}

static void a_failing_drive_is_told_of_with_its_signs(void **state)
{
	const char *settings = "vms: [{name: vms/a}, {name: vms/b}]";
	Gnomon__V1__Hazard *hazard;
	Gnomon__V1__AlertList *list;

	for (uint64_t hours = 20000; hours < 21000; hours++)
		tell_drive("EX-1", hours, 0);
	assert_int_equal(count(true), 0);
	assert_int_equal(gn_drives_find(brain, "drives/EX-1")->n_readings, GN_DRIVE_READINGS);
	restart(settings); /* what it was before is still known */
	tell_drive("EX-1", 21000, 400);
	list = only("drives/EX-1");
	assert_int_equal(list->alerts[0]->kind, GNOMON__V1__ALERT__KIND__POTENTIAL_FAILURE);
	assert_non_null(strstr(list->alerts[0]->text, "drives/EX-1 (/dev/sda) may fail"));
	assert_non_null(strstr(list->alerts[0]->text, "pending sectors: 400 now"));
	gn_message_free(&list->base);

	hazard = gn_drive_message(gn_drives_find(brain, "drives/EX-1"));
	assert_string_equal(hazard->vm, "drives/EX-1");
	assert_int_equal(hazard->n_horizons, 1);
	assert_in_range(hazard->horizons[0]->probability_q16, 32768, 65535);
	assert_int_equal(hazard->n_signs, 2);
	assert_string_equal(hazard->signs[0]->name, "growth of pending sectors");
	assert_non_null(strstr(hazard->signs[0]->detail, "400 more within 7")); /* 720 to 744 h */
	gn_message_free(&hazard->base);

	tell_drive("EX-2", 100, 0); /* in its place, or it answers no longer */
	assert_non_null(gn_drives_find(brain, "drives/EX-1"));
	assert_int_equal(count(false), 1);
	gn_fake_now_us += 7 * 86400 * S;
	tell_drive("EX-2", 268, 0);
	assert_null(gn_drives_find(brain, "drives/EX-1"));
	assert_int_equal(count(false), 0);
}

/* A host is not trusted: names that are none, and more drives than are kept. */
static void odd_drives_are_not_taken(void **state)
{
	Gnomon__V1__HostDrive drives[GN_DRIVES_MAX + 9], *list[GN_DRIVES_MAX + 9];
	Gnomon__V1__HostInfo host = GNOMON__V1__HOST_INFO__INIT;
	char names[GN_DRIVES_MAX + 9][80];

	memset(names, 'x', sizeof names);
	for (unsigned i = 0; i < GN_DRIVES_MAX + 9; i++) {
		gnomon__v1__host_drive__init(&drives[i]);
		drives[i].name = names[i];
		drives[i].power_on_hours = UINT64_MAX;
		names[i][79] = '\0';
		if (i > 3)
			snprintf(names[i], sizeof names[i], "d%u", i);
		list[i] = &drives[i];
	}
	strcpy(names[0], "");
	strcpy(names[1], "a/b");
	strcpy(names[2], "a\n");
	host.drives = list;
	host.n_drives = GN_DRIVES_MAX + 9;
	gn_brain_host(brain, &host);
	assert_int_equal(brain->drives.n, GN_DRIVES_MAX);
	assert_string_equal(brain->drives.list[0].name, "drives/d4");
	restart("vms: [{name: vms/a}]");
	assert_int_equal(brain->drives.n, GN_DRIVES_MAX);
}

int main(void)
{
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        ON_DISK(one_that_comes_back_is_the_same),
	        ON_DISK(acknowledged_stays_so_over_a_restart),
	        ON_DISK(alerts_of_vms_that_are_gone_end),
	        ON_DISK(of_the_cleared_only_so_many_are_kept),
	        ON_DISK(a_failing_drive_is_told_of_with_its_signs),
	        ON_DISK(odd_drives_are_not_taken),
	        cmocka_unit_test(probabilities_fall_as_the_limit_rises),
	        cmocka_unit_test(probabilities_are_those_of_the_quantiles),
	        ON_DISK(a_failing_vm_is_told_of_with_its_signs),
	        ON_DISK(what_is_no_longer_sampled_is_not_judged),
	};

	return cmocka_run_group_tests_name("alert-board", tests, NULL, NULL);
}
