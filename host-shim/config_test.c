/* config_test.c - gnomon-shim.yaml, right and wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host-shim/config.h"

#define TLS    "tls: {ca: /a, cert: /b, key: /c}\n"
#define TOP    "url: tls+tcp://127.0.0.1:7445\n" TLS "libvirt_uri: qemu:///system\njournal: /var/j\n"
#define LIMITS "limits: {vms: ['*'], max_vcpus: 8, max_memory_mib: 4096}\n"

static char path[] = "/tmp/gncXXXXXX";

static int load(const char *text, struct gn_shim_config **out, struct gn_status *status)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return gn_shim_config_load(path, out, status);
}

static void a_whole_one(void **state)
{
	struct gn_status status = {0};
	struct gn_command_limits limits;
	struct gn_shim_config *c;

	if (load(TOP "limits:\n  vms: ['web-*', db-1]\n  max_vcpus: 16\n  max_memory_mib: 65536\n"
	             "  min_memory_mib: 128\n  allow_shadow: true\n  allow_pause: true\n  "
	             "allow_failover: true\n"
	             "  shadow_paths: [/run/gnomon]\nverify_seconds: 5\nstats_period_seconds: 2\n",
	         &c, &status))
		fail_msg("%s", status.message);
	assert_string_equal(c->url, "tls+tcp://127.0.0.1:7445");
	assert_string_equal(c->tls->key, "/c");
	assert_int_equal(c->verify_seconds, 5);
	assert_int_equal(c->stats_period_seconds, 2);
	limits = gn_shim_config_limits(c);
	assert_int_equal(limits.n_vms, 2);
	assert_string_equal(limits.vms[1], "db-1");
	assert_int_equal(limits.min_memory_bytes, 128ull << 20);
	assert_int_equal(limits.max_memory_bytes, 65536ull << 20);
	assert_true(limits.allow_shadow && limits.allow_pause && limits.allow_failover &&
	            limits.n_shadow_paths == 1);
	gn_shim_config_free(c);
}

static void defaults_allow_little(void **state)
{
	struct gn_status status = {0};
	struct gn_shim_config *c;

	if (load(TOP LIMITS, &c, &status))
		fail_msg("%s", status.message);
	assert_false(c->limits.allow_shadow || c->limits.allow_pause || c->limits.allow_failover);
	assert_int_equal(c->verify_seconds, 30);
	assert_int_equal(c->limits.min_memory_mib, 64);
	gn_shim_config_free(c);
	gn_shim_config_free(NULL);
}

static void wrong_ones(void **state)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
	        {"", ""},
	        {TOP, "limits"},
	        {LIMITS, "url"},
	        {TOP LIMITS "colour: blue\n", "colour"},
	        {TOP "limits: {vms: ['*'], max_vcpus: 8, max_memory_mib: 1, magic: 2}\n", "magic"},
	        {TOP "limits: {vms: ['*'], max_vcpus: 0, max_memory_mib: 4096}\n", "max_vcpus"},
	        {TOP "limits: {vms: ['*'], max_vcpus: many, max_memory_mib: 4096}\n", "max_vcpus"},
	        {TOP "limits: {vms: ['*'], max_vcpus: 8, max_memory_mib: 32}\n", "max_memory_mib"},
	        {TOP "limits: {vms: [], max_vcpus: 8, max_memory_mib: 4096}\n", "vms"},
	        {TOP
	         "limits: {vms: ['*'], max_vcpus: 8, max_memory_mib: 4096, allow_shadow: true}\n",
	         "shadow_paths"},
	        {TOP "limits: {vms: ['*'], max_vcpus: 8, max_memory_mib: 4096, shadow_paths: "
	             "[/run/../etc]}\n",
	         "shadow_paths"},
	        {TOP "limits: {vms: ['*'], max_vcpus: 8, max_memory_mib: 4096, shadow_paths: "
	             "[/run/]}\n",
	         "shadow_paths"},
	        {"url: tls+tcp://h:1\nlibvirt_uri: q\njournal: /j\n" LIMITS, "tls"},
	        {"url: ipc:///x\n" TLS "libvirt_uri: q\njournal: /j\n" LIMITS, "tls"},
	        {"url: ipc:///x\nlibvirt_uri: q\njournal: j\n" LIMITS, "journal"},
	        {TOP LIMITS "verify_seconds: 99999\n", "verify_seconds"},
	        {TOP LIMITS "stats_period_seconds: 99999\n", "stats_period_seconds"},
	        {TOP LIMITS LIMITS, ""},
	        {"[]", ""},
	        {"\x01\x02", ""},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_status status = {0};
		struct gn_shim_config *c = NULL;

		if (load(cases[i].text, &c, &status) == 0)
			fail_msg("accepted: %s", cases[i].text);
		if (!strstr(status.message, path) || !strstr(status.message, cases[i].said))
			fail_msg("case %zu: '%s' does not name the file and '%s'", i,
			         status.message, cases[i].said);
		assert_null(c);
	}
}

static void the_files_it_names(void **state)
{
	struct gn_status status = {0};
	struct gn_shim_config *c;

	assert_int_equal(load(TOP LIMITS, &c, &status), 0);
	assert_int_not_equal(gn_shim_config_check_files(c, &status), 0);
	assert_non_null(strstr(status.message, "tls.ca, /a"));
	gn_shim_config_free(c);
	assert_int_equal(
	        load("url: ipc:///x\nlibvirt_uri: q\njournal: /tmp/j\n" LIMITS, &c, &status), 0);
	assert_int_equal(gn_shim_config_check_files(c, &status), 0);
	gn_shim_config_free(c);
	assert_int_equal(
	        load("url: ipc:///x\nlibvirt_uri: q\njournal: /none/j\n" LIMITS, &c, &status), 0);
	assert_int_not_equal(gn_shim_config_check_files(c, &status), 0);
	assert_non_null(strstr(status.message, "/none"));
	gn_shim_config_free(c);
}

static void no_file(void **state)
{
	struct gn_status status = {0};
	struct gn_shim_config *c;

	assert_int_not_equal(gn_shim_config_load("/nonexistent/x.yaml", &c, &status), 0);
	assert_non_null(strstr(status.message, "/nonexistent/x.yaml"));
}

static int set_up(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_whole_one), cmocka_unit_test(defaults_allow_little),
	        cmocka_unit_test(wrong_ones),  cmocka_unit_test(the_files_it_names),
	        cmocka_unit_test(no_file),
	};

	return cmocka_run_group_tests_name("shim config", tests, set_up, tear_down);
}
