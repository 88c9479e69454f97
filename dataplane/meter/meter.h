/* meter.h - enforces a VM's network allocation in one direction: what is over the rate
 * is to be dropped. DPDK's single-rate meter (RFC 2697, colour-blind, no excess bucket)
 * with a rate that can change under traffic.
 *
 * The bucket holds GN_METER_BURST_MS of the rate, but no less than GN_METER_MIN_BURST_BYTES,
 * so that the largest frame a guest may send (64 KiB with segmentation offload) always
 * passes a full bucket, and TCP behind the meter reaches the rate. Over any long time
 * the bytes passed are within 0.1 % of the rate.
 *
 * Owner: lcore. */
#ifndef GN_DATAPLANE_METER_H
#define GN_DATAPLANE_METER_H

#include <stdbool.h>
#include <stdint.h>
#include <rte_meter.h>

#define GN_METER_MAX_BPS         10000000000000u /* 10 Tbit/s */
#define GN_METER_BURST_MS        50
#define GN_METER_MIN_BURST_BYTES (128u << 10)

struct gn_meter {
	uint64_t bps; /* 0: no limit */
	struct rte_meter_srtcm_profile profile;
	struct rte_meter_srtcm state;
};

/* No limit, as all-zero memory. */
void gn_meter_init(struct gn_meter *meter);

/* Sets the rate in bits/s, 0: no limit. Tokens are kept, up to the new bucket's size; a
 * meter that had no limit starts with a full bucket. 'tsc_hz' is rte_get_tsc_hz(), at
 * least 1 MHz. -ERANGE: above GN_METER_MAX_BPS; -EINVAL: tsc_hz. The meter is then unchanged. */
int gn_meter_set(struct gn_meter *meter, uint64_t bps, uint64_t tsc_hz, uint64_t now);

/* Takes a frame's bytes from the bucket. False: over the rate, nothing was taken. 'now' is
 * rte_rdtsc(). */
static inline bool gn_meter_pass(struct gn_meter *meter, uint64_t now, uint32_t bytes)
{
	if (!meter->bps)
		return true;
	/* rte_meter would take a step back for centuries of credit. */
	if ((int64_t)(now - meter->state.time) < 0)
		now = meter->state.time;
	return rte_meter_srtcm_color_blind_check(&meter->state, &meter->profile, now, bytes) ==
	       RTE_COLOR_GREEN;
}

#endif
