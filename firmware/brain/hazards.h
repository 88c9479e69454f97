/* hazards.h - the signs of trouble of every VM, and what the card makes of them.
 *
 * Feeds what samples say to firmware/hazard, lets the card's models learn which signs were
 * followed by failures, and keeps both in the store. Part of the brain: one thread. */
#ifndef GN_BRAIN_HAZARDS_H
#define GN_BRAIN_HAZARDS_H

#include "firmware/hazard/vm.h"
#include "proto/gnomon/v1/alert.pb-c.h"
#include "proto/gnomon/v1/sample.pb-c.h"

struct gn_brain;
struct gn_vm;
struct gn_time;

/* One per horizon, for all VMs of the card. */
struct gn_hazards {
	struct gn_signs models[GN_HAZARD_HORIZONS];
};

/* Takes over what the store holds; after the VMs. */
void gn_hazards_open(struct gn_brain *brain);
struct gn_hazard_vm *gn_hazards_new(const struct gn_brain *brain);

/* A period of the VM, as any source saw it. */
void gn_hazards_sample(struct gn_brain *brain, struct gn_vm *vm, const Gnomon__V1__Sample *sample,
                       uint64_t card_us);
/* Every period: failures are noted, the models learn. */
void gn_hazards_tick(struct gn_brain *brain, struct gn_time now);

/* The probabilities within the horizons, shortest first. */
void gn_hazards_of(const struct gn_brain *brain, const struct gn_vm *vm, uint64_t card_us,
                   struct gn_signs_hazard hazards[GN_HAZARD_HORIZONS]);
/* The same with the signs in words, for operators; gn_message_free(). */
Gnomon__V1__Hazard *gn_hazards_message(struct gn_brain *brain, const struct gn_vm *vm,
                                       struct gn_time now);

void gn_hazards_save_models(struct gn_brain *brain);
void gn_hazards_save_vm(struct gn_brain *brain, const struct gn_vm *vm);
void gn_hazards_forget_vm(struct gn_brain *brain, const struct gn_vm *vm);

#endif
