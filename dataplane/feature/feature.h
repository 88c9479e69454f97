/* feature.h - what a VM's packets tell: the figures of NetworkSample
 * (proto/gnomon/v1/sample.proto), counted on the packets' way.
 *
 * One gn_feature per VM, fed by all its ports. If a VM's ports are polled by several
 * lcores, each lcore has its own and gn_feature_counters_merge() joins them (a flow whose
 * two directions pass different lcores is then seen as two halves).
 *
 * Owner: lcore. No allocation, lock or system call after creation; constant work per
 * packet: the flow table is fixed, 8-way set-associative and hashed with a secret seed, and at
 * most GN_FEATURE_MAX_INSPECT bytes of a payload are looked at. A hostile guest can make
 * its own figures wrong, but nothing slow or large.
 *
 * Rules (RFC 9293 for TCP, RFC 9110/9112 for HTTP, RFC 1035 for DNS, RFC 8446 for TLS):
 * - tcp_opened: both SYNs seen and acknowledged, simultaneous open included. tcp_handshake: from
 *   the first SYN (also if it was repeated) to that last acknowledgement.
 * - tcp_closed: an open connection's second FIN, or its first RST. tcp_resets: RST segments.
 *   Connections older than the flow table are taken up at their first data or FIN; they
 *   count as closed, never as opened.
 * - tcp_retransmissions: segments with data of which some was seen before. Not: keep-alives
 *   (up to one byte just below the newest), and late segments that fill a gap within
 *   GN_FEATURE_REORDER_US of its appearance, which is reordering. Later than that, they are
 *   retransmissions of what was lost before it came here.
 * - http: on any port. Bodies are skipped by Content-Length and chunk sizes, so pipelined
 *   and keep-alive messages are found wherever they start; after a gap in the stream, only
 *   at the start of a segment. Time to first byte runs to the final response, 1xx are only
 *   counted by class.
 * - dns: UDP port 53, either side. tls_handshakes: one per connection, at its first ClientHello.
 * - IP fragments count as packets only. */
#ifndef GN_DATAPLANE_FEATURE_H
#define GN_DATAPLANE_FEATURE_H

#include <stddef.h>
#include <stdint.h>
#include "dataplane/feature/histogram.h"
#include "dataplane/feature/packet.h"

#define GN_FEATURE_N_SIZES     7
#define GN_FEATURE_MAX_INSPECT 2048 /* payload bytes per packet */
#define GN_FEATURE_REORDER_US  3000
#define GN_FEATURE_MIN_FLOWS   64
#define GN_FEATURE_MAX_FLOWS   (1u << 20)

struct gn_feature;

struct gn_feature_config {
	uint64_t tsc_hz;  /* rte_get_tsc_hz() */
	uint32_t n_flows; /* power of two, MIN..MAX_FLOWS; a flow takes about 264 bytes */
	uint64_t seed[2]; /* random: getrandom(2) */
};

/* Since creation; NetworkSample's fields under the same names. */
struct gn_feature_counters {
	uint64_t rx_packets;
	uint64_t tx_packets;
	uint64_t rx_bytes;
	uint64_t tx_bytes;
	uint64_t rx_dropped; /* by gn_feature_dropped() */
	uint64_t tx_dropped;
	uint64_t size_histogram[GN_FEATURE_N_SIZES];
	uint64_t tcp_opened;
	uint64_t tcp_closed;
	uint64_t tcp_retransmissions;
	uint64_t tcp_resets;
	struct gn_histogram tcp_handshake;
	uint64_t http_requests;
	uint64_t http_status[5];
	struct gn_histogram http_first_byte;
	uint64_t dns_queries;
	uint64_t dns_failures;
	uint64_t tls_handshakes;
	uint64_t flows_tracked; /* now, not since creation */
	uint64_t flows_evicted;
};

/* Bytes that an instance needs, 64-byte aligned; for memory of the caller's choice
 * (rte_zmalloc). 0: 'n_flows' is out of range. */
size_t gn_feature_size(uint32_t n_flows);
/* -EINVAL: the configuration is out of range. */
int gn_feature_init(struct gn_feature *feature, const struct gn_feature_config *config);

/* The same on the heap: -EINVAL, -ENOMEM. Control thread. */
int gn_feature_create(const struct gn_feature_config *config, struct gn_feature **out);
void gn_feature_destroy(struct gn_feature *feature); /* NULL is fine */

/* Counts packets that the VM received (after its ring took them) or sent (before meters,
 * which are reported by gn_feature_dropped()). They must have been parsed; frames are read only
 * during the call. 'now' is rte_rdtsc(), never backwards. Any n; 32 at a time is best. */
void gn_feature_burst(struct gn_feature *feature, const struct gn_packet *const packets[],
                      unsigned n, enum gn_direction direction, uint64_t now);

void gn_feature_dropped(struct gn_feature *feature, enum gn_direction direction, uint64_t n_pkts);

/* Copies the counters and retires a share of the flows that have been idle for long. Once per
 * period, on the lcore (gn_worker_call). */
void gn_feature_read(struct gn_feature *feature, uint64_t now, struct gn_feature_counters *out);

/* One period: out = newer - older, with newer's flows_tracked. 'out' may be either. */
void gn_feature_counters_diff(const struct gn_feature_counters *newer,
                              const struct gn_feature_counters *older,
                              struct gn_feature_counters *out);
/* sum += more. */
void gn_feature_counters_merge(struct gn_feature_counters *sum,
                               const struct gn_feature_counters *more);

#endif
