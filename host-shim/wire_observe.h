/* wire_observe.h - the messages about observing (proto/gnomon/v1/host.proto) to and from plain
 * data, as wire.h does it for the rest. Pure but for malloc(). */
#ifndef GN_SHIM_WIRE_OBSERVE_H
#define GN_SHIM_WIRE_OBSERVE_H

#include "host-shim/observer.h"
#include "host-shim/wire.h"

/* Methods of the service, by index. */
enum gn_wire_observe {
	GN_WIRE_LIST_PROBES = GN_WIRE_EXECUTE + 1,
	GN_WIRE_LIST_THREADS,
	GN_WIRE_OBSERVE,
	GN_WIRE_STOP_OBSERVE,
	GN_WIRE_GET_OBSERVATION,
};

/* INVALID_ARGUMENT for what does not fit or is no kind. What it means is observation.h's
 * business. */
int gn_wire_observe_request(const ProtobufCMessage *request, struct gn_observation_request *out,
                            struct gn_status *status);
/* An ObservationRequest: only VM and kind. */
int gn_wire_observation_name(const ProtobufCMessage *request, struct gn_observation_request *out,
                             struct gn_status *status);
/* A NameRequest: only the VM. */
int gn_wire_vm_name(const ProtobufCMessage *request, struct gn_observation_request *out,
                    struct gn_status *status);

/* These answer a call; out of memory they answer RESOURCE_EXHAUSTED. */
void gn_wire_reply_probes(struct gn_channel_call *call,
                          const struct gn_observer_probe probes[GN_OBSERVER_PROBES],
                          const struct gn_observation_rules *rules);
void gn_wire_reply_threads(struct gn_channel_call *call, const char *vm,
                           const struct gn_tasks_record *records, size_t n, uint64_t monotonic_us);
void gn_wire_reply_observation(struct gn_channel_call *call, const struct gn_observation *o);

#endif
