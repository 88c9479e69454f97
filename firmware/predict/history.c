/* history.c - a ring of recent samples; every other module of predict reads its lags here. */
#include "firmware/predict/history.h"

void gn_history_add(struct gn_history *history, int32_t value)
{
	history->exact[history->exact_next] = value;
	history->packed[history->packed_next] = gn_small_pack((uint64_t)value);
	if (++history->exact_next == GN_HISTORY_EXACT)
		history->exact_next = 0;
	if (++history->packed_next == GN_HISTORY_SIZE)
		history->packed_next = 0;
	history->n++;
}

void gn_history_rescale(struct gn_history *history, unsigned int shift)
{
	for (uint32_t i = 0; i < GN_HISTORY_EXACT; i++)
		history->exact[i] >>= shift;
	for (uint32_t i = 0; i < GN_HISTORY_SIZE; i++)
		history->packed[i] = gn_small_pack(gn_small_unpack(history->packed[i]) >> shift);
}
