/* image.h - a small guest memory with a made-up x86-64 kernel in it: VMCOREINFO, symbol table,
 * type information, a ring of tasks, counters and a log. For unit tests and fuzzing, which then
 * break it. Field offsets differ from every real kernel's, so nothing works by accident. */
#ifndef GN_TESTS_INTROSPECT_IMAGE_H
#define GN_TESTS_INTROSPECT_IMAGE_H

#include "firmware/introspect/bootstrap.h"

#define GN_IMAGE_SIZE       (4u << 20)
#define GN_IMAGE_TASKS      12 /* processes; the third has GN_IMAGE_THREADS threads */
#define GN_IMAGE_THREADS    3
#define GN_IMAGE_CPUS       2
#define GN_IMAGE_VA         0xffffffff80000000ull
#define GN_IMAGE_PHYS       0x100000ull /* of GN_IMAGE_VA */
#define GN_IMAGE_DIRECT     0xffff888000000000ull
#define GN_IMAGE_INIT_TASK  0x10000u /* offsets from GN_IMAGE_VA */
#define GN_IMAGE_DATA       0x20000u
#define GN_IMAGE_VMCOREINFO 0x30000u
#define GN_IMAGE_KALLSYMS   0x40000u
#define GN_IMAGE_BTF        0x60000u
#define GN_IMAGE_LOG        0x1f0000u
#define GN_IMAGE_TASK_GPA   0x300000ull /* of the first process; the next every 4 KiB */
#define GN_IMAGE_LOG_LINES  8

/* Field offsets. */
#define GN_IMAGE_TASK_LINKS  0x108u
#define GN_IMAGE_TASK_PID    0x200u
#define GN_IMAGE_TASK_SIGNAL 0x260u
#define GN_IMAGE_TASK_STATE  0x18u

enum gn_image_layout {
	GN_IMAGE_OLD,      /* offsets before the names */
	GN_IMAGE_SEQUENCE, /* the same, with sequence numbers after the markers */
	GN_IMAGE_NEW,      /* offsets after the token index */
};

struct gn_image {
	_Alignas(4096) uint8_t bytes[GN_IMAGE_SIZE];
	struct gn_memory memory;
	size_t btf_size;
};

/* Makes the image. Exits the process when it cannot. */
void gn_image_make(struct gn_image *image, enum gn_image_layout layout);

/* The bytes at an address of the kernel's image. */
void *gn_image_at(struct gn_image *image, uint32_t offset);
/* Process 'index' (0-based; its number is index + 1). */
uint8_t *gn_image_task(struct gn_image *image, unsigned index);
void gn_image_put64(void *at, uint64_t value);
void gn_image_put32(void *at, uint32_t value);

#endif
