/* pack_test.c - model packs: what is refused, what is evaluated, and the trial of a new one. */
#include "firmware/predict/pack.h"

#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "firmware/predict/features.h"
#include "firmware/predict/trial.h"

#define DEPTH     1
#define NODES     1
#define LEAVES    2
#define TINY_SIZE (offsetof(struct tiny, leaf) + 2 * LEAVES * GN_PACK_OUTPUTS)

/* One tree of one split: feature 16 (the newest value against the median) above 100. */
struct tiny {
	struct gn_pack_header header;
	uint8_t feature[LEAVES];
	int16_t threshold[LEAVES];
	int16_t leaf[LEAVES][GN_PACK_OUTPUTS];
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
	        .feature = {16, 0},
	        .threshold = {100, 0},
	        .leaf = {{1, 2, 3, 4}, {-10, 20, 30, 40}},
	};
	return tiny;
}

static void a_split_sends_left_and_right(void **state)
{
	struct tiny tiny = make_tiny();
	int16_t features[GN_N_FEATURES] = {0};
	int32_t corrections[GN_PACK_OUTPUTS];
	struct gn_pack pack;

	assert_int_equal(gn_pack_open(&pack, &tiny, TINY_SIZE), 0);
	assert_int_equal(pack.size, TINY_SIZE);
	features[16] = 100;
	gn_pack_evaluate(&pack, features, corrections);
	assert_int_equal(corrections[0], 1);
	assert_int_equal(corrections[3], 4);
	features[16] = 101;
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
	        {offsetof(struct tiny, feature), GN_N_FEATURES, -EBADMSG},
	        {offsetof(struct tiny, feature) + 1, 1, -EBADMSG},
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
			tiny.leaf[leaf][q] = 20000;
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
	        cmocka_unit_test(nonsense_is_soon_ignored),
	        cmocka_unit_test(a_trial_takes_the_better_pack_only),
	        cmocka_unit_test(a_trial_scores_what_is_due),
	        cmocka_unit_test(a_trial_saturates),
	};
	return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
