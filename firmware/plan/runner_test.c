/* runner_test.c - from decisions to commands over a peer that the test plays: what is sent,
 * when, with which id, after which restart. */
#include "firmware/plan/runner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>
#include <cmocka.h>
#include "firmware/brain/fake_brain.h"
#include "firmware/message/message.h"
#include "firmware/peer/fake_peer.h"

#define S   ((uint64_t)1000000)
#define MIB ((int64_t)1 << 20)

static struct gn_fake_brain fake;
static struct gn_brain *brain; /* fake's */
static struct gn_peer *shim, *dataplane;
static struct gn_executor *executor;
static struct gn_runner *runner;
static struct gn_vm *vm;
static const char *mode = "enforce";
static bool kvm = true;

static void on_decided(void *context, struct gn_vm *of, const struct gn_policy_input *input,
                       struct gn_time now)
{
	gn_runner_decided(runner, of, input, now);
}

static void open_all(void)
{
	char settings[128];

	snprintf(settings, sizeof settings,
	         "overcommit_milli: 1000\npolicy: {mode: %s}\nvms: [{name: vms/a}]\n", mode);
	gn_fake_brain_open(&fake, settings);
	brain = fake.brain;
	brain->listener.decided = on_decided;
	shim = gn_fake_peer_create();
	dataplane = gn_fake_peer_create();
	gn_executor_create(shim, dataplane, &executor);
	gn_runner_create(brain, executor, gn_time_now(), &runner);
	vm = gn_brain_vm(brain, "vms/a");
}

static void close_all(void)
{
	gn_runner_close(runner);
	gn_peer_destroy(shim);
	gn_peer_destroy(dataplane);
	gn_runner_destroy(runner);
	gn_executor_destroy(executor);
	gn_fake_brain_close(&fake);
	runner = NULL;
}

static void have(uint32_t vcpus, int64_t memory)
{
	Gnomon__V1__Allocation a = GNOMON__V1__ALLOCATION__INIT;

	a.vcpus = vcpus;
	a.vcpus_maximum = 4;
	a.memory_bytes = (uint64_t)memory;
	a.memory_maximum_bytes = (uint64_t)memory * 2;
	a.cpu_quota_us = -1;
	vm->state = GNOMON__V1__VM_STATE__RUNNING;
	gn_brain_set_allocation(brain, vm, &a);
}

static void tell_host(uint32_t cpus)
{
	Gnomon__V1__HostInfo host = GNOMON__V1__HOST_INFO__INIT;

	host.cpus = cpus;
	host.kvm = kvm;
	host.memory_bytes = (uint64_t)8192 * MIB;
	gn_brain_host(brain, &host);
}

static int set_up(void **state)
{
	mode = "enforce";
	if (gn_fake_brain_begin(&fake) != 0)
		return -1;
	open_all();
	tell_host(4);
	have(1, 512 * MIB);
	return 0;
}

static int tear_down(void **state)
{
	if (runner)
		close_all();
	return gn_fake_brain_end(&fake);
}

/* The decision that a forecast of 'p95' leads to. */
static void decide(enum gn_resource resource, int64_t allocated, int64_t p95)
{
	struct gn_series *series = &vm->series[resource];
	struct gn_policy_input input;

	series->seen = true;
	series->newest = (struct gn_demand_value){
	        .valid = true, .value = p95 / 3, .allocated = allocated, .maximum = 4 * allocated};
	series->n_forecasts = 1;
	series->forecasts[0] = (struct gn_predict_forecast){
	        .quantiles = {p95, p95, p95, p95}, .horizon = 15, .n_observed = 999};
	gn_brain_policy_input(brain, vm, resource, gn_time_now(), &input);
	gn_policy_decide(&series->rules, &input, &series->decision);
	gn_runner_decided(runner, vm, &input, gn_time_now());
}

static struct gn_plan_record *newest(void)
{
	return gn_runner_at(runner, gn_runner_count(runner) - 1);
}

static Gnomon__V1__Command *command_of(const struct gn_fake_call *call)
{
	return (Gnomon__V1__Command *)call->request;
}

static void answer(struct gn_fake_call *call, enum gn_code code, uint32_t vcpus, int64_t memory)
{
	Gnomon__V1__CommandResult result = GNOMON__V1__COMMAND_RESULT__INIT;
	Gnomon__V1__Status status = GNOMON__V1__STATUS__INIT;
	Gnomon__V1__Allocation after = GNOMON__V1__ALLOCATION__INIT;
	char id[65];

	snprintf(id, sizeof id, "%s", command_of(call)->id);
	result.id = id;
	status.code = (Gnomon__V1__Code)code;
	status.message = (char *)"libvirt's own words";
	result.status = &status;
	after.vcpus = vcpus;
	after.vcpus_maximum = 4;
	after.memory_bytes = (uint64_t)memory;
	after.cpu_quota_us = -1;
	result.after = &after;
	gn_fake_peer_answer(call, &result.base);
}

static void pass(uint64_t us)
{
	gn_fake_now_us += us;
	gn_runner_tick(runner, gn_time_now());
}

static void enforced_plans_are_sent_at_once(void **state)
{
	struct gn_fake_call *call;
	const Gnomon__V1__Command *command;

	decide(GN_RESOURCE_CPU, 1000, 970);
	call = gn_fake_peer_take(shim, "Execute");
	assert_non_null(call);
	command = command_of(call);
	assert_string_equal(command->vm, "vms/a");
	assert_int_equal(command->action_case, GNOMON__V1__COMMAND__ACTION_SET_VCPUS);
	assert_int_equal(command->set_vcpus->expected, 1);
	assert_int_equal(command->set_vcpus->vcpus, 2);
	assert_string_equal(command->reason, newest()->message->reason);
	assert_int_equal(command->deadline_us, gn_fake_now_us + GN_PLAN_COMMAND_LIFE_US);
	assert_int_equal(newest()->plan.state, GN_PLAN_RUNNING);
	/* The room is promised before the vCPU is there. */
	assert_int_equal(gn_brain_room(brain, GN_RESOURCE_CPU), 2000);
	decide(GN_RESOURCE_CPU, 1000, 970); /* the next forecast changes nothing */
	assert_int_equal(gn_runner_count(runner), 1);
	answer(call, GN_OK, 2, 512 * MIB);
	assert_int_equal(newest()->plan.state, GN_PLAN_DONE);
	assert_int_equal(newest()->message->actions[0]->after->vcpus, 2);
	assert_int_equal(vm->allocation->vcpus, 2);
	assert_int_equal(gn_brain_room(brain, GN_RESOURCE_CPU), 2000);
	decide(GN_RESOURCE_CPU, 2000, 1970); /* the cooldown has begun */
	assert_int_equal(gn_runner_count(runner), 1);
}

static void the_answer_decides_how_a_plan_ends(void **state)
{
	static const struct {
		enum gn_code code;
		uint32_t vcpus;
		enum gn_plan_state want;
	} cases[] = {
	        {GN_ABORTED, 3, GN_PLAN_EXPIRED},
	        {GN_INTERNAL, 1, GN_PLAN_FAILED},
	        {GN_PERMISSION_DENIED, 1, GN_PLAN_FAILED},
	        {GN_OK, 1, GN_PLAN_FAILED}, /* not what was asked for */
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		have(1, 512 * MIB);
		memset(vm->series[GN_RESOURCE_CPU].hold_us, 0, sizeof(uint64_t[2]));
		decide(GN_RESOURCE_CPU, 1000, 970);
		answer(gn_fake_peer_take(shim, "Execute"), cases[i].code, cases[i].vcpus,
		       512 * MIB);
		assert_int_equal(newest()->plan.state, cases[i].want);
		assert_string_equal(newest()->message->actions[0]->result->message,
		                    "libvirt's own words");
		/* What failed is not tried again with the next forecast. */
		have(1, 512 * MIB);
		decide(GN_RESOURCE_CPU, 1000, 970);
		assert_int_equal(gn_fake_peer_waiting(shim), 0);
	}
}

static void what_cannot_shrink_may_still_grow(void **state)
{
	struct gn_series *series = &vm->series[GN_RESOURCE_CPU];
	unsigned n_sent = 0, i;

	have(3, 512 * MIB);
	series->rules.cooldown_us = 0;
	series->rules.shrink_after_us = S;
	gn_policy_window_init(&series->window, S);
	for (i = 0; i < 4000; i++) { /* seconds */
		struct gn_fake_call *call;

		pass(S);
		gn_policy_window_add(&series->window, gn_fake_now_us, 3 * S, 100);
		decide(GN_RESOURCE_CPU, 3000, 100);
		call = gn_fake_peer_take(shim, "Execute");
		if (call) {
			n_sent++;
			answer(call, GN_FAILED_PRECONDITION, 3, 512 * MIB);
		}
	}
	assert_in_range(n_sent, 4, 9); /* less and less often */
	decide(GN_RESOURCE_CPU, 3000, 2900);
	assert_int_equal(gn_fake_peer_waiting(shim), 1);
}

static void no_answer_means_the_same_id_again(void **state)
{
	struct gn_fake_call *call;
	char id[65];

	decide(GN_RESOURCE_CPU, 1000, 970);
	call = gn_fake_peer_take(shim, "Execute");
	snprintf(id, sizeof id, "%s", command_of(call)->id);
	gn_fake_peer_refuse(call, GN_DEADLINE_EXCEEDED, "silence");
	assert_int_equal(gn_fake_peer_waiting(shim), 0); /* not at once */
	pass(10 * S);
	call = gn_fake_peer_take(shim, "Execute");
	assert_string_equal(command_of(call)->id, id);
	answer(call, GN_OK, 2, 512 * MIB);
	assert_int_equal(newest()->plan.state, GN_PLAN_DONE);
}

static void a_restart_sends_the_same_id_again(void **state)
{
	char id[65];
	struct gn_fake_call *call;

	decide(GN_RESOURCE_CPU, 1000, 970);
	call = gn_fake_peer_take(shim, "Execute");
	snprintf(id, sizeof id, "%s", command_of(call)->id);
	gn_fake_peer_refuse(call, GN_UNAVAILABLE, "cut off");
	close_all();
	gn_fake_now_us += 3 * S;
	open_all();
	tell_host(4);
	call = gn_fake_peer_take(shim, "Execute");
	assert_non_null(call);
	assert_string_equal(command_of(call)->id, id);
	answer(call, GN_OK, 2, 512 * MIB);
	assert_int_equal(newest()->plan.state, GN_PLAN_DONE);
	close_all();
	open_all();
	assert_int_equal(gn_fake_peer_waiting(shim), 0); /* what ended is not sent again */
	assert_int_equal(newest()->plan.state, GN_PLAN_DONE);
	assert_int_equal(newest()->id, 1);
}

static void what_cannot_be_stored_is_not_sent(void **state)
{
	struct rlimit limit, none;
	struct gn_status note;

	signal(SIGXFSZ, SIG_IGN);
	gn_store_commit(fake.store, true);
	getrlimit(RLIMIT_FSIZE, &limit);
	none = limit;
	none.rlim_cur = 1000;
	setrlimit(RLIMIT_FSIZE, &none);
	decide(GN_RESOURCE_CPU, 1000, 970);
	assert_int_equal(gn_fake_peer_waiting(shim), 0);
	assert_int_equal(newest()->plan.state, GN_PLAN_APPROVED);
	pass(6 * S);
	assert_int_equal(gn_fake_peer_waiting(shim), 0);
	setrlimit(RLIMIT_FSIZE, &limit);
	gn_store_tick(fake.store, gn_fake_now_us, &note);
	gn_store_tick(fake.store, gn_fake_now_us + 6 * S, &note);
	assert_string_equal(gn_store_error(fake.store), "");
	pass(6 * S);
	assert_int_equal(gn_fake_peer_waiting(shim), 1);
}

static void forecast_only_waits_for_an_operator(void **state)
{
	struct gn_status status;

	vm->mode = GN_POLICY_FORECAST_ONLY;
	decide(GN_RESOURCE_CPU, 1000, 970);
	pass(10 * S);
	assert_int_equal(gn_fake_peer_waiting(shim), 0);
	assert_int_equal(gn_runner_pending(runner), 1);
	decide(GN_RESOURCE_CPU, 1000, 500); /* no longer needed: it stays, so nothing flaps */
	assert_int_equal(gn_runner_count(runner), 1);
	decide(GN_RESOURCE_CPU, 1000, 1900); /* more is needed: replaced */
	assert_int_equal(gn_runner_count(runner), 2);
	assert_int_equal(gn_runner_at(runner, 0)->plan.state, GN_PLAN_EXPIRED);
	assert_int_equal(newest()->message->inputs->target, 3000);
	decide(GN_RESOURCE_CPU, 1000, 970); /* less: the larger one stays */
	assert_int_equal(gn_runner_count(runner), 2);
	assert_int_equal(gn_runner_approve(newest(), gn_time_now(), &status), 0);
	assert_int_equal(gn_fake_peer_waiting(shim), 1);
	assert_int_not_equal(gn_runner_reject(newest(), gn_time_now(), &status), 0);
	answer(gn_fake_peer_take(shim, "Execute"), GN_OK, 3, 512 * MIB);
	assert_int_not_equal(gn_runner_approve(newest(), gn_time_now(), &status), 0);
}

static void a_rejected_plan_does_not_come_back_at_once(void **state)
{
	struct gn_status status;

	vm->mode = GN_POLICY_FORECAST_ONLY;
	decide(GN_RESOURCE_CPU, 1000, 970);
	assert_int_equal(gn_runner_reject(newest(), gn_time_now(), &status), 0);
	decide(GN_RESOURCE_CPU, 1000, 970);
	pass(60 * S);
	decide(GN_RESOURCE_CPU, 1000, 970);
	assert_int_equal(gn_runner_count(runner), 1);
	pass(300 * S);
	decide(GN_RESOURCE_CPU, 1000, 970);
	assert_int_equal(gn_runner_count(runner), 2);
	pass(301 * S); /* nobody answers */
	assert_int_equal(newest()->plan.end, GN_PLAN_END_TOO_OLD);
}

static void switching_to_enforce_executes_what_is_pending(void **state)
{
	vm->mode = GN_POLICY_FORECAST_ONLY;
	decide(GN_RESOURCE_CPU, 1000, 970);
	vm->mode = GN_POLICY_ENFORCE;
	decide(GN_RESOURCE_CPU, 1000, 970); /* by a plan of its own, with a reason of now */
	assert_int_equal(gn_runner_count(runner), 2);
	assert_int_equal(gn_runner_at(runner, 0)->plan.end, GN_PLAN_END_WITHDRAWN);
	assert_int_equal(gn_fake_peer_waiting(shim), 1);
}

static void switching_off_withdraws_what_is_pending(void **state)
{
	vm->mode = GN_POLICY_FORECAST_ONLY;
	decide(GN_RESOURCE_CPU, 1000, 970);
	vm->mode = GN_POLICY_OFF;
	decide(GN_RESOURCE_CPU, 1000, 970);
	assert_int_equal(newest()->plan.state, GN_PLAN_EXPIRED);
	assert_int_equal(gn_runner_pending(runner), 0);
}

static void one_plan_of_a_vm_runs_at_a_time(void **state)
{
	decide(GN_RESOURCE_CPU, 1000, 970);
	decide(GN_RESOURCE_MEMORY, 512 * MIB, 500 * MIB);
	assert_int_equal(gn_runner_count(runner), 2);
	assert_int_equal(gn_fake_peer_waiting(shim), 1);
	answer(gn_fake_peer_take(shim, "Execute"), GN_OK, 2, 512 * MIB);
	pass(S / 5);
	assert_int_equal(gn_fake_peer_waiting(shim), 1);
	assert_int_equal(newest()->plan.state, GN_PLAN_RUNNING);
}

static void memory_may_stop_near_its_target(void **state)
{
	struct gn_fake_call *call;

	decide(GN_RESOURCE_MEMORY, 512 * MIB, 500 * MIB);
	call = gn_fake_peer_take(shim, "Execute");
	assert_int_equal(command_of(call)->set_memory->expected_bytes, 512 * MIB);
	assert_int_equal(command_of(call)->set_memory->bytes, 576 * MIB);
	answer(call, GN_OK, 1, 576 * MIB - 4096);
	assert_int_equal(newest()->plan.state, GN_PLAN_DONE);
}

static void a_quota_is_changed_as_a_quota(void **state)
{
	static const struct {
		int64_t quota, allocated, p95, want;
	} cases[] = {
	        {50000, 1000, 970, -1}, /* all that two vCPUs give: no quota any more */
	        {25000, 500, 970, -1},
	        {25000, 500, 700, -1},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_fake_call *call;

		vm->allocation->vcpus = 2;
		vm->allocation->cpu_quota_us = cases[i].quota;
		vm->allocation->cpu_period_us = 100000;
		memset(vm->series[GN_RESOURCE_CPU].hold_us, 0, sizeof(uint64_t[2]));
		decide(GN_RESOURCE_CPU, cases[i].allocated, cases[i].p95);
		call = gn_fake_peer_take(shim, "Execute");
		assert_non_null(call);
		assert_int_equal(command_of(call)->action_case,
		                 GNOMON__V1__COMMAND__ACTION_SET_CPU_LIMIT);
		assert_int_equal(command_of(call)->set_cpu_limit->expected_quota_us,
		                 cases[i].quota);
		assert_int_equal(command_of(call)->set_cpu_limit->quota_us,
		                 cases[i].p95 == 700 ? 50000 : cases[i].want);
		gn_fake_peer_refuse(call, GN_INTERNAL, "no");
	}
}

static void under_tcg_a_quota_shrinks(void **state)
{
	struct gn_series *series = &vm->series[GN_RESOURCE_CPU];
	struct gn_fake_call *call;
	unsigned i;

	kvm = false;
	tell_host(4);
	kvm = true;
	have(3, 512 * MIB);
	series->rules.shrink_after_us = S;
	gn_policy_window_init(&series->window, S);
	for (i = 0; i < 5; i++)
		gn_policy_window_add(&series->window, gn_fake_now_us += S, 3 * S, 100);
	decide(GN_RESOURCE_CPU, 3000, 100);
	assert_int_equal(gn_runner_count(runner), 0); /* no quota here, either: nothing to do */
	vm->allocation->cpu_period_us = 100000;
	decide(GN_RESOURCE_CPU, 3000, 100);
	call = gn_fake_peer_take(shim, "Execute");
	assert_int_equal(command_of(call)->set_cpu_limit->expected_quota_us, -1);
	assert_int_equal(command_of(call)->set_cpu_limit->quota_us, 66666); /* 2 of 3 vCPUs */
	gn_fake_peer_refuse(call, GN_INTERNAL, "no");
	decide(GN_RESOURCE_CPU, 3000, 2900); /* growing adds a vCPU as anywhere */
	call = gn_fake_peer_take(shim, "Execute");
	assert_int_equal(command_of(call)->set_vcpus->vcpus, 4);
	gn_fake_peer_refuse(call, GN_INTERNAL, "no");
}

static void meters_are_set_on_the_card(void **state)
{
	struct gn_fake_call *call;
	Gnomon__V1__Meter *meter;

	vm->limits = (struct gn_demand_limits){10000000, 20000000, 500, 7000000};
	decide(GN_RESOURCE_NETWORK_RX, 10000000, 9000000);
	assert_int_equal(gn_fake_peer_waiting(shim), 0);
	call = gn_fake_peer_take(dataplane, "UpdateMeter");
	meter = (Gnomon__V1__Meter *)call->request;
	assert_int_equal(meter->rx_bps, 14000000);
	assert_int_equal(meter->tx_bps, 20000000); /* the others stay */
	assert_int_equal(meter->disk_bytes, 7000000);
	gn_fake_peer_answer(call, call->request);
	assert_int_equal(newest()->plan.state, GN_PLAN_DONE);
}

static void no_room_means_it_must_move(void **state)
{
	struct gn_status status;

	tell_host(1);
	decide(GN_RESOURCE_CPU, 1000, 970);
	assert_true(newest()->message->must_move);
	assert_int_equal(newest()->message->n_actions, 0);
	assert_int_equal(newest()->plan.state, GN_PLAN_PENDING);
	assert_int_not_equal(gn_runner_approve(newest(), gn_time_now(), &status), 0);
	decide(GN_RESOURCE_CPU, 1000, 970);
	assert_int_equal(gn_runner_count(runner), 1); /* told once */
	tell_host(4);                                 /* room is made: grown */
	decide(GN_RESOURCE_CPU, 1000, 970);
	assert_int_equal(gn_runner_count(runner), 2);
	assert_int_equal(gn_fake_peer_waiting(shim), 1);
}

static void a_vm_that_goes_takes_its_plans_along(void **state)
{
	vm->mode = GN_POLICY_FORECAST_ONLY;
	decide(GN_RESOURCE_CPU, 1000, 970);
	gn_runner_removed(runner, vm);
	assert_int_equal(newest()->plan.state, GN_PLAN_EXPIRED);
}

int main(void)
{
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        ON_DISK(enforced_plans_are_sent_at_once),
	        ON_DISK(the_answer_decides_how_a_plan_ends),
	        ON_DISK(what_cannot_shrink_may_still_grow),
	        ON_DISK(no_answer_means_the_same_id_again),
	        ON_DISK(a_restart_sends_the_same_id_again),
	        ON_DISK(what_cannot_be_stored_is_not_sent),
	        ON_DISK(forecast_only_waits_for_an_operator),
	        ON_DISK(a_rejected_plan_does_not_come_back_at_once),
	        ON_DISK(switching_to_enforce_executes_what_is_pending),
	        ON_DISK(switching_off_withdraws_what_is_pending),
	        ON_DISK(one_plan_of_a_vm_runs_at_a_time),
	        ON_DISK(memory_may_stop_near_its_target),
	        ON_DISK(a_quota_is_changed_as_a_quota),
	        ON_DISK(under_tcg_a_quota_shrinks),
	        ON_DISK(meters_are_set_on_the_card),
	        ON_DISK(no_room_means_it_must_move),
	        ON_DISK(a_vm_that_goes_takes_its_plans_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
