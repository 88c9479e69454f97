/* health.c - see health.h. */
#include "firmware/update/health.h"

void gn_health_init(struct gn_health *health, uint64_t steady_us, uint64_t patience_us,
                    uint64_t now_us)
{
	*health = (struct gn_health){
	        .steady_us = steady_us,
	        .patience_us = patience_us,
	        .started_us = now_us,
	        .well_since_us = UINT64_MAX,
	        .lacks = "nothing has answered yet",
	};
}

static const char *what_lacks(const struct gn_health *health, const struct gn_health_signs *signs)
{
	if (!signs->dataplane_answers)
		return "the dataplane does not answer";
	if (signs->dataplane_loops == health->loops)
		return "the dataplane stands still";
	if (!signs->gnomond_answers)
		return "the control channel is not up: gnomond does not answer";
	if (!signs->store_is_open)
		return "gnomond's state database is not open";
	return signs->reaches_dataplane ? "" : "gnomond does not reach the dataplane";
}

enum gn_health_verdict gn_health_observe(struct gn_health *health,
                                         const struct gn_health_signs *signs, uint64_t now_us)
{
	health->lacks = what_lacks(health, signs);
	health->loops = signs->dataplane_loops;
	if (health->lacks[0])
		health->well_since_us = UINT64_MAX;
	else if (health->well_since_us == UINT64_MAX)
		health->well_since_us = now_us;
	if (!health->lacks[0] && now_us - health->well_since_us >= health->steady_us)
		return GN_HEALTH_GOOD;
	return now_us - health->started_us >= health->patience_us ? GN_HEALTH_BAD : GN_HEALTH_WAIT;
}
