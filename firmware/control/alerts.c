/* alerts.c - GetHazard, ListAlerts, AcknowledgeAlert. */
#include "firmware/alert/board.h"
#include "firmware/control/control_internal.h"
#include "firmware/message/message.h"

void gn_control_get_hazard(void *context, struct gn_channel_call *call,
                           const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;
	struct gn_control *control = context;
	struct gn_vm *vm = gn_control_vm(control, call, request->name, "");

	if (vm)
		gn_control_reply(call,
		                 &gn_hazards_message(control->p.brain, vm, gn_time_now())->base);
}

void gn_control_list_alerts(void *context, struct gn_channel_call *call,
                            const ProtobufCMessage *message)
{
	const Gnomon__V1__ListAlertsRequest *request =
	        (const Gnomon__V1__ListAlertsRequest *)message;
	struct gn_control *control = context;

	gn_control_reply(call, &gn_alerts_list(control->p.alerts, request->resource,
	                                       request->include_cleared)
	                                ->base);
}

void gn_control_acknowledge_alert(void *context, struct gn_channel_call *call,
                                  const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;
	struct gn_control *control = context;
	struct gn_status status;
	const Gnomon__V1__Alert *alert =
	        gn_alerts_acknowledge(control->p.alerts, request->name, gn_time_now(), &status);

	if (!alert) {
		gn_channel_fail(call, &status);
		return;
	}
	gn_control_commit(control);
	gn_channel_reply(call, &alert->base);
}
