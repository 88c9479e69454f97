/* trace.h - reads series from CSV files (plain or gzip) in the traces' format.
 *
 * Lines that start with '#' are comments, of which '# interval_s: N' sets the grid (down to
 * thousandths: 0.1); then a header 'series,t,<columns>', then one line per sample, 't' in seconds
 * on the grid. An empty
 * cell is a missing sample, as is a skipped line. Owner: the caller; not thread-safe. */
#ifndef GN_REPLAY_TRACE_H
#define GN_REPLAY_TRACE_H

#include <stddef.h>
#include <stdint.h>

#define GN_TRACE_MISSING INT64_MIN

/* One column of one series. Values are integers: the file's numbers times 'scale'. */
struct gn_trace_row {
	char *name;      /* group/series/column */
	int64_t *values; /* GN_TRACE_MISSING where there is none */
	size_t n;
	int64_t scale; /* a power of ten, the same for the whole column of a file */
};

struct gn_trace {
	uint64_t interval_us;
	struct gn_trace_row *rows;
	size_t n_rows;
};

/* Reads a file. Returns 0, or a negative errno after writing one line to 'error'. */
int gn_trace_read(const char *path, struct gn_trace *trace, char *error, size_t error_size);
void gn_trace_free(struct gn_trace *trace);

/* Reads a decimal number ("12", "-0.5", "1e6") as value * scale, rounded to nearest.
 * Returns 0, or -EINVAL. */
int gn_trace_number(const char *text, int64_t scale, int64_t *value);

#endif
