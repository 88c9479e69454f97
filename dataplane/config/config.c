/* config.c - see config.h. */
#include "dataplane/config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/yaml/yaml.h"

#define TEXT(key, member, max)                                                                     \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, STRUCT, member, 1,   \
	                       max)
#define NUMBER(key, member) CYAML_FIELD_UINT(key, CYAML_FLAG_OPTIONAL, STRUCT, member)
#define FLAG(key, member)   GN_YAML_BOOL(key, CYAML_FLAG_OPTIONAL, STRUCT, member)
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

static int check_url(const char *key, const char *url, struct gn_status *status)
{
	if (strncmp(url, "ipc:///", 7) == 0)
		return 0;
	return gn_status_set(status, GN_INVALID_ARGUMENT,
	                     "%s is '%s'; it must be a local socket, ipc:///path", key, url);
}

static int check(void *loaded, struct gn_status *status)
{
	struct gn_config *config = loaded;
	int err;

	if (fill_defaults(config) != 0)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	err = gn_yaml_check_ranges(
	        (const struct gn_yaml_range[]){
	                {"period_ms", config->period_ms, 100, 60000},
	                {"flows_per_vm", config->flows_per_vm, 64, 1u << 20},
	                {"max_frame_bytes", config->max_frame_bytes, 1518, 9728},
	        },
	        3, status);
	if (!err && (config->flows_per_vm & (config->flows_per_vm - 1)))
		err = gn_status_set(status, GN_INVALID_ARGUMENT,
		                    "flows_per_vm is %u; it must be a power of two",
		                    config->flows_per_vm);
	if (!err)
		err = check_url("control_url", config->control_url, status);
	if (!err)
		err = check_url("telemetry_url", config->telemetry_url, status);
	return err;
}

static const struct gn_yaml_format format = {
        .name = "gnomon-dataplane.yaml",
        .schema = &config_schema,
        .check = check,
};

int gn_config_load(const char *path, struct gn_config **out, struct gn_status *status)
{
	return gn_yaml_load(&format, path, (void **)out, status);
}

void gn_config_free(struct gn_config *config)
{
	gn_yaml_free(&format, config);
}
