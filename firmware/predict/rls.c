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
static inline void project(const uint64_t *d, const int32_t *u, uint32_t n, const int32_t *x,
                           int64_t *f, int64_t *v)
{
	for (uint32_t j = 0; j < n; u += j++) {
		int64_t sum = (int64_t)x[j] * 65536; /* |x| <= 2^15, |u| <= 2^31, n <= 16: < 2^51 */

		for (uint32_t i = 0; i < j; i++)
			sum += (int64_t)u[i] * x[i];
		f[j] = gn_clamp64(sum >> 16, -F_MAX, F_MAX);
		v[j] = ((int64_t)d[j] * f[j]) >> 20; /* < 2^62 before the shift */
	}
}

/* Clamps that hardly ever act: predicted branches, where gn_clamp64() would always work. */
static inline int64_t rarely_beyond(int64_t value, int64_t limit)
{
	if (__builtin_expect(value > limit || value < -limit, 0))
		return value > 0 ? limit : -limit;
	return value;
}

/* One column of U, and b. */
static inline void rotate(int32_t *u, int64_t *b, uint32_t n, int64_t p, int64_t v)
{
	for (uint32_t i = 0; i < n; i++) {
		int64_t old = u[i];

		u[i] = (int32_t)rarely_beyond(old - (int64_t)(((__int128)b[i] * p) >> 28),
		                              INT32_MAX);
		b[i] = rarely_beyond(b[i] + (int64_t)(((__int128)old * v) >> 16), B_MAX);
	}
}

/* gain = b / alpha. */
static inline void divide(const int64_t *b, int64_t alpha, uint32_t n, int32_t *gain_q24)
{
	int64_t inverse = ((int64_t)1 << 44) / alpha; /* Q20, <= 1 */

	for (uint32_t i = 0; i < n; i++)
		gain_q24[i] = (int32_t)rarely_beyond((int64_t)(((__int128)b[i] * inverse) >> 20),
		                                     INT32_MAX);
}

void gn_rls_update(uint64_t *d, int32_t *u, uint32_t n, const int32_t *x_q12, uint32_t forget_q24,
                   int32_t *gain_q24)
{
	int64_t f[GN_RLS_MAX], v[GN_RLS_MAX], b[GN_RLS_MAX];
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

void gn_rls_gain(const uint64_t *d, const int32_t *u, uint32_t n, const int32_t *x_q12,
                 int32_t *gain_q24)
{
	int64_t f[GN_RLS_MAX], v[GN_RLS_MAX], b[GN_RLS_MAX];
	int64_t alpha = (int64_t)1 << 24; /* Q24 */

	project(d, u, n, x_q12, f, v);
	for (uint32_t j = 0; j < n; u += j++) {
		int64_t scale = v[j];

		alpha = gn_min64(alpha + (int64_t)(((__int128)f[j] * scale) >> 12), ALPHA_MAX);
		b[j] = scale;
		for (uint32_t i = 0; i < j; i++) /* each below 2^57, 15 of them */
			b[i] += (int64_t)(((__int128)u[i] * scale) >> 16);
	}
	divide(b, alpha, n, gain_q24);
}

void gn_rls_learn(int32_t *weights_q20, const int32_t *gain_q24, uint32_t n, int32_t error_q12)
{
	for (uint32_t i = 0; i < n; i++) {
		int64_t step = ((int64_t)gain_q24[i] * error_q12) >> 16;

		weights_q20[i] = (int32_t)rarely_beyond(weights_q20[i] + step, GN_RLS_WEIGHT_MAX);
	}
}
