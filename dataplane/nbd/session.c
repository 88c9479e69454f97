/* session.c - a client from its connection until it has chosen an export: a thread each, at most
 * MAX_SESSIONS of them at once and for NEGOTIATION_MS at most. When there are many, those go that
 * have been there for HURRIED_MS: honest clients need milliseconds.
 *
 * The thread of a client with TLS stays as its pump (tls.c). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "dataplane/nbd/internal.h"
#include "dataplane/nbd/io.h"
#include "dataplane/nbd/tls.h"
#include "firmware/core/clock.h"

#define MANY_NEGOTIATING 32u
#define MAX_SESSIONS     256u /* those that pump TLS included */
#define NEGOTIATION_MS   10000u
#define HURRIED_MS       1000u

struct gn_nbd_session {
	LIST_ENTRY(gn_nbd_session) link;
	struct gn_nbd_server *server;
	struct gn_nbd_listener *listener;
	int fd;        /* under the server's lock; -1: handed on */
	bool is_ended; /* to make room */
	bool is_negotiating;
	uint64_t until_us;
	struct gn_nbd_tls *tls;
	struct gn_nbd_handshake handshake;
	struct gn_nbd_export *chosen; /* counted in its n_connections */
	uint8_t data[GN_NBD_OPTION_MAX];
	uint8_t out[GN_NBD_STEP_OUT_MAX];
};

/* ---- bytes, with the deadline --------------------------------------------------------- */

static int read_all(struct gn_nbd_session *session, uint8_t *data, size_t size)
{
	return session->tls ? gn_nbd_tls_read_all(session->tls, data, size, session->until_us)
	                    : gn_nbd_read_all(session->fd, data, size, session->until_us);
}

static int write_all(struct gn_nbd_session *session, const uint8_t *data, size_t size)
{
	return session->tls ? gn_nbd_tls_write_all(session->tls, data, size, session->until_us)
	                    : gn_nbd_write_all(session->fd, data, size, session->until_us);
}

/* ---- exports ------------------------------------------------------------------------------ */

static const char *refusal_of(const struct gn_nbd_session *session,
                              const struct gn_nbd_export *export)
{
	bool is_named = !export->n_clients;

	for (unsigned i = 0; !is_named && i < export->n_clients; i++)
		is_named = session->tls && gn_nbd_tls_peer_is(session->tls, export->clients[i]);
	if (!is_named)
		return "your certificate's name is not among this export's clients";
	if (export->n_connections >= export->max_connections)
		return "this export has as many connections as it may; try again later";
	return NULL;
}

static uint16_t flags_of(const struct gn_nbd_export *export)
{
	/* Connections share one store and no cache lies between: many may be used as one. */
	uint16_t flags = GN_NBD_HAS_FLAGS | GN_NBD_SEND_FLUSH | GN_NBD_SEND_FUA |
	                 GN_NBD_CAN_MULTI_CONN | GN_NBD_SEND_CACHE;

	if (export->read_only)
		return flags | GN_NBD_READ_ONLY;
	return flags | GN_NBD_SEND_TRIM | GN_NBD_SEND_ZEROES | GN_NBD_SEND_FAST_ZEROES;
}

/* What this client may choose from. With the server's lock. */
static unsigned list_offers(const struct gn_nbd_session *session,
                            struct gn_nbd_offer offers[GN_NBD_OFFERS_MAX],
                            struct gn_nbd_export *exports[GN_NBD_OFFERS_MAX])
{
	struct gn_nbd_export *export;
	unsigned n = 0;

	LIST_FOREACH(export, &session->server->exports, link)
	if (export->listener == session->listener && n < GN_NBD_OFFERS_MAX) {
		offers[n] = (struct gn_nbd_offer){
		        .name = export->export_name,
		        .refusal = refusal_of(session, export),
		        .size_bytes = export->size_bytes,
		        .flags = flags_of(export),
		        .min_block_bytes = export->block_bytes,
		        .preferred_block_bytes = GN_NBD_PAGE_SIZE,
		        .max_block_bytes = GN_NBD_PAYLOAD_MAX,
		};
		exports[n++] = export;
	}
	return n;
}

static enum gn_nbd_step step(struct gn_nbd_session *session, struct gn_nbd_out *out)
{
	struct gn_nbd_offer offers[GN_NBD_OFFERS_MAX];
	struct gn_nbd_export *exports[GN_NBD_OFFERS_MAX];
	enum gn_nbd_step result;
	unsigned n;

	gn_mutex_lock(&session->server->lock);
	n = list_offers(session, offers, exports);
	result = gn_nbd_handshake_take(&session->handshake, offers, n, session->data, out);
	if (result == GN_NBD_STEP_GO) {
		session->chosen = exports[session->handshake.chosen];
		session->chosen->n_connections++;
	}
	gn_mutex_unlock(&session->server->lock);
	return result;
}

/* ---- the thread ----------------------------------------------------------------------------- */

static int start_tls(struct gn_nbd_session *session)
{
	struct gn_status status;
	int err = gn_nbd_tls_open(session->listener->tls, session->fd, NULL, session->until_us,
	                          &session->tls, &status);

	if (!err)
		gn_nbd_handshake_secured(&session->handshake);
	return err;
}

static int negotiate(struct gn_nbd_session *session)
{
	struct gn_nbd_out out = {.data = session->out};
	enum gn_nbd_step result = GN_NBD_STEP_MORE;
	int err;

	gn_nbd_handshake_init(&session->handshake, session->listener->tls != NULL, &out);
	err = write_all(session, out.data, out.used);
	while (!err && result != GN_NBD_STEP_GO) {
		err = read_all(session, session->data, gn_nbd_handshake_wants(&session->handshake));
		if (err)
			break;
		result = step(session, &out);
		err = write_all(session, out.data, out.used);
		if (!err && result == GN_NBD_STEP_STARTTLS)
			err = start_tls(session);
		if (!err && result == GN_NBD_STEP_CLOSE)
			err = -ECONNABORTED;
	}
	return err;
}

static void uncount(struct gn_nbd_session *session)
{
	struct gn_nbd_server *server = session->server;

	gn_mutex_lock(&server->lock);
	session->chosen->n_connections--;
	pthread_cond_broadcast(&server->changed);
	gn_mutex_unlock(&server->lock);
}

/* From here on the lcore has 'fd'. */
static int hand_over(struct gn_nbd_session *session, int fd)
{
	struct gn_nbd_conn *conn = gn_nbd_conn_make(
	        session->chosen, fd, session->handshake.structured, session->handshake.allocation);

	if (!conn) {
		uncount(session);
		return -ENOMEM;
	}
	gn_nbd_export_adopt(session->chosen, conn);
	return 0;
}

static void serve_plain(struct gn_nbd_session *session)
{
	int fd;

	gn_mutex_lock(&session->server->lock);
	fd = session->fd;
	session->fd = -1;
	gn_mutex_unlock(&session->server->lock);
	hand_over(session, fd);
}

static void serve_tls(struct gn_nbd_session *session)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		uncount(session);
		return;
	}
	if (hand_over(session, pair[0]) == 0)
		gn_nbd_tls_pump(session->tls, pair[1]);
	close(pair[1]);
}

static void end(struct gn_nbd_session *session)
{
	struct gn_nbd_server *server = session->server;

	gn_nbd_tls_close(session->tls);
	gn_mutex_lock(&server->lock);
	if (session->fd >= 0)
		close(session->fd);
	LIST_REMOVE(session, link);
	server->n_sessions--;
	gn_nbd_listener_leave(session->listener);
	pthread_cond_broadcast(&server->changed);
	gn_mutex_unlock(&server->lock);
	free(session);
}

static void *run_session(void *arg)
{
	struct gn_nbd_session *session = arg;
	int err = negotiate(session);

	gn_mutex_lock(&session->server->lock);
	session->is_negotiating = false;
	gn_mutex_unlock(&session->server->lock);
	if (err && session->chosen)
		uncount(session);
	else if (!err && session->tls)
		serve_tls(session);
	else if (!err)
		serve_plain(session);
	end(session);
	return NULL;
}

/* ---- from the acceptor, with the server's lock ------------------------------------------------
 */

static void make_room(struct gn_nbd_server *server)
{
	uint64_t late_us = gn_clock_monotonic_us() + (NEGOTIATION_MS - HURRIED_MS) * 1000ull;
	struct gn_nbd_session *session;
	unsigned n = 0;

	LIST_FOREACH(session, &server->sessions, link)
	n += session->is_negotiating && !session->is_ended;
	if (n < MANY_NEGOTIATING)
		return;
	LIST_FOREACH(session, &server->sessions, link)
	if (session->is_negotiating && !session->is_ended && session->until_us < late_us) {
		session->is_ended = true;
		shutdown(session->fd, SHUT_RDWR);
	}
}

void gn_nbd_session_start(struct gn_nbd_server *server, struct gn_nbd_listener *listener, int fd)
{
	struct gn_nbd_session *session =
	        server->n_sessions < MAX_SESSIONS ? calloc(1, sizeof *session) : NULL;
	pthread_attr_t attributes;
	pthread_t thread;

	if (!session) {
		close(fd);
		return;
	}
	make_room(server);
	session->server = server;
	session->listener = listener;
	session->fd = fd;
	session->is_negotiating = true;
	session->until_us = gn_clock_monotonic_us() + NEGOTIATION_MS * 1000ull;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	LIST_INSERT_HEAD(&server->sessions, session, link);
	listener->n_sessions++;
	server->n_sessions++;
	if (pthread_create(&thread, &attributes, run_session, session) != 0) {
		LIST_REMOVE(session, link);
		listener->n_sessions--;
		server->n_sessions--;
		close(fd);
		free(session);
	}
	pthread_attr_destroy(&attributes);
}

void gn_nbd_sessions_end(struct gn_nbd_server *server)
{
	struct gn_nbd_session *session;

	gn_mutex_lock(&server->lock);
	LIST_FOREACH(session, &server->sessions, link)
	if (session->fd >= 0)
		shutdown(session->fd, SHUT_RDWR);
	while (server->n_sessions)
		gn_mutex_wait(&server->lock, &server->changed);
	gn_mutex_unlock(&server->lock);
}
