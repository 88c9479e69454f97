/* packs_internal.h - between packs.c (roles) and packs_trial.c (figures and words). */
#ifndef GN_BRAIN_PACKS_INTERNAL_H
#define GN_BRAIN_PACKS_INTERNAL_H

#include "firmware/brain/packs.h"

/* "'our fleet' serial 3", "no pack". */
void gn_packs_describe(const struct gn_packs_slot *slot, char *text, size_t size);
/* What all series have measured so far. */
void gn_packs_measure(const struct gn_brain *brain, struct gn_trial *trial);
/* Writes the trial's figures and the decision into its record. */
void gn_packs_record_trial(struct gn_brain *brain, bool adopt);

#endif
