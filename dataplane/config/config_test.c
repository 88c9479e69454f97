/* Good and bad gnomon-dataplane.yaml files. */
#include "dataplane/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int load(const char *text, struct gn_config **out, struct gn_status *status)
{
	char path[] = "/tmp/gncf-XXXXXX";
	int fd = mkstemp(path);
	int err;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	err = gn_config_load(path, out, status);
	unlink(path);
	return err;
}

static void defaults_are_filled(void **state)
{
	struct gn_config *config;
	struct gn_status status;

	assert_int_equal(load("board: /b.yaml\nrun_dir: /r\n", &config, &status), 0);
	assert_string_equal(config->board, "/b.yaml");
	assert_string_equal(config->control_url, "ipc:///r/dataplane.ipc");
	assert_string_equal(config->telemetry_url, "ipc:///r/samples.ipc");
	assert_string_equal(config->state_dir, "/var/lib/gnomon/dataplane");
	assert_int_equal(config->period_ms, 1000);
	assert_int_equal(config->flows_per_vm, 4096);
	assert_int_equal(config->max_frame_bytes, 2048);
	assert_null(config->socket_user);
	assert_int_equal(config->ports_count, 0);
	gn_config_free(config);
}

static void everything_is_read(void **state)
{
	struct gn_config *config;
	struct gn_status status;

	assert_int_equal(load("board: /b.yaml\n"
	                      "run_dir: /r\nstate_dir: /s\ncontrol_url: ipc:///c\n"
	                      "telemetry_url: ipc:///t\nperiod_ms: 100\nflows_per_vm: 64\n"
	                      "max_frame_bytes: 9000\nsocket_user: qemu\nfile_prefix: gn\n"
	                      "ports:\n"
	                      "  - {name: ports/a, vm: vms/a, vlan: 7, queues: 2}\n"
	                      "  - {name: ports/u, devargs: 'net_tap0,iface=u', uplink: true,"
	                      " trunk_vlans: [0, 7]}\n"
	                      "volumes:\n"
	                      "  - {name: volumes/a, vm: vms/a, path: /d, read_only: true}\n",
	                      &config, &status),
	                 0);
	assert_int_equal(config->ports_count, 2);
	assert_int_equal(config->ports[0].vlan, 7);
	assert_null(config->ports[0].devargs);
	assert_string_equal(config->ports[1].devargs, "net_tap0,iface=u");
	assert_int_equal(config->ports[1].trunk_vlans_count, 2);
	assert_int_equal(config->ports[1].trunk_vlans[1], 7);
	assert_true(config->ports[1].uplink);
	assert_int_equal(config->volumes_count, 1);
	assert_true(config->volumes[0].read_only);
	gn_config_free(config);
}

static const struct {
	const char *text;
	const char *says;
} bad[] = {
        {"", ""},
        {"board: [", ""},
        {"run_dir: /r\n", "board"},
        {"board: /b\nbaord: /c\n", "baord"},
        {"board: /b\nperiod_ms: 99\n", "period_ms is 99; give 100 to 60000"},
        {"board: /b\nperiod_ms: -1\n", "period_ms"},
        {"board: /b\nperiod_ms: soon\n", "period_ms"},
        {"board: /b\nflows_per_vm: 100\n", "power of two"},
        {"board: /b\nflows_per_vm: 2097152\n", "flows_per_vm"},
        {"board: /b\nmax_frame_bytes: 65536\n", "max_frame_bytes"},
        {"board: /b\ncontrol_url: tcp://0.0.0.0:1\n", "control_url"},
        {"board: /b\ntelemetry_url: http://x\n", "telemetry_url"},
        {"board: /b\nports: [{vm: vms/a}]\n", "name"},
        {"board: /b\nports: [{name: ports/a, colour: red}]\n", "colour"},
        {"board: /b\nvolumes: [{name: volumes/a, vm: vms/a}]\n", "path"},
};

static void bad_files_are_refused(void **state)
{
	size_t i;

	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct gn_config *config = NULL;
		struct gn_status status = {.code = GN_OK};

		assert_true(load(bad[i].text, &config, &status) < 0);
		assert_null(config);
		assert_true(strlen(status.message) > 20);
		if (!strstr(status.message, bad[i].says))
			fail_msg("'%s' does not name '%s'", status.message, bad[i].says);
	}
}

static void missing_file(void **state)
{
	struct gn_config *config = NULL;
	struct gn_status status;

	assert_true(gn_config_load("/nowhere/c.yaml", &config, &status) < 0);
	assert_int_equal(status.code, GN_NOT_FOUND);
	assert_non_null(strstr(status.message, "/nowhere/c.yaml"));
	gn_config_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(defaults_are_filled),
	        cmocka_unit_test(everything_is_read),
	        cmocka_unit_test(bad_files_are_refused),
	        cmocka_unit_test(missing_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
