/* mirror_internal.h - inside a mirrored volume; for mirror*.c only.
 *
 *   mirror.c         the front: operations, create and destroy, status
 *   mirror_request.c the guest's requests
 *   mirror_phase.c   the phases, what time brings about
 *   mirror_store.c   the journal store: loading, the commit cycle
 *   mirror_apply.c   the shadow: the journal applied, granules copied, flushes
 *   mirror_verify.c  both compared, the shadow repaired */
#ifndef GN_DATAPLANE_VOLUME_MIRROR_INTERNAL_H
#define GN_DATAPLANE_VOLUME_MIRROR_INTERNAL_H

#include "dataplane/volume/bitmap.h"
#include "dataplane/volume/journal.h"
#include "dataplane/volume/lease.h"
#include "dataplane/volume/mirror.h"

#define MAX_PIECES (GN_VMIRROR_MAX_RAM_BYTES / 2 / GN_JOURNAL_MAX_PAYLOAD + 2)
#define N_APPLIES  32u
#define N_MERGED   16u /* records that follow one another on the disk, as one request */
#define N_COPIES   8u
#define COPY_BYTES (128u << 10) /* or a granule, if that is smaller */
#define N_LOOKS    4u           /* have their place where the copies have */
#define LOOK_BYTES (128u << 10)

/* A request of the guest on its way to the primary. */
struct op {
	struct gn_volume_request io; /* first: 'done' gets this */
	struct gn_vmirror *mirror;
	struct gn_volume_request *guest; /* NULL once it is answered */
	struct op *next;
	uint64_t begin, end; /* its records */
	uint64_t epoch;      /* of the journal they are in; 0: none */
	uint64_t since_us;
	bool done;
	bool rewrites; /* the primary is not written but read, for the shadow: mirror_verify.c */
	int error;
	unsigned n_pieces;
	struct iovec pieces[MAX_PIECES]; /* payloads in the journal's RAM */
};

struct op_list {
	struct op *first, **end;
};

/* A record on its way to the shadow. */
struct apply {
	struct gn_volume_request io;
	struct gn_vmirror *mirror;
	struct iovec iov[N_MERGED];
	uint64_t begin, sequence, n_records;
	bool busy, from_ram;
};

/* A piece of a granule on its way from the primary to the shadow. */
struct copy {
	struct gn_volume_request io;
	struct gn_vmirror *mirror;
	struct iovec iov;
	uint32_t granule;
	bool busy;
};

/* A part that is read from the primary, then from the shadow, to be compared. */
struct look {
	struct gn_volume_request io;
	struct gn_vmirror *mirror;
	struct iovec iov;
	uint8_t *primary, *shadow; /* 'look_bytes' each */
	uint64_t offset, length;
	uint64_t try;
	bool busy;
};

struct gn_vmirror_verify {
	struct gn_verify book;
	uint64_t number;
	enum gn_vmirror_verify_state state;
	bool is_cancelled;
	bool is_armed;           /* a try is under way ... */
	uint64_t try;            /* ... this one, of all windows */
	uint64_t epoch, barrier; /* of the journal: the shadow must have all before */
	uint64_t cursor;         /* from here on nothing was read in this try */
	uint64_t repaired;       /* nor repaired from here on */
	bool holds;              /* writes to what is still open wait ... */
	uint64_t hold_until_us;  /* ... so long */
	uint64_t bytes_per_s, next_us;
	struct look looks[N_LOOKS];
	unsigned n_looks, n_reading; /* busy ones; and those at the primary */
	uint64_t look_bytes;         /* LOOK_BYTES, or a smaller volume */
	struct op rewrite;
	struct gn_volume_request rewrite_guest;
	bool is_rewriting;
	uint8_t *memory;
};

struct cycle_write {
	struct gn_volume_request io;
	struct gn_vmirror *mirror;
	struct iovec iov;
};

/* Records on their way into the ring, beside the rounds: while one flushes, which may take long,
 * the next ones leave the RAM. */
struct ring_write {
	struct cycle_write writes[2]; /* up to the RAM's end, and from its beginning */
	unsigned n_outstanding;       /* 0: none is under way */
	int error;
	uint64_t begin, until, epoch;
	uint64_t since_us;
};

/* One round of the journal store: writes, then one flush for them and the ring's. */
struct cycle {
	struct cycle_write writes[GN_BITMAP_MAX_SECTORS + 1];
	unsigned n_writes;
	struct gn_volume_request flush;
	uint64_t (*sectors)[GN_BITMAP_SECTOR / 8]; /* of the bitmap, encoded */
	uint8_t numbers[GN_BITMAP_MAX_SECTORS];
	struct gn_journal_super *super;
	unsigned n_sectors;
	unsigned n_outstanding;
	bool has_super;
	bool is_running, is_flushing;
	int error;
	uint64_t epoch, until; /* of the journal; once it is flushing */
	uint64_t since_us;
};

struct gn_vmirror {
	struct gn_volume volume; /* first */
	struct gn_vmirror_config config;
	struct gn_volume *primary, *shadow, *store;
	enum gn_replica_phase phase;
	enum gn_replica_reason reason;
	int error;
	uint64_t now_us;
	uint64_t retry_at_us;
	bool stops, hurries, holds;

	/* Requests. */
	struct op *ops, *free_ops;
	struct op_list waiting;  /* changing ones, to be started in this order */
	struct op_list active;   /* started, in this order; leave when all before are done */
	struct op_list in_step;  /* answered when the shadow has them */
	struct op_list finished; /* answered at the next poll */
	uint32_t n_loose;        /* active and not in the journal */

	/* The journal. */
	struct gn_journal journal;
	uint8_t *ram;
	uint64_t ram_valid;      /* positions before are not in RAM */
	uint64_t armed;          /* where the epoch began */
	uint64_t ring_offset;    /* in the store */
	uint64_t *last_position; /* per granule */
	struct gn_lag lag;

	/* The store. */
	struct gn_bitmap bitmap;
	struct cycle cycle;
	struct ring_write ring_write;
	struct gn_journal_super super; /* durable */
	bool has_super;                /* 'super' is */
	enum gn_journal_point point;   /* wanted in the superblock */
	uint64_t point_wall_us;
	bool super_wanted;
	bool journal_failed;
	bool untracked;
	uint64_t journal_retry_us;
	uint64_t swept_position, swept_us;
	struct gn_volume_request sweep_flush; /* of the primary */
	uint64_t sweep_limit, sweep_epoch;
	bool sweep_busy;
	uint8_t *meta; /* GN_VMIRROR_META_BYTES, for loading */
	struct gn_volume_request load;
	struct iovec load_iov;
	int load_step;
	bool load_busy;
	uint64_t load_since_us;
	uint64_t scan, scan_sequence; /* the record that is looked at */
	uint64_t scan_end;            /* of the last whole request */

	/* The shadow. */
	struct apply applies[N_APPLIES];
	unsigned n_applies;
	uint64_t apply_next, apply_sequence;
	uint64_t apply_end; /* records from here on are lost; UINT64_MAX: none */
	uint64_t
	        applied_before; /* by an attempt, or a run, before: no prefix until applied again */
	bool apply_in_request;  /* 'apply_next' is between two records of one request */
	uint64_t flushed_sequence;
	struct gn_volume_request shadow_flush;
	uint64_t flushing, flushing_sequence;
	bool flush_busy;
	uint64_t flush_us;  /* the last one */
	uint64_t shadow_us; /* it last answered, or had nothing to answer */
	uint8_t *spill;     /* holds any record */
	uint64_t spill_size;
	uint64_t spill_begin, spill_end;
	struct gn_volume_request spill_io;
	struct iovec spill_iov;
	bool spill_busy;
	uint64_t *to_copy;
	uint32_t n_to_copy;
	struct copy copies[N_COPIES];
	unsigned n_copies;
	uint8_t *copy_memory;
	uint64_t copy_size;
	uint32_t copy_granule; /* being cut into pieces */
	uint64_t copy_offset, copy_end;
	uint64_t copied_bytes, copy_start_us, copy_budget, copy_budget_us;
	uint32_t copy_granted; /* granules to copy before the journal is tried anyway */
	uint64_t level;        /* the shadow is a prefix again from here on */
	bool level_flushing, level_flushed;
	bool snapshot_runs;
	uint64_t writes_applied, bytes_applied, n_resyncs;

	struct gn_vmirror_verify *verify; /* the last one; NULL: none yet */
};

/* mirror_phase.c */
void gn_vmirror_keep_time(struct gn_vmirror *m);
void gn_vmirror_event(struct gn_vmirror *m, enum gn_replica_event event);
void gn_vmirror_gap(struct gn_vmirror *m, enum gn_replica_reason reason);
void gn_vmirror_journal_failed(struct gn_vmirror *m, int error);

/* mirror_request.c */
void gn_vmirror_init_requests(struct gn_vmirror *m);
void gn_vmirror_take(struct gn_vmirror *m, struct gn_volume_request *guest);
void gn_vmirror_start_waiting(struct gn_vmirror *m);
void gn_vmirror_answer_finished(struct gn_vmirror *m);
/* What the shadow has, or what shall not wait for it any more. */
void gn_vmirror_answer_in_step(struct gn_vmirror *m);

/* mirror_store.c */
void gn_vmirror_load(struct gn_vmirror *m);
void gn_vmirror_commit(struct gn_vmirror *m);
void gn_vmirror_sweep(struct gn_vmirror *m);
void gn_vmirror_mark_dirty(struct gn_vmirror *m, const struct gn_volume_request *io);

/* mirror_apply.c */
void gn_vmirror_apply(struct gn_vmirror *m);
void gn_vmirror_copy(struct gn_vmirror *m);
void gn_vmirror_shadow_failed(struct gn_vmirror *m, int error);
bool gn_vmirror_shadow_is_quiet(const struct gn_vmirror *m);
void gn_vmirror_mark_copy(struct gn_vmirror *m, uint32_t first, uint32_t end);
/* Starts reading the journal's file from 'begin' on, at most to 'limit', into 'spill'. */
void gn_vmirror_spill(struct gn_vmirror *m, uint64_t begin, uint64_t limit);

/* mirror_request.c: what the primary has there, in its turn, becomes a record; 'guest' is answered
 * when it is one, or with -EAGAIN, and 'op' is free when 'is_rewriting' is false again. */
void gn_vmirror_rewrite(struct gn_vmirror *m, struct op *op, struct gn_volume_request *guest);

/* mirror_verify.c */
void gn_vmirror_verify(struct gn_vmirror *m);
bool gn_vmirror_verify_is_busy(const struct gn_vmirror *m);
/* A change begins. */
void gn_vmirror_verify_touch(struct gn_vmirror *m, const struct gn_volume_request *io);
/* Whether it has to wait. */
bool gn_vmirror_verify_holds(const struct gn_vmirror *m, const struct op *op);
/* Some wait, so the journal shall not. */
bool gn_vmirror_verify_hurries(const struct gn_vmirror *m);

#endif
