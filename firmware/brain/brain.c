/* brain.c - VMs, their policies and what is stored of them; events (brain.h). */
#include "firmware/brain/brain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/brain/brain_internal.h"
#include "firmware/brain/policy_message.h"
#include "firmware/message/message.h"

#define LEDGER_ENTRIES 8192
#define SAVE_US        ((uint64_t)60000000)

uint64_t gn_brain_card_time(struct gn_brain *brain, struct gn_time now)
{
	uint64_t progress = now.monotonic_us > brain->card_monotonic_us
	                            ? now.monotonic_us - brain->card_monotonic_us
	                            : 0;

	brain->card_us += progress;
	if (now.wall_us > brain->card_us)
		brain->card_us = now.wall_us;
	brain->card_monotonic_us = now.monotonic_us;
	return brain->card_us;
}

void gn_brain_tell(struct gn_brain *brain, const char *kind, const char *resource,
                   const char *format, ...)
{
	Gnomon__V1__Event event = GNOMON__V1__EVENT__INIT;
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	event.id = gn_store_next(brain->store, "event");
	event.wall_us = gn_time_now().wall_us;
	event.kind = (char *)kind;
	event.resource = (char *)resource;
	event.text = text;
	gn_store_put_event(brain->store, event.id, event.wall_us, kind, resource, text);
	if (brain->listener.event)
		brain->listener.event(brain->listener.context, &event);
}

/* ---- finding --------------------------------------------------------------------- */

static size_t place_of(const struct gn_brain *brain, const char *name)
{
	size_t low = 0, high = brain->n_vms;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (strcmp(name, brain->vms[middle]->name) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct gn_vm *gn_brain_vm(const struct gn_brain *brain, const char *name)
{
	size_t i = place_of(brain, name);

	return i < brain->n_vms && strcmp(brain->vms[i]->name, name) == 0 ? brain->vms[i] : NULL;
}

/* ---- storing --------------------------------------------------------------------- */

static void put_message(struct gn_brain *brain, const char *kind, const char *name,
                        const ProtobufCMessage *message)
{
	size_t size;
	void *bytes = gn_message_pack(message, &size);

	gn_store_put(brain->store, kind, name, bytes, size);
	free(bytes);
}

static void save_policy(struct gn_brain *brain, const struct gn_vm *vm)
{
	struct gn_policy_rules rules[GN_RESOURCE_END];
	Gnomon__V1__Policy *policy;
	unsigned i;

	for (i = 1; i < GN_RESOURCE_END; i++)
		rules[i] = vm->series[i].rules;
	policy = gn_policy_message(vm->name, vm->mode, rules);
	put_message(brain, "policy", vm->name, &policy->base);
	GN_MESSAGE_FREE(policy);
}

void gn_brain_save_first(struct gn_brain *brain, const struct gn_vm *vm)
{
	put_message(brain, "first", vm->name, &vm->first->base);
}

void gn_brain_save_predictors(struct gn_brain *brain, const struct gn_vm *vm)
{
	unsigned i;

	for (i = 1; i < GN_RESOURCE_END; i++) {
		char name[GN_NAME_SIZE + 32];
		size_t size;
		void *bytes;

		if (!vm->series[i].made_us)
			continue;
		snprintf(name, sizeof name, "%s/%s", vm->name,
		         gn_resource_key((enum gn_resource)i));
		bytes = gn_series_export(&vm->series[i], brain->config, &size);
		gn_store_put(brain->store, "predictor", name, bytes, size);
		free(bytes);
	}
	gn_hazards_save_vm(brain, vm);
	gn_packs_save_vm(brain, vm); /* in the same transaction: both are of one instant */
}

void gn_brain_save_changed(struct gn_brain *brain, const struct gn_vm *vm,
                           enum gn_resource resource)
{
	char key[GN_NAME_SIZE + 32];

	snprintf(key, sizeof key, "changed/%s/%s", vm->name, gn_resource_key(resource));
	gn_store_put_number(brain->store, key, vm->series[resource].changed_us);
}

void gn_brain_save_all(struct gn_brain *brain)
{
	size_t i;

	gn_packs_save_all(brain);
	gn_hazards_save_models(brain);
	gn_drives_save_all(brain);
	for (i = 0; i < brain->n_vms; i++) {
		const struct gn_vm *vm = brain->vms[i];

		if (!vm->from_config)
			put_message(brain, "vm", vm->name, &vm->spec->base);
		if (vm->policy_stored)
			save_policy(brain, vm);
		if (vm->first)
			gn_brain_save_first(brain, vm);
		gn_brain_save_predictors(brain, vm);
	}
}

void gn_brain_tick(struct gn_brain *brain, struct gn_time now)
{
	gn_ledger_advance(&brain->ledger, gn_brain_card_time(brain, now));
	gn_store_put_number(brain->store, "card_us", brain->card_us);
	gn_packs_tick(brain, now);
	gn_hazards_tick(brain, now);
	if (!brain->n_vms)
		return;
	/* Each VM about once a minute: what is younger is learnt again from the history. */
	if (now.monotonic_us - brain->saved_us < SAVE_US / brain->n_vms)
		return;
	brain->saved_us = now.monotonic_us;
	gn_brain_save_predictors(brain, brain->vms[brain->next_saved++ % brain->n_vms]);
	gn_hazards_save_models(brain);
}

/* ---- a VM -------------------------------------------------------------------------- */

static void destroy_vm(struct gn_vm *vm)
{
	unsigned i;

	for (i = 1; i < GN_RESOURCE_END; i++)
		gn_series_fini(&vm->series[i]);
	GN_MESSAGE_FREE(vm->spec);
	GN_MESSAGE_FREE(vm->allocation);
	GN_MESSAGE_FREE(vm->first);
	GN_MESSAGE_FREE(vm->host_vm);
	GN_MESSAGE_FREE(vm->guest);
	free(vm->hazard);
	free(vm);
}

/* NULL: the configuration does not name it. */
static const struct gn_config_vm *configured(const struct gn_config *config, const char *name)
{
	unsigned i;

	for (i = 0; i < config->vms_count; i++)
		if (strcmp(config->vms[i].name, name) == 0)
			return &config->vms[i];
	return NULL;
}

static struct gn_vm *create_vm(struct gn_brain *brain, const Gnomon__V1__VmSpec *spec)
{
	struct gn_vm *vm = gn_message_alloc(sizeof *vm);
	const struct gn_config_vm *seed = configured(brain->config, spec->name);
	struct gn_policy_rules rules[GN_RESOURCE_END];
	unsigned i;

	snprintf(vm->name, sizeof vm->name, "%s", spec->name);
	vm->spec = GN_MESSAGE_COPY(Gnomon__V1__VmSpec, spec);
	vm->hazard = gn_hazards_new(brain);
	gn_config_rules(brain->config, seed ? seed->policy : NULL, rules, &vm->mode);
	for (i = 1; i < GN_RESOURCE_END; i++)
		gn_series_init(&vm->series[i], brain->config, &brain->packs.in_use,
		               (enum gn_resource)i, &rules[i]);
	return vm;
}

/* Learns again what the stored predictor has not seen, and fills the window. */
static void learn_from_history(struct gn_brain *brain, struct gn_vm *vm, struct gn_series *series,
                               uint64_t now_us)
{
	uint64_t learnt_us = series->made_us, interval_us, from_us;
	struct gn_store_point *points = NULL;
	size_t n = 0, i;

	from_us = now_us - brain->config->store.raw_s * 1000000ull;
	if (gn_store_history(brain->store, vm->name, series->resource, from_us, now_us, now_us,
	                     1u << 16, brain->config->period_ms * 1000ull, &points, &n,
	                     &interval_us))
		return;
	if (interval_us)
		n = 0; /* coarser than what the predictor learns from */
	series->seen = false;
	for (i = 0; i < n; i++) {
		struct gn_demand_value value = {
		        .valid = true, .value = points[i].mean, .allocated = points[i].allocated};

		if (points[i].wall_us > learnt_us)
			gn_series_observe(series, brain->config, points[i].wall_us, &value);
		else
			gn_policy_window_add(&series->window, points[i].wall_us,
			                     brain->config->period_ms * 3000ull + 2000000,
			                     value.value);
	}
	free(points);
	/* Figures are shown once a sample comes. */
	series->seen = false;
}

static void fenced_key(const struct gn_vm *vm, char key[GN_NAME_SIZE + 32])
{
	snprintf(key, GN_NAME_SIZE + 32, "fenced/%s", vm->name);
}

static void past_key(const struct gn_vm *vm, char key[GN_NAME_SIZE + 32])
{
	snprintf(key, GN_NAME_SIZE + 32, "past/%s", vm->name);
}

static void restore_moves(struct gn_brain *brain, struct gn_vm *vm)
{
	char key[GN_NAME_SIZE + 32];

	fenced_key(vm, key);
	vm->fenced = gn_store_number(brain->store, key) != 0;
	past_key(vm, key);
	vm->past = (enum gn_vm_past)gn_store_number(brain->store, key);
}

static void restore_series(struct gn_brain *brain, struct gn_vm *vm, struct gn_time now)
{
	unsigned i;

	for (i = 1; i < GN_RESOURCE_END; i++) {
		char key[GN_NAME_SIZE + 32];

		snprintf(key, sizeof key, "changed/%s/%s", vm->name,
		         gn_resource_key((enum gn_resource)i));
		vm->series[i].changed_us = gn_store_number(brain->store, key);
		learn_from_history(brain, vm, &vm->series[i], gn_brain_card_time(brain, now));
	}
	gn_brain_resume_sources(brain, vm, gn_brain_card_time(brain, now));
}

static void insert_vm(struct gn_brain *brain, struct gn_vm *vm, struct gn_time now)
{
	size_t at = place_of(brain, vm->name);

	brain->vms = realloc(brain->vms, (brain->n_vms + 1) * sizeof *brain->vms);
	if (!brain->vms)
		abort();
	memmove(&brain->vms[at + 1], &brain->vms[at], (brain->n_vms - at) * sizeof *brain->vms);
	brain->vms[at] = vm;
	brain->n_vms++;
	vm->ledger_entry = gn_ledger_open(&brain->ledger, vm->name, "allocation", now.wall_us);
}

int gn_brain_add_vm(struct gn_brain *brain, const Gnomon__V1__VmSpec *spec, bool from_config,
                    struct gn_time now, struct gn_vm **out)
{
	struct gn_vm *vm;

	if (gn_brain_vm(brain, spec->name))
		return -EEXIST;
	if (brain->n_vms >= brain->config->max_vms)
		return -ENOSPC;
	vm = create_vm(brain, spec);
	vm->from_config = from_config;
	/* An entry that the VM held while it was not managed is its own from now on. */
	gn_ledger_release(&brain->ledger, gn_ledger_find(&brain->ledger, vm->name));
	insert_vm(brain, vm, now);
	if (!from_config)
		put_message(brain, "vm", vm->name, &spec->base);
	if (out)
		*out = vm;
	return 0;
}

void gn_brain_remove_vm(struct gn_brain *brain, struct gn_vm *vm)
{
	size_t at = place_of(brain, vm->name);
	unsigned i;

	if (brain->listener.removed)
		brain->listener.removed(brain->listener.context, vm);
	gn_packs_forget_vm(brain, vm);
	gn_hazards_forget_vm(brain, vm);
	gn_ledger_release(&brain->ledger, vm->ledger_entry);
	/* One that is added under its name later is another. */
	gn_brain_set_fenced(brain, vm, false);
	gn_brain_set_past(brain, vm, GN_VM_NOT_STARTED);
	/* An empty spec says: not again from the configuration. */
	if (configured(brain->config, vm->name))
		gn_store_put(brain->store, "vm", vm->name, "", 0);
	else
		gn_store_delete(brain->store, "vm", vm->name);
	gn_store_delete(brain->store, "policy", vm->name);
	gn_store_delete(brain->store, "first", vm->name);
	for (i = 1; i < GN_RESOURCE_END; i++) {
		char name[GN_NAME_SIZE + 32];

		snprintf(name, sizeof name, "%s/%s", vm->name,
		         gn_resource_key((enum gn_resource)i));
		gn_store_delete(brain->store, "predictor", name);
	}
	gn_store_forget(brain->store, vm->name);
	memmove(&brain->vms[at], &brain->vms[at + 1], (--brain->n_vms - at) * sizeof *brain->vms);
	gn_brain_tell(brain, "vm.removed", vm->name, "%s is no longer behind the card", vm->name);
	destroy_vm(vm);
}

void gn_brain_set_fenced(struct gn_brain *brain, struct gn_vm *vm, bool fenced)
{
	char key[GN_NAME_SIZE + 32];

	if (vm->fenced == fenced)
		return;
	vm->fenced = fenced;
	fenced_key(vm, key);
	gn_store_put_number(brain->store, key, fenced);
}

void gn_brain_set_past(struct gn_brain *brain, struct gn_vm *vm, enum gn_vm_past past)
{
	char key[GN_NAME_SIZE + 32];

	if (vm->past == past)
		return;
	vm->past = past;
	past_key(vm, key);
	gn_store_put_number(brain->store, key, past);
}

void gn_brain_set_disk_path(struct gn_brain *brain, struct gn_vm *vm, const char *disk,
                            const char *path)
{
	size_t i;

	for (i = 0; i < vm->spec->n_disks; i++)
		if (strcmp(vm->spec->disks[i]->name, disk) == 0)
			gn_message_set(&vm->spec->disks[i]->path, "%s", path);
	vm->from_config = false; /* what is configured is out of date */
	put_message(brain, "vm", vm->name, &vm->spec->base);
}

void gn_brain_set_policy(struct gn_brain *brain, struct gn_vm *vm, enum gn_policy_mode mode,
                         const struct gn_policy_rules rules[GN_RESOURCE_END])
{
	static const char *const names[] = {"", "OFF", "FORECAST_ONLY", "ENFORCE"};
	enum gn_policy_mode before = vm->mode;
	unsigned i;

	vm->mode = mode;
	for (i = 1; i < GN_RESOURCE_END; i++)
		gn_series_set_rules(&vm->series[i], &rules[i]);
	vm->policy_stored = true;
	save_policy(brain, vm);
	if (before != mode)
		gn_brain_tell(brain, "mode", vm->name, "mode is now %s, was %s", names[mode],
		              names[before]);
}

/* ---- taking over what is stored ------------------------------------------------------- */

struct loading {
	struct gn_brain *brain;
	struct gn_time now;
};

static void load_vm(void *context, const char *name, const void *bytes, size_t size)
{
	struct loading *loading = context;
	Gnomon__V1__VmSpec *spec = NULL;

	if (size)
		spec = (Gnomon__V1__VmSpec *)gn_message_parse(&gnomon__v1__vm_spec__descriptor,
		                                              bytes, size);
	if (spec && gn_name_is_vm(spec->name) && !gn_brain_vm(loading->brain, spec->name)) {
		struct gn_vm *vm = create_vm(loading->brain, spec);

		insert_vm(loading->brain, vm, loading->now);
	}
	GN_MESSAGE_FREE(spec);
}

struct removed {
	const char *name;
	bool found;
};

static void look_for_removed(void *context, const char *name, const void *bytes, size_t size)
{
	struct removed *removed = context;

	if (size == 0 && strcmp(name, removed->name) == 0)
		removed->found = true;
}

static void load_policy(void *context, const char *name, const void *bytes, size_t size)
{
	struct loading *loading = context;
	struct gn_vm *vm = gn_brain_vm(loading->brain, name);
	struct gn_policy_rules rules[GN_RESOURCE_END];
	Gnomon__V1__Policy *policy;
	unsigned i;

	if (!vm)
		return;
	policy = (Gnomon__V1__Policy *)gn_message_parse(&gnomon__v1__policy__descriptor, bytes,
	                                                size);
	for (i = 1; i < GN_RESOURCE_END; i++)
		rules[i] = vm->series[i].rules;
	if (policy && gn_policy_message_apply(policy, NULL, 0, &vm->mode, rules, NULL) == 0) {
		for (i = 1; i < GN_RESOURCE_END; i++)
			gn_series_set_rules(&vm->series[i], &rules[i]);
		vm->policy_stored = true;
	}
	GN_MESSAGE_FREE(policy);
}

static void load_first(void *context, const char *name, const void *bytes, size_t size)
{
	struct loading *loading = context;
	struct gn_vm *vm = gn_brain_vm(loading->brain, name);

	if (vm && !vm->first)
		vm->first = (Gnomon__V1__Allocation *)gn_message_parse(
		        &gnomon__v1__allocation__descriptor, bytes, size);
}

static void load_predictor(void *context, const char *name, const void *bytes, size_t size)
{
	struct loading *loading = context;
	const char *slash = strrchr(name, '/');
	char vm_name[GN_NAME_SIZE];
	enum gn_resource resource;
	struct gn_vm *vm;

	if (!slash || !gn_name_vm_of(name, vm_name))
		return;
	vm = gn_brain_vm(loading->brain, vm_name);
	resource = gn_resource_from_key(slash + 1, (uint32_t)strlen(slash + 1));
	if (vm && resource)
		gn_series_import(&vm->series[resource], loading->brain->config, bytes, size);
}

static Gnomon__V1__VmSpec *spec_of(const struct gn_config_vm *vm)
{
	Gnomon__V1__VmSpec *spec = GN_MESSAGE_NEW(Gnomon__V1__VmSpec, gnomon__v1__vm_spec__init);
	unsigned i;

	gn_message_set(&spec->name, "%s", vm->name);
	for (i = 0; i < vm->nics_count; i++) {
		Gnomon__V1__VmSpec__Nic *nic =
		        GN_MESSAGE_NEW(Gnomon__V1__VmSpec__Nic, gnomon__v1__vm_spec__nic__init);

		gn_message_set(&nic->name, "%s", vm->nics[i].name);
		nic->vlan = vm->nics[i].vlan;
		nic->queues = vm->nics[i].queues;
		if (vm->nics[i].device)
			gn_message_set(&nic->device, "%s", vm->nics[i].device);
		GN_MESSAGE_APPEND(spec->nics, spec->n_nics, nic);
	}
	for (i = 0; i < vm->disks_count; i++) {
		Gnomon__V1__VmSpec__Disk *disk =
		        GN_MESSAGE_NEW(Gnomon__V1__VmSpec__Disk, gnomon__v1__vm_spec__disk__init);

		gn_message_set(&disk->name, "%s", vm->disks[i].name);
		gn_message_set(&disk->path, "%s", vm->disks[i].path);
		disk->read_only = vm->disks[i].read_only;
		disk->queues = vm->disks[i].queues;
		if (vm->disks[i].nbd_listen)
			gn_message_set(&disk->nbd_listen, "%s", vm->disks[i].nbd_listen);
		GN_MESSAGE_APPEND(spec->disks, spec->n_disks, disk);
	}
	return spec;
}

static void load_configured(struct gn_brain *brain, struct gn_time now)
{
	unsigned i;

	for (i = 0; i < brain->config->vms_count; i++) {
		struct removed removed = {.name = brain->config->vms[i].name};
		Gnomon__V1__VmSpec *spec;

		gn_store_each(brain->store, "vm", look_for_removed, &removed);
		if (removed.found)
			continue;
		spec = spec_of(&brain->config->vms[i]);
		gn_brain_add_vm(brain, spec, true, now, NULL);
		GN_MESSAGE_FREE(spec);
	}
}

int gn_brain_create(const struct gn_config *config, struct gn_store *store, struct gn_time now,
                    struct gn_brain **out)
{
	struct gn_brain *brain = gn_message_alloc(sizeof *brain);
	struct loading loading = {brain, now};
	size_t i;

	brain->config = config;
	brain->store = store;
	brain->started_us = now.wall_us;
	brain->card_monotonic_us = now.monotonic_us;
	brain->card_us = gn_store_number(store, "card_us");
	brain->entries = gn_message_alloc(LEDGER_ENTRIES * sizeof *brain->entries);
	brain->edges = gn_message_alloc(2 * LEDGER_ENTRIES * sizeof *brain->edges);
	gn_ledger_init(&brain->ledger, brain->entries, brain->edges, LEDGER_ENTRIES);
	gn_packs_open(&brain->packs, config, store, now.wall_us);
	gn_store_each(store, "vm", load_vm, &loading);
	load_configured(brain, now);
	gn_store_each(store, "policy", load_policy, &loading);
	gn_store_each(store, "first", load_first, &loading);
	gn_store_each(store, "predictor", load_predictor, &loading);
	gn_packs_load_trials(brain);
	gn_hazards_open(brain);
	gn_drives_open(brain);
	for (i = 0; i < brain->n_vms; i++) {
		restore_moves(brain, brain->vms[i]);
		restore_series(brain, brain->vms[i], now);
	}
	*out = brain;
	return 0;
}

void gn_brain_destroy(struct gn_brain *brain)
{
	size_t i;

	if (!brain)
		return;
	gn_hazards_save_models(brain);
	for (i = 0; i < brain->n_vms; i++) {
		gn_brain_save_predictors(brain, brain->vms[i]);
		destroy_vm(brain->vms[i]);
	}
	gn_packs_close(&brain->packs);
	gn_drives_close(brain);
	free(brain->vms);
	free(brain->entries);
	free(brain->edges);
	GN_MESSAGE_FREE(brain->host);
	free(brain);
}
