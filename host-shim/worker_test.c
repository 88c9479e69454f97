/* worker_test.c - jobs that return, jobs that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

#include "host-shim/worker.h"

static struct gn_worker_pool *volatile left_behind; /* to its hanging thread */
static _Atomic int ran, done, release, blocked;

static void run(void *context)
{
	ran++;
}

static void run_blocking(void *context)
{
	blocked++;
	while (!release)
		usleep(1000);
	ran++;
}

static void note(void *context)
{
	done++;
}

static void wait_done(struct gn_worker_pool *pool, int n)
{
	while (done < n) {
		struct pollfd p = {gn_worker_fd(pool), POLLIN, 0};

		assert_int_equal(poll(&p, 1, 30000), 1);
		gn_worker_process(pool);
	}
}

static int reset(void **state)
{
	ran = done = release = blocked = 0;
	return 0;
}

static void runs_and_completes(void **state)
{
	struct gn_worker_pool *pool;
	int i;

	assert_int_equal(gn_worker_create(3, 100, &pool), 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(gn_worker_submit(pool, run, note, NULL), 0);
	assert_true(done == 0); /* never before process */
	wait_done(pool, 100);
	assert_int_equal(ran, 100);
	assert_int_equal(gn_worker_pending(pool), 0);
	assert_int_equal(gn_worker_destroy(pool, 10000), 0);
}

static void a_hanging_job_costs_one_thread(void **state)
{
	struct gn_worker_pool *pool;
	int i;

	assert_int_equal(gn_worker_create(2, 4, &pool), 0);
	assert_int_equal(gn_worker_submit(pool, run_blocking, note, NULL), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(gn_worker_submit(pool, run, note, NULL), 0);
	wait_done(pool, 3); /* the others pass it */
	assert_int_equal(gn_worker_pending(pool), 1);
	release = 1;
	wait_done(pool, 4);
	assert_int_equal(gn_worker_destroy(pool, 10000), 0);
}

static void the_queue_is_bounded(void **state)
{
	struct gn_worker_pool *pool;

	assert_int_equal(gn_worker_create(1, 2, &pool), 0);
	assert_int_equal(gn_worker_submit(pool, run_blocking, note, NULL), 0);
	assert_int_equal(gn_worker_submit(pool, run, note, NULL), 0);
	assert_true(gn_worker_submit(pool, run, note, NULL) < 0);
	release = 1;
	wait_done(pool, 2);
	assert_int_equal(gn_worker_submit(pool, run, note, NULL), 0);
	wait_done(pool, 3);
	assert_int_equal(gn_worker_destroy(pool, 10000), 0);
}

static void ends_with_jobs_queued(void **state)
{
	struct gn_worker_pool *pool;

	assert_int_equal(gn_worker_create(1, 8, &pool), 0);
	assert_int_equal(gn_worker_submit(pool, run_blocking, note, NULL), 0);
	assert_int_equal(gn_worker_submit(pool, run, note, NULL), 0);
	while (!blocked)
		usleep(1000);
	left_behind = pool;
	assert_int_equal(gn_worker_destroy(pool, 20), 1); /* says that one hangs */
	assert_int_equal(done, 1);                        /* the queued one, which did not run */
	assert_int_equal(ran, 0);
	release = 1;
	while (ran != 1)
		usleep(1000);
	usleep(20000); /* its thread leaves the pool's memory */
	assert_int_equal(gn_worker_destroy(NULL, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(runs_and_completes, reset),
	        cmocka_unit_test_setup(a_hanging_job_costs_one_thread, reset),
	        cmocka_unit_test_setup(the_queue_is_bounded, reset),
	        cmocka_unit_test_setup(ends_with_jobs_queued, reset),
	};

	return cmocka_run_group_tests_name("shim worker", tests, NULL, NULL);
}
