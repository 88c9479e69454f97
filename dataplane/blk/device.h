/* device.h - inside a vhost-user-blk device; for the files of this folder only.
 *
 *   blk.c    create, destroy, counters           control threads
 *   vhost.c  messages of the front end           rte_vhost's thread (and control, to close)
 *   attach.c rings and memory, taken and given   the same
 *   queue.c  requests, answers, waiting, arming  the lcore
 *   replicate.c  the mirror behind it        control threads; polled on the lcore
 *   clone.c  copies of the volume                a thread per copy
 *   user.c   other submitters, who may write     control threads; polled on the lcore
 *
 * The rings, the memory table and the request slots change hands: while the device is
 * stopped (not polled, nothing in flight) they are attach.c's, while it runs they are the
 * lcore's. gn_blk_stop() and gn_blk_run() are the two hand-overs. */
#ifndef GN_DATAPLANE_BLK_DEVICE_H
#define GN_DATAPLANE_BLK_DEVICE_H

#include <semaphore.h>
#include "dataplane/blk/blk.h"
#include "dataplane/blk/inflight.h"
#include "dataplane/blk/request.h"
#include "dataplane/blk/ring.h"
#include "dataplane/volume/volume.h"
#include "dataplane/worker/worker.h"
#include "firmware/core/mutex.h"

#define GN_BLK_MAX_RING 1024u
#define GN_BLK_DEPTH    1024u /* requests in the store at once */
#define GN_BLK_PATH_MAX 108u

struct gn_blk_queue;

/* One chain that was taken off a ring; its slot is the chain's head. */
struct gn_blk_request {
	struct gn_volume_request io;
	struct gn_blk_queue *queue;
	struct gn_blk_request *next; /* waiting */
	uint64_t taken_at;           /* TSC */
	uint8_t *status_byte;
	uint16_t head;
	uint8_t op; /* enum gn_blk_op */
	bool is_taken;
	struct iovec iov[GN_BLK_MAX_IOV];
};

struct gn_blk_queue {
	struct gn_blk *blk;
	struct gn_blk_ring ring;
	struct gn_blk_request *requests; /* ring.size of them */
	uint64_t throttled_since;        /* TSC; 0: not throttled */
	uint64_t throttled_until;
	uint16_t *resubmit; /* heads in flight when the former process died, oldest first */
	unsigned n_resubmit;
	unsigned index;
	int call_fd; /* eventfd or -1 */
	int kick_fd;
	bool has_ring;    /* 'ring' is mapped */
	bool runs;        /* it is polled */
	bool has_answers; /* which the guest was not told of yet */
};

struct gn_blk {
	struct gn_pollable pollable;
	struct gn_worker *worker;    /* immutable from here ... */
	struct gn_blk_limits limits; /* but gn_blk_resize() changes it, while stopped */
	unsigned n_queues;
	int timer_fd;
	uint64_t us_per_cycle_q32;
	uint64_t clone_hold_us;
	uint64_t recheck_cycles; /* a throttled ring asks its meter at least so often */
	char *name;
	char *socket_path;
	char serial[GN_BLK_SERIAL_SIZE];
	struct gn_volume *remote; /* the store, if an NBD server's; also behind a mirror. To here */

	/* Owner: lcore while running, attach.c (and replicate.c) while stopped. */
	struct gn_volume *volume;
	struct gn_blk_memory memory;
	struct gn_blk_queue queues[GN_BLK_MAX_QUEUES];
	bool log_dirty; /* live migration: pages written are reported */
	int vid;        /* rte_vhost's number of the connection; -1: none */

	/* For users, polled while no front end is: see user.c. */
	struct gn_pollable user_pollable;
	bool user_is_added;             /* Owner: lcore */
	bool holds_users;               /* Owner: lcore. The store is about to be another one */
	unsigned n_users_flying;        /* Owner: lcore. Their requests in the store */
	int user_event_fd;              /* Owner: control; the store's, duplicated */
	int user_timer_fd;              /* Owner: control */
	uint64_t users_throttled_since; /* Owner: lcore, TSC; 0: not throttled */
	uint64_t users_throttled_until;

	/* Owner: control. */
	unsigned n_users;
	struct gn_blk_mirror *replica; /* NULL: none */
	char *replica_problem;         /* NULL: none */
	bool is_fenced;                /* and the problem is its lease */

	/* Owner: lcore. */
	struct gn_disk_meter *meter;
	struct gn_blk_stats stats;
	struct gn_blk_request *waiting; /* taken, not in the store yet; oldest first */
	struct gn_blk_request **waiting_end;
	unsigned n_taken;      /* in flight, waiting ones included */
	unsigned n_changing;   /* of those in the store, how many change its content */
	bool is_added;         /* to the worker */
	bool is_draining;      /* post 'drained' when n_taken reaches 0 */
	bool holds_writes;     /* for a clone */
	bool hold_was_broken;  /* the device had to be stopped under a clone */
	sem_t *writes_drained; /* post when n_changing reaches 0 */
	sem_t drained;

	/* Under 'lock': rte_vhost's thread against destroy and clone. */
	struct gn_mutex lock; /* order: see vhost.c */
	bool is_stopped;
	bool is_closing;
	bool is_reserved;           /* no front end may come ... */
	struct gn_blk_user *writer; /* ... nor while this user writes; NULL: none */
	bool in_message;            /* a message that may change rings or memory is being handled */
	bool has_memory;            /* rte_vhost has a memory table */
	struct gn_blk_inflight inflight; /* of this connection */
	int sent_fd;                     /* on its way to the front end */
	int back_fd;                     /* channel for messages of ours; -1: none */
	bool is_ready[GN_BLK_MAX_QUEUES];
	struct gn_blk_clone *clone;
	uint32_t n_running; /* atomic: rings that are polled */
};

/* queue.c; on the lcore. */
unsigned gn_blk_poll(struct gn_pollable *pollable, uint64_t now);
bool gn_blk_arm(struct gn_pollable *pollable);
void gn_blk_disarm(struct gn_pollable *pollable);
void gn_blk_begin_drain(struct gn_blk *blk);
void gn_blk_start_queues(struct gn_blk *blk);
void gn_blk_hold(struct gn_blk *blk, sem_t *drained);
void gn_blk_release(struct gn_blk *blk);

/* The hand-overs; with 'lock' held, on any thread but the lcore. stop waits until nothing
 * is in flight; both do nothing when it is so already. */
void gn_blk_stop(struct gn_blk *blk) GN_REQUIRES(blk->lock);
void gn_blk_run(struct gn_blk *blk) GN_REQUIRES(blk->lock);

/* Counts a malformed message or ring; on any thread but the lcore. */
void gn_blk_count_rejected(struct gn_blk *blk);

/* user.c; around a change of blk->volume, on a control thread. */
void gn_blk_stop_users(struct gn_blk *blk);
void gn_blk_run_users(struct gn_blk *blk);

/* queue.c: a change of content has left the store. */
void gn_blk_changed(struct gn_blk *blk);
/* queue.c: counts what completed and what was waited for the meter; sets a timer of the lcore. */
void gn_blk_count(struct gn_blk *blk, enum gn_blk_op op, uint64_t bytes, uint64_t taken_at,
                  int error);
void gn_blk_count_throttled(struct gn_blk *blk, uint64_t cycles);
void gn_blk_set_timer(const struct gn_blk *blk, int timer_fd, uint64_t cycles);

/* replicate.c; before the device listens, and after it has stopped. */
void gn_blk_open_replica(struct gn_blk *blk, const struct gn_blk_replica *replica);
void gn_blk_close_replica(struct gn_blk *blk);
/* Behind a mirror, if there is one: what the VM reads, and (only then) the shadow. */
struct gn_volume *gn_blk_store(struct gn_blk *blk);
struct gn_volume *gn_blk_shadow_store(struct gn_blk *blk);
/* On the thread of a copy, which control awaits before it takes the mirror away. Keeps the shadow's
 * content still; '*fd', the caller's to close, has it: the shadow or, '*of_snapshot', the snapshot
 * that is kept while it is resynchronised. Then release. -EAGAIN: there is no
 * consistent point now; -ETIME: not before 'until_us' (monotonic). */
int gn_blk_hold_point(struct gn_blk *blk, uint64_t until_us, int *fd, bool *of_snapshot,
                      uint64_t *wall_us);
/* Whether it would be the shadow now. */
bool gn_blk_shadow_is_point(struct gn_blk *blk);
void gn_blk_release_point(struct gn_blk *blk);

/* vhost.c */
int gn_blk_vhost_open(struct gn_blk *blk, struct gn_status *status);
void gn_blk_vhost_close(struct gn_blk *blk);
/* The front end is to look at the configuration again. */
void gn_blk_tell_config(struct gn_blk *blk) GN_REQUIRES(blk->lock);

#endif
