/* uri.c - see uri.h. */
#include "dataplane/nbd/uri.h"

#include <string.h>

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes [from, end) into 'to'. False: too long, or a bad or zero %XX. */
static bool decode(const char *from, const char *end, char *to, size_t size)
{
	size_t n = 0;

	while (from < end) {
		char c = *from++;

		if (c == '%') {
			int high = from < end ? digit_of(from[0]) : -1;
			int low = from + 1 < end ? digit_of(from[1]) : -1;

			if (high < 0 || low < 0 || !(high | low))
				return false;
			c = (char)(high << 4 | low);
			from += 2;
		}
		if (n + 1 >= size)
			return false;
		to[n++] = c;
	}
	to[n] = '\0';
	return true;
}

static bool begins(const char **at, const char *word)
{
	size_t size = strlen(word);

	if (strncmp(*at, word, size) != 0)
		return false;
	*at += size;
	return true;
}

static const char *find(const char *from, const char *end, char c)
{
	while (from < end && *from != c)
		from++;
	return from;
}

static bool parse_port(const char *from, const char *end, uint16_t *out)
{
	uint32_t value = 0;

	if (from == end || end - from > 5)
		return false;
	for (; from < end; from++) {
		if (*from < '0' || *from > '9')
			return false;
		value = value * 10 + (uint32_t)(*from - '0');
	}
	*out = (uint16_t)value;
	return value && value <= UINT16_MAX;
}

static const char *parse_host(const char *from, const char *end, struct gn_nbd_uri *out)
{
	const char *colon;

	if (from < end && *from == '[') {
		const char *close = find(from, end, ']');

		if (close == end || !decode(from + 1, close, out->host, sizeof out->host))
			return "its address in brackets is malformed";
		colon = close + 1;
		if (colon < end && *colon != ':')
			return "its address in brackets is malformed";
	} else {
		colon = find(from, end, ':');
		if (!decode(from, colon, out->host, sizeof out->host))
			return "its host is malformed";
	}
	if (!out->host[0])
		return "it names no host";
	out->port = GN_NBD_DEFAULT_PORT;
	if (colon < end && !parse_port(colon + 1, end, &out->port))
		return "its port is not within 1..65535";
	return NULL;
}

static const char *parse_query(const char *from, const char *end, struct gn_nbd_uri *out)
{
	while (from < end) {
		const char *next = find(from, end, '&');
		const char *value = from;

		if (begins(&value, "socket=") && value <= next) {
			if (!decode(value, next, out->socket, sizeof out->socket))
				return "its socket's path is malformed or too long";
		} else {
			return "only 'socket' is known after the question mark";
		}
		from = next < end ? next + 1 : end;
	}
	return NULL;
}

const char *gn_nbd_uri_parse(const char *text, struct gn_nbd_uri *out)
{
	const char *end = text + strlen(text);
	const char *at = text, *slash, *question, *problem = NULL;

	memset(out, 0, sizeof *out);
	if (begins(&at, "nbds+unix://"))
		out->has_tls = out->is_unix = true;
	else if (begins(&at, "nbd+unix://"))
		out->is_unix = true;
	else if (begins(&at, "nbds://"))
		out->has_tls = true;
	else if (!begins(&at, "nbd://"))
		return "it must begin with nbd://, nbds://, nbd+unix:// or nbds+unix://";
	question = find(at, end, '?');
	slash = find(at, question, '/');
	if (!out->is_unix)
		problem = parse_host(at, slash, out);
	else if (slash != at)
		return "three slashes come after nbd+unix:";
	if (!problem && slash < question &&
	    !decode(slash + 1, question, out->export, sizeof out->export))
		return "its export's name is malformed or longer than 255 bytes";
	if (!problem && question < end)
		problem = parse_query(question + 1, end, out);
	if (!problem && out->is_unix != (out->socket[0] != '\0'))
		return out->is_unix ? "it names no socket (?socket=/path)"
		                    : "a socket goes with nbd+unix://";
	return problem;
}
