/* names.c - see names.h. */
#include "dataplane/control/names.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_id(const char *id, size_t n)
{
	size_t i;

	if (n < 1 || n > GN_NAME_MAX_ID || !is_alnum(id[0]))
		return false;
	for (i = 1; i < n; i++)
		if (!is_alnum(id[i]) && id[i] != '-' && id[i] != '.' && id[i] != '_')
			return false;
	return true;
}

int gn_name_check(const char *name, const char *collection, struct gn_status *status)
{
	size_t prefix = strlen(collection);

	if (strncmp(name, collection, prefix) == 0 && is_id(name + prefix, strlen(name + prefix)))
		return 0;
	return gn_status_set(
	        status, GN_INVALID_ARGUMENT,
	        "'%.100s' is no name here; write it like '%sweb-1', with 1 to %d letters, "
	        "digits, dots, dashes or underscores after the slash",
	        name, collection, GN_NAME_MAX_ID);
}

int gn_name_check_mirror(const char *name, char vm[GN_NAME_MAX_ID + 8], struct gn_status *status)
{
	static const char collection[] = "/mirrors/";
	const char *at = strstr(name, collection);
	size_t n = at ? (size_t)(at - name) : 0;

	if (at && n > 4 && strncmp(name, "vms/", 4) == 0 && is_id(name + 4, n - 4) &&
	    is_id(at + sizeof collection - 1, strlen(at + sizeof collection - 1))) {
		snprintf(vm, GN_NAME_MAX_ID + 8, "%.*s", (int)n, name);
		return 0;
	}
	return gn_status_set(
	        status, GN_INVALID_ARGUMENT,
	        "'%.150s' is no mirror's name; write it like 'vms/web-1/mirrors/shadow'", name);
}

const char *gn_name_id(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}
