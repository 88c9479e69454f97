/* watch.h - what may need an alert: looks at every VM's forecasts and signs, and at the card's
 * own room, and reports to the board.
 *
 *   RESOURCE_SHORTAGE of a VM  a trusted forecast up to the policy's horizon exceeds the
 *       allocation with so much probability, or demand is at the allocation already (then a
 *       half), and nothing is about to be done: mode FORECAST_ONLY, a limit, no room.
 *   RESOURCE_SHORTAGE of the card  the file system of the shadows' disks fills up.
 *   POTENTIAL_FAILURE of a VM  the hazard within a day (brain/hazards.h).
 *   POTENTIAL_FAILURE of a drive of the host  its SMART attributes, by hazard/drive.h's rule.
 *
 * A VM that was not sampled lately is not judged: its alerts stay as they are. One thread. */
#ifndef GN_ALERT_WATCH_H
#define GN_ALERT_WATCH_H

#include "firmware/alert/board.h"
#include "firmware/hazard/exhaustion.h"

struct gn_watch {
	struct gn_brain *brain;
	struct gn_alerts *alerts;
	struct gn_exhaustion pool;
	uint64_t looked_us; /* monotonic */
	uint64_t pool_us;
};

void gn_watch_init(struct gn_watch *watch, struct gn_brain *brain, struct gn_alerts *alerts);
/* Every period; looks at most once a second, at the pool every ten. */
void gn_watch_tick(struct gn_watch *watch, struct gn_time now);

/* The probability (Q16) that a value of these quantiles exceeds 'limit': straight lines
 * between the quantiles, 0 above P99, a half and more below P50. Pure. */
uint32_t gn_watch_exceeds_q16(const struct gn_predict_forecast *forecast, int64_t limit);

#endif
