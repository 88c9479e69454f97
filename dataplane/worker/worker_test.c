/* Runs a worker on a second lcore (EAL without huge pages) and reaches into it. */
#include "dataplane/worker/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <rte_lcore.h>
#include "dataplane/worker/eal_test.h"

struct counting {
	struct gn_pollable pollable;
	struct gn_worker *worker;
	_Atomic unsigned polls;
	_Atomic unsigned arms;
	_Atomic unsigned disarms;
	_Atomic unsigned work; /* what poll takes, one a time */
	_Atomic bool refuse;   /* arm says: there is work */
	int err;
};

static unsigned counting_poll(struct gn_pollable *self, uint64_t now)
{
	struct counting *c = (struct counting *)self;

	atomic_fetch_add(&c->polls, 1);
	if (!atomic_load(&c->work))
		return 0;
	atomic_fetch_sub(&c->work, 1);
	return 1;
}

static bool counting_arm(struct gn_pollable *self)
{
	struct counting *c = (struct counting *)self;

	atomic_fetch_add(&c->arms, 1);
	return !atomic_load(&c->refuse) && !atomic_load(&c->work);
}

static void counting_disarm(struct gn_pollable *self)
{
	atomic_fetch_add(&((struct counting *)self)->disarms, 1);
}

static void counting_init(struct counting *c, struct gn_worker *worker)
{
	memset(c, 0, sizeof *c);
	c->pollable = (struct gn_pollable){.name = "counting",
	                                   .poll = counting_poll,
	                                   .arm = counting_arm,
	                                   .disarm = counting_disarm};
	c->worker = worker;
}

static void add(void *arg)
{
	struct counting *c = arg;

	c->err = gn_worker_add(c->worker, &c->pollable);
}

static void take_out(void *arg)
{
	struct counting *c = arg;

	gn_worker_remove(c->worker, &c->pollable);
}

/* Waits (at most 20 s) until '*value' is at least 'least'. */
static void await(_Atomic unsigned *value, unsigned least)
{
	int i;

	for (i = 0; i < 200000 && atomic_load(value) < least; i++)
		usleep(100);
	assert_true(atomic_load(value) >= least);
}

static void await_sleep(struct gn_worker *worker)
{
	uint64_t before = gn_worker_stats(worker)->sleeps;
	int i;

	for (i = 0; i < 200000; i++) {
		const volatile uint64_t *sleeps = &gn_worker_stats(worker)->sleeps;
		const volatile uint64_t *loops = &gn_worker_stats(worker)->loops;
		uint64_t l = *loops;

		usleep(1000);
		if (l == *loops || *sleeps > before + 1)
			return;
	}
	fail_msg("the worker does not sleep");
}

static void note_lcore(void *arg)
{
	*(unsigned *)arg = rte_lcore_id();
}

static struct gn_worker *start(enum gn_worker_idle idle)
{
	struct gn_worker *worker;

	assert_int_equal(gn_worker_create(1, idle, &worker), 0);
	return worker;
}

static void call_runs_on_the_lcore(void **state)
{
	struct gn_worker *worker = start(GN_WORKER_POLL);
	unsigned lcore = 99;

	gn_worker_call(worker, note_lcore, &lcore);
	assert_int_equal(lcore, 1);
	gn_worker_destroy(worker);
}

static void polls_until_removed(void **state)
{
	struct gn_worker *worker = start(GN_WORKER_POLL);
	struct counting c;
	unsigned polls;

	counting_init(&c, worker);
	gn_worker_call(worker, add, &c);
	assert_int_equal(c.err, 0);
	await(&c.polls, 1000);
	gn_worker_call(worker, take_out, &c);
	polls = atomic_load(&c.polls);
	usleep(10000);
	assert_int_equal(atomic_load(&c.polls), polls);
	assert_int_equal(atomic_load(&c.arms), 0); /* a polling worker never arms */
	gn_worker_destroy(worker);
}

static void sleeps_and_wakes_on_a_kick(void **state)
{
	struct gn_worker *worker = start(GN_WORKER_BACKOFF);
	struct counting c;
	uint64_t one = 1;
	int i;

	counting_init(&c, worker);
	c.pollable.fds[0] = eventfd(0, EFD_NONBLOCK);
	c.pollable.n_fds = 1;
	gn_worker_call(worker, add, &c);
	for (i = 0; i < 3; i++) { /* never drained: each write must wake it again */
		unsigned polls;

		await_sleep(worker);
		polls = atomic_load(&c.polls);
		atomic_store(&c.work, 3);
		assert_int_equal(write(c.pollable.fds[0], &one, sizeof one), sizeof one);
		await(&c.polls, polls + 3);
		await_sleep(worker);
		assert_int_equal(atomic_load(&c.work), 0);
	}
	assert_true(atomic_load(&c.disarms) >= 3);
	gn_worker_call(worker, take_out, &c);
	close(c.pollable.fds[0]);
	gn_worker_destroy(worker);
}

static void does_not_sleep_over_work(void **state)
{
	struct gn_worker *worker = start(GN_WORKER_BACKOFF);
	struct counting c;
	uint64_t sleeps;

	counting_init(&c, worker);
	c.refuse = true;
	gn_worker_call(worker, add, &c);
	await(&c.arms, 3);
	sleeps = gn_worker_stats(worker)->sleeps;
	await(&c.arms, 13);
	assert_int_equal(gn_worker_stats(worker)->sleeps, sleeps);
	gn_worker_call(worker, take_out, &c);
	assert_int_equal(atomic_load(&c.arms), atomic_load(&c.disarms));
	gn_worker_destroy(worker);
}

static void max_sleep_bounds_the_sleep(void **state)
{
	struct gn_worker *worker = start(GN_WORKER_BACKOFF);
	struct counting c;

	counting_init(&c, worker);
	c.pollable.max_sleep_us = 500;
	gn_worker_call(worker, add, &c);
	await(&c.arms, 5); /* nobody kicks */
	gn_worker_call(worker, take_out, &c);
	gn_worker_destroy(worker);
}

static void unwatchable_descriptor_bounds_the_sleep(void **state)
{
	struct gn_worker *worker = start(GN_WORKER_BACKOFF);
	struct counting c;
	FILE *file = tmpfile();

	counting_init(&c, worker);
	c.pollable.fds[0] = fileno(file);
	c.pollable.n_fds = 1;
	gn_worker_call(worker, add, &c);
	assert_int_equal(c.err, 0);
	await(&c.arms, 5);
	gn_worker_call(worker, take_out, &c);
	fclose(file);
	gn_worker_destroy(worker);
}

static void wake_ends_a_sleep(void **state)
{
	struct gn_worker *worker = start(GN_WORKER_BACKOFF);
	struct counting c;
	int i;

	counting_init(&c, worker);
	gn_worker_call(worker, add, &c);
	for (i = 0; i < 200; i++) {
		unsigned polls = atomic_load(&c.polls);

		gn_worker_wake(worker);
		await(&c.polls, polls + 1);
	}
	gn_worker_call(worker, take_out, &c);
	gn_worker_destroy(worker);
}

static void too_many_are_refused(void **state)
{
	static struct counting many[513];
	struct gn_worker *worker = start(GN_WORKER_BACKOFF);
	unsigned i;

	for (i = 0; i < 513; i++) {
		counting_init(&many[i], worker);
		gn_worker_call(worker, add, &many[i]);
		assert_int_equal(many[i].err, i < 512 ? 0 : -ENOSPC);
	}
	for (i = 0; i < 513; i++) /* the last is not in: removing it does nothing */
		gn_worker_call(worker, take_out, &many[i]);
	gn_worker_destroy(worker);
}

#define N_THREADS 4
#define N_CALLS   2000

static void increment(void *arg)
{
	++*(unsigned *)arg; /* only the lcore runs this: no atomics */
}

struct caller {
	struct gn_worker *worker;
	unsigned *counter;
};

static void *call_many(void *arg)
{
	struct caller *caller = arg;
	int i;

	for (i = 0; i < N_CALLS; i++)
		gn_worker_call(caller->worker, increment, caller->counter);
	return NULL;
}

static void calls_of_many_threads(void **state)
{
	struct gn_worker *worker = start(GN_WORKER_BACKOFF);
	pthread_t threads[N_THREADS];
	unsigned counter = 0;
	struct caller caller = {worker, &counter};
	int i;

	for (i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, call_many, &caller), 0);
	for (i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counter, N_THREADS * N_CALLS);
	gn_worker_destroy(worker);
}

struct self_remover {
	struct counting c;
	unsigned left;
};

static unsigned remove_self(struct gn_pollable *self, uint64_t now)
{
	struct self_remover *r = (struct self_remover *)self;

	atomic_fetch_add(&r->c.polls, 1);
	gn_worker_remove(r->c.worker, self);
	return 1;
}

static void removed_from_its_own_poll(void **state)
{
	struct gn_worker *worker = start(GN_WORKER_POLL);
	struct self_remover r;
	struct counting other;

	counting_init(&r.c, worker);
	r.c.pollable.poll = remove_self;
	counting_init(&other, worker);
	gn_worker_call(worker, add, &r.c);
	gn_worker_call(worker, add, &other);
	await(&other.polls, 1000);
	assert_int_equal(atomic_load(&r.c.polls), 1);
	gn_worker_call(worker, take_out, &other);
	gn_worker_destroy(worker);
}

static void wrong_lcore_is_refused(void **state)
{
	struct gn_worker *worker = NULL;

	assert_int_equal(gn_worker_create(77, GN_WORKER_POLL, &worker), -EINVAL);
	assert_int_equal(gn_worker_create(RTE_MAX_LCORE, GN_WORKER_POLL, &worker), -EINVAL);
	assert_null(worker);
	gn_worker_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(call_runs_on_the_lcore),
	        cmocka_unit_test(polls_until_removed),
	        cmocka_unit_test(sleeps_and_wakes_on_a_kick),
	        cmocka_unit_test(does_not_sleep_over_work),
	        cmocka_unit_test(max_sleep_bounds_the_sleep),
	        cmocka_unit_test(unwatchable_descriptor_bounds_the_sleep),
	        cmocka_unit_test(wake_ends_a_sleep),
	        cmocka_unit_test(too_many_are_refused),
	        cmocka_unit_test(calls_of_many_threads),
	        cmocka_unit_test(removed_from_its_own_poll),
	        cmocka_unit_test(wrong_lcore_is_refused),
	};

	if (gn_eal_test_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
