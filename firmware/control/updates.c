/* updates.c - updates of the card's image. gnomon-updater does them; here it is decided whether the
 * card may go down for one. */
#include "firmware/control/control_internal.h"

#define TIMEOUT_US 30000000 /* a slow medium is waited for */

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

	if (control->p.updater)
		gn_peer_call(control->p.updater, method, message, TIMEOUT_US, answer, call);
	else
		gn_control_fail(call, GN_FAILED_PRECONDITION,
		                "this card has no updater: give 'updater' in gnomond's "
		                "configuration, or update it as the packages of its machine");
}

void gn_control_begin_update(void *context, struct gn_channel_call *call,
                             const ProtobufCMessage *message)
{
	forward(context, "BeginUpdate", call, message);
}

void gn_control_write_update(void *context, struct gn_channel_call *call,
                             const ProtobufCMessage *message)
{
	forward(context, "WriteUpdate", call, message);
}

void gn_control_finish_update(void *context, struct gn_channel_call *call,
                              const ProtobufCMessage *message)
{
	forward(context, "FinishUpdate", call, message);
}

void gn_control_get_update_status(void *context, struct gn_channel_call *call,
                                  const ProtobufCMessage *message)
{
	forward(context, "GetUpdateStatus", call, message);
}

void gn_control_rollback_update(void *context, struct gn_channel_call *call,
                                const ProtobufCMessage *message)
{
	forward(context, "RollbackUpdate", call, message);
}

void gn_control_list_update_history(void *context, struct gn_channel_call *call,
                                    const ProtobufCMessage *message)
{
	forward(context, "ListUpdateHistory", call, message);
}

/* ---- going down ---------------------------------------------------------------------------------
 */

/* The card is the only way to a VM that runs on its shadow, and nobody else would end a move. */
static bool needs_the_card(const struct gn_shadow_record *record)
{
	switch (record->shadow.state) {
	case GN_SHADOW_PROMOTING:
	case GN_SHADOW_ACTIVE:
	case GN_SHADOW_REHEARSING:
		return true;
	case GN_SHADOW_NONE:
	case GN_SHADOW_PROVISIONING:
	case GN_SHADOW_SYNCING:
	case GN_SHADOW_IN_STEP:
	case GN_SHADOW_DEGRADED:
	case GN_SHADOW_STALE:
	case GN_SHADOW_FAILED:
		break;
	}
	return false;
}

void gn_control_restart_card(void *context, struct gn_channel_call *call,
                             const ProtobufCMessage *message)
{
	const Gnomon__V1__RestartCardRequest *request =
	        (const Gnomon__V1__RestartCardRequest *)message;
	const struct gn_control *control = context;

	for (size_t i = 0; !request->force && i < gn_shadows_count(control->p.shadows); i++) {
		const struct gn_shadow_record *record = gn_shadows_at(control->p.shadows, i);

		if (!needs_the_card(record))
			continue;
		gn_control_fail(call, GN_FAILED_PRECONDITION,
		                "the shadow of %s is being moved to, rehearsed or in use, and the "
		                "card is the only way to it; wait, or use --force",
		                record->vm);
		return;
	}
	forward(context, "RestartCard", call, message);
}
