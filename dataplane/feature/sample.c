/* sample.c - see sample.h. */
#include "dataplane/feature/sample.h"

void gn_histogram_to_message(const struct gn_histogram *histogram,
                             Gnomon__V1__LatencyHistogram *message)
{
	gnomon__v1__latency_histogram__init(message);
	message->n_buckets = GN_HISTOGRAM_N_BUCKETS;
	message->buckets = (uint64_t *)histogram->buckets;
	message->sum_us = histogram->sum_us;
	message->count = histogram->count;
}

void gn_network_sample_fill(const struct gn_feature_counters *period, struct gn_network_sample *out)
{
	Gnomon__V1__NetworkSample *message = &out->message;

	out->period = *period;
	gnomon__v1__network_sample__init(message);
	message->rx_packets = period->rx_packets;
	message->tx_packets = period->tx_packets;
	message->rx_bytes = period->rx_bytes;
	message->tx_bytes = period->tx_bytes;
	message->rx_dropped = period->rx_dropped;
	message->tx_dropped = period->tx_dropped;
	message->n_size_histogram = GN_FEATURE_N_SIZES;
	message->size_histogram = out->period.size_histogram;
	message->tcp_opened = period->tcp_opened;
	message->tcp_closed = period->tcp_closed;
	message->tcp_retransmissions = period->tcp_retransmissions;
	message->tcp_resets = period->tcp_resets;
	message->tcp_handshake = &out->tcp_handshake;
	gn_histogram_to_message(&out->period.tcp_handshake, &out->tcp_handshake);
	message->http_requests = period->http_requests;
	message->n_http_status = 5;
	message->http_status = out->period.http_status;
	message->http_first_byte = &out->http_first_byte;
	gn_histogram_to_message(&out->period.http_first_byte, &out->http_first_byte);
	message->dns_queries = period->dns_queries;
	message->dns_failures = period->dns_failures;
	message->tls_handshakes = period->tls_handshakes;
	message->flows_tracked = period->flows_tracked;
	message->flows_evicted = period->flows_evicted;
}
