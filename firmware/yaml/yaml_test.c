/* yaml_test.c - what a person reads when a configuration file is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "firmware/yaml/yaml.h"

struct nic {
	char *name;
	uint16_t vlan;
};

struct file {
	uint32_t period;
	int mode;
	bool is_safe;
	char *note;
	struct nic *nics;
	uint32_t nics_count;
};

static const cyaml_strval_t modes[] = {{"off", 1}, {"on", 2}};
static const cyaml_schema_field_t nic_fields[] = {
        CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct nic, name, 1, 8),
        CYAML_FIELD_UINT("vlan", CYAML_FLAG_OPTIONAL, struct nic, vlan),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t nic_schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct nic, nic_fields)};
static const cyaml_schema_field_t fields[] = {
        CYAML_FIELD_UINT("period", CYAML_FLAG_DEFAULT, struct file, period),
        CYAML_FIELD_ENUM("mode", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct file, mode, modes,
                         2),
        GN_YAML_BOOL("is_safe", CYAML_FLAG_OPTIONAL, struct file, is_safe),
        CYAML_FIELD_STRING_PTR("note", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, note,
                               1, 8),
        CYAML_FIELD_SEQUENCE("nics", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, nics,
                             &nic_schema, 0, 2),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file, fields)};

static int check(void *loaded, struct gn_status *status)
{
	const struct file *file = loaded;
	const struct gn_yaml_range period = {"period", file->period, 1, 100};

	if (file->nics_count > 1 && file->nics[1].vlan > 4094)
		return gn_status_set(status, GN_OUT_OF_RANGE, "nics[1].vlan is %u; give 0 to 4094",
		                     file->nics[1].vlan);
	return gn_yaml_check_ranges(&period, 1, status);
}

static const struct gn_yaml_format format = {"test.yaml", &schema, check};
static char path[] = "/tmp/gn-yaml-XXXXXX";

static void write_file(const char *text, size_t size)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_int_equal(fwrite(text, 1, size, out), size);
	assert_int_equal(fclose(out), 0);
}

static int load(const char *text, struct file **file, struct gn_status *status)
{
	write_file(text, strlen(text));
	return gn_yaml_load(&format, path, (void **)file, status);
}

static const struct {
	const char *text, *says; /* after "PATH:" */
} mistakes[] = {
        {"period: 3\nfoo: 4\n",
         "2: foo is no known key; here are known: period, mode, is_safe, note, nics"},
        {"period: 3\nnics:\n  - name: a\n    colour: red\n",
         "4: nics[0].colour is no known key; here are known: name, vlan"},
        {"# no period\nnote: a\n", " period is missing"},
        {"period: 3\nnics:\n  - name: a\n  - vlan: 1\n", "4: nics[1].name is missing"},
        {"# first\nperiod: abc\n", "2: period is 'abc', which it cannot be; give a whole number"},
        {"period: -1\n", "1: period is '-1'"},
        {"period: 99999999999\n", "1: period is '99999999999', which it cannot be; give a whole "
                                  "number up to 4294967295"},
        {"period: 3\nnics:\n  - {name: a}\n  - name: x\n    vlan: 70000\n",
         "5: nics[1].vlan is '70000', which it cannot be; give a whole number up to 65535"},
        {"period: 3\nmode: maybe\n", "2: mode is 'maybe', which it cannot be; give one of off, on"},
        {"period: 3\nis_safe: maybe\n", "2: is_safe is 'maybe'"},
        {"period: 3\nnote: much too long\n", "2: note STRING length > 8: much too long"},
        {"period: 1\nnote: a\nperiod: 2\n", "3: period is given twice"},
        {"period: 1\nnics: [{name: a}, {name: b}, {name: c}]\n", "2: nics[1] Excessive entries"},
        {"period: [\n", "2: is not YAML"},
        {"period: 3\n\tmode: on\n", "2: is not YAML"},
        {"period: 3\n---\nperiod: 4\n", "2: a second document begins here"},
        {"- 1\n", ""},
        {"", " is empty"},
        {"# nothing\n", " is empty"},
        /* What the check says. */
        {"note: a\nperiod: 0\n", "2: period is 0; give 1 to 100"},
        {"period: 101\n", "1: period is 101; give 1 to 100"},
        {"period: 1\nnics: [{name: a},\n {name: b,\n  vlan: 5000}]\n",
         "4: nics[1].vlan is 5000; give 0 to 4094"},
};

static void mistakes_are_named(void **state)
{
	for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
		struct gn_status status = {.code = GN_OK};
		struct file *file = NULL;
		size_t n = strlen(path);

		assert_true(load(mistakes[i].text, &file, &status) < 0);
		assert_null(file);
		assert_int_not_equal(status.code, GN_OK);
		if (strncmp(status.message, path, n) != 0 || status.message[n] != ':' ||
		    strncmp(status.message + n + 1, mistakes[i].says, strlen(mistakes[i].says)) !=
		            0)
			fail_msg("'%s' does not say '%s'", status.message, mistakes[i].says);
	}
}

static void values_are_read(void **state)
{
	struct gn_status status;
	struct file *file;

	assert_int_equal(load("period: 7\nmode: on\nis_safe: yes\nnics: [{name: a, vlan: 9}]\n",
	                      &file, &status),
	                 0);
	assert_int_equal(file->period, 7);
	assert_int_equal(file->mode, 2);
	assert_true(file->is_safe);
	assert_int_equal(file->nics_count, 1);
	assert_int_equal(file->nics[0].vlan, 9);
	gn_yaml_free(&format, file);
	assert_int_equal(load("{\"period\": 7, \"is_safe\": \"off\"}\n", &file, &status), 0);
	assert_false(file->is_safe);
	gn_yaml_free(&format, file);
	gn_yaml_free(&format, NULL);
}

static void odd_files_are_refused(void **state)
{
	size_t size = GN_YAML_MAX_BYTES + 1;
	struct gn_status status;
	struct file *file = NULL;
	char *text = malloc(size);

	assert_non_null(text);
	memset(text, '#', size);
	write_file(text, size);
	assert_true(gn_yaml_load(&format, path, (void **)&file, &status) < 0);
	assert_non_null(strstr(status.message, "longer than"));
	write_file("period: 1\0\n", 11);
	assert_true(gn_yaml_load(&format, path, (void **)&file, &status) < 0);
	assert_true(gn_yaml_load(&format, "/tmp", (void **)&file, &status) < 0);
	assert_non_null(strstr(status.message, "/tmp: cannot be read: Is a directory"));
	assert_true(gn_yaml_load(&format, "/nonexistent/a.yaml", (void **)&file, &status) < 0);
	assert_int_equal(status.code, GN_NOT_FOUND);
	assert_non_null(strstr(status.message, "/nonexistent/a.yaml: cannot be opened"));
	assert_null(file);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(mistakes_are_named),
	        cmocka_unit_test(values_are_read),
	        cmocka_unit_test(odd_files_are_refused),
	};
	int fd = mkstemp(path);
	int failed;

	if (fd < 0)
		return 1;
	close(fd);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}
