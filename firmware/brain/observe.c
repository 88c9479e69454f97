/* observe.c - what comes in: libvirt's reports and the dataplane's samples; from them
 * demand, forecasts, the ledger, decisions (brain.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/brain/brain.h"
#include "firmware/brain/brain_internal.h"
#include "firmware/message/message.h"

/* A VM of the host that is not ours holds its promise so long after it was last seen. */
#define STRANGER_US ((uint64_t)60000000)

/* ---- time --------------------------------------------------------------------------- */

/* A source's monotonic time as card time. The offset is taken anew when the two drift
 * apart: the source restarted, or the wall clock stepped. */
uint64_t gn_brain_to_card(struct gn_brain *brain, uint64_t source_us, struct gn_time now,
                          int64_t *offset_us, bool *known)
{
	uint64_t card = gn_brain_card_time(brain, now);
	int64_t mapped = (int64_t)source_us + *offset_us;
	int64_t off = mapped - (int64_t)card;
	int64_t allowed = brain->config->period_ms * 2000ll + 1000000;

	if (source_us > (uint64_t)INT64_MAX / 2)
		return card;
	if (*known && off <= allowed && off >= -allowed)
		return (uint64_t)mapped;
	*known = true;
	*offset_us = (int64_t)card - (int64_t)source_us;
	return card;
}

/* ---- the ledger ----------------------------------------------------------------------- */

static struct gn_ledger_amount amount_of(const Gnomon__V1__Allocation *a)
{
	return (struct gn_ledger_amount){
	        .cpu_milli = a ? a->vcpus * 1000ull : 0,
	        .memory_bytes = a ? a->memory_bytes : 0,
	};
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* What the VM has, or is about to get if that is more; nothing while it is off. */
static void record_promise(struct gn_brain *brain, struct gn_vm *vm)
{
	struct gn_ledger_amount amount = {0};

	if (vm->state == GNOMON__V1__VM_STATE__RUNNING || vm->state == GNOMON__V1__VM_STATE__PAUSED)
		amount = amount_of(vm->allocation);
	amount.cpu_milli = most(amount.cpu_milli, vm->promise.cpu_milli);
	amount.memory_bytes = most(amount.memory_bytes, vm->promise.memory_bytes);
	gn_ledger_record(&brain->ledger, vm->ledger_entry, amount);
}

static struct gn_ledger_change change_for(const struct gn_brain *brain, const struct gn_vm *vm,
                                          enum gn_resource resource, int64_t value)
{
	struct gn_ledger_change change = {.entry = vm->ledger_entry};

	if (vm->ledger_entry < brain->ledger.n_entries)
		change.amount = brain->ledger.entries[vm->ledger_entry].amount;
	if (resource == GN_RESOURCE_CPU)
		change.amount.cpu_milli = most(change.amount.cpu_milli, (uint64_t)value);
	if (resource == GN_RESOURCE_MEMORY)
		change.amount.memory_bytes = most(change.amount.memory_bytes, (uint64_t)value);
	return change;
}

bool gn_brain_has_room(const struct gn_brain *brain, const struct gn_vm *vm,
                       enum gn_resource resource, int64_t value)
{
	struct gn_ledger_change change = change_for(brain, vm, resource, value);

	return !gn_resource_is_of_host(resource) || gn_ledger_try(&brain->ledger, &change, 1) == 0;
}

int gn_brain_promise(struct gn_brain *brain, struct gn_vm *vm, enum gn_resource resource,
                     int64_t value)
{
	struct gn_ledger_change change = change_for(brain, vm, resource, value);
	int error;

	if (!gn_resource_is_of_host(resource))
		return 0;
	error = gn_ledger_take(&brain->ledger, &change, 1);
	if (error)
		return error;
	vm->promise = change.amount;
	return 0;
}

void gn_brain_unpromise(struct gn_brain *brain, struct gn_vm *vm)
{
	vm->promise = (struct gn_ledger_amount){0};
	record_promise(brain, vm);
}

static struct gn_ledger_change restart_of(const struct gn_vm *vm)
{
	return (struct gn_ledger_change){.entry = vm->ledger_entry,
	                                 .amount = amount_of(vm->allocation)};
}

bool gn_brain_has_room_to_restart(const struct gn_brain *brain, const struct gn_vm *vm)
{
	struct gn_ledger_change change = restart_of(vm);

	return vm->allocation && gn_ledger_try(&brain->ledger, &change, 1) == 0;
}

int gn_brain_promise_restart(struct gn_brain *brain, struct gn_vm *vm)
{
	struct gn_ledger_change change = restart_of(vm);
	int error = vm->allocation ? gn_ledger_take(&brain->ledger, &change, 1) : -ENOSPC;

	if (!error)
		vm->promise = change.amount;
	return error;
}

int64_t gn_brain_room(const struct gn_brain *brain, enum gn_resource resource)
{
	struct gn_ledger_amount room = gn_ledger_room(&brain->ledger);

	if (resource == GN_RESOURCE_CPU)
		return (int64_t)room.cpu_milli;
	if (resource == GN_RESOURCE_MEMORY)
		return (int64_t)room.memory_bytes;
	return INT64_MAX;
}

/* ---- deciding --------------------------------------------------------------------------- */

void gn_brain_policy_input(const struct gn_brain *brain, const struct gn_vm *vm,
                           enum gn_resource resource, struct gn_time now,
                           struct gn_policy_input *input)
{
	const struct gn_series *s = &vm->series[resource];
	/* The disk meter bounds reads and writes together; only operations are adapted. */
	bool shared = resource == GN_RESOURCE_DISK_READ || resource == GN_RESOURCE_DISK_WRITE;

	*input = (struct gn_policy_input){
	        .resource = resource,
	        .mode = vm->mode,
	        .allocated = shared ? 0 : s->newest.allocated,
	        .definition_maximum = s->newest.maximum,
	        .observed = s->newest.value,
	        .estimated = s->newest.estimated,
	        .window_maximum = gn_policy_window_maximum(&s->window),
	        .window_us = gn_policy_window_length(&s->window),
	        .since_change_us = !s->changed_us                ? UINT64_MAX
	                           : now.wall_us > s->changed_us ? now.wall_us - s->changed_us
	                                                         : 0,
	        .host_free = gn_brain_room(brain, resource),
	        .period_us = brain->config->predict_period_ms * 1000ull,
	        .n_forecasts = s->n_forecasts,
	        .forecasts = s->forecasts,
	};
}

static void decide(struct gn_brain *brain, struct gn_vm *vm, enum gn_resource resource,
                   struct gn_time now)
{
	struct gn_series *series = &vm->series[resource];
	struct gn_policy_input input;

	if (gn_resource_is_of_host(resource) && !brain->host)
		return; /* what the host has is not known yet */
	gn_brain_policy_input(brain, vm, resource, now, &input);
	gn_policy_decide(&series->rules, &input, &series->decision);
	series->has_decision = true;
	if (brain->listener.decided)
		brain->listener.decided(brain->listener.context, vm, &input, now);
}

void gn_brain_note_changed(struct gn_brain *brain, struct gn_vm *vm, enum gn_resource resource,
                           struct gn_time now)
{
	vm->series[resource].changed_us = now.wall_us;
	gn_brain_save_changed(brain, vm, resource);
}

static void tell_change(struct gn_brain *brain, struct gn_vm *vm, struct gn_series *series)
{
	char text[96];
	struct gn_text was_and_is;

	gn_text_init(&was_and_is, text, sizeof text);
	gn_resource_add_value(&was_and_is, series->resource, series->told);
	gn_text_add(&was_and_is, " to ");
	gn_resource_add_value(&was_and_is, series->resource, series->newest.allocated);
	gn_brain_tell(brain, "vm.allocation", vm->name, "%s of %s changed from %s",
	              gn_resource_label(series->resource), vm->name, text);
	series->told = series->newest.allocated;
}

/* 'before' had the sample before, 'changed_from' is the allocation that stood before it. */
static void note_allocation(struct gn_brain *brain, struct gn_vm *vm, struct gn_series *series,
                            int64_t before, int64_t changed_from, struct gn_time now)
{
	if (changed_from && changed_from != series->allocated)
		gn_brain_note_changed(brain, vm, series->resource, now);
	if (gn_series_allocation_is_news(series, before))
		tell_change(brain, vm, series);
}

void gn_brain_observe(struct gn_brain *brain, struct gn_vm *vm, const struct gn_demand *demand,
                      uint64_t card_us, struct gn_time now)
{
	unsigned i;

	for (i = 1; i < GN_RESOURCE_END; i++) {
		const struct gn_demand_value *value = &demand->values[i];
		struct gn_series *series = &vm->series[i];
		int64_t before = series->newest.allocated, changed_from = series->allocated;
		int result;

		if (!value->valid)
			continue;
		result = gn_series_observe(series, brain->config, card_us, value);
		if (result < 0)
			continue;
		brain->n_samples++;
		gn_store_add(brain->store, vm->name, (enum gn_resource)i, card_us, value->value,
		             value->allocated,
		             gn_series_forecast_for(series, brain->config, card_us));
		note_allocation(brain, vm, series, before, changed_from, now);
		if (brain->listener.observed)
			brain->listener.observed(brain->listener.context, vm, (enum gn_resource)i,
			                         now);
		if (result == 0)
			continue;
		brain->n_forecasts += series->n_forecasts;
		decide(brain, vm, (enum gn_resource)i, now);
	}
	vm->last_sample_us = now.wall_us;
}

/* ---- the host ----------------------------------------------------------------------------- */

void gn_brain_host(struct gn_brain *brain, const Gnomon__V1__HostInfo *host)
{
	const struct gn_ledger_host has = {
	        /* What nobody has measured yet bounds nothing. */
	        .has = {.cpu_milli = host->cpus * 1000ull,
	                .memory_bytes = host->memory_bytes,
	                .uplink_bps = GN_LEDGER_UNBOUNDED,
	                .pool_bytes = GN_LEDGER_UNBOUNDED,
	                .operations = GN_LEDGER_UNBOUNDED},
	        .kept = {.memory_bytes = (uint64_t)brain->config->reserve_mib << 20},
	        .overcommit_milli = {[GN_LEDGER_CPU] = brain->config->overcommit_milli},
	};

	GN_MESSAGE_FREE(brain->host);
	brain->host = GN_MESSAGE_COPY(Gnomon__V1__HostInfo, host);
	gn_drives_take(brain, host, gn_time_now().wall_us);
	gn_ledger_set_host(&brain->ledger, &has);
}

static void set_state(struct gn_brain *brain, struct gn_vm *vm, Gnomon__V1__VmState state)
{
	if (vm->state == state)
		return;
	vm->state = state;
	record_promise(brain, vm);
}

void gn_brain_set_allocation(struct gn_brain *brain, struct gn_vm *vm,
                             const Gnomon__V1__Allocation *allocation)
{
	if (!allocation)
		return;
	GN_MESSAGE_FREE(vm->allocation);
	vm->allocation = GN_MESSAGE_COPY(Gnomon__V1__Allocation, allocation);
	if (!vm->first) {
		vm->first = GN_MESSAGE_COPY(Gnomon__V1__Allocation, allocation);
		gn_brain_save_first(brain, vm);
	}
	record_promise(brain, vm);
}

/* A VM that runs beside ours takes room, too. */
static void note_stranger(struct gn_brain *brain, const char *name,
                          const Gnomon__V1__Allocation *allocation, struct gn_time now)
{
	uint64_t card = gn_brain_card_time(brain, now);
	uint32_t entry = gn_ledger_open(&brain->ledger, name,
	                                "runs on the host, not behind the card", now.wall_us);

	if (entry == GN_LEDGER_NONE)
		return;
	gn_ledger_record(&brain->ledger, entry, amount_of(allocation));
	gn_ledger_set_end(&brain->ledger, entry, card + STRANGER_US);
}

void gn_brain_host_vms(struct gn_brain *brain, const Gnomon__V1__HostVmList *list)
{
	size_t i, k;

	for (i = 0; i < brain->n_vms; i++) {
		struct gn_vm *vm = brain->vms[i];
		const Gnomon__V1__HostVm *found = NULL;

		for (k = 0; k < list->n_vms && !found; k++)
			if (strcmp(list->vms[k]->name, vm->name) == 0)
				found = list->vms[k];
		GN_MESSAGE_FREE(vm->host_vm);
		vm->host_vm = found ? GN_MESSAGE_COPY(Gnomon__V1__HostVm, found) : NULL;
		set_state(brain, vm,
		          found ? found->state : GNOMON__V1__VM_STATE__VM_STATE_UNSPECIFIED);
		if (found)
			gn_brain_set_allocation(brain, vm, found->allocation);
	}
}

static void take_stats(struct gn_brain *brain, struct gn_vm *vm,
                       const Gnomon__V1__HostVmStats *stats, uint64_t host_us, uint64_t card_us,
                       struct gn_time now)
{
	Gnomon__V1__Sample sample = GNOMON__V1__SAMPLE__INIT;
	Gnomon__V1__CpuSample cpu = GNOMON__V1__CPU_SAMPLE__INIT;
	Gnomon__V1__MemorySample memory = GNOMON__V1__MEMORY_SAMPLE__INIT;
	struct gn_demand demand = {0};
	uint32_t maximum;

	set_state(brain, vm, stats->state);
	gn_brain_set_allocation(brain, vm, stats->allocation);
	if (gn_demand_from_host(&vm->counters, stats, host_us, &cpu, &memory, &sample.period_us) !=
	    GN_DEMAND_SAMPLE)
		return;
	sample.cpu = &cpu;
	sample.memory = &memory;
	/* Under a quota the vCPUs stay and the quota is what grows. */
	maximum = !stats->allocation                    ? 0
	          : stats->allocation->cpu_quota_us > 0 ? stats->allocation->vcpus
	                                                : stats->allocation->vcpus_maximum;
	gn_demand_from_sample(&sample, &vm->limits, maximum, &demand);
	gn_brain_weigh_host(brain, vm, &cpu, &demand, card_us);
	gn_hazards_sample(brain, vm, &sample, card_us);
	gn_brain_observe(brain, vm, &demand, card_us, now);
}

void gn_brain_host_stats(struct gn_brain *brain, const Gnomon__V1__HostStats *stats,
                         struct gn_time now)
{
	uint64_t card_us = gn_brain_to_card(brain, stats->monotonic_us, now, &brain->host_offset_us,
	                                    &brain->host_offset_known);
	size_t i;

	for (i = 0; i < stats->n_vms; i++) {
		const Gnomon__V1__HostVmStats *one = stats->vms[i];
		struct gn_vm *vm = gn_brain_vm(brain, one->name);

		if (one->shadow_of[0])
			continue; /* its room is reserved by the shadow */
		if (vm)
			take_stats(brain, vm, one, stats->monotonic_us, card_us, now);
		else
			note_stranger(brain, one->name, one->allocation, now);
	}
}

/* ---- the dataplane --------------------------------------------------------------------------- */

static void count_gaps(struct gn_brain *brain, struct gn_vm *vm, const Gnomon__V1__Sample *sample)
{
	if (vm->source_epoch == sample->source_epoch && sample->sequence > vm->sequence + 1 &&
	    vm->sequence)
		brain->n_lost += sample->sequence - vm->sequence - 1;
	vm->source_epoch = sample->source_epoch;
	vm->sequence = sample->sequence;
}

void gn_brain_samples(struct gn_brain *brain, const Gnomon__V1__SampleBatch *batch,
                      struct gn_time now)
{
	size_t i;

	for (i = 0; i < batch->n_samples; i++) {
		const Gnomon__V1__Sample *sample = batch->samples[i];
		struct gn_vm *vm = gn_brain_vm(brain, sample->vm);
		struct gn_demand demand = {0};
		uint64_t card_us;

		if (!vm)
			continue;
		count_gaps(brain, vm, sample);
		card_us = gn_brain_to_card(brain, sample->monotonic_us, now,
		                           &brain->dataplane_offset_us,
		                           &brain->dataplane_offset_known);
		gn_demand_from_sample(sample, &vm->limits, 0, &demand);
		gn_hazards_sample(brain, vm, sample, card_us);
		gn_brain_observe(brain, vm, &demand, card_us, now);
	}
}

void gn_brain_meters(struct gn_brain *brain, const Gnomon__V1__MeterList *meters)
{
	size_t i;

	for (i = 0; i < brain->n_vms; i++)
		brain->vms[i]->limits = (struct gn_demand_limits){0};
	for (i = 0; i < meters->n_meters; i++) {
		const Gnomon__V1__Meter *meter = meters->meters[i];
		struct gn_vm *vm = gn_brain_vm(brain, meter->vm);

		if (vm)
			vm->limits = (struct gn_demand_limits){
			        .rx_bps = meter->rx_bps,
			        .tx_bps = meter->tx_bps,
			        .disk_operations = meter->disk_operations,
			        .disk_bytes = meter->disk_bytes,
			};
	}
}
