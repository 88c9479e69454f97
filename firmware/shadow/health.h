/* health.h - how a shadow is, from what the dataplane tells of its disks.
 *
 * The worst disk decides the state and the cause; bytes and writes are added up, of ages the
 * oldest counts, and the consistent point is the oldest too: what all disks hold at least. Pure. */
#ifndef GN_SHADOW_HEALTH_H
#define GN_SHADOW_HEALTH_H

#include <stddef.h>
#include "firmware/shadow/shadow.h"

/* Numbered as VolumeMirrorStatus.Reason of dataplane.proto. */
#define GN_SHADOW_CAUSES(X)                                                                        \
	X(FINE, "")                                                                                \
	X(PRIMARY_STORE, "the VM's own disk fails")                                                \
	X(SHADOW_STORE, "the shadow's disk fails or does not answer")                              \
	X(JOURNAL_STORE, "the journal's disk fails or does not answer")                            \
	X(JOURNAL_FULL, "the journal is full: the shadow's disk is too slow")                      \
	X(SNAPSHOT, "no snapshot of the shadow's disk can be taken")                               \
	X(LEASE, "another card holds the shadow's lease")                                          \
	X(RESTARTED, "writes were on their way when the dataplane ended")                          \
	X(LINK, "the dataplane does not answer")

enum gn_shadow_cause {
#define GN_SHADOW_CAUSE_ENUM(name, text) GN_SHADOW_CAUSE_##name,
	GN_SHADOW_CAUSES(GN_SHADOW_CAUSE_ENUM)
#undef GN_SHADOW_CAUSE_ENUM
	        GN_SHADOW_N_CAUSES
};

/* What is told of one disk. */
struct gn_shadow_disk {
	enum gn_shadow_state state; /* SYNCING, IN_STEP, DEGRADED or STALE */
	enum gn_shadow_cause cause;
	uint64_t lag_bytes, lag_writes, lag_us;
	uint64_t journal_bytes, journal_size_bytes;
	uint64_t resync_done_bytes, resync_left_bytes, resync_left_us;
	uint64_t point_us; /* wall; 0: there is none yet */
};

struct gn_shadow_health {
	struct gn_shadow_disk all; /* 'state' NONE: no disk was added */
	size_t n_disks;
	size_t worst; /* the disk that decides */
};

void gn_shadow_health_init(struct gn_shadow_health *health);
void gn_shadow_health_add(struct gn_shadow_health *health, const struct gn_shadow_disk *disk);
const char *gn_shadow_cause_text(enum gn_shadow_cause cause);

#endif
