#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/feature/packet.h"
#include "dataplane/feature/testframe.h"

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

struct parse_case {
	const char *name;
	struct gn_testframe_spec spec;
	uint16_t flags, ethertype, vlan, l3, l4, payload, payload_bytes;
	uint8_t protocol;
};

static const struct parse_case cases[] = {
        {"udp over ipv4",
         {.protocol = IPPROTO_UDP, .payload = "abcd", .n_payload = 4},
         GN_PACKET_IPV4 | GN_PACKET_L4,
         0x0800,
         0,
         14,
         34,
         42,
         4,
         IPPROTO_UDP},
        {"tcp over ipv4 without payload",
         {0},
         GN_PACKET_IPV4 | GN_PACKET_L4,
         0x0800,
         0,
         14,
         34,
         54,
         0,
         IPPROTO_TCP},
        {"tcp options",
         {.tcp_options = 40, .payload = "x", .n_payload = 1},
         GN_PACKET_IPV4 | GN_PACKET_L4,
         0x0800,
         0,
         14,
         34,
         94,
         1,
         IPPROTO_TCP},
        {"ipv4 options",
         {.ip_options = 40, .payload = "x", .n_payload = 1},
         GN_PACKET_IPV4 | GN_PACKET_L4,
         0x0800,
         0,
         14,
         74,
         94,
         1,
         IPPROTO_TCP},
        {"one tag",
         {.outer_vlan = 0xe064, .protocol = IPPROTO_UDP},
         GN_PACKET_IPV4 | GN_PACKET_L4 | GN_PACKET_TAGGED,
         0x0800,
         100,
         18,
         38,
         46,
         0,
         IPPROTO_UDP},
        {"two tags",
         {.outer_vlan = 7, .inner_vlan = 9, .protocol = IPPROTO_UDP},
         GN_PACKET_IPV4 | GN_PACKET_L4 | GN_PACKET_TAGGED,
         0x0800,
         7,
         22,
         42,
         50,
         0,
         IPPROTO_UDP},
        {"first fragment",
         {.fragment = 0x2000, .protocol = IPPROTO_UDP, .payload = "abcd", .n_payload = 4},
         GN_PACKET_IPV4 | GN_PACKET_L4 | GN_PACKET_FRAGMENT,
         0x0800,
         0,
         14,
         34,
         42,
         4,
         IPPROTO_UDP},
        {"later fragment",
         {.fragment = 0x2001, .protocol = IPPROTO_UDP, .payload = "abcd", .n_payload = 4},
         GN_PACKET_IPV4 | GN_PACKET_FRAGMENT,
         0x0800,
         0,
         14,
         0,
         0,
         0,
         IPPROTO_UDP},
        {"do not fragment is no fragment",
         {.fragment = 0x4000, .protocol = IPPROTO_UDP},
         GN_PACKET_IPV4 | GN_PACKET_L4,
         0x0800,
         0,
         14,
         34,
         42,
         0,
         IPPROTO_UDP},
        {"sctp",
         {.protocol = IPPROTO_SCTP, .payload = "abc", .n_payload = 3},
         GN_PACKET_IPV4 | GN_PACKET_L4,
         0x0800,
         0,
         14,
         34,
         46,
         3,
         IPPROTO_SCTP},
        {"icmp has no ports",
         {.protocol = IPPROTO_ICMP, .payload = "abc", .n_payload = 3},
         GN_PACKET_IPV4,
         0x0800,
         0,
         14,
         34,
         0,
         0,
         IPPROTO_ICMP},
        {"tcp over ipv6",
         {.ipv6 = true, .payload = "abc", .n_payload = 3},
         GN_PACKET_IPV6 | GN_PACKET_L4,
         0x86dd,
         0,
         14,
         54,
         74,
         3,
         IPPROTO_TCP},
        {"as many extension headers as allowed",
         {.ipv6 = true, .n_extensions = GN_PACKET_MAX_EXTENSIONS, .protocol = IPPROTO_UDP},
         GN_PACKET_IPV6 | GN_PACKET_L4,
         0x86dd,
         0,
         14,
         118,
         126,
         0,
         IPPROTO_UDP},
        {"one extension header too many",
         {.ipv6 = true, .n_extensions = GN_PACKET_MAX_EXTENSIONS + 1, .protocol = IPPROTO_UDP},
         GN_PACKET_IPV6 | GN_PACKET_MALFORMED,
         0x86dd,
         0,
         14,
         0,
         0,
         0,
         IPPROTO_UDP},
};

static void test_table(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct parse_case *c = &cases[i];
		struct gn_testframe_spec spec = c->spec;
		uint8_t frame[GN_TESTFRAME_MAX];
		struct gn_packet p;

		spec.source = IP(10, 1, 2, 3);
		spec.destination = IP(10, 9, 8, 7);
		spec.source_port = 1234;
		spec.destination_port = 443;
		p = gn_testframe_parse(frame, gn_testframe_build(&spec, frame));
		print_message("# %s\n", c->name);
		assert_int_equal(p.flags, c->flags);
		assert_int_equal(p.ethertype, c->ethertype);
		assert_int_equal(p.vlan, c->vlan);
		assert_int_equal(p.l3, c->l3);
		assert_int_equal(p.l4, c->l4);
		assert_int_equal(p.payload, c->payload);
		assert_int_equal(p.payload_bytes, c->payload_bytes);
		assert_int_equal(p.protocol, c->protocol);
		assert_int_equal(p.source_port, c->flags & GN_PACKET_L4 ? 1234 : 0);
		assert_int_equal(p.destination_port, c->flags & GN_PACKET_L4 ? 443 : 0);
		if (p.flags & GN_PACKET_IPV4) {
			assert_int_equal(ntohl(p.source.v4), IP(10, 1, 2, 3));
			assert_int_equal(ntohl(p.destination.v4), IP(10, 9, 8, 7));
		} else {
			assert_memory_equal(p.source.v6 + 12, "\x0a\x01\x02\x03", 4);
			assert_memory_equal(p.destination.v6 + 12, "\x0a\x09\x08\x07", 4);
		}
	}
}

/* A copy of exactly the readable bytes, so that ASan sees a read beyond them. */
static struct gn_packet parse_exact(const uint8_t *frame, uint32_t n_linear, uint32_t length)
{
	uint8_t *exact = malloc(n_linear ? n_linear : 1);
	struct gn_packet p = {.data = exact, .length = length, .n_linear = (uint16_t)n_linear};

	memcpy(exact, frame, n_linear);
	gn_packet_parse(&p);
	gn_packet_flow_hash(&p);
	if (p.flags & GN_PACKET_L4) {
		assert_true(p.l4 + 8u <= n_linear);
		assert_true((uint32_t)p.payload + p.payload_bytes <= length);
		assert_true(p.payload + gn_packet_linear_payload(&p) <=
		            (n_linear > p.payload ? n_linear : p.payload));
	}
	free(exact);
	p.data = NULL;
	return p;
}

static void test_cut_at_every_byte(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t frame[GN_TESTFRAME_MAX];
		uint32_t n = gn_testframe_build(&cases[i].spec, frame);

		for (uint32_t cut = 0; cut < n; cut++) {
			struct gn_packet whole, p = parse_exact(frame, cut, cut);

			/* Cut headers are malformed; a cut payload makes the lengths lie. */
			if (cut < 14 || cases[i].flags & GN_PACKET_L4)
				assert_true(p.flags & GN_PACKET_MALFORMED);
			/* The same bytes in a segment of a longer frame. */
			whole = parse_exact(frame, cut, n);
			if (cut >= cases[i].payload && cases[i].payload) {
				assert_int_equal(whole.flags, cases[i].flags);
				assert_int_equal(whole.payload_bytes, cases[i].payload_bytes);
			}
		}
	}
}

static void test_mutations(void **state)
{
	unsigned seed = 4711;

	for (unsigned round = 0; round < 60000; round++) {
		const struct parse_case *c = &cases[round % (sizeof(cases) / sizeof(cases[0]))];
		uint8_t frame[GN_TESTFRAME_MAX];
		uint32_t n = gn_testframe_build(&c->spec, frame);

		for (unsigned i = 0; i < 1 + round % 4; i++)
			frame[(unsigned)rand_r(&seed) % n] = (uint8_t)rand_r(&seed);
		parse_exact(frame, n, n);
		parse_exact(frame, (unsigned)rand_r(&seed) % (n + 1), n);
	}
}

/* Untagged frames have a short way through the parser. Whatever is done to a frame behind its
 * MAC addresses, it must mean the same with a tag in front. */
static void expect_same_with_tag(const uint8_t *frame, uint32_t n_linear, uint32_t length)
{
	uint8_t tagged[GN_TESTFRAME_MAX + 4];
	struct gn_packet p = parse_exact(frame, n_linear, length), q;

	memcpy(tagged, frame, 12);
	memcpy(tagged + 12, "\x81\x00\x00\x05", 4);
	memcpy(tagged + 16, frame + 12, n_linear - 12);
	q = parse_exact(tagged, n_linear + 4, length + 4);
	assert_int_equal(p.flags | GN_PACKET_TAGGED, q.flags);
	assert_int_equal(p.protocol, q.protocol);
	assert_int_equal(p.ethertype, q.ethertype);
	assert_int_equal(p.l3 ? p.l3 + 4 : 0, q.l3);
	assert_int_equal(p.l4 ? p.l4 + 4 : 0, q.l4);
	assert_int_equal(p.payload ? p.payload + 4 : 0, q.payload);
	assert_int_equal(p.payload_bytes, q.payload_bytes);
	assert_int_equal(p.source_port, q.source_port);
	assert_int_equal(p.destination_port, q.destination_port);
	if (p.flags & GN_PACKET_IPV4) {
		assert_int_equal(p.source.v4, q.source.v4);
		assert_int_equal(p.destination.v4, q.destination.v4);
	}
}

static void test_short_way_equals_long_way(void **state)
{
	static const char payload[64] = "payload";
	unsigned seed = 42;

	for (unsigned round = 0; round < 100000; round++) {
		struct gn_testframe_spec spec = {
		        .protocol = round % 2 ? IPPROTO_UDP : IPPROTO_TCP,
		        .tcp_options = (uint8_t)(rand_r(&seed) % 4 * 4),
		        .payload = payload,
		        .n_payload = (uint32_t)rand_r(&seed) % sizeof(payload),
		};
		uint8_t frame[GN_TESTFRAME_MAX];
		uint32_t n = gn_testframe_build(&spec, frame);
		uint32_t cut = round % 3 ? n : 14 + (uint32_t)rand_r(&seed) % (n - 13);

		if (round % 5)
			frame[14 + (unsigned)rand_r(&seed) % 34] = (uint8_t)rand_r(&seed);
		if (frame[12] == 0x08 && frame[13] == 0)
			expect_same_with_tag(frame, cut, round % 7 ? n : cut);
	}
}

struct broken_case {
	const char *name;
	uint32_t offset;
	uint8_t value;
	bool ipv6;
	uint8_t protocol;
};

static void test_lying_headers(void **state)
{
	static const struct broken_case broken[] = {
	        {"ipv4 version", 14, 0x55, false, IPPROTO_UDP},
	        {"ipv4 header of 16 bytes", 14, 0x44, false, IPPROTO_UDP},
	        {"ipv4 header beyond the datagram", 14, 0x4f, false, IPPROTO_UDP},
	        {"total length beyond the frame", 16, 0x10, false, IPPROTO_UDP},
	        {"total length below the header", 17, 19, false, IPPROTO_UDP},
	        {"udp length of 7", 39, 7, false, IPPROTO_UDP},
	        {"udp length beyond the datagram", 39, 200, false, IPPROTO_UDP},
	        {"tcp header of 16 bytes", 46, 0x40, false, IPPROTO_TCP},
	        {"tcp header beyond the datagram", 46, 0xf0, false, IPPROTO_TCP},
	        {"ipv6 version", 14, 0x40, true, IPPROTO_UDP},
	        {"ipv6 length beyond the frame", 18, 1, true, IPPROTO_UDP},
	        {"extension header that is not there", 20, IPPROTO_AH, true, IPPROTO_UDP},
	};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct gn_testframe_spec spec = {.ipv6 = broken[i].ipv6,
		                                 .protocol = broken[i].protocol};
		uint8_t frame[GN_TESTFRAME_MAX];
		uint32_t n = gn_testframe_build(&spec, frame);

		print_message("# %s\n", broken[i].name);
		assert_false(parse_exact(frame, n, n).flags & GN_PACKET_MALFORMED);
		frame[broken[i].offset] = broken[i].value;
		assert_true(parse_exact(frame, n, n).flags & GN_PACKET_MALFORMED);
	}
}

static void test_padding_is_no_payload(void **state)
{
	struct gn_testframe_spec spec = {.tcp_flags = 0x10};
	uint8_t frame[GN_TESTFRAME_MAX] = {0};

	gn_testframe_build(&spec, frame);
	assert_int_equal(gn_testframe_parse(frame, 60).payload_bytes, 0);
	assert_int_equal(gn_testframe_parse(frame, 60).flags & GN_PACKET_MALFORMED, 0);
}

static void test_llc_and_arp(void **state)
{
	uint8_t frame[60] = {[12] = 0x00, [13] = 46};
	struct gn_packet p = gn_testframe_parse(frame, sizeof(frame));

	assert_int_equal(p.ethertype, 0);
	assert_int_equal(p.flags, 0);
	frame[12] = 0x08;
	frame[13] = 0x06;
	p = gn_testframe_parse(frame, sizeof(frame));
	assert_int_equal(p.ethertype, 0x0806);
	assert_int_equal(p.flags, 0);
}

static void test_ipv6_fragments(void **state)
{
	struct gn_testframe_spec spec = {.ipv6 = true, .n_extensions = 1, .protocol = IPPROTO_UDP};
	uint8_t frame[GN_TESTFRAME_MAX];
	uint32_t n = gn_testframe_build(&spec, frame);

	frame[20] = IPPROTO_FRAGMENT;
	memset(frame + 55, 0, 7); /* atomic: offset 0, nothing follows (RFC 6946) */
	assert_int_equal(parse_exact(frame, n, n).flags, GN_PACKET_IPV6 | GN_PACKET_L4);
	frame[57] = 1; /* more follow */
	assert_int_equal(parse_exact(frame, n, n).flags,
	                 GN_PACKET_IPV6 | GN_PACKET_L4 | GN_PACKET_FRAGMENT);
	frame[57] = 8; /* offset 8 */
	assert_int_equal(parse_exact(frame, n, n).flags, GN_PACKET_IPV6 | GN_PACKET_FRAGMENT);
	assert_int_equal(parse_exact(frame, n, n).protocol, IPPROTO_UDP);
}

static void test_largest_offloaded_segment(void **state)
{
	struct gn_testframe_spec spec = {.tcp_options = 12};
	uint8_t frame[GN_TESTFRAME_MAX];
	uint32_t n = gn_testframe_build(&spec, frame);
	struct gn_packet p;

	frame[16] = frame[17] = 0xff; /* total length 65535 */
	p = parse_exact(frame, n, 14 + 65535);
	assert_int_equal(p.flags, GN_PACKET_IPV4 | GN_PACKET_L4);
	assert_int_equal(p.payload_bytes, 65535 - 20 - 32);
}

static void test_flow_hash_is_symmetric(void **state)
{
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		struct gn_testframe_spec there = {.ipv6 = ipv6,
		                                  .source = 1,
		                                  .destination = 2,
		                                  .source_port = 3,
		                                  .destination_port = 4};
		struct gn_testframe_spec back = {.ipv6 = ipv6,
		                                 .source = 2,
		                                 .destination = 1,
		                                 .source_port = 4,
		                                 .destination_port = 3};
		uint8_t a[GN_TESTFRAME_MAX], b[GN_TESTFRAME_MAX];
		struct gn_packet p = gn_testframe_parse(a, gn_testframe_build(&there, a));
		struct gn_packet q = gn_testframe_parse(b, gn_testframe_build(&back, b));

		assert_int_equal(gn_packet_flow_hash(&p), gn_packet_flow_hash(&q));
		there.source_port = 5;
		p = gn_testframe_parse(a, gn_testframe_build(&there, a));
		assert_int_not_equal(gn_packet_flow_hash(&p), gn_packet_flow_hash(&q));
	}
}

static void test_burst_equals_single(void **state)
{
	struct gn_packet packets[sizeof(cases) / sizeof(cases[0])];
	struct gn_packet *order[sizeof(cases) / sizeof(cases[0])];
	static uint8_t frames[sizeof(cases) / sizeof(cases[0])][GN_TESTFRAME_MAX];
	unsigned n = sizeof(cases) / sizeof(cases[0]);

	memset(packets, 0xa5, sizeof(packets));
	for (unsigned i = 0; i < n; i++) {
		packets[i].data = frames[i];
		packets[i].length = gn_testframe_build(&cases[i].spec, frames[i]);
		packets[i].n_linear = (uint16_t)packets[i].length;
		order[i] = &packets[i];
	}
	gn_packet_parse_burst(order, n);
	for (unsigned i = 0; i < n; i++) {
		struct gn_packet p = gn_testframe_parse(frames[i], packets[i].length);

		assert_memory_equal(&packets[i], &p, offsetof(struct gn_packet, source));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_table),
	        cmocka_unit_test(test_cut_at_every_byte),
	        cmocka_unit_test(test_mutations),
	        cmocka_unit_test(test_short_way_equals_long_way),
	        cmocka_unit_test(test_lying_headers),
	        cmocka_unit_test(test_padding_is_no_payload),
	        cmocka_unit_test(test_llc_and_arp),
	        cmocka_unit_test(test_ipv6_fragments),
	        cmocka_unit_test(test_largest_offloaded_segment),
	        cmocka_unit_test(test_flow_hash_is_symmetric),
	        cmocka_unit_test(test_burst_equals_single),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
