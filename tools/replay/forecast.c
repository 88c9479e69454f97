/* forecast.c - see forecast.h. The output has per sample, horizon and quantile one
 * little-endian float32, NaN where the predictor had nothing to say. */
#include "tools/replay/forecast.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int write_row(const struct gn_replay_options *options, const struct gn_trace_row *row,
                     const float *values, size_t n)
{
	char *path, *name = strdup(row->name), *slash;
	FILE *file;
	int status = 0;

	if (!name)
		return -ENOMEM;
	char flat[512] = "";
	for (char *at = name; at; at = slash) {
		slash = strchr(at, '/');
		if (slash)
			*slash++ = 0;
		snprintf(flat + strlen(flat), sizeof(flat) - strlen(flat), "%s%s", at,
		         slash ? "__" : "");
	}
	free(name);
	if (asprintf(&path, "%s/%s.f32", options->out, flat) < 0)
		return -ENOMEM;
	file = fopen(path, "wb");
	if (!file || fwrite(values, sizeof(*values), n, file) != n)
		status = -errno;
	if (file && fclose(file) != 0)
		status = -errno;
	if (status != 0)
		fprintf(stderr, "gnomon-replay: cannot write %s: %s\n", path, strerror(-status));
	free(path);
	return status;
}

static void take(const struct gn_predict *p, const struct gn_replay_options *options,
                 const struct gn_trace_row *row, float *out)
{
	for (uint32_t h = 0; h < options->n_horizons; h++) {
		struct gn_predict_forecast forecast;
		bool ok = gn_predict_forecast(p, h, &forecast) == 0;

		for (uint32_t q = 0; q < GN_PREDICT_N_QUANTILES; q++)
			*out++ = ok ? (float)((double)forecast.quantiles[q] / (double)row->scale)
			            : NAN;
	}
}

static int run_row(const struct gn_trace *trace, const struct gn_trace_row *row,
                   const struct gn_replay_options *options, struct gn_predict *p)
{
	struct gn_predict_config config = {.period_us = trace->interval_us,
	                                   .n_horizons = options->n_horizons};
	size_t per_step = (size_t)options->n_horizons * GN_PREDICT_N_QUANTILES;
	float *out = malloc((row->n ? row->n : 1) * per_step * sizeof(*out));
	int status;

	if (!out)
		return -ENOMEM;
	memcpy(config.horizons, options->horizons, sizeof(config.horizons));
	status = gn_predict_init(p, &config);
	for (size_t i = 0; i < row->n && status == 0; i++) {
		uint64_t now_us = (i + 1) * trace->interval_us;

		if (row->values[i] != GN_TRACE_MISSING)
			gn_predict_observe_with(p, options->pack, now_us, row->values[i]);
		take(p, options, row, out + i * per_step);
	}
	if (status == 0 && options->out)
		status = write_row(options, row, out, row->n * per_step);
	free(out);
	return status;
}

uint32_t gn_replay_fold(const char *row_name, uint32_t n_folds)
{
	const char *series = strchr(row_name, '/'), *end = strrchr(row_name, '/');
	uint64_t hash = 14695981039346656037u;

	for (series = series ? series + 1 : row_name; *series && series != end; series++)
		hash = (hash ^ (uint8_t)*series) * 1099511628211u;
	return (uint32_t)((hash >> 20) % n_folds);
}

int gn_replay_forecast(const struct gn_trace *trace, const struct gn_replay_options *options)
{
	struct gn_predict *p = malloc(gn_predict_size);
	int status = p ? 0 : -ENOMEM;

	for (size_t i = 0; i < trace->n_rows && status == 0; i++) {
		if (i % options->every ||
		    (options->n_folds &&
		     gn_replay_fold(trace->rows[i].name, options->n_folds) != options->fold))
			continue;
		status = run_row(trace, &trace->rows[i], options, p);
	}
	free(p);
	return status;
}
