/* config.c - the schema, defaults and ranges (config.h). */
#include "firmware/introspect/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/introspect/top.h"
#include "firmware/yaml/yaml.h"

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define N(array) (sizeof(array) / sizeof(array)[0])

#define TEXT(key)                                                                                  \
	CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | OPTIONAL, struct gn_introspect_config,   \
	                       key, 1, 200)
#define NUMBER(key) CYAML_FIELD_UINT(#key, OPTIONAL, struct gn_introspect_config, key)

static const cyaml_schema_field_t fields[] = {
        TEXT(run_dir),
        TEXT(ram_socket),
        TEXT(publish_url),
        NUMBER(period_ms),
        CYAML_FIELD_UINT_PTR("top", CYAML_FLAG_POINTER | OPTIONAL, struct gn_introspect_config,
                             top),
        NUMBER(max_processes),
        NUMBER(stale_ms),
        NUMBER(give_up_s),
        NUMBER(stuck_s),
        NUMBER(leak_s),
        NUMBER(budget_us),
        NUMBER(budget_kib),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct gn_introspect_config, fields),
};

static int set_text(char **field, const char *before, const char *after)
{
	if (*field)
		return 0;
	return asprintf(field, "%s%s", before, after) < 0 ? -ENOMEM : 0;
}

static void set_number(uint32_t *field, uint32_t value)
{
	if (!*field)
		*field = value;
}

static int fill_defaults(struct gn_introspect_config *c)
{
	char *socket_url = NULL;
	int err = set_text(&c->run_dir, "/run/gnomon", "");

	if (!err)
		err = set_text(&c->ram_socket, c->run_dir, "/ram.sock");
	if (!err)
		err = set_text(&socket_url, "ipc://", c->run_dir);
	if (!err)
		err = set_text(&c->publish_url, socket_url, "/guests.ipc");
	free(socket_url);
	if (!err && !c->top) {
		c->top = malloc(sizeof *c->top);
		if (c->top)
			*c->top = 10;
		else
			err = -ENOMEM;
	}
	set_number(&c->period_ms, 1000);
	set_number(&c->max_processes, 32768);
	set_number(&c->stale_ms, 1500);
	set_number(&c->give_up_s, 60);
	set_number(&c->stuck_s, 30);
	set_number(&c->leak_s, 300);
	set_number(&c->budget_us, 20000);
	set_number(&c->budget_kib, 262144);
	return err;
}

static int check_numbers(const struct gn_introspect_config *c, struct gn_status *status)
{
	const struct gn_yaml_range ranges[] = {
	        {"period_ms", c->period_ms, 100, 60000},
	        {"top", *c->top, 0, GN_TOP_MAX_N},
	        {"max_processes", c->max_processes, 16, GN_WALK_MAX},
	        {"stale_ms", c->stale_ms, 200, 600000},
	        {"give_up_s", c->give_up_s, 1, 86400},
	        {"stuck_s", c->stuck_s, 1, 86400},
	        {"leak_s", c->leak_s, 10, 86400},
	        {"budget_us", c->budget_us, 100, 1000000},
	        {"budget_kib", c->budget_kib, 64, 16777216},
	};

	return gn_yaml_check_ranges(ranges, N(ranges), status);
}

static int check(void *loaded, struct gn_status *status)
{
	struct gn_introspect_config *c = loaded;

	if (fill_defaults(c))
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	if (strncmp(c->publish_url, "ipc:///", 7) != 0)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "publish_url is '%s'; it must be a local socket, ipc:///path",
		                     c->publish_url);
	return check_numbers(c, status);
}

static const struct gn_yaml_format format = {
        .name = "gnomon-introspect.yaml",
        .schema = &schema,
        .check = check,
};

int gn_introspect_config_load(const char *path, struct gn_introspect_config **out,
                              struct gn_status *status)
{
	return gn_yaml_load(&format, path, (void **)out, status);
}

void gn_introspect_config_free(struct gn_introspect_config *config)
{
	gn_yaml_free(&format, config);
}
