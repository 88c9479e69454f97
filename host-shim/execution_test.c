/* execution_test.c - commands executed once, whatever happens in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "firmware/core/clock.h"
#include "host-shim/domain_xml.h"
#include "host-shim/execution.h"
#include "host-shim/fake_host.h"
#include "proto/gnomon/v1/host.pb-c.h"

#define MIB (1024ull * 1024)

static char directory[] = "/tmp/gnxXXXXXX";
static char path[64];
static const char *const all_vms[] = {"*"};
static const char *const shadow_paths[] = {"/run/gnomon"};

static const struct gn_command_limits limits = {
        .vms = all_vms,
        .n_vms = 1,
        .shadow_paths = shadow_paths,
        .n_shadow_paths = 1,
        .max_vcpus = 8,
        .min_memory_bytes = 16 * MIB,
        .max_memory_bytes = 1024 * MIB,
        .allow_shadow = true,
        .allow_pause = true,
        .allow_failover = true,
};

struct shim {
	struct gn_mutex lock;
	struct gn_execution_world world;
};

static struct fake_world *fake;

static void shim_start(struct shim *shim)
{
	memset(shim, 0, sizeof *shim);
	gn_mutex_init(&shim->lock);
	fake_use(fake);
	assert_int_equal(gn_host_create("fake", &shim->world.host, NULL), 0);
	assert_int_equal(gn_journal_open(path, &shim->world.journal, NULL), 0);
	shim->world.journal_lock = &shim->lock;
	shim->world.limits = &limits;
	shim->world.verify_us = 100000;
	shim->world.settle_us = 1000;
}

static void shim_stop(struct shim *shim)
{
	gn_journal_close(shim->world.journal);
	gn_host_destroy(shim->world.host);
	gn_mutex_destroy(&shim->lock);
}

/* ---- commands as the card sends them ------------------------------------------------------------
 */

struct sent {
	Gnomon__V1__Command command;
	Gnomon__V1__SetVcpus vcpus;
	Gnomon__V1__SetMemory memory;
	Gnomon__V1__SetCpuLimit cpu;
	Gnomon__V1__DefineShadow shadow;
	Gnomon__V1__DefineShadow__Nic nic;
	Gnomon__V1__DefineShadow__Nic *nics[1];
	Gnomon__V1__Empty empty;
};

static void prepare(struct sent *s, const char *id, const char *vm)
{
	memset(s, 0, sizeof *s);
	gnomon__v1__command__init(&s->command);
	gnomon__v1__empty__init(&s->empty);
	s->command.id = (char *)id;
	s->command.vm = (char *)vm;
	s->command.deadline_us = gn_clock_wall_us() + 60000000;
	s->command.reason = (char *)"a test";
}

static void vcpus(struct sent *s, const char *id, uint32_t expected, uint32_t wanted)
{
	prepare(s, id, "vms/web-1");
	gnomon__v1__set_vcpus__init(&s->vcpus);
	s->vcpus.expected = expected;
	s->vcpus.vcpus = wanted;
	s->command.action_case = GNOMON__V1__COMMAND__ACTION_SET_VCPUS;
	s->command.set_vcpus = &s->vcpus;
}

static void memory(struct sent *s, const char *id, uint64_t expected, uint64_t wanted)
{
	prepare(s, id, "vms/web-1");
	gnomon__v1__set_memory__init(&s->memory);
	s->memory.expected_bytes = expected;
	s->memory.bytes = wanted;
	s->command.action_case = GNOMON__V1__COMMAND__ACTION_SET_MEMORY;
	s->command.set_memory = &s->memory;
}

static void shadow(struct sent *s, const char *id)
{
	prepare(s, id, "vms/web-1");
	gnomon__v1__define_shadow__init(&s->shadow);
	gnomon__v1__define_shadow__nic__init(&s->nic);
	s->nic.mac = (char *)"52:54:00:77:00:01";
	s->nic.socket_path = (char *)"/run/gnomon/web-1-shadow-net0.sock";
	s->nics[0] = &s->nic;
	s->shadow.shadow_name = (char *)"web-1-shadow";
	s->shadow.vcpus = 1;
	s->shadow.memory_bytes = 64 * MIB;
	s->shadow.n_nics = 1;
	s->shadow.nics = s->nics;
	s->shadow.pool = (char *)"gnomon-shadows";
	s->shadow.pool_path = (char *)"/run/gnomon/shadows";
	s->command.action_case = GNOMON__V1__COMMAND__ACTION_DEFINE_SHADOW;
	s->command.define_shadow = &s->shadow;
}

static void simple(struct sent *s, const char *id, const char *vm,
                   Gnomon__V1__Command__ActionCase action)
{
	prepare(s, id, vm);
	s->command.action_case = action;
	s->command.start_shadow = &s->empty;
}

/* ---- execution, as the service drives it
 * --------------------------------------------------------- */

static void drive(struct shim *shim, struct gn_execution *e)
{
	uint64_t wait_us;

	do {
		while ((wait_us = gn_execution_step(&shim->world, e)))
			usleep((useconds_t)(wait_us < 5000 ? wait_us : 5000));
	} while (e->voided);
}

static struct gn_result execute(struct shim *shim, const struct sent *s)
{
	struct gn_wire_bytes packed;
	struct gn_command c;
	struct gn_execution e;
	struct gn_status status = {0};

	if (gn_wire_command(&s->command.base, &c, &status))
		fail_msg("%s", status.message);
	assert_int_equal(gn_wire_pack(&s->command.base, &packed), 0);
	gn_execution_init(&e, &c, packed);
	drive(shim, &e);
	gn_execution_fini(&e);
	return e.result;
}

static void resume_all(struct shim *shim)
{
	const struct gn_journal_entry *entry;

	while ((entry = gn_journal_unfinished(shim->world.journal, NULL, NULL))) {
		struct gn_execution e;
		uint64_t wait_us;

		assert_int_equal(gn_execution_resume(&e, entry), 0);
		while ((wait_us = gn_execution_step(&shim->world, &e)))
			usleep(1000);
		gn_execution_fini(&e); /* voided or finished: not unfinished any more */
	}
}

static void expect(const struct gn_result *r, enum gn_code code, const char *text)
{
	if (r->status.code != code || (text && !strstr(r->status.message, text)))
		fail_msg("%s: %s", gn_code_name(r->status.code), r->status.message);
}

/* ---- tests
 * ------------------------------------------------------------------------------------------ */

static void executes_and_verifies(void **state)
{
	struct shim shim;
	struct gn_result r;
	struct sent s;

	shim_start(&shim);
	vcpus(&s, "id-000001", 1, 2);
	r = execute(&shim, &s);
	expect(&r, GN_OK, NULL);
	assert_true(r.has_before && r.has_after && !r.repeated);
	assert_int_equal(r.before.vcpus, 1);
	assert_int_equal(r.after.vcpus, 2);
	assert_true(r.started_us && r.finished_us >= r.started_us);
	assert_int_equal(fake->changes, 1);
	shim_stop(&shim);
}

static void repeats_the_result(void **state)
{
	struct shim shim;
	struct gn_result first, again;
	struct sent s;

	shim_start(&shim);
	vcpus(&s, "id-000001", 1, 2);
	first = execute(&shim, &s);
	/* Even when the world has moved on, and after a restart. */
	fake_vm(fake, "web-1")->allocation.vcpus = 1;
	again = execute(&shim, &s);
	assert_true(again.repeated && !first.repeated);
	shim_stop(&shim);
	shim_start(&shim);
	again = execute(&shim, &s);
	assert_true(again.repeated && again.after.vcpus == 2);
	assert_int_equal(again.finished_us, first.finished_us);
	assert_int_equal(fake->calls, 1);
	shim_stop(&shim);
}

static void ids_are_for_ever(void **state)
{
	struct shim shim;
	struct gn_result r;
	struct sent s;

	shim_start(&shim);
	vcpus(&s, "id-000001", 1, 2);
	execute(&shim, &s);
	s.vcpus.expected = 2;
	s.vcpus.vcpus = 3;
	r = execute(&shim, &s);
	expect(&r, GN_INVALID_ARGUMENT, "id-000001");
	assert_int_equal(fake->calls, 1);
	shim_stop(&shim);
}

static void a_refusal_stays_one(void **state)
{
	struct shim shim;
	struct gn_result r;
	struct sent s;

	shim_start(&shim);
	vcpus(&s, "id-000001", 3, 2);
	r = execute(&shim, &s);
	expect(&r, GN_ABORTED, "not 3");
	assert_int_equal(r.after.vcpus, 1);
	fake_vm(fake, "web-1")->allocation.vcpus = 3; /* now it would do */
	r = execute(&shim, &s);
	expect(&r, GN_ABORTED, "not 3");
	assert_true(r.repeated);
	assert_int_equal(fake->calls, 0);
	shim_stop(&shim);
}

static void absence_is_no_result(void **state)
{
	struct shim shim;
	struct gn_result r;
	struct sent s;

	shim_start(&shim);
	fake->away = 1;
	vcpus(&s, "id-000001", 1, 2);
	r = execute(&shim, &s);
	expect(&r, GN_UNAVAILABLE, "away");
	fake->away = 0;
	r = execute(&shim, &s);
	expect(&r, GN_OK, NULL);
	assert_false(r.repeated);
	shim_stop(&shim);
}

static void libvirts_own_words(void **state)
{
	struct shim shim;
	struct gn_result r;
	struct sent s;

	shim_start(&shim);
	fake->fault = FAKE_REFUSE;
	vcpus(&s, "id-000001", 1, 2);
	r = execute(&shim, &s);
	expect(&r, GN_INTERNAL, "libvirt: the hypervisor said no");
	assert_int_equal(r.after.vcpus, 1);
	r = execute(&shim, &s);
	assert_true(r.repeated);
	assert_int_equal(fake->calls, 1);
	shim_stop(&shim);
}

static void late_commands(void **state)
{
	struct shim shim;
	struct gn_result r;
	struct sent s;

	shim_start(&shim);
	vcpus(&s, "id-000001", 1, 2);
	s.command.deadline_us = gn_clock_wall_us() - 1;
	r = execute(&shim, &s);
	expect(&r, GN_DEADLINE_EXCEEDED, NULL);
	assert_int_equal(fake->calls, 0);
	/* A result is repeated after the deadline. */
	vcpus(&s, "id-000002", 1, 2);
	s.command.deadline_us = gn_clock_wall_us() + 2000000;
	r = execute(&shim, &s);
	expect(&r, GN_OK, NULL);
	while (gn_clock_wall_us() <= s.command.deadline_us)
		usleep(10000);
	r = execute(&shim, &s);
	expect(&r, GN_OK, NULL);
	assert_true(r.repeated);
	shim_stop(&shim);
}

static void the_limits_hold(void **state)
{
	struct shim shim;
	struct gn_result r;
	struct sent s;

	shim_start(&shim);
	vcpus(&s, "id-000001", 1, 9);
	r = execute(&shim, &s);
	expect(&r, GN_PERMISSION_DENIED, "max_vcpus");
	assert_int_equal(fake->calls, 0);
	shim_stop(&shim);
}

static void slow_guests(void **state)
{
	struct shim shim;
	struct gn_result r;
	struct sent s;

	shim_start(&shim);
	fake->lag = 3;
	memory(&s, "id-000001", 256 * MIB, 512 * MIB);
	r = execute(&shim, &s);
	expect(&r, GN_OK, NULL);
	assert_int_equal(r.after.memory_bytes, 512 * MIB);
	fake->fault = FAKE_STUBBORN;
	memory(&s, "id-000002", 512 * MIB, 768 * MIB);
	r = execute(&shim, &s);
	expect(&r, GN_DEADLINE_EXCEEDED, "balloon");
	assert_int_equal(r.after.memory_bytes, 512 * MIB);
	shim_stop(&shim);
}

static void unplug_that_libvirt_gave_up(void **state)
{
	struct shim shim;
	struct gn_result r;
	struct sent s;

	shim_start(&shim);
	fake_vm(fake, "web-1")->allocation.vcpus = 3;
	fake->fault = FAKE_TIMEOUT;
	fake->lag = 3;
	vcpus(&s, "id-000001", 3, 2);
	r = execute(&shim, &s);
	expect(&r, GN_OK, NULL); /* it came after all */
	assert_int_equal(r.after.vcpus, 2);
	fake->fault = FAKE_TIMEOUT;
	fake->lag = 1000000;
	vcpus(&s, "id-000002", 2, 1);
	r = execute(&shim, &s);
	expect(&r, GN_DEADLINE_EXCEEDED, "unplug request timed out");
	assert_int_equal(r.after.vcpus, 2);
	shim_stop(&shim);
}

static void connection_lost_while_executing(void **state)
{
	static const int faults[] = {FAKE_LOSE_BEFORE, FAKE_LOSE_AFTER};
	struct shim shim;
	struct gn_result r;
	struct sent s;
	int i;

	shim_start(&shim);
	for (i = 0; i < 2; i++) {
		char id[16];

		snprintf(id, sizeof id, "id-00000%d", i);
		fake->fault = faults[i];
		vcpus(&s, id, 1 + (uint32_t)i, 2 + (uint32_t)i);
		r = execute(&shim, &s);
		expect(&r, GN_OK, NULL);
		assert_int_equal(fake->changes, 1 + i);
	}
	shim_stop(&shim);
}

static void no_journal_no_execution(void **state)
{
	struct shim shim;
	struct gn_result r;
	struct sent s;
	char moved[64];

	shim_start(&shim);
	/* Its directory vanishes; the file's next rewrite fails. Fill it until it is rewritten. */
	snprintf(moved, sizeof moved, "%s.away", directory);
	vcpus(&s, "id-000001", 1, 2);
	s.command.reason = calloc(1, 1025);
	memset(s.command.reason, 'r', 1024);
	unlink(path);
	assert_int_equal(rename(directory, moved), 0);
	for (int i = 0; i < 400; i++) {
		char id[16];

		snprintf(id, sizeof id, "id-1%05d", i);
		s.command.id = id;
		s.vcpus.expected = 7; /* refused, and noted */
		execute(&shim, &s);
	}
	s.command.id = (char *)"id-000002";
	s.vcpus.expected = 1;
	r = execute(&shim, &s);
	expect(&r, GN_UNAVAILABLE, "journal");
	assert_int_equal(fake->calls, 0);
	assert_int_equal(rename(moved, directory), 0);
	r = execute(&shim, &s);
	expect(&r, GN_OK, NULL);
	assert_int_equal(fake->calls, 1);
	free(s.command.reason);
	shim_stop(&shim);
}

static void makes_a_shadow(void **state)
{
	struct shim shim;
	struct gn_result r;
	struct sent s;

	shim_start(&shim);
	shadow(&s, "id-000001");
	r = execute(&shim, &s);
	expect(&r, GN_OK, NULL);
	assert_string_equal(r.uuid, "00000000-0000-0000-0000-000000000001");
	assert_true(!r.has_before && r.has_after);
	assert_string_equal(fake->pool, "gnomon-shadows /run/gnomon/shadows");
	assert_string_equal(fake_vm(fake, "web-1-shadow")->description.shadow_of, "web-1");
	shadow(&s, "id-000002");
	r = execute(&shim, &s);
	expect(&r, GN_ALREADY_EXISTS, "web-1-shadow");
	/* Only the shadow may be destroyed and undefined. */
	simple(&s, "id-000003", "vms/web-1", GNOMON__V1__COMMAND__ACTION_UNDEFINE_SHADOW);
	r = execute(&shim, &s);
	expect(&r, GN_PERMISSION_DENIED, "web-1");
	simple(&s, "id-000004", "vms/web-1-shadow", GNOMON__V1__COMMAND__ACTION_UNDEFINE_SHADOW);
	r = execute(&shim, &s);
	expect(&r, GN_OK, NULL);
	assert_false(r.has_after);
	assert_null(fake_vm(fake, "web-1-shadow"));
	shim_stop(&shim);
}

/* ---- the shim is killed
 * -------------------------------------------------------------------------- */

/* Brings the world to where command number 'kind' makes sense, and prepares it. */
static void scene(int kind, struct sent *s)
{
	struct gn_vm *extra = &fake->vms[1];

	*extra = fake->vms[0];
	strcpy(extra->name, "web-1-shadow");
	strcpy(extra->description.shadow_of, "web-1");
	extra->state = GN_VM_SHUT_OFF;
	switch (kind) {
	case GN_COMMAND_SET_VCPUS:
		vcpus(s, "id-000001", 1, 2);
		break;
	case GN_COMMAND_SET_MEMORY:
		memory(s, "id-000001", 256 * MIB, 512 * MIB);
		break;
	case GN_COMMAND_SET_CPU_LIMIT:
		prepare(s, "id-000001", "vms/web-1");
		gnomon__v1__set_cpu_limit__init(&s->cpu);
		s->cpu.expected_shares = 1024;
		s->cpu.shares = 512;
		s->command.action_case = GNOMON__V1__COMMAND__ACTION_SET_CPU_LIMIT;
		s->command.set_cpu_limit = &s->cpu;
		break;
	case GN_COMMAND_DEFINE_SHADOW:
		memset(extra, 0, sizeof *extra);
		shadow(s, "id-000001");
		break;
	case GN_COMMAND_START_SHADOW:
		simple(s, "id-000001", "vms/web-1-shadow",
		       GNOMON__V1__COMMAND__ACTION_START_SHADOW);
		break;
	case GN_COMMAND_PAUSE_VM:
		simple(s, "id-000001", "vms/web-1", GNOMON__V1__COMMAND__ACTION_PAUSE_VM);
		break;
	case GN_COMMAND_RESUME_VM:
		fake->vms[0].state = GN_VM_PAUSED;
		simple(s, "id-000001", "vms/web-1", GNOMON__V1__COMMAND__ACTION_RESUME_VM);
		break;
	case GN_COMMAND_DESTROY_SHADOW:
		extra->state = GN_VM_RUNNING;
		simple(s, "id-000001", "vms/web-1-shadow",
		       GNOMON__V1__COMMAND__ACTION_DESTROY_SHADOW);
		break;
	case GN_COMMAND_FENCE_VM:
		simple(s, "id-000001", "vms/web-1", GNOMON__V1__COMMAND__ACTION_FENCE_VM);
		break;
	case GN_COMMAND_START_VM:
		fake->vms[0].state = GN_VM_SHUT_OFF;
		simple(s, "id-000001", "vms/web-1", GNOMON__V1__COMMAND__ACTION_START_VM);
		break;
	default:
		simple(s, "id-000001", "vms/web-1-shadow",
		       GNOMON__V1__COMMAND__ACTION_UNDEFINE_SHADOW);
		break;
	}
}

static int reset(void **state);

/* Kills a shim before or after libvirt did it; then a new one resolves, or the card sends the
 * command again first. Whatever the order: once. */
static void killed_in_between(void **state)
{
	int kind, fault, resend_first;

	for (kind = 0; kind <= GN_COMMAND_START_VM; kind++) {
		for (fault = FAKE_DIE_BEFORE; fault <= FAKE_DIE_AFTER; fault++) {
			for (resend_first = 0; resend_first < 2; resend_first++) {
				struct gn_result r;
				struct shim shim;
				struct sent s;
				int status;
				pid_t pid;

				reset(NULL);
				scene(kind, &s);
				fake->fault = fault;
				pid = fork();
				if (pid == 0) {
					shim_start(&shim);
					execute(&shim, &s);
					_exit(0);
				}
				assert_int_equal(waitpid(pid, &status, 0), pid);
				assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
				assert_int_equal(fake->changes, fault == FAKE_DIE_AFTER);
				shim_start(&shim);
				assert_non_null(
				        gn_journal_unfinished(shim.world.journal, NULL, NULL));
				if (!resend_first)
					resume_all(&shim);
				r = execute(&shim, &s);
				if (r.status.code != GN_OK || fake->changes != 1)
					fail_msg("%s, fault %d, resend first %d: %d changes, %s",
					         gn_command_kind_name((enum gn_command_kind)kind),
					         fault, resend_first, fake->changes,
					         r.status.message);
				r = execute(&shim, &s);
				assert_true(r.repeated && fake->changes == 1);
				assert_null(gn_journal_unfinished(shim.world.journal, NULL, NULL));
				shim_stop(&shim);
			}
		}
	}
}

static void interrupted_half_way(void **state)
{
	struct gn_result r;
	struct shim shim;
	struct sent s;
	pid_t pid;

	vcpus(&s, "id-000001", 1, 4);
	fake->fault = FAKE_DIE_AFTER;
	pid = fork();
	if (pid == 0) {
		shim_start(&shim);
		execute(&shim, &s);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	fake_vm(fake, "web-1")->allocation.vcpus = 2; /* QEMU took only one of three */
	shim_start(&shim);
	resume_all(&shim);
	r = execute(&shim, &s);
	expect(&r, GN_ABORTED, "interrupted");
	assert_true(r.repeated && r.after.vcpus == 2 && r.before.vcpus == 1);
	shim_stop(&shim);
}

static void conflicts(void **state)
{
	struct gn_execution a = {0}, b = {0};

	strcpy(a.command.vm, "web-1");
	strcpy(b.command.vm, "web-2");
	assert_false(gn_execution_conflicts(&a, &b));
	a.command.kind = GN_COMMAND_DEFINE_SHADOW;
	strcpy(a.command.define_shadow.name, "web-2");
	assert_true(gn_execution_conflicts(&a, &b));
	assert_true(gn_execution_conflicts(&b, &a));
	strcpy(b.command.vm, "web-1");
	assert_true(gn_execution_conflicts(&a, &b));
}

static int reset(void **state)
{
	unlink(path);
	if (fake)
		fake_world_free(fake);
	fake = fake_world_new();
	return 0;
}

static int set_up(void **state)
{
	gn_domain_xml_init();
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof path, "%s/j", directory);
	return 0;
}

static int tear_down(void **state)
{
	char lock[80];

	reset(NULL);
	fake_world_free(fake);
	snprintf(lock, sizeof lock, "%s.lock", path);
	unlink(lock);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(executes_and_verifies, reset),
	        cmocka_unit_test_setup(repeats_the_result, reset),
	        cmocka_unit_test_setup(ids_are_for_ever, reset),
	        cmocka_unit_test_setup(a_refusal_stays_one, reset),
	        cmocka_unit_test_setup(absence_is_no_result, reset),
	        cmocka_unit_test_setup(libvirts_own_words, reset),
	        cmocka_unit_test_setup(late_commands, reset),
	        cmocka_unit_test_setup(the_limits_hold, reset),
	        cmocka_unit_test_setup(slow_guests, reset),
	        cmocka_unit_test_setup(unplug_that_libvirt_gave_up, reset),
	        cmocka_unit_test_setup(connection_lost_while_executing, reset),
	        cmocka_unit_test_setup(no_journal_no_execution, reset),
	        cmocka_unit_test_setup(makes_a_shadow, reset),
	        cmocka_unit_test_setup(killed_in_between, reset),
	        cmocka_unit_test_setup(interrupted_half_way, reset),
	        cmocka_unit_test(conflicts),
	};

	return cmocka_run_group_tests_name("shim execution", tests, set_up, tear_down);
}
