/* config.c - the schema, defaults and checks (config.h). */
#include "firmware/console/config.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include "firmware/yaml/yaml.h"

#define OPTIONAL CYAML_FLAG_OPTIONAL

#define TEXT(type, key, flags)                                                                     \
	CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | (flags), struct type, key, 1, 1000)

static const cyaml_schema_field_t tls_fields[] = {
        TEXT(gn_console_tls, ca, 0),
        TEXT(gn_console_tls, cert, 0),
        TEXT(gn_console_tls, key, 0),
        CYAML_FIELD_END,
};
static const cyaml_schema_field_t fields[] = {
        TEXT(gn_console_config, listen, OPTIONAL),
        CYAML_FIELD_MAPPING_PTR("tls", CYAML_FLAG_POINTER | OPTIONAL, struct gn_console_config, tls,
                                tls_fields),
        TEXT(gn_console_config, control_url, OPTIONAL),
        TEXT(gn_console_config, events_url, OPTIONAL),
        TEXT(gn_console_config, accounts_file, OPTIONAL),
        TEXT(gn_console_config, web_dir, OPTIONAL),
        TEXT(gn_console_config, metrics_token_file, OPTIONAL),
        TEXT(gn_console_config, user, OPTIONAL),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct gn_console_config, fields),
};

static int set_default(char **field, const char *value)
{
	if (*field)
		return 0;
	*field = strdup(value);
	return *field ? 0 : -ENOMEM;
}

static int fill_defaults(struct gn_console_config *c)
{
	int err = set_default(&c->listen, "https://0.0.0.0:8443");

	if (!err)
		err = set_default(&c->control_url, "ipc:///run/gnomon/gnomond.ipc");
	if (!err)
		err = set_default(&c->events_url, "ipc:///run/gnomon/events.ipc");
	if (!err)
		err = set_default(&c->accounts_file, "/var/lib/gnomon/console/accounts.json");
	if (!err)
		err = set_default(&c->web_dir, "/usr/share/gnomon/console");
	return err;
}

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static int check(void *loaded, struct gn_status *status)
{
	struct gn_console_config *c = loaded;
	bool local;

	if (fill_defaults(c))
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	local = starts(c->listen, "http://127.0.0.1:") || starts(c->listen, "http://[::1]:");
	if (!starts(c->listen, "https://") && !local)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "listen is '%s'; it must be https://ADDRESS:PORT, since passwords "
		        "travel here (http:// only at 127.0.0.1)",
		        c->listen);
	if (!local && !c->tls)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "tls is missing: give ca, cert and key, as 'gnomon-ca issue' makes them");
	if (local && c->tls)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "tls is given, but listen is '%s'; make it https://",
		                     c->listen);
	if (!starts(c->control_url, "ipc:///") || !starts(c->events_url, "ipc:///"))
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "control_url and events_url must be sockets of gnomond on this machine, "
		        "ipc:///path");
	return 0;
}

static const struct gn_yaml_format format = {
        .name = "gnomon-console.yaml",
        .schema = &schema,
        .check = check,
};

int gn_console_config_load(const char *path, struct gn_console_config **out,
                           struct gn_status *status)
{
	return gn_yaml_load(&format, path, (void **)out, status);
}

void gn_console_config_free(struct gn_console_config *config)
{
	gn_yaml_free(&format, config);
}
