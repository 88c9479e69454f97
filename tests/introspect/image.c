/* image.c - makes a guest memory with a kernel in it (image.h). */
#include "tests/introspect/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/btf.h>

#define TASK_SIZE     0x400u
#define SIGNAL_OFFSET 0x400u /* of a process's other structures in its page */
#define MM_OFFSET     0x600u
#define THREAD_OFFSET 0x800u
#define PERCPU_GPA    0x380000ull
#define PERCPU_STEP   0x4000u
#define FILLERS                                                                                    \
	1400 /* types with long names, so that the BTF is as large as a kernel's must be           \
	      */
#define LOG_COUNT_BITS 4
#define LOG_SIZE_BITS  10

/* Variables in the image's data, by offset from GN_IMAGE_DATA; per-CPU ones by offset. */
static const struct {
	const char *name;
	uint32_t offset;
	bool is_percpu;
} variables[] = {
        {"page_offset_base", 0x0, false},
        {"__per_cpu_offset", 0x100, false},
        {"__cpu_online_mask", 0x300, false},
        {"__cpu_possible_mask", 0x340, false},
        {"avenrun", 0x400, false},
        {"vm_zone_stat", 0x440, false},
        {"vm_node_stat", 0x480, false},
        {"_totalram_pages", 0x500, false},
        {"totalreserve_pages", 0x508, false},
        {"total_swap_pages", 0x510, false},
        {"nr_swap_pages", 0x518, false},
        {"nr_threads", 0x520, false},
        {"total_forks", 0x528, false},
        {"jiffies", 0x530, false},
        {"tainted_mask", 0x538, false},
        {"panic_cpu", 0x540, false},
        {"oops_in_progress", 0x548, false},
        {"prb", 0x550, false},
        {"init_uts_ns", 0x600, false},
        {"runqueues", 0x1000, true},
        {"tick_cpu_sched", 0x1400, true},
        {"kernel_cpustat", 0x1800, true},
        {"vm_event_states", 0x1c00, true},
};
#define N(array) (sizeof(array) / sizeof(array)[0])

/* A member: of a named structure, or 64 or 32 bits wide. */
struct member {
	const char *container;
	const char *name;
	uint32_t offset;
	const char *type; /* "u64", "u32", "u16", "u8" or a structure declared before */
};

/* Structures in the order of declaration; their members follow one another. */
static const struct {
	const char *name;
	uint32_t size;
} structures[] = {
        {"list_head", 16},
        {"sched_entity", 0x40},
        {"sched_info", 0x20},
        {"task_io_accounting", 0x38},
        {"seqcount", 4},
        {"seqcount_spinlock", 4},
        {"seqlock_t", 8},
        {"mm_rss_stat", 32},
        {"mm_struct", 0x100},
        {"signal_struct", 0x180},
        {"task_struct", TASK_SIZE},
        {"rq", 0x200},
        {"tick_sched", 0x80},
        {"vm_event_state", 0x100},
        {"new_utsname", 390},
        {"uts_namespace", 400},
        {"prb_desc_ring", 48},
        {"prb_data_ring", 32},
        {"printk_ringbuffer", 96},
        {"prb_data_blk_lpos", 16},
        {"prb_desc", 24},
        {"printk_info", 40},
};

static const struct member members[] = {
        {"list_head", "next", 0, "u64"},
        {"list_head", "prev", 8, "u64"},
        {"sched_entity", "sum_exec_runtime", 0x28, "u64"},
        {"sched_info", "run_delay", 8, "u64"},
        {"sched_info", "last_arrival", 16, "u64"},
        {"sched_info", "last_queued", 24, "u64"},
        {"task_io_accounting", "syscr", 0, "u64"},
        {"task_io_accounting", "syscw", 8, "u64"},
        {"task_io_accounting", "read_bytes", 16, "u64"},
        {"task_io_accounting", "write_bytes", 24, "u64"},
        {"seqcount", "sequence", 0, "u32"},
        {"seqcount_spinlock", "seqcount", 0, "seqcount"},
        {"seqlock_t", "seqcount", 0, "seqcount_spinlock"},
        {"mm_rss_stat", "count", 0, "u64"},
        {"mm_struct", "rss_stat", 0x40, "mm_rss_stat"},
        {"signal_struct", "thread_head", 0x10, "list_head"},
        {"signal_struct", "nr_threads", 0x20, "u32"},
        {"signal_struct", "stats_lock", 0x28, "seqlock_t"},
        {"signal_struct", "sum_sched_runtime", 0x30, "u64"},
        {"signal_struct", "min_flt", 0x38, "u64"},
        {"signal_struct", "maj_flt", 0x40, "u64"},
        {"signal_struct", "ioac", 0x48, "task_io_accounting"},
        {"task_struct", "__state", GN_IMAGE_TASK_STATE, "u32"},
        {"task_struct", "flags", 0x1c, "u32"},
        {"task_struct", "exit_state", 0x20, "u32"},
        {"task_struct", "se", 0x40, "sched_entity"},
        {"task_struct", "sched_info", 0x80, "sched_info"},
        {"task_struct", "ioac", 0xa0, "task_io_accounting"},
        {"task_struct", "tasks", GN_IMAGE_TASK_LINKS, "list_head"},
        {"task_struct", "thread_node", 0x118, "list_head"},
        {"task_struct", "pid", GN_IMAGE_TASK_PID, "u32"},
        {"task_struct", "tgid", GN_IMAGE_TASK_PID + 4, "u32"},
        {"task_struct", "start_boottime", 0x210, "u64"},
        {"task_struct", "mm", 0x218, "u64"},
        {"task_struct", "real_parent", 0x220, "u64"},
        {"task_struct", "nvcsw", 0x228, "u64"},
        {"task_struct", "nivcsw", 0x230, "u64"},
        {"task_struct", "min_flt", 0x238, "u64"},
        {"task_struct", "maj_flt", 0x240, "u64"},
        {"task_struct", "signal", GN_IMAGE_TASK_SIGNAL, "u64"},
        {"task_struct", "comm", 0x270, "u64"},
        {"rq", "nr_running", 4, "u32"},
        {"rq", "nr_switches", 0x10, "u64"},
        {"rq", "curr", 0x18, "u64"},
        {"rq", "idle", 0x20, "u64"},
        {"rq", "clock", 0x28, "u64"},
        {"rq", "rq_sched_info", 0x40, "sched_info"},
        {"rq", "rq_cpu_time", 0x60, "u64"},
        {"tick_sched", "idle_sleeptime", 0x10, "u64"},
        {"tick_sched", "iowait_sleeptime", 0x18, "u64"},
        {"vm_event_state", "event", 0, "u64"},
        {"new_utsname", "release", 130, "u8"},
        {"uts_namespace", "name", 4, "new_utsname"},
        {"prb_desc_ring", "count_bits", 0, "u32"},
        {"prb_desc_ring", "descs", 8, "u64"},
        {"prb_desc_ring", "infos", 16, "u64"},
        {"prb_desc_ring", "head_id", 24, "u64"},
        {"prb_desc_ring", "tail_id", 32, "u64"},
        {"prb_data_ring", "size_bits", 0, "u32"},
        {"prb_data_ring", "data", 8, "u64"},
        {"printk_ringbuffer", "desc_ring", 0, "prb_desc_ring"},
        {"printk_ringbuffer", "text_data_ring", 48, "prb_data_ring"},
        {"prb_data_blk_lpos", "begin", 0, "u64"},
        {"prb_data_blk_lpos", "next", 8, "u64"},
        {"prb_desc", "state_var", 0, "u64"},
        {"prb_desc", "text_blk_lpos", 8, "prb_data_blk_lpos"},
        {"printk_info", "seq", 0, "u64"},
        {"printk_info", "ts_nsec", 8, "u64"},
        {"printk_info", "text_len", 16, "u16"},
        {"printk_info", "facility", 18, "u8"},
};

static void need(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "image: %s\n", what);
	exit(1);
}

void gn_image_put64(void *at, uint64_t value)
{
	memcpy(at, &value, 8);
}

void gn_image_put32(void *at, uint32_t value)
{
	memcpy(at, &value, 4);
}

void *gn_image_at(struct gn_image *image, uint32_t offset)
{
	return image->bytes + GN_IMAGE_PHYS + offset;
}

uint8_t *gn_image_task(struct gn_image *image, unsigned index)
{
	return image->bytes + GN_IMAGE_TASK_GPA + 4096ull * index;
}

static uint64_t direct(const struct gn_image *image, const void *at)
{
	return GN_IMAGE_DIRECT + (uint64_t)((const uint8_t *)at - image->bytes);
}

static uint64_t variable(const char *name)
{
	for (size_t i = 0; i < N(variables); i++)
		if (!strcmp(variables[i].name, name))
			return variables[i].is_percpu
			               ? variables[i].offset
			               : GN_IMAGE_VA + GN_IMAGE_DATA + variables[i].offset;
	need(false, name);
	return 0;
}

static uint8_t *variable_at(struct gn_image *image, const char *name)
{
	return gn_image_at(image, (uint32_t)(variable(name) - GN_IMAGE_VA));
}

/* ---- BTF --------------------------------------------------------------------------------- */

static void add_members(struct btf *btf, const char *container)
{
	for (size_t i = 0; i < N(members); i++) {
		int type;

		if (strcmp(members[i].container, container) != 0)
			continue;
		type = btf__find_by_name(btf, members[i].type);
		need(type > 0, members[i].type);
		need(!btf__add_field(btf, members[i].name, type, members[i].offset * 8, 0),
		     members[i].name);
	}
}

static void add_enum(struct btf *btf, const char *name, const char *const *values, int n)
{
	need(btf__add_enum(btf, name, 4) > 0, name);
	for (int i = 0; i < n; i++)
		need(!btf__add_enum_value(btf, values[i], i), values[i]);
}

static void add_types(struct btf *btf)
{
	static const char *const zone[] = {"NR_FREE_PAGES"};
	static const char *const node[] = {"NR_INACTIVE_FILE", "NR_ACTIVE_FILE", "NR_FILE_PAGES",
	                                   "NR_SWAPCACHE"};
	static const char *const event[] = {"PGFAULT", "PGMAJFAULT", "PSWPIN", "PSWPOUT",
	                                    "OOM_KILL"};

	btf__add_int(btf, "u64", 8, 0);
	btf__add_int(btf, "u32", 4, 0);
	btf__add_int(btf, "u16", 2, 0);
	btf__add_int(btf, "u8", 1, 0);
	for (size_t i = 0; i < N(structures); i++) {
		need(btf__add_struct(btf, structures[i].name, structures[i].size) > 0,
		     structures[i].name);
		add_members(btf, structures[i].name);
		if (!strcmp(structures[i].name, "printk_info")) {
			need(!btf__add_field(btf, "flags", 4, 19 * 8, 5), "flags");
			need(!btf__add_field(btf, "level", 4, 19 * 8 + 5, 3), "level");
		}
	}
	add_enum(btf, "zone_stat_item", zone, (int)N(zone));
	add_enum(btf, "node_stat_item", node, (int)N(node));
	add_enum(btf, "vm_event_item", event, (int)N(event));
	for (int i = 0; i < FILLERS; i++) {
		char name[200];

		memset(name, 'x', sizeof name - 1);
		name[snprintf(name, sizeof name, "filler_%d", i)] = '_';
		name[sizeof name - 1] = '\0';
		btf__add_typedef(btf, name, 1);
	}
}

static void make_btf(struct gn_image *image)
{
	struct btf *btf = btf__new_empty();
	const void *bytes;
	__u32 size = 0;

	need(btf, "no BTF");
	add_types(btf);
	bytes = btf__raw_data(btf, &size);
	need(bytes && GN_IMAGE_BTF + size < GN_IMAGE_LOG, "BTF is too large");
	memcpy(gn_image_at(image, GN_IMAGE_BTF), bytes, size);
	image->btf_size = size;
	btf__free(btf);
}

/* ---- symbols ----------------------------------------------------------------------------------
 */

struct table {
	uint8_t names[8192];
	uint32_t n_bytes;
	uint32_t offsets[1024];
	uint32_t n;
};

/* Each character is its own token. Per-CPU symbols are absolute, others count down. */
static void add_symbol(struct table *t, const char *name, uint64_t va)
{
	size_t length = strlen(name) + 1;

	t->names[t->n_bytes++] = (uint8_t)length;
	t->names[t->n_bytes++] = 'D';
	memcpy(t->names + t->n_bytes, name, length - 1);
	t->n_bytes += (uint32_t)length - 1;
	t->offsets[t->n++] = va < GN_IMAGE_VA ? (uint32_t)va : (uint32_t)(GN_IMAGE_VA - 1 - va);
}

static void fill_table(struct table *t, size_t btf_size)
{
	char name[16];

	add_symbol(t, "_text", GN_IMAGE_VA);
	add_symbol(t, "init_task", GN_IMAGE_VA + GN_IMAGE_INIT_TASK);
	add_symbol(t, "__start_BTF", GN_IMAGE_VA + GN_IMAGE_BTF);
	add_symbol(t, "__stop_BTF", GN_IMAGE_VA + GN_IMAGE_BTF + btf_size);
	for (size_t i = 0; i < N(variables); i++)
		add_symbol(t, variables[i].name, variable(variables[i].name));
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "function_%d", i);
		add_symbol(t, name, GN_IMAGE_VA + 16 * (uint64_t)i);
	}
}

/* Writes and advances to the next multiple of 8; returns where it was written. */
static uint32_t put(struct gn_image *image, uint32_t *at, const void *bytes, size_t size)
{
	uint32_t here = *at;

	memcpy(gn_image_at(image, here), bytes, size);
	*at = (uint32_t)((here + size + 7) & ~7ull);
	return here;
}

static uint32_t put_tokens(struct gn_image *image, uint32_t *at, uint32_t *index_at)
{
	char text[1024];
	uint16_t index[256];
	uint16_t n = 0;
	uint32_t table;

	for (int i = 0; i < 256; i++) {
		index[i] = n;
		if (i > ' ' && i <= '~')
			text[n++] = (char)i;
		else
			text[n++] = 'x';
		text[n++] = '\0';
	}
	table = put(image, at, text, n);
	*index_at = put(image, at, index, sizeof index);
	return table;
}

struct places {
	uint32_t names, num, table, index, offsets, base;
};

static struct places put_table(struct gn_image *image, const struct table *t,
                               enum gn_image_layout layout)
{
	static const uint8_t zeros[4096];
	const uint64_t base = GN_IMAGE_VA, n = t->n;
	uint32_t at = GN_IMAGE_KALLSYMS;
	struct places p;

	if (layout != GN_IMAGE_NEW) {
		p.offsets = put(image, &at, t->offsets, 4 * (size_t)t->n);
		p.base = put(image, &at, &base, sizeof base);
	}
	p.num = put(image, &at, &n, sizeof n);
	p.names = put(image, &at, t->names, t->n_bytes);
	put(image, &at, zeros, 4 * ((t->n + 255) / 256));
	if (layout == GN_IMAGE_SEQUENCE)
		put(image, &at, zeros, 3 * (size_t)t->n);
	p.table = put_tokens(image, &at, &p.index);
	if (layout == GN_IMAGE_NEW) {
		p.offsets = put(image, &at, t->offsets, 4 * (size_t)t->n);
		p.base = put(image, &at, &base, sizeof base);
	}
	return p;
}

static void put_vmcoreinfo(struct gn_image *image, const struct places *p)
{
	snprintf(gn_image_at(image, GN_IMAGE_VMCOREINFO), 4096,
	         "OSRELEASE=6.1.0-made-up\nBUILD-ID=0123456789abcdef0123456789abcdef01234567\n"
	         "PAGESIZE=4096\nSYMBOL(init_uts_ns)=%llx\nSYMBOL(prb)=%llx\n"
	         "SYMBOL(kallsyms_names)=%llx\nSYMBOL(kallsyms_num_syms)=%llx\n"
	         "SYMBOL(kallsyms_token_table)=%llx\nSYMBOL(kallsyms_token_index)=%llx\n"
	         "SYMBOL(kallsyms_offsets)=%llx\nSYMBOL(kallsyms_relative_base)=%llx\n"
	         "NUMBER(phys_base)=%llu\nNUMBER(pgtable_l5_enabled)=0\n",
	         (unsigned long long)variable("init_uts_ns"), (unsigned long long)variable("prb"),
	         GN_IMAGE_VA + p->names, GN_IMAGE_VA + p->num, GN_IMAGE_VA + p->table,
	         GN_IMAGE_VA + p->index, GN_IMAGE_VA + p->offsets, GN_IMAGE_VA + p->base,
	         GN_IMAGE_PHYS);
}

static void make_symbols(struct gn_image *image, enum gn_image_layout layout)
{
	struct table *table = calloc(1, sizeof *table);
	struct places places;

	need(table, "memory");
	fill_table(table, image->btf_size);
	places = put_table(image, table, layout);
	put_vmcoreinfo(image, &places);
	free(table);
}

/* ---- tasks
 * ---------------------------------------------------------------------------------------- */

static void link_nodes(struct gn_image *image, uint8_t *a, uint64_t a_va, uint8_t *b, uint64_t b_va)
{
	gn_image_put64(a, b_va);
	gn_image_put64(b + 8, a_va);
}

static void fill_task(struct gn_image *image, uint8_t *task, uint8_t *page, uint32_t pid,
                      uint32_t tgid)
{
	gn_image_put32(task + GN_IMAGE_TASK_STATE, pid % 4 == 0 ? 2 : 1);
	gn_image_put64(task + 0x40 + 0x28, 1000000ull * pid);
	gn_image_put64(task + 0x80 + 8, 1000ull * pid);
	gn_image_put64(task + 0xa0, 10 * pid);
	gn_image_put64(task + 0xa8, 20 * pid);
	gn_image_put32(task + GN_IMAGE_TASK_PID, pid);
	gn_image_put32(task + GN_IMAGE_TASK_PID + 4, tgid);
	gn_image_put64(task + 0x210, 5000ull * tgid);
	gn_image_put64(task + 0x218, direct(image, page + MM_OFFSET));
	gn_image_put64(task + 0x220, GN_IMAGE_VA + GN_IMAGE_INIT_TASK);
	gn_image_put64(task + GN_IMAGE_TASK_SIGNAL, direct(image, page + SIGNAL_OFFSET));
	snprintf((char *)task + 0x270, 16, "task-%u", tgid);
}

static void fill_process(struct gn_image *image, unsigned index)
{
	uint8_t *page = gn_image_task(image, index), *signal = page + SIGNAL_OFFSET, *last;
	unsigned n = index == 2 ? GN_IMAGE_THREADS : 1;

	fill_task(image, page, page, index + 1, index + 1);
	gn_image_put32(signal + 0x20, n);
	gn_image_put64(signal + 0x30, 7);
	gn_image_put64(page + MM_OFFSET + 0x40, 100);
	gn_image_put64(page + MM_OFFSET + 0x48, index);
	last = signal + 0x10;
	for (unsigned i = 0; i < n; i++) {
		uint8_t *task = i ? page + THREAD_OFFSET + TASK_SIZE * (i - 1) : page;

		if (i)
			fill_task(image, task, page, 100 + i, index + 1);
		link_nodes(image, last, direct(image, last), task + 0x118,
		           direct(image, task + 0x118));
		last = task + 0x118;
	}
	link_nodes(image, last, direct(image, last), signal + 0x10, direct(image, signal + 0x10));
}

static void make_tasks(struct gn_image *image)
{
	uint8_t *init = gn_image_at(image, GN_IMAGE_INIT_TASK), *last = init + GN_IMAGE_TASK_LINKS;
	uint64_t head = GN_IMAGE_VA + GN_IMAGE_INIT_TASK + GN_IMAGE_TASK_LINKS, last_va = head;

	strcpy((char *)init + 0x270, "swapper/0");
	for (unsigned i = 0; i < GN_IMAGE_TASKS; i++) {
		uint8_t *node = gn_image_task(image, i) + GN_IMAGE_TASK_LINKS;

		fill_process(image, i);
		link_nodes(image, last, last_va, node, direct(image, node));
		last = node;
		last_va = direct(image, node);
	}
	link_nodes(image, last, last_va, init + GN_IMAGE_TASK_LINKS, head);
}

/* ---- counters, log
 * ----------------------------------------------------------------------------------- */

static void make_cpus(struct gn_image *image)
{
	for (unsigned i = 0; i < GN_IMAGE_CPUS; i++) {
		uint64_t gpa = PERCPU_GPA + PERCPU_STEP * i;
		uint8_t *rq = image->bytes + gpa + 0x1000;

		gn_image_put64(variable_at(image, "__per_cpu_offset") + 8 * i,
		               GN_IMAGE_DIRECT + gpa);
		gn_image_put32(rq + 4, i + 1);
		gn_image_put64(rq + 0x18, direct(image, gn_image_task(image, i)));
		gn_image_put64(rq + 0x20, GN_IMAGE_VA + GN_IMAGE_INIT_TASK);
		gn_image_put64(rq + 0x28, 5000);
		gn_image_put64(rq + 0x40 + 8, 300 * (i + 1));
		gn_image_put64(rq + 0x60, 1000 * (i + 1));
		gn_image_put64(gn_image_task(image, i) + 0x90, 4000);
		for (int event = 0; event < 5; event++)
			gn_image_put64(image->bytes + gpa + 0x1c00 + 8 * event, 10 + event);
	}
	gn_image_put64(variable_at(image, "__cpu_possible_mask"), (1 << GN_IMAGE_CPUS) - 1);
	gn_image_put64(variable_at(image, "__cpu_online_mask"), 1);
}

static void make_counters(struct gn_image *image)
{
	uint8_t *node = variable_at(image, "vm_node_stat");

	gn_image_put64(variable_at(image, "page_offset_base"), GN_IMAGE_DIRECT);
	gn_image_put64(variable_at(image, "avenrun"), 2048 + 1024);
	gn_image_put64(variable_at(image, "vm_zone_stat"), 500);
	gn_image_put64(node, 40);
	gn_image_put64(node + 8, 60);
	gn_image_put64(node + 16, 130);
	gn_image_put64(node + 24, 30);
	gn_image_put64(variable_at(image, "_totalram_pages"), 1000);
	gn_image_put64(variable_at(image, "totalreserve_pages"), 50);
	gn_image_put32(variable_at(image, "nr_threads"), GN_IMAGE_TASKS + GN_IMAGE_THREADS - 1);
	gn_image_put64(variable_at(image, "total_forks"), 77);
	gn_image_put64(variable_at(image, "jiffies"), 123456);
	gn_image_put64(variable_at(image, "tainted_mask"), 512);
	gn_image_put32(variable_at(image, "panic_cpu"), UINT32_MAX);
	strcpy((char *)variable_at(image, "init_uts_ns") + 4 + 130, "6.1.0-made-up");
}

/* Line i has level i and sequence number 40 + i; the fifth is user space's. */
static void make_log(struct gn_image *image)
{
	uint8_t *ring = gn_image_at(image, GN_IMAGE_LOG), *descs = ring + 0x100;
	uint8_t *infos = ring + 0x800, *data = ring + 0x1000;
	uint64_t va = GN_IMAGE_VA + GN_IMAGE_LOG, lpos = 1024 - 96, first = 40;

	gn_image_put64(variable_at(image, "prb"), va);
	gn_image_put32(ring, LOG_COUNT_BITS);
	gn_image_put64(ring + 8, va + 0x100);
	gn_image_put64(ring + 16, va + 0x800);
	gn_image_put64(ring + 24, first + GN_IMAGE_LOG_LINES - 1);
	gn_image_put64(ring + 32, first);
	gn_image_put32(ring + 48, LOG_SIZE_BITS);
	gn_image_put64(ring + 56, va + 0x1000);
	for (unsigned i = 0; i < GN_IMAGE_LOG_LINES; i++) {
		uint64_t id = first + i, begin = lpos, size = 8 + 16;
		uint8_t *desc = descs + id % 16 * 24, *info = infos + id % 16 * 40;

		/* What does not fit before the end goes to the beginning. */
		if (begin % 1024 + size > 1024)
			lpos = (begin / 1024 + 1) * 1024 + size;
		else
			lpos = begin + size;
		gn_image_put64(desc, id | (2ull << 62));
		gn_image_put64(desc + 8, begin);
		gn_image_put64(desc + 16, lpos);
		gn_image_put64(info, id);
		gn_image_put64(info + 8, 1000 * id);
		info[16] = 12;
		info[18] = i == 4;
		info[19] = (uint8_t)(i << 5);
		gn_image_put64(data + (lpos - size) % 1024, id);
		snprintf((char *)data + (lpos - size) % 1024 + 8, 16, "line %u\n......", i);
	}
}

static void make(struct gn_image *image, enum gn_image_layout layout)
{
	make_btf(image);
	make_symbols(image, layout);
	make_tasks(image);
	make_cpus(image);
	make_counters(image);
	make_log(image);
}

void gn_image_make(struct gn_image *image, enum gn_image_layout layout)
{
	static struct gn_image originals[GN_IMAGE_NEW + 1];

	if (!originals[layout].btf_size)
		make(&originals[layout], layout);
	memcpy(image, &originals[layout], sizeof *image);
	need(gn_memory_add_bytes(&image->memory, 0, image->bytes, sizeof image->bytes) == 0,
	     "memory");
}
