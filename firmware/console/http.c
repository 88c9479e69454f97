/* http.c - see http.h. nng's threads put exchanges and finished writes into the inbox; the
 * owner's thread takes them out. nng frees a connection only after its exchange has ended, so
 * that the request's texts live until the answer. */
#include "firmware/console/http.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <nng/nng.h>
#include <nng/supplemental/http/http.h>
#include <nng/supplemental/tls/tls.h>

#include "firmware/core/mutex.h"
#include "proto/tlsfiles.h"

struct gn_http_exchange {
	struct gn_http_exchange *next; /* in the inbox, then in 'pending' */
	struct gn_http_server *server;
	nng_aio *aio; /* nng's; finishing it answers */
	nng_http_req *request;
	nng_http_res *response;
};

struct gn_http_stream {
	struct gn_http_stream *next;
	struct gn_http_server *server;
	nng_http_conn *connection;
	nng_http_req *request; /* ours since the connection was taken over */
	nng_aio *aio;
	char *sending, *queued; /* 'sending' belongs to nng while 'busy' */
	size_t n_queued;
	bool busy, ended;
	bool written; /* inbox lock: the write has ended */
	gn_http_stream_closed *closed;
	void *context;
};

struct gn_http_server {
	nng_http_server *nng;
	nng_tls_config *tls;
	gn_http_handler *handler;
	void *context;
	int event_fd;
	unsigned n_pending, n_streams;
	struct gn_http_stream *streams;
	struct gn_mutex lock;
	unsigned references; /* lock: the owner's and nng's, which outlives the last connection */
	struct gn_http_exchange *inbox, **inbox_tail; /* lock */
	bool closing;                                 /* lock */
};

static void wake(const struct gn_http_server *server)
{
	uint64_t one = 1;

	/* A full counter wakes just as well. */
	if (write(server->event_fd, &one, sizeof one) < 0)
		return;
}

/* ---- nng's threads ------------------------------------------------------------------- */

static bool inbox_put(struct gn_http_server *server, struct gn_http_exchange *exchange)
{
	bool open;

	gn_mutex_lock(&server->lock);
	open = !server->closing;
	if (open) {
		*server->inbox_tail = exchange;
		server->inbox_tail = &exchange->next;
	}
	gn_mutex_unlock(&server->lock);
	return open;
}

static void on_request(nng_aio *aio)
{
	nng_http_handler *handler = nng_aio_get_input(aio, 1);
	struct gn_http_server *server = nng_http_handler_get_data(handler);
	struct gn_http_exchange *exchange = calloc(1, sizeof *exchange);

	if (!exchange || nng_http_res_alloc(&exchange->response)) {
		free(exchange);
		nng_aio_finish(aio, NNG_ENOMEM); /* closes the connection */
		return;
	}
	exchange->server = server;
	exchange->aio = aio;
	exchange->request = nng_aio_get_input(aio, 0);
	if (inbox_put(server, exchange)) {
		wake(server);
		return;
	}
	nng_http_res_free(exchange->response);
	free(exchange);
	nng_aio_finish(aio, NNG_ECLOSED);
}

static void on_written(void *context)
{
	struct gn_http_stream *stream = context;

	gn_mutex_lock(&stream->server->lock);
	stream->written = true;
	gn_mutex_unlock(&stream->server->lock);
	wake(stream->server);
}

/* The last one frees: the owner, or nng when the last connection has gone. */
static void release(void *context)
{
	struct gn_http_server *server = context;
	unsigned references;

	gn_mutex_lock(&server->lock);
	references = --server->references;
	gn_mutex_unlock(&server->lock);
	if (references)
		return;
	if (server->event_fd >= 0)
		close(server->event_fd);
	gn_mutex_destroy(&server->lock);
	free(server);
}

/* ---- making and ending a server -------------------------------------------------------- */

static int fail(struct gn_status *status, int error, const char *url)
{
	switch (error) {
	case NNG_EADDRINUSE:
		return gn_status_set(status, GN_ALREADY_EXISTS,
		                     "'%s' is in use: stop the process that listens there, or "
		                     "choose another port",
		                     url);
	case NNG_ENOMEM:
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "no memory for the server of '%s'", url);
	case NNG_EPERM:
		return gn_status_set(
		        status, GN_PERMISSION_DENIED,
		        "'%s' cannot be opened: ports below 1024 need CAP_NET_BIND_SERVICE", url);
	default:
		return gn_status_set(status, GN_INVALID_ARGUMENT, "cannot listen at '%s': %s", url,
		                     nng_strerror(error));
	}
}

static int set_tls(struct gn_http_server *server, const char *url, const struct gn_channel_tls *tls,
                   struct gn_status *status)
{
	struct gn_tlsfiles files;
	int error = gn_tlsfiles_load(tls, &files, status);
	int rc;

	if (error)
		return error;
	rc = nng_tls_config_alloc(&server->tls, NNG_TLS_MODE_SERVER);
	if (!rc)
		rc = nng_tls_config_version(server->tls, NNG_TLS_1_2, NNG_TLS_1_3);
	if (!rc)
		rc = nng_tls_config_own_cert(server->tls, files.cert, files.key, NULL);
	if (!rc)
		rc = nng_tls_config_auth_mode(server->tls, NNG_TLS_AUTH_MODE_NONE);
	if (!rc)
		rc = nng_http_server_set_tls(server->nng, server->tls);
	gn_tlsfiles_fini(&files);
	return rc ? fail(status, rc, url) : 0;
}

/* One handler for every path and method: routes are the owner's. */
static int add_handler(struct gn_http_server *server, size_t max_body)
{
	nng_http_handler *handler;
	int rc = nng_http_handler_alloc(&handler, "/", on_request);

	if (rc)
		return rc;
	rc = nng_http_handler_set_method(handler, NULL);
	if (!rc)
		rc = nng_http_handler_set_tree(handler);
	if (!rc)
		rc = nng_http_handler_collect_body(handler, true, max_body);
	if (!rc)
		rc = nng_http_handler_set_data(handler, server, release);
	if (!rc) {
		server->references++;
		rc = nng_http_server_add_handler(server->nng, handler);
	}
	if (rc)
		nng_http_handler_free(handler);
	return rc;
}

static int open_server(struct gn_http_server *server, const struct gn_http_settings *settings,
                       struct gn_status *status)
{
	bool secure = !strncmp(settings->url, "https://", strlen("https://"));
	nng_url *url;
	int rc = nng_url_parse(&url, settings->url);

	if (rc || secure != !!settings->tls)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "'%s' is no address to listen at: it looks like https://0.0.0.0:8443 (with "
		        "certificate and key), or http://127.0.0.1:8080 (without)",
		        settings->url);
	rc = nng_http_server_hold(&server->nng, url);
	nng_url_free(url);
	if (rc)
		return fail(status, rc, settings->url);
	if (secure && (rc = set_tls(server, settings->url, settings->tls, status)))
		return rc;
	rc = add_handler(server, settings->max_body);
	if (!rc)
		rc = nng_http_server_start(server->nng);
	return rc ? fail(status, rc, settings->url) : 0;
}

int gn_http_server_create(const struct gn_http_settings *settings, gn_http_handler *handler,
                          void *context, struct gn_http_server **out, struct gn_status *status)
{
	struct gn_http_server *server = calloc(1, sizeof *server);
	int error;

	if (!server)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "no memory for the HTTP server");
	gn_mutex_init(&server->lock);
	server->references = 1;
	server->inbox_tail = &server->inbox;
	server->handler = handler;
	server->context = context;
	server->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = server->event_fd < 0 ? gn_status_set(status, gn_code_from_errno(errno),
	                                             "no event descriptor: %s", strerror(errno))
	                             : open_server(server, settings, status);
	if (error) {
		gn_http_server_destroy(server);
		return error;
	}
	*out = server;
	return 0;
}

int gn_http_server_fd(const struct gn_http_server *server)
{
	return server->event_fd;
}

uint16_t gn_http_server_port(const struct gn_http_server *server)
{
	nng_sockaddr address;
	uint16_t port;

	if (nng_http_server_get_addr(server->nng, &address))
		return 0;
	port = address.s_family == NNG_AF_INET6 ? address.s_in6.sa_port : address.s_in.sa_port;
	return (uint16_t)(port << 8 | port >> 8);
}

/* ---- requests --------------------------------------------------------------------------- */

const char *gn_http_method(const struct gn_http_exchange *exchange)
{
	return nng_http_req_get_method(exchange->request);
}

const char *gn_http_uri(const struct gn_http_exchange *exchange)
{
	return nng_http_req_get_uri(exchange->request);
}

const char *gn_http_header(const struct gn_http_exchange *exchange, const char *name)
{
	return nng_http_req_get_header(exchange->request, name);
}

const char *gn_http_body(const struct gn_http_exchange *exchange, size_t *size)
{
	void *data = NULL;

	nng_http_req_get_data(exchange->request, &data, size);
	if (!data)
		*size = 0;
	return data ? data : "";
}

static void finish(struct gn_http_exchange *exchange, nng_http_res *response)
{
	exchange->server->n_pending--;
	nng_aio_set_output(exchange->aio, 0, response);
	nng_aio_finish(exchange->aio, 0);
	if (!response)
		nng_http_res_free(exchange->response);
	free(exchange);
}

/* Out of memory: the connection is closed without an answer. */
static void give_up(struct gn_http_exchange *exchange)
{
	exchange->server->n_pending--;
	nng_http_res_free(exchange->response);
	nng_aio_finish(exchange->aio, NNG_ENOMEM);
	free(exchange);
}

void gn_http_set_header(struct gn_http_exchange *exchange, const char *name, const char *value)
{
	for (const char *at = value; *at; at++)
		assert((unsigned char)*at >= ' ' && *at != 127);
	/* A header that memory does not suffice for makes the answer fail below. */
	nng_http_res_set_header(exchange->response, name, value);
}

void gn_http_answer(struct gn_http_exchange *exchange, unsigned status, const char *type,
                    const void *data, size_t size)
{
	nng_http_res *response = exchange->response;
	int rc = nng_http_res_set_status(response, (uint16_t)status);

	if (!rc && type)
		rc = nng_http_res_set_header(response, "Content-Type", type);
	/* nng takes an empty body for a lack of memory. */
	if (!rc && type && size)
		rc = nng_http_res_copy_data(response, data, size);
	else if (!rc && status != 204 && status != 304)
		rc = nng_http_res_set_header(response, "Content-Length", "0");
	if (rc)
		give_up(exchange);
	else
		finish(exchange, response);
}

static void refuse(struct gn_http_exchange *exchange, unsigned status, const char *text)
{
	gn_http_set_header(exchange, "Connection", "close");
	gn_http_answer(exchange, status, "text/plain; charset=utf-8", text, strlen(text));
}

static void dispatch(struct gn_http_server *server, struct gn_http_exchange *exchange)
{
	server->n_pending++;
	if (server->n_pending > GN_HTTP_PENDING)
		refuse(exchange, 503, "too many requests wait for their answers: try again\n");
	else if (gn_http_header(exchange, "Transfer-Encoding"))
		refuse(exchange, 411, "send the body with a Content-Length, not in chunks\n");
	else
		server->handler(server->context, exchange);
}

/* ---- streams ---------------------------------------------------------------------------- */

/* Sends what is queued. nng takes short writes on itself (write_all). */
static void stream_send(struct gn_http_stream *stream)
{
	nng_iov iov;

	if (stream->busy || !stream->n_queued || stream->ended)
		return;
	free(stream->sending);
	stream->sending = stream->queued;
	iov = (nng_iov){.iov_buf = stream->sending, .iov_len = stream->n_queued};
	stream->queued = NULL;
	stream->n_queued = 0;
	stream->busy = true;
	nng_aio_set_iov(stream->aio, 1, &iov);
	nng_http_conn_write_all(stream->connection, stream->aio);
}

bool gn_http_stream_write(struct gn_http_stream *stream, const void *data, size_t size)
{
	char *grown;

	if (stream->ended)
		return false;
	if (size > GN_HTTP_STREAM_BYTES - stream->n_queued ||
	    !(grown = realloc(stream->queued, stream->n_queued + size))) {
		gn_http_stream_end(stream);
		return false;
	}
	memcpy(grown + stream->n_queued, data, size);
	stream->queued = grown;
	stream->n_queued += size;
	stream_send(stream);
	return true;
}

void gn_http_stream_end(struct gn_http_stream *stream)
{
	stream->ended = true;
	if (stream->busy)
		nng_aio_cancel(stream->aio);
	wake(stream->server);
}

static void stream_free(struct gn_http_stream *stream)
{
	nng_aio_stop(stream->aio);
	nng_http_conn_close(stream->connection);
	nng_http_req_free(stream->request);
	nng_aio_free(stream->aio);
	free(stream->sending);
	free(stream->queued);
	stream->server->n_streams--;
	free(stream);
}

static bool take_written(struct gn_http_stream *stream)
{
	bool written;

	gn_mutex_lock(&stream->server->lock);
	written = stream->written;
	stream->written = false;
	gn_mutex_unlock(&stream->server->lock);
	return written;
}

static void process_streams(struct gn_http_server *server)
{
	for (struct gn_http_stream **link = &server->streams, *stream; (stream = *link);) {
		if (take_written(stream)) {
			stream->busy = false;
			if (nng_aio_result(stream->aio))
				stream->ended = true;
			else
				stream_send(stream);
		}
		if (!stream->ended || stream->busy) {
			link = &stream->next;
			continue;
		}
		*link = stream->next;
		stream->closed(stream->context, stream);
		stream_free(stream);
	}
}

static struct gn_http_stream *stream_create(struct gn_http_exchange *exchange)
{
	struct gn_http_stream *stream = calloc(1, sizeof *stream);

	if (!stream)
		return NULL;
	if (nng_aio_alloc(&stream->aio, on_written, stream)) {
		free(stream);
		return NULL;
	}
	stream->server = exchange->server;
	stream->connection = nng_aio_get_input(exchange->aio, 2);
	stream->request = exchange->request;
	return stream;
}

struct gn_http_stream *gn_http_stream_begin(struct gn_http_exchange *exchange, const char *type,
                                            gn_http_stream_closed *closed, void *context)
{
	struct gn_http_server *server = exchange->server;
	struct gn_http_stream *stream =
	        server->n_streams < GN_HTTP_STREAMS ? stream_create(exchange) : NULL;
	char head[512];
	int size;

	if (!stream) {
		refuse(exchange, 503, "too many event streams are open: close one\n");
		return NULL;
	}
	size = snprintf(head, sizeof head,
	                "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nCache-Control: no-store\r\n"
	                "Connection: close\r\nX-Content-Type-Options: nosniff\r\n\r\n",
	                type);
	assert(size > 0 && (size_t)size < sizeof head);
	stream->closed = closed;
	stream->context = context;
	stream->next = server->streams;
	server->streams = stream;
	server->n_streams++;
	nng_http_hijack(stream->connection);
	finish(exchange, NULL);
	gn_http_stream_write(stream, head, (size_t)size);
	return stream;
}

/* ---- the loop ----------------------------------------------------------------------------- */

static struct gn_http_exchange *take_inbox(struct gn_http_server *server)
{
	struct gn_http_exchange *first;

	gn_mutex_lock(&server->lock);
	first = server->inbox;
	server->inbox = NULL;
	server->inbox_tail = &server->inbox;
	gn_mutex_unlock(&server->lock);
	return first;
}

void gn_http_server_process(struct gn_http_server *server)
{
	struct gn_http_exchange *exchange, *next;
	uint64_t count;

	if (read(server->event_fd, &count, sizeof count) < 0 && errno != EAGAIN)
		return;
	for (exchange = take_inbox(server); exchange; exchange = next) {
		next = exchange->next;
		dispatch(server, exchange);
	}
	process_streams(server);
}

static void drop_inbox(struct gn_http_server *server)
{
	struct gn_http_exchange *exchange, *next;

	gn_mutex_lock(&server->lock);
	server->closing = true;
	gn_mutex_unlock(&server->lock);
	for (exchange = take_inbox(server); exchange; exchange = next) {
		next = exchange->next;
		server->n_pending++;
		give_up(exchange);
	}
}

static void drop_streams(struct gn_http_server *server)
{
	while (server->streams) {
		struct gn_http_stream *stream = server->streams;

		server->streams = stream->next;
		stream->closed(stream->context, stream);
		stream_free(stream);
	}
}

void gn_http_server_destroy(struct gn_http_server *server)
{
	if (!server)
		return;
	assert(!server->n_pending);
	drop_inbox(server);
	drop_streams(server);
	if (server->nng) {
		nng_http_server_stop(server->nng);
		nng_http_server_release(server->nng);
	}
	if (server->tls)
		nng_tls_config_free(server->tls);
	release(server);
}
