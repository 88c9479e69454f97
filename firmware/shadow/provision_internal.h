/* provision_internal.h - between provision.c (records), steps.c (what each step does) and
 * settings.c (what operators ask for). */
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
	bool closing;
};

/* Does or undoes 'record->shadow.step', item; answers by gn_shadows_answer(), now or later. */
void gn_shadow_do(struct gn_shadow_record *record, struct gn_time now);
void gn_shadow_undo(struct gn_shadow_record *record, struct gn_time now);
/* What became of the step; 'message' says why it failed. */
void gn_shadows_answer(struct gn_shadow_record *record, enum gn_code code, const char *message);
/* Stores the record, with its reason in words. */
int gn_shadows_store(struct gn_shadow_record *record);

/* settings.c */
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
