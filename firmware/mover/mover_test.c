/* mover_test.c - a lost VM's failover over peers that the test plays: what is called in which
 * order, what is refused, taken back, and gone on with after a restart at any point. */
#include "firmware/mover/mover.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "firmware/failover/move.h"
#include "firmware/message/message.h"
#include "firmware/peer/fake_peer.h"

#define S   ((uint64_t)1000000)
#define MIB ((uint64_t)1 << 20)

static char directory[32];
static struct gn_config *config;
static struct gn_store *store;
static struct gn_brain *brain;
static struct gn_peer *shim, *dataplane;
static struct gn_executor *executor;
static struct gn_view view;
static struct gn_runner *runner;
static struct gn_shadows *shadows;
static struct gn_mover *mover;
static struct gn_vm *vm;

/* The host and the dataplane, as they are. */
static struct {
	bool runs, failed, connected, has_port, fenced, is_stale;
	char path[512], shadow_path[512], ids[4096];
	uint64_t token;
	unsigned n_answered, n_starts, n_promotions;
	bool refuses_fence, refuses_promotion;
	bool trial_runs, trial_is_silent, refuses_trial, has_clone;
	uint64_t trial_packets;
	bool trial_answers, is_probed; /* an operator's probe; the dataplane asks it */
	unsigned n_probes;
} world;

static void open_all(void)
{
	const struct gn_store_bounds bounds = {3600 * S, 7200 * S, 86400 * S, 100, 100};
	struct gn_mover_parts parts;
	struct gn_status status;
	char path[64];
	FILE *file;

	snprintf(path, sizeof path, "%s/g.yaml", directory);
	file = fopen(path, "w");
	fprintf(file,
	        "board: devbox\nstate_dir: /s\nrun_dir: /r\n"
	        "control_local: {url: 'ipc:///r/g.ipc'}\ndataplane: {url: 'ipc:///r/d.ipc'}\n"
	        "samples: {url: 'ipc:///r/s.ipc'}\nshim: {url: 'ipc:///r/h.ipc'}\n"
	        "pool_path: %s/pool\nvms: [{name: vms/a, nics: [{name: net0, vlan: 7}], disks: "
	        "[{name: vda, path: /x}]}]\n",
	        directory);
	fclose(file);
	assert_int_equal(gn_config_load(path, &config, &status), 0);
	assert_int_equal(gn_store_open(directory, &bounds, gn_fake_now_us, &store, &status), 0);
	assert_int_equal(gn_brain_create(config, store, gn_time_now(), &brain), 0);
	shim = gn_fake_peer_create();
	dataplane = gn_fake_peer_create();
	gn_executor_create(shim, dataplane, &executor);
	gn_runner_create(brain, executor, gn_time_now(), &runner);
	gn_shadows_create(brain, executor, dataplane, &view, gn_time_now(), &shadows);
	parts = (struct gn_mover_parts){brain, runner, shadows, executor, shim, dataplane, &view};
	gn_mover_create(&parts, gn_time_now(), &mover);
	vm = gn_brain_vm(brain, "vms/a");
}

static void close_all(void)
{
	gn_runner_close(runner);
	gn_shadows_close(shadows);
	gn_mover_close(mover);
	gn_peer_destroy(shim);
	gn_peer_destroy(dataplane);
	gn_mover_destroy(mover);
	gn_shadows_destroy(shadows);
	gn_runner_destroy(runner);
	gn_executor_destroy(executor);
	gn_view_fini(&view);
	gn_brain_destroy(brain);
	gn_store_close(store);
	gn_config_free(config);
	mover = NULL;
}

/* ---- the other side ---- */

static void answer_host_vms(struct gn_fake_call *call)
{
	Gnomon__V1__HostVmList list = GNOMON__V1__HOST_VM_LIST__INIT;
	Gnomon__V1__HostVm host_vm = GNOMON__V1__HOST_VM__INIT, *vms[] = {&host_vm};
	Gnomon__V1__HostNic nic = GNOMON__V1__HOST_NIC__INIT, *nics[] = {&nic};
	Gnomon__V1__HostDisk disk = GNOMON__V1__HOST_DISK__INIT, *disks[] = {&disk};
	Gnomon__V1__Allocation a = GNOMON__V1__ALLOCATION__INIT;

	a.vcpus = 2;
	a.vcpus_maximum = 4;
	a.memory_bytes = 512 * MIB;
	nic.mac = (char *)"52:54:00:00:00:01";
	nic.socket_path = (char *)"/r/vhost/a-net0.sock";
	disk.target = (char *)"vda";
	host_vm.name = (char *)"vms/a";
	host_vm.state = world.runs ? GNOMON__V1__VM_STATE__RUNNING : GNOMON__V1__VM_STATE__SHUT_OFF;
	host_vm.failed = world.failed;
	host_vm.allocation = &a;
	host_vm.nics = nics;
	host_vm.n_nics = 1;
	host_vm.disks = disks;
	host_vm.n_disks = 1;
	list.vms = vms;
	list.n_vms = 1;
	if (call)
		gn_fake_peer_answer(call, &list.base);
	else
		gn_brain_host_vms(brain, &list);
}

static void answer_volume(struct gn_fake_call *call, bool as_list)
{
	Gnomon__V1__Volume volume = GNOMON__V1__VOLUME__INIT, *volumes[] = {&volume};
	Gnomon__V1__VolumeList list = GNOMON__V1__VOLUME_LIST__INIT;
	Gnomon__V1__VolumeMirror mirror = GNOMON__V1__VOLUME_MIRROR__INIT;
	Gnomon__V1__VolumeMirrorStatus status = GNOMON__V1__VOLUME_MIRROR_STATUS__INIT;
	Gnomon__V1__VolumePromotion promotion = GNOMON__V1__VOLUME_PROMOTION__INIT;

	volume.name = (char *)"volumes/a-vda";
	volume.vm = (char *)"vms/a";
	volume.path = world.path;
	volume.size_bytes = MIB;
	volume.connected = world.connected;
	volume.fenced = world.fenced;
	mirror.shadow_path = world.shadow_path;
	status.state = world.is_stale ? GNOMON__V1__VOLUME_MIRROR_STATUS__STATE__STALE
	                              : GNOMON__V1__VOLUME_MIRROR_STATUS__STATE__IN_STEP;
	status.reason = world.is_stale ? GNOMON__V1__VOLUME_MIRROR_STATUS__REASON__JOURNAL_FULL
	                               : GNOMON__V1__VOLUME_MIRROR_STATUS__REASON__FINE;
	status.point_us = gn_fake_now_us - 5 * S;
	if (world.shadow_path[0]) {
		volume.mirror = &mirror;
		volume.mirror_status = &status;
	}
	promotion.token = world.token;
	promotion.complete = !world.is_stale;
	promotion.point_us = gn_fake_now_us - 5 * S;
	promotion.lost_bytes = world.is_stale ? 4096 : 0;
	if (world.token)
		volume.promotion = &promotion;
	list.volumes = volumes;
	list.n_volumes = 1;
	gn_fake_peer_answer(call, as_list ? &list.base : &volume.base);
}

static void answer_ports(struct gn_fake_call *call)
{
	Gnomon__V1__Port port = GNOMON__V1__PORT__INIT, trial = GNOMON__V1__PORT__INIT;
	Gnomon__V1__Port *ports[] = {&trial, &port};
	Gnomon__V1__PortCounters counters = GNOMON__V1__PORT_COUNTERS__INIT;
	Gnomon__V1__PortCounters sent = GNOMON__V1__PORT_COUNTERS__INIT;
	Gnomon__V1__PortList list = GNOMON__V1__PORT_LIST__INIT;
	Gnomon__V1__PortProbe probe = GNOMON__V1__PORT_PROBE__INIT;
	char name[GN_NAME_SIZE];

	gn_name_port("vms/a", true, "net0", name);
	trial.name = name;
	trial.connected = world.trial_runs;
	world.trial_packets += world.trial_runs && !world.trial_is_silent;
	sent.tx_packets = world.trial_packets;
	trial.counters = &sent;
	probe.passed = world.trial_answers;
	probe.seen = (char *)"it refuses the connection";
	trial.probe = world.is_probed ? &probe : NULL;

	port.name = (char *)"ports/a-net0";
	port.connected = world.runs;
	counters.tx_packets = world.runs;
	port.counters = &counters;
	list.ports = ports;
	list.n_ports = world.has_port ? 2 : 1;
	gn_fake_peer_answer(call, &list.base);
}

static void answer_probe(struct gn_fake_call *call)
{
	const Gnomon__V1__ProbePortRequest *request =
	        (const Gnomon__V1__ProbePortRequest *)call->request;
	Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;
	Gnomon__V1__PortProbe probe = GNOMON__V1__PORT_PROBE__INIT;

	assert_string_equal(request->probe, "tcp://10.0.0.2:22");
	assert_true(world.trial_runs);
	world.is_probed = true;
	world.n_probes++;
	port.name = request->name;
	port.isolated = true;
	port.probe = &probe;
	gn_fake_peer_answer(call, &port.base);
}

static void promote(const Gnomon__V1__PromoteVolumeRequest *request)
{
	assert_true(world.fenced && !world.runs && !world.has_port);
	if (world.token == request->token)
		return;
	world.n_promotions++;
	world.token = request->token;
	snprintf(world.path, sizeof world.path, "%s", world.shadow_path);
	world.shadow_path[0] = '\0';
}

static void answer_dataplane(struct gn_fake_call *call)
{
	const Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;
	const char *method = call->method;

	if (strcmp(method, "UpdateVolumeMirror") == 0)
		snprintf(world.shadow_path, sizeof world.shadow_path, "%s",
		         ((Gnomon__V1__UpdateVolumeMirrorRequest *)call->request)
		                 ->mirror->shadow_path);
	if (strcmp(method, "FenceVolume") == 0) {
		world.fenced = ((Gnomon__V1__FenceVolumeRequest *)call->request)->fenced;
		world.connected &= !world.fenced;
	}
	if (strcmp(method, "PromoteVolume") == 0 && world.refuses_promotion) {
		gn_fake_peer_refuse(call, GN_FAILED_PRECONDITION, "the pool's disk is broken");
		return;
	}
	if (strcmp(method, "PromoteVolume") == 0)
		promote((Gnomon__V1__PromoteVolumeRequest *)call->request);
	if (strcmp(method, "CloneVolume") == 0) {
		Gnomon__V1__CloneVolumeReply reply = GNOMON__V1__CLONE_VOLUME_REPLY__INIT;

		world.has_clone = true;
		reply.wall_us = gn_fake_now_us - 5 * S;
		gn_fake_peer_answer(call, &reply.base);
		return;
	}
	if (strcmp(method, "DeleteVolume") == 0) {
		world.has_clone = false;
		gn_fake_peer_answer(call, &empty.base);
		return;
	}
	if (strstr(method, "Volume")) {
		answer_volume(call, strcmp(method, "ListVolumes") == 0);
		return;
	}
	if (strcmp(method, "ListPorts") == 0) {
		answer_ports(call);
		return;
	}
	if (strcmp(method, "ProbePort") == 0) {
		answer_probe(call);
		return;
	}
	if (strstr(method, "Port") &&
	    strcmp(((Gnomon__V1__Port *)call->request)->name, "ports/a-net0") == 0)
		world.has_port = method[0] == 'C';
	gn_fake_peer_answer(call, method[0] == 'D' ? &empty.base : call->request);
}

static enum gn_code execute(const Gnomon__V1__Command *command)
{
	if (command->action_case == GNOMON__V1__COMMAND__ACTION_FENCE_VM) {
		if (world.refuses_fence)
			return GN_PERMISSION_DENIED;
		world.runs = world.connected = world.failed = false; /* ended in order */
	}
	if (command->action_case == GNOMON__V1__COMMAND__ACTION_START_SHADOW) {
		assert_true(world.has_clone);
		if (world.refuses_trial)
			return GN_FAILED_PRECONDITION;
		world.trial_runs = true;
	}
	if (command->action_case == GNOMON__V1__COMMAND__ACTION_DESTROY_SHADOW)
		world.trial_runs = false;
	if (command->action_case == GNOMON__V1__COMMAND__ACTION_START_VM) {
		assert_true(world.token && !world.fenced && world.has_port);
		if (strstr(world.ids, command->id))
			return GN_OK;
		assert_false(world.runs);
		world.n_starts++;
		world.runs = world.connected = true;
		world.failed = false;
		strncat(world.ids, command->id, sizeof world.ids - strlen(world.ids) - 1);
	}
	return GN_OK;
}

static void answer_command(struct gn_fake_call *call)
{
	const Gnomon__V1__Command *command = (const Gnomon__V1__Command *)call->request;
	Gnomon__V1__CommandResult result = GNOMON__V1__COMMAND_RESULT__INIT;
	Gnomon__V1__Status status = GNOMON__V1__STATUS__INIT;
	char id[65];

	snprintf(id, sizeof id, "%s", command->id);
	status.code = (Gnomon__V1__Code)execute(command);
	status.message = (char *)"the owner's words";
	result.id = id;
	result.status = &status;
	gn_fake_peer_answer(call, &result.base);
}

/* False: no call waits. */
static bool answer_one(void)
{
	struct gn_fake_call *call = gn_fake_peer_take(shim, NULL);

	if (!call) {
		call = gn_fake_peer_take(dataplane, NULL);
		if (!call)
			return false;
		answer_dataplane(call);
	} else if (strcmp(call->method, "ListHostVms") == 0) {
		answer_host_vms(call);
	} else {
		answer_command(call);
	}
	world.n_answered++;
	return true;
}

static void tick(void)
{
	gn_fake_now_us += S / 5;
	gn_runner_tick(runner, gn_time_now());
	gn_mover_tick(mover, gn_time_now());
	gn_shadows_tick(shadows, gn_time_now());
}

static void turn(unsigned n)
{
	while (n--) {
		tick();
		while (answer_one())
			;
	}
}

static void host_told(void)
{
	Gnomon__V1__HostInfo host = GNOMON__V1__HOST_INFO__INIT;

	host.cpus = 8;
	host.memory_bytes = 8192 * MIB;
	gn_brain_host(brain, &host);
	answer_host_vms(NULL);
}

static int set_up(void **state)
{
	Gnomon__V1__Shadow settings = GNOMON__V1__SHADOW__INIT;
	struct gn_shadow_record *record;
	struct gn_status status;

	memset(&world, 0, sizeof world);
	world.runs = world.connected = world.has_port = true;
	strcpy(world.path, "/x");
	strcpy(directory, "/tmp/gnmvXXXXXX");
	gn_fake_now_us = 1700000000 * S;
	if (!mkdtemp(directory))
		return -1;
	open_all();
	host_told();
	settings.name = (char *)"vms/a/shadow";
	turn(1);
	{
		Gnomon__V1__Volume volume = GNOMON__V1__VOLUME__INIT;

		volume.name = (char *)"volumes/a-vda";
		volume.path = (char *)"/x";
		volume.size_bytes = MIB;
		gn_view_note_volume(&view, &volume);
	}
	assert_int_equal(gn_shadows_add(shadows, &settings, gn_time_now(), &record, &status), 0);
	turn(5);
	assert_int_equal(record->shadow.state, GN_SHADOW_IN_STEP);
	return 0;
}

static int tear_down(void **state)
{
	char command[64];

	if (mover)
		close_all();
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

static void kill_qemu(void)
{
	world.runs = world.connected = false;
	world.failed = true;
}

static struct gn_plan_record *newest(void)
{
	size_t n = gn_runner_count(runner);

	return n ? gn_runner_at(runner, n - 1) : NULL;
}

static void check_moved(const struct gn_plan_record *plan)
{
	char path[64];

	snprintf(path, sizeof path, "%s/pool/a-shadow/vda.raw", directory);
	assert_int_equal(plan->plan.state, GN_PLAN_DONE);
	assert_true(world.runs && !world.fenced && world.has_port);
	assert_string_equal(world.path, path);
	assert_string_equal(vm->spec->disks[0]->path, path);
	assert_false(vm->fenced);
	assert_int_equal(world.n_starts, 1);
	assert_int_equal(world.n_promotions, 1);
	assert_true(plan->message->move->done_us > plan->message->move->first_us);
}

/* ---- cases ---- */

static void enforced(void **state)
{
	vm->mode = GN_POLICY_ENFORCE;
	turn(20);
	assert_int_equal(gn_runner_count(runner), 0);
	kill_qemu();
	turn(20);
	check_moved(newest());
	assert_true(newest()->message->move->loss_is_known && !newest()->message->move->lost_us);
	turn(60);
	assert_int_equal(gn_runner_count(runner), 1);
	/* In the other direction, and back. */
	assert_non_null(strstr(world.shadow_path, "vda-b.raw"));
	kill_qemu();
	turn(30);
	assert_int_equal(newest()->plan.state, GN_PLAN_DONE);
	assert_non_null(strstr(world.path, "vda-b.raw"));
	turn(60);
	assert_non_null(strstr(world.shadow_path, "/vda.raw"));
}

static void shown_only(void **state)
{
	struct gn_status status;
	unsigned answered;

	kill_qemu();
	turn(10);
	assert_int_equal(newest()->plan.state, GN_PLAN_PENDING);
	answered = world.n_promotions + world.n_starts + world.fenced;
	assert_int_equal(answered, 0);
	assert_int_equal(gn_runner_reject(newest(), gn_time_now(), &status), 0);
	turn(100);
	assert_int_equal(gn_runner_count(runner), 1); /* not proposed again for this loss */
	world.runs = world.connected = true;
	world.failed = false;
	turn(10);
	kill_qemu();
	turn(10);
	assert_int_equal(gn_runner_count(runner), 2);
	assert_int_equal(gn_runner_approve(newest(), gn_time_now(), &status), 0);
	turn(10);
	check_moved(newest());
}

static void comes_back_by_itself(void **state)
{
	kill_qemu();
	turn(10);
	world.runs = world.connected = true;
	world.failed = false;
	turn(10);
	assert_int_equal(newest()->plan.state, GN_PLAN_EXPIRED);
	assert_int_equal(gn_runner_count(runner), 1);
}

static void fence_refused(void **state)
{
	vm->mode = GN_POLICY_ENFORCE;
	world.refuses_fence = true;
	kill_qemu();
	turn(10);
	assert_false(world.fenced); /* what may go on running keeps its disks */
	assert_true(world.has_port);
	turn(10);
	assert_int_equal(gn_runner_at(runner, 0)->plan.state, GN_PLAN_FAILED);
	assert_int_equal(world.n_promotions, 0);
	assert_int_equal(vm->past, GN_VM_RAN);
	world.refuses_fence = false;
	turn(60);
	check_moved(newest()); /* tried again */
}

static void stale(void **state)
{
	Gnomon__V1__PromoteShadowRequest request = GNOMON__V1__PROMOTE_SHADOW_REQUEST__INIT;
	struct gn_plan_record *plan;
	struct gn_status status;

	vm->mode = GN_POLICY_ENFORCE;
	world.is_stale = true;
	turn(10);
	kill_qemu();
	turn(20);
	assert_int_equal(gn_runner_count(runner), 0);
	assert_true(gn_mover_promote(mover, vm, &request, gn_time_now(), &plan, &status) < 0);
	assert_non_null(strstr(status.message, "lacks writes that were acknowledged"));
	request.accept_loss = true;
	request.accept_us = S;
	assert_true(gn_mover_promote(mover, vm, &request, gn_time_now(), &plan, &status) < 0);
	request.accept_us = 60 * S;
	assert_int_equal(gn_mover_promote(mover, vm, &request, gn_time_now(), &plan, &status), 0);
	turn(20);
	check_moved(newest());
	assert_int_equal(newest()->message->move->lost_bytes, 4096);
	assert_true(newest()->message->move->lost_us > 0);
}

static void refused(void **state)
{
	Gnomon__V1__PromoteShadowRequest request = GNOMON__V1__PROMOTE_SHADOW_REQUEST__INIT;
	struct gn_shadow_record *record = gn_shadows_find(shadows, "vms/a");
	struct gn_plan_record *plan;
	struct gn_status status;

	assert_true(gn_mover_promote(mover, vm, &request, gn_time_now(), &plan, &status) < 0);
	assert_non_null(strstr(status.message, "migrate it instead"));
	record->message->hold = true;
	assert_true(gn_mover_promote(mover, vm, &request, gn_time_now(), &plan, &status) < 0);
	assert_non_null(strstr(status.message, "release the hold")); /* before the next tick */
	vm->mode = GN_POLICY_ENFORCE;
	turn(2);
	kill_qemu();
	turn(20);
	assert_int_equal(gn_runner_count(runner), 0);
	assert_true(gn_mover_promote(mover, vm, &request, gn_time_now(), &plan, &status) < 0);
	assert_non_null(strstr(status.message, "release the hold"));
	record->message->hold = false;
	turn(40);
	check_moved(newest());
}

static void guest_told(bool panic, uint64_t clock_stopped_us, uint32_t running)
{
	Gnomon__V1__GuestTasks tasks = GNOMON__V1__GUEST_TASKS__INIT;
	Gnomon__V1__SampleBatch batch = GNOMON__V1__SAMPLE_BATCH__INIT;
	Gnomon__V1__Sample sample = GNOMON__V1__SAMPLE__INIT, *samples[] = {&sample};
	Gnomon__V1__GuestSample guest = GNOMON__V1__GUEST_SAMPLE__INIT;
	Gnomon__V1__GuestSigns signs = GNOMON__V1__GUEST_SIGNS__INIT;

	signs.panic = panic;
	signs.clock_stopped_us = clock_stopped_us;
	guest.signs = &signs;
	tasks.running = running;
	guest.tasks = &tasks;
	sample.vm = (char *)"vms/a";
	sample.period_us = S;
	sample.wall_us = sample.monotonic_us = gn_fake_now_us;
	sample.guest = &guest;
	batch.samples = samples;
	batch.n_samples = 1;
	gn_brain_guests(brain, &batch, gn_time_now());
}

/* gnomond ends, and is back after 'away_us'. */
static void restart(uint64_t away_us)
{
	enum gn_policy_mode mode = vm->mode;

	close_all();
	gn_fake_now_us += away_us;
	open_all();
	vm->mode = mode;
}

/* gnomond ends after the so-many-th answer, at every point of the way. */
static void restart_everywhere(void **state, uint64_t away_us)
{
	for (unsigned at = 0; at < 16; at++) {
		bool is_fencing;
		unsigned stop;

		if (at) {
			tear_down(state);
			assert_int_equal(set_up(state), 0);
		}
		vm->mode = GN_POLICY_ENFORCE;
		kill_qemu();
		while (!newest())
			turn(1);
		stop = world.n_answered + at;
		while (world.n_answered < stop && !gn_plan_has_ended(&newest()->plan)) {
			if (!answer_one())
				tick();
		}
		/* Only a fence that was under way is judged anew, by another plan. */
		is_fencing = newest()->plan.actions[newest()->plan.at].kind == GN_MOVE_STEP_FENCE;
		restart(away_us);
		turn(10); /* the host is silent at first */
		host_told();
		turn(120);
		assert_int_equal(gn_runner_count(runner), is_fencing ? 2 : 1);
		check_moved(newest());
	}
}

static void restarted(void **state)
{
	restart_everywhere(state, 0);
}

/* So late that a fence is judged anew; what was promoted is booted all the same. */
static void restarted_late(void **state)
{
	restart_everywhere(state, 3600 * S);
}

static void recovered_while_away(void **state)
{
	vm->mode = GN_POLICY_ENFORCE;
	kill_qemu();
	while (!newest() || newest()->plan.at == 0)
		tick(), answer_one();
	assert_int_equal(world.n_promotions, 0);
	restart(3600 * S);
	world.runs = world.connected = world.has_port = true;
	world.failed = world.fenced = false;
	host_told();
	turn(60);
	assert_true(world.runs && world.connected && world.has_port && !world.fenced);
	assert_int_equal(newest()->plan.state, GN_PLAN_FAILED);
	assert_int_equal(gn_runner_count(runner), 1);
	assert_int_equal(world.n_promotions + world.n_starts, 0);
}

static void lost_while_away(void **state)
{
	vm->mode = GN_POLICY_ENFORCE;
	turn(10);
	kill_qemu();
	restart(60 * S);
	host_told();
	turn(30);
	check_moved(newest());
}

static void pending_over_restart(void **state)
{
	struct gn_status status;

	kill_qemu();
	turn(10);
	assert_int_equal(newest()->plan.state, GN_PLAN_PENDING);
	restart(60 * S);
	turn(10);
	host_told();
	turn(10);
	assert_int_equal(gn_runner_count(runner), 1);
	assert_int_equal(gn_runner_approve(newest(), gn_time_now(), &status), 0);
	turn(10);
	check_moved(newest());
}

/* The fence has ended the VM and the promotion fails: it is off through us, so it stays lost. */
static void ended_by_us(void **state)
{
	for (unsigned restarts = 0; restarts < 2; restarts++) {
		if (restarts) {
			tear_down(state);
			assert_int_equal(set_up(state), 0);
		}
		vm->mode = GN_POLICY_ENFORCE;
		guest_told(true, 0, 1);
		world.refuses_promotion = true;
		turn(100);
		assert_int_equal(gn_runner_at(runner, 0)->plan.state, GN_PLAN_FAILED);
		assert_false(world.runs);
		world.refuses_promotion = false;
		if (restarts)
			restart(60 * S);
		host_told();
		turn(200);
		check_moved(newest());
	}
}

/* An operator who shuts a VM down loses nothing, whatever befalls it before. */
static void shut_down(void **state)
{
	vm->mode = GN_POLICY_ENFORCE;
	turn(10);
	world.runs = world.connected = false;
	host_told();
	turn(30);
	restart(60 * S);
	host_told();
	turn(10);
	world.failed = true; /* it does not start any more: not ours to mend */
	host_told();
	turn(30);
	assert_int_equal(gn_runner_count(runner), 0);
}

static void guest_dead(void **state)
{
	Gnomon__V1__PromoteShadowRequest request = GNOMON__V1__PROMOTE_SHADOW_REQUEST__INIT;
	struct gn_plan_record *plan;
	struct gn_status status;
	unsigned i;

	vm->mode = GN_POLICY_ENFORCE;
	turn(10);
	guest_told(true, 0, 1);
	turn(20);
	check_moved(newest());
	assert_string_equal(newest()->message->move->cause, "the guest's kernel has panicked");
	turn(60); /* the old guest's sample does not count again; the shadow follows anew */
	assert_int_equal(gn_runner_count(runner), 1);
	host_told();
	for (i = 0; i < 4; i++) {
		guest_told(true, 0, 1);
		turn(5);
	}
	assert_int_equal(gn_runner_count(runner), 1); /* again so soon: no other failover */
	assert_int_equal(gn_mover_promote(mover, vm, &request, gn_time_now(), &plan, &status), 0);
	turn(20);
	assert_int_equal(plan->plan.state, GN_PLAN_DONE); /* but by an operator's word */
}

static void guest_hung(void **state)
{
	unsigned i;

	vm->mode = GN_POLICY_ENFORCE;
	for (i = 1; i < 20; i++) {
		guest_told(false, i * S, 0); /* idle, with a clock that need not run */
		turn(5);
	}
	assert_int_equal(gn_runner_count(runner), 0);
	for (i = 1; i < 20 && !gn_runner_count(runner); i++) {
		guest_told(false, i * S, 1);
		turn(5);
	}
	assert_in_range(i, 9, 12); /* 5 s until it shows, 5 s until it counts */
	turn(20);
	check_moved(newest());
	assert_string_equal(newest()->message->move->cause, "the guest's kernel stands still");
}

/* ---- rehearsals ---- */

static const Gnomon__V1__Rehearsal *showed(void)
{
	return gn_shadows_find(shadows, "vms/a")->message->rehearsal;
}

static int rehearse(struct gn_status *status)
{
	Gnomon__V1__RehearseShadowRequest request = GNOMON__V1__REHEARSE_SHADOW_REQUEST__INIT;
	struct gn_plan_record *plan;

	request.timeout_us = 20 * S;
	return gn_mover_rehearse(mover, vm, &request, gn_time_now(), &plan, status);
}

/* Nothing of the clone is left, and the VM never noticed. */
static void check_thrown_away(void)
{
	assert_false(world.trial_runs || world.has_clone);
	assert_true(world.runs && world.has_port && !world.fenced);
	assert_int_equal(world.n_promotions, 0);
	assert_false(gn_shadows_find(shadows, "vms/a")->shadow.start);
	assert_false(gn_mover_is_rehearsing(mover, "vms/a"));
}

static void rehearsed(void **state)
{
	struct gn_status status;
	unsigned i;

	for (i = 1; i <= 2; i++) { /* what the first one sent is no sign of the second one's life */
		assert_int_equal(rehearse(&status), 0);
		assert_true(gn_mover_is_rehearsing(mover, "vms/a"));
		assert_true(rehearse(&status) < 0);
		assert_non_null(strstr(status.message, "wait for the end of that plan"));
		turn(40);
		assert_int_equal(newest()->plan.state, GN_PLAN_DONE);
		assert_true(showed()->passed && showed()->rto_us && showed()->point_us);
		assert_true(showed()->clone_us && showed()->remove_us);
		assert_string_equal(showed()->plan, newest()->message->name);
		check_thrown_away();
		assert_int_equal(gn_runner_count(runner), i);
	}
}

static void rehearsal_without_life(void **state)
{
	struct gn_status status;

	assert_int_equal(rehearse(&status), 0);
	turn(40);
	world.trial_is_silent = true;
	assert_int_equal(rehearse(&status), 0);
	turn(150);
	assert_int_equal(newest()->plan.state, GN_PLAN_FAILED);
	assert_false(showed()->passed);
	assert_non_null(strstr(showed()->message, "sent nothing within 20 s"));
	check_thrown_away();
	world.refuses_trial = true;
	assert_int_equal(rehearse(&status), 0);
	turn(60);
	assert_int_equal(newest()->plan.state, GN_PLAN_FAILED);
	assert_non_null(strstr(showed()->message, "the owner's words"));
	check_thrown_away();
}

/* Packets alone are no answer; each rehearsal asks anew, and so does one whose dataplane forgot. */
static void rehearsal_is_asked(void **state)
{
	Gnomon__V1__Shadow *shadow = gn_shadows_find(shadows, "vms/a")->message;
	struct gn_status status;

	gn_message_set(&shadow->probe, "tcp://10.0.0.2:22");
	assert_int_equal(rehearse(&status), 0);
	turn(150);
	assert_int_equal(newest()->plan.state, GN_PLAN_FAILED);
	assert_non_null(strstr(showed()->message, "did not answer tcp://10.0.0.2:22 within 20 s; "
	                                          "it refuses the connection"));
	assert_int_equal(world.n_probes, 1);
	check_thrown_away();
	assert_int_equal(rehearse(&status), 0);
	turn(50);
	assert_int_equal(world.n_probes, 2);
	world.is_probed = false;
	turn(5);
	assert_int_equal(world.n_probes, 3);
	assert_true(gn_mover_is_rehearsing(mover, "vms/a"));
	world.trial_answers = true;
	turn(20);
	assert_int_equal(newest()->plan.state, GN_PLAN_DONE);
	check_thrown_away();
}

static void rehearsal_refused(void **state)
{
	struct gn_status status;

	gn_shadows_run(gn_shadows_find(shadows, "vms/a"), true, gn_time_now());
	turn(10);
	assert_true(rehearse(&status) < 0);
	assert_non_null(strstr(status.message, "stop it first"));
	assert_int_equal(gn_runner_count(runner), 0);
}

/* A VM that is lost does not wait for a rehearsal's end. */
static void rehearsal_gives_way(void **state)
{
	struct gn_status status;

	vm->mode = GN_POLICY_ENFORCE;
	world.trial_is_silent = true;
	assert_int_equal(rehearse(&status), 0);
	turn(20);
	assert_true(world.trial_runs);
	kill_qemu();
	turn(40);
	check_moved(newest());
	assert_int_equal(gn_runner_at(runner, 0)->plan.state, GN_PLAN_FAILED);
	assert_false(world.trial_runs || showed()->passed);
}

static void rehearsed_by_schedule(void **state)
{
	Gnomon__V1__Shadow settings = GNOMON__V1__SHADOW__INIT;
	Gnomon__V1__ShadowSchedule weekly = GNOMON__V1__SHADOW_SCHEDULE__INIT;
	char *mask[] = {(char *)"rehearse"};
	struct gn_status status;

	weekly.first_us = gn_fake_now_us;
	weekly.every_us = 60 * S;
	settings.rehearse = &weekly;
	assert_int_equal(gn_shadows_update(gn_shadows_find(shadows, "vms/a"), &settings, mask, 1,
	                                   gn_time_now(), &status),
	                 0);
	turn(60);
	assert_int_equal(gn_runner_count(runner), 1);
	assert_true(showed()->passed);
	turn(300);
	assert_int_equal(gn_runner_count(runner), 2);
	check_thrown_away();
}

static void rehearsal_goes_on(void **state)
{
	for (unsigned at = 0; at < 12; at++) {
		struct gn_status status;
		unsigned stop;

		if (at) {
			tear_down(state);
			assert_int_equal(set_up(state), 0);
		}
		assert_int_equal(rehearse(&status), 0);
		stop = world.n_answered + at;
		while (world.n_answered < stop && !gn_plan_has_ended(&newest()->plan)) {
			if (!answer_one())
				tick();
		}
		close_all();
		open_all();
		host_told();
		turn(80);
		assert_int_equal(newest()->plan.state, GN_PLAN_DONE);
		assert_true(showed()->passed);
		check_thrown_away();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	        CASE(enforced),
	        CASE(shown_only),
	        CASE(comes_back_by_itself),
	        CASE(fence_refused),
	        CASE(stale),
	        CASE(refused),
	        CASE(restarted),
	        CASE(restarted_late),
	        CASE(recovered_while_away),
	        CASE(lost_while_away),
	        CASE(pending_over_restart),
	        CASE(ended_by_us),
	        CASE(shut_down),
	        CASE(rehearsed),
	        CASE(rehearsal_without_life),
	        CASE(guest_dead),
	        CASE(guest_hung),
	        CASE(rehearsal_is_asked),
	        CASE(rehearsal_refused),
	        CASE(rehearsal_gives_way),
	        CASE(rehearsed_by_schedule),
	        CASE(rehearsal_goes_on),
#undef CASE
	};

	return cmocka_run_group_tests_name("mover", tests, NULL, NULL);
}
