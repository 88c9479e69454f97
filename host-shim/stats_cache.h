/* stats_cache.h - what has to be remembered of each running domain between two readings of
 * its statistics: what its XML says (read once per start, not once a second), figures that a
 * busy domain does not give, and the run time of vCPUs that were taken away, without which the
 * sum would go back.
 *
 * Entries are found by UUID and the id that libvirt gives each start. Not thread-safe: the
 * owner of the struct locks. */
#ifndef GN_SHIM_STATS_CACHE_H
#define GN_SHIM_STATS_CACHE_H

#include "host-shim/vm.h"

struct gn_stats_vcpu {
	uint64_t time_ns;
	uint64_t wait_ns;
};

/* As in struct gn_vm_stats. */
struct gn_stats_memory {
	uint64_t rss_bytes;
	uint64_t usable_bytes;
	uint64_t available_bytes;
	uint64_t updated_us;
	uint64_t swap_in_bytes;
	uint64_t swap_out_bytes;
	uint64_t major_faults;
};

struct gn_stats_entry {
	struct gn_stats_entry *next;
	char uuid[GN_VM_UUID_SIZE];
	unsigned start_id;
	char shadow_of[GN_VM_NAME_SIZE];
	bool kvm;
	bool silent;                   /* its balloon was not told to report */
	uint64_t asked_us;             /* monotonic: when the reader last saw to that; 0: never */
	struct gn_stats_memory memory; /* last seen */
	struct gn_stats_vcpu retired;
	struct gn_stats_vcpu *vcpus; /* last seen */
	uint32_t n_vcpus;
};

struct gn_stats_cache {
	struct gn_stats_entry *first;
};

/* NULL if there is none for that start of that domain. */
struct gn_stats_entry *gn_stats_cache_find(const struct gn_stats_cache *cache, const char *uuid,
                                           unsigned start_id);
/* Replaces an entry of an earlier start. Does nothing if there is no memory. */
void gn_stats_cache_add(struct gn_stats_cache *cache, const char *uuid, unsigned start_id,
                        const struct gn_vm_description *description);
void gn_stats_cache_forget(struct gn_stats_cache *cache, const char *uuid);
void gn_stats_cache_clear(struct gn_stats_cache *cache);
/* Whether any of them runs under KVM; '*any': whether there is one at all. */
bool gn_stats_cache_kvm(const struct gn_stats_cache *cache, bool *any);

/* Feeds one vCPU's figures as the hypervisor has them: from zero when it is plugged, 0 while
 * it is absent. Then the sums, which never go back. */
void gn_stats_cache_vcpu(struct gn_stats_entry *entry, uint32_t vcpu, uint64_t time_ns,
                         uint64_t wait_ns);
void gn_stats_cache_total(const struct gn_stats_entry *entry, uint64_t *time_ns, uint64_t *wait_ns);

#endif
