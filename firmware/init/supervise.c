/* supervise.c - see supervise.h. */
#include "firmware/init/supervise.h"

void gn_supervise_init(struct gn_supervise *service, uint64_t now_us)
{
	*service = (struct gn_supervise){.state = GN_SUPERVISE_WAITS,
	                                 .since_us = now_us,
	                                 .due_us = now_us,
	                                 .pause_us = GN_SUPERVISE_PAUSE_MIN_US};
}

bool gn_supervise_is_due(const struct gn_supervise *service, uint64_t now_us)
{
	return service->state == GN_SUPERVISE_WAITS && now_us >= service->due_us;
}

uint64_t gn_supervise_due_us(const struct gn_supervise *service)
{
	return service->state == GN_SUPERVISE_WAITS ? service->due_us : UINT64_MAX;
}

void gn_supervise_started(struct gn_supervise *service, uint64_t now_us)
{
	service->state = GN_SUPERVISE_RUNS;
	service->since_us = now_us;
	service->starts++;
}

void gn_supervise_ended(struct gn_supervise *service, uint64_t now_us)
{
	if (service->state != GN_SUPERVISE_RUNS)
		return;
	if (now_us - service->since_us >= GN_SUPERVISE_HEALTHY_US)
		service->pause_us = GN_SUPERVISE_PAUSE_MIN_US;
	service->state = GN_SUPERVISE_WAITS;
	service->since_us = now_us;
	service->due_us = now_us + service->pause_us;
	service->pause_us *= 2;
	if (service->pause_us > GN_SUPERVISE_PAUSE_MAX_US)
		service->pause_us = GN_SUPERVISE_PAUSE_MAX_US;
}

void gn_supervise_stop(struct gn_supervise *service)
{
	service->state = GN_SUPERVISE_STOPPED;
}
