/* autoreg.c - see autoreg.h. Horizons beyond the gain ring use the covariance of today with
 * the regressors of then. */
#include "firmware/predict/autoreg.h"

#include <string.h>

#include "firmware/core/fixed.h"

#define PRIOR_Q32  ((uint64_t)1 << 32)
#define FORGET_Q24 16785608u /* 2^24 / 0.9995 */

void gn_autoreg_init(struct gn_autoreg *ar)
{
	memset(ar, 0, sizeof(*ar));
	gn_rls_reset(ar->d, ar->u, GN_AUTOREG_N, PRIOR_Q32);
}

void gn_autoreg_regressors(const struct gn_history *history, const struct gn_norm *norm,
                           uint32_t lag, int32_t x[GN_AUTOREG_N])
{
	int64_t newest = gn_history_at(history, lag);
	int32_t place = history->exact_next - 1 - (int32_t)lag;
	const int32_t *exact = history->exact;

	x[0] = 1 << 12;
	x[1] = gn_norm_q12(norm, newest - norm->mean);
	if (lag + GN_AUTOREG_N > GN_HISTORY_EXACT || lag + GN_AUTOREG_N > history->n) {
		for (uint32_t i = 2; i < GN_AUTOREG_N; i++)
			x[i] = gn_norm_q12(norm, newest - gn_history_at(history, lag + i - 1));
		return;
	}
	place += place < 0 ? GN_HISTORY_EXACT : 0;
	if (place >= GN_AUTOREG_N) { /* mostly the ring's end does not lie between */
		for (uint32_t i = 2; i < GN_AUTOREG_N; i++)
			x[i] = gn_norm_q12(norm, newest - exact[place + 1 - (int32_t)i]);
		return;
	}
	for (uint32_t i = 2; i < GN_AUTOREG_N; i++) {
		place += place ? -1 : GN_HISTORY_EXACT - 1;
		x[i] = gn_norm_q12(norm, newest - exact[place]);
	}
}

int32_t gn_autoreg_predict(const struct gn_autoreg *ar, uint32_t index,
                           const int32_t x[GN_AUTOREG_N])
{
	return gn_rls_predict(ar->weights[index], x, GN_AUTOREG_N);
}

void gn_autoreg_learn(struct gn_autoreg *ar, const struct gn_history *history, uint32_t index,
                      uint32_t horizon, const int32_t x[GN_AUTOREG_N], int32_t error_q12)
{
	int32_t gain[GN_AUTOREG_N];

	if (horizon <= GN_AUTOREG_RING) {
		uint32_t place = (history->n - 1 - horizon) % GN_AUTOREG_RING;

		for (uint32_t i = 0; i < GN_AUTOREG_N; i++)
			gain[i] = ar->gains[place][i] * (1 << ar->shifts[place]);
	} else {
		gn_rls_gain(ar->d, ar->u, GN_AUTOREG_N, x, gain);
	}
	gn_rls_learn(ar->weights[index], gain, GN_AUTOREG_N,
	             gn_clamp32(error_q12, -GN_RLS_LIMIT_Q12, GN_RLS_LIMIT_Q12));
}

void gn_autoreg_absorb(struct gn_autoreg *ar, const struct gn_history *history)
{
	uint32_t place = (history->n - 1) % GN_AUTOREG_RING, bits = 0;
	int32_t gain[GN_AUTOREG_N] = {0};
	int shift;

	if (!gn_rls_is_due(history->n))
		gn_rls_gain(ar->d, ar->u, GN_AUTOREG_N, ar->newest, gain);
	else if (history->n >= GN_AUTOREG_N)
		gn_rls_update(ar->d, ar->u, GN_AUTOREG_N, ar->newest, FORGET_Q24, gain);
	for (uint32_t i = 0; i < GN_AUTOREG_N; i++)
		bits |= (uint32_t)(gain[i] ^ (gain[i] >> 31));
	shift = (int)gn_max64(gn_top_bit(bits) - 14, 0);
	ar->shifts[place] = (uint8_t)shift;
	for (uint32_t i = 0; i < GN_AUTOREG_N; i++)
		ar->gains[place][i] = (int16_t)(gain[i] >> shift);
}
