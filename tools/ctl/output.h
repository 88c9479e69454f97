/* output.h - text for people on standard output. What guests and peers named may hold
 * anything, so control characters (also the 8-bit ones) are replaced by '?' on the way.
 * On a terminal long text is wrapped at its width; in a pipe lines are never broken.
 * Owner: one thread. */
#ifndef GN_CTL_OUTPUT_H
#define GN_CTL_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

/* Columns of the terminal; 0: standard output is none, or does not know. */
int gn_output_width(void);
/* Whether heads may be dimmed: a terminal, not TERM=dumb, NO_COLOR empty or not set. */
bool gn_output_has_colour(void);

/* In place; the text keeps its length. */
void gn_output_clean(char *text);
/* Characters, not bytes: UTF-8 continuation bytes do not count. */
int gn_output_columns(const char *text);
/* How many bytes of the text fill at most 'columns', at a character's border. */
int gn_output_cut(const char *text, int columns);

/* The text from column 'indent' on, broken at blanks (only) where it would pass 'width' (0: never);
 * what follows is indented likewise. No newline at the end. */
void gn_output_wrap(const char *text, int indent, int width, FILE *out);

/* "label       text", with a newline. An empty label continues the one before. */
void gn_output_field(const char *label, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
/* A line of its own, cleaned and wrapped. */
void gn_output_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "gnomonctl: text" on standard error. */
void gn_output_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* malloc and friends: ends the program when there is no memory. */
void *gn_output_checked(void *memory);

#endif
