/* brain_test.c - samples in, forecasts, decisions and the ledger out, in invented time and
 * over restarts, on a real store. */
#include "firmware/brain/brain.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "firmware/brain/fake_brain.h"
#include "firmware/brain/policy_message.h"
#include "firmware/message/message.h"
#include "firmware/peer/fake_peer.h"

#define S   ((uint64_t)1000000)
#define MIB ((uint64_t)1 << 20)

static struct gn_fake_brain fake;
static struct gn_brain *brain; /* fake's */

static char config_text[] =
        "horizons: [1, 5, 10, 15]\novercommit_milli: 1000\n"
        "policy: {mode: enforce, resources: [{resource: cpu, horizon_ms: 15000, cooldown_ms: 0}]}\n"
        "vms: [{name: vms/a}, {name: vms/b}]\n";

static void open_brain(void)
{
	gn_fake_brain_open(&fake, config_text);
	brain = fake.brain;
}

static void close_brain(bool orderly)
{
	if (!orderly)
		gn_store_commit(fake.store, false); /* as the last tick before a kill */
	gn_fake_brain_close(&fake);
}

static int set_up(void **state)
{
	if (gn_fake_brain_begin(&fake) != 0)
		return -1;
	open_brain();
	return 0;
}

static int tear_down(void **state)
{
	if (fake.brain)
		close_brain(true);
	return gn_fake_brain_end(&fake);
}

static void tell_host(uint32_t cpus)
{
	Gnomon__V1__HostInfo host = GNOMON__V1__HOST_INFO__INIT;

	host.cpus = cpus;
	host.memory_bytes = 8192 * MIB;
	gn_brain_host(brain, &host);
}

struct model {
	uint64_t cpu_ns;
	uint32_t vcpus;
	uint64_t ballooned; /* bytes that its balloon took of 512 MiB */
};

/* One second passes: vms/a uses 'milli', libvirt reports. */
static void second(struct model *m, int64_t milli)
{
	Gnomon__V1__HostStats stats = GNOMON__V1__HOST_STATS__INIT;
	Gnomon__V1__HostVmStats vm = GNOMON__V1__HOST_VM_STATS__INIT, *list[] = {&vm};
	Gnomon__V1__Allocation allocation = GNOMON__V1__ALLOCATION__INIT;

	gn_fake_now_us += S;
	m->cpu_ns += (uint64_t)milli * S;
	allocation.vcpus = m->vcpus;
	allocation.vcpus_maximum = 4;
	allocation.memory_bytes = 512 * MIB - m->ballooned;
	allocation.memory_maximum_bytes = 1024 * MIB;
	vm.name = (char *)"vms/a";
	vm.state = GNOMON__V1__VM_STATE__RUNNING;
	vm.allocation = &allocation;
	vm.cpu_time_ns = m->cpu_ns;
	stats.monotonic_us = gn_fake_now_us - 1600000000 * S; /* another clock than ours */
	stats.vms = list;
	stats.n_vms = 1;
	gn_brain_host_stats(brain, &stats, gn_time_now());
}

static int64_t load_at(uint64_t now_us)
{
	return now_us / S % 40 < 10 ? 950 : 200;
}

static void run(struct model *m, unsigned seconds)
{
	struct gn_status note;

	while (seconds-- > 0) {
		second(m, load_at(gn_fake_now_us + S));
		gn_brain_tick(brain, gn_time_now());
		gn_store_tick(fake.store, gn_fake_now_us, &note);
	}
}

struct heard {
	unsigned n_early, n_decided;
};

static void on_decided(void *context, struct gn_vm *vm, const struct gn_policy_input *input,
                       struct gn_time now)
{
	struct heard *heard = context;
	uint64_t phase = now.wall_us / S % 40;

	heard->n_decided++;
	if (input->resource == GN_RESOURCE_CPU && phase >= 25 &&
	    vm->series[GN_RESOURCE_CPU].decision.verdict == GN_POLICY_GROW)
		heard->n_early++;
}

static void a_periodic_spike_is_seen_before_it_comes(void **state)
{
	struct model m = {.vcpus = 1};
	struct heard heard = {0};
	struct gn_vm *vm = gn_brain_vm(brain, "vms/a");

	brain->listener = (struct gn_brain_listener){.context = &heard, .decided = on_decided};
	run(&m, 5);
	assert_int_equal(heard.n_decided, 0); /* the host is not known: nothing is decided */
	tell_host(4);
	run(&m, 600);
	assert_true(heard.n_early > 20);
	assert_true(brain->n_samples > 1000);
	assert_true(brain->n_forecasts > 1000);
	assert_int_equal(vm->state, GNOMON__V1__VM_STATE__RUNNING);
	assert_int_equal(vm->first->vcpus, 1);
	/* The guest reports no memory figures: shown, never acted upon. */
	assert_true(vm->series[GN_RESOURCE_MEMORY].newest.estimated);
	assert_int_equal(vm->series[GN_RESOURCE_MEMORY].decision.verdict, GN_POLICY_KEEP);
}

struct told {
	unsigned n;
	char newest[256];
};

static void on_event(void *context, const Gnomon__V1__Event *event)
{
	struct told *told = context;

	if (strcmp(event->kind, "vm.allocation") != 0)
		return;
	told->n++;
	snprintf(told->newest, sizeof told->newest, "%s", event->text);
}

static void a_balloon_that_drifts_changes_nothing(void **state)
{
	struct model m = {.vcpus = 1};
	struct told told = {0};
	const struct gn_series *memory = &gn_brain_vm(brain, "vms/a")->series[GN_RESOURCE_MEMORY];
	unsigned i;

	brain->listener = (struct gn_brain_listener){.context = &told, .event = on_event};
	tell_host(4);
	run(&m, 2);
	for (i = 0; i < 60; i++) {
		m.ballooned = i % 7 * MIB;
		run(&m, 1);
	}
	assert_int_equal(told.n, 0);
	assert_int_equal(memory->changed_us, 0); /* and the cooldown is not begun anew */
	/* On its way for ten seconds: told once, when it rests. */
	for (i = 1; i <= 10; i++) {
		m.ballooned = i * 16 * MIB;
		run(&m, 1);
	}
	assert_int_equal(told.n, 0);
	assert_int_equal(memory->changed_us, gn_fake_now_us);
	run(&m, 1);
	assert_int_equal(told.n, 1);
	assert_string_equal(told.newest, "memory of vms/a changed from 512 MiB to 352 MiB");
	/* A drift that goes on and on is a change at last. */
	for (i = 1; i <= 9; i++) {
		m.ballooned += MIB;
		run(&m, 1);
	}
	assert_int_equal(told.n, 2);
	m.vcpus = 2;
	run(&m, 2);
	assert_int_equal(told.n, 3);
	assert_non_null(strstr(told.newest, "CPU of vms/a changed from 1 vCPU to 2 vCPU"));
}

static void what_was_learnt_survives_an_end_and_a_kill(void **state)
{
	struct model m = {.vcpus = 1};
	struct gn_predict_forecast before, after;
	bool orderly;
	int i;

	tell_host(4);
	run(&m, 400);
	for (i = 0; i < 2; i++) {
		orderly = i == 0;
		before = brain->vms[0]->series[GN_RESOURCE_CPU].forecasts[3];
		close_brain(orderly);
		gn_fake_now_us += 3 * S;
		m.cpu_ns += 600 * 1000 * S / 1000; /* it went on meanwhile */
		open_brain();
		tell_host(4);
		run(&m, 2);
		after = brain->vms[0]->series[GN_RESOURCE_CPU].forecasts[3];
		assert_true(after.n_observed >= before.n_observed);
		assert_int_equal(after.found_period, before.found_period);
		assert_int_equal(brain->vms[0]->first->vcpus, 1);
		run(&m, 20);
	}
}

static void other_settings_need_another_predictor(void **state)
{
	struct model m = {.vcpus = 1};
	char *place = strstr(config_text, "[1, 5, 10, 15]");

	tell_host(4);
	run(&m, 100);
	close_brain(true);
	memcpy(place, "[1, 5, 10, 20]", 14);
	gn_fake_now_us += S;
	open_brain();
	memcpy(place, "[1, 5, 10, 15]", 14);
	tell_host(4);
	run(&m, 3);
	assert_int_equal(brain->vms[0]->series[GN_RESOURCE_CPU].forecasts[3].horizon, 20);
	/* It learnt again from the history. */
	assert_true(brain->vms[0]->series[GN_RESOURCE_CPU].forecasts[3].n_observed > 90);
}

static void a_clock_that_steps_back_stops_nothing(void **state)
{
	struct model m = {.vcpus = 1};
	uint64_t samples, card;

	tell_host(4);
	run(&m, 50);
	card = brain->card_us;
	samples = brain->n_samples;
	/* The wall clock goes back by an hour, the monotonic one does not. */
	for (int i = 0; i < 50; i++) {
		struct gn_time now;
		Gnomon__V1__HostStats stats = GNOMON__V1__HOST_STATS__INIT;
		Gnomon__V1__HostVmStats vm = GNOMON__V1__HOST_VM_STATS__INIT, *list[] = {&vm};

		gn_fake_now_us += S;
		m.cpu_ns += 100 * S;
		now = (struct gn_time){gn_fake_now_us - 3600 * S, gn_fake_now_us};
		vm.name = (char *)"vms/a";
		vm.state = GNOMON__V1__VM_STATE__RUNNING;
		vm.cpu_time_ns = m.cpu_ns;
		stats.monotonic_us = gn_fake_now_us - 1600000000 * S;
		stats.vms = list;
		stats.n_vms = 1;
		gn_brain_host_stats(brain, &stats, now);
	}
	assert_true(brain->card_us >= card + 49 * S);
	assert_true(brain->n_samples >= samples + 98);
}

static void strangers_take_room_until_they_are_gone(void **state)
{
	Gnomon__V1__HostStats stats = GNOMON__V1__HOST_STATS__INIT;
	Gnomon__V1__HostVmStats vm = GNOMON__V1__HOST_VM_STATS__INIT, shadow = vm,
	                        *list[] = {&vm, &shadow};
	Gnomon__V1__Allocation allocation = GNOMON__V1__ALLOCATION__INIT;

	tell_host(4);
	allocation.vcpus = 3;
	allocation.memory_bytes = 1024 * MIB;
	vm.name = (char *)"vms/stranger";
	vm.state = GNOMON__V1__VM_STATE__RUNNING;
	vm.allocation = &allocation;
	shadow = vm;
	shadow.name = (char *)"vms/a-shadow";
	shadow.shadow_of = (char *)"vms/a";
	stats.monotonic_us = 1;
	stats.vms = list;
	stats.n_vms = 2;
	gn_brain_host_stats(brain, &stats, gn_time_now());
	assert_int_equal(gn_brain_room(brain, GN_RESOURCE_CPU),
	                 1000); /* the shadow is not counted here */
	assert_int_equal(gn_brain_room(brain, GN_RESOURCE_MEMORY), 6144 * MIB);
	assert_int_equal(gn_brain_room(brain, GN_RESOURCE_NETWORK_RX), INT64_MAX);
	gn_fake_now_us += 61 * S;
	gn_brain_tick(brain, gn_time_now());
	assert_int_equal(gn_brain_room(brain, GN_RESOURCE_CPU), 4000);
}

static void promises_are_taken_before_and_fall_back(void **state)
{
	struct model m = {.vcpus = 1};
	struct gn_vm *vm = gn_brain_vm(brain, "vms/a");

	tell_host(4);
	run(&m, 3);
	assert_int_equal(gn_brain_room(brain, GN_RESOURCE_CPU), 3000);
	assert_true(gn_brain_has_room(brain, vm, GN_RESOURCE_CPU, 4000));
	assert_false(gn_brain_has_room(brain, vm, GN_RESOURCE_CPU, 5000));
	assert_int_equal(gn_brain_promise(brain, vm, GN_RESOURCE_CPU, 5000), -ENOSPC);
	assert_int_equal(gn_brain_promise(brain, vm, GN_RESOURCE_CPU, 3000), 0);
	run(&m, 3); /* reports of the old size do not take the promise back */
	assert_int_equal(gn_brain_room(brain, GN_RESOURCE_CPU), 1000);
	gn_brain_unpromise(brain, vm);
	assert_int_equal(gn_brain_room(brain, GN_RESOURCE_CPU), 3000);
}

static void gaps_in_the_dataplanes_samples_are_counted(void **state)
{
	static const struct {
		uint64_t epoch, sequence, lost;
	} steps[] = {{1, 5, 0}, {1, 6, 0}, {1, 9, 2}, {2, 1, 2}, {2, 3, 3}, {2, 3, 3}};
	Gnomon__V1__SampleBatch batch = GNOMON__V1__SAMPLE_BATCH__INIT;
	Gnomon__V1__Sample sample = GNOMON__V1__SAMPLE__INIT, stranger = sample,
	                   *list[] = {&sample, &stranger};
	Gnomon__V1__NetworkSample network = GNOMON__V1__NETWORK_SAMPLE__INIT;
	size_t i;

	network.rx_bytes = 125000;
	sample.vm = (char *)"vms/a";
	sample.period_us = S;
	sample.network = &network;
	stranger.vm = (char *)"vms/nobody";
	batch.samples = list;
	batch.n_samples = 2;
	for (i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		gn_fake_now_us += S;
		sample.monotonic_us = gn_fake_now_us;
		sample.source_epoch = steps[i].epoch;
		sample.sequence = steps[i].sequence;
		gn_brain_samples(brain, &batch, gn_time_now());
		assert_int_equal(brain->n_lost, steps[i].lost);
	}
	assert_int_equal(brain->vms[0]->series[GN_RESOURCE_NETWORK_RX].newest.value, 1000000);
}

static void policies_and_vms_are_stored(void **state)
{
	Gnomon__V1__VmSpec spec = GNOMON__V1__VM_SPEC__INIT;
	struct gn_policy_rules rules[GN_RESOURCE_END];
	struct gn_vm *vm = gn_brain_vm(brain, "vms/a");
	unsigned i;

	for (i = 1; i < GN_RESOURCE_END; i++)
		rules[i] = vm->series[i].rules;
	rules[GN_RESOURCE_CPU].minimum = 2000;
	gn_brain_set_policy(brain, vm, GN_POLICY_OFF, rules);
	spec.name = (char *)"vms/c";
	assert_int_equal(gn_brain_add_vm(brain, &spec, false, gn_time_now(), NULL), 0);
	assert_int_equal(gn_brain_add_vm(brain, &spec, false, gn_time_now(), NULL), -EEXIST);
	gn_brain_remove_vm(brain, gn_brain_vm(brain, "vms/b")); /* one of the configuration's */
	close_brain(true);
	open_brain();
	assert_int_equal(brain->n_vms, 2);
	assert_null(gn_brain_vm(brain, "vms/b"));
	assert_non_null(gn_brain_vm(brain, "vms/c"));
	vm = gn_brain_vm(brain, "vms/a");
	assert_int_equal(vm->mode, GN_POLICY_OFF);
	assert_int_equal(vm->series[GN_RESOURCE_CPU].rules.minimum, 2000);
	assert_int_equal(vm->series[GN_RESOURCE_CPU].rules.horizon_us, 15 * S);
}

static void damaged_documents_are_passed_over(void **state)
{
	static const char *const kinds[] = {"vm", "policy", "first", "predictor"};
	char garbage[300];
	size_t i;

	memset(garbage, 0xee, sizeof garbage);
	for (i = 0; i < 4; i++) {
		gn_store_put(fake.store, kinds[i], "vms/a", garbage, sizeof garbage);
		gn_store_put(fake.store, kinds[i], "vms/a/cpu", garbage, sizeof garbage);
		gn_store_put(fake.store, kinds[i], "x", garbage, 3);
	}
	close_brain(false);
	open_brain();
	assert_non_null(gn_brain_vm(brain, "vms/b"));
}

/* ---- policies by field mask ---- */

static void masks_change_what_they_name(void **state)
{
	char mode[] = "mode", cpu[] = "resources.cpu", horizon[] = "resources.cpu.horizon_us",
	     memory[] = "resources.memory", odd[] = "resources.cpu.colour", empty[] = "";
	Gnomon__V1__Policy policy = GNOMON__V1__POLICY__INIT;
	Gnomon__V1__ResourcePolicy r = GNOMON__V1__RESOURCE_POLICY__INIT, *list[] = {&r};
	struct gn_policy_rules rules[GN_RESOURCE_END], all_before[GN_RESOURCE_END];
	enum gn_policy_mode now = GN_POLICY_FORECAST_ONLY;
	struct gn_status status;
	char *mask[2];

	memcpy(rules, gn_policy_defaults, sizeof rules);
	memcpy(all_before, rules, sizeof rules);
	policy.mode = GNOMON__V1__MODE__ENFORCE;
	policy.resources = list;
	policy.n_resources = 1;
	r.resource = GNOMON__V1__RESOURCE__CPU;
	r.horizon_us = 7 * S;
	mask[0] = horizon;
	assert_int_equal(gn_policy_message_apply(&policy, mask, 1, &now, rules, &status), 0);
	assert_int_equal(rules[GN_RESOURCE_CPU].horizon_us, 7 * S);
	assert_int_equal(rules[GN_RESOURCE_CPU].step, 1000);
	assert_int_equal(now, GN_POLICY_FORECAST_ONLY);
	mask[0] = mode;
	assert_int_equal(gn_policy_message_apply(&policy, mask, 1, &now, rules, &status), 0);
	assert_int_equal(now, GN_POLICY_ENFORCE);
	/* What follows is refused, and changes nothing, not even the part that was good. */
	memcpy(all_before, rules, sizeof rules);
	policy.mode = GNOMON__V1__MODE__OFF;
	mask[0] = mode;
	mask[1] = cpu; /* all zero but the horizon: no quantile */
	assert_int_not_equal(gn_policy_message_apply(&policy, mask, 2, &now, rules, &status), 0);
	assert_non_null(strstr(status.message, "quantile_milli"));
	mask[1] = memory;
	assert_int_not_equal(gn_policy_message_apply(&policy, mask, 2, &now, rules, &status), 0);
	assert_non_null(strstr(status.message, "has no such resource"));
	mask[1] = odd;
	assert_int_not_equal(gn_policy_message_apply(&policy, mask, 2, &now, rules, &status), 0);
	mask[1] = empty;
	assert_int_not_equal(gn_policy_message_apply(&policy, mask, 2, &now, rules, &status), 0);
	r.resource = (Gnomon__V1__Resource)77;
	assert_int_not_equal(gn_policy_message_apply(&policy, NULL, 0, &now, rules, &status), 0);
	policy.mode = (Gnomon__V1__Mode)9;
	assert_int_not_equal(gn_policy_message_apply(&policy, NULL, 0, &now, rules, &status), 0);
	assert_int_equal(now, GN_POLICY_ENFORCE);
	assert_memory_equal(rules, all_before, sizeof rules);
}

static void a_policy_message_is_the_policy(void **state)
{
	struct gn_policy_rules rules[GN_RESOURCE_END];
	enum gn_policy_mode mode = GN_POLICY_OFF;
	struct gn_status status;
	Gnomon__V1__Policy *policy =
	        gn_policy_message("vms/a", GN_POLICY_ENFORCE, gn_policy_defaults);

	memset(rules, 0, sizeof rules);
	assert_string_equal(policy->name, "vms/a/policy");
	assert_int_equal(gn_policy_message_apply(policy, NULL, 0, &mode, rules, &status), 0);
	assert_int_equal(mode, GN_POLICY_ENFORCE);
	for (unsigned i = 1; i < GN_RESOURCE_END; i++)
		assert_memory_equal(&rules[i], &gn_policy_defaults[i], sizeof rules[i]);
	GN_MESSAGE_FREE(policy);
}

int main(void)
{
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        ON_DISK(a_periodic_spike_is_seen_before_it_comes),
	        ON_DISK(a_balloon_that_drifts_changes_nothing),
	        ON_DISK(what_was_learnt_survives_an_end_and_a_kill),
	        ON_DISK(other_settings_need_another_predictor),
	        ON_DISK(a_clock_that_steps_back_stops_nothing),
	        ON_DISK(strangers_take_room_until_they_are_gone),
	        ON_DISK(promises_are_taken_before_and_fall_back),
	        ON_DISK(gaps_in_the_dataplanes_samples_are_counted),
	        ON_DISK(policies_and_vms_are_stored),
	        ON_DISK(damaged_documents_are_passed_over),
	        cmocka_unit_test(masks_change_what_they_name),
	        cmocka_unit_test(a_policy_message_is_the_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
