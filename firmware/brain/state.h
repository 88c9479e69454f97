/* state.h - what the card has learnt of a VM, as one blob, so that it travels with the VM.
 *
 * The blob holds the predictor of every resource that was ever sampled, and the signs of failure
 * with the anomaly detectors and trends behind them. Layout, little-endian:
 *   u32 magic 'GNVS', u32 version, u64 size of the whole, u64 FNV-1a of all that follows,
 *   then per resource: u32 its number, u32 zero, u64 size, and what gn_series_export() wrote;
 *   under the number 0 (GN_STATE_HAZARD): struct gn_hazard_vm.
 * The card that imports it goes on exactly where the other one stopped: the same samples
 * give the same forecasts. The time in between counts as missing samples.
 *
 * A blob is not believed: everything is checked before anything is changed, and the
 * predictor and the signs check each of their numbers (firmware/predict/blob.c,
 * gn_hazard_vm_is_sound()). The checksum is against
 * damage; who may send a blob is the channel's matter. */
#ifndef GN_BRAIN_STATE_H
#define GN_BRAIN_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include "firmware/brain/brain.h"

#define GN_STATE_MAGIC   0x53564e47u
#define GN_STATE_VERSION 2
#define GN_STATE_HAZARD  0
/* Clocks of two cards may differ so much. */
#define GN_STATE_SKEW_US ((uint64_t)60 * 1000000)

/* For the caller to free(). A VM that was never sampled gives a blob without resources. */
void *gn_state_export(const struct gn_brain *brain, const struct gn_vm *vm, size_t *size);

/* Replaces the VM's predictors of the resources in the blob, and its signs, and stores them. On
 * failure nothing has changed: GN_INVALID_ARGUMENT (no such blob, or damaged),
 * GN_FAILED_PRECONDITION (another version, other periods or horizons; or this card has learnt more
 * of the VM and not 'replace'), GN_OUT_OF_RANGE (from the future: the clocks differ). */
int gn_state_import(struct gn_brain *brain, struct gn_vm *vm, const void *blob, size_t size,
                    bool replace, struct gn_time now, struct gn_status *status);

#endif
