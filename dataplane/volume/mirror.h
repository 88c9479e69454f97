/* mirror.h - a volume whose writes go, in order, to a shadow volume as well.
 *
 * In front it is a gn_volume like any other. Behind it are three: the primary (what the VM
 * reads, and what every request waits for), the shadow, and the journal store, a file of the
 * card with the superblock, the lease, the dirty bitmap and the journal's ring.
 *
 * The order of writes is the order in which they are handed to the primary; writes that overlap are
 * never there at the same time, and the primary is written from the journal's own copy, so a guest
 * that changes its buffers meanwhile cannot make the two differ. Whenever the mirror ends, the
 * shadow with the durable journal replayed onto it is the primary's content after some prefix of
 * these writes: in mode in_step and state IN_STEP one that holds every acknowledged write.
 * While the shadow is being resynchronised the snapshot is that prefix.
 *
 * A shadow or journal that fails, hangs or is slow never fails a request of the guest. In mode
 * async it never delays one either, but for the first write to a part of the disk that was
 * unchanged for a while: its dirty bit has to be durable before; and for at most 250 ms while the
 * RAM is full of what the disks take. In mode in_step and while waiting
 * for that bit, 'patience_us' is the limit.
 *
 * Nothing here knows a file: in tests/powercut the stores, the snapshots and the clock are
 * simulated and this code is the real one.
 *
 * Owner: the lcore that polls. create and destroy: a control thread, while nobody polls. */
#ifndef GN_DATAPLANE_VOLUME_MIRROR_H
#define GN_DATAPLANE_VOLUME_MIRROR_H

#include "dataplane/volume/replica.h"
#include "dataplane/volume/verify.h"
#include "dataplane/volume/volume.h"

enum gn_vmirror_mode {
	GN_VMIRROR_ASYNC,   /* acknowledge when the primary has it */
	GN_VMIRROR_IN_STEP, /* when both have it */
};

/* Keeps the shadow's content as it is now, atomically: the former snapshot stays until the
 * new one is durable. Calls come from the lcore and must not wait. All NULL: the shadow's store
 * keeps none, and then there is no consistent point while it is resynchronised. */
struct gn_vmirror_snapshots {
	int (*start)(void *context);
	int (*poll)(void *context); /* 1: durable, 0: not yet, or a negative errno */
	void (*drop)(void *context);
	void *context;
};

#define GN_VMIRROR_META_BYTES    65536u /* of the journal store, before the ring */
#define GN_VMIRROR_MIN_RAM_BYTES 65536u
#define GN_VMIRROR_MAX_RAM_BYTES (64u << 20)

struct gn_vmirror_config {
	struct gn_volume *primary; /* owned by the mirror, once create has succeeded */
	struct gn_volume *shadow;  /* at least as large */
	struct gn_volume *journal; /* GN_VMIRROR_META_BYTES and at least twice 'ram_bytes' */
	enum gn_vmirror_mode mode;
	uint64_t token;              /* of the shadow's lease; lease.h */
	uint64_t holder;             /* who we are, for the lease */
	uint64_t ram_bytes;          /* a multiple of 64 KiB, at most 64 MiB; 0: 32 MiB */
	uint64_t granule_bytes;      /* of the dirty bitmap; 0: gn_bitmap_granule() */
	uint32_t region_granules;    /* whose bits are set and cleared together; 0: 64 */
	uint64_t resync_bytes_per_s; /* 0: no limit */
	uint64_t patience_us;        /* 0: 5 s */
	uint64_t retry_us;           /* 0: 2 s */
	uint64_t sweep_us;           /* a dirty bit is kept so long; 0: 30 s */
	uint64_t (*mono_us)(void *clock);
	uint64_t (*wall_us)(void *clock);
	void *clock;
	struct gn_vmirror_snapshots snapshots;
};

struct gn_vmirror;

/* -EINVAL with a sentence when the three do not fit together; then they stay the caller's. */
int gn_vmirror_create(const struct gn_vmirror_config *config, struct gn_vmirror **out,
                      struct gn_status *status);

/* The front; its destroy frees the mirror and the three stores. */
struct gn_volume *gn_vmirror_volume(struct gn_vmirror *mirror);
struct gn_volume *gn_vmirror_primary(struct gn_vmirror *mirror);
struct gn_volume *gn_vmirror_shadow(struct gn_vmirror *mirror);

/* The rest is called on the lcore. */

void gn_vmirror_set_mode(struct gn_vmirror *mirror, enum gn_vmirror_mode mode,
                         uint64_t resync_bytes_per_s);

/* No further work in the background but, until 'hurry', what makes the next start clean: the
 * journal applied, the bitmap cleared. To be polled until gn_vmirror_is_idle(), then destroyed.
 * With 'hurry' only for what is in flight. Requests of the guest do not count. */
void gn_vmirror_stop(struct gn_vmirror *mirror, bool hurry);
bool gn_vmirror_is_idle(const struct gn_vmirror *mirror);

/* From here on writes go to the primary alone and nothing is remembered; the journal store's
 * content is void, so its owner removes it. To be polled until it is idle, then detached. */
void gn_vmirror_abandon(struct gn_vmirror *mirror);
/* Frees the mirror, its shadow and its journal store; the primary is the caller's again. Nothing
 * may be in flight. */
struct gn_volume *gn_vmirror_detach(struct gn_vmirror *mirror);

/* Nothing more is written to the shadow until it is released; for the moment that a copy of it
 * needs. To be polled until gn_vmirror_held() says otherwise than WAIT. Requests go on; in mode
 * in_step and IN_STEP they wait. */
enum gn_vmirror_hold {
	GN_VMIRROR_HOLD_WAIT,
	GN_VMIRROR_HOLD_SHADOW,   /* the shadow's content is a consistent point */
	GN_VMIRROR_HOLD_SNAPSHOT, /* the snapshot's is */
	GN_VMIRROR_HOLD_NONE,     /* there is none yet, or the shadow does not answer */
};
void gn_vmirror_hold(struct gn_vmirror *mirror);
void gn_vmirror_release(struct gn_vmirror *mirror);
/* '*wall_us': when that content was the primary's. */
enum gn_vmirror_hold gn_vmirror_held(const struct gn_vmirror *mirror, uint64_t *wall_us);

/* Compares primary and shadow, sector by sector, while the disk is used; verify.h says how that is
 * exact. With 'repairs' what differs goes to the shadow as the journal's writes do. Nothing waits
 * for it but, for 100 ms at most and once in 32 MiB, writes where the disk is rewritten so fast
 * that eight tries found it changing. It pauses while the mirror is not IN_STEP, and ends with it.
 *
 * create and destroy: a control thread. start takes '*verify' over and leaves the former there, or
 * NULL, for destroy; -EBUSY: one is running. */
struct gn_vmirror_verify;
struct gn_vmirror_verify *gn_vmirror_verify_create(const struct gn_vmirror *mirror, bool repairs,
                                                   uint64_t bytes_per_s); /* 0: no limit */
void gn_vmirror_verify_destroy(struct gn_vmirror_verify *verify);         /* NULL is fine */
int gn_vmirror_verify_start(struct gn_vmirror *mirror, struct gn_vmirror_verify **verify);
void gn_vmirror_verify_cancel(struct gn_vmirror *mirror);

enum gn_vmirror_verify_state {
	GN_VMIRROR_VERIFY_NONE,
	GN_VMIRROR_VERIFY_RUNNING,
	GN_VMIRROR_VERIFY_DONE,
	GN_VMIRROR_VERIFY_ENDED, /* before its end: cancelled, or the mirror stopped */
};
struct gn_vmirror_verify_status {
	enum gn_vmirror_verify_state state;
	uint64_t number; /* of this mirror's comparisons, from 1 on */
	bool repairs;
	uint64_t size_bytes;
	struct gn_verify_result result;
};
void gn_vmirror_get_verify(const struct gn_vmirror *mirror, struct gn_vmirror_verify_status *out);

struct gn_vmirror_status {
	enum gn_vmirror_mode mode;
	enum gn_replica_phase phase;
	enum gn_replica_state state;
	enum gn_replica_reason reason; /* of DEGRADED and STALE, and why it is SYNCING */
	int error;                     /* the last one of a store, negative errno; 0 */
	uint64_t lag_bytes;            /* written to the primary, not to the shadow */
	uint64_t lag_writes;
	uint64_t lag_us;        /* age of the oldest of them: the RPO now */
	uint64_t journal_bytes; /* in use */
	uint64_t journal_size_bytes;
	uint64_t dirty_bytes;       /* of granules whose bit is set */
	uint64_t resync_left_bytes; /* while SYNCING: still to be copied */
	uint64_t resync_done_bytes;
	uint64_t resync_left_us; /* estimate; 0: unknown */
	uint64_t point_wall_us;  /* of the last consistent point; 0: there is none yet */
	bool tracked;            /* false: a crash now would forget which parts differ */
	uint64_t writes_applied;
	uint64_t bytes_applied;
	uint64_t n_resyncs;
};
void gn_vmirror_get_status(const struct gn_vmirror *mirror, struct gn_vmirror_status *out);

#endif
