/* feature.c - the burst's way: sizes and directions for every packet, UDP port 53, and for
 * TCP one look into the flow table. The common segment (next in order, no flags, nothing to read
 * in it) ends there; all else goes to tcp.c and l7.c.
 *
 * A burst is passed over twice: first all keys are hashed and their sets prefetched, then
 * the flows are updated, so that a burst's cache misses overlap. */
#include "dataplane/feature/feature.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/feature/l7.h"
#include "dataplane/feature/tcp.h"

enum {
	BURST = 32,
	DNS_PORT = 53,
	DNS_HEADER_BYTES = 12,
	/* Lines of HTTP that one burst may read: twenty a packet are what a browser sends. */
	LINES_BASE = 64,
	LINES_PER_PACKET = 20,
};

struct gn_feature {
	struct gn_feature_counters counters;
	struct gn_tcp_clock clock;
	struct gn_flow_table table;
};

/* A TCP packet between the two passes. */
struct lookup {
	const struct gn_packet *packet;
	struct gn_flow_set *set;
	uint64_t hash;
	struct gn_flow_key key;
};

static size_t head_size(void)
{
	return (sizeof(struct gn_feature) + 63) & ~(size_t)63;
}

static bool is_valid_size(uint32_t n_flows)
{
	return n_flows >= GN_FEATURE_MIN_FLOWS && n_flows <= GN_FEATURE_MAX_FLOWS &&
	       !(n_flows & (n_flows - 1));
}

size_t gn_feature_size(uint32_t n_flows)
{
	return is_valid_size(n_flows) ? head_size() + gn_flow_table_size(n_flows) : 0;
}

int gn_feature_init(struct gn_feature *feature, const struct gn_feature_config *config)
{
	if (!is_valid_size(config->n_flows) || config->tsc_hz < 1000000)
		return -EINVAL;
	memset(feature, 0, gn_feature_size(config->n_flows));
	/* Rounded up, so that whole microseconds come out whole. */
	feature->clock.us_per_cycle_q32 =
	        ((1000000ull << 32) + config->tsc_hz - 1) / config->tsc_hz;
	gn_flow_table_init(&feature->table, (char *)feature + head_size(), config->n_flows,
	                   config->tsc_hz, config->seed);
	return 0;
}

int gn_feature_create(const struct gn_feature_config *config, struct gn_feature **out)
{
	size_t size = gn_feature_size(config->n_flows);
	struct gn_feature *feature;
	int error;

	if (!size)
		return -EINVAL;
	feature = aligned_alloc(64, size);
	if (!feature)
		return -ENOMEM;
	error = gn_feature_init(feature, config);
	if (error)
		free(feature);
	else
		*out = feature;
	return error;
}

void gn_feature_destroy(struct gn_feature *feature)
{
	free(feature);
}

/* Index into size_histogram: up to 64, 127, 255, 511, 1023, 1518 and more bytes. */
static inline unsigned size_bucket(uint32_t length)
{
	if (length > 1518)
		return 6;
	return length <= 64 ? 0 : 31 - (unsigned)__builtin_clz(length) - 5;
}

static void take_dns(struct gn_feature *feature, const struct gn_packet *packet)
{
	const uint8_t *header = packet->data + packet->payload;

	if (gn_packet_linear_payload(packet) < DNS_HEADER_BYTES)
		return;
	if (header[2] & 0x80)
		feature->counters.dns_failures += packet->source_port == DNS_PORT && header[3] & 15;
	else
		feature->counters.dns_queries += packet->destination_port == DNS_PORT;
}

/* ---- TCP ---------------------------------------------------------------------- */

static inline uint32_t read32(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return ntohl(value);
}

/* Payload bytes from 'skip' on go to the reader of the flow's protocol. */
static void read_payload(struct gn_feature *feature, gn_flow_id id, const struct gn_packet *packet,
                         enum gn_direction direction, const struct gn_tcp_fresh *fresh,
                         struct gn_http_context *context)
{
	uint32_t linear = gn_packet_linear_payload(packet);
	uint32_t skip = fresh->skip < linear ? fresh->skip : linear;
	uint32_t beyond = packet->payload_bytes - fresh->skip - (linear - skip);

	gn_l7_segment(&feature->table.flows[id], &feature->table.details[id].http, direction,
	              fresh->gap, packet->data + packet->payload + skip, linear - skip, beyond,
	              context);
}

static void __attribute__((noinline))
take_segment(struct gn_feature *feature, gn_flow_id id, const struct lookup *lookup,
             enum gn_direction direction, uint64_t now, struct gn_http_context *context)
{
	const struct gn_packet *packet = lookup->packet;
	const uint8_t *tcp = packet->data + packet->l4;
	struct gn_flow_table *table = &feature->table;
	struct gn_tcp_segment segment = {
	        .sequence = read32(tcp + 4),
	        .acknowledged = read32(tcp + 8),
	        .n_payload = packet->payload_bytes,
	        .flags = tcp[13],
	        .direction = direction,
	        .now = now,
	};
	struct gn_tcp_fresh fresh;

	feature->counters.tcp_resets += !!(segment.flags & GN_TCP_RST);
	if (id < 0) {
		if (!gn_tcp_starts_flow(&segment))
			return;
		id = gn_flow_insert(table, &lookup->key, lookup->hash,
		                    (uint32_t)(now >> table->tick_shift),
		                    segment.flags & GN_TCP_SYN ? GN_FLOW_HALF_OPEN : GN_FLOW_OPEN);
		if (!(segment.flags & GN_TCP_SYN))
			table->flows[id].marks = GN_FLOW_MIDSTREAM;
	}
	fresh = gn_tcp_update(table, id, &segment, &feature->clock, &feature->counters);
	if (fresh.skip < segment.n_payload && table->flows[id].l7 != GN_FLOW_L7_OTHER)
		read_payload(feature, id, packet, direction, &fresh, context);
}

/* The next segment of an open connection, without SYN, FIN or RST? */
static inline bool is_next_in_order(const struct gn_flow *flow, const uint8_t *tcp,
                                    enum gn_direction direction)
{
	return !(tcp[13] & (GN_TCP_FIN | GN_TCP_SYN | GN_TCP_RST)) &&
	       flow->seen & GN_FLOW_NEXT << direction && read32(tcp + 4) == flow->next[direction];
}

static inline void take_tcp(struct gn_feature *feature, const struct lookup *lookup,
                            enum gn_direction direction, uint64_t now,
                            struct gn_http_context *context)
{
	static const struct gn_tcp_fresh all_new = {0, 0};
	const struct gn_packet *packet = lookup->packet;
	struct gn_flow_table *table = &feature->table;
	struct gn_flow_set *set = lookup->set;
	gn_flow_id id = gn_flow_find_in(table, set, &lookup->key, gn_flow_tag(lookup->hash));

	if (id >= 0) {
		struct gn_flow *flow = &table->flows[id];

		set->used[id % GN_FLOW_WAYS] = (uint32_t)(now >> table->tick_shift);
		if (set->states[id % GN_FLOW_WAYS] == GN_FLOW_OPEN &&
		    is_next_in_order(flow, packet->data + packet->l4, direction)) {
			flow->next[direction] += packet->payload_bytes;
			if (packet->payload_bytes && flow->l7 != GN_FLOW_L7_OTHER)
				read_payload(feature, id, packet, direction, &all_new, context);
			return;
		}
	}
	take_segment(feature, id, lookup, direction, now, context);
}

/* ---- a burst ------------------------------------------------------------------ */

static inline void prepare(struct gn_feature *feature, const struct gn_packet *packet,
                           enum gn_direction direction, struct lookup *lookup)
{
	struct gn_flow_table *table = &feature->table;

	gn_flow_key_of(packet, direction, &lookup->key);
	lookup->packet = packet;
	lookup->hash = gn_flow_hash(table, &lookup->key);
	lookup->set = gn_flow_set_for(table, lookup->hash);
	__builtin_prefetch(lookup->set, 1);
}

/* At most BURST packets. */
static void take_burst(struct gn_feature *feature, const struct gn_packet *const packets[],
                       unsigned n, enum gn_direction direction, uint64_t now)
{
	struct gn_http_context context = {
	        .counters = &feature->counters,
	        .now_us = (uint32_t)gn_tcp_us(&feature->clock, now),
	        .lines_left = LINES_BASE + LINES_PER_PACKET * n,
	};
	struct lookup lookups[BURST];
	unsigned n_lookups = 0;
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct gn_packet *packet = packets[i];

		bytes += packet->length;
		feature->counters.size_histogram[size_bucket(packet->length)]++;
		if ((packet->flags & (GN_PACKET_L4 | GN_PACKET_FRAGMENT)) != GN_PACKET_L4)
			continue;
		if (packet->protocol == IPPROTO_TCP)
			prepare(feature, packet, direction, &lookups[n_lookups++]);
		else if (packet->protocol == IPPROTO_UDP &&
		         (packet->source_port == DNS_PORT || packet->destination_port == DNS_PORT))
			take_dns(feature, packet);
	}
	for (unsigned i = 0; i < n_lookups; i++)
		take_tcp(feature, &lookups[i], direction, now, &context);
	if (direction == GN_RX) {
		feature->counters.rx_packets += n;
		feature->counters.rx_bytes += bytes;
	} else {
		feature->counters.tx_packets += n;
		feature->counters.tx_bytes += bytes;
	}
}

void gn_feature_burst(struct gn_feature *feature, const struct gn_packet *const packets[],
                      unsigned n, enum gn_direction direction, uint64_t now)
{
	for (unsigned done = 0; done < n; done += BURST)
		take_burst(feature, packets + done, n - done < BURST ? n - done : BURST, direction,
		           now);
}

void gn_feature_dropped(struct gn_feature *feature, enum gn_direction direction, uint64_t n_pkts)
{
	if (direction == GN_RX)
		feature->counters.rx_dropped += n_pkts;
	else
		feature->counters.tx_dropped += n_pkts;
}

/* ---- counters ----------------------------------------------------------------- */

void gn_feature_read(struct gn_feature *feature, uint64_t now, struct gn_feature_counters *out)
{
	gn_flow_sweep(&feature->table, (uint32_t)(now >> feature->table.tick_shift));
	feature->counters.flows_tracked = feature->table.n_tracked;
	feature->counters.flows_evicted = feature->table.n_evicted;
	*out = feature->counters;
}

_Static_assert(sizeof(struct gn_feature_counters) % sizeof(uint64_t) == 0, "64-bit counters only");

/* Every field is a 64-bit counter, so the struct is treated as an array of them. */
enum { N_COUNTERS = sizeof(struct gn_feature_counters) / sizeof(uint64_t) };

void gn_feature_counters_diff(const struct gn_feature_counters *newer,
                              const struct gn_feature_counters *older,
                              struct gn_feature_counters *out)
{
	uint64_t tracked = newer->flows_tracked;
	const uint64_t *a = (const uint64_t *)newer, *b = (const uint64_t *)older;
	uint64_t *difference = (uint64_t *)out;

	for (unsigned i = 0; i < N_COUNTERS; i++)
		difference[i] = a[i] - b[i];
	out->flows_tracked = tracked;
}

void gn_feature_counters_merge(struct gn_feature_counters *sum,
                               const struct gn_feature_counters *more)
{
	uint64_t *a = (uint64_t *)sum;
	const uint64_t *b = (const uint64_t *)more;

	for (unsigned i = 0; i < N_COUNTERS; i++)
		a[i] += b[i];
}
