/* probe_test.c - a probe against guests that answer, refuse, think, lie and stay silent. */
#include "dataplane/probe/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define S ((uint64_t)1000000)

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 0, 0, 1};

static struct gn_probe probe;
static uint64_t now;
static uint8_t out[GN_PROBE_FRAME_SIZE], in[600];
static size_t n_out;

static void begin(const char *text)
{
	struct gn_probe_target target;
	struct gn_status status;

	assert_int_equal(gn_probe_target_parse(text, "", &target, &status), 0);
	gn_probe_init(&probe, &target, 7);
	now = 5 * S;
}

static bool next(void)
{
	n_out = gn_probe_next(&probe, now, out);
	return n_out > 0;
}

static uint32_t get(const uint8_t *at, int n)
{
	uint32_t value = 0;

	while (n--)
		value = value << 8 | *at++;
	return value;
}

static void put(uint8_t *at, uint32_t value, int n)
{
	while (n--) {
		at[n] = (uint8_t)value;
		value >>= 8;
	}
}

static uint32_t sum(const uint8_t *at, size_t n, uint32_t from)
{
	for (size_t i = 0; i < n; i++)
		from += i % 2 ? at[i] : (uint32_t)at[i] << 8;
	return from;
}

static bool is_whole(uint32_t added)
{
	return ((added & 0xffff) + (added >> 16)) % 0xffff == 0;
}

/* The next frame is an ARP request for the guest. */
static void takes_arp_request(void)
{
	assert_true(next());
	assert_int_equal(n_out, 42);
	assert_int_equal(get(out, 4), 0xffffffff);
	assert_int_equal(get(out + 12, 2), 0x0806);
	assert_int_equal(get(out + 20, 2), 1);
	assert_int_equal(get(out + 28, 4), 0x0a000003);
	assert_int_equal(get(out + 38, 4), 0x0a000002);
	assert_false(next());
}

static void guest_arp(int operation, uint32_t sender, uint32_t target)
{
	memset(in, 0, sizeof in);
	memcpy(in, probe.mac, 6);
	memcpy(in + 6, guest_mac, 6);
	put(in + 12, 0x0806, 2);
	put(in + 14, 1, 2);
	put(in + 16, 0x0800, 2);
	put(in + 18, 0x0604, 2);
	put(in + 20, (uint32_t)operation, 2);
	memcpy(in + 22, guest_mac, 6);
	put(in + 28, sender, 4);
	memcpy(in + 32, probe.mac, 6);
	put(in + 38, target, 4);
	gn_probe_take(&probe, in, 42);
}

/* The next frame is a segment with these flags, to this port; its checksums are right. */
static void takes_tcp(uint8_t flags, uint16_t port)
{
	uint8_t pseudo[4] = {0, 6, 0, 0};

	assert_true(next());
	assert_memory_equal(out, guest_mac, 6);
	assert_int_equal(get(out + 16, 2), n_out - 14);
	assert_true(is_whole(sum(out + 14, 20, 0)));
	put(pseudo + 2, (uint32_t)n_out - 34, 2);
	assert_true(is_whole(sum(out + 26, n_out - 26, sum(pseudo, 4, 0))));
	assert_int_equal(get(out + 36, 2), port);
	assert_int_equal(out[47], flags);
}

static void guest_tcp(uint8_t flags, uint32_t sequence, uint32_t acknowledged, const char *payload)
{
	size_t n = strlen(payload);

	memset(in, 0, sizeof in);
	memcpy(in, probe.mac, 6);
	memcpy(in + 6, guest_mac, 6);
	put(in + 12, 0x0800, 2);
	in[14] = 0x45;
	put(in + 16, (uint32_t)(40 + n), 2);
	in[23] = 6;
	put(in + 26, 0x0a000002, 4);
	put(in + 30, 0x0a000003, 4);
	put(in + 34, probe.target.port, 2);
	put(in + 36, probe.port, 2);
	put(in + 38, sequence, 4);
	put(in + 42, acknowledged, 4);
	in[46] = 0x50;
	in[47] = flags;
	memcpy(in + 54, payload, n);
	gn_probe_take(&probe, in, 54 + n);
}

static void resolve(void)
{
	takes_arp_request();
	guest_arp(2, 0x0a000002, 0x0a000003);
	assert_int_equal(probe.seen, GN_PROBE_ANSWERS);
}

static void an_address_is_answered_for(void **state)
{
	begin("arp://10.0.0.2");
	for (int i = 0; i < 3; i++, now += S)
		takes_arp_request();
	assert_int_equal(probe.seen, GN_PROBE_NOTHING);
	guest_arp(1, 0x0a000002, 0x0a000009); /* asks for somebody else */
	assert_int_equal(probe.seen, GN_PROBE_SENDS);
	guest_arp(2, 0x0a000005, 0x0a000003); /* another's address */
	assert_false(probe.passed);
	guest_arp(2, 0x0a000002, 0x0a000003);
	assert_true(probe.passed);
	now += 10 * S;
	assert_false(next());
}

static void a_port_is_open(void **state)
{
	begin("tcp://10.0.0.2:22");
	resolve();
	takes_tcp(SYN, 22);
	guest_arp(1, 0x0a000002, 0x0a000003); /* who asks? */
	assert_true(next());
	assert_int_equal(get(out + 20, 2), 2);
	assert_memory_equal(out, guest_mac, 6);
	assert_memory_equal(out + 22, probe.mac, 6);
	guest_tcp(SYN | ACK, 900, probe.sent + 1, "");
	assert_true(probe.passed);
	takes_tcp(RST | ACK, 22);
	assert_int_equal(get(out + 38, 4), probe.sent + 1);
	assert_int_equal(get(out + 42, 4), 901);
	assert_false(next());
}

static void a_guest_that_boots_says_no_first(void **state)
{
	uint16_t first;

	begin("tcp://10.0.0.2:22");
	resolve();
	takes_tcp(SYN, 22);
	first = probe.port;
	guest_tcp(RST | ACK, 0, probe.sent + 1, "");
	assert_int_equal(probe.seen, GN_PROBE_REFUSES);
	assert_false(next());
	now += S;
	takes_tcp(SYN, 22);
	assert_int_not_equal(probe.port, first);
	now += S; /* no answer: once more */
	takes_tcp(SYN, 22);
	guest_tcp(SYN | ACK, 900, probe.sent + 1, "");
	assert_true(probe.passed);
}

static void ask(void)
{
	takes_tcp(SYN, 8080);
	guest_tcp(SYN | ACK, 900, probe.sent + 1, "");
	takes_tcp(PSH | ACK, 8080);
	assert_memory_equal(out + 54, "GET /ready HTTP/1.0\r\nHost: 10.0.0.2\r\n", 37);
}

static void a_get_is_answered(void **state)
{
	begin("http://10.0.0.2:8080/ready");
	resolve();
	ask();
	guest_tcp(SYN | ACK, 900, probe.sent + 1, ""); /* it did not get the request */
	takes_tcp(PSH | ACK, 8080);
	guest_tcp(ACK | PSH, 901, 0, "HTTP/1");
	assert_false(probe.passed);
	takes_tcp(ACK, 8080);
	assert_int_equal(get(out + 42, 4), 907);
	guest_tcp(ACK | PSH, 901, 0, "HTTP/1"); /* again */
	guest_tcp(ACK | PSH | FIN, 907, 0, ".1 204 No Content\r\n\r\n");
	assert_true(probe.passed);
	assert_int_equal(probe.http_status, 204);
	takes_tcp(RST | ACK, 8080);
	assert_false(next());
}

static void an_error_is_no_answer(void **state)
{
	static const char *const answers[] = {"HTTP/1.1 503 Not yet\r\n", "HTTP/1.1 404 ",
	                                      "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 2x0 oh\r\n"};

	begin("http://10.0.0.2:8080/ready");
	resolve();
	for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++, now += S) {
		ask();
		guest_tcp(ACK | PSH, 901, 0, answers[i]);
		assert_false(probe.passed);
		assert_int_equal(probe.seen, GN_PROBE_ERROR);
		takes_tcp(RST | ACK, 8080);
		assert_false(next());
	}
	assert_int_equal(probe.http_status, 0);
	ask();
	now += 4 * S; /* it thinks */
	assert_false(next());
	guest_tcp(ACK | PSH, 901, 0, "HTTP/1.1 200 OK\r\n");
	assert_true(probe.passed);
}

/* Every change of a good answer that makes it another's is none. */
static void what_is_not_for_us(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} changes[] = {{0, 0x54},  {12, 0x86}, {14, 0x65}, {14, 0x41}, {14, 0x4f},
	               {16, 0xff}, {17, 20},   {20, 0x20}, {21, 1},    {23, 17},
	               {29, 9},    {33, 9},    {35, 23},   {37, 0},    {45, 0},
	               {46, 0x40}, {46, 0xf0}, {47, SYN},  {47, ACK}};

	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
		uint8_t frame[54];

		begin("tcp://10.0.0.2:22");
		resolve();
		takes_tcp(SYN, 22);
		guest_tcp(0, 900, probe.sent + 1, "");
		memcpy(frame, in, sizeof frame);
		frame[47] = SYN | ACK;
		if (frame[changes[i].at] == changes[i].value)
			frame[changes[i].at] ^= 1;
		else
			frame[changes[i].at] = changes[i].value;
		for (size_t n = 0; n <= sizeof frame; n++)
			gn_probe_take(&probe, frame, n);
		assert_false(probe.passed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_address_is_answered_for),
	        cmocka_unit_test(a_port_is_open),
	        cmocka_unit_test(a_guest_that_boots_says_no_first),
	        cmocka_unit_test(a_get_is_answered),
	        cmocka_unit_test(an_error_is_no_answer),
	        cmocka_unit_test(what_is_not_for_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
