/* frontend_test.c - guest RAM, rings and the disk load, against a back end that is honest and
 * one that is not: a load that does not notice would make every test that uses it worthless. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/frontend/blkload.h"
#include "tests/frontend/fakeblk.h"

/* ---- ram --------------------------------------------------------------------------- */

static void ram_stays_inside_regions(void **state)
{
	struct gn_ram ram;
	uint64_t gpa;
	unsigned n = 0;

	assert_int_equal(gn_ram_init(&ram, 64 << 10, 3, false), 0);
	while ((gpa = gn_ram_alloc(&ram, 5000, 64))) {
		uint8_t *p = gn_ram_at(&ram, gpa);

		assert_int_equal(gpa % 64, 0);
		assert_non_null(p);
		assert_ptr_equal(gn_ram_at(&ram, gpa + 4999), p + 4999);
		n++;
	}
	assert_in_range(n, 9, 13);
	assert_null(gn_ram_at(&ram, ram.regions[0].gpa + ram.regions[0].size_bytes));
	assert_null(gn_ram_at(&ram, UINT64_MAX));
	gn_ram_fini(&ram);
	assert_int_equal(gn_ram_init(&ram, 4096, 0, false), -EINVAL);
	assert_int_equal(gn_ram_init(&ram, 4096, 9, false), -EINVAL);
}

/* ---- vring: the test is the device ---------------------------------------------------- */

struct ring_fixture {
	struct gn_ram ram;
	struct gn_vring vring;
};

static void ring_open(struct ring_fixture *f, unsigned size, bool event_idx, bool indirect)
{
	assert_int_equal(gn_ram_init(&f->ram, 1 << 20, 1, false), 0);
	assert_int_equal(gn_vring_init(&f->vring, &f->ram, size, event_idx, indirect), 0);
}

static void ring_close(struct ring_fixture *f)
{
	gn_vring_fini(&f->vring);
	gn_ram_fini(&f->ram);
}

static void device_answers(struct gn_vring *v, uint32_t head, uint32_t size)
{
	v->used->ring[v->used->idx % v->size] = (struct vring_used_elem){head, size};
	v->used->idx++;
}

static uint64_t kicks(const struct gn_vring *v)
{
	uint64_t n = 0;

	return read(v->kick_fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static const struct gn_vring_segment three[] = {
        {0x1000, 16, false}, {0x2000, 512, true}, {0x3000, 1, true}};

static void vring_chains_descriptors(void **state)
{
	struct ring_fixture f;
	struct vring_desc *d;

	ring_open(&f, 8, false, false);
	assert_int_equal(gn_vring_add(&f.vring, three, 3, &f), 0);
	assert_int_equal(f.vring.avail->idx, 0); /* not before publish */
	gn_vring_publish(&f.vring);
	assert_int_equal(f.vring.avail->idx, 1);
	d = &f.vring.desc[f.vring.avail->ring[0]];
	assert_int_equal(d->addr, 0x1000);
	assert_int_equal(d->flags, VRING_DESC_F_NEXT);
	d = &f.vring.desc[d->next];
	assert_int_equal(d->len, 512);
	assert_int_equal(d->flags, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
	d = &f.vring.desc[d->next];
	assert_int_equal(d->flags, VRING_DESC_F_WRITE);
	ring_close(&f);
}

static void vring_uses_a_table(void **state)
{
	struct ring_fixture f;
	struct vring_desc *d;
	struct vring_desc *table;

	ring_open(&f, 4, false, true);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(gn_vring_add(&f.vring, three, 3, &f), 0);
	assert_int_equal(gn_vring_add(&f.vring, three, 3, &f), -ENOSPC);
	d = &f.vring.desc[f.vring.avail->ring[0]];
	assert_int_equal(d->flags, VRING_DESC_F_INDIRECT);
	assert_int_equal(d->len, 3 * sizeof(*table));
	table = gn_ram_at(&f.ram, d->addr);
	assert_int_equal(table[0].next, 1);
	assert_int_equal(table[2].flags, VRING_DESC_F_WRITE);
	ring_close(&f);
}

/* Out of order, past the wrap of both indices. */
static void vring_recycles_for_ever(void **state)
{
	struct ring_fixture f;
	uint16_t device = 0;
	void *cookie;
	uint32_t size;

	ring_open(&f, 8, false, false);
	for (uintptr_t i = 0; i < 70000; i++) {
		uint16_t first, second;

		assert_int_equal(gn_vring_add(&f.vring, three, 3, (void *)(2 * i + 1)), 0);
		assert_int_equal(gn_vring_add(&f.vring, three, 2, (void *)(2 * i + 2)), 0);
		gn_vring_publish(&f.vring);
		first = f.vring.avail->ring[device++ % 8];
		second = f.vring.avail->ring[device++ % 8];
		device_answers(&f.vring, second, 7);
		device_answers(&f.vring, first, 9);
		assert_int_equal(gn_vring_take(&f.vring, &cookie, &size), 1);
		assert_int_equal((uintptr_t)cookie, 2 * i + 2);
		assert_int_equal(size, 7);
		assert_int_equal(gn_vring_take(&f.vring, &cookie, &size), 1);
		assert_int_equal((uintptr_t)cookie, 2 * i + 1);
		assert_int_equal(gn_vring_take(&f.vring, &cookie, &size), 0);
	}
	assert_int_equal(f.vring.n_free, 8);
	ring_close(&f);
}

static void vring_notices_wrong_answers(void **state)
{
	struct ring_fixture f;
	void *cookie;
	uint32_t size;

	ring_open(&f, 8, false, false);
	gn_vring_add(&f.vring, three, 1, &f);
	gn_vring_publish(&f.vring);
	device_answers(&f.vring, 8, 0);
	assert_int_equal(gn_vring_take(&f.vring, &cookie, &size), -EBADMSG);
	device_answers(&f.vring, 5, 0);
	assert_int_equal(gn_vring_take(&f.vring, &cookie, &size), -EBADMSG);
	device_answers(&f.vring, 0, 0);
	assert_int_equal(gn_vring_take(&f.vring, &cookie, &size), 1);
	device_answers(&f.vring, 0, 0);
	assert_int_equal(gn_vring_take(&f.vring, &cookie, &size), -EBADMSG);
	ring_close(&f);
}

static void vring_kicks_when_asked(void **state)
{
	struct ring_fixture f;
	uint16_t *event;

	ring_open(&f, 8, true, false);
	event = (uint16_t *)&f.vring.used->ring[8];
	*event = 0;
	gn_vring_add(&f.vring, three, 1, &f);
	gn_vring_kick(&f.vring);
	assert_int_equal(kicks(&f.vring), 1);
	gn_vring_add(&f.vring, three, 1, &f); /* the device still looks at event 0 */
	gn_vring_kick(&f.vring);
	assert_int_equal(kicks(&f.vring), 0);
	*event = 3;
	gn_vring_add(&f.vring, three, 1, &f);
	gn_vring_kick(&f.vring);
	assert_int_equal(kicks(&f.vring), 0);
	gn_vring_add(&f.vring, three, 1, &f);
	gn_vring_kick(&f.vring);
	assert_int_equal(kicks(&f.vring), 1);
	ring_close(&f);
	ring_open(&f, 8, false, false);
	f.vring.used->flags = VRING_USED_F_NO_NOTIFY;
	gn_vring_add(&f.vring, three, 1, &f);
	gn_vring_kick(&f.vring);
	assert_int_equal(kicks(&f.vring), 0);
	ring_close(&f);
}

static void vring_arms_without_losing_an_answer(void **state)
{
	struct ring_fixture f;

	ring_open(&f, 8, true, false);
	gn_vring_mute(&f.vring);
	assert_int_equal(f.vring.avail->ring[8], 0xffff);
	assert_true(gn_vring_arm(&f.vring));
	assert_int_equal(f.vring.avail->ring[8], 0);
	device_answers(&f.vring, 0, 0);
	assert_false(gn_vring_arm(&f.vring));
	ring_close(&f);
}

static void vring_refuses_odd_sizes(void **state)
{
	struct gn_ram ram;
	struct gn_vring v;

	assert_int_equal(gn_ram_init(&ram, 64 << 10, 1, false), 0);
	assert_int_equal(gn_vring_init(&v, &ram, 0, false, false), -EINVAL);
	assert_int_equal(gn_vring_init(&v, &ram, 3, false, false), -EINVAL);
	assert_int_equal(gn_vring_init(&v, &ram, 65536, false, false), -EINVAL);
	assert_int_equal(gn_vring_init(&v, &ram, 32768, false, false), -ENOMEM);
	gn_ram_fini(&ram);
}

/* ---- the disk load against a fake ------------------------------------------------------ */

struct outcome {
	int error;
	struct gn_blkload_result result;
	struct gn_status status;
	unsigned connections;
	unsigned inflight_returns;
};

static void run_load(enum gn_fakeblk_fault fault, struct outcome *o)
{
	char directory[] = "/tmp/gn-fe-XXXXXX";
	char path[64];
	struct gn_fakeblk *fake;
	struct gn_blkload_config config = {.driver = {.socket_path = path, .depth = 8},
	                                   .mix = {.write = 1},
	                                   .block_bytes = 512,
	                                   .span_bytes = GN_FAKEBLK_DISK_BYTES,
	                                   .n_ops = 200, /* few, so that none covers another */
	                                   .seed = 5,
	                                   .reconnect_ms = 10000,
	                                   .stuck_ms = 300,
	                                   .verify = true};

	memset(o, 0, sizeof(*o));
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/s", directory);
	fake = gn_fakeblk_create(path, fault);
	o->error = gn_blkload_run(&config, &o->result, &o->status);
	o->connections = gn_fakeblk_connections(fake);
	o->inflight_returns = gn_fakeblk_inflight_returns(fake);
	gn_fakeblk_destroy(fake);
	rmdir(directory);
}

static void load_is_content_with_an_honest_disk(void **state)
{
	struct outcome o;

	run_load(GN_FAKEBLK_HONEST, &o);
	assert_int_equal(o.error, 0);
	assert_int_equal(o.result.writes, 200);
	assert_int_equal(o.result.errors + o.result.mismatches + o.result.duplicates, 0);
	assert_in_range(o.result.verified_blocks, 180, 200);
	assert_int_equal(o.result.latency.n, 200);
}

static void load_notices_lost_writes(void **state)
{
	struct outcome o;

	run_load(GN_FAKEBLK_TEARS_A_WRITE, &o);
	assert_int_equal(o.error, 0);
	assert_int_equal(o.result.mismatches, 1);
	run_load(GN_FAKEBLK_LOSES_A_WRITE, &o);
	assert_int_equal(o.error, 0);
	assert_int_equal(o.result.mismatches, 1);
}

static void load_notices_double_answers(void **state)
{
	struct outcome o;

	run_load(GN_FAKEBLK_ANSWERS_TWICE, &o);
	assert_true(o.result.duplicates > 0);
	run_load(GN_FAKEBLK_ANSWERS_UNASKED, &o);
	assert_true(o.result.duplicates > 0);
}

static void load_notices_missing_answers(void **state)
{
	struct outcome o;

	run_load(GN_FAKEBLK_FORGETS, &o);
	assert_true(o.error != 0);
	assert_true(o.result.lost > 0);
}

static void load_counts_errors(void **state)
{
	struct outcome o;

	run_load(GN_FAKEBLK_FAILS, &o);
	assert_int_equal(o.error, 0);
	assert_int_equal(o.result.errors, 1);
}

static void load_lives_through_a_death(void **state)
{
	struct outcome o;

	run_load(GN_FAKEBLK_DIES, &o);
	assert_int_equal(o.error, 0);
	assert_int_equal(o.result.reconnects, 2);
	assert_int_equal(o.connections, 3);
	assert_int_equal(o.inflight_returns, 2); /* the same buffer, each time */
	assert_int_equal(o.result.mismatches + o.result.duplicates + o.result.lost, 0);
}

static void front_end_says_what_it_lacks(void **state)
{
	struct outcome o;

	run_load(GN_FAKEBLK_LACKS_VERSION_1, &o);
	assert_int_equal(o.error, -EPROTO);
	assert_non_null(strstr(o.status.message, "0x100000000"));
	run_load(GN_FAKEBLK_REFUSES_MEMORY, &o);
	assert_int_equal(o.error, -EREMOTEIO);
	assert_non_null(strstr(o.status.message, "request 5"));
}

static void front_end_waits_for_nobody_for_ever(void **state)
{
	struct gn_blkdrv_config config = {.socket_path = "/tmp/gn-fe-nobody", .wait_ms = 50};
	struct gn_blkdrv *drv = NULL;
	struct gn_status status;

	assert_int_equal(gn_blkdrv_create(&config, &drv, &status), -ENOENT);
	assert_null(drv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(ram_stays_inside_regions),
	        cmocka_unit_test(vring_chains_descriptors),
	        cmocka_unit_test(vring_uses_a_table),
	        cmocka_unit_test(vring_recycles_for_ever),
	        cmocka_unit_test(vring_notices_wrong_answers),
	        cmocka_unit_test(vring_kicks_when_asked),
	        cmocka_unit_test(vring_arms_without_losing_an_answer),
	        cmocka_unit_test(vring_refuses_odd_sizes),
	        cmocka_unit_test(load_is_content_with_an_honest_disk),
	        cmocka_unit_test(load_notices_lost_writes),
	        cmocka_unit_test(load_notices_double_answers),
	        cmocka_unit_test(load_notices_missing_answers),
	        cmocka_unit_test(load_counts_errors),
	        cmocka_unit_test(load_lives_through_a_death),
	        cmocka_unit_test(front_end_says_what_it_lacks),
	        cmocka_unit_test(front_end_waits_for_nobody_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
