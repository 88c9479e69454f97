/* provision_internal.h - between provision.c (records), steps.c and disks.c (what each step does),
 * follow.c (how the disks are) and settings.c (what operators ask for). */
#ifndef GN_SHADOW_PROVISION_INTERNAL_H
#define GN_SHADOW_PROVISION_INTERNAL_H

#include "firmware/shadow/provision.h"

struct gn_shadows {
	struct gn_brain *brain;
	struct gn_executor *executor;
	struct gn_peer *dataplane;
	struct gn_view *view;
	struct gn_shadow_record **records; /* by VM */
	size_t n_records;
	uint64_t reached_us;                            /* monotonic: the dataplane last answered */
	void (*removed)(void *context, const char *vm); /* a shadow is gone; NULL: nobody asks */
	void *removed_context;
	bool closing;
};

/* When a disk may be made to follow again; one per disk, at record->turns. */
struct gn_shadow_turn {
	uint64_t again_us;                 /* monotonic: not before */
	char told[GN_STATUS_MESSAGE_SIZE]; /* why the last attempt failed; empty: it did not */
};

/* Does or undoes 'record->shadow.step', item; answers by gn_shadows_answer(), now or later. */
void gn_shadow_do(struct gn_shadow_record *record, struct gn_time now);
void gn_shadow_undo(struct gn_shadow_record *record, struct gn_time now);
/* What became of the step; 'message' says why it failed. */
void gn_shadows_answer(struct gn_shadow_record *record, enum gn_code code, const char *message);
/* Stores the record, with its reason in words. */
int gn_shadows_store(struct gn_shadow_record *record);

/* disks.c; the steps of the item under way, answered by gn_shadows_answer(). */
void gn_shadow_make_replica(struct gn_shadow_record *record);
void gn_shadow_remove_replica(struct gn_shadow_record *record);
void gn_shadow_make_copy(struct gn_shadow_record *record);
void gn_shadow_remove_copy(struct gn_shadow_record *record);
void gn_shadow_make_volume(struct gn_shadow_record *record, gn_channel_done *done);
/* The file of a disk, such as ".raw". */
void gn_shadow_disk_path(const struct gn_shadow_record *record, const char *disk,
                         const char *suffix, char *out, size_t size);
/* The one of all its files, if nothing is left in it. */
void gn_shadow_remove_directory(const struct gn_shadow_record *record);
/* Refuses while the pool is so full that thin files could run out of room. */
int gn_shadow_check_room(const struct gn_shadow_record *record, struct gn_status *status);
/* The file that follows, at least so large; false: it cannot be made. */
bool gn_shadow_ensure_replica(struct gn_shadow_record *record, const char *disk, uint64_t size);
/* Tells the dataplane how the disk is to be followed. */
void gn_shadow_replicate(struct gn_shadow_record *record, const char *disk,
                         Gnomon__V1__VolumeMirror__Mode mode, uint64_t timeout_us,
                         gn_channel_done *done, void *context);

/* follow.c: looks how the disks of a shadow that stands are, fills the message, and begins anew
 * what should follow and does not. NONE: nothing new is known. */
enum gn_shadow_state gn_shadow_follow(struct gn_shadow_record *record, struct gn_time now);
/* In words, for a shadow that stands. */
void gn_shadow_describe_disks(struct gn_shadow_record *record);
/* Has the dataplane follow as the settings now say. */
void gn_shadow_apply_replication(struct gn_shadow_record *record);

/* settings.c */
Gnomon__V1__VolumeMirror__Mode gn_shadow_mode(const struct gn_shadow_record *record);
/* NULL: none. */
const char *gn_shadow_pool(const struct gn_shadow_record *record);
int gn_shadow_check(const struct gn_shadows *shadows, const Gnomon__V1__Shadow *settings,
                    const struct gn_vm *vm, struct gn_status *status);
int gn_shadow_check_mask(char *const *mask, size_t n_mask, struct gn_status *status);
/* Copies the fields that the mask names. */
void gn_shadow_take(Gnomon__V1__Shadow *to, const Gnomon__V1__Shadow *from, char *const *mask,
                    size_t n_mask);
/* Start size: the settings, within the production VM's maximum. */
uint32_t gn_shadow_vcpus(const struct gn_shadow_record *record, const struct gn_vm *vm);
uint64_t gn_shadow_memory(const struct gn_shadow_record *record, const struct gn_vm *vm);
/* A mirror message for the dataplane, with the sink; gn_message_free(). */
Gnomon__V1__Mirror *gn_shadow_mirror(const struct gn_shadow_record *record, const struct gn_vm *vm);

#endif
