#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/mirror/pcapng.h"

static void test_section_bytes(void **state)
{
	static const uint8_t expected[] = {
	        0x0a, 0x0d, 0x0d, 0x0a, 44,   0,    0,    0,    /* type, length */
	        0x4d, 0x3c, 0x2b, 0x1a, 1,    0,    0,    0,    /* byte order, version 1.0 */
	        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* section length not given */
	        4,    0,    6,    0,    'g',  'n',  'o',  'm',  'o', 'n', 0, 0, /* application */
	        0,    0,    0,    0,    44,   0,    0,    0,                    /* end, length */
	};
	uint8_t buffer[GN_PCAPNG_SECTION_MAX];

	assert_int_equal(gn_pcapng_section("gnomon", buffer, sizeof(buffer)), sizeof(expected));
	assert_memory_equal(buffer, expected, sizeof(expected));
}

static void test_interface_bytes(void **state)
{
	static const uint8_t expected[] = {
	        1, 0, 0, 0, 40,  0,   0,   0,   /* type, length */
	        1, 0, 0, 0, 0,   2,   0,   0,   /* Ethernet, 512 bytes */
	        2, 0, 4, 0, 'n', 'e', 't', '0', /* name */
	        9, 0, 1, 0, 9,   0,   0,   0,   /* nanoseconds */
	        0, 0, 0, 0, 40,  0,   0,   0,
	};
	uint8_t buffer[GN_PCAPNG_INTERFACE_MAX];

	assert_int_equal(gn_pcapng_interface("net0", 512, buffer, sizeof(buffer)),
	                 sizeof(expected));
	assert_memory_equal(buffer, expected, sizeof(expected));
}

static void test_packet_bytes(void **state)
{
	static const uint8_t head[] = {
	        6,    0,    0, 0, 52,   0,    0,    0,    3, 0, 0, 0, /* type, length, interface */
	        0x66, 0x55, 0, 0, 0x44, 0x33, 0x22, 0x11, 5, 0, 0, 0, /* time, captured */
	        0xea, 5,    0, 0,                                     /* original */
	};
	static const uint8_t tail[] = {
	        0,  0, 0,                            /* padding */
	        2,  0, 4, 0, 2, 0, 0, 0, 0, 0, 0, 0, /* outbound, end */
	        52, 0, 0, 0,
	};
	struct gn_pcapng_packet packet = {3, 0x556611223344, 5, 1514, GN_TX};
	uint8_t out[GN_PCAPNG_HEAD_BYTES], rest[GN_PCAPNG_TAIL_MAX];

	assert_int_equal(gn_pcapng_packet_head(&packet, out), sizeof(head));
	assert_memory_equal(out, head, sizeof(head));
	assert_int_equal(gn_pcapng_packet_tail(&packet, rest), sizeof(tail));
	assert_memory_equal(rest, tail, sizeof(tail));
	packet.direction = GN_RX;
	gn_pcapng_packet_tail(&packet, rest);
	assert_int_equal(rest[7], 1);
}

static uint32_t read32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* Both lengths of every block agree and are multiples of four. */
static void test_lengths(void **state)
{
	for (uint32_t n = 0; n < 70; n++) {
		struct gn_pcapng_packet packet = {.captured_bytes = n};
		uint8_t head[GN_PCAPNG_HEAD_BYTES], tail[GN_PCAPNG_TAIL_MAX];
		size_t n_head = gn_pcapng_packet_head(&packet, head);
		size_t n_tail = gn_pcapng_packet_tail(&packet, tail);

		assert_true(n_tail <= sizeof(tail));
		assert_int_equal(n_head + n + n_tail, gn_pcapng_packet_size(n));
		assert_int_equal(read32(head + 4), gn_pcapng_packet_size(n));
		assert_int_equal(read32(tail + n_tail - 4), gn_pcapng_packet_size(n));
		assert_int_equal(gn_pcapng_packet_size(n) % 4, 0);
	}
}

static void test_names_of_every_length(void **state)
{
	char name[300];

	for (uint32_t n = 0; n < sizeof(name); n++) {
		uint8_t *buffer = malloc(GN_PCAPNG_INTERFACE_MAX);
		size_t size;

		memset(name, 'x', n);
		name[n] = 0;
		size = gn_pcapng_interface(name, 0, buffer, GN_PCAPNG_INTERFACE_MAX);
		assert_true(size > 0);
		assert_int_equal(read32(buffer + 4), size);
		assert_int_equal(read32(buffer + size - 4), size);
		assert_true(gn_pcapng_section(name, buffer, GN_PCAPNG_SECTION_MAX) > 0);
		free(buffer);
	}
}

static void test_small_buffer_is_untouched(void **state)
{
	size_t n = 44;

	for (size_t size = 0; size < n; size++) {
		uint8_t *buffer = malloc(size + 1);

		assert_int_equal(gn_pcapng_section("gnomon", buffer, size), 0);
		free(buffer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_section_bytes),
	        cmocka_unit_test(test_interface_bytes),
	        cmocka_unit_test(test_packet_bytes),
	        cmocka_unit_test(test_lengths),
	        cmocka_unit_test(test_names_of_every_length),
	        cmocka_unit_test(test_small_buffer_is_untouched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
