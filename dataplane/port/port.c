/* port.c - what all ports have in common. */
#include "dataplane/port/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void allow(struct gn_port *port, uint32_t vlan)
{
	port->vlans[vlan / 64] |= 1ull << (vlan % 64);
}

int gn_port_init(struct gn_port *port, const struct gn_port_ops *ops, struct gn_worker *worker,
                 const struct gn_port_config *config)
{
	unsigned i;

	memset(port, 0, sizeof *port);
	port->name = strdup(config->name);
	if (!port->name)
		return -ENOMEM;
	port->pollable.name = port->name;
	port->ops = ops;
	port->worker = worker;
	port->vlan = config->vlan;
	port->isolated = config->isolated;
	port->uplink = config->uplink;
	port->all_vlans = !config->vlan && !config->n_trunk_vlans;
	if (port->all_vlans)
		memset(port->vlans, 0xff, sizeof port->vlans);
	if (config->vlan)
		allow(port, config->vlan);
	for (i = 0; i < config->n_trunk_vlans; i++)
		allow(port, config->trunk_vlans[i]);
	return 0;
}

void gn_port_fini(struct gn_port *port)
{
	free(port->name);
}

void gn_port_destroy(struct gn_port *port)
{
	if (!port)
		return;
	port->ops->stop(port);
	port->ops->free(port);
}
