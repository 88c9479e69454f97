/* config_test.c - what is wrong in a file is said with the key and what it may be. */
#include "firmware/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define HEAD                                                                                       \
	"board: devbox\nstate_dir: /s\nrun_dir: /r\n"                                              \
	"control_local: {url: 'ipc:///r/g.ipc'}\n"                                                 \
	"dataplane: {url: 'ipc:///r/d.ipc'}\nsamples: {url: 'ipc:///r/s.ipc'}\n"
#define SHIM "shim: {url: 'tls+tcp://h:1', tls: {ca: a, cert: b, key: c, name: shim}}\n"

static int load(const char *text, struct gn_config **out, struct gn_status *status)
{
	char path[] = "/tmp/gncfgXXXXXX";
	int fd = mkstemp(path), error;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	error = gn_config_load(path, out, status);
	unlink(path);
	return error;
}

static void the_example_is_valid(void **state)
{
	struct gn_config *c = NULL;
	struct gn_status status = {0};

	assert_int_equal(gn_config_load("firmware/config/gnomond.yaml", &c, &status), 0);
	assert_int_equal(c->period_ms, 1000);
	assert_int_equal(c->predict_period_ms, 1000);
	assert_int_equal(c->horizons_count, 4);
	assert_string_equal(c->vms[0].nics[0].name, "net0");
	assert_string_equal(c->shim->tls->name, "shim");
	gn_config_free(c);
	gn_config_free(NULL);
}

static void rules_of_a_vm_lie_over_the_cards(void **state)
{
	static const char text[] =
	        HEAD SHIM "policy:\n  mode: enforce\n  resources:\n    - {resource: cpu, "
	                  "horizon_ms: 15000, headroom_milli: 0}\n"
	                  "vms:\n  - name: vms/a\n"
	                  "  - name: vms/b\n    policy: {mode: 'off', resources: [{resource: cpu, "
	                  "cooldown_ms: 0, maximum: 4000}]}\n";
	struct gn_policy_rules rules[GN_RESOURCE_END];
	struct gn_config *c = NULL;
	struct gn_status status = {0};
	enum gn_policy_mode mode;

	assert_int_equal(load(text, &c, &status), 0);
	gn_config_rules(c, c->vms[0].policy, rules, &mode);
	assert_int_equal(mode, GN_POLICY_ENFORCE);
	assert_int_equal(rules[GN_RESOURCE_CPU].horizon_us, 15000000);
	assert_int_equal(rules[GN_RESOURCE_CPU].headroom_milli, 0);
	assert_int_equal(rules[GN_RESOURCE_CPU].cooldown_us, 60000000);
	gn_config_rules(c, c->vms[1].policy, rules, &mode);
	assert_int_equal(mode, GN_POLICY_OFF);
	assert_int_equal(rules[GN_RESOURCE_CPU].horizon_us, 15000000);
	assert_int_equal(rules[GN_RESOURCE_CPU].cooldown_us, 0);
	assert_int_equal(rules[GN_RESOURCE_CPU].maximum, 4000);
	gn_config_free(c);
}

static void mistakes_are_told_with_the_key(void **state)
{
	static const struct {
		const char *name, *text, *says;
	} cases[] = {
	        {"empty", "", ""},
	        {"not yaml", "{[", ""},
	        {"unknown key", HEAD SHIM "colour: red\n", "colour"},
	        {"missing key", HEAD, "shim"},
	        {"wrong type", HEAD SHIM "period_ms: often\n", "period_ms"},
	        {"period too short", HEAD SHIM "period_ms: 10\n",
	         "period_ms is 10; give 100 to 60000"},
	        {"predict period", HEAD SHIM "predict_period_ms: 1500\n", "multiple of period_ms"},
	        {"horizons descend", HEAD SHIM "horizons: [5, 5]\n", "horizons[1] is 5"},
	        {"too many horizons", HEAD SHIM "horizons: [1, 2, 3, 4, 5]\n", "4 max"},
	        {"tls without certificates", HEAD "shim: {url: 'tls+tcp://h:1'}\n",
	         "shim: tls+tcp needs"},
	        {"tls without name",
	         HEAD "shim: {url: 'tls+tcp://h:1', tls: {ca: a, cert: b, key: c}}\n",
	         "shim.tls.name is missing"},
	        {"odd url", HEAD "shim: {url: 'http://h'}\n", "shim.url is 'http://h'"},
	        {"local must be ipc",
	         HEAD SHIM "events_local: {url: 'tls+tcp://h:1', tls: {ca: a, cert: b, key: c}}\n",
	         "this machine only"},
	        {"vm name", HEAD SHIM "vms: [{name: web}]\n", "vms[0].name is 'web'"},
	        {"vm twice", HEAD SHIM "vms: [{name: vms/a}, {name: vms/a}]\n",
	         "vms[1].name is 'vms/a', which is listed before"},
	        {"vlan", HEAD SHIM "vms: [{name: vms/a, nics: [{name: net0, vlan: 4095}]}]\n",
	         "vms[0].nics[0] ('net0') is not right"},
	        {"relative disk", HEAD SHIM "vms: [{name: vms/a, disks: [{name: vda, path: x}]}]\n",
	         "vms[0].disks[0] ('vda') is not right"},
	        {"mode", HEAD SHIM "policy: {mode: maybe}\n", "mode"},
	        {"rule", HEAD SHIM "policy: {resources: [{resource: cpu, step: 10}]}\n",
	         "step is 10"},
	        {"shrink overflow",
	         HEAD SHIM
	         "policy: {resources: [{resource: cpu, shrink_after_ms: 18446744073709551615}]}\n",
	         "shrink_after_ms"},
	        {"too many vms", HEAD SHIM "max_vms: 1\nvms: [{name: vms/a}, {name: vms/b}]\n",
	         "max_vms is 1"},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_config *c = NULL;
		struct gn_status status = {0};

		assert_int_not_equal(load(cases[i].text, &c, &status), 0);
		print_message("# %s: %s\n", cases[i].name, status.message);
		assert_non_null(strstr(status.message, cases[i].says));
		assert_null(c);
	}
}

static void a_missing_file_is_told(void **state)
{
	struct gn_config *c = NULL;
	struct gn_status status = {0};

	assert_int_not_equal(gn_config_load("/nonexistent/gnomond.yaml", &c, &status), 0);
	assert_non_null(strstr(status.message, "cannot be opened"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_example_is_valid),
	        cmocka_unit_test(rules_of_a_vm_lie_over_the_cards),
	        cmocka_unit_test(mistakes_are_told_with_the_key),
	        cmocka_unit_test(a_missing_file_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
