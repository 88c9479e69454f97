/* rls.c - Bierman's U-D update. The ranges that keep each product in its type stand beside
 * it; products that could pass 63 bits go through 128 bits, which both targets have as one
 * or two instructions. */
#include "firmware/predict/rls.h"

#define F_MAX     ((int64_t)1 << 27)
#define B_MAX     ((int64_t)1 << 42)
#define ALPHA_MAX ((int64_t)1 << 42)

void gn_rls_reset(uint64_t *d, int32_t *u, uint32_t n, uint64_t prior_q32)
{
	for (uint32_t i = 0; i < n; i++)
		d[i] = prior_q32;
	for (uint32_t i = 0; i < GN_RLS_PAIRS(n); i++)
		u[i] = 0;
}

/* f = U' x (Q12, |f| <= 2^27), v = D f (Q24, |v| <= 2^35 * 2^27 / 2^20 = 2^42). */
static inline __attribute__((always_inline)) void
project(const uint64_t *d, const int32_t *u, uint32_t n, const int32_t *x, int64_t *f, int64_t *v)
{
#pragma GCC unroll 16
	for (uint32_t j = 0; j < n; u += j++) {
		int64_t sum = (int64_t)x[j] * 65536; /* |x| <= 2^15, |u| <= 2^31, n <= 10: < 2^50 */

#pragma GCC unroll 16
		for (uint32_t i = 0; i < j; i++)
			sum += (int64_t)u[i] * x[i];
		f[j] = gn_within64(sum >> 16, F_MAX);
		v[j] = ((int64_t)d[j] * f[j]) >> 20; /* < 2^62 before the shift */
	}
}

/* One column of U, and b. */
static inline __attribute__((always_inline)) void rotate(int32_t *u, int64_t *b, uint32_t n,
                                                         int64_t p, int64_t v)
{
	for (uint32_t i = 0; i < n; i++) {
		int64_t old = u[i];

		u[i] = (int32_t)gn_within64(old - (int64_t)(((__int128)b[i] * p) >> 28), INT32_MAX);
		b[i] = gn_within64(b[i] + (int64_t)(((__int128)old * v) >> 16), B_MAX);
	}
}

/* gain = b / alpha. */
static inline __attribute__((always_inline)) void divide(const int64_t *b, int64_t alpha,
                                                         uint32_t n, int32_t *gain_q24)
{
	int64_t inverse = ((int64_t)1 << 44) / alpha; /* Q20, <= 1 */

#pragma GCC unroll 16
	for (uint32_t i = 0; i < n; i++)
		gain_q24[i] = (int32_t)gn_within64((int64_t)(((__int128)b[i] * inverse) >> 20),
		                                   INT32_MAX);
}

static inline __attribute__((always_inline)) void update(uint64_t *d, int32_t *u, uint32_t n,
                                                         const int32_t *x_q12, uint32_t forget_q24,
                                                         int32_t *gain_q24)
{
	int64_t f[GN_RLS_LARGE], v[GN_RLS_LARGE], b[GN_RLS_LARGE];
	int64_t alpha = (int64_t)1 << 24; /* Q24 */

	project(d, u, n, x_q12, f, v);
	for (uint32_t j = 0; j < n; u += j++) {
		int64_t before = alpha;
		int64_t p = (f[j] * ((int64_t)1 << 32)) / before; /* Q20, |p| <= 2^35 */
		int64_t ratio;

		alpha += (int64_t)(((__int128)f[j] * v[j]) >> 12); /* f v >= 0; < 2^57 */
		alpha = gn_min64(alpha, ALPHA_MAX);
		ratio = (before << 20) / alpha; /* Q20, <= 1 */
		d[j] = (((d[j] * (uint64_t)ratio) >> 20) * forget_q24) >> 24;
		d[j] = d[j] < GN_RLS_D_MIN   ? GN_RLS_D_MIN
		       : d[j] > GN_RLS_D_MAX ? GN_RLS_D_MAX
		                             : d[j];
		b[j] = v[j];
		rotate(u, b, j, p, v[j]);
	}
	divide(b, alpha, n, gain_q24);
}

static inline __attribute__((always_inline)) void
gain_of(const uint64_t *d, const int32_t *u, uint32_t n, const int32_t *x_q12, int32_t *gain_q24)
{
	int64_t f[GN_RLS_LARGE], v[GN_RLS_LARGE], b[GN_RLS_LARGE];
	int64_t alpha = (int64_t)1 << 24; /* Q24 */

	project(d, u, n, x_q12, f, v);
#pragma GCC unroll 16
	for (uint32_t j = 0; j < n; u += j++) {
		int64_t scale = b[j] = v[j];

		if (__builtin_expect(scale == (int32_t)scale, 1)) { /* no product needs 128 bits */
			alpha += (f[j] * scale) >> 12;
#pragma GCC unroll 16
			for (uint32_t i = 0; i < j; i++)
				b[i] += (u[i] * scale) >> 16;
		} else {
			alpha += (int64_t)(((__int128)f[j] * scale) >> 12);
			for (uint32_t i = 0; i < j; i++) /* each below 2^57, 9 of them */
				b[i] += (int64_t)(((__int128)u[i] * scale) >> 16);
		}
		alpha = gn_min64(alpha, ALPHA_MAX);
	}
	divide(b, alpha, n, gain_q24);
}

void gn_rls_update(uint64_t *d, int32_t *u, uint32_t n, const int32_t *x_q12, uint32_t forget_q24,
                   int32_t *gain_q24)
{
	if (n == GN_RLS_SMALL)
		update(d, u, GN_RLS_SMALL, x_q12, forget_q24, gain_q24);
	else
		update(d, u, GN_RLS_LARGE, x_q12, forget_q24, gain_q24);
}

void gn_rls_gain(const uint64_t *d, const int32_t *u, uint32_t n, const int32_t *x_q12,
                 int32_t *gain_q24)
{
	if (n == GN_RLS_SMALL)
		gain_of(d, u, GN_RLS_SMALL, x_q12, gain_q24);
	else
		gain_of(d, u, GN_RLS_LARGE, x_q12, gain_q24);
}
