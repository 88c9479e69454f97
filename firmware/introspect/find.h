/* find.h - scans a guest's memory for what a kernel leaves traces by. Finds candidates only;
 * whoever calls checks them. */
#ifndef GN_INTROSPECT_FIND_H
#define GN_INTROSPECT_FIND_H

#include "firmware/introspect/bootstrap.h"

#define GN_FIND_MAX_BTF      8
#define GN_FIND_MAX_KALLSYMS 64
#define GN_FIND_MAX_TASKS    16
#define GN_FIND_MIN_BTF      (256u << 10) /* a module's is smaller */

struct gn_found {
	struct {
		uint64_t gpa;
		uint64_t size;
	} btf[GN_FIND_MAX_BTF];
	unsigned n_btf;
	uint64_t kallsyms[GN_FIND_MAX_KALLSYMS]; /* of the digits' tokens */
	unsigned n_kallsyms;
};

/* Next page at or after 'scan' that begins as VMCOREINFO does. */
bool gn_find_vmcoreinfo(struct gn_memory *memory, struct gn_memory_scan *scan, uint64_t *page);

/* BTF and symbol tables in [from, to). False: out of memory. */
bool gn_find_tables(struct gn_memory *memory, uint64_t from, uint64_t to, struct gn_found *found);

/* Addresses of what may be a first task, by its name at offset 'comm'. Returns how many. */
unsigned gn_find_tasks(struct gn_memory *memory, uint32_t comm, uint64_t *tasks);

/* Whether what is populated looks like nothing but ciphertext (SEV, TDX): its bytes are evenly
 * distributed, where code, data and empty pages are not. False while too little is populated. */
bool gn_find_is_cipher(struct gn_memory *memory);

/* For bootstrap: fills what follows from a checked kernel's symbols (kernel.c). */
void gn_kernel_complete(struct gn_kernel *kernel);

#endif
