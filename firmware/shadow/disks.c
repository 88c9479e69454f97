/* disks.c - a shadow's disks: the replicas that follow, and the copies that it runs on.
 *
 *   <pool>/web-1-shadow/vda.raw       follows volumes/web-1-vda; written by the replication alone
 *   <pool>/web-1-shadow/vda.raw.*     its lease, and its consistent point during a
 * resynchronisation <pool>/web-1-shadow/vda.run.raw   a copy at a consistent point, which the
 * domain runs on
 *
 * After a promotion the VM runs on vda.raw, and vda-b.raw follows; after the next one vda.raw
 * again.
 *
 * A disk that is read-only, or of a shadow that does not follow, is a copy of one instant, and what
 * the domain runs on. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "firmware/message/message.h"
#include "firmware/shadow/provision_internal.h"

#define SECOND_US        ((uint64_t)1000000)
#define CALL_TIMEOUT_US  (10 * SECOND_US)
#define CLONE_TIMEOUT_US (3600 * SECOND_US) /* without reflink a volume is copied */
#define PATH_SIZE        3300
#define LEAST_FREE_OF    20 /* a pool with less than one part in so many free takes nothing new */

static const Gnomon__V1__VmSpec__Disk *disk_of(const struct gn_shadow_record *record)
{
	const struct gn_vm *vm = gn_brain_vm(record->shadows->brain, record->vm);

	return vm && record->shadow.item < vm->spec->n_disks ? vm->spec->disks[record->shadow.item]
	                                                     : NULL;
}

/* ---- files ---------------------------------------------------------------------------- */

static const char *pool_of(const struct gn_shadow_record *record)
{
	return gn_shadow_pool(record) ?: "";
}

static void directory_of(const struct gn_shadow_record *record, char out[PATH_SIZE])
{
	char domain[GN_NAME_SIZE];

	gn_name_shadow_domain(record->vm, domain);
	snprintf(out, PATH_SIZE, "%.3000s/%s", pool_of(record), domain);
}

/* Since a promotion the VM runs on the file that followed: then another one follows. */
static bool is_production(const struct gn_shadow_record *record, const char *disk, const char *path)
{
	const struct gn_vm *vm = gn_brain_vm(record->shadows->brain, record->vm);

	for (size_t i = 0; vm && i < vm->spec->n_disks; i++)
		if (strcmp(vm->spec->disks[i]->name, disk) == 0)
			return strcmp(vm->spec->disks[i]->path, path) == 0;
	return false;
}

void gn_shadow_disk_path(const struct gn_shadow_record *record, const char *disk,
                         const char *suffix, char *out, size_t size)
{
	char directory[PATH_SIZE], first[PATH_SIZE];

	directory_of(record, directory);
	snprintf(first, sizeof first, "%.3200s/%.40s.raw", directory, disk);
	snprintf(out, size, "%.3200s/%.40s%s%.40s", directory, disk,
	         strncmp(suffix, ".raw", 4) == 0 && is_production(record, disk, first) ? "-b" : "",
	         suffix);
}

static bool make_directory(struct gn_shadow_record *record)
{
	char directory[PATH_SIZE], why[PATH_SIZE + 100];

	directory_of(record, directory);
	if ((mkdir(pool_of(record), 0711) == 0 || errno == EEXIST) &&
	    (mkdir(directory, 0711) == 0 || errno == EEXIST))
		return true;
	snprintf(why, sizeof why, "%s cannot be made: %s", directory, strerror(errno));
	gn_shadows_answer(record, GN_FAILED_PRECONDITION, why);
	return false;
}

/* False: it is there and cannot be removed; then the step has been answered. */
static bool remove_file(struct gn_shadow_record *record, const char *disk, const char *suffix)
{
	char path[PATH_SIZE], why[PATH_SIZE + 100];

	gn_shadow_disk_path(record, disk, suffix, path, sizeof path);
	if (unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR)
		return true;
	snprintf(why, sizeof why, "%s cannot be removed: %s", path, strerror(errno));
	gn_shadows_answer(record, GN_PERMISSION_DENIED, why);
	return false;
}

int gn_shadow_check_room(const struct gn_shadow_record *record, struct gn_status *status)
{
	struct statvfs fs;
	uint64_t free_bytes, all_bytes;

	if (statvfs(pool_of(record), &fs) != 0)
		return errno == ENOENT ? 0
		                       : gn_status_set(status, GN_FAILED_PRECONDITION,
		                                       "the pool %s cannot be looked at: %s",
		                                       pool_of(record), strerror(errno));
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	all_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
	if (free_bytes * LEAST_FREE_OF >= all_bytes)
		return 0;
	return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
	                     "the pool %s has %llu of %llu MiB free, less than one part in %d: "
	                     "delete snapshots or shadows, or make it larger",
	                     pool_of(record), (unsigned long long)free_bytes >> 20,
	                     (unsigned long long)all_bytes >> 20, LEAST_FREE_OF);
}

/* ---- copies of an instant -------------------------------------------------------------- */

static void on_copied(void *context, const struct gn_status *status,
                      const ProtobufCMessage *message)
{
	const Gnomon__V1__CloneVolumeReply *reply = (const Gnomon__V1__CloneVolumeReply *)message;
	struct gn_shadow_record *record = context;
	Gnomon__V1__Shadow *shadow = record->message;
	bool runs = record->shadow.step == GN_SHADOW_STEP_COPY;
	uint64_t *point = runs ? &shadow->run_point_us : &shadow->disk_point_us;

	/* Several disks: the oldest instant is what all of them hold at least. */
	if (reply && (!*point || record->shadow.item == 0 || reply->wall_us < *point))
		*point = reply->wall_us;
	gn_shadows_answer(record, status->code, status->message);
}

static void copy_volume(struct gn_shadow_record *record, const char *disk, const char *suffix,
                        bool of_shadow)
{
	Gnomon__V1__CloneVolumeRequest request = GNOMON__V1__CLONE_VOLUME_REQUEST__INIT;
	char name[GN_NAME_SIZE], path[PATH_SIZE];

	/* What a broken attempt left. No volume uses it yet: volumes come later. */
	if (!make_directory(record) || !remove_file(record, disk, suffix))
		return;
	gn_shadow_disk_path(record, disk, suffix, path, sizeof path);
	gn_name_volume(record->vm, false, disk, name);
	request.name = name;
	request.target_path = path;
	request.of_shadow = of_shadow;
	gn_peer_call(record->shadows->dataplane, "CloneVolume", &request.base, CLONE_TIMEOUT_US,
	             on_copied, record);
}

/* ---- replicas -------------------------------------------------------------------------- */

static bool follows(const struct gn_shadow_record *record, const Gnomon__V1__VmSpec__Disk *disk)
{
	return gn_shadow_mode(record) != GNOMON__V1__VOLUME_MIRROR__MODE__OFF && !disk->read_only;
}

void gn_shadow_replicate(struct gn_shadow_record *record, const char *disk,
                         Gnomon__V1__VolumeMirror__Mode mode, uint64_t timeout_us,
                         gn_channel_done *done, void *context)
{
	Gnomon__V1__UpdateVolumeMirrorRequest request =
	        GNOMON__V1__UPDATE_VOLUME_MIRROR_REQUEST__INIT;
	Gnomon__V1__VolumeMirror mirror = GNOMON__V1__VOLUME_MIRROR__INIT;
	const Gnomon__V1__ShadowReplication *wanted = record->message->replication;
	char name[GN_NAME_SIZE], path[PATH_SIZE];

	gn_name_volume(record->vm, false, disk, name);
	gn_shadow_disk_path(record, disk, ".raw", path, sizeof path);
	request.name = name;
	request.mirror = &mirror;
	mirror.mode = mode;
	mirror.shadow_path = path;
	mirror.token = record->message->token;
	if (wanted) {
		mirror.journal_bytes = wanted->journal_bytes;
		mirror.resync_bytes_per_s = wanted->resync_bytes_per_s;
	}
	gn_peer_call(record->shadows->dataplane, "UpdateVolumeMirror", &request.base, timeout_us,
	             done, context);
}

/* The file that follows: as large as the volume and empty, which costs no room. */
static bool make_replica_file(struct gn_shadow_record *record, const char *disk, uint64_t size)
{
	char path[PATH_SIZE], why[PATH_SIZE + 100];
	struct stat st;
	int fd, error = 0;

	gn_shadow_disk_path(record, disk, ".raw", path, sizeof path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) || ((uint64_t)st.st_size < size && ftruncate(fd, (off_t)size)))
		error = errno;
	if (fd >= 0)
		close(fd);
	if (!error)
		return true;
	snprintf(why, sizeof why, "%s cannot be made: %s", path, strerror(error));
	gn_shadows_answer(record, GN_FAILED_PRECONDITION, why);
	return false;
}

bool gn_shadow_ensure_replica(struct gn_shadow_record *record, const char *disk, uint64_t size)
{
	return make_directory(record) && make_replica_file(record, disk, size);
}

static void on_following(void *context, const struct gn_status *status,
                         const ProtobufCMessage *reply)
{
	struct gn_shadow_record *record = context;

	if (reply)
		gn_view_note_volume(record->shadows->view, (const Gnomon__V1__Volume *)reply);
	gn_shadows_answer(record, status->code, status->message);
}

static void on_unbound(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct gn_shadow_record *record = context;
	const Gnomon__V1__VmSpec__Disk *disk = disk_of(record);

	if (status->code == GN_OK && disk)
		gn_shadow_replicate(record, disk->name, gn_shadow_mode(record), CALL_TIMEOUT_US,
		                    on_following, record);
	else
		on_following(context, status, NULL);
}

static void on_replicated(void *context, const struct gn_status *status,
                          const ProtobufCMessage *reply)
{
	struct gn_shadow_record *record = context;
	const Gnomon__V1__VmSpec__Disk *disk = disk_of(record);

	/* The volume has a shadow that an earlier attempt made, or one nobody remembers. */
	if (status->code == GN_ALREADY_EXISTS && disk)
		gn_shadow_replicate(record, disk->name, GNOMON__V1__VOLUME_MIRROR__MODE__OFF,
		                    CALL_TIMEOUT_US, on_unbound, record);
	else
		on_following(context, status, reply);
}

void gn_shadow_make_replica(struct gn_shadow_record *record)
{
	const Gnomon__V1__VmSpec__Disk *disk = disk_of(record);
	const Gnomon__V1__Volume *volume;
	struct gn_status why;
	char name[GN_NAME_SIZE];

	if (!follows(record, disk)) {
		copy_volume(record, disk->name, ".raw", false);
		return;
	}
	gn_name_volume(record->vm, false, disk->name, name);
	volume = gn_view_volume(record->shadows->view, name);
	if (!volume || !volume->size_bytes) {
		gn_shadows_answer(record, GN_UNAVAILABLE,
		                  "the dataplane has not told the volume's size yet");
		return;
	}
	if (gn_shadow_check_room(record, &why)) {
		gn_shadows_answer(record, why.code, why.message);
		return;
	}
	if (gn_shadow_ensure_replica(record, disk->name, volume->size_bytes))
		gn_shadow_replicate(record, disk->name, gn_shadow_mode(record), CALL_TIMEOUT_US,
		                    on_replicated, record);
}

void gn_shadow_remove_directory(const struct gn_shadow_record *record)
{
	char directory[PATH_SIZE];

	if (!gn_shadow_pool(record))
		return;
	directory_of(record, directory);
	rmdir(directory);
}

static void remove_files(struct gn_shadow_record *record, const char *disk)
{
	static const char *const suffixes[] = {".raw.point.new", ".raw.point", ".raw.lease",
	                                       ".raw"};

	for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
		if (!remove_file(record, disk, suffixes[i]))
			return;
	gn_shadow_remove_directory(record);
	gn_shadows_answer(record, GN_OK, "");
}

static void on_released(void *context, const struct gn_status *status,
                        const ProtobufCMessage *reply)
{
	struct gn_shadow_record *record = context;
	const Gnomon__V1__VmSpec__Disk *disk = disk_of(record);

	if (reply)
		gn_view_note_volume(record->shadows->view, (const Gnomon__V1__Volume *)reply);
	if ((status->code == GN_OK || status->code == GN_NOT_FOUND) && disk)
		remove_files(record, disk->name);
	else
		gn_shadows_answer(record, status->code, status->message);
}

void gn_shadow_remove_replica(struct gn_shadow_record *record)
{
	const Gnomon__V1__VmSpec__Disk *disk = disk_of(record);

	if (!disk)
		gn_shadows_answer(record, GN_OK, "");
	else if (disk->read_only)
		remove_files(record, disk->name);
	else
		gn_shadow_replicate(record, disk->name, GNOMON__V1__VOLUME_MIRROR__MODE__OFF,
		                    CALL_TIMEOUT_US, on_released, record);
}

/* ---- what the domain runs on ----------------------------------------------------------- */

void gn_shadow_make_copy(struct gn_shadow_record *record)
{
	const Gnomon__V1__VmSpec__Disk *disk = disk_of(record);

	if (follows(record, disk)) {
		copy_volume(record, disk->name, ".run.raw", true);
		return;
	}
	record->message->run_point_us = record->message->disk_point_us;
	gn_shadows_answer(record, GN_OK, "");
}

void gn_shadow_remove_copy(struct gn_shadow_record *record)
{
	const Gnomon__V1__VmSpec__Disk *disk = disk_of(record);

	record->message->run_point_us = 0;
	if (!disk || remove_file(record, disk->name, ".run.raw"))
		gn_shadows_answer(record, GN_OK, "");
}

/* A guest may know its disks by their serial: the copy keeps the production volume's, also
 * where that comes from the volume's name. */
static void serial_of(const struct gn_shadow_record *record, const char *disk, char serial[21])
{
	const Gnomon__V1__Volume *production;
	char name[GN_NAME_SIZE];

	gn_name_volume(record->vm, false, disk, name);
	production = gn_view_volume(record->shadows->view, name);
	snprintf(serial, 21, "%s",
	         production && production->serial[0] ? production->serial : strchr(name, '/') + 1);
}

void gn_shadow_make_volume(struct gn_shadow_record *record, gn_channel_done *done)
{
	const Gnomon__V1__VmSpec__Disk *disk = disk_of(record);
	Gnomon__V1__Volume volume = GNOMON__V1__VOLUME__INIT;
	char name[GN_NAME_SIZE], domain[GN_NAME_SIZE], owner[GN_NAME_SIZE + 4], path[PATH_SIZE];
	char serial[21];

	gn_name_volume(record->vm, true, disk->name, name);
	gn_name_shadow_domain(record->vm, domain);
	snprintf(owner, sizeof owner, "vms/%s", domain);
	gn_shadow_disk_path(record, disk->name, follows(record, disk) ? ".run.raw" : ".raw", path,
	                    sizeof path);
	serial_of(record, disk->name, serial);
	volume.name = name;
	volume.vm = owner;
	volume.path = path;
	volume.queues = disk->queues;
	volume.read_only = disk->read_only;
	volume.serial = serial;
	gn_peer_call(record->shadows->dataplane, "CreateVolume", &volume.base, CALL_TIMEOUT_US,
	             done, record);
}
