/* service.c - see service.h. */
#include "firmware/update/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/core/clock.h"
#include "firmware/message/message.h"
#include "proto/gnomon/v1/update.pb-c.h"

static void add_slot(const struct gn_install *install, unsigned i, Gnomon__V1__UpdateStatus *out)
{
	const struct gn_slot *slot = &install->slots.slots[i];
	Gnomon__V1__UpdateSlot *m =
	        GN_MESSAGE_NEW(Gnomon__V1__UpdateSlot, gnomon__v1__update_slot__init);

	gn_message_set(&m->name, "%s", gn_install_slot_name(i));
	gn_message_set(&m->state, "%s", gn_slot_state_name(slot->state));
	gn_message_set(&m->version, "%s", slot->version);
	m->security = slot->security;
	m->tries = slot->tries;
	GN_MESSAGE_APPEND(out->slots, out->n_slots, m);
}

static Gnomon__V1__UpdateStatus *status_of(const struct gn_update_service *service)
{
	static const Gnomon__V1__UpdateStatus__Phase phases[] = {
	        [GN_INSTALL_IDLE] = GNOMON__V1__UPDATE_STATUS__PHASE__IDLE,
	        [GN_INSTALL_RECEIVING] = GNOMON__V1__UPDATE_STATUS__PHASE__RECEIVING,
	        [GN_INSTALL_CHECKING] = GNOMON__V1__UPDATE_STATUS__PHASE__CHECKING,
	};
	const struct gn_install *install = service->install;
	Gnomon__V1__UpdateStatus *out =
	        GN_MESSAGE_NEW(Gnomon__V1__UpdateStatus, gnomon__v1__update_status__init);

	gn_message_set(&out->board, "%s", install->card.board);
	out->security = install->slots.security;
	for (unsigned i = 0; i < GN_SLOTS; i++)
		add_slot(install, i, out);
	gn_message_set(&out->running, "%s", gn_install_slot_name(install->card.running));
	gn_message_set(&out->next, "%s", gn_install_slot_name(install->slots.first));
	out->phase = phases[install->phase];
	if (install->phase != GN_INSTALL_IDLE) {
		gn_message_set(&out->version, "%s", install->manifest.version);
		out->offset = install->offset;
		out->size = install->manifest.size;
	}
	gn_message_set(&out->trouble, "%s", install->trouble);
	gn_message_set(&out->health, "%s", service->health);
	return out;
}

/* Answers with the error, or with how things stand now. */
static void answer(struct gn_update_service *service, struct gn_channel_call *call, int error,
                   const struct gn_status *status)
{
	Gnomon__V1__UpdateStatus *reply;

	if (error) {
		gn_channel_fail(call, status);
		return;
	}
	reply = status_of(service);
	gn_channel_reply(call, &reply->base);
	gn_message_free(&reply->base);
}

/* False: the call has been refused. */
static bool has_slots(const struct gn_update_service *service, struct gn_channel_call *call)
{
	struct gn_status status;

	if (!service->unavailable)
		return true;
	gn_status_set(&status, GN_FAILED_PRECONDITION, "%s", service->unavailable);
	gn_channel_fail(call, &status);
	return false;
}

static void begin(void *context, struct gn_channel_call *call, const ProtobufCMessage *message)
{
	const Gnomon__V1__UpdateOffer *offer = (const Gnomon__V1__UpdateOffer *)message;
	const struct gn_authentic what = {
	        .text = offer->manifest.data,
	        .text_size = offer->manifest.len,
	        .signature = offer->signature.data,
	        .signature_size = offer->signature.len,
	        .chain = offer->chain.data,
	        .chain_size = offer->chain.len,
	};
	struct gn_update_service *service = context;
	struct gn_status status;

	if (has_slots(service, call))
		answer(service, call,
		       gn_install_begin(service->install, &what, gn_clock_wall_us(), &status),
		       &status);
}

static void write_data(void *context, struct gn_channel_call *call, const ProtobufCMessage *message)
{
	const Gnomon__V1__UpdateData *data = (const Gnomon__V1__UpdateData *)message;
	struct gn_update_service *service = context;
	struct gn_status status;

	if (has_slots(service, call))
		answer(service, call,
		       gn_install_write(service->install, data->offset, data->data.data,
		                        data->data.len, &status),
		       &status);
}

static void finish(void *context, struct gn_channel_call *call, const ProtobufCMessage *message)
{
	struct gn_update_service *service = context;
	struct gn_status status;

	if (has_slots(service, call))
		answer(service, call, gn_install_finish(service->install, &status), &status);
}

static void get_status(void *context, struct gn_channel_call *call, const ProtobufCMessage *message)
{
	struct gn_update_service *service = context;

	if (has_slots(service, call))
		answer(service, call, 0, NULL);
}

static void roll_back(void *context, struct gn_channel_call *call, const ProtobufCMessage *message)
{
	struct gn_update_service *service = context;
	struct gn_status status;

	if (has_slots(service, call))
		answer(service, call,
		       gn_install_rollback(service->install, gn_clock_wall_us(), &status), &status);
}

static void restart(void *context, struct gn_channel_call *call, const ProtobufCMessage *message)
{
	const Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;
	struct gn_update_service *service = context;

	service->restart_wanted = true;
	gn_channel_reply(call, &empty.base);
}

/* "TIME SLOT VERSION TEXT" */
static void add_event(void *context, char *line)
{
	Gnomon__V1__UpdateHistory *history = context;
	Gnomon__V1__UpdateEvent *event =
	        GN_MESSAGE_NEW(Gnomon__V1__UpdateEvent, gnomon__v1__update_event__init);
	char *rest = NULL, *at = strtok_r(line, " ", &rest), *slot = strtok_r(NULL, " ", &rest);
	char *version = strtok_r(NULL, " ", &rest);

	event->at_us = at ? strtoull(at, NULL, 10) : 0;
	gn_message_set(&event->slot, "%s", slot ? slot : "");
	gn_message_set(&event->version, "%s", version ? version : "");
	gn_message_set(&event->text, "%s", rest ? rest : "");
	GN_MESSAGE_APPEND(history->events, history->n_events, event);
}

static void list_history(void *context, struct gn_channel_call *call,
                         const ProtobufCMessage *message)
{
	const struct gn_update_service *service = context;
	Gnomon__V1__UpdateHistory *history;

	if (!has_slots(service, call))
		return;
	history = GN_MESSAGE_NEW(Gnomon__V1__UpdateHistory, gnomon__v1__update_history__init);
	gn_disk_each_history(service->install->disk, add_event, history);
	gn_channel_reply(call, &history->base);
	gn_message_free(&history->base);
}

/* In the order of the service's methods. */
static gn_channel_handler *const handlers[] = {
        begin, write_data, finish, get_status, roll_back, restart, list_history,
};

int gn_update_service_create(const char *url, struct gn_update_service *service,
                             struct gn_channel_server **out, struct gn_status *status)
{
	static struct gn_channel_service served;

	served = (struct gn_channel_service){
	        .descriptor = &gnomon__v1__updater__descriptor,
	        .handlers = handlers,
	        .context = service,
	};
	return gn_channel_server_create(url, NULL, &served, 1, out, status);
}
