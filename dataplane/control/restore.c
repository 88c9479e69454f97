/* restore.c - what exists when the dataplane starts: the board's uplinks and the
 * configuration's ports and volumes, then what control had made before. The configuration wins
 * where both name the same resource. */
#include "dataplane/control/dataplane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/control/message.h"
#include "dataplane/control/saved.h"
#include "dataplane/ram/ram.h"
#include "dataplane/state/state.h"
#include "firmware/core/log.h"

static int report(int err, const char *name, const struct gn_status *status)
{
	if (err)
		gn_log(GN_LOG_ERROR, "%s is left out: %s", name, status->message);
	return err;
}

static int make_port(struct gn_dataplane *dp, const Gnomon__V1__Port *port, bool from_config)
{
	struct gn_dp_port *made;
	struct gn_status status = {.code = GN_OK};

	return report(gn_dp_port_create(dp, port, from_config, &made, &status), port->name,
	              &status);
}

static int make_volume(struct gn_dataplane *dp, const Gnomon__V1__Volume *volume, bool from_config)
{
	struct gn_dp_volume *made;
	struct gn_status status = {.code = GN_OK};

	return report(gn_dp_volume_create(dp, volume, from_config, &made, &status), volume->name,
	              &status);
}

static void set_text(char **field, char *text)
{
	if (text)
		*field = text;
}

static void make_uplinks(struct gn_dataplane *dp)
{
	unsigned i;

	for (i = 0; i < dp->board->uplinks_count; i++) {
		const struct gn_board_uplink *uplink = &dp->board->uplinks[i];
		Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;
		char name[80];

		snprintf(name, sizeof name, "ports/%s", uplink->name);
		port.name = name;
		port.kind = GNOMON__V1__PORT__KIND__ETHDEV;
		port.devargs = uplink->devargs;
		port.vlan = uplink->vlan;
		port.uplink = true;
		make_port(dp, &port, true);
	}
}

static void make_configured_ports(struct gn_dataplane *dp)
{
	unsigned i;

	for (i = 0; i < dp->config->ports_count; i++) {
		const struct gn_config_port *from = &dp->config->ports[i];
		Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;

		port.name = from->name;
		port.kind = from->devargs ? GNOMON__V1__PORT__KIND__ETHDEV
		                          : GNOMON__V1__PORT__KIND__VHOST_USER;
		set_text(&port.vm, from->vm);
		set_text(&port.socket_path, from->socket_path);
		set_text(&port.devargs, from->devargs);
		port.vlan = from->vlan;
		port.trunk_vlans = from->trunk_vlans;
		port.n_trunk_vlans = from->trunk_vlans_count;
		port.isolated = from->isolated;
		port.uplink = from->uplink;
		port.queues = from->queues;
		make_port(dp, &port, true);
	}
}

static void make_configured_volumes(struct gn_dataplane *dp)
{
	unsigned i;

	for (i = 0; i < dp->config->volumes_count; i++) {
		const struct gn_config_volume *from = &dp->config->volumes[i];
		Gnomon__V1__Volume volume = GNOMON__V1__VOLUME__INIT;

		volume.name = from->name;
		volume.vm = from->vm;
		volume.path = from->path;
		set_text(&volume.socket_path, from->socket_path);
		set_text(&volume.serial, from->serial);
		volume.read_only = from->read_only;
		volume.queues = from->queues;
		make_volume(dp, &volume, true);
	}
}

/* ---- the state file -------------------------------------------------------------------- */

static int make_one(struct gn_dataplane *dp, enum gn_dp_kind kind, struct gn_saved *item)
{
	struct gn_status status = {.code = GN_OK};
	struct gn_dp_mirror *mirror;
	struct gn_dp_export *export;

	switch (kind) {
	case GN_DP_PORT:
		return make_port(dp, (Gnomon__V1__Port *)item, false);
	case GN_DP_VOLUME:
		return make_volume(dp, (Gnomon__V1__Volume *)item, false);
	case GN_DP_MIRROR:
		return report(
		        gn_dp_mirror_set(dp, (Gnomon__V1__Mirror *)item, false, &mirror, &status),
		        item->name, &status);
	case GN_DP_EXPORT:
		return report(
		        gn_dp_export_create(dp, (Gnomon__V1__NbdExport *)item, &export, &status),
		        item->name, &status);
	case GN_DP_METER:
	case GN_DP_N_KINDS:
		break;
	}
	return report(gn_dp_meter_update(dp, (Gnomon__V1__Meter *)item, &status), item->name,
	              &status);
}

/* What is made leaves the array. */
static void make_stored(struct gn_dataplane *dp, enum gn_dp_kind kind)
{
	struct gn_saved_array array = gn_saved_array_of(dp->left_out, kind);
	size_t i = 0;

	while (i < *array.n) {
		/* Out of the way first: a resource that is made forgets its namesake here. */
		struct gn_saved *item = array.items[i];

		array.items[i] = array.items[--*array.n];
		if (make_one(dp, kind, item) == 0) {
			gn_message_free(item);
			continue;
		}
		array.items[(*array.n)++] = array.items[i];
		array.items[i++] = item;
	}
}

void gn_dp_volume_leave_out(struct gn_dataplane *dp, struct gn_dp_volume *volume)
{
	const Gnomon__V1__DataplaneState none = GNOMON__V1__DATAPLANE_STATE__INIT;
	Gnomon__V1__DataplaneState *left = dp->left_out;
	Gnomon__V1__Volume **grown;

	if (!left)
		dp->left_out = left = (Gnomon__V1__DataplaneState *)gn_message_copy(&none.base);
	grown = left ? realloc(left->volumes, (left->n_volumes + 1) * sizeof(void *)) : NULL;
	if (grown) {
		left->volumes = grown;
		grown[left->n_volumes++] = volume->spec;
		gn_ram_unbind(volume->spec->socket_path);
		volume->spec = NULL;
	}
	gn_dp_volume_free(dp, volume);
}

void gn_dp_volume_retry(struct gn_dataplane *dp)
{
	if (!dp->left_out)
		return;
	dp->saving = false;
	make_stored(dp, GN_DP_VOLUME);
	dp->saving = true;
}

void gn_dataplane_restore(struct gn_dataplane *dp)
{
	struct gn_status status;

	dp->saving = false;
	/* First, since a volume must know of an export that has the right to write it. */
	if (gn_state_load(dp->config->state_dir, &dp->left_out, &status) != 0)
		gn_log(GN_LOG_ERROR, "%s", status.message);
	make_uplinks(dp);
	make_configured_ports(dp);
	make_configured_volumes(dp);
	if (dp->left_out) {
		make_stored(dp, GN_DP_METER);
		make_stored(dp, GN_DP_PORT);
		make_stored(dp, GN_DP_VOLUME);
		make_stored(dp, GN_DP_EXPORT);
		make_stored(dp, GN_DP_MIRROR);
	}
	dp->saving = true;
}
