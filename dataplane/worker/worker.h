/* worker.h - one lcore's poll loop, and the only ways to reach into it.
 *
 * A worker runs pollables round robin. On a card it spins; on a board with
 * 'idle: backoff' it sleeps on the pollables' file descriptors once nothing has
 * happened for a while, so that a host of few cores keeps them for its guests.
 *
 * Owner: lcore for everything a pollable touches. Other threads change a worker only by
 * gn_worker_call(): their function runs on the lcore between two rounds, and the caller
 * waits. Nothing else needs a lock, and after a call that removes something nobody uses
 * it any more, so it may be freed. */
#ifndef GN_DATAPLANE_WORKER_H
#define GN_DATAPLANE_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#define GN_POLLABLE_MAX_FDS 32

struct gn_worker;

/* Embedded in whatever is polled: a port, a volume, a mirror's file sink. */
struct gn_pollable {
	const char *name;
	/* Does a bounded burst of work; returns how much (0: idle). 'now' is rte_rdtsc()
	 * at the start of the round. */
	unsigned (*poll)(struct gn_pollable *self, uint64_t now);
	/* Before sleeping: ask the other side for kicks. Returns false when work is already
	 * there, then the worker does not sleep. NULL: nothing to arm. */
	bool (*arm)(struct gn_pollable *self);
	/* After sleeping: no more kicks, please. NULL allowed. */
	void (*disarm)(struct gn_pollable *self);
	/* Readable means: there may be work. Watched edge-triggered: whoever owns them may but
	 * need not drain them, so a descriptor that a hostile peer shares is never read here. A
	 * descriptor that cannot be watched bounds the sleep instead. Fixed while it is added. */
	int fds[GN_POLLABLE_MAX_FDS];
	unsigned n_fds;
	/* Longest sleep this one tolerates, microseconds; 0: no limit. */
	uint32_t max_sleep_us;
};

enum gn_worker_idle { GN_WORKER_POLL, GN_WORKER_BACKOFF };

/* Counters, written by the lcore only; read them racily. */
struct gn_worker_stats {
	uint64_t loops;
	uint64_t busy_cycles;
	uint64_t idle_cycles;
	uint64_t sleeps;
};

/* Creates a worker for 'lcore_id' and launches it there (rte_eal_remote_launch). */
int gn_worker_create(unsigned lcore_id, enum gn_worker_idle idle, struct gn_worker **out);
/* Stops and joins; pollables must have been removed. NULL is fine. */
void gn_worker_destroy(struct gn_worker *worker);

/* Runs fn(arg) on the lcore, between two rounds, and returns when it has run. From any
 * thread but the lcore itself (then it runs at once). */
void gn_worker_call(struct gn_worker *worker, void (*fn)(void *arg), void *arg);

/* Ends the worker's sleep, if it sleeps, so that it polls soon. Never waits; from any
 * thread, also one that holds locks which the lcore may want. */
void gn_worker_wake(struct gn_worker *worker);

/* Only inside gn_worker_call() or a poll. -ENOSPC when too many. */
int gn_worker_add(struct gn_worker *worker, struct gn_pollable *pollable);
void gn_worker_remove(struct gn_worker *worker, struct gn_pollable *pollable);

const struct gn_worker_stats *gn_worker_stats(const struct gn_worker *worker);

#endif
