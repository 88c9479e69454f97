/* provision_test.c - which calls a shadow is made of, what is refused before anything is
 * changed, and what reconcile makes, over peers that the test plays. */
#include "firmware/shadow/provision.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "firmware/brain/fake_brain.h"
#include "firmware/message/message.h"
#include "firmware/peer/fake_peer.h"
#include "firmware/reconcile/reconcile.h"

#define S   ((uint64_t)1000000)
#define MIB ((uint64_t)1 << 20)

static char calls[2048];
static struct gn_fake_brain fake;
static struct gn_brain *brain; /* fake's */
static struct gn_peer *shim, *dataplane;
static struct gn_executor *executor;
static struct gn_view view;
static struct gn_shadows *shadows;
static struct gn_reconcile *reconcile;
static struct gn_vm *vm;

static void open_all(void)
{
	char settings[192];

	snprintf(settings, sizeof settings,
	         "pool_path: %s/pool\novercommit_milli: 1000\n"
	         "vms: [{name: vms/a, nics: [{name: net0, vlan: 7}], disks: [{name: vda, path: "
	         "/x}]}]\n",
	         fake.directory);
	gn_fake_brain_open(&fake, settings);
	brain = fake.brain;
	shim = gn_fake_peer_create();
	dataplane = gn_fake_peer_create();
	gn_executor_create(shim, dataplane, &executor);
	gn_shadows_create(brain, executor, dataplane, &view, gn_time_now(), &shadows);
	gn_reconcile_create(brain, dataplane, &view, &reconcile);
	vm = gn_brain_vm(brain, "vms/a");
}

static void close_all(void)
{
	gn_shadows_close(shadows);
	gn_peer_destroy(shim);
	gn_peer_destroy(dataplane);
	gn_reconcile_destroy(reconcile);
	gn_shadows_destroy(shadows);
	gn_executor_destroy(executor);
	gn_view_fini(&view);
	gn_fake_brain_close(&fake);
	shadows = NULL;
}

static void tell_devices(const char *nic_socket, const char *target)
{
	Gnomon__V1__HostVmList list = GNOMON__V1__HOST_VM_LIST__INIT;
	Gnomon__V1__HostVm host_vm = GNOMON__V1__HOST_VM__INIT, *vms[] = {&host_vm};
	Gnomon__V1__HostNic nic = GNOMON__V1__HOST_NIC__INIT, *nics[] = {&nic};
	Gnomon__V1__HostDisk disk = GNOMON__V1__HOST_DISK__INIT, *disks[] = {&disk};
	Gnomon__V1__Allocation a = GNOMON__V1__ALLOCATION__INIT;
	Gnomon__V1__HostInfo host = GNOMON__V1__HOST_INFO__INIT;

	host.cpus = 4;
	host.memory_bytes = 8192 * MIB;
	gn_brain_host(brain, &host);
	a.vcpus = 2;
	a.vcpus_maximum = 4;
	a.memory_bytes = 512 * MIB;
	nic.mac = (char *)"52:54:00:00:00:01";
	nic.socket_path = (char *)nic_socket;
	disk.target = (char *)target;
	host_vm.name = (char *)"vms/a";
	host_vm.state = GNOMON__V1__VM_STATE__RUNNING;
	host_vm.allocation = &a;
	host_vm.nics = nics;
	host_vm.n_nics = 1;
	host_vm.disks = disks;
	host_vm.n_disks = 1;
	list.vms = vms;
	list.n_vms = 1;
	gn_brain_host_vms(brain, &list);
}

static int set_up(void **state)
{
	calls[0] = '\0';
	if (gn_fake_brain_begin(&fake) != 0)
		return -1;
	open_all();
	tell_devices("/r/vhost/a-net0.sock", "vda");
	return 0;
}

static int tear_down(void **state)
{
	if (shadows)
		close_all();
	return gn_fake_brain_end(&fake);
}

/* ---- the other side ---- */

static void note(const char *text)
{
	strncat(calls, text, sizeof calls - strlen(calls) - 1);
	strncat(calls, " ", sizeof calls - strlen(calls) - 1);
}

static const char *word_for(const Gnomon__V1__Command *command)
{
	switch (command->action_case) {
	case GNOMON__V1__COMMAND__ACTION_DEFINE_SHADOW:
		return "define";
	case GNOMON__V1__COMMAND__ACTION_START_SHADOW:
		return "start";
	case GNOMON__V1__COMMAND__ACTION_DESTROY_SHADOW:
		return "destroy";
	case GNOMON__V1__COMMAND__ACTION_UNDEFINE_SHADOW:
		return "undefine";
	default:
		return "?";
	}
}

static void answer_command(struct gn_fake_call *call, enum gn_code code)
{
	Gnomon__V1__CommandResult result = GNOMON__V1__COMMAND_RESULT__INIT;
	Gnomon__V1__Status status = GNOMON__V1__STATUS__INIT;
	char id[65];

	snprintf(id, sizeof id, "%s", ((Gnomon__V1__Command *)call->request)->id);
	note(word_for((Gnomon__V1__Command *)call->request));
	result.id = id;
	result.status = &status;
	result.uuid = (char *)"the-uuid";
	status.code = (Gnomon__V1__Code)code;
	status.message = (char *)"libvirt's own words";
	gn_fake_peer_answer(call, &result.base);
}

static void answer_clone(struct gn_fake_call *call)
{
	Gnomon__V1__CloneVolumeReply reply = GNOMON__V1__CLONE_VOLUME_REPLY__INIT;
	FILE *file = fopen(((Gnomon__V1__CloneVolumeRequest *)call->request)->target_path, "wx");

	assert_non_null(file); /* the directory exists and nothing is in the way */
	fclose(file);
	reply.wall_us = 1234 * S;
	gn_fake_peer_answer(call, &reply.base);
}

/* The method, or "follow" and "part". */
static const char *word_of(const struct gn_fake_call *call)
{
	if (strcmp(call->method, "UpdateVolumeMirror") != 0)
		return call->method;
	return ((Gnomon__V1__UpdateVolumeMirrorRequest *)call->request)->mirror->mode ==
	                       GNOMON__V1__VOLUME_MIRROR__MODE__OFF
	               ? "part"
	               : "follow";
}

/* The volume as the dataplane then tells it: in step at once. */
static void answer_replicate(struct gn_fake_call *call)
{
	const Gnomon__V1__UpdateVolumeMirrorRequest *r =
	        (const Gnomon__V1__UpdateVolumeMirrorRequest *)call->request;
	Gnomon__V1__Volume volume = GNOMON__V1__VOLUME__INIT;
	Gnomon__V1__VolumeMirrorStatus status = GNOMON__V1__VOLUME_MIRROR_STATUS__INIT;
	bool is_off = r->mirror->mode == GNOMON__V1__VOLUME_MIRROR__MODE__OFF;

	if (!is_off)
		assert_int_equal(access(r->mirror->shadow_path, W_OK), 0);
	volume.name = r->name;
	volume.path = (char *)"/x";
	volume.size_bytes = MIB;
	status.state = GNOMON__V1__VOLUME_MIRROR_STATUS__STATE__IN_STEP;
	status.point_us = 1200 * S;
	if (!is_off) {
		volume.mirror = r->mirror;
		volume.mirror_status = &status;
	}
	gn_fake_peer_answer(call, &volume.base);
}

/* Answers one call; false: none waits. 'bad' is the method or command that fails. */
static bool answer_one(const char *bad, enum gn_code code)
{
	const Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;
	struct gn_fake_call *call = gn_fake_peer_take(shim, NULL);

	if (call) {
		bool fails =
		        bad && strcmp(bad, word_for((Gnomon__V1__Command *)call->request)) == 0;

		answer_command(call, fails ? code : GN_OK);
		return true;
	}
	call = gn_fake_peer_take(dataplane, NULL);
	if (!call)
		return false;
	note(word_of(call));
	if (bad && strcmp(bad, word_of(call)) == 0)
		gn_fake_peer_refuse(call, code, "the dataplane's own words");
	else if (strcmp(call->method, "CloneVolume") == 0)
		answer_clone(call);
	else if (strcmp(call->method, "UpdateVolumeMirror") == 0)
		answer_replicate(call);
	else if (strncmp(call->method, "Delete", 6) == 0)
		gn_fake_peer_answer(call, &empty.base);
	else
		gn_fake_peer_answer(call, call->request);
	return true;
}

static void tell_volume(void)
{
	Gnomon__V1__Volume volume = GNOMON__V1__VOLUME__INIT;

	volume.name = (char *)"volumes/a-vda";
	volume.path = (char *)"/x";
	volume.size_bytes = MIB;
	gn_view_note_volume(&view, &volume);
}

static struct gn_shadow_record *create(bool start)
{
	Gnomon__V1__Shadow settings = GNOMON__V1__SHADOW__INIT;
	struct gn_shadow_record *record = NULL;
	struct gn_status status = {0};

	settings.name = (char *)"vms/a/shadow";
	settings.start = start;
	tell_volume();
	assert_int_equal(gn_shadows_add(shadows, &settings, gn_time_now(), &record, &status), 0);
	return record;
}

/* ---- cases ---- */

static void a_shadow_is_made_of_these_calls(void **state)
{
	struct gn_shadow_record *record = create(true);
	struct gn_fake_call *call;
	Gnomon__V1__Port *port;
	Gnomon__V1__DefineShadow *define;

	call = gn_fake_peer_take(dataplane, "CreatePort");
	port = (Gnomon__V1__Port *)call->request;
	assert_string_equal(port->name, "ports/a-shadow-net0");
	assert_string_equal(port->vm, "vms/a-shadow");
	assert_true(port->isolated);
	assert_int_equal(port->vlan, 7);
	note(call->method);
	gn_fake_peer_answer(call, call->request);
	while (!gn_fake_peer_waiting(shim))
		assert_true(answer_one(NULL, GN_OK));
	call = gn_fake_peer_take(shim, "Execute");
	define = ((Gnomon__V1__Command *)call->request)->define_shadow;
	assert_string_equal(define->shadow_name, "a-shadow");
	assert_int_equal(define->vcpus, 1);
	assert_int_equal(define->memory_bytes, 512 * MIB);
	assert_string_equal(define->nics[0]->mac, "52:54:00:00:00:01");
	assert_string_equal(define->nics[0]->socket_path, "/r/vhost/a-shadow-net0.sock");
	assert_string_equal(define->disks[0]->socket_path, "/r/vhost/a-shadow-vda.sock");
	assert_string_equal(define->pool, GN_SHADOW_POOL);
	answer_command(call, GN_OK);
	while (answer_one(NULL, GN_OK))
		;
	assert_string_equal(calls, "CreatePort follow define CreateMirror CloneVolume "
	                           "CreateVolume start ");
	assert_int_equal(record->shadow.state, GN_SHADOW_SYNCING);
	gn_shadows_tick(shadows, gn_time_now());
	assert_int_equal(record->shadow.state, GN_SHADOW_IN_STEP);
	assert_int_equal(record->message->disk_point_us, 1200 * S);
	assert_int_equal(record->message->run_point_us, 1234 * S);
	assert_int_equal(record->message->n_disks, 1);
	assert_non_null(strstr(record->message->reason, "it runs on a copy of"));
	assert_string_equal(record->message->uuid, "the-uuid");
	assert_int_equal(gn_ledger_room(&brain->ledger).cpu_milli, 1000); /* 4 less 2 less 1 */
	calls[0] = '\0';
	gn_shadows_remove(record, gn_time_now());
	while (answer_one(NULL, GN_OK))
		;
	assert_string_equal(calls, "destroy DeleteVolume DeleteMirror undefine part DeletePort ");
	assert_int_equal(gn_shadows_count(shadows), 0);
	assert_int_equal(gn_ledger_room(&brain->ledger).cpu_milli, 2000);
}

static void what_fails_is_undone_and_told(void **state)
{
	static const struct {
		const char *bad, *says, *calls;
	} cases[] = {
	        {"CreatePort", "could not make its port: the dataplane's own words",
	         "CreatePort DeletePort "},
	        {"follow", "could not make its disk follow", "CreatePort follow part DeletePort "},
	        {"define", "could not define its domain: libvirt's own words",
	         "CreatePort follow define undefine part "
	         "DeletePort "},
	        {"CreateMirror", "could not mirror the packets",
	         "CreatePort follow define CreateMirror DeleteMirror undefine "
	         "part DeletePort "},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_shadow_record *record = create(false);

		calls[0] = '\0';
		while (answer_one(cases[i].bad, GN_INVALID_ARGUMENT))
			;
		assert_string_equal(calls, cases[i].calls);
		assert_int_equal(record->shadow.state, GN_SHADOW_FAILED);
		assert_non_null(strstr(record->message->reason, cases[i].says));
		assert_int_equal(gn_ledger_room(&brain->ledger).cpu_milli, 2000);
		gn_shadows_remove(record, gn_time_now());
		assert_int_equal(gn_shadows_count(shadows), 0);
	}
}

static void what_was_gone_already_counts_as_undone(void **state)
{
	struct gn_shadow_record *record = create(true);

	while (answer_one(NULL, GN_OK))
		;
	calls[0] = '\0';
	gn_shadows_remove(record, gn_time_now());
	while (answer_one(strstr(calls, "destroy") ? "DeleteMirror" : "destroy", GN_NOT_FOUND))
		;
	assert_string_equal(calls, "destroy DeleteVolume DeleteMirror undefine part DeletePort ");
	assert_int_equal(gn_shadows_count(shadows), 0);
}

static unsigned n_alerts;

static void count_alert(void *context, const Gnomon__V1__Event *event)
{
	n_alerts += strcmp(event->kind, "alert") == 0;
}

/* The dataplane lost its state, or the shadow's disk was away when it started. */
static void what_should_follow_and_does_not_begins_anew(void **state)
{
	struct gn_shadow_record *record = create(false);
	struct gn_fake_call *call;

	while (answer_one(NULL, GN_OK))
		;
	gn_shadows_tick(shadows, gn_time_now());
	assert_int_equal(gn_fake_peer_waiting(dataplane), 0);
	tell_volume(); /* without a mirror */
	gn_shadows_tick(shadows, gn_time_now());
	assert_int_equal(record->shadow.state, GN_SHADOW_SYNCING);
	call = gn_fake_peer_take(dataplane, "UpdateVolumeMirror");
	assert_non_null(call);
	brain->listener.event = count_alert;
	n_alerts = 0;
	gn_fake_peer_refuse(call, GN_NOT_FOUND, "not yet");
	gn_shadows_tick(shadows, gn_time_now());
	assert_int_equal(gn_fake_peer_waiting(dataplane), 0); /* not at once */
	for (unsigned i = 0; i < 3; i++) {
		gn_fake_now_us += 11 * S;
		gn_shadows_tick(shadows, gn_time_now());
		call = gn_fake_peer_take(dataplane, "UpdateVolumeMirror");
		assert_non_null(call);
		gn_fake_peer_refuse(call, GN_NOT_FOUND, i < 2 ? "not yet" : "never");
	}
	assert_int_equal(n_alerts, 2); /* the same is told once */
	brain->listener.event = NULL;
	gn_fake_now_us += 11 * S;
	gn_shadows_tick(shadows, gn_time_now());
	while (answer_one(NULL, GN_OK))
		;
	gn_shadows_tick(shadows, gn_time_now());
	assert_int_equal(record->shadow.state, GN_SHADOW_IN_STEP);
}

static void a_shadow_of_one_instant_does_not_follow(void **state)
{
	Gnomon__V1__Shadow settings = GNOMON__V1__SHADOW__INIT;
	Gnomon__V1__ShadowReplication off = GNOMON__V1__SHADOW_REPLICATION__INIT;
	char field[] = "replication", *mask[] = {field};
	struct gn_shadow_record *record = NULL;
	struct gn_status status = {0};

	tell_volume();
	off.mode = GNOMON__V1__SHADOW_REPLICATION__MODE__OFF;
	settings.name = (char *)"vms/a/shadow";
	settings.start = true;
	settings.replication = &off;
	assert_int_equal(gn_shadows_add(shadows, &settings, gn_time_now(), &record, &status), 0);
	while (answer_one(NULL, GN_OK))
		;
	assert_string_equal(calls,
	                    "CreatePort CloneVolume define CreateMirror CreateVolume start ");
	gn_shadows_tick(shadows, gn_time_now());
	assert_int_equal(record->shadow.state, GN_SHADOW_STALE);
	assert_int_equal(record->message->disk_point_us, 1234 * S);
	off.mode = GNOMON__V1__SHADOW_REPLICATION__MODE__ASYNC;
	assert_int_not_equal(gn_shadows_update(record, &settings, mask, 1, gn_time_now(), &status),
	                     0);
	assert_non_null(strstr(status.message, "stop it first"));
}

static void a_mirror_that_is_there_is_taken_over(void **state)
{
	struct gn_shadow_record *record = create(false);

	while (answer_one("CreateMirror", GN_ALREADY_EXISTS))
		;
	assert_non_null(strstr(calls, "CreateMirror UpdateMirror "));
	assert_int_equal(record->shadow.state, GN_SHADOW_SYNCING);
}

static void devices_that_are_not_the_cards_are_refused(void **state)
{
	struct gn_shadow_record *record;

	tell_devices("/somewhere/else.sock", "vda");
	record = create(false);
	while (answer_one(NULL, GN_OK))
		;
	assert_int_equal(record->shadow.state, GN_SHADOW_FAILED);
	assert_non_null(strstr(record->message->reason,
	                       "the NIC 52:54:00:00:00:01 of vms/a is not behind"));
	gn_shadows_remove(record, gn_time_now());
	tell_devices("/r/vhost/a-net0.sock", "vdb");
	record = create(false);
	while (answer_one(NULL, GN_OK))
		;
	assert_non_null(strstr(record->message->reason, "the disk vdb of vms/a is not behind"));
}

static void a_restart_goes_on_with_the_step_under_way(void **state)
{
	struct gn_fake_call *call;
	char id[65];

	create(false);
	while (!gn_fake_peer_waiting(shim))
		assert_true(answer_one(NULL, GN_OK));
	call = gn_fake_peer_take(shim, "Execute");
	snprintf(id, sizeof id, "%s", ((Gnomon__V1__Command *)call->request)->id);
	gn_fake_peer_refuse(call, GN_UNAVAILABLE, "cut off");
	gn_fake_now_us += 10 * S;
	gn_shadows_tick(shadows, gn_time_now()); /* sent again */
	close_all();                             /* and killed */
	open_all();
	/* libvirt's devices are not known yet: it waits instead of failing. */
	assert_int_equal(gn_fake_peer_waiting(shim), 0);
	tell_devices("/r/vhost/a-net0.sock", "vda");
	gn_fake_now_us += 10 * S;
	gn_shadows_tick(shadows, gn_time_now());
	call = gn_fake_peer_take(shim, "Execute");
	assert_non_null(call);
	assert_string_equal(((Gnomon__V1__Command *)call->request)->id, id);
	answer_command(call, GN_OK);
	while (answer_one(NULL, GN_OK))
		;
	assert_int_equal(gn_shadows_at(shadows, 0)->shadow.state, GN_SHADOW_SYNCING);
}

static void what_cannot_work_is_refused_before_anything_is_done(void **state)
{
	static const struct {
		const char *name, *pool;
		uint32_t start_vcpus, ceiling;
		int64_t threshold;
		const char *says;
	} cases[] = {
	        {"vms/b/shadow", "", 0, 0, 0, "is no shadow of a VM"},
	        {"nonsense", "", 0, 0, 0, "is no shadow of a VM"},
	        {"vms/a/shadow", "relative", 0, 0, 0, "absolute path"},
	        {"vms/a/shadow", "/a/../b", 0, 0, 0, "absolute path"},
	        {"vms/a/shadow", "", 5, 0, 0, "at most 4 vCPUs"},
	        {"vms/a/shadow", "", 3, 2, 0, "above ceiling_vcpus"},
	        {"vms/a/shadow", "", 0, 0, -1, "give a threshold above 0"},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		Gnomon__V1__Shadow settings = GNOMON__V1__SHADOW__INIT;
		Gnomon__V1__ShadowScaling scaling = GNOMON__V1__SHADOW_SCALING__INIT;
		Gnomon__V1__ShadowTrigger trigger = GNOMON__V1__SHADOW_TRIGGER__INIT,
		                          *list[] = {&trigger};
		struct gn_shadow_record *record;
		struct gn_status status = {0};

		settings.name = (char *)cases[i].name;
		settings.pool_path = (char *)cases[i].pool;
		settings.scaling = &scaling;
		scaling.start_vcpus = cases[i].start_vcpus;
		scaling.ceiling_vcpus = cases[i].ceiling;
		trigger.resource = GNOMON__V1__RESOURCE__CPU;
		trigger.threshold = cases[i].threshold;
		settings.triggers = list;
		settings.n_triggers = cases[i].threshold != 0;
		assert_int_not_equal(
		        gn_shadows_add(shadows, &settings, gn_time_now(), &record, &status), 0);
		assert_non_null(strstr(status.message, cases[i].says));
	}
	assert_int_equal(gn_shadows_count(shadows), 0);
	assert_int_equal(gn_fake_peer_waiting(dataplane), 0);
}

static void a_full_host_takes_no_shadow(void **state)
{
	Gnomon__V1__HostInfo host = GNOMON__V1__HOST_INFO__INIT;
	struct gn_shadow_record *record;

	host.cpus = 2;
	host.memory_bytes = 8192 * MIB;
	gn_brain_host(brain, &host);
	record = create(false);
	assert_int_equal(record->shadow.state, GN_SHADOW_FAILED);
	assert_non_null(strstr(record->message->reason, "RESOURCE_EXHAUSTED"));
	assert_int_equal(gn_fake_peer_waiting(dataplane), 0);
}

/* ---- reconcile ---- */

static void missing_ports_and_volumes_are_made(void **state)
{
	const Gnomon__V1__PortList no_ports = GNOMON__V1__PORT_LIST__INIT;
	const Gnomon__V1__VolumeList no_volumes = GNOMON__V1__VOLUME_LIST__INIT;

	gn_view_set_ports(&view, &no_ports);
	gn_view_set_volumes(&view, &no_volumes);
	gn_reconcile_run(reconcile, gn_time_now());
	gn_reconcile_run(reconcile, gn_time_now()); /* nothing is asked for twice */
	assert_int_equal(gn_fake_peer_waiting(dataplane), 2);
	while (answer_one(NULL, GN_OK))
		;
	assert_string_equal(calls, "CreatePort CreateVolume ");
	gn_reconcile_run(reconcile, gn_time_now());
	assert_int_equal(gn_fake_peer_waiting(dataplane), 0);
	gn_view_set_ports(&view, &no_ports); /* the dataplane lost it */
	gn_reconcile_run(reconcile, gn_time_now());
	assert_int_equal(gn_fake_peer_waiting(dataplane), 1);
}

static void a_refusal_is_the_vms_trouble_and_tried_less_and_less(void **state)
{
	const Gnomon__V1__PortList no_ports = GNOMON__V1__PORT_LIST__INIT;
	const Gnomon__V1__VolumeList no_volumes = GNOMON__V1__VOLUME_LIST__INIT;
	unsigned n = 0, i;

	gn_view_set_ports(&view, &no_ports);
	gn_view_set_volumes(&view, &no_volumes);
	for (i = 0; i < 120; i++) {
		gn_reconcile_run(reconcile, gn_time_now());
		while (answer_one("CreateVolume", GN_NOT_FOUND))
			;
		gn_fake_now_us += S;
	}
	for (const char *at = calls; (at = strstr(at, "CreateVolume")); at++)
		n++;
	assert_in_range(n, 5, 9);
	assert_non_null(
	        strstr(vm->trouble, "volumes/a-vda cannot be made: the dataplane's own words"));
	gn_fake_now_us += 100 * S;
	gn_reconcile_run(reconcile, gn_time_now());
	while (answer_one(NULL, GN_OK))
		;
	gn_reconcile_run(reconcile, gn_time_now());
	assert_string_equal(vm->trouble, "");
}

static void what_is_there_otherwise_is_told(void **state)
{
	Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;
	Gnomon__V1__Volume volume = GNOMON__V1__VOLUME__INIT;

	port.name = (char *)"ports/a-net0";
	port.vlan = 8;
	port.queues = 1;
	volume.name = (char *)"volumes/a-vda";
	volume.path = (char *)"/x";
	gn_view_note_port(&view, &port);
	gn_view_note_volume(&view, &volume);
	gn_reconcile_run(reconcile, gn_time_now());
	assert_non_null(strstr(vm->trouble, "ports/a-net0 has VLAN 8"));
	assert_int_equal(gn_fake_peer_waiting(dataplane), 0); /* a running guest may use it */
	port.vlan = 7;
	volume.path = (char *)"/y";
	gn_view_note_port(&view, &port);
	gn_view_note_volume(&view, &volume);
	gn_reconcile_run(reconcile, gn_time_now());
	assert_non_null(strstr(vm->trouble, "volumes/a-vda is on /y"));
	volume.path = (char *)"/x";
	gn_view_note_volume(&view, &volume);
	gn_reconcile_run(reconcile, gn_time_now());
	assert_string_equal(vm->trouble, "");
	gn_reconcile_remove(reconcile, vm);
	while (answer_one(NULL, GN_OK))
		;
	assert_string_equal(calls, "DeletePort DeleteVolume ");
}

int main(void)
{
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        ON_DISK(a_shadow_is_made_of_these_calls),
	        ON_DISK(what_fails_is_undone_and_told),
	        ON_DISK(what_was_gone_already_counts_as_undone),
	        ON_DISK(what_should_follow_and_does_not_begins_anew),
	        ON_DISK(a_shadow_of_one_instant_does_not_follow),
	        ON_DISK(a_mirror_that_is_there_is_taken_over),
	        ON_DISK(devices_that_are_not_the_cards_are_refused),
	        ON_DISK(a_restart_goes_on_with_the_step_under_way),
	        ON_DISK(what_cannot_work_is_refused_before_anything_is_done),
	        ON_DISK(a_full_host_takes_no_shadow),
	        ON_DISK(missing_ports_and_volumes_are_made),
	        ON_DISK(what_is_there_otherwise_is_told),
	        ON_DISK(a_refusal_is_the_vms_trouble_and_tried_less_and_less),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
