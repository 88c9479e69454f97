/* forecast.h - runs the firmware's predictor over traces, as the card would have. */
#ifndef GN_REPLAY_FORECAST_H
#define GN_REPLAY_FORECAST_H

#include <stdint.h>

#include "firmware/predict/pack.h"
#include "firmware/predict/predict.h"
#include "tools/replay/trace.h"

struct gn_replay_options {
	uint32_t horizons[GN_PREDICT_MAX_HORIZONS];
	uint32_t n_horizons;
	const char *out;            /* folder for <group>__<series>__<column>.f32 */
	const struct gn_pack *pack; /* may be NULL */
	uint32_t every;             /* only one row in so many; 1: all */
	uint32_t fold, n_folds;     /* only series whose name falls in this fold; n_folds 0: all */
};

/* A series' fold, by a hash of its name: the same in tools/train. */
uint32_t gn_replay_fold(const char *row_name, uint32_t n_folds);

/* Forecasts every row of a trace and writes the forecasts. 0 or a negative errno. */
int gn_replay_forecast(const struct gn_trace *trace, const struct gn_replay_options *options);

#endif
