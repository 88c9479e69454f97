/* libvirt_host.c - see libvirt_host.h. One connection, shared by the worker threads (libvirt's
 * connections are thread-safe and carry several calls at a time). Each call takes its own
 * reference, so that a connection that is found dead can be replaced under way. */
#include "host-shim/libvirt_internal.h"
#include "firmware/core/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MIN_US       500000u
#define BACKOFF_MAX_US       30000000u
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_COUNT      3
/* ---- libvirt's event loop: keepalive, close and lifecycle callbacks ---------------------- */

static struct gn_mutex events_lock = GN_MUTEX_INITIALIZER;
static struct {
	unsigned users;
	pthread_t thread;
	int timer;
} events GN_GUARDED_BY(events_lock) = {.timer = -1};
static bool events_stop; /* owner: their thread, while it runs */

static void ignore_error(void *context, virErrorPtr error)
{
}

static void stop_events(int timer, void *context)
{
	events_stop = true;
}

static void *run_events(void *context)
{
	while (!events_stop)
		if (virEventRunDefaultImpl() < 0)
			break;
	return NULL;
}

static int events_get(struct gn_status *status)
{
	static bool registered;
	int error = 0;

	gn_mutex_lock(&events_lock);
	if (!registered && (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0))
		error = gn_status_set(status, GN_INTERNAL, "libvirt: %s", virGetLastErrorMessage());
	if (!error && !registered) {
		registered = true;
		virSetErrorFunc(NULL, ignore_error);
		events.timer = virEventAddTimeout(-1, stop_events, NULL, NULL);
	}
	if (!error && events.users == 0) {
		events_stop = false;
		error = -pthread_create(&events.thread, NULL, run_events, NULL);
		if (error)
			gn_status_set(status, GN_INTERNAL, "no thread for libvirt's events");
	}
	if (!error)
		events.users++;
	gn_mutex_unlock(&events_lock);
	return error;
}

static void events_put(void)
{
	gn_mutex_lock(&events_lock);
	if (--events.users == 0) {
		virEventUpdateTimeout(events.timer, 0);
		pthread_join(events.thread, NULL);
		virEventUpdateTimeout(events.timer, -1);
	}
	gn_mutex_unlock(&events_lock);
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

int gn_libvirt_error(virConnectPtr conn, struct gn_status *status)
{
	const virError *e = virGetLastError();
	enum gn_code code = code_of(e);
	char message[GN_STATUS_MESSAGE_SIZE];

	snprintf(message, sizeof message, "%s", e && e->message ? e->message : "no reason given");
	/* libvirt has one code for its own bugs and for what QEMU or the guest refuses. */
	if (code == GN_INTERNAL && strstr(message, "QEMU command"))
		code = GN_FAILED_PRECONDITION;
	if (conn && virConnectIsAlive(conn) == 0)
		code = GN_UNAVAILABLE;
	return gn_status_set(status, code, "libvirt: %s", message);
}

/* ---- the connection ------------------------------------------------------------------------ */

static void on_close(virConnectPtr conn, int reason, void *context)
{
	struct gn_host *host = context;

	gn_mutex_lock(&host->lock);
	snprintf(host->last_error, sizeof host->last_error, "libvirtd closed the connection");
	gn_stats_cache_clear(&host->cache);
	gn_mutex_unlock(&host->lock);
}

static int on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail,
                        void *context)
{
	struct gn_host *host = context;
	char uuid[VIR_UUID_STRING_BUFLEN];

	if (virDomainGetUUIDString(domain, uuid) == 0) {
		gn_mutex_lock(&host->lock);
		gn_stats_cache_forget(&host->cache, uuid);
		gn_mutex_unlock(&host->lock);
	}
	return 0;
}

static virConnectPtr open_connection(struct gn_host *host, int *event_id, struct gn_status *status)
{
	virConnectPtr conn = virConnectOpen(host->uri);

	if (!conn) {
		gn_libvirt_error(NULL, status);
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

static virConnectPtr reopen(struct gn_host *host) GN_REQUIRES(host->lock);

/* Opens without the lock, since it may hang; others meanwhile fail at once. */
static virConnectPtr reopen(struct gn_host *host)
{
	struct gn_status why = {0};
	virConnectPtr old = host->conn, conn;
	int old_event = host->event_id, event = -1;

	host->conn = NULL;
	host->opening = true;
	gn_mutex_unlock(&host->lock);
	close_connection(old, old_event);
	conn = open_connection(host, &event, &why);
	gn_mutex_lock(&host->lock);
	host->opening = false;
	host->conn = conn;
	host->event_id = event;
	host->kvm_known = false;
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

virConnectPtr gn_libvirt_acquire(struct gn_host *host, struct gn_status *status)
{
	uint64_t now_us = gn_clock_monotonic_us();
	virConnectPtr conn;

	gn_mutex_lock(&host->lock);
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
	gn_mutex_unlock(&host->lock);
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
	gn_mutex_init(&host->lock);
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
	gn_mutex_destroy(&host->lock);
	free(host->uri);
	free(host);
}

bool gn_host_connected(struct gn_host *host)
{
	bool connected;

	gn_mutex_lock(&host->lock);
	connected = host->conn && virConnectIsAlive(host->conn) == 1;
	gn_mutex_unlock(&host->lock);
	return connected;
}

void gn_host_last_error(struct gn_host *host, char *out, size_t size)
{
	gn_mutex_lock(&host->lock);
	snprintf(out, size, "%s", host->last_error);
	gn_mutex_unlock(&host->lock);
}

/* ---- the host ------------------------------------------------------------------------------- */

struct memory {
	uint64_t total;
	uint64_t available;
};

/* On this machine, the kernel's own figures: libvirt's leave out what can be reclaimed. */
static struct memory read_memory(const struct gn_host *host, virConnectPtr conn)
{
	unsigned long long total = 0, available = 0;
	FILE *meminfo = strstr(host->uri, ":///") ? fopen("/proc/meminfo", "re") : NULL;
	char line[128];
	virNodeInfo node;

	while (meminfo && fgets(line, sizeof line, meminfo)) {
		sscanf(line, "MemTotal: %llu kB", &total);
		sscanf(line, "MemAvailable: %llu kB", &available);
	}
	if (meminfo)
		fclose(meminfo);
	if (total && available)
		return (struct memory){total << 10, available << 10};
	total = virNodeGetInfo(conn, &node) == 0 ? node.memory : 0;
	return (struct memory){total << 10, virNodeGetFreeMemory(conn)};
}

/* Whether guests run under KVM: those that run now or, if none does, those that could. The
 * latter is asked once per connection, since libvirt looks at every emulator for it. */
static bool runs_kvm(struct gn_host *host, virConnectPtr conn)
{
	bool any, kvm, known;
	char *capabilities;

	gn_mutex_lock(&host->lock);
	kvm = gn_stats_cache_kvm(&host->cache, &any);
	known = any || host->kvm_known;
	if (!any)
		kvm = host->kvm;
	gn_mutex_unlock(&host->lock);
	if (known)
		return kvm;
	capabilities = virConnectGetCapabilities(conn);
	kvm = capabilities && strstr(capabilities, "<domain type='kvm'");
	gn_mutex_lock(&host->lock);
	host->kvm_known = capabilities != NULL;
	host->kvm = kvm;
	gn_mutex_unlock(&host->lock);
	free(capabilities);
	return kvm;
}

int gn_host_get_free_memory(struct gn_host *host, uint64_t *out, struct gn_status *status)
{
	virConnectPtr conn = gn_libvirt_acquire(host, status);

	if (!conn)
		return -ECONNREFUSED;
	*out = read_memory(host, conn).available;
	virConnectClose(conn);
	return 0;
}

static void version_text(unsigned long v, char *out, size_t size, const char *prefix)
{
	snprintf(out, size, "%s%lu.%lu.%lu", prefix, v / 1000000, v / 1000 % 1000, v % 1000);
}

int gn_host_get_info(struct gn_host *host, struct gn_host_info *out, struct gn_status *status)
{
	struct gn_host_info info = {0};
	virConnectPtr conn = gn_libvirt_acquire(host, status);
	unsigned long version;
	struct memory memory;
	virNodeInfo node;
	char *name;
	int error = 0;

	if (!conn)
		return -ECONNREFUSED;
	if (virNodeGetInfo(conn, &node) < 0) {
		error = gn_libvirt_error(conn, status);
	} else {
		char prefix[32];

		info.cpus = node.cpus;
		memory = read_memory(host, conn);
		info.memory_bytes = memory.total;
		info.memory_free_bytes = memory.available;
		info.kvm = runs_kvm(host, conn);
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
