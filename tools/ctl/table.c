/* table.c - see table.h. */
#include "tools/ctl/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CELL_MAX 512

struct gn_table {
	const char *const *heads;
	unsigned n_columns;
	char **cells;
	size_t n_cells, capacity;
};

static void *checked(void *memory)
{
	if (!memory) {
		fputs("gnomonctl: out of memory\n", stderr);
		exit(1);
	}
	return memory;
}

struct gn_table *gn_table_create(const char *const *heads)
{
	struct gn_table *table = checked(calloc(1, sizeof *table));

	table->heads = heads;
	while (heads[table->n_columns])
		table->n_columns++;
	return table;
}

void gn_table_add(struct gn_table *table, const char *format, ...)
{
	char text[CELL_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
	if (table->n_cells == table->capacity) {
		table->capacity = table->capacity ? 2 * table->capacity : 64;
		table->cells =
		        checked(realloc(table->cells, table->capacity * sizeof *table->cells));
	}
	table->cells[table->n_cells++] = checked(strdup(text));
}

/* Characters shown, not bytes: UTF-8 continuation bytes do not count. */
static int width_of(const char *text)
{
	int width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void print_cell(const char *text, int width, int is_right, int is_last, int room)
{
	int shown = width_of(text);

	if (is_last && !is_right) {
		printf("%.*s", room > 0 && (int)strlen(text) > room ? room : (int)strlen(text),
		       text);
		return;
	}
	if (is_right)
		printf("%*s%s", width - shown, "", text);
	else
		printf("%s%*s", text, width - shown, "");
	if (!is_last)
		fputs("  ", stdout);
}

static int terminal_width(void)
{
	struct winsize size;

	return isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) ? size.ws_col : 0;
}

static const char *head_of(const struct gn_table *table, unsigned column)
{
	return table->heads[column] + (table->heads[column][0] == '>');
}

static void print_row(const struct gn_table *table, const char *const *cells, const int *widths)
{
	int room = terminal_width();

	for (unsigned c = 0; c < table->n_columns; c++) {
		print_cell(cells[c], widths[c], table->heads[c][0] == '>',
		           c == table->n_columns - 1, room);
		room -= room ? widths[c] + 2 : 0;
		if (room < 0)
			room = 1;
	}
	putchar('\n');
}

void gn_table_print(struct gn_table *table)
{
	const char *heads[GN_TABLE_COLUMNS];
	int widths[GN_TABLE_COLUMNS];
	int dim = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");

	for (unsigned c = 0; c < table->n_columns; c++) {
		heads[c] = head_of(table, c);
		widths[c] = width_of(heads[c]);
		for (size_t i = c; i < table->n_cells; i += table->n_columns)
			if (width_of(table->cells[i]) > widths[c])
				widths[c] = width_of(table->cells[i]);
	}
	fputs(dim ? "\033[2m" : "", stdout);
	print_row(table, heads, widths);
	fputs(dim ? "\033[0m" : "", stdout);
	for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns)
		print_row(table, (const char *const *)table->cells + i, widths);
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
}
