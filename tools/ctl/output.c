/* output.c - see output.h. */
#include "tools/ctl/output.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FIELD_INDENT 12
#define NARROWEST    16 /* columns left for wrapped text; with less it is not wrapped */

int gn_output_width(void)
{
	struct winsize size;

	return isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) ? size.ws_col : 0;
}

bool gn_output_has_colour(void)
{
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(none && none[0]) && !(term && !strcmp(term, "dumb"));
}

void *gn_output_checked(void *memory)
{
	if (!memory) {
		fputs("gnomonctl: out of memory\n", stderr);
		exit(1);
	}
	return memory;
}

/* ---- characters ---------------------------------------------------------------------- */

static bool continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

void gn_output_clean(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		if (*c < ' ' || *c == 127)
			*c = '?';
		else if (*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f) /* U+0080 to U+009F */
			c[0] = c[1] = '?';
	}
}

int gn_output_columns(const char *text)
{
	int columns = 0;

	for (; *text; text++)
		columns += !continues(*text);
	return columns;
}

int gn_output_cut(const char *text, int columns)
{
	int i = 0;

	for (; text[i]; i++)
		if (!continues(text[i]) && columns-- <= 0)
			break;
	return i;
}

/* ---- wrapping ------------------------------------------------------------------------ */

/* Bytes of the first line of 'text' when it may have 'columns'. A word that is longer stays
 * whole (a path must be copied whole): the terminal may break it. */
static int line_of(const char *text, int columns)
{
	int cut = gn_output_cut(text, columns), at = cut;

	if (!text[cut])
		return cut;
	while (at > 0 && text[at] != ' ')
		at--;
	while (at > 0 && text[at - 1] == ' ')
		at--;
	return at || text[0] == ' ' ? at : (int)strcspn(text, " ");
}

void gn_output_wrap(const char *text, int indent, int width, FILE *out)
{
	int columns = width - indent;

	if (!width || columns < NARROWEST) {
		fputs(text, out);
		return;
	}
	for (;;) {
		int n = line_of(text, columns);

		fwrite(text, 1, (size_t)n, out);
		text += n;
		while (*text == ' ')
			text++;
		if (!*text)
			return;
		fprintf(out, "\n%*s", indent, "");
	}
}

/* ---- lines --------------------------------------------------------------------------- */

static char *format_clean(const char *format, va_list args)
{
	char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	gn_output_clean(gn_output_checked(text));
	return text;
}

void gn_output_field(const char *label, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = format_clean(format, args);
	va_end(args);
	printf("%-*s", FIELD_INDENT, label);
	gn_output_wrap(text, FIELD_INDENT, gn_output_width(), stdout);
	putchar('\n');
	free(text);
}

void gn_output_line(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = format_clean(format, args);
	va_end(args);
	gn_output_wrap(text, 0, gn_output_width(), stdout);
	putchar('\n');
	free(text);
}

void gn_output_error(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = format_clean(format, args);
	va_end(args);
	fprintf(stderr, "gnomonctl: %s\n", text);
	free(text);
}
