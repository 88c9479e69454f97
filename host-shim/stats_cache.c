/* stats_cache.c - see stats_cache.h. A list: hosts have tens of domains. */
#include "host-shim/stats_cache.h"

#include <stdlib.h>
#include <string.h>

/* More than any machine type has; a figure beyond is not libvirt's. */
#define VCPUS_MAX 4096

struct gn_stats_entry *gn_stats_cache_find(const struct gn_stats_cache *cache, const char *uuid,
                                           unsigned start_id)
{
	struct gn_stats_entry *entry;

	for (entry = cache->first; entry; entry = entry->next)
		if (entry->start_id == start_id && !strcmp(entry->uuid, uuid))
			return entry;
	return NULL;
}

void gn_stats_cache_add(struct gn_stats_cache *cache, const char *uuid, unsigned start_id,
                        const struct gn_vm_description *d)
{
	struct gn_stats_entry *entry;

	gn_stats_cache_forget(cache, uuid);
	entry = calloc(1, sizeof *entry);
	if (!entry)
		return;
	strncpy(entry->uuid, uuid, sizeof entry->uuid - 1);
	strcpy(entry->shadow_of, d->shadow_of);
	entry->start_id = start_id;
	entry->kvm = d->kvm;
	entry->silent = d->balloon && d->balloon_period_s == 0;
	entry->next = cache->first;
	cache->first = entry;
}

void gn_stats_cache_forget(struct gn_stats_cache *cache, const char *uuid)
{
	struct gn_stats_entry **at = &cache->first, *entry;

	while ((entry = *at)) {
		if (strcmp(entry->uuid, uuid)) {
			at = &entry->next;
			continue;
		}
		*at = entry->next;
		free(entry->vcpus);
		free(entry);
	}
}

void gn_stats_cache_clear(struct gn_stats_cache *cache)
{
	while (cache->first)
		gn_stats_cache_forget(cache, cache->first->uuid);
}

bool gn_stats_cache_kvm(const struct gn_stats_cache *cache, bool *any)
{
	const struct gn_stats_entry *entry;

	*any = cache->first != NULL;
	for (entry = cache->first; entry; entry = entry->next)
		if (entry->kvm)
			return true;
	return false;
}

static bool grow(struct gn_stats_entry *entry, uint32_t n)
{
	struct gn_stats_vcpu *vcpus = realloc(entry->vcpus, n * sizeof *vcpus);

	if (!vcpus)
		return false;
	memset(vcpus + entry->n_vcpus, 0, (n - entry->n_vcpus) * sizeof *vcpus);
	entry->vcpus = vcpus;
	entry->n_vcpus = n;
	return true;
}

void gn_stats_cache_vcpu(struct gn_stats_entry *entry, uint32_t vcpu, uint64_t time_ns,
                         uint64_t wait_ns)
{
	struct gn_stats_vcpu *last;

	if (vcpu >= VCPUS_MAX || (vcpu >= entry->n_vcpus && !grow(entry, vcpu + 1)))
		return;
	last = &entry->vcpus[vcpu];
	/* Its thread is a new one, or gone. */
	if (time_ns < last->time_ns) {
		entry->retired.time_ns += last->time_ns;
		entry->retired.wait_ns += last->wait_ns;
	}
	last->time_ns = time_ns;
	last->wait_ns = wait_ns;
}

void gn_stats_cache_total(const struct gn_stats_entry *entry, uint64_t *time_ns, uint64_t *wait_ns)
{
	uint32_t i;

	*time_ns = entry->retired.time_ns;
	*wait_ns = entry->retired.wait_ns;
	for (i = 0; i < entry->n_vcpus; i++) {
		*time_ns += entry->vcpus[i].time_ns;
		*wait_ns += entry->vcpus[i].wait_ns;
	}
}
