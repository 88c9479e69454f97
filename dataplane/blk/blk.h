/* blk.h - a VM's disk: a vhost-user-blk device in front of a volume.
 *
 * The dataplane is the vhost-user server, QEMU the client (reconnect=on). A device polls
 * its virtqueues on one worker, checks every request against the guest's memory, and gives
 * it to the volume's store; so no thread waits for a disk. Requests that were in flight
 * when the dataplane died are kept in memory that QEMU holds (VHOST_USER_PROTOCOL_F_
 * INFLIGHT_SHMFD) and run again when it reconnects.
 *
 * Threads: create, destroy, stats and clone are for control threads; they reach the lcore
 * by gn_worker_call() and are safe from any thread but rte_vhost's own. rte_vhost's
 * callbacks wait until nothing of the old memory is in flight before they return. */
#ifndef GN_DATAPLANE_BLK_H
#define GN_DATAPLANE_BLK_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/feature/histogram.h"
#include "dataplane/volume/mirror.h"
#include "dataplane/volume/nbd.h"
#include "dataplane/volume/volume.h"
#include "firmware/core/status.h"

struct gn_blk;
struct gn_worker;
struct gn_disk_meter;

#define GN_BLK_MAX_QUEUES  16u
#define GN_BLK_SERIAL_SIZE 20u /* bytes that get-id answers; shorter ones are padded with NUL */

/* Where a volume's writes go as well (volume/mirror.h). All strings are copied. */
struct gn_blk_replica {
	const char *shadow_path; /* raw file, at least as large; must exist */
	/* Not NULL: an export of an NBD server instead, at least as large. 'depth' and the like in
	 * it are the device's affair. No point is kept there during a resynchronisation, and its
	 * lease is kept on this card: whoever serves it must let one client write. */
	const struct gn_volume_nbd_config *shadow_remote;
	const char *journal_path; /* made when it is not there: then all is copied first */
	uint64_t journal_bytes;   /* of a new one; 0: 64 MiB */
	enum gn_vmirror_mode mode;
	uint64_t token;              /* of the shadow's lease */
	const char *card;            /* who we are, for the lease; NULL: "" */
	uint64_t resync_bytes_per_s; /* 0: no limit */
};

/* All strings are copied. */
struct gn_blk_config {
	const char *name; /* "volumes/web-1-vda" */
	const char *path; /* raw file or block device; must exist */
	/* Not NULL: an export of an NBD server instead of 'path'. 'depth' and 'read_only' in it are
	 * the device's affair. Such a volume cannot be cloned here. */
	const struct gn_volume_nbd_config *remote;
	const char
	        *socket_path; /* listened on; a stale one is replaced, a live one is -EADDRINUSE */
	const char *serial;   /* NULL or empty: what follows "volumes/", cut to 20 bytes */
	bool read_only;
	unsigned queues;        /* 1..16; 0: 1 */
	unsigned lock_wait_ms;  /* for the store's lock (volume.h); long after a restart; 0: 1000 */
	unsigned clone_hold_ms; /* longest that a copy may hold writes back; 0: 5000 */
	bool is_reserved;       /* an export that is still to come has the right to write */
	bool is_fenced;         /* as after gn_blk_fence() */
	/* NULL: none. When it cannot be had the device works without, says why in its replica's
	 * status, and the journal is removed, so that the next one copies everything. */
	const struct gn_blk_replica *replica;
};

/* Opens the store, starts polling on 'worker' and listens. Errors as
 * gn_volume_file_create(), and -EINVAL (queues, name, socket path too long), -EADDRINUSE;
 * each with a sentence in 'status'. */
int gn_blk_create(struct gn_worker *worker, const struct gn_blk_config *config, struct gn_blk **out,
                  struct gn_status *status);
/* Closes the socket, lets in-flight requests finish and frees. Clones must have been
 * finished. NULL is fine. Not from a worker. */
void gn_blk_destroy(struct gn_blk *blk);

/* Makes the volume larger while it is used: its rings rest for a moment, then the front end is
 * told. 'path' is the store's, 'size_bytes' and errors as gn_volume_file_resize(), and
 * GN_FAILED_PRECONDITION for a store elsewhere or with a replica. Control threads; not while it has
 * users, which know one size. */
int gn_blk_resize(struct gn_blk *blk, const char *path, uint64_t size_bytes,
                  struct gn_status *status);

const char *gn_blk_name(const struct gn_blk *blk);
uint64_t gn_blk_size_bytes(const struct gn_blk *blk);
/* Of a 'remote'; false: it has none. */
bool gn_blk_remote_status(const struct gn_blk *blk, struct gn_volume_nbd_status *out);
/* A front end is attached, whether or not its rings run: a guest that reboots stops them. */
bool gn_blk_connected(const struct gn_blk *blk);

/* The VM's disk meter, shared by its volumes on the same worker; NULL: no limit (the
 * default). Requests that exceed it wait in their ring, or at their user. The meter must stay valid
 * until replaced; the change is complete when this returns. */
void gn_blk_set_meter(struct gn_blk *blk, struct gn_disk_meter *meter);

/* ---- users: other ways to the volume than the VM's rings (NBD exports) ---------- */

/* A user submits requests to the same store, or mirror, on the same worker; a copy or a change of
 * mirror holds it back as it does the rings. One writer per volume: the front end, from its
 * connection to its end, or one user, from attach to detach. While a user may write, front ends
 * are turned away (QEMU tries again by itself). Since control stores the users and makes them again
 * after a restart ('is_reserved'), a restart does not change whose turn it is; other processes are
 * kept away by the store's lock. The caller keeps the struct. */
struct gn_blk_user {
	struct gn_blk *blk;
	const char *name; /* for messages; borrowed */
	bool may_write;
};

/* First in whatever the caller submits. It fills 'io' but for its 'done', and 'done'. */
struct gn_blk_user_request {
	struct gn_volume_request io;
	struct gn_blk_user *user;
	void (*done)(struct gn_blk_user_request *request, int error);
	uint64_t taken_at; /* the device's */
};

/* -EROFS, or -EBUSY when somebody else writes, with a sentence. Control threads. */
int gn_blk_attach(struct gn_blk *blk, struct gn_blk_user *user, struct gn_status *status);
/* Nothing of it may be in flight. NULL 'blk' in it is fine. */
void gn_blk_detach(struct gn_blk_user *user);
/* The export for which it was reserved does not come. */
void gn_blk_unreserve(struct gn_blk *blk);

/* Fixed for the device's life. */
struct gn_worker *gn_blk_worker(const struct gn_blk *blk);
const struct gn_volume *gn_blk_volume(const struct gn_blk *blk); /* sizes, 'file_fd' */

/* On the worker. False: not now (the VM's meter included), try again in the next round, with the
 * same request: the rest keeps its order. Counted as the rings' requests are. 'done' is called from
 * a poll of the worker, never from here. */
bool gn_blk_submit(struct gn_blk_user_request *request);

/* ---- replica ----------------------------------------------------------------- */

/* Begins to copy the volume to a shadow while the VM uses it; its rings rest for a moment. A
 * second call changes mode and rate; -EEXIST when the paths or the token differ. */
int gn_blk_start_replica(struct gn_blk *blk, const struct gn_blk_replica *replica,
                         struct gn_status *status);
/* The shadow stays as it is and the journal's file is removed. -EBUSY: a store does not answer, so
 * its memory cannot be given back yet; the VM goes on, try again. None there: 0. */
int gn_blk_stop_replica(struct gn_blk *blk, struct gn_status *status);
/* False: none; then 'problem' (NULL allowed) becomes "" or what keeps one from being there, and
 * 'out' has no more than state STALE and the reason. */
bool gn_blk_replica_status(struct gn_blk *blk, struct gn_vmirror_status *out, const char **problem);
/* Compares the volume with its shadow (gn_vmirror_verify_start). -ENOENT: no shadow; -EBUSY: it is
 * being compared already. */
int gn_blk_start_verify(struct gn_blk *blk, bool repairs, uint64_t bytes_per_s,
                        struct gn_status *status);
void gn_blk_cancel_verify(struct gn_blk *blk);
/* State NONE without a shadow. */
void gn_blk_verify_status(struct gn_blk *blk, struct gn_vmirror_verify_status *out);
/* Now and then: removes the journal of a mirror that cannot remember what differs, so that
 * a restart copies everything. */
void gn_blk_check_replica(struct gn_blk *blk);

/* ---- fence --------------------------------------------------------------------- */

/* Cuts the front end off: its requests have ended when this returns, the socket is gone, and none
 * can come until gn_blk_unfence(). The replica works on. Twice is fine. Control threads. */
void gn_blk_fence(struct gn_blk *blk);
int gn_blk_unfence(struct gn_blk *blk, struct gn_status *status);

/* What a fenced device's shadow is worth. */
struct gn_blk_promotion {
	bool is_complete;   /* it has every write */
	bool from_snapshot; /* its consistent point is FILE.point */
	uint64_t point_us;  /* wall */
	uint64_t lost_bytes, lost_writes;
};
/* Waits so long for what it lacks. -EAGAIN: it still gets it, ask again; -EINVAL... with GN code
 * FAILED_PRECONDITION: it does not. With 'accept_loss' its last consistent point will do, and from
 * here on the replica is held: the device has to be destroyed. */
int gn_blk_judge_shadow(struct gn_blk *blk, bool accept_loss, unsigned wait_ms,
                        struct gn_blk_promotion *out, struct gn_status *status);

/* ---- counters ---------------------------------------------------------------- */

enum gn_blk_op { GN_BLK_READ, GN_BLK_WRITE, GN_BLK_FLUSH, GN_BLK_DISCARD, GN_BLK_N_OPS };

struct gn_blk_op_stats {
	uint64_t operations; /* completed, errors included */
	uint64_t bytes;
	struct gn_histogram latency; /* ring to completion, microseconds */
};

/* Everything but the last three grows for the life of the device. */
struct gn_blk_stats {
	struct gn_blk_op_stats op[GN_BLK_N_OPS]; /* DISCARD with write-zeroes */
	uint64_t errors;                         /* answered with an I/O error, or unsupported */
	uint64_t rejected;        /* malformed requests, and rings stopped because corrupt */
	uint64_t resubmitted;     /* found in flight after a restart and run again */
	uint64_t throttled_us;    /* requests waited for the meter, summed */
	uint64_t in_flight;       /* now */
	uint64_t queue_depth_max; /* most in flight at once since the last gn_blk_take_stats() */
	uint64_t queues_stopped;  /* now: rings the guest corrupted, until it resets the device */
};

/* A consistent copy. take also starts a new queue_depth_max; for the one reader that
 * publishes samples. */
void gn_blk_get_stats(struct gn_blk *blk, struct gn_blk_stats *out);
void gn_blk_take_stats(struct gn_blk *blk, struct gn_blk_stats *out);

/* Pure. 'sum' += 'stats' (volumes of one VM; queue_depth_max too), and 'out' = what grew
 * between two. */
void gn_blk_stats_add(struct gn_blk_stats *sum, const struct gn_blk_stats *stats);
void gn_blk_stats_diff(const struct gn_blk_stats *now, const struct gn_blk_stats *before,
                       struct gn_blk_stats *out);

/* ---- clone ------------------------------------------------------------------- */

/* Copies the volume's content as of one instant into the new file 'target_path', on a
 * thread of its own: by reflink where the file system has it, else sparsely. The VM writes on
 * meanwhile; only while the last bit is copied do writes wait in their rings (reads go on). The
 * VM comes first: a copy for which they would wait longer than clone_hold_ms is given up (-ETIME).
 * One at a time per device. */
struct gn_blk_clone_result {
	uint64_t wall_us; /* the instant */
	uint64_t held_us; /* how long writes were held back for it */
	bool reflink;
	uint64_t size_bytes;
};

struct gn_blk_clone;
/* The same of the volume's shadow, at a consistent point: the volume notices nothing. While the
 * shadow is resynchronised the point that is kept for that time is copied. -EAGAIN: there is no
 * such point now; -ENOENT: no shadow. 'wall_us' is when the content was the volume's. */
int gn_blk_point_start(struct gn_blk *blk, const char *target_path, struct gn_blk_clone **out,
                       struct gn_status *status);
/* The same of a file that nobody writes, such as a snapshot; as large as the volume. */
int gn_blk_copy_start(struct gn_blk *blk, const char *source_path, const char *target_path,
                      struct gn_blk_clone **out, struct gn_status *status);
/* -EEXIST, -EBUSY (one is running), -ENOENT (no such directory), ... */
int gn_blk_clone_start(struct gn_blk *blk, const char *target_path, struct gn_blk_clone **out,
                       struct gn_status *status);
/* Becomes readable when the copy is complete and synced, or has failed. */
int gn_blk_clone_fd(const struct gn_blk_clone *clone);
/* Waits for the end (no wait once the fd is readable), reports and frees. On failure
 * (-ENOSPC, -EIO, -ECANCELED, -ETIME) the partial file is gone. Call before gn_blk_destroy(), or
 * cancel first. */
int gn_blk_clone_finish(struct gn_blk_clone *clone, struct gn_blk_clone_result *result,
                        struct gn_status *status);
void gn_blk_clone_cancel(struct gn_blk_clone *clone);

#endif
