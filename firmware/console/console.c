/* console.c - see console.h. */
#include "firmware/console/console.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "firmware/console/api.h"
#include "firmware/console/assets.h"
#include "firmware/console/connections.h"
#include "firmware/console/crypto.h"
#include "firmware/console/events.h"
#include "firmware/console/login.h"
#include "firmware/console/scrape.h"
#include "firmware/core/clock.h"
#include "firmware/message/message.h"

#define MAX_BODY     (256u << 10)
#define HEARTBEAT_US 10000000u
#define POLL_US      2000000u
#define TICK_US      250000u

struct gn_console {
	const struct gn_console_config *config;
	struct gn_accounts *accounts;
	struct gn_assets *assets;
	struct gn_hasher *hasher;
	struct gn_sessions sessions;
	struct gn_login_desk desk;
	struct gn_peer *peer;
	uint32_t epoch;
	uint64_t gnomond_started_us; /* 0: not known yet */
	struct gn_channel_subscriber *subscriber;
	struct gn_events *events;
	struct gn_scrape *scrape;
	struct gn_http_server *server;
	struct gn_connections *connections;
	char *description; /* of the API */
	char *metrics_token;
};

/* ---- requests ---------------------------------------------------------------------------------
 */

static bool is_path(const char *uri, const char *path)
{
	size_t length = strlen(path);

	return !strncmp(uri, path, length) && (!uri[length] || uri[length] == '?');
}

static void fail(struct gn_http_exchange *exchange, unsigned status_code, enum gn_code code,
                 const char *text)
{
	struct gn_status status;

	gn_status_set(&status, code, "%s", text);
	gn_api_fail(exchange, status_code, &status);
}

/* Prometheus has no session: it sends the token of a file that both can read. */
static bool has_metrics_token(const struct gn_console *console,
                              const struct gn_http_exchange *exchange)
{
	const char *sent = gn_http_header(exchange, "Authorization");
	const char *token = console->metrics_token;
	uint8_t a[32], b[32];

	if (!token || !sent || strncmp(sent, "Bearer ", 7))
		return false;
	gn_crypto_sha256(sent + 7, strlen(sent + 7), a);
	gn_crypto_sha256(token, strlen(token), b);
	return gn_crypto_equal(a, b, sizeof a);
}

/* For gnomond's audit log. */
static void say_caller(struct gn_console *console, const struct gn_session *session)
{
	char caller[64];

	snprintf(caller, sizeof caller, "console: %s", session ? session->account : "nobody");
	gn_peer_set_caller(console->peer, caller);
}

static void handle_api(struct gn_console *console, struct gn_http_exchange *exchange)
{
	const char *uri = gn_http_uri(exchange);
	const struct gn_session *session;

	if (is_path(uri, "/api/v1/session")) {
		gn_login_handle(&console->desk, exchange);
		return;
	}
	if (is_path(uri, "/api/v1/openapi.json")) {
		gn_http_answer(exchange, 200, "application/json", console->description,
		               strlen(console->description));
		return;
	}
	session = gn_login_session(&console->desk, exchange);
	say_caller(console, session);
	if (!is_path(uri, "/api/v1/events"))
		gn_api_handle(console->peer, exchange, session ? session->role : GN_ROLE_NONE);
	else if (session && !strcmp(gn_http_method(exchange), "GET"))
		gn_events_handle(console->events, exchange, session);
	else
		fail(exchange, session ? 405 : 401, session ? GN_UNIMPLEMENTED : GN_UNAUTHENTICATED,
		     session ? "events are read with GET" : "log in first");
}

static void on_request(void *context, struct gn_http_exchange *exchange)
{
	struct gn_console *console = context;
	const char *uri = gn_http_uri(exchange);
	const char *method = gn_http_method(exchange);
	bool reads = !strcmp(method, "GET") || !strcmp(method, "HEAD");

	gn_http_set_header(exchange, "Strict-Transport-Security", "max-age=31536000");
	if (!strncmp(uri, "/api/", 5))
		handle_api(console, exchange);
	else if (!reads)
		fail(exchange, 405, GN_UNIMPLEMENTED, "pages are read with GET");
	else if (!is_path(uri, "/metrics"))
		gn_assets_handle(console->assets, exchange);
	else if (has_metrics_token(console, exchange) || gn_login_session(&console->desk, exchange))
		gn_scrape_handle(console->scrape, exchange);
	else
		fail(exchange, 401, GN_UNAUTHENTICATED,
		     "send 'Authorization: Bearer' with the token of metrics_token_file");
}

/* ---- the loop -----------------------------------------------------------------------------------
 */

static void on_http(void *context)
{
	gn_http_server_process(((struct gn_console *)context)->server);
}

static void on_hashes(void *context)
{
	gn_hasher_process(((struct gn_console *)context)->hasher);
}

static void on_peer(void *context)
{
	gn_peer_process(((struct gn_console *)context)->peer);
}

static void on_subscriber(void *context)
{
	gn_channel_subscriber_process(((struct gn_console *)context)->subscriber);
}

static void on_event(void *context, const char *topic, const ProtobufCMessage *message)
{
	gn_events_put(((struct gn_console *)context)->events, (const Gnomon__V1__Event *)message);
}

static void on_tick(void *context)
{
	struct gn_console *console = context;

	gn_peer_tick(console->peer);
	gn_connections_check(console->connections);
	gn_login_check(&console->desk);
	gn_events_check(console->events, &console->sessions, gn_clock_monotonic_us());
}

/* gnomond was away, or is another one: what it published meanwhile, nobody has. */
static void on_status(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct gn_console *console = context;
	const Gnomon__V1__CardStatus *card = (const Gnomon__V1__CardStatus *)reply;
	uint32_t epoch = gn_peer_epoch(console->peer);

	if (!card || (epoch == console->epoch && card->started_us == console->gnomond_started_us))
		return;
	if (console->gnomond_started_us)
		gn_events_reset(console->events);
	console->epoch = epoch;
	console->gnomond_started_us = card->started_us;
}

static void on_heartbeat(void *context)
{
	gn_events_heartbeat(((struct gn_console *)context)->events);
}

static void on_poll(void *context)
{
	struct gn_console *console = context;
	Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;

	gn_peer_call(console->peer, "GetStatus", &empty.base, 5000000, on_status, console);
}

/* ---- making and ending
 * ---------------------------------------------------------------------------- */

static int load_token(struct gn_console *console, struct gn_status *status)
{
	const char *path = console->config->metrics_token_file;
	char line[256] = "";
	FILE *file;

	if (!path)
		return 0;
	file = fopen(path, "re");
	if (!file || !fgets(line, sizeof line, file))
		gn_status_set(status, GN_NOT_FOUND, "metrics_token_file '%s' cannot be read: %s",
		              path, file ? "it is empty" : strerror(errno));
	if (file)
		fclose(file);
	line[strcspn(line, "\r\n")] = '\0';
	if (file && strlen(line) < 16)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "metrics_token_file '%s' must hold a token of 16 characters or more on "
		        "its first line, as 'openssl rand -hex 32' makes it",
		        path);
	if (!file)
		return -ENOENT;
	console->metrics_token = gn_message_string(line);
	return 0;
}

static int load(struct gn_console *console, struct gn_status *status)
{
	int error = gn_accounts_load(console->config->accounts_file, &console->accounts, status);

	console->description = gn_api_describe();
	console->events = gn_events_create();
	if (!error &&
	    (!console->description || !console->events || gn_hasher_create(&console->hasher)))
		error = gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory or no thread");
	return error;
}

static int connect_gnomond(struct gn_console *console, struct gn_status *status)
{
	const struct gn_console_config *c = console->config;
	int error = gn_peer_create("gnomond", c->control_url, NULL,
	                           &gnomon__v1__control__descriptor, &console->peer, status);

	if (!error)
		error = gn_channel_subscriber_create(c->events_url, NULL, "events",
		                                     &gnomon__v1__event__descriptor, on_event,
		                                     console, &console->subscriber, status);
	if (error)
		return error;
	console->scrape = gn_scrape_create(console->peer);
	return console->scrape ? 0 : gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory");
}

static int listen_for_clients(struct gn_console *console, struct gn_status *status)
{
	const struct gn_console_config *c = console->config;
	struct gn_channel_tls tls = {.ca_file = NULL};
	const struct gn_http_settings settings = {
	        .url = c->listen, .tls = c->tls ? &tls : NULL, .max_body = MAX_BODY};
	int error;

	if (c->tls)
		tls = (struct gn_channel_tls){
		        .ca_file = c->tls->ca, .cert_file = c->tls->cert, .key_file = c->tls->key};
	error = gn_http_server_create(&settings, on_request, console, &console->server, status);

	if (!error)
		error = gn_connections_create(gn_http_server_port(console->server),
		                              &console->connections);
	return error;
}

static int watch(struct gn_console *console, struct gn_loop *loop)
{
	int error = gn_loop_watch(loop, gn_http_server_fd(console->server), on_http, console);

	if (!error)
		error = gn_loop_watch(loop, gn_hasher_fd(console->hasher), on_hashes, console);
	if (!error)
		error = gn_loop_watch(loop, gn_peer_fd(console->peer), on_peer, console);
	if (!error)
		error = gn_loop_watch(loop, gn_channel_subscriber_fd(console->subscriber),
		                      on_subscriber, console);
	if (!error)
		error = gn_loop_every(loop, TICK_US, on_tick, console);
	if (!error)
		error = gn_loop_every(loop, HEARTBEAT_US, on_heartbeat, console);
	if (!error)
		error = gn_loop_every(loop, POLL_US, on_poll, console);
	return error;
}

int gn_console_create(const struct gn_console_config *config, const struct gn_confine_user *user,
                      struct gn_loop *loop, struct gn_console **out, struct gn_status *status)
{
	struct gn_console *console = gn_message_alloc(sizeof *console);
	int error;

	console->config = config;
	error = load_token(console, status);
	if (!error)
		error = listen_for_clients(console, status);
	if (!error)
		error = gn_assets_load(config->web_dir, &console->assets, status);
	if (!error && user) /* the token, the TLS key and the port were root's to open */
		error = gn_confine_become(user, status);
	if (!error)
		error = load(console, status);
	if (!error)
		error = connect_gnomond(console, status);
	if (!error && watch(console, loop))
		error = gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                      "the event loop takes no more");
	console->desk = (struct gn_login_desk){.accounts = console->accounts,
	                                       .hasher = console->hasher,
	                                       .sessions = &console->sessions};
	if (error)
		gn_console_destroy(console);
	else
		*out = console;
	return error;
}

/* The peer and the hasher first: their callbacks answer what still waits. */
void gn_console_destroy(struct gn_console *console)
{
	if (!console)
		return;
	gn_peer_destroy(console->peer);
	gn_hasher_destroy(console->hasher);
	gn_http_server_destroy(console->server);
	gn_connections_destroy(console->connections);
	gn_channel_subscriber_destroy(console->subscriber);
	gn_scrape_destroy(console->scrape);
	gn_events_destroy(console->events);
	gn_assets_free(console->assets);
	gn_accounts_free(console->accounts);
	free(console->description);
	free(console->metrics_token);
	free(console);
}

uint16_t gn_console_port(const struct gn_console *console)
{
	return gn_http_server_port(console->server);
}

bool gn_console_is_fresh(const struct gn_console *console)
{
	return !gn_accounts_count(console->accounts);
}
