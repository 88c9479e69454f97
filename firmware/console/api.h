/* api.h - /api/v1: the operators' service as JSON over HTTP.
 *
 * A request becomes the call that route.h names: the path gives the resource's name, the query
 * further fields, the body the message; the reply is the call's own message as JSON. Failures
 * are {"error": {"code": 404, "status": "NOT_FOUND", "message": "..."}} as in Google's APIs.
 * One thread: the peer's. */
#ifndef GN_CONSOLE_API_H
#define GN_CONSOLE_API_H

#include "firmware/console/http.h"
#include "firmware/console/route.h"
#include "firmware/peer/peer.h"

#define GN_API_TIMEOUT_US 10000000u /* a call's deadline */

/* Answers the exchange, later. 'role' is the caller's. 'peer' is gnomond and must be destroyed
 * before the HTTP server: then every exchange has been answered. */
void gn_api_handle(struct gn_peer *peer, struct gn_http_exchange *exchange, enum gn_role role);

/* The API's description as OpenAPI 3.0 JSON, made of the routes and the messages' descriptors.
 * malloc()ed; NULL: no memory. */
char *gn_api_describe(void);

/* Answers with the error object above. */
void gn_api_fail(struct gn_http_exchange *exchange, unsigned http_status,
                 const struct gn_status *status);

#endif
