/* guests.c - GetGuest, and who measures a VM's demand. */
#include "firmware/control/control_internal.h"
#include "firmware/message/message.h"

#define OLD_US ((uint64_t)5000000)

static void add_other(const struct gn_source *source, Gnomon__V1__Demand *demand)
{
	const struct gn_source_reading *other = source->is_guest ? &source->host : &source->guest;
	const struct gn_source_reading *used = source->is_guest ? &source->guest : &source->host;

	/* What one measured long before the other says nothing beside it. */
	demand->has_other = other->at_us && other->at_us + OLD_US > used->at_us;
	if (demand->has_other)
		demand->other_value = other->value.value;
}

void gn_control_add_source(const struct gn_control *control, const struct gn_vm *vm,
                           enum gn_resource resource, Gnomon__V1__Demand *demand)
{
	const struct gn_source *source;
	char why[512];
	struct gn_text text;

	if (!gn_resource_is_of_host(resource)) {
		demand->source = GNOMON__V1__DEMAND_SOURCE__SOURCE_DATAPLANE;
		return;
	}
	source = &vm->sources[resource];
	demand->source = source->is_guest ? GNOMON__V1__DEMAND_SOURCE__SOURCE_GUEST
	                                  : GNOMON__V1__DEMAND_SOURCE__SOURCE_HOST;
	demand->correction = source->correction;
	add_other(source, demand);
	gn_text_init(&text, why, sizeof why);
	gn_brain_source_reason(control->p.brain, vm, resource, &text);
	gn_message_set(&demand->source_reason, "%s", why);
}

static void add_signs(const struct gn_vm *vm, uint64_t now_us, Gnomon__V1__GuestSummary *out)
{
	for (unsigned i = 0; i < GN_N_GUEST_SIGNS; i++) {
		Gnomon__V1__GuestSign *sign;

		if (!gn_guest_sign_is_kept(&vm->guest_signs, (enum gn_guest_sign)i, now_us))
			continue;
		sign = GN_MESSAGE_NEW(Gnomon__V1__GuestSign, gnomon__v1__guest_sign__init);
		gn_message_set(&sign->name, "%s", gn_guest_sign_name((enum gn_guest_sign)i));
		gn_message_set(&sign->detail, "%s", vm->guest_signs.signs[i].detail);
		sign->since_us = vm->guest_signs.signs[i].since_us;
		sign->newest_us = vm->guest_signs.signs[i].newest_us;
		GN_MESSAGE_APPEND(out->signs, out->n_signs, sign);
	}
}

Gnomon__V1__GuestSummary *gn_control_guest_summary(const struct gn_vm *vm)
{
	const Gnomon__V1__GuestSample *guest = vm->guest ? vm->guest->guest : NULL;
	Gnomon__V1__GuestSummary *out;

	if (!guest)
		return NULL;
	out = GN_MESSAGE_NEW(Gnomon__V1__GuestSummary, gnomon__v1__guest_summary__init);
	out->state = guest->state;
	out->sampled_us = vm->guest_us;
	gn_message_set(&out->reason, "%s", guest->reason);
	gn_message_set(&out->kernel_release, "%s", guest->kernel_release);
	for (size_t i = 0; i < guest->n_capabilities; i++)
		if (!guest->capabilities[i]->available)
			GN_MESSAGE_APPEND(out->missing, out->n_missing,
			                  GN_MESSAGE_COPY(Gnomon__V1__GuestCapability,
			                                  guest->capabilities[i]));
	add_signs(vm, gn_time_now().wall_us, out);
	return out;
}

static void set_note(const struct gn_control *control, const struct gn_vm *vm,
                     Gnomon__V1__Guest *out)
{
	uint64_t now_us = gn_time_now().wall_us;

	if (!control->config->guests)
		gn_message_set(&out->note, "guests are not looked into: give 'guests' in "
		                           "gnomond.yaml and run gnomon-introspect");
	else if (!vm->guest)
		gn_message_set(&out->note,
		               "gnomon-introspect has reported nothing of this VM: it does not "
		               "run, or the VM uses no port and no volume of the dataplane");
	else if (now_us > vm->guest_us + OLD_US)
		gn_message_set(&out->note, "gnomon-introspect has reported nothing for %llu s",
		               (unsigned long long)((now_us - vm->guest_us) / 1000000));
}

void gn_control_get_guest(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;
	struct gn_control *control = context;
	const struct gn_vm *vm = gn_control_vm(control, call, request->name, "");
	Gnomon__V1__Guest *out;

	if (!vm)
		return;
	out = GN_MESSAGE_NEW(Gnomon__V1__Guest, gnomon__v1__guest__init);
	gn_message_set(&out->vm, "%s", vm->name);
	if (vm->guest) {
		out->sampled_us = vm->guest_us;
		out->period_us = vm->guest->period_us;
		out->sample = GN_MESSAGE_COPY(Gnomon__V1__GuestSample, vm->guest->guest);
	}
	if (gn_view_agent(control->p.view, vm->name))
		out->agent = GN_MESSAGE_COPY(Gnomon__V1__AgentReport,
		                             gn_view_agent(control->p.view, vm->name));
	set_note(control, vm, out);
	gn_control_reply(call, &out->base);
}
