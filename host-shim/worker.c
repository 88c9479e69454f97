/* worker.c - see worker.h. Two lists under one mutex: jobs to run, jobs that have run. */
#include "host-shim/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include "firmware/core/mutex.h"

struct job {
	struct job *next;
	gn_worker_fn *run;
	gn_worker_fn *done;
	void *context;
};

struct list {
	struct job *first;
	struct job **end;
};

struct gn_worker_pool {
	int fd;
	unsigned max_jobs;
	unsigned n_jobs;      /* owner only */
	struct gn_mutex lock; /* what follows */
	pthread_cond_t work;
	pthread_cond_t idle; /* a thread ended */
	struct list waiting;
	struct list finished;
	unsigned n_alive;
	bool stop;
};

static void list_init(struct list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_push(struct list *list, struct job *job)
{
	job->next = NULL;
	*list->end = job;
	list->end = &job->next;
}

static struct job *list_pop(struct list *list)
{
	struct job *job = list->first;

	if (job) {
		list->first = job->next;
		if (!list->first)
			list->end = &list->first;
	}
	return job;
}

static void *run_jobs(void *context)
{
	struct gn_worker_pool *pool = context;
	struct job *job;

	gn_mutex_lock(&pool->lock);
	while (!pool->stop) {
		job = list_pop(&pool->waiting);
		if (!job) {
			gn_mutex_wait(&pool->lock, &pool->work);
			continue;
		}
		gn_mutex_unlock(&pool->lock);
		job->run(job->context);
		gn_mutex_lock(&pool->lock);
		list_push(&pool->finished, job);
		eventfd_write(pool->fd, 1);
	}
	pool->n_alive--;
	pthread_cond_signal(&pool->idle);
	gn_mutex_unlock(&pool->lock);
	return NULL;
}

static int start_thread(struct gn_worker_pool *pool)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &attributes, run_jobs, pool);
	pthread_attr_destroy(&attributes);
	return -error;
}

int gn_worker_create(unsigned n_threads, unsigned max_jobs, struct gn_worker_pool **out)
{
	struct gn_worker_pool *pool = calloc(1, sizeof *pool);
	pthread_condattr_t monotonic;
	int error = 0;

	if (!pool)
		return -ENOMEM;
	pool->max_jobs = max_jobs;
	list_init(&pool->waiting);
	list_init(&pool->finished);
	gn_mutex_init(&pool->lock);
	pthread_cond_init(&pool->work, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->idle, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pool->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->fd < 0)
		error = -errno;
	gn_mutex_lock(&pool->lock);
	for (; !error && pool->n_alive < n_threads; pool->n_alive += !error)
		error = start_thread(pool);
	gn_mutex_unlock(&pool->lock);
	if (error) {
		gn_worker_destroy(pool, 1000);
		return error;
	}
	*out = pool;
	return 0;
}

int gn_worker_fd(const struct gn_worker_pool *pool)
{
	return pool->fd;
}

unsigned gn_worker_pending(const struct gn_worker_pool *pool)
{
	return pool->n_jobs;
}

int gn_worker_submit(struct gn_worker_pool *pool, gn_worker_fn *run, gn_worker_fn *done,
                     void *context)
{
	struct job *job;

	if (pool->n_jobs >= pool->max_jobs)
		return -EAGAIN;
	job = malloc(sizeof *job);
	if (!job)
		return -ENOMEM;
	*job = (struct job){NULL, run, done, context};
	pool->n_jobs++;
	gn_mutex_lock(&pool->lock);
	list_push(&pool->waiting, job);
	pthread_cond_signal(&pool->work);
	gn_mutex_unlock(&pool->lock);
	return 0;
}

void gn_worker_process(struct gn_worker_pool *pool)
{
	eventfd_t ignored;
	struct job *job;

	eventfd_read(pool->fd, &ignored);
	for (;;) {
		gn_mutex_lock(&pool->lock);
		job = list_pop(&pool->finished);
		gn_mutex_unlock(&pool->lock);
		if (!job)
			return;
		pool->n_jobs--;
		job->done(job->context);
		free(job);
	}
}

/* Waits for the threads' end; returns how many did not. */
static unsigned wait_threads(struct gn_worker_pool *pool, unsigned wait_ms)
{
	struct timespec until;
	unsigned left;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	gn_mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_cond_broadcast(&pool->work);
	while (pool->n_alive && gn_mutex_wait_until(&pool->lock, &pool->idle, &until) != ETIMEDOUT)
		;
	left = pool->n_alive;
	gn_mutex_unlock(&pool->lock);
	return left;
}

unsigned gn_worker_destroy(struct gn_worker_pool *pool, unsigned wait_ms)
{
	unsigned left;
	struct job *job;

	if (!pool)
		return 0;
	left = wait_threads(pool, wait_ms);
	gn_mutex_lock(&pool->lock);
	while ((job = list_pop(&pool->waiting)))
		list_push(&pool->finished, job);
	gn_mutex_unlock(&pool->lock);
	if (pool->fd >= 0)
		gn_worker_process(pool);
	if (left)
		return left;
	if (pool->fd >= 0)
		close(pool->fd);
	pthread_cond_destroy(&pool->work);
	pthread_cond_destroy(&pool->idle);
	gn_mutex_destroy(&pool->lock);
	free(pool);
	return 0;
}
