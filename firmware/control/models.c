/* models.c - ListModels, ImportModel, RollbackModel; ExportVmState, ImportVmState. */
#include <stdlib.h>
#include <string.h>
#include "firmware/brain/packs.h"
#include "firmware/brain/state.h"
#include "firmware/control/control_internal.h"
#include "firmware/message/message.h"

static void reply_models(struct gn_control *control, struct gn_channel_call *call)
{
	gn_control_reply(call, &gn_packs_list(control->p.brain)->base);
}

void gn_control_list_models(void *context, struct gn_channel_call *call,
                            const ProtobufCMessage *request)
{
	reply_models(context, call);
}

void gn_control_import_model(void *context, struct gn_channel_call *call,
                             const ProtobufCMessage *message)
{
	const Gnomon__V1__ImportModelRequest *request =
	        (const Gnomon__V1__ImportModelRequest *)message;
	struct gn_control *control = context;
	Gnomon__V1__ModelList *list;
	struct gn_status status;
	size_t i;

	if (gn_packs_import(control->p.brain, request->pack.data, request->pack.len,
	                    request->replace, gn_time_now(), &status)) {
		gn_channel_fail(call, &status);
		return;
	}
	list = gn_packs_list(control->p.brain);
	for (i = 0; i < list->n_models; i++)
		if (list->models[i]->role == GNOMON__V1__MODEL__ROLE__TRIAL)
			gn_channel_reply(call, &list->models[i]->base);
	GN_MESSAGE_FREE(list);
}

void gn_control_rollback_model(void *context, struct gn_channel_call *call,
                               const ProtobufCMessage *message)
{
	const Gnomon__V1__RollbackModelRequest *request =
	        (const Gnomon__V1__RollbackModelRequest *)message;
	struct gn_control *control = context;
	struct gn_status status;

	if (gn_packs_rollback(control->p.brain, request->trial, gn_time_now(), &status)) {
		gn_channel_fail(call, &status);
		return;
	}
	gn_control_commit(control);
	reply_models(control, call);
}

/* ---- what was learnt of a VM ---------------------------------------------------------- */

void gn_control_export_vm_state(void *context, struct gn_channel_call *call,
                                const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;
	struct gn_control *control = context;
	struct gn_vm *vm = gn_control_vm(control, call, request->name, "");
	Gnomon__V1__LearntState *state;

	if (!vm)
		return;
	state = GN_MESSAGE_NEW(Gnomon__V1__LearntState, gnomon__v1__learnt_state__init);
	gn_message_set(&state->vm, "%s", vm->name);
	state->blob.data = gn_state_export(control->p.brain, vm, &state->blob.len);
	gn_control_reply(call, &state->base);
}

void gn_control_import_vm_state(void *context, struct gn_channel_call *call,
                                const ProtobufCMessage *message)
{
	const Gnomon__V1__LearntState *request = (const Gnomon__V1__LearntState *)message;
	struct gn_control *control = context;
	struct gn_vm *vm = gn_control_vm(control, call, request->vm, "");
	struct gn_status status;

	if (!vm)
		return;
	if (gn_state_import(control->p.brain, vm, request->blob.data, request->blob.len,
	                    request->replace, gn_time_now(), &status)) {
		gn_channel_fail(call, &status);
		return;
	}
	gn_control_commit(control);
	gn_control_reply_empty(call);
}
