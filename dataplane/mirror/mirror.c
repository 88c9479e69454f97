/* mirror.c - see mirror.h. Per session and burst: choose, make the copies, send them all at
 * once. What the sink did not take is counted by the originals' lengths: those of shared
 * packets are in the mbuf, those of made ones in its note. */
#include "dataplane/mirror/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/mirror/writer.h"
#include "dataplane/port/port.h"

enum { PACKETS, BYTES };

struct gn_mirror_session {
	struct gn_mirror_config config;
	struct gn_port *port;
	struct gn_encap encap;
	uint32_t until_sample;   /* packets to skip before the next copy */
	uint64_t lost_before[2]; /* the writer's, when this session began */
	struct gn_mirror_counters counters;
};

/* Packets on their way through one session: the caller's own arrays, or these. */
struct batch {
	unsigned n;
	struct rte_mbuf **mbufs;
	struct gn_packet **packets;
};

struct arrays {
	struct rte_mbuf *mbufs[GN_PORT_BURST];
	struct gn_packet *packets[GN_PORT_BURST];
};

static inline struct batch empty_batch(struct arrays *arrays)
{
	return (struct batch){0, arrays->mbufs, arrays->packets};
}

int gn_mirror_session_create(const struct gn_mirror_config *config, struct gn_mirror_session **out,
                             struct gn_status *status)
{
	struct gn_mirror_session *session = calloc(1, sizeof *session);

	if (!session)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "out of memory for a mirror session");
	session->config = *config;
	if (config->sink == GN_MIRROR_TO_TUNNEL &&
	    gn_encap_init(&session->encap, &config->tunnel) != 0) {
		free(session);
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "the tunnel needs unicast MAC and IPv4 addresses, and a session_id of "
		        "0..%u (ERSPAN) or 0..%u (VXLAN)",
		        GN_ENCAP_MAX_SESSION, GN_ENCAP_MAX_NETWORK);
	}
	if (config->sink == GN_MIRROR_TO_FILE)
		gn_writer_lost(config->writer, session->lost_before);
	*out = session;
	return 0;
}

void gn_mirror_session_destroy(struct gn_mirror_session *session)
{
	free(session);
}

void gn_mirror_session_set_port(struct gn_mirror_session *session, struct gn_port *port)
{
	session->port = port;
}

struct gn_port *gn_mirror_session_port(const struct gn_mirror_session *session)
{
	return session->port;
}

void gn_mirror_session_read(const struct gn_mirror_session *session, struct gn_mirror_counters *out)
{
	unsigned i;
	uint64_t lost[2];

	*out = session->counters;
	if (session->config.sink != GN_MIRROR_TO_FILE)
		return;
	gn_writer_lost(session->config.writer, lost);
	for (i = 0; i < 2; i++) {
		out->copied[i] -= lost[i] - session->lost_before[i];
		out->dropped[i] += lost[i] - session->lost_before[i];
	}
}

void gn_mirror_session_inherit(struct gn_mirror_session *session,
                               const struct gn_mirror_session *from)
{
	gn_mirror_session_read(from, &session->counters);
	if (session->config.sink == GN_MIRROR_TO_FILE)
		gn_writer_lost(session->config.writer, session->lost_before);
	session->encap.sequence = from->encap.sequence;
}

static inline void count(uint64_t counter[2], unsigned n_packets, uint64_t n_bytes)
{
	counter[PACKETS] += n_packets;
	counter[BYTES] += n_bytes;
}

static inline uint64_t bytes_of(struct gn_packet *const *packets, unsigned n)
{
	uint64_t bytes = 0;
	unsigned i;

	for (i = 0; i < n; i++)
		bytes += packets[i]->length;
	return bytes;
}

static bool passes(const struct gn_mirror_config *config, const struct gn_packet *packet)
{
	unsigned i;

	for (i = 0; i < config->n_filters; i++)
		if (gn_filter_matches(&config->filters[i], packet))
			return true;
	return !config->n_filters;
}

/* Filters and samples into 'batch'. */
static void choose(struct gn_mirror_session *session, const struct batch *from, struct batch *batch)
{
	const struct gn_mirror_config *config = &session->config;
	unsigned i;

	for (i = 0; i < from->n; i++) {
		struct gn_packet *packet = from->packets[i];

		if (!passes(config, packet)) {
			count(session->counters.filtered, 1, packet->length);
		} else if (session->until_sample) {
			session->until_sample--;
			count(session->counters.sampled_out, 1, packet->length);
		} else {
			session->until_sample =
			        config->sample_one_in ? config->sample_one_in - 1 : 0;
			batch->mbufs[batch->n] = from->mbufs[i];
			batch->packets[batch->n++] = packet;
		}
	}
}

static inline struct gn_mirror_note *note_of(struct rte_mbuf *mbuf)
{
	return rte_mbuf_to_priv(mbuf);
}

static void count_unsent(struct gn_mirror_session *session, unsigned n, uint64_t bytes)
{
	struct gn_mirror_counters *counters = &session->counters;

	counters->copied[PACKETS] -= n;
	counters->copied[BYTES] -= bytes;
	count(counters->dropped, n, bytes);
}

/* Shortens a packet that is ours (an indirect mbuf). */
static void cut(struct rte_mbuf *mbuf, uint32_t keep)
{
	struct rte_mbuf *segment = mbuf;

	mbuf->pkt_len = keep;
	mbuf->nb_segs = 1;
	while (segment->data_len < keep) {
		keep -= segment->data_len;
		segment = segment->next;
		mbuf->nb_segs++;
	}
	segment->data_len = (uint16_t)keep;
	rte_pktmbuf_free(segment->next);
	segment->next = NULL;
}

/* An indirect mbuf on 'from's buffer of at most 'keep' bytes; NULL: the pool is empty. */
static struct rte_mbuf *clone_cut(const struct gn_mirror_session *session, struct rte_mbuf *from,
                                  uint32_t keep)
{
	struct rte_mbuf *clone = rte_pktmbuf_clone(from, session->config.clones);

	if (clone && keep && keep < clone->pkt_len)
		cut(clone, keep);
	return clone;
}

static unsigned transmit(struct gn_port *port, struct batch *batch)
{
	unsigned sent = port->ops->tx(port, batch->mbufs, batch->packets, batch->n);

	port->counters.rx_packets += sent;
	port->counters.rx_dropped_ring += batch->n - sent;
	return sent;
}

/* Gives made mbufs to the port; all are gone afterwards. */
static void send_made(struct gn_mirror_session *session, struct batch *made)
{
	struct gn_port *port = session->port;
	uint64_t bytes = 0;
	unsigned sent, i;

	for (i = 0; i < made->n; i++)
		bytes += made->mbufs[i]->pkt_len;
	sent = transmit(port, made);
	for (i = sent; i < made->n; i++) {
		bytes -= made->mbufs[i]->pkt_len;
		count_unsent(session, 1, made->packets[i]->length);
	}
	port->counters.rx_bytes += bytes;
	i = port->ops->tx_copies ? 0 : sent;
	if (i < made->n)
		rte_pktmbuf_free_bulk(made->mbufs + i, made->n - i);
}

static uint64_t cut_bytes(const struct batch *batch, uint32_t keep)
{
	uint64_t bytes = 0;
	unsigned i;

	for (i = 0; i < batch->n; i++)
		bytes += RTE_MIN(keep, batch->packets[i]->length);
	return bytes;
}

/* To a port that keeps nothing, packets are lent: no reference counter is touched, which in
 * a driver would cost an atomic operation each. False: they cannot be. */
static bool lend(struct gn_mirror_session *session, const struct batch *batch, uint64_t bytes)
{
	struct gn_port *port = session->port;
	uint32_t keep =
	        session->config.truncate_bytes ? session->config.truncate_bytes : UINT32_MAX;
	struct gn_packet *packets[GN_PORT_BURST];
	struct batch views = {batch->n,
	                      gn_views_look(session->config.views, batch->mbufs, batch->n, keep),
	                      batch->packets};
	unsigned sent, i;

	if (unlikely(!views.mbufs))
		return false;
	if (port->n_tx_queues > 1) { /* 'tx' may reorder them, but not the originals */
		memcpy(packets, batch->packets, batch->n * sizeof packets[0]);
		views.packets = packets;
	}
	if (keep != UINT32_MAX)
		bytes = cut_bytes(batch, keep);
	sent = transmit(port, &views);
	for (i = sent; i < batch->n; i++) {
		bytes -= RTE_MIN(keep, views.packets[i]->length);
		count_unsent(session, 1, views.packets[i]->length);
	}
	port->counters.rx_bytes += bytes;
	return true;
}

/* Whole packets to a port, without copying or allocating anything. */
static void share(struct gn_mirror_session *session, struct batch *batch)
{
	struct gn_port *port = session->port;
	uint64_t bytes = 0;
	unsigned sent, i;

	if (!port->ops->tx_copies)
		for (i = 0; i < batch->n; i++)
			rte_pktmbuf_refcnt_update(batch->mbufs[i], 1);
	sent = transmit(port, batch);
	for (i = 0; i < sent; i++)
		bytes += batch->packets[i]->length;
	port->counters.rx_bytes += bytes;
	for (i = sent; i < batch->n; i++) {
		count_unsent(session, 1, batch->packets[i]->length);
		if (!port->ops->tx_copies)
			rte_pktmbuf_refcnt_update(batch->mbufs[i], -1);
	}
}

/* Indirect mbufs; those that cannot be made are dropped. */
static void send_clones(struct gn_mirror_session *session, const struct batch *batch)
{
	struct arrays arrays;
	struct batch made = empty_batch(&arrays);
	unsigned i;

	for (i = 0; i < batch->n; i++) {
		struct rte_mbuf *clone =
		        clone_cut(session, batch->mbufs[i], session->config.truncate_bytes);

		if (!clone) {
			count_unsent(session, 1, batch->packets[i]->length);
			continue;
		}
		made.packets[made.n] = batch->packets[i];
		made.mbufs[made.n++] = clone;
	}
	if (made.n)
		send_made(session, &made);
}

/* The cheapest way that the port and the session allow. */
static void send_to_port(struct gn_mirror_session *session, struct batch *batch, uint64_t bytes)
{
	const struct gn_port *port = session->port;
	bool whole = !session->config.truncate_bytes;

	if (whole && port->ops->tx_copies)
		share(session, batch);
	else if (port->done_when_sent && session->config.views && lend(session, batch, bytes))
		return;
	else if (whole)
		share(session, batch);
	else
		send_clones(session, batch);
}

/* A header mbuf in front of the shared packet; NULL: no mbuf. */
static struct rte_mbuf *encapsulate(struct gn_mirror_session *session, struct rte_mbuf *mbuf,
                                    const struct gn_packet *packet, enum gn_direction direction)
{
	uint32_t keep = session->config.truncate_bytes;
	struct rte_mbuf *head, *body;

	if (!keep || keep > GN_ENCAP_MAX_FRAME)
		keep = GN_ENCAP_MAX_FRAME;
	keep = RTE_MIN(keep, packet->length);
	head = rte_pktmbuf_alloc(session->config.pool);
	if (!head)
		return NULL;
	body = keep < packet->length ? clone_cut(session, mbuf, keep) : mbuf;
	if (!body || gn_encap_write(&session->encap, packet, keep, direction,
	                            (uint8_t *)rte_pktmbuf_append(head, GN_ENCAP_BYTES)) != 0) {
		if (body != mbuf)
			rte_pktmbuf_free(body);
		rte_pktmbuf_free(head);
		return NULL;
	}
	if (body == mbuf)
		rte_pktmbuf_refcnt_update(mbuf, 1);
	head->next = body;
	head->nb_segs = (uint16_t)(1 + body->nb_segs);
	head->pkt_len += body->pkt_len;
	return head;
}

static void send_tunnel(struct gn_mirror_session *session, const struct batch *batch,
                        enum gn_direction direction)
{
	struct arrays arrays;
	struct batch made = empty_batch(&arrays);
	unsigned i;

	for (i = 0; i < batch->n; i++) {
		struct rte_mbuf *head =
		        encapsulate(session, batch->mbufs[i], batch->packets[i], direction);

		if (!head) {
			count_unsent(session, 1, batch->packets[i]->length);
			continue;
		}
		made.packets[made.n] = batch->packets[i];
		made.mbufs[made.n++] = head;
	}
	send_made(session, &made);
}

static inline void note_down(struct rte_mbuf *mbuf, const struct gn_packet *packet,
                             enum gn_direction direction, uint64_t now)
{
	*note_of(mbuf) = (struct gn_mirror_note){
	        .tsc = now, .length = packet->length, .direction = (uint8_t)direction};
}

static void send_file(struct gn_mirror_session *session, const struct batch *batch,
                      enum gn_direction direction, uint64_t now)
{
	struct arrays arrays;
	struct batch made = empty_batch(&arrays);
	unsigned taken, i;

	for (i = 0; i < batch->n; i++) {
		struct rte_mbuf *clone =
		        clone_cut(session, batch->mbufs[i], session->config.truncate_bytes);

		if (!clone) {
			count_unsent(session, 1, batch->packets[i]->length);
			continue;
		}
		note_down(clone, batch->packets[i], direction, now);
		made.packets[made.n] = batch->packets[i];
		made.mbufs[made.n++] = clone;
	}
	taken = gn_writer_put(session->config.writer, made.mbufs, made.n);
	for (i = taken; i < made.n; i++)
		count_unsent(session, 1, note_of(made.mbufs[i])->length);
	rte_pktmbuf_free_bulk(made.mbufs + taken, made.n - taken);
}

static void send_batch(struct gn_mirror_session *session, struct batch *batch, uint64_t bytes,
                       enum gn_direction direction, uint64_t now)
{
	/* All copied, until the sink says otherwise. */
	count(session->counters.copied, batch->n, bytes);
	if (session->config.sink == GN_MIRROR_TO_FILE)
		send_file(session, batch, direction, now);
	else if (!session->port)
		count_unsent(session, batch->n, bytes);
	else if (session->config.sink == GN_MIRROR_TO_TUNNEL)
		send_tunnel(session, batch, direction);
	else
		send_to_port(session, batch, bytes);
}

static void session_burst(struct gn_mirror_session *session, enum gn_direction direction,
                          struct batch *all, uint64_t bytes, uint64_t now)
{
	struct arrays arrays;
	struct batch chosen;

	count(session->counters.seen, all->n, bytes);
	if (!session->config.n_filters && session->config.sample_one_in <= 1) {
		send_batch(session, all, bytes, direction, now);
		return;
	}
	chosen = empty_batch(&arrays);
	choose(session, all, &chosen);
	if (chosen.n)
		send_batch(session, &chosen, bytes_of(chosen.packets, chosen.n), direction, now);
}

void gn_mirror_burst(const struct gn_mirror_set *set, enum gn_direction direction,
                     struct rte_mbuf **mbufs, struct gn_packet **packets, unsigned n, uint64_t now)
{
	struct batch all = {n, mbufs, packets};
	uint64_t bytes = bytes_of(packets, n);
	unsigned i;

	for (i = 0; i < set->n && n; i++)
		if (set->sessions[i]->config.directions[direction])
			session_burst(set->sessions[i], direction, &all, bytes, now);
}
