/* names_test.c - names come from operators and files: what is not one is refused. */
#include "firmware/names/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void vm_names_are_checked(void **state)
{
	static const struct {
		const char *name;
		bool ok;
	} cases[] = {
	        {"vms/web-1", true},
	        {"vms/0", true},
	        {"vms/abcdefghijabcdefghijabcdefghijabcdefghij", true},
	        {"vms/abcdefghijabcdefghijabcdefghijabcdefghijk", false},
	        {"vms/", false},
	        {"vms", false},
	        {"", false},
	        {"web-1", false},
	        {"vms/-web", false},
	        {"vms/Web", false},
	        {"vms/web/1", false},
	        {"vms/web 1", false},
	        {"vms/../etc", false},
	        {"vms/web\n", false},
	        {"vms/w\303\266b", false},
	        {"vms/web-1-shadow", false},
	        {"vms/shadow", true},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(gn_name_is_vm(cases[i].name), cases[i].ok);
	assert_true(gn_name_is_device("net0"));
	assert_false(gn_name_is_device(""));
	assert_false(gn_name_is_device("net-0"));
	assert_false(gn_name_is_device("abcdefghijklmnop"));
}

static void derived_names_are_those_of_the_contract(void **state)
{
	char out[GN_NAME_SIZE];

	gn_name_port("vms/web-1", false, "net0", out);
	assert_string_equal(out, "ports/web-1-net0");
	gn_name_port("vms/web-1", true, "net0", out);
	assert_string_equal(out, "ports/web-1-shadow-net0");
	gn_name_volume("vms/web-1", true, "vda", out);
	assert_string_equal(out, "volumes/web-1-shadow-vda");
	gn_name_child("vms/web-1", "/mirrors/shadow", out);
	assert_string_equal(out, "vms/web-1/mirrors/shadow");
	gn_name_shadow_domain("vms/web-1", out);
	assert_string_equal(out, "web-1-shadow");
}

static void parents_are_found(void **state)
{
	char vm[GN_NAME_SIZE];

	assert_true(gn_name_vm_of("vms/web-1/mirrors/shadow", vm));
	assert_string_equal(vm, "vms/web-1");
	assert_true(gn_name_vm_of("vms/a", vm));
	assert_string_equal(vm, "vms/a");
	assert_false(gn_name_vm_of("vms/a.b/policy", vm));
	assert_false(gn_name_vm_of("plans/17", vm));
	assert_true(gn_name_ends_with("vms/a/policy", "/policy"));
	assert_false(gn_name_ends_with("vms/a/policy/x", "/policy"));
	assert_false(gn_name_ends_with("vms/a", "/policy"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(vm_names_are_checked),
	        cmocka_unit_test(derived_names_are_those_of_the_contract),
	        cmocka_unit_test(parents_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
