/* alert.c - see alert.h. */
#include "firmware/alert/alert.h"

#define DAY_US      ((uint64_t)86400 * 1000000)
#define MAX_RETURNS 4

static uint64_t calm_us(const struct gn_alert *alert, const struct gn_alert_rules *rules)
{
	return rules->clear_after_us << alert->n_returns;
}

static enum gn_alert_effect raise(struct gn_alert *alert, uint64_t now_us)
{
	bool returns = alert->cleared_us && now_us - alert->cleared_us < DAY_US;

	alert->n_returns = !returns                         ? 0
	                   : alert->n_returns < MAX_RETURNS ? alert->n_returns + 1
	                                                    : MAX_RETURNS;
	alert->state = GN_ALERT_RAISED;
	alert->since_us = 0;
	alert->n_raised++;
	return GN_ALERT_RAISE;
}

enum gn_alert_effect gn_alert_step(struct gn_alert *alert, const struct gn_alert_rules *rules,
                                   uint32_t level_q16, uint64_t now_us)
{
	bool is_quiet = alert->state == GN_ALERT_QUIET;
	bool is_beyond = is_quiet ? level_q16 >= rules->raise_q16 : level_q16 < rules->clear_q16;
	uint64_t needed = is_quiet ? rules->raise_after_us : calm_us(alert, rules);

	if (!is_beyond) {
		alert->since_us = 0;
		return GN_ALERT_NOTHING;
	}
	if (!alert->since_us)
		alert->since_us = now_us ? now_us : 1;
	if (now_us - alert->since_us < needed)
		return GN_ALERT_NOTHING;
	return is_quiet ? raise(alert, now_us) : gn_alert_end(alert, now_us);
}

enum gn_alert_effect gn_alert_end(struct gn_alert *alert, uint64_t now_us)
{
	if (alert->state == GN_ALERT_QUIET)
		return GN_ALERT_NOTHING;
	alert->state = GN_ALERT_QUIET;
	alert->since_us = 0;
	alert->cleared_us = now_us;
	return GN_ALERT_CLEAR;
}

bool gn_alert_acknowledge(struct gn_alert *alert)
{
	if (alert->state != GN_ALERT_RAISED)
		return false;
	alert->state = GN_ALERT_ACKNOWLEDGED;
	return true;
}
