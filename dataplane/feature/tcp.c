/* tcp.c - see tcp.h. Sequence numbers are compared as RFC 9293 section 3.4 does: by the
 * sign of their 32-bit difference. */
#include "dataplane/feature/tcp.h"

static uint8_t bit(unsigned mask, enum gn_direction direction)
{
	return (uint8_t)(mask << direction);
}

static enum gn_direction other(enum gn_direction direction)
{
	return direction == GN_RX ? GN_TX : GN_RX;
}

static void know_next(struct gn_flow *flow, enum gn_direction direction, uint32_t next)
{
	flow->next[direction] = next;
	flow->seen |= bit(GN_FLOW_NEXT, direction);
}

/* Is this SYN the beginning of another connection between the same ports? In an open connection
 * it is not (RFC 9293 section 3.10.7.4: it is answered and otherwise ignored), unless
 * we have only guessed that one. */
static bool is_new_connection(const struct gn_flow *flow, enum gn_flow_state state,
                              const struct gn_tcp_segment *segment)
{
	enum gn_direction d = segment->direction;

	switch (state) {
	case GN_FLOW_FREE:
	case GN_FLOW_CLOSED:
		return true;
	case GN_FLOW_HALF_OPEN:
		return flow->seen & bit(GN_FLOW_SYN, d) &&
		       flow->next[d] - 1 - segment->sequence > UINT16_MAX;
	case GN_FLOW_OPEN:
		break;
	}
	return flow->marks & GN_FLOW_MIDSTREAM && !(segment->flags & GN_TCP_ACK);
}

static void take_syn(struct gn_flow_table *table, gn_flow_id id,
                     const struct gn_tcp_segment *segment)
{
	struct gn_flow *flow = &table->flows[id];
	enum gn_direction d = segment->direction;

	if (is_new_connection(flow, gn_flow_state(table, id), segment)) {
		gn_flow_restart(table, id);
		gn_flow_set_state(table, id, GN_FLOW_HALF_OPEN);
	}
	if (gn_flow_state(table, id) != GN_FLOW_HALF_OPEN || flow->seen & bit(GN_FLOW_SYN, d))
		return;
	if (!flow->syn_at)
		flow->syn_at = segment->now;
	flow->seen |= bit(GN_FLOW_SYN, d);
	know_next(flow, d, segment->sequence + 1);
	/* The answer to a SYN that was not seen. */
	if (segment->flags & GN_TCP_ACK && !(flow->seen & bit(GN_FLOW_SYN, other(d)))) {
		flow->marks |= GN_FLOW_UNTIMED;
		flow->seen |= bit(GN_FLOW_SYN, other(d));
		know_next(flow, other(d), segment->acknowledged);
	}
}

/* While the handshake lasts: does this acknowledge the other side's SYN? */
static void take_handshake_ack(struct gn_flow_table *table, gn_flow_id id,
                               const struct gn_tcp_segment *segment,
                               const struct gn_tcp_clock *clock,
                               struct gn_feature_counters *counters)
{
	const uint8_t complete = GN_FLOW_SYN * 3 | GN_FLOW_SYN_ACKED * 3;
	struct gn_flow *flow = &table->flows[id];
	enum gn_direction peer = other(segment->direction);

	/* Up to 64 KiB below 'next': data in the SYN need not be accepted (RFC 7413). */
	if (!(flow->seen & bit(GN_FLOW_SYN, peer)) ||
	    flow->next[peer] - segment->acknowledged > UINT16_MAX)
		return;
	flow->seen |= bit(GN_FLOW_SYN_ACKED, peer);
	if ((flow->seen & complete) != complete)
		return;
	gn_flow_set_state(table, id, GN_FLOW_OPEN);
	counters->tcp_opened++;
	if (!(flow->marks & GN_FLOW_UNTIMED))
		gn_histogram_add(&counters->tcp_handshake,
		                 gn_tcp_us(clock, segment->now - flow->syn_at));
}

/* Data that is older than the newest. */
static void take_old_data(struct gn_flow *flow, struct gn_flow_hole *hole,
                          const struct gn_tcp_segment *segment, uint32_t start,
                          const struct gn_tcp_clock *clock, struct gn_feature_counters *counters)
{
	uint32_t end = start + segment->n_payload;
	bool fills = hole->start != hole->end && (int32_t)(start - hole->start) >= 0 &&
	             (int32_t)(hole->end - end) >= 0;

	if (segment->n_payload == 1 && end == flow->next[segment->direction])
		return; /* keep-alive or window probe: RFC 9293 sections 3.8.4, 3.8.6.1 */
	if (!fills || gn_tcp_us(clock, segment->now - hole->at) > GN_FEATURE_REORDER_US)
		counters->tcp_retransmissions++;
	if (!fills)
		return;
	/* Keep the larger rest of the hole. */
	if (start - hole->start > hole->end - end)
		hole->end = start;
	else
		hole->start = end;
}

/* Too far away to belong to the stream. */
static bool is_stray(struct gn_flow *flow, const struct gn_tcp_segment *segment, int32_t ahead,
                     uint32_t end)
{
	uint8_t *strays = &flow->strays[segment->direction];

	if (ahead <= (int32_t)GN_TCP_MAX_WINDOW && ahead >= -(int32_t)GN_TCP_MAX_WINDOW)
		return false;
	if (++*strays >= GN_TCP_MAX_STRAYS) {
		*strays = 0;
		flow->next[segment->direction] = end;
	}
	return true;
}

static struct gn_tcp_fresh take_data(struct gn_flow *flow, struct gn_flow_detail *detail,
                                     const struct gn_tcp_segment *segment,
                                     const struct gn_tcp_clock *clock,
                                     struct gn_feature_counters *counters)
{
	enum gn_direction d = segment->direction;
	uint32_t start = segment->sequence + !!(segment->flags & GN_TCP_SYN);
	uint32_t end = start + segment->n_payload;
	struct gn_tcp_fresh fresh = {0, segment->n_payload};
	int32_t ahead = (int32_t)(start - flow->next[d]);

	if (!(flow->seen & bit(GN_FLOW_NEXT, d))) {
		know_next(flow, d, end);
		fresh.skip = 0;
		return fresh;
	}
	if (!segment->n_payload || is_stray(flow, segment, ahead, end))
		return fresh;
	if ((int32_t)(end - flow->next[d]) <= 0) {
		take_old_data(flow, &detail->holes[d], segment, start, clock, counters);
		return fresh;
	}
	if (ahead < 0) {
		counters->tcp_retransmissions++;
		fresh.skip = flow->next[d] - start;
	} else {
		fresh.gap = (uint32_t)ahead;
		fresh.skip = 0;
		if (ahead)
			detail->holes[d] =
			        (struct gn_flow_hole){flow->next[d], start, segment->now};
	}
	flow->next[d] = end;
	return fresh;
}

static void take_fin(struct gn_flow_table *table, gn_flow_id id,
                     const struct gn_tcp_segment *segment, struct gn_feature_counters *counters)
{
	struct gn_flow *flow = &table->flows[id];
	enum gn_direction d = segment->direction;
	uint32_t end = segment->sequence + segment->n_payload;

	if (flow->seen & bit(GN_FLOW_FIN, d))
		return;
	flow->seen |= bit(GN_FLOW_FIN, d);
	if (end == flow->next[d])
		flow->next[d]++;
	if (!(flow->seen & bit(GN_FLOW_FIN, other(d))))
		return;
	counters->tcp_closed += gn_flow_state(table, id) == GN_FLOW_OPEN;
	gn_flow_set_state(table, id, GN_FLOW_CLOSED);
}

struct gn_tcp_fresh gn_tcp_update(struct gn_flow_table *table, gn_flow_id id,
                                  const struct gn_tcp_segment *segment,
                                  const struct gn_tcp_clock *clock,
                                  struct gn_feature_counters *counters)
{
	struct gn_flow *flow = &table->flows[id];
	struct gn_tcp_fresh fresh;
	bool was_closed;

	if (segment->flags & GN_TCP_RST) {
		counters->tcp_closed += gn_flow_state(table, id) == GN_FLOW_OPEN;
		gn_flow_set_state(table, id, GN_FLOW_CLOSED);
		return (struct gn_tcp_fresh){0, segment->n_payload};
	}
	if (segment->flags & GN_TCP_SYN)
		take_syn(table, id, segment);
	if (segment->flags & GN_TCP_ACK && gn_flow_state(table, id) == GN_FLOW_HALF_OPEN)
		take_handshake_ack(table, id, segment, clock, counters);
	was_closed = gn_flow_state(table, id) == GN_FLOW_CLOSED;
	fresh = take_data(flow, &table->details[id], segment, clock, counters);
	if (was_closed)
		fresh.skip = segment->n_payload;
	else if (segment->flags & GN_TCP_FIN)
		take_fin(table, id, segment, counters);
	return fresh;
}
