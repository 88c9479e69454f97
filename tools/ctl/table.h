/* table.h - rows of aligned columns. Columns are two blanks apart; on a terminal the last one
 * is wrapped at its width, in a pipe nothing is. Heads are dimmed on a terminal. Cells are
 * cleaned as output.h says. Owner: one thread. */
#ifndef GN_CTL_TABLE_H
#define GN_CTL_TABLE_H

#include <stdio.h>

#define GN_TABLE_COLUMNS 12

struct gn_table;

/* 'heads' ends with NULL, is kept, and has at most GN_TABLE_COLUMNS; one that begins with '>'
 * is a right-aligned column. */
struct gn_table *gn_table_create(const char *const *heads);
/* One cell after another, row by row; the text is copied. */
void gn_table_add(struct gn_table *table, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
/* Prints to standard output and frees. */
void gn_table_print(struct gn_table *table);
/* Prints to 'out' as into a pipe, and frees. */
void gn_table_write(struct gn_table *table, FILE *out);

#endif
