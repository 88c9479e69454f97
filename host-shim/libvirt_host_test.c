/* libvirt_host_test.c - the adapter on libvirt's own test driver, a hypervisor in memory. What
 * that driver does not have (plugging a vCPU is there, cgroups are not) is tested on QEMU by
 * shim_qemu_test.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host-shim/domain_xml.h"
#include "host-shim/libvirt_host.h"

#define MIB (1024ull * 1024)

static struct gn_host *host;

static const char vm_xml[] =
        "<domain type='test'><name>web-1</name><memory unit='MiB'>512</memory>"
        "<currentMemory unit='MiB'>256</currentMemory><vcpu current='1'>4</vcpu>"
        "<os><type>hvm</type></os><devices><memballoon model='virtio'/></devices></domain>";
static const char shadow_xml[] =
        "<domain type='test'><name>web-1-shadow</name><memory unit='MiB'>512</memory>"
        "<metadata><gnomon:shadow xmlns:gnomon='" GN_SHADOW_XMLNS "' of='web-1'/></metadata>"
        "<vcpu>1</vcpu><os><type>hvm</type></os></domain>";

static void info(void **state)
{
	struct gn_host_info i;
	struct gn_status status = {0};

	if (gn_host_get_info(host, &i, &status))
		fail_msg("%s", status.message);
	assert_true(i.cpus > 0 && i.memory_bytes > 0 && i.memory_free_bytes > 0);
	assert_true(i.hostname[0] && i.libvirt_version[0]);
	assert_int_equal(strncmp(i.hypervisor, "TEST ", 5), 0);
	assert_true(gn_host_connected(host));
}

static void the_default_domain(void **state)
{
	struct gn_vm *vms, vm;
	size_t n;

	assert_int_equal(gn_host_list_vms(host, &vms, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(vms[0].name, "test");
	assert_int_equal(vms[0].state, GN_VM_RUNNING);
	free(vms);
	assert_int_equal(gn_host_get_vm(host, "test", &vm, NULL), 0);
	assert_int_equal(strlen(vm.uuid), 36);
	assert_true(vm.allocation.vcpus >= 1 && vm.allocation.memory_bytes > 0);
}

static void no_such_domain(void **state)
{
	struct gn_status status = {0};
	struct gn_vm vm;

	assert_int_not_equal(gn_host_get_vm(host, "nobody", &vm, &status), 0);
	assert_int_equal(status.code, GN_NOT_FOUND);
	assert_non_null(strstr(status.message, "libvirt: "));
	assert_int_not_equal(gn_host_set_vcpus(host, "nobody", 2, &status), 0);
	assert_int_equal(status.code, GN_NOT_FOUND);
}

static void define_and_change(void **state)
{
	struct gn_status status = {0};
	char uuid[GN_VM_UUID_SIZE], *xml;
	struct gn_vm vm;

	if (gn_host_define(host, vm_xml, uuid, &status))
		fail_msg("%s", status.message);
	assert_int_equal(gn_host_get_vm(host, "web-1", &vm, NULL), 0);
	assert_string_equal(vm.uuid, uuid);
	assert_int_equal(vm.state, GN_VM_SHUT_OFF);
	assert_int_equal(vm.allocation.vcpus_maximum, 4);
	assert_int_equal(vm.allocation.memory_maximum_bytes, 512 * MIB);
	assert_true(vm.description.balloon);
	/* A second of the same name is refused, never replaced. */
	assert_int_not_equal(gn_host_define(host, vm_xml, uuid, &status), 0);
	assert_int_not_equal(gn_host_define(host, "<domain/>", uuid, &status), 0);
	assert_int_equal(gn_host_get_xml(host, "web-1", &xml, NULL), 0);
	assert_non_null(strstr(xml, "<name>web-1</name>"));
	free(xml);
	/* A live change of what does not run: libvirt's own words. */
	assert_int_not_equal(gn_host_set_vcpus(host, "web-1", 2, &status), 0);
	assert_int_equal(status.code, GN_FAILED_PRECONDITION);
	assert_non_null(strstr(status.message, "running"));
}

static void live_changes(void **state)
{
	struct gn_status status = {0};
	struct gn_vm vm, before;

	assert_int_equal(gn_host_get_vm(host, "test", &before, NULL), 0);
	if (gn_host_set_memory(host, "test", before.allocation.memory_maximum_bytes / 2, &status))
		fail_msg("%s", status.message);
	assert_int_equal(gn_host_get_vm(host, "test", &vm, NULL), 0);
	assert_int_equal(vm.allocation.memory_bytes, before.allocation.memory_maximum_bytes / 2);
	if (gn_host_set_vcpus(host, "test", 1, &status))
		fail_msg("%s", status.message);
	assert_int_equal(gn_host_get_vm(host, "test", &vm, NULL), 0);
	assert_int_equal(vm.allocation.vcpus, 1);
	assert_int_not_equal(gn_host_set_vcpus(host, "test", 64, &status), 0);
	assert_int_equal(gn_host_pause(host, "test", NULL), 0);
	assert_int_equal(gn_host_get_vm(host, "test", &vm, NULL), 0);
	assert_int_equal(vm.state, GN_VM_PAUSED);
	assert_int_equal(gn_host_resume(host, "test", NULL), 0);
}

static void statistics(void **state)
{
	struct gn_vm_stats *stats;
	struct gn_status status = {0};
	size_t n;

	if (gn_host_get_stats(host, &stats, &n, &status))
		fail_msg("%s", status.message);
	assert_int_equal(n, 1); /* web-1 is shut off */
	assert_string_equal(stats[0].name, "test");
	assert_int_equal(stats[0].state, GN_VM_RUNNING);
	assert_true(stats[0].allocation.vcpus >= 1 && stats[0].allocation.memory_bytes > 0);
	free(stats);
}

static void shadows_only(void **state)
{
	struct gn_status status = {0};
	char uuid[GN_VM_UUID_SIZE];
	struct gn_vm vm;

	if (gn_host_define(host, shadow_xml, uuid, &status))
		fail_msg("%s", status.message);
	assert_int_equal(gn_host_get_vm(host, "web-1-shadow", &vm, NULL), 0);
	assert_string_equal(vm.description.shadow_of, "web-1");
	assert_int_equal(gn_host_start_shadow(host, "web-1-shadow", NULL), 0);
	assert_int_equal(gn_host_get_vm(host, "web-1-shadow", &vm, NULL), 0);
	assert_int_equal(vm.state, GN_VM_RUNNING);
	assert_int_equal(gn_host_destroy_shadow(host, "web-1-shadow", NULL), 0);
	if (gn_host_undefine_shadow(host, "web-1-shadow", &status))
		fail_msg("%s", status.message);
	assert_int_not_equal(gn_host_get_vm(host, "web-1-shadow", &vm, NULL), 0);
	/* Not on anything else. */
	assert_int_not_equal(gn_host_destroy_shadow(host, "test", &status), 0);
	assert_int_equal(status.code, GN_PERMISSION_DENIED);
	assert_int_not_equal(gn_host_undefine_shadow(host, "web-1", &status), 0);
	assert_int_equal(status.code, GN_PERMISSION_DENIED);
	assert_int_not_equal(gn_host_start_shadow(host, "web-1", &status), 0);
	assert_int_equal(status.code, GN_PERMISSION_DENIED);
	assert_int_equal(gn_host_get_vm(host, "test", &vm, NULL), 0);
	assert_int_equal(vm.state, GN_VM_RUNNING);
}

static void pools(void **state)
{
	struct gn_status status = {0};

	if (gn_host_ensure_pool(host, "gnomon-shadows", "/gnomon/shadows", &status))
		fail_msg("%s", status.message);
	assert_int_equal(gn_host_ensure_pool(host, "gnomon-shadows", "/gnomon/shadows", NULL), 0);
	assert_int_not_equal(gn_host_ensure_pool(host, "gnomon-shadows", "/elsewhere", &status), 0);
	assert_int_equal(status.code, GN_FAILED_PRECONDITION);
}

static void an_absent_libvirt(void **state)
{
	struct gn_status status = {0};
	struct gn_host *absent;
	struct gn_host_info i;
	struct gn_vm_stats *stats;
	size_t n;
	char why[256];
	int k;

	assert_int_equal(gn_host_create("qemu:///system?socket=/nonexistent/sock", &absent, NULL),
	                 0);
	assert_false(gn_host_connected(absent));
	for (k = 0; k < 3; k++) { /* the first tries, the others find the backoff */
		assert_int_not_equal(gn_host_get_info(absent, &i, &status), 0);
		assert_int_equal(status.code, GN_UNAVAILABLE);
		assert_non_null(strstr(status.message, "/nonexistent/sock"));
	}
	assert_int_not_equal(gn_host_get_stats(absent, &stats, &n, NULL), 0);
	gn_host_last_error(absent, why, sizeof why);
	assert_non_null(strstr(why, "/nonexistent/sock"));
	gn_host_destroy(absent);
}

static int set_up(void **state)
{
	gn_domain_xml_init();
	return gn_host_create("test:///default", &host, NULL);
}

static int tear_down(void **state)
{
	gn_host_destroy(host);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(info),
	        cmocka_unit_test(the_default_domain),
	        cmocka_unit_test(no_such_domain),
	        cmocka_unit_test(define_and_change),
	        cmocka_unit_test(live_changes),
	        cmocka_unit_test(statistics),
	        cmocka_unit_test(shadows_only),
	        cmocka_unit_test(pools),
	        cmocka_unit_test(an_absent_libvirt),
	};

	return cmocka_run_group_tests_name("shim libvirt", tests, set_up, tear_down);
}
