/* bootstrap.h - finds the running kernel in a guest's memory.
 *
 * Three ways, the fast one first:
 *   VMCOREINFO  a page that begins with "OSRELEASE=" (Documentation/admin-guide/kdump/
 *               vmcoreinfo.rst) gives the address maps and, since 6.1, the symbol tables;
 *   SIGNATURE   the type information (BTF) by its magic, the symbol table by its digits'
 *               tokens, the address maps by the ring of tasks;
 *   STRUCTURE   as SIGNATURE, but no symbol table was found: only tasks can be read.
 * Memory is full of look-alikes: copies from decompression, the last kernel before a reset, what
 * a hostile guest plants. So every candidate is checked: the first task is "swapper", the ring of
 * tasks is closed both ways, its first member is process 1. */
#ifndef GN_INTROSPECT_BOOTSTRAP_H
#define GN_INTROSPECT_BOOTSTRAP_H

#include "firmware/introspect/kallsyms.h"
#include "firmware/introspect/profile.h"

#define GN_KERNEL_MAX_CPUS   256
#define GN_KERNEL_RELEASE    64
#define GN_KERNEL_BUILD_ID   40
#define GN_BOOTSTRAP_REFUSED 8

enum gn_bootstrap_way {
	GN_BOOTSTRAP_VMCOREINFO,
	GN_BOOTSTRAP_SIGNATURE,
	GN_BOOTSTRAP_STRUCTURE,
};

/* A kernel that was found. Plain data but for the pointer in 'space'. */
struct gn_kernel {
	struct gn_space space;
	struct gn_symbols symbols;
	struct gn_profile profile;
	enum gn_bootstrap_way way;
	uint64_t init_task;
	unsigned n_cpus; /* possible ones; 0: per-CPU data cannot be reached */
	uint64_t cpu_offset[GN_KERNEL_MAX_CPUS];
	char release[GN_KERNEL_RELEASE + 1];   /* "6.1.0-40-cloud-amd64"; may be empty */
	char build_id[GN_KERNEL_BUILD_ID + 1]; /* hexadecimal; may be empty */
};

/* Why none was found; the furthest that any candidate came. */
enum gn_bootstrap_reason {
	GN_BOOTSTRAP_OK,
	GN_BOOTSTRAP_NOTHING,    /* no trace of a kernel */
	GN_BOOTSTRAP_NO_BTF,     /* a kernel, but no type information */
	GN_BOOTSTRAP_BAD_BTF,    /* type information that does not fit */
	GN_BOOTSTRAP_NO_TASKS,   /* no ring of tasks: it boots, or is no Linux that is known */
	GN_BOOTSTRAP_ONLY_STALE, /* only kernels that do not run any more */
	GN_BOOTSTRAP_ENCRYPTED,  /* nothing but what looks like ciphertext */
	GN_BOOTSTRAP_NO_MEMORY,  /* this process is out of memory */
};

/* What is known from before. All may be empty. */
struct gn_bootstrap_hints {
	/* Kernels not to return: their clock stood still. One whose jiffies have moved since
	 * is a candidate again. */
	struct {
		uint64_t init_task;
		uint64_t jiffies;
	} refused[GN_BOOTSTRAP_REFUSED];
	unsigned n_refused;
	/* Offsets of the kernel with that build id; saves parsing BTF. */
	char build_id[GN_KERNEL_BUILD_ID + 1];
	struct gn_profile profile;
};

/* Finds the kernel, or says why not. '*out' is untouched on failure. */
enum gn_bootstrap_reason gn_bootstrap(struct gn_memory *memory,
                                      const struct gn_bootstrap_hints *hints,
                                      struct gn_kernel *out);

/* A sentence for a person. */
const char *gn_bootstrap_reason_text(enum gn_bootstrap_reason reason);
const char *gn_bootstrap_way_name(enum gn_bootstrap_way way);

/* Address of a per-CPU variable on 'cpu'. False: unknown, or no such CPU. 'percpu_offset' is
 * the variable's place in the section by BTF, or ABSENT. */
bool gn_kernel_percpu(const struct gn_kernel *kernel, enum gn_symbol symbol, uint32_t percpu_offset,
                      unsigned cpu, uint64_t *va);

/* The tick counter; false when its symbol is unknown. */
bool gn_kernel_jiffies(const struct gn_kernel *kernel, uint64_t *jiffies);

/* Whether the kernel still looks alive where it was found: its first task is in place. */
bool gn_kernel_check(const struct gn_kernel *kernel);

#endif
