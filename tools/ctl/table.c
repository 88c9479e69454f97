/* table.c - see table.h. */
#include "tools/ctl/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include "tools/ctl/output.h"

struct gn_table {
	const char *const *heads;
	unsigned n_columns;
	char **cells;
	size_t n_cells, capacity;
};

/* How a table is laid out, computed when it is printed. */
struct layout {
	int widths[GN_TABLE_COLUMNS];
	int screen; /* columns; 0: no limit */
	FILE *out;
};

struct gn_table *gn_table_create(const char *const *heads)
{
	struct gn_table *table = gn_output_checked(calloc(1, sizeof *table));

	table->heads = heads;
	while (heads[table->n_columns])
		table->n_columns++;
	assert(table->n_columns <= GN_TABLE_COLUMNS);
	return table;
}

void gn_table_add(struct gn_table *table, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	gn_output_clean(gn_output_checked(text));
	if (table->n_cells == table->capacity) {
		table->capacity = table->capacity ? 2 * table->capacity : 64;
		table->cells = gn_output_checked(
		        realloc(table->cells, table->capacity * sizeof *table->cells));
	}
	table->cells[table->n_cells++] = text;
}

static bool is_right(const struct gn_table *table, unsigned column)
{
	return table->heads[column][0] == '>';
}

static void print_row(const struct gn_table *table, const char *const *cells,
                      const struct layout *l)
{
	unsigned n = table->n_columns;
	int at = 0;

	while (n > 1 && !cells[n - 1][0]) /* no blanks at the end of a line */
		n--;
	for (unsigned c = 0; c < n; c++) {
		int blanks = l->widths[c] - gn_output_columns(cells[c]);
		bool is_last = c + 1 == n;

		if (is_right(table, c))
			fprintf(l->out, "%*s%s", blanks, "", cells[c]);
		else if (c + 1 == table->n_columns)
			gn_output_wrap(cells[c], at, l->screen, l->out);
		else
			fprintf(l->out, "%s%*s", cells[c], is_last ? 0 : blanks, "");
		if (!is_last)
			fputs("  ", l->out);
		at += l->widths[c] + 2;
	}
	fputc('\n', l->out);
}

static void print(const struct gn_table *table, struct layout *l, bool dims)
{
	const char *heads[GN_TABLE_COLUMNS];

	for (unsigned c = 0; c < table->n_columns; c++) {
		heads[c] = table->heads[c] + is_right(table, c);
		l->widths[c] = gn_output_columns(heads[c]);
		for (size_t i = c; i < table->n_cells; i += table->n_columns) {
			int width = gn_output_columns(table->cells[i]);

			if (width > l->widths[c])
				l->widths[c] = width;
		}
	}
	fputs(dims ? "\033[2m" : "", l->out);
	print_row(table, heads, l);
	fputs(dims ? "\033[0m" : "", l->out);
	for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns)
		print_row(table, (const char *const *)table->cells + i, l);
}

static void destroy(struct gn_table *table)
{
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
}

void gn_table_print(struct gn_table *table)
{
	struct layout layout = {.screen = gn_output_width(), .out = stdout};

	print(table, &layout, gn_output_has_colour());
	destroy(table);
}

void gn_table_write(struct gn_table *table, FILE *out)
{
	struct layout layout = {.out = out};

	print(table, &layout, false);
	destroy(table);
}
