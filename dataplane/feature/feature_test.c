#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/feature/feature.h"
#include "dataplane/feature/sample.h"
#include "dataplane/feature/testframe.h"

#define HZ 1000000000u /* 1000 cycles are a microsecond */

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

/* A VM at 10.0.0.1:80 and its peer; 'isn' makes sequence numbers relative. */
struct talk {
	struct gn_feature *feature;
	uint64_t now;
	uint32_t isn[2];
	struct gn_testframe_spec spec;
};

static struct talk begin(void)
{
	struct gn_feature_config config = {HZ, 64, {0x9e3779b97f4a7c15, 0xdeadbeefcafef00d}};
	struct talk talk = {.now = 1000 * (uint64_t)HZ, .isn = {1000, 5000}};

	assert_int_equal(gn_feature_create(&config, &talk.feature), 0);
	talk.spec = (struct gn_testframe_spec){.source_port = 40000, .destination_port = 80};
	return talk;
}

static void give_frame(struct talk *talk, enum gn_direction direction, const uint8_t *frame,
                       uint32_t n)
{
	struct gn_packet packet = gn_testframe_parse(frame, n);
	const struct gn_packet *packets[] = {&packet};

	gn_feature_burst(talk->feature, packets, 1, direction, talk->now);
}

static void give_spec(struct talk *talk, enum gn_direction direction, struct gn_testframe_spec spec)
{
	uint8_t frame[GN_TESTFRAME_MAX];
	uint16_t port = spec.source_port;

	spec.source = 0xc0a80002;
	spec.destination = 0x0a000001;
	if (direction == GN_TX) {
		spec.source = 0x0a000001;
		spec.destination = 0xc0a80002;
		spec.source_port = spec.destination_port;
		spec.destination_port = port;
	}
	give_frame(talk, direction, frame, gn_testframe_build(&spec, frame));
}

/* One TCP segment; sequence numbers relative to the ISNs, 'after_us' after the last one. */
static void give(struct talk *talk, enum gn_direction direction, uint8_t flags, uint32_t sequence,
                 uint32_t acknowledged, const char *payload, uint64_t after_us)
{
	struct gn_testframe_spec spec = talk->spec;

	talk->now += after_us * (HZ / 1000000);
	spec.tcp_flags = flags;
	spec.sequence = talk->isn[direction] + sequence;
	spec.acknowledged = talk->isn[!direction] + acknowledged;
	spec.payload = payload;
	spec.n_payload = payload ? (uint32_t)strlen(payload) : 0;
	give_spec(talk, direction, spec);
}

static struct gn_feature_counters counted(struct talk *talk)
{
	struct gn_feature_counters counters;

	gn_feature_read(talk->feature, talk->now, &counters);
	return counters;
}

static void end(struct talk *talk)
{
	gn_feature_destroy(talk->feature);
}

/* The peer opens, in 150 us. */
static void shake_hands(struct talk *talk)
{
	give(talk, GN_RX, SYN, 0, 0, NULL, 0);
	give(talk, GN_TX, SYN | ACK, 0, 1, NULL, 50);
	give(talk, GN_RX, ACK, 1, 1, NULL, 100);
}

static void test_sizes_and_directions(void **state)
{
	static const struct {
		uint32_t length;
		unsigned bucket;
	} sizes[] = {{14, 0},   {60, 0},   {64, 0},   {65, 1},   {127, 1},
	             {128, 2},  {255, 2},  {256, 3},  {511, 3},  {512, 4},
	             {1023, 4}, {1024, 5}, {1518, 5}, {1519, 6}, {9000, 6}};
	static uint8_t frame[GN_TESTFRAME_MAX];
	struct talk talk = begin();
	struct gn_feature_counters c;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t before = counted(&talk).size_histogram[sizes[i].bucket];

		give_frame(&talk, i % 2 ? GN_TX : GN_RX, frame, sizes[i].length);
		assert_int_equal(counted(&talk).size_histogram[sizes[i].bucket], before + 1);
	}
	gn_feature_dropped(talk.feature, GN_RX, 3);
	gn_feature_dropped(talk.feature, GN_TX, 5);
	c = counted(&talk);
	assert_int_equal(c.rx_packets, 8);
	assert_int_equal(c.tx_packets, 7);
	assert_int_equal(c.rx_bytes, 14 + 64 + 127 + 255 + 511 + 1023 + 1518 + 9000);
	assert_int_equal(c.tx_bytes, 60 + 65 + 128 + 256 + 512 + 1024 + 1519);
	assert_int_equal(c.rx_dropped, 3);
	assert_int_equal(c.tx_dropped, 5);
	end(&talk);
}

static void test_handshake_and_orderly_close(void **state)
{
	struct talk talk = begin();
	struct gn_feature_counters c;

	shake_hands(&talk);
	c = counted(&talk);
	assert_int_equal(c.tcp_opened, 1);
	assert_int_equal(c.tcp_closed, 0);
	assert_int_equal(c.flows_tracked, 1);
	assert_int_equal(c.tcp_handshake.count, 1);
	assert_int_equal(c.tcp_handshake.sum_us, 150);
	assert_int_equal(c.tcp_handshake.buckets[7], 1);
	give(&talk, GN_RX, FIN | ACK, 1, 1, NULL, 10);
	assert_int_equal(counted(&talk).tcp_closed, 0);
	give(&talk, GN_TX, FIN | ACK, 1, 2, NULL, 10);
	give(&talk, GN_RX, ACK, 2, 2, NULL, 10);
	give(&talk, GN_TX, FIN | ACK, 1, 2, NULL, 10); /* retransmitted */
	c = counted(&talk);
	assert_int_equal(c.tcp_closed, 1);
	assert_int_equal(c.tcp_opened, 1);
	assert_int_equal(c.tcp_retransmissions, 0);
	assert_int_equal(c.flows_tracked, 0);
	end(&talk);
}

static void test_handshake_time_starts_at_first_syn(void **state)
{
	struct talk talk = begin();

	give(&talk, GN_RX, SYN, 0, 0, NULL, 0);
	give(&talk, GN_RX, SYN, 0, 0, NULL, 1000000);
	give(&talk, GN_TX, SYN | ACK, 0, 1, NULL, 10);
	give(&talk, GN_RX, ACK, 1, 1, NULL, 10);
	assert_int_equal(counted(&talk).tcp_handshake.sum_us, 1000020);
	assert_int_equal(counted(&talk).tcp_opened, 1);
	end(&talk);
}

static void test_simultaneous_open(void **state)
{
	struct talk talk = begin();

	give(&talk, GN_RX, SYN, 0, 0, NULL, 0);
	give(&talk, GN_TX, SYN, 0, 0, NULL, 5);
	give(&talk, GN_RX, SYN | ACK, 0, 1, NULL, 5);
	assert_int_equal(counted(&talk).tcp_opened, 0);
	give(&talk, GN_TX, SYN | ACK, 0, 1, NULL, 5);
	assert_int_equal(counted(&talk).tcp_opened, 1);
	assert_int_equal(counted(&talk).tcp_handshake.sum_us, 15);
	end(&talk);
}

static void test_refused_and_reset(void **state)
{
	struct talk talk = begin();
	struct gn_feature_counters c;

	give(&talk, GN_RX, SYN, 0, 0, NULL, 0);
	give(&talk, GN_TX, RST | ACK, 0, 1, NULL, 5);
	c = counted(&talk);
	assert_int_equal(c.tcp_resets, 1);
	assert_int_equal(c.tcp_closed, 0); /* it was never open */
	assert_int_equal(c.flows_tracked, 0);
	shake_hands(&talk); /* the same ports again */
	give(&talk, GN_TX, RST, 1, 0, NULL, 5);
	give(&talk, GN_TX, RST, 1, 0, NULL, 5);
	c = counted(&talk);
	assert_int_equal(c.tcp_opened, 1);
	assert_int_equal(c.tcp_closed, 1);
	assert_int_equal(c.tcp_resets, 3);
	/* A reset of what nobody knows starts nothing. */
	talk.spec.source_port = 40001;
	give(&talk, GN_TX, RST, 1, 0, NULL, 5);
	give(&talk, GN_TX, ACK, 1, 0, NULL, 5);
	assert_int_equal(counted(&talk).flows_tracked, 0);
	end(&talk);
}

static void test_data_in_last_handshake_segment(void **state)
{
	struct talk talk = begin();

	give(&talk, GN_RX, SYN, 0, 0, NULL, 0);
	give(&talk, GN_TX, SYN | ACK, 0, 1, NULL, 5);
	give(&talk, GN_RX, FIN | ACK, 1, 1, "GET / HTTP/1.0\r\n\r\n", 5);
	give(&talk, GN_TX, FIN | ACK, 1, 20, "HTTP/1.0 200 OK\r\n\r\n", 5);
	assert_int_equal(counted(&talk).tcp_opened, 1);
	assert_int_equal(counted(&talk).tcp_closed, 1);
	assert_int_equal(counted(&talk).http_requests, 1);
	assert_int_equal(counted(&talk).http_status[1], 1);
	end(&talk);
}

static void test_fast_open(void **state)
{
	struct talk talk = begin();

	give(&talk, GN_RX, SYN, 0, 0, "GET / HTTP/1.1\r\n\r\n", 0);
	give(&talk, GN_TX, SYN | ACK, 0, 1, NULL, 5); /* the data was not taken */
	give(&talk, GN_RX, ACK, 1, 1, "GET / HTTP/1.1\r\n\r\n", 5);
	assert_int_equal(counted(&talk).tcp_opened, 1);
	assert_int_equal(counted(&talk).tcp_retransmissions, 1);
	assert_int_equal(counted(&talk).http_requests, 1);
	end(&talk);
}

static void test_answer_to_unseen_syn(void **state)
{
	struct talk talk = begin();

	give(&talk, GN_TX, SYN | ACK, 0, 1, NULL, 0);
	give(&talk, GN_RX, ACK, 1, 1, NULL, 100);
	assert_int_equal(counted(&talk).tcp_opened, 1);
	assert_int_equal(counted(&talk).tcp_handshake.count, 0);
	end(&talk);
}

static void test_taken_up_in_the_middle(void **state)
{
	struct talk talk = begin();

	give(&talk, GN_TX, ACK, 7000, 1, "some data", 0);
	assert_int_equal(counted(&talk).flows_tracked, 1);
	give(&talk, GN_RX, FIN | ACK, 1, 7009, NULL, 0);
	give(&talk, GN_TX, FIN | ACK, 7009, 2, NULL, 0);
	assert_int_equal(counted(&talk).tcp_opened, 0);
	assert_int_equal(counted(&talk).tcp_closed, 1);
	/* Guessed wrongly: a SYN shows that it was another connection. */
	talk.spec.source_port++;
	give(&talk, GN_TX, ACK, 7000, 1, "some data", 0);
	shake_hands(&talk);
	assert_int_equal(counted(&talk).tcp_opened, 1);
	end(&talk);
}

static void test_syn_in_open_connection_changes_nothing(void **state)
{
	struct talk talk = begin();

	shake_hands(&talk);
	give(&talk, GN_RX, SYN, 123456, 0, NULL, 5);
	give(&talk, GN_TX, ACK, 1, 1, NULL, 5);
	assert_int_equal(counted(&talk).flows_tracked, 1);
	give(&talk, GN_RX, FIN | ACK, 1, 1, NULL, 0);
	give(&talk, GN_TX, FIN | ACK, 1, 2, NULL, 0);
	assert_int_equal(counted(&talk).tcp_opened, 1);
	assert_int_equal(counted(&talk).tcp_closed, 1);
	end(&talk);
}

struct data_step {
	uint32_t sequence;
	const char *payload;
	uint64_t after_us;
};

struct retransmission_case {
	const char *name;
	struct data_step steps[6];
	uint64_t expected;
};

static const struct retransmission_case retransmissions[] = {
        {"in order", {{1, "aaaa", 1}, {5, "bbbb", 1}, {9, "cccc", 1}}, 0},
        {"seen again", {{1, "aaaa", 1}, {1, "aaaa", 1}, {1, "aaaa", 1}}, 2},
        {"seen in part", {{1, "aaaa", 1}, {3, "aabb", 1}, {7, "cc", 1}}, 1},
        {"repacketized", {{1, "aa", 1}, {3, "bb", 1}, {1, "aabb", 1}}, 1},
        {"keep-alive", {{1, "aaaa", 1}, {4, "a", 1}, {4, "a", 1}}, 0},
        {"pure acknowledgements", {{1, "aaaa", 1}, {5, NULL, 1}, {5, NULL, 1}, {4, NULL, 1}}, 0},
        {"reordered", {{1, "aaaa", 1}, {9, "cccc", 1}, {5, "bbbb", 2999}, {13, "d", 1}}, 0},
        {"lost before us, sent again", {{1, "aaaa", 1}, {9, "cccc", 1}, {5, "bbbb", 3001}}, 1},
        {"hole filled twice", {{1, "aaaa", 1}, {9, "cccc", 1}, {5, "bbbb", 1}, {5, "bbbb", 1}}, 1},
        {"hole filled in two parts",
         {{1, "aaaa", 1}, {9, "cccc", 1}, {5, "bb", 1}, {7, "bb", 1}, {7, "bb", 1}},
         1},
        {"strays are ignored",
         {{1, "aaaa", 1}, {0x50000000, "x", 1}, {0xb0000000, "x", 1}, {5, "bbbb", 1}},
         0},
};

static void run_retransmissions(const struct retransmission_case *c, uint32_t isn)
{
	struct talk talk = begin();

	talk.isn[GN_RX] = isn;
	shake_hands(&talk);
	for (unsigned i = 0; i < 6 && c->steps[i].after_us; i++)
		give(&talk, GN_RX, ACK, c->steps[i].sequence, 1, c->steps[i].payload,
		     c->steps[i].after_us);
	assert_int_equal(counted(&talk).tcp_retransmissions, c->expected);
	assert_int_equal(counted(&talk).tcp_opened, 1);
	end(&talk);
}

static void test_retransmissions(void **state)
{
	for (size_t i = 0; i < sizeof(retransmissions) / sizeof(retransmissions[0]); i++) {
		print_message("# %s\n", retransmissions[i].name);
		run_retransmissions(&retransmissions[i], 1000);
		/* The same where the sequence number wraps, at every byte of it. */
		for (uint32_t wrap = 0; wrap < 24; wrap++)
			run_retransmissions(&retransmissions[i], 0u - wrap);
	}
}

static void test_stream_that_moved_is_found_again(void **state)
{
	struct talk talk = begin();
	uint32_t sequence = 0x60000000;

	shake_hands(&talk);
	for (unsigned i = 0; i < 3; i++, sequence += 4)
		give(&talk, GN_RX, ACK, sequence, 1, "aaaa", 1);
	give(&talk, GN_RX, ACK, sequence, 1, "bbbb", 1);
	give(&talk, GN_RX, ACK, sequence, 1, "bbbb", 1);
	assert_int_equal(counted(&talk).tcp_retransmissions, 1);
	end(&talk);
}

static void test_http_over_segments(void **state)
{
	struct talk talk = begin();
	struct gn_feature_counters c;

	shake_hands(&talk);
	give(&talk, GN_RX, ACK, 1, 1, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", 10);
	give(&talk, GN_TX, ACK, 1, 29, "HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nabc", 700);
	give(&talk, GN_RX, ACK, 29, 42, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n", 10);
	give(&talk, GN_RX, ACK, 29, 42, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n", 10);
	give(&talk, GN_TX, ACK, 42, 57, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 300);
	c = counted(&talk);
	assert_int_equal(c.http_requests, 2);
	assert_int_equal(c.http_status[3], 1);
	assert_int_equal(c.http_status[1], 1);
	assert_int_equal(c.http_first_byte.count, 2);
	assert_int_equal(c.http_first_byte.sum_us, 700 + 310);
	assert_int_equal(c.tcp_retransmissions, 1);
	end(&talk);
}

static void test_tls(void **state)
{
	static const char hello[] = "\x16\x03\x01\x02\x41\x01\x01\x02\x3d\x03\x03";
	struct talk talk = begin();

	shake_hands(&talk);
	give(&talk, GN_RX, ACK, 1, 1, hello, 10);
	give(&talk, GN_RX, ACK, 12, 1, hello, 10); /* only the first counts */
	assert_int_equal(counted(&talk).tls_handshakes, 1);
	/* In pieces of one byte, on any port. */
	talk.spec.destination_port = 12345;
	shake_hands(&talk);
	for (uint32_t i = 0; i < 6; i++)
		give(&talk, GN_RX, ACK, 1 + i, 1, (char[2]){hello[i]}, 10);
	assert_int_equal(counted(&talk).tls_handshakes, 2);
	/* A record that is not a handshake. */
	talk.spec.source_port++;
	shake_hands(&talk);
	give(&talk, GN_RX, ACK, 1, 1, "\x17\x03\x03\x02\x41\x01\x01", 10);
	assert_int_equal(counted(&talk).tls_handshakes, 2);
	end(&talk);
}

static void test_dns(void **state)
{
	static const uint8_t query[12] = {0, 1, 0x01, 0x00, 0, 1};
	static const uint8_t answer[12] = {0, 1, 0x81, 0x80, 0, 1};
	static const uint8_t no_such_name[12] = {0, 1, 0x81, 0x83, 0, 1};
	struct talk talk = begin();
	struct gn_testframe_spec spec = {.protocol = IPPROTO_UDP,
	                                 .source_port = 40000,
	                                 .destination_port = 53,
	                                 .payload = query,
	                                 .n_payload = 12};

	give_spec(&talk, GN_RX, spec);
	spec.payload = answer;
	give_spec(&talk, GN_TX, spec);
	spec.payload = no_such_name;
	give_spec(&talk, GN_TX, spec);
	assert_int_equal(counted(&talk).dns_queries, 1);
	assert_int_equal(counted(&talk).dns_failures, 1);
	/* Not counted: too short, a fragment, another port, answers sent to port 53. */
	spec.payload = query;
	spec.n_payload = 11;
	give_spec(&talk, GN_RX, spec);
	spec.n_payload = 12;
	spec.fragment = 0x2000;
	give_spec(&talk, GN_RX, spec);
	spec.fragment = 0;
	spec.destination_port = 5353;
	give_spec(&talk, GN_RX, spec);
	spec.destination_port = 53;
	spec.payload = no_such_name;
	give_spec(&talk, GN_RX, spec);
	assert_int_equal(counted(&talk).dns_queries, 1);
	assert_int_equal(counted(&talk).dns_failures, 1);
	assert_int_equal(counted(&talk).flows_tracked, 0);
	end(&talk);
}

static void test_ipv6_vlans_and_families_are_apart(void **state)
{
	struct talk talk = begin();

	for (unsigned i = 0; i < 6; i++) {
		talk.spec.ipv6 = i % 2;
		talk.spec.outer_vlan = (uint16_t)(i / 2 * 7);
		shake_hands(&talk);
	}
	assert_int_equal(counted(&talk).tcp_opened, 6);
	assert_int_equal(counted(&talk).flows_tracked, 6);
	end(&talk);
}

static void test_idle_flows_are_retired(void **state)
{
	struct talk talk = begin();

	shake_hands(&talk);
	talk.spec.source_port++;
	give(&talk, GN_RX, SYN, 0, 0, NULL, 0);
	talk.now += 121 * (uint64_t)HZ;
	for (unsigned i = 0; i < 16; i++)
		counted(&talk);
	assert_int_equal(counted(&talk).flows_tracked, 1);
	talk.now += 3600 * (uint64_t)HZ;
	for (unsigned i = 0; i < 16; i++)
		counted(&talk);
	assert_int_equal(counted(&talk).flows_tracked, 0);
	assert_int_equal(counted(&talk).flows_evicted, 0);
	end(&talk);
}

static void test_full_table_evicts_and_counts(void **state)
{
	struct talk talk = begin();
	struct gn_feature_counters c;

	for (unsigned i = 0; i < 1000; i++) {
		talk.spec.source_port = (uint16_t)(1000 + i);
		shake_hands(&talk);
	}
	c = counted(&talk);
	assert_int_equal(c.tcp_opened, 1000);
	assert_true(c.flows_tracked <= 64);
	assert_int_equal(c.flows_tracked + c.flows_evicted, 1000);
	end(&talk);
}

/* A flood of SYNs from everywhere; the eight connections that carry data stay known. */
static void test_syn_flood_spares_connections(void **state)
{
	struct talk talk = begin();
	uint32_t sequence = 1;

	for (unsigned i = 0; i < 8; i++) {
		talk.spec.source_port = (uint16_t)(100 + i);
		shake_hands(&talk);
	}
	for (unsigned i = 0; i < 20000; i++) {
		talk.spec.source_port = (uint16_t)(1000 + i);
		give(&talk, GN_RX, SYN, 0, 0, NULL, 10);
		if (i % 1000)
			continue;
		for (unsigned k = 0; k < 8; k++) {
			talk.spec.source_port = (uint16_t)(100 + k);
			give(&talk, GN_RX, ACK, sequence, 1, "data", 1);
		}
		sequence += 4;
	}
	for (unsigned i = 0; i < 8; i++) {
		talk.spec.source_port = (uint16_t)(100 + i);
		give(&talk, GN_RX, FIN | ACK, sequence, 1, NULL, 1);
		give(&talk, GN_TX, FIN | ACK, 1, sequence + 1, NULL, 1);
	}
	assert_int_equal(counted(&talk).tcp_opened, 8);
	assert_int_equal(counted(&talk).tcp_closed, 8);
	assert_int_equal(counted(&talk).tcp_retransmissions, 0);
	end(&talk);
}

static void test_bursts_equal_single_packets(void **state)
{
	enum { N = 100 };
	static uint8_t frames[N][GN_TESTFRAME_MAX];
	static struct gn_packet packets[N];
	const struct gn_packet *order[N];
	struct talk one = begin(), many = begin();
	struct gn_feature_counters a, b;
	unsigned seed = 11;

	for (unsigned i = 0; i < N; i++) {
		struct gn_testframe_spec spec = {.source_port = (uint16_t)(rand_r(&seed) % 5),
		                                 .destination_port = 80,
		                                 .sequence = (uint32_t)rand_r(&seed) % 8,
		                                 .tcp_flags = (uint8_t)rand_r(&seed) & 0x17,
		                                 .payload = "GET / HTTP/1.1\r\n\r\n",
		                                 .n_payload = (uint32_t)rand_r(&seed) % 19};
		uint32_t n = gn_testframe_build(&spec, frames[i]);

		packets[i] = gn_testframe_parse(frames[i], n);
		order[i] = &packets[i];
		gn_feature_burst(one.feature, order + i, 1, GN_RX, one.now);
	}
	gn_feature_burst(many.feature, order, N, GN_RX, many.now);
	a = counted(&one);
	b = counted(&many);
	assert_memory_equal(&a, &b, sizeof(a));
	end(&one);
	end(&many);
}

/* Frames cut at every byte, and in their first segment only. */
static void test_cut_at_every_byte(void **state)
{
	static const char request[] = "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde";
	struct gn_testframe_spec spec = {.ipv6 = true,
	                                 .outer_vlan = 5,
	                                 .tcp_options = 12,
	                                 .n_extensions = 1,
	                                 .payload = request,
	                                 .n_payload = sizeof(request) - 1};
	uint8_t frame[GN_TESTFRAME_MAX];
	uint32_t n = gn_testframe_build(&spec, frame);
	struct talk talk = begin();

	for (uint32_t cut = 0; cut <= n; cut++) {
		uint8_t *exact = malloc(cut + 1);
		struct gn_packet packet = {.data = exact, .length = n, .n_linear = (uint16_t)cut};
		const struct gn_packet *packets[] = {&packet};

		memcpy(exact, frame, cut);
		gn_packet_parse(&packet);
		gn_feature_burst(talk.feature, packets, 1, GN_RX, talk.now);
		packet.length = cut;
		gn_packet_parse(&packet);
		gn_feature_burst(talk.feature, packets, 1, GN_RX, talk.now);
		free(exact);
	}
	assert_int_equal(counted(&talk).rx_packets, 2 * (n + 1));
	end(&talk);
}

static void test_mutated_traffic_keeps_its_totals(void **state)
{
	static const char *const texts[] = {
	        "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	        "5\r\nabcde\r\n0\r\n\r\n", "\x16\x03\x01\x01\x01\x01", ""};
	struct talk talk = begin();
	struct gn_feature_counters c;
	unsigned seed = 99;
	uint64_t sizes = 0, status = 0;

	for (unsigned i = 0; i < 100000; i++) {
		const char *text = texts[rand_r(&seed) % 5];
		struct gn_testframe_spec spec = {.ipv6 = i % 3 == 0,
		                                 .source_port = (uint16_t)(rand_r(&seed) % 300),
		                                 .destination_port = 80,
		                                 .sequence = (uint32_t)rand_r(&seed) % 64,
		                                 .acknowledged = (uint32_t)rand_r(&seed) % 4,
		                                 .tcp_flags = (uint8_t)rand_r(&seed) & 0x17,
		                                 .payload = text,
		                                 .n_payload = (uint32_t)strlen(text)};
		uint8_t frame[GN_TESTFRAME_MAX];
		uint32_t n = gn_testframe_build(&spec, frame);

		if (i % 2 == 0) {
			spec.destination_port = spec.source_port;
			spec.source_port = 80;
			n = gn_testframe_build(&spec, frame);
		}
		if (i % 4 == 0)
			frame[(unsigned)rand_r(&seed) % n] = (uint8_t)rand_r(&seed);
		talk.now += 100;
		give_frame(&talk, i % 2 ? GN_RX : GN_TX, frame, n);
	}
	c = counted(&talk);
	for (unsigned i = 0; i < GN_FEATURE_N_SIZES; i++)
		sizes += c.size_histogram[i];
	for (unsigned i = 0; i < 5; i++)
		status += c.http_status[i];
	assert_int_equal(c.rx_packets + c.tx_packets, 100000);
	assert_int_equal(sizes, 100000);
	assert_true(c.flows_tracked <= 64);
	assert_true(c.tcp_handshake.count <= c.tcp_opened);
	assert_true(c.http_first_byte.count <= status);
	assert_true(c.tcp_opened > 0 && c.http_requests > 0 && c.tls_handshakes > 0);
	end(&talk);
}

static void test_configuration(void **state)
{
	struct gn_feature *feature = NULL;
	struct gn_feature_config config = {HZ, 100, {1, 2}};

	assert_int_equal(gn_feature_create(&config, &feature), -EINVAL); /* no power of two */
	config.n_flows = 32;
	assert_int_equal(gn_feature_create(&config, &feature), -EINVAL);
	config.n_flows = 1u << 21;
	assert_int_equal(gn_feature_create(&config, &feature), -EINVAL);
	config.n_flows = 64;
	config.tsc_hz = 0;
	assert_int_equal(gn_feature_create(&config, &feature), -EINVAL);
	assert_null(feature);
	gn_feature_destroy(NULL);
}

static void test_periods_and_sample(void **state)
{
	static struct gn_network_sample sample;
	struct talk talk = begin();
	struct gn_feature_counters first, second, period, sum;
	Gnomon__V1__NetworkSample *back;
	uint8_t packed[2048];
	size_t n;

	shake_hands(&talk);
	first = counted(&talk);
	give(&talk, GN_RX, ACK, 1, 1, "GET / HTTP/1.1\r\n\r\n", 10);
	give(&talk, GN_TX, ACK, 1, 19, "HTTP/1.1 503 No\r\n\r\n", 40);
	second = counted(&talk);
	gn_feature_counters_diff(&second, &first, &period);
	assert_int_equal(period.rx_packets, 1);
	assert_int_equal(period.tcp_opened, 0);
	assert_int_equal(period.flows_tracked, 1);
	sum = first;
	period.flows_tracked = 0;
	gn_feature_counters_merge(&sum, &period);
	assert_memory_equal(&sum, &second, sizeof(sum));
	period.flows_tracked = 1;
	gn_network_sample_fill(&period, &sample);
	n = gnomon__v1__network_sample__pack(&sample.message, packed);
	assert_true(n <= sizeof(packed));
	back = gnomon__v1__network_sample__unpack(NULL, n, packed);
	assert_non_null(back);
	assert_int_equal(back->rx_packets, 1);
	assert_int_equal(back->tx_packets, 1);
	assert_int_equal(back->n_size_histogram, GN_FEATURE_N_SIZES);
	assert_int_equal(back->http_requests, 1);
	assert_int_equal(back->n_http_status, 5);
	assert_int_equal(back->http_status[4], 1);
	assert_int_equal(back->http_first_byte->count, 1);
	assert_int_equal(back->http_first_byte->sum_us, 40);
	assert_int_equal(back->http_first_byte->n_buckets, GN_HISTOGRAM_N_BUCKETS);
	assert_int_equal(back->http_first_byte->buckets[5], 1);
	assert_int_equal(back->tcp_handshake->count, 0);
	assert_int_equal(back->flows_tracked, 1);
	gnomon__v1__network_sample__free_unpacked(back, NULL);
	end(&talk);
}

static void test_histogram_buckets(void **state)
{
	static const struct {
		uint64_t us;
		unsigned bucket;
	} cases[] = {{0, 0},        {1, 0},          {2, 1},     {3, 1},
	             {4, 2},        {1023, 9},       {1024, 10}, {(1 << 23) - 1, 22},
	             {1 << 23, 23}, {UINT64_MAX, 23}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(gn_histogram_bucket(cases[i].us), cases[i].bucket);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_sizes_and_directions),
	        cmocka_unit_test(test_handshake_and_orderly_close),
	        cmocka_unit_test(test_handshake_time_starts_at_first_syn),
	        cmocka_unit_test(test_simultaneous_open),
	        cmocka_unit_test(test_refused_and_reset),
	        cmocka_unit_test(test_data_in_last_handshake_segment),
	        cmocka_unit_test(test_fast_open),
	        cmocka_unit_test(test_answer_to_unseen_syn),
	        cmocka_unit_test(test_taken_up_in_the_middle),
	        cmocka_unit_test(test_syn_in_open_connection_changes_nothing),
	        cmocka_unit_test(test_retransmissions),
	        cmocka_unit_test(test_stream_that_moved_is_found_again),
	        cmocka_unit_test(test_http_over_segments),
	        cmocka_unit_test(test_tls),
	        cmocka_unit_test(test_dns),
	        cmocka_unit_test(test_ipv6_vlans_and_families_are_apart),
	        cmocka_unit_test(test_idle_flows_are_retired),
	        cmocka_unit_test(test_full_table_evicts_and_counts),
	        cmocka_unit_test(test_syn_flood_spares_connections),
	        cmocka_unit_test(test_bursts_equal_single_packets),
	        cmocka_unit_test(test_cut_at_every_byte),
	        cmocka_unit_test(test_mutated_traffic_keeps_its_totals),
	        cmocka_unit_test(test_configuration),
	        cmocka_unit_test(test_periods_and_sample),
	        cmocka_unit_test(test_histogram_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
