/* brain_internal.h - between brain.c (VMs, storing) and observe.c (what comes in). */
#ifndef GN_BRAIN_INTERNAL_H
#define GN_BRAIN_INTERNAL_H

#include "firmware/brain/brain.h"

void gn_brain_save_first(struct gn_brain *brain, const struct gn_vm *vm);
void gn_brain_save_predictors(struct gn_brain *brain, const struct gn_vm *vm);
void gn_brain_save_changed(struct gn_brain *brain, const struct gn_vm *vm,
                           enum gn_resource resource);

#endif
