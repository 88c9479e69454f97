/* restore.c - what exists when the dataplane starts: the board's uplinks and the
 * configuration's ports and volumes, then what control had made before. The configuration wins
 * where both name the same resource. */
#include "dataplane/control/dataplane.h"

#include <errno.h>
#include <stdio.h>
#include "dataplane/state/state.h"
#include "firmware/core/log.h"

static void report(int err, const char *name, const struct gn_status *status)
{
	if (err)
		gn_log(GN_LOG_ERROR, "%s is left out: %s", name, status->message);
}

static void make_port(struct gn_dataplane *dp, const Gnomon__V1__Port *port, bool from_config)
{
	struct gn_dp_port *made;
	struct gn_status status = {.code = GN_OK};

	report(gn_dp_port_create(dp, port, from_config, &made, &status), port->name, &status);
}

static void make_volume(struct gn_dataplane *dp, const Gnomon__V1__Volume *volume, bool from_config)
{
	struct gn_dp_volume *made;
	struct gn_status status = {.code = GN_OK};

	report(gn_dp_volume_create(dp, volume, from_config, &made, &status), volume->name, &status);
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

static void make_stored(struct gn_dataplane *dp, const Gnomon__V1__DataplaneState *state)
{
	struct gn_status status = {.code = GN_OK};
	struct gn_dp_mirror *mirror;
	size_t i;

	for (i = 0; i < state->n_meters; i++)
		report(gn_dp_meter_update(dp, state->meters[i], &status), "a meter", &status);
	for (i = 0; i < state->n_ports; i++)
		make_port(dp, state->ports[i], false);
	for (i = 0; i < state->n_volumes; i++)
		make_volume(dp, state->volumes[i], false);
	for (i = 0; i < state->n_mirrors; i++)
		report(gn_dp_mirror_set(dp, state->mirrors[i], false, &mirror, &status),
		       state->mirrors[i]->name, &status);
}

void gn_dataplane_restore(struct gn_dataplane *dp)
{
	Gnomon__V1__DataplaneState *state = NULL;
	struct gn_status status;

	dp->saving = false;
	make_uplinks(dp);
	make_configured_ports(dp);
	make_configured_volumes(dp);
	if (gn_state_load(dp->config->state_dir, &state, &status) != 0)
		gn_log(GN_LOG_ERROR, "%s", status.message);
	if (state) {
		make_stored(dp, state);
		gnomon__v1__dataplane_state__free_unpacked(state, NULL);
	}
	dp->saving = true;
}
