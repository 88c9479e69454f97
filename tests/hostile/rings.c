/* rings.c - what a malicious guest can write into its own rings. Each case fills descriptors
 * and the available ring by hand, lets the device look, and waits a moment. Whether the
 * device answers is its affair. */
#include "tests/hostile/attack.h"

#include <stdlib.h>
#include <string.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>

#define LOOK_MS  30
#define N_RANDOM 4000

/* A chain that every case starts from: what the device expects, in 'n' descriptors. */
struct chain {
	struct vring_desc desc[4];
	unsigned n;
	uint64_t gpa; /* two pages of buffers */
};

/* The vring that a guest sends by. */
static struct gn_vring *ring_of(struct gn_attack *a)
{
	return &a->fe->vrings[a->kind == GN_ATTACK_NET ? 1 : 0];
}

static struct chain good_chain(struct gn_attack *a)
{
	struct chain c = {.gpa = a->fe->ram.regions[0].gpa};
	uint8_t *p;

	c.gpa = gn_ram_alloc(&a->fe->ram, 8192, 4096);
	p = gn_ram_at(&a->fe->ram, c.gpa);
	if (a->kind == GN_ATTACK_NET) {
		memset(p + sizeof(struct virtio_net_hdr_v1), 0xff, 12);
		c.desc[0] = (struct vring_desc){c.gpa, 12, VRING_DESC_F_NEXT, 1};
		c.desc[1] = (struct vring_desc){c.gpa + 12, 60, 0, 0};
		c.n = 2;
	} else {
		*(struct virtio_blk_outhdr *)p =
		        (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN};
		c.desc[0] = (struct vring_desc){c.gpa, 16, VRING_DESC_F_NEXT, 1};
		c.desc[1] = (struct vring_desc){c.gpa + 512, 512,
		                                VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2};
		c.desc[2] = (struct vring_desc){c.gpa + 4096, 1, VRING_DESC_F_WRITE, 0};
		c.n = 3;
	}
	return c;
}

static void look(struct gn_attack *a)
{
	gn_vring_publish(ring_of(a));
	gn_vring_kick_always(ring_of(a));
	gn_attack_pause_ms(LOOK_MS);
}

/* Shows the device the chain as it stands, in the ring's own table from 0 on. */
static void show(struct gn_attack *a, const struct chain *c)
{
	struct gn_vring *v = ring_of(a);

	memcpy(v->desc, c->desc, sizeof(c->desc));
	v->avail->ring[v->avail_idx++ & (v->size - 1)] = 0;
	look(a);
}

/* A device that stopped a corrupt ring starts it again after a reset. */
static int again(struct gn_attack *a)
{
	return gn_attack_restore(a);
}

/* The same change to each descriptor of the chain in turn. */
static int each_descriptor(struct gn_attack *a, void (*change)(struct vring_desc *, unsigned))
{
	for (unsigned i = 0; i < (a->kind == GN_ATTACK_NET ? 2u : 3u); i++) {
		struct chain c = good_chain(a);

		change(&c.desc[i], i);
		show(a, &c);
		if (again(a))
			return -1;
	}
	return 0;
}

static void to_itself(struct vring_desc *d, unsigned i)
{
	d->flags |= VRING_DESC_F_NEXT;
	d->next = (uint16_t)i;
}

static void to_the_first(struct vring_desc *d, unsigned i)
{
	d->flags |= VRING_DESC_F_NEXT;
	d->next = 0;
}

static void next_out_of_range(struct vring_desc *d, unsigned i)
{
	d->flags |= VRING_DESC_F_NEXT;
	d->next = 0xffff;
}

static void outside_memory(struct vring_desc *d, unsigned i)
{
	d->addr = 1ull << 60;
}

static void at_null(struct vring_desc *d, unsigned i)
{
	d->addr = 0;
	d->len = 0xffffffff;
}

static void wrapping(struct vring_desc *d, unsigned i)
{
	d->addr = UINT64_MAX - 3;
	d->len = 4096;
}

static void four_gigabytes(struct vring_desc *d, unsigned i)
{
	d->len = 0xffffffff;
}

static void empty(struct vring_desc *d, unsigned i)
{
	d->len = 0;
}

static void other_direction(struct vring_desc *d, unsigned i)
{
	d->flags ^= VRING_DESC_F_WRITE;
}

static void all_flags(struct vring_desc *d, unsigned i)
{
	d->flags = 0xffff;
}

static void one_byte(struct vring_desc *d, unsigned i)
{
	d->len = 1;
}

#define EACH(name)                                                                                 \
	static int each_##name(struct gn_attack *a)                                                \
	{                                                                                          \
		return each_descriptor(a, name);                                                   \
	}
EACH(to_itself)
EACH(to_the_first)
EACH(next_out_of_range)
EACH(outside_memory)
EACH(at_null)
EACH(wrapping)
EACH(four_gigabytes)
EACH(empty)
EACH(other_direction)
EACH(all_flags)
EACH(one_byte)

/* ---- indices ------------------------------------------------------------------ */

static int index_jump(struct gn_attack *a)
{
	static const uint16_t jumps[] = {65535, 32768, 257, 4096};

	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		struct chain c = good_chain(a);

		ring_of(a)->avail_idx = (uint16_t)(ring_of(a)->avail_idx + jumps[i] - 1);
		show(a, &c);
		if (again(a))
			return -1;
	}
	return 0;
}

static int head_out_of_range(struct gn_attack *a)
{
	struct gn_vring *v = ring_of(a);

	for (unsigned i = 0; i < v->size; i++)
		v->avail->ring[i] = (uint16_t)(i % 2 ? 0xffff : v->size);
	v->avail_idx = (uint16_t)(v->avail_idx + v->size / 2);
	look(a);
	return again(a);
}

/* The same buffer again and again while the device may still work on it. */
static int repeated_head(struct gn_attack *a)
{
	struct chain c = good_chain(a);
	struct gn_vring *v = ring_of(a);

	memset(v->avail->ring, 0, v->size * sizeof(v->avail->ring[0]));
	memcpy(v->desc, c.desc, sizeof(c.desc));
	v->avail_idx = (uint16_t)(v->avail_idx + v->size);
	look(a);
	return again(a);
}

/* The device's own ring, written by the guest. */
static int forged_used(struct gn_attack *a)
{
	struct chain c = good_chain(a);
	struct gn_vring *v = ring_of(a);

	v->used->idx = (uint16_t)(v->used->idx + 12345);
	show(a, &c);
	v->used->flags = 0xffff;
	show(a, &c);
	return again(a);
}

/* Buffers that lie over the rings themselves. */
static int into_the_rings(struct gn_attack *a)
{
	const uint64_t targets[] = {ring_of(a)->desc_gpa, ring_of(a)->avail_gpa,
	                            ring_of(a)->used_gpa};

	for (unsigned i = 0; i < 3; i++) {
		struct chain c = good_chain(a);

		c.desc[1].addr = targets[i];
		show(a, &c);
		look(a);
		if (again(a))
			return -1;
	}
	return 0;
}

/* ---- indirect tables ------------------------------------------------------------- */

static void show_indirect(struct gn_attack *a, uint64_t table, uint32_t size, uint16_t flags)
{
	struct chain c = {.desc[0] = {table, size, (uint16_t)(VRING_DESC_F_INDIRECT | flags), 1}};

	show(a, &c);
}

static int indirect_sizes(struct gn_attack *a)
{
	static const uint32_t sizes[] = {0, 1, 15, 17, 47, 0xffffffff, 0xfffffff0, 16 * 65536};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct chain c = good_chain(a);
		uint64_t table = gn_ram_alloc(&a->fe->ram, 4096, 4096);

		memcpy(gn_ram_at(&a->fe->ram, table), c.desc, sizeof(c.desc));
		show_indirect(a, table, sizes[i], 0);
		if (again(a))
			return -1;
	}
	return 0;
}

static int indirect_nested(struct gn_attack *a)
{
	uint64_t table = gn_ram_alloc(&a->fe->ram, 4096, 4096);
	struct vring_desc *t = gn_ram_at(&a->fe->ram, table);

	for (unsigned i = 0; i < 8; i++)
		t[i] = (struct vring_desc){table, 128, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT,
		                           (uint16_t)(i + 1)};
	show_indirect(a, table, 128, 0);
	if (again(a))
		return -1;
	show_indirect(a, table, 128, VRING_DESC_F_NEXT);
	return again(a);
}

static int indirect_loop(struct gn_attack *a)
{
	uint64_t table = gn_ram_alloc(&a->fe->ram, 4096, 4096);
	struct vring_desc *t = gn_ram_at(&a->fe->ram, table);

	for (unsigned i = 0; i < 8; i++)
		t[i] = (struct vring_desc){table + 2048, 4, VRING_DESC_F_NEXT, (uint16_t)(7 - i)};
	show_indirect(a, table, 128, 0);
	if (again(a))
		return -1;
	for (unsigned i = 0; i < 8; i++)
		t[i].next = 60000;
	show_indirect(a, table, 128, 0);
	return again(a);
}

static int indirect_outside(struct gn_attack *a)
{
	const struct gn_ram_region *r = &a->fe->ram.regions[0];

	show_indirect(a, 1ull << 60, 64, 0);
	if (again(a))
		return -1;
	show_indirect(a, r->gpa + r->size_bytes - 16, 64, 0);
	if (again(a))
		return -1;
	show_indirect(a, UINT64_MAX - 15, 64, 0);
	return again(a);
}

/* As many descriptors as a table can have, each the whole of memory. */
static int indirect_flood(struct gn_attack *a)
{
	const struct gn_ram_region *r = &a->fe->ram.regions[0];
	unsigned n = 4096;
	uint64_t table = gn_ram_alloc(&a->fe->ram, n * sizeof(struct vring_desc), 4096);
	struct vring_desc *t = gn_ram_at(&a->fe->ram, table);

	for (unsigned i = 0; i < n; i++)
		t[i] = (struct vring_desc){r->gpa + 4096, (uint32_t)(r->size_bytes - 8192),
		                           (uint16_t)(i + 1 < n ? VRING_DESC_F_NEXT : 0),
		                           (uint16_t)(i + 1)};
	show_indirect(a, table, n * (uint32_t)sizeof(*t), 0);
	return again(a);
}

/* ---- kinds ---------------------------------------------------------------------- */

static int net_headers(struct gn_attack *a)
{
	for (uint32_t size = 0; size <= 26; size++) {
		struct chain c = good_chain(a);

		memset(gn_ram_at(&a->fe->ram, c.gpa), (int)(size * 37), 64);
		c.desc[0] = (struct vring_desc){c.gpa, size, 0, 0};
		show(a, &c);
	}
	return again(a);
}

/* Every flag and segmentation type that was not negotiated. */
static int net_offloads(struct gn_attack *a)
{
	for (unsigned i = 0; i < 64; i++) {
		struct chain c = good_chain(a);
		struct virtio_net_hdr_v1 *h = gn_ram_at(&a->fe->ram, c.gpa);

		*h = (struct virtio_net_hdr_v1){.flags = (uint8_t)i,
		                                .gso_type = (uint8_t)(i * 5),
		                                .hdr_len = 0xffff,
		                                .gso_size = (uint16_t)(i % 2 ? 0 : 1),
		                                .csum_start = 0xfff0,
		                                .csum_offset = 0xfff0,
		                                .num_buffers = 0xffff};
		show(a, &c);
	}
	return again(a);
}

static int net_giant_frame(struct gn_attack *a)
{
	uint64_t gpa = gn_ram_alloc(&a->fe->ram, 1 << 18, 4096);
	struct chain c = {.desc[0] = {gpa, 1 << 18, 0, 0}};

	memset(gn_ram_at(&a->fe->ram, gpa + 12), 0xff, 1 << 17);
	show(a, &c);
	c.desc[0].len = 65536 + 12;
	show(a, &c);
	return again(a);
}

/* Receive buffers that cannot hold a frame; broadcasts of others meet them. */
static int net_receive_buffers(struct gn_attack *a)
{
	static const struct {
		uint64_t gpa;
		uint32_t size;
		uint16_t flags;
	} cases[] = {{4096, 1, VRING_DESC_F_WRITE},
	             {4096, 0, VRING_DESC_F_WRITE},
	             {4096, 12, VRING_DESC_F_WRITE},
	             {4096, 2048, 0},
	             {1ull << 60, 2048, VRING_DESC_F_WRITE},
	             {4096, 0xffffffff, VRING_DESC_F_WRITE},
	             {4096, 2048, 0xffff}};
	struct gn_vring *v = &a->fe->vrings[0];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned d = 0; d < v->size; d++) {
			v->desc[d] = (struct vring_desc){cases[i].gpa, cases[i].size,
			                                 cases[i].flags, (uint16_t)d};
			v->avail->ring[d] = (uint16_t)d;
		}
		v->avail_idx = (uint16_t)(v->avail_idx + v->size);
		gn_vring_publish(v);
		gn_vring_kick_always(v);
		gn_attack_pause_ms(20 * LOOK_MS);
		if (again(a))
			return -1;
	}
	return 0;
}

static int blk_requests(struct gn_attack *a)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t size;
	} cases[] = {{VIRTIO_BLK_T_IN, UINT64_MAX, 512}, {VIRTIO_BLK_T_OUT, UINT64_MAX / 512, 512},
	             {VIRTIO_BLK_T_IN, 1ull << 54, 512}, {VIRTIO_BLK_T_IN, 0, 511},
	             {VIRTIO_BLK_T_GET_ID, 0, 1},        {VIRTIO_BLK_T_GET_ID, 0, 4000},
	             {VIRTIO_BLK_T_FLUSH, 7, 512},       {0xffffffff, 0, 512},
	             {VIRTIO_BLK_T_SECURE_ERASE, 0, 16}, {VIRTIO_BLK_T_DISCARD, 0, 15},
	             {VIRTIO_BLK_T_WRITE_ZEROES, 0, 0}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned writes = 0; writes < 2; writes++) {
			struct chain c = good_chain(a);
			struct virtio_blk_outhdr *h = gn_ram_at(&a->fe->ram, c.gpa);

			h->type = cases[i].type;
			h->sector = cases[i].sector;
			c.desc[1].len = cases[i].size;
			c.desc[1].flags =
			        (uint16_t)(VRING_DESC_F_NEXT | (writes ? VRING_DESC_F_WRITE : 0));
			show(a, &c);
		}
	}
	return again(a);
}

static int blk_ranges(struct gn_attack *a)
{
	static const struct virtio_blk_discard_write_zeroes ranges[] = {
	        {UINT64_MAX, 1, 0},          {UINT64_MAX - 1, 0xffffffff, 0},
	        {0, 0xffffffff, 0},          {0, 0, 0},
	        {1ull << 54, 8, 0},          {0, 8, 0xffffffff},
	        {UINT64_MAX / 512, 4096, 1},
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		for (unsigned zeroes = 0; zeroes < 2; zeroes++) {
			struct chain c = good_chain(a);
			struct virtio_blk_outhdr *h = gn_ram_at(&a->fe->ram, c.gpa);

			h->type = zeroes ? VIRTIO_BLK_T_WRITE_ZEROES : VIRTIO_BLK_T_DISCARD;
			memcpy(gn_ram_at(&a->fe->ram, c.desc[1].addr), &ranges[i],
			       sizeof(ranges[i]));
			c.desc[1].len = sizeof(ranges[i]);
			c.desc[1].flags = VRING_DESC_F_NEXT;
			show(a, &c);
		}
	}
	return again(a);
}

/* The header changes while the device reads it. */
static int blk_changing_header(struct gn_attack *a)
{
	struct chain c = good_chain(a);
	volatile struct virtio_blk_outhdr *h = gn_ram_at(&a->fe->ram, c.gpa);
	struct gn_vring *v = ring_of(a);

	memcpy(v->desc, c.desc, sizeof(c.desc));
	for (unsigned i = 0; i < 2000; i++) {
		v->avail->ring[v->avail_idx++ & (v->size - 1)] = 0;
		gn_vring_publish(v);
		gn_vring_kick_always(v);
		for (unsigned k = 0; k < 20; k++) {
			h->type = k % 2 ? VIRTIO_BLK_T_FLUSH : VIRTIO_BLK_T_IN;
			h->sector = k % 3 ? UINT64_MAX : 0;
			((volatile struct vring_desc *)v->desc)[1].len = k % 2 ? 512 : 0xffffffff;
			((volatile struct vring_desc *)v->desc)[1].addr =
			        k % 2 ? c.gpa : 1ull << 60;
		}
	}
	gn_attack_pause_ms(LOOK_MS);
	return again(a);
}

/* Everything at random, near the edges. */
static int random_rings(struct gn_attack *a)
{
	struct gn_vring *v = ring_of(a);
	const struct gn_ram_region *r = &a->fe->ram.regions[0];

	for (unsigned i = 0; i < N_RANDOM; i++) {
		for (unsigned k = 0; k < 4; k++) {
			uint64_t x = gn_attack_random(a);
			struct vring_desc *d = &v->desc[x % v->size];

			d->addr = x & 16 ? r->gpa + (x >> 20) % r->size_bytes : x;
			d->len = x & 32 ? (uint32_t)(x >> 7) % 5000 : (uint32_t)(x >> 9);
			d->flags = (uint16_t)((x >> 50) % 8);
			d->next = (uint16_t)(x & 64 ? (x >> 30) % v->size : x >> 30);
		}
		v->avail->ring[v->avail_idx++ & (v->size - 1)] =
		        (uint16_t)(gn_attack_random(a) % (v->size + 1));
		gn_vring_publish(v);
		if (i % 16 == 0)
			gn_vring_kick_always(v);
		if (i % 400 == 399) {
			gn_attack_pause_ms(LOOK_MS);
			if (again(a))
				return -1;
		}
	}
	return 0;
}

#define BOTH GN_ATTACK_BOTH, GN_ATTACK_RUNNING
#define NET  GN_ATTACK_NET, GN_ATTACK_RUNNING
#define BLK  GN_ATTACK_BLK, GN_ATTACK_RUNNING

const struct gn_attack_case gn_attack_rings[] = {
        {"descriptor-to-itself", BOTH, each_to_itself},
        {"descriptor-to-the-first", BOTH, each_to_the_first},
        {"descriptor-next-out-of-range", BOTH, each_next_out_of_range},
        {"descriptor-outside-memory", BOTH, each_outside_memory},
        {"descriptor-at-null", BOTH, each_at_null},
        {"descriptor-wrapping", BOTH, each_wrapping},
        {"descriptor-of-four-gigabytes", BOTH, each_four_gigabytes},
        {"descriptor-empty", BOTH, each_empty},
        {"descriptor-of-one-byte", BOTH, each_one_byte},
        {"descriptor-other-direction", BOTH, each_other_direction},
        {"descriptor-all-flags", BOTH, each_all_flags},
        {"index-jump", BOTH, index_jump},
        {"head-out-of-range", BOTH, head_out_of_range},
        {"repeated-head", BOTH, repeated_head},
        {"forged-used", BOTH, forged_used},
        {"into-the-rings", BOTH, into_the_rings},
        {"indirect-sizes", BOTH, indirect_sizes},
        {"indirect-nested", BOTH, indirect_nested},
        {"indirect-loop", BOTH, indirect_loop},
        {"indirect-outside", BOTH, indirect_outside},
        {"indirect-flood", BOTH, indirect_flood},
        {"net-headers", NET, net_headers},
        {"net-offloads", NET, net_offloads},
        {"net-giant-frame", NET, net_giant_frame},
        {"net-receive-buffers", NET, net_receive_buffers},
        {"blk-requests", BLK, blk_requests},
        {"blk-ranges", BLK, blk_ranges},
        {"blk-changing-header", BLK, blk_changing_header},
        {"random-rings", BOTH, random_rings},
        {NULL, 0, 0, NULL},
};
