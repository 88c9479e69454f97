/* parse_test.c - what people type, in tables: right, wrong, too large, hostile. */
#include "tools/ctl/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tools/ctl/format.h"

#define BAD      UINT64_MAX
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

struct number_case {
	const char *text;
	uint64_t value; /* BAD: refused */
};

static int parse_any(const char *text, uint64_t *out)
{
	return gn_parse_number(text, UINT64_MAX - 1, out);
}

static int parse_limited(const char *text, uint64_t *out)
{
	return gn_parse_number(text, 4094, out);
}

static void check(int (*parse)(const char *, uint64_t *), const struct number_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t out = 77;
		int rc = parse(cases[i].text, &out);

		if (cases[i].value == BAD ? rc != -EINVAL || out != 77
		                          : rc || out != cases[i].value)
			fail_msg("'%s' gave %d, %" PRIu64, cases[i].text, rc, out);
	}
}

static void test_numbers(void **state)
{
	static const struct number_case any[] = {
	        {"0", 0},
	        {"7", 7},
	        {"010", 10},
	        {"0x806", 0x806},
	        {"0X10", 16},
	        {"18446744073709551614", UINT64_MAX - 1},
	        {"18446744073709551615", BAD},
	        {"18446744073709551616", BAD},
	        {"99999999999999999999999999", BAD},
	        {"", BAD},
	        {" 1", BAD},
	        {"1 ", BAD},
	        {"+1", BAD},
	        {"-1", BAD},
	        {"0x", BAD},
	        {"1e3", BAD},
	        {"1.0", BAD},
	};
	static const struct number_case limited[] = {{"4094", 4094}, {"4095", BAD}};

	check(parse_any, any, COUNT(any));
	check(parse_limited, limited, COUNT(limited));
}

static void test_bytes(void **state)
{
	static const struct number_case cases[] = {
	        {"0", 0},
	        {"512", 512},
	        {"512B", 512},
	        {"64K", 65536},
	        {"64kib", 65536},
	        {"64KiB", 65536},
	        {"64kB", 64000},
	        {"1.5GiB", 3221225472u / 2},
	        {"1.5 GiB", 3221225472u / 2},
	        {"10MB", 10000000},
	        {"2T", 2ull << 40},
	        {"1.1GiB", 1181116006},
	        {"20000000000000", 20000000000000u},
	        {"18446744073709551614", UINT64_MAX - 1},
	        {"16777215TiB", 16777215ull << 40},
	        {"16777216TiB", BAD},
	        {"18446744073709551616", BAD},
	        {"1.5", BAD},
	        {"1.5B", BAD},
	        {"1.", BAD},
	        {".5M", BAD},
	        {"1.0000000001G", BAD},
	        {"1.0000000000G", 1 << 30},
	        {"1..5M", BAD},
	        {"-1M", BAD},
	        {"1 0M", BAD},
	        {"1  M", BAD},
	        {"1Mi", BAD},
	        {"1MiB/s", BAD},
	        {"M", BAD},
	        {"", BAD},
	        {"nan", BAD},
	        {"0x10", BAD},
	};

	check(gn_parse_bytes, cases, COUNT(cases));
}

static void test_durations(void **state)
{
	static const struct number_case cases[] = {
	        {"5us", 5},
	        {"500ms", 500000},
	        {"30s", 30000000},
	        {"1.5s", 1500000},
	        {"5min", 300000000},
	        {"5m", 300000000},
	        {"2h", 7200000000u},
	        {"1d", 86400000000u},
	        {"0s", 0},
	        {"0.0001ms", BAD},
	        {"0.5ms", 500},
	        {"213503982334d", BAD},
	        {"213503982d", 213503982ull * 86400000000u},
	        {"10", BAD},
	        {"s", BAD},
	        {"1 min", 60000000},
	        {"1y", BAD},
	        {"1s1s", BAD},
	};

	check(gn_parse_duration, cases, COUNT(cases));
}

static void test_thousandths_and_bits(void **state)
{
	static const struct number_case milli[] = {
	        {"0.95", 950},   {"1", 1000},     {"2.5", 2500},
	        {"0.0005", BAD}, {"0.9500", 950}, {"18446744073709552", BAD},
	        {"1.5x", BAD},   {"0.95 ", 950},
	};
	static const struct number_case bits[] = {
	        {"1000", 1000},
	        {"10M", 10000000},
	        {"10mbit", 10000000},
	        {"1.5G", 1500000000},
	        {"1.50 Gbit/s", 1500000000},
	        {"9 bit/s", 9},
	        {"10MB", BAD},
	        {"10Mi", BAD},
	};

	check(gn_parse_milli, milli, COUNT(milli));
	check(gn_parse_bits, bits, COUNT(bits));
}

/* Each resource's unit, and that what is printed can be typed again. */
static void test_demands(void **state)
{
	static const struct {
		int resource;
		const char *text;
		int64_t value; /* -1: refused */
	} cases[] = {
	        {GNOMON__V1__RESOURCE__CPU, "3.5", 3500},
	        {GNOMON__V1__RESOURCE__CPU, "3.50 vCPU", 3500},
	        {GNOMON__V1__RESOURCE__CPU, "512MiB", -1},
	        {GNOMON__V1__RESOURCE__MEMORY, "512MiB", 512 << 20},
	        {GNOMON__V1__RESOURCE__NETWORK_RX, "1.5M", 1500000},
	        {GNOMON__V1__RESOURCE__NETWORK_TX, "10Mbit/s", 10000000},
	        {GNOMON__V1__RESOURCE__DISK_READ, "1 MB/s", 1000000},
	        {GNOMON__V1__RESOURCE__DISK_WRITE, "1MiB/s", 1 << 20},
	        {GNOMON__V1__RESOURCE__DISK_WRITE, "1MiB", 1 << 20},
	        {GNOMON__V1__RESOURCE__DISK_OPERATIONS, "500", 500},
	        {GNOMON__V1__RESOURCE__DISK_OPERATIONS, "100/s", 100},
	        {GNOMON__V1__RESOURCE__DISK_OPERATIONS, "9223372036854775807", INT64_MAX},
	        {GNOMON__V1__RESOURCE__DISK_OPERATIONS, "9223372036854775808", -1},
	        {GNOMON__V1__RESOURCE__RESOURCE_UNSPECIFIED, "1", -1},
	        {8, "1", -1},
	        {-1, "1", -1},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		int64_t out = 77, again = 0;
		int rc = gn_parse_demand(cases[i].resource, cases[i].text, &out);
		char text[GN_FORMAT_SIZE];

		if (cases[i].value < 0 ? rc != -EINVAL || out != 77 : rc || out != cases[i].value)
			fail_msg("%d '%s' gave %d, %" PRId64, cases[i].resource, cases[i].text, rc,
			         out);
		if (rc || cases[i].value > 1 << 30 || cases[i].value == 1 << 20)
			continue;
		gn_format_demand(cases[i].resource, out, text, sizeof text);
		assert_int_equal(gn_parse_demand(cases[i].resource, text, &again), 0);
		assert_int_equal(again, out);
	}
}

static void test_resources(void **state)
{
	for (int i = 1; i <= GN_FORMAT_RESOURCES; i++)
		assert_int_equal(gn_parse_resource(gn_format_resource(i)), i);
	assert_int_equal(gn_parse_resource("CPU"), GNOMON__V1__RESOURCE__CPU);
	assert_int_equal(gn_parse_resource("?"), 0);
	assert_int_equal(gn_parse_resource(""), 0);
	assert_int_equal(gn_parse_resource("cpus"), 0);
}

static void test_filter(void **state)
{
	char text[] =
	        "proto tcp  src 10.0.0.0/8,dst fd00::/8 sport 5 dport 80 vlan 7 ethertype 0x806";
	Gnomon__V1__MirrorFilter f;

	assert_int_equal(gn_parse_filter(text, &f), 0);
	assert_int_equal(f.ip_protocol, 6);
	assert_string_equal(f.source, "10.0.0.0/8");
	assert_string_equal(f.destination, "fd00::/8");
	assert_int_equal(f.source_port, 5);
	assert_int_equal(f.destination_port, 80);
	assert_int_equal(f.vlan, 7);
	assert_int_equal(f.ethertype, 0x806);
}

static void test_bad_filters(void **state)
{
	static const char *const bad[] = {
	        "",
	        " ",
	        "proto",
	        "proto tcp dport",
	        "proto quic",
	        "proto 0",
	        "proto 256",
	        "sport 0",
	        "dport 65536",
	        "vlan 4095",
	        "ethertype 0x10000",
	        "port 80",
	        "tcp",
	        "dport 80 dport 81",
	        "proto tcp proto udp",
	        "src 10.0.0.0/8 src 11.0.0.0/8",
	        "dport -1",
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		Gnomon__V1__MirrorFilter f = {.vlan = 77};
		char text[128];

		snprintf(text, sizeof text, "%s", bad[i]);
		if (gn_parse_filter(text, &f) != -EINVAL || f.vlan != 77)
			fail_msg("'%s' was taken", bad[i]);
	}
}

static void test_trigger(void **state)
{
	static const char *const bad[] = {
	        "",
	        "cpu",
	        "cpu 3.5",
	        "cpu 3.5 for",
	        "cpu 3.5 for 5",
	        "cpu 3.5 for 5min now",
	        "cpus 3 for 5min",
	        "cpu 5MiB for 5min",
	        "cpu 3.5 during 5min",
	        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1 for 1s",
	};
	Gnomon__V1__ShadowTrigger t = {.for_us = 77};

	for (size_t i = 0; i < COUNT(bad); i++)
		if (gn_parse_trigger(bad[i], &t) != -EINVAL || t.for_us != 77)
			fail_msg("'%s' was taken", bad[i]);
	assert_int_equal(gn_parse_trigger("network-rx  10Mbit for 5min", &t), 0);
	assert_int_equal(t.resource, GNOMON__V1__RESOURCE__NETWORK_RX);
	assert_int_equal(t.threshold, 10000000);
	assert_int_equal(t.for_us, 300000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_numbers),   cmocka_unit_test(test_bytes),
	        cmocka_unit_test(test_durations), cmocka_unit_test(test_thousandths_and_bits),
	        cmocka_unit_test(test_demands),   cmocka_unit_test(test_resources),
	        cmocka_unit_test(test_filter),    cmocka_unit_test(test_bad_filters),
	        cmocka_unit_test(test_trigger),
	};

	return cmocka_run_group_tests_name("ctl_parse", tests, NULL, NULL);
}
