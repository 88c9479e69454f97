/* graph.c - ports come and go, addresses age. Packets: burst.c. */
#include "dataplane/graph/graph_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <rte_cycles.h>
#include <rte_memory.h>

#define AGE_PERIOD_MS 10
#define AGE_SLOTS     64 /* the whole table in 20 s */

int gn_graph_create(const struct gn_graph_config *config, struct gn_graph **out)
{
	struct gn_graph *graph = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof *graph);
	int err;

	if (!graph)
		return -ENOMEM;
	memset(graph, 0, sizeof *graph);
	err = gn_fdb_create(config->seed, &graph->fdb);
	if (err) {
		free(graph);
		return err;
	}
	graph->worker = config->worker;
	graph->pool = config->pool;
	graph->clones = config->clones;
	graph->cycles_per_ms = RTE_MAX(config->tsc_hz / 1000, 1u);
	*out = graph;
	return 0;
}

void gn_graph_destroy(struct gn_graph *graph)
{
	if (!graph)
		return;
	assert(graph->n_ports == 0);
	gn_fdb_destroy(graph->fdb);
	free(graph);
}

void gn_graph_age(struct gn_graph *graph, uint64_t now)
{
	gn_fdb_age(graph->fdb, AGE_SLOTS, (uint32_t)(now / graph->cycles_per_ms));
}

static unsigned poll_port(struct gn_pollable *pollable, uint64_t now)
{
	struct gn_port *port = (struct gn_port *)pollable;
	struct gn_graph *graph = port->graph;
	struct rte_mbuf *mbufs[GN_PORT_BURST];
	unsigned work = 0;
	unsigned queue, n;

	if (unlikely(atomic_load_explicit(&port->changed, memory_order_relaxed)))
		port->ops->refresh(port);
	for (queue = 0; queue < port->n_rx_queues; queue++) {
		n = port->ops->rx(port, queue, mbufs, GN_PORT_BURST);
		if (n)
			gn_graph_burst(graph, port, mbufs, n, now);
		work += n;
	}
	if (unlikely(now >= graph->next_age)) {
		gn_graph_age(graph, now);
		graph->next_age = now + graph->cycles_per_ms * AGE_PERIOD_MS;
	}
	return work;
}

static uint16_t free_index(const struct gn_graph *graph)
{
	uint16_t i;

	for (i = 0; i < GN_FDB_MAX_PORTS && graph->ports[i]; i++)
		;
	return i;
}

static int start_polling(struct gn_graph *graph, struct gn_port *port)
{
	int err;

	port->pollable.poll = poll_port;
	if (!graph->worker)
		return 0;
	err = gn_worker_add(graph->worker, &port->pollable);
	if (!err && port->ops->refresh)
		port->ops->refresh(port);
	return err;
}

int gn_graph_port_add(struct gn_graph *graph, struct gn_port *port, struct gn_vm *vm)
{
	uint16_t index = free_index(graph);
	int err;

	if (index == GN_FDB_MAX_PORTS)
		return -ENOSPC;
	err = gn_fdb_port_add(graph->fdb, index, port->uplink);
	if (err)
		return err;
	port->index = index;
	port->graph = graph;
	port->vm = vm;
	port->connected = false;
	port->flood_room = GN_GRAPH_FLOOD_BURST;
	graph->ports[index] = port;
	graph->active[graph->n_ports++] = port;
	err = start_polling(graph, port);
	if (err) {
		gn_graph_port_remove(graph, port);
		return err;
	}
	if (!port->ops->refresh)
		gn_graph_port_connected(graph, port, true);
	return 0;
}

void gn_graph_port_remove(struct gn_graph *graph, struct gn_port *port)
{
	unsigned i;

	if (graph->worker)
		gn_worker_remove(graph->worker, &port->pollable);
	gn_fdb_port_remove(graph->fdb, port->index);
	for (i = 0; graph->active[i] != port; i++)
		;
	graph->active[i] = graph->active[--graph->n_ports];
	graph->ports[port->index] = NULL;
	port->graph = NULL;
	port->vm = NULL;
	port->connected = false;
}

void gn_graph_port_connected(struct gn_graph *graph, struct gn_port *port, bool connected)
{
	if (port->connected == connected)
		return;
	port->connected = connected;
	gn_fdb_port_connected(graph->fdb, port->index, connected);
}

uint32_t gn_graph_fdb_count(const struct gn_graph *graph)
{
	return gn_fdb_count(graph->fdb);
}
