/* config.c - see config.h. */
#include "host-shim/config.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "firmware/yaml/yaml.h"

#define VERIFY_SECONDS_DEFAULT 30
#define MIN_MEMORY_MIB_DEFAULT 64
#define MAX_SECONDS_DEFAULT    60
#define MAX_WINDOWS_DEFAULT    2

static const cyaml_schema_value_t text_schema = {
        CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 255),
};

static const cyaml_schema_field_t tls_fields[] = {
        CYAML_FIELD_STRING_PTR("ca", CYAML_FLAG_POINTER, struct gn_shim_tls, ca, 1, 4095),
        CYAML_FIELD_STRING_PTR("cert", CYAML_FLAG_POINTER, struct gn_shim_tls, cert, 1, 4095),
        CYAML_FIELD_STRING_PTR("key", CYAML_FLAG_POINTER, struct gn_shim_tls, key, 1, 4095),
        CYAML_FIELD_END,
};

static const cyaml_schema_field_t limits_fields[] = {
        /* Name patterns, '*' and '?': the VMs that a card may command. */
        CYAML_FIELD_SEQUENCE("vms", CYAML_FLAG_POINTER, struct gn_shim_limits, vms, &text_schema, 0,
                             256),
        /* Directories below which shadows' sockets, files and pools lie. */
        CYAML_FIELD_SEQUENCE("shadow_paths", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                             struct gn_shim_limits, shadow_paths, &text_schema, 0, 32),
        CYAML_FIELD_UINT("max_vcpus", CYAML_FLAG_DEFAULT, struct gn_shim_limits, max_vcpus),
        CYAML_FIELD_UINT("min_memory_mib", CYAML_FLAG_OPTIONAL, struct gn_shim_limits,
                         min_memory_mib),
        CYAML_FIELD_UINT("max_memory_mib", CYAML_FLAG_DEFAULT, struct gn_shim_limits,
                         max_memory_mib),
        GN_YAML_BOOL("allow_shadow", CYAML_FLAG_OPTIONAL, struct gn_shim_limits, allow_shadow),
        GN_YAML_BOOL("allow_pause", CYAML_FLAG_OPTIONAL, struct gn_shim_limits, allow_pause),
        GN_YAML_BOOL("allow_failover", CYAML_FLAG_OPTIONAL, struct gn_shim_limits, allow_failover),
        CYAML_FIELD_END,
};

static const cyaml_schema_field_t observe_fields[] = {
        /* QEMU's threads, read once a period: costs next to nothing. */
        GN_YAML_BOOL("threads", CYAML_FLAG_OPTIONAL, struct gn_shim_observe, threads),
        /* Windows that a card may open: runq, oncpu, blockio, syscalls. */
        CYAML_FIELD_SEQUENCE("kinds", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                             struct gn_shim_observe, kinds, &text_schema, 0, GN_WINDOW_KINDS),
        /* The longest window, and how many at once. */
        CYAML_FIELD_UINT("max_seconds", CYAML_FLAG_OPTIONAL, struct gn_shim_observe, max_seconds),
        CYAML_FIELD_UINT("max_windows", CYAML_FLAG_OPTIONAL, struct gn_shim_observe, max_windows),
        CYAML_FIELD_END,
};

static const cyaml_schema_field_t config_fields[] = {
        CYAML_FIELD_STRING_PTR("url", CYAML_FLAG_POINTER, struct gn_shim_config, url, 1, 255),
        CYAML_FIELD_MAPPING_PTR("tls", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                                struct gn_shim_config, tls, tls_fields),
        CYAML_FIELD_STRING_PTR("libvirt_uri", CYAML_FLAG_POINTER, struct gn_shim_config,
                               libvirt_uri, 1, 1023),
        CYAML_FIELD_STRING_PTR("journal", CYAML_FLAG_POINTER, struct gn_shim_config, journal, 1,
                               4000),
        CYAML_FIELD_MAPPING("limits", CYAML_FLAG_DEFAULT, struct gn_shim_config, limits,
                            limits_fields),
        CYAML_FIELD_MAPPING_PTR("observe", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                                struct gn_shim_config, observe, observe_fields),
        /* Where QEMU listens for gnomon-guest's channels, as <domain>.sock. */
        CYAML_FIELD_STRING_PTR("agents", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                               struct gn_shim_config, agents, 1, 80),
        /* Where gnomon-drives has smartctl write its reports, as *.json. */
        CYAML_FIELD_STRING_PTR("drives", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                               struct gn_shim_config, drives, 1, 255),
        CYAML_FIELD_UINT("verify_seconds", CYAML_FLAG_OPTIONAL, struct gn_shim_config,
                         verify_seconds),
        CYAML_FIELD_UINT("stats_period_seconds", CYAML_FLAG_OPTIONAL, struct gn_shim_config,
                         stats_period_seconds),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t config_schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct gn_shim_config, config_fields),
};

static int check_limits(const struct gn_shim_limits *l, struct gn_status *status)
{
	const struct gn_yaml_range ranges[] = {
	        {"limits.max_vcpus", l->max_vcpus, 1, 4096},
	        {"limits.max_memory_mib", l->max_memory_mib, l->min_memory_mib, UINT32_MAX},
	};
	int err;

	if (!l->vms_count)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "limits.vms is empty; name the VMs that a card may "
		                     "command ('*' for all)");
	err = gn_yaml_check_ranges(ranges, 2, status);
	if (!err && l->allow_shadow && !l->shadow_paths_count)
		err = gn_status_set(status, GN_INVALID_ARGUMENT,
		                    "limits.allow_shadow needs limits.shadow_paths: the "
		                    "directories in which shadows may have sockets and files");
	for (unsigned i = 0; i < l->shadow_paths_count && !err; i++)
		if (!gn_command_path_valid(l->shadow_paths[i], GN_VM_PATH_SIZE))
			err = gn_status_set(status, GN_INVALID_ARGUMENT,
			                    "limits.shadow_paths[%u] is '%s'; use an absolute "
			                    "path of [A-Za-z0-9._+/-] without '..' or a final '/'",
			                    i, l->shadow_paths[i]);
	return err;
}

static int check_observe(struct gn_shim_observe *o, struct gn_status *status)
{
	enum gn_window_kind kind;

	if (!o->max_seconds)
		o->max_seconds = MAX_SECONDS_DEFAULT;
	if (!o->max_windows)
		o->max_windows = MAX_WINDOWS_DEFAULT;
	for (unsigned i = 0; i < o->kinds_count; i++)
		if (gn_window_kind_parse(o->kinds[i], &kind))
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "observe.kinds[%u] is '%s'; use runq, oncpu, blockio "
			                     "or syscalls",
			                     i, o->kinds[i]);
	return gn_yaml_check_ranges(
	        (const struct gn_yaml_range[]){
	                {"observe.max_seconds", o->max_seconds, 1, GN_OBSERVATION_MAXIMUM_S},
	                {"observe.max_windows", o->max_windows, 1, GN_OBSERVATION_OPEN_MAX},
	        },
	        2, status);
}

static int check(void *loaded, struct gn_status *status)
{
	struct gn_shim_config *c = loaded;
	bool ipc = !strncmp(c->url, "ipc://", 6);
	int err;

	if (!c->verify_seconds)
		c->verify_seconds = VERIFY_SECONDS_DEFAULT;
	if (!c->limits.min_memory_mib)
		c->limits.min_memory_mib = MIN_MEMORY_MIB_DEFAULT;
	if (ipc != (c->tls == NULL))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     ipc ? "tls does not go with an ipc url; remove it"
		                         : "url is '%s'; it needs tls, with ca, cert and key",
		                     c->url);
	if (c->journal[0] != '/')
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "journal is '%s'; use an absolute path", c->journal);
	err = gn_yaml_check_ranges(
	        (const struct gn_yaml_range[]){
	                {"verify_seconds", c->verify_seconds, 1, 3600},
	                /* 0: the guests' reports stay as they are. */
	                {"stats_period_seconds", c->stats_period_seconds, 0, 3600},
	        },
	        2, status);
	if (!err && c->observe)
		err = check_observe(c->observe, status);
	return err ? err : check_limits(&c->limits, status);
}

static const struct gn_yaml_format format = {
        .name = "shim.yaml (gnomon-shim --help shows an example)",
        .schema = &config_schema,
        .check = check,
};

int gn_shim_config_load(const char *path, struct gn_shim_config **out, struct gn_status *status)
{
	return gn_yaml_load(&format, path, (void **)out, status);
}

static int check_access(const char *path, int mode, const char *what, struct gn_status *status)
{
	if (access(path, mode) == 0)
		return 0;
	return gn_status_set(status, gn_code_from_errno(errno), "%s, %s, cannot be used: %s", what,
	                     path, strerror(errno));
}

int gn_shim_config_check_files(const struct gn_shim_config *c, struct gn_status *status)
{
	char directory[4096];
	int error = 0;

	if (c->tls) {
		error = check_access(c->tls->ca, R_OK, "tls.ca", status);
		if (!error)
			error = check_access(c->tls->cert, R_OK, "tls.cert", status);
		if (!error)
			error = check_access(c->tls->key, R_OK, "tls.key", status);
	}
	snprintf(directory, sizeof directory, "%s", c->journal);
	if (!error)
		error = check_access(dirname(directory), W_OK | X_OK, "the journal's directory",
		                     status);
	if (!error && c->drives)
		error = check_access(c->drives, R_OK | X_OK, "drives", status);
	return error;
}

void gn_shim_config_free(struct gn_shim_config *config)
{
	gn_yaml_free(&format, config);
}

struct gn_command_limits gn_shim_config_limits(const struct gn_shim_config *config)
{
	const struct gn_shim_limits *l = &config->limits;

	return (struct gn_command_limits){
	        .vms = (const char *const *)l->vms,
	        .n_vms = l->vms_count,
	        .shadow_paths = (const char *const *)l->shadow_paths,
	        .n_shadow_paths = l->shadow_paths_count,
	        .max_vcpus = l->max_vcpus,
	        .min_memory_bytes = (uint64_t)l->min_memory_mib << 20,
	        .max_memory_bytes = (uint64_t)l->max_memory_mib << 20,
	        .allow_shadow = l->allow_shadow,
	        .allow_pause = l->allow_pause,
	        .allow_failover = l->allow_failover,
	};
}

struct gn_observation_rules gn_shim_config_rules(const struct gn_shim_config *config,
                                                 const struct gn_command_limits *limits)
{
	const struct gn_shim_observe *o = config->observe;
	struct gn_observation_rules rules = {
	        .threads = o->threads,
	        .maximum_us = o->max_seconds * 1000000ull,
	        .maximum_windows = o->max_windows,
	        .limits = limits,
	};
	enum gn_window_kind kind;
	unsigned i;

	for (i = 0; i < o->kinds_count; i++)
		if (gn_window_kind_parse(o->kinds[i], &kind) == 0)
			rules.kinds[kind] = true;
	return rules;
}
