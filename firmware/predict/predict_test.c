/* predict_test.c - the predictor through its door: what it must find, and what it must
 * survive. */
#include "firmware/predict/predict.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct gn_predict_config seconds = {
        .period_us = 1000000, .n_horizons = 4, .horizons = {1, 6, 12, 24}};

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static struct gn_predict *make(const struct gn_predict_config *config)
{
	struct gn_predict *p = malloc(gn_predict_size);

	assert_non_null(p);
	assert_int_equal(gn_predict_init(p, config), 0);
	return p;
}

static struct gn_predict_forecast at(const struct gn_predict *p, uint32_t index)
{
	struct gn_predict_forecast forecast;

	assert_int_equal(gn_predict_forecast(p, index, &forecast), 0);
	return forecast;
}

static int64_t spiky(uint32_t step, uint32_t period)
{
	return (step % period < 5 ? 1800 : 200) + (int64_t)(next_random() % 60);
}

/* The demonstration's case: a spike every 40 to 120 s is forecast within three periods. */
static void finds_a_spike_that_repeats(void **state)
{
	static const uint32_t periods[] = {40, 60, 77, 120};

	for (size_t i = 0; i < sizeof(periods) / sizeof(periods[0]); i++) {
		struct gn_predict *p = make(&seconds);
		uint32_t period = periods[i], n = 3 * period + 1 - 12, step;

		for (step = 0; step < n; step++)
			gn_predict_observe(p, (step + 1) * seconds.period_us, spiky(step, period));
		/* the newest sample is step n-1; the spike comes 12 steps later, at 3 * period */
		assert_in_range(at(p, 2).found_period, period - 1, period + 1);
		assert_true(at(p, 2).quantiles[GN_P95] > 1500);
		for (; step < 6 * period; step++) {
			bool soon = (step + 12) % period < 5;

			gn_predict_observe(p, (step + 1) * seconds.period_us, spiky(step, period));
			if (soon && step % period != period - 12 && step > 4 * period)
				assert_true(at(p, 2).quantiles[GN_P50] > 1200);
		}
		free(p);
	}
}

static void refuses_configurations_out_of_range(void **state)
{
	static const struct gn_predict_config bad[] = {
	        {.period_us = 99999, .n_horizons = 1, .horizons = {1}},
	        {.period_us = 3600000001u, .n_horizons = 1, .horizons = {1}},
	        {.period_us = 1000000, .n_horizons = 0},
	        {.period_us = 1000000, .n_horizons = 5, .horizons = {1, 2, 3, 4}},
	        {.period_us = 1000000, .n_horizons = 1, .horizons = {0}},
	        {.period_us = 1000000, .n_horizons = 1, .horizons = {289}},
	        {.period_us = 1000000, .n_horizons = 2, .horizons = {6, 6}},
	};
	struct gn_predict *p = make(&seconds);
	struct gn_predict_forecast forecast;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(gn_predict_init(p, &bad[i]), -EINVAL);
	assert_int_equal(gn_predict_forecast(p, 0, &forecast), -EAGAIN);
	assert_int_equal(gn_predict_forecast(p, 4, &forecast), -EINVAL);
	free(p);
}

static void quantiles_never_cross_and_stay_in_range(void **state)
{
	static const struct gn_predict_config configs[] = {
	        {.period_us = 100000, .n_horizons = 4, .horizons = {1, 2, 3, 288}},
	        {.period_us = 3600000000u, .n_horizons = 4, .horizons = {1, 24, 168, 288}},
	        {.period_us = 300000000u, .n_horizons = 4, .horizons = {285, 286, 287, 288}},
	};

	for (uint32_t round = 0; round < 12; round++) {
		struct gn_predict *p = make(&configs[round % 3]);
		uint64_t now = 0;

		for (uint32_t i = 0; i < 1500; i++) {
			int64_t value = (int64_t)(next_random() >> (next_random() % 64));

			if (round >= 6)
				value = i % 700 < 350 ? 0 : GN_PREDICT_MAX;
			if (next_random() % 16 == 0)
				value = i & 1 ? INT64_MAX : INT64_MIN;
			now += configs[round % 3].period_us *
			       (next_random() % 64 ? 1 : next_random() % 400 + 1);
			assert_int_equal(gn_predict_observe(p, now, value), 0);
			for (uint32_t h = 0; h < 4; h++) {
				struct gn_predict_forecast f = at(p, h);

				assert_true(f.quantiles[0] >= 0);
				for (int q = 1; q < GN_PREDICT_N_QUANTILES; q++)
					assert_true(f.quantiles[q] >= f.quantiles[q - 1]);
				assert_true(f.quantiles[GN_P99] <= GN_PREDICT_MAX);
			}
		}
		free(p);
	}
}

static void time_that_does_not_advance_changes_nothing(void **state)
{
	struct gn_predict *p = make(&seconds), *before = malloc(gn_predict_size);

	gn_predict_observe(p, 1000000, 5);
	memcpy(before, p, gn_predict_size);
	assert_int_equal(gn_predict_observe(p, 1000000, 7), -ERANGE);
	assert_int_equal(gn_predict_observe(p, 999999, 7), -ERANGE);
	assert_memory_equal(p, before, gn_predict_size);
	free(p);
	free(before);
}

static void a_constant_is_forecast_exactly(void **state)
{
	static const int64_t values[] = {0, 1, 7, 250, 1 << 20, 4294967296, GN_PREDICT_MAX};

	for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
		struct gn_predict *p = make(&seconds);
		int64_t slack = values[v] / 64 + 1;

		for (uint32_t i = 1; i < 400; i++)
			gn_predict_observe(p, i * 1000000, values[v]);
		for (int q = 0; q < GN_PREDICT_N_QUANTILES; q++) {
			assert_true(at(p, 2).quantiles[q] <= values[v] + slack);
			assert_true(at(p, 2).quantiles[q] >= values[v] - slack);
		}
		assert_int_equal(at(p, 2).reason, GN_PREDICT_TRUSTED);
		free(p);
	}
}

static void says_when_it_is_not_to_be_trusted(void **state)
{
	struct gn_predict *p = make(&seconds);

	for (uint32_t i = 1; i < 50; i++)
		gn_predict_observe(p, i * 1000000, 100 + i % 3);
	assert_int_equal(at(p, 0).reason, GN_PREDICT_TOO_LITTLE_HISTORY);
	for (uint32_t i = 50; i < 200; i++)
		gn_predict_observe(p, i * 1000000, 100 + i % 3);
	assert_int_equal(at(p, 0).reason, GN_PREDICT_TRUSTED);
	gn_predict_observe(p, 220 * 1000000u, 101);
	assert_int_equal(at(p, 0).reason, GN_PREDICT_INTERRUPTED);
	gn_predict_observe(p, 221 * 1000000u, 101);
	assert_int_equal(at(p, 0).reason, GN_PREDICT_TRUSTED);
	free(p);
}

/* However long the history: a horizon's first forecasts are worth nothing until their time
 * has come. */
static void trusts_a_horizon_once_it_was_scored(void **state)
{
	static const struct gn_predict_config config = {
	        .period_us = 1000000, .n_horizons = 2, .horizons = {5, 60}};
	struct gn_predict *p = make(&config);

	for (uint32_t i = 1; i <= 70; i++)
		gn_predict_observe(p, i * 1000000, 100 + i % 3);
	assert_int_equal(at(p, 0).reason, GN_PREDICT_TRUSTED);
	assert_int_equal(at(p, 1).reason, GN_PREDICT_TOO_LITTLE_HISTORY);
	for (uint32_t i = 71; i <= 250; i++)
		gn_predict_observe(p, i * 1000000, 100 + i % 3);
	assert_int_equal(at(p, 1).reason, GN_PREDICT_TRUSTED);
	free(p);
}

/* A day at five minutes, then silence for some days and two hours: the peak of the day is
 * still expected at its hour. */
static void keeps_the_time_of_day_over_a_long_gap(void **state)
{
	static const struct gn_predict_config config = {
	        .period_us = 300000000, .n_horizons = 1, .horizons = {12}};
	struct gn_predict *p = make(&config);
	uint64_t step = 0;

	for (; step < 10 * 288; step++)
		gn_predict_observe(p, (step + 1) * config.period_us, step % 288 < 24 ? 9000 : 100);
	step += 5 * 288 - 20; /* 20 steps before the peak begins */
	for (uint32_t i = 0; i < 9; i++, step++) {
		assert_true(step % 288 > 24);
		gn_predict_observe(p, (step + 1) * config.period_us, 100);
	}
	/* the newest sample is 12 steps before the peak */
	assert_int_equal(step % 288, 288 - 11);
	assert_true(at(p, 0).quantiles[GN_P90] > 5000);
	free(p);
}

static void follows_a_resize(void **state)
{
	struct gn_predict *told = make(&seconds), *not_told = make(&seconds);
	uint32_t i;

	for (i = 0; i < 3000; i++) {
		gn_predict_observe(told, (i + 1) * 1000000, 1000 + next_random() % 10);
		gn_predict_observe(not_told, (i + 1) * 1000000, 1000 + next_random() % 10);
	}
	gn_predict_note_resize(told, 1000, 4000);
	for (; i < 3060; i++) {
		int64_t value = 1500 + (int64_t)(next_random() % 1000);

		gn_predict_observe(told, (i + 1) * 1000000, value);
		gn_predict_observe(not_told, (i + 1) * 1000000, value);
	}
	assert_true(at(told, 0).quantiles[GN_P99] > 2200);
	assert_true(at(told, 0).quantiles[GN_P99] >= at(not_told, 0).quantiles[GN_P99] - 100);
	free(told);
	free(not_told);
}

static void knows_how_accurate_it_is(void **state)
{
	struct gn_predict_accuracy accuracy = {.n = 9};
	struct gn_predict *p = make(&seconds);

	assert_int_equal(gn_predict_accuracy(p, 4, &accuracy), -EINVAL);
	assert_int_equal(accuracy.n, 9);
	/* two turns: 'no change' is off by 40, the rhythm is not; 12 steps ahead */
	for (uint32_t i = 0; i < 3000; i++)
		gn_predict_observe(p, (i + 1) * 1000000, i / 12 % 2 ? 1040 : 1000);
	assert_int_equal(gn_predict_accuracy(p, 2, &accuracy), 0);
	assert_in_range(accuracy.naive_error_milli, 39000, 41000);
	assert_true(accuracy.error_milli < 10000);
	assert_true(accuracy.loss95_milli < accuracy.vpa_loss95_milli);
	assert_true(at(p, 2).error_ratio_q16 < 16384);
	free(p);
}

/* A walk without any rule cannot be forecast better than by 'no change'; whoever is worse than
 * that by a tenth must say so. */
static void demotes_itself_when_worse_than_naive(void **state)
{
	struct gn_predict *p = make(&seconds);
	uint32_t n_demoted = 0;
	int64_t value = 1000000;

	for (uint32_t i = 0; i < 4000; i++) {
		value += (int64_t)(next_random() % 20001) - 10000;
		value = value < 100000 ? 100000 : value;
		gn_predict_observe(p, (i + 1) * 1000000, value);
		for (uint32_t h = 0; h < 4 && i > 500; h++) {
			struct gn_predict_forecast forecast = at(p, h);

			n_demoted += forecast.reason == GN_PREDICT_WORSE_THAN_NAIVE;
			if (forecast.reason == GN_PREDICT_TRUSTED)
				assert_true(forecast.error_ratio_q16 < 75000);
		}
	}
	assert_true(n_demoted < 4000);
	free(p);
}

static void resumes_identically_from_a_blob(void **state)
{
	struct gn_predict *p = make(&seconds), *copy = malloc(gn_predict_size);
	void *blob = malloc(gn_predict_blob_max);

	for (uint32_t i = 0; i < 700; i++)
		gn_predict_observe(p, (i + 1) * 1000000, spiky(i, 60));
	assert_int_equal(gn_predict_export(p, blob, gn_predict_blob_max - 1), 0);
	size_t size = gn_predict_export(p, blob, gn_predict_blob_max);
	assert_int_equal(gn_predict_import(copy, blob, size), 0);
	for (uint32_t i = 700; i < 1500; i++) {
		int64_t value = spiky(i, 60);

		gn_predict_observe(p, (i + 1) * 1000000, value);
		gn_predict_observe(copy, (i + 1) * 1000000, value);
		assert_memory_equal(p, copy, gn_predict_size);
	}
	free(p);
	free(copy);
	free(blob);
}

static void refuses_damaged_blobs(void **state)
{
	struct gn_predict *p = make(&seconds), *copy = make(&seconds), *before = make(&seconds);
	uint8_t *blob = malloc(gn_predict_blob_max);

	gn_predict_observe(p, 1000000, 5);
	size_t size = gn_predict_export(p, blob, gn_predict_blob_max);
	for (size_t i = 0; i < size; i++) {
		blob[i] ^= 1;
		int status = gn_predict_import(copy, blob, size);
		assert_true(status == -EBADMSG || status == -EPROTO);
		blob[i] ^= 1;
		if (i % 97 == 0)
			assert_int_equal(gn_predict_import(copy, blob, i), -EBADMSG);
	}
	assert_memory_equal(copy, before, gn_predict_size);
	blob[4]++;
	assert_int_equal(gn_predict_import(copy, blob, size), -EPROTO);
	free(p);
	free(copy);
	free(before);
	free(blob);
}

static void explains_in_a_sentence_that_fits(void **state)
{
	struct gn_predict *p = make(&seconds);
	char text[400], small[16];

	assert_true(gn_predict_explain(p, 0, text, sizeof(text)) > 0);
	for (uint32_t i = 0; i < 700; i++)
		gn_predict_observe(p, (i + 1) * 1000000, spiky(i, 60));
	size_t length = gn_predict_explain(p, 2, text, sizeof(text));
	assert_int_equal(length, strlen(text));
	assert_non_null(strstr(text, "in 12 s"));
	assert_non_null(strstr(text, "repeats every"));
	assert_true(gn_predict_explain(p, 2, small, sizeof(small)) < sizeof(small));
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(finds_a_spike_that_repeats),
	        cmocka_unit_test(refuses_configurations_out_of_range),
	        cmocka_unit_test(quantiles_never_cross_and_stay_in_range),
	        cmocka_unit_test(time_that_does_not_advance_changes_nothing),
	        cmocka_unit_test(a_constant_is_forecast_exactly),
	        cmocka_unit_test(says_when_it_is_not_to_be_trusted),
	        cmocka_unit_test(trusts_a_horizon_once_it_was_scored),
	        cmocka_unit_test(keeps_the_time_of_day_over_a_long_gap),
	        cmocka_unit_test(follows_a_resize),
	        cmocka_unit_test(knows_how_accurate_it_is),
	        cmocka_unit_test(demotes_itself_when_worse_than_naive),
	        cmocka_unit_test(resumes_identically_from_a_blob),
	        cmocka_unit_test(refuses_damaged_blobs),
	        cmocka_unit_test(explains_in_a_sentence_that_fits),
	};
	return cmocka_run_group_tests_name("predict", tests, NULL, NULL);
}
