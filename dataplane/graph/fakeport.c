/* fakeport.c - see fakeport.h. */
#include "dataplane/graph/fakeport.h"

#include <assert.h>
#include <string.h>

static void keep(struct gn_fakeport *fake, struct rte_mbuf *mbuf)
{
	uint8_t *frame = fake->frames[fake->n];
	uint32_t n = RTE_MIN(mbuf->pkt_len, (uint32_t)sizeof fake->frames[0]);
	const uint8_t *bytes = rte_pktmbuf_read(mbuf, 0, n, frame);

	assert(fake->n < GN_FAKEPORT_MAX);
	if (bytes != frame)
		memcpy(frame, bytes, n);
	fake->lengths[fake->n] = mbuf->pkt_len;
	fake->mbufs[fake->n++] = fake->copies || fake->port.done_when_sent ? NULL : mbuf;
	if (!fake->copies && fake->port.done_when_sent)
		rte_pktmbuf_free(mbuf);
}

static unsigned fake_tx(struct gn_port *port, struct rte_mbuf **mbufs, struct gn_packet **packets,
                        unsigned n)
{
	struct gn_fakeport *fake = (struct gn_fakeport *)port;
	unsigned i;

	for (i = 0; i < n && fake->room; i++, fake->room--)
		keep(fake, mbufs[i]);
	return i;
}

static const struct gn_port_ops copying_ops = {.tx = fake_tx, .tx_copies = true};
static const struct gn_port_ops owning_ops = {.tx = fake_tx};

void gn_fakeport_init(struct gn_fakeport *fake, const char *name, bool copies,
                      const struct gn_port_config *config)
{
	const struct gn_port_config trunk = {.name = name};

	gn_port_init(&fake->port, copies ? &copying_ops : &owning_ops, NULL,
	             config ? config : &trunk);
	fake->copies = copies;
	fake->n = 0;
	fake->room = GN_FAKEPORT_MAX;
}

void gn_fakeport_empty(struct gn_fakeport *fake)
{
	while (fake->n)
		rte_pktmbuf_free(fake->mbufs[--fake->n]);
	fake->room = GN_FAKEPORT_MAX;
}

void gn_fakeport_fini(struct gn_fakeport *fake)
{
	gn_fakeport_empty(fake);
	gn_port_fini(&fake->port);
}
