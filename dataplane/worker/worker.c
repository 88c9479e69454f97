/* worker.c - see worker.h. One round: run the calls that wait, poll every pollable. After
 * SPIN_US without work a back-off worker arms everything and sleeps in epoll. */
#include "dataplane/worker/worker.h"

#include <errno.h>
#include <semaphore.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_pause.h>
#include <rte_ring.h>

#define MAX_POLLABLES 512
#define MAX_CALLS     64
#define SPIN_US       10   /* idle time before a sleep; see README of dataplane/blk */
#define DEAF_SLEEP_US 1000 /* longest sleep while a descriptor cannot be watched */

struct call {
	void (*fn)(void *arg);
	void *arg;
	sem_t done;
};

struct gn_worker {
	unsigned lcore_id;
	enum gn_worker_idle idle;
	int wake_fd;
	int epoll_fd;
	struct rte_ring *calls;
	_Atomic bool stop;
	_Atomic bool asleep; /* whoever wakes writes wake_fd only then */
	_Atomic bool kicked; /* since the last sleep */

	/* Owner: lcore. */
	struct gn_worker_stats stats __rte_cache_aligned;
	uint64_t spin_cycles;
	unsigned n_pollables;
	unsigned n_deaf;       /* descriptors that epoll refused */
	uint32_t max_sleep_us; /* the shortest of all; 0: no limit */
	struct gn_pollable *pollables[MAX_POLLABLES];
};

static void run_calls(struct gn_worker *worker)
{
	struct call *call;

	while (rte_ring_sc_dequeue(worker->calls, (void **)&call) == 0) {
		call->fn(call->arg);
		sem_post(&call->done);
	}
}

static unsigned poll_all(struct gn_worker *worker, uint64_t now)
{
	unsigned work = 0;
	unsigned i;

	for (i = 0; i < worker->n_pollables; i++)
		work += worker->pollables[i]->poll(worker->pollables[i], now);
	return work;
}

static void disarm_first(struct gn_worker *worker, unsigned n)
{
	while (n--)
		if (worker->pollables[n]->disarm)
			worker->pollables[n]->disarm(worker->pollables[n]);
}

/* False when one has work already. '*n' were armed. */
static bool arm_all(struct gn_worker *worker, unsigned *n)
{
	for (*n = 0; *n < worker->n_pollables; ++*n) {
		struct gn_pollable *pollable = worker->pollables[*n];

		if (pollable->arm && !pollable->arm(pollable)) {
			++*n;
			return false;
		}
	}
	return true;
}

/* Against a lost wake-up: whoever wakes sets 'kicked', then looks at 'asleep'; we set
 * 'asleep', then look at 'kicked'. */
static void wait_for_kick(struct gn_worker *worker)
{
	struct epoll_event events[16];
	uint32_t limit_us = worker->max_sleep_us;
	struct timespec ts = {.tv_sec = limit_us / 1000000, .tv_nsec = limit_us % 1000000 * 1000L};

	atomic_store(&worker->asleep, true);
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load(&worker->kicked)) {
		epoll_pwait2(worker->epoll_fd, events, RTE_DIM(events), limit_us ? &ts : NULL,
		             NULL);
		worker->stats.sleeps++;
	}
	atomic_store(&worker->asleep, false);
	atomic_exchange(&worker->kicked, false);
}

static void sleep_unless_work(struct gn_worker *worker)
{
	unsigned n_armed;

	if (arm_all(worker, &n_armed))
		wait_for_kick(worker);
	disarm_first(worker, n_armed);
}

static int run(void *arg)
{
	struct gn_worker *worker = arg;
	uint64_t now = rte_rdtsc();
	uint64_t idle_since = now;

	while (!atomic_load_explicit(&worker->stop, memory_order_acquire)) {
		uint64_t end;
		unsigned work;

		if (unlikely(!rte_ring_empty(worker->calls)))
			run_calls(worker);
		work = poll_all(worker, now);
		worker->stats.loops++;
		end = rte_rdtsc();
		if (work) {
			worker->stats.busy_cycles += end - now;
			idle_since = end;
		} else if (worker->idle == GN_WORKER_BACKOFF &&
		           end - idle_since > worker->spin_cycles) {
			sleep_unless_work(worker);
			end = rte_rdtsc();
			worker->stats.idle_cycles += end - now;
			idle_since = end;
		} else {
			worker->stats.idle_cycles += end - now;
			rte_pause();
		}
		now = end;
	}
	run_calls(worker);
	return 0;
}

static int watch(struct gn_worker *worker, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};

	return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int open_fds(struct gn_worker *worker)
{
	worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->wake_fd < 0)
		return -errno;
	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll_fd < 0)
		return -errno;
	return watch(worker, worker->wake_fd);
}

static void free_worker(struct gn_worker *worker)
{
	if (worker->epoll_fd >= 0)
		close(worker->epoll_fd);
	if (worker->wake_fd >= 0)
		close(worker->wake_fd);
	rte_ring_free(worker->calls);
	free(worker);
}

static struct gn_worker *allocate(unsigned lcore_id)
{
	struct gn_worker *worker;
	char name[RTE_RING_NAMESIZE];

	worker = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_CACHE_LINE_ROUNDUP(sizeof *worker));
	if (!worker)
		return NULL;
	memset(worker, 0, sizeof *worker);
	worker->lcore_id = lcore_id;
	worker->wake_fd = worker->epoll_fd = -1;
	snprintf(name, sizeof name, "gn_calls_%u", lcore_id);
	worker->calls = rte_ring_create(name, MAX_CALLS, (int)rte_lcore_to_socket_id(lcore_id),
	                                RING_F_SC_DEQ);
	if (!worker->calls) {
		free_worker(worker);
		return NULL;
	}
	return worker;
}

int gn_worker_create(unsigned lcore_id, enum gn_worker_idle idle, struct gn_worker **out)
{
	struct gn_worker *worker;
	int err;

	if (lcore_id >= RTE_MAX_LCORE || !rte_lcore_is_enabled(lcore_id))
		return -EINVAL;
	worker = allocate(lcore_id);
	if (!worker)
		return -ENOMEM;
	worker->idle = idle;
	worker->spin_cycles = rte_get_tsc_hz() / 1000000 * SPIN_US;
	err = open_fds(worker);
	if (!err)
		err = rte_eal_remote_launch(run, worker, lcore_id);
	if (err) {
		free_worker(worker);
		return err;
	}
	*out = worker;
	return 0;
}

void gn_worker_wake(struct gn_worker *worker)
{
	uint64_t one = 1;

	atomic_store(&worker->kicked, true);
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(&worker->asleep) && write(worker->wake_fd, &one, sizeof one) < 0)
		return; /* the counter is full: it wakes anyway */
}

void gn_worker_destroy(struct gn_worker *worker)
{
	if (!worker)
		return;
	atomic_store(&worker->stop, true);
	gn_worker_wake(worker);
	rte_eal_wait_lcore(worker->lcore_id);
	free_worker(worker);
}

void gn_worker_call(struct gn_worker *worker, void (*fn)(void *arg), void *arg)
{
	struct call call = {.fn = fn, .arg = arg};

	if (rte_lcore_id() == worker->lcore_id) {
		fn(arg);
		return;
	}
	sem_init(&call.done, 0, 0);
	while (rte_ring_enqueue(worker->calls, &call) != 0)
		sched_yield();
	gn_worker_wake(worker);
	while (sem_wait(&call.done) != 0 && errno == EINTR)
		;
	sem_destroy(&call.done);
}

static void find_max_sleep(struct gn_worker *worker)
{
	uint32_t limit = worker->n_deaf ? DEAF_SLEEP_US : 0;
	unsigned i;

	for (i = 0; i < worker->n_pollables; i++) {
		uint32_t us = worker->pollables[i]->max_sleep_us;

		if (us && (!limit || us < limit))
			limit = us;
	}
	worker->max_sleep_us = limit;
}

int gn_worker_add(struct gn_worker *worker, struct gn_pollable *pollable)
{
	unsigned i;

	if (worker->n_pollables == MAX_POLLABLES || pollable->n_fds > GN_POLLABLE_MAX_FDS)
		return -ENOSPC;
	for (i = 0; i < pollable->n_fds; i++)
		if (watch(worker, pollable->fds[i]) != 0)
			worker->n_deaf++;
	worker->pollables[worker->n_pollables++] = pollable;
	find_max_sleep(worker);
	return 0;
}

void gn_worker_remove(struct gn_worker *worker, struct gn_pollable *pollable)
{
	unsigned i, at;

	for (at = 0; at < worker->n_pollables; at++)
		if (worker->pollables[at] == pollable)
			break;
	if (at == worker->n_pollables)
		return;
	for (i = 0; i < pollable->n_fds; i++)
		if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, pollable->fds[i], NULL) != 0 &&
		    worker->n_deaf)
			worker->n_deaf--;
	worker->n_pollables--;
	memmove(&worker->pollables[at], &worker->pollables[at + 1],
	        (worker->n_pollables - at) * sizeof worker->pollables[0]);
	find_max_sleep(worker);
}

const struct gn_worker_stats *gn_worker_stats(const struct gn_worker *worker)
{
	return &worker->stats;
}
