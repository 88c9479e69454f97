/* fixed.h - fixed-point arithmetic for the pure modules.
 *
 * A "Qn" number is an integer that stands for value / 2^n. Nothing here overflows, whatever
 * its arguments: results that do not fit are clamped to the type ("saturated"). Right shifts
 * of negative numbers round towards minus infinity, as every compiler that builds this
 * project does, on x86-64 and arm64 alike. Pure; header only. */
#ifndef GN_CORE_FIXED_H
#define GN_CORE_FIXED_H

#include <stdint.h>

static inline int64_t gn_clamp64(int64_t value, int64_t low, int64_t high)
{
	return value < low ? low : value > high ? high : value;
}

static inline int32_t gn_clamp32(int64_t value, int32_t low, int32_t high)
{
	return value < low ? low : value > high ? high : (int32_t)value;
}

/* Within -limit..limit (limit >= 0): for where that hardly ever acts, by one predicted branch. */
static inline int64_t gn_within64(int64_t value, int64_t limit)
{
	if (__builtin_expect((uint64_t)value + (uint64_t)limit > 2 * (uint64_t)limit, 0)) {
		__asm__(""); /* else compilers make conditional moves of it */
		return value < 0 ? -limit : limit;
	}
	return value;
}

static inline int64_t gn_min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t gn_max64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* INT64_MIN becomes INT64_MAX. */
static inline int64_t gn_abs64(int64_t value)
{
	return value >= 0 ? value : value == INT64_MIN ? INT64_MAX : -value;
}

static inline int64_t gn_sat_add64(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return a < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

static inline int64_t gn_sat_sub64(int64_t a, int64_t b)
{
	int64_t difference;

	if (__builtin_sub_overflow(a, b, &difference))
		return a < 0 ? INT64_MIN : INT64_MAX;
	return difference;
}

static inline int64_t gn_sat128(__int128 value)
{
	return value > INT64_MAX ? INT64_MAX : value < INT64_MIN ? INT64_MIN : (int64_t)value;
}

/* a * b >> shift, rounded to nearest; 0 <= shift < 64. */
static inline int64_t gn_mul_shift(int64_t a, int64_t b, unsigned int shift)
{
	__int128 product = (__int128)a * b;

	if (shift)
		product += (__int128)1 << (shift - 1);
	return gn_sat128(product >> shift);
}

/* a << shift (>> when negative); saturated; any shift. */
static inline int64_t gn_sat_shift(int64_t a, int shift)
{
	if (shift >= 0) {
		if (a == 0)
			return 0;
		return shift > 62 ? (a < 0 ? INT64_MIN : INT64_MAX)
		                  : gn_sat128(a * ((__int128)1 << shift));
	}
	return shift < -62 ? (a < 0 ? -1 : 0) : a >> -shift;
}

/* (a << shift) / b, towards zero; b = 0 counts as the smallest b > 0 would: the result
 * saturates by the sign of a, and 0 / 0 is 0. 0 <= shift <= 62. */
static inline int64_t gn_div_shift(int64_t a, int64_t b, unsigned int shift)
{
	int64_t scaled = gn_sat_shift(a, (int)shift);

	if (b == 0)
		return a > 0 ? INT64_MAX : a < 0 ? INT64_MIN : 0;
	if (b == -1)
		return scaled == INT64_MIN ? INT64_MAX : -scaled;
	return scaled / b;
}

/* Position of the highest set bit, 0..63; 0 for 0. */
static inline int gn_top_bit(uint64_t value)
{
	return value ? 63 - __builtin_clzll(value) : 0;
}

/* log2(value) in Q10, 0 for value <= 1; error below 0.01 (the chord's error of log2 is
 * taken back by a parabola). */
static inline int32_t gn_log2_q10(uint64_t value)
{
	int top = gn_top_bit(value);
	uint32_t fraction; /* Q10, 0..1023 */

	if (value <= 1)
		return 0;
	fraction = (uint32_t)((top > 10 ? value >> (top - 10) : value << (10 - top)) & 1023);
	return (top << 10) + (int32_t)(fraction + ((fraction * (1024 - fraction) * 352) >> 20));
}

/* 2^(x) for x in Q10, as Qn: saturates at INT64_MAX, 0 when far below one unit. */
static inline int64_t gn_exp2_q10(int32_t x_q10, unsigned int result_q)
{
	int32_t whole = x_q10 >> 10;
	int64_t fraction = x_q10 & 1023;
	/* 1 + f - 0.344 f (1 - f): the same parabola, mirrored */
	int64_t mantissa =
	        (1024 << 10) + (fraction << 10) - ((fraction * (1024 - fraction) * 352) >> 10);

	return gn_sat_shift(mantissa, whole + (int)result_q - 20);
}

/* floor(sqrt(value)), by Newton's method from above. */
static inline uint32_t gn_sqrt64(uint64_t value)
{
	uint64_t root = (uint64_t)1 << (gn_top_bit(value) / 2 + 1), next = root;

	if (value == 0)
		return 0;
	do {
		root = next;
		next = (root + value / root) / 2;
	} while (next < root);
	return (uint32_t)root;
}

/* Sixteen-bit "small floats", for memory rather than for arithmetic: five bits of exponent,
 * the rest mantissa. Exact below 2^11 (unsigned) or 2^10 (signed), from there on rounded to
 * a relative error of at most 2^-12 or 2^-11. Range: below 2^42, resp. +-2^41; clamped. */
static inline uint16_t gn_small_pack(uint64_t value)
{
	int shift;
	uint64_t rounded;

	if (value >= (uint64_t)4095 << 30)
		return 0xffff;
	if (value < 2048)
		return (uint16_t)value;
	shift = gn_top_bit(value) - 11;
	rounded = shift ? (value + ((uint64_t)1 << (shift - 1))) >> shift : value;
	if (rounded == 4096) {
		rounded = 2048;
		shift++;
	}
	return (uint16_t)(((unsigned int)(shift + 1) << 11) | (rounded & 2047));
}

static inline uint64_t gn_small_unpack(uint16_t packed)
{
	unsigned int exponent = packed >> 11;

	if (exponent == 0)
		return packed;
	return (uint64_t)(2048 | (packed & 2047)) << (exponent - 1);
}

static inline int16_t gn_small_pack_signed(int64_t value)
{
	uint64_t magnitude = (uint64_t)gn_abs64(value);
	int shift;
	uint64_t rounded;
	int16_t packed;

	if (magnitude >= (uint64_t)2047 << 30) {
		packed = 0x7fff;
	} else if (magnitude < 1024) {
		packed = (int16_t)magnitude;
	} else {
		shift = gn_top_bit(magnitude) - 10;
		rounded = shift ? (magnitude + ((uint64_t)1 << (shift - 1))) >> shift : magnitude;
		if (rounded == 2048) {
			rounded = 1024;
			shift++;
		}
		packed = (int16_t)(((unsigned int)(shift + 1) << 10) | (rounded & 1023));
	}
	return value < 0 ? (int16_t)-packed : packed;
}

static inline int64_t gn_small_unpack_signed(int16_t packed)
{
	int magnitude = packed < 0 ? -(packed == INT16_MIN ? INT16_MIN + 1 : packed) : packed;
	int exponent = magnitude >> 10;
	int64_t value =
	        exponent ? (int64_t)(1024 | (magnitude & 1023)) << (exponent - 1) : magnitude;

	return packed < 0 ? -value : value;
}

#endif
