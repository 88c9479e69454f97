/* snapshots.c - volumes, which the dataplane keeps, and snapshots of shadows. */
#include <stdlib.h>
#include <string.h>
#include "firmware/control/control_internal.h"
#include "firmware/message/message.h"

void gn_control_list_volumes(void *context, struct gn_channel_call *call,
                             const ProtobufCMessage *message)
{
	const Gnomon__V1__VolumeList empty = GNOMON__V1__VOLUME_LIST__INIT;
	const struct gn_control *control = context;
	const Gnomon__V1__VolumeList *list = control->p.view->volumes;

	gn_channel_reply(call, list ? &list->base : &empty.base);
}

void gn_control_list_snapshots(void *context, struct gn_channel_call *call,
                               const ProtobufCMessage *message)
{
	const char *name = ((const Gnomon__V1__NameRequest *)message)->name;
	const struct gn_snapshots *all = ((struct gn_control *)context)->p.snapshots;
	Gnomon__V1__SnapshotList *list =
	        GN_MESSAGE_NEW(Gnomon__V1__SnapshotList, gnomon__v1__snapshot_list__init);
	size_t length = strlen(name);

	for (size_t i = 0; i < gn_snapshots_count(all); i++) {
		const Gnomon__V1__Snapshot *snapshot = gn_snapshots_at(all, i);

		if (!length ||
		    (strncmp(snapshot->name, name, length) == 0 && snapshot->name[length] == '/'))
			GN_MESSAGE_APPEND(list->snapshots, list->n_snapshots,
			                  GN_MESSAGE_COPY(Gnomon__V1__Snapshot, snapshot));
	}
	gn_control_reply(call, &list->base);
}

static void answer(void *context, const struct gn_status *status, const ProtobufCMessage *message)
{
	if (message)
		gn_channel_reply(context, message);
	else
		gn_channel_fail(context, status);
}

void gn_control_create_snapshot(void *context, struct gn_channel_call *call,
                                const ProtobufCMessage *message)
{
	gn_snapshots_make(((struct gn_control *)context)->p.snapshots,
	                  ((const Gnomon__V1__Snapshot *)message)->name, answer, call);
}

void gn_control_delete_snapshot(void *context, struct gn_channel_call *call,
                                const ProtobufCMessage *message)
{
	struct gn_status status;

	if (gn_snapshots_delete(((struct gn_control *)context)->p.snapshots,
	                        ((const Gnomon__V1__NameRequest *)message)->name, &status))
		gn_channel_fail(call, &status);
	else
		gn_control_reply_empty(call);
}

/* The answer is a snapshot also when it was the shadow itself that was exported. */
static void answer_export(void *context, const struct gn_status *status,
                          const ProtobufCMessage *message)
{
	Gnomon__V1__Snapshot now = GNOMON__V1__SNAPSHOT__INIT;

	if (message && message->descriptor == &gnomon__v1__shadow__descriptor) {
		now.name = ((const Gnomon__V1__Shadow *)message)->name;
		message = &now.base;
	}
	answer(context, status, message);
}

void gn_control_export_snapshot(void *context, struct gn_channel_call *call,
                                const ProtobufCMessage *message)
{
	const Gnomon__V1__ExportSnapshotRequest *r =
	        (const Gnomon__V1__ExportSnapshotRequest *)message;

	gn_snapshots_export(((struct gn_control *)context)->p.snapshots, r->name, r->directory,
	                    answer_export, call);
}

void gn_control_revert_shadow(void *context, struct gn_channel_call *call,
                              const ProtobufCMessage *message)
{
	gn_snapshots_revert(((struct gn_control *)context)->p.snapshots,
	                    ((const Gnomon__V1__NameRequest *)message)->name, answer, call);
}

/* A call that waits for the dataplane. */
struct forwarded {
	struct gn_control *control;
	struct gn_channel_call *call;
};

static void on_volume(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct forwarded *f = context;

	if (reply)
		gn_view_note_volume(f->control->p.view, (const Gnomon__V1__Volume *)reply);
	answer(f->call, status, reply);
	free(f);
}

void gn_control_verify_volume(void *context, struct gn_channel_call *call,
                              const ProtobufCMessage *message)
{
	struct gn_control *control = context;
	struct forwarded *f = gn_message_alloc(sizeof *f);

	*f = (struct forwarded){.control = control, .call = call};
	gn_peer_call(control->p.dataplane, "VerifyVolume", message, 5000000, on_volume, f);
}
