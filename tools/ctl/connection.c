/* connection.c - see connection.h. */
#include "tools/ctl/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "firmware/yaml/yaml.h"
#include "proto/gnomon/v1/control.pb-c.h"

struct file {
	char *server, *events, *ca, *cert, *key;
};

#define TEXT(key)                                                                                  \
	CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, key,   \
	                       1, 4096)
static const cyaml_schema_field_t fields[] = {
        TEXT(server), TEXT(events), TEXT(ca), TEXT(cert), TEXT(key), CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file, fields),
};

struct gn_ctl_connection {
	struct file *file; /* NULL: none */
	struct gn_ctl_settings settings;
	struct gn_channel_client *client;
};

static const struct gn_yaml_format format = {.name = "ctl.yaml", .schema = &schema};

/* The file named, or the usual one when it exists; "" for none. */
static void find_file(const char *named, char *path, size_t size)
{
	const char *home = getenv("HOME"), *variable = getenv("GNOMONCTL_CONFIG");

	if (named || variable) {
		snprintf(path, size, "%s", named ? named : variable);
		return;
	}
	snprintf(path, size, "%s/.config/gnomon/ctl.yaml", home ? home : "");
	if (access(path, F_OK))
		path[0] = '\0';
}

static int load_file(const char *named, struct file **out, struct gn_status *status)
{
	char path[4096];

	find_file(named, path, sizeof path);
	return path[0] ? gn_yaml_load(&format, path, (void **)out, status) : 0;
}

static void fill(const char **setting, const char *from_file)
{
	if (!*setting)
		*setting = from_file;
}

static int check(const struct gn_ctl_settings *s, struct gn_status *status)
{
	const char *missing = !s->server ? "server" : NULL;

	if (s->server && !strncmp(s->server, "tls", 3))
		missing = !s->ca ? "ca" : !s->cert ? "cert" : !s->key ? "key" : NULL;
	if (!missing)
		return 0;
	return gn_status_set(status, GN_INVALID_ARGUMENT,
	                     "'%s' is not known: give --%s, or write it to "
	                     "~/.config/gnomon/ctl.yaml or the file that --config names",
	                     missing, missing);
}

int gn_ctl_connection_create(const struct gn_ctl_settings *settings, struct gn_ctl_connection **out,
                             struct gn_status *status)
{
	struct gn_ctl_connection *c = calloc(1, sizeof *c);
	int rc;

	if (!c)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	c->settings = *settings;
	rc = load_file(settings->config, &c->file, status);
	if (!rc && c->file) {
		fill(&c->settings.server, c->file->server);
		fill(&c->settings.events, c->file->events);
		fill(&c->settings.ca, c->file->ca);
		fill(&c->settings.cert, c->file->cert);
		fill(&c->settings.key, c->file->key);
	}
	if (!rc)
		rc = check(&c->settings, status);
	if (rc)
		gn_ctl_connection_destroy(c);
	else
		*out = c;
	return rc;
}

void gn_ctl_connection_destroy(struct gn_ctl_connection *c)
{
	if (!c)
		return;
	gn_channel_client_destroy(c->client);
	gn_yaml_free(&format, c->file);
	free(c);
}

static const struct gn_channel_tls *tls_for(const struct gn_ctl_settings *s, const char *url,
                                            struct gn_channel_tls *tls)
{
	if (!strncmp(url, "ipc:", 4))
		return NULL;
	*tls = (struct gn_channel_tls){.ca_file = s->ca, .cert_file = s->cert, .key_file = s->key};
	return tls;
}

static int find_method(const char *name)
{
	const ProtobufCServiceDescriptor *service = &gnomon__v1__control__descriptor;

	for (unsigned i = 0; i < service->n_methods; i++)
		if (!strcmp(service->methods[i].name, name))
			return (int)i;
	return -1;
}

const char *gn_ctl_connection_root(const struct gn_ctl_connection *connection)
{
	return connection->settings.ca;
}

int gn_ctl_connection_call(struct gn_ctl_connection *c, const char *method,
                           const ProtobufCMessage *request, uint64_t timeout_us,
                           ProtobufCMessage **reply, struct gn_status *status)
{
	struct gn_channel_tls tls;
	int index = find_method(method), rc;

	if (index < 0)
		return gn_status_set(status, GN_INTERNAL, "there is no method %s", method);
	if (!c->client) {
		rc = gn_channel_client_create(c->settings.server,
		                              tls_for(&c->settings, c->settings.server, &tls),
		                              &c->client, status);
		if (rc)
			return rc;
	}
	return gn_channel_client_call_sync(c->client, &gnomon__v1__control__descriptor,
	                                   (unsigned)index, request, timeout_us, reply, status);
}

enum gn_ctl_state gn_ctl_connection_state(const struct gn_ctl_connection *c)
{
	if (!c->client)
		return GN_CTL_CLOSED;
	return gn_channel_client_check(c->client, NULL) ? GN_CTL_AWAY : GN_CTL_UP;
}

int gn_ctl_connection_subscribe(struct gn_ctl_connection *c, gn_channel_event *event, void *context,
                                struct gn_channel_subscriber **out, struct gn_status *status)
{
	struct gn_channel_tls tls;

	if (!c->settings.events)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "the address of the events is not known: give --events, or write "
		        "'events: URL' to the configuration file");
	return gn_channel_subscriber_create(
	        c->settings.events, tls_for(&c->settings, c->settings.events, &tls), "events",
	        &gnomon__v1__event__descriptor, event, context, out, status);
}
