/* observe.c - ListProbes, ListThreads, ObserveVm, StopObserveVm, GetObservation: passed on to the
 * VM's host, which alone knows and decides what may be observed there. */
#include <stdlib.h>
#include "firmware/control/control_internal.h"
#include "firmware/message/message.h"

/* A host may need a moment for its kernel to load a program. */
#define TIMEOUT_US 10000000u

static void on_answer(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct gn_channel_call *call = context;

	if (reply)
		gn_channel_reply(call, reply);
	else
		gn_channel_fail(call, status);
}

static void forward(struct gn_control *control, struct gn_channel_call *call, const char *vm,
                    const char *method, const ProtobufCMessage *message)
{
	if (vm && !gn_control_vm(control, call, vm, ""))
		return;
	gn_peer_call(control->p.shim, method, message, TIMEOUT_US, on_answer, call);
}

void gn_control_list_probes(void *context, struct gn_channel_call *call,
                            const ProtobufCMessage *message)
{
	forward(context, call, NULL, "ListProbes", message);
}

void gn_control_list_threads(void *context, struct gn_channel_call *call,
                             const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;

	forward(context, call, request->name, "ListThreads", message);
}

struct opening {
	struct gn_control *control;
	struct gn_channel_call *call;
};

static void on_opened(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	const Gnomon__V1__Observation *o = (const Gnomon__V1__Observation *)reply;
	struct opening *opening = context;

	if (o)
		gn_brain_tell(opening->control->p.brain, "vm.observed", o->vm,
		              "a window on %s is open on its host for %llu ms (%s)", o->vm,
		              (unsigned long long)(o->ends_us - o->started_us) / 1000, o->id);
	on_answer(opening->call, status, reply);
	free(opening);
}

void gn_control_observe_vm(void *context, struct gn_channel_call *call,
                           const ProtobufCMessage *message)
{
	const Gnomon__V1__ObserveRequest *request = (const Gnomon__V1__ObserveRequest *)message;
	struct gn_control *control = context;
	struct opening *opening;

	if (!gn_control_vm(control, call, request->vm, ""))
		return;
	opening = gn_message_alloc(sizeof *opening);
	opening->control = control;
	opening->call = call;
	gn_peer_call(control->p.shim, "Observe", message, TIMEOUT_US, on_opened, opening);
}

void gn_control_stop_observe_vm(void *context, struct gn_channel_call *call,
                                const ProtobufCMessage *message)
{
	const Gnomon__V1__ObservationRequest *request =
	        (const Gnomon__V1__ObservationRequest *)message;

	forward(context, call, request->vm, "StopObserve", message);
}

void gn_control_get_observation(void *context, struct gn_channel_call *call,
                                const ProtobufCMessage *message)
{
	const Gnomon__V1__ObservationRequest *request =
	        (const Gnomon__V1__ObservationRequest *)message;

	forward(context, call, request->vm, "GetObservation", message);
}
