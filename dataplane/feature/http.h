/* http.h - finds the messages in the two streams of an HTTP/1 connection (RFC 9112).
 * Internal to feature/.
 *
 * A stream is fed its new bytes in order, in pieces of any size. Start lines and the two
 * header fields that frame a body are read; bodies are skipped without looking at them. A line that
 * is split between segments is kept up to GN_HTTP_CARRY bytes, which is enough for what
 * is read of it. When framing is lost (a gap over a header, nonsense, too much work), the
 * stream waits for a segment that starts with a message.
 *
 * Pure. Bounded: at most GN_FEATURE_MAX_INSPECT bytes of lines per segment, and a number of lines
 * that the caller sets. */
#ifndef GN_DATAPLANE_HTTP_H
#define GN_DATAPLANE_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/feature/packet.h"

#define GN_HTTP_CARRY       32
#define GN_HTTP_MAX_PENDING 8  /* pipelined requests whose times are kept */
#define GN_HTTP_MAX_LOSSES  16 /* then the connection is no longer looked at */

struct gn_feature_counters;

enum gn_http_state {
	GN_HTTP_START, /* before a start line */
	GN_HTTP_HEADERS,
	GN_HTTP_BODY,       /* 'skip' bytes, then START */
	GN_HTTP_CHUNK_SIZE, /* before a chunk's first line */
	GN_HTTP_CHUNK_DATA, /* 'skip' bytes, CR LF included */
	GN_HTTP_TRAILERS,
	GN_HTTP_UNTIL_CLOSE, /* body without length */
	GN_HTTP_LOST,
};

enum gn_http_request_kind { GN_HTTP_PLAIN, GN_HTTP_HEAD, GN_HTTP_CONNECT };

struct gn_http_stream {
	uint64_t skip;     /* body bytes to come; in HEADERS: the Content-Length */
	uint32_t first_us; /* when the message's first byte came */
	uint16_t status;   /* of the response whose headers are read */
	uint8_t state;     /* enum gn_http_state */
	uint8_t chunked;   /* of the message whose headers are read */
	uint8_t sized;     /* it has a Content-Length */
	uint8_t cut;       /* the line did not fit 'carry' */
	uint8_t n_carry;
	uint8_t carry[GN_HTTP_CARRY]; /* first bytes of the unfinished line */
};

/* All zero: nothing seen yet. */
struct gn_http {
	struct gn_http_stream streams[2];         /* by direction */
	uint32_t pending_us[GN_HTTP_MAX_PENDING]; /* ring: when the request line came */
	uint8_t pending_kind[GN_HTTP_MAX_PENDING];
	uint8_t first_pending;
	uint8_t n_pending;
	uint8_t overflowed; /* more were pending; none are timed until all are answered */
	uint8_t client;     /* enum gn_direction in which requests travel */
	uint8_t losses;
};

/* What one call may use and counts into. */
struct gn_http_context {
	struct gn_feature_counters *counters;
	uint32_t now_us;     /* wraps */
	uint32_t lines_left; /* shared by many calls */
};

enum gn_http_verdict {
	GN_HTTP_GO_ON,
	GN_HTTP_TUNNEL, /* CONNECT succeeded: another protocol follows */
	GN_HTTP_STOP,   /* upgraded, or not worth more work */
};

/* What the first bytes of a message are. */
enum gn_http_guess { GN_HTTP_NOTHING, GN_HTTP_NEED_MORE, GN_HTTP_REQUEST, GN_HTTP_RESPONSE };
enum gn_http_guess gn_http_guess(const uint8_t *bytes, uint32_t n);

/* The next 'n' bytes of a stream, and then 'n_beyond' bytes that cannot be read. */
enum gn_http_verdict gn_http_feed(struct gn_http *http, enum gn_direction direction,
                                  const uint8_t *bytes, uint32_t n, uint32_t n_beyond,
                                  struct gn_http_context *context);

/* 'n' bytes of the stream were not seen and will not be. */
enum gn_http_verdict gn_http_gap(struct gn_http *http, enum gn_direction direction, uint32_t n);

#endif
