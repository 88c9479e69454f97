/* request_test.c - descriptor chains, honest and hostile. Guest memory is two regions with
 * a hole between, adjacent to nothing, so that ASan sees a step outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <linux/virtio_blk.h>
#include "dataplane/blk/request.h"

#define LOW_ADDR  0x0ull
#define LOW_SIZE  0x10000u
#define MID_ADDR  0x10000ull /* follows the first in the guest, not in this process */
#define MID_SIZE  0x10000u
#define HIGH_ADDR 0x100000000ull
#define HIGH_SIZE 0x10000u
#define RING_SIZE 256u
#define HEADER    0x100ull
#define STATUS    0x200ull
#define DATA      0x1000ull
#define TABLE     0x8000ull
#define CAPACITY  (1u << 20)
#define NEXT      VRING_DESC_F_NEXT
#define WRITE     VRING_DESC_F_WRITE
#define INDIRECT  VRING_DESC_F_INDIRECT

struct guest {
	struct gn_blk_memory memory;
	struct gn_blk_limits limits;
	struct vring_desc *ring;
	struct iovec *iov;
	struct gn_blk_plan plan;
};

static int set_up(void **state)
{
	struct guest *guest = calloc(1, sizeof *guest);

	guest->memory.n_regions = 3;
	guest->memory.regions[0] = (struct gn_blk_region){LOW_ADDR, LOW_SIZE, calloc(1, LOW_SIZE)};
	guest->memory.regions[1] =
	        (struct gn_blk_region){HIGH_ADDR, HIGH_SIZE, calloc(1, HIGH_SIZE)};
	guest->memory.regions[2] = (struct gn_blk_region){MID_ADDR, MID_SIZE, calloc(1, MID_SIZE)};
	guest->limits = (struct gn_blk_limits){.capacity_bytes = CAPACITY, .block_bytes = 512};
	guest->ring = calloc(RING_SIZE, sizeof *guest->ring);
	guest->iov = calloc(GN_BLK_MAX_IOV, sizeof *guest->iov);
	*state = guest;
	return 0;
}

static int tear_down(void **state)
{
	struct guest *guest = *state;

	for (unsigned i = 0; i < guest->memory.n_regions; i++)
		free(guest->memory.regions[i].host);
	free(guest->ring);
	free(guest->iov);
	free(guest);
	return 0;
}

static uint8_t *at(struct guest *guest, uint64_t addr)
{
	uint64_t one = 1;

	return gn_blk_translate(&guest->memory, addr, &one);
}

static void header(struct guest *guest, uint32_t type, uint64_t sector)
{
	struct virtio_blk_outhdr value = {.type = type, .sector = sector};

	memcpy(at(guest, HEADER), &value, sizeof value);
}

static void desc(struct vring_desc *table, unsigned index, uint64_t addr, uint32_t len,
                 uint16_t flags, uint16_t next)
{
	table[index] = (struct vring_desc){addr, len, flags, next};
}

/* Header, one data descriptor, status. */
static void simple(struct guest *guest, uint32_t type, uint64_t sector, uint64_t data, uint32_t len)
{
	header(guest, type, sector);
	desc(guest->ring, 0, HEADER, 16, NEXT, 1);
	desc(guest->ring, 1, data, len, NEXT | (type == VIRTIO_BLK_T_OUT ? 0 : WRITE), 2);
	desc(guest->ring, 2, STATUS, 1, WRITE, 0);
}

static bool plan(struct guest *guest)
{
	return gn_blk_plan_chain(&guest->memory, guest->ring, RING_SIZE, 0, &guest->limits,
	                         guest->iov, &guest->plan);
}

static void assert_answer(struct guest *guest, uint8_t status, bool malformed)
{
	assert_true(plan(guest));
	assert_int_equal(guest->plan.kind, GN_BLK_PLAN_ANSWER);
	assert_int_equal(guest->plan.status, status);
	assert_int_equal(guest->plan.malformed, malformed);
	assert_ptr_equal(guest->plan.status_byte, at(guest, STATUS));
}

static uint64_t iov_bytes(const struct guest *guest)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < guest->plan.n_iov; i++)
		sum += guest->iov[i].iov_len;
	return sum;
}

/* ---- honest ------------------------------------------------------------------ */

static void test_read_and_write(void **state)
{
	struct guest *guest = *state;

	simple(guest, VIRTIO_BLK_T_IN, 8, DATA, 4096);
	assert_true(plan(guest));
	assert_int_equal(guest->plan.kind, GN_BLK_PLAN_READ);
	assert_int_equal(guest->plan.offset_bytes, 4096);
	assert_int_equal(guest->plan.length_bytes, 4096);
	assert_int_equal(guest->plan.n_iov, 1);
	assert_ptr_equal(guest->iov[0].iov_base, at(guest, DATA));
	assert_int_equal(guest->iov[0].iov_len, 4096);
	assert_ptr_equal(guest->plan.status_byte, at(guest, STATUS));
	simple(guest, VIRTIO_BLK_T_OUT, CAPACITY / 512 - 1, HIGH_ADDR + 512, 512);
	assert_true(plan(guest));
	assert_int_equal(guest->plan.kind, GN_BLK_PLAN_WRITE);
	assert_int_equal(guest->plan.offset_bytes, CAPACITY - 512);
	assert_ptr_equal(guest->iov[0].iov_base, at(guest, HIGH_ADDR + 512));
}

/* Any framing is allowed (2.7.4.2): split header, status at the end of the data. */
static void test_any_layout(void **state)
{
	struct guest *guest = *state;

	header(guest, VIRTIO_BLK_T_IN, 0);
	desc(guest->ring, 0, HEADER, 5, NEXT, 3);
	desc(guest->ring, 3, HEADER + 5, 11, NEXT, 7);
	desc(guest->ring, 7, DATA, 513, WRITE, 0);
	assert_true(plan(guest));
	assert_int_equal(guest->plan.kind, GN_BLK_PLAN_READ);
	assert_int_equal(guest->plan.length_bytes, 512);
	assert_ptr_equal(guest->plan.status_byte, at(guest, DATA + 512));
	memcpy(at(guest, DATA), &(struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_OUT}, 16);
	desc(guest->ring, 0, DATA, 16 + 1024, NEXT, 1);
	desc(guest->ring, 1, STATUS, 1, WRITE, 0);
	assert_true(plan(guest));
	assert_int_equal(guest->plan.kind, GN_BLK_PLAN_WRITE);
	assert_int_equal(guest->plan.length_bytes, 1024);
	assert_ptr_equal(guest->iov[0].iov_base, at(guest, DATA + 16));
}

static void test_across_regions(void **state)
{
	struct guest *guest = *state;

	simple(guest, VIRTIO_BLK_T_IN, 0, MID_ADDR - 512, 1024);
	assert_true(plan(guest));
	assert_int_equal(guest->plan.n_iov, 2);
	assert_ptr_equal(guest->iov[0].iov_base, at(guest, MID_ADDR - 512));
	assert_int_equal(guest->iov[0].iov_len, 512);
	assert_ptr_equal(guest->iov[1].iov_base, at(guest, MID_ADDR));
	assert_int_equal(iov_bytes(guest), 1024);
}

static void test_joins_neighbours(void **state)
{
	struct guest *guest = *state;

	header(guest, VIRTIO_BLK_T_OUT, 0);
	desc(guest->ring, 0, HEADER, 16, NEXT, 1);
	for (unsigned i = 1; i <= GN_BLK_MAX_SEGMENTS; i++)
		desc(guest->ring, i, DATA + (i - 1) % 4 * 512, 512, NEXT, (uint16_t)(i + 1));
	desc(guest->ring, GN_BLK_MAX_SEGMENTS + 1, STATUS, 1, WRITE, 0);
	assert_true(plan(guest));
	assert_int_equal(guest->plan.length_bytes, GN_BLK_MAX_SEGMENTS * 512);
	assert_int_equal(guest->plan.n_iov, (GN_BLK_MAX_SEGMENTS + 3) / 4);
	assert_int_equal(iov_bytes(guest), guest->plan.length_bytes);
}

static void test_indirect(void **state)
{
	struct guest *guest = *state;
	struct vring_desc *table = (struct vring_desc *)at(guest, TABLE);

	header(guest, VIRTIO_BLK_T_IN, 1);
	desc(guest->ring, 0, TABLE, 3 * 16, INDIRECT, 0);
	desc(table, 0, HEADER, 16, NEXT, 2);
	desc(table, 2, DATA, 2048, NEXT | WRITE, 1);
	desc(table, 1, STATUS, 1, WRITE, 0);
	assert_true(plan(guest));
	assert_int_equal(guest->plan.kind, GN_BLK_PLAN_READ);
	assert_int_equal(guest->plan.length_bytes, 2048);
	/* Descriptors before the indirect one are allowed (2.7.5.3.1). */
	desc(guest->ring, 0, HEADER, 16, NEXT, 9);
	desc(guest->ring, 9, TABLE, 2 * 16, INDIRECT, 0);
	desc(table, 0, DATA, 512, NEXT | WRITE, 1);
	assert_true(plan(guest));
	assert_int_equal(guest->plan.length_bytes, 512);
	/* A table that straddles two regions. */
	desc(guest->ring, 9, MID_ADDR - 16, 2 * 16, INDIRECT, 0);
	memcpy(at(guest, MID_ADDR - 16), &table[0], 16);
	memcpy(at(guest, MID_ADDR), &table[1], 16);
	assert_true(plan(guest));
	assert_int_equal(guest->plan.length_bytes, 512);
}

static void test_flush_and_id(void **state)
{
	struct guest *guest = *state;

	header(guest, VIRTIO_BLK_T_FLUSH, 0);
	desc(guest->ring, 0, HEADER, 16, NEXT, 1);
	desc(guest->ring, 1, STATUS, 1, WRITE, 0);
	assert_true(plan(guest));
	assert_int_equal(guest->plan.kind, GN_BLK_PLAN_FLUSH);
	simple(guest, VIRTIO_BLK_T_GET_ID, 0, DATA, 20);
	assert_true(plan(guest));
	assert_int_equal(guest->plan.kind, GN_BLK_PLAN_GET_ID);
	assert_int_equal(guest->plan.length_bytes, 20);
	simple(guest, VIRTIO_BLK_T_GET_ID, 0, DATA, 7);
	assert_true(plan(guest));
	assert_int_equal(guest->plan.length_bytes, 7);
}

static void range(struct guest *guest, uint32_t type, uint64_t sector, uint32_t n, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes value = {sector, n, flags};

	header(guest, type, 0);
	memcpy(at(guest, DATA), &value, sizeof value);
	desc(guest->ring, 0, HEADER, 16, NEXT, 1);
	desc(guest->ring, 1, DATA, sizeof value, NEXT, 2);
	desc(guest->ring, 2, STATUS, 1, WRITE, 0);
}

static void test_ranges(void **state)
{
	struct guest *guest = *state;

	range(guest, VIRTIO_BLK_T_DISCARD, 2, 6, 0);
	assert_true(plan(guest));
	assert_int_equal(guest->plan.kind, GN_BLK_PLAN_DISCARD);
	assert_int_equal(guest->plan.offset_bytes, 1024);
	assert_int_equal(guest->plan.length_bytes, 3072);
	range(guest, VIRTIO_BLK_T_WRITE_ZEROES, 0, CAPACITY / 512, 1);
	assert_true(plan(guest));
	assert_int_equal(guest->plan.kind, GN_BLK_PLAN_WRITE_ZEROES);
	assert_true(guest->plan.may_unmap);
	range(guest, VIRTIO_BLK_T_DISCARD, 0, 1, 1);
	assert_answer(guest, VIRTIO_BLK_S_UNSUPP, true);
	range(guest, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 2);
	assert_answer(guest, VIRTIO_BLK_S_UNSUPP, true);
	range(guest, VIRTIO_BLK_T_DISCARD, CAPACITY / 512, 1, 0);
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
	range(guest, VIRTIO_BLK_T_DISCARD, UINT64_MAX, 1, 0);
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
	range(guest, VIRTIO_BLK_T_DISCARD, 0, UINT32_MAX, 0);
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
	range(guest, VIRTIO_BLK_T_DISCARD, 0, 0, 0);
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
	range(guest, VIRTIO_BLK_T_DISCARD, 0, 1, 0);
	desc(guest->ring, 1, DATA, 32, NEXT, 2); /* two ranges; one was promised */
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
}

/* ---- wrong, but answerable --------------------------------------------------- */

static void test_bad_requests(void **state)
{
	static const struct {
		const char *name;
		uint32_t type;
		uint64_t sector;
		uint64_t data;
		uint32_t len;
	} cases[] = {
	        {"half a sector", VIRTIO_BLK_T_IN, 0, DATA, 100},
	        {"behind the end", VIRTIO_BLK_T_IN, CAPACITY / 512, DATA, 512},
	        {"over the end", VIRTIO_BLK_T_OUT, CAPACITY / 512 - 1, DATA, 1024},
	        {"sector that overflows", VIRTIO_BLK_T_OUT, UINT64_MAX, DATA, 512},
	        {"sector that wraps to 0", VIRTIO_BLK_T_OUT, 1ull << 55, DATA, 512},
	        {"no length", VIRTIO_BLK_T_IN, 0, DATA, 0},
	        {"memory that is not there", VIRTIO_BLK_T_IN, 0, 0x50000, 512},
	        {"memory that ends", VIRTIO_BLK_T_IN, 0, HIGH_ADDR + HIGH_SIZE - 512, 1024},
	        {"address that wraps", VIRTIO_BLK_T_OUT, 0, UINT64_MAX - 100, 512},
	        {"4 GiB", VIRTIO_BLK_T_IN, 0, 0, 0xfffffe00},
	};
	struct guest *guest = *state;

	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		print_message("# %s\n", cases[i].name);
		simple(guest, cases[i].type, cases[i].sector, cases[i].data, cases[i].len);
		assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
	}
}

static void test_bad_shapes(void **state)
{
	struct guest *guest = *state;

	simple(guest, VIRTIO_BLK_T_OUT, 0, DATA, 512);
	desc(guest->ring, 0, HEADER, 15, NEXT, 2); /* no whole header */
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
	simple(guest, VIRTIO_BLK_T_OUT, 0, DATA, 512);
	desc(guest->ring, 0, 0x50000, 16, NEXT, 1); /* header nowhere */
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
	simple(guest, VIRTIO_BLK_T_IN, 0, DATA, 512);
	guest->ring[1].flags = NEXT; /* a read into memory that is for reading only */
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
	simple(guest, VIRTIO_BLK_T_OUT, 0, DATA, 512);
	guest->ring[1].flags = NEXT | WRITE; /* a write from memory that is for writing */
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
	simple(guest, VIRTIO_BLK_T_IN, 0, DATA, 512);
	guest->ring[0].flags |= WRITE; /* header in writable memory */
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
	simple(guest, VIRTIO_BLK_T_IN, 0, DATA, 512);
	desc(guest->ring, 2, DATA + 512, 16, NEXT, 3); /* readable after writable */
	desc(guest->ring, 3, STATUS, 1, WRITE, 0);
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
	simple(guest, 0x1234, 0, DATA, 512);
	assert_answer(guest, VIRTIO_BLK_S_UNSUPP, false);
	guest->limits.read_only = true;
	simple(guest, VIRTIO_BLK_T_OUT, 0, DATA, 512);
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
	range(guest, VIRTIO_BLK_T_DISCARD, 0, 1, 0);
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
}

static void test_large_blocks(void **state)
{
	struct guest *guest = *state;

	guest->limits.block_bytes = 4096;
	simple(guest, VIRTIO_BLK_T_IN, 1, DATA, 4096);
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
	simple(guest, VIRTIO_BLK_T_IN, 8, DATA, 512);
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
	simple(guest, VIRTIO_BLK_T_IN, 8, DATA, 4096);
	assert_true(plan(guest));
	assert_int_equal(guest->plan.kind, GN_BLK_PLAN_READ);
}

static void test_too_many_segments(void **state)
{
	struct guest *guest = *state;

	header(guest, VIRTIO_BLK_T_OUT, 0);
	desc(guest->ring, 0, HEADER, 16, NEXT, 1);
	for (unsigned i = 1; i < RING_SIZE - 1; i++)
		desc(guest->ring, i, DATA, 512, NEXT, (uint16_t)(i + 1));
	desc(guest->ring, RING_SIZE - 1, STATUS, 1, WRITE, 0);
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
	for (unsigned i = 1; i < RING_SIZE - 1; i++)
		guest->ring[i].flags |= WRITE;
	header(guest, VIRTIO_BLK_T_IN, 0);
	assert_answer(guest, VIRTIO_BLK_S_IOERR, true);
}

/* ---- corrupt: no answer is possible ------------------------------------------ */

static void test_corrupt_rings(void **state)
{
	struct guest *guest = *state;
	struct vring_desc *table = (struct vring_desc *)at(guest, TABLE);

	simple(guest, VIRTIO_BLK_T_IN, 0, DATA, 512);
	guest->ring[2].flags = WRITE | NEXT; /* a loop */
	guest->ring[2].next = 1;
	assert_false(plan(guest));
	guest->ring[0].next = 0; /* a loop of one */
	assert_false(plan(guest));
	simple(guest, VIRTIO_BLK_T_IN, 0, DATA, 512);
	guest->ring[1].next = RING_SIZE; /* outside the table */
	assert_false(plan(guest));
	guest->ring[1].next = 0xffff;
	assert_false(plan(guest));
	simple(guest, VIRTIO_BLK_T_OUT, 0, DATA, 512);
	guest->ring[1].flags = 0; /* ends without a status byte */
	assert_false(plan(guest));
	simple(guest, VIRTIO_BLK_T_IN, 0, DATA, 512);
	guest->ring[2].addr = 0x50000; /* status byte nowhere */
	assert_false(plan(guest));
	desc(guest->ring, 0, 0x50000, 48, INDIRECT, 0); /* table nowhere */
	assert_false(plan(guest));
	desc(guest->ring, 0, HIGH_ADDR + HIGH_SIZE - 16, 48, INDIRECT, 0); /* table that ends */
	desc((struct vring_desc *)at(guest, HIGH_ADDR + HIGH_SIZE - 16), 0, HEADER, 16, NEXT, 1);
	assert_false(plan(guest));
	desc(table, 0, HEADER, 16, NEXT, 1);
	desc(table, 1, STATUS, 1, WRITE, 0);
	desc(guest->ring, 0, TABLE, 2 * 16 + 1, INDIRECT, 0); /* not whole descriptors */
	assert_false(plan(guest));
	desc(guest->ring, 0, TABLE, 0, INDIRECT, 0);
	assert_false(plan(guest));
	desc(guest->ring, 0, TABLE, 0xfffffff0, INDIRECT, 0); /* a table without end */
	assert_false(plan(guest));
	desc(guest->ring, 0, TABLE, 2 * 16, INDIRECT | NEXT, 1);
	assert_false(plan(guest));
	desc(guest->ring, 0, TABLE, 2 * 16, INDIRECT, 0);
	desc(table, 1, TABLE, 16, INDIRECT, 0); /* a table in a table */
	assert_false(plan(guest));
	assert_false(gn_blk_plan_chain(&guest->memory, guest->ring, RING_SIZE, RING_SIZE,
	                               &guest->limits, guest->iov, &guest->plan));
}

static void test_no_memory(void **state)
{
	struct guest *guest = *state;

	simple(guest, VIRTIO_BLK_T_IN, 0, DATA, 512);
	guest->memory.n_regions = 0;
	assert_false(plan(guest));
	guest->memory.n_regions = 3;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        CASE(read_and_write),   CASE(any_layout),        CASE(across_regions),
	        CASE(joins_neighbours), CASE(indirect),          CASE(flush_and_id),
	        CASE(ranges),           CASE(bad_requests),      CASE(bad_shapes),
	        CASE(large_blocks),     CASE(too_many_segments), CASE(corrupt_rings),
	        CASE(no_memory),
	};

	return cmocka_run_group_tests_name("blk_request", tests, NULL, NULL);
}
