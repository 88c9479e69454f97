/* table.h - rows of aligned columns on standard output. Columns are two blanks apart; the
 * last one is cut at the terminal's width (never in a pipe). Heads are dimmed on a terminal
 * unless NO_COLOR is set. Owner: one thread. */
#ifndef GN_CTL_TABLE_H
#define GN_CTL_TABLE_H

#define GN_TABLE_COLUMNS 10

struct gn_table;

/* 'heads' ends with NULL; a head that begins with '>' is a right-aligned column. */
struct gn_table *gn_table_create(const char *const *heads);
/* One cell after another, row by row; the text is copied. What a guest or peer named is
 * printed with control characters replaced. */
void gn_table_add(struct gn_table *table, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
/* Prints and frees. */
void gn_table_print(struct gn_table *table);

#endif
