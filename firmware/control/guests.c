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
	set_note(control, vm, out);
	gn_control_reply(call, &out->base);
}
