/* cmd_board.c - board check: what a board file says its board can do. Asks no card. */
#include "tools/ctl/ctl.h"

#include <stdio.h>

#include "board/explain.h"
#include "tools/ctl/output.h"

static void print_board(const struct gn_board *board)
{
	static const char *const flash[] = {"not flashed", "as a disk image",
	                                    "by a BFB over rshim"};

	gn_output_field("board", "%s, takes images made for '%s', %s", board->name,
	                board->compatible, flash[board->flash]);
	gn_output_field("dataplane", "workers %u, %s; %u MiB%s for %u packet buffers",
	                board->workers_count,
	                board->idle == GN_BOARD_POLL ? "polling" : "asleep when idle",
	                board->memory_mib, board->hugepages ? " of huge pages" : "", board->mbufs);
	for (unsigned i = 0; i < board->uplinks_count; i++)
		gn_output_field("uplink", "%s: %s", board->uplinks[i].name,
		                board->uplinks[i].devargs);
	for (unsigned i = 0; i < GN_BOARD_N_CAPABILITIES; i++)
		gn_output_field(i ? "" : "can", "%s %s: %s", board->can & 1u << i ? "+" : "-",
		                gn_board_capability_name(i), gn_board_explain(board, i));
}

int gn_ctl_board_check(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *path = gn_ctl_word(arguments, "a board.yaml");
	struct gn_board *board;
	struct gn_status status;
	char text[256];
	unsigned n;

	gn_ctl_end(arguments);
	if (gn_board_load(path, &board, &status)) {
		gn_output_error("%s", status.message);
		return GN_CTL_USAGE;
	}
	print_board(board);
	for (n = 0; gn_board_contradiction(board, n, text, sizeof text); n++)
		gn_output_error("%s: %s", path, text);
	gn_board_free(board);
	return n ? GN_CTL_REFUSED : GN_CTL_OK;
}
