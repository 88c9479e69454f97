/* bootstrap.c - the three ways to a kernel (bootstrap.h): candidates are found by find.c, made
 * into kernels here, and checked by kernel.c. */
#include "firmware/introspect/bootstrap.h"

#include <stdlib.h>
#include <string.h>
#include "firmware/introspect/find.h"
#include "firmware/introspect/vmcoreinfo.h"

#define MIB               ((uint64_t)1 << 20)
#define GIB               ((uint64_t)1 << 30)
#define X86_IMAGE         0xffffffff80000000ull
#define X86_DIRECT_MAP    0xffff888000000000ull
#define X86_DIRECT_MAP_5L 0xff11000000000000ull
#define ARM64_IMAGE_SPAN  (256 * MIB)
#define IMAGE_BEFORE      (96 * MIB) /* of the data, where tables are looked for */
#define IMAGE_AFTER       (32 * MIB)
#define MAX_GIB           4096 /* of guest memory */
/* Who plants pages of VMCOREINFO makes each cost a search of the image: that many are looked into,
 * then the kernel's tables are looked for. Resets leave two or three. */
#define MAX_CANDIDATES 16

struct search {
	struct gn_memory *memory;
	const struct gn_bootstrap_hints *hints;
	enum gn_bootstrap_reason reason;
	struct gn_kernel kernel;
	uint64_t text;         /* where the image begins, physical; 0: not known */
	unsigned n_candidates; /* pages of VMCOREINFO that were worth a search */
};

/* Keeps the furthest that a candidate came. */
static bool fail(struct search *s, enum gn_bootstrap_reason reason)
{
	if (reason > s->reason)
		s->reason = reason;
	return false;
}

static void set_image(struct gn_space *space, enum gn_arch arch, uint64_t va, uint64_t gpa)
{
	space->arch = arch;
	space->image_delta = va - gpa;
	if (arch == GN_ARCH_X86_64) {
		space->image_from = X86_IMAGE;
		space->image_to = X86_IMAGE + GIB;
	} else {
		space->image_from = va - ARM64_IMAGE_SPAN;
		space->image_to = va + ARM64_IMAGE_SPAN;
	}
}

/* The part of the region around 'gpa', in the kernel's data, in which its image must lie: all
 * tables are before the data, but for what the linker put right behind it. */
static bool image_range(const struct search *s, uint64_t gpa, uint64_t *from, uint64_t *to)
{
	const struct gn_memory *memory = s->memory;

	for (unsigned i = 0; i < memory->n_regions; i++) {
		const struct gn_memory_region *r = &memory->regions[i];

		if (gpa < r->gpa || gpa - r->gpa >= r->size)
			continue;
		*from = gpa - r->gpa > IMAGE_BEFORE ? gpa - IMAGE_BEFORE : r->gpa;
		if (s->text > *from && s->text < gpa)
			*from = s->text;
		*to = r->gpa + r->size - gpa > IMAGE_AFTER ? gpa + IMAGE_AFTER : r->gpa + r->size;
		*from &= ~(uint64_t)(GN_MEMORY_PAGE - 1);
		*to &= ~(uint64_t)(GN_MEMORY_PAGE - 1);
		return true;
	}
	return false;
}

/* ---- symbols, types ---------------------------------------------------------------------- */

static bool kallsyms_from_info(struct search *s, const struct gn_vmcoreinfo *info)
{
	struct gn_space *space = &s->kernel.space;
	struct gn_kallsyms_layout layout;
	uint64_t va[6];
	static const char *const names[6] = {"kallsyms_names",       "kallsyms_num_syms",
	                                     "kallsyms_token_table", "kallsyms_offsets",
	                                     "kallsyms_token_index", "kallsyms_relative_base"};

	for (unsigned i = 0; i < 6; i++)
		if (!gn_vmcoreinfo_symbol(info, names[i], &va[i]))
			return false;
	return gn_space_translate(space, va[0], &layout.names) &&
	       gn_space_u32(space, va[1], &layout.n_symbols) &&
	       gn_space_translate(space, va[2], &layout.token_table) &&
	       gn_space_translate(space, va[3], &layout.offsets) &&
	       gn_space_translate(space, va[4], &layout.token_index) &&
	       gn_space_translate(space, va[5], &layout.relative_base) &&
	       gn_kallsyms_load(s->memory, space->arch, &layout, &s->kernel.symbols) == 0;
}

static bool kallsyms_from_signature(struct search *s, const uint64_t *signatures, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct gn_kallsyms_layout layout;

		if (gn_kallsyms_locate(s->memory, signatures[i], &layout) == 0 &&
		    gn_kallsyms_load(s->memory, s->kernel.space.arch, &layout,
		                     &s->kernel.symbols) == 0)
			return true;
	}
	return false;
}

/* Parses the BTF at 'gpa'. */
static bool load_profile(struct search *s, uint64_t gpa, uint64_t size)
{
	void *bytes;
	int err;

	if (!size || size > GN_PROFILE_MAX_BTF)
		return fail(s, GN_BOOTSTRAP_BAD_BTF);
	bytes = malloc(size);
	if (!bytes)
		return fail(s, GN_BOOTSTRAP_NO_MEMORY);
	err = gn_memory_copy(s->memory, gpa, bytes, size)
	              ? gn_profile_load(bytes, size, &s->kernel.profile)
	              : -1;
	free(bytes);
	return err == 0 || fail(s, GN_BOOTSTRAP_BAD_BTF);
}

/* ---- VMCOREINFO --------------------------------------------------------------------------- */

static bool map_x86(struct search *s, const struct gn_vmcoreinfo *info)
{
	uint64_t phys_base;

	if (!gn_vmcoreinfo_number(info, "phys_base", &phys_base))
		return false;
	set_image(&s->kernel.space, GN_ARCH_X86_64, X86_IMAGE, phys_base);
	return true;
}

static bool map_arm64(struct search *s, const struct gn_vmcoreinfo *info)
{
	uint64_t voffset, phys, bits, t1sz, anchor;

	if (!gn_vmcoreinfo_number(info, "kimage_voffset", &voffset) ||
	    !gn_vmcoreinfo_number(info, "PHYS_OFFSET", &phys) ||
	    !gn_vmcoreinfo_number(info, "VA_BITS", &bits) ||
	    !gn_vmcoreinfo_symbol(info, "init_uts_ns", &anchor))
		return false;
	/* With 52 bits compiled in, the CPU may have fewer. */
	if (gn_vmcoreinfo_number(info, "TCR_EL1_T1SZ", &t1sz) && t1sz >= 12 && t1sz < 32)
		bits = 64 - t1sz;
	if (bits < 32 || bits > 52)
		return false;
	set_image(&s->kernel.space, GN_ARCH_ARM64, anchor, anchor - voffset);
	gn_space_set_linear(&s->kernel.space, (uint64_t)-1 << bits, phys);
	return true;
}

static void map_x86_linear(struct search *s, const struct gn_vmcoreinfo *info)
{
	struct gn_kernel *k = &s->kernel;
	uint64_t base, five_level = 0;

	if (k->symbols.has[GN_SYM_page_offset_base] &&
	    gn_space_u64(&k->space, k->symbols.va[GN_SYM_page_offset_base], &base)) {
		gn_space_set_linear(&k->space, base, 0);
		return;
	}
	gn_vmcoreinfo_number(info, "pgtable_l5_enabled", &five_level);
	gn_space_set_linear(&k->space, five_level ? X86_DIRECT_MAP_5L : X86_DIRECT_MAP, 0);
}

static void load_symbols(struct search *s, const struct gn_vmcoreinfo *info, uint64_t anchor)
{
	struct gn_kernel *k = &s->kernel;
	struct gn_found found;
	uint64_t from, to;

	if (!kallsyms_from_info(s, info) && image_range(s, anchor, &from, &to) &&
	    gn_find_tables(s->memory, from, to, &found))
		kallsyms_from_signature(s, found.kallsyms, found.n_kallsyms);
	if (!k->symbols.has[GN_SYM_prb] &&
	    gn_vmcoreinfo_symbol(info, "prb", &k->symbols.va[GN_SYM_prb]))
		k->symbols.has[GN_SYM_prb] = true;
	if (!k->symbols.has[GN_SYM_init_task] && image_range(s, anchor, &from, &to))
		gn_ksymtab_load(s->memory, from, to, k->space.image_delta, &k->symbols);
}

static bool load_types(struct search *s, uint64_t anchor)
{
	struct gn_kernel *k = &s->kernel;
	const struct gn_symbols *y = &k->symbols;
	struct gn_found found;
	uint64_t from, to, gpa;

	if (k->build_id[0] && strcmp(k->build_id, s->hints->build_id) == 0) {
		k->profile = s->hints->profile;
		return true;
	}
	if (y->has[GN_SYM_btf_start] && y->has[GN_SYM_btf_stop] &&
	    gn_space_translate(&k->space, y->va[GN_SYM_btf_start], &gpa))
		return load_profile(s, gpa, y->va[GN_SYM_btf_stop] - y->va[GN_SYM_btf_start]);
	if (!image_range(s, anchor, &from, &to) || !gn_find_tables(s->memory, from, to, &found) ||
	    !found.n_btf)
		return fail(s, GN_BOOTSTRAP_NO_BTF);
	for (unsigned i = 0; i < found.n_btf; i++)
		if (load_profile(s, found.btf[i].gpa, found.btf[i].size))
			return true;
	return false;
}

/* The kernel that the page at 'gpa' describes. */
static bool try_vmcoreinfo(struct search *s, uint64_t page)
{
	char text[GN_VMCOREINFO_SIZE + 1];
	struct gn_vmcoreinfo info = {text};
	struct gn_kernel *k = &s->kernel;
	uint64_t anchor_va, anchor, text_va;

	memset(k, 0, sizeof *k);
	k->space.memory = s->memory;
	k->way = GN_BOOTSTRAP_VMCOREINFO;
	text[GN_VMCOREINFO_SIZE] = '\0';
	if (!gn_memory_copy(s->memory, page, text, GN_VMCOREINFO_SIZE) ||
	    !gn_vmcoreinfo_symbol(&info, "init_uts_ns", &anchor_va) ||
	    !(map_x86(s, &info) || map_arm64(s, &info)) ||
	    !gn_space_translate(&k->space, anchor_va, &anchor))
		return false;
	s->n_candidates++;
	if (!gn_vmcoreinfo_symbol(&info, "_stext", &text_va) ||
	    !gn_space_translate(&k->space, text_va, &s->text))
		s->text = 0;
	gn_vmcoreinfo_text(&info, "OSRELEASE", k->release, GN_KERNEL_RELEASE);
	gn_vmcoreinfo_text(&info, "BUILD-ID", k->build_id, GN_KERNEL_BUILD_ID);
	load_symbols(s, &info, anchor);
	if (k->space.arch == GN_ARCH_X86_64)
		map_x86_linear(s, &info);
	if (!k->symbols.has[GN_SYM_init_task])
		return fail(s, GN_BOOTSTRAP_NO_TASKS);
	k->init_task = k->symbols.va[GN_SYM_init_task];
	return load_types(s, anchor) && (gn_kernel_check(k) || fail(s, GN_BOOTSTRAP_NO_TASKS));
}

/* ---- signature and structure ---------------------------------------------------------------- */

/* The first task's address and the direct map, from the ring's first link: the map's base is
 * 1 GiB aligned, so the link's low bits tell where its target is within some GiB. */
static bool map_from_ring(struct search *s, uint64_t task)
{
	struct gn_kernel *k = &s->kernel;
	uint64_t next, va, gpa, prev;
	unsigned gib;

	if (!gn_memory_u64(s->memory, task + k->profile.at.task_tasks, &next) || next % 8 ||
	    next >> 56 != 0xff)
		return false;
	for (gib = 0; gib < MAX_GIB; gib++) {
		gpa = (next & (GIB - 1)) + gib * GIB;
		if (!gn_memory_u64(s->memory, gpa + 8, &prev))
			continue;
		va = prev - k->profile.at.task_tasks;
		if (va >> 56 != 0xff ||
		    (va & (GN_MEMORY_PAGE - 1)) != (task & (GN_MEMORY_PAGE - 1)))
			continue;
		set_image(&k->space, k->profile.is_arm64 ? GN_ARCH_ARM64 : GN_ARCH_X86_64, va,
		          task);
		gn_space_set_linear(&k->space, next, gpa);
		k->init_task = va;
		if (gn_kernel_check(k))
			return true;
	}
	return false;
}

static bool try_task(struct search *s, const struct gn_found *found, uint64_t task)
{
	struct gn_kernel *k = &s->kernel;
	struct gn_symbols *y = &k->symbols;
	uint64_t from, to;

	if (!map_from_ring(s, task))
		return false;
	k->way = GN_BOOTSTRAP_SIGNATURE;
	memset(y, 0, sizeof *y);
	kallsyms_from_signature(s, found->kallsyms, found->n_kallsyms);
	if (y->has[GN_SYM_init_task] && y->va[GN_SYM_init_task] != k->init_task)
		memset(y, 0, sizeof *y); /* another kernel's table */
	if (!y->has[GN_SYM_init_task] && image_range(s, task, &from, &to))
		gn_ksymtab_load(s->memory, from, to, k->space.image_delta, y);
	if (!y->has[GN_SYM_init_task] || y->va[GN_SYM_init_task] != k->init_task) {
		memset(y, 0, sizeof *y);
		k->way = GN_BOOTSTRAP_STRUCTURE;
	}
	return true;
}

static bool try_btf(struct search *s, const struct gn_found *found, unsigned index)
{
	struct gn_kernel *k = &s->kernel;
	uint64_t tasks[GN_FIND_MAX_TASKS];
	unsigned n;

	memset(k, 0, sizeof *k);
	s->text = 0;
	k->space.memory = s->memory;
	if (!load_profile(s, found->btf[index].gpa, found->btf[index].size))
		return false;
	n = gn_find_tasks(s->memory, k->profile.at.task_comm, tasks);
	for (unsigned i = 0; i < n; i++)
		if (try_task(s, found, tasks[i]))
			return true;
	return fail(s, GN_BOOTSTRAP_NO_TASKS);
}

/* ---- all ways -------------------------------------------------------------------------------- */

/* Whether the candidate may be returned; completes it. */
static bool accept(struct search *s)
{
	struct gn_kernel *k = &s->kernel;
	uint64_t jiffies = 0;

	gn_kernel_jiffies(k, &jiffies);
	for (unsigned i = 0; i < s->hints->n_refused; i++)
		if (s->hints->refused[i].init_task == k->init_task &&
		    s->hints->refused[i].jiffies == jiffies)
			return fail(s, GN_BOOTSTRAP_ONLY_STALE);
	gn_kernel_complete(k);
	return true;
}

static bool by_vmcoreinfo(struct search *s)
{
	struct gn_memory_scan scan = {.region = 0};
	uint64_t page;

	while (s->n_candidates < MAX_CANDIDATES && gn_find_vmcoreinfo(s->memory, &scan, &page))
		if (try_vmcoreinfo(s, page) && accept(s))
			return true;
	return false;
}

static bool by_signature(struct search *s)
{
	struct gn_found found;

	if (!gn_find_tables(s->memory, 0, UINT64_MAX, &found))
		return fail(s, GN_BOOTSTRAP_NO_MEMORY);
	if (found.n_kallsyms && !found.n_btf)
		return fail(s, GN_BOOTSTRAP_NO_BTF);
	for (unsigned i = 0; i < found.n_btf; i++)
		if (try_btf(s, &found, i) && accept(s))
			return true;
	return false;
}

enum gn_bootstrap_reason gn_bootstrap(struct gn_memory *memory,
                                      const struct gn_bootstrap_hints *hints, struct gn_kernel *out)
{
	struct search *s = calloc(1, sizeof *s);
	enum gn_bootstrap_reason reason = GN_BOOTSTRAP_NO_MEMORY;

	if (!s)
		return reason;
	s->memory = memory;
	s->hints = hints;
	s->reason = GN_BOOTSTRAP_NOTHING;
	if (by_vmcoreinfo(s) || by_signature(s)) {
		*out = s->kernel;
		s->reason = GN_BOOTSTRAP_OK;
	} else if (s->reason == GN_BOOTSTRAP_NOTHING && gn_find_is_cipher(memory)) {
		s->reason = GN_BOOTSTRAP_ENCRYPTED;
	}
	reason = s->reason;
	free(s);
	return reason;
}

const char *gn_bootstrap_way_name(enum gn_bootstrap_way way)
{
	static const char *const names[] = {"vmcoreinfo", "signature", "structure"};

	return names[way];
}

const char *gn_bootstrap_reason_text(enum gn_bootstrap_reason reason)
{
	switch (reason) {
	case GN_BOOTSTRAP_OK:
		return "";
	case GN_BOOTSTRAP_NOTHING:
		return "no Linux kernel with type information (BTF) is in the guest's memory: it "
		       "has not booted yet, or runs another system";
	case GN_BOOTSTRAP_ENCRYPTED:
		return "the guest's memory is encrypted (SEV, TDX): it cannot be read from outside";
	case GN_BOOTSTRAP_NO_BTF:
		return "the guest's kernel has no type information; it needs one built with "
		       "CONFIG_DEBUG_INFO_BTF";
	case GN_BOOTSTRAP_BAD_BTF:
		return "the type information (BTF) in the guest's memory is damaged or not a "
		       "kernel's";
	case GN_BOOTSTRAP_NO_TASKS:
		return "a kernel was found but not its list of tasks; it may still be booting";
	case GN_BOOTSTRAP_ONLY_STALE:
		return "the kernel in the guest's memory stands still: it is stopped, or was left "
		       "there by a reset";
	case GN_BOOTSTRAP_NO_MEMORY:
		return "this process is out of memory";
	}
	return "unknown";
}
