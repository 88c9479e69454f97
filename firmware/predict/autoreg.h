/* autoreg.h - direct h-step auto-regression, learnt on-line by recursive least squares.
 *
 * One regressor vector (a constant, the level and the newest changes) serves all horizons,
 * so they share one covariance: the gain computed when the vector was new is kept until its
 * target arrives h steps later, which is exactly least squares per horizon at a quarter of
 * the cost. Targets are changes against the newest value, in standard deviations. Pure. */
#ifndef GN_PREDICT_AUTOREG_H
#define GN_PREDICT_AUTOREG_H

#include <stdint.h>

#include "firmware/predict/history.h"
#include "firmware/predict/rls.h"

#define GN_AUTOREG_N         GN_RLS_LARGE
#define GN_AUTOREG_HORIZONS  4
#define GN_AUTOREG_RING      24
#define GN_AUTOREG_SHIFT_MAX 16

/* What turns units into the dimensionless Q12 numbers that the learners take. */
struct gn_norm {
	int32_t mean;
	int32_t sd;             /* 16 or more */
	int64_t inverse_sd_q36; /* 2^36 / sd, so at most 2^32 */
};

struct gn_autoreg {
	uint64_t d[GN_AUTOREG_N];
	int32_t u[GN_RLS_PAIRS(GN_AUTOREG_N)];
	int32_t weights[GN_AUTOREG_HORIZONS][GN_AUTOREG_N];
	int32_t newest[GN_AUTOREG_N];                 /* regressors at the newest sample */
	int16_t gains[GN_AUTOREG_RING][GN_AUTOREG_N]; /* Q24 when shifted left by ... */
	uint8_t shifts[GN_AUTOREG_RING];              /* ... these */
};

/* A difference in standard deviations, Q12, within +-8. */
static inline int32_t gn_norm_q12(const struct gn_norm *norm, int64_t difference)
{
	/* |difference| <= 2^27, inverse <= 2^32 */
	return (int32_t)gn_within64((difference * norm->inverse_sd_q36) >> 24, GN_RLS_LIMIT_Q12);
}

void gn_autoreg_init(struct gn_autoreg *ar);

/* The regressors at the origin 'lag' steps before the newest sample, Q12. */
void gn_autoreg_regressors(const struct gn_history *history, const struct gn_norm *norm,
                           uint32_t lag, int32_t x[GN_AUTOREG_N]);

/* The change expected at horizon 'index' of an origin with these regressors, Q12. */
int32_t gn_autoreg_predict(const struct gn_autoreg *ar, uint32_t index,
                           const int32_t x[GN_AUTOREG_N]);

/* Learns from the newest sample, the target of horizon 'index' ('horizon' steps), whose
 * regressors were 'x' and whose forecast was off by 'error_q12'; before gn_autoreg_absorb(). */
void gn_autoreg_learn(struct gn_autoreg *ar, const struct gn_history *history, uint32_t index,
                      uint32_t horizon, const int32_t x[GN_AUTOREG_N], int32_t error_q12);

/* Takes the newest regressors into the covariance. */
void gn_autoreg_absorb(struct gn_autoreg *ar, const struct gn_history *history);

#endif
