/* What a guest's agent writes arrives, in whatever pieces; what a hostile one writes does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bpf/agent_wire.h"

static struct gn_agent_report sent, got;
static struct gn_agent_stream stream;
static uint8_t frame[GN_AGENT_FRAME_MAX];

static int begin(void **state)
{
	memset(&sent, 0, sizeof sent);
	memset(&got, 0, sizeof got);
	memset(&stream, 0, sizeof stream);
	sent.sequence = 7;
	sent.uptime_us = 1ull << 40;
	sent.parts = 1u << GN_AGENT_PART_CALLS;
	sent.n_apis = 2;
	strcpy(sent.apis[1], "/lib/libssl.so.3:SSL_read");
	sent.n_calls = 2;
	sent.calls[0].key = (struct gn_calls_key){12, 1};
	sent.calls[0].value = (struct gn_calls_value){.count = 5, .errors = 1, .name = "nginx"};
	sent.calls[1].key = (struct gn_calls_key){13, GN_CALLS_API + 1};
	sent.histograms[GN_AGENT_WRITE].slots[39] = 3;
	sent.histograms[GN_AGENT_WRITE].maximum_ns = UINT64_MAX;
	return 0;
}

static void give(const uint8_t *bytes, size_t n)
{
	size_t room;
	uint8_t *at = gn_agent_stream_room(&stream, &room);

	assert_in_range(n, 0, room);
	memcpy(at, bytes, n);
	gn_agent_stream_add(&stream, n);
}

static void arrives_in_pieces(void **state)
{
	size_t size = gn_agent_encode(&sent, frame);

	for (size_t i = 0; i < size; i++) {
		assert_false(gn_agent_stream_next(&stream, &got));
		give(frame + i, 1);
	}
	assert_true(gn_agent_stream_next(&stream, &got));
	assert_memory_equal(&sent, &got, sizeof got);
	assert_false(gn_agent_stream_next(&stream, &got));
	assert_int_equal(stream.n_skipped, 0);
}

static void largest_fits(void **state)
{
	sent.n_apis = GN_CALLS_APIS;
	sent.n_calls = GN_AGENT_CALLS;
	give(frame, gn_agent_encode(&sent, frame));
	assert_true(gn_agent_stream_next(&stream, &got));
	assert_memory_equal(&sent, &got, sizeof got);
}

/* A host that connects late begins in the middle of a frame. */
static void is_found_after_a_loss(void **state)
{
	size_t size = gn_agent_encode(&sent, frame);

	give(frame + 100, size - 100);
	give(frame, size);
	assert_true(gn_agent_stream_next(&stream, &got));
	assert_int_equal(got.sequence, 7);
	frame[size - 1] ^= 1;
	give(frame, size);
	assert_false(gn_agent_stream_next(&stream, &got));
	assert_int_equal(stream.n_skipped, size);
	frame[size - 1] ^= 1;
	give(frame, size);
	assert_true(gn_agent_stream_next(&stream, &got));
}

static void text_is_made_printable(void **state)
{
	memcpy(sent.calls[0].value.name, "\x1b[2J\x80 not ended...", GN_CALLS_NAME_SIZE);
	give(frame, gn_agent_encode(&sent, frame));
	assert_true(gn_agent_stream_next(&stream, &got));
	assert_string_equal(got.calls[0].value.name, "?[2J? not ended");
}

static void out_of_range_is_refused(void **state)
{
	static const struct {
		uint32_t *field;
		uint32_t value;
	} cases[] = {
	        {&sent.n_apis, GN_CALLS_APIS + 1},           {&sent.parts, 1u << GN_AGENT_N_PARTS},
	        {&sent.calls[1].key.slot, GN_CALLS_API + 2}, /* only two are named */
	        {&sent.calls[1].key.slot, GN_SYSCALLS_SIZE}, {&sent.calls[0].key.slot, UINT32_MAX},
	};

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		size_t size;

		begin(NULL);
		*cases[i].field = cases[i].value;
		size = gn_agent_encode(&sent, frame);
		assert_false(gn_agent_decode(frame + 12, size - 12, &got));
		assert_int_equal(got.sequence, 0); /* untouched */
	}
}

static void cut_and_longer_is_refused(void **state)
{
	size_t size = gn_agent_encode(&sent, frame) - 12;

	for (size_t n = 0; n < size; n++)
		assert_false(gn_agent_decode(frame + 12, n, &got));
	assert_false(gn_agent_decode(frame + 12, size + 1, &got));
	assert_true(gn_agent_decode(frame + 12, size, &got));
}

/* Beginnings of frames that never end, sizes beyond the largest: room stays, good frames pass. */
static void flood_leaves_room(void **state)
{
	static const uint8_t bad[] = "GNA1\xff\xff\xff\xff....GNA1GNGNA1\x10";
	size_t room;

	for (unsigned i = 0; i < 5000; i++) {
		gn_agent_stream_room(&stream, &room);
		assert_in_range(room, sizeof bad, sizeof stream.bytes);
		give(bad, sizeof bad);
		while (gn_agent_stream_next(&stream, &got))
			;
	}
	memset(&stream, 0, sizeof stream);
	give(bad, sizeof bad - 1);
	for (unsigned i = 0; i < 3; i++) {
		give(frame, gn_agent_encode(&sent, frame));
		if (gn_agent_stream_next(&stream, &got))
			break;
	}
	assert_int_equal(got.sequence, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(arrives_in_pieces, begin),
	        cmocka_unit_test_setup(largest_fits, begin),
	        cmocka_unit_test_setup(is_found_after_a_loss, begin),
	        cmocka_unit_test_setup(text_is_made_printable, begin),
	        cmocka_unit_test(out_of_range_is_refused),
	        cmocka_unit_test_setup(cut_and_longer_is_refused, begin),
	        cmocka_unit_test_setup(flood_leaves_room, begin),
	};

	return cmocka_run_group_tests_name("bpf-agent", tests, NULL, NULL);
}
