/* l7.h - what a TCP connection carries: recognized by its first bytes on any port, then
 * handed to the protocol's own reader. Internal to feature/. Pure. */
#ifndef GN_DATAPLANE_L7_H
#define GN_DATAPLANE_L7_H

#include "dataplane/feature/flow.h"

/* A connection taken up in the middle may be recognized by this many segments. */
#define GN_L7_MAX_TRIES 16

/* The next bytes of a stream: first 'gap' that were never seen, then 'n' at 'bytes', then
 * 'n_beyond' that cannot be read. Not for flows with l7 OTHER. */
void gn_l7_segment(struct gn_flow *flow, struct gn_http *http, enum gn_direction direction,
                   uint32_t gap, const uint8_t *bytes, uint32_t n, uint32_t n_beyond,
                   struct gn_http_context *context);

#endif
