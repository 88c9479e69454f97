/* l7.c - see l7.h. */
#include "dataplane/feature/l7.h"

#include <string.h>
#include "dataplane/feature/feature.h"

enum guess { NOTHING, NEED_MORE, TLS, HTTP_REQUEST, HTTP_RESPONSE };

/* A handshake record of TLS 1.x that starts with a ClientHello: RFC 8446 sections 5.1, 4. */
static enum guess guess_tls(const uint8_t *bytes, uint32_t n)
{
	enum { RECORD_HANDSHAKE = 0x16, MAJOR = 3, CLIENT_HELLO = 1 };

	if (bytes[0] != RECORD_HANDSHAKE || (n > 1 && bytes[1] != MAJOR) ||
	    (n > 5 && bytes[5] != CLIENT_HELLO))
		return NOTHING;
	return n > 5 ? TLS : NEED_MORE;
}

static enum guess guess(const uint8_t *bytes, uint32_t n)
{
	enum guess tls = guess_tls(bytes, n);

	if (tls != NOTHING)
		return tls;
	switch (gn_http_guess(bytes, n)) {
	case GN_HTTP_NOTHING:
		break;
	case GN_HTTP_NEED_MORE:
		return NEED_MORE;
	case GN_HTTP_REQUEST:
		return HTTP_REQUEST;
	case GN_HTTP_RESPONSE:
		return HTTP_RESPONSE;
	}
	return NOTHING;
}

/* Guesses from what earlier segments left in 'carry' and the first bytes of this one. */
static enum guess guess_split(const struct gn_http_stream *stream, const uint8_t *bytes, uint32_t n)
{
	uint8_t joined[GN_HTTP_CARRY];
	uint32_t room = GN_HTTP_CARRY - stream->n_carry;

	if (!stream->n_carry)
		return guess(bytes, n);
	if (n > room)
		n = room;
	memcpy(joined, stream->carry, stream->n_carry);
	memcpy(joined + stream->n_carry, bytes, n);
	return guess(joined, stream->n_carry + n);
}

static void give_up(struct gn_flow *flow, struct gn_http_stream *stream)
{
	stream->n_carry = 0;
	if (!(flow->marks & GN_FLOW_MIDSTREAM) || ++flow->l7_tries >= GN_L7_MAX_TRIES)
		flow->l7 = GN_FLOW_L7_OTHER;
}

/* True when the connection turned out to be HTTP. */
static bool recognize(struct gn_flow *flow, struct gn_http *http, enum gn_direction direction,
                      const uint8_t *bytes, uint32_t n, struct gn_http_context *context)
{
	struct gn_http_stream *stream = &http->streams[direction];

	switch (guess_split(stream, bytes, n)) {
	case NOTHING:
		give_up(flow, stream);
		break;
	case NEED_MORE: /* fewer than 16 bytes in all: they fit */
		if (!stream->n_carry)
			stream->first_us = context->now_us;
		memcpy(stream->carry + stream->n_carry, bytes, n);
		stream->n_carry += (uint8_t)n;
		break;
	case TLS:
		context->counters->tls_handshakes++;
		flow->l7 = GN_FLOW_L7_OTHER;
		break;
	case HTTP_REQUEST:
		http->client = (uint8_t)direction;
		return true;
	case HTTP_RESPONSE:
		http->client = (uint8_t)!direction;
		return true;
	}
	return false;
}

/* What comes after CONNECT's 2xx is recognized as if the connection began here. */
static void begin_tunnel(struct gn_flow *flow, struct gn_http *http)
{
	memset(http, 0, sizeof(*http));
	flow->l7 = GN_FLOW_L7_UNKNOWN;
}

void gn_l7_segment(struct gn_flow *flow, struct gn_http *http, enum gn_direction direction,
                   uint32_t gap, const uint8_t *bytes, uint32_t n, uint32_t n_beyond,
                   struct gn_http_context *context)
{
	enum gn_http_verdict verdict = GN_HTTP_GO_ON;

	if (flow->l7 == GN_FLOW_L7_UNKNOWN) {
		if (gap)
			http->streams[direction].n_carry = 0;
		if (!n || !recognize(flow, http, direction, bytes, n, context)) {
			if (n_beyond) /* what was kept is not followed by the next segment */
				http->streams[direction].n_carry = 0;
			return;
		}
		flow->l7 = GN_FLOW_L7_HTTP;
	} else if (gap) {
		verdict = gn_http_gap(http, direction, gap);
	}
	if (verdict == GN_HTTP_GO_ON)
		verdict = gn_http_feed(http, direction, bytes, n, n_beyond, context);
	if (verdict == GN_HTTP_TUNNEL)
		begin_tunnel(flow, http);
	else if (verdict == GN_HTTP_STOP)
		flow->l7 = GN_FLOW_L7_OTHER;
}
