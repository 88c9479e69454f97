/* history.c - a ring of recent samples; every other module of predict reads its lags here. */
#include "firmware/predict/history.h"

#include "firmware/core/fixed.h"

void gn_history_add(struct gn_history *history, int32_t value)
{
	history->exact[history->n % GN_HISTORY_EXACT] = value;
	history->packed[history->n % GN_HISTORY_SIZE] = gn_small_pack((uint64_t)value);
	history->n++;
}

int32_t gn_history_at(const struct gn_history *history, uint32_t lag)
{
	if (history->n == 0)
		return 0;
	if (lag >= history->n)
		lag = history->n - 1;
	if (lag < GN_HISTORY_EXACT)
		return history->exact[(history->n - 1 - lag) % GN_HISTORY_EXACT];
	if (lag >= GN_HISTORY_SIZE)
		lag = GN_HISTORY_SIZE - 1;
	return (int32_t)gn_small_unpack(history->packed[(history->n - 1 - lag) % GN_HISTORY_SIZE]);
}

void gn_history_rescale(struct gn_history *history, unsigned int shift)
{
	for (uint32_t i = 0; i < GN_HISTORY_EXACT; i++)
		history->exact[i] >>= shift;
	for (uint32_t i = 0; i < GN_HISTORY_SIZE; i++)
		history->packed[i] = gn_small_pack(gn_small_unpack(history->packed[i]) >> shift);
}
