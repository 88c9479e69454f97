/* shadows.c - shadows, and mirror sessions, which the dataplane keeps. */
#include <stdlib.h>
#include <string.h>
#include "firmware/control/control_internal.h"
#include "firmware/message/message.h"

static void reply_changed(struct gn_control *control, struct gn_channel_call *call,
                          const struct gn_shadow_record *record)
{
	gn_control_commit(control);
	gn_channel_reply(call, &record->message->base);
}

/* Or fails the call and gives NULL. */
static struct gn_shadow_record *find(struct gn_control *control, struct gn_channel_call *call,
                                     const char *name)
{
	struct gn_vm *vm = gn_control_vm(control, call, name, "/shadow");
	struct gn_shadow_record *record;

	if (!vm)
		return NULL;
	record = gn_shadows_find(control->p.shadows, vm->name);
	if (!record)
		gn_control_fail(call, GN_NOT_FOUND, "%s has no shadow; make one with CreateShadow",
		                vm->name);
	return record;
}

void gn_control_create_shadow(void *context, struct gn_channel_call *call,
                              const ProtobufCMessage *message)
{
	struct gn_control *control = context;
	struct gn_shadow_record *record;
	struct gn_status status;

	if (gn_shadows_add(control->p.shadows, (const Gnomon__V1__Shadow *)message, gn_time_now(),
	                   &record, &status))
		gn_channel_fail(call, &status);
	else
		reply_changed(control, call, record);
}

void gn_control_list_shadows(void *context, struct gn_channel_call *call,
                             const ProtobufCMessage *message)
{
	struct gn_control *control = context;
	Gnomon__V1__ShadowList *list =
	        GN_MESSAGE_NEW(Gnomon__V1__ShadowList, gnomon__v1__shadow_list__init);
	size_t i;

	for (i = 0; i < gn_shadows_count(control->p.shadows); i++)
		GN_MESSAGE_APPEND(list->shadows, list->n_shadows,
		                  GN_MESSAGE_COPY(Gnomon__V1__Shadow,
		                                  gn_shadows_at(control->p.shadows, i)->message));
	gn_control_reply(call, &list->base);
}

void gn_control_get_shadow(void *context, struct gn_channel_call *call,
                           const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;
	struct gn_shadow_record *record = find(context, call, request->name);

	if (record)
		gn_channel_reply(call, &record->message->base);
}

static bool may_change(struct gn_control *control, struct gn_channel_call *call,
                       const struct gn_shadow_record *record)
{
	if (!gn_mover_is_rehearsing(control->p.mover, record->vm))
		return true;
	gn_control_fail(
	        call, GN_FAILED_PRECONDITION,
	        "%s is being rehearsed: wait for the end of that plan ('gnomonctl plan list "
	        "%s')",
	        record->message->name, record->vm + 4);
	return false;
}

void gn_control_update_shadow(void *context, struct gn_channel_call *call,
                              const ProtobufCMessage *message)
{
	const Gnomon__V1__UpdateShadowRequest *r = (const Gnomon__V1__UpdateShadowRequest *)message;
	struct gn_shadow_record *record;
	struct gn_status status;

	if (!r->shadow) {
		gn_control_fail(
		        call, GN_INVALID_ARGUMENT,
		        "the request has no shadow; give one with its name, vms/<vm>/shadow");
		return;
	}
	record = find(context, call, r->shadow->name);
	if (!record || !may_change(context, call, record))
		return;
	if (gn_shadows_update(record, r->shadow, r->update_mask, r->n_update_mask, gn_time_now(),
	                      &status))
		gn_channel_fail(call, &status);
	else
		reply_changed(context, call, record);
}

void gn_control_delete_shadow(void *context, struct gn_channel_call *call,
                              const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;
	struct gn_shadow_record *record = find(context, call, request->name);

	if (!record || !may_change(context, call, record))
		return;
	if (gn_mover_is_moving(((struct gn_control *)context)->p.mover, record->vm)) {
		gn_control_fail(call, GN_FAILED_PRECONDITION,
		                "%s is taking its VM's place; see 'gnomonctl plan list %s'",
		                request->name, record->vm + 4);
		return;
	}
	gn_shadows_remove(record, gn_time_now());
	gn_control_commit(context);
	gn_control_reply_empty(call);
}

void gn_control_promote_shadow(void *context, struct gn_channel_call *call,
                               const ProtobufCMessage *message)
{
	const Gnomon__V1__PromoteShadowRequest *request =
	        (const Gnomon__V1__PromoteShadowRequest *)message;
	struct gn_control *control = context;
	struct gn_shadow_record *record = find(control, call, request->name);
	struct gn_plan_record *plan;
	struct gn_status status;

	if (!record)
		return;
	if (gn_mover_promote(control->p.mover, gn_brain_vm(control->p.brain, record->vm), request,
	                     gn_time_now(), &plan, &status)) {
		gn_channel_fail(call, &status);
		return;
	}
	gn_control_commit(control);
	gn_channel_reply(call, &plan->message->base);
}

void gn_control_rehearse_shadow(void *context, struct gn_channel_call *call,
                                const ProtobufCMessage *message)
{
	const Gnomon__V1__RehearseShadowRequest *request =
	        (const Gnomon__V1__RehearseShadowRequest *)message;
	struct gn_control *control = context;
	struct gn_shadow_record *record = find(control, call, request->name);
	struct gn_plan_record *plan;
	struct gn_status status;

	if (!record)
		return;
	if (gn_mover_rehearse(control->p.mover, gn_brain_vm(control->p.brain, record->vm), request,
	                      gn_time_now(), &plan, &status)) {
		gn_channel_fail(call, &status);
		return;
	}
	gn_control_commit(control);
	gn_channel_reply(call, &plan->message->base);
}

/* ---- mirrors ------------------------------------------------------------------------------- */

void gn_control_list_mirrors(void *context, struct gn_channel_call *call,
                             const ProtobufCMessage *message)
{
	const Gnomon__V1__MirrorList empty = GNOMON__V1__MIRROR_LIST__INIT;
	struct gn_control *control = context;

	gn_channel_reply(call,
	                 control->p.view->mirrors ? &control->p.view->mirrors->base : &empty.base);
}

/* A call that waits for the dataplane. */
struct forwarded {
	struct gn_control *control;
	struct gn_channel_call *call;
	Gnomon__V1__Mirror *mirror; /* to be created when there is none to update; or NULL */
	char *deleted;              /* the name of one that is to end; or NULL */
};

static void finish(struct forwarded *f, const struct gn_status *status,
                   const ProtobufCMessage *reply)
{
	if (!reply)
		gn_channel_fail(f->call, status);
	else
		gn_channel_reply(f->call, reply);
	GN_MESSAGE_FREE(f->mirror);
	free(f->deleted);
	free(f);
}

/* What is shown next is what was just done, not what the dataplane was asked for last. */
static void on_mirror(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct forwarded *f = context;

	if (reply && f->mirror)
		gn_view_note_mirror(f->control->p.view, (const Gnomon__V1__Mirror *)reply);
	if (reply && f->deleted)
		gn_view_forget_mirror(f->control->p.view, f->deleted);
	finish(f, status, reply);
}

static void on_updated(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct forwarded *f = context;

	if (status->code != GN_NOT_FOUND) {
		on_mirror(context, status, reply);
		return;
	}
	gn_peer_call(f->control->p.dataplane, "CreateMirror", &f->mirror->base, 5000000, on_mirror,
	             f);
}

/* A shadow's own mirror always leads to the shadow. */
static bool is_shadows(const char *name)
{
	return gn_name_ends_with(name, "/mirrors/shadow");
}

static void update_shadows_mirror(struct gn_control *control, struct gn_channel_call *call,
                                  const Gnomon__V1__Mirror *mirror, struct gn_shadow_record *record)
{
	char field[] = "mirror", *mask[] = {field};
	Gnomon__V1__Shadow settings = GNOMON__V1__SHADOW__INIT;
	Gnomon__V1__Mirror *own = GN_MESSAGE_COPY(Gnomon__V1__Mirror, mirror);
	struct gn_status status;

	/* As it was shown, with the sink that it has in any case. */
	if (own->sink_case == GNOMON__V1__MIRROR__SINK_PORT) {
		free(own->port);
		own->port = NULL;
		own->sink_case = GNOMON__V1__MIRROR__SINK__NOT_SET;
	}
	settings.mirror = own;
	if (gn_shadows_update(record, &settings, mask, 1, gn_time_now(), &status)) {
		gn_channel_fail(call, &status);
	} else {
		gn_control_commit(control);
		gn_channel_reply(call, &mirror->base);
	}
	GN_MESSAGE_FREE(own);
}

void gn_control_update_mirror(void *context, struct gn_channel_call *call,
                              const ProtobufCMessage *message)
{
	const Gnomon__V1__Mirror *mirror = (const Gnomon__V1__Mirror *)message;
	struct gn_control *control = context;
	struct gn_shadow_record *record;
	struct forwarded *f;
	char vm[GN_NAME_SIZE];

	if (!gn_name_vm_of(mirror->name, vm) ||
	    strncmp(mirror->name + strlen(vm), "/mirrors/", 9) != 0) {
		gn_control_fail(call, GN_INVALID_ARGUMENT,
		                "'%.80s' is no mirror's name; give vms/<vm>/mirrors/<name>",
		                mirror->name);
		return;
	}
	if (!gn_control_vm(control, call, vm, ""))
		return;
	record = is_shadows(mirror->name) ? gn_shadows_find(control->p.shadows, vm) : NULL;
	if (record) {
		update_shadows_mirror(control, call, mirror, record);
		return;
	}
	f = gn_message_alloc(sizeof *f);
	f->control = control;
	f->call = call;
	f->mirror = GN_MESSAGE_COPY(Gnomon__V1__Mirror, mirror);
	gn_peer_call(control->p.dataplane, "UpdateMirror", message, 5000000, on_updated, f);
}

void gn_control_delete_mirror(void *context, struct gn_channel_call *call,
                              const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;
	struct gn_control *control = context;
	struct forwarded *f;
	char vm[GN_NAME_SIZE];

	if (is_shadows(request->name) && gn_name_vm_of(request->name, vm) &&
	    gn_shadows_find(control->p.shadows, vm)) {
		gn_control_fail(
		        call, GN_FAILED_PRECONDITION,
		        "%s belongs to %s/shadow; delete the shadow, or change the mirror's "
		        "filters",
		        request->name, vm);
		return;
	}
	f = gn_message_alloc(sizeof *f);
	f->control = control;
	f->call = call;
	f->deleted = gn_message_string(request->name);
	gn_peer_call(control->p.dataplane, "DeleteMirror", message, 5000000, on_mirror, f);
}
