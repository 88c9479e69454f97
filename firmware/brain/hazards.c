/* hazards.c - see hazards.h. */
#include "firmware/brain/hazards.h"

#include <stdlib.h>
#include <string.h>
#include "firmware/brain/brain.h"
#include "firmware/message/message.h"

/* ---- the store ------------------------------------------------------------------------ */

/* Another layout is not read: signs fade within hours anyway. */
struct head {
	uint32_t magic;
	uint32_t version;
	uint64_t checksum;
};
#define MAGIC   0x5a484e47u /* "GNHZ" */
#define VERSION 2

static uint64_t checksum(const uint8_t *byte, size_t size)
{
	uint64_t hash = 14695981039346656037u;

	while (size--)
		hash = (hash ^ *byte++) * 1099511628211u;
	return hash;
}

static void save(struct gn_brain *brain, const char *kind, const char *name, const void *state,
                 size_t size)
{
	struct head head = {MAGIC, VERSION, checksum(state, size)};
	char *bytes = gn_message_alloc(sizeof head + size);

	memcpy(bytes, &head, sizeof head);
	memcpy(bytes + sizeof head, state, size);
	gn_store_put(brain->store, kind, name, bytes, sizeof head + size);
	free(bytes);
}

static void load(void *state, size_t size, const void *bytes, size_t n)
{
	struct head head;

	if (n != sizeof head + size)
		return;
	memcpy(&head, bytes, sizeof head);
	bytes = (const char *)bytes + sizeof head;
	if (head.magic == MAGIC && head.version == VERSION &&
	    head.checksum == checksum(bytes, size))
		memcpy(state, bytes, size);
}

void gn_hazards_save_models(struct gn_brain *brain)
{
	save(brain, "hazard_models", "card", &brain->hazards, sizeof brain->hazards);
}

void gn_hazards_save_vm(struct gn_brain *brain, const struct gn_vm *vm)
{
	if (vm->hazard->newest_us)
		save(brain, "hazard", vm->name, vm->hazard, sizeof *vm->hazard);
}

void gn_hazards_forget_vm(struct gn_brain *brain, const struct gn_vm *vm)
{
	gn_store_delete(brain->store, "hazard", vm->name);
}

static void load_vm(void *context, const char *name, const void *bytes, size_t size)
{
	const struct gn_vm *vm = gn_brain_vm(context, name);

	if (vm)
		load(vm->hazard, sizeof *vm->hazard, bytes, size);
}

static void load_models(void *context, const char *name, const void *bytes, size_t size)
{
	struct gn_brain *brain = context;

	load(&brain->hazards, sizeof brain->hazards, bytes, size);
}

void gn_hazards_open(struct gn_brain *brain)
{
	for (uint32_t h = 0; h < GN_HAZARD_HORIZONS; h++) {
		gn_signs_init(&brain->hazards.models[h]);
		/* Less happens in less time: 0.03 %, 0.1 %, 0.25 % without any sign. */
		brain->hazards.models[h].bias_q16 =
		        -(int32_t)(6 + GN_HAZARD_HORIZONS - 1 - h) * 65536;
	}
	gn_store_each(brain->store, "hazard_models", load_models, brain);
	gn_store_each(brain->store, "hazard", load_vm, brain);
}

struct gn_hazard_vm *gn_hazards_new(const struct gn_brain *brain)
{
	struct gn_hazard_vm *hazard = gn_message_alloc(sizeof *hazard);

	gn_hazard_vm_init(hazard, brain->config->period_ms * 1000ull);
	return hazard;
}

/* ---- samples -------------------------------------------------------------------------- */

static int64_t mean_of(const Gnomon__V1__LatencyHistogram *a, const Gnomon__V1__LatencyHistogram *b)
{
	uint64_t count = (a ? a->count : 0) + (b ? b->count : 0);
	uint64_t sum = (a ? a->sum_us : 0) + (b ? b->sum_us : 0);

	return count ? (int64_t)(sum / count & INT64_MAX) : GN_HAZARD_UNSEEN;
}

static void take_disk(const Gnomon__V1__DiskSample *disk, struct gn_hazard_input *in)
{
	const Gnomon__V1__DiskOperation *read = disk->read, *write = disk->write;

	in->has_disk = true;
	in->disk_errors = disk->errors;
	in->metrics[GN_HAZARD_DISK] =
	        (int64_t)(((read ? read->bytes : 0) + (write ? write->bytes : 0)) & INT64_MAX);
	in->metrics[GN_HAZARD_DISK_LATENCY] =
	        mean_of(read ? read->latency : NULL, write ? write->latency : NULL);
}

static void take_network(const Gnomon__V1__NetworkSample *network, struct gn_hazard_input *in)
{
	in->has_network = true;
	in->packets = network->rx_packets + network->tx_packets;
	in->retransmissions = network->tcp_retransmissions;
	in->opened = network->tcp_opened;
	in->resets = network->tcp_resets;
	in->metrics[GN_HAZARD_NETWORK] =
	        (int64_t)((network->rx_bytes + network->tx_bytes) & INT64_MAX);
	in->metrics[GN_HAZARD_HANDSHAKE] = mean_of(network->tcp_handshake, NULL);
}

static void take_guest(const struct gn_vm *vm, const Gnomon__V1__GuestSample *guest,
                       struct gn_hazard_input *in)
{
	/* Its clock stands still because somebody stopped it. */
	bool is_paused = vm->state == GNOMON__V1__VM_STATE__PAUSED;
	const Gnomon__V1__GuestSigns *signs = guest->signs;

	if (!signs)
		return;
	in->has_guest = true;
	in->clock_stopped_us = is_paused ? 0 : signs->clock_stopped_us;
	in->stuck_threads = signs->stuck_threads;
	in->log_errors = signs->log_errors;
	in->oom_kills = signs->oom_kills;
	in->has_oops = signs->oops;
	in->has_panic = signs->panic;
	in->has_lockup = signs->lockup;
}

/* Where the guest has no balloon driver its kernel tells; the two are never mixed. */
static void take_guest_memory(const Gnomon__V1__GuestSample *guest, struct gn_hazard_input *in)
{
	const Gnomon__V1__GuestMemory *memory = guest->memory;

	if (guest->state != GNOMON__V1__GUEST_STATE__GUEST_STATE_READY || !guest->confidence ||
	    !memory || memory->available_bytes > memory->total_bytes)
		return;
	in->metrics[GN_HAZARD_MEMORY] =
	        (int64_t)((memory->total_bytes - memory->available_bytes) & INT64_MAX);
	in->memory_limit = (int64_t)(memory->total_bytes & INT64_MAX);
}

/* The host's estimate of a guest's memory never counts: it also holds caches and QEMU. */
static void take_memory(const Gnomon__V1__MemorySample *memory, struct gn_hazard_input *in)
{
	if (!memory->guest_reported)
		return;
	in->metrics[GN_HAZARD_MEMORY] = (int64_t)(memory->used_bytes & INT64_MAX);
	in->memory_limit = (int64_t)(memory->allocated_bytes & INT64_MAX);
}

void gn_hazards_sample(struct gn_brain *brain, struct gn_vm *vm, const Gnomon__V1__Sample *sample,
                       uint64_t card_us)
{
	struct gn_hazard_input in;

	gn_hazard_input_init(&in, card_us, sample->period_us);
	if (sample->cpu)
		in.metrics[GN_HAZARD_CPU] = (int64_t)(sample->cpu->used_milli & INT64_MAX);
	if (sample->memory)
		take_memory(sample->memory, &in);
	if (sample->disk)
		take_disk(sample->disk, &in);
	if (sample->network)
		take_network(sample->network, &in);
	if (sample->memory)
		vm->has_balloon |= sample->memory->guest_reported;
	if (sample->guest)
		take_guest(vm, sample->guest, &in);
	if (sample->guest && !vm->has_balloon)
		take_guest_memory(sample->guest, &in);
	if (gn_hazard_vm_observe(vm->hazard, &in, brain->config->alerts.per_month * 256))
		vm->has_failed = true;
}

/* ---- every period ------------------------------------------------------------------------ */

static bool take_failure(struct gn_vm *vm, uint64_t card_us)
{
	bool is_crashed = vm->state == GNOMON__V1__VM_STATE__CRASHED, failed = vm->has_failed;

	/* One that was found crashed at the start failed before, and was counted then. */
	if (is_crashed && !vm->was_crashed && vm->state_is_known) {
		vm->hazard->failed_us = card_us;
		failed = true;
	}
	vm->was_crashed = is_crashed;
	vm->state_is_known |= vm->state != GNOMON__V1__VM_STATE__VM_STATE_UNSPECIFIED;
	vm->has_failed = false;
	return failed;
}

void gn_hazards_tick(struct gn_brain *brain, struct gn_time now)
{
	uint64_t card_us = gn_brain_card_time(brain, now);
	bool any = false;

	for (size_t i = 0; i < brain->n_vms; i++) {
		struct gn_vm *vm = brain->vms[i];
		bool failed = take_failure(vm, card_us);

		if (!vm->hazard->newest_us)
			continue;
		gn_hazard_vm_examine(vm->hazard, brain->hazards.models, card_us, failed);
		if (failed)
			gn_brain_tell(brain, "vm.failed", vm->name, "%s failed", vm->name);
		any |= failed;
	}
	if (any)
		gn_hazards_save_models(brain);
}

void gn_hazards_of(const struct gn_brain *brain, const struct gn_vm *vm, uint64_t card_us,
                   struct gn_signs_hazard hazards[GN_HAZARD_HORIZONS])
{
	int32_t levels[GN_N_SIGNS];

	for (uint32_t h = 0; h < GN_HAZARD_HORIZONS; h++) {
		gn_hazard_vm_levels(vm->hazard, card_us, gn_hazard_horizons_us[h], levels);
		hazards[h] = gn_signs_hazard(&brain->hazards.models[h], levels);
	}
}

/* ---- for operators --------------------------------------------------------------------------- */

static void add_sign(Gnomon__V1__Hazard *message, const struct gn_vm *vm, enum gn_sign sign,
                     int32_t level_q8, int32_t log_odds_q8)
{
	Gnomon__V1__Hazard__Sign *s =
	        GN_MESSAGE_NEW(Gnomon__V1__Hazard__Sign, gnomon__v1__hazard__sign__init);
	char words[256];
	struct gn_text text;

	gn_text_init(&text, words, sizeof words);
	gn_hazard_vm_describe(vm->hazard, sign, &text);
	gn_message_set(&s->name, "%s", gn_sign_text(sign));
	gn_message_set(&s->detail, "%s", words);
	s->level_q8 = (uint32_t)level_q8;
	s->log_odds_q8 = log_odds_q8;
	GN_MESSAGE_APPEND(message->signs, message->n_signs, s);
}

static int by_weight(const void *a, const void *b)
{
	const Gnomon__V1__Hazard__Sign *const *x = a, *const *y = b;

	return (*y)->log_odds_q8 - (*x)->log_odds_q8;
}

Gnomon__V1__Hazard *gn_hazards_message(struct gn_brain *brain, const struct gn_vm *vm,
                                       struct gn_time now)
{
	Gnomon__V1__Hazard *message = GN_MESSAGE_NEW(Gnomon__V1__Hazard, gnomon__v1__hazard__init);
	uint64_t card_us = gn_brain_card_time(brain, now);
	struct gn_signs_hazard hazards[GN_HAZARD_HORIZONS];
	const struct gn_signs_hazard *last = &hazards[GN_HAZARD_HORIZONS - 1];
	int32_t levels[GN_N_SIGNS];

	gn_message_set(&message->vm, "%s", vm->name);
	message->made_us = vm->hazard->newest_us;
	message->outcomes = brain->hazards.models[0].n_outcomes;
	gn_hazards_of(brain, vm, card_us, hazards);
	for (uint32_t h = 0; h < GN_HAZARD_HORIZONS; h++) {
		Gnomon__V1__Hazard__Horizon *horizon = GN_MESSAGE_NEW(
		        Gnomon__V1__Hazard__Horizon, gnomon__v1__hazard__horizon__init);

		horizon->horizon_us = gn_hazard_horizons_us[h];
		horizon->probability_q16 = hazards[h].probability_q16;
		if (hazards[h].contributions_q8[hazards[h].strongest] > 0)
			gn_message_set(&horizon->strongest, "%s",
			               gn_sign_text(hazards[h].strongest));
		GN_MESSAGE_APPEND(message->horizons, message->n_horizons, horizon);
	}
	gn_hazard_vm_levels(vm->hazard, card_us, gn_hazard_horizons_us[GN_HAZARD_HORIZONS - 1],
	                    levels);
	for (uint32_t s = 0; s < GN_N_SIGNS; s++)
		if (levels[s] > 0)
			add_sign(message, vm, (enum gn_sign)s, levels[s],
			         last->contributions_q8[s]);
	if (message->n_signs)
		qsort(message->signs, message->n_signs, sizeof *message->signs, by_weight);
	return message;
}
