/* cmd_forecast.c - forecast and history. */
#include "tools/ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>

#include "firmware/core/clock.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"
#include "tools/ctl/table.h"

static void add_forecast(struct gn_table *table, const Gnomon__V1__Forecast *f)
{
	const int64_t quantiles[] = {f->observed, f->p50, f->p90, f->p95, f->p99};
	char text[GN_FORMAT_SIZE];

	gn_table_add(table, "%s", gn_format_resource((int)f->resource));
	gn_table_add(table, "%s", gn_format_duration(f->horizon_us, text, sizeof text));
	for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++)
		gn_table_add(table, "%s",
		             gn_format_demand((int)f->resource, quantiles[i], text, sizeof text));
	gn_table_add(table, "%s",
	             f->period_us ? gn_format_duration(f->period_us, text, sizeof text) : "-");
	gn_table_add(table, "%s", gn_format_ratio_q16(f->error_ratio_q16, text, sizeof text));
	gn_table_add(table, "%s", f->trusted ? "yes" : f->reason);
}

/* One explanation per resource, that of its first horizon. */
static void print_explanations(const Gnomon__V1__ForecastSet *set)
{
	for (size_t i = 0; i < set->n_forecasts; i++) {
		const Gnomon__V1__Forecast *f = set->forecasts[i];

		if (!f->explanation[0] || (i && f->resource == set->forecasts[i - 1]->resource))
			continue;
		gn_output_line("%s: %s; %" PRIu64 " forecasts judged",
		               gn_format_resource((int)f->resource), f->explanation, f->scored);
		if (f->change[0])
			gn_output_field("", "%s", f->change);
	}
}

static void print_forecasts(const Gnomon__V1__ForecastSet *set)
{
	static const char *const heads[] = {"RESOURCE", ">AHEAD",  ">NOW", ">P50",
	                                    ">P90",     ">P95",    ">P99", ">RHYTHM",
	                                    ">ERROR",   "TRUSTED", NULL};
	struct gn_table *table = gn_table_create(heads);

	for (size_t i = 0; i < set->n_forecasts; i++)
		add_forecast(table, set->forecasts[i]);
	gn_table_print(table);
	puts("");
	gn_output_line("ERROR is the forecast's running loss as a share of assuming no change: "
	               "below 1 is better.");
	print_explanations(set);
}

int gn_ctl_forecast(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = gn_ctl_vm_name(arguments, "");
	Gnomon__V1__ForecastSet *set;

	gn_ctl_end(arguments);
	set = (Gnomon__V1__ForecastSet *)gn_ctl_call_name(ctl, "GetForecast", name);
	if (!gn_ctl_print_json(ctl, &set->base)) {
		if (set->n_forecasts)
			print_forecasts(set);
		else
			gn_output_line("no forecast of %s yet: it has not been sampled", name);
	}
	gn_ctl_free(&set->base);
	return GN_CTL_OK;
}

/* ---- history ------------------------------------------------------------------------- */

static void add_optional(struct gn_table *table, int resource, int64_t value)
{
	char text[GN_FORMAT_SIZE];

	gn_table_add(table, "%s",
	             value ? gn_format_demand(resource, value, text, sizeof text) : "-");
}

static void print_history(const Gnomon__V1__History *history, int resource)
{
	static const char *const heads[] = {"TIME",       ">MEAN",         ">MAXIMUM",
	                                    ">ALLOCATED", ">P95 FORECAST", NULL};
	struct gn_table *table = gn_table_create(heads);
	char text[GN_FORMAT_SIZE];

	for (size_t i = 0; i < history->n_points; i++) {
		const Gnomon__V1__History__Point *p = history->points[i];

		gn_table_add(table, "%s", gn_format_date(p->wall_us, text, sizeof text));
		gn_table_add(table, "%s", gn_format_demand(resource, p->mean, text, sizeof text));
		gn_table_add(table, "%s",
		             gn_format_demand(resource, p->maximum, text, sizeof text));
		add_optional(table, resource, p->allocated);
		add_optional(table, resource, p->forecast_p95);
	}
	gn_table_print(table);
}

int gn_ctl_history(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__HistoryRequest request = GNOMON__V1__HISTORY_REQUEST__INIT;
	uint64_t last_us = 3600000000u, points = 60, now = gn_clock_wall_us();
	const char *value, *resource;
	Gnomon__V1__History *history;

	if (gn_ctl_option(arguments, "--last", &value) && gn_parse_duration(value, &last_us))
		gn_ctl_usage("--last %s: give a duration such as 1h", value);
	if (gn_ctl_option(arguments, "--points", &value) &&
	    (gn_parse_number(value, 10000, &points) || !points))
		gn_ctl_usage("--points %s: give 1 to 10000", value);
	request.vm = (char *)gn_ctl_vm_name(arguments, "");
	resource = gn_ctl_word(arguments, "a resource (cpu, memory, network-rx, ...)");
	gn_ctl_end(arguments);
	request.resource = (Gnomon__V1__Resource)gn_parse_resource(resource);
	if (!request.resource)
		gn_ctl_usage("'%s' is no resource: cpu, memory, network-rx, network-tx, disk-read, "
		             "disk-write or disk-operations",
		             resource);
	request.from_us = last_us < now ? now - last_us : 0;
	request.max_points = (uint32_t)points;
	history = (Gnomon__V1__History *)gn_ctl_call(ctl, "GetHistory", &request.base);
	if (!gn_ctl_print_json(ctl, &history->base)) {
		if (history->n_points)
			print_history(history, (int)request.resource);
		else
			gn_output_line("no samples of %s in that time", request.vm);
	}
	gn_ctl_free(&history->base);
	return GN_CTL_OK;
}
