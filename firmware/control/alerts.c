/* alerts.c - GetHazard, ListAlerts, AcknowledgeAlert. */
#include "firmware/alert/board.h"
#include "firmware/control/control_internal.h"
#include "firmware/core/text.h"
#include "firmware/message/message.h"

#include <string.h>

/* Those there are, for the error. */
static void list_drives(const struct gn_drives *drives, struct gn_text *text)
{
	if (!drives->n)
		gn_text_add(text, "the host reports none; set 'drives' in its gnomon-shim.yaml");
	for (size_t i = 0; i < drives->n; i++) {
		gn_text_add(text, i ? ", " : "there are ");
		gn_text_add(text, drives->list[i].name);
	}
}

static void get_drive(struct gn_control *control, struct gn_channel_call *call, const char *name)
{
	const struct gn_drive *drive = gn_drives_find(control->p.brain, name);
	char words[300];
	struct gn_text text;

	if (drive) {
		gn_control_reply(call, &gn_drive_message(drive)->base);
		return;
	}
	gn_text_init(&text, words, sizeof words);
	list_drives(&control->p.brain->drives, &text);
	gn_control_fail(call, GN_NOT_FOUND, "the host has no drive '%.80s'; %s", name, words);
}

void gn_control_get_hazard(void *context, struct gn_channel_call *call,
                           const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;
	struct gn_control *control = context;
	struct gn_vm *vm;

	if (!strncmp(request->name, "drives/", 7)) {
		get_drive(control, call, request->name);
		return;
	}
	vm = gn_control_vm(control, call, request->name, "");
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
