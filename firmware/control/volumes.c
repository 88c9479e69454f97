/* volumes.c - CreateVolume, ResizeVolume, DeleteVolume: disks that operators make beside those that
 * a VM's spec names. The dataplane keeps them; only files in the pool are made and erased here. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "firmware/control/control_internal.h"
#include "firmware/message/message.h"

#define TIMEOUT_US    10000000
#define PATH_SIZE     3400
#define PREFIX        "volumes/"
#define LEAST_FREE_OF 20 /* a pool with less than one part in so many free takes nothing new */

/* A call that waits for the dataplane. */
struct pending {
	struct gn_control *control;
	struct gn_channel_call *call;
	char name[GN_NAME_SIZE];
	char file[PATH_SIZE]; /* made for it, or to be erased with it; empty: none */
};

static struct pending *new_pending(struct gn_control *control, struct gn_channel_call *call,
                                   const char *name)
{
	struct pending *pending = gn_message_alloc(sizeof *pending);

	pending->control = control;
	pending->call = call;
	snprintf(pending->name, sizeof pending->name, "%s", name);
	return pending;
}

/* ---- the pool ----------------------------------------------------------------------------- */

/* Nothing that leads out of the pool; the dataplane checks the rest. */
static bool is_name(const char *name)
{
	size_t n = strlen(name);

	return strncmp(name, PREFIX, strlen(PREFIX)) == 0 && n > strlen(PREFIX) &&
	       n < GN_NAME_SIZE && !strchr(name + strlen(PREFIX), '/') &&
	       name[strlen(PREFIX)] != '.';
}

static bool pool_file(const struct gn_control *control, const char *name, char path[PATH_SIZE])
{
	const char *pool = control->config->pool_path;

	return pool && snprintf(path, PATH_SIZE, "%.3000s/%s.raw", pool, name) < PATH_SIZE;
}

/* Files there are thin: what counts is that the pool could hold this one, and has some room. */
static int check_room(const char *pool, uint64_t more_bytes, struct gn_status *status)
{
	struct statvfs fs;
	uint64_t free_bytes, all_bytes;

	if (statvfs(pool, &fs) != 0)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "the pool %s cannot be looked at: %s", pool, strerror(errno));
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	all_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
	if (free_bytes * LEAST_FREE_OF >= all_bytes && more_bytes <= all_bytes)
		return 0;
	return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
	                     "the pool %s has %llu of %llu MiB free, too little for %llu MiB more: "
	                     "delete snapshots or shadows, or make it larger",
	                     pool, (unsigned long long)free_bytes >> 20,
	                     (unsigned long long)all_bytes >> 20,
	                     (unsigned long long)more_bytes >> 20);
}

static int make_file(const struct gn_control *control, const Gnomon__V1__Volume *volume,
                     struct pending *pending, struct gn_status *status)
{
	const char *pool = control->config->pool_path;
	char directory[PATH_SIZE];
	int fd, err;

	if (!pool_file(control, volume->name, pending->file))
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "there is no pool to make a file in: set pool_path in "
		                     "gnomond.yaml, or say where the volume is");
	snprintf(directory, sizeof directory, "%.3000s/volumes", pool);
	if ((mkdir(pool, 0711) != 0 && errno != EEXIST) ||
	    (mkdir(directory, 0711) != 0 && errno != EEXIST)) {
		err = errno;
		pending->file[0] = '\0';
		return gn_status_set(status, GN_FAILED_PRECONDITION, "%s cannot be made: %s",
		                     directory, strerror(err));
	}
	err = check_room(pool, volume->size_bytes, status);
	fd = err ? -1 : open(pending->file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		if (!err)
			err = gn_status_set(status,
			                    errno == EEXIST ? GN_ALREADY_EXISTS
			                                    : GN_FAILED_PRECONDITION,
			                    "%s cannot be made: %s; to use one that is there, give "
			                    "its path and no size",
			                    pending->file, strerror(errno));
		pending->file[0] = '\0';
		return err;
	}
	if (ftruncate(fd, (off_t)volume->size_bytes) != 0 || fsync(fd) != 0) {
		err = gn_status_set(status, GN_FAILED_PRECONDITION, "%s cannot get %llu bytes: %s",
		                    pending->file, (unsigned long long)volume->size_bytes,
		                    strerror(errno));
		unlink(pending->file);
	}
	close(fd);
	return err;
}

/* ---- who has it --------------------------------------------------------------------------- */

static bool names_disk(const struct gn_vm *vm, const char *volume)
{
	char name[GN_NAME_SIZE];

	for (size_t i = 0; i < vm->spec->n_disks; i++)
		for (int shadow = 0; shadow < 2; shadow++) {
			gn_name_volume(vm->name, shadow, vm->spec->disks[i]->name, name);
			if (strcmp(name, volume) == 0)
				return true;
		}
	return false;
}

/* The VM whose disk it is, or whose shadow's; NULL: none. */
static const struct gn_vm *owner_of(const struct gn_control *control, const char *volume)
{
	const struct gn_brain *brain = control->p.brain;

	for (size_t i = 0; i < brain->n_vms; i++)
		if (names_disk(brain->vms[i], volume))
			return brain->vms[i];
	return NULL;
}

/* ---- create ------------------------------------------------------------------------------- */

/* Whether the dataplane may have done it all the same. */
static bool is_unknown(enum gn_code code)
{
	return code == GN_DEADLINE_EXCEEDED || code == GN_UNAVAILABLE || code == GN_CANCELLED;
}

static void on_created(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct pending *pending = context;

	if (reply) {
		gn_view_note_volume(pending->control->p.view, (const Gnomon__V1__Volume *)reply);
		gn_channel_reply(pending->call, reply);
	} else {
		if (pending->file[0] && !is_unknown(status->code))
			unlink(pending->file);
		gn_channel_fail(pending->call, status);
	}
	free(pending);
}

static int check_create(const struct gn_control *control, const Gnomon__V1__Volume *volume,
                        struct gn_status *status)
{
	bool is_placed = volume->path[0] || volume->store_url[0];
	const struct gn_vm *owner = owner_of(control, volume->name);

	if (!is_name(volume->name))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "'%.80s' is no volume's name; give volumes/<name>",
		                     volume->name);
	if (owner)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "%s is kept for a disk of %s or of its shadow; choose another "
		                     "name",
		                     volume->name, owner->name);
	if (gn_view_volume(control->p.view, volume->name))
		return gn_status_set(status, GN_ALREADY_EXISTS,
		                     "%s exists; see 'gnomonctl volume show'", volume->name);
	if (is_placed && volume->size_bytes)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "%s: what is there already has its size; give the size only for "
		        "a new file in the pool",
		        volume->name);
	if (!is_placed && (!volume->size_bytes || volume->size_bytes % 512))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%s: a new file needs a size that is a multiple of 512, not "
		                     "%llu bytes",
		                     volume->name, (unsigned long long)volume->size_bytes);
	if (!is_placed && volume->read_only)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%s: a new file that nobody can write is of no use; leave "
		                     "read_only out, or say where the volume is",
		                     volume->name);
	return 0;
}

void gn_control_create_volume(void *context, struct gn_channel_call *call,
                              const ProtobufCMessage *message)
{
	struct gn_control *control = context;
	Gnomon__V1__Volume volume = *(const Gnomon__V1__Volume *)message;
	struct pending *pending;
	struct gn_status status;
	int err = check_create(control, &volume, &status);

	if (err) {
		gn_channel_fail(call, &status);
		return;
	}
	pending = new_pending(control, call, volume.name);
	if (!volume.path[0] && !volume.store_url[0]) {
		err = make_file(control, &volume, pending, &status);
		volume.path = pending->file;
	}
	if (err) {
		gn_channel_fail(call, &status);
		free(pending);
		return;
	}
	volume.size_bytes = 0; /* the store says it */
	volume.mirror = NULL;  /* shadows see to that */
	gn_peer_call(control->p.dataplane, "CreateVolume", &volume.base, TIMEOUT_US, on_created,
	             pending);
}

/* ---- resize ------------------------------------------------------------------------------- */

static void on_resized(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct pending *pending = context;

	pending->file[0] = '\0';
	on_created(pending, status, reply);
}

void gn_control_resize_volume(void *context, struct gn_channel_call *call,
                              const ProtobufCMessage *message)
{
	const Gnomon__V1__ResizeVolumeRequest *request =
	        (const Gnomon__V1__ResizeVolumeRequest *)message;
	struct gn_control *control = context;
	const Gnomon__V1__Volume *volume = gn_view_volume(control->p.view, request->name);
	const char *pool = control->config->pool_path;
	struct gn_status status;

	if (volume && pool && strncmp(volume->path, pool, strlen(pool)) == 0 &&
	    request->size_bytes > volume->size_bytes &&
	    check_room(pool, request->size_bytes, &status)) {
		gn_channel_fail(call, &status);
		return;
	}
	gn_peer_call(control->p.dataplane, "ResizeVolume", message, TIMEOUT_US, on_resized,
	             new_pending(control, call, request->name));
}

/* ---- delete ------------------------------------------------------------------------------- */

static void on_deleted(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct pending *pending = context;

	if (!reply)
		gn_channel_fail(pending->call, status);
	else if (pending->file[0] && unlink(pending->file) != 0 && errno != ENOENT)
		gn_control_fail(pending->call, GN_FAILED_PRECONDITION,
		                "%s is deleted, but its file %s cannot be: %s", pending->name,
		                pending->file, strerror(errno));
	else
		gn_control_reply_empty(pending->call);
	if (reply)
		gn_view_forget_volume(pending->control->p.view, pending->name);
	free(pending);
}

/* Read-only volumes and VMs may share a file. NULL: nobody else has it. */
static const char *other_user_of(const struct gn_control *control, const char *name,
                                 const char *file)
{
	const Gnomon__V1__VolumeList *volumes = control->p.view->volumes;
	const struct gn_brain *brain = control->p.brain;

	for (size_t i = 0; volumes && i < volumes->n_volumes; i++)
		if (strcmp(volumes->volumes[i]->name, name) != 0 &&
		    strcmp(volumes->volumes[i]->path, file) == 0)
			return volumes->volumes[i]->name;
	for (size_t i = 0; i < brain->n_vms; i++)
		for (size_t d = 0; d < brain->vms[i]->spec->n_disks; d++)
			if (strcmp(brain->vms[i]->spec->disks[d]->path, file) == 0)
				return brain->vms[i]->name;
	return NULL;
}

static int check_erase(const struct gn_control *control, const char *name,
                       const Gnomon__V1__Volume *volume, const char *file, struct gn_status *status)
{
	const char *other;

	if (!file[0] || !volume || strcmp(volume->path, file) != 0)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%s is not a file that was made here, in the pool; delete it "
		                     "without erasing, then erase its data where it is",
		                     name);
	other = other_user_of(control, name, file);
	if (other)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "the file of %s is also used by %s; delete it without "
		                     "erasing, or delete the other first",
		                     name, other);
	return 0;
}

static int check_delete(const struct gn_control *control,
                        const Gnomon__V1__DeleteVolumeRequest *request, const char *file,
                        struct gn_status *status)
{
	const Gnomon__V1__Volume *volume = gn_view_volume(control->p.view, request->name);
	const struct gn_vm *owner = owner_of(control, request->name);

	if (owner)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "%s is a disk of %s or of its shadow; it goes with them "
		                     "('gnomonctl shadow delete', 'gnomonctl vm delete')",
		                     request->name, owner->name);
	if (volume && volume->connected)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "%s is in use; shut the VM down or take the disk away from it "
		                     "first",
		                     request->name);
	return request->erase ? check_erase(control, request->name, volume, file, status) : 0;
}

void gn_control_delete_volume(void *context, struct gn_channel_call *call,
                              const ProtobufCMessage *message)
{
	const Gnomon__V1__DeleteVolumeRequest *request =
	        (const Gnomon__V1__DeleteVolumeRequest *)message;
	Gnomon__V1__NameRequest name = GNOMON__V1__NAME_REQUEST__INIT;
	struct gn_control *control = context;
	struct pending *pending;
	struct gn_status status;
	char file[PATH_SIZE] = "";

	if (is_name(request->name))
		pool_file(control, request->name, file);
	if (check_delete(control, request, file, &status)) {
		gn_channel_fail(call, &status);
		return;
	}
	pending = new_pending(control, call, request->name);
	if (request->erase)
		snprintf(pending->file, sizeof pending->file, "%s", file);
	name.name = request->name;
	gn_peer_call(control->p.dataplane, "DeleteVolume", &name.base, TIMEOUT_US, on_deleted,
	             pending);
}
