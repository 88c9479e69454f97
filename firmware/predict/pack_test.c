/* pack_test.c - model packs: what is refused, what is evaluated, and the trial of a new one. */
#include "firmware/predict/pack.h"

#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "firmware/predict/features.h"
#include "firmware/predict/mix.h"
#include "firmware/predict/trial.h"

#define DEPTH     1
#define LEAVES    2
#define TINY_SIZE (offsetof(struct tiny, leaf) + 2 * LEAVES * GN_PACK_OUTPUTS)
#define LEAF(q50, q90, q95, q99)                                                                   \
	{                                                                                          \
		GN_PACK_LEAF_ZERO + (q50), GN_PACK_LEAF_ZERO + (q90), GN_PACK_LEAF_ZERO + (q95),   \
		        GN_PACK_LEAF_ZERO + (q99)                                                  \
	}

/* One tree of one split: feature 11 (the newest value against the median) above 100. */
struct tiny {
	struct gn_pack_header header;
	uint8_t feature[LEAVES];
	uint16_t threshold[LEAVES];
	uint16_t leaf[LEAVES][GN_PACK_OUTPUTS];
};

static struct tiny make_tiny(void)
{
	struct tiny tiny = {
	        .header = {.magic = GN_PACK_MAGIC,
	                   .version = GN_PACK_VERSION,
	                   .features_version = GN_FEATURES_VERSION,
	                   .n_features = GN_N_FEATURES,
	                   .n_trees = 1,
	                   .depth = DEPTH,
	                   .serial = 1,
	                   .name = "tiny"},
	        .feature = {0, 11},
	        .threshold = {0, GN_FEATURES_ZERO + 100},
	        .leaf = {LEAF(1, 2, 3, 4), LEAF(-10, 20, 30, 40)},
	};
	return tiny;
}

static void a_split_sends_left_and_right(void **state)
{
	struct tiny tiny = make_tiny();
	uint16_t features[GN_N_FEATURES] = {0};
	int32_t corrections[GN_PACK_OUTPUTS];
	struct gn_pack pack;

	assert_int_equal(gn_pack_open(&pack, &tiny, TINY_SIZE), 0);
	assert_int_equal(pack.size, TINY_SIZE);
	features[11] = GN_FEATURES_ZERO + 100;
	gn_pack_evaluate(&pack, features, corrections);
	assert_int_equal(corrections[0], 1);
	assert_int_equal(corrections[3], 4);
	features[11] = GN_FEATURES_ZERO + 101;
	gn_pack_evaluate(&pack, features, corrections);
	assert_int_equal(corrections[0], -10);
}

static void refuses_what_is_out_of_place(void **state)
{
	static const struct {
		size_t offset;
		uint8_t value;
		int error;
	} cases[] = {
	        {offsetof(struct tiny, header.magic), 0, -EBADMSG},
	        {offsetof(struct tiny, header.version), 9, -EPROTO},
	        {offsetof(struct tiny, header.features_version), 9, -EPROTO},
	        {offsetof(struct tiny, header.n_features), GN_N_FEATURES + 1, -EBADMSG},
	        {offsetof(struct tiny, header.n_trees), 0, -EBADMSG},
	        {offsetof(struct tiny, header.n_trees), 2, -EBADMSG},
	        {offsetof(struct tiny, header.depth), 0, -EBADMSG},
	        {offsetof(struct tiny, header.depth), GN_PACK_DEPTH_MAX + 1, -EBADMSG},
	        {offsetof(struct tiny, header.reserved), 1, -EBADMSG},
	        {offsetof(struct tiny, header.name) + GN_PACK_NAME_SIZE - 1, 'x', -EBADMSG},
	        {offsetof(struct tiny, feature), 1, -EBADMSG},
	        {offsetof(struct tiny, feature) + 1, GN_N_FEATURES, -EBADMSG},
	        {offsetof(struct tiny, threshold), 1, -EBADMSG},
	        {offsetof(struct tiny, leaf) + 1, (GN_PACK_LEAF_MAX >> 8) + 1, -EBADMSG},
	};
	struct gn_pack pack = {.size = 77};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tiny tiny = make_tiny();

		memcpy((char *)&tiny + cases[i].offset, &cases[i].value, 1);
		assert_int_equal(gn_pack_open(&pack, &tiny, TINY_SIZE), cases[i].error);
	}
	struct tiny tiny = make_tiny();
	for (size_t size = 0; size < TINY_SIZE; size++)
		assert_int_equal(gn_pack_open(&pack, &tiny, size), -EBADMSG);
	assert_int_equal(pack.size, 77);
}

/* Forty trees of the highest corrections, and forty of the lowest, at each depth: sums of four
 * in one word must not touch each other. */
static void many_trees_add_up(void **state)
{
	enum { N_TREES = 40 };
	uint16_t features[GN_N_FEATURES] = {40000};
	int32_t corrections[GN_PACK_OUTPUTS];
	struct gn_pack pack;

	for (uint32_t depth = 1; depth <= GN_PACK_DEPTH_MAX; depth++) {
		size_t leaves = (size_t)1 << depth, tree_size = 11 * leaves;
		size_t size = sizeof(struct gn_pack_header) + N_TREES * tree_size;
		struct gn_pack_header header = make_tiny().header;
		uint8_t *bytes = calloc(1, size);

		header.depth = (uint16_t)depth;
		header.n_trees = N_TREES;
		memcpy(bytes, &header, sizeof(header));
		/* features are above all thresholds: the last leaf of each tree */
		for (size_t tree = 0; tree < N_TREES; tree++) {
			uint16_t last[GN_PACK_OUTPUTS] = {GN_PACK_LEAF_MAX, 0, GN_PACK_LEAF_MAX, 0};

			memcpy(bytes + sizeof(header) + (tree + 1) * tree_size - sizeof(last), last,
			       sizeof(last));
		}
		assert_int_equal(gn_pack_open(&pack, bytes, size), 0);
		gn_pack_evaluate(&pack, features, corrections);
		for (int q = 0; q < GN_PACK_OUTPUTS; q++)
			assert_int_equal(corrections[q], N_TREES * ((q % 2 ? 0 : GN_PACK_LEAF_MAX) -
			                                            GN_PACK_LEAF_ZERO));
		free(bytes);
	}
}

static void every_feature_is_written(void **state)
{
	struct gn_predict_config config = {300000000, 4, {1, 6, 12, 24}, 0};
	struct gn_predict *p = malloc(gn_predict_size);
	int32_t experts[GN_H][GN_N_EXPERTS][GN_Q];
	uint16_t features[GN_N_FEATURES + 1];
	struct gn_features_common common;
	struct gn_echo echoes[GN_H];

	gn_predict_init(p, &config);
	for (uint64_t i = 1; i < 900; i++) {
		gn_predict_observe(p, i * config.period_us, (int64_t)(i * 7919 % 1000));
		gn_mix_experts(p, experts, echoes);
		gn_features_prepare(p, &common);
		for (uint32_t h = 0; h < GN_H; h++) {
			memset(features, 0, sizeof(features));
			gn_features_make(p, &common, &echoes[h], h, experts[h], features);
			for (uint32_t f = 0; f < GN_N_FEATURES; f++)
				assert_in_range(features[f], 1, UINT16_MAX);
			assert_int_equal(features[GN_N_FEATURES], 0);
		}
	}
	free(p);
}

/* A pack that talks nonsense must not do harm for long: the mixture learns to ignore it. */
static void nonsense_is_soon_ignored(void **state)
{
	struct gn_predict_config config = {300000000, 4, {1, 6, 12, 24}, 0};
	struct gn_predict *with = malloc(gn_predict_size), *without = malloc(gn_predict_size);
	struct tiny tiny = make_tiny();
	struct gn_pack pack;
	int64_t loss = 0, loss_without = 0;

	for (int leaf = 0; leaf < LEAVES; leaf++)
		for (int q = 0; q < GN_PACK_OUTPUTS; q++)
			tiny.leaf[leaf][q] = GN_PACK_LEAF_MAX;
	assert_int_equal(gn_pack_open(&pack, &tiny, TINY_SIZE), 0);
	gn_predict_init(with, &config);
	gn_predict_init(without, &config);
	for (uint64_t i = 1; i < 2000; i++) {
		int64_t value = 5000 + (int64_t)(i * 7919 % 1000);
		struct gn_predict_forecast a, b;

		gn_predict_observe_with(with, &pack, i * config.period_us, value);
		gn_predict_observe(without, i * config.period_us, value);
		gn_predict_forecast(with, 2, &a);
		gn_predict_forecast(without, 2, &b);
		if (i > 300) {
			loss += a.quantiles[GN_P95];
			loss_without += b.quantiles[GN_P95];
		}
	}
	assert_true(loss < loss_without + loss_without / 50);
	free(with);
	free(without);
}

/* ---- the trial ------------------------------------------------------------------------ */

#define MINUTE ((uint64_t)60000000)

static int64_t value_at(uint64_t step)
{
	return 5000 + (int64_t)(step * 7919 % 1000);
}

/* Forecasts that are constant but for the distance that they keep above the highest value. */
static void make_forecasts(struct gn_predict_forecast forecasts[4], int64_t distance)
{
	static const uint32_t horizons[4] = {1, 6, 12, 24};

	for (int h = 0; h < 4; h++) {
		forecasts[h] = (struct gn_predict_forecast){.horizon = horizons[h]};
		for (int q = 0; q < GN_PREDICT_N_QUANTILES; q++)
			forecasts[h].quantiles[q] = 6000 + distance;
	}
}

/* 'steps' from step 'first' on, with 'present' and 'candidate' so far above. */
static void feed(struct gn_trial_series *series, uint64_t first, uint64_t steps, int64_t present,
                 int64_t candidate)
{
	struct gn_predict_forecast a[4], b[4];

	make_forecasts(a, present);
	make_forecasts(b, candidate);
	for (uint64_t i = first; i < first + steps; i++)
		gn_trial_observe(series, MINUTE, i * MINUTE, value_at(i), 4, a, b);
}

static enum gn_trial_verdict verdict_of(uint64_t steps, int64_t present, int64_t candidate)
{
	struct gn_trial trial = {0};

	for (int vm = 0; vm < 3; vm++) {
		struct gn_trial_series series = {0};

		feed(&series, 1000, steps, present, candidate);
		gn_trial_add(&trial, &series);
	}
	return gn_trial_decide(&trial);
}

static void a_trial_takes_the_better_pack_only(void **state)
{
	const struct gn_trial none = {0};

	assert_int_equal(gn_trial_decide(&none), GN_TRIAL_WAIT);
	assert_int_equal(verdict_of(50, 400, 0), GN_TRIAL_WAIT);
	assert_int_equal(verdict_of(500, 400, 0), GN_TRIAL_BETTER);
	assert_int_equal(verdict_of(500, 0, 400), GN_TRIAL_WORSE);
	/* no difference: kept as it is, but only after a long look */
	assert_int_equal(verdict_of(500, 100, 100), GN_TRIAL_WAIT);
	assert_int_equal(verdict_of(3000, 100, 100), GN_TRIAL_WORSE);
	/* a little better: likewise */
	assert_int_equal(verdict_of(500, 106, 100), GN_TRIAL_WAIT);
	assert_int_equal(verdict_of(3000, 106, 100), GN_TRIAL_BETTER);
}

static void a_trial_scores_what_is_due(void **state)
{
	struct gn_trial_series series = {0};

	feed(&series, 1000, 24, 0, 0);
	assert_int_equal(series.losses[0].n, 23);
	assert_int_equal(series.losses[3].n, 0); /* 24 steps ahead: not yet */
	feed(&series, 1024, 1, 0, 0);
	assert_int_equal(series.losses[3].n, 1);
	/* P90 6000 against 'value' costs a tenth of the distance, P95 a twentieth, ... */
	assert_in_range(series.losses[3].present, (6000 - value_at(1024)) * 16 / 100 - 3,
	                (6000 - value_at(1024)) * 16 / 100 + 3);
	/* after a gap, what fell into it is not scored, and no more waits than fits */
	feed(&series, 2000, 1, 0, 0);
	assert_int_equal(series.losses[0].n, 24);
	assert_int_equal(series.losses[3].n, 1);
	feed(&series, 2001, 24 * 10, 0, 0);
	assert_in_range(series.losses[3].n, 1 + 4 * 8, 1 + 4 * 10);
}

static void a_trial_saturates(void **state)
{
	struct gn_trial_series series = {0};
	struct gn_predict_forecast a[4], b[4];
	struct gn_trial trial = {0};

	make_forecasts(a, GN_PREDICT_MAX - 6000);
	make_forecasts(b, -6000);
	for (uint64_t i = 1; i < 200000; i++)
		gn_trial_observe(&series, 1, i, i % 2 ? INT64_MAX : INT64_MIN, 4, a, b);
	for (int i = 0; i < 100000; i++)
		gn_trial_add(&trial, &series);
	assert_int_equal(gn_trial_decide(&trial), GN_TRIAL_WORSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_split_sends_left_and_right),
	        cmocka_unit_test(refuses_what_is_out_of_place),
	        cmocka_unit_test(many_trees_add_up),
	        cmocka_unit_test(every_feature_is_written),
	        cmocka_unit_test(nonsense_is_soon_ignored),
	        cmocka_unit_test(a_trial_takes_the_better_pack_only),
	        cmocka_unit_test(a_trial_scores_what_is_due),
	        cmocka_unit_test(a_trial_saturates),
	};
	return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
