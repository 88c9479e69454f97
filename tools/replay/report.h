/* report.h - what a replayed policy did, as a table and as a page with charts. */
#ifndef GN_REPLAY_REPORT_H
#define GN_REPLAY_REPORT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct gn_replay_point {
	int64_t value; /* GN_TRACE_MISSING: none */
	int64_t allocated;
};

struct gn_replay_row {
	const char *name;
	int64_t scale;
	size_t n, n_violated, n_changes;
	double allocated, used; /* sums over the samples, times scale */
	double fixed;           /* the allocation it began with, times scale */
	struct gn_replay_point *points;
	size_t n_points;
};

void gn_replay_report_text(FILE *out, const struct gn_replay_row *rows, size_t n);

/* One self-contained file: no script, nothing fetched. 0 or a negative errno after a message. */
int gn_replay_report_html(const char *path, const struct gn_replay_row *rows, size_t n,
                          uint64_t interval_us);

#endif
