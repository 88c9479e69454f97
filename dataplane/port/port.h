/* port.h - where packets enter and leave: a VM's NIC (vhost-user) or a DPDK device.
 *
 * A port is made and destroyed by a control thread, and belongs to one lcore from
 * gn_graph_port_add() to gn_graph_port_remove(). The graph (dataplane/graph) drives it:
 * it calls 'rx' and 'tx' with bursts, one indirect call for up to 32 packets.
 *
 * A vhost-user port is the server of its socket; QEMU connects, leaves and comes back as it
 * likes. Checksum and segmentation offloads are not offered, so a guest's frames are complete: on
 * the wire and at a mirror they are what the guest's stack computed. Frames larger than
 * the mbufs' data room are refused by rte_vhost (a guest cannot tie up more than one buffer
 * per frame). A hostile front end can stop its own port, not the lcore: descriptors it
 * sends are never read, and rte_vhost's callbacks that hold ring locks never wait for
 * the lcore. */
#ifndef GN_DATAPLANE_PORT_H
#define GN_DATAPLANE_PORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <rte_mbuf.h>
#include "dataplane/feature/packet.h"
#include "dataplane/worker/worker.h"
#include "firmware/core/status.h"

#define GN_PORT_BURST      32 /* packets per 'rx' and 'tx' */
#define GN_PORT_MAX_QUEUES 8
#define GN_PORT_MAX_VLAN   4095

struct gn_port;
struct gn_vm;     /* dataplane/graph/graph.h */
struct gn_prober; /* dataplane/probe/prober.h */

struct gn_port_ops {
	/* Owner: lcore. Up to 'n' <= GN_PORT_BURST packets of one queue. */
	unsigned (*rx)(struct gn_port *port, unsigned queue, struct rte_mbuf **mbufs, unsigned n);
	/* Owner: lcore. Sends what it can and returns how many; these are then the first of
	 * 'mbufs' (and of 'packets', which it keeps in step and chooses queues by). The unsent
	 * ones stay the caller's; the sent ones too when 'tx_copies'. */
	unsigned (*tx)(struct gn_port *port, struct rte_mbuf **mbufs, struct gn_packet **packets,
	               unsigned n);
	/* Owner: lcore. Called before the next 'rx' when 'changed' was set. NULL allowed. */
	void (*refresh)(struct gn_port *port);
	/* 'tx' copies the bytes and keeps no reference. */
	bool tx_copies;
	/* Owner: control. Begins and ends contact with the other side: 'start' before the port
	 * enters a graph, 'stop' after it left. 'stop' may be called twice. */
	int (*start)(struct gn_port *port, struct gn_status *status);
	void (*stop)(struct gn_port *port);
	void (*free)(struct gn_port *port);
};

/* Names as PortCounters of dataplane.proto. One writer: the lcore. */
struct gn_port_counters {
	uint64_t rx_packets;
	uint64_t rx_bytes;
	uint64_t tx_packets;
	uint64_t tx_bytes;
	uint64_t rx_dropped_ring;
	uint64_t rx_dropped_meter;
	uint64_t tx_dropped_meter;
	uint64_t tx_dropped_malformed;
	uint64_t tx_dropped_isolated;
	uint64_t tx_dropped_spoofed;
	uint64_t tx_flooded;
	uint64_t tx_flood_limited;
};

/* Packets of one burst on their way to one port. */
struct gn_port_out {
	unsigned n;
	struct rte_mbuf *mbufs[GN_PORT_BURST];
	struct gn_packet *packets[GN_PORT_BURST];
};

struct gn_graph;

struct gn_port {
	struct gn_pollable pollable; /* 'poll' is the graph's, the rest the driver's */
	const struct gn_port_ops *ops;
	struct gn_worker *worker;

	/* Owner: immutable once in a graph. */
	char *name;    /* "ports/web-1-net0" */
	uint16_t vlan; /* access VLAN; 0: trunk */
	bool isolated;
	bool uplink;
	bool all_vlans;            /* a trunk without a list */
	uint64_t vlans[4096 / 64]; /* those allowed here */

	_Atomic bool changed; /* any thread: the driver wants its 'refresh' */

	/* Owner: lcore. */
	struct gn_graph *graph;   /* NULL: in none */
	struct gn_vm *vm;         /* NULL: nobody's */
	struct gn_prober *prober; /* NULL, or the port is isolated and its guest is asked */
	uint16_t index;           /* in the graph and the forwarding database */
	uint16_t n_rx_queues;     /* those to poll */
	uint16_t n_tx_queues;
	bool connected;
	bool done_when_sent; /* immutable: the driver keeps no packet after 'tx' returned */
	uint32_t flood_ms;   /* when 'flood_room' was filled last */
	uint32_t flood_room; /* copies that floods from here may still make */
	struct gn_port_counters counters;
	struct gn_port_out out;
};

struct gn_port_config {
	const char *name;
	const char *socket_path; /* vhost-user */
	const char *devargs;     /* DPDK device */
	uint16_t vlan;
	bool isolated;
	bool uplink;
	unsigned queues;             /* 1..GN_PORT_MAX_QUEUES */
	const uint32_t *trunk_vlans; /* 0..4094, 0: untagged; none: all */
	unsigned n_trunk_vlans;
	struct rte_mempool *pool; /* for received packets */
	uint16_t max_frame_bytes;
};

/* Nothing listens or is polled yet. -ENOMEM, -EINVAL (socket path too long), -ENODEV
 * (no such device, with DPDK's reason), each with a sentence. */
int gn_port_vhost_create(struct gn_worker *worker, const struct gn_port_config *config,
                         struct gn_port **out, struct gn_status *status);
int gn_port_ethdev_create(struct gn_worker *worker, const struct gn_port_config *config,
                          struct gn_port **out, struct gn_status *status);
/* Stops and frees; the port must be in no graph. NULL is fine. */
void gn_port_destroy(struct gn_port *port);

/* For drivers: fills what they have in common. -ENOMEM. */
int gn_port_init(struct gn_port *port, const struct gn_port_ops *ops, struct gn_worker *worker,
                 const struct gn_port_config *config);
void gn_port_fini(struct gn_port *port);

static inline bool gn_port_allows_vlan(const struct gn_port *port, uint16_t vlan)
{
	return port->vlans[vlan / 64] >> (vlan % 64) & 1;
}

#endif
