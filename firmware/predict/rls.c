/* rls.c - Bierman's U-D update. The ranges that keep each product in its type stand beside
 * it; products that could pass 63 bits go through 128 bits, which both targets have as one
 * or two instructions. */
#include "firmware/predict/rls.h"

#include "firmware/core/fixed.h"

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
static void project(const uint64_t *d, const int32_t *u, uint32_t n, const int32_t *x, int64_t *f,
                    int64_t *v)
{
	for (uint32_t j = 0; j < n; j++) {
		int64_t sum = (int64_t)x[j] * 65536; /* |x| <= 2^15, |u| <= 2^31, n <= 16: < 2^51 */

		for (uint32_t i = 0; i < j; i++)
			sum += (int64_t)*u++ * x[i];
		f[j] = gn_clamp64(sum >> 16, -F_MAX, F_MAX);
		v[j] = ((int64_t)d[j] * f[j]) >> 20; /* < 2^62 before the shift */
	}
}

void gn_rls_update(uint64_t *d, int32_t *u, uint32_t n, const int32_t *x_q12, uint32_t forget_q24,
                   int32_t *gain_q24)
{
	int64_t f[GN_RLS_MAX], v[GN_RLS_MAX], b[GN_RLS_MAX];
	int64_t alpha = (int64_t)1 << 24; /* Q24 */
	int64_t inverse;

	project(d, u, n, x_q12, f, v);
	for (uint32_t j = 0; j < n; j++) {
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
		for (uint32_t i = 0; i < j; i++, u++) {
			int64_t old = *u;

			*u = gn_clamp32(old - (int64_t)(((__int128)b[i] * p) >> 28), INT32_MIN,
			                INT32_MAX);
			b[i] = gn_clamp64(b[i] + (int64_t)(((__int128)old * v[j]) >> 16), -B_MAX,
			                  B_MAX);
		}
	}
	inverse = ((int64_t)1 << 44) / alpha; /* Q20, <= 1 */
	for (uint32_t i = 0; i < n; i++)
		gain_q24[i] = gn_clamp32((int64_t)(((__int128)b[i] * inverse) >> 20), INT32_MIN,
		                         INT32_MAX);
}

void gn_rls_learn(int32_t *weights_q20, const int32_t *gain_q24, uint32_t n, int32_t error_q12)
{
	for (uint32_t i = 0; i < n; i++) {
		int64_t step = ((int64_t)gain_q24[i] * error_q12) >> 16;

		weights_q20[i] =
		        gn_clamp32(weights_q20[i] + step, -GN_RLS_WEIGHT_MAX, GN_RLS_WEIGHT_MAX);
	}
}

int32_t gn_rls_predict(const int32_t *weights_q20, const int32_t *x_q12, uint32_t n)
{
	int64_t sum = 0; /* |w| <= 2^26, |x| <= 2^15, n <= 16: < 2^45 */

	for (uint32_t i = 0; i < n; i++)
		sum += (int64_t)weights_q20[i] * x_q12[i];
	return gn_clamp32(sum >> 20, -(64 << 12), 64 << 12);
}
