/* meter.c - turns a rate into the profile that rte_meter's inline check works with.
 *
 * rte_meter_srtcm_profile_config() rounds the refill period down to whole cycles, and its
 * period may be as short as 100 cycles: the rate is then up to 1 % off. So the period and
 * its bytes are chosen here, in integers, with a period long enough that rounding it
 * costs less than 1e-4; the rest is rte_meter's. */
#include "dataplane/meter/meter.h"

#include <errno.h>
#include <string.h>

enum { MIN_TSC_HZ = 1000000, MIN_PERIOD_CYCLES = 20000 };

/* Bytes per period, so that a period takes at least MIN_PERIOD_CYCLES; and the period, to
 * the nearest cycle. At 1 bit/s one byte takes eight seconds. */
static void set_refill(struct rte_meter_srtcm_profile *profile, uint64_t bps, uint64_t tsc_hz)
{
	unsigned __int128 bit_cycles = (unsigned __int128)tsc_hz * 8;
	uint64_t bytes = (uint64_t)((unsigned __int128)bps * MIN_PERIOD_CYCLES / bit_cycles) + 1;

	profile->cir_bytes_per_period = bytes;
	profile->cir_period = (uint64_t)((bit_cycles * bytes + bps / 2) / bps);
}

static uint64_t bucket_bytes(uint64_t bps)
{
	uint64_t bytes = bps / 8 * GN_METER_BURST_MS / 1000;

	return bytes > GN_METER_MIN_BURST_BYTES ? bytes : GN_METER_MIN_BURST_BYTES;
}

void gn_meter_init(struct gn_meter *meter)
{
	memset(meter, 0, sizeof(*meter));
}

/* Brings the bucket up to 'now' at the old rate. Returns the cycles of the period that has
 * begun, in terms of the new rate: so that not even changing the rate all the time loses any. */
static uint64_t settle(struct gn_meter *meter, uint64_t bps, uint64_t now)
{
	uint64_t begun;

	if ((int64_t)(now - meter->state.time) <= 0)
		return 0;
	/* A check of no bytes refills. */
	rte_meter_srtcm_color_blind_check(&meter->state, &meter->profile, now, 0);
	begun = now - meter->state.time;
	return (uint64_t)((unsigned __int128)begun * meter->bps / bps);
}

int gn_meter_set(struct gn_meter *meter, uint64_t bps, uint64_t tsc_hz, uint64_t now)
{
	uint64_t bucket = bucket_bytes(bps), tokens = bucket, begun = 0;

	if (bps > GN_METER_MAX_BPS)
		return -ERANGE;
	if (tsc_hz < MIN_TSC_HZ)
		return -EINVAL;
	if (meter->bps == bps)
		return 0;
	if (!bps) {
		gn_meter_init(meter);
		return 0;
	}
	if (meter->bps) {
		begun = settle(meter, bps, now);
		tokens = meter->state.tc < bucket ? meter->state.tc : bucket;
	}
	meter->bps = bps;
	meter->profile = (struct rte_meter_srtcm_profile){.cbs = bucket};
	set_refill(&meter->profile, bps, tsc_hz);
	meter->state = (struct rte_meter_srtcm){.time = now - begun, .tc = tokens};
	return 0;
}
