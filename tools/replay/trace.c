/* trace.c - see trace.h. A file is read in two passes: the first finds the series, their
 * lengths and the columns' largest values, the second fills them in. */
#include "tools/replay/trace.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "firmware/predict/predict.h"

#define LINE_SIZE       65536
#define COLUMNS_MAX     64
#define FIELDS_MAX      (COLUMNS_MAX + 3) /* one more than is allowed, to notice */
#define LENGTH_MAX      50000000u
#define INTERVAL_MAX_MS 3600000

struct reader {
	gzFile file;
	char *line;
	size_t number;
	char *fields[FIELDS_MAX];
	size_t n_fields;
};

struct series {
	char *name;
	size_t n;
	int64_t first_t;
};

struct pass {
	const char *path;
	char group[128];
	char *columns[COLUMNS_MAX];
	size_t n_columns;
	double largest[COLUMNS_MAX];
	struct series *series;
	size_t n_series;
	uint64_t interval_ms;
	char *error;
	size_t error_size;
};

static int fail(struct pass *pass, size_t line, const char *what, const char *text)
{
	snprintf(pass->error, pass->error_size, "%s, line %zu: %s: '%s'", pass->path, line, what,
	         text);
	return -EINVAL;
}

int gn_trace_number(const char *text, int64_t scale, int64_t *value)
{
	char *end;
	double number = strtod(text, &end);

	while (*end == ' ')
		end++;
	if (end == text || *end || !isfinite(number) || fabs(number) * (double)scale > 9e18)
		return -EINVAL;
	*value = (int64_t)llround(number * (double)scale);
	return 0;
}

static void read_interval(const char *comment, uint64_t *interval_ms)
{
	int64_t value;

	if (strncmp(comment, "# interval_s:", 13) == 0 &&
	    gn_trace_number(comment + 13, 1000, &value) == 0 && value > 0)
		*interval_ms = (uint64_t)value;
}

/* One line into fields; false at the end of the file. Comments go to 'interval_ms'. */
static bool next_line(struct reader *reader, uint64_t *interval_ms)
{
	while (gzgets(reader->file, reader->line, LINE_SIZE)) {
		char *at = reader->line;

		reader->number++;
		at[strcspn(at, "\r\n")] = 0;
		if (*at == '#') {
			read_interval(at, interval_ms);
			continue;
		}
		if (!*at)
			continue;
		reader->n_fields = 0;
		while (at && reader->n_fields < FIELDS_MAX)
			reader->fields[reader->n_fields++] = strsep(&at, ",");
		return true;
	}
	return false;
}

static int read_header(struct pass *pass, struct reader *reader)
{
	if (!next_line(reader, &pass->interval_ms) || reader->n_fields < 3)
		return fail(pass, reader->number, "expected the header 'series,t,<columns>', found",
		            reader->n_fields ? reader->fields[0] : "");
	if (reader->n_fields == FIELDS_MAX)
		return fail(pass, reader->number, "more than 64 columns; the last is",
		            reader->fields[FIELDS_MAX - 1]);
	if (pass->n_columns)
		return 0;
	for (size_t i = 2; i < reader->n_fields; i++)
		pass->columns[pass->n_columns++] = strdup(reader->fields[i]);
	return 0;
}

static struct series *find_series(struct pass *pass, const char *name, bool add)
{
	struct series *grown;

	if (pass->n_series && strcmp(pass->series[pass->n_series - 1].name, name) == 0)
		return &pass->series[pass->n_series - 1];
	for (size_t i = 0; i < pass->n_series; i++)
		if (strcmp(pass->series[i].name, name) == 0)
			return &pass->series[i];
	if (!add)
		return NULL;
	grown = realloc(pass->series, (pass->n_series + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	pass->series = grown;
	grown[pass->n_series] = (struct series){.name = strdup(name), .first_t = -1};
	return &grown[pass->n_series++];
}

/* The line's place on the series' grid. */
static int place(struct pass *pass, struct reader *reader, struct series *series, size_t *index)
{
	int64_t t;

	if (gn_trace_number(reader->fields[1], 1000, &t) != 0)
		return fail(pass, reader->number, "expected a time in seconds, found",
		            reader->fields[1]);
	if (series->first_t < 0)
		series->first_t = t;
	if (t < series->first_t ||
	    (uint64_t)(t - series->first_t) / pass->interval_ms >= LENGTH_MAX)
		return fail(pass, reader->number, "time goes back or too far ahead",
		            reader->fields[1]);
	*index = (size_t)((uint64_t)(t - series->first_t) / pass->interval_ms);
	return 0;
}

static int measure(struct pass *pass, struct reader *reader)
{
	while (next_line(reader, &pass->interval_ms)) {
		struct series *series = find_series(pass, reader->fields[0], true);
		size_t index;
		int status;

		if (!series)
			return -ENOMEM;
		if (reader->n_fields != pass->n_columns + 2)
			return fail(pass, reader->number,
			            "wrong number of fields in line of series", reader->fields[0]);
		if (pass->interval_ms == 0 || pass->interval_ms > INTERVAL_MAX_MS)
			return fail(pass, reader->number,
			            "no '# interval_s: N' line with N of 0.1 to 3600 before series",
			            reader->fields[0]);
		status = place(pass, reader, series, &index);
		if (status != 0)
			return status;
		if (index + 1 > series->n)
			series->n = index + 1;
		for (size_t c = 0; c < pass->n_columns; c++) {
			double value = strtod(reader->fields[c + 2], NULL);

			if (value > pass->largest[c])
				pass->largest[c] = value;
		}
	}
	return 0;
}

static int64_t scale_of(double largest)
{
	int64_t scale = 1000000;

	while (scale > 1 && largest * (double)scale > (double)(GN_PREDICT_MAX / 4))
		scale /= 10;
	return scale;
}

static int make_rows(struct pass *pass, struct gn_trace *trace)
{
	trace->interval_us = pass->interval_ms * 1000;
	trace->n_rows = pass->n_series * pass->n_columns;
	trace->rows = calloc(trace->n_rows ? trace->n_rows : 1, sizeof(*trace->rows));
	if (!trace->rows)
		return -ENOMEM;
	for (size_t s = 0; s < pass->n_series; s++) {
		for (size_t c = 0; c < pass->n_columns; c++) {
			struct gn_trace_row *row = &trace->rows[s * pass->n_columns + c];

			row->n = pass->series[s].n;
			row->scale = scale_of(pass->largest[c]);
			row->values = malloc((row->n ? row->n : 1) * sizeof(*row->values));
			if (asprintf(&row->name, "%s/%s/%s", pass->group, pass->series[s].name,
			             pass->columns[c]) < 0 ||
			    !row->values)
				return -ENOMEM;
			for (size_t i = 0; i < row->n; i++)
				row->values[i] = GN_TRACE_MISSING;
		}
	}
	return 0;
}

static int fill(struct pass *pass, struct reader *reader, struct gn_trace *trace)
{
	while (next_line(reader, &pass->interval_ms)) {
		struct series *series = find_series(pass, reader->fields[0], false);
		struct gn_trace_row *row;
		size_t index;
		int status;

		if (!series)
			return fail(pass, reader->number, "the file changed while it was read",
			            reader->fields[0]);
		status = place(pass, reader, series, &index);
		if (status != 0 || index >= series->n)
			return status ? status : -EINVAL;
		row = &trace->rows[(size_t)(series - pass->series) * pass->n_columns];
		for (size_t c = 0; c < pass->n_columns; c++, row++) {
			const char *text = reader->fields[c + 2];

			if (*text && row->values[index] != GN_TRACE_MISSING)
				return fail(pass, reader->number, "a second value for time",
				            reader->fields[1]);
			if (*text && gn_trace_number(text, row->scale, &row->values[index]) != 0)
				return fail(pass, reader->number, "expected a number, found", text);
		}
	}
	return 0;
}

/* A file that was cut off or damaged ends like a whole one, but for what zlib says. */
static int check_end(struct pass *pass, struct reader *reader)
{
	int error = Z_OK;
	const char *text = gzerror(reader->file, &error);

	return error == Z_OK || error == Z_STREAM_END
	               ? 0
	               : fail(pass, reader->number + 1, "the file is damaged or cut off", text);
}

static int run_pass(struct pass *pass, struct gn_trace *trace)
{
	struct reader reader = {.file = gzopen(pass->path, "rb"), .line = malloc(LINE_SIZE)};
	int status;

	if (!reader.file || !reader.line) {
		status = errno ? -errno : -EIO;
		snprintf(pass->error, pass->error_size, "cannot read %s: %s", pass->path,
		         strerror(-status));
	} else {
		status = read_header(pass, &reader);
		if (status == 0)
			status = trace->rows ? fill(pass, &reader, trace) : measure(pass, &reader);
		if (status == 0)
			status = check_end(pass, &reader);
	}
	if (reader.file)
		gzclose(reader.file);
	free(reader.line);
	return status;
}

static void free_pass(struct pass *pass)
{
	for (size_t i = 0; i < pass->n_series; i++)
		free(pass->series[i].name);
	for (size_t i = 0; i < pass->n_columns; i++)
		free(pass->columns[i]);
	free(pass->series);
}

int gn_trace_read(const char *path, struct gn_trace *trace, char *error, size_t error_size)
{
	struct pass pass = {.path = path, .error = error, .error_size = error_size};
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	int status;

	*trace = (struct gn_trace){0};
	error[0] = 0;
	snprintf(pass.group, sizeof(pass.group), "%.*s", (int)strcspn(base, "."), base);
	status = run_pass(&pass, trace);
	if (status == 0)
		status = make_rows(&pass, trace);
	if (status == 0)
		status = run_pass(&pass, trace);
	free_pass(&pass);
	if (status != 0) {
		if (!error[0])
			snprintf(error, error_size, "%s: %s", path, strerror(-status));
		gn_trace_free(trace);
	}
	return status;
}

void gn_trace_free(struct gn_trace *trace)
{
	for (size_t i = 0; i < trace->n_rows; i++) {
		free(trace->rows[i].name);
		free(trace->rows[i].values);
	}
	free(trace->rows);
	*trace = (struct gn_trace){0};
}
