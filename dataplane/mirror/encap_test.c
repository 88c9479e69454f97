#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include "dataplane/feature/testframe.h"
#include "dataplane/mirror/encap.h"

static struct gn_encap_config config_of(enum gn_encap_kind kind, uint32_t session_id)
{
	return (struct gn_encap_config){
	        .kind = kind,
	        .local_mac = {2, 1, 2, 3, 4, 5},
	        .collector_mac = {4, 6, 7, 8, 9, 10},
	        .local_ip = htonl(0xc0000201),
	        .collector_ip = htonl(0xc6336402),
	        .session_id = session_id,
	};
}

static struct gn_packet packet_of(uint8_t *frame, uint16_t vlan, uint32_t n_payload)
{
	static const uint8_t payload[1000];
	struct gn_testframe_spec spec = {.outer_vlan = vlan,
	                                 .protocol = 17,
	                                 .source_port = 1,
	                                 .destination_port = 2,
	                                 .payload = payload,
	                                 .n_payload = n_payload};

	return gn_testframe_parse(frame, gn_testframe_build(&spec, frame));
}

/* RFC 1071 over the header: a correct checksum sums up to all ones. */
static uint32_t ip_sum(const uint8_t *ip)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < 20; i += 2)
		sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void test_erspan_bytes(void **state)
{
	static const uint8_t
	        expected[GN_ENCAP_BYTES] =
	                {
	                        4,    6,    7,    8,    9,    10,   2,    1,
	                        2,    3,    4,    5,    0x08, 0x00, /* Ethernet */
	                        0x45, 0,    0,    0x88, 0,    0,    0x40, 0,
	                        64,   47,   0x4e, 0x10, /* IPv4, 136 bytes */
	                        192,  0,    2,    1,    198,  51,   100,  2,
	                        0x10, 0x00, 0x88, 0xbe, 0,    0,    0,    0, /* GRE, sequence 0 */
	                        0x10, 0x00, 0x02, 0x9a, 0,    0,    0,    1, /* session 666, sent */
	                };
	struct gn_encap_config config = config_of(GN_ENCAP_ERSPAN, 666);
	uint8_t frame[GN_TESTFRAME_MAX], out[GN_ENCAP_BYTES];
	struct gn_packet packet = packet_of(frame, 0, 58);
	struct gn_encap encap;

	assert_int_equal(packet.length, 100);
	assert_int_equal(gn_encap_init(&encap, &config), 0);
	assert_int_equal(gn_encap_write(&encap, &packet, 100, GN_TX, out), 0);
	assert_int_equal(ip_sum(out + 14), 0xffff);
	assert_memory_equal(out, expected, sizeof(expected));
}

static void test_erspan_fields(void **state)
{
	struct gn_encap_config config = config_of(GN_ENCAP_ERSPAN, GN_ENCAP_MAX_SESSION);
	uint8_t frame[GN_TESTFRAME_MAX], out[GN_ENCAP_BYTES];
	struct gn_packet packet = packet_of(frame, 0xafff, 58); /* class 5, VLAN 4095 */
	struct gn_encap encap;

	gn_encap_init(&encap, &config);
	gn_encap_write(&encap, &packet, 64, GN_RX, out);
	/* VLAN, class of service, tag preserved, truncated, session, direction. */
	assert_memory_equal(out + 42, "\x1f\xff\xbf\xff\0\0\0\0", 8);
	packet.vlan = 5; /* an access port's, set by the caller, on an untagged frame */
	packet.flags &= (uint8_t)~GN_PACKET_TAGGED;
	gn_encap_write(&encap, &packet, packet.length, GN_RX, out);
	assert_memory_equal(out + 42, "\x10\x05\x03\xff\0\0\0\0", 8);
	/* One sequence number each; it wraps. */
	assert_memory_equal(out + 38, "\0\0\0\1", 4);
	encap.sequence = UINT32_MAX;
	gn_encap_write(&encap, &packet, 64, GN_RX, out);
	assert_memory_equal(out + 38, "\xff\xff\xff\xff", 4);
	gn_encap_write(&encap, &packet, 64, GN_RX, out);
	assert_memory_equal(out + 38, "\0\0\0\0", 4);
}

static void test_vxlan_bytes(void **state)
{
	static const uint8_t expected[GN_ENCAP_BYTES] = {
	        4,    6,  7,    8, 9,    10,   2,    1,    2,  3,    4,    5,   0x08, 0x00, 0x45,
	        0,    0,  0x88, 0, 0,    0x40, 0,    64,   17, 0x4e, 0x2e, 192, 0,    2,    1,
	        198,  51, 100,  2, 0,    0,    0x12, 0xb5, 0,  116,  0,    0, /* UDP to 4789 */
	        0x08, 0,  0,    0, 0x12, 0x34, 0x56, 0,                       /* VXLAN */
	};
	struct gn_encap_config config = config_of(GN_ENCAP_VXLAN, 0x123456);
	uint8_t frame[GN_TESTFRAME_MAX], out[GN_ENCAP_BYTES];
	struct gn_packet packet = packet_of(frame, 0, 58);
	struct gn_encap encap;

	assert_int_equal(gn_encap_init(&encap, &config), 0);
	assert_int_equal(gn_encap_write(&encap, &packet, 100, GN_TX, out), 0);
	assert_int_equal(ip_sum(out + 14), 0xffff);
	assert_true(out[34] >= 0xc0); /* a dynamic port */
	out[34] = out[35] = 0;
	assert_memory_equal(out, expected, sizeof(expected));
}

static void test_vxlan_port_follows_the_flow(void **state)
{
	struct gn_encap_config config = config_of(GN_ENCAP_VXLAN, 1);
	struct gn_encap encap;
	uint16_t seen[64];
	unsigned different = 0;

	gn_encap_init(&encap, &config);
	for (uint16_t i = 0; i < 64; i++) {
		struct gn_testframe_spec spec = {.protocol = 17, .source_port = i};
		uint8_t frame[GN_TESTFRAME_MAX], out[GN_ENCAP_BYTES], again[GN_ENCAP_BYTES];
		struct gn_packet p = gn_testframe_parse(frame, gn_testframe_build(&spec, frame));

		gn_encap_write(&encap, &p, p.length, GN_TX, out);
		gn_encap_write(&encap, &p, p.length, GN_RX, again);
		assert_memory_equal(out, again, sizeof(out));
		memcpy(&seen[i], out + 34, 2);
		different += i && seen[i] != seen[i - 1];
	}
	assert_true(different > 55);
}

/* Every length, so every carry of the checksum. */
static void test_every_length(void **state)
{
	for (unsigned kind = 0; kind < 2; kind++) {
		struct gn_encap_config config = config_of((enum gn_encap_kind)kind, 1);
		uint8_t frame[GN_TESTFRAME_MAX], out[GN_ENCAP_BYTES];
		struct gn_packet packet = packet_of(frame, 0, 58);
		struct gn_encap encap;

		gn_encap_init(&encap, &config);
		for (uint32_t n = 0; n <= GN_ENCAP_MAX_FRAME; n++) {
			assert_int_equal(gn_encap_write(&encap, &packet, n, GN_TX, out), 0);
			assert_int_equal(out[16] << 8 | out[17], 36 + n);
			assert_int_equal(ip_sum(out + 14), 0xffff);
			if (kind == GN_ENCAP_VXLAN)
				assert_int_equal(out[38] << 8 | out[39], 16 + n);
		}
	}
}

static void test_too_long_writes_nothing(void **state)
{
	struct gn_encap_config config = config_of(GN_ENCAP_ERSPAN, 1);
	uint8_t frame[GN_TESTFRAME_MAX], out[GN_ENCAP_BYTES] = {0}, zero[GN_ENCAP_BYTES] = {0};
	struct gn_packet packet = packet_of(frame, 0, 58);
	struct gn_encap encap;

	gn_encap_init(&encap, &config);
	assert_int_equal(gn_encap_write(&encap, &packet, GN_ENCAP_MAX_FRAME + 1, GN_TX, out),
	                 -EMSGSIZE);
	assert_int_equal(gn_encap_write(&encap, &packet, UINT32_MAX, GN_TX, out), -EMSGSIZE);
	assert_memory_equal(out, zero, sizeof(zero));
	assert_int_equal(encap.sequence, 0);
}

static void test_frames_without_ip(void **state)
{
	struct gn_encap_config config = config_of(GN_ENCAP_VXLAN, 1);
	uint8_t frame[60] = {2, 0, 0, 0, 0, 1}, out[GN_ENCAP_BYTES];
	struct gn_encap encap;

	gn_encap_init(&encap, &config);
	for (uint32_t n = 0; n <= sizeof(frame); n++) {
		struct gn_packet packet = gn_testframe_parse(frame, n);

		assert_int_equal(gn_encap_write(&encap, &packet, n, GN_RX, out), 0);
	}
}

static void test_configuration(void **state)
{
	struct gn_encap_config good = config_of(GN_ENCAP_ERSPAN, 1), config = good;
	struct gn_encap encap;

	config.session_id = GN_ENCAP_MAX_SESSION + 1;
	assert_int_equal(gn_encap_init(&encap, &config), -ERANGE);
	config = config_of(GN_ENCAP_VXLAN, GN_ENCAP_MAX_NETWORK + 1);
	assert_int_equal(gn_encap_init(&encap, &config), -ERANGE);
	config = good;
	config.kind = (enum gn_encap_kind)7;
	assert_int_equal(gn_encap_init(&encap, &config), -EINVAL);
	config = good;
	config.collector_mac[0] = 1; /* multicast */
	assert_int_equal(gn_encap_init(&encap, &config), -EINVAL);
	config = good;
	memset(config.local_mac, 0, 6);
	assert_int_equal(gn_encap_init(&encap, &config), -EINVAL);
	config = good;
	config.collector_ip = 0;
	assert_int_equal(gn_encap_init(&encap, &config), -EINVAL);
	config.collector_ip = htonl(0xe0000001);
	assert_int_equal(gn_encap_init(&encap, &config), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_erspan_bytes),
	        cmocka_unit_test(test_erspan_fields),
	        cmocka_unit_test(test_vxlan_bytes),
	        cmocka_unit_test(test_vxlan_port_follows_the_flow),
	        cmocka_unit_test(test_every_length),
	        cmocka_unit_test(test_too_long_writes_nothing),
	        cmocka_unit_test(test_frames_without_ip),
	        cmocka_unit_test(test_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
