/* exports.c - NBD exports of volumes. The dataplane makes, keeps and restores them; operators reach
 * them here. */
#include "firmware/control/control_internal.h"

#define TIMEOUT_US 10000000

static void answer(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	if (reply)
		gn_channel_reply(context, reply);
	else
		gn_channel_fail(context, status);
}

static void forward(void *context, const char *method, struct gn_channel_call *call,
                    const ProtobufCMessage *message)
{
	const struct gn_control *control = context;

	gn_peer_call(control->p.dataplane, method, message, TIMEOUT_US, answer, call);
}

void gn_control_create_nbd_export(void *context, struct gn_channel_call *call,
                                  const ProtobufCMessage *message)
{
	forward(context, "CreateNbdExport", call, message);
}

void gn_control_delete_nbd_export(void *context, struct gn_channel_call *call,
                                  const ProtobufCMessage *message)
{
	forward(context, "DeleteNbdExport", call, message);
}

void gn_control_list_nbd_exports(void *context, struct gn_channel_call *call,
                                 const ProtobufCMessage *message)
{
	forward(context, "ListNbdExports", call, message);
}
