/* config.h - gnomond's configuration file: YAML, checked whole, immutable once loaded.
 *
 * The schema (config.c) names every key with its default and range; unknown keys and
 * values out of range fail with a sentence. See gnomond.yaml beside this file. */
#ifndef GN_CONFIG_H
#define GN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/core/status.h"
#include "firmware/policy/policy.h"

struct gn_config_tls {
	char *ca;
	char *cert;
	char *key;
	char *name; /* of the server, for clients */
};

struct gn_config_endpoint {
	char *url;
	struct gn_config_tls *tls; /* with tls+tcp only */
};

struct gn_config_nic {
	char *name;
	uint32_t vlan;
	uint32_t queues;
	char *device; /* NULL: a vhost-user socket */
};

struct gn_config_disk {
	char *name;
	char *path;
	bool read_only;
	uint32_t queues;
	char *nbd_listen; /* NULL: not exported */
};

/* One resource's rules as written; 0 or absent: the default. */
struct gn_config_rules {
	enum gn_resource resource;
	uint32_t quantile_milli;
	uint32_t horizon_ms;
	int64_t minimum;
	int64_t maximum;
	int64_t step;
	uint32_t *headroom_milli; /* 0 is a value */
	uint32_t *dead_band_milli;
	uint32_t *cooldown_ms;
	uint64_t shrink_after_ms;
	int64_t max_change;
};

struct gn_config_policy {
	enum gn_policy_mode mode; /* 0: FORECAST_ONLY */
	struct gn_config_rules *resources;
	unsigned resources_count;
};

struct gn_config_vm {
	char *name; /* "vms/web-1" */
	struct gn_config_nic *nics;
	unsigned nics_count;
	struct gn_config_disk *disks;
	unsigned disks_count;
	struct gn_config_policy *policy; /* NULL: the card's */
};

struct gn_config_store {
	uint32_t raw_s;
	uint32_t minute_s;
	uint32_t five_minutes_s;
	uint32_t events; /* how many are kept */
	uint32_t plans;
};

/* Alerts and what is done with them; 0 or absent: the default. */
struct gn_config_alerts {
	char *exec; /* program that is run for each change of an alert; NULL: none */
	uint32_t exec_limit_s;
	uint32_t exec_concurrent;
	char *syslog; /* datagram socket, such as /dev/log; NULL: none */
	uint32_t raise_after_ms;
	uint32_t clear_after_ms;
	uint32_t failure_milli;  /* probability of a failure that is told */
	uint32_t shortage_milli; /* the same of a shortage */
	uint32_t per_month;      /* anomalies of one metric that are expected without a cause */
};

struct gn_config {
	char *board;
	char *state_dir;
	char *crash_dir; /* where gnomon-init keeps crash reports; NULL: nowhere */
	char *run_dir;
	char *pool_path;
	char *user;        /* to run as, when started by root; NULL: stay */
	char *local_group; /* who may open control_local and events_local besides 'user', or NULL */
	uint32_t period_ms;
	uint32_t predict_period_ms;
	uint32_t *horizons; /* in steps of predict_period_ms */
	unsigned horizons_count;
	uint32_t min_history; /* steps; 0: the predictor's */
	char *model_pack;     /* NULL: the experts that learn on the card are alone */
	char *model_key;      /* public key (PEM) that every pack must be signed with */
	uint32_t overcommit_milli;
	uint32_t reserve_mib;
	uint32_t max_vms;
	struct gn_config_store store;
	struct gn_config_alerts alerts;
	struct gn_config_endpoint *control;       /* operators */
	struct gn_config_endpoint *events;        /* operators */
	struct gn_config_endpoint *control_local; /* ipc */
	struct gn_config_endpoint *events_local;  /* ipc */
	struct gn_config_endpoint *dataplane;
	struct gn_config_endpoint *samples;
	struct gn_config_endpoint *guests;  /* NULL: guests are not looked into */
	struct gn_config_endpoint *updater; /* NULL: the card's image cannot be updated */
	struct gn_config_endpoint *shim;
	struct gn_config_policy *policy; /* of VMs that have none of their own; NULL: built in */
	struct gn_config_vm *vms;
	unsigned vms_count;
};

/* 0 or a negative errno with a sentence that names the file and the key. */
int gn_config_load(const char *path, struct gn_config **out, struct gn_status *status);
void gn_config_free(struct gn_config *config); /* NULL is fine */

/* The rules of every resource for a VM with this policy (NULL: none), over the card's. Both
 * have been checked. */
void gn_config_rules(const struct gn_config *config, const struct gn_config_policy *policy,
                     struct gn_policy_rules rules[GN_RESOURCE_END], enum gn_policy_mode *mode);

#endif
