/* kallsyms.h - the addresses of kernel symbols, from the tables that a running kernel carries.
 *
 * Two tables: kallsyms (all symbols, compressed; scripts/kallsyms.c of Linux), in its layouts
 * up to 6.3 and since 6.4, and ksymtab (exported symbols; include/linux/export.h). Which
 * symbols are wanted is fixed here. All input is copied first, so a guest that changes it
 * meanwhile changes nothing. */
#ifndef GN_INTROSPECT_KALLSYMS_H
#define GN_INTROSPECT_KALLSYMS_H

#include "firmware/introspect/space.h"

/* name in gn_symbols, name in the kernel */
#define GN_SYMBOLS(X)                                                                              \
	X(init_task, "init_task")                                                                  \
	X(page_offset_base, "page_offset_base")                                                    \
	X(btf_start, "__start_BTF")                                                                \
	X(btf_stop, "__stop_BTF")                                                                  \
	X(per_cpu_offset, "__per_cpu_offset")                                                      \
	X(cpu_online_mask, "__cpu_online_mask")                                                    \
	X(cpu_possible_mask, "__cpu_possible_mask")                                                \
	X(runqueues, "runqueues")                                                                  \
	X(tick_cpu_sched, "tick_cpu_sched")                                                        \
	X(kernel_cpustat, "kernel_cpustat")                                                        \
	X(vm_event_states, "vm_event_states")                                                      \
	X(avenrun, "avenrun")                                                                      \
	X(vm_zone_stat, "vm_zone_stat")                                                            \
	X(vm_node_stat, "vm_node_stat")                                                            \
	X(totalram_pages, "_totalram_pages")                                                       \
	X(totalreserve_pages, "totalreserve_pages")                                                \
	X(total_swap_pages, "total_swap_pages")                                                    \
	X(nr_swap_pages, "nr_swap_pages")                                                          \
	X(node_data, "node_data")                                                                  \
	X(contig_page_data, "contig_page_data")                                                    \
	X(nr_threads, "nr_threads")                                                                \
	X(total_forks, "total_forks")                                                              \
	X(process_counts, "process_counts")                                                        \
	X(jiffies, "jiffies")                                                                      \
	X(tainted_mask, "tainted_mask")                                                            \
	X(panic_cpu, "panic_cpu")                                                                  \
	X(oops_in_progress, "oops_in_progress")                                                    \
	X(prb, "prb")                                                                              \
	X(memstart_addr, "memstart_addr")                                                          \
	X(init_uts_ns, "init_uts_ns")

#define GN_SYMBOL_INDEX(field, name) GN_SYM_##field,
enum gn_symbol { GN_SYMBOLS(GN_SYMBOL_INDEX) GN_N_SYMBOLS };
#undef GN_SYMBOL_INDEX

struct gn_symbols {
	uint64_t va[GN_N_SYMBOLS]; /* per-CPU ones: offset or address, as the kernel has it */
	bool has[GN_N_SYMBOLS];
};

const char *gn_symbol_name(enum gn_symbol symbol);

/* Where the tables are, as guest physical addresses. */
struct gn_kallsyms_layout {
	uint64_t names;
	uint64_t token_table;
	uint64_t token_index;
	uint64_t offsets;
	uint64_t relative_base; /* of the variable that holds it */
	uint32_t n_symbols;
};

/* Largest tables accepted. */
#define GN_KALLSYMS_MAX_SYMBOLS 2000000u
#define GN_KALLSYMS_MAX_BYTES   (32u << 20)

/* Whether 'bytes' begins with the ten digits' tokens; a scan looks for that. */
#define GN_KALLSYMS_SIGNATURE      "0\0001\0002\0003\0004\0005\0006\0007\0008\0009"
#define GN_KALLSYMS_SIGNATURE_SIZE 20

/* Finds the layout around a token table of which the signature was seen at 'gpa'. Returns
 * -ENOENT unless everything fits together. */
int gn_kallsyms_locate(struct gn_memory *memory, uint64_t gpa, struct gn_kallsyms_layout *layout);

/* Reads the wanted symbols. -EBADMSG: not a table, -ENOENT: none of them in it, -EFBIG,
 * -ENOMEM. 'symbols' gains what is found and keeps what it had. */
int gn_kallsyms_load(struct gn_memory *memory, enum gn_arch arch,
                     const struct gn_kallsyms_layout *layout, struct gn_symbols *symbols);

/* Finds the exported symbols in the image, which is [from, to) in guest physical addresses
 * at virtual - physical = 'delta'. -ENOENT, -ENOMEM. */
int gn_ksymtab_load(struct gn_memory *memory, uint64_t from, uint64_t to, uint64_t delta,
                    struct gn_symbols *symbols);

#endif
