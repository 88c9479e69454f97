/* rls.h - recursive least squares that cannot lose its footing in fixed point.
 *
 * The covariance P is kept as U D U' (U unit upper triangular, D diagonal) and updated by
 * Bierman's square-root-free factorised update (G. J. Bierman, Factorization Methods for
 * Discrete Sequential Estimation, 1977, ch. V): D stays positive whatever is rounded, so P
 * stays positive definite. With exponential forgetting D would grow without bound along
 * directions that are not excited; it is capped, which is the regularisation.
 *
 * Formats: regressors and errors Q12 within +-8, D Q32 in 2^8..2^35, U Q16, gains Q24,
 * weights Q20 within +-64. Pure. */
#ifndef GN_PREDICT_RLS_H
#define GN_PREDICT_RLS_H

#include <stdbool.h>
#include <stdint.h>

#include "firmware/core/fixed.h"

#define GN_RLS_SMALL      6 /* regressors are so many, or so many: */
#define GN_RLS_LARGE      10
#define GN_RLS_LIMIT_Q12  (8 << 12)
#define GN_RLS_D_MIN      256u
#define GN_RLS_D_MAX      ((uint64_t)1 << 35)
#define GN_RLS_WEIGHT_MAX (64 << 20)
#define GN_RLS_PAIRS(n)   ((n) * ((n)-1) / 2)

/* Makes P the identity times 'prior_q32'. */
void gn_rls_reset(uint64_t *d, int32_t *u, uint32_t n, uint64_t prior_q32);

/* Takes regressors 'x' in: updates P and writes the gain with which an error moves the
 * weights. 'n': GN_RLS_SMALL or GN_RLS_LARGE. 'forget_q24' is 2^24 / lambda. */
void gn_rls_update(uint64_t *d, int32_t *u, uint32_t n, const int32_t *x_q12, uint32_t forget_q24,
                   int32_t *gain_q24);

/* P moves slowly once it has settled: then every few updates are enough, with gains from the P
 * there is in between. 'n': how many regressors there have been. */
#define GN_RLS_SETTLED 576
#define GN_RLS_TURNS   8
static inline bool gn_rls_is_due(uint32_t n)
{
	return n < GN_RLS_SETTLED || n % GN_RLS_TURNS == 0;
}

/* The same gain, but P stays as it is: a third of the work. */
void gn_rls_gain(const uint64_t *d, const int32_t *u, uint32_t n, const int32_t *x_q12,
                 int32_t *gain_q24);

/* weights += gain * error. Inline, as the next: 'n' is a constant where it is called. */
static inline void gn_rls_learn(int32_t *weights_q20, const int32_t *gain_q24, uint32_t n,
                                int32_t error_q12)
{
	for (uint32_t i = 0; i < n; i++) {
		int64_t step = ((int64_t)gain_q24[i] * error_q12) >> 16;

		weights_q20[i] = (int32_t)gn_within64(weights_q20[i] + step, GN_RLS_WEIGHT_MAX);
	}
}

/* weights . x, within +-64 (Q12). */
static inline int32_t gn_rls_predict(const int32_t *weights_q20, const int32_t *x_q12, uint32_t n)
{
	int64_t sum = 0; /* |w| <= 2^26, |x| <= 2^15, n <= 10: < 2^45 */

	for (uint32_t i = 0; i < n; i++)
		sum += (int64_t)weights_q20[i] * x_q12[i];
	return (int32_t)gn_within64(sum >> 20, 64 << 12);
}

#endif
