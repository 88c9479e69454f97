/* provision.c - records of shadows, their events, their place in the store (provision.h). */
#include "firmware/shadow/provision.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "firmware/message/message.h"
#include "firmware/shadow/provision_internal.h"

/* ---- finding --------------------------------------------------------------------------- */

size_t gn_shadows_count(const struct gn_shadows *shadows)
{
	return shadows->n_records;
}

struct gn_shadow_record *gn_shadows_at(const struct gn_shadows *shadows, size_t index)
{
	return shadows->records[index];
}

struct gn_shadow_record *gn_shadows_find(const struct gn_shadows *shadows, const char *vm)
{
	size_t i;

	for (i = 0; i < shadows->n_records; i++)
		if (strcmp(shadows->records[i]->vm, vm) == 0)
			return shadows->records[i];
	return NULL;
}

/* ---- words ------------------------------------------------------------------------------- */

static void add_time(char *text, size_t size, uint64_t wall_us)
{
	time_t seconds = (time_t)(wall_us / 1000000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, size, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

/* Added to what is said of its disks. */
static void add_running(struct gn_shadow_record *record)
{
	Gnomon__V1__Shadow *message = record->message;
	const struct gn_shadow *s = &record->shadow;
	char when[64];

	if (s->toggling) {
		gn_message_set(&message->reason, "%s; is being %s%s%s", message->reason,
		               s->start ? "started" : "stopped", s->retry_us ? ": " : "",
		               s->retry_us ? record->failure : "");
	} else if (s->runs && s->follows && message->run_point_us) {
		add_time(when, sizeof when, message->run_point_us);
		gn_message_set(&message->reason, "%s; it runs on a copy of %s", message->reason,
		               when);
	} else {
		gn_message_set(&message->reason, "%s; %s", message->reason,
		               s->runs            ? "it runs"
		               : s->code == GN_OK ? "ready to start"
		                                  : record->why_failed);
	}
	if (s->gave_up)
		gn_message_set(&message->reason,
		               "%s; not everything could be cleaned up, see the log",
		               message->reason);
}

static void describe_standing(struct gn_shadow_record *record)
{
	Gnomon__V1__Shadow *message = record->message;
	char when[64];

	if (!record->shadow.n_disks) {
		gn_message_set(&message->reason, "it has no disk");
	} else if (record->shadow.follows) {
		gn_shadow_describe_disks(record);
	} else {
		add_time(when, sizeof when, message->disk_point_us);
		gn_message_set(&message->reason,
		               "its disk is of %s; what production wrote since is not in it", when);
	}
	add_running(record);
}

static void describe_failed(struct gn_shadow_record *record)
{
	gn_message_set(&record->message->reason, "%s: could not %s: %s%s",
	               gn_code_name(record->shadow.code),
	               gn_shadow_step_text(record->shadow.failed_step), record->why_failed,
	               record->shadow.gave_up ? "; not everything could be cleaned up, see the log"
	                                      : "");
}

/* The message follows the state machine. */
static void describe(struct gn_shadow_record *record)
{
	const struct gn_shadow *s = &record->shadow;
	Gnomon__V1__Shadow *message = record->message;

	message->state = (Gnomon__V1__ShadowState)s->state;
	message->start = s->start;
	message->runs = s->runs;
	message->armed = gn_shadow_is_armed(s);
	if (message->armed)
		gn_message_set(&message->reason, "waits for its trigger or schedule");
	else if (gn_shadow_is_at_rest(s))
		describe_failed(record);
	else if (gn_shadow_stands(s))
		describe_standing(record);
	else if (s->goal != GN_SHADOW_GOAL_STAND)
		gn_message_set(&message->reason, "is being %s: %s '%s'%s%s",
		               s->goal == GN_SHADOW_GOAL_GONE    ? "removed"
		               : s->goal == GN_SHADOW_GOAL_AGAIN ? "refreshed"
		                                                 : "cleaned up",
		               s->undoing ? "undoes" : "waits for the end of",
		               gn_shadow_step_text(s->step), s->retry_us ? "; waits: " : "",
		               s->retry_us ? record->failure : "");
	else
		gn_message_set(&message->reason, "step %u of %u: %s%s%s", (unsigned)s->step + 1,
		               (unsigned)GN_SHADOW_FIRST_RUN_STEP, gn_shadow_step_text(s->step),
		               s->retry_us ? "; waits: " : "", s->retry_us ? record->failure : "");
}

/* ---- storing ------------------------------------------------------------------------------ */

/* What is stored before the message. Another size is another version: then the shadow is
 * cleaned up and made anew by hand. */
struct head {
	uint32_t size;
	struct gn_shadow shadow;
	uint64_t scheduled_us;
	char why_failed[GN_STATUS_MESSAGE_SIZE];
};

int gn_shadows_store(struct gn_shadow_record *record)
{
	struct head head;
	size_t size;
	char *message = gn_message_pack(&record->message->base, &size), *bytes;
	int error;

	memset(&head, 0, sizeof head);
	head.size = sizeof head;
	head.shadow = record->shadow;
	head.scheduled_us = record->scheduled_us;
	memcpy(head.why_failed, record->why_failed, sizeof head.why_failed);
	bytes = gn_message_alloc(sizeof head + size);
	memcpy(bytes, &head, sizeof head);
	memcpy(bytes + sizeof head, message, size);
	error = gn_store_put(record->shadows->brain->store, "shadow", record->vm, bytes,
	                     sizeof head + size);
	free(bytes);
	free(message);
	if (!error)
		error = gn_store_commit(record->shadows->brain->store, false);
	return error;
}

void gn_shadows_save_all(struct gn_shadows *shadows)
{
	size_t i;

	for (i = 0; i < shadows->n_records; i++)
		gn_shadows_store(shadows->records[i]);
}

static void free_record(struct gn_shadow_record *record)
{
	GN_MESSAGE_FREE(record->message);
	free(record->turns);
	free(record);
}

static void forget(struct gn_shadow_record *record)
{
	struct gn_shadows *shadows = record->shadows;
	size_t i;

	for (i = 0; shadows->records[i] != record; i++)
		;
	memmove(&shadows->records[i], &shadows->records[i + 1],
	        (--shadows->n_records - i) * sizeof *shadows->records);
	gn_store_delete(shadows->brain->store, "shadow", record->vm);
	if (shadows->removed)
		shadows->removed(shadows->removed_context, record->vm);
	gn_shadow_remove_directory(record);
	gn_brain_tell(shadows->brain, "shadow.removed", record->message->name, "%s is removed%s",
	              record->message->name,
	              record->shadow.gave_up ? "; not everything could be undone: look for its "
	                                       "domain, files and sockets"
	                                     : "");
	free_record(record);
}

/* ---- events --------------------------------------------------------------------------------- */

static void set_triggers(struct gn_shadow_record *record)
{
	size_t i;

	for (i = 0; i < record->message->n_triggers && i < GN_SHADOW_MAX_TRIGGERS; i++)
		record->triggers[i] = (struct gn_shadow_trigger){
		        .threshold = record->message->triggers[i]->threshold,
		        .for_us = record->message->triggers[i]->for_us,
		};
}

static void tell(struct gn_shadow_record *record, enum gn_shadow_state before)
{
	/* Every step is stored; operators are told what they can see. */
	if (record->shadow.state == before && record->shadow.busy)
		return;
	gn_brain_tell(record->shadows->brain, "shadow.state", record->message->name, "%s: %s",
	              record->message->armed ? "armed" : gn_shadow_state_name(record->shadow.state),
	              record->message->reason);
}

static void handle(struct gn_shadow_record *record, const struct gn_shadow_event *event,
                   struct gn_time now)
{
	enum gn_shadow_state before = record->shadow.state;
	unsigned effects = gn_shadow_step(&record->shadow, event, now.wall_us);

	describe(record);
	if (effects & GN_SHADOW_FORGET) {
		forget(record);
		return;
	}
	if (effects & (GN_SHADOW_NEWS | GN_SHADOW_DO | GN_SHADOW_UNDO))
		gn_shadows_store(record);
	if (effects & GN_SHADOW_NEWS)
		tell(record, before);
	if (effects & GN_SHADOW_DO)
		gn_shadow_do(record, now);
	if (effects & GN_SHADOW_UNDO)
		gn_shadow_undo(record, now);
}

static void step(struct gn_shadow_record *record, enum gn_shadow_event_kind kind, enum gn_code code,
                 struct gn_time now)
{
	handle(record, &(struct gn_shadow_event){kind, code, GN_SHADOW_NONE}, now);
}

/* How its disks are, which changes all the time; only another state is stored and told. */
static void follow(struct gn_shadow_record *record, struct gn_time now)
{
	enum gn_shadow_state state = gn_shadow_follow(record, now);

	if (state != GN_SHADOW_NONE)
		handle(record, &(struct gn_shadow_event){GN_SHADOW_EVENT_HEALTH, GN_OK, state},
		       now);
}

void gn_shadows_answer(struct gn_shadow_record *record, enum gn_code code, const char *message)
{
	if (record->shadows->closing)
		return; /* done again after the restart */
	snprintf(record->failure, sizeof record->failure, "%s", code == GN_OK ? "" : message);
	if (code != GN_OK && !record->shadow.undoing)
		memcpy(record->why_failed, record->failure, sizeof record->why_failed);
	step(record, code == GN_OK ? GN_SHADOW_EVENT_DONE : GN_SHADOW_EVENT_FAILED, code,
	     gn_time_now());
}

static void make(struct gn_shadow_record *record, enum gn_shadow_event_kind kind, const char *by,
                 struct gn_time now)
{
	struct gn_vm *vm = gn_brain_vm(record->shadows->brain, record->vm);

	if (vm && gn_shadow_is_armed(&record->shadow)) {
		record->shadow.n_nics = (uint32_t)vm->spec->n_nics;
		record->shadow.n_disks = (uint32_t)vm->spec->n_disks;
	}
	if (gn_shadow_is_armed(&record->shadow) || gn_shadow_is_at_rest(&record->shadow)) {
		record->shadow.follows =
		        gn_shadow_mode(record) != GNOMON__V1__VOLUME_MIRROR__MODE__OFF;
		record->message->token = gn_store_next(record->shadows->brain->store, "lease");
	}
	record->shadow.generation =
	        (uint32_t)gn_store_next(record->shadows->brain->store, "shadow");
	gn_message_set(&record->message->made_by, "%s", by);
	record->message->created_us = now.wall_us;
	step(record, kind, GN_OK, now);
}

void gn_shadows_tick(struct gn_shadows *shadows, struct gn_time now)
{
	size_t i = shadows->n_records;

	while (i-- > 0) {
		struct gn_shadow_record *record = shadows->records[i];
		const Gnomon__V1__ShadowSchedule *schedule = record->message->schedule;
		bool idle = gn_shadow_is_armed(&record->shadow) ||
		            gn_shadow_is_at_rest(&record->shadow) ||
		            (gn_shadow_stands(&record->shadow) && !record->shadow.busy);

		if (idle && schedule &&
		    gn_shadow_is_due(schedule->first_us, schedule->every_us, record->scheduled_us,
		                     now.wall_us)) {
			record->scheduled_us = now.wall_us;
			make(record, GN_SHADOW_EVENT_REFRESH, "schedule", now);
			continue;
		}
		follow(record, now);
		step(record, GN_SHADOW_EVENT_TICK, GN_OK, now);
	}
}

void gn_shadows_observed(struct gn_shadows *shadows, const struct gn_vm *vm,
                         enum gn_resource resource, struct gn_time now)
{
	struct gn_shadow_record *record = gn_shadows_find(shadows, vm->name);
	uint64_t gap = shadows->brain->config->period_ms * 3000ull + 2000000;
	bool fires = false;
	char by[64];
	size_t i;

	if (!record || !gn_shadow_is_armed(&record->shadow))
		return;
	for (i = 0; i < record->message->n_triggers; i++)
		if ((enum gn_resource)record->message->triggers[i]->resource == resource &&
		    gn_shadow_trigger_observe(&record->triggers[i],
		                              vm->series[resource].newest.value,
		                              vm->series[resource].card_us, gap))
			fires = true;
	if (!fires)
		return;
	snprintf(by, sizeof by, "trigger %s", gn_resource_key(resource));
	make(record, GN_SHADOW_EVENT_MAKE, by, now);
}

/* ---- operators ------------------------------------------------------------------------------- */

static struct gn_shadow_record *insert(struct gn_shadows *shadows, const char *vm)
{
	struct gn_shadow_record *record = gn_message_alloc(sizeof *record);

	shadows->records =
	        realloc(shadows->records, (shadows->n_records + 1) * sizeof *shadows->records);
	if (!shadows->records)
		abort();
	shadows->records[shadows->n_records++] = record;
	record->shadows = shadows;
	snprintf(record->vm, sizeof record->vm, "%s", vm);
	return record;
}

static void begin_record(struct gn_shadow_record *record, const Gnomon__V1__Shadow *settings,
                         const struct gn_vm *vm, struct gn_time now)
{
	Gnomon__V1__Shadow *message = GN_MESSAGE_NEW(Gnomon__V1__Shadow, gnomon__v1__shadow__init);
	char domain[GN_NAME_SIZE];

	gn_name_shadow_domain(vm->name, domain);
	gn_message_set(&message->name, "%s/shadow", vm->name);
	gn_message_set(&message->vm, "%s", vm->name);
	gn_message_set(&message->domain, "%s", domain);
	gn_message_set(&message->pool_path, "%s", settings->pool_path);
	gn_shadow_take(message, settings, NULL, 0);
	message->created_us = now.wall_us;
	record->message = message;
	gn_shadow_init(&record->shadow, (uint32_t)vm->spec->n_nics, (uint32_t)vm->spec->n_disks,
	               settings->start);
	set_triggers(record);
}

int gn_shadows_add(struct gn_shadows *shadows, const Gnomon__V1__Shadow *settings,
                   struct gn_time now, struct gn_shadow_record **out, struct gn_status *status)
{
	char vm_name[GN_NAME_SIZE];
	struct gn_shadow_record *record;
	struct gn_vm *vm = NULL;
	bool later = settings->n_triggers || (settings->schedule && settings->schedule->first_us);

	if (gn_name_ends_with(settings->name, "/shadow") && gn_name_vm_of(settings->name, vm_name))
		vm = gn_brain_vm(shadows->brain, vm_name);
	else if (settings->vm[0])
		vm = gn_brain_vm(shadows->brain, settings->vm);
	if (!vm)
		return gn_status_set(status, GN_NOT_FOUND,
		                     "'%.80s' is no shadow of a VM behind the card; give "
		                     "vms/<vm>/shadow (gnomonctl vm list)",
		                     settings->name[0] ? settings->name : settings->vm);
	if (gn_shadows_find(shadows, vm->name))
		return gn_status_set(status, GN_ALREADY_EXISTS,
		                     "%s has a shadow already; change it, or delete it first",
		                     vm->name);
	if (gn_shadow_check(shadows, settings, vm, status))
		return -EINVAL;
	record = insert(shadows, vm->name);
	begin_record(record, settings, vm, now);
	describe(record);
	if (gn_shadows_store(record)) {
		shadows->n_records--;
		free_record(record);
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "the shadow cannot be stored, so it is not made: %s",
		                     gn_store_error(shadows->brain->store));
	}
	if (later)
		tell(record, GN_SHADOW_NONE);
	else
		make(record, GN_SHADOW_EVENT_MAKE, "operator", now);
	*out = record;
	return 0;
}

static void mirror_changed(void *context, const struct gn_status *status,
                           const ProtobufCMessage *reply)
{
	struct gn_shadows *shadows = context;

	if (reply)
		gn_view_note_mirror(shadows->view, (const Gnomon__V1__Mirror *)reply);
	else if (!shadows->closing)
		gn_brain_tell(shadows->brain, "alert", "dataplane",
		              "a shadow's mirror could not be changed: %s", status->message);
}

static void apply_mirror(struct gn_shadow_record *record)
{
	struct gn_vm *vm = gn_brain_vm(record->shadows->brain, record->vm);
	Gnomon__V1__Mirror *mirror;

	if (!vm || !vm->spec->n_nics || !gn_shadow_stands(&record->shadow))
		return;
	mirror = gn_shadow_mirror(record, vm);
	gn_peer_call(record->shadows->dataplane, "UpdateMirror", &mirror->base, 5000000,
	             mirror_changed, record->shadows);
	GN_MESSAGE_FREE(mirror);
}

static bool replication_is_named(char *const *mask, size_t n_mask)
{
	size_t i;

	for (i = 0; i < n_mask; i++)
		if (strcmp(mask[i], "replication") == 0)
			return true;
	return n_mask == 0;
}

int gn_shadows_update(struct gn_shadow_record *record, const Gnomon__V1__Shadow *settings,
                      char *const *mask, size_t n_mask, struct gn_time now,
                      struct gn_status *status)
{
	struct gn_vm *vm = gn_brain_vm(record->shadows->brain, record->vm);
	bool stands = gn_shadow_stands(&record->shadow) && !record->shadow.busy;
	Gnomon__V1__VolumeMirror__Mode mode = gn_shadow_mode(record);

	if (gn_shadow_check_mask(mask, n_mask, status) ||
	    (vm && gn_shadow_check(record->shadows, settings, vm, status)))
		return -EINVAL;
	if (!stands && !gn_shadow_is_armed(&record->shadow) &&
	    !gn_shadow_is_at_rest(&record->shadow))
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "%s is at work (%s); change it when that is done",
		                     record->message->name, record->message->reason);
	if (stands && record->shadow.runs && !record->shadow.follows &&
	    replication_is_named(mask, n_mask) &&
	    (!settings->replication ||
	     settings->replication->mode != GNOMON__V1__SHADOW_REPLICATION__MODE__OFF))
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "%s runs on the disk that is to follow; stop it first",
		                     record->message->name);
	gn_shadow_take(record->message, settings, mask, n_mask);
	set_triggers(record);
	apply_mirror(record);
	if (stands && (gn_shadow_mode(record) != mode || replication_is_named(mask, n_mask)))
		gn_shadow_apply_replication(record);
	if (stands)
		step(record, record->message->start ? GN_SHADOW_EVENT_START : GN_SHADOW_EVENT_STOP,
		     GN_OK, now);
	else
		record->shadow.start = record->message->start;
	describe(record);
	gn_shadows_store(record);
	return 0;
}

void gn_shadows_promoted(struct gn_shadow_record *record)
{
	size_t i;

	if (!record)
		return;
	record->message->token = gn_store_next(record->shadows->brain->store, "lease");
	for (i = 0; i < record->n_turns; i++)
		record->turns[i].again_us = 0;
	gn_shadows_store(record);
}

void gn_shadows_run(struct gn_shadow_record *record, bool run, struct gn_time now)
{
	step(record, run ? GN_SHADOW_EVENT_START : GN_SHADOW_EVENT_STOP, GN_OK, now);
}

void gn_shadows_note_rehearsal(struct gn_shadow_record *record,
                               const Gnomon__V1__Rehearsal *rehearsal)
{
	GN_MESSAGE_FREE(record->message->rehearsal);
	record->message->rehearsal = GN_MESSAGE_COPY(Gnomon__V1__Rehearsal, rehearsal);
	gn_shadows_store(record);
}

void gn_shadows_remove(struct gn_shadow_record *record, struct gn_time now)
{
	step(record, GN_SHADOW_EVENT_DELETE, GN_OK, now);
}

/* ---- restart -----------------------------------------------------------------------------------
 */

static void load_shadow(void *context, const char *name, const void *bytes, size_t size)
{
	struct gn_shadows *shadows = context;
	struct gn_shadow_record *record;
	Gnomon__V1__Shadow *message;
	struct head head;

	if (size < sizeof head || !gn_name_is_vm(name))
		return;
	memcpy(&head, bytes, sizeof head);
	message = (Gnomon__V1__Shadow *)gn_message_parse(&gnomon__v1__shadow__descriptor,
	                                                 (const char *)bytes + sizeof head,
	                                                 size - sizeof head);
	if (head.size != sizeof head || !message || message->n_triggers > GN_SHADOW_MAX_TRIGGERS) {
		GN_MESSAGE_FREE(message);
		return;
	}
	record = insert(shadows, name);
	record->message = message;
	record->shadow = head.shadow;
	record->scheduled_us = head.scheduled_us;
	memcpy(record->why_failed, head.why_failed, sizeof record->why_failed - 1);
	set_triggers(record);
}

/* The ledger is not stored: what stands or is being made holds its reservation again. */
static void reserve_again(struct gn_shadow_record *record, struct gn_time now)
{
	struct gn_ledger *ledger = &record->shadows->brain->ledger;
	struct gn_vm *vm = gn_brain_vm(record->shadows->brain, record->vm);
	const Gnomon__V1__ShadowScaling *scaling = record->message->scaling;
	uint64_t memory = scaling ? scaling->start_memory_bytes : 0;

	if (gn_shadow_is_armed(&record->shadow) || gn_shadow_is_at_rest(&record->shadow) || !vm)
		return;
	if (!memory && vm->first)
		memory = vm->first->memory_bytes;
	gn_ledger_record(
	        ledger, gn_ledger_open(ledger, record->message->name, "shadow", now.wall_us),
	        (struct gn_ledger_amount){.cpu_milli = gn_shadow_vcpus(record, vm) * 1000ull,
	                                  .memory_bytes = memory});
}

void gn_shadows_create(struct gn_brain *brain, struct gn_executor *executor,
                       struct gn_peer *dataplane, struct gn_view *view, struct gn_time now,
                       struct gn_shadows **out)
{
	struct gn_shadows *shadows = gn_message_alloc(sizeof *shadows);
	size_t i;

	shadows->brain = brain;
	shadows->executor = executor;
	shadows->dataplane = dataplane;
	shadows->view = view;
	gn_store_each(brain->store, "shadow", load_shadow, shadows);
	for (i = 0; i < shadows->n_records; i++)
		reserve_again(shadows->records[i], now);
	i = shadows->n_records;
	while (i-- > 0)
		step(shadows->records[i], GN_SHADOW_EVENT_RESUME, GN_OK, now);
	*out = shadows;
}

void gn_shadows_close(struct gn_shadows *shadows)
{
	shadows->closing = true;
}

void gn_shadows_destroy(struct gn_shadows *shadows)
{
	size_t i;

	if (!shadows)
		return;
	for (i = 0; i < shadows->n_records; i++)
		free_record(shadows->records[i]);
	free(shadows->records);
	free(shadows);
}
