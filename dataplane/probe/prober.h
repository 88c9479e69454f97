/* prober.h - a probe (probe.h) at a port whose guest is cut off from every network.
 *
 * Owner: a control thread makes and frees it; while it is at a port it belongs to that port's
 * lcore, where the port's driver sends for it and the graph hands it what the guest sends. It polls
 * itself until the guest has answered. */
#ifndef GN_PROBER_H
#define GN_PROBER_H

#include <rte_mempool.h>
#include "dataplane/port/port.h"
#include "dataplane/probe/probe.h"

struct gn_prober;

/* 'pool': for the frames to send; borrowed. -ENOMEM. */
int gn_prober_create(const struct gn_probe_target *target, uint32_t seed, struct rte_mempool *pool,
                     uint64_t tsc_hz, struct gn_prober **out);
/* It must be at no port. NULL is fine. */
void gn_prober_destroy(struct gn_prober *prober);

/* On the port's lcore. Begins to ask; the port must be isolated and have no other. -ENOSPC: too
 * much is polled there. */
int gn_prober_enter(struct gn_prober *prober, struct gn_port *port);
/* On the port's lcore. Nothing of it is used any more; at no port: fine. */
void gn_prober_leave(struct gn_prober *prober);
/* On the port's lcore: what the guest sent. */
void gn_prober_take(struct gn_prober *prober, struct rte_mbuf *const *mbufs, unsigned n);

/* On the port's lcore, or while it is at none. */
const struct gn_probe *gn_prober_probe(const struct gn_prober *prober);

#endif
