/* metrics.h - what the card knows, as Prometheus' text format (version 0.0.4), in base units:
 * vCPUs, bytes, seconds. Labels are bounded by what an operator has made (VMs, ports,
 * mirrors) and by the policy's horizons; no label carries a sentence. No state, no I/O but
 * 'out'. */
#ifndef GN_CONSOLE_METRICS_H
#define GN_CONSOLE_METRICS_H

#include <stdio.h>
#include "proto/gnomon/v1/control.pb-c.h"

#define GN_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* What one scrape is made of. A list that could not be had is NULL and left out, and
 * gnomon_up is 0 then. */
struct gn_metrics {
	const Gnomon__V1__CardStatus *status;
	const Gnomon__V1__VmList *vms;
	const Gnomon__V1__ShadowList *shadows;
	const Gnomon__V1__MirrorList *mirrors;
	const Gnomon__V1__ForecastSet *const *forecasts;
	size_t n_forecasts;
};

void gn_metrics_print(const struct gn_metrics *metrics, FILE *out);

#endif
