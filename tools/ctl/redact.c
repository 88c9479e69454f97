/* redact.c - see redact.h. */
#include "tools/ctl/redact.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Line breaks stay, also the two characters of JSON's. */
static void blot(char *from, const char *to)
{
	for (; from < to; from++) {
		if (from[0] == '\\' && from + 1 < to && from[1] == 'n')
			from++;
		else if (*from != '\n')
			*from = '*';
	}
}

static unsigned redact_keys(char *text)
{
	static const char mark[] = "PRIVATE KEY-----";
	unsigned n = 0;

	for (char *at = strstr(text, mark); at; at = strstr(at, mark)) {
		char *from = at + sizeof mark - 1, *to = strstr(from, "-----END");

		/* A key that is cut off is a key. */
		to = to ? to : from + strlen(from);
		blot(from, to);
		n++;
		at = strstr(to, mark);
		at = at ? at + sizeof mark - 1 : to + strlen(to);
	}
	return n;
}

static unsigned redact_urls(char *text)
{
	unsigned n = 0;

	for (char *at = strstr(text, "://"); at; at = strstr(at + 3, "://")) {
		char *host = at + 3, *end = host + strcspn(host, "/?# \t\n\"'<>");
		char *last = NULL;

		for (char *c = host; c < end; c++)
			if (*c == '@')
				last = c;
		if (last) {
			blot(host, last);
			n++;
		}
	}
	return n;
}

/* Where the value begins, after the name's end: quotes and blanks round one ':' or '='. */
static char *value_after(char *at)
{
	at += strspn(at, "\\\"' ");
	if (*at != ':' && *at != '=')
		return NULL;
	at++;
	return at + strspn(at, "\\\"' ");
}

static unsigned redact_named(char *text, const char *name)
{
	size_t length = strlen(name);
	unsigned n = 0;

	for (char *at = strcasestr(text, name); at; at = strcasestr(at + length, name)) {
		char *value = value_after(at + length), *end;

		if (!value)
			continue;
		end = value + strcspn(value, "\\\"' ,;}\n");
		if (value + strspn(value, "0123456789") < end) {
			blot(value, end);
			n++;
		}
	}
	return n;
}

unsigned gn_redact(char *text)
{
	static const char *const names[] = {"password", "passwd", "secret", "token", "api_key"};
	unsigned n = redact_keys(text) + redact_urls(text);

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		n += redact_named(text, names[i]);
	return n;
}
