/* http.h - an HTTPS/1.1 server: requests in, answers and event streams out.
 *
 * Adapter for nng's HTTP server and mbedTLS below it (TLS 1.2, ECDHE with the server's EC
 * key). What nng does not bound is bounded here:
 *
 * - at most GN_HTTP_PENDING requests wait for their answers; further ones get 503;
 * - a body is at most 'max_body' bytes; a chunked one is refused (nng does not know chunks,
 *   so its bytes would be taken for the next request);
 * - connections.h cuts clients that are slow, silent or too many.
 *
 * Threads: nng has its own; they only queue. All callbacks run inside
 * gn_http_server_process() of the owner's thread: poll gn_http_server_fd() for reading. */
#ifndef GN_CONSOLE_HTTP_H
#define GN_CONSOLE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "firmware/core/status.h"
#include "proto/channel.h"

#define GN_HTTP_PENDING      256          /* requests that wait for their answers */
#define GN_HTTP_STREAMS      256          /* open event streams */
#define GN_HTTP_STREAM_BYTES (256u << 10) /* unsent bytes of one stream; more ends it */

struct gn_http_server;
struct gn_http_exchange; /* one request that waits for its answer */
struct gn_http_stream;   /* an answer without an end */

/* Answers exactly once, now or later, with gn_http_answer() or gn_http_stream_begin(). */
typedef void gn_http_handler(void *context, struct gn_http_exchange *exchange);

struct gn_http_settings {
	const char *url; /* "https://0.0.0.0:8443"; "http://" for tests; port 0: any */
	const struct gn_channel_tls *tls; /* for https; its root only checks our own files */
	size_t max_body;                  /* bytes */
};

/* Listens at once. Strings are not kept. -EINVAL, -EADDRINUSE, -EACCES, -ENOENT with a
 * sentence in 'status'. */
int gn_http_server_create(const struct gn_http_settings *settings, gn_http_handler *handler,
                          void *context, struct gn_http_server **out, struct gn_status *status);
int gn_http_server_fd(const struct gn_http_server *server);
void gn_http_server_process(struct gn_http_server *server);
uint16_t gn_http_server_port(const struct gn_http_server *server);
/* Only when every exchange has been answered (assert); requests that no callback has seen are
 * dropped and streams end, with their 'closed' called. Not from a callback. NULL is fine. */
void gn_http_server_destroy(struct gn_http_server *server);

/* ---- the request; all texts live until the answer ----------------------------------- */

const char *gn_http_method(const struct gn_http_exchange *exchange);
const char *gn_http_uri(const struct gn_http_exchange *exchange); /* path and query, undecoded */
const char *gn_http_header(const struct gn_http_exchange *exchange, const char *name); /* or NULL */
const char *gn_http_body(const struct gn_http_exchange *exchange, size_t *size);

/* ---- the answer --------------------------------------------------------------------- */

/* Adds a header to the answer. 'value' must hold no control characters (assert). */
void gn_http_set_header(struct gn_http_exchange *exchange, const char *name, const char *value);
/* Sends and frees the exchange. 'data' is copied; 'type' NULL: no body. */
void gn_http_answer(struct gn_http_exchange *exchange, unsigned status, const char *type,
                    const void *data, size_t size);

/* Called once when the client has gone or the stream was ended; then the stream is freed. */
typedef void gn_http_stream_closed(void *context, struct gn_http_stream *stream);

/* Answers 200 with a body of 'type' that goes on until an end; frees the exchange. NULL when
 * there are too many streams or no memory: then 503 was answered. */
struct gn_http_stream *gn_http_stream_begin(struct gn_http_exchange *exchange, const char *type,
                                            gn_http_stream_closed *closed, void *context);
/* Queues a copy. False when the client is too slow: the stream then ends, later, by itself. */
bool gn_http_stream_write(struct gn_http_stream *stream, const void *data, size_t size);
/* 'closed' is called, later. */
void gn_http_stream_end(struct gn_http_stream *stream);

#endif
