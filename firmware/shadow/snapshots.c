/* snapshots.c - see snapshots.h. A job goes through the VM's disks, one call after the other. */
#include "firmware/shadow/snapshots.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "firmware/message/message.h"
#include "firmware/shadow/provision_internal.h"
#include "firmware/shadow/retention.h"

#define COPY_TIMEOUT_US ((uint64_t)3600 * 1000000) /* without reflink a disk is copied */
#define CALL_TIMEOUT_US ((uint64_t)10 * 1000000)
#define AGAIN_US        ((uint64_t)60 * 1000000) /* after a failure of an automatic one */
#define PATH_SIZE       3500
#define MAX_ID          40
#define MAX_PER_SHADOW  512

struct gn_snapshots {
	struct gn_shadows *shadows;
	Gnomon__V1__SnapshotList list; /* by time of making */
	bool at_work;                  /* an automatic one is being made */
	uint64_t not_before_us;        /* wall: nor tried again */
};

enum kind { MAKE, EXPORT, REVERT };

struct job {
	struct gn_snapshots *all;
	enum kind kind;
	char vm[GN_NAME_SIZE];
	Gnomon__V1__Snapshot *snapshot; /* MAKE: what is being made; NULL: the shadow as it is */
	char *directory;                /* EXPORT */
	size_t disk;
	gn_snapshots_done *done;
	void *context;
};

/* ---- names and places ------------------------------------------------------------------ */

/* The part after "/shadow/snapshots/", or NULL. */
static const char *id_of(const char *name)
{
	static const char middle[] = "/shadow/snapshots/";
	const char *found = strstr(name, middle), *id;

	if (!found)
		return NULL;
	id = found + sizeof middle - 1;
	return *id && strlen(id) <= MAX_ID && *id != '-' &&
	                       strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(id)
	               ? id
	               : NULL;
}

static size_t index_of(const struct gn_snapshots *all, const char *name)
{
	size_t i;

	for (i = 0; i < all->list.n_snapshots; i++)
		if (strcmp(all->list.snapshots[i]->name, name) == 0)
			break;
	return i;
}

static bool is_of(const Gnomon__V1__Snapshot *snapshot, const char *vm)
{
	size_t length = strlen(vm);

	return strncmp(snapshot->name, vm, length) == 0 && snapshot->name[length] == '/';
}

static struct gn_shadow_record *record_of(const struct gn_snapshots *all, const char *name,
                                          char vm[GN_NAME_SIZE])
{
	return gn_name_vm_of(name, vm) ? gn_shadows_find(all->shadows, vm) : NULL;
}

static void place_of(const struct gn_shadow_record *record, const char *id, char out[PATH_SIZE])
{
	gn_shadow_disk_path(record, "snapshots", "/", out, PATH_SIZE);
	strncat(out, id, PATH_SIZE - strlen(out) - 1);
}

static void remove_files(const Gnomon__V1__Snapshot *snapshot)
{
	char directory[PATH_SIZE];
	char *slash;

	for (size_t i = 0; i < snapshot->n_paths; i++)
		unlink(snapshot->paths[i]);
	if (!snapshot->n_paths)
		return;
	snprintf(directory, sizeof directory, "%s", snapshot->paths[0]);
	for (int levels = 0; levels < 2 && (slash = strrchr(directory, '/')); levels++) {
		*slash = '\0';
		rmdir(directory); /* its own, then that of all when it was the last */
	}
}

/* ---- the store ------------------------------------------------------------------------- */

static int remember(struct gn_snapshots *all, Gnomon__V1__Snapshot *snapshot)
{
	struct gn_store *store = all->shadows->brain->store;
	size_t size;
	void *bytes = gn_message_pack(&snapshot->base, &size);
	int error = gn_store_put(store, "snapshot", snapshot->name, bytes, size);

	free(bytes);
	if (!error)
		error = gn_store_commit(store, true);
	if (!error)
		GN_MESSAGE_APPEND(all->list.snapshots, all->list.n_snapshots, snapshot);
	return error;
}

static void forget(struct gn_snapshots *all, size_t index)
{
	Gnomon__V1__Snapshot *snapshot = all->list.snapshots[index];

	remove_files(snapshot);
	gn_store_delete(all->shadows->brain->store, "snapshot", snapshot->name);
	memmove(&all->list.snapshots[index], &all->list.snapshots[index + 1],
	        (--all->list.n_snapshots - index) * sizeof *all->list.snapshots);
	GN_MESSAGE_FREE(snapshot);
}

static int by_time(const void *a, const void *b)
{
	const Gnomon__V1__Snapshot *const *x = a, *const *y = b;

	return (*x)->created_us < (*y)->created_us ? -1 : (*x)->created_us > (*y)->created_us;
}

static void load(void *context, const char *name, const void *bytes, size_t size)
{
	struct gn_snapshots *all = context;
	Gnomon__V1__Snapshot *snapshot = (Gnomon__V1__Snapshot *)gn_message_parse(
	        &gnomon__v1__snapshot__descriptor, bytes, size);

	if (snapshot)
		GN_MESSAGE_APPEND(all->list.snapshots, all->list.n_snapshots, snapshot);
}

/* ---- jobs ------------------------------------------------------------------------------ */

static void end(struct job *job, const struct gn_status *status, const ProtobufCMessage *message)
{
	job->done(job->context, status, message);
	GN_MESSAGE_FREE(job->snapshot);
	free(job->directory);
	free(job);
}

static void give_up(struct job *job, enum gn_code code, const char *why)
{
	struct gn_status status;

	if (job->kind == MAKE)
		remove_files(job->snapshot);
	gn_status_set(&status, code, "%s", why);
	end(job, &status, NULL);
}

static void finish_making(struct job *job)
{
	Gnomon__V1__Snapshot *snapshot = job->snapshot;
	const struct gn_status ok = {GN_OK, ""};

	if (remember(job->all, snapshot)) {
		give_up(job, GN_RESOURCE_EXHAUSTED,
		        "the snapshot cannot be remembered, so it is not kept: the store is full");
		return;
	}
	job->snapshot = NULL;
	end(job, &ok, &snapshot->base);
}

static void finish_reverting(struct job *job, struct gn_shadow_record *record)
{
	const struct gn_status ok = {GN_OK, ""};
	Gnomon__V1__Shadow *message = record->message;

	if (!message->replication)
		message->replication = GN_MESSAGE_NEW(Gnomon__V1__ShadowReplication,
		                                      gnomon__v1__shadow_replication__init);
	message->replication->mode = GNOMON__V1__SHADOW_REPLICATION__MODE__OFF;
	message->disk_point_us = job->snapshot->point_us;
	record->shadow.follows = false;
	gn_shadows_store(record);
	end(job, &ok, &message->base);
}

static void go_on(struct job *job);

static void on_copied(void *context, const struct gn_status *status,
                      const ProtobufCMessage *message)
{
	const Gnomon__V1__CloneVolumeReply *reply = (const Gnomon__V1__CloneVolumeReply *)message;
	struct job *job = context;
	Gnomon__V1__Snapshot *s = job->snapshot;

	if (!reply) {
		give_up(job, status->code, status->message);
		return;
	}
	if (job->kind == MAKE) {
		if (!s->point_us || reply->wall_us < s->point_us)
			s->point_us = reply->wall_us;
		s->size_bytes += reply->size_bytes;
		s->reflink = reply->reflink && (job->disk == 0 || s->reflink);
	}
	job->disk++;
	go_on(job);
}

static void on_reverted(void *context, const struct gn_status *status,
                        const ProtobufCMessage *message)
{
	struct job *job = context;
	struct gn_shadow_record *record = gn_shadows_find(job->all->shadows, job->vm);
	const struct gn_vm *vm = gn_brain_vm(job->all->shadows->brain, job->vm);
	char from[PATH_SIZE], to[PATH_SIZE];

	if (message && record && vm && job->disk < vm->spec->n_disks) {
		const char *disk = vm->spec->disks[job->disk]->name;

		gn_shadow_disk_path(record, disk, ".raw.revert", from, sizeof from);
		gn_shadow_disk_path(record, disk, ".raw", to, sizeof to);
		if (rename(from, to) != 0) {
			give_up(job, GN_INTERNAL, strerror(errno));
			return;
		}
	}
	on_copied(context, status, message);
}

/* From a file, or, without one, from the shadow at a consistent point. */
static void copy(struct job *job, const char *disk, const char *source, const char *target)
{
	Gnomon__V1__CloneVolumeRequest request = GNOMON__V1__CLONE_VOLUME_REQUEST__INIT;
	char name[GN_NAME_SIZE];

	gn_name_volume(job->vm, false, disk, name);
	request.name = name;
	request.target_path = (char *)target;
	request.of_shadow = !source;
	if (source)
		request.source_path = (char *)source;
	gn_peer_call(job->all->shadows->dataplane, "CloneVolume", &request.base, COPY_TIMEOUT_US,
	             job->kind == REVERT ? on_reverted : on_copied, job);
}

static void on_parted(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct job *job = context;
	struct gn_shadow_record *record = gn_shadows_find(job->all->shadows, job->vm);
	const struct gn_vm *vm = gn_brain_vm(job->all->shadows->brain, job->vm);
	char target[PATH_SIZE];
	const char *disk;

	if (!reply || !record || !vm || job->disk >= vm->spec->n_disks) {
		give_up(job, reply ? GN_CANCELLED : status->code,
		        reply ? "the shadow is gone" : status->message);
		return;
	}
	gn_view_note_volume(job->all->shadows->view, (const Gnomon__V1__Volume *)reply);
	disk = vm->spec->disks[job->disk]->name;
	gn_shadow_disk_path(record, disk, ".raw.revert", target, sizeof target);
	unlink(target);
	copy(job, disk, job->snapshot->paths[job->disk], target);
}

static void make_one(struct job *job, struct gn_shadow_record *record,
                     const Gnomon__V1__VmSpec__Disk *disk)
{
	char target[PATH_SIZE], source[PATH_SIZE];
	bool is_file = disk->read_only || !record->shadow.follows;

	gn_shadow_disk_path(record, disk->name, ".raw", source, sizeof source);
	if (job->kind == MAKE) {
		char *path = NULL;

		place_of(record, id_of(job->snapshot->name), target);
		snprintf(target + strlen(target), sizeof target - strlen(target), "/%s.raw",
		         disk->name);
		gn_message_set(&path, "%s", target);
		GN_MESSAGE_APPEND(job->snapshot->paths, job->snapshot->n_paths, path);
	} else {
		snprintf(target, sizeof target, "%.3300s/%s-%s.raw", job->directory,
		         gn_name_domain(job->vm), disk->name);
	}
	if (job->snapshot && job->kind == EXPORT)
		copy(job, disk->name, job->snapshot->paths[job->disk], target);
	else
		copy(job, disk->name, is_file ? source : NULL, target);
}

static void go_on(struct job *job)
{
	struct gn_shadow_record *record = gn_shadows_find(job->all->shadows, job->vm);
	const struct gn_vm *vm = gn_brain_vm(job->all->shadows->brain, job->vm);
	const struct gn_status ok = {GN_OK, ""};

	if (!record || !vm) {
		give_up(job, GN_CANCELLED, "the shadow is gone");
	} else if (job->disk < vm->spec->n_disks) {
		if (job->kind == REVERT)
			gn_shadow_replicate(record, vm->spec->disks[job->disk]->name,
			                    GNOMON__V1__VOLUME_MIRROR__MODE__OFF, CALL_TIMEOUT_US,
			                    on_parted, job);
		else
			make_one(job, record, vm->spec->disks[job->disk]);
	} else if (job->kind == MAKE) {
		finish_making(job);
	} else if (job->kind == REVERT) {
		finish_reverting(job, record);
	} else {
		end(job, &ok, job->snapshot ? &job->snapshot->base : &record->message->base);
	}
}

static struct job *new_job(struct gn_snapshots *all, enum kind kind, const char *vm,
                           gn_snapshots_done *done, void *context)
{
	struct job *job = gn_message_alloc(sizeof *job);

	job->all = all;
	job->kind = kind;
	job->done = done;
	job->context = context;
	snprintf(job->vm, sizeof job->vm, "%s", vm);
	return job;
}

/* ---- the door -------------------------------------------------------------------------- */

static void refuse(gn_snapshots_done *done, void *context, const struct gn_status *status)
{
	done(context, status, NULL);
}

static size_t count_of(const struct gn_snapshots *all, const char *vm)
{
	size_t n = 0;

	for (size_t i = 0; i < all->list.n_snapshots; i++)
		n += is_of(all->list.snapshots[i], vm);
	return n;
}

static int check_new(const struct gn_snapshots *all, const char *name,
                     struct gn_shadow_record *record, const char *vm, struct gn_status *status)
{
	if (!id_of(name))
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "'%.100s' is no snapshot's name; give "
		        "vms/<vm>/shadow/snapshots/<name>, at most 40 of a-z, 0-9 and -",
		        name);
	if (!record || !gn_shadow_stands(&record->shadow))
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "'%.100s' has no shadow that stands; make one first", name);
	if (index_of(all, name) < all->list.n_snapshots)
		return gn_status_set(status, GN_ALREADY_EXISTS,
		                     "%s exists; choose another name or delete it first", name);
	if (count_of(all, vm) >= MAX_PER_SHADOW)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "%s/shadow has %d snapshots already; delete some", vm,
		                     MAX_PER_SHADOW);
	return gn_shadow_check_room(record, status);
}

static int make_places(const struct gn_shadow_record *record, const char *id,
                       struct gn_status *status)
{
	char all[PATH_SIZE], own[PATH_SIZE];

	gn_shadow_disk_path(record, "snapshots", "", all, sizeof all);
	place_of(record, id, own);
	if ((mkdir(all, 0711) == 0 || errno == EEXIST) &&
	    (mkdir(own, 0711) == 0 || errno == EEXIST))
		return 0;
	return gn_status_set(status, GN_FAILED_PRECONDITION, "%s cannot be made: %s", own,
	                     strerror(errno));
}

static void begin_making(struct gn_snapshots *all, const char *name, bool automatic,
                         gn_snapshots_done *done, void *context)
{
	char vm[GN_NAME_SIZE] = "";
	struct gn_shadow_record *record = record_of(all, name, vm);
	struct gn_status status = {GN_OK, ""};
	struct job *job;

	if (check_new(all, name, record, vm, &status) ||
	    make_places(record, id_of(name), &status)) {
		refuse(done, context, &status);
		return;
	}
	job = new_job(all, MAKE, vm, done, context);
	job->snapshot = GN_MESSAGE_NEW(Gnomon__V1__Snapshot, gnomon__v1__snapshot__init);
	gn_message_set(&job->snapshot->name, "%s", name);
	job->snapshot->created_us = gn_time_now().wall_us;
	job->snapshot->automatic = automatic;
	go_on(job);
}

void gn_snapshots_make(struct gn_snapshots *all, const char *name, gn_snapshots_done *done,
                       void *context)
{
	begin_making(all, name, false, done, context);
}

/* The snapshot, or NULL with a sentence. */
static Gnomon__V1__Snapshot *find(const struct gn_snapshots *all, const char *name,
                                  struct gn_status *status)
{
	size_t i = index_of(all, name);

	if (i < all->list.n_snapshots)
		return all->list.snapshots[i];
	gn_status_set(status, GN_NOT_FOUND,
	              "there is no snapshot '%.100s'; see 'gnomonctl snapshot list'", name);
	return NULL;
}

int gn_snapshots_delete(struct gn_snapshots *all, const char *name, struct gn_status *status)
{
	if (!find(all, name, status))
		return -ENOENT;
	forget(all, index_of(all, name));
	gn_store_commit(all->shadows->brain->store, true);
	return 0;
}

void gn_snapshots_export(struct gn_snapshots *all, const char *name, const char *directory,
                         gn_snapshots_done *done, void *context)
{
	char vm[GN_NAME_SIZE] = "";
	struct gn_shadow_record *record = record_of(all, name, vm);
	bool is_shadow = record && gn_name_ends_with(name, "/shadow");
	struct gn_status status = {GN_OK, ""};
	Gnomon__V1__Snapshot *snapshot = is_shadow ? NULL : find(all, name, &status);
	struct job *job;

	if (status.code == GN_OK && directory[0] != '/')
		gn_status_set(&status, GN_INVALID_ARGUMENT,
		              "directory is '%.100s'; give an absolute path on the card",
		              directory);
	if (status.code == GN_OK && is_shadow && !gn_shadow_stands(&record->shadow))
		gn_status_set(&status, GN_FAILED_PRECONDITION, "%s does not stand yet", name);
	if (status.code != GN_OK) {
		refuse(done, context, &status);
		return;
	}
	job = new_job(all, EXPORT, vm, done, context);
	job->snapshot = snapshot ? GN_MESSAGE_COPY(Gnomon__V1__Snapshot, snapshot) : NULL;
	job->directory = gn_message_string(directory);
	go_on(job);
}

void gn_snapshots_revert(struct gn_snapshots *all, const char *name, gn_snapshots_done *done,
                         void *context)
{
	char vm[GN_NAME_SIZE] = "";
	struct gn_shadow_record *record = record_of(all, name, vm);
	struct gn_status status = {GN_OK, ""};
	Gnomon__V1__Snapshot *snapshot = find(all, name, &status);
	struct job *job;

	if (snapshot && (!record || !gn_shadow_stands(&record->shadow) || record->shadow.busy ||
	                 record->shadow.toggling || record->shadow.runs ||
	                 snapshot->n_paths != record->shadow.n_disks))
		gn_status_set(&status, GN_FAILED_PRECONDITION,
		              "the shadow of %s runs, is at work or has other disks; stop it first",
		              vm);
	if (status.code != GN_OK) {
		refuse(done, context, &status);
		return;
	}
	job = new_job(all, REVERT, vm, done, context);
	job->snapshot = GN_MESSAGE_COPY(Gnomon__V1__Snapshot, snapshot);
	go_on(job);
}

size_t gn_snapshots_count(const struct gn_snapshots *all)
{
	return all->list.n_snapshots;
}

const Gnomon__V1__Snapshot *gn_snapshots_at(const struct gn_snapshots *all, size_t index)
{
	return all->list.snapshots[index];
}

/* ---- rules ----------------------------------------------------------------------------- */

static size_t rules_of(const struct gn_shadow_record *record,
                       struct gn_retention_rule rules[GN_RETENTION_MAX_RULES])
{
	size_t n = record->message->n_snapshots;

	if (n > GN_RETENTION_MAX_RULES)
		n = GN_RETENTION_MAX_RULES;
	for (size_t i = 0; i < n; i++)
		rules[i] = (struct gn_retention_rule){record->message->snapshots[i]->every_us,
		                                      record->message->snapshots[i]->keep};
	return n;
}

static void on_automatic(void *context, const struct gn_status *status,
                         const ProtobufCMessage *message)
{
	struct gn_snapshots *all = context;

	all->at_work = false;
	if (message || all->shadows->closing)
		return;
	all->not_before_us = gn_time_now().wall_us + AGAIN_US;
	gn_brain_tell(all->shadows->brain, "alert", "snapshots",
	              "a snapshot could not be taken by its rule: %s", status->message);
}

static void make_automatic(struct gn_snapshots *all, const struct gn_shadow_record *record,
                           uint64_t now_us)
{
	char name[2 * GN_NAME_SIZE], when[32];
	time_t seconds = (time_t)(now_us / 1000000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(when, sizeof when, "%Y%m%d-%H%M%S", &tm);
	snprintf(name, sizeof name, "%s/snapshots/auto-%s", record->message->name, when);
	all->at_work = true;
	begin_making(all, name, true, on_automatic, all);
}

static void follow_rules(struct gn_snapshots *all, const struct gn_shadow_record *record,
                         uint64_t now_us)
{
	struct gn_retention_rule rules[GN_RETENTION_MAX_RULES];
	uint64_t made_us[MAX_PER_SHADOW] = {0};
	size_t at[MAX_PER_SHADOW], n = 0, n_rules = rules_of(record, rules);
	bool keep[MAX_PER_SHADOW], is_due;

	for (size_t i = 0; i < all->list.n_snapshots && n < MAX_PER_SHADOW; i++) {
		const Gnomon__V1__Snapshot *s = all->list.snapshots[i];

		if (!s->automatic || !is_of(s, record->vm))
			continue;
		made_us[n] = s->created_us;
		at[n++] = i;
	}
	is_due = gn_retention_is_due(rules, n_rules, made_us, n, now_us);
	gn_retention_choose(rules, n_rules, made_us, n, keep);
	while (n-- > 0)
		if (!keep[n])
			forget(all, at[n]);
	if (is_due && !all->at_work && now_us >= all->not_before_us &&
	    record->message->disk_point_us)
		make_automatic(all, record, now_us);
}

void gn_snapshots_tick(struct gn_snapshots *all, struct gn_time now)
{
	for (size_t i = 0; i < gn_shadows_count(all->shadows); i++) {
		const struct gn_shadow_record *record = gn_shadows_at(all->shadows, i);

		if (record->message->n_snapshots && gn_shadow_stands(&record->shadow) &&
		    record->shadow.follows)
			follow_rules(all, record, now.wall_us);
	}
}

/* ---- life ------------------------------------------------------------------------------ */

static void on_shadow_removed(void *context, const char *vm)
{
	struct gn_snapshots *all = context;

	for (size_t i = all->list.n_snapshots; i > 0; i--)
		if (is_of(all->list.snapshots[i - 1], vm))
			forget(all, i - 1);
}

void gn_snapshots_create(struct gn_shadows *shadows, struct gn_snapshots **out)
{
	struct gn_snapshots *all = gn_message_alloc(sizeof *all);

	all->shadows = shadows;
	gnomon__v1__snapshot_list__init(&all->list);
	gn_store_each(shadows->brain->store, "snapshot", load, all);
	if (all->list.n_snapshots)
		qsort(all->list.snapshots, all->list.n_snapshots, sizeof *all->list.snapshots,
		      by_time);
	shadows->removed = on_shadow_removed;
	shadows->removed_context = all;
	*out = all;
}

void gn_snapshots_destroy(struct gn_snapshots *all)
{
	if (!all)
		return;
	while (all->list.n_snapshots)
		GN_MESSAGE_FREE(all->list.snapshots[--all->list.n_snapshots]);
	free(all->list.snapshots);
	free(all);
}
