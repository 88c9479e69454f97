/* libvirt_stats.c - the statistics of libvirt_host.h, all domains in one call. libvirt is asked
 * not to wait for domains that are busy; what is then missing is filled from the last time. */
#include "host-shim/libvirt_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/core/clock.h"
#include "host-shim/command.h"

#define ASK_AGAIN_US 60000000u

/* libvirt types each figure as it likes: counts of vCPUs are 32 bits wide, times are 64. */
static bool find_figure(virDomainStatsRecordPtr r, const char *name, uint64_t *value)
{
	virTypedParameterPtr p = virTypedParamsGet(r->params, r->nparams, name);

	if (p && p->type == VIR_TYPED_PARAM_ULLONG)
		*value = p->value.ul;
	else if (p && p->type == VIR_TYPED_PARAM_UINT)
		*value = p->value.ui;
	else
		return false;
	return true;
}

static uint64_t figure(virDomainStatsRecordPtr r, const char *name)
{
	uint64_t value = 0;

	find_figure(r, name, &value);
	return value;
}

static uint64_t vcpu_figure(virDomainStatsRecordPtr r, uint32_t vcpu, const char *what, bool *found)
{
	uint64_t value = 0;
	char name[48];

	snprintf(name, sizeof name, "vcpu.%u.%s", vcpu, what);
	*found = find_figure(r, name, &value);
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

static void read_balloon(virDomainStatsRecordPtr r, struct gn_stats_entry *entry,
                         struct gn_vm_stats *s)
{
	struct gn_stats_memory *m = &entry->memory;

	s->allocation.memory_bytes = figure(r, "balloon.current") << 10;
	s->allocation.memory_maximum_bytes = figure(r, "balloon.maximum") << 10;
	if (figure(r, "balloon.rss")) { /* not too busy to be asked */
		m->rss_bytes = figure(r, "balloon.rss") << 10;
		m->usable_bytes = figure(r, "balloon.usable") << 10;
		m->available_bytes = figure(r, "balloon.available") << 10;
		m->updated_us = figure(r, "balloon.last-update") * 1000000;
		m->swap_in_bytes = figure(r, "balloon.swap_in") << 10;
		m->swap_out_bytes = figure(r, "balloon.swap_out") << 10;
		m->major_faults = figure(r, "balloon.major_fault");
	}
	s->memory_rss_bytes = m->rss_bytes;
	s->memory_usable_bytes = m->usable_bytes;
	s->memory_available_bytes = m->available_bytes;
	s->memory_updated_us = m->updated_us;
	s->swap_in_bytes = m->swap_in_bytes;
	s->swap_out_bytes = m->swap_out_bytes;
	s->major_faults = m->major_faults;
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
	s->state = gn_libvirt_state(state);
	s->allocation.vcpus = (uint32_t)figure(r, "vcpu.current");
	s->allocation.vcpus_maximum = (uint32_t)figure(r, "vcpu.maximum");
	read_balloon(r, entry, s);
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
	gn_mutex_lock(&host->lock);
	known = gn_stats_cache_find(&host->cache, uuid, (unsigned)id) != NULL;
	gn_mutex_unlock(&host->lock);
	if (known || gn_libvirt_describe(domain, &d, NULL))
		return;
	gn_mutex_lock(&host->lock);
	gn_stats_cache_add(&host->cache, uuid, (unsigned)id, &d);
	gn_mutex_unlock(&host->lock);
}

static size_t read_records(struct gn_host *host, virDomainStatsRecordPtr *records, int n,
                           struct gn_vm_stats *out)
{
	size_t n_out = 0;
	int i;

	for (i = 0; i < n; i++) {
		bool known;

		learn(host, records[i]->dom);
		gn_mutex_lock(&host->lock);
		known = read_record(host, records[i], &out[n_out]);
		gn_mutex_unlock(&host->lock);
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
	virConnectPtr conn = gn_libvirt_acquire(host, status);
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
		error = gn_libvirt_error(conn, status);
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
