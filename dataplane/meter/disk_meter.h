/* disk_meter.h - paces a VM's disk requests to operations/s and bytes/s. Requests over
 * the rate are delayed, never refused: gn_disk_meter_take() says for how long.
 *
 * The generic cell rate algorithm (ITU-T I.371, virtual scheduling) in integers: each limit
 * keeps the instant at which everything admitted so far is paid for. A request is admitted when
 * that instant is at most GN_DISK_METER_BURST_MS ahead, and then moves it by its
 * cost. So a request larger than the burst passes too, and later ones wait for its debt;
 * the long-run rate is exact (remainders are carried).
 *
 * Pure. Owner: lcore; one meter per VM, shared by its volumes on that lcore. */
#ifndef GN_DATAPLANE_DISK_METER_H
#define GN_DATAPLANE_DISK_METER_H

#include <stdbool.h>
#include <stdint.h>

#define GN_DISK_METER_BURST_MS 100
/* Longest debt kept: what a request costs beyond it is forgiven, so no setting can stop a VM
 * for ever. */
#define GN_DISK_METER_MAX_DEBT_S 60

struct gn_disk_limit {
	uint64_t rate;         /* units a second; 0: no limit */
	uint64_t paid_at;      /* TSC */
	uint64_t fraction_q32; /* of a cycle, owed on top */
};

struct gn_disk_meter {
	uint64_t tsc_hz; /* 0: no limit was ever set */
	struct gn_disk_limit operations;
	struct gn_disk_limit bytes;
};

/* No limit, as all-zero memory. */
void gn_disk_meter_init(struct gn_disk_meter *meter);

/* 0: no limit. What was owed stays owed, in operations and bytes: it is paid at the new rate.
 * 'tsc_hz' is rte_get_tsc_hz(), 1 MHz..16 GHz, else -EINVAL and no change. Requests that
 * wait should ask again at once, since their time may have come. */
int gn_disk_meter_set(struct gn_disk_meter *meter, uint64_t operations_per_s, uint64_t bytes_per_s,
                      uint64_t tsc_hz, uint64_t now);

/* True when no limit is set, so the request path can skip everything else. */
static inline bool gn_disk_meter_unlimited(const struct gn_disk_meter *meter)
{
	return !meter->operations.rate && !meter->bytes.rate;
}

/* One request of 'bytes'. 0: admitted and charged. Else: nothing was charged, ask again
 * after that many TSC cycles (another request may then have taken the place; keep a queue
 * in order, and each gets its turn). */
uint64_t gn_disk_meter_take(struct gn_disk_meter *meter, uint64_t now, uint32_t bytes);

#endif
