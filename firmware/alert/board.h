/* board.h - the alerts of the card: which are raised, which acknowledged, which were cleared.
 *
 * One alert per kind, resource and subject; one that comes back is the same alert again. What
 * changes is stored, published as an event (alert.raised, alert.acknowledged, alert.cleared)
 * and told to the hooks. Cleared ones are kept, the newest GN_ALERTS_CLEARED of them.
 *
 * Over a restart raised and acknowledged alerts stay so, without being told again.
 * One thread. */
#ifndef GN_ALERT_BOARD_H
#define GN_ALERT_BOARD_H

#include "firmware/alert/alert.h"
#include "firmware/alert/hooks.h"
#include "firmware/brain/brain.h"

#define GN_ALERTS_CLEARED 500

struct gn_alerts;

/* What is known now of something that may need an alert. Texts are borrowed. */
struct gn_alert_report {
	Gnomon__V1__Alert__Kind kind;
	const char *resource; /* "vms/web-1", "card" */
	const char *subject;  /* "memory" */
	uint32_t level_q16;
	const char *text; /* NULL: nothing to say at this level */
	uint64_t expected_us;
	int64_t missing;
};

/* Takes over what the store holds. 'hooks' may be NULL; both are borrowed. */
struct gn_alerts *gn_alerts_create(struct gn_brain *brain, struct gn_hooks *hooks);
void gn_alerts_destroy(struct gn_alerts *alerts); /* NULL is fine */

/* Whether the alert is raised or acknowledged: then a report needs a text at any level. */
bool gn_alerts_is_raised(const struct gn_alerts *alerts, Gnomon__V1__Alert__Kind kind,
                         const char *resource, const char *subject);
void gn_alerts_report(struct gn_alerts *alerts, const struct gn_alert_report *report,
                      const struct gn_alert_rules *rules, struct gn_time now);
/* The resource is gone: what is raised of it is cleared. */
void gn_alerts_end(struct gn_alerts *alerts, const char *resource, struct gn_time now);
/* Ends those of VMs and drives that the brain does not have: VMs that left the configuration while
 * gnomond was down, drives that were taken out. After both have been loaded. */
void gn_alerts_end_gone(struct gn_alerts *alerts, struct gn_time now);

/* GN_NOT_FOUND; GN_FAILED_PRECONDITION: it is not RAISED. */
const Gnomon__V1__Alert *gn_alerts_acknowledge(struct gn_alerts *alerts, const char *name,
                                               struct gn_time now, struct gn_status *status);
/* Newest first; 'resource' "" for all; gn_message_free(). */
Gnomon__V1__AlertList *gn_alerts_list(const struct gn_alerts *alerts, const char *resource,
                                      bool with_cleared);
/* Writes all alerts again. */
void gn_alerts_save_all(struct gn_alerts *alerts);

#endif
