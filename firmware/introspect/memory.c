/* memory.c - regions, checked access and the scanner (memory.h). */
#include "firmware/introspect/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int check_range(const struct gn_memory *memory, uint64_t gpa, uint64_t size)
{
	if (!size || gpa % GN_MEMORY_PAGE || gpa + size < gpa)
		return -EINVAL;
	if (memory->n_regions == GN_MEMORY_MAX_REGIONS)
		return -ENOSPC;
	for (unsigned i = 0; i < memory->n_regions; i++) {
		const struct gn_memory_region *r = &memory->regions[i];

		if (gpa < r->gpa + r->size && r->gpa < gpa + size)
			return -EEXIST;
	}
	return 0;
}

int gn_memory_add(struct gn_memory *memory, uint64_t gpa, uint64_t size, int fd, uint64_t offset)
{
	int err = check_range(memory, gpa, size);
	struct stat st;
	void *map = NULL;

	if (err)
		return err;
	if (offset + size < offset || fstat(fd, &st) != 0 || (uint64_t)st.st_size < offset + size)
		return -EINVAL;
	if (offset % GN_MEMORY_PAGE == 0)
		map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, (off_t)offset);
	if (map == MAP_FAILED)
		return -errno;
	memory->regions[memory->n_regions++] =
	        (struct gn_memory_region){gpa, size, fd, offset, map};
	return 0;
}

int gn_memory_add_bytes(struct gn_memory *memory, uint64_t gpa, const void *bytes, uint64_t size)
{
	int err = check_range(memory, gpa, size);

	if (err)
		return err;
	memory->regions[memory->n_regions++] = (struct gn_memory_region){gpa, size, -1, 0, bytes};
	return 0;
}

void gn_memory_fini(struct gn_memory *memory)
{
	for (unsigned i = 0; i < memory->n_regions; i++) {
		struct gn_memory_region *r = &memory->regions[i];

		if (r->fd >= 0 && r->map)
			munmap((void *)(uintptr_t)r->map, r->size);
	}
	memory->n_regions = 0;
}

uint64_t gn_memory_size(const struct gn_memory *memory)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < memory->n_regions; i++)
		size += memory->regions[i].size;
	return size;
}

static const struct gn_memory_region *find(struct gn_memory *memory, uint64_t gpa, uint64_t size)
{
	for (unsigned i = 0; i < memory->n_regions; i++) {
		const struct gn_memory_region *r = &memory->regions[i];

		if (gpa >= r->gpa && gpa - r->gpa < r->size) {
			if (size > r->size - (gpa - r->gpa))
				return NULL;
			memory->bytes_read += size;
			return r;
		}
	}
	return NULL;
}

static bool copy_from_file(const struct gn_memory_region *r, uint64_t at, void *buffer, size_t size)
{
	uint8_t *to = buffer;

	while (size) {
		ssize_t n = pread(r->fd, to, size, (off_t)(r->offset + at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		to += n;
		at += (uint64_t)n;
		size -= (size_t)n;
	}
	return true;
}

bool gn_memory_u64(struct gn_memory *memory, uint64_t gpa, uint64_t *value)
{
	const struct gn_memory_region *r = gpa % 8 ? NULL : find(memory, gpa, 8);

	if (!r)
		return false;
	if (!r->map)
		return copy_from_file(r, gpa - r->gpa, value, 8);
	*value = __atomic_load_n((const uint64_t *)(const void *)(r->map + (gpa - r->gpa)),
	                         __ATOMIC_ACQUIRE);
	return true;
}

bool gn_memory_u32(struct gn_memory *memory, uint64_t gpa, uint32_t *value)
{
	const struct gn_memory_region *r = gpa % 4 ? NULL : find(memory, gpa, 4);

	if (!r)
		return false;
	if (!r->map)
		return copy_from_file(r, gpa - r->gpa, value, 4);
	*value = __atomic_load_n((const uint32_t *)(const void *)(r->map + (gpa - r->gpa)),
	                         __ATOMIC_ACQUIRE);
	return true;
}

bool gn_memory_read(struct gn_memory *memory, uint64_t gpa, void *buffer, size_t size)
{
	const struct gn_memory_region *r = find(memory, gpa, size);
	uint8_t *to = buffer;

	if (r && !r->map)
		return copy_from_file(r, gpa - r->gpa, buffer, size);
	/* Regions are page-aligned, so the aligned word around any byte is inside. */
	while (r && size) {
		uint64_t at = gpa - r->gpa, word;
		size_t skip = at % 8, n = 8 - skip < size ? 8 - skip : size;

		word = __atomic_load_n((const uint64_t *)(const void *)(r->map + (at - skip)),
		                       __ATOMIC_RELAXED);
		memcpy(to, (const uint8_t *)&word + skip, n);
		to += n;
		gpa += n;
		size -= n;
	}
	return r != NULL;
}

bool gn_memory_copy(struct gn_memory *memory, uint64_t gpa, void *buffer, size_t size)
{
	const struct gn_memory_region *r = find(memory, gpa, size);

	if (!r)
		return false;
	if (r->fd >= 0)
		return copy_from_file(r, gpa - r->gpa, buffer, size);
	memcpy(buffer, r->map + (gpa - r->gpa), size);
	return true;
}

/* ---- scan ---------------------------------------------------------------------------- */

/* Finds the populated stretch at or after 'at'. A file system without SEEK_DATA has no
 * holes. */
static bool next_data(const struct gn_memory_region *r, struct gn_memory_scan *scan)
{
	off_t data, hole;

	if (scan->at >= r->size)
		return false;
	if (r->fd < 0) {
		scan->data_to = r->size;
		return true;
	}
	data = lseek(r->fd, (off_t)(r->offset + scan->at), SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		return false;
	if (data < 0) {
		scan->data_to = r->size;
		return true;
	}
	if ((uint64_t)data >= r->offset + r->size)
		return false;
	hole = lseek(r->fd, data, SEEK_HOLE);
	scan->at = ((uint64_t)data - r->offset) & ~(uint64_t)(GN_MEMORY_PAGE - 1);
	scan->data_to = hole < 0 ? r->size : (uint64_t)hole - r->offset;
	if (scan->data_to > r->size)
		scan->data_to = r->size;
	return true;
}

/* Stands 'scan' on populated memory. Tells whether this is a new stretch. */
static bool find_stretch(struct gn_memory *memory, struct gn_memory_scan *scan, bool *is_new)
{
	*is_new = false;
	while (scan->region < memory->n_regions) {
		if (scan->at < scan->data_to)
			return true;
		*is_new = true;
		if (next_data(&memory->regions[scan->region], scan))
			return true;
		scan->region++;
		scan->at = scan->data_to = 0;
	}
	return false;
}

size_t gn_memory_scan_next(struct gn_memory *memory, struct gn_memory_scan *scan, void *buffer,
                           size_t size, size_t overlap, uint64_t *gpa)
{
	bool is_new;

	while (find_stretch(memory, scan, &is_new)) {
		const struct gn_memory_region *r = &memory->regions[scan->region];
		uint64_t from = is_new || scan->at < overlap ? scan->at : scan->at - overlap;
		uint64_t n = scan->data_to - from < size ? scan->data_to - from : size;

		scan->at = from + n;
		*gpa = r->gpa + from;
		if (gn_memory_copy(memory, *gpa, buffer, n))
			return n;
		scan->at = scan->data_to = r->size; /* the file is shorter now: next region */
	}
	return 0;
}
