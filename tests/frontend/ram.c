/* ram.c - see ram.h. */
#include "tests/frontend/ram.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ull

static uint64_t round_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

int gn_ram_init(struct gn_ram *ram, uint64_t size_bytes, unsigned n_regions, bool unsealable)
{
	uint64_t each;

	*ram = (struct gn_ram){.fd = -1, .n_regions = n_regions, .used = PAGE};
	if (n_regions < 1 || n_regions > GN_WIRE_MAX_REGIONS)
		return -EINVAL;
	each = round_up(size_bytes / n_regions + 1, PAGE);
	ram->size_bytes = each * n_regions;
	for (unsigned i = 0; i < n_regions; i++)
		ram->regions[i] = (struct gn_ram_region){i * (each + GN_RAM_HOLE), each, i * each};
	ram->fd = memfd_create("gn-guest-ram", MFD_CLOEXEC | (unsealable ? 0 : MFD_ALLOW_SEALING));
	if (ram->fd < 0)
		return -errno;
	if (ftruncate(ram->fd, (off_t)ram->size_bytes) == 0)
		ram->base =
		        mmap(NULL, ram->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ram->fd, 0);
	if (ram->base == NULL || ram->base == MAP_FAILED) {
		int error = errno;

		ram->base = NULL;
		gn_ram_fini(ram);
		return -error;
	}
	return 0;
}

void gn_ram_fini(struct gn_ram *ram)
{
	if (ram->base)
		munmap(ram->base, ram->size_bytes);
	if (ram->fd >= 0)
		close(ram->fd);
	ram->base = NULL;
	ram->fd = -1;
}

uint64_t gn_ram_alloc(struct gn_ram *ram, uint64_t size_bytes, uint64_t align)
{
	for (unsigned i = 0; i < ram->n_regions; i++) {
		const struct gn_ram_region *r = &ram->regions[i];
		uint64_t start = ram->used > r->offset ? ram->used : r->offset;

		start = round_up(start, align);
		if (start + size_bytes > r->offset + r->size_bytes)
			continue;
		ram->used = start + size_bytes;
		return r->gpa + (start - r->offset);
	}
	return 0;
}

void *gn_ram_at(const struct gn_ram *ram, uint64_t gpa)
{
	for (unsigned i = 0; i < ram->n_regions; i++) {
		const struct gn_ram_region *r = &ram->regions[i];

		if (gpa >= r->gpa && gpa - r->gpa < r->size_bytes)
			return ram->base + r->offset + (gpa - r->gpa);
	}
	return NULL;
}
