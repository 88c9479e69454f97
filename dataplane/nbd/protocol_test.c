/* The protocol's pure parts: our client's negotiation against our server's, what each refuses,
 * requests against an export, replies, addresses, pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "dataplane/nbd/arena.h"
#include "dataplane/nbd/dial.h"
#include "dataplane/nbd/handshake.h"
#include "dataplane/nbd/plan.h"
#include "dataplane/nbd/reply.h"
#include "dataplane/nbd/uri.h"

static const struct gn_nbd_offer offers[] = {
        {.name = "a",
         .size_bytes = 1 << 20,
         .flags = GN_NBD_HAS_FLAGS,
         .min_block_bytes = 512,
         .preferred_block_bytes = 4096,
         .max_block_bytes = 1 << 25},
        {.name = "b", .refusal = "not for you"},
};
static uint8_t server_memory[GN_NBD_STEP_OUT_MAX], client_memory[GN_NBD_DIAL_OUT_MAX];

/* ---- both ends ------------------------------------------------------------------- */

/* A queue of bytes from one end to the other. */
struct pipe {
	uint8_t data[4096];
	size_t start, end;
};

static void put(struct pipe *pipe, const struct gn_nbd_out *out)
{
	assert_true(pipe->end + out->used <= sizeof pipe->data);
	memcpy(pipe->data + pipe->end, out->data, out->used);
	pipe->end += out->used;
}

static const uint8_t *take(struct pipe *pipe, size_t size)
{
	if (pipe->end - pipe->start < size)
		return NULL;
	pipe->start += size;
	return pipe->data + pipe->start - size;
}

/* How the client ends. */
static enum gn_nbd_dial_step talk(bool server_tls, bool client_tls, const char *export,
                                  struct gn_nbd_handshake *server, struct gn_nbd_dial *client)
{
	static struct pipe to_server, to_client;
	struct gn_nbd_out from_server = {.data = server_memory};
	struct gn_nbd_out from_client = {.data = client_memory};
	enum gn_nbd_dial_step step = GN_NBD_DIAL_MORE;
	const uint8_t *data;

	to_server.start = to_server.end = to_client.start = to_client.end = 0;
	gn_nbd_handshake_init(server, server_tls, &from_server);
	put(&to_client, &from_server);
	gn_nbd_dial_init(client, export, client_tls);
	while (step == GN_NBD_DIAL_MORE) {
		while (step == GN_NBD_DIAL_MORE &&
		       (data = take(&to_client, gn_nbd_dial_wants(client)))) {
			step = gn_nbd_dial_take(client, data, &from_client);
			if (step == GN_NBD_DIAL_STARTTLS) {
				gn_nbd_dial_secured(client, &from_client);
				step = GN_NBD_DIAL_MORE;
			}
			put(&to_server, &from_client);
		}
		while ((data = take(&to_server, gn_nbd_handshake_wants(server)))) {
			enum gn_nbd_step answer =
			        gn_nbd_handshake_take(server, offers, 2, data, &from_server);

			put(&to_client, &from_server);
			if (answer == GN_NBD_STEP_STARTTLS)
				gn_nbd_handshake_secured(server);
			if (answer == GN_NBD_STEP_GO || answer == GN_NBD_STEP_CLOSE)
				break;
		}
	}
	return step;
}

static void test_both_ends(void **state)
{
	struct gn_nbd_handshake server;
	struct gn_nbd_dial client;

	for (int tls = 0; tls < 2; tls++) {
		assert_int_equal(talk(tls, tls, "a", &server, &client), GN_NBD_DIAL_DONE);
		assert_true(client.answer.structured && server.structured);
		assert_int_equal(client.answer.size_bytes, 1 << 20);
		assert_int_equal(client.answer.min_block_bytes, 512);
		assert_int_equal(server.chosen, 0);
		assert_int_equal(server.tls_active, tls);
	}
	assert_int_equal(talk(false, false, "c", &server, &client), GN_NBD_DIAL_FAILED);
	assert_non_null(strstr(client.problem, "no such export"));
	assert_int_equal(talk(false, false, "b", &server, &client), GN_NBD_DIAL_FAILED);
	assert_non_null(strstr(client.problem, "not for you"));
	assert_int_equal(talk(true, false, "a", &server, &client), GN_NBD_DIAL_FAILED);
	assert_non_null(strstr(client.problem, "wants TLS"));
	assert_int_equal(talk(false, true, "a", &server, &client), GN_NBD_DIAL_FAILED);
	assert_non_null(strstr(client.problem, "refuses TLS"));
}

/* ---- the server alone ---------------------------------------------------------------- */

static struct gn_nbd_handshake handshake;
static struct gn_nbd_out out = {.data = server_memory};

static void greet(bool tls)
{
	uint8_t flags[4];

	gn_nbd_handshake_init(&handshake, tls, &out);
	gn_nbd_put32(flags, GN_NBD_FIXED_NEWSTYLE | GN_NBD_NO_ZEROES);
	assert_int_equal(gn_nbd_handshake_take(&handshake, offers, 2, flags, &out),
	                 GN_NBD_STEP_MORE);
}

static enum gn_nbd_step option(uint32_t number, const void *data, uint32_t size)
{
	uint8_t header[GN_NBD_OPTION_SIZE];
	enum gn_nbd_step step;

	gn_nbd_put32(gn_nbd_put32(gn_nbd_put64(header, GN_NBD_OPTION_MAGIC), number), size);
	step = gn_nbd_handshake_take(&handshake, offers, 2, header, &out);
	if (step != GN_NBD_STEP_MORE || handshake.state != GN_NBD_HANDSHAKE_DATA)
		return step;
	assert_int_equal(gn_nbd_handshake_wants(&handshake), size);
	return gn_nbd_handshake_take(&handshake, offers, 2, data, &out);
}

static uint32_t answer_type(void)
{
	return out.used >= GN_NBD_OPTION_REPLY_SIZE ? gn_nbd_get32(out.data + 12) : 0;
}

static void test_server_refuses(void **state)
{
	static const uint8_t zeroes[64];
	uint8_t flags[4];

	gn_nbd_handshake_init(&handshake, false, &out);
	gn_nbd_put32(flags, 4 | GN_NBD_FIXED_NEWSTYLE);
	assert_int_equal(gn_nbd_handshake_take(&handshake, offers, 2, flags, &out),
	                 GN_NBD_STEP_CLOSE);
	greet(false);
	assert_int_equal(option(77, NULL, 0), GN_NBD_STEP_MORE);
	assert_int_equal(answer_type(), GN_NBD_REP_ERR_UNSUP);
	option(GN_NBD_OPT_LIST, zeroes, 1);
	assert_int_equal(answer_type(), GN_NBD_REP_ERR_INVALID);
	option(GN_NBD_OPT_GO, zeroes, 5);
	assert_int_equal(answer_type(), GN_NBD_REP_ERR_INVALID);
	option(GN_NBD_OPT_GO, "\xff\xff\xff\xff\0\0", 6);
	assert_int_equal(answer_type(), GN_NBD_REP_ERR_INVALID);
	option(GN_NBD_OPT_GO, "\0\0\0\0\0\x01", 6);
	assert_int_equal(answer_type(), GN_NBD_REP_ERR_INVALID);
	option(GN_NBD_OPT_SET_META_CONTEXT, "\0\0\0\1a\0\0\0\0", 9);
	assert_int_equal(answer_type(), GN_NBD_REP_ERR_INVALID);
	option(GN_NBD_OPT_STARTTLS, NULL, 0);
	assert_int_equal(answer_type(), GN_NBD_REP_ERR_POLICY);
	assert_int_equal(option(GN_NBD_OPT_EXPORT_NAME, "x", 1), GN_NBD_STEP_CLOSE);
	assert_int_equal(option(GN_NBD_OPT_EXPORT_NAME, "b", 1), GN_NBD_STEP_CLOSE);
	greet(false);
	assert_int_equal(option(GN_NBD_OPT_INFO, NULL, 1 << 20), GN_NBD_STEP_CLOSE);
}

static void test_tls_is_forced(void **state)
{
	greet(true);
	option(GN_NBD_OPT_LIST, NULL, 0);
	assert_int_equal(answer_type(), GN_NBD_REP_ERR_TLS_REQD);
	option(GN_NBD_OPT_STRUCTURED_REPLY, NULL, 0);
	assert_int_equal(answer_type(), GN_NBD_REP_ERR_TLS_REQD);
	assert_int_equal(option(GN_NBD_OPT_EXPORT_NAME, "a", 1), GN_NBD_STEP_CLOSE);
	assert_int_equal(option(GN_NBD_OPT_STARTTLS, NULL, 0), GN_NBD_STEP_STARTTLS);
	gn_nbd_handshake_secured(&handshake);
	option(GN_NBD_OPT_STARTTLS, NULL, 0);
	assert_int_equal(answer_type(), GN_NBD_REP_ERR_INVALID);
	assert_int_equal(option(GN_NBD_OPT_EXPORT_NAME, "a", 1), GN_NBD_STEP_GO);
}

static void test_options_end(void **state)
{
	unsigned n = 0;

	greet(false);
	while (option(77, NULL, 0) == GN_NBD_STEP_MORE)
		n++;
	assert_int_equal(n, GN_NBD_OPTIONS_MAX);
}

static void test_skips_long_options(void **state)
{
	static uint8_t data[GN_NBD_OPTION_MAX];

	greet(false);
	assert_int_equal(option(77, NULL, GN_NBD_OPTION_MAX + 10), GN_NBD_STEP_MORE);
	assert_int_equal(gn_nbd_handshake_wants(&handshake), GN_NBD_OPTION_MAX);
	gn_nbd_handshake_take(&handshake, offers, 2, data, &out);
	assert_int_equal(gn_nbd_handshake_wants(&handshake), 10);
	gn_nbd_handshake_take(&handshake, offers, 2, data, &out);
	assert_int_equal(answer_type(), GN_NBD_REP_ERR_TOO_BIG);
}

static void test_block_status_is_of_its_export(void **state)
{
	static const uint8_t query[] = "\0\0\0\1a\0\0\0\1\0\0\0\x0f" GN_NBD_ALLOCATION;

	greet(false);
	option(GN_NBD_OPT_STRUCTURED_REPLY, NULL, 0);
	option(GN_NBD_OPT_SET_META_CONTEXT, query, sizeof query - 1);
	assert_int_equal(answer_type(), GN_NBD_REP_META_CONTEXT);
	assert_true(handshake.allocation);
	option(GN_NBD_OPT_SET_META_CONTEXT, query, 9); /* malformed: also forgets the former */
	assert_false(handshake.allocation);
}

/* ---- requests -------------------------------------------------------------------------- */

static void test_plans(void **state)
{
	static const struct {
		uint16_t command, flags;
		uint64_t offset;
		uint32_t length;
		bool read_only;
		enum gn_nbd_plan_kind kind;
		uint32_t error;
	} cases[] = {
	        {GN_NBD_CMD_READ, 0, 0, 4096, true, GN_NBD_PLAN_READ, 0},
	        {GN_NBD_CMD_READ, GN_NBD_FLAG_DF, 0, 4096, false, GN_NBD_PLAN_READ, 0},
	        {GN_NBD_CMD_READ, GN_NBD_FLAG_DF, 0, 256 << 10, false, GN_NBD_PLAN_READ, 0},
	        {GN_NBD_CMD_READ, GN_NBD_FLAG_DF, 0, 512 << 10, false, GN_NBD_PLAN_ANSWER,
	         GN_NBD_EOVERFLOW},
	        {GN_NBD_CMD_READ, 0, 0, 512 << 10, false, GN_NBD_PLAN_READ, 0},
	        {GN_NBD_CMD_READ, 0, (1 << 20) - 512, 1024, false, GN_NBD_PLAN_ANSWER,
	         GN_NBD_EINVAL},
	        {GN_NBD_CMD_READ, 0, UINT64_MAX - 511, 512, false, GN_NBD_PLAN_ANSWER,
	         GN_NBD_EINVAL},
	        {GN_NBD_CMD_READ, 0, 1, 512, false, GN_NBD_PLAN_ANSWER, GN_NBD_EINVAL},
	        {GN_NBD_CMD_READ, 0, 0, 0, false, GN_NBD_PLAN_ANSWER, 0},
	        {GN_NBD_CMD_READ, GN_NBD_FLAG_NO_HOLE, 0, 512, false, GN_NBD_PLAN_ANSWER,
	         GN_NBD_EINVAL},
	        {GN_NBD_CMD_READ, 0, 0, (32 << 20) + 512, false, GN_NBD_PLAN_ANSWER,
	         GN_NBD_EOVERFLOW},
	        {GN_NBD_CMD_WRITE, GN_NBD_FLAG_FUA, 512, 512, false, GN_NBD_PLAN_WRITE, 0},
	        {GN_NBD_CMD_WRITE, 0, 1 << 20, 512, false, GN_NBD_PLAN_ANSWER, GN_NBD_ENOSPC},
	        {GN_NBD_CMD_WRITE, 0, 0, 512, true, GN_NBD_PLAN_ANSWER, GN_NBD_EPERM},
	        {GN_NBD_CMD_WRITE, 0, 0, (32 << 20) + 512, false, GN_NBD_PLAN_BROKEN, 0},
	        {GN_NBD_CMD_TRIM, 0, 0, 1 << 20, false, GN_NBD_PLAN_TRIM, 0},
	        {GN_NBD_CMD_TRIM, 0, 0, 512, true, GN_NBD_PLAN_ANSWER, GN_NBD_EPERM},
	        {GN_NBD_CMD_WRITE_ZEROES, 0, 0, 512, false, GN_NBD_PLAN_ZEROES_UNMAP, 0},
	        {GN_NBD_CMD_WRITE_ZEROES, GN_NBD_FLAG_NO_HOLE | GN_NBD_FLAG_FAST_ZERO, 0, 512,
	         false, GN_NBD_PLAN_ZEROES, 0},
	        {GN_NBD_CMD_FLUSH, 0, 0, 0, true, GN_NBD_PLAN_FLUSH, 0},
	        {GN_NBD_CMD_CACHE, 0, 0, 512, true, GN_NBD_PLAN_ANSWER, 0},
	        {GN_NBD_CMD_BLOCK_STATUS, GN_NBD_FLAG_REQ_ONE, 0, 512, true, GN_NBD_PLAN_STATUS, 0},
	        {GN_NBD_CMD_BLOCK_STATUS, 0, 0, 0, true, GN_NBD_PLAN_ANSWER, GN_NBD_EINVAL},
	        {GN_NBD_CMD_DISC, 0, 0, 0, true, GN_NBD_PLAN_DISCONNECT, 0},
	        {8, 0, 0, 512, false, GN_NBD_PLAN_ANSWER, GN_NBD_EINVAL},
	        {0xffff, 0, 0, 512, false, GN_NBD_PLAN_ANSWER, GN_NBD_EINVAL},
	};

	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct gn_nbd_limits limits = {.size_bytes = 1 << 20,
		                               .block_bytes = 512,
		                               .chunk_bytes = 256 << 10,
		                               .read_only = cases[i].read_only,
		                               .structured = true,
		                               .allocation = true};
		struct gn_nbd_request request = {.command = cases[i].command,
		                                 .flags = cases[i].flags,
		                                 .offset_bytes = cases[i].offset,
		                                 .length_bytes = cases[i].length};
		struct gn_nbd_plan plan;

		gn_nbd_plan(&limits, &request, &plan);
		if (plan.kind != cases[i].kind || plan.error != cases[i].error)
			fail_msg("case %u: kind %d, error %u", i, (int)plan.kind, plan.error);
	}
}

/* ---- replies ------------------------------------------------------------------------------- */

static void test_replies(void **state)
{
	uint8_t data[64];
	struct gn_nbd_reply reply;

	gn_nbd_put_simple(data, 0, 5);
	gn_nbd_reply_parse(data, 15, true, &reply);
	assert_int_equal(reply.kind, GN_NBD_REPLY_MORE);
	gn_nbd_reply_parse(data, 16, true, &reply);
	assert_int_equal(reply.kind, GN_NBD_REPLY_SIMPLE);
	assert_int_equal(reply.cookie, 5);
	gn_nbd_put64(gn_nbd_put_chunk(data, GN_NBD_CHUNK_DONE, GN_NBD_CHUNK_DATA, 6, 8 + 512),
	             4096);
	gn_nbd_reply_parse(data, 27, true, &reply);
	assert_int_equal(reply.kind, GN_NBD_REPLY_MORE);
	gn_nbd_reply_parse(data, 28, true, &reply);
	assert_int_equal(reply.kind, GN_NBD_REPLY_DATA);
	assert_true(reply.is_last && reply.data_bytes == 512 && reply.offset_bytes == 4096);
	gn_nbd_reply_parse(data, 28, false, &reply); /* was not negotiated */
	assert_int_equal(reply.kind, GN_NBD_REPLY_GARBLED);
	gn_nbd_put_chunk(data, 0, GN_NBD_CHUNK_NONE, 6, 0); /* must be the last */
	gn_nbd_reply_parse(data, 28, true, &reply);
	assert_int_equal(reply.kind, GN_NBD_REPLY_GARBLED);
	gn_nbd_put32(gn_nbd_put_chunk(data, 0, GN_NBD_CHUNK_ERROR, 6, 6), 0); /* no error */
	gn_nbd_reply_parse(data, 28, true, &reply);
	assert_int_equal(reply.kind, GN_NBD_REPLY_GARBLED);
	gn_nbd_put_chunk(data, 0, GN_NBD_CHUNK_STATUS, 6, 12); /* nobody asked */
	gn_nbd_reply_parse(data, 40, true, &reply);
	assert_int_equal(reply.kind, GN_NBD_REPLY_GARBLED);
}

/* ---- addresses ------------------------------------------------------------------------------ */

static void test_uris(void **state)
{
	static const char *const bad[] = {
	        "",
	        "http://x",
	        "nbd://",
	        "nbd://h:0",
	        "nbd://h:65536",
	        "nbd://h:x",
	        "nbd://[::1",
	        "nbd://[::1]x",
	        "nbd+unix:///e",
	        "nbd+unix://h/e?socket=/s",
	        "nbd://h/%",
	        "nbd://h/%00",
	        "nbd://h/%4",
	        "nbd://h?socket=/s",
	        "nbd://h/e?tls=1",
	};
	struct gn_nbd_uri uri;

	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
		if (!gn_nbd_uri_parse(bad[i], &uri))
			fail_msg("'%s' was taken", bad[i]);
	assert_null(gn_nbd_uri_parse("nbds://[fe80::1]:99/a%20b", &uri));
	assert_true(uri.has_tls && uri.port == 99);
	assert_string_equal(uri.host, "fe80::1");
	assert_string_equal(uri.export, "a b");
	assert_null(gn_nbd_uri_parse("nbd://host", &uri));
	assert_true(!uri.has_tls && uri.port == 10809 && !uri.export[0]);
	assert_null(gn_nbd_uri_parse("nbd+unix:///e?socket=/run/x.sock", &uri));
	assert_string_equal(uri.socket, "/run/x.sock");
	assert_string_equal(uri.export, "e");
}

/* ---- pages ---------------------------------------------------------------------------------- */

static void test_arena(void **state)
{
	struct gn_nbd_arena arena = {{0}};

	assert_int_equal(gn_nbd_arena_take(&arena, 1), 0);
	assert_int_equal(gn_nbd_arena_take(&arena, 100), 1);
	assert_int_equal(gn_nbd_arena_take(&arena, 1), 101);
	gn_nbd_arena_give(&arena, 1, 100);
	assert_int_equal(gn_nbd_arena_take(&arena, 101), 102);
	assert_int_equal(gn_nbd_arena_take(&arena, 64), 1);
	assert_int_equal(gn_nbd_arena_take(&arena, GN_NBD_ARENA_PAGES - 203), 203);
	assert_int_equal(gn_nbd_arena_take(&arena, 37), -1);
	assert_int_equal(gn_nbd_arena_take(&arena, 36), 65);
	assert_int_equal(gn_nbd_arena_take(&arena, 1), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_both_ends),
	        cmocka_unit_test(test_server_refuses),
	        cmocka_unit_test(test_tls_is_forced),
	        cmocka_unit_test(test_options_end),
	        cmocka_unit_test(test_skips_long_options),
	        cmocka_unit_test(test_block_status_is_of_its_export),
	        cmocka_unit_test(test_plans),
	        cmocka_unit_test(test_replies),
	        cmocka_unit_test(test_uris),
	        cmocka_unit_test(test_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
