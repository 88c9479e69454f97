/* kernel.c - checks a kernel that bootstrap found, and reaches its per-CPU data
 * (bootstrap.h). */
#include <string.h>
#include "firmware/introspect/find.h"

#define MAX_RING   65536
#define RING_TRIES 8
#define COMM_SIZE  16
#define MASK_WORDS (GN_KERNEL_MAX_CPUS / 64)

static bool is_first_task(const struct gn_kernel *k)
{
	char comm[COMM_SIZE];
	uint32_t pid;

	return gn_space_read(&k->space, k->init_task + k->profile.at.task_comm, comm,
	                     sizeof comm) &&
	       memcmp(comm, "swapper", 7) == 0 &&
	       gn_space_u32(&k->space, k->init_task + k->profile.at.task_pid, &pid) && pid == 0;
}

/* The ring is closed both ways and process 1 is its first member. The guest may change it
 * meanwhile, so a failure counts only when it comes again and again. */
static bool is_ring(const struct gn_kernel *k)
{
	uint64_t head = k->init_task + k->profile.at.task_tasks, at = head, next, prev;
	uint32_t pid;

	if (!gn_space_u64(&k->space, head, &next) ||
	    !gn_space_u32(&k->space, next - k->profile.at.task_tasks + k->profile.at.task_pid,
	                  &pid) ||
	    pid != 1)
		return false;
	for (unsigned i = 0; i < MAX_RING; i++) {
		if (!gn_space_u64(&k->space, at, &next) ||
		    !gn_space_u64(&k->space, next + 8, &prev) || prev != at)
			return false;
		if (next == head)
			return true;
		at = next;
	}
	return false;
}

bool gn_kernel_check(const struct gn_kernel *k)
{
	if (!is_first_task(k))
		return false;
	for (unsigned i = 0; i < RING_TRIES; i++)
		if (is_ring(k))
			return true;
	return false;
}

bool gn_kernel_jiffies(const struct gn_kernel *k, uint64_t *jiffies)
{
	return k->symbols.has[GN_SYM_jiffies] &&
	       gn_space_u64(&k->space, k->symbols.va[GN_SYM_jiffies], jiffies);
}

/* ---- per-CPU data -------------------------------------------------------------------------- */

/* Which CPUs there may be. Without the mask: as many as have a plausible offset. */
static unsigned count_cpus(const struct gn_kernel *k)
{
	uint64_t mask[MASK_WORDS];
	unsigned n = 0;

	if (!k->symbols.has[GN_SYM_cpu_possible_mask] ||
	    !gn_space_read(&k->space, k->symbols.va[GN_SYM_cpu_possible_mask], mask, sizeof mask))
		return GN_KERNEL_MAX_CPUS;
	while (n < GN_KERNEL_MAX_CPUS && mask[n / 64] >> (n % 64) & 1)
		n++;
	return n;
}

static void load_cpu_offsets(struct gn_kernel *k)
{
	unsigned most = count_cpus(k);
	uint64_t table = k->symbols.va[GN_SYM_per_cpu_offset], va;

	if (!k->symbols.has[GN_SYM_per_cpu_offset])
		return;
	while (k->n_cpus < most) {
		unsigned cpu = k->n_cpus;

		if (!gn_space_u64(&k->space, table + 8ull * cpu, &k->cpu_offset[cpu]) ||
		    !k->cpu_offset[cpu] || (cpu && k->cpu_offset[cpu] == k->cpu_offset[cpu - 1]))
			break;
		k->n_cpus++;
		/* Entries of CPUs that are not there point nowhere useful. */
		if (!gn_kernel_percpu(k, GN_SYM_kernel_cpustat, k->profile.percpu.kernel_cpustat,
		                      cpu, &va) ||
		    !gn_space_is_pointer(&k->space, va)) {
			k->n_cpus--;
			break;
		}
	}
}

bool gn_kernel_percpu(const struct gn_kernel *k, enum gn_symbol symbol, uint32_t percpu_offset,
                      unsigned cpu, uint64_t *va)
{
	const struct gn_symbols *y = &k->symbols;

	if (cpu >= k->n_cpus)
		return false;
	if (y->has[symbol]) {
		*va = y->va[symbol] + k->cpu_offset[cpu];
		return true;
	}
	/* Only one per-CPU variable is exported; the types tell how far the others are. */
	if (!y->has[GN_SYM_kernel_cpustat] || percpu_offset == GN_PROFILE_ABSENT ||
	    k->profile.percpu.kernel_cpustat == GN_PROFILE_ABSENT)
		return false;
	*va = y->va[GN_SYM_kernel_cpustat] - k->profile.percpu.kernel_cpustat + percpu_offset +
	      k->cpu_offset[cpu];
	return true;
}

/* ---- name ------------------------------------------------------------------------------------ */

static void load_release(struct gn_kernel *k)
{
	const struct gn_profile *p = &k->profile;
	char text[GN_KERNEL_RELEASE];

	if (k->release[0] || !k->symbols.has[GN_SYM_init_uts_ns] ||
	    p->at.uts_name == GN_PROFILE_ABSENT || p->at.uts_release == GN_PROFILE_ABSENT)
		return;
	if (gn_space_read(&k->space,
	                  k->symbols.va[GN_SYM_init_uts_ns] + p->at.uts_name + p->at.uts_release,
	                  text, sizeof text))
		gn_space_clean_text(k->release, text, sizeof text);
}

void gn_kernel_complete(struct gn_kernel *k)
{
	k->n_cpus = 0;
	load_cpu_offsets(k);
	load_release(k);
}
