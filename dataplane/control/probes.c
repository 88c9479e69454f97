/* probes.c - ProbePort: asks an isolated port's guest for a sign of life. */
#include "dataplane/control/dataplane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "dataplane/probe/prober.h"

struct order {
	struct gn_dp_port *port;
	struct gn_prober *prober;
	int err;
};

static void change_on_lcore(void *arg)
{
	struct order *order = arg;

	if (order->port->prober)
		gn_prober_leave(order->port->prober);
	if (order->prober)
		order->err = gn_prober_enter(order->prober, order->port->port);
}

static void replace(struct gn_dataplane *dp, struct order *order, char *text)
{
	gn_worker_call(dp->network, change_on_lcore, order);
	gn_prober_destroy(order->port->prober);
	free(order->port->probe);
	order->port->prober = order->err ? NULL : order->prober;
	order->port->probe = order->err ? NULL : text;
}

void gn_dp_port_end_probe(struct gn_dataplane *dp, struct gn_dp_port *port)
{
	struct order order = {.port = port};

	if (port->prober)
		replace(dp, &order, NULL);
}

static int begin(struct gn_dataplane *dp, struct gn_dp_port *port,
                 const struct gn_probe_target *target, const char *text, struct gn_status *status)
{
	struct order order = {.port = port};
	char *copy = strdup(text);
	uint32_t seed = 1;

	if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
		seed = 1; /* nothing depends on it but that attempts differ */
	if (!copy || gn_prober_create(target, seed, dp->pool, dp->tsc_hz, &order.prober)) {
		free(copy);
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory for the probe");
	}
	replace(dp, &order, copy);
	if (!order.err)
		return 0;
	gn_prober_destroy(order.prober);
	free(copy);
	return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
	                     "port '%s': its worker polls too much already; delete a port",
	                     port->spec->name);
}

int gn_dp_port_probe(struct gn_dataplane *dp, const Gnomon__V1__ProbePortRequest *request,
                     struct gn_dp_port **out, struct gn_status *status)
{
	struct gn_dp_port *port = gn_dp_port_find(dp, request->name);
	struct gn_probe_target target;
	int err;

	if (!port)
		return gn_status_set(status, GN_NOT_FOUND, "there is no port '%.100s'",
		                     request->name);
	if (!port->spec->isolated || port->spec->kind != GNOMON__V1__PORT__KIND__VHOST_USER)
		return gn_status_set(
		        status, GN_FAILED_PRECONDITION,
		        "port '%s' is no isolated port of a guest: who is there is asked "
		        "over its network",
		        request->name);
	err = gn_probe_target_parse(request->probe, request->from, &target, status);
	if (!err)
		err = begin(dp, port, &target, request->probe, status);
	if (!err)
		*out = port;
	return err;
}
