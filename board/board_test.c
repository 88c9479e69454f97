/* board_test.c - every board in the tree loads; every kind of mistake is told. */
#include "board/board.h"
#include "board/explain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const char good[] = "name: t\ncompatible: gnomon,t\nidle: poll\nmain_lcore: 0\n"
                           "workers: [1, 2]\nhugepages: false\nmemory_mib: 128\nmbufs: 8192\n"
                           "uplinks:\n  - name: up0\n    devargs: net_null0\n    vlan: 7\n"
                           "eal_args: [\"--log-level=3\"]\n";

static int load_text(const char *text, struct gn_board **board, struct gn_status *status)
{
	char path[] = "/tmp/gn-board-XXXXXX";
	int fd = mkstemp(path);
	int rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	rc = gn_board_load(path, board, status);
	unlink(path);
	return rc;
}

static void good_board_is_read(void **state)
{
	struct gn_board *board = NULL;
	struct gn_status status = {0};

	assert_int_equal(load_text(good, &board, &status), 0);
	assert_string_equal(board->name, "t");
	assert_int_equal(board->idle, GN_BOARD_POLL);
	assert_int_equal(board->workers_count, 2);
	assert_int_equal(board->workers[1], 2);
	assert_false(board->hugepages);
	assert_int_equal(board->uplinks_count, 1);
	assert_int_equal(board->uplinks[0].vlan, 7);
	assert_string_equal(board->eal_args[0], "--log-level=3");
	gn_board_free(board);
}

static void shipped_boards_load(void **state)
{
	struct gn_board *board = NULL;
	struct gn_status status = {0};

	if (gn_board_load("board/devbox/board.yaml", &board, &status))
		fail_msg("%s", status.message);
	assert_int_equal(board->idle, GN_BOARD_BACKOFF);
	gn_board_free(board);
}

/* Each has a compatible string of its own, and nothing in it contradicts the rest. */
static void shipped_boards_are_sound(void **state)
{
	static const char *const boards[] = {"devbox", "qemu-virt", "bluefield2", "bluefield3"};

	for (size_t i = 0; i < sizeof boards / sizeof boards[0]; i++) {
		struct gn_board *board = NULL;
		struct gn_status status = {0};
		char path[64], text[256] = "";

		snprintf(path, sizeof path, "board/%s/board.yaml", boards[i]);
		if (gn_board_load(path, &board, &status))
			fail_msg("%s", status.message);
		assert_string_equal(board->name, boards[i]);
		assert_memory_equal(board->compatible, "gnomon,", 7);
		assert_string_equal(board->compatible + 7, boards[i]);
		if (gn_board_contradiction(board, 0, text, sizeof text))
			fail_msg("%s: %s", boards[i], text);
		for (unsigned c = 0; c < GN_BOARD_N_CAPABILITIES; c++)
			assert_true(gn_board_explain(board, c)[0]);
		gn_board_free(board);
	}
}

static void contradictions_are_told(void **state)
{
	uint32_t worker = 1;
	struct gn_board board = {.idle = GN_BOARD_POLL,
	                         .workers = &worker,
	                         .workers_count = 1,
	                         .memory_mib = 64,
	                         .mbufs = 100000,
	                         .can = 1u << GN_BOARD_CAN_FLOW_METER | 1u << GN_BOARD_CAN_SLOTS};
	static const char *const says[] = {"representors", "no way to flash", "need 231 MiB",
	                                   "idle: backoff"};
	char text[256];

	for (unsigned i = 0; i < 4; i++) {
		assert_true(gn_board_contradiction(&board, i, text, sizeof text));
		assert_non_null(strstr(text, says[i]));
	}
	assert_false(gn_board_contradiction(&board, 4, text, sizeof text));
	assert_non_null(strstr(gn_board_explain(&board, GN_BOARD_CAN_SLOTS), "give way"));
	board.can = 0;
	assert_non_null(strstr(gn_board_explain(&board, GN_BOARD_CAN_SLOTS), "without a way back"));
}

/* 'from' in the good text becomes 'to'; the message must contain 'says'. */
static const struct {
	const char *from, *to, *says;
} mistakes[] = {
        {"mbufs: 8192", "mbufs: 10", ":8: mbufs is 10; give 1024"},
        {"memory_mib: 128", "memory_mib: 1", ":7: memory_mib is 1; give 64"},
        {"main_lcore: 0", "main_lcore: 1", "workers[0] is 1, which is main_lcore"},
        {"main_lcore: 0", "main_lcore: 900", "main_lcore is 900"},
        {"[1, 2]", "[2, 2]", "workers[1] is 2, which is listed before"},
        {"[1, 2]", "[1, 200]", "workers[1] is 200"},
        {"[1, 2]", "[]", "workers"},
        {"vlan: 7", "vlan: 5000", "uplinks[0].vlan is 5000"},
        {"idle: poll", "idle: doze", "doze"},
        {"mbufs: 8192", "mbuffs: 8192", "mbuffs"},
        {"mbufs: 8192\n", "", "mbufs"},
        {"name: t\n", "name: t\ncapabilities: [slots, wings]\n", "wings"},
        {"name: t\n", "name: t\nflash: smoke\n", "smoke"},
        {"mbufs: 8192", "mbufs: -1", "mbufs"},
        {"name: t\n", "name: [t\n", ""},
};

static void mistakes_are_told(void **state)
{
	for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
		char text[1024];
		const char *at = strstr(good, mistakes[i].from);
		struct gn_board *board = NULL;
		struct gn_status status = {0};

		assert_non_null(at);
		snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, mistakes[i].to,
		         at + strlen(mistakes[i].from));
		assert_true(load_text(text, &board, &status) < 0);
		assert_null(board);
		if (!strstr(status.message, mistakes[i].says) || !status.message[0])
			fail_msg("case %zu: '%s' lacks '%s'", i, status.message, mistakes[i].says);
	}
}

static void missing_file_is_told(void **state)
{
	struct gn_board *board = NULL;
	struct gn_status status = {0};

	assert_true(gn_board_load("/nonexistent/board.yaml", &board, &status) < 0);
	assert_int_equal(status.code, GN_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(good_board_is_read),
	        cmocka_unit_test(shipped_boards_load),
	        cmocka_unit_test(shipped_boards_are_sound),
	        cmocka_unit_test(contradictions_are_told),
	        cmocka_unit_test(mistakes_are_told),
	        cmocka_unit_test(missing_file_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
