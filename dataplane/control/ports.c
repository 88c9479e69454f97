/* ports.c - CreatePort and DeletePort. */
#include "dataplane/control/dataplane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include "dataplane/control/message.h"
#include "dataplane/control/names.h"
#include "dataplane/ram/ram.h"

/* A request with defaults filled in. */
struct wanted {
	Gnomon__V1__Port spec; /* borrows from the request and from here */
	char socket_path[sizeof((struct sockaddr_un *)0)->sun_path + 64];
};

static int check_vlans(const Gnomon__V1__Port *spec, struct gn_status *status)
{
	size_t i;

	if (spec->vlan > 4094)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "port '%s': vlan is %u; it must be 1 to 4094, or 0 for a trunk", spec->name,
		        spec->vlan);
	if (spec->vlan && spec->n_trunk_vlans)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "port '%s' has the access VLAN %u and trunk_vlans; give one of them",
		        spec->name, spec->vlan);
	for (i = 0; i < spec->n_trunk_vlans; i++)
		if (spec->trunk_vlans[i] > 4094)
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "port '%s': trunk VLAN %u; give 1 to 4094, or 0 for "
			                     "untagged frames",
			                     spec->name, spec->trunk_vlans[i]);
	return 0;
}

static int check_kind(struct gn_dataplane *dp, struct wanted *wanted, struct gn_status *status)
{
	Gnomon__V1__Port *spec = &wanted->spec;

	if (spec->kind == GNOMON__V1__PORT__KIND__ETHDEV) {
		if (!*spec->devargs || *spec->socket_path)
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "port '%s' is a DPDK device: give its devargs (like "
			                     "'net_tap0,iface=up0') and no socket_path",
			                     spec->name);
		return 0;
	}
	if (spec->kind != GNOMON__V1__PORT__KIND__VHOST_USER)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "port '%s': kind is %d; give VHOST_USER or ETHDEV", spec->name,
		                     (int)spec->kind);
	if (*spec->devargs)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "port '%s' is a VM's NIC and has devargs '%s'; they are for ETHDEV",
		        spec->name, spec->devargs);
	return 0;
}

static int check(struct gn_dataplane *dp, struct wanted *wanted, struct gn_status *status)
{
	Gnomon__V1__Port *spec = &wanted->spec;
	int err = gn_name_check(spec->name, "ports/", status);

	if (!err && *spec->vm)
		err = gn_name_check(spec->vm, "vms/", status);
	if (!err)
		err = check_kind(dp, wanted, status);
	if (!err)
		err = check_vlans(spec, status);
	if (err)
		return err;
	if (spec->queues > GN_PORT_MAX_QUEUES)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "port '%s': %u queues; 1 to %d are possible", spec->name,
		                     spec->queues, GN_PORT_MAX_QUEUES);
	if (spec->uplink && (*spec->vm || spec->isolated))
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "port '%s' is an uplink; it can neither belong to a VM nor be isolated",
		        spec->name);
	return 0;
}

static int normalise(struct gn_dataplane *dp, const Gnomon__V1__Port *request,
                     struct wanted *wanted, struct gn_status *status)
{
	int err;

	wanted->spec = *request;
	wanted->spec.connected = false;
	wanted->spec.counters = NULL;
	wanted->spec.probe = NULL;
	if (!wanted->spec.queues)
		wanted->spec.queues = 1;
	err = check(dp, wanted, status);
	if (err || request->kind != GNOMON__V1__PORT__KIND__VHOST_USER)
		return err;
	err = gn_dp_socket_path(dp, request->name, request->socket_path, wanted->socket_path,
	                        sizeof wanted->socket_path, status);
	wanted->spec.socket_path = wanted->socket_path;
	return err;
}

struct order {
	struct gn_dataplane *dp;
	struct gn_dp_port *port;
	int err;
};

static void add_on_lcore(void *arg)
{
	struct order *order = arg;
	struct gn_dp_port *port = order->port;

	order->err =
	        gn_graph_port_add(order->dp->graph, port->port, port->vm ? &port->vm->vm : NULL);
	if (!order->err)
		gn_dp_mirror_port_came(order->dp, port);
}

static void remove_on_lcore(void *arg)
{
	struct order *order = arg;

	gn_dp_mirror_port_goes(order->dp, order->port);
	gn_graph_port_remove(order->dp->graph, order->port->port);
}

static int make_driver(struct gn_dataplane *dp, struct gn_dp_port *port, struct gn_status *status)
{
	const Gnomon__V1__Port *spec = port->spec;
	struct gn_port_config config = {
	        .name = spec->name,
	        .socket_path = spec->socket_path,
	        .devargs = spec->devargs,
	        .vlan = (uint16_t)spec->vlan,
	        .isolated = spec->isolated,
	        .uplink = spec->uplink,
	        .queues = spec->queues,
	        .trunk_vlans = spec->trunk_vlans,
	        .n_trunk_vlans = (unsigned)spec->n_trunk_vlans,
	        .pool = dp->pool,
	        .max_frame_bytes = (uint16_t)dp->config->max_frame_bytes,
	};
	int err = spec->kind == GNOMON__V1__PORT__KIND__ETHDEV
	                  ? gn_port_ethdev_create(dp->network, &config, &port->port, status)
	                  : gn_port_vhost_create(dp->network, &config, &port->port, status);

	if (!err && port->vm && *spec->socket_path && gn_ram_bind(spec->socket_path, spec->vm) != 0)
		err = gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory for port '%s'",
		                    spec->name);
	if (!err)
		err = port->port->ops->start(port->port, status);
	if (!err && *spec->socket_path)
		err = gn_dp_socket_chown(dp, spec->socket_path, status);
	return err;
}

static int enter_graph(struct gn_dataplane *dp, struct gn_dp_port *port, struct gn_status *status)
{
	struct order order = {.dp = dp, .port = port};

	gn_worker_call(dp->network, add_on_lcore, &order);
	if (order.err)
		return gn_status_set(
		        status, GN_RESOURCE_EXHAUSTED,
		        "port '%s': %d ports, %d of them uplinks, are the most; delete one",
		        port->spec->name, GN_FDB_MAX_PORTS, GN_FDB_MAX_UPLINKS);
	return 0;
}

static void free_outside(struct gn_dataplane *dp, struct gn_dp_port *port)
{
	gn_port_destroy(port->port);
	if (port->spec)
		gn_ram_unbind(port->spec->socket_path);
	if (port->vm)
		port->vm->n_ports--;
	gn_dp_vm_put(dp, port->vm);
	gn_message_free(port->spec);
	free(port);
}

static int make(struct gn_dataplane *dp, const struct wanted *wanted, struct gn_dp_port **out,
                struct gn_status *status)
{
	struct gn_dp_port *port = calloc(1, sizeof *port);
	int err = 0;

	if (port)
		port->spec = (Gnomon__V1__Port *)gn_message_copy(&wanted->spec.base);
	if (port && *wanted->spec.vm)
		port->vm = gn_dp_vm_get(dp, wanted->spec.vm);
	if (!port || !port->spec || (*wanted->spec.vm && !port->vm))
		err = gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory for port '%s'",
		                    wanted->spec.name);
	if (port && port->vm)
		port->vm->n_ports++;
	if (!err)
		err = make_driver(dp, port, status);
	if (!err)
		err = enter_graph(dp, port, status);
	if (err) {
		if (port)
			free_outside(dp, port);
		return err;
	}
	LIST_INSERT_HEAD(&dp->ports, port, link);
	*out = port;
	return 0;
}

int gn_dp_port_create(struct gn_dataplane *dp, const Gnomon__V1__Port *request, bool from_config,
                      struct gn_dp_port **out, struct gn_status *status)
{
	struct gn_dp_port *port = gn_dp_port_find(dp, request->name);
	struct wanted wanted;
	int err = normalise(dp, request, &wanted, status);

	if (err)
		return err;
	if (port && !gn_message_equal(&port->spec->base, &wanted.spec.base))
		return gn_status_set(status, GN_ALREADY_EXISTS,
		                     "port '%s' exists with other settings; delete it first",
		                     request->name);
	if (!port) {
		if (*wanted.spec.socket_path && gn_dp_socket_taken(dp, wanted.spec.socket_path))
			return gn_status_set(status, GN_ALREADY_EXISTS,
			                     "the socket '%s' belongs to another port or volume",
			                     wanted.spec.socket_path);
		err = make(dp, &wanted, &port, status);
		if (err)
			return err;
		port->from_config = from_config;
		gn_dp_forget(dp, GN_DP_PORT, request->name);
		err = gn_dataplane_save(dp, status);
	}
	if (err)
		gn_dp_port_free(dp, port);
	else
		*out = port;
	return err;
}

void gn_dp_port_free(struct gn_dataplane *dp, struct gn_dp_port *port)
{
	struct order order = {.dp = dp, .port = port};

	gn_dp_port_end_probe(dp, port);
	gn_worker_call(dp->network, remove_on_lcore, &order);
	LIST_REMOVE(port, link);
	free_outside(dp, port);
}

int gn_dp_port_delete(struct gn_dataplane *dp, const char *name, struct gn_status *status)
{
	struct gn_dp_port *port = gn_dp_port_find(dp, name);

	if (!port && gn_dp_forget(dp, GN_DP_PORT, name))
		return gn_dataplane_save(dp, status);
	if (!port)
		return gn_status_set(status, GN_NOT_FOUND, "there is no port '%.100s'", name);
	gn_dp_port_free(dp, port);
	return gn_dataplane_save(dp, status);
}
