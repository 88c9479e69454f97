/* config.c - see config.h. The schema is the documentation of the keys; defaults are set
 * in set_defaults(), ranges in the check functions. */
#include "firmware/config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/core/text.h"
#include "firmware/names/names.h"
#include "firmware/yaml/yaml.h"

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define POINTER  CYAML_FLAG_POINTER

static const cyaml_strval_t mode_values[] = {
        {"off", GN_POLICY_OFF},
        {"forecast_only", GN_POLICY_FORECAST_ONLY},
        {"enforce", GN_POLICY_ENFORCE},
};
static const cyaml_strval_t resource_values[] = {
        {"cpu", GN_RESOURCE_CPU},
        {"memory", GN_RESOURCE_MEMORY},
        {"network_rx", GN_RESOURCE_NETWORK_RX},
        {"network_tx", GN_RESOURCE_NETWORK_TX},
        {"disk_read", GN_RESOURCE_DISK_READ},
        {"disk_write", GN_RESOURCE_DISK_WRITE},
        {"disk_operations", GN_RESOURCE_DISK_OPERATIONS},
};

#define PATH(key, flags, type, member) CYAML_FIELD_STRING_PTR(key, flags, type, member, 1, 4095)
#define NAME(key, flags, type, member) CYAML_FIELD_STRING_PTR(key, flags, type, member, 1, 255)

static const cyaml_schema_field_t tls_fields[] = {
        PATH("ca", POINTER, struct gn_config_tls, ca),
        PATH("cert", POINTER, struct gn_config_tls, cert),
        PATH("key", POINTER, struct gn_config_tls, key),
        NAME("name", POINTER | OPTIONAL, struct gn_config_tls, name),
        CYAML_FIELD_END,
};
static const cyaml_schema_field_t endpoint_fields[] = {
        NAME("url", POINTER, struct gn_config_endpoint, url),
        CYAML_FIELD_MAPPING_PTR("tls", POINTER | OPTIONAL, struct gn_config_endpoint, tls,
                                tls_fields),
        CYAML_FIELD_END,
};
static const cyaml_schema_field_t nic_fields[] = {
        NAME("name", POINTER, struct gn_config_nic, name),
        CYAML_FIELD_UINT("vlan", OPTIONAL, struct gn_config_nic, vlan),
        CYAML_FIELD_UINT("queues", OPTIONAL, struct gn_config_nic, queues),
        NAME("device", POINTER | OPTIONAL, struct gn_config_nic, device),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t nic_schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct gn_config_nic, nic_fields),
};
static const cyaml_schema_field_t disk_fields[] = {
        NAME("name", POINTER, struct gn_config_disk, name),
        PATH("path", POINTER, struct gn_config_disk, path),
        GN_YAML_BOOL("read_only", OPTIONAL, struct gn_config_disk, read_only),
        CYAML_FIELD_UINT("queues", OPTIONAL, struct gn_config_disk, queues),
        NAME("nbd_listen", POINTER | OPTIONAL, struct gn_config_disk, nbd_listen),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t disk_schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct gn_config_disk, disk_fields),
};
static const cyaml_schema_field_t rules_fields[] = {
        CYAML_FIELD_ENUM("resource", CYAML_FLAG_STRICT, struct gn_config_rules, resource,
                         resource_values, CYAML_ARRAY_LEN(resource_values)),
        CYAML_FIELD_UINT("quantile_milli", OPTIONAL, struct gn_config_rules, quantile_milli),
        CYAML_FIELD_UINT("horizon_ms", OPTIONAL, struct gn_config_rules, horizon_ms),
        CYAML_FIELD_INT("minimum", OPTIONAL, struct gn_config_rules, minimum),
        CYAML_FIELD_INT("maximum", OPTIONAL, struct gn_config_rules, maximum),
        CYAML_FIELD_INT("step", OPTIONAL, struct gn_config_rules, step),
        CYAML_FIELD_UINT_PTR("headroom_milli", POINTER | OPTIONAL, struct gn_config_rules,
                             headroom_milli),
        CYAML_FIELD_UINT_PTR("dead_band_milli", POINTER | OPTIONAL, struct gn_config_rules,
                             dead_band_milli),
        CYAML_FIELD_UINT_PTR("cooldown_ms", POINTER | OPTIONAL, struct gn_config_rules,
                             cooldown_ms),
        CYAML_FIELD_UINT("shrink_after_ms", OPTIONAL, struct gn_config_rules, shrink_after_ms),
        CYAML_FIELD_INT("max_change", OPTIONAL, struct gn_config_rules, max_change),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t rules_schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct gn_config_rules, rules_fields),
};
static const cyaml_schema_field_t policy_fields[] = {
        CYAML_FIELD_ENUM("mode", OPTIONAL | CYAML_FLAG_STRICT, struct gn_config_policy, mode,
                         mode_values, CYAML_ARRAY_LEN(mode_values)),
        CYAML_FIELD_SEQUENCE("resources", POINTER | OPTIONAL, struct gn_config_policy, resources,
                             &rules_schema, 0, GN_RESOURCE_END - 1),
        CYAML_FIELD_END,
};
static const cyaml_schema_field_t vm_fields[] = {
        NAME("name", POINTER, struct gn_config_vm, name),
        CYAML_FIELD_SEQUENCE("nics", POINTER | OPTIONAL, struct gn_config_vm, nics, &nic_schema, 0,
                             16),
        CYAML_FIELD_SEQUENCE("disks", POINTER | OPTIONAL, struct gn_config_vm, disks, &disk_schema,
                             0, 16),
        CYAML_FIELD_MAPPING_PTR("policy", POINTER | OPTIONAL, struct gn_config_vm, policy,
                                policy_fields),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t vm_schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct gn_config_vm, vm_fields),
};
static const cyaml_schema_field_t store_fields[] = {
        CYAML_FIELD_UINT("raw_s", OPTIONAL, struct gn_config_store, raw_s),
        CYAML_FIELD_UINT("minute_s", OPTIONAL, struct gn_config_store, minute_s),
        CYAML_FIELD_UINT("five_minutes_s", OPTIONAL, struct gn_config_store, five_minutes_s),
        CYAML_FIELD_UINT("events", OPTIONAL, struct gn_config_store, events),
        CYAML_FIELD_UINT("plans", OPTIONAL, struct gn_config_store, plans),
        CYAML_FIELD_END,
};
#define ALERT_NUMBER(key) CYAML_FIELD_UINT(#key, OPTIONAL, struct gn_config_alerts, key)
static const cyaml_schema_field_t alerts_fields[] = {
        PATH("exec", POINTER | OPTIONAL, struct gn_config_alerts, exec),
        ALERT_NUMBER(exec_limit_s),
        ALERT_NUMBER(exec_concurrent),
        PATH("syslog", POINTER | OPTIONAL, struct gn_config_alerts, syslog),
        ALERT_NUMBER(raise_after_ms),
        ALERT_NUMBER(clear_after_ms),
        ALERT_NUMBER(failure_milli),
        ALERT_NUMBER(shortage_milli),
        ALERT_NUMBER(per_month),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t horizon_schema = {
        CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint32_t),
};

#define ENDPOINT(key, flags, member)                                                               \
	CYAML_FIELD_MAPPING_PTR(key, flags, struct gn_config, member, endpoint_fields)

static const cyaml_schema_field_t config_fields[] = {
        NAME("board", POINTER, struct gn_config, board),
        PATH("state_dir", POINTER, struct gn_config, state_dir),
        PATH("crash_dir", POINTER | OPTIONAL, struct gn_config, crash_dir),
        PATH("run_dir", POINTER, struct gn_config, run_dir),
        PATH("pool_path", POINTER | OPTIONAL, struct gn_config, pool_path),
        NAME("user", POINTER | OPTIONAL, struct gn_config, user),
        CYAML_FIELD_UINT("period_ms", OPTIONAL, struct gn_config, period_ms),
        CYAML_FIELD_UINT("predict_period_ms", OPTIONAL, struct gn_config, predict_period_ms),
        CYAML_FIELD_SEQUENCE("horizons", POINTER | OPTIONAL, struct gn_config, horizons,
                             &horizon_schema, 1, GN_PREDICT_MAX_HORIZONS),
        CYAML_FIELD_UINT("min_history", OPTIONAL, struct gn_config, min_history),
        PATH("model_pack", POINTER | OPTIONAL, struct gn_config, model_pack),
        PATH("model_key", POINTER | OPTIONAL, struct gn_config, model_key),
        CYAML_FIELD_UINT("overcommit_milli", OPTIONAL, struct gn_config, overcommit_milli),
        CYAML_FIELD_UINT("reserve_mib", OPTIONAL, struct gn_config, reserve_mib),
        CYAML_FIELD_UINT("max_vms", OPTIONAL, struct gn_config, max_vms),
        CYAML_FIELD_MAPPING("store", OPTIONAL, struct gn_config, store, store_fields),
        CYAML_FIELD_MAPPING("alerts", OPTIONAL, struct gn_config, alerts, alerts_fields),
        ENDPOINT("control", POINTER | OPTIONAL, control),
        ENDPOINT("events", POINTER | OPTIONAL, events),
        NAME("local_group", POINTER | OPTIONAL, struct gn_config, local_group),
        ENDPOINT("control_local", POINTER | OPTIONAL, control_local),
        ENDPOINT("events_local", POINTER | OPTIONAL, events_local),
        ENDPOINT("dataplane", POINTER, dataplane),
        ENDPOINT("samples", POINTER, samples),
        ENDPOINT("guests", POINTER | OPTIONAL, guests),
        ENDPOINT("updater", POINTER | OPTIONAL, updater),
        ENDPOINT("shim", POINTER, shim),
        CYAML_FIELD_MAPPING_PTR("policy", POINTER | OPTIONAL, struct gn_config, policy,
                                policy_fields),
        CYAML_FIELD_SEQUENCE("vms", POINTER | OPTIONAL, struct gn_config, vms, &vm_schema, 0, 4096),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t config_schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct gn_config, config_fields),
};

/* ---- defaults ---------------------------------------------------------------- */

static void set_default(uint32_t *field, uint32_t value)
{
	if (*field == 0)
		*field = value;
}

static int set_defaults(struct gn_config *c)
{
	static const uint32_t horizons[] = {5, 15, 30, 60};

	set_default(&c->period_ms, 1000);
	set_default(&c->predict_period_ms, c->period_ms);
	set_default(&c->overcommit_milli, 2000);
	set_default(&c->reserve_mib, 1024);
	set_default(&c->max_vms, 256);
	set_default(&c->store.raw_s, 3600);
	set_default(&c->store.minute_s, 2 * 86400);
	set_default(&c->store.five_minutes_s, 31 * 86400);
	set_default(&c->store.events, 10000);
	set_default(&c->store.plans, 10000);
	set_default(&c->alerts.exec_limit_s, 30);
	set_default(&c->alerts.exec_concurrent, 4);
	set_default(&c->alerts.raise_after_ms, 10000);
	set_default(&c->alerts.clear_after_ms, 300000);
	set_default(&c->alerts.failure_milli, 300);
	set_default(&c->alerts.shortage_milli, 100);
	set_default(&c->alerts.per_month, 1);
	if (c->horizons_count)
		return 0;
	c->horizons = malloc(sizeof horizons);
	if (!c->horizons)
		return -ENOMEM;
	memcpy(c->horizons, horizons, sizeof horizons);
	c->horizons_count = sizeof horizons / sizeof horizons[0];
	return 0;
}

/* ---- checks ------------------------------------------------------------------ */

static int check_numbers(const struct gn_config *c, struct gn_status *status)
{
	const struct gn_yaml_range ranges[] = {
	        {"period_ms", c->period_ms, 100, 60000},
	        {"predict_period_ms", c->predict_period_ms, c->period_ms, 3600000},
	        {"overcommit_milli", c->overcommit_milli, 100, 100000},
	        {"reserve_mib", c->reserve_mib, 1, 1u << 24},
	        {"max_vms", c->max_vms, 1, 4096},
	        {"store.raw_s", c->store.raw_s, 120, 7 * 86400},
	        {"store.minute_s", c->store.minute_s, c->store.raw_s, 60 * 86400},
	        {"store.five_minutes_s", c->store.five_minutes_s, c->store.minute_s, 366 * 86400},
	        {"store.events", c->store.events, 100, 10000000},
	        {"store.plans", c->store.plans, 100, 10000000},
	        {"alerts.exec_limit_s", c->alerts.exec_limit_s, 1, 3600},
	        {"alerts.exec_concurrent", c->alerts.exec_concurrent, 1, 16},
	        {"alerts.raise_after_ms", c->alerts.raise_after_ms, 1, 3600000},
	        {"alerts.clear_after_ms", c->alerts.clear_after_ms, 1, 86400000},
	        {"alerts.failure_milli", c->alerts.failure_milli, 1, 1000},
	        {"alerts.shortage_milli", c->alerts.shortage_milli, 1, 500},
	        {"alerts.per_month", c->alerts.per_month, 1, 1000},
	};
	unsigned i;

	if (gn_yaml_check_ranges(ranges, sizeof ranges / sizeof ranges[0], status))
		return -ERANGE;
	if (c->predict_period_ms % c->period_ms)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "predict_period_ms is %u; give a multiple of period_ms (%u)",
		                     c->predict_period_ms, c->period_ms);
	for (i = 0; i < c->horizons_count; i++)
		if (c->horizons[i] < (i ? c->horizons[i - 1] + 1 : 1) ||
		    c->horizons[i] > GN_PREDICT_MAX_HORIZON)
			return gn_status_set(status, GN_OUT_OF_RANGE,
			                     "horizons[%u] is %u; give ascending steps, 1 to %u", i,
			                     c->horizons[i], GN_PREDICT_MAX_HORIZON);
	return 0;
}

static int check_endpoint(const struct gn_config_endpoint *e, const char *key, bool local,
                          bool client, struct gn_status *status)
{
	bool tls;

	if (!e)
		return 0;
	tls = strncmp(e->url, "tls+tcp://", 10) == 0;
	if (!tls && strncmp(e->url, "ipc:///", 7) != 0)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%s.url is '%s'; give tls+tcp://host:port or ipc:///path", key,
		                     e->url);
	if (local && tls)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "%s.url is '%s'; it is for this machine only: give ipc:///path", key,
		        e->url);
	if (tls != (e->tls != NULL))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     tls ? "%s: tls+tcp needs 'tls' with ca, cert and key"
		                         : "%s: an ipc url has no 'tls'; remove it",
		                     key);
	if (tls && client && !e->tls->name)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%s.tls.name is missing; give the name that the server's "
		                     "certificate carries",
		                     key);
	return 0;
}

static int check_endpoints(const struct gn_config *c, struct gn_status *status)
{
	if (check_endpoint(c->control, "control", false, false, status) ||
	    check_endpoint(c->events, "events", false, false, status) ||
	    check_endpoint(c->control_local, "control_local", true, false, status) ||
	    check_endpoint(c->events_local, "events_local", true, false, status) ||
	    check_endpoint(c->dataplane, "dataplane", true, true, status) ||
	    check_endpoint(c->samples, "samples", true, true, status) ||
	    check_endpoint(c->guests, "guests", true, true, status) ||
	    check_endpoint(c->updater, "updater", true, true, status) ||
	    check_endpoint(c->shim, "shim", false, true, status))
		return -EINVAL;
	if (!c->control && !c->control_local)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "neither control nor control_local is given; give one, or "
		                     "nobody can reach gnomond");
	return 0;
}

static void apply_rules(const struct gn_config_policy *policy,
                        struct gn_policy_rules rules[GN_RESOURCE_END], enum gn_policy_mode *mode)
{
	unsigned i;

	if (!policy)
		return;
	if (policy->mode)
		*mode = policy->mode;
	for (i = 0; i < policy->resources_count; i++) {
		const struct gn_config_rules *from = &policy->resources[i];
		struct gn_policy_rules *to = &rules[from->resource];

		to->quantile_milli = from->quantile_milli ?: to->quantile_milli;
		to->horizon_us = from->horizon_ms ? from->horizon_ms * 1000ull : to->horizon_us;
		to->minimum = from->minimum ?: to->minimum;
		to->maximum = from->maximum ?: to->maximum;
		to->step = from->step ?: to->step;
		to->headroom_milli =
		        from->headroom_milli ? *from->headroom_milli : to->headroom_milli;
		to->dead_band_milli =
		        from->dead_band_milli ? *from->dead_band_milli : to->dead_band_milli;
		to->cooldown_us =
		        from->cooldown_ms ? *from->cooldown_ms * 1000ull : to->cooldown_us;
		to->shrink_after_us =
		        from->shrink_after_ms ? from->shrink_after_ms * 1000 : to->shrink_after_us;
		to->max_change = from->max_change ?: to->max_change;
	}
}

void gn_config_rules(const struct gn_config *config, const struct gn_config_policy *policy,
                     struct gn_policy_rules rules[GN_RESOURCE_END], enum gn_policy_mode *mode)
{
	*mode = GN_POLICY_FORECAST_ONLY;
	memcpy(rules, gn_policy_defaults, sizeof gn_policy_defaults);
	apply_rules(config->policy, rules, mode);
	apply_rules(policy, rules, mode);
}

static int check_policy(const struct gn_config *c, const struct gn_config_policy *policy,
                        const char *where, struct gn_status *status)
{
	struct gn_policy_rules rules[GN_RESOURCE_END];
	enum gn_policy_mode mode;
	char text[256];
	struct gn_text why;
	unsigned i;

	for (i = 0; policy && i < policy->resources_count; i++)
		if (policy->resources[i].shrink_after_ms > (uint64_t)1 << 40)
			return gn_status_set(
			        status, GN_OUT_OF_RANGE,
			        "%s: shrink_after_ms is %llu; give at most 2592000000", where,
			        (unsigned long long)policy->resources[i].shrink_after_ms);
	gn_config_rules(c, policy, rules, &mode);
	for (i = 1; i < GN_RESOURCE_END; i++) {
		gn_text_init(&why, text, sizeof text);
		if (gn_policy_check((enum gn_resource)i, &rules[i], &why))
			return gn_status_set(status, GN_INVALID_ARGUMENT, "%s: %s", where, text);
	}
	return 0;
}

static int check_devices(const struct gn_config_vm *vm, unsigned at, struct gn_status *status)
{
	unsigned i;

	for (i = 0; i < vm->nics_count; i++)
		if (!gn_name_is_device(vm->nics[i].name) || vm->nics[i].vlan > 4094 ||
		    vm->nics[i].queues > 8)
			return gn_status_set(
			        status, GN_INVALID_ARGUMENT,
			        "vms[%u].nics[%u] ('%s') is not right; give a name of [a-z0-9], "
			        "vlan 0 to 4094, queues 0 to 8",
			        at, i, vm->nics[i].name);
	for (i = 0; i < vm->disks_count; i++)
		if (!gn_name_is_device(vm->disks[i].name) || vm->disks[i].path[0] != '/' ||
		    vm->disks[i].queues > 16)
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "vms[%u].disks[%u] ('%s') is not right; give a "
			                     "name of [a-z0-9], an absolute path, queues 0 to 16",
			                     at, i, vm->disks[i].name);
	return 0;
}

static int check_vms(const struct gn_config *c, struct gn_status *status)
{
	unsigned i, k;

	for (i = 0; i < c->vms_count; i++) {
		const struct gn_config_vm *vm = &c->vms[i];
		char where[32];

		snprintf(where, sizeof where, "vms[%u].policy", i);
		if (!gn_name_is_vm(vm->name))
			return gn_status_set(
			        status, GN_INVALID_ARGUMENT,
			        "vms[%u].name is '%s'; give vms/<domain>, the domain of "
			        "[a-z0-9-], at most %d characters",
			        i, vm->name, GN_NAME_ID_MAX);
		for (k = 0; k < i; k++)
			if (strcmp(vm->name, c->vms[k].name) == 0)
				return gn_status_set(
				        status, GN_INVALID_ARGUMENT,
				        "vms[%u].name is '%s', which is listed before; "
				        "remove one",
				        i, vm->name);
		if (check_devices(vm, i, status) || check_policy(c, vm->policy, where, status))
			return -EINVAL;
	}
	if (c->vms_count > c->max_vms)
		return gn_status_set(status, GN_OUT_OF_RANGE,
		                     "max_vms is %u, but %u VMs are listed; raise it", c->max_vms,
		                     c->vms_count);
	return check_policy(c, c->policy, "policy", status);
}

/* ---- loading ----------------------------------------------------------------- */

static int check(void *loaded, struct gn_status *status)
{
	struct gn_config *c = loaded;

	if (set_defaults(c))
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	if (check_numbers(c, status) || check_endpoints(c, status) || check_vms(c, status))
		return -EINVAL;
	return 0;
}

static const struct gn_yaml_format format = {
        .name = "gnomond.yaml",
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
