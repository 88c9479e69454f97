/* volumes.c - CreateVolume, ResizeVolume and DeleteVolume; the work is dataplane/blk's. */
#include "dataplane/control/dataplane.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include "dataplane/control/message.h"
#include "dataplane/control/names.h"
#include "dataplane/ram/ram.h"

/* How long a restarted dataplane waits for the requests that its killed predecessor left in the
 * kernel: a disk must not be left out because it was busy. */
#define RESTORE_WAIT_MS 30000

struct wanted {
	Gnomon__V1__Volume spec;
	char socket_path[sizeof((struct sockaddr_un *)0)->sun_path + 64];
};

static int check_mirror(const char *name, const Gnomon__V1__VolumeMirror *mirror,
                        struct gn_status *status)
{
	if (mirror->mode != GNOMON__V1__VOLUME_MIRROR__MODE__OFF &&
	    mirror->mode != GNOMON__V1__VOLUME_MIRROR__MODE__ASYNC &&
	    mirror->mode != GNOMON__V1__VOLUME_MIRROR__MODE__IN_STEP)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "volume '%s': mirror mode %d; OFF, ASYNC and IN_STEP exist",
		                     name, (int)mirror->mode);
	if (mirror->mode == GNOMON__V1__VOLUME_MIRROR__MODE__OFF)
		return 0;
	if (*mirror->shadow_url && *mirror->shadow_path)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "volume '%s': the mirror has both shadow_path and shadow_url; "
		                     "give one",
		                     name);
	if ((!*mirror->shadow_url && mirror->shadow_path[0] != '/') ||
	    (mirror->journal_path[0] && mirror->journal_path[0] != '/'))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "volume '%s': the mirror's paths are '%.200s' and '%.200s'; "
		                     "they must be absolute",
		                     name, mirror->shadow_path, mirror->journal_path);
	return 0;
}

static int check(const Gnomon__V1__Volume *spec, struct gn_status *status)
{
	int err = gn_name_check(spec->name, "volumes/", status);

	if (!err)
		err = gn_name_check(spec->vm, "vms/", status);
	if (err)
		return err;
	if (*spec->store_url && *spec->path)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "volume '%s': both path and store_url are given; it has one "
		                     "store",
		                     spec->name);
	if (!*spec->store_url && spec->path[0] != '/')
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "volume '%s': path is '%.200s'; it must be an absolute path",
		                     spec->name, spec->path);
	if (spec->queues > GN_BLK_MAX_QUEUES)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "volume '%s': %u queues; 1 to %u are possible", spec->name,
		                     spec->queues, GN_BLK_MAX_QUEUES);
	if (strlen(spec->serial) > GN_BLK_SERIAL_SIZE)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "volume '%s': serial '%.40s' is longer than %u bytes",
		                     spec->name, spec->serial, GN_BLK_SERIAL_SIZE);
	return spec->mirror ? check_mirror(spec->name, spec->mirror, status) : 0;
}

/* What only the state file and the verbs of promote.c may set. */
static void keep_outputs(struct gn_dataplane *dp, const char *name, Gnomon__V1__Volume *spec)
{
	const struct gn_dp_volume *volume = gn_dp_volume_find(dp, name);

	if (!dp->saving)
		return;
	spec->fenced = volume && volume->spec->fenced;
	spec->promotion = volume ? volume->spec->promotion : NULL;
}

static int normalise(struct gn_dataplane *dp, const Gnomon__V1__Volume *request,
                     struct wanted *wanted, struct gn_status *status)
{
	int err = check(request, status);

	wanted->spec = *request;
	wanted->spec.size_bytes = 0;
	wanted->spec.connected = false;
	wanted->spec.counters = NULL;
	wanted->spec.mirror_status = NULL;
	wanted->spec.store_status = NULL;
	keep_outputs(dp, request->name, &wanted->spec);
	wanted->spec.n_exports = 0;
	wanted->spec.store_size_bytes = 0;
	wanted->spec.store_block_bytes = 0;
	if (wanted->spec.mirror &&
	    wanted->spec.mirror->mode == GNOMON__V1__VOLUME_MIRROR__MODE__OFF)
		wanted->spec.mirror = NULL;
	if (!wanted->spec.queues)
		wanted->spec.queues = 1;
	if (!err)
		err = gn_dp_socket_path(dp, request->name, request->socket_path,
		                        wanted->socket_path, sizeof wanted->socket_path, status);
	wanted->spec.socket_path = wanted->socket_path;
	return err;
}

/* An NBD server, with the certificate that the configuration names for such. */
struct remote {
	struct gn_volume_nbd_config config;
	struct gn_channel_tls tls;
};

static void set_remote(const struct gn_dataplane *dp, const char *url, struct remote *remote)
{
	const struct gn_config_tls *files = dp->config->nbd_client_tls;

	*remote = (struct remote){.config = {.url = url}};
	if (!files)
		return;
	remote->tls = (struct gn_channel_tls){.ca_file = files->ca_file,
	                                      .cert_file = files->cert_file,
	                                      .key_file = files->key_file};
	remote->config.tls = &remote->tls;
}

/* What a replica's settings point into. */
struct replica_parts {
	char journal[PATH_MAX]; /* when the settings leave it to us */
	struct remote shadow;
};

static struct gn_blk_replica replica_of(const struct gn_dataplane *dp, const char *name,
                                        const Gnomon__V1__VolumeMirror *mirror,
                                        struct replica_parts *parts)
{
	const char *base = name + strlen("volumes/");

	snprintf(parts->journal, sizeof parts->journal, "%s/%s.journal", dp->config->state_dir,
	         base);
	set_remote(dp, mirror->shadow_url, &parts->shadow);
	return (struct gn_blk_replica){
	        .shadow_remote = *mirror->shadow_url ? &parts->shadow.config : NULL,
	        .shadow_path = mirror->shadow_path,
	        .journal_path = mirror->journal_path[0] ? mirror->journal_path : parts->journal,
	        .journal_bytes = mirror->journal_bytes,
	        .mode = mirror->mode == GNOMON__V1__VOLUME_MIRROR__MODE__IN_STEP
	                        ? GN_VMIRROR_IN_STEP
	                        : GN_VMIRROR_ASYNC,
	        .token = mirror->token,
	        .card = dp->config->state_dir,
	        .resync_bytes_per_s = mirror->resync_bytes_per_s,
	};
}

/* The size of a store that is elsewhere, for a start at which it cannot be reached. */
static void remember(const struct gn_volume *store, Gnomon__V1__Volume *spec)
{
	spec->store_size_bytes = store->size_bytes;
	spec->store_block_bytes = store->block_bytes;
}

static void recall(const Gnomon__V1__Volume *from, Gnomon__V1__Volume *to)
{
	to->store_size_bytes = from->store_size_bytes;
	to->store_block_bytes = from->store_block_bytes;
}

static int make_device(struct gn_dataplane *dp, struct gn_dp_volume *volume,
                       struct gn_status *status)
{
	const Gnomon__V1__Volume *spec = volume->spec;
	struct gn_blk_config config = {
	        .name = spec->name,
	        .path = spec->path,
	        .socket_path = spec->socket_path,
	        .serial = spec->serial,
	        .read_only = spec->read_only,
	        .queues = spec->queues,
	        .lock_wait_ms = dp->saving ? 0 : RESTORE_WAIT_MS,
	        .is_reserved = gn_dp_export_awaited(dp, spec->name),
	        .is_fenced = spec->fenced,
	};
	struct replica_parts parts;
	struct gn_blk_replica replica;
	struct remote remote;
	int err;

	if (*spec->store_url) {
		set_remote(dp, spec->store_url, &remote);
		remote.config.answer_ms = spec->answer_ms;
		remote.config.give_up_ms = spec->give_up_ms;
		remote.config.write_through = spec->write_through;
		remote.config.size_bytes = spec->store_size_bytes;
		remote.config.block_bytes = spec->store_block_bytes;
		config.remote = &remote.config;
	}
	if (spec->mirror) {
		replica = replica_of(dp, spec->name, spec->mirror, &parts);
		config.replica = &replica;
	}
	if (gn_ram_bind(spec->socket_path, spec->vm) != 0)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory for volume '%s'",
		                     spec->name);
	err = gn_blk_create(volume->vm->volume_worker, &config, &volume->blk, status);
	if (err)
		return err;
	if (*spec->store_url)
		remember(gn_blk_volume(volume->blk), volume->spec);
	gn_blk_set_meter(volume->blk, &volume->vm->disk_meter);
	return spec->fenced ? 0 : gn_dp_socket_chown(dp, spec->socket_path, status);
}

int gn_dp_volume_open(struct gn_dataplane *dp, struct gn_dp_volume *volume,
                      struct gn_status *status)
{
	return make_device(dp, volume, status);
}

static void free_unlisted(struct gn_dataplane *dp, struct gn_dp_volume *volume)
{
	gn_blk_destroy(volume->blk);
	if (volume->spec)
		gn_ram_unbind(volume->spec->socket_path);
	if (volume->vm)
		volume->vm->n_volumes--;
	gn_dp_vm_put(dp, volume->vm);
	gn_message_free(volume->spec);
	free(volume);
}

static int make(struct gn_dataplane *dp, const struct wanted *wanted, struct gn_dp_volume **out,
                struct gn_status *status)
{
	struct gn_dp_volume *volume = calloc(1, sizeof *volume);
	int err = 0;

	if (volume) {
		volume->spec = (Gnomon__V1__Volume *)gn_message_copy(&wanted->spec.base);
		volume->vm = gn_dp_vm_get(dp, wanted->spec.vm);
	}
	if (!volume || !volume->spec || !volume->vm)
		err = gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory for volume '%s'",
		                    wanted->spec.name);
	if (volume && volume->vm)
		volume->vm->n_volumes++;
	if (!err)
		err = make_device(dp, volume, status);
	if (err) {
		if (volume)
			free_unlisted(dp, volume);
		return err;
	}
	LIST_INSERT_HEAD(&dp->volumes, volume, link);
	*out = volume;
	return 0;
}

int gn_dp_volume_create(struct gn_dataplane *dp, const Gnomon__V1__Volume *request,
                        bool from_config, struct gn_dp_volume **out, struct gn_status *status)
{
	struct gn_dp_volume *volume = gn_dp_volume_find(dp, request->name);
	struct wanted wanted;
	int err = normalise(dp, request, &wanted, status);

	if (err)
		return err;
	/* From our own record: then its server is not waited for. */
	recall(volume ? volume->spec : !dp->saving ? request : &wanted.spec, &wanted.spec);
	if (volume && !gn_message_equal(&volume->spec->base, &wanted.spec.base))
		return gn_status_set(status, GN_ALREADY_EXISTS,
		                     "volume '%s' exists with other settings; delete it first",
		                     request->name);
	if (!volume) {
		if (gn_dp_socket_taken(dp, wanted.spec.socket_path))
			return gn_status_set(status, GN_ALREADY_EXISTS,
			                     "the socket '%s' belongs to another port or volume",
			                     wanted.spec.socket_path);
		err = make(dp, &wanted, &volume, status);
		if (err)
			return err;
		volume->from_config = from_config;
		gn_dp_forget(dp, GN_DP_VOLUME, request->name);
		err = gn_dataplane_save(dp, status);
	}
	if (err)
		gn_dp_volume_free(dp, volume);
	else
		*out = volume;
	return err;
}

static int apply_mirror(struct gn_dataplane *dp, struct gn_dp_volume *volume,
                        const Gnomon__V1__VolumeMirror *mirror, struct gn_status *status)
{
	struct replica_parts parts;
	struct gn_blk_replica replica;

	if (mirror->mode == GNOMON__V1__VOLUME_MIRROR__MODE__OFF)
		return gn_blk_stop_replica(volume->blk, status);
	replica = replica_of(dp, volume->spec->name, mirror, &parts);
	return gn_blk_start_replica(volume->blk, &replica, status);
}

int gn_dp_volume_replicate(struct gn_dataplane *dp, const char *name,
                           const Gnomon__V1__VolumeMirror *mirror, struct gn_dp_volume **out,
                           struct gn_status *status)
{
	const Gnomon__V1__VolumeMirror off = GNOMON__V1__VOLUME_MIRROR__INIT;
	struct gn_dp_volume *volume = gn_dp_volume_find(dp, name);
	Gnomon__V1__VolumeMirror *copy;
	int err;

	if (!mirror)
		mirror = &off;
	if (!volume)
		return gn_status_set(status, GN_NOT_FOUND, "there is no volume '%.100s'", name);
	err = check_mirror(name, mirror, status);
	if (err)
		return err;
	if (volume->spec->read_only || volume->cloning)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "volume '%s' is %s; it cannot be mirrored now", name,
		                     volume->cloning ? "being cloned" : "read-only");
	copy = (Gnomon__V1__VolumeMirror *)gn_message_copy(&mirror->base);
	if (!copy)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	err = apply_mirror(dp, volume, mirror, status);
	if (err) {
		gn_message_free(copy);
		return err;
	}
	gn_message_free(volume->spec->mirror);
	volume->spec->mirror = copy;
	if (copy->mode == GNOMON__V1__VOLUME_MIRROR__MODE__OFF) {
		gn_message_free(copy);
		volume->spec->mirror = NULL;
	}
	*out = volume;
	return gn_dataplane_save(dp, status);
}

int gn_dp_volume_resize(struct gn_dataplane *dp, const char *name, uint64_t size_bytes,
                        struct gn_dp_volume **out, struct gn_status *status)
{
	struct gn_dp_volume *volume = gn_dp_volume_find(dp, name);
	int err;

	if (!volume)
		return gn_status_set(status, GN_NOT_FOUND, "there is no volume '%.100s'", name);
	if (volume->cloning)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "volume '%s' is being cloned; resize it when that is done",
		                     name);
	if (volume->n_exports)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "volume '%s' is exported over NBD, and its clients know one "
		                     "size; delete its exports first",
		                     name);
	if (volume->spec->mirror)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "volume '%s' has a shadow of its size: delete the shadow, "
		                     "resize, and make the shadow again",
		                     name);
	err = gn_blk_resize(volume->blk, volume->spec->path, size_bytes, status);
	if (!err)
		*out = volume;
	return err;
}

void gn_dp_volume_free(struct gn_dataplane *dp, struct gn_dp_volume *volume)
{
	LIST_REMOVE(volume, link);
	free_unlisted(dp, volume);
}

int gn_dp_volume_delete(struct gn_dataplane *dp, const char *name, struct gn_status *status)
{
	struct gn_dp_volume *volume = gn_dp_volume_find(dp, name);

	if (!volume && gn_dp_forget(dp, GN_DP_VOLUME, name))
		return gn_dataplane_save(dp, status);
	if (!volume)
		return gn_status_set(status, GN_NOT_FOUND, "there is no volume '%.100s'", name);
	if (volume->cloning)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "volume '%s' is being cloned; delete it when that is done",
		                     name);
	if (volume->n_exports)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "volume '%s' is exported over NBD; delete its exports first",
		                     name);
	gn_dp_volume_free(dp, volume);
	return gn_dataplane_save(dp, status);
}
