/* guest.c - what gnomon-introspect reports of guests: kept for whoever asks, and used as demand
 * while it can be believed (brain.h, demand/source.h). */
#include <stdio.h>
#include <string.h>
#include "firmware/brain/brain.h"
#include "firmware/brain/brain_internal.h"
#include "firmware/message/message.h"

static const enum gn_resource measured[] = {GN_RESOURCE_CPU, GN_RESOURCE_MEMORY};
#define N_MEASURED (sizeof measured / sizeof measured[0])

/* How long a source may be silent: two periods and their jitter. The predictor takes three
 * missing samples for an interruption. */
static uint64_t gap_of(const struct gn_brain *brain)
{
	return brain->config->period_ms * 2000ull + 1000000;
}

/* ---- which source was used, over restarts ------------------------------------------------- */

static void key_of(const struct gn_vm *vm, enum gn_resource resource, char key[GN_NAME_SIZE + 32])
{
	snprintf(key, GN_NAME_SIZE + 32, "source/%s/%s", vm->name, gn_resource_key(resource));
}

void gn_brain_resume_sources(struct gn_brain *brain, struct gn_vm *vm, uint64_t card_us)
{
	char key[GN_NAME_SIZE + 32];
	size_t i;

	for (i = 0; i < N_MEASURED && brain->config->guests; i++) {
		key_of(vm, measured[i], key);
		if (gn_store_number(brain->store, key))
			gn_source_resume(&vm->sources[measured[i]], card_us);
	}
}

void gn_brain_source_reason(const struct gn_brain *brain, const struct gn_vm *vm,
                            enum gn_resource resource, struct gn_text *text)
{
	const struct gn_source *source = &vm->sources[resource];
	const Gnomon__V1__GuestSample *guest = vm->guest ? vm->guest->guest : NULL;

	if (source->is_guest)
		return;
	if (!brain->config->guests) {
		gn_text_add(text, "guests are not looked into: gnomond.yaml has no 'guests'");
		return;
	}
	gn_text_add(text, gn_doubt_text(source->doubt));
	if ((source->doubt == GN_DOUBT_STATE || source->doubt == GN_DOUBT_STALE) && guest &&
	    guest->reason[0]) {
		gn_text_add(text, ": ");
		gn_text_add(text, guest->reason);
	}
	if (source->doubt == GN_DOUBT_TRIAL) {
		gn_text_add(text, " (");
		gn_text_add_int(text, source->n_good);
		gn_text_add(text, " of ");
		gn_text_add_int(text, source->n_needed);
		gn_text_add(text, " samples)");
	}
}

static void note_switch(struct gn_brain *brain, const struct gn_vm *vm, enum gn_resource resource,
                        bool was_guest)
{
	bool is_guest = vm->sources[resource].is_guest;
	char key[GN_NAME_SIZE + 32], why[256];
	struct gn_text text;

	if (is_guest == was_guest)
		return;
	key_of(vm, resource, key);
	gn_store_put_number(brain->store, key, is_guest);
	gn_text_init(&text, why, sizeof why);
	gn_brain_source_reason(brain, vm, resource, &text);
	gn_brain_tell(brain, "demand.source", vm->name, "%s demand of %s is taken from %s%s",
	              gn_resource_label(resource), vm->name,
	              is_guest ? "the guest's kernel" : "libvirt: ", why);
}

/* ---- the two sources ------------------------------------------------------------------------ */

void gn_brain_weigh_host(struct gn_brain *brain, struct gn_vm *vm, const Gnomon__V1__CpuSample *cpu,
                         struct gn_demand *demand, uint64_t card_us)
{
	size_t i;

	gn_source_bound(&vm->sources[GN_RESOURCE_CPU], cpu);
	for (i = 0; i < N_MEASURED; i++) {
		struct gn_demand_value *value = &demand->values[measured[i]];
		struct gn_source *source = &vm->sources[measured[i]];
		bool was_guest = source->is_guest;

		if (!value->valid)
			continue;
		value->valid = gn_source_take_host(source, card_us, gap_of(brain), value);
		note_switch(brain, vm, measured[i], was_guest);
	}
}

static void weigh_guest(struct gn_brain *brain, struct gn_vm *vm, uint64_t card_us,
                        struct gn_demand *demand)
{
	uint64_t balloon = vm->allocation ? vm->allocation->memory_bytes : 0;
	size_t i;

	for (i = 0; i < N_MEASURED; i++) {
		struct gn_demand_value *value = &demand->values[measured[i]];
		struct gn_source *source = &vm->sources[measured[i]];
		bool was_guest = source->is_guest;
		enum gn_doubt doubt = gn_source_read_guest(source, vm->guest, measured[i], balloon,
		                                           gap_of(brain), value);

		value->valid = gn_source_take_guest(source, card_us, gap_of(brain), doubt, value);
		note_switch(brain, vm, measured[i], was_guest);
	}
}

/* The first time that one is seen is an event; alerts are watch.c's. */
static void take_signs(struct gn_brain *brain, struct gn_vm *vm, uint64_t now_us)
{
	uint32_t fresh = gn_guest_signs_take(&vm->guest_signs, vm->guest->guest, now_us);

	for (unsigned i = 0; i < GN_N_GUEST_SIGNS; i++)
		if (fresh & 1u << i)
			gn_brain_tell(brain, "guest.sign", vm->name, "%s: %s", vm->name,
			              vm->guest_signs.signs[i].detail);
}

void gn_brain_guests(struct gn_brain *brain, const Gnomon__V1__SampleBatch *batch,
                     struct gn_time now)
{
	size_t i;

	for (i = 0; i < batch->n_samples; i++) {
		const Gnomon__V1__Sample *sample = batch->samples[i];
		struct gn_vm *vm = gn_brain_vm(brain, sample->vm);
		struct gn_demand demand = {0};
		uint64_t card_us;

		if (!vm || !sample->guest)
			continue;
		GN_MESSAGE_FREE(vm->guest);
		vm->guest = GN_MESSAGE_COPY(Gnomon__V1__Sample, sample);
		vm->guest_us = now.wall_us;
		card_us = gn_brain_to_card(brain, sample->monotonic_us, now,
		                           &brain->guest_offset_us, &brain->guest_offset_known);
		take_signs(brain, vm, now.wall_us);
		weigh_guest(brain, vm, card_us, &demand);
		gn_hazards_sample(brain, vm, sample, card_us);
		gn_brain_observe(brain, vm, &demand, card_us, now);
		if (brain->listener.guest)
			brain->listener.guest(brain->listener.context, vm, now);
	}
}
