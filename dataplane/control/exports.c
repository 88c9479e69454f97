/* exports.c - CreateNbdExport and DeleteNbdExport; the work is dataplane/nbd's. */
#include "dataplane/control/dataplane.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/control/message.h"
#include "dataplane/control/names.h"

#define PREFIX "exports/"
#define UNIX   "unix://"

struct wanted {
	Gnomon__V1__NbdExport spec;
	char listen[256];
	char export_name[GN_NAME_MAX_ID + 1];
};

static int normalise(struct gn_dataplane *dp, const Gnomon__V1__NbdExport *request,
                     struct wanted *wanted, struct gn_status *status)
{
	Gnomon__V1__NbdExport *spec = &wanted->spec;
	int err = gn_name_check(request->name, PREFIX, status);

	if (!err)
		err = gn_name_check(request->volume, "volumes/", status);
	if (err)
		return err;
	*spec = *request;
	spec->size_bytes = 0;
	spec->counters = NULL;
	if (!spec->max_connections)
		spec->max_connections = GN_NBD_DEFAULT_CONNECTIONS;
	if (!*request->export_name) {
		snprintf(wanted->export_name, sizeof wanted->export_name, "%s",
		         gn_name_id(request->name));
		spec->export_name = wanted->export_name;
	}
	if (!*request->listen) {
		snprintf(wanted->listen, sizeof wanted->listen, UNIX "%s/nbd/%s.sock",
		         dp->config->run_dir, gn_name_id(request->name));
		spec->listen = wanted->listen;
	}
	if (strncmp(spec->listen, UNIX, strlen(UNIX)) == 0 &&
	    gn_dp_socket_taken(dp, spec->listen + strlen(UNIX)))
		return gn_status_set(status, GN_ALREADY_EXISTS,
		                     "the socket '%s' belongs to a port or volume", spec->listen);
	if (spec->tls && !dp->config->nbd_tls)
		return gn_status_set(
		        status, GN_FAILED_PRECONDITION,
		        "'%s' wants TLS, and the dataplane has no certificate; name the "
		        "files under nbd_tls in its configuration",
		        spec->name);
	return 0;
}

static int make_export(struct gn_dataplane *dp, struct gn_dp_export *export,
                       struct gn_status *status)
{
	const Gnomon__V1__NbdExport *spec = export->spec;
	const struct gn_config_tls *files = dp->config->nbd_tls;
	struct gn_channel_tls tls = {0};
	struct gn_nbd_export_config config = {
	        .name = spec->name,
	        .export_name = spec->export_name,
	        .listen = spec->listen,
	        .read_only = spec->read_only,
	        .clients = (const char *const *)spec->clients,
	        .n_clients = (unsigned)spec->n_clients,
	        .allow_plain_tcp = spec->allow_plain_tcp,
	        .max_connections = spec->max_connections,
	};
	int err;

	if (spec->tls) {
		tls = (struct gn_channel_tls){.ca_file = files->ca_file,
		                              .cert_file = files->cert_file,
		                              .key_file = files->key_file};
		config.tls = &tls;
	}
	err = gn_nbd_export_create(dp->nbd, export->volume->blk, &config, &export->export, status);
	if (err || strncmp(spec->listen, UNIX, strlen(UNIX)) != 0)
		return err;
	return gn_dp_socket_chown(dp, spec->listen + strlen(UNIX), status);
}

static void free_unlisted(struct gn_dp_export *export)
{
	gn_nbd_export_destroy(export->export);
	if (export->volume)
		export->volume->n_exports--;
	gn_message_free(export->spec);
	free(export);
}

static int make(struct gn_dataplane *dp, const struct wanted *wanted, struct gn_dp_export **out,
                struct gn_status *status)
{
	struct gn_dp_volume *volume = gn_dp_volume_find(dp, wanted->spec.volume);
	struct gn_dp_export *export;
	int err;

	if (!volume)
		return gn_status_set(status, GN_NOT_FOUND, "there is no volume '%.100s' to export",
		                     wanted->spec.volume);
	export = calloc(1, sizeof *export);
	if (export)
		export->spec = (Gnomon__V1__NbdExport *)gn_message_copy(&wanted->spec.base);
	if (!export || !export->spec) {
		free(export);
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory for '%s'",
		                     wanted->spec.name);
	}
	export->volume = volume;
	volume->n_exports++;
	err = make_export(dp, export, status);
	if (err) {
		free_unlisted(export);
		return err;
	}
	LIST_INSERT_HEAD(&dp->exports, export, link);
	*out = export;
	return 0;
}

static struct gn_dp_export *find(struct gn_dataplane *dp, const char *name)
{
	struct gn_dp_export *export;

	LIST_FOREACH(export, &dp->exports, link)
	if (strcmp(export->spec->name, name) == 0)
		break;
	return export;
}

void gn_dp_export_free(struct gn_dataplane *dp, struct gn_dp_export *export)
{
	(void)dp;
	LIST_REMOVE(export, link);
	free_unlisted(export);
}

int gn_dp_export_create(struct gn_dataplane *dp, const Gnomon__V1__NbdExport *request,
                        struct gn_dp_export **out, struct gn_status *status)
{
	struct gn_dp_export *export = find(dp, request->name);
	struct wanted wanted;
	int err = normalise(dp, request, &wanted, status);

	if (err)
		return err;
	if (export && !gn_message_equal(&export->spec->base, &wanted.spec.base))
		return gn_status_set(status, GN_ALREADY_EXISTS,
		                     "'%s' exists with other settings; delete it first",
		                     request->name);
	if (!export) {
		err = make(dp, &wanted, &export, status);
		if (err)
			return err;
		gn_dp_forget(dp, GN_DP_EXPORT, request->name);
		err = gn_dataplane_save(dp, status);
	}
	if (err)
		gn_dp_export_free(dp, export);
	else
		*out = export;
	return err;
}

bool gn_dp_export_awaited(const struct gn_dataplane *dp, const char *volume)
{
	const Gnomon__V1__DataplaneState *left = dp->left_out;

	for (size_t i = 0; left && i < left->n_exports; i++)
		if (!left->exports[i]->read_only && strcmp(left->exports[i]->volume, volume) == 0)
			return true;
	return false;
}

/* Those that were left out leave their volumes to the front ends again. */
static void unreserve(struct gn_dataplane *dp)
{
	struct gn_dp_volume *volume;

	LIST_FOREACH(volume, &dp->volumes, link)
	if (!gn_dp_export_awaited(dp, volume->spec->name))
		gn_blk_unreserve(volume->blk);
}

int gn_dp_export_delete(struct gn_dataplane *dp, const char *name, struct gn_status *status)
{
	struct gn_dp_export *export = find(dp, name);

	if (export) {
		gn_dp_export_free(dp, export);
	} else if (gn_dp_forget(dp, GN_DP_EXPORT, name)) {
		unreserve(dp);
	} else {
		return gn_status_set(status, GN_NOT_FOUND, "there is no export '%.100s'", name);
	}
	return gn_dataplane_save(dp, status);
}
