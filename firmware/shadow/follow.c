/* follow.c - how a shadow's disks follow the VM's, as the dataplane tells it every period. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/message/message.h"
#include "firmware/shadow/health.h"
#include "firmware/shadow/provision_internal.h"

#define SECOND_US       ((uint64_t)1000000)
#define CALL_TIMEOUT_US (10 * SECOND_US)
#define AGAIN_US        (10 * SECOND_US) /* between two attempts to have a disk follow again */
#define LINK_US         (5 * SECOND_US)  /* a dataplane that is silent for so long is lost */

/* One attempt that is not answered yet. */
struct attempt {
	struct gn_shadows *shadows;
	char vm[GN_NAME_SIZE];
	size_t disk;
};

_Static_assert((int)GN_SHADOW_CAUSE_LINK == GNOMON__V1__VOLUME_MIRROR_STATUS__REASON__LINK,
               "numbered alike");

static enum gn_shadow_state state_of(Gnomon__V1__VolumeMirrorStatus__State state)
{
	switch (state) {
	case GNOMON__V1__VOLUME_MIRROR_STATUS__STATE__IN_STEP:
		return GN_SHADOW_IN_STEP;
	case GNOMON__V1__VOLUME_MIRROR_STATUS__STATE__DEGRADED:
		return GN_SHADOW_DEGRADED;
	case GNOMON__V1__VOLUME_MIRROR_STATUS__STATE__STALE:
		return GN_SHADOW_STALE;
	default:
		return GN_SHADOW_SYNCING;
	}
}

static struct gn_shadow_disk disk_told(const Gnomon__V1__VolumeMirrorStatus *s)
{
	return (struct gn_shadow_disk){
	        .state = state_of(s->state),
	        .cause = (enum gn_shadow_cause)s->reason,
	        .lag_bytes = s->lag_bytes,
	        .lag_writes = s->lag_writes,
	        .lag_us = s->lag_us,
	        .journal_bytes = s->journal_bytes,
	        .journal_size_bytes = s->journal_size_bytes,
	        .resync_done_bytes = s->resync_done_bytes,
	        .resync_left_bytes = s->resync_left_bytes,
	        .resync_left_us = s->resync_left_us,
	        .point_us = s->point_us,
	};
}

/* ---- beginning anew -------------------------------------------------------------------- */

static struct gn_shadow_turn *turn_of(struct gn_shadow_record *record, size_t disk)
{
	struct gn_shadow_turn *turns;

	if (disk < record->n_turns)
		return &record->turns[disk];
	turns = gn_message_alloc((disk + 1) * sizeof *turns);
	if (record->n_turns)
		memcpy(turns, record->turns, record->n_turns * sizeof *turns);
	free(record->turns);
	record->turns = turns;
	record->n_turns = disk + 1;
	return &turns[disk];
}

/* What goes on failing in the same way is told once. */
static void note_problem(struct gn_shadow_record *record, size_t disk, const char *problem)
{
	struct gn_shadow_turn *turn = turn_of(record, disk);

	if (*problem && strcmp(turn->told, problem) != 0)
		gn_brain_tell(record->shadows->brain, "alert", "dataplane",
		              "a disk of %s cannot be made to follow: %s", record->message->name,
		              problem);
	snprintf(turn->told, sizeof turn->told, "%s", problem);
}

static void on_again(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct attempt *attempt = context;
	struct gn_shadows *shadows = attempt->shadows;
	struct gn_shadow_record *record = gn_shadows_find(shadows, attempt->vm);

	if (reply)
		gn_view_note_volume(shadows->view, (const Gnomon__V1__Volume *)reply);
	if (record && !shadows->closing)
		note_problem(record, attempt->disk, reply ? "" : status->message);
	free(attempt);
}

static void attempt(struct gn_shadow_record *record, const struct gn_vm *vm, size_t disk)
{
	struct attempt *attempt = gn_message_alloc(sizeof *attempt);

	attempt->shadows = record->shadows;
	attempt->disk = disk;
	snprintf(attempt->vm, sizeof attempt->vm, "%s", record->vm);
	gn_shadow_replicate(record, vm->spec->disks[disk]->name, gn_shadow_mode(record),
	                    CALL_TIMEOUT_US, on_again, attempt);
}

/* The dataplane lost it (its state was removed), or could not open the shadow's disk when it
 * started. A fenced one is not ours any more. */
static bool should_begin_anew(const Gnomon__V1__Volume *volume)
{
	const Gnomon__V1__VolumeMirrorStatus *s = volume->mirror_status;

	return !volume->mirror || !s ||
	       (s->state == GNOMON__V1__VOLUME_MIRROR_STATUS__STATE__STALE &&
	        s->reason == GNOMON__V1__VOLUME_MIRROR_STATUS__REASON__SHADOW_STORE);
}

/* Each disk has its own turn: one that goes on failing takes none from the others. */
static void begin_anew(struct gn_shadow_record *record, const struct gn_vm *vm, size_t disk,
                       const Gnomon__V1__Volume *volume, struct gn_time now)
{
	struct gn_shadow_turn *turn = turn_of(record, disk);

	if (record->shadow.busy || now.monotonic_us < turn->again_us)
		return;
	turn->again_us = now.monotonic_us + AGAIN_US;
	if (gn_shadow_ensure_replica(record, vm->spec->disks[disk]->name, volume->size_bytes))
		attempt(record, vm, disk);
}

void gn_shadow_apply_replication(struct gn_shadow_record *record)
{
	const struct gn_vm *vm = gn_brain_vm(record->shadows->brain, record->vm);

	record->shadow.follows = gn_shadow_mode(record) != GNOMON__V1__VOLUME_MIRROR__MODE__OFF;
	for (size_t i = 0; vm && i < vm->spec->n_disks; i++)
		if (!vm->spec->disks[i]->read_only)
			attempt(record, vm, i);
}

/* ---- looking --------------------------------------------------------------------------- */

static void add_disk(struct gn_shadow_record *record, const char *name,
                     const Gnomon__V1__Volume *volume)
{
	Gnomon__V1__ShadowDisk *disk =
	        GN_MESSAGE_NEW(Gnomon__V1__ShadowDisk, gnomon__v1__shadow_disk__init);
	char path[3300];

	gn_shadow_disk_path(record, name, ".raw", path, sizeof path);
	gn_message_set(&disk->name, "%s", name);
	gn_message_set(&disk->path, "%s", path);
	gn_message_set(&disk->volume, "%s", volume->name);
	if (volume->mirror_status)
		disk->status =
		        GN_MESSAGE_COPY(Gnomon__V1__VolumeMirrorStatus, volume->mirror_status);
	GN_MESSAGE_APPEND(record->message->disks, record->message->n_disks, disk);
}

static void forget_disks(Gnomon__V1__Shadow *message)
{
	while (message->n_disks)
		GN_MESSAGE_FREE(message->disks[--message->n_disks]);
	GN_MESSAGE_FREE(message->lag);
	message->lag = NULL;
}

static void tell_lag(Gnomon__V1__Shadow *message, const struct gn_shadow_disk *all)
{
	Gnomon__V1__ShadowLag *lag =
	        GN_MESSAGE_NEW(Gnomon__V1__ShadowLag, gnomon__v1__shadow_lag__init);

	lag->bytes = all->lag_bytes;
	lag->writes = all->lag_writes;
	lag->us = all->lag_us;
	lag->journal_bytes = all->journal_bytes;
	lag->journal_size_bytes = all->journal_size_bytes;
	lag->resync_done_bytes = all->resync_done_bytes;
	lag->resync_left_bytes = all->resync_left_bytes;
	lag->resync_left_us = all->resync_left_us;
	lag->cause = (Gnomon__V1__VolumeMirrorStatus__Reason)all->cause;
	message->lag = lag;
	message->disk_point_us = all->point_us;
}

static void look_at_disks(struct gn_shadow_record *record, const struct gn_vm *vm,
                          struct gn_shadow_health *health, struct gn_time now)
{
	for (size_t i = 0; i < vm->spec->n_disks; i++) {
		const char *disk = vm->spec->disks[i]->name;
		const Gnomon__V1__Volume *volume;
		struct gn_shadow_disk told = {.state = GN_SHADOW_SYNCING,
		                              .cause = GN_SHADOW_CAUSE_RESTARTED};
		char name[GN_NAME_SIZE];

		gn_name_volume(record->vm, false, disk, name);
		volume = gn_view_volume(record->shadows->view, name);
		if (!volume || vm->spec->disks[i]->read_only)
			continue;
		if (volume->mirror_status)
			told = disk_told(volume->mirror_status);
		if (should_begin_anew(volume))
			begin_anew(record, vm, i, volume, now);
		add_disk(record, disk, volume);
		gn_shadow_health_add(health, &told);
	}
}

static bool link_is_lost(struct gn_shadows *shadows, struct gn_time now)
{
	if (gn_peer_is_connected(shadows->dataplane) || !shadows->reached_us)
		shadows->reached_us = now.monotonic_us;
	return now.monotonic_us - shadows->reached_us > LINK_US;
}

enum gn_shadow_state gn_shadow_follow(struct gn_shadow_record *record, struct gn_time now)
{
	const struct gn_vm *vm = gn_brain_vm(record->shadows->brain, record->vm);
	struct gn_shadow_health health;

	if (!vm || !gn_shadow_stands(&record->shadow) || !vm->spec->n_disks)
		return GN_SHADOW_NONE;
	if (vm->fenced)
		return GN_SHADOW_PROMOTING;
	if (!record->shadow.follows) {
		forget_disks(record->message);
		return GN_SHADOW_STALE;
	}
	if (link_is_lost(record->shadows, now)) {
		if (record->message->lag)
			record->message->lag->cause =
			        (Gnomon__V1__VolumeMirrorStatus__Reason)GN_SHADOW_CAUSE_LINK;
		return GN_SHADOW_DEGRADED;
	}
	if (!record->shadows->view->volumes)
		return GN_SHADOW_NONE;
	forget_disks(record->message);
	gn_shadow_health_init(&health);
	look_at_disks(record, vm, &health, now);
	if (!health.n_disks)
		return GN_SHADOW_NONE;
	tell_lag(record->message, &health.all);
	return health.all.state;
}

/* ---- words ----------------------------------------------------------------------------- */

static void add_size(char *text, size_t size, uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	unsigned unit = 0;
	uint64_t tenths = bytes * 10;

	while (tenths >= 10240 && unit + 1 < sizeof units / sizeof units[0]) {
		tenths /= 1024;
		unit++;
	}
	if (unit)
		snprintf(text, size, "%llu.%llu %s", (unsigned long long)tenths / 10,
		         (unsigned long long)tenths % 10, units[unit]);
	else
		snprintf(text, size, "%llu %s", (unsigned long long)bytes, units[0]);
}

/* What the dataplane says of the disk that is worst off. */
static const char *own_words(const Gnomon__V1__Shadow *message)
{
	for (size_t i = 0; i < message->n_disks; i++) {
		const Gnomon__V1__VolumeMirrorStatus *s = message->disks[i]->status;

		if (s && s->reason == message->lag->cause && s->message[0])
			return s->message;
	}
	return gn_shadow_cause_text((enum gn_shadow_cause)message->lag->cause);
}

void gn_shadow_describe_disks(struct gn_shadow_record *record)
{
	Gnomon__V1__Shadow *message = record->message;
	const Gnomon__V1__ShadowLag *lag = message->lag;
	char a[24], b[24];

	if (record->shadow.state == GN_SHADOW_PROMOTING) {
		gn_message_set(&message->reason, "takes the place of %s", record->vm);
	} else if (!lag) {
		gn_message_set(&message->reason, "%s",
		               record->shadow.state == GN_SHADOW_DEGRADED
		                       ? gn_shadow_cause_text(GN_SHADOW_CAUSE_LINK)
		                       : "its disks begin to follow");
	} else if (record->shadow.state == GN_SHADOW_SYNCING) {
		add_size(a, sizeof a, lag->resync_done_bytes);
		add_size(b, sizeof b, lag->resync_left_bytes);
		gn_message_set(&message->reason, "%s copied, %s left", a, b);
	} else if (record->shadow.state == GN_SHADOW_IN_STEP) {
		add_size(a, sizeof a, lag->bytes);
		gn_message_set(&message->reason, "%s in %llu writes behind, the oldest %llu ms old",
		               a, (unsigned long long)lag->writes,
		               (unsigned long long)lag->us / 1000);
	} else {
		gn_message_set(&message->reason, "%s", own_words(message));
	}
}
