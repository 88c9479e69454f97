/* policy.c - see policy.h. The policy is the card's (firmware/policy), in mode ENFORCE with
 * a host that always has room, so that what is shown is the policy and the forecast. */
#include "tools/replay/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/policy/policy.h"
#include "tools/replay/policy_file.h"
#include "tools/replay/report.h"

struct run {
	const struct gn_policy_rules *rules;
	struct gn_policy_window window;
	struct gn_predict *p;
	int64_t allocated;
	uint64_t changed_us;
	enum gn_resource resource;
};

static void decide(struct run *run, const struct gn_predict_config *config, uint64_t now_us,
                   int64_t value, struct gn_replay_row *row)
{
	struct gn_predict_forecast forecasts[GN_PREDICT_MAX_HORIZONS];
	struct gn_policy_input input = {
	        .resource = run->resource,
	        .mode = GN_POLICY_ENFORCE,
	        .allocated = run->allocated,
	        .observed = value,
	        .since_change_us = run->changed_us ? now_us - run->changed_us : UINT64_MAX,
	        .host_free = INT64_MAX,
	        .period_us = config->period_us,
	        .forecasts = forecasts,
	};
	struct gn_policy_decision decision;

	for (uint32_t h = 0; h < config->n_horizons; h++)
		if (gn_predict_forecast(run->p, h, &forecasts[h]) == 0)
			input.n_forecasts++;
	gn_policy_window_add(&run->window, now_us, 10 * config->period_us, value);
	input.window_maximum = gn_policy_window_maximum(&run->window);
	input.window_us = gn_policy_window_length(&run->window);
	gn_policy_decide(run->rules, &input, &decision);
	if (decision.verdict == GN_POLICY_KEEP || decision.advisory)
		return;
	gn_predict_note_resize(run->p, run->allocated, decision.target);
	run->allocated = decision.target;
	run->changed_us = now_us;
	row->n_changes++;
}

/* An allocation in force when a value came in. */
static void account(struct gn_replay_row *row, int64_t value, int64_t allocated)
{
	row->n++;
	row->allocated += (double)allocated;
	row->used += (double)(value < allocated ? value : allocated);
	row->n_violated += value > allocated;
}

static int run_row(const struct gn_trace *trace, const struct gn_trace_row *in, struct run *run,
                   const struct gn_replay_options *options, struct gn_replay_row *row)
{
	struct gn_predict_config config = {.period_us = trace->interval_us,
	                                   .n_horizons = options->n_horizons};
	int status;

	memcpy(config.horizons, options->horizons, sizeof(config.horizons));
	status = gn_predict_init(run->p, &config);
	for (size_t i = 0; i < in->n && status == 0; i++) {
		uint64_t now_us = (i + 1) * trace->interval_us;
		int64_t value = in->values[i];

		row->points[i] =
		        (struct gn_replay_point){.value = value, .allocated = run->allocated};
		if (value == GN_TRACE_MISSING)
			continue;
		account(row, value, run->allocated);
		gn_predict_observe_with(run->p, options->pack, now_us, value);
		decide(run, &config, now_us, value, row);
	}
	return status;
}

static int64_t largest(const struct gn_trace_row *row)
{
	int64_t most = 1;

	for (size_t i = 0; i < row->n; i++)
		most = row->values[i] > most ? row->values[i] : most;
	return most;
}

static int replay_row(const struct gn_trace *trace, size_t index, struct gn_predict *p,
                      const struct gn_policy_file *file, const struct gn_replay_options *options,
                      struct gn_replay_row *row)
{
	const struct gn_trace_row *in = &trace->rows[index];
	struct gn_policy_rules rules;
	struct run run = {.rules = &rules, .p = p, .resource = file->resource};

	gn_policy_file_rules(file, in->scale, &rules);
	gn_policy_window_init(&run.window, rules.shrink_after_us);
	/* Without a word on it, the owner had given what the VM ever needed. */
	run.allocated =
	        file->initial > 0 ? (int64_t)(file->initial * (double)in->scale) : largest(in);
	*row = (struct gn_replay_row){.name = in->name, .scale = in->scale, .n_points = in->n};
	row->points = calloc(in->n ? in->n : 1, sizeof(*row->points));
	if (!row->points)
		return -ENOMEM;
	row->fixed = (double)run.allocated;
	return run_row(trace, in, &run, options, row);
}

int gn_replay_policy(const struct gn_trace *trace, const struct gn_replay_options *options,
                     const char *policy, const char *html)
{
	struct gn_predict *p = malloc(gn_predict_size);
	struct gn_replay_row *rows = calloc(trace->n_rows ? trace->n_rows : 1, sizeof(*rows));
	struct gn_policy_file file;
	size_t n = 0;
	int status = p && rows ? gn_policy_file_read(policy, &file) : -ENOMEM;

	for (size_t i = 0; i < trace->n_rows && status == 0; i += options->every)
		status = replay_row(trace, i, p, &file, options, &rows[n++]);
	if (status == 0) {
		gn_replay_report_text(stdout, rows, n);
		if (html)
			status = gn_replay_report_html(html, rows, n, trace->interval_us);
	}
	for (size_t i = 0; i < n; i++)
		free(rows[i].points);
	free(rows);
	free(p);
	return status;
}
