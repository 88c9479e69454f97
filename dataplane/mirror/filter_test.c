/* Filters are compiled, refused, and match or do not. */
#include "dataplane/mirror/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include "dataplane/feature/testframe.h"

static const struct gn_testframe_spec v4 = {.source = 0x0a010203, /* 10.1.2.3 */
                                            .destination = 0xc0a80001,
                                            .source_port = 4000,
                                            .destination_port = 80,
                                            .outer_vlan = 7};
static const struct gn_testframe_spec v6 = {.ipv6 = true,
                                            .protocol = IPPROTO_UDP,
                                            .source = 1,
                                            .destination = 2,
                                            .source_port = 5000,
                                            .destination_port = 53};
/* A later fragment: no ports. */
static const struct gn_testframe_spec fragment = {.protocol = IPPROTO_UDP,
                                                  .source = 0x0a010203,
                                                  .destination = 0xc0a80001,
                                                  .fragment = 0x0010,
                                                  .payload = "01234567",
                                                  .n_payload = 8};

static const struct {
	struct gn_filter_config filter;
	bool v4, v6, fragment;
} cases[] = {
        {{0}, true, true, true},
        {{.ethertype = 0x0800}, true, false, true},
        {{.ethertype = 0x86dd}, false, true, false},
        {{.vlan = 7}, true, false, false},
        {{.vlan = 8}, false, false, false},
        {{.ip_protocol = IPPROTO_TCP}, true, false, false},
        {{.ip_protocol = IPPROTO_UDP}, false, true, true},
        {{.source = "10.1.2.3"}, true, false, true},
        {{.source = "10.1.2.4"}, false, false, false},
        {{.source = "10.0.0.0/8"}, true, false, true},
        {{.source = "10.1.2.99/25"}, true, false, true}, /* host bits are ignored */
        {{.source = "10.1.2.128/25"}, false, false, false},
        {{.source = "0.0.0.0/0"}, true, false, true},
        {{.source = "::/0"}, false, true, false},
        {{.destination = "192.168.0.0/16", .destination_port = 80}, true, false, false},
        {{.destination_port = 53}, false, true, false},
        {{.source_port = 4000,
          .destination_port = 80,
          .ip_protocol = IPPROTO_TCP,
          .source = "10.1.2.3/32",
          .destination = "192.168.0.1",
          .vlan = 7,
          .ethertype = 0x0800},
         true,
         false,
         false},
        {{.source_port = 80}, false, false, false},
};

static bool matches(const struct gn_filter *filter, const struct gn_testframe_spec *spec)
{
	uint8_t frame[GN_TESTFRAME_MAX];
	struct gn_packet packet = gn_testframe_parse(frame, gn_testframe_build(spec, frame));

	return gn_filter_matches(filter, &packet);
}

static void matches_what_it_says(void **state)
{
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_filter filter;
		struct gn_status status;

		assert_int_equal(gn_filter_compile(&cases[i].filter, &filter, &status), 0);
		if (matches(&filter, &v4) != cases[i].v4 || matches(&filter, &v6) != cases[i].v6 ||
		    matches(&filter, &fragment) != cases[i].fragment)
			fail_msg("filter %zu", i);
	}
}

static void ipv6_prefixes_of_every_length(void **state)
{
	unsigned bits, flip;

	for (bits = 0; bits <= 128; bits++) {
		char text[64];
		struct gn_filter_config config = {.source = text};
		struct gn_filter filter;
		struct gn_status status;
		struct gn_packet packet = {.flags = GN_PACKET_IPV6};

		snprintf(text, sizeof text, "2001:db8:1234:5678:9abc:def0:1122:3344/%u", bits);
		assert_int_equal(gn_filter_compile(&config, &filter, &status), 0);
		for (flip = 0; flip < 128; flip++) {
			memcpy(packet.source.v6,
			       (const uint8_t[]){0x20, 0x01, 0x0d, 0xb8, 0x12, 0x34, 0x56, 0x78,
			                         0x9a, 0xbc, 0xde, 0xf0, 0x11, 0x22, 0x33, 0x44},
			       16);
			packet.source.v6[flip / 8] ^= (uint8_t)(0x80 >> flip % 8);
			assert_int_equal(gn_filter_matches(&filter, &packet), flip >= bits);
		}
	}
}

static const struct gn_filter_config bad[] = {
        {.ethertype = 0x10000},
        {.vlan = 4095},
        {.ip_protocol = 256},
        {.source_port = 65536},
        {.destination_port = 100000},
        {.source = "10.0.0"},
        {.source = "10.0.0.0/33"},
        {.source = "10.0.0.0/"},
        {.source = "10.0.0.0/-1"},
        {.source = "10.0.0.0/8x"},
        {.source = "fd00::/129"},
        {.source = "web-1"},
        {.source = "/8"},
        {.source = "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee"},
        {.source = "10.0.0.1", .destination = "fd00::1"},
};

static void nonsense_is_refused(void **state)
{
	size_t i;

	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct gn_filter filter = {.protocol = 99};
		struct gn_status status = {.code = GN_OK};

		if (gn_filter_compile(&bad[i], &filter, &status) != -EINVAL)
			fail_msg("filter %zu was taken", i);
		assert_int_equal(filter.protocol, 99); /* untouched */
		assert_true(strlen(status.message) > 20);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(matches_what_it_says),
	        cmocka_unit_test(ipv6_prefixes_of_every_length),
	        cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
