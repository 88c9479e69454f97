/* inflight.c - see inflight.h. */
#include "dataplane/blk/inflight.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VERSION   1
#define ALIGNMENT 64u /* of one queue's part */

static uint64_t part_size(unsigned queue_size)
{
	uint64_t size = sizeof(struct rte_vhost_inflight_info_split) +
	                (uint64_t)queue_size * sizeof(struct rte_vhost_inflight_desc_split);

	return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

int gn_blk_inflight_make(unsigned n_queues, unsigned queue_size, uint64_t *size_bytes)
{
	uint64_t size = n_queues * part_size(queue_size);
	int fd = memfd_create("gnomon-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
		int err = errno;

		close(fd);
		return -err;
	}
	*size_bytes = size;
	return fd;
}

int gn_blk_inflight_map(struct gn_blk_inflight *inflight, int fd, uint64_t offset,
                        uint64_t size_bytes, unsigned n_queues, unsigned queue_size)
{
	void *map;

	gn_blk_inflight_unmap(inflight);
	if (!n_queues || !queue_size || size_bytes / n_queues < part_size(queue_size))
		return -EINVAL;
	map = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	if (map == MAP_FAILED)
		return -errno;
	*inflight = (struct gn_blk_inflight){map, size_bytes, n_queues, queue_size};
	return 0;
}

void gn_blk_inflight_unmap(struct gn_blk_inflight *inflight)
{
	if (inflight->map)
		munmap(inflight->map, inflight->size_bytes);
	memset(inflight, 0, sizeof *inflight);
}

struct rte_vhost_inflight_info_split *gn_blk_inflight_of(const struct gn_blk_inflight *inflight,
                                                         unsigned queue, unsigned ring_size)
{
	if (!inflight->map || queue >= inflight->n_queues || ring_size > inflight->queue_size)
		return NULL;
	return (void *)(inflight->map + queue * part_size(inflight->queue_size));
}

struct marked {
	uint64_t counter;
	uint16_t head;
};

static int by_age(const void *a, const void *b)
{
	const struct marked *x = a;
	const struct marked *y = b;

	return x->counter < y->counter ? -1 : x->counter > y->counter;
}

/* A buffer that nobody has used yet. */
static void begin(struct rte_vhost_inflight_info_split *info, unsigned ring_size, uint16_t used_idx)
{
	info->desc_num = (uint16_t)ring_size;
	info->used_idx = used_idx;
	__atomic_store_n(&info->version, VERSION, __ATOMIC_RELEASE);
}

/* The former process died between the used ring's index and the request's mark. */
static void finish_last(struct rte_vhost_inflight_info_split *info, unsigned ring_size,
                        uint16_t used_idx)
{
	uint16_t last = __atomic_load_n(&info->last_inflight_io, __ATOMIC_RELAXED);

	if (__atomic_load_n(&info->used_idx, __ATOMIC_RELAXED) == used_idx)
		return;
	if (last < ring_size)
		__atomic_store_n(&info->desc[last].inflight, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&info->used_idx, used_idx, __ATOMIC_RELEASE);
}

int gn_blk_inflight_recover(struct rte_vhost_inflight_info_split *info, unsigned ring_size,
                            uint16_t used_idx, uint16_t *heads, uint64_t *next_counter)
{
	struct marked *marked;
	int n = 0;

	*next_counter = 0;
	if (!__atomic_load_n(&info->version, __ATOMIC_ACQUIRE)) {
		begin(info, ring_size, used_idx);
		return 0;
	}
	finish_last(info, ring_size, used_idx);
	marked = calloc(ring_size, sizeof *marked);
	if (!marked)
		return -ENOMEM;
	for (unsigned i = 0; i < ring_size; i++) {
		if (__atomic_load_n(&info->desc[i].inflight, __ATOMIC_RELAXED) != 1)
			continue;
		marked[n].counter = __atomic_load_n(&info->desc[i].counter, __ATOMIC_RELAXED);
		marked[n++].head = (uint16_t)i;
	}
	if (n)
		qsort(marked, (size_t)n, sizeof *marked, by_age);
	for (int i = 0; i < n; i++)
		heads[i] = marked[i].head;
	if (n)
		*next_counter = marked[n - 1].counter + 1;
	free(marked);
	return n;
}
