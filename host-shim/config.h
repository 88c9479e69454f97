/* config.h - gnomon-shim.yaml, read once into an immutable struct. The schema in config.c is
 * its reference; unknown keys fail. README.md has an example. */
#ifndef GN_SHIM_CONFIG_H
#define GN_SHIM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/core/status.h"
#include "host-shim/observation.h"

struct gn_shim_tls {
	char *ca;
	char *cert;
	char *key;
};

struct gn_shim_limits {
	char **vms;
	unsigned vms_count;
	char **shadow_paths;
	unsigned shadow_paths_count;
	uint32_t max_vcpus;
	uint32_t min_memory_mib;
	uint32_t max_memory_mib;
	bool allow_shadow;
	bool allow_pause;
	bool allow_failover;
};

/* Without it nothing is observed. */
struct gn_shim_observe {
	bool threads;
	char **kinds;
	unsigned kinds_count;
	uint32_t max_seconds;
	uint32_t max_windows;
};

struct gn_shim_config {
	char *url;
	struct gn_shim_tls *tls; /* NULL: none, which only an ipc url may have */
	char *libvirt_uri;
	char *journal;
	struct gn_shim_limits limits;
	struct gn_shim_observe *observe; /* NULL: the owner did not opt in */
	char *agents;                    /* directory of gnomon-guest's channels; NULL: the same */
	char *drives;                    /* directory of smartctl's reports; NULL: the same */
	uint32_t verify_seconds;
	uint32_t stats_period_seconds;
};

/* Loads and checks the file. A sentence in 'status' names the file, the key and the value. */
int gn_shim_config_load(const char *path, struct gn_shim_config **out, struct gn_status *status);
/* Whether the files and directories that it names can be used by this process. */
int gn_shim_config_check_files(const struct gn_shim_config *config, struct gn_status *status);
void gn_shim_config_free(struct gn_shim_config *config); /* NULL is fine */

/* Borrows from 'config'. */
struct gn_command_limits gn_shim_config_limits(const struct gn_shim_config *config);
/* Of a configuration that has 'observe'; borrows 'limits' as well. */
struct gn_observation_rules gn_shim_config_rules(const struct gn_shim_config *config,
                                                 const struct gn_command_limits *limits);

#endif
