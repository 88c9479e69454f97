/* features.h - what the firmware's features were at sampled origins, and what came after:
 * the input of tools/train. */
#ifndef GN_REPLAY_FEATURES_H
#define GN_REPLAY_FEATURES_H

#include <stdio.h>

#include "tools/replay/forecast.h"

/* Appends one binary record per sampled origin and horizon to 'out': int32 row number (of all
 * written so far, starting at *n_rows), int32 origin, float32 target in the features' unit,
 * int16 features. Prints "row number, name" to 'names'. 0 or a negative errno. */
int gn_replay_features(const struct gn_trace *trace, const struct gn_replay_options *options,
                       uint32_t *n_rows, FILE *out, FILE *names);

#endif
