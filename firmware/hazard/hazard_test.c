/* hazard_test.c - anomalies, exhaustion and drives. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "firmware/hazard/anomaly.h"
#include "firmware/hazard/drive.h"
#include "firmware/hazard/exhaustion.h"
#include "firmware/hazard/signs.h"

#define PERIOD_US ((uint64_t)300 * 1000000)
#define HOUR_US   ((uint64_t)3600 * 1000000)

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static struct gn_anomaly *make_anomaly(void)
{
	struct gn_anomaly *anomaly = malloc(sizeof(*anomaly));

	assert_non_null(anomaly);
	gn_anomaly_init(anomaly, 288);
	return anomaly;
}

static void a_new_height_is_an_anomaly_and_only_once(void **state)
{
	struct gn_anomaly *anomaly = make_anomaly();
	uint32_t n_alarms = 0;

	for (uint32_t i = 0; i < 3000; i++)
		gn_anomaly_observe(anomaly, 1000 + (int64_t)(next_random() % 100), PERIOD_US);
	for (uint32_t i = 0; i < 100; i++) {
		struct gn_anomaly_result result =
		        gn_anomaly_observe(anomaly, 2000 + (int64_t)(next_random() % 3), PERIOD_US);

		if (result.score_q16 > 4 << 16) {
			assert_true(result.above);
			n_alarms++;
		}
	}
	assert_in_range(n_alarms, 1, 3);
	free(anomaly);
}

static void a_fall_is_seen_too(void **state)
{
	struct gn_anomaly *anomaly = make_anomaly();
	struct gn_anomaly_result result;

	for (uint32_t i = 0; i < 600; i++)
		gn_anomaly_observe(anomaly, 1000 + i % 7, PERIOD_US);
	result = gn_anomaly_observe(anomaly, 0, PERIOD_US);
	assert_true(result.score_q16 > 16 << 16);
	assert_false(result.above);
	assert_string_equal(gn_anomaly_view_text(result.view), "value");
	free(anomaly);
}

static void noise_keeps_its_budget(void **state)
{
	struct gn_anomaly *anomaly = make_anomaly();
	uint32_t n_alarms = 0, months = 12, per_month = 8640;

	for (uint32_t i = 0; i < (months + 3) * per_month; i++) {
		struct gn_anomaly_result result = gn_anomaly_observe(
		        anomaly, (int64_t)(next_random() % 1000 + next_random() % 1000), PERIOD_US);
		int32_t threshold = gn_anomaly_threshold(anomaly, PERIOD_US, 256);

		n_alarms +=
		        i > 3 * per_month && result.score_q16 > 0 && result.score_q16 >= threshold;
	}
	assert_true(n_alarms <= 2 * months); /* asked for one a month */
	free(anomaly);
}

static void extremes_do_not_overflow(void **state)
{
	struct gn_anomaly *anomaly = make_anomaly();
	static const int64_t values[] = {INT64_MIN, INT64_MAX, 0, 1, -1};

	for (uint32_t i = 0; i < 20000; i++)
		gn_anomaly_observe(anomaly,
		                   next_random() % 3 ? values[next_random() % 5]
		                                     : (int64_t)(next_random() >> i % 64),
		                   i % 2 ? UINT64_MAX : 1);
	free(anomaly);
}

static void a_leak_fills_when_it_should(void **state)
{
	struct gn_exhaustion trend;
	struct gn_exhaustion_forecast forecast;
	uint64_t now = 0;

	gn_exhaustion_init(&trend, PERIOD_US, 48 * HOUR_US);
	for (uint32_t i = 0; i < 288; i++) {
		/* 100 per hour, noise of half an hour's growth, a restart's spike now and then */
		int64_t used = 10000 + i * 100 / 12 + (int64_t)(next_random() % 50) +
		               (i % 50 == 0 ? 5000 : 0);

		now += PERIOD_US;
		gn_exhaustion_observe(&trend, now, used);
		gn_exhaustion_observe(&trend, now, used); /* a duplicate changes nothing */
	}
	forecast = gn_exhaustion_forecast(&trend, 13400); /* about ten hours' room */
	assert_in_range(forecast.per_hour, 90, 110);
	assert_in_range(forecast.likely_us, 8 * HOUR_US, 12 * HOUR_US);
	assert_true(forecast.soonest_us <= forecast.likely_us);
	assert_true(forecast.latest_us >= forecast.likely_us);
	assert_int_equal(gn_exhaustion_forecast(&trend, 5000).likely_us, 0);
}

static void what_does_not_grow_never_fills(void **state)
{
	struct gn_exhaustion trend;

	gn_exhaustion_init(&trend, PERIOD_US, 24 * HOUR_US);
	for (uint64_t i = 1; i < 500; i++) {
		gn_exhaustion_observe(&trend, i * PERIOD_US, 5000 - (int64_t)i);
		assert_true(gn_exhaustion_forecast(&trend, 6000).likely_us == GN_EXHAUSTION_NEVER);
	}
	for (uint64_t i = 0; i < 300; i++) {
		gn_exhaustion_observe(&trend, (UINT64_MAX >> 1) - 300 + i, (int64_t)next_random());
		gn_exhaustion_forecast(&trend, (int64_t)next_random());
	}
}

static const struct gn_drive_reading healthy = {.hours = 10000};

static int32_t rule_for(enum gn_drive_attribute attribute, int64_t now, int64_t before,
                        uint32_t *reason)
{
	struct gn_drive_reading a = healthy, b = healthy;
	int32_t features[GN_DRIVE_N_FEATURES];

	a.raw[attribute] = now;
	b.raw[attribute] = before;
	gn_drive_features(&a, &b, 4000, features);
	*reason = gn_drive_reason(NULL, features);
	return gn_drive_rule(features);
}

static void defects_raise_the_hazard_and_growth_more(void **state)
{
	uint32_t reason;
	int32_t none = rule_for(GN_DRIVE_PENDING, 0, 0, &reason);
	int32_t old = rule_for(GN_DRIVE_PENDING, 8, 8, &reason);
	int32_t grown = rule_for(GN_DRIVE_PENDING, 8, 0, &reason);

	assert_true(none < old && old < grown);
	assert_string_equal(gn_drive_feature_text(reason), "growth of pending sectors");
	assert_true(gn_drive_probability_q16(none) < 656);   /* below 1 % */
	assert_true(gn_drive_probability_q16(grown) > 3000); /* some per cent */
	assert_true(rule_for(GN_DRIVE_UNCORRECTABLE, GN_DRIVE_UNKNOWN, GN_DRIVE_UNKNOWN, &reason) ==
	            none);
	rule_for(GN_DRIVE_REALLOCATED, INT64_MAX, INT64_MIN, &reason);
}

static void probabilities_follow_log_odds(void **state)
{
	assert_in_range(gn_drive_probability_q16(0), 32000, 33500);
	assert_in_range(gn_drive_probability_q16(256 * 2), 57000, 58400); /* 0.881 */
	assert_in_range(gn_drive_probability_q16(-256 * 2), 7200, 8400);
	assert_int_equal(gn_drive_probability_q16(INT32_MIN), 0);
	assert_in_range(gn_drive_probability_q16(INT32_MAX), 65535, 65536);
}

static void models_out_of_range_are_refused(void **state)
{
	size_t size = sizeof(struct gn_drive_model) + sizeof(struct gn_drive_tree);
	struct gn_drive_model *model = calloc(1, size);
	int32_t features[GN_DRIVE_N_FEATURES] = {7};

	model->magic = GN_DRIVE_MAGIC;
	model->version = GN_DRIVE_VERSION;
	model->n_trees = 1;
	model->trees[0].threshold[0] = 5;
	model->trees[0].leaf_q8[GN_DRIVE_LEAVES / 2] = 300;
	assert_non_null(gn_drive_model_open(model, size));
	assert_int_equal(gn_drive_score(model, features), 0);
	model->trees[0].threshold[2] = 100; /* right of the root, then left, then left */
	model->trees[0].threshold[5] = 100;
	assert_int_equal(gn_drive_score(model, features), 300);
	assert_null(gn_drive_model_open(model, size - 1));
	model->trees[0].feature[6] = GN_DRIVE_N_FEATURES;
	assert_null(gn_drive_model_open(model, size));
	free(model);
}

static void signs_add_up_and_say_which(void **state)
{
	int32_t levels[GN_N_SIGNS] = {0};
	struct gn_signs signs;
	uint32_t calm;

	gn_signs_init(&signs);
	calm = gn_signs_hazard(&signs, levels).probability_q16;
	assert_true(calm < 656);
	levels[GN_SIGN_LATENCY] = 256;
	levels[GN_SIGN_STUCK_TASKS] = 2 * 256;
	struct gn_signs_hazard hazard = gn_signs_hazard(&signs, levels);
	assert_true(hazard.probability_q16 > 8 * calm);
	assert_string_equal(gn_sign_text(hazard.strongest), "tasks are stuck");
	levels[GN_SIGN_KERNEL] = INT32_MAX;
	levels[GN_SIGN_DRIVE] = INT32_MIN;
	assert_true(gn_signs_hazard(&signs, levels).probability_q16 <= 65536);
}

/* A sign that means nothing on this card loses its weight; one that does keeps it; and what
 * is promised is what comes. */
static void signs_learn_from_outcomes(void **state)
{
	struct gn_signs signs;
	uint64_t promised = 0, came = 0;

	gn_signs_init(&signs);
	for (uint32_t i = 0; i < 20000; i++) {
		int32_t levels[GN_N_SIGNS] = {0};
		bool bad = next_random() % 10 == 0, failed;

		levels[GN_SIGN_IO_ERRORS] = bad ? 512 : 0;
		levels[GN_SIGN_RESETS] = next_random() % 2 ? 512 : 0;
		failed = next_random() % 100 < (bad ? 40 : 1);
		if (i > 10000) {
			promised += gn_signs_hazard(&signs, levels).probability_q16;
			came += failed ? 65536 : 0;
		}
		gn_signs_learn(&signs, levels, failed);
	}
	assert_true(signs.weights_q16[GN_SIGN_RESETS] < 32768 / 2);
	assert_true(signs.weights_q16[GN_SIGN_IO_ERRORS] > 64000);
	assert_true(promised > came / 2 && promised < came * 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_new_height_is_an_anomaly_and_only_once),
	        cmocka_unit_test(a_fall_is_seen_too),
	        cmocka_unit_test(noise_keeps_its_budget),
	        cmocka_unit_test(extremes_do_not_overflow),
	        cmocka_unit_test(a_leak_fills_when_it_should),
	        cmocka_unit_test(what_does_not_grow_never_fills),
	        cmocka_unit_test(defects_raise_the_hazard_and_growth_more),
	        cmocka_unit_test(probabilities_follow_log_odds),
	        cmocka_unit_test(models_out_of_range_are_refused),
	        cmocka_unit_test(signs_add_up_and_say_which),
	        cmocka_unit_test(signs_learn_from_outcomes),
	};
	return cmocka_run_group_tests_name("hazard", tests, NULL, NULL);
}
