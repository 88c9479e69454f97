/* route.h - which call of the operators' service a request of /api/v1 stands for.
 *
 * Pure: tables and text. Paths follow Google's AIP-127/136: collections, resources, custom
 * verbs after a colon ("/api/v1/plans/17:approve"). A segment is 1 to 64 letters, digits,
 * '-', '_' or '.', percent-decoded; everything else is not found. */
#ifndef GN_CONSOLE_ROUTE_H
#define GN_CONSOLE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include "firmware/core/status.h"

#define GN_ROUTE_NAME 160 /* bytes of a resource's name, with the NUL */

enum gn_role { GN_ROLE_NONE, GN_ROLE_VIEWER, GN_ROLE_OPERATOR, GN_ROLE_ADMIN };

struct gn_route {
	const char *verb;    /* "GET" */
	const char *path;    /* below /api/v1: "/vms/{}/policy" */
	const char *method;  /* of service Control */
	const char *name;    /* request field that gets the resource's name; NULL: none */
	const char *pattern; /* that name: "vms/{}/policy" */
	const char *body;  /* field that the JSON body fills: "" is the whole request, NULL none */
	bool mask;         /* the body's fields become 'update_mask' */
	enum gn_role role; /* the least one that may */
	const char *says;  /* one line for the API's description */
};

/* All of them; the end has verb NULL. */
extern const struct gn_route gn_routes[];

/* Splits "path?query" and finds the route. 'name' gets the resource's name. On failure:
 * GN_NOT_FOUND for the path; GN_UNIMPLEMENTED when only the verb is wrong, and 'allowed'
 * (at least 64 bytes) then lists the right ones: "GET, DELETE". */
const struct gn_route *gn_route_find(const char *verb, const char *uri, char name[GN_ROUTE_NAME],
                                     char allowed[64], struct gn_status *status);

/* Calls 'each' for every "key=value" of the URI's query, decoded; stops at its first error and
 * returns it. -EINVAL for malformed escapes, control characters, or texts above 512 bytes. */
typedef int gn_route_parameter(void *context, const char *key, const char *value,
                               struct gn_status *status);
int gn_route_query(const char *uri, gn_route_parameter *each, void *context,
                   struct gn_status *status);

/* "viewer"; GN_ROLE_NONE for a name that is no role. */
const char *gn_role_name(enum gn_role role);
enum gn_role gn_role_of(const char *name);

/* HTTP's status code for an outcome. */
unsigned gn_route_http_status(enum gn_code code);

#endif
