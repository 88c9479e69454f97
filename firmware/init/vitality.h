/* vitality.h - whether the hardware watchdog may be fed: only while the dataplane makes progress.
 *
 * Pure. The workers count their loops; the counter is looked at every second. A dataplane that
 * is gone or stands still for GN_VITALITY_PATIENCE_US no longer earns food, and the watchdog
 * then resets the card. A card that has not got its dataplane up yet has the longer
 * GN_VITALITY_START_US. And a slot on trial must be found good within GN_VITALITY_TRIAL_US: whoever
 * was to say so may hang itself. */
#ifndef GN_INIT_VITALITY_H
#define GN_INIT_VITALITY_H

#include <stdbool.h>
#include <stdint.h>

#define GN_VITALITY_PATIENCE_US 30000000u
#define GN_VITALITY_START_US    120000000u
#define GN_VITALITY_TRIAL_US    900000000u

struct gn_vitality {
	uint64_t loops;    /* as last seen */
	uint64_t moved_us; /* when that grew, or the card started */
	bool lived;        /* it has grown at least once */
	bool on_trial;     /* the slot that was booted */
	uint64_t started_us;
};

void gn_vitality_init(struct gn_vitality *vitality, bool on_trial, uint64_t now_us);
/* What the dataplane said; a counter that shrank is a restart, which is progress too. */
void gn_vitality_observe(struct gn_vitality *vitality, uint64_t loops, uint64_t now_us);
bool gn_vitality_may_feed(const struct gn_vitality *vitality, uint64_t now_us);
/* The slot has been found good. */
void gn_vitality_good(struct gn_vitality *vitality);
/* Whether its trial has lasted too long: the card is restarted, also without a watchdog. */
bool gn_vitality_trial_failed(const struct gn_vitality *vitality, uint64_t now_us);

#endif
