/* libvirt_domain.c - domains and pools of libvirt_host.h: read, changed, defined. */
#include "host-shim/libvirt_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host-shim/command.h"
#include "host-shim/domain_xml.h"

/* cgroup v2 and old libvirts report "no quota" as a huge number. */
#define QUOTA_NONE 17592186044415ll

/* ---- read -------------------------------------------------------------------------------- */

enum gn_vm_state gn_libvirt_state(int state)
{
	switch (state) {
	case VIR_DOMAIN_RUNNING:
	case VIR_DOMAIN_BLOCKED:
		return GN_VM_RUNNING;
	case VIR_DOMAIN_PAUSED:
		return GN_VM_PAUSED;
	case VIR_DOMAIN_SHUTOFF:
		return GN_VM_SHUT_OFF;
	case VIR_DOMAIN_CRASHED:
		return GN_VM_CRASHED;
	case VIR_DOMAIN_SHUTDOWN:
	case VIR_DOMAIN_PMSUSPENDED:
		return GN_VM_OTHER;
	default:
		return GN_VM_UNKNOWN;
	}
}

/* Left at 0 where the domain is not running or has no cpu controller. */
static void read_cpu_limit(virDomainPtr domain, struct gn_vm_allocation *a)
{
	virTypedParameterPtr params;
	unsigned long long value;
	long long quota;
	int n = 0;
	char *type = virDomainGetSchedulerType(domain, &n);

	free(type);
	if (!type || n <= 0)
		return;
	params = calloc((size_t)n, sizeof *params);
	if (params && virDomainGetSchedulerParametersFlags(domain, params, &n, 0) == 0) {
		if (virTypedParamsGetULLong(params, n, VIR_DOMAIN_SCHEDULER_CPU_SHARES, &value) > 0)
			a->cpu_shares = value;
		if (virTypedParamsGetULLong(params, n, VIR_DOMAIN_SCHEDULER_VCPU_PERIOD, &value) >
		    0)
			a->cpu_period_us = value;
		if (virTypedParamsGetLLong(params, n, VIR_DOMAIN_SCHEDULER_VCPU_QUOTA, &quota) > 0)
			a->cpu_quota_us = quota <= 0 || quota >= QUOTA_NONE ? -1 : quota;
		virTypedParamsClear(params, n);
	}
	free(params);
}

int gn_libvirt_describe(virDomainPtr domain, struct gn_vm_description *out,
                        struct gn_status *status)
{
	char *xml = virDomainGetXMLDesc(domain, 0);
	int error;

	if (!xml)
		return gn_libvirt_error(virDomainGetConnect(domain), status);
	error = gn_domain_xml_describe(xml, out, status);
	free(xml);
	return error;
}

/* QEMU went without saying that the guest had shut down. */
static bool ended_unexpectedly(virDomainPtr domain, enum gn_vm_state state)
{
	int now, reason;

	return state == GN_VM_SHUT_OFF && virDomainGetState(domain, &now, &reason, 0) == 0 &&
	       now == VIR_DOMAIN_SHUTOFF &&
	       /* The second: libvirtd was started again and could not take it over. */
	       (reason == VIR_DOMAIN_SHUTOFF_CRASHED || reason == VIR_DOMAIN_SHUTOFF_DAEMON);
}

static int read_vm(virDomainPtr domain, struct gn_vm *out, struct gn_status *status)
{
	struct gn_vm vm = {0};
	virDomainInfo info;
	int maximum;

	if (virDomainGetInfo(domain, &info) < 0 || virDomainGetUUIDString(domain, vm.uuid) < 0)
		return gn_libvirt_error(virDomainGetConnect(domain), status);
	snprintf(vm.name, sizeof vm.name, "%s", virDomainGetName(domain));
	vm.state = gn_libvirt_state(info.state);
	vm.failed = ended_unexpectedly(domain, vm.state);
	vm.allocation.vcpus = info.nrVirtCpu;
	maximum = virDomainGetVcpusFlags(domain, VIR_DOMAIN_VCPU_MAXIMUM);
	vm.allocation.vcpus_maximum = maximum > 0 ? (uint32_t)maximum : info.nrVirtCpu;
	vm.allocation.memory_bytes = (uint64_t)info.memory << 10;
	vm.allocation.memory_maximum_bytes = (uint64_t)info.maxMem << 10;
	if (vm.state == GN_VM_RUNNING || vm.state == GN_VM_PAUSED)
		read_cpu_limit(domain, &vm.allocation);
	if (gn_libvirt_describe(domain, &vm.description, status))
		return -EIO;
	*out = vm;
	return 0;
}

static virDomainPtr find_domain(virConnectPtr conn, const char *name, struct gn_status *status)
{
	virDomainPtr domain = virDomainLookupByName(conn, name);

	if (!domain)
		gn_libvirt_error(conn, status);
	return domain;
}

int gn_host_get_vm(struct gn_host *host, const char *name, struct gn_vm *out,
                   struct gn_status *status)
{
	struct gn_status why = {0};
	virConnectPtr conn = gn_libvirt_acquire(host, &why);
	virDomainPtr domain = conn ? find_domain(conn, name, &why) : NULL;

	if (domain && read_vm(domain, out, &why) == 0)
		why.code = GN_OK;
	if (domain)
		virDomainFree(domain);
	if (conn)
		virConnectClose(conn);
	return why.code == GN_OK ? 0 : gn_status_set(status, why.code, "%s", why.message);
}

static void free_domains(virDomainPtr *domains, int n)
{
	int i;

	for (i = 0; i < n; i++)
		virDomainFree(domains[i]);
	free(domains);
}

/* A domain that vanishes meanwhile is simply not in the list. */
static size_t read_vms(virDomainPtr *domains, int n, struct gn_vm *vms)
{
	size_t n_vms = 0;
	int i;

	for (i = 0; i < n; i++)
		if (gn_command_name_valid(virDomainGetName(domains[i])) &&
		    read_vm(domains[i], &vms[n_vms], NULL) == 0)
			n_vms++;
	return n_vms;
}

int gn_host_list_vms(struct gn_host *host, struct gn_vm **out, size_t *n_out,
                     struct gn_status *status)
{
	virConnectPtr conn = gn_libvirt_acquire(host, status);
	virDomainPtr *domains = NULL;
	struct gn_vm *vms;
	int n, error = 0;

	if (!conn)
		return -ECONNREFUSED;
	n = virConnectListAllDomains(conn, &domains, 0);
	vms = n >= 0 ? calloc((size_t)n + 1, sizeof *vms) : NULL;
	if (n < 0) {
		error = gn_libvirt_error(conn, status);
	} else if (!vms) {
		error = gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	} else {
		*n_out = read_vms(domains, n, vms);
		*out = vms;
	}
	free_domains(domains, n);
	virConnectClose(conn);
	return error;
}

/* ---- changed ------------------------------------------------------------------------------
 */

static int check_mark(virDomainPtr domain, bool wanted, struct gn_status *status)
{
	struct gn_vm_description d;
	int error = gn_libvirt_describe(domain, &d, status);

	if (!error && !d.shadow_of[0] == wanted)
		error = gn_status_set(status, GN_PERMISSION_DENIED,
		                      wanted ? "%s is not a shadow that gnomon made"
		                             : "%s is a shadow that gnomon made",
		                      virDomainGetName(domain));
	return error;
}

/* Finds the domain, for SHADOW and PRODUCTION checks its mark, applies 'change', translates the
 * failure. */
enum which { ANY, SHADOW, PRODUCTION };

static int with_domain(struct gn_host *host, const char *name, enum which which,
                       int (*change)(virDomainPtr domain, void *argument), void *argument,
                       struct gn_status *status)
{
	virConnectPtr conn = gn_libvirt_acquire(host, status);
	virDomainPtr domain;
	int error = 0;

	if (!conn)
		return -ECONNREFUSED;
	domain = virDomainLookupByName(conn, name);
	if (!domain)
		error = gn_libvirt_error(conn, status);
	else if (which != ANY)
		error = check_mark(domain, which == SHADOW, status);
	if (!error && change(domain, argument) < 0)
		error = gn_libvirt_error(conn, status);
	if (domain)
		virDomainFree(domain);
	virConnectClose(conn);
	return error;
}

static int change_period(virDomainPtr domain, void *argument)
{
	const uint32_t *seconds = argument;

	return virDomainSetMemoryStatsPeriod(domain, (int)*seconds, VIR_DOMAIN_AFFECT_LIVE);
}

int gn_host_set_stats_period(struct gn_host *host, const char *name, uint32_t seconds,
                             struct gn_status *status)
{
	return with_domain(host, name, ANY, change_period, &seconds, status);
}

static int change_vcpus(virDomainPtr domain, void *argument)
{
	const uint32_t *vcpus = argument;

	return virDomainSetVcpusFlags(domain, *vcpus, VIR_DOMAIN_VCPU_LIVE);
}

int gn_host_set_vcpus(struct gn_host *host, const char *name, uint32_t vcpus,
                      struct gn_status *status)
{
	return with_domain(host, name, ANY, change_vcpus, &vcpus, status);
}

static int change_memory(virDomainPtr domain, void *argument)
{
	const uint64_t *bytes = argument;

	return virDomainSetMemoryFlags(domain, (unsigned long)(*bytes >> 10),
	                               VIR_DOMAIN_AFFECT_LIVE);
}

int gn_host_set_memory(struct gn_host *host, const char *name, uint64_t bytes,
                       struct gn_status *status)
{
	return with_domain(host, name, ANY, change_memory, &bytes, status);
}

struct cpu_limit {
	uint64_t shares;
	int64_t quota_us;
	uint64_t period_us;
};

static int change_cpu_limit(virDomainPtr domain, void *argument)
{
	const struct cpu_limit *limit = argument;
	virTypedParameterPtr params = NULL;
	int n = 0, max = 0, result = 0;

	if (limit->shares)
		result |= virTypedParamsAddULLong(&params, &n, &max,
		                                  VIR_DOMAIN_SCHEDULER_CPU_SHARES, limit->shares);
	if (limit->period_us)
		result |= virTypedParamsAddULLong(
		        &params, &n, &max, VIR_DOMAIN_SCHEDULER_VCPU_PERIOD, limit->period_us);
	if (limit->quota_us)
		result |= virTypedParamsAddLLong(&params, &n, &max, VIR_DOMAIN_SCHEDULER_VCPU_QUOTA,
		                                 limit->quota_us);
	if (result == 0)
		result = virDomainSetSchedulerParametersFlags(domain, params, n,
		                                              VIR_DOMAIN_AFFECT_LIVE);
	virTypedParamsFree(params, n);
	return result;
}

int gn_host_set_cpu_limit(struct gn_host *host, const char *name, uint64_t shares, int64_t quota_us,
                          uint64_t period_us, struct gn_status *status)
{
	struct cpu_limit limit = {shares, quota_us, period_us};

	return with_domain(host, name, ANY, change_cpu_limit, &limit, status);
}

static int change_pause(virDomainPtr domain, void *argument)
{
	return virDomainSuspend(domain);
}

int gn_host_pause(struct gn_host *host, const char *name, struct gn_status *status)
{
	return with_domain(host, name, ANY, change_pause, NULL, status);
}

static int change_resume(virDomainPtr domain, void *argument)
{
	return virDomainResume(domain);
}

int gn_host_resume(struct gn_host *host, const char *name, struct gn_status *status)
{
	return with_domain(host, name, ANY, change_resume, NULL, status);
}

/* ---- shadows
 * ------------------------------------------------------------------------------------- */

static int get_xml(virDomainPtr domain, void *argument)
{
	unsigned flags = virDomainIsActive(domain) == 1 ? 0 : VIR_DOMAIN_XML_INACTIVE;
	char **out = argument, *xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_SECURE | flags);

	if (xml)
		*out = xml;
	return xml ? 0 : -1;
}

int gn_host_get_xml(struct gn_host *host, const char *name, char **out, struct gn_status *status)
{
	return with_domain(host, name, ANY, get_xml, out, status);
}

int gn_host_define(struct gn_host *host, const char *xml, char uuid[GN_VM_UUID_SIZE],
                   struct gn_status *status)
{
	virConnectPtr conn = gn_libvirt_acquire(host, status);
	char text[VIR_UUID_STRING_BUFLEN];
	virDomainPtr domain;
	int error = 0;

	if (!conn)
		return -ECONNREFUSED;
	domain = virDomainDefineXMLFlags(conn, xml, 0);
	if (domain && virDomainGetUUIDString(domain, text) == 0)
		memcpy(uuid, text, GN_VM_UUID_SIZE);
	else
		error = gn_libvirt_error(conn, status);
	if (domain)
		virDomainFree(domain);
	virConnectClose(conn);
	return error;
}

/* 'path' is of [A-Za-z0-9._+/-]: nothing in it can break out of the XML. */
static virStoragePoolPtr define_pool(virConnectPtr conn, const char *name, const char *path)
{
	char xml[GN_VM_NAME_SIZE + GN_VM_PATH_SIZE + 128];
	virStoragePoolPtr pool;

	snprintf(xml, sizeof xml,
	         "<pool type='dir'><name>%s</name><target><path>%s</path></target></pool>", name,
	         path);
	pool = virStoragePoolDefineXML(conn, xml, 0);
	if (pool)
		virStoragePoolBuild(pool, 0); /* makes the directory, if it is not there */
	return pool;
}

static int check_pool(virStoragePoolPtr pool, const char *path, struct gn_status *status)
{
	char *xml = virStoragePoolGetXMLDesc(pool, 0);
	char want[GN_VM_PATH_SIZE + 16];
	bool same;

	snprintf(want, sizeof want, "<path>%s</path>", path);
	same = xml && strstr(xml, want);
	free(xml);
	if (!same)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "the storage pool '%s' exists and is not at %s; name another",
		                     virStoragePoolGetName(pool), path);
	return 0;
}

int gn_host_ensure_pool(struct gn_host *host, const char *name, const char *path,
                        struct gn_status *status)
{
	virConnectPtr conn = gn_libvirt_acquire(host, status);
	virStoragePoolPtr pool;
	int error = 0;

	if (!conn)
		return -ECONNREFUSED;
	pool = virStoragePoolLookupByName(conn, name);
	if (!pool)
		pool = define_pool(conn, name, path);
	if (!pool)
		error = gn_libvirt_error(conn, status);
	else
		error = check_pool(pool, path, status);
	if (!error && virStoragePoolIsActive(pool) != 1 && virStoragePoolCreate(pool, 0) < 0)
		error = gn_libvirt_error(conn, status);
	if (pool)
		virStoragePoolFree(pool);
	virConnectClose(conn);
	return error;
}

static int start(virDomainPtr domain, void *argument)
{
	return virDomainCreate(domain);
}

int gn_host_start_shadow(struct gn_host *host, const char *name, struct gn_status *status)
{
	return with_domain(host, name, SHADOW, start, NULL, status);
}

static int destroy(virDomainPtr domain, void *argument)
{
	return virDomainDestroy(domain);
}

int gn_host_destroy_shadow(struct gn_host *host, const char *name, struct gn_status *status)
{
	return with_domain(host, name, SHADOW, destroy, NULL, status);
}

/* A memory image that an operator once had saved would overwrite what the shadow holds. */
static int boot(virDomainPtr domain, void *argument)
{
	return virDomainCreateWithFlags(domain, VIR_DOMAIN_START_FORCE_BOOT);
}

int gn_host_start_vm(struct gn_host *host, const char *name, struct gn_status *status)
{
	return with_domain(host, name, PRODUCTION, boot, NULL, status);
}

int gn_host_destroy_vm(struct gn_host *host, const char *name, struct gn_status *status)
{
	return with_domain(host, name, PRODUCTION, destroy, NULL, status);
}

static int undefine(virDomainPtr domain, void *argument)
{
	unsigned flags = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
	int result =
	        virDomainUndefineFlags(domain, flags | VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA |
	                                               VIR_DOMAIN_UNDEFINE_NVRAM);

	/* Drivers without firmware or checkpoints do not know those flags. */
	if (result < 0 && virGetLastErrorCode() == VIR_ERR_INVALID_ARG)
		result = virDomainUndefineFlags(domain, flags);
	return result;
}

int gn_host_undefine_shadow(struct gn_host *host, const char *name, struct gn_status *status)
{
	return with_domain(host, name, SHADOW, undefine, NULL, status);
}
