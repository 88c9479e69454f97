/* publish.h - reports as GuestSample messages. */
#ifndef GN_INTROSPECT_PUBLISH_H
#define GN_INTROSPECT_PUBLISH_H

#include "firmware/introspect/report.h"
#include "proto/channel.h"

struct gn_publish_stamp {
	const char *vm;
	uint64_t wall_us;
	uint64_t monotonic_us;
	uint64_t period_us; /* when the report has none */
	uint64_t sequence;
	uint64_t epoch;
};

/* Publishes one sample with the report on topic "samples". Negative errno. */
int gn_publish_report(struct gn_channel_publisher *publisher, const struct gn_publish_stamp *stamp,
                      const struct gn_report *report);

#endif
