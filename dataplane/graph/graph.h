/* graph.h - the way of a packet through one lcore:
 *
 *   rx burst -> parse -> VLAN admission -> feature(tx) -> mirror(tx) -> meter(tx)
 *     -> learn, look up -> per target: retag -> mirror(rx) -> meter(rx) -> tx burst
 *     -> feature(rx)
 *
 * A burst is at most GN_PORT_BURST packets of one port. Each step handles the whole burst,
 * packets of one target leave together, and nothing is kept after the burst: when it ends,
 * every packet is sent, dropped and counted, or a mirror's.
 *
 * Floods: a guest's broadcasts, multicasts and packets to unknown addresses cost a copy for
 * each port. A guest may cause GN_GRAPH_FLOOD_PER_MS copies a millisecond, with bursts of up
 * to GN_GRAPH_FLOOD_BURST; above that, its floods reach uplinks only.
 *
 * Owner: lcore, all of it but create and destroy: call the rest inside gn_worker_call(), or
 * on any one thread when there is no worker (tests). */
#ifndef GN_DATAPLANE_GRAPH_H
#define GN_DATAPLANE_GRAPH_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/feature/feature.h"
#include "dataplane/meter/meter.h"
#include "dataplane/mirror/mirror.h"
#include "dataplane/port/port.h"
#include "dataplane/switch/fdb.h"

#define GN_GRAPH_FLOOD_PER_MS 100u
#define GN_GRAPH_FLOOD_BURST  8192u

/* A VM as its packets see it. Made by control, owned by the lcore while a port refers to it. */
struct gn_vm {
	struct gn_feature *feature;          /* NULL: not counted */
	struct gn_meter meters[2];           /* by enum gn_direction */
	const struct gn_mirror_set *mirrors; /* NULL: none; swapped whole */
};

struct gn_graph;

struct gn_graph_config {
	struct gn_worker *worker;   /* NULL: nothing is polled (tests) */
	struct rte_mempool *pool;   /* for headers of retagged packets */
	struct rte_mempool *clones; /* indirect mbufs: no data room of their own */
	uint64_t tsc_hz;
	uint64_t seed[2]; /* random */
};

/* -ENOMEM. */
int gn_graph_create(const struct gn_graph_config *config, struct gn_graph **out);
/* All ports must have been removed. NULL is fine. */
void gn_graph_destroy(struct gn_graph *graph);

/* 'port' has been started; 'vm' may be NULL. -ENOSPC: too many ports or uplinks. */
int gn_graph_port_add(struct gn_graph *graph, struct gn_port *port, struct gn_vm *vm);
void gn_graph_port_remove(struct gn_graph *graph, struct gn_port *port);

/* For drivers: a front end came or went. */
void gn_graph_port_connected(struct gn_graph *graph, struct gn_port *port, bool connected);

/* Takes 'n' <= GN_PORT_BURST packets that came in at 'port' through to their end. */
void gn_graph_burst(struct gn_graph *graph, struct gn_port *port, struct rte_mbuf **mbufs,
                    unsigned n, uint64_t now);

/* Removes some aged addresses; called by itself on a polled graph. */
void gn_graph_age(struct gn_graph *graph, uint64_t now);

uint32_t gn_graph_fdb_count(const struct gn_graph *graph);

#endif
