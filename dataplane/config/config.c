/* config.c - see config.h. */
#include "dataplane/config/config.h"

#include <cyaml/cyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(key, member, max)                                                                     \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, STRUCT, member, 1,   \
	                       max)
#define NUMBER(key, member) CYAML_FIELD_UINT(key, CYAML_FLAG_OPTIONAL, STRUCT, member)
#define FLAG(key, member)   CYAML_FIELD_BOOL(key, CYAML_FLAG_OPTIONAL, STRUCT, member)
#define NEEDED(key, member, max)                                                                   \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, STRUCT, member, 1, max)

static const cyaml_schema_value_t vlan_schema = {CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint32_t)};

#define STRUCT struct gn_config_port
static const cyaml_schema_field_t port_fields[] = {
        NEEDED("name", name, 80),
        TEXT("vm", vm, 80),
        TEXT("socket_path", socket_path, 107),
        TEXT("devargs", devargs, 255),
        NUMBER("vlan", vlan),
        CYAML_FIELD_SEQUENCE("trunk_vlans", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, STRUCT,
                             trunk_vlans, &vlan_schema, 0, 4095),
        FLAG("isolated", isolated),
        FLAG("uplink", uplink),
        NUMBER("queues", queues),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t port_schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, STRUCT, port_fields)};
#undef STRUCT

#define STRUCT struct gn_config_volume
static const cyaml_schema_field_t volume_fields[] = {
        NEEDED("name", name, 80),   NEEDED("vm", vm, 80),
        NEEDED("path", path, 4095), TEXT("socket_path", socket_path, 107),
        TEXT("serial", serial, 20), FLAG("read_only", read_only),
        NUMBER("queues", queues),   CYAML_FIELD_END,
};
static const cyaml_schema_value_t volume_schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, STRUCT, volume_fields)};
#undef STRUCT

#define STRUCT struct gn_config_tls
static const cyaml_schema_field_t tls_fields[] = {
        NEEDED("ca_file", ca_file, 4095),
        NEEDED("cert_file", cert_file, 4095),
        NEEDED("key_file", key_file, 4095),
        CYAML_FIELD_END,
};
#undef STRUCT

#define STRUCT struct gn_config
static const cyaml_schema_field_t config_fields[] = {
        NEEDED("board", board, 4095),
        TEXT("run_dir", run_dir, 80),
        TEXT("state_dir", state_dir, 4000),
        TEXT("control_url", control_url, 200),
        TEXT("telemetry_url", telemetry_url, 200),
        NUMBER("period_ms", period_ms),
        NUMBER("flows_per_vm", flows_per_vm),
        NUMBER("max_frame_bytes", max_frame_bytes),
        TEXT("socket_user", socket_user, 64),
        TEXT("file_prefix", file_prefix, 64),
        CYAML_FIELD_SEQUENCE("ports", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, STRUCT, ports,
                             &port_schema, 0, 256),
        CYAML_FIELD_SEQUENCE("volumes", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, STRUCT, volumes,
                             &volume_schema, 0, 256),
        CYAML_FIELD_MAPPING_PTR("nbd_tls", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, STRUCT,
                                nbd_tls, tls_fields),
        CYAML_FIELD_MAPPING_PTR("nbd_client_tls", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, STRUCT,
                                nbd_client_tls, tls_fields),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t config_schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, STRUCT, config_fields)};
#undef STRUCT

#define MESSAGE_SIZE 256

/* Keeps libcyaml's first error and the innermost place of the backtrace that follows. */
static void keep_message(cyaml_log_t level, void *context, const char *format, va_list args)
{
	char *text = context;
	size_t used = strlen(text);

	if (level < CYAML_LOG_ERROR || strstr(format, "Backtrace") || strstr(text, "(line"))
		return;
	vsnprintf(text + used, MESSAGE_SIZE - used, format, args);
	text[strcspn(text, "\n")] = '\0';
}

static cyaml_config_t loader(char *text)
{
	text[0] = '\0';
	return (cyaml_config_t){.log_fn = keep_message,
	                        .log_ctx = text,
	                        .mem_fn = cyaml_mem,
	                        .log_level = CYAML_LOG_ERROR};
}

/* -1: out of memory. */
static int set_default(char **field, const char *format, const char *argument)
{
	char *text = NULL;

	if (*field)
		return 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	if (asprintf(&text, format, argument) < 0)
		return -1;
#pragma GCC diagnostic pop
	*field = text;
	return 0;
}

static int fill_defaults(struct gn_config *config)
{
	if (!config->period_ms)
		config->period_ms = 1000;
	if (!config->flows_per_vm)
		config->flows_per_vm = 4096;
	if (!config->max_frame_bytes)
		config->max_frame_bytes = 2048;
	return set_default(&config->run_dir, "%s", "/run/gnomon") |
	       set_default(&config->state_dir, "%s", "/var/lib/gnomon/dataplane") |
	       set_default(&config->file_prefix, "%s", "gnomon") |
	       set_default(&config->control_url, "ipc://%s/dataplane.ipc", config->run_dir) |
	       set_default(&config->telemetry_url, "ipc://%s/samples.ipc", config->run_dir);
}

static int check_number(const char *path, const char *key, uint32_t value, uint32_t min,
                        uint32_t max, struct gn_status *status)
{
	if (value >= min && value <= max)
		return 0;
	return gn_status_set(status, GN_OUT_OF_RANGE, "%s: %s is %u; it must be %u to %u", path,
	                     key, value, min, max);
}

static int check_url(const char *path, const char *key, const char *url, struct gn_status *status)
{
	if (strncmp(url, "ipc:///", 7) == 0)
		return 0;
	return gn_status_set(status, GN_INVALID_ARGUMENT,
	                     "%s: %s is '%s'; it must be a local socket, ipc:///path", path, key,
	                     url);
}

static int check(const char *path, const struct gn_config *config, struct gn_status *status)
{
	int err = check_number(path, "period_ms", config->period_ms, 100, 60000, status);

	if (!err)
		err = check_number(path, "flows_per_vm", config->flows_per_vm, 64, 1u << 20,
		                   status);
	if (!err && (config->flows_per_vm & (config->flows_per_vm - 1)))
		err = gn_status_set(status, GN_INVALID_ARGUMENT,
		                    "%s: flows_per_vm is %u; it must be a power of two", path,
		                    config->flows_per_vm);
	if (!err)
		err = check_number(path, "max_frame_bytes", config->max_frame_bytes, 1518, 9728,
		                   status);
	if (!err)
		err = check_url(path, "control_url", config->control_url, status);
	if (!err)
		err = check_url(path, "telemetry_url", config->telemetry_url, status);
	return err;
}

int gn_config_load(const char *path, struct gn_config **out, struct gn_status *status)
{
	char text[MESSAGE_SIZE];
	cyaml_config_t cyaml = loader(text);
	struct gn_config *config = NULL;
	cyaml_err_t failed;
	int err;

	failed = cyaml_load_file(path, &cyaml, &config_schema, (cyaml_data_t **)&config, NULL);
	if (failed == CYAML_ERR_FILE_OPEN)
		return gn_status_set(
		        status, GN_NOT_FOUND,
		        "%s: cannot be opened; give the path of a gnomon-dataplane.yaml", path);
	if (failed != CYAML_OK || !config)
		return gn_status_set(status, GN_INVALID_ARGUMENT, "%s: %s", path,
		                     *text    ? text
		                     : failed ? cyaml_strerror(failed)
		                              : "it is empty");
	if (fill_defaults(config) != 0)
		err = gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	else
		err = check(path, config, status);
	if (err) {
		gn_config_free(config);
		return err;
	}
	*out = config;
	return 0;
}

void gn_config_free(struct gn_config *config)
{
	char text[MESSAGE_SIZE];
	cyaml_config_t cyaml = loader(text);

	if (config)
		cyaml_free(&cyaml, &config_schema, config, 0);
}
