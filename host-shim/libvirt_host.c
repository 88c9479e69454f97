/* libvirt_host.c - see libvirt_host.h. One connection, shared by the worker threads (libvirt's
 * connections are thread-safe and carry several calls at a time). Each call takes its own
 * reference, so that a connection that is found dead can be replaced under way. */
#include "host-shim/libvirt_host.h"
#include "firmware/core/clock.h"
#include "host-shim/command.h"
#include "host-shim/domain_xml.h"
#include "host-shim/stats_cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#define ASK_AGAIN_US         60000000u
#define BACKOFF_MIN_US       500000u
#define BACKOFF_MAX_US       30000000u
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_COUNT      3
/* cgroup v2 and old libvirts report "no quota" as a huge number. */
#define QUOTA_NONE 17592186044415ll

struct gn_host {
	char *uri;
	pthread_mutex_t lock; /* everything below */
	virConnectPtr conn;
	bool opening; /* somebody is at it, without the lock */
	int event_id;
	uint64_t backoff_us;
	uint64_t next_try_us; /* monotonic */
	char last_error[GN_STATUS_MESSAGE_SIZE];
	struct gn_stats_cache cache;
};

/* ---- libvirt's event loop: keepalive, close and lifecycle callbacks ---------------------- */

static struct {
	pthread_mutex_t lock;
	unsigned users;
	pthread_t thread;
	int timer;
	bool stop;
} events = {.lock = PTHREAD_MUTEX_INITIALIZER, .timer = -1};

static void ignore_error(void *context, virErrorPtr error)
{
}

static void stop_events(int timer, void *context)
{
	events.stop = true;
}

static void *run_events(void *context)
{
	while (!events.stop)
		if (virEventRunDefaultImpl() < 0)
			break;
	return NULL;
}

static int events_get(struct gn_status *status)
{
	static bool registered;
	int error = 0;

	pthread_mutex_lock(&events.lock);
	if (!registered && (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0))
		error = gn_status_set(status, GN_INTERNAL, "libvirt: %s", virGetLastErrorMessage());
	if (!error && !registered) {
		registered = true;
		virSetErrorFunc(NULL, ignore_error);
		events.timer = virEventAddTimeout(-1, stop_events, NULL, NULL);
	}
	if (!error && events.users == 0) {
		events.stop = false;
		error = -pthread_create(&events.thread, NULL, run_events, NULL);
		if (error)
			gn_status_set(status, GN_INTERNAL, "no thread for libvirt's events");
	}
	if (!error)
		events.users++;
	pthread_mutex_unlock(&events.lock);
	return error;
}

static void events_put(void)
{
	pthread_mutex_lock(&events.lock);
	if (--events.users == 0) {
		virEventUpdateTimeout(events.timer, 0);
		pthread_join(events.thread, NULL);
		virEventUpdateTimeout(events.timer, -1);
	}
	pthread_mutex_unlock(&events.lock);
}

/* ---- errors ------------------------------------------------------------------------------ */

static enum gn_code code_of(const virError *e)
{
	switch (e ? e->code : VIR_ERR_INTERNAL_ERROR) {
	case VIR_ERR_NO_DOMAIN:
	case VIR_ERR_NO_STORAGE_POOL:
		return GN_NOT_FOUND;
	case VIR_ERR_INVALID_ARG:
	case VIR_ERR_XML_ERROR:
	case VIR_ERR_XML_DETAIL:
	case VIR_ERR_XML_INVALID_SCHEMA:
		return GN_INVALID_ARGUMENT;
	case VIR_ERR_OPERATION_INVALID:
	case VIR_ERR_OPERATION_FAILED:
	case VIR_ERR_CONFIG_UNSUPPORTED:
	case VIR_ERR_RESOURCE_BUSY:
	case VIR_ERR_AGENT_UNRESPONSIVE:
		return GN_FAILED_PRECONDITION;
	case VIR_ERR_OPERATION_UNSUPPORTED:
	case VIR_ERR_NO_SUPPORT:
	case VIR_ERR_ARGUMENT_UNSUPPORTED:
		return GN_UNIMPLEMENTED;
	case VIR_ERR_OPERATION_TIMEOUT:
		return GN_DEADLINE_EXCEEDED;
	case VIR_ERR_DOM_EXIST:
		return GN_ALREADY_EXISTS;
	case VIR_ERR_AUTH_FAILED:
	case VIR_ERR_ACCESS_DENIED:
	case VIR_ERR_OPERATION_DENIED:
		return GN_PERMISSION_DENIED;
	case VIR_ERR_NO_MEMORY:
		return GN_RESOURCE_EXHAUSTED;
	case VIR_ERR_RPC:
	case VIR_ERR_NO_CONNECT:
	case VIR_ERR_INVALID_CONN:
		return GN_UNAVAILABLE;
	default:
		return GN_INTERNAL;
	}
}

/* Gives libvirt's last error, which is kept per thread, to the caller. */
static int libvirt_error(virConnectPtr conn, struct gn_status *status)
{
	const virError *e = virGetLastError();
	enum gn_code code = code_of(e);
	char message[GN_STATUS_MESSAGE_SIZE];

	snprintf(message, sizeof message, "%s", e && e->message ? e->message : "no reason given");
	if (conn && virConnectIsAlive(conn) == 0)
		code = GN_UNAVAILABLE;
	return gn_status_set(status, code, "libvirt: %s", message);
}

/* ---- the connection ------------------------------------------------------------------------ */

static void on_close(virConnectPtr conn, int reason, void *context)
{
	struct gn_host *host = context;

	pthread_mutex_lock(&host->lock);
	snprintf(host->last_error, sizeof host->last_error, "libvirtd closed the connection");
	gn_stats_cache_clear(&host->cache);
	pthread_mutex_unlock(&host->lock);
}

static int on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail,
                        void *context)
{
	struct gn_host *host = context;
	char uuid[VIR_UUID_STRING_BUFLEN];

	if (virDomainGetUUIDString(domain, uuid) == 0) {
		pthread_mutex_lock(&host->lock);
		gn_stats_cache_forget(&host->cache, uuid);
		pthread_mutex_unlock(&host->lock);
	}
	return 0;
}

static virConnectPtr open_connection(struct gn_host *host, int *event_id, struct gn_status *status)
{
	virConnectPtr conn = virConnectOpen(host->uri);

	if (!conn) {
		libvirt_error(NULL, status);
		return NULL;
	}
	/* Drivers without a daemon know neither, and need neither. */
	virConnectSetKeepAlive(conn, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT);
	virConnectRegisterCloseCallback(conn, on_close, host, NULL);
	*event_id = virConnectDomainEventRegisterAny(conn, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
	                                             VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), host,
	                                             NULL);
	return conn;
}

static void close_connection(virConnectPtr conn, int event_id)
{
	if (!conn)
		return;
	if (event_id >= 0)
		virConnectDomainEventDeregisterAny(conn, event_id);
	virConnectUnregisterCloseCallback(conn, on_close);
	virConnectClose(conn);
}

/* Opens without the lock, since it may hang; others meanwhile fail at once. */
static virConnectPtr reopen(struct gn_host *host)
{
	struct gn_status why = {0};
	virConnectPtr old = host->conn, conn;
	int old_event = host->event_id, event = -1;

	host->conn = NULL;
	host->opening = true;
	pthread_mutex_unlock(&host->lock);
	close_connection(old, old_event);
	conn = open_connection(host, &event, &why);
	pthread_mutex_lock(&host->lock);
	host->opening = false;
	host->conn = conn;
	host->event_id = event;
	gn_stats_cache_clear(&host->cache);
	snprintf(host->last_error, sizeof host->last_error, "%s", conn ? "" : why.message);
	if (conn) {
		host->backoff_us = BACKOFF_MIN_US;
		host->next_try_us = 0;
	} else {
		host->next_try_us = gn_clock_monotonic_us() + host->backoff_us;
		host->backoff_us *= 2;
		if (host->backoff_us > BACKOFF_MAX_US)
			host->backoff_us = BACKOFF_MAX_US;
	}
	return conn;
}

/* A reference to a live connection, or NULL with the reason in 'status'. */
static virConnectPtr acquire(struct gn_host *host, struct gn_status *status)
{
	uint64_t now_us = gn_clock_monotonic_us();
	virConnectPtr conn;

	pthread_mutex_lock(&host->lock);
	conn = host->conn;
	if ((!conn || virConnectIsAlive(conn) == 0) && !host->opening &&
	    now_us >= host->next_try_us)
		conn = reopen(host);
	if (conn && virConnectIsAlive(conn) != 0)
		virConnectRef(conn);
	else
		conn = NULL;
	if (!conn)
		gn_status_set(status, GN_UNAVAILABLE, "no connection to libvirt at %s: %.300s",
		              host->uri,
		              host->last_error[0] ? host->last_error : "still connecting");
	pthread_mutex_unlock(&host->lock);
	return conn;
}

int gn_host_create(const char *uri, struct gn_host **out, struct gn_status *status)
{
	struct gn_host *host = calloc(1, sizeof *host);
	int error;

	if (!host || !(host->uri = strdup(uri))) {
		free(host);
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	}
	error = events_get(status);
	if (error) {
		free(host->uri);
		free(host);
		return error;
	}
	pthread_mutex_init(&host->lock, NULL);
	host->event_id = -1;
	host->backoff_us = BACKOFF_MIN_US;
	*out = host;
	return 0;
}

void gn_host_destroy(struct gn_host *host)
{
	if (!host)
		return;
	close_connection(host->conn, host->event_id);
	events_put();
	gn_stats_cache_clear(&host->cache);
	pthread_mutex_destroy(&host->lock);
	free(host->uri);
	free(host);
}

bool gn_host_connected(struct gn_host *host)
{
	bool connected;

	pthread_mutex_lock(&host->lock);
	connected = host->conn && virConnectIsAlive(host->conn) == 1;
	pthread_mutex_unlock(&host->lock);
	return connected;
}

void gn_host_last_error(struct gn_host *host, char *out, size_t size)
{
	pthread_mutex_lock(&host->lock);
	snprintf(out, size, "%s", host->last_error);
	pthread_mutex_unlock(&host->lock);
}

/* ---- the host ------------------------------------------------------------------------------- */

static uint64_t memory_available(const struct gn_host *host, virConnectPtr conn)
{
	unsigned long long kib = 0;
	FILE *meminfo = strstr(host->uri, ":///") ? fopen("/proc/meminfo", "re") : NULL;
	char line[128];

	while (meminfo && fgets(line, sizeof line, meminfo))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	if (meminfo)
		fclose(meminfo);
	return kib ? kib << 10 : virNodeGetFreeMemory(conn);
}

static bool runs_kvm(virConnectPtr conn)
{
	char *capabilities = virConnectGetCapabilities(conn);
	bool kvm = capabilities && strstr(capabilities, "<domain type='kvm'");

	free(capabilities);
	return kvm;
}

static void version_text(unsigned long v, char *out, size_t size, const char *prefix)
{
	snprintf(out, size, "%s%lu.%lu.%lu", prefix, v / 1000000, v / 1000 % 1000, v % 1000);
}

int gn_host_get_info(struct gn_host *host, struct gn_host_info *out, struct gn_status *status)
{
	struct gn_host_info info = {0};
	virConnectPtr conn = acquire(host, status);
	unsigned long version;
	virNodeInfo node;
	char *name;
	int error = 0;

	if (!conn)
		return -ECONNREFUSED;
	if (virNodeGetInfo(conn, &node) < 0) {
		error = libvirt_error(conn, status);
	} else {
		char prefix[32];

		info.cpus = node.cpus;
		info.memory_bytes = (uint64_t)node.memory << 10;
		info.memory_free_bytes = memory_available(host, conn);
		info.kvm = runs_kvm(conn);
		name = virConnectGetHostname(conn);
		snprintf(info.hostname, sizeof info.hostname, "%s", name ? name : "");
		free(name);
		if (virConnectGetLibVersion(conn, &version) == 0)
			version_text(version, info.libvirt_version, sizeof info.libvirt_version,
			             "");
		snprintf(prefix, sizeof prefix, "%.30s ", virConnectGetType(conn));
		if (virConnectGetVersion(conn, &version) == 0)
			version_text(version, info.hypervisor, sizeof info.hypervisor, prefix);
		*out = info;
	}
	virConnectClose(conn);
	return error;
}

/* ---- domains, read ----------------------------------------------------------------------------
 */

static enum gn_vm_state state_of(int state)
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

static int read_description(virDomainPtr domain, struct gn_vm_description *out,
                            struct gn_status *status)
{
	char *xml = virDomainGetXMLDesc(domain, 0);
	int error;

	if (!xml)
		return libvirt_error(virDomainGetConnect(domain), status);
	error = gn_domain_xml_describe(xml, out, status);
	free(xml);
	return error;
}

static int read_vm(virDomainPtr domain, struct gn_vm *out, struct gn_status *status)
{
	struct gn_vm vm = {0};
	virDomainInfo info;
	int maximum;

	if (virDomainGetInfo(domain, &info) < 0 || virDomainGetUUIDString(domain, vm.uuid) < 0)
		return libvirt_error(virDomainGetConnect(domain), status);
	snprintf(vm.name, sizeof vm.name, "%s", virDomainGetName(domain));
	vm.state = state_of(info.state);
	vm.allocation.vcpus = info.nrVirtCpu;
	maximum = virDomainGetVcpusFlags(domain, VIR_DOMAIN_VCPU_MAXIMUM);
	vm.allocation.vcpus_maximum = maximum > 0 ? (uint32_t)maximum : info.nrVirtCpu;
	vm.allocation.memory_bytes = (uint64_t)info.memory << 10;
	vm.allocation.memory_maximum_bytes = (uint64_t)info.maxMem << 10;
	if (vm.state == GN_VM_RUNNING || vm.state == GN_VM_PAUSED)
		read_cpu_limit(domain, &vm.allocation);
	if (read_description(domain, &vm.description, status))
		return -EIO;
	*out = vm;
	return 0;
}

static virDomainPtr find_domain(virConnectPtr conn, const char *name, struct gn_status *status)
{
	virDomainPtr domain = virDomainLookupByName(conn, name);

	if (!domain)
		libvirt_error(conn, status);
	return domain;
}

int gn_host_get_vm(struct gn_host *host, const char *name, struct gn_vm *out,
                   struct gn_status *status)
{
	struct gn_status why = {0};
	virConnectPtr conn = acquire(host, &why);
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
	virConnectPtr conn = acquire(host, status);
	virDomainPtr *domains = NULL;
	struct gn_vm *vms;
	int n, error = 0;

	if (!conn)
		return -ECONNREFUSED;
	n = virConnectListAllDomains(conn, &domains, 0);
	vms = n >= 0 ? calloc((size_t)n + 1, sizeof *vms) : NULL;
	if (n < 0) {
		error = libvirt_error(conn, status);
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

/* ---- statistics ---------------------------------------------------------------------------------
 */

static uint64_t figure(virDomainStatsRecordPtr r, const char *name)
{
	unsigned long long value;

	return virTypedParamsGetULLong(r->params, r->nparams, name, &value) > 0 ? value : 0;
}

static uint64_t vcpu_figure(virDomainStatsRecordPtr r, uint32_t vcpu, const char *what, bool *found)
{
	unsigned long long value = 0;
	char name[48];

	snprintf(name, sizeof name, "vcpu.%u.%s", vcpu, what);
	*found = virTypedParamsGetULLong(r->params, r->nparams, name, &value) > 0;
	return value;
}

/* 'delay' is what the host's scheduler made a vCPU wait; old libvirts have only 'wait'. A
 * domain that is busy may have no figures at all, which does not mean that its vCPUs went. */
static void read_vcpus(virDomainStatsRecordPtr r, struct gn_stats_entry *entry,
                       struct gn_vm_stats *s)
{
	uint32_t i, n = s->allocation.vcpus_maximum;
	bool found = false;

	for (i = 0; i < n && !found; i++)
		vcpu_figure(r, i, "time", &found);
	for (i = 0; i < n && found; i++) {
		bool present, has_delay;
		uint64_t time_ns = vcpu_figure(r, i, "time", &present);
		uint64_t wait_ns = vcpu_figure(r, i, "delay", &has_delay);

		if (!has_delay)
			wait_ns = vcpu_figure(r, i, "wait", &has_delay);
		gn_stats_cache_vcpu(entry, i, time_ns, wait_ns);
	}
	gn_stats_cache_total(entry, &s->cpu_time_ns, &s->cpu_wait_ns);
}

static void read_balloon(virDomainStatsRecordPtr r, struct gn_vm_stats *s)
{
	s->allocation.memory_bytes = figure(r, "balloon.current") << 10;
	s->allocation.memory_maximum_bytes = figure(r, "balloon.maximum") << 10;
	s->memory_usable_bytes = figure(r, "balloon.usable") << 10;
	s->memory_available_bytes = figure(r, "balloon.available") << 10;
	s->memory_rss_bytes = figure(r, "balloon.rss") << 10;
	s->memory_updated_us = figure(r, "balloon.last-update") * 1000000;
	s->swap_in_bytes = figure(r, "balloon.swap_in") << 10;
	s->swap_out_bytes = figure(r, "balloon.swap_out") << 10;
	s->major_faults = figure(r, "balloon.major_fault");
}

/* For drivers whose bulk statistics are poorer than QEMU's. */
static void read_fallback(virDomainPtr domain, struct gn_vm_stats *s)
{
	virDomainInfo info;

	if (virDomainGetInfo(domain, &info) < 0)
		return;
	s->allocation.vcpus = info.nrVirtCpu;
	if (!s->allocation.vcpus_maximum)
		s->allocation.vcpus_maximum = info.nrVirtCpu;
	s->allocation.memory_bytes = (uint64_t)info.memory << 10;
	s->allocation.memory_maximum_bytes = (uint64_t)info.maxMem << 10;
	s->cpu_time_ns = info.cpuTime;
}

/* Whether the owner of the balloon's report should be asked to start it, now. */
static bool wants_period(struct gn_stats_entry *entry, const struct gn_vm_stats *s)
{
	uint64_t now_us = gn_clock_monotonic_us();

	if (!entry->silent || s->memory_updated_us ||
	    (entry->asked_us && now_us - entry->asked_us < ASK_AGAIN_US))
		return false;
	entry->asked_us = now_us;
	return true;
}

/* Called with the lock held, for the cache; so it asks nothing of libvirt. */
static bool read_record(struct gn_host *host, virDomainStatsRecordPtr r, struct gn_vm_stats *s)
{
	char uuid[VIR_UUID_STRING_BUFLEN];
	struct gn_stats_entry *entry;
	int state = 0;

	if (!gn_command_name_valid(virDomainGetName(r->dom)) ||
	    virDomainGetUUIDString(r->dom, uuid) < 0)
		return false;
	entry = gn_stats_cache_find(&host->cache, uuid, virDomainGetID(r->dom));
	if (!entry)
		return false;
	memset(s, 0, sizeof *s);
	snprintf(s->name, sizeof s->name, "%s", virDomainGetName(r->dom));
	snprintf(s->shadow_of, sizeof s->shadow_of, "%s", entry->shadow_of);
	virTypedParamsGetInt(r->params, r->nparams, "state.state", &state);
	s->state = state_of(state);
	s->allocation.vcpus = (uint32_t)figure(r, "vcpu.current");
	s->allocation.vcpus_maximum = (uint32_t)figure(r, "vcpu.maximum");
	read_balloon(r, s);
	read_vcpus(r, entry, s);
	s->wants_period = wants_period(entry, s);
	return true;
}

static void learn(struct gn_host *host, virDomainPtr domain)
{
	char uuid[VIR_UUID_STRING_BUFLEN];
	struct gn_vm_description d;
	int id = (int)virDomainGetID(domain);
	bool known;

	if (virDomainGetUUIDString(domain, uuid) < 0)
		return;
	pthread_mutex_lock(&host->lock);
	known = gn_stats_cache_find(&host->cache, uuid, (unsigned)id) != NULL;
	pthread_mutex_unlock(&host->lock);
	if (known || read_description(domain, &d, NULL))
		return;
	pthread_mutex_lock(&host->lock);
	gn_stats_cache_add(&host->cache, uuid, (unsigned)id, &d);
	pthread_mutex_unlock(&host->lock);
}

static size_t read_records(struct gn_host *host, virDomainStatsRecordPtr *records, int n,
                           struct gn_vm_stats *out)
{
	size_t n_out = 0;
	int i;

	for (i = 0; i < n; i++) {
		bool known;

		learn(host, records[i]->dom);
		pthread_mutex_lock(&host->lock);
		known = read_record(host, records[i], &out[n_out]);
		pthread_mutex_unlock(&host->lock);
		if (!known)
			continue;
		if (!out[n_out].allocation.vcpus)
			read_fallback(records[i]->dom, &out[n_out]);
		n_out++;
	}
	return n_out;
}

int gn_host_get_stats(struct gn_host *host, struct gn_vm_stats **out, size_t *n_out,
                      struct gn_status *status)
{
	virConnectPtr conn = acquire(host, status);
	virDomainStatsRecordPtr *records = NULL;
	struct gn_vm_stats *stats;
	int n, error = 0;

	if (!conn)
		return -ECONNREFUSED;
	n = virConnectGetAllDomainStats(
	        conn, VIR_DOMAIN_STATS_STATE | VIR_DOMAIN_STATS_VCPU | VIR_DOMAIN_STATS_BALLOON,
	        &records,
	        VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE |
	                VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT);
	stats = n >= 0 ? calloc((size_t)n + 1, sizeof *stats) : NULL;
	if (n < 0) {
		error = libvirt_error(conn, status);
	} else if (!stats) {
		error = gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	} else {
		*n_out = read_records(host, records, n, stats);
		*out = stats;
	}
	if (records)
		virDomainStatsRecordListFree(records);
	virConnectClose(conn);
	return error;
}

/* ---- domains, changed --------------------------------------------------------------------------
 */

/* Finds the domain, applies 'change', translates the failure. */
static int with_domain(struct gn_host *host, const char *name,
                       int (*change)(virDomainPtr domain, const void *argument),
                       const void *argument, struct gn_status *status)
{
	virConnectPtr conn = acquire(host, status);
	virDomainPtr domain;
	int error = 0;

	if (!conn)
		return -ECONNREFUSED;
	domain = virDomainLookupByName(conn, name);
	if (!domain || change(domain, argument) < 0)
		error = libvirt_error(conn, status);
	if (domain)
		virDomainFree(domain);
	virConnectClose(conn);
	return error;
}

static int change_period(virDomainPtr domain, const void *argument)
{
	const uint32_t *seconds = argument;

	return virDomainSetMemoryStatsPeriod(domain, (int)*seconds, VIR_DOMAIN_AFFECT_LIVE);
}

int gn_host_set_stats_period(struct gn_host *host, const char *name, uint32_t seconds,
                             struct gn_status *status)
{
	return with_domain(host, name, change_period, &seconds, status);
}

static int change_vcpus(virDomainPtr domain, const void *argument)
{
	const uint32_t *vcpus = argument;

	return virDomainSetVcpusFlags(domain, *vcpus, VIR_DOMAIN_VCPU_LIVE);
}

int gn_host_set_vcpus(struct gn_host *host, const char *name, uint32_t vcpus,
                      struct gn_status *status)
{
	return with_domain(host, name, change_vcpus, &vcpus, status);
}

static int change_memory(virDomainPtr domain, const void *argument)
{
	const uint64_t *bytes = argument;

	return virDomainSetMemoryFlags(domain, (unsigned long)(*bytes >> 10),
	                               VIR_DOMAIN_AFFECT_LIVE);
}

int gn_host_set_memory(struct gn_host *host, const char *name, uint64_t bytes,
                       struct gn_status *status)
{
	return with_domain(host, name, change_memory, &bytes, status);
}

struct cpu_limit {
	uint64_t shares;
	int64_t quota_us;
	uint64_t period_us;
};

static int change_cpu_limit(virDomainPtr domain, const void *argument)
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

	return with_domain(host, name, change_cpu_limit, &limit, status);
}

static int change_pause(virDomainPtr domain, const void *argument)
{
	return virDomainSuspend(domain);
}

int gn_host_pause(struct gn_host *host, const char *name, struct gn_status *status)
{
	return with_domain(host, name, change_pause, NULL, status);
}

static int change_resume(virDomainPtr domain, const void *argument)
{
	return virDomainResume(domain);
}

int gn_host_resume(struct gn_host *host, const char *name, struct gn_status *status)
{
	return with_domain(host, name, change_resume, NULL, status);
}

/* ---- shadows
 * ------------------------------------------------------------------------------------- */

int gn_host_get_xml(struct gn_host *host, const char *name, char **out, struct gn_status *status)
{
	virConnectPtr conn = acquire(host, status);
	virDomainPtr domain;
	char *xml = NULL;
	int error = 0;

	if (!conn)
		return -ECONNREFUSED;
	domain = virDomainLookupByName(conn, name);
	if (domain)
		xml = virDomainGetXMLDesc(
		        domain,
		        VIR_DOMAIN_XML_SECURE |
		                (virDomainIsActive(domain) == 1 ? 0 : VIR_DOMAIN_XML_INACTIVE));
	if (xml)
		*out = xml;
	else
		error = libvirt_error(conn, status);
	if (domain)
		virDomainFree(domain);
	virConnectClose(conn);
	return error;
}

int gn_host_define(struct gn_host *host, const char *xml, char uuid[GN_VM_UUID_SIZE],
                   struct gn_status *status)
{
	virConnectPtr conn = acquire(host, status);
	char text[VIR_UUID_STRING_BUFLEN];
	virDomainPtr domain;
	int error = 0;

	if (!conn)
		return -ECONNREFUSED;
	domain = virDomainDefineXMLFlags(conn, xml, 0);
	if (domain && virDomainGetUUIDString(domain, text) == 0)
		memcpy(uuid, text, GN_VM_UUID_SIZE);
	else
		error = libvirt_error(conn, status);
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
	virConnectPtr conn = acquire(host, status);
	virStoragePoolPtr pool;
	int error = 0;

	if (!conn)
		return -ECONNREFUSED;
	pool = virStoragePoolLookupByName(conn, name);
	if (!pool)
		pool = define_pool(conn, name, path);
	if (!pool)
		error = libvirt_error(conn, status);
	else
		error = check_pool(pool, path, status);
	if (!error && virStoragePoolIsActive(pool) != 1 && virStoragePoolCreate(pool, 0) < 0)
		error = libvirt_error(conn, status);
	if (pool)
		virStoragePoolFree(pool);
	virConnectClose(conn);
	return error;
}

/* As with_domain(), on a domain that bears the mark. */
static int with_shadow(struct gn_host *host, const char *name, int (*change)(virDomainPtr domain),
                       struct gn_status *status)
{
	virConnectPtr conn = acquire(host, status);
	struct gn_vm_description d;
	virDomainPtr domain;
	int error = 0;

	if (!conn)
		return -ECONNREFUSED;
	domain = virDomainLookupByName(conn, name);
	if (!domain)
		error = libvirt_error(conn, status);
	else
		error = read_description(domain, &d, status);
	if (!error && !d.shadow_of[0])
		error = gn_status_set(status, GN_PERMISSION_DENIED,
		                      "%s is not a shadow that gnomon made", name);
	if (!error && change(domain) < 0)
		error = libvirt_error(conn, status);
	if (domain)
		virDomainFree(domain);
	virConnectClose(conn);
	return error;
}

int gn_host_start_shadow(struct gn_host *host, const char *name, struct gn_status *status)
{
	return with_shadow(host, name, virDomainCreate, status);
}

int gn_host_destroy_shadow(struct gn_host *host, const char *name, struct gn_status *status)
{
	return with_shadow(host, name, virDomainDestroy, status);
}

static int undefine(virDomainPtr domain)
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
	return with_shadow(host, name, undefine, status);
}
