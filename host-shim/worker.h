/* worker.h - threads for calls that may hang, driven from one event loop.
 *
 * The owner submits jobs; each runs on one of the pool's threads; its completion is run by
 * gn_worker_process() on the owner's thread when gn_worker_fd() is readable. A job that never
 * returns costs its thread and nothing else: the owner decides, by its own clock, when to
 * stop waiting for it.
 *
 * Owner: one thread for every function here; 'run' alone is called elsewhere. */
#ifndef GN_SHIM_WORKER_H
#define GN_SHIM_WORKER_H

#include <stddef.h>

struct gn_worker_pool;

typedef void gn_worker_fn(void *context);

/* 'n_threads' 1..16. At most 'max_jobs' are queued or running. -EAGAIN: no thread. */
int gn_worker_create(unsigned n_threads, unsigned max_jobs, struct gn_worker_pool **out);
int gn_worker_fd(const struct gn_worker_pool *pool);

/* -EAGAIN if 'max_jobs' are there already; then neither function is called. */
int gn_worker_submit(struct gn_worker_pool *pool, gn_worker_fn *run, gn_worker_fn *done,
                     void *context);
void gn_worker_process(struct gn_worker_pool *pool);

/* Jobs that have been submitted and whose completion has not been run. */
unsigned gn_worker_pending(const struct gn_worker_pool *pool);

/* Runs no further job and waits up to 'wait_ms' for those that run; completions of all,
 * run or not, are called. Returns how many threads still hang; then the pool's memory is
 * leaked to them and the process should end soon. NULL is fine. */
unsigned gn_worker_destroy(struct gn_worker_pool *pool, unsigned wait_ms);

#endif
