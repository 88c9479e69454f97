/* provision.h - makes, refreshes and removes shadows: the shell around shadow.h.
 *
 * Each step of the state machine is one call to the dataplane or one command to the shim;
 * its answer is the next event. The record is stored with every change, before the next
 * step is begun, so a restart goes on where it was. One thread. */
#ifndef GN_SHADOW_PROVISION_H
#define GN_SHADOW_PROVISION_H

#include "firmware/brain/brain.h"
#include "firmware/executor/executor.h"
#include "firmware/ingest/view.h"
#include "firmware/peer/peer.h"
#include "firmware/shadow/shadow.h"

#define GN_SHADOW_POOL         "gnomon-shadows"
#define GN_SHADOW_MAX_TRIGGERS 8

struct gn_shadows;

struct gn_shadow_record {
	char vm[GN_NAME_SIZE];
	Gnomon__V1__Shadow *message; /* what operators see */
	struct gn_shadow shadow;
	struct gn_shadow_trigger triggers[GN_SHADOW_MAX_TRIGGERS];
	struct gn_shadow_turn *turns; /* of each disk, to be made to follow again; follow.c */
	size_t n_turns;
	uint64_t started_us;   /* wall: its domain was last told to start; 0: not by this process */
	uint64_t scheduled_us; /* wall: when the schedule last made it; 0: never */
	char failure[GN_STATUS_MESSAGE_SIZE];    /* of the newest step; empty: it went well */
	char why_failed[GN_STATUS_MESSAGE_SIZE]; /* of the step that could not be made */
	struct gn_shadows *shadows;
};

/* All is borrowed. Takes over what is stored and goes on with it. */
void gn_shadows_create(struct gn_brain *brain, struct gn_executor *executor,
                       struct gn_peer *dataplane, struct gn_view *view, struct gn_time now,
                       struct gn_shadows **out);
/* From here on answers are ignored. */
void gn_shadows_close(struct gn_shadows *shadows);
/* After the peers, whose last answers come here. NULL is fine. */
void gn_shadows_destroy(struct gn_shadows *shadows);

void gn_shadows_tick(struct gn_shadows *shadows, struct gn_time now);
/* The brain's listener: triggers. */
void gn_shadows_observed(struct gn_shadows *shadows, const struct gn_vm *vm,
                         enum gn_resource resource, struct gn_time now);
void gn_shadows_save_all(struct gn_shadows *shadows);

size_t gn_shadows_count(const struct gn_shadows *shadows);
struct gn_shadow_record *gn_shadows_at(const struct gn_shadows *shadows, size_t index);
/* By the VM's name; NULL: it has none. */
struct gn_shadow_record *gn_shadows_find(const struct gn_shadows *shadows, const char *vm);

/* 'settings' is checked here, whole, before anything is changed. With triggers or a
 * schedule the shadow is armed and made when they say so, else it is made now. */
int gn_shadows_add(struct gn_shadows *shadows, const Gnomon__V1__Shadow *settings,
                   struct gn_time now, struct gn_shadow_record **out, struct gn_status *status);
/* Fields by mask: "start", "scaling", "triggers", "schedule", "mirror", "replication";
 * none: all. */
int gn_shadows_update(struct gn_shadow_record *record, const Gnomon__V1__Shadow *settings,
                      char *const *mask, size_t n_mask, struct gn_time now,
                      struct gn_status *status);
/* The VM runs on the shadow's disks from now on: other files follow, under a new token. NULL is
 * fine. */
void gn_shadows_promoted(struct gn_shadow_record *record);
/* Has its domain run on a copy of its disks, or stop and throw the copy away; only while it
 * stands. What becomes of it: shadow.runs, or shadow.start taken back with 'why_failed'. */
void gn_shadows_run(struct gn_shadow_record *record, bool run, struct gn_time now);
/* What its newest rehearsal showed; copied and stored. */
void gn_shadows_note_rehearsal(struct gn_shadow_record *record,
                               const Gnomon__V1__Rehearsal *rehearsal);
/* Begins to remove it; the record goes when all is undone. */
void gn_shadows_remove(struct gn_shadow_record *record, struct gn_time now);

#endif
