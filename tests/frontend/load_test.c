/* load_test.c - what the loads are made of: contents, frames, latencies, command lines. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/frontend/blkmodel.h"
#include "tests/frontend/latency.h"
#include "tests/frontend/netframe.h"
#include "tests/frontend/options.h"

/* ---- blkmodel -------------------------------------------------------------------- */

static void model_tells_contents_apart(void **state)
{
	struct gn_blkmodel m;
	uint64_t first[64], second[64], other[64];
	const uint64_t zero[64] = {0};

	assert_int_equal(gn_blkmodel_init(&m, 4, 512, 9), 0);
	assert_true(gn_blkmodel_matches(&m, 0, zero)); /* unknown: anything goes */
	gn_blkmodel_fill_next(&m, 0, first);
	gn_blkmodel_set(&m, 0, GN_BLKMODEL_WRITTEN);
	assert_true(gn_blkmodel_matches(&m, 0, first));
	gn_blkmodel_fill_next(&m, 1, other);
	gn_blkmodel_set(&m, 1, GN_BLKMODEL_WRITTEN);
	assert_false(gn_blkmodel_matches(&m, 0, other)); /* misplaced */
	gn_blkmodel_fill_next(&m, 0, second);
	assert_false(gn_blkmodel_matches(&m, 0, first)); /* stale */
	memcpy(second + 32, first + 32, 256);
	assert_false(gn_blkmodel_matches(&m, 0, second)); /* torn */
	assert_false(gn_blkmodel_matches(&m, 0, zero));
	gn_blkmodel_set(&m, 0, GN_BLKMODEL_ZERO);
	assert_true(gn_blkmodel_matches(&m, 0, zero));
	assert_false(gn_blkmodel_matches(&m, 0, first));
	gn_blkmodel_fini(&m);
}

static void model_locks_blocks(void **state)
{
	struct gn_blkmodel m;

	assert_int_equal(gn_blkmodel_init(&m, 2, 512, 1), 0);
	assert_true(gn_blkmodel_lock(&m, 1));
	assert_false(gn_blkmodel_lock(&m, 1));
	assert_true(gn_blkmodel_lock(&m, 0));
	gn_blkmodel_unlock(&m, 1);
	assert_true(gn_blkmodel_lock(&m, 1));
	gn_blkmodel_fini(&m);
	assert_int_equal(gn_blkmodel_init(&m, 0, 512, 1), -EINVAL);
	assert_int_equal(gn_blkmodel_init(&m, 1, 500, 1), -EINVAL);
}

/* ---- netframe --------------------------------------------------------------------- */

static const struct gn_netframe frames[] = {
        {1, 2, 0, 0, 0, 60},   {1, 2, 7, 123456789012ull, 0, 61}, {40000, 3, 4095, 1, 0, 1514},
        {5, 6, 1, 2, 100, 64}, {5, 6, 1, 3, 4094, 1518},          {9, 8, 2, 4, 0, 9018},
};

static void frames_come_back_as_they_were(void **state)
{
	uint8_t bytes[GN_NETFRAME_MAX];
	struct gn_netframe out;

	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		gn_netframe_build(&frames[i], bytes);
		assert_int_equal(gn_netframe_parse(bytes, frames[i].size_bytes, false, &out),
		                 GN_NETFRAME_DATA);
		assert_int_equal(out.source, frames[i].source);
		assert_int_equal(out.destination, frames[i].destination);
		assert_int_equal(out.flow, frames[i].flow);
		assert_int_equal(out.sequence, frames[i].sequence);
		assert_int_equal(out.vlan, frames[i].vlan);
		assert_int_equal(out.size_bytes, frames[i].size_bytes);
	}
}

static void every_changed_bit_is_noticed(void **state)
{
	uint8_t bytes[64];
	struct gn_netframe out;

	for (unsigned bit = 0; bit < 60 * 8; bit++) {
		gn_netframe_build(&frames[0], bytes);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		/* A changed number makes another frame, whose checksums then are wrong. */
		assert_int_not_equal(gn_netframe_parse(bytes, 60, false, &out), GN_NETFRAME_DATA);
	}
}

static void frames_cut_at_every_byte(void **state)
{
	struct gn_netframe out;

	for (uint32_t size = 0; size < 64; size++) {
		uint8_t *exact = malloc(size ? size : 1); /* so that a read past it is seen */
		uint8_t bytes[64];

		gn_netframe_build(&frames[3], bytes);
		memcpy(exact, bytes, size);
		assert_int_not_equal(gn_netframe_parse(exact, size, false, &out), GN_NETFRAME_DATA);
		assert_int_equal(gn_netframe_parse(exact, size, true, &out) == GN_NETFRAME_DATA,
		                 size >= 62);
		free(exact);
	}
}

static void announcements_name_their_station(void **state)
{
	uint8_t bytes[64];
	struct gn_netframe out;

	for (uint16_t vlan = 0; vlan < 200; vlan += 100) {
		uint16_t size = gn_netframe_announce(77, vlan, bytes);

		assert_int_equal(gn_netframe_parse(bytes, size, false, &out), GN_NETFRAME_ANNOUNCE);
		assert_int_equal(out.source, 77);
		assert_int_equal(bytes[0], 0xff);
	}
}

/* ---- latency ---------------------------------------------------------------------- */

static void quantiles_are_close(void **state)
{
	struct gn_latency *l = calloc(1, sizeof(*l));

	assert_int_equal(gn_latency_quantile(l, 500), 0);
	for (uint64_t ns = 1; ns <= 100000; ns++)
		gn_latency_add(l, ns);
	assert_in_range(gn_latency_quantile(l, 500), 50000, 50800);
	assert_in_range(gn_latency_quantile(l, 990), 99000, 100000);
	assert_int_equal(gn_latency_quantile(l, 1000), 100000);
	assert_in_range(gn_latency_quantile(l, 0), 1, 2);
	gn_latency_add(l, UINT64_MAX);
	assert_int_equal(gn_latency_quantile(l, 1000) > 100000, true);
	free(l);
}

static void small_values_are_exact(void **state)
{
	for (uint64_t ns = 0; ns < 200; ns++) {
		struct gn_latency *l = calloc(1, sizeof(*l));

		gn_latency_add(l, ns);
		assert_int_equal(gn_latency_quantile(l, 500), ns);
		free(l);
	}
}

/* ---- options ------------------------------------------------------------------------ */

struct target {
	bool flag;
	uint16_t small;
	uint32_t number;
	uint64_t us;
	const char *text;
	const char *texts[2];
	unsigned n_texts;
};

#define AT(f) offsetof(struct target, f)

static const struct gn_option table[] = {{"flag", GN_OPTION_FLAG, AT(flag), "", 0, 0},
                                         {"small", GN_OPTION_U16, AT(small), "", 0, 0},
                                         {"number", GN_OPTION_U32, AT(number), "", 0, 0},
                                         {"time", GN_OPTION_SECONDS, AT(us), "", 0, 0},
                                         {"text", GN_OPTION_TEXT, AT(text), "", 0, 0},
                                         {"texts", GN_OPTION_TEXTS, AT(texts), "", AT(n_texts), 2},
                                         {NULL, GN_OPTION_FLAG, 0, NULL, 0, 0}};

static int parse(struct target *t, const char *a, const char *b)
{
	char *argv[] = {(char *)"p", (char *)a, (char *)b, NULL};

	return gn_options_parse(table, "", b ? 3 : 2, argv, t);
}

static void options_fill_the_target(void **state)
{
	struct target t = {0};

	assert_int_equal(parse(&t, "--flag", NULL), 0);
	assert_int_equal(parse(&t, "--small", "65535"), 0);
	assert_int_equal(parse(&t, "--number", "0x10"), 0);
	assert_int_equal(parse(&t, "--time", "1.5"), 0);
	assert_int_equal(parse(&t, "--text", "x"), 0);
	assert_int_equal(parse(&t, "--texts", "y"), 0);
	assert_int_equal(parse(&t, "--texts", "z"), 0);
	assert_true(t.flag && t.small == 65535 && t.number == 16 && t.us == 1500000);
	assert_string_equal(t.text, "x");
	assert_string_equal(t.texts[1], "z");
}

static void options_refuse_nonsense(void **state)
{
	struct target t = {.n_texts = 2};

	assert_int_equal(parse(&t, "--none", NULL), -EINVAL);
	assert_int_equal(parse(&t, "flag", NULL), -EINVAL);
	assert_int_equal(parse(&t, "--small", NULL), -EINVAL);
	assert_int_equal(parse(&t, "--small", "65536"), -EINVAL);
	assert_int_equal(parse(&t, "--number", "-1"), -EINVAL);
	assert_int_equal(parse(&t, "--number", "1x"), -EINVAL);
	assert_int_equal(parse(&t, "--time", "soon"), -EINVAL);
	assert_int_equal(parse(&t, "--texts", "third"), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(model_tells_contents_apart),
	        cmocka_unit_test(model_locks_blocks),
	        cmocka_unit_test(frames_come_back_as_they_were),
	        cmocka_unit_test(every_changed_bit_is_noticed),
	        cmocka_unit_test(frames_cut_at_every_byte),
	        cmocka_unit_test(announcements_name_their_station),
	        cmocka_unit_test(quantiles_are_close),
	        cmocka_unit_test(small_values_are_exact),
	        cmocka_unit_test(options_fill_the_target),
	        cmocka_unit_test(options_refuse_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
