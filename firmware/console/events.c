/* events.c - see events.h. Events are kept as the text that is sent. */
#include "firmware/console/events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"

#define RESET "event: reset\ndata: {}\n\n"

struct kept {
	uint64_t id;
	char *text;
	size_t size;
};

struct client {
	struct client *next;
	struct gn_events *events;
	struct gn_http_stream *stream;
	uint8_t session[32]; /* its digest */
};

struct gn_events {
	struct kept ring[GN_EVENTS_KEPT]; /* oldest at 'n_put - n_kept' */
	uint64_t n_put;
	size_t n_kept;
	struct client *clients;
};

struct gn_events *gn_events_create(void)
{
	return calloc(1, sizeof(struct gn_events));
}

static void forget_all(struct gn_events *events)
{
	for (size_t i = 0; i < GN_EVENTS_KEPT; i++) {
		free(events->ring[i].text);
		events->ring[i].text = NULL;
	}
	events->n_kept = 0;
}

void gn_events_destroy(struct gn_events *events)
{
	if (!events)
		return;
	forget_all(events);
	free(events);
}

static void send_all(struct gn_events *events, const char *text, size_t size)
{
	for (struct client *c = events->clients; c; c = c->next)
		gn_http_stream_write(c->stream, text, size);
}

/* A kind is gnomond's own word, but a line feed in it would make another field. */
static char *format(const Gnomon__V1__Event *event, size_t *size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, size);

	if (!out)
		return NULL;
	fprintf(out, "id: %" PRIu64 "\nevent: %.*s\ndata: ", event->id,
	        (int)strcspn(event->kind, "\r\n"), event->kind);
	gn_json_print(&event->base, 1, out); /* ends with one line feed and holds no other */
	fputc('\n', out);
	fclose(out);
	return text;
}

void gn_events_put(struct gn_events *events, const Gnomon__V1__Event *event)
{
	struct kept *kept = &events->ring[events->n_put % GN_EVENTS_KEPT];
	size_t size;
	char *text = format(event, &size);

	if (!text) {
		gn_events_reset(events);
		return;
	}
	free(kept->text);
	*kept = (struct kept){.id = event->id, .text = text, .size = size};
	events->n_put++;
	if (events->n_kept < GN_EVENTS_KEPT)
		events->n_kept++;
	send_all(events, text, size);
}

void gn_events_reset(struct gn_events *events)
{
	forget_all(events);
	send_all(events, RESET, strlen(RESET));
}

void gn_events_heartbeat(struct gn_events *events)
{
	send_all(events, ":\n\n", 3);
}

/* ---- clients -------------------------------------------------------------------------------- */

static void on_closed(void *context, struct gn_http_stream *stream)
{
	struct client *client = context;
	struct client **link = &client->events->clients;

	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	free(client);
}

static const struct kept *kept_at(const struct gn_events *events, size_t i)
{
	return &events->ring[(events->n_put - events->n_kept + i) % GN_EVENTS_KEPT];
}

/* Sends what came after 'last'. Ids grow, but not always by one: so the client has missed
 * nothing only when its own last event is still here. */
static void send_missed(const struct gn_events *events, struct gn_http_stream *stream,
                        uint64_t last)
{
	size_t i = 0;

	while (i < events->n_kept && kept_at(events, i)->id != last)
		i++;
	if (i == events->n_kept) {
		gn_http_stream_write(stream, RESET, strlen(RESET));
		return;
	}
	for (i++; i < events->n_kept; i++)
		gn_http_stream_write(stream, kept_at(events, i)->text, kept_at(events, i)->size);
}

void gn_events_handle(struct gn_events *events, struct gn_http_exchange *exchange,
                      const struct gn_session *session)
{
	const char *header = gn_http_header(exchange, "Last-Event-ID");
	struct client *client = calloc(1, sizeof *client);
	char *end = NULL;
	uint64_t last = 0;

	if (!client) {
		gn_http_answer(exchange, 503, NULL, NULL, 0);
		return;
	}
	if (header)
		last = strtoull(header, &end, 10);
	client->events = events;
	memcpy(client->session, session->digest, sizeof client->session);
	client->stream = gn_http_stream_begin(exchange, "text/event-stream", on_closed, client);
	if (!client->stream) {
		free(client);
		return;
	}
	client->next = events->clients;
	events->clients = client;
	gn_http_stream_write(client->stream, "retry: 2000\n\n", 13);
	if (end && *end == '\0' && end != header)
		send_missed(events, client->stream, last);
}

void gn_events_check(struct gn_events *events, struct gn_sessions *sessions, uint64_t now_us)
{
	for (struct client *c = events->clients; c; c = c->next)
		if (!gn_session_is_live(sessions, c->session, now_us))
			gn_http_stream_end(c->stream);
}
