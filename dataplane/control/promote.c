/* promote.c - FenceVolume and PromoteVolume: a volume goes on with its shadow's content.
 *
 * The order is what makes a crash harmless: the front end is cut off, durably; the shadow is
 * complete; the state says that the volume is on the shadow's file, and only then is the lease
 * taken and the file opened. What ends in between is done again by the same call. */
#include "dataplane/control/dataplane.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "dataplane/control/message.h"
#include "dataplane/volume/lease_file.h"
#include "firmware/core/clock.h"

/* What an in-step shadow may still lack when its VM is gone is in flight, or in the journal. */
#define DRAIN_MS      500
#define LEASE_WAIT_MS 1000

static int find(struct gn_dataplane *dp, const char *name, struct gn_dp_volume **out,
                struct gn_status *status)
{
	struct gn_dp_volume *volume = gn_dp_volume_find(dp, name);

	if (!volume)
		return gn_status_set(status, GN_NOT_FOUND, "there is no volume '%.100s'", name);
	if (volume->cloning || volume->n_exports)
		return gn_status_set(status, GN_FAILED_PRECONDITION, "volume '%s' is %s", name,
		                     volume->cloning
		                             ? "being cloned; try again when that is done"
		                             : "exported over NBD; delete its exports first");
	*out = volume;
	return 0;
}

int gn_dp_volume_fence(struct gn_dataplane *dp, const char *name, bool fenced,
                       struct gn_dp_volume **out, struct gn_status *status)
{
	struct gn_dp_volume *volume;
	int err = find(dp, name, &volume, status);

	if (err)
		return err;
	*out = volume;
	if (fenced)
		gn_blk_fence(volume->blk);
	else
		err = gn_blk_unfence(volume->blk, status);
	if (!err && !fenced)
		err = gn_dp_socket_chown(dp, volume->spec->socket_path, status);
	if (err || volume->spec->fenced == fenced)
		return err;
	volume->spec->fenced = fenced;
	return gn_dataplane_save(dp, status);
}

static Gnomon__V1__VolumePromotion *record_of(const struct gn_dp_volume *volume, uint64_t token,
                                              const struct gn_blk_promotion *from)
{
	Gnomon__V1__VolumePromotion record = GNOMON__V1__VOLUME_PROMOTION__INIT;

	record.token = token;
	record.from_path = volume->spec->path;
	record.wall_us = gn_clock_wall_us();
	record.complete = from->is_complete;
	record.point_us = from->point_us;
	record.lost_bytes = from->lost_bytes;
	record.lost_writes = from->lost_writes;
	return (Gnomon__V1__VolumePromotion *)gn_message_copy(&record.base);
}

/* The consistent point becomes the shadow's file; a complete shadow needs none. */
static int settle_file(const char *shadow_path, bool from_snapshot, struct gn_status *status)
{
	char point[4200];

	snprintf(point, sizeof point, "%.4000s.point", shadow_path);
	if (!from_snapshot) {
		unlink(point);
		return 0;
	}
	if (rename(point, shadow_path) == 0)
		return 0;
	return gn_status_set(status, gn_code_from_errno(errno),
	                     "%s cannot take the place of %s: %s", point, shadow_path,
	                     strerror(errno));
}

static int take_lease(const struct gn_dp_volume *volume, uint64_t token, struct gn_status *status)
{
	int fd, err = gn_lease_file_attach(volume->spec->path, token, token, LEASE_WAIT_MS, &fd,
	                                   status);

	if (!err)
		close(fd); /* the token is what keeps others away, and it is durable */
	return err;
}

/* From here on the volume is on the shadow's file, whatever happens. */
static int change_over(struct gn_dataplane *dp, struct gn_dp_volume *volume,
                       Gnomon__V1__VolumePromotion *record, bool from_snapshot,
                       struct gn_status *status)
{
	Gnomon__V1__Volume *spec = volume->spec;
	char *path = strdup(spec->mirror->shadow_path);
	int err;

	if (!path)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	gn_blk_destroy(volume->blk);
	volume->blk = NULL;
	err = settle_file(path, from_snapshot, status);
	if (err) {
		free(path);
		return err;
	}
	free(spec->path);
	spec->path = path;
	gn_message_free(spec->mirror);
	spec->mirror = NULL;
	gn_message_free(spec->promotion);
	spec->promotion = record;
	return gn_dataplane_save(dp, status);
}

static int check(const struct gn_dp_volume *volume, const Gnomon__V1__PromoteVolumeRequest *request,
                 struct gn_status *status)
{
	const Gnomon__V1__Volume *spec = volume->spec;

	if (!spec->fenced)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "volume '%s' is not fenced, so its VM may write it; fence it "
		                     "first",
		                     spec->name);
	if (volume->from_config)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "volume '%s' is in gnomon-dataplane.yaml, which says what it "
		                     "is kept in; take it from there first",
		                     spec->name);
	if (!spec->mirror)
		return gn_status_set(status, GN_FAILED_PRECONDITION, "volume '%s' has no shadow",
		                     spec->name);
	if (request->token <= spec->mirror->token)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "token %llu is not higher than the mirror's, %llu",
		                     (unsigned long long)request->token,
		                     (unsigned long long)spec->mirror->token);
	return 0;
}

static int promote(struct gn_dataplane *dp, struct gn_dp_volume *volume,
                   const Gnomon__V1__PromoteVolumeRequest *request, struct gn_status *status)
{
	struct gn_blk_promotion from;
	Gnomon__V1__VolumePromotion *record;
	int err = check(volume, request, status);

	if (!err)
		err = gn_blk_judge_shadow(volume->blk, request->accept_loss, DRAIN_MS, &from,
		                          status);
	if (err)
		return err;
	record = record_of(volume, request->token, &from);
	if (!record)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	err = change_over(dp, volume, record, from.from_snapshot, status);
	if (err && volume->spec->promotion != record)
		gn_message_free(record);
	return err;
}

int gn_dp_volume_promote(struct gn_dataplane *dp, const Gnomon__V1__PromoteVolumeRequest *request,
                         struct gn_dp_volume **out, struct gn_status *status)
{
	struct gn_dp_volume *volume;
	const Gnomon__V1__VolumePromotion *done;
	struct gn_status why = {.code = GN_OK};
	int err;

	if (!gn_dp_volume_find(dp, request->name))
		gn_dp_volume_retry(dp); /* an earlier attempt could not open it */
	err = find(dp, request->name, &volume, status);
	if (err)
		return err;
	done = volume->spec->promotion;
	if (!done || done->token != request->token)
		err = promote(dp, volume, request, status);
	done = volume->spec->promotion;
	if (!err && done && done->token == request->token)
		err = take_lease(volume, request->token, status);
	if (!volume->blk) {
		int opened = gn_dp_volume_open(dp, volume, &why);

		if (opened && !err)
			err = gn_status_set(status, GN_UNAVAILABLE, "%s", why.message);
		if (opened) {
			gn_dp_volume_leave_out(dp, volume);
			return err;
		}
	}
	*out = volume;
	return err;
}
