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

static void a_trial_takes_the_better_pack_only(void **state)
{
	struct gn_predict_config config = {300000000, 4, {1, 6, 12, 24}, 0};
	struct gn_trial trial, swapped, early;

	gn_trial_init(&trial);
	gn_trial_init(&swapped);
	gn_trial_init(&early);
	assert_int_equal(gn_trial_decide(&trial), GN_TRIAL_WAIT);
	for (int vm = 0; vm < 4; vm++) {
		struct gn_predict *good = malloc(gn_predict_size), *bad = malloc(gn_predict_size);

		gn_predict_init(good, &config);
		gn_predict_init(bad, &config);
		for (uint64_t i = 1; i < 900; i++) {
			int64_t value = 5000 + (int64_t)(i * 7919 % 1000) * (vm + 1);

			gn_predict_observe(good, i * config.period_us, value);
			/* the same series with wild values strewn in: forecast worse */
			gn_predict_observe(bad, i * config.period_us, i % 50 ? value : 20 * value);
			if (i == 100)
				gn_trial_add(&early, good, bad, 4);
		}
		gn_trial_add(&trial, bad, good, 4);
		gn_trial_add(&swapped, good, bad, 4);
		free(good);
		free(bad);
	}
	assert_int_equal(gn_trial_decide(&early), GN_TRIAL_WAIT);
	assert_int_equal(gn_trial_decide(&trial), GN_TRIAL_BETTER);
	assert_int_equal(gn_trial_decide(&swapped), GN_TRIAL_WORSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_split_sends_left_and_right),
	        cmocka_unit_test(refuses_what_is_out_of_place),
	        cmocka_unit_test(nonsense_is_soon_ignored),
	        cmocka_unit_test(a_trial_takes_the_better_pack_only),
	};
	return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
