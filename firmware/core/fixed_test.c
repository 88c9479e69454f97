/* fixed_test.c - fixed.h against wide arithmetic and at the ends of every range. */
#include "firmware/core/fixed.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Values of every magnitude, both signs, the extremes often. */
static int64_t any_int64(void)
{
	static const int64_t edges[] = {0, 1, -1, INT64_MAX, INT64_MIN, INT32_MAX, INT32_MIN};
	uint64_t r = next_random();

	if (r % 8 == 0)
		return edges[(r >> 8) % 7];
	return (int64_t)next_random() >> (r % 64);
}

static void saturating_operations_equal_clamped_wide_ones(void **state)
{
	for (int i = 0; i < 200000; i++) {
		int64_t a = any_int64(), b = any_int64();
		unsigned int shift = next_random() % 63;

		assert_true(gn_sat_add64(a, b) == gn_sat128((__int128)a + b));
		assert_true(gn_sat_sub64(a, b) == gn_sat128((__int128)a - b));
		assert_true(gn_sat_shift(a, (int)shift) == gn_sat128(a * ((__int128)1 << shift)));
		__int128 product = (__int128)a * b + (shift ? (__int128)1 << (shift - 1) : 0);
		assert_true(gn_mul_shift(a, b, shift) == gn_sat128(product >> shift));
		if (b)
			assert_true(gn_div_shift(a, b, 0) == gn_sat128((__int128)a / b));
	}
	assert_true(gn_div_shift(5, 0, 10) == INT64_MAX);
	assert_true(gn_div_shift(-5, 0, 10) == INT64_MIN);
	assert_true(gn_div_shift(0, 0, 10) == 0);
	assert_true(gn_sat_shift(-8, -100) == -1 && gn_sat_shift(8, -100) == 0);
	assert_true(gn_abs64(INT64_MIN) == INT64_MAX);
}

static void square_roots_are_floors(void **state)
{
	for (int i = 0; i < 100000; i++) {
		uint64_t value = (uint64_t)any_int64();
		unsigned __int128 root = gn_sqrt64(value);

		assert_true(root * root <= value && (root + 1) * (root + 1) > value);
	}
}

static void logarithms_and_powers_are_close(void **state)
{
	for (int i = 0; i < 100000; i++) {
		uint64_t value = next_random() >> (next_random() % 64);
		int32_t x = (int32_t)(next_random() % 40960) - 10240;

		if (value > 1)
			assert_true(fabs(gn_log2_q10(value) / 1024.0 - log2((double)value)) <
			            0.011);
		double power = exp2(x / 1024.0) * 65536;
		assert_true(fabs((double)gn_exp2_q10(x, 16) - power) < 1.0 + power * 0.008);
	}
	assert_int_equal(gn_log2_q10(0), 0);
	assert_true(gn_exp2_q10(INT32_MAX, 62) == INT64_MAX);
	assert_true(gn_exp2_q10(INT32_MIN, 16) == 0);
	for (int32_t x = -2048; x < 4096; x++)
		assert_true(gn_exp2_q10(x, 30) <= gn_exp2_q10(x + 1, 30));
}

static void small_floats_keep_their_precision(void **state)
{
	for (int i = 0; i < 200000; i++) {
		uint64_t u = next_random() >> (23 + next_random() % 41);
		int64_t s =
		        (int64_t)(next_random() >> (24 + next_random() % 40)) * (i & 1 ? 1 : -1);
		uint64_t u2 = gn_small_unpack(gn_small_pack(u));
		int64_t s2 = gn_small_unpack_signed(gn_small_pack_signed(s));

		assert_true((u2 > u ? u2 - u : u - u2) <= u >> 12);
		assert_true(gn_abs64(s2 - s) <= gn_abs64(s) >> 11);
	}
	assert_true(gn_small_unpack(gn_small_pack(UINT64_MAX)) >= (uint64_t)1 << 40);
	assert_true(gn_small_unpack_signed(gn_small_pack_signed(INT64_MIN)) <= -((int64_t)1 << 39));
	assert_true(gn_small_unpack_signed(INT16_MIN) < 0);
	for (unsigned int p = 0; p <= 0xffff; p++)
		assert_int_equal(gn_small_pack(gn_small_unpack((uint16_t)p)), p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(saturating_operations_equal_clamped_wide_ones),
	        cmocka_unit_test(square_roots_are_floors),
	        cmocka_unit_test(logarithms_and_powers_are_close),
	        cmocka_unit_test(small_floats_keep_their_precision),
	};
	return cmocka_run_group_tests_name("fixed", tests, NULL, NULL);
}
