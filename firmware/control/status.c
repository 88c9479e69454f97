/* status.c - GetStatus, GetHostFit and GetReport. */
#include <errno.h>
#include <string.h>
#include "firmware/control/control_internal.h"
#include "firmware/message/message.h"

static Gnomon__V1__Ledger *ledger_message(const struct gn_ledger *ledger)
{
	Gnomon__V1__Ledger *out = GN_MESSAGE_NEW(Gnomon__V1__Ledger, gnomon__v1__ledger__init);
	uint32_t i;

	out->cpu_capacity_milli = ledger->capacity.cpu_milli;
	out->cpu_promised_milli = ledger->promised.cpu_milli;
	out->memory_capacity_bytes = ledger->capacity.memory_bytes;
	out->memory_promised_bytes = ledger->promised.memory_bytes;
	for (i = 0; i < ledger->n_entries; i++) {
		const struct gn_ledger_entry *e = &ledger->entries[i];
		Gnomon__V1__Reservation *r;

		if (!e->owner[0])
			continue;
		r = GN_MESSAGE_NEW(Gnomon__V1__Reservation, gnomon__v1__reservation__init);
		gn_message_set(&r->owner, "%s", e->owner);
		gn_message_set(&r->reason, "%s", e->reason);
		r->cpu_milli = e->amount.cpu_milli;
		r->memory_bytes = e->amount.memory_bytes;
		r->start_us = e->start_us;
		r->end_us = e->end_us;
		GN_MESSAGE_APPEND(out->reservations, out->n_reservations, r);
	}
	return out;
}

static void fill_fit(const struct gn_ledger *ledger, int error, const struct gn_ledger_fit *fit,
                     Gnomon__V1__HostFit *out)
{
	struct gn_ledger_amount room = gn_ledger_room(ledger);
	bool has_end = fit->from_us != UINT64_MAX && fit->until_us != UINT64_MAX;

	out->fits = !error;
	out->from_us = fit->from_us == UINT64_MAX ? 0 : fit->from_us;
	out->until_us = has_end ? fit->until_us : 0;
	if (error || has_end)
		gn_message_set(&out->short_of, "%s", gn_ledger_resource_text(fit->short_of));
	out->room_cpu_milli = room.cpu_milli;
	out->room_memory_bytes = room.memory_bytes;
}

void gn_control_get_host_fit(void *context, struct gn_channel_call *call,
                             const ProtobufCMessage *message)
{
	const Gnomon__V1__HostFitRequest *request = (const Gnomon__V1__HostFitRequest *)message;
	struct gn_control *control = context;
	struct gn_brain *brain = control->p.brain;
	uint64_t now_us = gn_brain_card_time(brain, gn_time_now());
	const struct gn_ledger_amount amount = {.cpu_milli = request->cpu_milli,
	                                        .memory_bytes = request->memory_bytes};
	struct gn_ledger_fit fit;
	Gnomon__V1__HostFit *reply;
	int error;

	if (!brain->host) {
		gn_control_fail(call, GN_UNAVAILABLE,
		                "the host has not told yet what it has: see 'gnomonctl status'");
		return;
	}
	if (!request->cpu_milli || !request->memory_bytes) {
		gn_control_fail(call, GN_INVALID_ARGUMENT,
		                "cpu_milli %llu, memory_bytes %llu: give both, above 0",
		                (unsigned long long)request->cpu_milli,
		                (unsigned long long)request->memory_bytes);
		return;
	}
	error = gn_ledger_what_if(&brain->ledger, &amount,
	                          request->from_us > now_us ? request->from_us : now_us, &fit);
	if (error == -EINVAL) {
		gn_control_fail(call, GN_OUT_OF_RANGE,
		                "cpu_milli %llu, memory_bytes %llu: give at most 2^48 of each",
		                (unsigned long long)request->cpu_milli,
		                (unsigned long long)request->memory_bytes);
		return;
	}
	reply = GN_MESSAGE_NEW(Gnomon__V1__HostFit, gnomon__v1__host_fit__init);
	fill_fit(&brain->ledger, error, &fit, reply);
	gn_control_reply(call, &reply->base);
}

void gn_control_get_status(void *context, struct gn_channel_call *call,
                           const ProtobufCMessage *request)
{
	struct gn_control *control = context;
	const struct gn_brain *brain = control->p.brain;
	Gnomon__V1__CardStatus *s =
	        GN_MESSAGE_NEW(Gnomon__V1__CardStatus, gnomon__v1__card_status__init);

	gn_message_set(&s->version, "%s", GN_VERSION);
	gn_message_set(&s->board, "%s", control->config->board);
	s->started_us = brain->started_us;
	s->now_us = gn_time_now().wall_us;
	s->shim_connected = gn_peer_is_connected(control->p.shim);
	gn_message_set(&s->shim_error, "%s", gn_peer_error(control->p.shim));
	s->dataplane_connected = gn_peer_is_connected(control->p.dataplane);
	gn_message_set(&s->dataplane_error, "%s", gn_peer_error(control->p.dataplane));
	if (brain->host)
		s->host = GN_MESSAGE_COPY(Gnomon__V1__HostInfo, brain->host);
	if (control->p.view->status)
		s->dataplane =
		        GN_MESSAGE_COPY(Gnomon__V1__DataplaneStatus, control->p.view->status);
	s->ledger = ledger_message(&brain->ledger);
	s->samples = brain->n_samples;
	s->samples_lost = brain->n_lost;
	s->forecasts = brain->n_forecasts;
	s->store_bytes = gn_store_size(brain->store);
	gn_message_set(&s->store_error, "%s", gn_store_error(brain->store));
	s->vms = (uint32_t)brain->n_vms;
	s->shadows = (uint32_t)gn_shadows_count(control->p.shadows);
	s->plans_pending = (uint32_t)gn_runner_pending(control->p.runner);
	gn_control_reply(call, &s->base);
}

static void add_counters(const struct gn_control *control, const struct gn_vm *vm,
                         Gnomon__V1__Report__VmReport *r)
{
	const struct gn_view *view = control->p.view;
	size_t i;

	for (i = 0; view->ports && i < view->ports->n_ports; i++) {
		const Gnomon__V1__Port *port = view->ports->ports[i];

		if (strcmp(port->vm, vm->name) != 0 || !port->counters)
			continue;
		r->packets_rx += port->counters->rx_packets;
		r->packets_tx += port->counters->tx_packets;
	}
	for (i = 0; view->volumes && i < view->volumes->n_volumes; i++) {
		const Gnomon__V1__Volume *volume = view->volumes->volumes[i];

		if (strcmp(volume->vm, vm->name) != 0 || !volume->counters)
			continue;
		r->disk_reads += volume->counters->reads;
		r->disk_writes += volume->counters->writes;
	}
}

static void add_vm(const struct gn_control *control, const struct gn_vm *vm,
                   Gnomon__V1__Report *report)
{
	Gnomon__V1__Report__VmReport *r =
	        GN_MESSAGE_NEW(Gnomon__V1__Report__VmReport, gnomon__v1__report__vm_report__init);

	gn_message_set(&r->name, "%s", vm->name);
	add_counters(control, vm, r);
	if (vm->first)
		r->before = GN_MESSAGE_COPY(Gnomon__V1__Allocation, vm->first);
	if (vm->allocation)
		r->after = GN_MESSAGE_COPY(Gnomon__V1__Allocation, vm->allocation);
	GN_MESSAGE_APPEND(report->vms, report->n_vms, r);
}

/* Enough for a person to read, and within the channel's largest message. */
#define REPORT_PLANS 300

void gn_control_get_report(void *context, struct gn_channel_call *call,
                           const ProtobufCMessage *request)
{
	struct gn_control *control = context;
	const struct gn_brain *brain = control->p.brain;
	const struct gn_view *view = control->p.view;
	Gnomon__V1__Report *report = GN_MESSAGE_NEW(Gnomon__V1__Report, gnomon__v1__report__init);
	size_t i, n = gn_runner_count(control->p.runner);

	report->samples = brain->n_samples;
	report->forecasts = brain->n_forecasts;
	report->started_us = brain->started_us;
	report->now_us = gn_time_now().wall_us;
	for (i = 0; i < brain->n_vms; i++)
		add_vm(control, brain->vms[i], report);
	for (i = 0; i < gn_shadows_count(control->p.shadows); i++)
		GN_MESSAGE_APPEND(report->shadows, report->n_shadows,
		                  GN_MESSAGE_COPY(Gnomon__V1__Shadow,
		                                  gn_shadows_at(control->p.shadows, i)->message));
	for (i = 0; view->mirrors && i < view->mirrors->n_mirrors; i++)
		GN_MESSAGE_APPEND(report->mirrors, report->n_mirrors,
		                  GN_MESSAGE_COPY(Gnomon__V1__Mirror, view->mirrors->mirrors[i]));
	for (i = n > REPORT_PLANS ? n - REPORT_PLANS : 0; i < n; i++)
		GN_MESSAGE_APPEND(report->plans, report->n_plans,
		                  GN_MESSAGE_COPY(Gnomon__V1__Plan,
		                                  gn_runner_at(control->p.runner, i)->message));
	gn_control_reply(call, &report->base);
}
