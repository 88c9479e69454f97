/* netload.h - stations that send each other frames through vhost-user-net ports and check
 * what arrives, and that live through the back end's death.
 *
 * Station i sends flows to station (i + 1) % n. At most 'window' frames of a station are on
 * their way, so that a working switch loses none. Within a flow the order must hold. An
 * observer (a mirror's sink) only listens. One thread drives all. */
#ifndef GN_TESTS_FRONTEND_NETLOAD_H
#define GN_TESTS_FRONTEND_NETLOAD_H

#include "tests/frontend/netdrv.h"

#define GN_NETLOAD_MAX_STATIONS 16

struct gn_netload_config {
	const char *sockets[GN_NETLOAD_MAX_STATIONS];
	unsigned n_stations; /* 2..GN_NETLOAD_MAX_STATIONS, observers not counted */
	const char *observers[GN_NETLOAD_MAX_STATIONS];
	unsigned n_observers;
	struct gn_netdrv_config driver; /* for all; socket_path is set here */
	unsigned n_flows;               /* per station; 0: 16 */
	uint16_t min_bytes;             /* frame sizes, drawn evenly between the two; 0: 60 */
	uint16_t max_bytes;             /* 0: min_bytes */
	uint16_t vlan;                  /* frames carry this tag; 0: untagged */
	uint32_t first_station;         /* number of the first, makes its MAC; 0: 1 */
	uint64_t n_frames;              /* in all; 0: no such limit */
	uint64_t duration_us;           /* 0: no such limit */
	uint64_t rate;                  /* frames per second in all, at most; 0: no such limit */
	uint32_t window;                /* 0: 64 */
	uint32_t stall_ms;     /* nothing arrived for so long: what is out is lost; 0: 1000 */
	uint32_t reconnect_ms; /* how long to wait for a back end that died; 0: fail */
	uint64_t seed;
	volatile const int *stop; /* end early when it becomes true; NULL allowed */
};

struct gn_netload_result {
	uint64_t sent;
	uint64_t received;
	uint64_t bytes;
	uint64_t lost;
	uint64_t lost_restarting; /* of which until shortly after a back end came back */
	uint64_t late; /* a sequence number not above the newest: repeated or overtaken */
	uint64_t late_restarting;
	uint64_t corrupt;
	uint64_t misdelivered; /* ours, for another station; the switch flooded */
	uint64_t foreign;
	uint64_t device_errors; /* the back end broke virtio's rules */
	uint64_t observed;      /* right frames at observers */
	uint64_t observed_corrupt;
	uint64_t reconnects;
	uint64_t longest_gap_us; /* without an arrival while frames were out */
	uint64_t elapsed_us;
};

/* 0 when it ran to its end. A negative errno and a sentence when it could not, as when
 * the stations do not hear each other. 'result' is filled in both cases. */
int gn_netload_run(const struct gn_netload_config *config, struct gn_netload_result *result,
                   struct gn_status *status);

#endif
