/* burst.c - the hot path (graph.h). Steps over a burst, not over a packet: each loop does
 * one thing for up to 32 packets, whose parsed headers stay in the first-level cache.
 *
 * VLANs: inside, a packet's VLAN is packet->vlan, and its frame is as it came. Only when it
 * leaves by a port of the other kind (access, trunk) a tag goes in or out, in place if
 * nobody shares the buffer, else in a new header in front of the shared rest. */
#include "dataplane/graph/graph_internal.h"

#include <string.h>
#include <netinet/in.h>
#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_prefetch.h>
#include "dataplane/probe/prober.h"

#define ADDRESSES (2 * RTE_ETHER_ADDR_LEN)
#define TAG_BYTES 4

/* What is left of a burst as steps drop packets. */
struct burst {
	unsigned n;
	struct rte_mbuf **mbufs;
	struct gn_packet **packets;
};

_Static_assert(GN_PORT_BURST <= 32 && GN_PORT_BURST <= GN_FDB_MAX_BURST, "a bit for each packet");

static void drop(struct rte_mbuf *mbuf, uint64_t *counter)
{
	++*counter;
	rte_pktmbuf_free(mbuf);
}

/* Takes the packets out whose bits are set. 'vm' may be NULL. */
static void drop_marked(struct burst *burst, uint32_t marked, uint64_t *counter, struct gn_vm *vm,
                        enum gn_direction direction)
{
	unsigned i, kept = 0;

	for (i = 0; i < burst->n; i++) {
		if (marked >> i & 1) {
			drop(burst->mbufs[i], counter);
			continue;
		}
		burst->mbufs[kept] = burst->mbufs[i];
		burst->packets[kept++] = burst->packets[i];
	}
	if (vm && vm->feature)
		gn_feature_dropped(vm->feature, direction, burst->n - kept);
	burst->n = kept;
}

static inline void set_frame(struct gn_packet *packet, const struct rte_mbuf *mbuf)
{
	packet->data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	packet->length = mbuf->pkt_len;
	packet->n_linear = mbuf->data_len;
}

static inline bool is_tagged(const struct gn_packet *packet)
{
	return *(const unaligned_uint16_t *)(packet->data + ADDRESSES) ==
	       RTE_BE16(RTE_ETHER_TYPE_VLAN);
}

/* 01:80:c2:00:00:0x is for this link only (IEEE 802.1Q 8.6.3): a guest's BPDU must not
 * reach the network's switches. A multicast source is no source. */
static inline bool is_forwardable(const uint8_t *frame)
{
	uint64_t word;

	memcpy(&word, frame, sizeof word);
	word &= rte_cpu_to_be_64(0xfffffffffff00000u);
	return word != rte_cpu_to_be_64(0x0180c20000000000u) && !(frame[RTE_ETHER_ADDR_LEN] & 1);
}

/* A priority tag says nothing at an access port. False: it cannot be taken off, or hides a tag
 * that a trunk would then take for ours. */
static bool strip_priority_tag(struct rte_mbuf *mbuf, struct gn_packet *packet)
{
	uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);

	if (rte_mbuf_refcnt_read(mbuf) != 1)
		return false;
	memmove(frame + TAG_BYTES, frame, ADDRESSES);
	rte_pktmbuf_adj(mbuf, TAG_BYTES);
	set_frame(packet, mbuf);
	gn_packet_parse(packet);
	return packet->n_linear >= RTE_ETHER_HDR_LEN && !is_tagged(packet);
}

/* Puts the packet into its VLAN; false: not allowed here. */
static inline bool admit(const struct gn_port *port, struct rte_mbuf *mbuf,
                         struct gn_packet *packet)
{
	uint16_t vlan = 0;

	if (unlikely(packet->n_linear < RTE_ETHER_HDR_LEN || !is_forwardable(packet->data)))
		return false;
	if (unlikely(is_tagged(packet))) {
		if (packet->n_linear < RTE_ETHER_HDR_LEN + TAG_BYTES)
			return false;
		vlan = rte_be_to_cpu_16(
		               *(const unaligned_uint16_t *)(packet->data + RTE_ETHER_HDR_LEN)) &
		       GN_PORT_MAX_VLAN;
		if (port->vlan && (vlan || !strip_priority_tag(mbuf, packet)))
			return false;
	}
	packet->vlan = port->vlan ? port->vlan : vlan;
	return port->all_vlans || gn_port_allows_vlan(port, packet->vlan);
}

static void parse(struct gn_graph *graph, const struct burst *burst)
{
	struct rte_mbuf *const *mbufs = burst->mbufs;
	struct gn_packet **packets = burst->packets;
	const unsigned n = burst->n;
	unsigned i;

	for (i = 0; i < n; i++) {
		struct gn_packet *packet = &graph->packets[i];

		set_frame(packet, mbufs[i]);
		rte_prefetch0(packet->data);
		packets[i] = packet;
	}
	gn_packet_parse_burst(packets, n);
}

static void admit_all(struct gn_port *port, struct burst *burst)
{
	struct rte_mbuf *const *mbufs = burst->mbufs;
	struct gn_packet *const *packets = burst->packets;
	const unsigned n = burst->n;
	uint32_t refused = 0;
	uint64_t bytes = 0;
	unsigned i;

	for (i = 0; i < n; i++) {
		bytes += packets[i]->length;
		if (unlikely(!admit(port, mbufs[i], packets[i])))
			refused |= 1u << i;
	}
	port->counters.tx_packets += n;
	port->counters.tx_bytes += bytes;
	if (unlikely(refused))
		drop_marked(burst, refused, &port->counters.tx_dropped_malformed, port->vm, GN_TX);
}

/* Drops what is over the VM's rate. */
static void meter(struct gn_vm *vm, enum gn_direction direction, struct burst *burst,
                  uint64_t *dropped, uint64_t now)
{
	struct gn_meter *rate = &vm->meters[direction];
	uint32_t over = 0;
	unsigned i;

	if (likely(!rate->bps))
		return;
	for (i = 0; i < burst->n; i++)
		if (!gn_meter_pass(rate, now, burst->packets[i]->length))
			over |= 1u << i;
	if (over)
		drop_marked(burst, over, dropped, vm, direction);
}

/* The sender's side: features, mirror, meter. */
static void leave_vm(struct gn_port *port, struct burst *burst, uint64_t now)
{
	struct gn_vm *vm = port->vm;

	if (vm->feature)
		gn_feature_burst(vm->feature, (const struct gn_packet *const *)burst->packets,
		                 burst->n, GN_TX, now);
	if (vm->mirrors)
		gn_mirror_burst(vm->mirrors, GN_TX, burst->mbufs, burst->packets, burst->n, now);
	meter(vm, GN_TX, burst, &port->counters.tx_dropped_meter, now);
}

/* ---- towards one target ---------------------------------------------------------- */

/* A new first segment with 'head_bytes' taken off and 'addresses' (and a tag) put in front
 * of what is shared. NULL: out of mbufs. */
static struct rte_mbuf *rebuild(struct gn_graph *graph, struct rte_mbuf *mbuf,
                                const struct gn_packet *packet, bool tag)
{
	struct rte_mbuf *head = rte_pktmbuf_alloc(graph->pool);
	struct rte_mbuf *rest = rte_pktmbuf_clone(mbuf, graph->clones);
	uint8_t *frame;

	if (!head || !rest) {
		rte_pktmbuf_free(head);
		rte_pktmbuf_free(rest);
		return NULL;
	}
	rte_pktmbuf_adj(rest, tag ? ADDRESSES : ADDRESSES + TAG_BYTES);
	frame = (uint8_t *)rte_pktmbuf_append(head, tag ? ADDRESSES + TAG_BYTES : ADDRESSES);
	memcpy(frame, packet->data, ADDRESSES);
	if (tag) {
		*(unaligned_uint16_t *)(frame + ADDRESSES) = RTE_BE16(RTE_ETHER_TYPE_VLAN);
		*(unaligned_uint16_t *)(frame + ADDRESSES + 2) = rte_cpu_to_be_16(packet->vlan);
	}
	head->next = rest;
	head->nb_segs = (uint16_t)(1 + rest->nb_segs);
	head->pkt_len += rest->pkt_len;
	rte_pktmbuf_free(mbuf);
	return head;
}

static struct rte_mbuf *insert_tag(struct gn_graph *graph, struct rte_mbuf *mbuf,
                                   const struct gn_packet *packet)
{
	uint8_t *frame;

	if (rte_mbuf_refcnt_read(mbuf) != 1 || !RTE_MBUF_DIRECT(mbuf) ||
	    rte_pktmbuf_headroom(mbuf) < TAG_BYTES)
		return rebuild(graph, mbuf, packet, true);
	frame = (uint8_t *)rte_pktmbuf_prepend(mbuf, TAG_BYTES);
	memmove(frame, frame + TAG_BYTES, ADDRESSES);
	*(unaligned_uint16_t *)(frame + ADDRESSES) = RTE_BE16(RTE_ETHER_TYPE_VLAN);
	*(unaligned_uint16_t *)(frame + ADDRESSES + 2) = rte_cpu_to_be_16(packet->vlan);
	return mbuf;
}

static struct rte_mbuf *remove_tag(struct gn_graph *graph, struct rte_mbuf *mbuf,
                                   const struct gn_packet *packet)
{
	uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);

	if (rte_mbuf_refcnt_read(mbuf) != 1 || !RTE_MBUF_DIRECT(mbuf))
		return rebuild(graph, mbuf, packet, false);
	memmove(frame + TAG_BYTES, frame, ADDRESSES);
	rte_pktmbuf_adj(mbuf, TAG_BYTES);
	return mbuf;
}

/* In step with a frame that grew or shrank by 'shift' in front of its headers. A rebuilt
 * frame's headers are no longer in one piece, so 'data' stays with the old bytes, which the
 * new mbuf keeps alive. */
static void follow(struct gn_packet *packet, const struct rte_mbuf *mbuf, int shift)
{
	if (mbuf->next == NULL) {
		packet->data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
		packet->n_linear = mbuf->data_len;
		packet->l3 = (uint16_t)(packet->l3 ? packet->l3 + shift : 0);
		packet->l4 = (uint16_t)(packet->l4 ? packet->l4 + shift : 0);
		packet->payload = (uint16_t)(packet->payload ? packet->payload + shift : 0);
	}
	packet->length = mbuf->pkt_len;
}

/* Gives each packet the tag that 'to' wants, or takes it away. The parsed packet may be on its way
 * to other targets too, so a changed one is a copy. */
static void retag(struct gn_graph *graph, struct gn_port *to, struct burst *burst)
{
	unsigned i, kept = 0;

	for (i = 0; i < burst->n; i++) {
		struct rte_mbuf *mbuf = burst->mbufs[i];
		struct gn_packet *packet = burst->packets[i];
		bool tagged = is_tagged(packet);
		bool wanted = to->vlan ? false : tagged || packet->vlan;

		if (tagged != wanted) {
			struct rte_mbuf *changed = wanted ? insert_tag(graph, mbuf, packet)
			                                  : remove_tag(graph, mbuf, packet);

			if (!changed) {
				drop(mbuf, &to->counters.rx_dropped_ring);
				continue;
			}
			graph->retagged[kept] = *packet;
			packet = &graph->retagged[kept];
			mbuf = changed;
			follow(packet, mbuf, wanted ? TAG_BYTES : -TAG_BYTES);
		}
		burst->mbufs[kept] = mbuf;
		burst->packets[kept++] = packet;
	}
	burst->n = kept;
}

/* The target's side of the VM. */
static void enter_vm(struct gn_port *to, struct burst *burst, uint64_t now)
{
	if (to->vm->mirrors)
		gn_mirror_burst(to->vm->mirrors, GN_RX, burst->mbufs, burst->packets, burst->n,
		                now);
	meter(to->vm, GN_RX, burst, &to->counters.rx_dropped_meter, now);
}

static void count_features(struct gn_port *port, const struct burst *burst, unsigned n,
                           uint64_t now)
{
	if (port->vm && port->vm->feature && n)
		gn_feature_burst(port->vm->feature, (const struct gn_packet *const *)burst->packets,
		                 n, GN_RX, now);
}

/* Both sides hear of packets for which there was no room; of flooded ones only the target. */
static void count_unsent(struct gn_port *from, struct gn_port *to, const struct burst *burst,
                         unsigned sent)
{
	unsigned i, n_unicast = 0;

	to->counters.rx_dropped_ring += burst->n - sent;
	for (i = sent; i < burst->n; i++)
		n_unicast += !(burst->packets[i]->data[0] & 1);
	if (to->vm && to->vm->feature)
		gn_feature_dropped(to->vm->feature, GN_RX, burst->n - sent);
	if (from->vm && from->vm->feature)
		gn_feature_dropped(from->vm->feature, GN_TX, n_unicast);
}

static void send_burst(struct gn_port *from, struct gn_port *to, struct burst *burst, uint64_t now)
{
	bool copies = to->ops->tx_copies;
	uint64_t bytes = 0;
	unsigned i, sent;

	/* A device owns what it sent, so look at the frames before. */
	if (!copies)
		count_features(to, burst, burst->n, now);
	sent = to->ops->tx(to, burst->mbufs, burst->packets, burst->n);
	if (copies)
		count_features(to, burst, sent, now);
	for (i = 0; i < sent; i++)
		bytes += burst->packets[i]->length;
	to->counters.rx_packets += sent;
	to->counters.rx_bytes += bytes;
	if (unlikely(sent < burst->n))
		count_unsent(from, to, burst, sent);
	i = copies ? 0 : sent;
	if (i < burst->n)
		rte_pktmbuf_free_bulk(burst->mbufs + i, burst->n - i);
}

static void deliver(struct gn_graph *graph, struct gn_port *from, struct gn_port *to,
                    struct burst *burst, uint64_t now)
{
	if (!from->vlan != !to->vlan)
		retag(graph, to, burst);
	if (to->vm)
		enter_vm(to, burst, now);
	if (burst->n)
		send_burst(from, to, burst, now);
}

/* ---- the switch -------------------------------------------------------------------- */

static void queue_for(struct gn_graph *graph, struct gn_port *to, struct rte_mbuf *mbuf,
                      struct gn_packet *packet)
{
	struct gn_port_out *out = &to->out;

	if (!out->n)
		graph->targets[graph->n_targets++] = to;
	out->mbufs[out->n] = mbuf;
	out->packets[out->n++] = packet;
}

/* Whether 'from' may make a copy for every port once more. */
static bool may_flood(const struct gn_graph *graph, struct gn_port *from, uint32_t now_ms)
{
	uint32_t passed_ms = now_ms - from->flood_ms;

	if (from->uplink)
		return true;
	if (passed_ms) {
		passed_ms = RTE_MIN(passed_ms, GN_GRAPH_FLOOD_BURST / GN_GRAPH_FLOOD_PER_MS);
		from->flood_room = RTE_MIN(from->flood_room + passed_ms * GN_GRAPH_FLOOD_PER_MS,
		                           GN_GRAPH_FLOOD_BURST);
		from->flood_ms = now_ms;
	}
	if (from->flood_room < graph->n_ports)
		return false;
	from->flood_room -= graph->n_ports;
	return true;
}

/* To every port of the VLAN, each with a reference of its own. */
static void flood(struct gn_graph *graph, struct gn_port *from, struct rte_mbuf *mbuf,
                  struct gn_packet *packet, uint32_t now_ms)
{
	bool to_all = may_flood(graph, from, now_ms);
	unsigned i;

	from->counters.tx_flooded++;
	from->counters.tx_flood_limited += !to_all;
	for (i = 0; i < graph->n_ports; i++) {
		struct gn_port *to = graph->active[i];

		if (to == from || to->isolated || !to->connected || !(to_all || to->uplink) ||
		    !gn_port_allows_vlan(to, packet->vlan))
			continue;
		rte_pktmbuf_refcnt_update(mbuf, 1);
		queue_for(graph, to, mbuf, packet);
	}
	rte_pktmbuf_free(mbuf);
}

/* Packets of one burst to several targets. */
static void distribute(struct gn_graph *graph, struct gn_port *from, const struct burst *burst,
                       const uint16_t *ports, uint64_t now)
{
	unsigned i;

	for (i = 0; i < burst->n; i++) {
		if (ports[i] == GN_FDB_NO_PORT)
			flood(graph, from, burst->mbufs[i], burst->packets[i],
			      (uint32_t)(now / graph->cycles_per_ms));
		else if (ports[i] == from->index)
			rte_pktmbuf_free(burst->mbufs[i]); /* it is where it came from */
		else
			queue_for(graph, graph->ports[ports[i]], burst->mbufs[i],
			          burst->packets[i]);
	}
	for (i = 0; i < graph->n_targets; i++) {
		struct gn_port *to = graph->targets[i];
		struct burst part = {to->out.n, to->out.mbufs, to->out.packets};

		to->out.n = 0;
		deliver(graph, from, to, &part, now);
	}
	graph->n_targets = 0;
}

/* Learns the sources; drops what lies about its own. */
static void learn(struct gn_graph *graph, struct gn_port *from, struct burst *burst,
                  uint32_t now_ms)
{
	struct gn_packet *const *packets = burst->packets;
	const unsigned n = burst->n;
	uint64_t keys[GN_PORT_BURST];
	uint32_t refused;
	unsigned i;

	for (i = 0; i < n; i++)
		keys[i] = gn_fdb_key(packets[i]->data + RTE_ETHER_ADDR_LEN, packets[i]->vlan);
	refused = gn_fdb_learn_burst(graph->fdb, keys, n, from->index, now_ms);
	if (unlikely(refused))
		drop_marked(burst, refused, &from->counters.tx_dropped_spoofed, from->vm, GN_TX);
}

static void forward(struct gn_graph *graph, struct gn_port *from, struct burst *burst, uint64_t now)
{
	struct gn_packet *const *packets = burst->packets;
	uint32_t now_ms = (uint32_t)(now / graph->cycles_per_ms);
	uint64_t keys[GN_PORT_BURST];
	uint16_t ports[GN_PORT_BURST];
	uint16_t differs = 0;
	unsigned i;

	learn(graph, from, burst, now_ms);
	for (i = 0; i < burst->n; i++)
		keys[i] = gn_fdb_key(packets[i]->data, packets[i]->vlan);
	gn_fdb_lookup_burst(graph->fdb, keys, burst->n, now_ms, ports);
	for (i = 1; i < burst->n; i++)
		differs |= ports[i] ^ ports[0];
	if (burst->n && !differs && ports[0] != GN_FDB_NO_PORT && ports[0] != from->index)
		deliver(graph, from, graph->ports[ports[0]], burst, now);
	else
		distribute(graph, from, burst, ports, now);
}

static void drop_isolated(struct gn_port *port, struct burst *burst)
{
	unsigned i;

	port->counters.tx_packets += burst->n;
	for (i = 0; i < burst->n; i++)
		port->counters.tx_bytes += burst->mbufs[i]->pkt_len;
	port->counters.tx_dropped_isolated += burst->n;
	if (port->prober)
		gn_prober_take(port->prober, burst->mbufs, burst->n);
	rte_pktmbuf_free_bulk(burst->mbufs, burst->n);
}

void gn_graph_burst(struct gn_graph *graph, struct gn_port *port, struct rte_mbuf **mbufs,
                    unsigned n, uint64_t now)
{
	struct gn_packet *packets[GN_PORT_BURST];
	struct burst burst = {n, mbufs, packets};

	if (unlikely(port->isolated)) {
		drop_isolated(port, &burst);
		return;
	}
	parse(graph, &burst);
	admit_all(port, &burst);
	if (port->vm)
		leave_vm(port, &burst, now);
	forward(graph, port, &burst, now);
}
