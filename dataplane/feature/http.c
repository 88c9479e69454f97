/* http.c - see http.h. The streams' states follow the message grammar of RFC 9112; what
 * ends a body is decided by its section 6.3. */
#include "dataplane/feature/http.h"

#include <string.h>
#include "dataplane/feature/feature.h"

/* First bytes of a line, without its end. 'cut': there were more. */
struct line {
	const uint8_t *text;
	uint32_t n;
	bool cut;
};

static bool is_upper(uint8_t c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* Does the line start with 'lower' (lower case), whatever its own case? */
static bool starts_with(const struct line *line, const char *lower, uint32_t n)
{
	if (line->n < n)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if ((line->text[i] | (is_upper(line->text[i]) ? 0x20 : 0)) != lower[i])
			return false;
	return true;
}

enum gn_http_guess gn_http_guess(const uint8_t *bytes, uint32_t n)
{
	static const char version[] = "HTTP/1.";
	enum { VERSION_BYTES = 7, MIN_METHOD = 3, MAX_METHOD = 16 };
	uint32_t i = 0;

	if (!memcmp(bytes, version, n < VERSION_BYTES ? n : VERSION_BYTES))
		return n < VERSION_BYTES ? GN_HTTP_NEED_MORE : GN_HTTP_RESPONSE;
	while (i < n && i < MAX_METHOD && (is_upper(bytes[i]) || (i && bytes[i] == '-')))
		i++;
	if (i == n)
		return i < MAX_METHOD ? GN_HTTP_NEED_MORE : GN_HTTP_NOTHING;
	return i >= MIN_METHOD && bytes[i] == ' ' ? GN_HTTP_REQUEST : GN_HTTP_NOTHING;
}

/* ---- requests that wait for their response ----------------------------------- */

static void forget_pending(struct gn_http *http)
{
	http->first_pending = 0;
	http->n_pending = 0;
	http->overflowed = 0;
}

static void push_pending(struct gn_http *http, uint32_t at_us, enum gn_http_request_kind kind)
{
	uint8_t place = (http->first_pending + http->n_pending) % GN_HTTP_MAX_PENDING;

	if (http->n_pending == UINT8_MAX) {
		forget_pending(http);
		return;
	}
	if (http->n_pending >= GN_HTTP_MAX_PENDING || http->overflowed) {
		http->overflowed = 1;
	} else {
		http->pending_us[place] = at_us;
		http->pending_kind[place] = (uint8_t)kind;
	}
	http->n_pending++;
}

/* The kind of the request that a final response answers; counts its time. */
static enum gn_http_request_kind pop_pending(struct gn_http *http, uint32_t first_us,
                                             struct gn_http_context *context)
{
	uint8_t place = http->first_pending;

	if (!http->n_pending)
		return GN_HTTP_PLAIN;
	http->first_pending = (place + 1) % GN_HTTP_MAX_PENDING;
	http->n_pending--;
	if (http->overflowed) {
		http->overflowed = http->n_pending > 0;
		return GN_HTTP_PLAIN;
	}
	gn_histogram_add(&context->counters->http_first_byte, first_us - http->pending_us[place]);
	return (enum gn_http_request_kind)http->pending_kind[place];
}

/* ---- one stream --------------------------------------------------------------- */

static void lose(struct gn_http *http, struct gn_http_stream *stream)
{
	stream->state = GN_HTTP_LOST;
	stream->n_carry = 0;
	stream->cut = 0;
	http->losses++;
	/* Which response answers which request is unknown from here on. */
	forget_pending(http);
}

static enum gn_http_verdict verdict(const struct gn_http *http)
{
	return http->losses < GN_HTTP_MAX_LOSSES ? GN_HTTP_GO_ON : GN_HTTP_STOP;
}

static void begin_message(struct gn_http_stream *stream)
{
	stream->state = GN_HTTP_START;
	stream->skip = 0;
	stream->chunked = 0;
	stream->sized = 0;
	stream->status = 0;
}

/* Method, anything, then "HTTP/1.x" where the line's end can be seen. */
static void request_line(struct gn_http *http, struct gn_http_stream *stream,
                         const struct line *line, struct gn_http_context *context)
{
	static const char tail[] = " HTTP/1.";
	enum { TAIL_BYTES = 8 };
	enum gn_http_request_kind kind = GN_HTTP_PLAIN;

	if (gn_http_guess(line->text, line->n) != GN_HTTP_REQUEST ||
	    (!line->cut && (line->n < TAIL_BYTES + 1 || !is_digit(line->text[line->n - 1]) ||
	                    memcmp(line->text + line->n - TAIL_BYTES - 1, tail, TAIL_BYTES)))) {
		lose(http, stream);
		return;
	}
	if (!memcmp(line->text, "HEAD", 4))
		kind = GN_HTTP_HEAD;
	else if (line->n > 7 && !memcmp(line->text, "CONNECT", 7))
		kind = GN_HTTP_CONNECT;
	context->counters->http_requests++;
	push_pending(http, stream->first_us, kind);
	stream->state = GN_HTTP_HEADERS;
}

/* "HTTP/1.1 200 OK" */
static void status_line(struct gn_http *http, struct gn_http_stream *stream,
                        const struct line *line, struct gn_http_context *context)
{
	const uint8_t *code = line->text + 9;

	if (line->n < 12 || gn_http_guess(line->text, line->n) != GN_HTTP_RESPONSE ||
	    line->text[8] != ' ' || code[0] < '1' || code[0] > '5' || !is_digit(code[1]) ||
	    !is_digit(code[2])) {
		lose(http, stream);
		return;
	}
	context->counters->http_status[code[0] - '1']++;
	stream->status = (uint16_t)((code[0] - '0') * 100 + (code[1] - '0') * 10 + code[2] - '0');
	stream->state = GN_HTTP_HEADERS;
}

/* A field's value, behind the colon and white space; NULL when there is none. */
static const uint8_t *field_value(const struct line *line, uint32_t n_name, uint32_t *n)
{
	uint32_t i = n_name;

	while (i < line->n && (line->text[i] == ' ' || line->text[i] == '\t'))
		i++;
	*n = line->n - i;
	return *n ? line->text + i : NULL;
}

static bool parse_length(const uint8_t *text, uint32_t n, uint64_t *length)
{
	enum { MAX_DIGITS = 18 };
	uint64_t value = 0;
	uint32_t i = 0;

	while (n && (text[n - 1] == ' ' || text[n - 1] == '\t'))
		n--;
	for (; i < n && is_digit(text[i]); i++)
		value = i < MAX_DIGITS ? value * 10 + (text[i] - '0') : value;
	if (!n || i < n || n > MAX_DIGITS)
		return false;
	*length = value;
	return true;
}

static bool mentions_chunked(const uint8_t *text, uint32_t n)
{
	for (; n >= 7; text++, n--)
		if (starts_with(&(struct line){text, n, false}, "chunked", 7))
			return true;
	return false;
}

static void header_field(struct gn_http *http, struct gn_http_stream *stream,
                         const struct line *line)
{
	static const char length_name[] = "content-length:";
	static const char coding_name[] = "transfer-encoding:";
	const uint8_t *value;
	uint32_t n;

	if (starts_with(line, length_name, sizeof(length_name) - 1)) {
		value = field_value(line, sizeof(length_name) - 1, &n);
		if (value && !line->cut && parse_length(value, n, &stream->skip))
			stream->sized = 1;
		else
			lose(http, stream);
	} else if (starts_with(line, coding_name, sizeof(coding_name) - 1)) {
		value = field_value(line, sizeof(coding_name) - 1, &n);
		if (value && mentions_chunked(value, n))
			stream->chunked = 1;
	}
}

/* The body's framing, RFC 9112 section 6.3, where nothing rules a body out. */
static void begin_body(struct gn_http_stream *stream, bool until_close)
{
	if (stream->chunked)
		stream->state = GN_HTTP_CHUNK_SIZE;
	else if (stream->sized && stream->skip)
		stream->state = GN_HTTP_BODY;
	else if (!stream->sized && until_close)
		stream->state = GN_HTTP_UNTIL_CLOSE;
	else
		begin_message(stream);
}

static enum gn_http_verdict response_head_done(struct gn_http *http, struct gn_http_stream *stream,
                                               struct gn_http_context *context)
{
	enum gn_http_request_kind kind;
	uint16_t status = stream->status;

	if (status == 101)
		return GN_HTTP_STOP;
	if (status < 200) {
		begin_message(stream);
		return GN_HTTP_GO_ON;
	}
	kind = pop_pending(http, stream->first_us, context);
	if (kind == GN_HTTP_CONNECT && status < 300)
		return GN_HTTP_TUNNEL;
	if (kind == GN_HTTP_HEAD || status == 204 || status == 304)
		begin_message(stream);
	else
		begin_body(stream, true);
	return GN_HTTP_GO_ON;
}

/* "1a2b;extension" */
static void chunk_line(struct gn_http *http, struct gn_http_stream *stream, const struct line *line)
{
	enum { MAX_DIGITS = 15 };
	uint64_t size = 0;
	uint32_t i;

	for (i = 0; i < line->n && i < MAX_DIGITS; i++) {
		uint8_t c = line->text[i], lower = c | 0x20;

		if (is_digit(c))
			size = size << 4 | (uint64_t)(c - '0');
		else if (lower >= 'a' && lower <= 'f')
			size = size << 4 | (uint64_t)(lower - 'a' + 10);
		else
			break;
	}
	if (!i || (i < line->n && line->text[i] != ';' && line->text[i] != ' ')) {
		lose(http, stream);
		return;
	}
	stream->state = size ? GN_HTTP_CHUNK_DATA : GN_HTTP_TRAILERS;
	stream->skip = size + 2; /* its CR LF */
}

static enum gn_http_verdict take_line(struct gn_http *http, enum gn_direction direction,
                                      const struct line *line, struct gn_http_context *context)
{
	struct gn_http_stream *stream = &http->streams[direction];
	bool from_client = direction == http->client;

	switch ((enum gn_http_state)stream->state) {
	case GN_HTTP_START:
		if (line->n && from_client) /* empty lines may precede: RFC 9112 section 2.2 */
			request_line(http, stream, line, context);
		else if (line->n)
			status_line(http, stream, line, context);
		break;
	case GN_HTTP_HEADERS:
		if (line->n)
			header_field(http, stream, line);
		else if (from_client)
			begin_body(stream, false);
		else
			return response_head_done(http, stream, context);
		break;
	case GN_HTTP_CHUNK_SIZE:
		chunk_line(http, stream, line);
		break;
	case GN_HTTP_TRAILERS:
		if (!line->n)
			begin_message(stream);
		break;
	case GN_HTTP_BODY:
	case GN_HTTP_CHUNK_DATA:
	case GN_HTTP_UNTIL_CLOSE:
	case GN_HTTP_LOST:
		break;
	}
	return GN_HTTP_GO_ON;
}

static void carry(struct gn_http_stream *stream, const uint8_t *bytes, uint32_t n)
{
	uint32_t room = GN_HTTP_CARRY - stream->n_carry;

	if (n > room) {
		n = room;
		stream->cut = 1;
	}
	memcpy(stream->carry + stream->n_carry, bytes, n);
	stream->n_carry += (uint8_t)n;
}

/* Reads up to the end of a line, or keeps what there is of it. Returns the bytes used. */
static uint32_t feed_line(struct gn_http *http, enum gn_direction direction, const uint8_t *bytes,
                          uint32_t n, struct gn_http_context *context, enum gn_http_verdict *result)
{
	struct gn_http_stream *stream = &http->streams[direction];
	const uint8_t *end = memchr(bytes, '\n', n);
	struct line line = {bytes, n, false};

	if (stream->state == GN_HTTP_START && !stream->n_carry)
		stream->first_us = context->now_us;
	if (!end) {
		carry(stream, bytes, n);
		return n;
	}
	line.n = (uint32_t)(end - bytes);
	if (stream->n_carry || stream->cut) {
		carry(stream, bytes, line.n);
		line = (struct line){stream->carry, stream->n_carry, stream->cut};
	}
	if (line.n && !line.cut && line.text[line.n - 1] == '\r')
		line.n--;
	stream->n_carry = 0;
	stream->cut = 0;
	*result = take_line(http, direction, &line, context);
	return (uint32_t)(end - bytes) + 1;
}

static uint64_t skip_body(struct gn_http_stream *stream, uint64_t n)
{
	if (n < stream->skip) {
		stream->skip -= n;
		return n;
	}
	n = stream->skip;
	if (stream->state == GN_HTTP_BODY)
		begin_message(stream);
	else
		stream->state = GN_HTTP_CHUNK_SIZE;
	return n;
}

static bool in_body(const struct gn_http_stream *stream)
{
	return stream->state == GN_HTTP_BODY || stream->state == GN_HTTP_CHUNK_DATA;
}

enum gn_http_verdict gn_http_gap(struct gn_http *http, enum gn_direction direction, uint32_t n)
{
	struct gn_http_stream *stream = &http->streams[direction];

	if (in_body(stream) && stream->skip >= n)
		skip_body(stream, n);
	else if (stream->state != GN_HTTP_UNTIL_CLOSE && stream->state != GN_HTTP_LOST)
		lose(http, stream);
	return verdict(http);
}

/* After a loss: does this segment start with a message? */
static bool found_again(struct gn_http *http, enum gn_direction direction, const uint8_t *bytes,
                        uint32_t n)
{
	enum gn_http_guess wanted = direction == http->client ? GN_HTTP_REQUEST : GN_HTTP_RESPONSE;

	if (gn_http_guess(bytes, n) != wanted)
		return false;
	begin_message(&http->streams[direction]);
	return true;
}

enum gn_http_verdict gn_http_feed(struct gn_http *http, enum gn_direction direction,
                                  const uint8_t *bytes, uint32_t n, uint32_t n_beyond,
                                  struct gn_http_context *context)
{
	struct gn_http_stream *stream = &http->streams[direction];
	enum gn_http_verdict result = GN_HTTP_GO_ON;
	uint32_t used = 0, inspected = 0;

	if (stream->state == GN_HTTP_LOST && !found_again(http, direction, bytes, n))
		return GN_HTTP_GO_ON;
	while (used < n && result == GN_HTTP_GO_ON) {
		uint32_t left = n - used, bytes_used;

		if (stream->state == GN_HTTP_UNTIL_CLOSE || stream->state == GN_HTTP_LOST)
			return verdict(http);
		if (in_body(stream)) {
			used += (uint32_t)skip_body(stream, left);
			continue;
		}
		if (left > GN_FEATURE_MAX_INSPECT - inspected)
			left = GN_FEATURE_MAX_INSPECT - inspected;
		if (!left || !context->lines_left)
			return gn_http_gap(http, direction, n - used + n_beyond);
		context->lines_left--;
		bytes_used = feed_line(http, direction, bytes + used, left, context, &result);
		inspected += bytes_used;
		used += bytes_used;
	}
	if (result == GN_HTTP_GO_ON && n_beyond)
		return gn_http_gap(http, direction, n_beyond);
	return result == GN_HTTP_GO_ON ? verdict(http) : result;
}
