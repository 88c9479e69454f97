/* request.c - see request.h. Three steps: collect the chain's descriptors, find where the
 * answer goes, then decode the header and lay out the data. Whatever is wrong after the
 * second step is answered with an error instead of stopping the ring. */
#include "dataplane/blk/request.h"

#include <string.h>
#include <linux/virtio_blk.h>

#define SECTOR_BYTES 512u
#define MAX_DESCS    (GN_BLK_MAX_SEGMENTS + 2u) /* with header and status */

/* Memory that the device may only read ('out': header, data to write) and memory that it
 * writes ('in': data read, status). */
struct piece {
	uint64_t addr;
	uint64_t size;
};
struct chain {
	struct piece out[MAX_DESCS];
	struct piece in[MAX_DESCS];
	unsigned n_out;
	unsigned n_in;
	uint64_t out_bytes;
	uint64_t in_bytes;
	uint64_t status_addr;
	bool has_status;
	bool malformed;
};

/* Where descriptors are read from: the ring's own table or an indirect one. */
struct table {
	const struct gn_blk_memory *memory;
	const struct vring_desc *ring; /* NULL: indirect */
	uint64_t indirect_addr;
	uint32_t n_descs;
};

uint8_t *gn_blk_translate(const struct gn_blk_memory *memory, uint64_t guest_addr, uint64_t *size)
{
	for (unsigned i = 0; i < memory->n_regions; i++) {
		const struct gn_blk_region *region = &memory->regions[i];
		uint64_t offset = guest_addr - region->guest_addr;

		if (guest_addr < region->guest_addr || offset >= region->size_bytes)
			continue;
		if (*size > region->size_bytes - offset)
			*size = region->size_bytes - offset;
		return region->host + offset;
	}
	return NULL;
}

static bool copy_from_guest(const struct gn_blk_memory *memory, uint64_t addr, void *to,
                            uint64_t size)
{
	uint8_t *bytes = to;

	while (size) {
		uint64_t n = size;
		const uint8_t *from = gn_blk_translate(memory, addr, &n);

		if (!from)
			return false;
		memcpy(bytes, from, n);
		__asm__ volatile("" ::: "memory"); /* one copy, also for the compiler */
		bytes += n;
		addr += n;
		size -= n;
	}
	return true;
}

/* ---- step 1: the chain ------------------------------------------------------- */

static bool read_desc(const struct table *table, uint32_t index, struct vring_desc *desc)
{
	if (index >= table->n_descs)
		return false;
	if (table->ring) {
		/* The guest may be writing to it: one copy, nothing is looked at twice. */
		memcpy(desc, &table->ring[index], sizeof *desc);
		__asm__ volatile("" ::: "memory");
		return true;
	}
	return copy_from_guest(table->memory, table->indirect_addr + index * sizeof *desc, desc,
	                       sizeof *desc);
}

static void add_out(struct chain *chain, const struct vring_desc *desc)
{
	if (chain->n_in || chain->n_out == MAX_DESCS) {
		chain->malformed = true;
		return;
	}
	chain->out[chain->n_out++] = (struct piece){desc->addr, desc->len};
	chain->out_bytes += desc->len;
}

static void add_in(struct chain *chain, const struct vring_desc *desc)
{
	if (desc->len) {
		chain->has_status = true;
		chain->status_addr = desc->addr + desc->len - 1;
	}
	if (chain->n_in == MAX_DESCS) {
		chain->malformed = true;
		return;
	}
	chain->in[chain->n_in++] = (struct piece){desc->addr, desc->len};
	chain->in_bytes += desc->len;
}

static void add(struct chain *chain, const struct vring_desc *desc)
{
	if (!desc->len || desc->addr + desc->len < desc->addr)
		chain->malformed = true;
	if (desc->flags & VRING_DESC_F_WRITE)
		add_in(chain, desc);
	else
		add_out(chain, desc);
}

static bool enter_indirect(struct table *table, const struct vring_desc *desc)
{
	uint32_t n = desc->len / sizeof *desc;

	if (!table->ring || desc->len % sizeof *desc || !n || n > GN_BLK_MAX_INDIRECT)
		return false;
	table->ring = NULL;
	table->indirect_addr = desc->addr;
	table->n_descs = n;
	return true;
}

static bool collect(struct table *table, uint32_t index, struct chain *chain)
{
	struct vring_desc desc;
	uint32_t seen = 0;

	for (;;) {
		if (seen++ == table->n_descs || !read_desc(table, index, &desc))
			return false;
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			/* The driver may not continue the chain after it (2.7.5.3.1). */
			if (desc.flags & VRING_DESC_F_NEXT || !enter_indirect(table, &desc))
				return false;
			index = seen = 0;
			continue;
		}
		add(chain, &desc);
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return true;
		index = desc.next;
	}
}

/* ---- step 3: header and data ------------------------------------------------- */

/* Takes 'size' bytes off the front of the readable part. */
static bool take_out(const struct gn_blk_memory *memory, struct chain *chain, void *to,
                     uint64_t size)
{
	uint8_t *bytes = to;
	unsigned i = 0;

	if (chain->out_bytes < size)
		return false;
	chain->out_bytes -= size;
	while (size) {
		struct piece *piece = &chain->out[i];
		uint64_t n = piece->size < size ? piece->size : size;

		if (!copy_from_guest(memory, piece->addr, bytes, n))
			return false;
		piece->addr += n;
		piece->size -= n;
		bytes += n;
		size -= n;
		if (!piece->size)
			i++;
	}
	chain->n_out -= i;
	memmove(chain->out, chain->out + i, chain->n_out * sizeof chain->out[0]);
	return true;
}

/* Takes the status byte off the end of the writable part. */
static void drop_status(struct chain *chain)
{
	chain->in_bytes--;
	if (!--chain->in[chain->n_in - 1].size)
		chain->n_in--;
}

/* Appends one piece, which may span regions, joining what is contiguous here. */
static bool append(const struct gn_blk_memory *memory, struct piece piece, struct iovec *iov,
                   unsigned *n_iov)
{
	while (piece.size) {
		uint64_t n = piece.size;
		uint8_t *host = gn_blk_translate(memory, piece.addr, &n);
		struct iovec *last = *n_iov ? &iov[*n_iov - 1] : NULL;

		if (!host)
			return false;
		if (last && (uint8_t *)last->iov_base + last->iov_len == host) {
			last->iov_len += n;
		} else {
			if (*n_iov == GN_BLK_MAX_IOV)
				return false;
			iov[(*n_iov)++] = (struct iovec){.iov_base = host, .iov_len = n};
		}
		piece.addr += n;
		piece.size -= n;
	}
	return true;
}

static bool lay_out(const struct gn_blk_memory *memory, const struct piece *pieces,
                    unsigned n_pieces, struct iovec *iov, struct gn_blk_plan *plan)
{
	plan->n_iov = 0;
	for (unsigned i = 0; i < n_pieces; i++)
		if (!append(memory, pieces[i], iov, &plan->n_iov))
			return false;
	return true;
}

static void answer(struct gn_blk_plan *plan, uint8_t status, bool malformed)
{
	plan->kind = GN_BLK_PLAN_ANSWER;
	plan->status = status;
	plan->malformed = malformed;
}

static bool set_range(const struct gn_blk_limits *limits, uint64_t sector, uint64_t bytes,
                      struct gn_blk_plan *plan)
{
	if (!bytes || bytes % limits->block_bytes || sector > limits->capacity_bytes / SECTOR_BYTES)
		return false;
	plan->offset_bytes = sector * SECTOR_BYTES;
	plan->length_bytes = bytes;
	return !(plan->offset_bytes % limits->block_bytes) &&
	       bytes <= limits->capacity_bytes - plan->offset_bytes;
}

static bool plan_read(const struct gn_blk_memory *memory, const struct chain *chain,
                      const struct gn_blk_limits *limits, uint64_t sector, struct iovec *iov,
                      struct gn_blk_plan *plan)
{
	plan->kind = GN_BLK_PLAN_READ;
	return !chain->out_bytes && chain->in_bytes <= GN_BLK_MAX_DATA_BYTES &&
	       set_range(limits, sector, chain->in_bytes, plan) &&
	       lay_out(memory, chain->in, chain->n_in, iov, plan);
}

static bool plan_write(const struct gn_blk_memory *memory, const struct chain *chain,
                       const struct gn_blk_limits *limits, uint64_t sector, struct iovec *iov,
                       struct gn_blk_plan *plan)
{
	plan->kind = GN_BLK_PLAN_WRITE;
	return !limits->read_only && !chain->in_bytes &&
	       chain->out_bytes <= GN_BLK_MAX_DATA_BYTES &&
	       set_range(limits, sector, chain->out_bytes, plan) &&
	       lay_out(memory, chain->out, chain->n_out, iov, plan);
}

static bool plan_get_id(const struct gn_blk_memory *memory, const struct chain *chain,
                        struct iovec *iov, struct gn_blk_plan *plan)
{
	plan->kind = GN_BLK_PLAN_GET_ID;
	plan->length_bytes = chain->in_bytes < GN_BLK_ID_BYTES ? chain->in_bytes : GN_BLK_ID_BYTES;
	return chain->in_bytes && chain->in_bytes <= GN_BLK_MAX_DATA_BYTES &&
	       lay_out(memory, chain->in, chain->n_in, iov, plan);
}

/* Discard and write-zeroes carry one range (max_discard_seg and its sister are 1). */
static bool plan_range(const struct gn_blk_memory *memory, struct chain *chain,
                       const struct gn_blk_limits *limits, enum gn_blk_kind kind,
                       struct gn_blk_plan *plan)
{
	struct virtio_blk_discard_write_zeroes range;
	uint32_t known = kind == GN_BLK_PLAN_DISCARD ? 0 : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;

	if (limits->read_only || chain->in_bytes || chain->out_bytes != sizeof range ||
	    !take_out(memory, chain, &range, sizeof range))
		return false;
	if (range.flags & ~known) { /* the specification's answer (5.2.6.2) */
		answer(plan, VIRTIO_BLK_S_UNSUPP, true);
		return true;
	}
	plan->kind = kind;
	plan->may_unmap = range.flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	return range.num_sectors <= GN_BLK_MAX_RANGE_SECTORS &&
	       set_range(limits, range.sector, (uint64_t)range.num_sectors * SECTOR_BYTES, plan);
}

static bool decode(const struct gn_blk_memory *memory, struct chain *chain,
                   const struct gn_blk_limits *limits, struct iovec *iov, struct gn_blk_plan *plan)
{
	struct virtio_blk_outhdr header;

	if (chain->malformed || !take_out(memory, chain, &header, sizeof header))
		return false;
	drop_status(chain);
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		return plan_read(memory, chain, limits, header.sector, iov, plan);
	case VIRTIO_BLK_T_OUT:
		return plan_write(memory, chain, limits, header.sector, iov, plan);
	case VIRTIO_BLK_T_FLUSH:
		plan->kind = GN_BLK_PLAN_FLUSH;
		return true;
	case VIRTIO_BLK_T_GET_ID:
		return plan_get_id(memory, chain, iov, plan);
	case VIRTIO_BLK_T_DISCARD:
		return plan_range(memory, chain, limits, GN_BLK_PLAN_DISCARD, plan);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return plan_range(memory, chain, limits, GN_BLK_PLAN_WRITE_ZEROES, plan);
	default:
		answer(plan, VIRTIO_BLK_S_UNSUPP, false);
		return true;
	}
}

bool gn_blk_plan_chain(const struct gn_blk_memory *memory, const struct vring_desc *table,
                       uint16_t table_size, uint16_t head, const struct gn_blk_limits *limits,
                       struct iovec *iov, struct gn_blk_plan *plan)
{
	struct table from = {.memory = memory, .ring = table, .n_descs = table_size};
	struct chain chain;
	uint64_t one = 1;

	chain.n_out = chain.n_in = 0;
	chain.out_bytes = chain.in_bytes = 0;
	chain.has_status = chain.malformed = false;
	if (!collect(&from, head, &chain) || !chain.has_status)
		return false;
	memset(plan, 0, sizeof *plan);
	plan->status_byte = gn_blk_translate(memory, chain.status_addr, &one);
	if (!plan->status_byte)
		return false;
	if (!decode(memory, &chain, limits, iov, plan))
		answer(plan, VIRTIO_BLK_S_IOERR, true);
	return true;
}
