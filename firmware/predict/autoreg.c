/* autoreg.c - see autoreg.h. Horizons beyond the gain ring use the covariance of today with
 * the regressors of then. */
#include "firmware/predict/autoreg.h"

#include <string.h>

#include "firmware/core/fixed.h"

#define PRIOR_Q32  ((uint64_t)1 << 32)
#define FORGET_Q24 16785608u /* 2^24 / 0.9995 */

int32_t gn_norm_q12(const struct gn_norm *norm, int64_t difference)
{
	/* |difference| <= 2^27, inverse <= 2^32 */
	return gn_clamp32((difference * norm->inverse_sd_q36) >> 24, -GN_RLS_LIMIT_Q12,
	                  GN_RLS_LIMIT_Q12);
}

void gn_autoreg_init(struct gn_autoreg *ar)
{
	memset(ar, 0, sizeof(*ar));
	gn_rls_reset(ar->d, ar->u, GN_AUTOREG_N, PRIOR_Q32);
}

void gn_autoreg_regressors(const struct gn_history *history, const struct gn_norm *norm,
                           uint32_t lag, int32_t x[GN_AUTOREG_N])
{
	int64_t newest = gn_history_at(history, lag);

	x[0] = 1 << 12;
	x[1] = gn_norm_q12(norm, newest - norm->mean);
	for (uint32_t i = 1; i < GN_AUTOREG_N - 1; i++)
		x[i + 1] = gn_norm_q12(norm, newest - gn_history_at(history, lag + i));
}

void gn_autoreg_learn(struct gn_autoreg *ar, const struct gn_history *history,
                      const struct gn_norm *norm, uint32_t index, uint32_t horizon,
                      const int32_t x[GN_AUTOREG_N])
{
	int64_t target = (int64_t)gn_history_at(history, 0) - gn_history_at(history, horizon);
	int32_t gain[GN_AUTOREG_N], error;

	error = gn_norm_q12(norm, target) - gn_rls_predict(ar->weights[index], x, GN_AUTOREG_N);
	error = gn_clamp32(error, -GN_RLS_LIMIT_Q12, GN_RLS_LIMIT_Q12);
	if (horizon <= GN_AUTOREG_RING) {
		const int16_t *kept = ar->gains[(history->n - 1 - horizon) % GN_AUTOREG_RING];

		for (uint32_t i = 0; i < GN_AUTOREG_N; i++)
			gain[i] = (int32_t)gn_clamp64(gn_small_unpack_signed(kept[i]), INT32_MIN,
			                              INT32_MAX);
	} else {
		uint64_t d[GN_AUTOREG_N];
		int32_t u[GN_RLS_PAIRS(GN_AUTOREG_N)];

		memcpy(d, ar->d, sizeof(d));
		memcpy(u, ar->u, sizeof(u));
		gn_rls_update(d, u, GN_AUTOREG_N, x, FORGET_Q24, gain);
	}
	gn_rls_learn(ar->weights[index], gain, GN_AUTOREG_N, error);
}

void gn_autoreg_absorb(struct gn_autoreg *ar, const struct gn_history *history,
                       const int32_t x[GN_AUTOREG_N])
{
	int32_t gain[GN_AUTOREG_N];
	int16_t *kept = ar->gains[(history->n - 1) % GN_AUTOREG_RING];

	if (history->n < GN_AUTOREG_N) {
		memset(kept, 0, sizeof(ar->gains[0]));
		return;
	}
	gn_rls_update(ar->d, ar->u, GN_AUTOREG_N, x, FORGET_Q24, gain);
	for (uint32_t i = 0; i < GN_AUTOREG_N; i++)
		kept[i] = gn_small_pack_signed(gain[i]);
}
