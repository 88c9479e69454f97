/* features.h - what the firmware's features were at sampled origins, and what came after:
 * the input of tools/train. */
#ifndef GN_REPLAY_FEATURES_H
#define GN_REPLAY_FEATURES_H

#include <stdio.h>

#include "tools/replay/forecast.h"

struct gn_replay_features {
	FILE *records, *names;
	uint32_t n_rows;
};

/* Opens 'path' for the records and 'path'.names for the rows' names. The file begins with
 * u32 'GNFT', features version, number of features, bytes per record; each record is: i32 row,
 * i32 origin, f32 target in the features' unit, u16 features, padding to 4. */
int gn_replay_features_open(struct gn_replay_features *out, const char *path);

/* Appends a record per sampled origin and horizon; options->every: one origin in so many. */
int gn_replay_features(const struct gn_trace *trace, const struct gn_replay_options *options,
                       struct gn_replay_features *out);

int gn_replay_features_close(struct gn_replay_features *out);

#endif
