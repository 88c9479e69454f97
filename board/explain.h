/* explain.h - what a board can and cannot do, in words, and what does not fit together in its file.
 *
 * Pure. For 'gnomonctl board check'. */
#ifndef GN_BOARD_EXPLAIN_H
#define GN_BOARD_EXPLAIN_H

#include <stddef.h>
#include "board/board.h"

/* "watchdog". */
const char *gn_board_capability_name(enum gn_board_capability capability);
/* What follows from having it, or from not. */
const char *gn_board_explain(const struct gn_board *board, enum gn_board_capability capability);

/* Writes one sentence for the 'n'th contradiction (from 0) of the file; false: there are fewer. */
bool gn_board_contradiction(const struct gn_board *board, unsigned n, char *text, size_t size);

#endif
