/* features.c - see features.h. Looks inside the predictor, as the trainer must. */
#include "tools/replay/features.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/predict/features.h"
#include "firmware/predict/mix.h"

#define SKIP 120 /* origins before which the series is too young to learn from */

struct record {
	int32_t row;
	int32_t origin;
	float target;
	uint16_t features[GN_N_FEATURES];
};

static bool sampled(uint32_t row, size_t origin, uint32_t every)
{
	uint64_t hash = ((uint64_t)row << 32 | origin) * 0x9e3779b97f4a7c15u;

	return (hash >> 40) % every == 0;
}

static int write_origin(const struct gn_predict *p, const struct gn_trace_row *row, uint32_t number,
                        size_t origin, FILE *out)
{
	int32_t all[GN_H][GN_N_EXPERTS][GN_Q];
	struct gn_features_common common;
	struct gn_echo echoes[GN_H];

	gn_mix_experts(p, all, echoes);
	gn_features_prepare(p, &common);
	for (uint32_t h = 0; h < p->config.n_horizons; h++) {
		struct record record = {.row = (int32_t)number, .origin = (int32_t)origin};
		size_t at = origin + p->config.horizons[h];
		double unit = gn_features_unit_q4(p, h) / 16.0, units;

		if (at >= row->n || row->values[at] == GN_TRACE_MISSING)
			continue;
		gn_features_make(p, &common, &echoes[h], h, all[h], record.features);
		units = (double)(row->values[at] < 0 ? 0 : row->values[at]);
		for (int i = p->shift; i < 0; i++)
			units /= 2;
		for (int i = p->shift; i > 0; i--)
			units *= 2;
		record.target = (float)((units - all[h][GN_EXPERT_MIX][GN_P50]) / unit);
		if (fwrite(&record, sizeof(record), 1, out) != 1)
			return -errno;
	}
	return 0;
}

int gn_replay_features_open(struct gn_replay_features *out, const char *path)
{
	const uint32_t header[4] = {0x54464e47u, GN_FEATURES_VERSION, GN_N_FEATURES,
	                            sizeof(struct record)};
	char *names;

	*out = (struct gn_replay_features){0};
	if (asprintf(&names, "%s.names", path) < 0)
		return -ENOMEM;
	out->records = fopen(path, "wb");
	out->names = fopen(names, "w");
	free(names);
	if (!out->records || !out->names || fwrite(header, sizeof(header), 1, out->records) != 1) {
		fprintf(stderr, "gnomon-replay: cannot write %s: %s\n", path, strerror(errno));
		return -EIO;
	}
	return 0;
}

int gn_replay_features_close(struct gn_replay_features *out)
{
	int failed = 0;

	if (out->records)
		failed |= fclose(out->records) != 0;
	if (out->names)
		failed |= fclose(out->names) != 0;
	return failed ? -EIO : 0;
}

int gn_replay_features(const struct gn_trace *trace, const struct gn_replay_options *options,
                       struct gn_replay_features *out)
{
	struct gn_predict *p = malloc(gn_predict_size);
	struct gn_predict_config config = {.period_us = trace->interval_us,
	                                   .n_horizons = options->n_horizons};
	int status = p ? 0 : -ENOMEM;

	memcpy(config.horizons, options->horizons, sizeof(config.horizons));
	for (size_t r = 0; r < trace->n_rows && status == 0; r++) {
		const struct gn_trace_row *row = &trace->rows[r];

		status = gn_predict_init(p, &config);
		for (size_t i = 0; i < row->n && status == 0; i++) {
			if (row->values[i] == GN_TRACE_MISSING)
				continue;
			gn_predict_observe(p, (i + 1) * trace->interval_us, row->values[i]);
			if (i >= SKIP && p->scaled && sampled(out->n_rows, i, options->every))
				status = write_origin(p, row, out->n_rows, i, out->records);
		}
		fprintf(out->names, "%s\n", row->name);
		out->n_rows++;
	}
	free(p);
	return status;
}
