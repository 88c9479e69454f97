/* space.h - a kernel's virtual addresses in a guest's memory.
 *
 * Two linear maps are enough for everything that is read: the kernel's image and the direct
 * map of all RAM. Neither needs page tables or CPU registers. What is in neither (vmalloc,
 * modules, user space, nonsense) cannot be read, which is no error of this program.
 *
 * Sources: Documentation/arch/x86/x86_64/mm.rst and Documentation/arch/arm64/memory.rst of
 * Linux. */
#ifndef GN_INTROSPECT_SPACE_H
#define GN_INTROSPECT_SPACE_H

#include "firmware/introspect/memory.h"

enum gn_arch { GN_ARCH_X86_64, GN_ARCH_ARM64 };

struct gn_space {
	struct gn_memory *memory;
	enum gn_arch arch;
	uint64_t image_from; /* virtual, [from, to) */
	uint64_t image_to;
	uint64_t image_delta; /* virtual - physical, modulo 2^64 */
	uint64_t linear_from; /* direct map; both 0: not known yet */
	uint64_t linear_to;
	uint64_t linear_delta;
};

/* Sets the direct map that shows physical address 'phys' at 'virt'. */
void gn_space_set_linear(struct gn_space *space, uint64_t virt, uint64_t phys);

bool gn_space_translate(const struct gn_space *space, uint64_t va, uint64_t *gpa);

/* As gn_memory_*, by virtual address. */
bool gn_space_u64(const struct gn_space *space, uint64_t va, uint64_t *value);
bool gn_space_u32(const struct gn_space *space, uint64_t va, uint32_t *value);
bool gn_space_read(const struct gn_space *space, uint64_t va, void *buffer, size_t size);
bool gn_space_copy(const struct gn_space *space, uint64_t va, void *buffer, size_t size);

/* Whether this can be the address of a kernel object: readable and 8-byte aligned. */
bool gn_space_is_pointer(const struct gn_space *space, uint64_t va);

/* Copies foreign text: up to the first NUL, printable ASCII as it is and anything else as
 * '?'. 'out' has room for 'size' bytes of text and a NUL. */
void gn_space_clean_text(char *out, const char *text, size_t size);

#endif
