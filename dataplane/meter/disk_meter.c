/* disk_meter.c - see disk_meter.h. Times are TSC cycles; products are 128 bits wide, so
 * nothing overflows for any rate, size and clock. */
#include "dataplane/meter/disk_meter.h"

#include <errno.h>
#include <string.h>

static const uint64_t min_tsc_hz = 1000000, max_tsc_hz = 16000000000;

void gn_disk_meter_init(struct gn_disk_meter *meter)
{
	memset(meter, 0, sizeof(*meter));
}

/* How far ahead of 'now' the limit is paid; 0 when it has nothing to pay. */
static uint64_t ahead(const struct gn_disk_limit *limit, uint64_t now)
{
	int64_t debt = (int64_t)(limit->paid_at - now);

	return debt > 0 ? (uint64_t)debt : 0;
}

static uint64_t wait_for(const struct gn_disk_limit *limit, uint64_t burst, uint64_t now)
{
	uint64_t debt = limit->rate ? ahead(limit, now) : 0;

	return debt > burst ? debt - burst : 0;
}

static void charge(struct gn_disk_limit *limit, uint64_t units, uint64_t tsc_hz, uint64_t now)
{
	uint64_t debt = ahead(limit, now);
	unsigned __int128 cost_q32;

	if (!limit->rate)
		return;
	if (!debt)
		limit->fraction_q32 = 0;
	cost_q32 = ((unsigned __int128)units * tsc_hz << 32) / limit->rate + limit->fraction_q32;
	limit->fraction_q32 = (uint32_t)cost_q32;
	cost_q32 >>= 32;
	if (cost_q32 > GN_DISK_METER_MAX_DEBT_S * tsc_hz - debt)
		cost_q32 = GN_DISK_METER_MAX_DEBT_S * tsc_hz - debt;
	limit->paid_at = now + debt + (uint64_t)cost_q32;
}

uint64_t gn_disk_meter_take(struct gn_disk_meter *meter, uint64_t now, uint32_t bytes)
{
	uint64_t burst = meter->tsc_hz / 1000 * GN_DISK_METER_BURST_MS;
	uint64_t wait = wait_for(&meter->operations, burst, now);
	uint64_t wait_bytes = wait_for(&meter->bytes, burst, now);

	if (wait_bytes > wait)
		wait = wait_bytes;
	if (wait)
		return wait;
	charge(&meter->operations, 1, meter->tsc_hz, now);
	charge(&meter->bytes, bytes, meter->tsc_hz, now);
	return 0;
}

/* A debt of d cycles at the old rate is d * old / new cycles at the new one. */
static void change_rate(struct gn_disk_limit *limit, uint64_t rate, uint64_t tsc_hz, uint64_t now)
{
	unsigned __int128 debt = ahead(limit, now);

	if (limit->rate == rate)
		return;
	debt = limit->rate && rate ? debt * limit->rate / rate : 0;
	if (debt > GN_DISK_METER_MAX_DEBT_S * tsc_hz)
		debt = GN_DISK_METER_MAX_DEBT_S * tsc_hz;
	limit->rate = rate;
	limit->paid_at = now + (uint64_t)debt;
	limit->fraction_q32 = 0;
}

int gn_disk_meter_set(struct gn_disk_meter *meter, uint64_t operations_per_s, uint64_t bytes_per_s,
                      uint64_t tsc_hz, uint64_t now)
{
	if (tsc_hz < min_tsc_hz || tsc_hz > max_tsc_hz)
		return -EINVAL;
	meter->tsc_hz = tsc_hz;
	change_rate(&meter->operations, operations_per_s, tsc_hz, now);
	change_rate(&meter->bytes, bytes_per_s, tsc_hz, now);
	return 0;
}
