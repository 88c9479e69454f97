/* vring.c - see vring.h. */
#include "tests/frontend/vring.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define INDIRECT_TABLE_SIZE (GN_VRING_MAX_SEGMENTS * sizeof(struct vring_desc))

static int lay_out(struct gn_vring *vring)
{
	unsigned n = vring->size;
	uint64_t tables = 0;

	vring->desc_gpa = gn_ram_alloc(vring->ram, sizeof(struct vring_desc) * n, 4096);
	vring->avail_gpa = gn_ram_alloc(vring->ram, sizeof(uint16_t) * (3 + n), 64);
	vring->used_gpa = gn_ram_alloc(
	        vring->ram, sizeof(uint16_t) * 3 + sizeof(struct vring_used_elem) * n, 4096);
	if (vring->indirect)
		tables = gn_ram_alloc(vring->ram, INDIRECT_TABLE_SIZE * n, 64);
	if (!vring->desc_gpa || !vring->avail_gpa || !vring->used_gpa ||
	    (vring->indirect && !tables))
		return -ENOMEM;
	vring->desc = gn_ram_at(vring->ram, vring->desc_gpa);
	vring->avail = gn_ram_at(vring->ram, vring->avail_gpa);
	vring->used = gn_ram_at(vring->ram, vring->used_gpa);
	for (unsigned i = 0; i < n; i++) {
		vring->desc[i].next = (uint16_t)(i + 1);
		if (tables)
			vring->slots[i].table_gpa = tables + i * INDIRECT_TABLE_SIZE;
	}
	return 0;
}

int gn_vring_init(struct gn_vring *vring, struct gn_ram *ram, unsigned size, bool event_idx,
                  bool indirect)
{
	int error = -ENOMEM;

	*vring = (struct gn_vring){.size = size,
	                           .event_idx = event_idx,
	                           .indirect = indirect,
	                           .kick_fd = -1,
	                           .call_fd = -1,
	                           .n_free = (uint16_t)size,
	                           .ram = ram};
	if (size < 2 || size > 32768 || (size & (size - 1)))
		return -EINVAL;
	vring->slots = calloc(size, sizeof(*vring->slots));
	if (vring->slots)
		error = lay_out(vring);
	if (!error) {
		vring->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		vring->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vring->kick_fd < 0 || vring->call_fd < 0)
			error = -errno;
	}
	if (error)
		gn_vring_fini(vring);
	return error;
}

void gn_vring_fini(struct gn_vring *vring)
{
	if (vring->kick_fd >= 0)
		close(vring->kick_fd);
	if (vring->call_fd >= 0)
		close(vring->call_fd);
	free(vring->slots);
	vring->slots = NULL;
	vring->kick_fd = vring->call_fd = -1;
}

static uint16_t desc_flags(const struct gn_vring_segment *segment, bool last)
{
	return (uint16_t)((segment->device_writes ? VRING_DESC_F_WRITE : 0) |
	                  (last ? 0 : VRING_DESC_F_NEXT));
}

static void fill_direct(struct gn_vring *vring, const struct gn_vring_segment *segments, unsigned n)
{
	uint16_t at = vring->free_head;

	for (unsigned i = 0; i < n; i++) {
		struct vring_desc *d = &vring->desc[at];

		d->addr = segments[i].gpa;
		d->len = segments[i].size_bytes;
		d->flags = desc_flags(&segments[i], i + 1 == n);
		at = d->next;
	}
	vring->free_head = at;
}

static void fill_indirect(struct gn_vring *vring, const struct gn_vring_segment *segments,
                          unsigned n)
{
	struct vring_desc *d = &vring->desc[vring->free_head];
	uint64_t table_gpa = vring->slots[vring->free_head].table_gpa;
	struct vring_desc *table = gn_ram_at(vring->ram, table_gpa);

	for (unsigned i = 0; i < n; i++)
		table[i] = (struct vring_desc){segments[i].gpa, segments[i].size_bytes,
		                               desc_flags(&segments[i], i + 1 == n),
		                               (uint16_t)(i + 1 == n ? 0 : i + 1)};
	d->addr = table_gpa;
	d->len = (uint32_t)(n * sizeof(*table));
	d->flags = VRING_DESC_F_INDIRECT;
	vring->free_head = d->next;
}

int gn_vring_add(struct gn_vring *vring, const struct gn_vring_segment *segments,
                 unsigned n_segments, void *cookie)
{
	uint16_t head = vring->free_head;
	bool indirect = vring->indirect && n_segments > 1;
	uint16_t n_desc = (uint16_t)(indirect ? 1 : n_segments);

	if (n_segments < 1 || n_segments > GN_VRING_MAX_SEGMENTS)
		return -EINVAL;
	if (vring->n_free < n_desc)
		return -ENOSPC;
	if (indirect)
		fill_indirect(vring, segments, n_segments);
	else
		fill_direct(vring, segments, n_segments);
	vring->n_free = (uint16_t)(vring->n_free - n_desc);
	vring->slots[head].cookie = cookie;
	vring->slots[head].n_desc = n_desc;
	vring->slots[head].busy = true;
	vring->avail->ring[vring->avail_idx & (vring->size - 1)] = head;
	vring->avail_idx++;
	return 0;
}

void gn_vring_publish(struct gn_vring *vring)
{
	__atomic_store_n(&vring->avail->idx, vring->avail_idx, __ATOMIC_RELEASE);
}

/* The device's wish is read after a full fence, against its own fence between writing the
 * wish and reading the index (section 2.7.13.3). */
static bool wants_kick(struct gn_vring *vring)
{
	uint16_t event;
	uint16_t old = vring->notified_idx;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	vring->notified_idx = vring->avail_idx;
	if (!vring->event_idx)
		return !(__atomic_load_n(&vring->used->flags, __ATOMIC_RELAXED) &
		         VRING_USED_F_NO_NOTIFY);
	event = __atomic_load_n((uint16_t *)&vring->used->ring[vring->size], __ATOMIC_RELAXED);
	return (uint16_t)(vring->avail_idx - event - 1) < (uint16_t)(vring->avail_idx - old);
}

void gn_vring_kick_always(struct gn_vring *vring)
{
	uint64_t one = 1;

	vring->notified_idx = vring->avail_idx;
	vring->kicks++;
	if (write(vring->kick_fd, &one, sizeof(one)) < 0)
		return; /* full: a kick is pending anyway */
}

void gn_vring_kick(struct gn_vring *vring)
{
	gn_vring_publish(vring);
	if (vring->notified_idx != vring->avail_idx && wants_kick(vring))
		gn_vring_kick_always(vring);
}

static void release(struct gn_vring *vring, uint16_t head)
{
	uint16_t last = head;

	for (unsigned i = 1; i < vring->slots[head].n_desc; i++)
		last = vring->desc[last].next;
	vring->desc[last].next = vring->free_head;
	vring->free_head = head;
	vring->n_free = (uint16_t)(vring->n_free + vring->slots[head].n_desc);
	vring->slots[head].busy = false;
}

int gn_vring_take(struct gn_vring *vring, void **cookie, uint32_t *size_bytes)
{
	struct vring_used_elem element;

	if (__atomic_load_n(&vring->used->idx, __ATOMIC_ACQUIRE) == vring->used_idx)
		return 0;
	element = vring->used->ring[vring->used_idx & (vring->size - 1)];
	vring->used_idx++;
	if (element.id >= vring->size || !vring->slots[element.id].busy)
		return -EBADMSG;
	*cookie = vring->slots[element.id].cookie;
	*size_bytes = element.len;
	release(vring, (uint16_t)element.id);
	return 1;
}

bool gn_vring_arm(struct gn_vring *vring)
{
	if (vring->event_idx)
		__atomic_store_n(&vring->avail->ring[vring->size], vring->used_idx,
		                 __ATOMIC_RELAXED);
	__atomic_store_n(&vring->avail->flags, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&vring->used->idx, __ATOMIC_ACQUIRE) == vring->used_idx;
}

void gn_vring_mute(struct gn_vring *vring)
{
	if (vring->event_idx)
		__atomic_store_n(&vring->avail->ring[vring->size], (uint16_t)(vring->used_idx - 1),
		                 __ATOMIC_RELAXED);
	else
		__atomic_store_n(&vring->avail->flags, VRING_AVAIL_F_NO_INTERRUPT,
		                 __ATOMIC_RELAXED);
}

void gn_vring_drain_call(struct gn_vring *vring)
{
	uint64_t count;

	while (read(vring->call_fd, &count, sizeof(count)) > 0)
		;
}
