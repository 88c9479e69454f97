/* space.c - address translation (space.h). */
#include "firmware/introspect/space.h"

void gn_space_set_linear(struct gn_space *space, uint64_t virt, uint64_t phys)
{
	uint64_t low = UINT64_MAX, high = 0;

	for (unsigned i = 0; i < space->memory->n_regions; i++) {
		const struct gn_memory_region *r = &space->memory->regions[i];

		low = r->gpa < low ? r->gpa : low;
		high = r->gpa + r->size > high ? r->gpa + r->size : high;
	}
	space->linear_delta = virt - phys;
	space->linear_from = low + space->linear_delta;
	space->linear_to = high + space->linear_delta;
}

bool gn_space_translate(const struct gn_space *space, uint64_t va, uint64_t *gpa)
{
	if (va >= space->image_from && va < space->image_to)
		*gpa = va - space->image_delta;
	else if (va >= space->linear_from && va < space->linear_to)
		*gpa = va - space->linear_delta;
	else
		return false;
	return true;
}

bool gn_space_u64(const struct gn_space *space, uint64_t va, uint64_t *value)
{
	uint64_t gpa;

	return gn_space_translate(space, va, &gpa) && gn_memory_u64(space->memory, gpa, value);
}

bool gn_space_u32(const struct gn_space *space, uint64_t va, uint32_t *value)
{
	uint64_t gpa;

	return gn_space_translate(space, va, &gpa) && gn_memory_u32(space->memory, gpa, value);
}

bool gn_space_read(const struct gn_space *space, uint64_t va, void *buffer, size_t size)
{
	uint64_t gpa;

	return gn_space_translate(space, va, &gpa) &&
	       gn_memory_read(space->memory, gpa, buffer, size);
}

bool gn_space_copy(const struct gn_space *space, uint64_t va, void *buffer, size_t size)
{
	uint64_t gpa;

	return gn_space_translate(space, va, &gpa) &&
	       gn_memory_copy(space->memory, gpa, buffer, size);
}

bool gn_space_is_pointer(const struct gn_space *space, uint64_t va)
{
	uint64_t value;

	return va % 8 == 0 && gn_space_u64(space, va, &value);
}

void gn_space_clean_text(char *out, const char *text, size_t size)
{
	size_t i;

	for (i = 0; i < size && text[i]; i++)
		out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	out[i] = '\0';
}
