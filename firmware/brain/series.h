/* series.h - one resource of one VM: its newest value, its predictor, what was seen of it,
 * its rules, and the newest decision.
 *
 * Times here are card time: the wall clock, but never back (brain.h). One thread. */
#ifndef GN_BRAIN_SERIES_H
#define GN_BRAIN_SERIES_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/brain/change.h"
#include "firmware/config/config.h"
#include "firmware/demand/demand.h"
#include "firmware/policy/policy.h"
#include "firmware/predict/pack.h"
#include "firmware/predict/predict.h"
#include "firmware/predict/trial.h"

#define GN_SERIES_RING 512

/* The packs that series forecast with now; NULL: none. Owner: packs.h, who changes them. */
struct gn_series_packs {
	const struct gn_pack *active, *trial;
	uint64_t trial_digest;
};

/* A series' part in the trial of a pack (firmware/predict/trial.h). */
struct gn_series_trial {
	struct gn_predict *predict; /* like the series' own, but with the pack on trial */
	struct gn_trial_series scores;
};

struct gn_series {
	enum gn_resource resource;
	bool seen;
	struct gn_demand_value newest;
	uint64_t card_us; /* of the newest value */
	/* What drifts by less than gn_resource_tolerance() stays the same allocation. */
	int64_t allocated; /* 0: none seen; what the last change led to */
	int64_t told;      /* 0: none seen; the one that operators know of */

	struct gn_policy_rules rules;
	struct gn_policy_window window;
	struct gn_policy_decision decision; /* newest */
	bool has_decision;
	uint64_t changed_us; /* wall: the allocation last changed; 0: never seen to */
	/* No new plan to grow [0] or shrink [1] before this wall time: one was rejected, or
	 * failed, so often in a row. What fails to shrink never keeps a VM from growing. */
	uint64_t hold_us[2];
	uint32_t n_failed[2];

	const struct gn_series_packs *packs; /* borrowed */
	struct gn_predict *predict;
	struct gn_series_trial *trial; /* NULL: takes no part in one */
	uint32_t n_forecasts;
	struct gn_predict_forecast forecasts[GN_PREDICT_MAX_HORIZONS];
	uint64_t made_us;
	struct gn_change change; /* the newest of the forecast that decides */
	/* The step that is being gathered. */
	uint64_t step_begin_us;
	int64_t step_sum;
	int64_t step_maximum;
	uint32_t n_in_step;
	/* P95 made one decision horizon earlier, by the step that it is for. */
	struct {
		uint64_t step;
		int64_t p95;
	} ring[GN_SERIES_RING];
};

/* 'rules' must have been checked. 'config' and 'packs' are borrowed. */
void gn_series_init(struct gn_series *series, const struct gn_config *config,
                    const struct gn_series_packs *packs, enum gn_resource resource,
                    const struct gn_policy_rules *rules);
void gn_series_fini(struct gn_series *series);

/* Feeds a value. Returns 0: kept; 1: kept, and a step ended, so there are new forecasts;
 * -ERANGE: not newer than the last one. */
int gn_series_observe(struct gn_series *series, const struct gn_config *config, uint64_t card_us,
                      const struct gn_demand_value *value);
/* Whether operators should be told of another allocation than 'told': it differs, and where
 * allocations move slowly (a balloon does) it has come to rest since the value before, which had
 * 'before'. */
bool gn_series_allocation_is_news(const struct gn_series *series, int64_t before);
/* Other rules: what was seen so far is kept where the window stays the same. */
void gn_series_set_rules(struct gn_series *series, const struct gn_policy_rules *rules);

/* The P95 that was forecast for this instant, one decision horizon before; 0: none. */
int64_t gn_series_forecast_for(const struct gn_series *series, const struct gn_config *config,
                               uint64_t card_us);
/* The forecast that decides: the first that covers the policy's horizon, else the furthest.
 * NULL: none. */
const struct gn_predict_forecast *gn_series_deciding(const struct gn_series *series,
                                                     const struct gn_config *config);

/* From now on the series takes part in the trial of 'packs->trial'; anew when it does so
 * already. Without a forecast yet: nothing happens, false. */
bool gn_series_begin_trial(struct gn_series *series);
/* With 'adopt' the predictor that was on trial becomes the series' own. */
void gn_series_end_trial(struct gn_series *series, bool adopt);
/* Its part in the trial as bytes, for the caller to free(), and back. Import refuses
 * (-EBADMSG) what is damaged, of another pack, or not in step with the series' own. */
void *gn_series_export_trial(const struct gn_series *series, size_t *size);
int gn_series_import_trial(struct gn_series *series, const void *bytes, size_t size);

/* State of the predictor as bytes, for the caller to free(), and back. Import refuses
 * what is damaged (-EBADMSG) and what was made under another configuration or by another
 * version (-EPROTO); the predictor then begins anew. */
void *gn_series_export(const struct gn_series *series, const struct gn_config *config,
                       size_t *size);
int gn_series_import(struct gn_series *series, const struct gn_config *config, const void *bytes,
                     size_t size);
/* Continues where 'other', which was imported, stopped; 'other' is then only to be ended.
 * What was seen and decided here stays; a trial begins anew. */
void gn_series_take_over(struct gn_series *series, const struct gn_series *other);

#endif
