/* The whole way of a packet, called directly between fake ports. Frames are given in
 * external buffers of exactly their size, so that ASan sees a read beyond them. After each test
 * every mbuf must be back in its pool. */
#include "dataplane/graph/graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <rte_cycles.h>
#include "dataplane/feature/testframe.h"
#include "dataplane/graph/fakeport.h"
#include "dataplane/worker/eal_test.h"

#define N_MBUFS 4096
#define HZ      1000000000u

static struct rte_mempool *pool, *clones;
static struct gn_graph *graph;
static struct gn_fakeport a, b, c, net;
static struct gn_vm vm_a, vm_b;
static uint64_t now;

/* ---- frames ------------------------------------------------------------------------- */

static void free_buffer(void *buffer, void *opaque)
{
	free(buffer);
	free(opaque);
}

/* An mbuf around a heap copy of exactly 'n' bytes. */
static struct rte_mbuf *exact(const void *frame, uint32_t n)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
	struct rte_mbuf_ext_shared_info *info = malloc(sizeof *info);
	uint8_t *copy = malloc(n ? n : 1);

	assert_non_null(mbuf);
	memcpy(copy, frame, n);
	info->free_cb = free_buffer;
	info->fcb_opaque = info;
	rte_mbuf_ext_refcnt_set(info, 1);
	rte_pktmbuf_attach_extbuf(mbuf, copy, 0, (uint16_t)n, info);
	mbuf->data_off = 0;
	mbuf->data_len = (uint16_t)n;
	mbuf->pkt_len = n;
	return mbuf;
}

/* An ordinary one, as a driver makes. */
static struct rte_mbuf *ordinary(const void *frame, uint32_t n)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);

	assert_non_null(mbuf);
	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)n), frame, n);
	return mbuf;
}

static void set_macs(uint8_t *frame, uint8_t to, uint8_t from)
{
	memcpy(frame, (const uint8_t[]){2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from}, 12);
	if (to == 0xff)
		memset(frame, 0xff, 6);
}

static uint32_t udp_frame(uint8_t *frame, uint8_t to, uint8_t from, uint16_t vlan)
{
	const struct gn_testframe_spec spec = {.protocol = IPPROTO_UDP,
	                                       .outer_vlan = vlan,
	                                       .source = 0x0a000001,
	                                       .destination = 0x0a000002,
	                                       .source_port = 1000,
	                                       .destination_port = 2000,
	                                       .payload = "0123456789abcdef0123456789abcdef",
	                                       .n_payload = 32};
	uint32_t n = gn_testframe_build(&spec, frame);

	set_macs(frame, to, from);
	return n;
}

static void inject(struct gn_fakeport *fake, struct rte_mbuf *mbuf)
{
	gn_graph_burst(graph, &fake->port, &mbuf, 1, now);
}

static void send_udp(struct gn_fakeport *from_port, uint8_t to, uint8_t from, uint16_t vlan)
{
	uint8_t frame[GN_TESTFRAME_MAX];

	inject(from_port, exact(frame, udp_frame(frame, to, from, vlan)));
}

static uint16_t ethertype_of(const struct gn_fakeport *fake, unsigned i)
{
	return (uint16_t)(fake->frames[i][12] << 8 | fake->frames[i][13]);
}

static uint16_t tag_of(const struct gn_fakeport *fake, unsigned i)
{
	return (uint16_t)(fake->frames[i][14] << 8 | fake->frames[i][15]) & 0xfff;
}

/* ---- set-up ---------------------------------------------------------------------------- */

static void add(struct gn_fakeport *fake, struct gn_vm *vm)
{
	assert_int_equal(gn_graph_port_add(graph, &fake->port, vm), 0);
}

static void make_vm(struct gn_vm *vm)
{
	const struct gn_feature_config config = {.tsc_hz = HZ, .n_flows = 64, .seed = {1, 2}};

	memset(vm, 0, sizeof *vm);
	assert_int_equal(gn_feature_create(&config, &vm->feature), 0);
}

static int set_up(void **state)
{
	const struct gn_graph_config config = {
	        .pool = pool, .clones = clones, .tsc_hz = HZ, .seed = {3, 4}};

	now = 1000ull * HZ;
	assert_int_equal(gn_graph_create(&config, &graph), 0);
	make_vm(&vm_a);
	make_vm(&vm_b);
	return 0;
}

/* Trunks for all VLANs: two VMs, one more port, an uplink. */
static int set_up_trunks(void **state)
{
	const struct gn_port_config uplink = {.name = "ports/net", .uplink = true};

	set_up(state);
	gn_fakeport_init(&a, "ports/a", true, NULL);
	gn_fakeport_init(&b, "ports/b", true, NULL);
	gn_fakeport_init(&c, "ports/c", false, NULL);
	gn_fakeport_init(&net, "ports/net", false, &uplink);
	add(&a, &vm_a);
	add(&b, &vm_b);
	add(&c, NULL);
	add(&net, NULL);
	return 0;
}

/* a: access 10, b: access 20, c: trunk of 10 and untagged, net: trunk of all. */
static int set_up_vlans(void **state)
{
	const uint32_t some[] = {0, 10};
	const struct gn_port_config access10 = {.name = "ports/a", .vlan = 10};
	const struct gn_port_config access20 = {.name = "ports/b", .vlan = 20};
	const struct gn_port_config trunk = {
	        .name = "ports/c", .trunk_vlans = some, .n_trunk_vlans = 2};
	const struct gn_port_config uplink = {.name = "ports/net", .uplink = true};

	set_up(state);
	gn_fakeport_init(&a, "ports/a", true, &access10);
	gn_fakeport_init(&b, "ports/b", true, &access20);
	gn_fakeport_init(&c, "ports/c", false, &trunk);
	gn_fakeport_init(&net, "ports/net", false, &uplink);
	add(&a, &vm_a);
	add(&b, &vm_b);
	add(&c, NULL);
	add(&net, NULL);
	return 0;
}

static void take_out(struct gn_fakeport *fake)
{
	if (fake->port.graph)
		gn_graph_port_remove(graph, &fake->port);
	gn_fakeport_fini(fake);
}

static int tear_down(void **state)
{
	take_out(&a);
	take_out(&b);
	take_out(&c);
	take_out(&net);
	gn_graph_destroy(graph);
	gn_feature_destroy(vm_a.feature);
	gn_feature_destroy(vm_b.feature);
	assert_int_equal(rte_mempool_avail_count(pool), N_MBUFS);
	assert_int_equal(rte_mempool_avail_count(clones), N_MBUFS);
	return 0;
}

/* ---- switching ------------------------------------------------------------------------- */

static void floods_then_learns(void **state)
{
	send_udp(&a, 2, 1, 0); /* nobody knows 2 */
	assert_int_equal(b.n, 1);
	assert_int_equal(c.n, 1);
	assert_int_equal(net.n, 1);
	assert_int_equal(a.n, 0);
	assert_int_equal(a.port.counters.tx_flooded, 1);
	send_udp(&b, 1, 2, 0); /* 1 is known */
	assert_int_equal(a.n, 1);
	assert_int_equal(c.n, 1);
	send_udp(&a, 2, 1, 0);
	assert_int_equal(b.n, 2);
	assert_int_equal(c.n, 1);
	assert_int_equal(a.port.counters.tx_flooded, 1);
	assert_int_equal(gn_graph_fdb_count(graph), 2);
}

static void unicast_is_not_copied(void **state)
{
	uint8_t frame[GN_TESTFRAME_MAX];
	struct rte_mbuf *mbuf;

	send_udp(&net, 0xff, 9, 0);
	gn_fakeport_empty(&c);
	mbuf = ordinary(frame, udp_frame(frame, 9, 1, 0));
	inject(&a, mbuf);
	assert_ptr_equal(net.mbufs[net.n - 1], mbuf);
	assert_int_equal(rte_mbuf_refcnt_read(mbuf), 1);
}

static void flooded_packets_share_one_buffer(void **state)
{
	send_udp(&a, 0xff, 1, 0);
	assert_ptr_equal(c.mbufs[0], net.mbufs[0]);
	assert_int_equal(rte_mbuf_refcnt_read(c.mbufs[0]), 2); /* b copied */
}

static void hairpin_and_link_local_stop_here(void **state)
{
	static const uint8_t bpdu[60] = {0x01, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1};
	static const uint8_t from_group[60] = {2, 0, 0, 0, 0, 9, 3, 0, 0, 0, 0, 1};

	send_udp(&a, 7, 1, 0);
	gn_fakeport_empty(&b);
	send_udp(&a, 1, 3, 0); /* 1 is where it comes from */
	assert_int_equal(b.n, 0);
	inject(&a, exact(bpdu, sizeof bpdu));
	inject(&a, exact(from_group, sizeof from_group));
	assert_int_equal(b.n, 0);
	assert_int_equal(a.port.counters.tx_dropped_malformed, 2);
}

static void stolen_address_is_dropped_and_counted(void **state)
{
	struct gn_feature_counters counters;

	send_udp(&a, 0xff, 1, 0);
	send_udp(&b, 0xff, 2, 0);
	gn_fakeport_empty(&net);
	send_udp(&b, 0xff, 1, 0); /* b says it is a */
	assert_int_equal(net.n, 0);
	assert_int_equal(b.port.counters.tx_dropped_spoofed, 1);
	gn_feature_read(vm_b.feature, now, &counters);
	assert_int_equal(counters.tx_dropped, 1);
	send_udp(&net, 1, 9, 0);
	assert_int_equal(a.n, 2); /* still a's: b's first, and this */
}

static void isolated_port_hears_and_says_nothing(void **state)
{
	const struct gn_port_config shadow = {.name = "ports/s", .isolated = true};
	struct gn_fakeport s;

	gn_fakeport_init(&s, "ports/s", true, &shadow);
	add(&s, NULL);
	send_udp(&a, 0xff, 1, 0);
	assert_int_equal(s.n, 0);
	send_udp(&s, 0xff, 1, 0);
	assert_int_equal(b.n, 1);
	assert_int_equal(s.port.counters.tx_dropped_isolated, 1);
	assert_int_equal(s.port.counters.tx_packets, 1);
	assert_int_equal(a.port.counters.tx_dropped_spoofed, 0);
	send_udp(&net, 1, 9, 0); /* its frame did not move the address either */
	assert_int_equal(a.n, 1);
	take_out(&s);
}

static void full_ring_is_counted_on_both_sides(void **state)
{
	struct gn_feature_counters counters;

	send_udp(&b, 0xff, 2, 0);
	b.room = 0;
	send_udp(&a, 2, 1, 0);
	assert_int_equal(b.port.counters.rx_dropped_ring, 1);
	gn_feature_read(vm_b.feature, now, &counters);
	assert_int_equal(counters.rx_dropped, 1);
	assert_int_equal(counters.rx_packets, 0);
	gn_feature_read(vm_a.feature, now, &counters);
	assert_int_equal(counters.tx_dropped, 1);
	assert_int_equal(counters.tx_packets, 1);
}

static void meters_drop_what_is_too_much(void **state)
{
	struct gn_feature_counters counters;
	unsigned i;

	send_udp(&b, 0xff, 2, 0);
	assert_int_equal(gn_meter_set(&vm_a.meters[GN_TX], 1000, HZ, now), 0);
	for (i = 0; i < 4000; i++)
		send_udp(&a, 2, 1, 0);
	assert_int_equal(a.port.counters.tx_dropped_meter + b.n, 4000);
	assert_int_equal(b.n, GN_METER_MIN_BURST_BYTES / 74);
	gn_feature_read(vm_a.feature, now, &counters);
	assert_int_equal(counters.tx_dropped, a.port.counters.tx_dropped_meter);
	gn_meter_set(&vm_a.meters[GN_TX], 0, HZ, now);
	gn_fakeport_empty(&b);
	gn_meter_set(&vm_b.meters[GN_RX], 1000, HZ, now);
	for (i = 0; i < 4000; i++)
		send_udp(&a, 2, 1, 0);
	assert_int_equal(b.port.counters.rx_dropped_meter + b.n, 4000);
	assert_true(b.port.counters.rx_dropped_meter > 0);
}

static void floods_are_bounded(void **state)
{
	unsigned i;

	for (i = 0; i < 4 * GN_GRAPH_FLOOD_BURST / 4; i++) {
		send_udp(&a, 0xff, 1, 0);
		gn_fakeport_empty(&c);
		gn_fakeport_empty(&net);
		b.n = 0;
		b.room = GN_FAKEPORT_MAX;
	}
	/* Four ports: a quarter of the packets went to all, every one to the uplink. */
	assert_int_equal(a.port.counters.tx_flooded, GN_GRAPH_FLOOD_BURST);
	assert_int_equal(b.port.counters.rx_packets, GN_GRAPH_FLOOD_BURST / 4);
	assert_int_equal(net.port.counters.rx_packets, GN_GRAPH_FLOOD_BURST);
	assert_int_equal(a.port.counters.tx_flood_limited, GN_GRAPH_FLOOD_BURST * 3 / 4);
	now += HZ / 1000;
	send_udp(&a, 0xff, 1, 0);
	assert_int_equal(b.n, 1);
	for (i = 0; i < GN_GRAPH_FLOOD_BURST; i++) { /* the network is not held back */
		send_udp(&net, 0xff, 9, 0);
		gn_fakeport_empty(&c);
		a.n = b.n = 0;
		a.room = b.room = GN_FAKEPORT_MAX;
	}
	assert_int_equal(net.port.counters.tx_flood_limited, 0);
}

static void removed_port_is_forgotten(void **state)
{
	send_udp(&a, 0xff, 1, 0);
	send_udp(&b, 0xff, 2, 0);
	gn_graph_port_remove(graph, &b.port);
	assert_int_equal(gn_graph_fdb_count(graph), 1);
	gn_fakeport_empty(&c);
	send_udp(&a, 2, 1, 0);
	assert_int_equal(c.n, 1); /* flooded again, and not to b */
	assert_int_equal(b.n, 1);
}

static void many_ports_come_and_go(void **state)
{
	static struct gn_fakeport many[GN_FDB_MAX_PORTS];
	unsigned n, i, round;

	for (round = 0; round < 2; round++) {
		for (n = 0; n < GN_FDB_MAX_PORTS; n++) {
			gn_fakeport_init(&many[n], "ports/x", true, NULL);
			if (gn_graph_port_add(graph, &many[n].port, NULL) != 0)
				break;
		}
		assert_int_equal(n, GN_FDB_MAX_PORTS - 4);
		gn_fakeport_fini(&many[n]);
		send_udp(&a, 0xff, 1, 0);
		for (i = 0; i < n; i++) {
			assert_int_equal(many[i].n, 1);
			take_out(&many[i]);
		}
	}
}

static void aged_address_is_flooded(void **state)
{
	unsigned i;

	send_udp(&net, 0xff, 9, 0);
	gn_fakeport_empty(&c);
	send_udp(&a, 9, 1, 0);
	assert_int_equal(c.n, 0);
	now += (GN_FDB_AGE_MS + 1) * (HZ / 1000ull);
	send_udp(&a, 9, 1, 0);
	assert_int_equal(c.n, 1);
	for (i = 0; i < GN_FDB_SLOTS / 64; i++)
		gn_graph_age(graph, now);
	assert_int_equal(gn_graph_fdb_count(graph), 1); /* a's own stays */
}

/* ---- VLANs ------------------------------------------------------------------------------- */

static void access_to_trunk_is_tagged(void **state)
{
	uint8_t frame[GN_TESTFRAME_MAX];
	uint32_t n = udp_frame(frame, 0xff, 1, 0);

	inject(&a, exact(frame, n));
	assert_int_equal(b.n, 0); /* another VLAN */
	assert_int_equal(c.n, 1);
	assert_int_equal(net.n, 1);
	assert_int_equal(ethertype_of(&net, 0), 0x8100);
	assert_int_equal(tag_of(&net, 0), 10);
	assert_int_equal(net.lengths[0], n + 4);
	assert_memory_equal(net.frames[0], frame, 12);
	assert_memory_equal(net.frames[0] + 16, frame + 12, n - 12);
	assert_memory_equal(c.frames[0], net.frames[0], n + 4);
	assert_int_equal(net.port.counters.rx_bytes, n + 4);
}

static void trunk_to_access_is_untagged(void **state)
{
	uint8_t frame[GN_TESTFRAME_MAX];
	uint32_t n = udp_frame(frame, 0xff, 9, 20);

	inject(&net, exact(frame, n));
	assert_int_equal(a.n, 0);
	assert_int_equal(c.n, 0); /* not its VLAN */
	assert_int_equal(b.n, 1);
	assert_int_equal(b.lengths[0], n - 4);
	assert_memory_equal(b.frames[0], frame, 12);
	assert_memory_equal(b.frames[0] + 12, frame + 16, n - 16);
}

static void tags_go_in_and_out_in_place(void **state)
{
	uint8_t frame[GN_TESTFRAME_MAX];
	struct rte_mbuf *mbuf;

	send_udp(&net, 0xff, 9, 10);
	mbuf = ordinary(frame, udp_frame(frame, 9, 1, 0));
	inject(&a, mbuf);
	assert_ptr_equal(net.mbufs[0], mbuf); /* known and unshared: no new buffer */
	assert_int_equal(tag_of(&net, 0), 10);
	assert_null(mbuf->next);
	inject(&net, ordinary(frame, udp_frame(frame, 1, 9, 10)));
	assert_int_equal(ethertype_of(&a, 1), 0x0800);
}

static void trunk_to_trunk_stays_as_it_is(void **state)
{
	uint8_t frame[GN_TESTFRAME_MAX];
	uint32_t n = udp_frame(frame, 0xff, 9, 10);

	inject(&net, exact(frame, n));
	assert_int_equal(c.lengths[0], n);
	assert_memory_equal(c.frames[0], frame, n);
	n = udp_frame(frame, 0xff, 9, 0);
	inject(&net, exact(frame, n)); /* untagged, between the trunks only */
	assert_int_equal(c.n, 2);
	assert_memory_equal(c.frames[1], frame, n);
	assert_int_equal(a.n, 1);
	assert_int_equal(b.n, 0);
}

static void guest_cannot_choose_its_vlan(void **state)
{
	send_udp(&a, 0xff, 1, 20);
	send_udp(&a, 0xff, 1, 10);
	assert_int_equal(a.port.counters.tx_dropped_malformed, 2);
	assert_int_equal(b.n + c.n + net.n, 0);
	send_udp(&c, 0xff, 3, 20); /* a trunk that does not carry it */
	assert_int_equal(c.port.counters.tx_dropped_malformed, 1);
}

static void priority_tag_is_taken_off(void **state)
{
	uint8_t frame[GN_TESTFRAME_MAX];
	uint32_t n = udp_frame(frame, 0xff, 1, 1);

	frame[14] = 0xa0; /* priority 5, VLAN 0 */
	frame[15] = 0;
	inject(&a, exact(frame, n));
	assert_int_equal(net.n, 1);
	assert_int_equal(tag_of(&net, 0), 10);
	assert_int_equal(net.lengths[0], n);
	assert_int_equal(net.frames[0][16] << 8 | net.frames[0][17], 0x0800);
}

/* Taking it off must not uncover a VLAN of the guest's choice. */
static void tag_behind_a_priority_tag_is_refused(void **state)
{
	uint8_t frame[GN_TESTFRAME_MAX];
	uint32_t n = udp_frame(frame, 0xff, 1, 20); /* b's VLAN, not a's */

	memmove(frame + 16, frame + 12, n - 12);
	memcpy(frame + 12, (const uint8_t[]){0x81, 0, 0, 0}, 4);
	inject(&a, exact(frame, n + 4));
	assert_int_equal(a.port.counters.tx_dropped_malformed, 1);
	assert_int_equal(b.n + c.n + net.n, 0);
}

static void same_address_in_two_vlans(void **state)
{
	send_udp(&net, 0xff, 9, 10);
	gn_fakeport_empty(&a);
	send_udp(&c, 0xff, 9, 0); /* the same address, untagged network */
	send_udp(&a, 9, 1, 0);    /* from VLAN 10: at net */
	assert_int_equal(net.n, 2);
	assert_int_equal(tag_of(&net, 1), 10);
}

/* ---- hostile lengths ------------------------------------------------------------------------ */

static const struct gn_testframe_spec shapes[] = {
        {.payload = "GET / HTTP/1.1\r\n\r\n",
         .n_payload = 18,
         .tcp_flags = 0x18,
         .tcp_options = 12},
        {.protocol = IPPROTO_UDP,
         .outer_vlan = 10,
         .destination_port = 53,
         .n_payload = 40,
         .payload = "\0\1\1\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1........"},
        {.outer_vlan = 10, .inner_vlan = 30, .ip_options = 40, .tcp_flags = 2},
        {.ipv6 = true,
         .n_extensions = 3,
         .protocol = IPPROTO_UDP,
         .payload = "xyz",
         .n_payload = 3},
        {.ipv6 = true, .outer_vlan = 20, .payload = "\x16\3\1\0\x05\1\0\0\1\0", .n_payload = 10},
        {.fragment = 0x2001, .protocol = IPPROTO_UDP, .payload = "fragment", .n_payload = 8},
};

static void every_cut_of(const struct gn_testframe_spec *spec, struct gn_fakeport *from)
{
	uint8_t frame[GN_TESTFRAME_MAX];
	uint32_t n = gn_testframe_build(spec, frame), i;

	set_macs(frame, 0xff, 1);
	for (i = 0; i <= n; i++) {
		inject(from, exact(frame, i));
		gn_fakeport_empty(&a);
		gn_fakeport_empty(&b);
		gn_fakeport_empty(&c);
		gn_fakeport_empty(&net);
	}
}

/* Frames cut at every byte, from each kind of port, with everything switched on. */
static void frames_cut_at_every_byte(void **state)
{
	struct gn_fakeport *const ports[] = {&a, &b, &c, &net};
	struct gn_mirror_config config = {
	        .directions = {true, true},
	        .pool = pool,
	        .clones = clones,
	        .truncate_bytes = 30,
	        .n_filters = 1,
	        .filters = {{.flags = GN_PACKET_IPV4, .destination_port = 80}},
	};
	struct gn_mirror_set set = {.n = 2};
	struct gn_status status;
	uint64_t seen;
	size_t i, j;

	assert_int_equal(gn_mirror_session_create(&config, &set.sessions[0], &status), 0);
	config.n_filters = 0;
	config.truncate_bytes = 0;
	config.sink = GN_MIRROR_TO_TUNNEL;
	config.tunnel = (struct gn_encap_config){.kind = GN_ENCAP_VXLAN,
	                                         .local_mac = {2},
	                                         .collector_mac = {4},
	                                         .local_ip = 1,
	                                         .collector_ip = 2};
	assert_int_equal(gn_mirror_session_create(&config, &set.sessions[1], &status), 0);
	gn_mirror_session_set_port(set.sessions[0], &c.port);
	gn_mirror_session_set_port(set.sessions[1], &net.port);
	vm_a.mirrors = vm_b.mirrors = &set;
	for (i = 0; i < RTE_DIM(shapes); i++)
		for (j = 0; j < RTE_DIM(ports); j++)
			every_cut_of(&shapes[i], ports[j]);
	for (i = 0; i < 2; i++) {
		struct gn_mirror_counters k;

		gn_mirror_session_read(set.sessions[i], &k);
		seen = k.copied[0] + k.filtered[0] + k.sampled_out[0] + k.dropped[0];
		assert_int_equal(k.seen[0], seen);
		assert_true(seen > 100);
		seen = k.copied[1] + k.filtered[1] + k.sampled_out[1] + k.dropped[1];
		assert_int_equal(k.seen[1], seen);
		gn_mirror_session_destroy(set.sessions[i]);
	}
	assert_true(a.port.counters.tx_dropped_malformed >= RTE_DIM(shapes) * 14);
}

/* With no mbuf left for headers, tagged copies are dropped and counted. */
static void out_of_mbufs_drops_and_counts(void **state)
{
	struct rte_mbuf *all[N_MBUFS];
	uint8_t frame[GN_TESTFRAME_MAX];
	struct rte_mbuf *mbuf = exact(frame, udp_frame(frame, 0xff, 1, 0));
	unsigned n = 0;

	while (n < N_MBUFS && (all[n] = rte_pktmbuf_alloc(pool)))
		n++;
	inject(&a, mbuf); /* to c and net, which want a tag in front of a shared buffer */
	assert_int_equal(c.port.counters.rx_dropped_ring, 1);
	assert_int_equal(net.port.counters.rx_dropped_ring, 1);
	assert_int_equal(net.n, 0);
	rte_pktmbuf_free_bulk(all, n);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up_trunks, tear_down)
#define V(name) cmocka_unit_test_setup_teardown(name, set_up_vlans, tear_down)
	const struct CMUnitTest tests[] = {
	        T(floods_then_learns),
	        T(unicast_is_not_copied),
	        T(flooded_packets_share_one_buffer),
	        T(hairpin_and_link_local_stop_here),
	        T(stolen_address_is_dropped_and_counted),
	        T(isolated_port_hears_and_says_nothing),
	        T(full_ring_is_counted_on_both_sides),
	        T(meters_drop_what_is_too_much),
	        T(floods_are_bounded),
	        T(removed_port_is_forgotten),
	        T(many_ports_come_and_go),
	        T(aged_address_is_flooded),
	        V(access_to_trunk_is_tagged),
	        V(trunk_to_access_is_untagged),
	        V(tags_go_in_and_out_in_place),
	        V(trunk_to_trunk_stays_as_it_is),
	        V(guest_cannot_choose_its_vlan),
	        V(priority_tag_is_taken_off),
	        V(tag_behind_a_priority_tag_is_refused),
	        V(same_address_in_two_vlans),
	        T(frames_cut_at_every_byte),
	        V(frames_cut_at_every_byte),
	        V(out_of_mbufs_drops_and_counts),
	};

	if (gn_eal_test_init() < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("p", N_MBUFS, 0, GN_MIRROR_PRIV_SIZE,
	                               RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	clones = rte_pktmbuf_pool_create("c", N_MBUFS, 0, GN_MIRROR_PRIV_SIZE, 0, SOCKET_ID_ANY);
	if (!pool || !clones)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
