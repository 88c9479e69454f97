/* packs.c - see packs.h. Roles and the store here; what the trial measured, in words and
 * figures, in packs_trial.c. */
#include "firmware/brain/packs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/brain/brain.h"
#include "firmware/brain/packs_internal.h"
#include "firmware/message/message.h"

static const char *const keys[GN_PACKS_ROLES] = {"active", "trial", "previous", "rejected"};
static const Gnomon__V1__Model__Role roles[GN_PACKS_ROLES] = {
        GNOMON__V1__MODEL__ROLE__ACTIVE, GNOMON__V1__MODEL__ROLE__TRIAL,
        GNOMON__V1__MODEL__ROLE__PREVIOUS, GNOMON__V1__MODEL__ROLE__REJECTED};

/* ---- slots ------------------------------------------------------------------------- */

static Gnomon__V1__Model *record_of(const struct gn_model *model, uint64_t wall_us)
{
	Gnomon__V1__Model *record = GN_MESSAGE_NEW(Gnomon__V1__Model, gnomon__v1__model__init);
	const struct gn_pack_header *header = model ? &model->pack.header : NULL;
	char *at;

	record->since_us = wall_us;
	if (!model)
		return record;
	gn_message_set(&record->name, "%.*s", GN_PACK_NAME_SIZE, header->name);
	for (at = record->name; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
	record->serial = header->serial;
	record->trees = header->n_trees;
	record->depth = header->depth;
	record->size_bytes = model->pack.size;
	gn_message_set(&record->digest, "%016" PRIx64, model->digest);
	return record;
}

void gn_packs_describe(const struct gn_packs_slot *slot, char *text, size_t size)
{
	if (slot->record && slot->record->name[0])
		snprintf(text, size, "'%s' serial %u", slot->record->name, slot->record->serial);
	else
		snprintf(text, size, "no pack");
}

static void clear(struct gn_packs_slot *slot)
{
	gn_model_destroy(slot->model);
	GN_MESSAGE_FREE(slot->record);
	*slot = (struct gn_packs_slot){0};
}

static void set(struct gn_packs *packs, enum gn_packs_role role, struct gn_packs_slot slot)
{
	clear(&packs->slots[role]);
	packs->slots[role] = slot;
	if (slot.record)
		slot.record->role = roles[role];
}

static struct gn_packs_slot take(struct gn_packs *packs, enum gn_packs_role role)
{
	struct gn_packs_slot slot = packs->slots[role];

	packs->slots[role] = (struct gn_packs_slot){0};
	return slot;
}

static const struct gn_pack *pack_in(const struct gn_packs *packs, enum gn_packs_role role)
{
	const struct gn_model *model = packs->slots[role].model;

	return model ? &model->pack : NULL;
}

/* What the series see follows the slots. */
static void put_in_use(struct gn_packs *packs)
{
	const struct gn_model *trial = packs->slots[GN_PACKS_TRIAL].model;

	packs->in_use.active = pack_in(packs, GN_PACKS_ACTIVE);
	packs->in_use.trial = pack_in(packs, GN_PACKS_TRIAL);
	packs->in_use.trial_digest = trial ? trial->digest : 0;
}

static bool holds(const struct gn_packs *packs, enum gn_packs_role role,
                  const struct gn_model *model)
{
	const struct gn_model *mine = packs->slots[role].model;

	return mine && mine->digest == model->digest && mine->pack.size == model->pack.size &&
	       memcmp(mine->bytes, model->bytes, model->pack.size) == 0;
}

/* ---- the store ----------------------------------------------------------------------- */

static int save(struct gn_store *store, const struct gn_packs *packs, enum gn_packs_role role)
{
	const struct gn_packs_slot *slot = &packs->slots[role];
	size_t size;
	void *bytes;
	int error;

	/* What the configuration says is read from there at every start. */
	if (!slot->record || (role == GN_PACKS_ACTIVE && slot->record->shipped))
		return gn_store_delete(store, "model", keys[role]) |
		       gn_store_delete(store, "model_pack", keys[role]);
	bytes = gn_message_pack(&slot->record->base, &size);
	error = gn_store_put(store, "model", keys[role], bytes, size);
	free(bytes);
	if (slot->model)
		return error | gn_store_put(store, "model_pack", keys[role], slot->model->bytes,
		                            slot->model->size);
	return error | gn_store_delete(store, "model_pack", keys[role]);
}

static int save_roles(struct gn_store *store, const struct gn_packs *packs)
{
	int error = 0;

	for (unsigned role = 0; role < GN_PACKS_ROLES; role++)
		error |= save(store, packs, (enum gn_packs_role)role);
	return error;
}

void gn_packs_save_all(struct gn_brain *brain)
{
	save_roles(brain->store, &brain->packs);
}

/* ---- opening --------------------------------------------------------------------------- */

struct opening {
	struct gn_packs *packs;
	const struct gn_config *config;
};

static void note(struct gn_packs *packs, const char *what, const char *then)
{
	size_t used = strlen(packs->note);

	snprintf(packs->note + used, sizeof packs->note - used, "%s%s; %s", used ? "; " : "", what,
	         then);
}

static int role_of(const char *key)
{
	for (int role = 0; role < GN_PACKS_ROLES; role++)
		if (strcmp(keys[role], key) == 0)
			return role;
	return -1;
}

static void open_record(void *context, const char *name, const void *bytes, size_t size)
{
	struct opening *opening = context;
	int role = role_of(name);
	struct gn_packs_slot slot = {0};

	slot.record =
	        (Gnomon__V1__Model *)gn_message_parse(&gnomon__v1__model__descriptor, bytes, size);
	if (role < 0)
		clear(&slot);
	else
		set(opening->packs, (enum gn_packs_role)role, slot);
}

static void open_pack(void *context, const char *name, const void *bytes, size_t size)
{
	struct opening *opening = context;
	struct gn_packs_slot *slot;
	struct gn_status status;
	char what[64];
	int role = role_of(name);

	if (role < 0 || !opening->packs->slots[role].record)
		return;
	slot = &opening->packs->slots[role];
	snprintf(what, sizeof what, "(stored, %s)", name);
	if (!opening->config->model_key)
		gn_status_set(
		        &status, GN_FAILED_PRECONDITION,
		        "model_key is no longer configured, so stored packs are not believed");
	else if (gn_model_from_bytes(bytes, size, opening->config->model_key, what, &slot->model,
	                             &status) == 0)
		return;
	note(opening->packs, status.message, "it is dropped");
	clear(slot);
}

/* A record of a pack without the pack: damage, or an interrupted recovery. */
static void drop_incomplete(struct gn_packs *packs)
{
	for (unsigned role = 0; role < GN_PACKS_REJECTED; role++) {
		struct gn_packs_slot *slot = &packs->slots[role];

		if (slot->record && slot->record->name[0] && !slot->model)
			clear(slot);
	}
}

/* A pack that cannot be believed is not used; forecasting goes on without. */
static struct gn_model *load_shipped(struct gn_packs *packs, const struct gn_config *config)
{
	struct gn_model *model = NULL;
	struct gn_status status;

	if (!config->model_pack)
		return NULL;
	if (!config->model_key)
		note(packs, "model_pack is given without model_key",
		     "it is not used. Give the public key that it was signed with");
	else if (gn_model_load(config->model_pack, config->model_key, &model, &status))
		note(packs, status.message, "forecasting without it");
	return model;
}

static const char *why_shipped(enum gn_packs_role role, const struct gn_model *model)
{
	if (role == GN_PACKS_TRIAL)
		return "came with an update of the firmware";
	return model ? "the configuration's model_pack" : "the configuration names no model_pack";
}

/* The configuration's pack is active, unless another was adopted: then a new one goes on
 * trial. False: it could not, another trial is under way. */
static bool place_shipped(struct gn_packs *packs, struct gn_model *model, bool is_new,
                          uint64_t wall_us)
{
	enum gn_packs_role role =
	        packs->slots[GN_PACKS_ACTIVE].record ? GN_PACKS_TRIAL : GN_PACKS_ACTIVE;
	struct gn_packs_slot slot = {model, record_of(model, wall_us)};
	bool is_busy = false;

	slot.record->shipped = true;
	gn_message_set(&slot.record->decision, "%s", why_shipped(role, model));
	if (role == GN_PACKS_TRIAL) {
		bool is_wanted = model && is_new && !holds(packs, GN_PACKS_ACTIVE, model) &&
		                 !holds(packs, GN_PACKS_PREVIOUS, model) &&
		                 !holds(packs, GN_PACKS_TRIAL, model);

		is_busy = is_wanted && packs->slots[GN_PACKS_TRIAL].record;
		if (!is_wanted || is_busy) {
			clear(&slot);
			return !is_busy;
		}
	}
	set(packs, role, slot);
	return true;
}

void gn_packs_open(struct gn_packs *packs, const struct gn_config *config, struct gn_store *store,
                   uint64_t wall_us)
{
	struct opening opening = {packs, config};
	struct gn_model *shipped;
	uint64_t digest;

	*packs = (struct gn_packs){0};
	gn_store_each(store, "model", open_record, &opening);
	gn_store_each(store, "model_pack", open_pack, &opening);
	drop_incomplete(packs);
	shipped = load_shipped(packs, config);
	digest = shipped ? shipped->digest : 0;
	if (place_shipped(packs, shipped, gn_store_number(store, "model_shipped") != digest,
	                  wall_us))
		gn_store_put_number(store, "model_shipped", digest);
	put_in_use(packs);
}

void gn_packs_close(struct gn_packs *packs)
{
	for (unsigned role = 0; role < GN_PACKS_ROLES; role++)
		clear(&packs->slots[role]);
}

/* ---- a VM's part in the trial ------------------------------------------------------------ */

static void trial_name(const struct gn_vm *vm, unsigned resource, char *name, size_t size)
{
	snprintf(name, size, "%s/%s", vm->name, gn_resource_key((enum gn_resource)resource));
}

void gn_packs_save_vm(struct gn_brain *brain, const struct gn_vm *vm)
{
	char name[GN_NAME_SIZE + 32];
	size_t size;
	void *bytes;

	for (unsigned i = 1; i < GN_RESOURCE_END; i++) {
		if (!vm->series[i].trial)
			continue;
		trial_name(vm, i, name, sizeof name);
		bytes = gn_series_export_trial(&vm->series[i], &size);
		gn_store_put(brain->store, "trial", name, bytes, size);
		free(bytes);
	}
}

static void load_trial(void *context, const char *name, const void *bytes, size_t size)
{
	struct gn_brain *brain = context;
	const char *slash = strrchr(name, '/');
	char vm_name[GN_NAME_SIZE];
	enum gn_resource resource;
	struct gn_vm *vm;

	if (!slash || !gn_name_vm_of(name, vm_name))
		return;
	vm = gn_brain_vm(brain, vm_name);
	resource = gn_resource_from_key(slash + 1, (uint32_t)strlen(slash + 1));
	if (vm && resource && gn_series_import_trial(&vm->series[resource], bytes, size) == 0)
		brain->packs.n_series++;
}

void gn_packs_load_trials(struct gn_brain *brain)
{
	if (brain->packs.in_use.trial)
		gn_store_each(brain->store, "trial", load_trial, brain);
}

/* Ends the series' part, and its trace in the store. */
static void leave_trial(struct gn_brain *brain, struct gn_vm *vm, bool adopt)
{
	char name[GN_NAME_SIZE + 32];

	for (unsigned i = 1; i < GN_RESOURCE_END; i++) {
		if (!vm->series[i].trial)
			continue;
		gn_series_end_trial(&vm->series[i], adopt);
		brain->packs.n_series--;
		trial_name(vm, i, name, sizeof name);
		gn_store_delete(brain->store, "trial", name);
	}
}

void gn_packs_forget_vm(struct gn_brain *brain, struct gn_vm *vm)
{
	leave_trial(brain, vm, false);
}

static void end_trials(struct gn_brain *brain, bool adopt)
{
	for (size_t i = 0; i < brain->n_vms; i++)
		leave_trial(brain, brain->vms[i], adopt);
}

static uint64_t hash_of(const char *name)
{
	uint64_t hash = 14695981039346656037u;

	while (*name)
		hash = (hash ^ (uint8_t)*name++) * 1099511628211u;
	return hash >> 20;
}

static void take_in(struct gn_brain *brain)
{
	/* Whole VMs, as many as fit: a load's CPU, memory and network belong together. */
	uint64_t every = brain->n_vms * (GN_RESOURCE_END - 1) / GN_PACKS_TRIAL_SERIES + 1;

	for (size_t i = 0; i < brain->n_vms; i++) {
		struct gn_vm *vm = brain->vms[i];

		if (hash_of(vm->name) % every)
			continue;
		for (unsigned k = 1; k < GN_RESOURCE_END; k++)
			if (!vm->series[k].trial && brain->packs.n_series < GN_PACKS_TRIAL_SERIES &&
			    gn_series_begin_trial(&vm->series[k]))
				brain->packs.n_series++;
	}
}

/* ---- changes of roles -------------------------------------------------------------------- */

/* The pack on trial becomes active, or leaves only a record. */
static void decide(struct gn_brain *brain, bool adopt, struct gn_time now)
{
	struct gn_packs *packs = &brain->packs;
	char was[96], is[96];
	struct gn_packs_slot trial;

	gn_packs_describe(&packs->slots[GN_PACKS_ACTIVE], was, sizeof was);
	gn_packs_describe(&packs->slots[GN_PACKS_TRIAL], is, sizeof is);
	gn_packs_record_trial(brain, adopt);
	end_trials(brain, adopt);
	trial = take(packs, GN_PACKS_TRIAL);
	trial.record->since_us = now.wall_us;
	if (adopt) {
		struct gn_packs_slot active = take(packs, GN_PACKS_ACTIVE);

		active.record->since_us = now.wall_us;
		gn_message_set(&active.record->decision, "%s took its place", is);
		set(packs, GN_PACKS_PREVIOUS, active);
		set(packs, GN_PACKS_ACTIVE, trial);
	} else {
		gn_model_destroy(trial.model);
		trial.model = NULL;
		set(packs, GN_PACKS_REJECTED, trial);
	}
	put_in_use(packs);
	save_roles(brain->store, packs);
	gn_store_commit(brain->store, true);
	gn_brain_tell(brain, adopt ? "model.adopted" : "model.rejected",
	              adopt ? "models/active" : "models/rejected", "%s: %s", is,
	              trial.record->decision);
}

void gn_packs_tick(struct gn_brain *brain, struct gn_time now)
{
	struct gn_trial trial;

	if (!brain->packs.in_use.trial)
		return;
	gn_packs_measure(brain, &trial);
	switch (gn_trial_decide(&trial)) {
	case GN_TRIAL_BETTER:
		decide(brain, true, now);
		break;
	case GN_TRIAL_WORSE:
		decide(brain, false, now);
		break;
	case GN_TRIAL_WAIT:
		take_in(brain);
		break;
	}
}

static int check_import(const struct gn_packs *packs, const struct gn_model *model, bool replace,
                        struct gn_status *status)
{
	char other[96];

	if (holds(packs, GN_PACKS_ACTIVE, model))
		return gn_status_set(status, GN_ALREADY_EXISTS,
		                     "this pack is the active one; there is nothing to try");
	if (holds(packs, GN_PACKS_TRIAL, model))
		return gn_status_set(status, GN_ALREADY_EXISTS,
		                     "this pack is on trial already; see 'gnomonctl model list'");
	gn_packs_describe(&packs->slots[GN_PACKS_TRIAL], other, sizeof other);
	if (packs->slots[GN_PACKS_TRIAL].record && !replace)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "%s is on trial; wait for its end, or end it with --replace",
		                     other);
	for (unsigned role = 0; role < GN_PACKS_REJECTED; role++) {
		const struct gn_model *known = packs->slots[role].model;

		if (known && known->pack.header.serial == model->pack.header.serial &&
		    strcmp(known->pack.header.name, model->pack.header.name) == 0 &&
		    !holds(packs, (enum gn_packs_role)role, model))
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "another pack '%s' with serial %u is known; train "
			                     "this one with a --serial of its own",
			                     known->pack.header.name, known->pack.header.serial);
	}
	return 0;
}

int gn_packs_import(struct gn_brain *brain, const void *bytes, size_t size, bool replace,
                    struct gn_time now, struct gn_status *status)
{
	struct gn_packs *packs = &brain->packs;
	struct gn_packs_slot slot = {0}, before;
	char text[96];
	int error;

	if (!brain->config->model_key)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "the card has no key that packs are checked with; give "
		                     "model_key in gnomond.yaml and start gnomond again");
	if (size > GN_MODEL_FILE_MAX)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the pack has %zu bytes; at most %zu are possible", size,
		                     (size_t)GN_MODEL_FILE_MAX);
	error = gn_model_from_bytes(bytes, size, brain->config->model_key, "given", &slot.model,
	                            status);
	if (!error)
		error = check_import(packs, slot.model, replace, status);
	if (error) {
		clear(&slot);
		return error;
	}
	slot.record = record_of(slot.model, now.wall_us);
	before = take(packs, GN_PACKS_TRIAL);
	set(packs, GN_PACKS_TRIAL, slot);
	if (save_roles(brain->store, packs) || gn_store_commit(brain->store, true)) {
		set(packs, GN_PACKS_TRIAL, before);
		return gn_status_set(status, GN_UNAVAILABLE,
		                     "the pack cannot be stored, so nothing was changed: %s",
		                     gn_store_error(brain->store));
	}
	clear(&before);
	end_trials(brain, false);
	put_in_use(packs);
	take_in(brain);
	gn_packs_describe(&packs->slots[GN_PACKS_TRIAL], text, sizeof text);
	gn_brain_tell(brain, "model.trial", "models/trial", "%s is on trial on %u series", text,
	              packs->n_series);
	return 0;
}

static int end_trial_only(struct gn_brain *brain, struct gn_status *status)
{
	struct gn_packs *packs = &brain->packs;
	char text[96];

	if (!packs->slots[GN_PACKS_TRIAL].record)
		return gn_status_set(status, GN_FAILED_PRECONDITION, "no pack is on trial");
	gn_packs_describe(&packs->slots[GN_PACKS_TRIAL], text, sizeof text);
	end_trials(brain, false);
	set(packs, GN_PACKS_TRIAL, (struct gn_packs_slot){0});
	put_in_use(packs);
	save_roles(brain->store, packs);
	gn_brain_tell(brain, "model.rejected", "models/trial", "%s: an operator ended its trial",
	              text);
	return 0;
}

int gn_packs_rollback(struct gn_brain *brain, bool trial_only, struct gn_time now,
                      struct gn_status *status)
{
	struct gn_packs *packs = &brain->packs;
	struct gn_packs_slot active, previous;
	char from[96], to[96];

	if (trial_only)
		return end_trial_only(brain, status);
	if (!packs->slots[GN_PACKS_PREVIOUS].record)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "there is no previous pack to return to; see 'gnomonctl "
		                     "model list'");
	gn_packs_describe(&packs->slots[GN_PACKS_ACTIVE], from, sizeof from);
	gn_packs_describe(&packs->slots[GN_PACKS_PREVIOUS], to, sizeof to);
	active = take(packs, GN_PACKS_ACTIVE);
	previous = take(packs, GN_PACKS_PREVIOUS);
	active.record->since_us = previous.record->since_us = now.wall_us;
	gn_message_set(&active.record->decision, "an operator returned to %s", to);
	gn_message_set(&previous.record->decision, "an operator returned to it from %s", from);
	set(packs, GN_PACKS_ACTIVE, previous);
	set(packs, GN_PACKS_PREVIOUS, active);
	put_in_use(packs);
	end_trials(brain, false); /* measured anew, against the pack that is active now */
	save_roles(brain->store, packs);
	gn_brain_tell(brain, "model.rollback", "models/active",
	              "an operator returned to %s from %s", to, from);
	return 0;
}
