/* config.c - the schema, defaults and checks (config.h). */
#include "firmware/console/config.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_SIZE 256
#define OPTIONAL     CYAML_FLAG_OPTIONAL

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
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct gn_console_config, fields),
};

/* Keeps what cyaml says first, and in which field that was. */
static void keep_message(cyaml_log_t level, void *context, const char *format, va_list args)
{
	char *text = context, more[MESSAGE_SIZE / 2];
	const char *field;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	vsnprintf(more, sizeof more, format, args);
#pragma GCC diagnostic pop
	more[strcspn(more, "\n")] = '\0';
	field = strstr(more, "in mapping field");
	if (!text[0])
		snprintf(text, MESSAGE_SIZE, "%s", more);
	else if (field && !strstr(text, "in mapping field"))
		snprintf(text + strlen(text), MESSAGE_SIZE - strlen(text), ", %s", field);
}

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

static int check(const char *path, const struct gn_console_config *c, struct gn_status *status)
{
	bool local = starts(c->listen, "http://127.0.0.1:") || starts(c->listen, "http://[::1]:");

	if (!starts(c->listen, "https://") && !local)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "%s: listen is '%s'; it must be https://ADDRESS:PORT, since passwords "
		        "travel here (http:// only at 127.0.0.1)",
		        path, c->listen);
	if (!local && !c->tls)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "%s: tls is missing: give ca, cert and key, as 'gnomon-ca issue' makes "
		        "them",
		        path);
	if (local && c->tls)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%s: tls is given, but listen is '%s'; make it https://", path,
		                     c->listen);
	if (!starts(c->control_url, "ipc:///") || !starts(c->events_url, "ipc:///"))
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "%s: control_url and events_url must be sockets of gnomond on this "
		        "machine, ipc:///path",
		        path);
	return 0;
}

static cyaml_config_t loader(char *text)
{
	text[0] = '\0';
	return (cyaml_config_t){.log_fn = keep_message,
	                        .log_ctx = text,
	                        .mem_fn = cyaml_mem,
	                        .log_level = CYAML_LOG_ERROR};
}

int gn_console_config_load(const char *path, struct gn_console_config **out,
                           struct gn_status *status)
{
	char text[MESSAGE_SIZE];
	cyaml_config_t cyaml = loader(text);
	struct gn_console_config *config = NULL;
	cyaml_err_t failed;
	int err;

	failed = cyaml_load_file(path, &cyaml, &schema, (cyaml_data_t **)&config, NULL);
	if (failed != CYAML_OK || !config)
		return gn_status_set(status, GN_INVALID_ARGUMENT, "%s: %s", path,
		                     text[0] ? text : cyaml_strerror(failed));
	err = fill_defaults(config);
	if (err)
		gn_status_set(status, GN_RESOURCE_EXHAUSTED, "%s: out of memory", path);
	else
		err = check(path, config, status);
	if (err)
		gn_console_config_free(config);
	else
		*out = config;
	return err;
}

void gn_console_config_free(struct gn_console_config *config)
{
	char text[MESSAGE_SIZE];
	cyaml_config_t cyaml = loader(text);

	if (config)
		cyaml_free(&cyaml, &schema, config, 0);
}
