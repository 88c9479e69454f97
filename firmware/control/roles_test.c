/* roles_test.c - every method of service Control against every role, and the console's routes
 * against the same table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "firmware/console/route.h"
#include "firmware/control/roles.h"
#include "proto/gnomon/v1/control.pb-c.h"

#define SERVICE (&gnomon__v1__control__descriptor)

/* Said once more, in another way: what only tells is a viewer's; what changes which model decides
 * for all VMs, or the card's own programs, is an admin's; all else is an operator's. */
static enum gn_control_role expected(const char *method)
{
	static const char *const reading[] = {"Get", "List", "ExportHistory", "ExportVmState"};
	static const char *const admins[] = {"ImportModel", "RollbackModel", "BeginUpdate",
	                                     "WriteUpdate", "FinishUpdate",  "RollbackUpdate",
	                                     "RestartCard"};

	for (size_t i = 0; i < sizeof reading / sizeof reading[0]; i++)
		if (!strncmp(method, reading[i], strlen(reading[i])))
			return GN_CONTROL_VIEWER;
	for (size_t i = 0; i < sizeof admins / sizeof admins[0]; i++)
		if (!strcmp(method, admins[i]))
			return GN_CONTROL_ADMIN;
	return GN_CONTROL_OPERATOR;
}

static void test_every_method_and_role(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SERVICE->n_methods; i++) {
		const char *method = SERVICE->methods[i].name;
		enum gn_control_role least = gn_control_role_for(method);

		if (least != expected(method))
			fail_msg("%s needs %s, expected %s", method, gn_control_role_name(least),
			         gn_control_role_name(expected(method)));
		assert_true(least > GN_CONTROL_NOBODY); /* so nobody may nothing */
	}
}

static void test_unknown_methods_and_roles(void **state)
{
	(void)state;
	assert_int_equal(gn_control_role_for("FormatDisks"), GN_CONTROL_NOBODY);
	assert_int_equal(gn_control_role_for(""), GN_CONTROL_NOBODY);
	assert_int_equal(gn_control_role_of(""), GN_CONTROL_NOBODY);
	assert_int_equal(gn_control_role_of("root"), GN_CONTROL_NOBODY);
	assert_int_equal(gn_control_role_of("Admin"), GN_CONTROL_NOBODY);
	for (int role = GN_CONTROL_VIEWER; role <= GN_CONTROL_ADMIN; role++)
		assert_int_equal(
		        gn_control_role_of(gn_control_role_name((enum gn_control_role)role)), role);
}

static void test_console_asks_for_the_same_roles(void **state)
{
	(void)state;
	for (const struct gn_route *route = gn_routes; route->verb; route++)
		if (strcmp(gn_role_name(route->role),
		           gn_control_role_name(gn_control_role_for(route->method))))
			fail_msg("%s %s takes %s in the console, %s in gnomond", route->verb,
			         route->path, gn_role_name(route->role),
			         gn_control_role_name(gn_control_role_for(route->method)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_every_method_and_role),
	        cmocka_unit_test(test_unknown_methods_and_roles),
	        cmocka_unit_test(test_console_asks_for_the_same_roles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
