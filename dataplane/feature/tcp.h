/* tcp.h - one TCP segment's effect on its flow: handshake, close, retransmissions. The
 * rules are in feature.h. Internal to feature/. Pure. Owner: lcore. */
#ifndef GN_DATAPLANE_TCP_H
#define GN_DATAPLANE_TCP_H

#include "dataplane/feature/feature.h"
#include "dataplane/feature/flow.h"

/* Furthest from what was expected that a segment may be: the largest window (RFC 7323). Further
 * ones are ignored, unless there are GN_TCP_MAX_STRAYS: then the stream is elsewhere. */
#define GN_TCP_MAX_WINDOW (1u << 30)
#define GN_TCP_MAX_STRAYS 3

enum { GN_TCP_FIN = 1, GN_TCP_SYN = 2, GN_TCP_RST = 4, GN_TCP_ACK = 16 };

struct gn_tcp_segment {
	uint32_t sequence;
	uint32_t acknowledged;
	uint32_t n_payload;
	uint8_t flags; /* GN_TCP_* */
	enum gn_direction direction;
	uint64_t now; /* TSC */
};

struct gn_tcp_clock {
	uint64_t us_per_cycle_q32;
};

static inline uint64_t gn_tcp_us(const struct gn_tcp_clock *clock, uint64_t cycles)
{
	return (uint64_t)((unsigned __int128)cycles * clock->us_per_cycle_q32 >> 32);
}

/* Which of the payload is new to the stream. */
struct gn_tcp_fresh {
	uint32_t gap;  /* bytes before it that were never seen */
	uint32_t skip; /* of the payload, seen before; == n_payload: nothing is new */
};

/* Should a segment without a flow start one? */
static inline bool gn_tcp_starts_flow(const struct gn_tcp_segment *segment)
{
	return !(segment->flags & GN_TCP_RST) &&
	       (segment->n_payload || segment->flags & (GN_TCP_SYN | GN_TCP_FIN));
}

/* Updates flow 'id', which is not FREE. */
struct gn_tcp_fresh gn_tcp_update(struct gn_flow_table *table, gn_flow_id id,
                                  const struct gn_tcp_segment *segment,
                                  const struct gn_tcp_clock *clock,
                                  struct gn_feature_counters *counters);

#endif
