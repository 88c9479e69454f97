/* dump.c - files of guest memory (dump.h). */
#include "firmware/introspect/dump.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SEGMENTS 256
#define GIB          ((uint64_t)1 << 30)

static bool read_at(int fd, void *buffer, size_t size, uint64_t at)
{
	return pread(fd, buffer, size, (off_t)at) == (ssize_t)size;
}

static int bad(struct gn_status *status, const char *what, uint64_t value)
{
	return gn_status_set(status, GN_INVALID_ARGUMENT, "the memory dump is damaged: %s %llu",
	                     what, (unsigned long long)value);
}

/* Cores are not page-aligned, and mmap needs that; a segment's unaligned part cannot occur in
 * what QEMU writes unless the notes before it are, so the file offset decides. */
static int add_segment(struct gn_memory *memory, int fd, const Elf64_Phdr *p,
                       struct gn_status *status)
{
	uint64_t size = p->p_filesz & ~(uint64_t)(GN_MEMORY_PAGE - 1);
	int err;

	if (!size)
		return 0;
	err = gn_memory_add(memory, p->p_paddr, size, fd, p->p_offset);
	if (err == -ENOSPC)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the memory dump has more than %u segments of memory",
		                     GN_MEMORY_MAX_REGIONS);
	return err ? bad(status, "a segment does not fit the file, at physical address", p->p_paddr)
	           : 0;
}

static int open_core(struct gn_memory *memory, int fd, const Elf64_Ehdr *header,
                     struct gn_status *status)
{
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    (header->e_machine != EM_X86_64 && header->e_machine != EM_AARCH64))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "this ELF file is of machine %u; x86-64 and arm64 are read",
		                     header->e_machine);
	if (header->e_type != ET_CORE || header->e_phentsize != sizeof(Elf64_Phdr) ||
	    header->e_phnum > MAX_SEGMENTS)
		return bad(status, "type or program headers of an ELF core expected, type is",
		           header->e_type);
	for (unsigned i = 0; i < header->e_phnum; i++) {
		Elf64_Phdr p;
		int err;

		if (!read_at(fd, &p, sizeof p, header->e_phoff + i * sizeof p))
			return bad(status, "it ends before program header", i);
		err = p.p_type == PT_LOAD ? add_segment(memory, fd, &p, status) : 0;
		if (err)
			return err;
	}
	return memory->n_regions ? 0 : bad(status, "segments of memory in it:", 0);
}

static int open_raw(struct gn_memory *memory, int fd, uint64_t base, uint64_t size,
                    struct gn_status *status)
{
	uint64_t low = !base && size >= GN_DUMP_SPLIT_BYTES ? GN_DUMP_LOW_BYTES : size;
	int err = gn_memory_add(memory, base, low, fd, 0);

	if (!err && low < size)
		err = gn_memory_add(memory, 4 * GIB, size - low, fd, low);
	if (err)
		return gn_status_set(status, gn_code_from_errno(err),
		                     "a raw image of %llu bytes cannot be mapped: %s",
		                     (unsigned long long)size, strerror(-err));
	return 0;
}

int gn_dump_open(struct gn_memory *memory, int fd, uint64_t base, struct gn_status *status)
{
	Elf64_Ehdr header;
	struct stat st;
	uint64_t size;

	if (fstat(fd, &st) != 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "a memory dump is a regular file");
	size = (uint64_t)st.st_size & ~(uint64_t)(GN_MEMORY_PAGE - 1);
	if (!size)
		return gn_status_set(status, GN_INVALID_ARGUMENT, "the memory dump is empty");
	if (read_at(fd, &header, sizeof header, 0) && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0)
		return open_core(memory, fd, &header, status);
	return open_raw(memory, fd, base, size, status);
}
