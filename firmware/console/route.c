/* route.c - see route.h. */
#include "firmware/console/route.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PREFIX        "/api/v1"
#define SEGMENT_MAX   64
#define HOLES_MAX     2
#define QUERY_MAX     512
#define PARAMETER_MAX 32

const struct gn_route gn_routes[] = {
        {"GET", "/status", "GetStatus", NULL, NULL, NULL, false, GN_ROLE_VIEWER,
         "The card: connections, host, ledger, counters"},
        {"GET", "/report", "GetReport", NULL, NULL, NULL, false, GN_ROLE_VIEWER,
         "What has happened since the start"},
        {"GET", "/vms", "ListVms", NULL, NULL, NULL, false, GN_ROLE_VIEWER, "The VMs"},
        {"POST", "/vms", "CreateVm", NULL, NULL, "", false, GN_ROLE_OPERATOR,
         "Puts a VM behind the card"},
        {"GET", "/vms/{}", "GetVm", "name", "vms/{}", NULL, false, GN_ROLE_VIEWER, "One VM"},
        {"DELETE", "/vms/{}", "DeleteVm", "name", "vms/{}", NULL, false, GN_ROLE_OPERATOR,
         "Takes a VM off the card"},
        {"GET", "/vms/{}/forecast", "GetForecast", "name", "vms/{}", NULL, false, GN_ROLE_VIEWER,
         "What the VM will need"},
        {"GET", "/vms/{}/history", "GetHistory", "vm", "vms/{}", NULL, false, GN_ROLE_VIEWER,
         "What the VM needed: resource, from_us, to_us, max_points in the query"},
        {"GET", "/vms/{}/guest", "GetGuest", "name", "vms/{}", NULL, false, GN_ROLE_VIEWER,
         "What the guest's kernel says: demand, memory, the busiest processes"},
        {"GET", "/vms/{}/hazard", "GetHazard", "name", "vms/{}", NULL, false, GN_ROLE_VIEWER,
         "How likely the VM fails soon, and the signs"},
        {"GET", "/vms/{}/policy", "GetPolicy", "name", "vms/{}/policy", NULL, false, GN_ROLE_VIEWER,
         "The VM's policy"},
        {"PATCH", "/vms/{}/policy", "UpdatePolicy", "policy.name", "vms/{}/policy", "policy", false,
         GN_ROLE_OPERATOR, "Changes the fields that the body has"},
        {"GET", "/vms/{}/shadow", "GetShadow", "name", "vms/{}/shadow", NULL, false, GN_ROLE_VIEWER,
         "The VM's shadow"},
        {"POST", "/vms/{}/shadow", "CreateShadow", "name", "vms/{}/shadow", "", false,
         GN_ROLE_OPERATOR, "Makes the VM's shadow"},
        {"PATCH", "/vms/{}/shadow", "UpdateShadow", "shadow.name", "vms/{}/shadow", "shadow", true,
         GN_ROLE_OPERATOR, "Changes the fields that the body has"},
        {"DELETE", "/vms/{}/shadow", "DeleteShadow", "name", "vms/{}/shadow", NULL, false,
         GN_ROLE_OPERATOR, "Removes the VM's shadow"},
        {"GET", "/shadows", "ListShadows", NULL, NULL, NULL, false, GN_ROLE_VIEWER, "The shadows"},
        {"GET", "/vms/{}/shadow/snapshots", "ListSnapshots", "name", "vms/{}/shadow", NULL, false,
         GN_ROLE_VIEWER, "The shadow's snapshots"},
        {"POST", "/vms/{}/shadow/snapshots/{}", "CreateSnapshot", "name",
         "vms/{}/shadow/snapshots/{}", NULL, false, GN_ROLE_OPERATOR,
         "Keeps the shadow's disks as they are now"},
        {"DELETE", "/vms/{}/shadow/snapshots/{}", "DeleteSnapshot", "name",
         "vms/{}/shadow/snapshots/{}", NULL, false, GN_ROLE_OPERATOR, "Removes a snapshot"},
        {"POST", "/vms/{}/shadow/snapshots/{}:revert", "RevertShadow", "name",
         "vms/{}/shadow/snapshots/{}", NULL, false, GN_ROLE_OPERATOR,
         "Makes the shadow's disks the snapshot's; it follows no more"},
        {"GET", "/volumes", "ListVolumes", NULL, NULL, NULL, false, GN_ROLE_VIEWER, "The volumes"},
        {"GET", "/mirrors", "ListMirrors", NULL, NULL, NULL, false, GN_ROLE_VIEWER,
         "The mirror sessions"},
        {"PUT", "/vms/{}/mirrors/{}", "UpdateMirror", "name", "vms/{}/mirrors/{}", "", false,
         GN_ROLE_OPERATOR, "Makes or replaces a mirror session"},
        {"DELETE", "/vms/{}/mirrors/{}", "DeleteMirror", "name", "vms/{}/mirrors/{}", NULL, false,
         GN_ROLE_OPERATOR, "Removes a mirror session"},
        {"GET", "/plans", "ListPlans", NULL, NULL, NULL, false, GN_ROLE_VIEWER,
         "Plans, newest first: vm, pending_only, limit in the query"},
        {"GET", "/plans/{}", "GetPlan", "name", "plans/{}", NULL, false, GN_ROLE_VIEWER,
         "One plan, with its reason and inputs"},
        {"POST", "/plans/{}:approve", "ApprovePlan", "name", "plans/{}", NULL, false,
         GN_ROLE_OPERATOR, "Approves a plan that waits"},
        {"POST", "/plans/{}:reject", "RejectPlan", "name", "plans/{}", NULL, false,
         GN_ROLE_OPERATOR, "Rejects a plan that waits"},
        {"GET", "/alerts", "ListAlerts", NULL, NULL, NULL, false, GN_ROLE_VIEWER,
         "Foreseen shortages and failures, newest first: resource, include_cleared in the query"},
        {"POST", "/alerts/{}:acknowledge", "AcknowledgeAlert", "name", "alerts/{}", NULL, false,
         GN_ROLE_OPERATOR, "Says that a person has seen an alert"},
        {"GET", "/audit", "ListAudit", NULL, NULL, NULL, false, GN_ROLE_VIEWER,
         "The audit log's lines, as they are: from, limit in the query"},
        {"GET", "/models", "ListModels", NULL, NULL, NULL, false, GN_ROLE_VIEWER,
         "The model packs on the card and their measurements"},
        {"POST", "/models:rollback", "RollbackModel", NULL, NULL, "", false, GN_ROLE_ADMIN,
         "Returns to the previous model pack, or ends a trial"},
        {NULL, NULL, NULL, NULL, NULL, NULL, false, GN_ROLE_NONE, NULL},
};

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 'a' ^ 'A';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes one character at '*at' and steps over it; -1: malformed or a control character. */
static int decode(const char **at, bool plus_is_space)
{
	int c = (unsigned char)*(*at)++;

	if (c == '+' && plus_is_space)
		return ' ';
	if (c == '%') {
		int high = hex((*at)[0]);
		int low = high < 0 ? -1 : hex((*at)[1]);

		if (low < 0)
			return -1;
		*at += 2;
		c = high << 4 | low;
	}
	return c < ' ' || c == 127 ? -1 : c;
}

/* ---- paths ------------------------------------------------------------------------------ */

static bool is_segment_character(int c)
{
	return c > 0 && (isalnum(c) || c == '-' || c == '_' || c == '.');
}

/* Reads the segment at '*at' into 'out'; false when it is none. */
static bool take_segment(const char **at, char out[SEGMENT_MAX + 1])
{
	size_t length = 0;

	while (**at && !strchr("/?:", **at)) {
		int c = decode(at, false);

		if (!is_segment_character(c) || length == SEGMENT_MAX)
			return false;
		out[length++] = (char)c;
	}
	out[length] = '\0';
	return length && strcmp(out, ".") && strcmp(out, "..");
}

struct segments {
	char text[HOLES_MAX][SEGMENT_MAX + 1];
};

/* Does 'at' (up to its query) match 'path', whose "{}" go to 'segments'? */
static bool matches(const char *path, const char *at, struct segments *segments)
{
	unsigned n = 0;

	while (*path) {
		if (path[0] == '{') {
			if (!take_segment(&at, segments->text[n++]))
				return false;
			path += 2;
		} else if (*path++ != *at++) {
			return false;
		}
	}
	return !*at || *at == '?';
}

static void put_name(const char *pattern, const struct segments *segments, char name[GN_ROUTE_NAME])
{
	size_t length = 0;
	unsigned n = 0;

	while (pattern && *pattern) {
		if (*pattern == '{') {
			length += (size_t)snprintf(name + length, GN_ROUTE_NAME - length, "%s",
			                           segments->text[n++]);
			pattern += 2;
		} else {
			name[length++] = *pattern++;
		}
	}
	name[length] = '\0';
}

static void add_allowed(char allowed[64], const char *verb)
{
	size_t length = strlen(allowed);

	snprintf(allowed + length, 64 - length, "%s%s", length ? ", " : "", verb);
}

const struct gn_route *gn_route_find(const char *verb, const char *uri, char name[GN_ROUTE_NAME],
                                     char allowed[64], struct gn_status *status)
{
	struct segments segments;

	allowed[0] = '\0';
	if (strncmp(uri, PREFIX, strlen(PREFIX)))
		goto not_found;
	for (const struct gn_route *route = gn_routes; route->verb; route++) {
		if (!matches(route->path, uri + strlen(PREFIX), &segments))
			continue;
		if (strcmp(verb, route->verb)) {
			add_allowed(allowed, route->verb);
			continue;
		}
		put_name(route->pattern, &segments, name);
		return route;
	}
	if (allowed[0]) {
		gn_status_set(status, GN_UNIMPLEMENTED, "this resource knows %s, not %.16s",
		              allowed, verb);
		return NULL;
	}
not_found:
	gn_status_set(status, GN_NOT_FOUND,
	              "there is nothing at '%.200s': see /api/v1/openapi.json", uri);
	return NULL;
}

/* ---- queries ------------------------------------------------------------------------------ */

/* Decodes up to one of 'ends'; false when malformed or too long. */
static bool take_text(const char **at, const char *ends, char out[QUERY_MAX + 1])
{
	size_t length = 0;

	while (**at && !strchr(ends, **at)) {
		int c = decode(at, true);

		if (c < 0 || length == QUERY_MAX)
			return false;
		out[length++] = (char)c;
	}
	out[length] = '\0';
	return true;
}

int gn_route_query(const char *uri, gn_route_parameter *each, void *context,
                   struct gn_status *status)
{
	const char *at = strchr(uri, '?');
	char key[QUERY_MAX + 1], value[QUERY_MAX + 1];
	int error;

	for (unsigned n = 0; at && *at; n++) {
		at++;
		value[0] = '\0';
		if (n == PARAMETER_MAX || !take_text(&at, "&=", key) ||
		    (*at == '=' && (at++, !take_text(&at, "&", value))))
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "the query is malformed, or too long, at parameter %u",
			                     n + 1);
		if (key[0] && (error = each(context, key, value, status)))
			return error;
	}
	return 0;
}

/* ---- roles and codes ---------------------------------------------------------------------- */

static const char *const role_names[] = {"none", "viewer", "operator", "admin"};

const char *gn_role_name(enum gn_role role)
{
	return role_names[role];
}

enum gn_role gn_role_of(const char *name)
{
	for (enum gn_role role = GN_ROLE_ADMIN; role > GN_ROLE_NONE; role--)
		if (!strcmp(name, role_names[role]))
			return role;
	return GN_ROLE_NONE;
}

unsigned gn_route_http_status(enum gn_code code)
{
	switch (code) {
	case GN_OK:
		return 200;
	case GN_INVALID_ARGUMENT:
	case GN_FAILED_PRECONDITION:
	case GN_OUT_OF_RANGE:
		return 400;
	case GN_UNAUTHENTICATED:
		return 401;
	case GN_PERMISSION_DENIED:
		return 403;
	case GN_NOT_FOUND:
		return 404;
	case GN_ALREADY_EXISTS:
	case GN_ABORTED:
		return 409;
	case GN_RESOURCE_EXHAUSTED:
		return 429;
	case GN_CANCELLED:
		return 499;
	case GN_UNIMPLEMENTED:
		return 501;
	case GN_UNAVAILABLE:
		return 503;
	case GN_DEADLINE_EXCEEDED:
		return 504;
	case GN_UNKNOWN:
	case GN_INTERNAL:
	case GN_DATA_LOSS:
		return 500;
	}
	return 500;
}
