/* config.c - the schema, defaults and checks (config.h). */
#include "firmware/update/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/yaml/yaml.h"

#define TEXT(key, flags)                                                                           \
	CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | (flags), struct gn_update_config, key,   \
	                       1, 500)
#define OPTIONAL CYAML_FLAG_OPTIONAL

static const cyaml_schema_value_t word_schema = {
        CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 255),
};
static const cyaml_schema_field_t fields[] = {
        TEXT(listen, OPTIONAL),
        TEXT(dataplane_url, OPTIONAL),
        TEXT(gnomond_url, OPTIONAL),
        TEXT(board, OPTIONAL),
        TEXT(release, OPTIONAL),
        TEXT(roots, OPTIONAL),
        TEXT(environment, OPTIONAL),
        TEXT(slot_a, 0),
        TEXT(slot_b, 0),
        TEXT(running_file, OPTIONAL),
        TEXT(good_file, OPTIONAL),
        TEXT(state_dir, OPTIONAL),
        CYAML_FIELD_SEQUENCE("restart", CYAML_FLAG_POINTER, struct gn_update_config, restart,
                             &word_schema, 1, 15),
        CYAML_FIELD_UINT("steady_s", OPTIONAL, struct gn_update_config, steady_s),
        CYAML_FIELD_UINT("patience_s", OPTIONAL, struct gn_update_config, patience_s),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct gn_update_config, fields),
};

static int fill_defaults(struct gn_update_config *c)
{
	const struct {
		char **field;
		const char *value;
	} defaults[] = {
	        {&c->listen, "ipc:///run/gnomon/update.ipc"},
	        {&c->dataplane_url, "ipc:///run/gnomon/dataplane.ipc"},
	        {&c->gnomond_url, "ipc:///run/gnomon/gnomond.ipc"},
	        {&c->board, "/etc/gnomon/board.yaml"},
	        {&c->release, "/etc/gnomon/release"},
	        {&c->roots, "/data/identity/updates.pem"},
	        {&c->environment, "/boot/grubenv"},
	        {&c->running_file, "/run/gnomon/slot"},
	        {&c->good_file, "/run/gnomon/good"},
	        {&c->state_dir, "/data/state/update"},
	};

	for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
		if (!*defaults[i].field)
			*defaults[i].field = strdup(defaults[i].value);
		if (!*defaults[i].field)
			return -ENOMEM;
	}
	if (!c->steady_s)
		c->steady_s = 20;
	if (!c->patience_s)
		c->patience_s = 300;
	return 0;
}

static int check(void *loaded, struct gn_status *status)
{
	struct gn_update_config *c = loaded;
	const struct gn_yaml_range ranges[] = {
	        {"steady_s", c->steady_s ? c->steady_s : 20, 1, 3600},
	        {"patience_s", c->patience_s ? c->patience_s : 300, 10, 3600},
	};

	if (fill_defaults(c))
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	return gn_yaml_check_ranges(ranges, 2, status);
}

static const struct gn_yaml_format format = {
        .name = "update.yaml",
        .schema = &schema,
        .check = check,
};

int gn_update_config_load(const char *path, struct gn_update_config **out, struct gn_status *status)
{
	return gn_yaml_load(&format, path, (void **)out, status);
}

void gn_update_config_free(struct gn_update_config *config)
{
	gn_yaml_free(&format, config);
}
