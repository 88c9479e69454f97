/* executor_test.c - command and current state in, decision out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "host-shim/executor.h"

#define MIB (1024ull * 1024)

static const char *const allowed[] = {"web-*"};
static const struct gn_command_limits strict = {.vms = allowed, .n_vms = 1};
static const struct gn_command_limits lenient = {
        .vms = allowed,
        .n_vms = 1,
        .allow_pause = true,
        .allow_failover = true,
};

static struct gn_vm vm(const char *name, enum gn_vm_state state)
{
	struct gn_vm v = {.state = state,
	                  .allocation = {2, 4, 512 * MIB, 1024 * MIB, 1024, -1, 100000},
	                  .description = {.balloon = true}};

	strcpy(v.name, name);
	return v;
}

static struct gn_vm shadow_of(const char *of, const char *name, enum gn_vm_state state)
{
	struct gn_vm v = vm(name, state);

	strcpy(v.description.shadow_of, of);
	return v;
}

static struct gn_command command(enum gn_command_kind kind)
{
	struct gn_command c = {.id = "id-00000001", .vm = "web-1", .kind = kind};

	return c;
}

static void numbers(void **state)
{
	static const struct {
		const char *name;
		enum gn_vm_state state;
		uint32_t expected, wanted;
		enum gn_executor_step step;
		enum gn_code code;
	} cases[] = {
	        {"grow", GN_VM_RUNNING, 2, 3, GN_EXECUTOR_EXECUTE, GN_OK},
	        {"shrink", GN_VM_RUNNING, 2, 1, GN_EXECUTOR_EXECUTE, GN_OK},
	        {"already", GN_VM_RUNNING, 2, 2, GN_EXECUTOR_ALREADY, GN_OK},
	        {"differs", GN_VM_RUNNING, 1, 3, GN_EXECUTOR_REFUSE, GN_ABORTED},
	        {"differs, though as wanted", GN_VM_RUNNING, 1, 2, GN_EXECUTOR_REFUSE, GN_ABORTED},
	        {"beyond the maximum", GN_VM_RUNNING, 2, 5, GN_EXECUTOR_REFUSE, GN_OUT_OF_RANGE},
	        {"paused", GN_VM_PAUSED, 2, 3, GN_EXECUTOR_REFUSE, GN_FAILED_PRECONDITION},
	        {"off", GN_VM_SHUT_OFF, 2, 3, GN_EXECUTOR_REFUSE, GN_FAILED_PRECONDITION},
	        {"unknown", GN_VM_UNKNOWN, 2, 3, GN_EXECUTOR_REFUSE, GN_FAILED_PRECONDITION},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_command c = command(GN_COMMAND_SET_VCPUS);
		struct gn_vm v = vm("web-1", cases[i].state);
		struct gn_status status = {0};

		c.set_vcpus.expected = cases[i].expected;
		c.set_vcpus.vcpus = cases[i].wanted;
		if (gn_executor_decide(&c, &v, NULL, &strict, &status) != cases[i].step ||
		    status.code != cases[i].code)
			fail_msg("%s: %s", cases[i].name, status.message);
	}
}

static void memory(void **state)
{
	struct gn_command c = command(GN_COMMAND_SET_MEMORY);
	struct gn_vm v = vm("web-1", GN_VM_RUNNING);
	struct gn_status status = {0};

	c.set_memory.expected_bytes = 512 * MIB;
	c.set_memory.bytes = 768 * MIB;
	assert_int_equal(gn_executor_decide(&c, &v, NULL, &strict, &status), GN_EXECUTOR_EXECUTE);
	c.set_memory.bytes = 2048 * MIB;
	assert_int_equal(gn_executor_decide(&c, &v, NULL, &strict, &status), GN_EXECUTOR_REFUSE);
	assert_int_equal(status.code, GN_OUT_OF_RANGE);
	c.set_memory.bytes = 256 * MIB;
	v.description.balloon = false;
	assert_int_equal(gn_executor_decide(&c, &v, NULL, &strict, &status), GN_EXECUTOR_REFUSE);
	assert_int_equal(status.code, GN_FAILED_PRECONDITION);
	v.allocation.memory_bytes = 511 * MIB;
	assert_int_equal(gn_executor_decide(&c, &v, NULL, &strict, &status), GN_EXECUTOR_REFUSE);
	assert_int_equal(status.code, GN_ABORTED);
}

static void vcpus_under_tcg(void **state)
{
	struct gn_command c = command(GN_COMMAND_SET_VCPUS);
	struct gn_vm v = vm("web-1", GN_VM_RUNNING);
	struct gn_status status = {0};

	v.description.tcg = true;
	c.set_vcpus.expected = 2;
	c.set_vcpus.vcpus = 3;
	assert_int_equal(gn_executor_decide(&c, &v, NULL, &strict, &status), GN_EXECUTOR_EXECUTE);
	c.set_vcpus.vcpus = 1;
	assert_int_equal(gn_executor_decide(&c, &v, NULL, &strict, &status), GN_EXECUTOR_REFUSE);
	assert_int_equal(status.code, GN_FAILED_PRECONDITION);
	assert_non_null(strstr(status.message, "TCG"));
	v.description.tcg = false;
	v.description.kvm = true;
	assert_int_equal(gn_executor_decide(&c, &v, NULL, &strict, &status), GN_EXECUTOR_EXECUTE);
}

static void cpu_limit(void **state)
{
	struct gn_command c = command(GN_COMMAND_SET_CPU_LIMIT);
	struct gn_vm v = vm("web-1", GN_VM_PAUSED);
	struct gn_status status = {0};

	c.set_cpu_limit.expected_shares = 1024;
	c.set_cpu_limit.shares = 512;
	assert_int_equal(gn_executor_decide(&c, &v, NULL, &strict, &status), GN_EXECUTOR_EXECUTE);
	c.set_cpu_limit.expected_quota_us = -1;
	c.set_cpu_limit.quota_us = 50000;
	assert_int_equal(gn_executor_decide(&c, &v, NULL, &strict, &status), GN_EXECUTOR_EXECUTE);
	c.set_cpu_limit.expected_quota_us = 20000;
	assert_int_equal(gn_executor_decide(&c, &v, NULL, &strict, &status), GN_EXECUTOR_REFUSE);
	assert_int_equal(status.code, GN_ABORTED);
	c.set_cpu_limit.shares = 1024;
	c.set_cpu_limit.quota_us = 0; /* left as it is, so what it is does not matter */
	assert_int_equal(gn_executor_decide(&c, &v, NULL, &strict, &status), GN_EXECUTOR_ALREADY);
	v.allocation.cpu_period_us = 0; /* no cgroup controller */
	assert_int_equal(gn_executor_decide(&c, &v, NULL, &strict, &status), GN_EXECUTOR_REFUSE);
	assert_int_equal(status.code, GN_FAILED_PRECONDITION);
}

/* Every kind of command that is about states, on a production VM and on a shadow, in every
 * state. E: execute, A: already, P: permission denied, F: failed precondition. */
static void states(void **state)
{
	static const enum gn_vm_state order[] = {GN_VM_RUNNING, GN_VM_PAUSED, GN_VM_SHUT_OFF,
	                                         GN_VM_CRASHED, GN_VM_OTHER,  GN_VM_UNKNOWN};
	static const struct {
		enum gn_command_kind kind;
		const char *production; /* one letter per state of 'order' */
		const char *shadow;
	} cases[] = {
	        {GN_COMMAND_START_SHADOW, "PPPPPP", "AFEEFF"},
	        {GN_COMMAND_PAUSE_VM, "EAFFFF", "EAFFFF"},
	        {GN_COMMAND_RESUME_VM, "AEFFFF", "AEFFFF"},
	        {GN_COMMAND_DESTROY_SHADOW, "PPPPPP", "EEAEEF"},
	        {GN_COMMAND_UNDEFINE_SHADOW, "PPPPPP", "FFEEFF"},
	        {GN_COMMAND_FENCE_VM, "EEAEEF", "PPPPPP"},
	        {GN_COMMAND_START_VM, "AFEFFF", "PPPPPP"},
	};
	size_t i, k;
	int is_shadow;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		for (k = 0; k < 12; k++) {
			struct gn_command c = command(cases[i].kind);
			struct gn_status status = {0};
			struct gn_vm v = vm("web-1", order[k % 6]);
			char want;
			enum gn_executor_step step;

			is_shadow = k >= 6;
			if (is_shadow)
				v = shadow_of("web-0", "web-1", order[k % 6]);
			want = (is_shadow ? cases[i].shadow : cases[i].production)[k % 6];
			step = gn_executor_decide(&c, &v, NULL, &lenient, &status);
			if ((want == 'E') != (step == GN_EXECUTOR_EXECUTE) ||
			    (want == 'A') != (step == GN_EXECUTOR_ALREADY) ||
			    (want == 'P') != (status.code == GN_PERMISSION_DENIED) ||
			    (want == 'F') != (status.code == GN_FAILED_PRECONDITION))
				fail_msg("%s, state %d, shadow %d: step %d, %s",
				         gn_command_kind_name(cases[i].kind), order[k % 6],
				         is_shadow, step, status.message);
		}
	}
}

static void pausing_production_needs_leave(void **state)
{
	struct gn_command c = command(GN_COMMAND_PAUSE_VM);
	struct gn_vm v = vm("web-1", GN_VM_RUNNING);
	struct gn_vm s = shadow_of("web-0", "web-1", GN_VM_RUNNING);
	struct gn_status status = {0};

	assert_int_equal(gn_executor_decide(&c, &v, NULL, &strict, &status), GN_EXECUTOR_REFUSE);
	assert_int_equal(status.code, GN_PERMISSION_DENIED);
	assert_int_equal(gn_executor_decide(&c, &s, NULL, &strict, &status), GN_EXECUTOR_EXECUTE);
}

static void the_owners_list(void **state)
{
	struct gn_command c = command(GN_COMMAND_SET_VCPUS);
	struct gn_vm mail = vm("mail-1", GN_VM_RUNNING);
	struct gn_vm of_web = shadow_of("web-1", "mail-1", GN_VM_RUNNING);
	struct gn_vm of_mail = shadow_of("mail-1", "web-9", GN_VM_RUNNING);
	struct gn_status status = {0};

	c.set_vcpus.expected = 2;
	c.set_vcpus.vcpus = 3;
	strcpy(c.vm, "mail-1");
	assert_int_equal(gn_executor_decide(&c, &mail, NULL, &lenient, &status),
	                 GN_EXECUTOR_REFUSE);
	assert_int_equal(status.code, GN_PERMISSION_DENIED);
	assert_int_equal(gn_executor_decide(&c, NULL, NULL, &lenient, &status), GN_EXECUTOR_REFUSE);
	assert_int_equal(status.code, GN_PERMISSION_DENIED); /* nor told whether it exists */
	/* A shadow goes by its VM's name, whatever its own. */
	assert_int_equal(gn_executor_decide(&c, &of_web, NULL, &lenient, &status),
	                 GN_EXECUTOR_EXECUTE);
	strcpy(c.vm, "web-9");
	assert_int_equal(gn_executor_decide(&c, &of_mail, NULL, &lenient, &status),
	                 GN_EXECUTOR_REFUSE);
	assert_int_equal(status.code, GN_PERMISSION_DENIED);
}

static void no_such_domain(void **state)
{
	int kind;

	for (kind = GN_COMMAND_SET_VCPUS; kind <= GN_COMMAND_START_VM; kind++) {
		struct gn_command c = command((enum gn_command_kind)kind);
		struct gn_status status = {0};

		assert_int_equal(gn_executor_decide(&c, NULL, NULL, &lenient, &status),
		                 GN_EXECUTOR_REFUSE);
		assert_int_equal(status.code, GN_NOT_FOUND);
	}
}

static void defining(void **state)
{
	struct gn_command c = command(GN_COMMAND_DEFINE_SHADOW);
	struct gn_vm v = vm("web-1", GN_VM_RUNNING);
	struct gn_vm foreign = vm("web-1-shadow", GN_VM_SHUT_OFF);
	struct gn_vm other = shadow_of("web-2", "web-1-shadow", GN_VM_SHUT_OFF);
	struct gn_vm own = shadow_of("web-1", "web-1-shadow", GN_VM_SHUT_OFF);
	struct gn_vm nested = shadow_of("web-0", "web-1", GN_VM_SHUT_OFF);
	struct gn_status status = {0};

	strcpy(c.define_shadow.name, "web-1-shadow");
	c.define_shadow.vcpus = 1;
	c.define_shadow.memory_bytes = 256 * MIB;
	assert_int_equal(gn_executor_decide(&c, &v, NULL, &strict, &status), GN_EXECUTOR_EXECUTE);
	assert_int_equal(gn_executor_decide(&c, &v, &foreign, &strict, &status),
	                 GN_EXECUTOR_REFUSE);
	assert_int_equal(status.code, GN_ALREADY_EXISTS);
	assert_int_equal(gn_executor_decide(&c, &v, &other, &strict, &status), GN_EXECUTOR_REFUSE);
	assert_int_equal(status.code, GN_ALREADY_EXISTS);
	assert_int_equal(gn_executor_decide(&c, &v, &own, &strict, &status), GN_EXECUTOR_REFUSE);
	assert_int_equal(status.code, GN_ALREADY_EXISTS);
	assert_int_equal(gn_executor_decide(&c, &nested, NULL, &strict, &status),
	                 GN_EXECUTOR_REFUSE);
	assert_int_equal(status.code, GN_FAILED_PRECONDITION);
	c.define_shadow.vcpus = 5;
	assert_int_equal(gn_executor_decide(&c, &v, NULL, &strict, &status), GN_EXECUTOR_REFUSE);
	assert_int_equal(status.code, GN_OUT_OF_RANGE);
	assert_ptr_equal(gn_executor_subject(&c, &v, &own), &own);
	assert_true(gn_executor_reached(&c, &own));
	assert_false(gn_executor_reached(&c, &other));
	assert_false(gn_executor_reached(&c, NULL));
}

static void resolving(void **state)
{
	struct gn_vm_allocation before = vm("web-1", GN_VM_RUNNING).allocation;
	struct gn_command c = command(GN_COMMAND_SET_VCPUS);
	struct gn_vm v = vm("web-1", GN_VM_RUNNING);
	struct gn_vm s = shadow_of("web-0", "web-1", GN_VM_RUNNING);

	c.set_vcpus.expected = 2;
	c.set_vcpus.vcpus = 4;
	assert_int_equal(gn_executor_resolve(&c, &before, &v), GN_EXECUTOR_NOT_EXECUTED);
	v.allocation.vcpus = 4;
	assert_int_equal(gn_executor_resolve(&c, &before, &v), GN_EXECUTOR_DONE);
	v.allocation.vcpus = 3;
	assert_int_equal(gn_executor_resolve(&c, &before, &v), GN_EXECUTOR_PARTLY);
	assert_int_equal(gn_executor_resolve(&c, &before, NULL), GN_EXECUTOR_PARTLY);
	c = command(GN_COMMAND_DEFINE_SHADOW);
	assert_int_equal(gn_executor_resolve(&c, &before, NULL), GN_EXECUTOR_NOT_EXECUTED);
	c = command(GN_COMMAND_UNDEFINE_SHADOW);
	assert_int_equal(gn_executor_resolve(&c, &before, NULL), GN_EXECUTOR_DONE);
	s.state = GN_VM_SHUT_OFF;
	assert_int_equal(gn_executor_resolve(&c, &before, &s), GN_EXECUTOR_NOT_EXECUTED);
	c = command(GN_COMMAND_START_SHADOW);
	assert_int_equal(gn_executor_resolve(&c, &before, &s), GN_EXECUTOR_NOT_EXECUTED);
	s.state = GN_VM_RUNNING;
	assert_int_equal(gn_executor_resolve(&c, &before, &s), GN_EXECUTOR_DONE);
	s.state = GN_VM_PAUSED;
	assert_int_equal(gn_executor_resolve(&c, &before, &s), GN_EXECUTOR_PARTLY);
}

static void explanations(void **state)
{
	int kind;

	for (kind = GN_COMMAND_SET_VCPUS; kind <= GN_COMMAND_START_VM; kind++) {
		struct gn_command c = command((enum gn_command_kind)kind);
		struct gn_vm v = vm("web-1", GN_VM_RUNNING);
		struct gn_status status = {0};

		assert_int_not_equal(gn_executor_explain(&c, &v, &status), 0);
		assert_non_null(strstr(status.message, "web-1"));
		assert_int_not_equal(gn_executor_explain(&c, NULL, &status), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(numbers),         cmocka_unit_test(memory),
	        cmocka_unit_test(vcpus_under_tcg), cmocka_unit_test(cpu_limit),
	        cmocka_unit_test(states),          cmocka_unit_test(pausing_production_needs_leave),
	        cmocka_unit_test(the_owners_list), cmocka_unit_test(no_such_domain),
	        cmocka_unit_test(defining),        cmocka_unit_test(resolving),
	        cmocka_unit_test(explanations),
	};

	return cmocka_run_group_tests_name("shim executor", tests, NULL, NULL);
}
