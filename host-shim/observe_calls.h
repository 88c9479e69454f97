/* observe_calls.h - the calls about observing: takes them from the channel, does them one after
 * another on a thread of its own, answers. What is asked while observing is off is refused, but
 * for the probes, which then say so.
 *
 * Owner: the event loop's thread. */
#ifndef GN_SHIM_OBSERVE_CALLS_H
#define GN_SHIM_OBSERVE_CALLS_H

#include <systemd/sd-event.h>
#include "host-shim/observation.h"
#include "host-shim/processes.h"
#include "host-shim/wire_observe.h"

struct gn_observe_calls;

/* 'rules' is borrowed; NULL: the owner did not opt in. */
int gn_observe_calls_create(const struct gn_observation_rules *rules, sd_event *event,
                            struct gn_observe_calls **out, struct gn_status *status);
/* For reading along with statistics; NULL: threads are not to be read. */
struct gn_processes *gn_observe_calls_processes(struct gn_observe_calls *calls);

void gn_observe_calls_take(struct gn_observe_calls *calls, enum gn_wire_observe method,
                           struct gn_channel_call *call, const ProtobufCMessage *request);

/* Answers what waits, ends all windows. Returns how many threads hang. NULL is fine. */
unsigned gn_observe_calls_destroy(struct gn_observe_calls *calls);

#endif
