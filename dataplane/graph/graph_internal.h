/* graph_internal.h - the graph's state, shared by graph.c (ports come and go) and burst.c
 * (packets). Owner: lcore. */
#ifndef GN_DATAPLANE_GRAPH_INTERNAL_H
#define GN_DATAPLANE_GRAPH_INTERNAL_H

#include "dataplane/graph/graph.h"

struct gn_graph {
	struct gn_fdb *fdb;
	struct rte_mempool *pool;
	struct rte_mempool *clones;
	struct gn_worker *worker;
	uint64_t cycles_per_ms;
	uint64_t next_age; /* TSC */
	unsigned n_ports;
	struct gn_port *ports[GN_FDB_MAX_PORTS];  /* by index; NULL: free */
	struct gn_port *active[GN_FDB_MAX_PORTS]; /* the same, dense: for flooding */
	/* Of the burst being processed. */
	unsigned n_targets;
	struct gn_port *targets[GN_FDB_MAX_PORTS];
	struct gn_packet packets[GN_PORT_BURST];
	struct gn_packet retagged[GN_PORT_BURST]; /* on their way to one target */
};

#endif
