/* change.h - what drove the newest change of a forecast, for operators.
 *
 * Follows the P95 of the horizon that decides. A change is one of 5 % against the newest
 * noted one; its cause is the first of these that holds:
 *   interrupted   samples were missing just before
 *   allocation    the VM's allocation changed, so what was cut off may grow now
 *   rhythm found  another rhythm was found in the series, or it was lost
 *   value         the value itself moved the same way, by at least half as much
 *   rhythm        nothing of these, and the series has a rhythm: its next turn comes nearer
 *   experts       the experts that did better lately count for more
 *
 * Pure; the struct is the caller's, without pointers. */
#ifndef GN_BRAIN_CHANGE_H
#define GN_BRAIN_CHANGE_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/demand/resource.h"
#include "firmware/predict/predict.h"

enum gn_change_cause {
	GN_CHANGE_NONE, /* none yet */
	GN_CHANGE_INTERRUPTED,
	GN_CHANGE_ALLOCATION,
	GN_CHANGE_RHYTHM_FOUND,
	GN_CHANGE_VALUE,
	GN_CHANGE_RHYTHM,
	GN_CHANGE_EXPERTS,
};

/* All zero: nothing seen yet. */
struct gn_change {
	enum gn_change_cause cause;
	bool seen, resized;
	uint64_t at_us; /* card time of the newest change */
	int64_t from, to;
	int64_t observed_from, observed_to;
	uint32_t period;
};

/* The VM's allocation of the resource changed. */
void gn_change_resize(struct gn_change *change);
/* A new forecast of the horizon that decides. */
void gn_change_note(struct gn_change *change, uint64_t at_us,
                    const struct gn_predict_forecast *forecast);

/* "P95 rose from 0.8 vCPU to 1.2 vCPU 12 s ago: the value itself rose from 0.7 to 1.1 vCPU".
 * Nothing when there was no change. */
void gn_change_describe(const struct gn_change *change, enum gn_resource resource,
                        uint64_t period_us, uint64_t now_us, struct gn_text *text);

#endif
