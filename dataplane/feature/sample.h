/* sample.h - counters as the protobuf messages of proto/gnomon/v1/sample.proto. Control
 * thread. The messages point into their struct, which therefore must neither move nor be
 * freed by protobuf-c; they are for packing only. */
#ifndef GN_DATAPLANE_SAMPLE_H
#define GN_DATAPLANE_SAMPLE_H

#include "dataplane/feature/feature.h"
#include "proto/gnomon/v1/sample.pb-c.h"

struct gn_network_sample {
	Gnomon__V1__NetworkSample message;
	Gnomon__V1__LatencyHistogram tcp_handshake;
	Gnomon__V1__LatencyHistogram http_first_byte;
	struct gn_feature_counters period;
};

/* Copies 'period' and fills out->message. */
void gn_network_sample_fill(const struct gn_feature_counters *period,
                            struct gn_network_sample *out);

/* 'message' borrows the histogram's buckets. */
void gn_histogram_to_message(const struct gn_histogram *histogram,
                             Gnomon__V1__LatencyHistogram *message);

#endif
