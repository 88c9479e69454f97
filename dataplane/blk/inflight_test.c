/* inflight_test.c - what a successor finds, whatever a front end wrote. */
#include "dataplane/blk/inflight.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { QUEUES = 2, SIZE = 8 };

struct fixture {
	struct gn_blk_inflight inflight;
	struct rte_vhost_inflight_info_split *info; /* of the last queue */
	uint16_t heads[SIZE];
	uint64_t counter;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	uint64_t size;
	int fd = gn_blk_inflight_make(QUEUES, SIZE, &size);

	assert_true(fd >= 0);
	assert_int_equal(gn_blk_inflight_map(&f->inflight, fd, 0, size, QUEUES, SIZE), 0);
	close(fd);
	f->info = gn_blk_inflight_of(&f->inflight, QUEUES - 1, SIZE);
	assert_non_null(f->info);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	gn_blk_inflight_unmap(&f->inflight);
	gn_blk_inflight_unmap(&f->inflight);
	free(f);
	return 0;
}

static int recover(struct fixture *f, uint16_t used_idx)
{
	return gn_blk_inflight_recover(f->info, SIZE, used_idx, f->heads, &f->counter);
}

static void begins_with_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(recover(f, 500), 0);
	assert_int_equal(f->info->version, 1);
	assert_int_equal(f->info->desc_num, SIZE);
	/* Nothing was answered since; so the next recovery must not unmark request 0. */
	f->info->desc[0].inflight = 1;
	assert_int_equal(recover(f, 500), 1);
}

static void finds_the_oldest_first(void **state)
{
	struct fixture *f = *state;

	recover(f, 0);
	f->info->desc[6] = (struct rte_vhost_inflight_desc_split){.inflight = 1, .counter = 10};
	f->info->desc[1] = (struct rte_vhost_inflight_desc_split){.inflight = 1, .counter = 12};
	f->info->desc[3] = (struct rte_vhost_inflight_desc_split){.inflight = 1, .counter = 11};
	assert_int_equal(recover(f, 0), 3);
	assert_int_equal(f->heads[0], 6);
	assert_int_equal(f->heads[1], 3);
	assert_int_equal(f->heads[2], 1);
	assert_int_equal(f->counter, 13);
	assert_int_equal(recover(f, 0), 3); /* reading takes nothing away */
}

static void forgets_what_was_answered_last(void **state)
{
	struct fixture *f = *state;

	recover(f, 7);
	f->info->desc[2].inflight = f->info->desc[4].inflight = 1;
	f->info->last_inflight_io = 4;
	assert_int_equal(recover(f, 8), 1);
	assert_int_equal(f->heads[0], 2);
	assert_int_equal(f->info->used_idx, 8);
}

static void survives_forged_figures(void **state)
{
	struct fixture *f = *state;

	memset(f->inflight.map, 0xff, f->inflight.size_bytes);
	assert_int_equal(recover(f, 0), 0); /* 0xff marks nothing */
	memset(f->inflight.map, 0x01, f->inflight.size_bytes);
	f->info->desc_num = 0xffff;
	f->info->last_inflight_io = 0xffff;
	assert_int_equal(recover(f, 0), SIZE);
}

static void knows_its_bounds(void **state)
{
	struct fixture *f = *state;

	assert_null(gn_blk_inflight_of(&f->inflight, QUEUES, SIZE));
	assert_null(gn_blk_inflight_of(&f->inflight, 0, 2 * SIZE));
	assert_non_null(gn_blk_inflight_of(&f->inflight, 0, SIZE / 2));
}

static void refuses_a_buffer_that_is_too_small(void **state)
{
	struct gn_blk_inflight inflight = {0};
	uint64_t size;
	int fd = gn_blk_inflight_make(1, SIZE, &size);

	assert_int_equal(gn_blk_inflight_map(&inflight, fd, 0, size, 2, SIZE), -EINVAL);
	assert_int_equal(gn_blk_inflight_map(&inflight, fd, 0, size, 1, 8 * SIZE), -EINVAL);
	assert_int_equal(gn_blk_inflight_map(&inflight, fd, 0, size, 0, SIZE), -EINVAL);
	assert_int_equal(gn_blk_inflight_map(&inflight, fd, 0, size, 1, 0), -EINVAL);
	assert_true(gn_blk_inflight_map(&inflight, fd, 1, size, 1, SIZE) < 0);
	assert_null(gn_blk_inflight_of(&inflight, 0, SIZE));
	close(fd);
}

static void makes_a_file_that_cannot_shrink(void **state)
{
	uint64_t size;
	int fd = gn_blk_inflight_make(1, SIZE, &size);

	assert_int_equal(ftruncate(fd, 0), -1);
	close(fd);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        CASE(begins_with_nothing),
	        CASE(finds_the_oldest_first),
	        CASE(forgets_what_was_answered_last),
	        CASE(survives_forged_figures),
	        CASE(knows_its_bounds),
	        cmocka_unit_test(refuses_a_buffer_that_is_too_small),
	        cmocka_unit_test(makes_a_file_that_cannot_shrink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
