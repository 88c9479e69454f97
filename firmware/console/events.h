/* events.h - /api/v1/events: what happens on the card, as server-sent events.
 *
 *   id: 1042
 *   event: plan.created
 *   data: {"id":1042,"wall_us":...,"kind":"plan.created","resource":"plans/17","text":"..."}
 *
 * A client that comes back with Last-Event-ID gets what it missed, as far as it is still
 * remembered; when it is not, an event "reset" comes first: read the resources anew. A comment
 * every ten seconds shows that the connection lives. A client that does not keep up is cut
 * off and comes back by itself. One thread: the server's. */
#ifndef GN_CONSOLE_EVENTS_H
#define GN_CONSOLE_EVENTS_H

#include "firmware/console/http.h"
#include "firmware/console/session.h"
#include "proto/gnomon/v1/control.pb-c.h"

#define GN_EVENTS_KEPT 1024

struct gn_events;

/* NULL: no memory. */
struct gn_events *gn_events_create(void);
/* After the HTTP server, which ends the streams. NULL is fine. */
void gn_events_destroy(struct gn_events *events);

/* One event of gnomond: kept, and sent to all. */
void gn_events_put(struct gn_events *events, const Gnomon__V1__Event *event);
/* gnomond was lost and found again: events may be missing. Every client gets "reset". */
void gn_events_reset(struct gn_events *events);
/* Every ten seconds. */
void gn_events_heartbeat(struct gn_events *events);

/* Answers the exchange with a stream that belongs to the session. */
void gn_events_handle(struct gn_events *events, struct gn_http_exchange *exchange,
                      const struct gn_session *session);
/* Ends the streams whose sessions do not live any more. An open stream is use of its session. */
void gn_events_check(struct gn_events *events, struct gn_sessions *sessions, uint64_t now_us);

#endif
