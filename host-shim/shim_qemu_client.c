/* shim_qemu_client.c - the card's part of shim_qemu_test.py: commands a shim on real libvirt
 * and QEMU over TLS, and checks what it answers.
 *
 *     shim-qemu-client PART     (see 'parts' at the end; prints TAP)
 *
 * From the environment: GN_SHIM_URL, GN_SHIM_CA, GN_SHIM_CERT, GN_SHIM_KEY, GN_SHIM_SOCKETS
 * (a directory that the shim's limits allow). Domains: "guest-1" with Linux (parts that need
 * it), "bare-1" that sits in its firmware, "net-1" with a vhost-user NIC and disk, not run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "firmware/core/clock.h"
#include "proto/channel.h"
#include "proto/gnomon/v1/host.pb-c.h"

#define MIB     (1024ull * 1024)
#define PATIENT 120000000u

enum method { GET_HOST, LIST_VMS, GET_STATS, EXECUTE };

static struct gn_channel_client *client;

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	if (!value) {
		fprintf(stderr, "%s is not set; run host-shim/shim_qemu_test.py\n", name);
		exit(2);
	}
	return value;
}

/* NULL with the reason in 'status'. */
static void *call(enum method method, const void *request, uint64_t timeout_us,
                  struct gn_status *status)
{
	Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;
	ProtobufCMessage *reply = NULL;

	gn_channel_client_call_sync(client, &gnomon__v1__host__descriptor, method,
	                            request ? request : &empty, timeout_us, &reply, status);
	return reply;
}

static void *ask(enum method method)
{
	struct gn_status status = {0};
	void *reply = call(method, NULL, PATIENT, &status);

	if (!reply)
		fail_msg("%s: %s", gn_code_name(status.code), status.message);
	return reply;
}

static void release(void *message)
{
	protobuf_c_message_free_unpacked(message, NULL);
}

/* ---- commands
 * ------------------------------------------------------------------------------------- */

static void begin(Gnomon__V1__Command *c, const char *vm)
{
	static char id[64];
	static unsigned n;

	snprintf(id, sizeof id, "test-%d-%u", getpid(), n++);
	gnomon__v1__command__init(c);
	c->id = id;
	c->vm = (char *)vm;
	c->deadline_us = gn_clock_wall_us() + PATIENT;
	c->reason = (char *)"shim_qemu_test";
}

static Gnomon__V1__CommandResult *execute(const Gnomon__V1__Command *c)
{
	struct gn_status status = {0};
	Gnomon__V1__CommandResult *r = call(EXECUTE, c, PATIENT, &status);

	if (!r)
		fail_msg("%s: %s", gn_code_name(status.code), status.message);
	assert_non_null(r->status);
	return r;
}

/* Executes, checks the code and that the message has 'text', gives the result. */
static Gnomon__V1__CommandResult *expect(const Gnomon__V1__Command *c, Gnomon__V1__Code code,
                                         const char *text)
{
	Gnomon__V1__CommandResult *r = execute(c);

	if (r->status->code != code || !strstr(r->status->message, text))
		fail_msg("code %d: %s", (int)r->status->code, r->status->message);
	return r;
}

static Gnomon__V1__CommandResult *set_vcpus(const char *vm, uint32_t expected, uint32_t vcpus)
{
	Gnomon__V1__SetVcpus action = GNOMON__V1__SET_VCPUS__INIT;
	Gnomon__V1__Command c;

	begin(&c, vm);
	action.expected = expected;
	action.vcpus = vcpus;
	c.action_case = GNOMON__V1__COMMAND__ACTION_SET_VCPUS;
	c.set_vcpus = &action;
	return execute(&c);
}

static Gnomon__V1__CommandResult *set_memory(const char *vm, uint64_t expected, uint64_t bytes)
{
	Gnomon__V1__SetMemory action = GNOMON__V1__SET_MEMORY__INIT;
	Gnomon__V1__Command c;

	begin(&c, vm);
	action.expected_bytes = expected;
	action.bytes = bytes;
	c.action_case = GNOMON__V1__COMMAND__ACTION_SET_MEMORY;
	c.set_memory = &action;
	return execute(&c);
}

static void simple(const char *vm, Gnomon__V1__Command__ActionCase action, Gnomon__V1__Code code,
                   const char *text)
{
	Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;
	Gnomon__V1__Command c;

	begin(&c, vm);
	c.action_case = action;
	c.start_shadow = &empty;
	release(expect(&c, code, text));
}

/* The VM as the shim lists it now; free the list. NULL if it is not there. */
static Gnomon__V1__HostVm *find(Gnomon__V1__HostVmList *list, const char *name)
{
	size_t i;

	for (i = 0; i < list->n_vms; i++)
		if (!strcmp(list->vms[i]->name, name))
			return list->vms[i];
	return NULL;
}

static Gnomon__V1__VmState state_of(const char *name)
{
	Gnomon__V1__HostVmList *list = ask(LIST_VMS);
	Gnomon__V1__HostVm *vm = find(list, name);
	Gnomon__V1__VmState state = vm ? vm->state : GNOMON__V1__VM_STATE__VM_STATE_UNSPECIFIED;

	release(list);
	return state;
}

static Gnomon__V1__Allocation allocation_of(const char *name)
{
	Gnomon__V1__HostVmList *list = ask(LIST_VMS);
	Gnomon__V1__HostVm *vm = find(list, name);
	Gnomon__V1__Allocation a;

	assert_non_null(vm);
	a = *vm->allocation;
	release(list);
	return a;
}

/* ---- part "host"
 * ------------------------------------------------------------------------------------ */

static void the_host(void **state)
{
	Gnomon__V1__HostInfo *host = ask(GET_HOST);

	assert_true(host->connected && host->cpus > 0 && host->memory_bytes > 0);
	assert_true(host->memory_free_bytes > 0 && host->memory_free_bytes <= host->memory_bytes);
	assert_int_equal(strncmp(host->hypervisor, "QEMU ", 5), 0);
	assert_non_null(strstr(host->libvirt_uri, "qemu:///system"));
	release(host);
}

static void the_vms(void **state)
{
	Gnomon__V1__HostVmList *list = ask(LIST_VMS);
	Gnomon__V1__HostVm *bare = find(list, "vms/bare-1"), *net = find(list, "vms/net-1");

	assert_true(bare && net);
	assert_int_equal(bare->state, GNOMON__V1__VM_STATE__RUNNING);
	assert_int_equal(net->state, GNOMON__V1__VM_STATE__SHUT_OFF);
	assert_true(bare->allocation->vcpus == 1 && bare->allocation->vcpus_maximum == 4);
	assert_int_equal(net->n_nics, 1);
	assert_non_null(strstr(net->nics[0]->socket_path, "net-1-net0.sock"));
	assert_string_equal(net->nics[0]->mac, "52:54:00:77:00:05");
	assert_int_equal(net->n_disks, 1);
	assert_non_null(strstr(net->disks[0]->socket_path, "net-1-vda.sock"));
	assert_string_equal(net->shadow_of, "");
	release(list);
}

static void the_statistics(void **state)
{
	uint64_t cpu_ns = 0, before_ns = 0, wall_us = 0;
	int i;
	size_t k;

	/* A domain in its firmware burns or idles; only the direction is asserted. */
	for (i = 0; i < 3; i++) {
		Gnomon__V1__HostStats *stats = ask(GET_STATS);
		const Gnomon__V1__HostVmStats *vm = NULL;

		for (k = 0; k < stats->n_vms; k++)
			if (!strcmp(stats->vms[k]->name, "vms/bare-1"))
				vm = stats->vms[k];
		assert_non_null(vm);
		cpu_ns = vm->cpu_time_ns;
		assert_true(cpu_ns > 0 && cpu_ns >= before_ns && stats->wall_us > wall_us);
		assert_true(vm->memory_rss_bytes > 0 && vm->allocation->vcpus == 1 &&
		            vm->allocation->vcpus_maximum == 4);
		assert_true(stats->monotonic_us > 0 && stats->host_memory_free_bytes > 0);
		before_ns = cpu_ns;
		wall_us = stats->wall_us;
		release(stats);
	}
}

/* ---- part "commands": on a domain that has no operating system
 * -------------------------------------- */

static void shares_and_quota(void **state)
{
	Gnomon__V1__SetCpuLimit action = GNOMON__V1__SET_CPU_LIMIT__INIT;
	Gnomon__V1__Allocation before = allocation_of("vms/bare-1");
	Gnomon__V1__CommandResult *r;
	Gnomon__V1__Command c;

	if (!before.cpu_period_us) {
		print_message("libvirtd has no cpu controller here\n");
		skip();
	}
	begin(&c, "vms/bare-1");
	action.expected_shares = before.cpu_shares;
	action.shares = before.cpu_shares == 512 ? 256 : 512;
	action.expected_quota_us = before.cpu_quota_us;
	action.quota_us = 50000;
	c.action_case = GNOMON__V1__COMMAND__ACTION_SET_CPU_LIMIT;
	c.set_cpu_limit = &action;
	r = expect(&c, GNOMON__V1__CODE__OK, "");
	assert_int_equal(r->after->cpu_shares, action.shares);
	assert_int_equal(r->after->cpu_quota_us, 50000);
	release(r);
	begin(&c, "vms/bare-1"); /* the same expectation, now wrong */
	c.action_case = GNOMON__V1__COMMAND__ACTION_SET_CPU_LIMIT;
	c.set_cpu_limit = &action;
	release(expect(&c, GNOMON__V1__CODE__ABORTED, "CPU shares"));
	begin(&c, "vms/bare-1");
	action.shares = 0;
	action.expected_quota_us = 50000;
	action.quota_us = -1;
	c.action_case = GNOMON__V1__COMMAND__ACTION_SET_CPU_LIMIT;
	c.set_cpu_limit = &action;
	r = expect(&c, GNOMON__V1__CODE__OK, "");
	assert_int_equal(r->after->cpu_quota_us, -1);
	release(r);
}

static void pause_and_resume(void **state)
{
	simple("vms/bare-1", GNOMON__V1__COMMAND__ACTION_PAUSE_VM, GNOMON__V1__CODE__OK, "");
	assert_int_equal(state_of("vms/bare-1"), GNOMON__V1__VM_STATE__PAUSED);
	simple("vms/bare-1", GNOMON__V1__COMMAND__ACTION_RESUME_VM, GNOMON__V1__CODE__OK, "");
	assert_int_equal(state_of("vms/bare-1"), GNOMON__V1__VM_STATE__RUNNING);
}

static void an_uncooperative_guest(void **state)
{
	Gnomon__V1__Allocation a = allocation_of("vms/bare-1");
	Gnomon__V1__CommandResult *r = set_vcpus("vms/bare-1", 1, 2);

	assert_int_equal(r->status->code, GNOMON__V1__CODE__OK); /* plugging needs no guest */
	assert_true(r->before->vcpus == 1 && r->after->vcpus == 2);
	release(r);
	r = set_vcpus("vms/bare-1", 2, 1); /* refused before QEMU hears of it */
	assert_int_equal(r->status->code, GNOMON__V1__CODE__FAILED_PRECONDITION);
	assert_non_null(strstr(r->status->message, "TCG"));
	assert_int_equal(r->after->vcpus, 2);
	release(r);
	r = set_memory("vms/bare-1", a.memory_bytes, a.memory_bytes / 2);
	assert_int_equal(r->status->code, GNOMON__V1__CODE__DEADLINE_EXCEEDED);
	assert_non_null(strstr(r->status->message, "balloon"));
	assert_int_equal(r->after->memory_bytes, a.memory_bytes);
	release(r);
}

static void wrong_ones(void **state)
{
	Gnomon__V1__CommandResult *r = set_vcpus("vms/nobody", 1, 2);

	assert_int_equal(r->status->code, GNOMON__V1__CODE__NOT_FOUND);
	release(r);
	r = set_vcpus("vms/bare-1", 7, 3);
	assert_int_equal(r->status->code, GNOMON__V1__CODE__ABORTED);
	release(r);
	r = set_vcpus("vms/bare-1", 2, 8);
	assert_int_equal(r->status->code, GNOMON__V1__CODE__OUT_OF_RANGE);
	release(r);
	r = set_vcpus("vms/secret-1", 1, 2);
	assert_int_equal(r->status->code, GNOMON__V1__CODE__PERMISSION_DENIED);
	release(r);
	r = set_vcpus("vms/net-1", 1, 2);
	assert_int_equal(r->status->code, GNOMON__V1__CODE__FAILED_PRECONDITION);
	release(r);
	simple("vms/bare-1", GNOMON__V1__COMMAND__ACTION_DESTROY_SHADOW,
	       GNOMON__V1__CODE__PERMISSION_DENIED, "bare-1");
	simple("vms/bare-1", GNOMON__V1__COMMAND__ACTION_UNDEFINE_SHADOW,
	       GNOMON__V1__CODE__PERMISSION_DENIED, "bare-1");
	assert_int_equal(state_of("vms/bare-1"), GNOMON__V1__VM_STATE__RUNNING);
}

/* ---- part "shadow"
 * ----------------------------------------------------------------------------------- */

static void prepare_shadow(Gnomon__V1__Command *c, Gnomon__V1__DefineShadow *s, const char *vm,
                           const char *name, const char *pool_path)
{
	begin(c, vm);
	gnomon__v1__define_shadow__init(s);
	s->shadow_name = (char *)name;
	s->vcpus = 1;
	s->memory_bytes = 96 * MIB;
	s->pool = (char *)"gnomon-shadows";
	s->pool_path = (char *)pool_path;
	c->action_case = GNOMON__V1__COMMAND__ACTION_DEFINE_SHADOW;
	c->define_shadow = s;
}

static void a_shadow_lives(void **state)
{
	char pool_path[128];
	Gnomon__V1__DefineShadow s;
	Gnomon__V1__CommandResult *r;
	Gnomon__V1__Command c;
	Gnomon__V1__HostVmList *list;

	snprintf(pool_path, sizeof pool_path, "%s/pool", environment("GN_SHIM_SOCKETS"));
	prepare_shadow(&c, &s, "vms/bare-1", "bare-1-shadow", pool_path);
	r = expect(&c, GNOMON__V1__CODE__OK, "");
	assert_int_equal(strlen(r->uuid), 36);
	assert_int_equal(r->after->vcpus, 1);
	assert_int_equal(r->after->memory_bytes, 96 * MIB);
	list = ask(LIST_VMS);
	assert_string_equal(find(list, "vms/bare-1-shadow")->uuid, r->uuid);
	assert_string_equal(find(list, "vms/bare-1-shadow")->shadow_of, "vms/bare-1");
	release(list);
	release(r);
	prepare_shadow(&c, &s, "vms/bare-1", "bare-1-shadow", pool_path);
	release(expect(&c, GNOMON__V1__CODE__ALREADY_EXISTS, "bare-1-shadow"));
	prepare_shadow(&c, &s, "vms/bare-1-shadow", "nested", pool_path);
	release(expect(&c, GNOMON__V1__CODE__FAILED_PRECONDITION, "itself a shadow"));
	simple("vms/bare-1-shadow", GNOMON__V1__COMMAND__ACTION_START_SHADOW, GNOMON__V1__CODE__OK,
	       "");
	assert_int_equal(state_of("vms/bare-1-shadow"), GNOMON__V1__VM_STATE__RUNNING);
	simple("vms/bare-1-shadow", GNOMON__V1__COMMAND__ACTION_UNDEFINE_SHADOW,
	       GNOMON__V1__CODE__FAILED_PRECONDITION, "destroy it first");
	simple("vms/bare-1-shadow", GNOMON__V1__COMMAND__ACTION_DESTROY_SHADOW,
	       GNOMON__V1__CODE__OK, "");
	assert_int_equal(state_of("vms/bare-1"), GNOMON__V1__VM_STATE__RUNNING);
}

/* Defined for the script to compare; undefined by the next test. */
static void a_shadow_of_devices(void **state)
{
	const char *sockets = environment("GN_SHIM_SOCKETS");
	char pool_path[128], nic_path[128], disk_path[128];
	Gnomon__V1__DefineShadow__Nic nic, *nics[] = {&nic};
	Gnomon__V1__DefineShadow__Disk disk, *disks[] = {&disk};
	Gnomon__V1__DefineShadow s;
	Gnomon__V1__Command c;

	snprintf(pool_path, sizeof pool_path, "%s/pool", sockets);
	snprintf(nic_path, sizeof nic_path, "%s/net-1-shadow-net0.sock", sockets);
	snprintf(disk_path, sizeof disk_path, "%s/net-1-shadow-vda.sock", sockets);
	prepare_shadow(&c, &s, "vms/net-1", "net-1-shadow", pool_path);
	release(expect(&c, GNOMON__V1__CODE__INVALID_ARGUMENT, "is not named"));
	gnomon__v1__define_shadow__nic__init(&nic);
	nic.mac = (char *)"52:54:00:77:00:05";
	nic.socket_path = nic_path;
	gnomon__v1__define_shadow__disk__init(&disk);
	disk.target = (char *)"vda";
	disk.socket_path = disk_path;
	prepare_shadow(&c, &s, "vms/net-1", "net-1-shadow", pool_path);
	s.nics = nics;
	s.n_nics = 1;
	s.disks = disks;
	s.n_disks = 1;
	release(expect(&c, GNOMON__V1__CODE__OK, ""));
	nic.socket_path = (char *)"/etc/net.sock";
	prepare_shadow(&c, &s, "vms/net-1", "net-1-other", pool_path);
	s.nics = nics;
	s.n_nics = 1;
	s.disks = disks;
	s.n_disks = 1;
	release(expect(&c, GNOMON__V1__CODE__PERMISSION_DENIED, "/etc/net.sock"));
}

static void firmware_variables_are_copied(void **state)
{
	char pool_path[128];
	Gnomon__V1__DefineShadow s;
	Gnomon__V1__Command c;

	snprintf(pool_path, sizeof pool_path, "%s/pool", environment("GN_SHIM_SOCKETS"));
	prepare_shadow(&c, &s, "vms/efi-1", "efi-1-shadow", pool_path);
	release(expect(&c, GNOMON__V1__CODE__OK, ""));
	simple("vms/efi-1-shadow", GNOMON__V1__COMMAND__ACTION_START_SHADOW, GNOMON__V1__CODE__OK,
	       "");
}

static void undefines(void **state)
{
	simple("vms/efi-1-shadow", GNOMON__V1__COMMAND__ACTION_DESTROY_SHADOW, GNOMON__V1__CODE__OK,
	       "");
	simple("vms/efi-1-shadow", GNOMON__V1__COMMAND__ACTION_UNDEFINE_SHADOW,
	       GNOMON__V1__CODE__OK, "");
	simple("vms/net-1-shadow", GNOMON__V1__COMMAND__ACTION_UNDEFINE_SHADOW,
	       GNOMON__V1__CODE__OK, "");
	simple("vms/bare-1-shadow", GNOMON__V1__COMMAND__ACTION_UNDEFINE_SHADOW,
	       GNOMON__V1__CODE__OK, "");
	assert_int_equal(state_of("vms/bare-1-shadow"), GNOMON__V1__VM_STATE__VM_STATE_UNSPECIFIED);
	assert_int_equal(state_of("vms/net-1"), GNOMON__V1__VM_STATE__SHUT_OFF);
}

/* ---- part "guest": with an operating system that cooperates
 * ------------------------------------------ */

static void grows(void **state)
{
	uint32_t n;

	for (n = 1; n < 4; n++) {
		Gnomon__V1__CommandResult *r = set_vcpus("vms/guest-1", n, n + 1);

		if (r->status->code != GNOMON__V1__CODE__OK)
			fail_msg("%s", r->status->message);
		assert_int_equal(r->after->vcpus, n + 1);
		release(r);
	}
}

static void balloons(void **state)
{
	Gnomon__V1__Allocation a = allocation_of("vms/guest-1");
	uint64_t less = (a.memory_bytes - 32 * MIB) & ~(MIB - 1);
	Gnomon__V1__CommandResult *r = set_memory("vms/guest-1", a.memory_bytes, less);

	if (r->status->code != GNOMON__V1__CODE__OK)
		fail_msg("%s", r->status->message);
	assert_int_equal(r->after->memory_bytes, less);
	release(r);
	r = set_memory("vms/guest-1", less, a.memory_bytes);
	if (r->status->code != GNOMON__V1__CODE__OK)
		fail_msg("%s", r->status->message);
	release(r);
}

static void reports_memory(void **state)
{
	uint64_t updated_us = 0;
	size_t k;

	/* The domain asks for no reports; the shim makes it ask. */
	while (!updated_us) {
		Gnomon__V1__HostStats *stats = ask(GET_STATS);

		for (k = 0; k < stats->n_vms; k++) {
			const Gnomon__V1__HostVmStats *vm = stats->vms[k];

			if (strcmp(vm->name, "vms/guest-1") || !vm->memory_updated_us)
				continue;
			updated_us = vm->memory_updated_us;
			assert_true(vm->memory_usable_bytes > 0 &&
			            vm->memory_usable_bytes <= vm->memory_available_bytes);
		}
		release(stats);
		usleep(200000);
	}
	assert_true(updated_us > 1000000000ull * 1000000);
}

/* ---- part "storm": the script kills the shim all the while
 * -------------------------------------------- */

/* Sends until it is answered with an outcome. */
static Gnomon__V1__CommandResult *insist(const Gnomon__V1__Command *c)
{
	for (;;) {
		struct gn_status status = {0};
		Gnomon__V1__CommandResult *r = call(EXECUTE, c, 1500000, &status);

		if (r && r->status->code != GNOMON__V1__CODE__UNAVAILABLE)
			return r;
		if (r)
			release(r);
		usleep(5000);
	}
}

/* A chain of commands, each of which expects what the one before it led to: one that was
 * lost, or whose result was, or that was done again after another, breaks it. Ends when the
 * script has killed often enough. */
static void storm(void **state)
{
	Gnomon__V1__SetCpuLimit action = GNOMON__V1__SET_CPU_LIMIT__INIT;
	Gnomon__V1__Allocation now = allocation_of("vms/bare-1");
	unsigned n = 0, repeated = 0;
	char over[128];

	if (!now.cpu_period_us)
		skip();
	snprintf(over, sizeof over, "%s/storm-over", environment("GN_SHIM_SOCKETS"));
	action.expected_shares = now.cpu_shares;
	for (; access(over, F_OK) != 0; n++) {
		Gnomon__V1__CommandResult *r;
		Gnomon__V1__Command c;

		begin(&c, "vms/bare-1");
		action.shares = 2000 + n % 100000;
		c.action_case = GNOMON__V1__COMMAND__ACTION_SET_CPU_LIMIT;
		c.set_cpu_limit = &action;
		r = insist(&c);
		if (r->status->code != GNOMON__V1__CODE__OK)
			fail_msg("command %u: %s", n, r->status->message);
		assert_int_equal(r->before->cpu_shares, action.expected_shares);
		assert_int_equal(r->after->cpu_shares, action.shares);
		repeated += r->repeated != 0;
		action.expected_shares = action.shares;
		release(r);
	}
	assert_true(n > 20);
	print_message("storm of %u commands; %u were answered by a later shim\n", n, repeated);
}

/* ---- part "hang": libvirtd is stopped
 * ------------------------------------------------------------------ */

static void a_stopped_libvirtd(void **state)
{
	struct gn_status status = {0};
	Gnomon__V1__HostInfo *host = ask(GET_HOST);

	assert_false(host->connected);
	assert_true(host->hostname[0] != '\0'); /* what was known */
	release(host);
	assert_null(call(GET_STATS, NULL, 1000000, &status));
	assert_int_equal(status.code, GN_DEADLINE_EXCEEDED);
	assert_non_null(strstr(status.message, "libvirt"));
}

/* Part "back": after libvirtd was stopped or another was started. */
static void back_again(void **state)
{
	bool connected = false;

	while (!connected) {
		Gnomon__V1__HostInfo *host = ask(GET_HOST);

		connected = host->connected;
		release(host);
		usleep(100000);
	}
	assert_int_equal(state_of("vms/bare-1"), GNOMON__V1__VM_STATE__RUNNING);
}

/* Part "stranger": a certificate of the wrong root. */
static void refused(void **state)
{
	struct gn_status status = {0};

	assert_null(call(GET_HOST, NULL, 3000000, &status));
	assert_true(status.code != GN_OK && status.message[0]);
}

static const struct CMUnitTest host_tests[] = {
        cmocka_unit_test(the_host),
        cmocka_unit_test(the_vms),
        cmocka_unit_test(the_statistics),
};
static const struct CMUnitTest command_tests[] = {
        cmocka_unit_test(shares_and_quota),
        cmocka_unit_test(pause_and_resume),
        cmocka_unit_test(an_uncooperative_guest),
        cmocka_unit_test(wrong_ones),
};
static const struct CMUnitTest shadow_tests[] = {
        cmocka_unit_test(a_shadow_lives),
        cmocka_unit_test(a_shadow_of_devices),
        cmocka_unit_test(firmware_variables_are_copied),
};
static const struct CMUnitTest guest_tests[] = {
        cmocka_unit_test(reports_memory),
        cmocka_unit_test(grows),
        cmocka_unit_test(balloons),
};
static const struct CMUnitTest undefine_test = cmocka_unit_test(undefines);
static const struct CMUnitTest storm_test = cmocka_unit_test(storm);
static const struct CMUnitTest hang_test = cmocka_unit_test(a_stopped_libvirtd);
static const struct CMUnitTest back_test = cmocka_unit_test(back_again);
static const struct CMUnitTest stranger_test = cmocka_unit_test(refused);

static const struct {
	const char *name;
	const struct CMUnitTest *tests;
	size_t n;
} parts[] = {
        {"host", host_tests, sizeof host_tests / sizeof host_tests[0]},
        {"command", command_tests, sizeof command_tests / sizeof command_tests[0]},
        {"shadow", shadow_tests, sizeof shadow_tests / sizeof shadow_tests[0]},
        {"guest", guest_tests, sizeof guest_tests / sizeof guest_tests[0]},
        {"undefine", &undefine_test, 1},
        {"storm", &storm_test, 1},
        {"hang", &hang_test, 1},
        {"back", &back_test, 1},
        {"stranger", &stranger_test, 1},
};

static int run_part(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof parts / sizeof parts[0]; i++)
		if (!strcmp(parts[i].name, name))
			return _cmocka_run_group_tests(name, parts[i].tests, parts[i].n, NULL,
			                               NULL);
	fprintf(stderr, "shim-qemu-client: no part '%s'\n", name);
	return 2;
}

int main(int argc, char **argv)
{
	struct gn_channel_tls tls = {
	        .ca_file = environment("GN_SHIM_CA"),
	        .cert_file = environment("GN_SHIM_CERT"),
	        .key_file = environment("GN_SHIM_KEY"),
	        .peer_name = "localhost",
	};
	struct gn_status status = {0};
	int result;

	if (argc != 2) {
		fprintf(stderr, "usage: shim-qemu-client PART\n");
		return 2;
	}
	if (gn_channel_client_create(environment("GN_SHIM_URL"), &tls, &client, &status)) {
		fprintf(stderr, "%s\n", status.message);
		return 2;
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	result = run_part(argv[1]);
	gn_channel_client_destroy(client);
	return result;
}
