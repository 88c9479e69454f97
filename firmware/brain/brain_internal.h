/* brain_internal.h - between brain.c (VMs, storing), observe.c (what comes in) and guest.c (what
 * comes in of guests). */
#ifndef GN_BRAIN_INTERNAL_H
#define GN_BRAIN_INTERNAL_H

#include "firmware/brain/brain.h"

void gn_brain_save_first(struct gn_brain *brain, const struct gn_vm *vm);
void gn_brain_save_predictors(struct gn_brain *brain, const struct gn_vm *vm);
void gn_brain_save_changed(struct gn_brain *brain, const struct gn_vm *vm,
                           enum gn_resource resource);

/* A source's monotonic time as card time; observe.c. */
uint64_t gn_brain_to_card(struct gn_brain *brain, uint64_t source_us, struct gn_time now,
                          int64_t *offset_us, bool *known);
/* Feeds what is valid in 'demand' to the VM's series; observe.c. */
void gn_brain_observe(struct gn_brain *brain, struct gn_vm *vm, const struct gn_demand *demand,
                      uint64_t card_us, struct gn_time now);

/* The host's figures of CPU and memory: leaves valid what is to be learnt; guest.c. */
void gn_brain_weigh_host(struct gn_brain *brain, struct gn_vm *vm, const Gnomon__V1__CpuSample *cpu,
                         struct gn_demand *demand, uint64_t card_us);
/* After a restart: what was measured by the guest waits for it; guest.c. */
void gn_brain_resume_sources(struct gn_brain *brain, struct gn_vm *vm, uint64_t card_us);

#endif
