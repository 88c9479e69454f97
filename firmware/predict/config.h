/* config.h - what predict.c and blob.c both know about a configuration. */
#ifndef GN_PREDICT_CONFIG_H
#define GN_PREDICT_CONFIG_H

#include "firmware/predict/predict.h"

#define GN_PREDICT_DAY_US        86400000000u
#define GN_PREDICT_DAY_STEPS_MAX 864000u /* at the shortest period, 100 ms */

bool gn_predict_config_is_valid(const struct gn_predict_config *config);

#endif
