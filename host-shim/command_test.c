/* command_test.c - what a card may ask for at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "host-shim/command.h"

#define NOW 1700000000000000ull

static const char *const vms[] = {"web-*", "db-?"};
static const char *const paths[] = {"/run/gnomon", "/var/lib/gnomon"};

static const struct gn_command_limits limits = {
        .vms = vms,
        .n_vms = 2,
        .shadow_paths = paths,
        .n_shadow_paths = 2,
        .max_vcpus = 8,
        .min_memory_bytes = 64ull << 20,
        .max_memory_bytes = 4096ull << 20,
        .allow_shadow = true,
        .allow_pause = true,
        .allow_failover = true,
};

static struct gn_command vcpus(uint32_t n)
{
	struct gn_command c = {.id = "id-00000001",
	                       .vm = "web-1",
	                       .deadline_us = NOW + 1000000,
	                       .kind = GN_COMMAND_SET_VCPUS};

	c.set_vcpus.expected = 1;
	c.set_vcpus.vcpus = n;
	return c;
}

static struct gn_command shadow(void)
{
	struct gn_command c = vcpus(1);
	struct gn_shadow_spec s = {
	        .name = "web-1-shadow",
	        .vcpus = 1,
	        .memory_bytes = 128ull << 20,
	        .nics = {{.mac = "52:54:00:00:00:01", .socket_path = "/run/gnomon/n.sock"}},
	        .n_nics = 1,
	        .disks = {{.target = "vda", .socket_path = "/run/gnomon/d.sock"}},
	        .n_disks = 1,
	        .pool = "gnomon-shadows",
	        .pool_path = "/var/lib/gnomon/shadows",
	};

	c.kind = GN_COMMAND_DEFINE_SHADOW;
	c.define_shadow = s;
	return c;
}

static enum gn_code check(const struct gn_command *c)
{
	struct gn_status status = {0};
	int error = gn_command_check(c, &limits, NOW, &status);

	assert_int_equal(error, gn_code_to_errno(status.code));
	assert_true(!error == !status.message[0]);
	return status.code;
}

static void names(void **state)
{
	static const struct {
		const char *name;
		bool valid;
	} cases[] = {
	        {"web-1", true},
	        {"a", true},
	        {"A.b_c+d-9", true},
	        {"", false},
	        {".hidden", false},
	        {"-option", false},
	        {"a/b", false},
	        {"a b", false},
	        {"a\nb", false},
	        {"caf\xc3\xa9", false},
	        {"0123456789012345678901234567890123456789012345678901234567890123", true},
	        {"01234567890123456789012345678901234567890123456789012345678901234", false},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		if (gn_command_name_valid(cases[i].name) != cases[i].valid)
			fail_msg("name '%s'", cases[i].name);
}

static void path_forms(void **state)
{
	static const struct {
		const char *path;
		bool valid;
	} cases[] = {
	        {"/run/gnomon/a.sock", true},
	        {"/a", true},
	        {"/", false},
	        {"", false},
	        {"run/a", false},
	        {"/run//a", false},
	        {"/run/./a", false},
	        {"/run/../etc/shadow", false},
	        {"/run/..", false},
	        {"/run/...", true},
	        {"/run/a/", false},
	        {"/run/a b", false},
	        {"/run/a,server=on", false},
	        {"/run/'a", false},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		if (gn_command_path_valid(cases[i].path, 64) != cases[i].valid)
			fail_msg("path '%s'", cases[i].path);
	assert_false(gn_command_path_valid("/123456", 7));
	assert_true(gn_command_path_valid("/12345", 7));
}

static void patterns(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool matches;
	} cases[] = {
	        {"*", "web-1", true},
	        {"web-*", "web-1", true},
	        {"web-*", "web-", true},
	        {"web-*", "db-1", false},
	        {"web-?", "web-1", true},
	        {"web-?", "web-12", false},
	        {"*-1", "web-1", true},
	        {"*-1", "web-12", false},
	        {"w*b*1", "web-b-1", true},
	        {"web-1", "web-1", true},
	        {"web-1", "web-", false},
	        {"", "x", false},
	        {"*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		if (gn_command_matches(cases[i].pattern, cases[i].name) != cases[i].matches)
			fail_msg("'%s' on '%s'", cases[i].pattern, cases[i].name);
}

static void ids(void **state)
{
	static const struct {
		const char *id;
		enum gn_code code;
	} cases[] = {
	        {"12345678", GN_OK},
	        {"1234567", GN_INVALID_ARGUMENT},
	        {"", GN_INVALID_ARGUMENT},
	        {"plan_0001", GN_INVALID_ARGUMENT},
	        {"plan/00001", GN_INVALID_ARGUMENT},
	        {"plan 00001", GN_INVALID_ARGUMENT},
	        {"0123456789012345678901234567890123456789012345678901234567890123", GN_OK},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_command c = vcpus(2);

		strcpy(c.id, cases[i].id);
		if (check(&c) != cases[i].code)
			fail_msg("id '%s'", cases[i].id);
	}
}

static void deadlines(void **state)
{
	static const struct {
		uint64_t deadline_us;
		enum gn_code code;
	} cases[] = {
	        {NOW, GN_OK},
	        {NOW - 1, GN_DEADLINE_EXCEEDED},
	        {0, GN_DEADLINE_EXCEEDED},
	        {NOW + 3600ull * 1000000, GN_OK},
	        {NOW + 3603ull * 1000000, GN_INVALID_ARGUMENT},
	        {UINT64_MAX, GN_INVALID_ARGUMENT},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_command c = vcpus(2);

		c.deadline_us = cases[i].deadline_us;
		assert_int_equal(check(&c), cases[i].code);
	}
}

static void sizes(void **state)
{
	struct gn_command c = vcpus(8);

	assert_int_equal(check(&c), GN_OK);
	c = vcpus(9);
	assert_int_equal(check(&c), GN_PERMISSION_DENIED);
	c = vcpus(0);
	assert_int_equal(check(&c), GN_INVALID_ARGUMENT);
	c = vcpus(2);
	assert_true(gn_command_vm_allowed(&limits, "db-7"));
	assert_false(gn_command_vm_allowed(&limits, "mail-1"));
	strcpy(c.reason, "demand at 12:00\n<3>gnomon-shim: forged");
	assert_int_equal(check(&c), GN_INVALID_ARGUMENT);
	strcpy(c.reason, "P95 of demand at 12:00 is 2\xc2\xb7"
	                 "5 vCPUs");
	assert_int_equal(check(&c), GN_OK);
	strcpy(c.vm, "../web-1");
	assert_int_equal(check(&c), GN_INVALID_ARGUMENT);
	c = vcpus(1);
	c.kind = GN_COMMAND_SET_MEMORY;
	c.set_memory.bytes = limits.min_memory_bytes - 1024;
	assert_int_equal(check(&c), GN_PERMISSION_DENIED);
	c.set_memory.bytes = limits.max_memory_bytes;
	assert_int_equal(check(&c), GN_OK);
	c.set_memory.bytes = limits.max_memory_bytes + 1024;
	assert_int_equal(check(&c), GN_PERMISSION_DENIED);
}

static void cpu_limits(void **state)
{
	static const struct {
		uint64_t shares;
		int64_t quota_us;
		uint64_t period_us;
		enum gn_code code;
	} cases[] = {
	        {0, 0, 0, GN_INVALID_ARGUMENT},
	        {512, 0, 0, GN_OK},
	        {1, 0, 0, GN_INVALID_ARGUMENT},
	        {262145, 0, 0, GN_INVALID_ARGUMENT},
	        {0, -1, 0, GN_OK},
	        {0, -2, 0, GN_INVALID_ARGUMENT},
	        {0, 999, 0, GN_INVALID_ARGUMENT},
	        {0, 1000, 0, GN_OK},
	        {0, 0, 999, GN_INVALID_ARGUMENT},
	        {0, 0, 100000, GN_OK},
	        {0, 0, 1000001, GN_INVALID_ARGUMENT},
	        {2, INT64_MIN, 0, GN_INVALID_ARGUMENT},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_command c = vcpus(1);

		memset(&c.set_cpu_limit, 0, sizeof c.set_cpu_limit);
		c.kind = GN_COMMAND_SET_CPU_LIMIT;
		c.set_cpu_limit.shares = cases[i].shares;
		c.set_cpu_limit.quota_us = cases[i].quota_us;
		c.set_cpu_limit.period_us = cases[i].period_us;
		if (check(&c) != cases[i].code)
			fail_msg("case %zu", i);
	}
}

static void shadows(void **state)
{
	struct gn_command c = shadow();
	struct gn_command_limits closed = limits;

	assert_int_equal(check(&c), GN_OK);
	closed.allow_shadow = false;
	assert_int_equal(gn_command_check(&c, &closed, NOW, NULL),
	                 gn_code_to_errno(GN_PERMISSION_DENIED));
	c.kind = GN_COMMAND_DESTROY_SHADOW;
	assert_int_equal(gn_command_check(&c, &closed, NOW, NULL),
	                 gn_code_to_errno(GN_PERMISSION_DENIED));
	c = shadow();
	strcpy(c.define_shadow.name, "web-1");
	assert_int_equal(check(&c), GN_INVALID_ARGUMENT);
	c = shadow();
	strcpy(c.define_shadow.nics[0].mac, "52:54:00:00:00");
	assert_int_equal(check(&c), GN_INVALID_ARGUMENT);
	c = shadow();
	strcpy(c.define_shadow.nics[0].socket_path, "/run/gnomonX/n.sock");
	assert_int_equal(check(&c), GN_PERMISSION_DENIED);
	c = shadow();
	strcpy(c.define_shadow.nics[0].socket_path, "/run/gnomon/../../etc/passwd");
	assert_int_equal(check(&c), GN_INVALID_ARGUMENT);
	c = shadow();
	strcpy(c.define_shadow.disks[0].source, "/var/lib/gnomon/d.raw");
	assert_int_equal(check(&c), GN_INVALID_ARGUMENT);
	c = shadow();
	c.define_shadow.disks[0].socket_path[0] = '\0';
	assert_int_equal(check(&c), GN_INVALID_ARGUMENT);
	c = shadow();
	strcpy(c.define_shadow.pool_path, "/etc");
	assert_int_equal(check(&c), GN_PERMISSION_DENIED);
	c = shadow();
	c.define_shadow.pool[0] = '\0';
	assert_int_equal(check(&c), GN_INVALID_ARGUMENT);
}

static void shadows_share_nothing_within(void **state)
{
	struct gn_command c = shadow();

	c.define_shadow.nics[1] = c.define_shadow.nics[0];
	c.define_shadow.n_nics = 2;
	assert_int_equal(check(&c), GN_INVALID_ARGUMENT);
	strcpy(c.define_shadow.nics[1].mac, "52:54:00:00:00:02");
	assert_int_equal(check(&c), GN_INVALID_ARGUMENT); /* the socket still */
	strcpy(c.define_shadow.nics[1].socket_path, "/run/gnomon/n2.sock");
	assert_int_equal(check(&c), GN_OK);
	c.define_shadow.disks[1] = c.define_shadow.disks[0];
	strcpy(c.define_shadow.disks[1].target, "vdb");
	c.define_shadow.n_disks = 2;
	assert_int_equal(check(&c), GN_INVALID_ARGUMENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(names),
	        cmocka_unit_test(path_forms),
	        cmocka_unit_test(patterns),
	        cmocka_unit_test(ids),
	        cmocka_unit_test(deadlines),
	        cmocka_unit_test(sizes),
	        cmocka_unit_test(cpu_limits),
	        cmocka_unit_test(shadows),
	        cmocka_unit_test(shadows_share_nothing_within),
	};

	return cmocka_run_group_tests_name("shim command", tests, NULL, NULL);
}
