/* replica.h - the life of a shadow volume: what it is doing, and what comes next.
 *
 * A phase says whether new writes go into the journal ('journals'), whether the journal is
 * applied to the shadow ('applies'), whether the shadow's content is being copied ('copies'), and
 * what the operator is told. Pure: mirror.c performs, and reports events. */
#ifndef GN_DATAPLANE_VOLUME_REPLICA_H
#define GN_DATAPLANE_VOLUME_REPLICA_H

#include <stdbool.h>

enum gn_replica_state {
	GN_REPLICA_SYNCING,
	GN_REPLICA_IN_STEP,  /* every write is in the journal; the lag says how far it is */
	GN_REPLICA_DEGRADED, /* 'reason' says who failed */
	GN_REPLICA_STALE,    /* nothing is tracked: needs a full synchronisation, or is fenced */
};

/*  name         state     journals applies copies
 * LOADING      what the last run left is read; writes wait
 * LIVE         the normal case
 * RETRYING     the shadow failed; the journal fills
 * BROKEN       it failed and the journal has ended; the bitmap remembers
 * DRAINING     the journal has ended; what it holds is applied: then the shadow is a prefix
 * RESUMING     nothing differs: a new epoch of the journal is made durable; writes wait
 * SNAPSHOT     that prefix is kept
 * MARKING      the superblock is told that the shadow stops being one
 * COPYING      dirty granules are copied while new writes make others dirty
 * HALTED       the shadow failed meanwhile
 * ARMING       a new epoch of the journal is made durable
 * CATCHING_UP  new writes go into the journal; the last dirty granules are copied
 * LEVELLING    and the journal is applied up to where copying ended: a prefix again
 * SETTLING     the superblock is told so
 * LOST         the metadata cannot be read; nothing is remembered
 * FENCED       the lease is another's */
#define GN_REPLICA_PHASES(X)                                                                       \
	X(LOADING, SYNCING, 0, 0, 0)                                                               \
	X(LIVE, IN_STEP, 1, 1, 0)                                                                  \
	X(RETRYING, DEGRADED, 1, 0, 0)                                                             \
	X(BROKEN, DEGRADED, 0, 0, 0)                                                               \
	X(DRAINING, DEGRADED, 0, 1, 0)                                                             \
	X(RESUMING, DEGRADED, 0, 0, 0)                                                             \
	X(SNAPSHOT, SYNCING, 0, 0, 0)                                                              \
	X(MARKING, SYNCING, 0, 0, 0)                                                               \
	X(COPYING, SYNCING, 0, 0, 1)                                                               \
	X(HALTED, DEGRADED, 0, 0, 0)                                                               \
	X(ARMING, SYNCING, 0, 0, 0)                                                                \
	X(CATCHING_UP, SYNCING, 1, 0, 1)                                                           \
	X(LEVELLING, SYNCING, 1, 1, 0)                                                             \
	X(SETTLING, SYNCING, 1, 1, 0)                                                              \
	X(LOST, STALE, 0, 0, 0)                                                                    \
	X(FENCED, STALE, 0, 0, 0)

#define X(name, state, journals, applies, copies) GN_REPLICA_##name,
enum gn_replica_phase { GN_REPLICA_PHASES(X) GN_REPLICA_N_PHASES };
#undef X

enum gn_replica_event {
	GN_REPLICA_FOUND_PREFIX,  /* loaded: the shadow is a prefix once the journal is applied */
	GN_REPLICA_FOUND_PARTIAL, /* loaded: the shadow was being copied to */
	GN_REPLICA_FOUND_NOTHING, /* metadata missing or damaged: all is dirty, point unknown */
	GN_REPLICA_REFUSED,       /* the lease is another's */
	GN_REPLICA_UNREADABLE,    /* the journal store failed while loading */
	GN_REPLICA_GAP,           /* a write could not go into the journal, or left it */
	GN_REPLICA_SHADOW_FAILED, /* an error, or a hang */
	GN_REPLICA_RETRY,         /* time to try again, nothing of it in flight */
	GN_REPLICA_DRAINED_CLEAN, /* the journal is applied and nothing is dirty */
	GN_REPLICA_DRAINED,       /* the journal is applied */
	GN_REPLICA_SNAPSHOT_TAKEN,
	GN_REPLICA_MARKED,    /* the superblock that this phase asked for is durable */
	GN_REPLICA_FEW_DIRTY, /* what is left to copy can be, while the journal fills */
	GN_REPLICA_COPIED,    /* nothing is left to copy */
	GN_REPLICA_LEVEL,     /* applied and flushed to the point where copying ended */
	GN_REPLICA_ABANDONED, /* by control; means something to every phase */
	GN_REPLICA_N_EVENTS,
};

enum gn_replica_reason {
	GN_REPLICA_FINE,
	GN_REPLICA_PRIMARY,      /* the primary store failed a write */
	GN_REPLICA_SHADOW,       /* the shadow store failed or hangs */
	GN_REPLICA_JOURNAL,      /* the journal store failed or hangs */
	GN_REPLICA_JOURNAL_FULL, /* the shadow is too slow */
	GN_REPLICA_SNAPSHOTS,    /* no snapshot of the shadow could be taken */
	GN_REPLICA_LEASE,
	GN_REPLICA_RESTARTED, /* writes may have been on their way when the last run ended */
	GN_REPLICA_LINK,      /* the shadow is elsewhere and cannot be reached */
};

/* What follows; the same phase where the event means nothing to it. */
enum gn_replica_phase gn_replica_step(enum gn_replica_phase phase, enum gn_replica_event event);

enum gn_replica_state gn_replica_state(enum gn_replica_phase phase);
bool gn_replica_journals(enum gn_replica_phase phase);
bool gn_replica_applies(enum gn_replica_phase phase);
bool gn_replica_copies(enum gn_replica_phase phase);
const char *gn_replica_phase_name(enum gn_replica_phase phase);
const char *gn_replica_reason_text(enum gn_replica_reason reason);

#endif
