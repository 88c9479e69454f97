/* prober.c - see prober.h. */
#include "dataplane/probe/prober.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <rte_mbuf.h>

/* Nobody kicks a worker that sleeps when it is time for the next attempt. */
#define SLEEP_US 20000
/* Per poll: an attempt has few. */
#define FRAMES 4

struct gn_prober {
	struct gn_pollable pollable;
	struct gn_probe probe;
	struct gn_port *port; /* NULL: at none */
	struct rte_mempool *pool;
	uint64_t cycles_per_us;
	bool is_polled;
};

/* False: there is no room; the next attempt says it again. */
static bool send(struct gn_prober *prober, const uint8_t *frame, size_t n)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(prober->pool);
	struct gn_port *port = prober->port;
	struct gn_packet packet, *packets[] = {&packet};
	unsigned sent;

	if (!mbuf)
		return false;
	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)n), frame, n);
	packet = (struct gn_packet){.data = rte_pktmbuf_mtod(mbuf, const uint8_t *),
	                            .length = (uint32_t)n,
	                            .n_linear = (uint16_t)n};
	gn_packet_parse(&packet);
	sent = port->ops->tx(port, &mbuf, packets, 1);
	port->counters.rx_packets += sent;
	port->counters.rx_bytes += sent ? n : 0;
	port->counters.rx_dropped_ring += !sent;
	if (!sent || port->ops->tx_copies)
		rte_pktmbuf_free(mbuf);
	return sent;
}

static void stop_polling(struct gn_prober *prober)
{
	if (prober->is_polled)
		gn_worker_remove(prober->port->worker, &prober->pollable);
	prober->is_polled = false;
}

static unsigned poll(struct gn_pollable *pollable, uint64_t now)
{
	struct gn_prober *prober = (struct gn_prober *)pollable;
	uint8_t frame[GN_PROBE_FRAME_SIZE];
	unsigned i;
	size_t n = 0;

	if (!prober->port->connected)
		return 0;
	for (i = 0; i < FRAMES; i++) {
		n = gn_probe_next(&prober->probe, now / prober->cycles_per_us, frame);
		if (!n || !send(prober, frame, n))
			break;
	}
	if (!n && prober->probe.passed)
		stop_polling(prober);
	return i;
}

int gn_prober_create(const struct gn_probe_target *target, uint32_t seed, struct rte_mempool *pool,
                     uint64_t tsc_hz, struct gn_prober **out)
{
	struct gn_prober *prober = calloc(1, sizeof *prober);

	if (!prober)
		return -ENOMEM;
	gn_probe_init(&prober->probe, target, seed);
	prober->pollable.name = "probe";
	prober->pollable.poll = poll;
	prober->pollable.max_sleep_us = SLEEP_US;
	prober->pool = pool;
	prober->cycles_per_us = tsc_hz > 1000000 ? tsc_hz / 1000000 : 1;
	*out = prober;
	return 0;
}

void gn_prober_destroy(struct gn_prober *prober)
{
	free(prober);
}

int gn_prober_enter(struct gn_prober *prober, struct gn_port *port)
{
	int err = port->worker ? gn_worker_add(port->worker, &prober->pollable) : 0;

	if (err)
		return err;
	prober->is_polled = port->worker != NULL;
	prober->port = port;
	port->prober = prober;
	return 0;
}

void gn_prober_leave(struct gn_prober *prober)
{
	if (!prober->port)
		return;
	stop_polling(prober);
	prober->port->prober = NULL;
	prober->port = NULL;
}

void gn_prober_take(struct gn_prober *prober, struct rte_mbuf *const *mbufs, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		gn_probe_take(&prober->probe, rte_pktmbuf_mtod(mbufs[i], const uint8_t *),
		              mbufs[i]->data_len);
}

const struct gn_probe *gn_prober_probe(const struct gn_prober *prober)
{
	return &prober->probe;
}
