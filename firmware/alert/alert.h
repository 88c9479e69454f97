/* alert.h - when an alert is raised and when it is over, so that none flaps.
 *
 *   QUIET --level >= raise for raise_after--> RAISED --acknowledge--> ACKNOWLEDGED
 *     ^                                         |                         |
 *     +------ level < clear for calm_us --------+-------------------------+
 *
 * Between 'clear' and 'raise' nothing changes (hysteresis), and what was raised again soon
 * after it was over has to be quiet for longer each time: clear_after, doubled up to
 * sixteenfold; after a day without it begins anew.
 *
 * Pure; the struct is the caller's, without pointers. Time never goes back. */
#ifndef GN_ALERT_H
#define GN_ALERT_H

#include <stdbool.h>
#include <stdint.h>

/* Numbered as Alert.State of alert.proto; QUIET is CLEARED, or was never raised. */
enum gn_alert_state { GN_ALERT_QUIET, GN_ALERT_RAISED, GN_ALERT_ACKNOWLEDGED };

struct gn_alert_rules {
	uint32_t raise_q16, clear_q16; /* levels, 65536 is the most; clear <= raise */
	uint64_t raise_after_us, clear_after_us;
};

struct gn_alert {
	enum gn_alert_state state;
	uint64_t since_us;   /* the level has been beyond its bound since; 0: it is not */
	uint64_t cleared_us; /* newest; 0: never */
	uint32_t n_raised;
	uint32_t n_returns; /* within a day each */
};

/* Effects, one at a time. */
enum gn_alert_effect { GN_ALERT_NOTHING, GN_ALERT_RAISE, GN_ALERT_CLEAR };

/* The level as it is now; call at least every few seconds while it is known. */
enum gn_alert_effect gn_alert_step(struct gn_alert *alert, const struct gn_alert_rules *rules,
                                   uint32_t level_q16, uint64_t now_us);
/* Its cause is gone for good (the VM was removed): CLEAR, unless it is quiet. */
enum gn_alert_effect gn_alert_end(struct gn_alert *alert, uint64_t now_us);
/* False: it is quiet, or acknowledged already. */
bool gn_alert_acknowledge(struct gn_alert *alert);

#endif
