/* drive.c - see drive.h. */
#include "firmware/hazard/drive.h"

#include <string.h>

#include "firmware/core/fixed.h"

#define FEATURE_MAX 1000000
#define AGE         (2 * GN_DRIVE_N_ATTRIBUTES)

static const char *const attribute_texts[GN_DRIVE_N_ATTRIBUTES] = {
        "reallocated sectors",  "power cycles",
        "uncorrectable errors", "command timeouts",
        "high-fly writes",      "reallocation events",
        "pending sectors",      "offline uncorrectable sectors"};

static const char *const growth_texts[GN_DRIVE_N_ATTRIBUTES] = {
        "growth of reallocated sectors",  "growth of power cycles",
        "growth of uncorrectable errors", "growth of command timeouts",
        "growth of high-fly writes",      "growth of reallocation events",
        "growth of pending sectors",      "growth of offline uncorrectable sectors"};

void gn_drive_features(const struct gn_drive_reading *now, const struct gn_drive_reading *before,
                       int64_t size_gb, int32_t features[GN_DRIVE_N_FEATURES])
{
	for (uint32_t a = 0; a < GN_DRIVE_N_ATTRIBUTES; a++) {
		int64_t value = gn_clamp64(now->raw[a], GN_DRIVE_UNKNOWN, FEATURE_MAX);
		int64_t old = gn_clamp64(before->raw[a], 0, FEATURE_MAX);

		features[a] = (int32_t)value;
		features[GN_DRIVE_N_ATTRIBUTES + a] = (int32_t)gn_max64(value - old, 0);
	}
	features[AGE] = gn_clamp32(now->hours, 0, FEATURE_MAX);
	features[AGE + 1] = gn_clamp32(size_gb, 0, FEATURE_MAX);
}

const char *gn_drive_feature_text(uint32_t feature)
{
	if (feature < GN_DRIVE_N_ATTRIBUTES)
		return attribute_texts[feature];
	if (feature < AGE)
		return growth_texts[feature - GN_DRIVE_N_ATTRIBUTES];
	return feature == AGE ? "age" : feature == AGE + 1 ? "model size" : "unknown";
}

/* Points per attribute: for being there at all, per doubling, and per doubling of growth
 * (Q8 log-odds). Growth of defects says more than their number, sectors that cannot be read
 * more than sectors that were replaced. */
static const struct {
	int16_t present, size, growth;
} points[GN_DRIVE_N_ATTRIBUTES] = {
        [GN_DRIVE_REALLOCATED] = {150, 30, 90},  [GN_DRIVE_UNCORRECTABLE] = {320, 40, 160},
        [GN_DRIVE_TIMEOUTS] = {40, 5, 10},       [GN_DRIVE_HIGH_FLY] = {20, 5, 10},
        [GN_DRIVE_REALLOCATIONS] = {60, 10, 30}, [GN_DRIVE_PENDING] = {330, 40, 150},
        [GN_DRIVE_OFFLINE] = {130, 20, 60},
};

static int32_t rule_points(const int32_t *features, uint32_t attribute)
{
	int64_t value = features[attribute], growth = features[GN_DRIVE_N_ATTRIBUTES + attribute];
	int64_t sum = 0;

	if (value > 0)
		sum += points[attribute].present +
		       ((points[attribute].size * (int64_t)gn_log2_q10((uint64_t)value + 1)) >> 10);
	if (growth > 0)
		sum += (points[attribute].growth * (int64_t)gn_log2_q10((uint64_t)growth + 1)) >>
		       10;
	return (int32_t)sum;
}

int32_t gn_drive_rule(const int32_t features[GN_DRIVE_N_FEATURES])
{
	int32_t sum = -1280; /* about 0.7 % in 720 h for a drive without defects */

	for (uint32_t a = 0; a < GN_DRIVE_N_ATTRIBUTES; a++)
		sum += rule_points(features, a);
	return sum;
}

const struct gn_drive_model *gn_drive_model_open(const void *data, size_t size)
{
	const struct gn_drive_model *model = data;

	_Static_assert(sizeof(struct gn_drive_tree) == 52, "no padding");
	if (!data || size < sizeof(*model) || ((uintptr_t)data & 3) ||
	    model->magic != GN_DRIVE_MAGIC || model->version != GN_DRIVE_VERSION ||
	    model->reserved || model->n_trees == 0 || model->n_trees > GN_DRIVE_TREES_MAX ||
	    model->bias_q8 < -65536 || model->bias_q8 > 65536 ||
	    size < sizeof(*model) + model->n_trees * sizeof(model->trees[0]))
		return NULL;
	for (uint32_t t = 0; t < model->n_trees; t++)
		for (uint32_t i = 0; i < GN_DRIVE_NODES; i++)
			if (model->trees[t].feature[i] >= GN_DRIVE_N_FEATURES)
				return NULL;
	return model;
}

int32_t gn_drive_score(const struct gn_drive_model *model,
                       const int32_t features[GN_DRIVE_N_FEATURES])
{
	int32_t sum = model->bias_q8; /* at most 1000 leaves of 15 bits: no overflow */

	for (uint32_t t = 0; t < model->n_trees; t++) {
		const struct gn_drive_tree *tree = &model->trees[t];
		uint32_t node = 0;

		while (node < GN_DRIVE_NODES)
			node = 2 * node + 1 +
			       (features[tree->feature[node]] > tree->threshold[node]);
		sum += tree->leaf_q8[node - GN_DRIVE_NODES];
	}
	return sum;
}

uint32_t gn_drive_probability_q16(int32_t log_odds_q8)
{
	/* 1 / (1 + 2^(-x log2 e)), with x in Q8: 1.4427 * 4 = 5.7708 per Q8 unit in Q10 */
	int64_t x = gn_clamp64(log_odds_q8, -4096, 4096) * 57708 / 10000;
	int64_t power = gn_exp2_q10((int32_t)-x, 16); /* <= 2^(23+16) */

	return (uint32_t)(((int64_t)1 << 32) / (65536 + power));
}

uint32_t gn_drive_reason(const struct gn_drive_model *model,
                         const int32_t features[GN_DRIVE_N_FEATURES])
{
	int32_t best = INT32_MIN;
	uint32_t reason = 0;

	for (uint32_t f = 0; f < AGE; f++) {
		int32_t without[GN_DRIVE_N_FEATURES], change;

		memcpy(without, features, sizeof(without));
		without[f] = 0;
		change = model ? gn_drive_score(model, features) - gn_drive_score(model, without)
		               : gn_drive_rule(features) - gn_drive_rule(without);
		if (change > best) {
			best = change;
			reason = f;
		}
	}
	return reason;
}
