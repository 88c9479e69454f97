/* cmd_policy.c - policy get, set. The options of 'set' come from one table: for each
 * resource --RESOURCE-FIELD. */
#include "tools/ctl/ctl.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"
#include "tools/ctl/table.h"
#include "tools/ctl/text.h"

#define N_RESOURCES GN_FORMAT_RESOURCES
#define N_SETTINGS  (sizeof settings / sizeof settings[0])
#define MASK_MAX    (1 + N_RESOURCES * 10)

enum kind { VALUE, MILLI, DURATION };

static const struct {
	const char *option; /* after "--RESOURCE-" */
	const char *field;  /* of ResourcePolicy */
	enum kind kind;
	size_t offset;
} settings[] = {
        {"quantile", "quantile_milli", MILLI, offsetof(Gnomon__V1__ResourcePolicy, quantile_milli)},
        {"horizon", "horizon_us", DURATION, offsetof(Gnomon__V1__ResourcePolicy, horizon_us)},
        {"min", "minimum", VALUE, offsetof(Gnomon__V1__ResourcePolicy, minimum)},
        {"max", "maximum", VALUE, offsetof(Gnomon__V1__ResourcePolicy, maximum)},
        {"step", "step", VALUE, offsetof(Gnomon__V1__ResourcePolicy, step)},
        {"headroom", "headroom_milli", MILLI, offsetof(Gnomon__V1__ResourcePolicy, headroom_milli)},
        {"dead-band", "dead_band_milli", MILLI,
         offsetof(Gnomon__V1__ResourcePolicy, dead_band_milli)},
        {"cooldown", "cooldown_us", DURATION, offsetof(Gnomon__V1__ResourcePolicy, cooldown_us)},
        {"shrink-after", "shrink_after_us", DURATION,
         offsetof(Gnomon__V1__ResourcePolicy, shrink_after_us)},
        {"max-change", "max_change", VALUE, offsetof(Gnomon__V1__ResourcePolicy, max_change)},
};

struct change {
	Gnomon__V1__Policy policy;
	Gnomon__V1__ResourcePolicy resources[N_RESOURCES + 1];
	Gnomon__V1__ResourcePolicy *resource_of[N_RESOURCES];
	char paths[MASK_MAX][64];
	char *mask[MASK_MAX];
	size_t n_mask;
};

_Static_assert(MASK_MAX == 1 + N_RESOURCES * N_SETTINGS, "room for every path");

/* "mode", or "resources.network_rx.maximum": the mask has '_' where options have '-'. */
static void name_path(struct change *c, const char *resource, const char *field)
{
	char *path = c->paths[c->n_mask];

	if (resource)
		snprintf(path, sizeof c->paths[0], "resources.%s.%s", resource, field);
	else
		snprintf(path, sizeof c->paths[0], "%s", field);
	for (char *dash = path; (dash = strchr(dash, '-'));)
		*dash = '_';
	c->mask[c->n_mask++] = path;
}

static const char *const examples[N_RESOURCES + 1] = {
        "",       "1.5 (vCPUs)",     "512MiB",          "10Mbit",
        "10Mbit", "20MB (a second)", "20MB (a second)", "500 (a second)",
};

static void store(char *base, size_t i, int resource, const char *option, const char *text)
{
	uint64_t number;
	int64_t value;

	switch (settings[i].kind) {
	case VALUE:
		if (gn_parse_demand(resource, text, &value))
			gn_ctl_usage("%s '%s': give a value such as %s", option, text,
			             examples[resource]);
		*(int64_t *)(base + settings[i].offset) = value;
		return;
	case MILLI:
		if (gn_parse_milli(text, &number) || number > UINT32_MAX)
			gn_ctl_usage("%s '%s': give a share such as 0.95", option, text);
		*(uint32_t *)(base + settings[i].offset) = (uint32_t)number;
		return;
	case DURATION:
		if (gn_parse_duration(text, &number))
			gn_ctl_usage("%s '%s': give a duration such as 30s", option, text);
		*(uint64_t *)(base + settings[i].offset) = number;
		return;
	}
}

static void take_resource(struct gn_ctl_arguments *a, struct change *c, int resource)
{
	Gnomon__V1__ResourcePolicy *r = &c->resources[resource];
	size_t before = c->n_mask;
	const char *value;
	char option[64];

	gnomon__v1__resource_policy__init(r);
	r->resource = (Gnomon__V1__Resource)resource;
	for (size_t i = 0; i < N_SETTINGS; i++) {
		snprintf(option, sizeof option, "--%s-%s", gn_format_resource(resource),
		         settings[i].option);
		if (!gn_ctl_option(a, option, &value))
			continue;
		store((char *)r, i, resource, option, value);
		name_path(c, gn_format_resource(resource), settings[i].field);
	}
	if (c->n_mask > before)
		c->policy.resources[c->policy.n_resources++] = r;
}

static void take_mode(struct gn_ctl_arguments *a, struct change *c)
{
	const char *value;

	if (!gn_ctl_option(a, "--mode", &value))
		return;
	if (!strcmp(value, "off"))
		c->policy.mode = GNOMON__V1__MODE__OFF;
	else if (!strcmp(value, "forecast-only") || !strcmp(value, "forecast_only"))
		c->policy.mode = GNOMON__V1__MODE__FORECAST_ONLY;
	else if (!strcmp(value, "enforce"))
		c->policy.mode = GNOMON__V1__MODE__ENFORCE;
	else
		gn_ctl_usage("--mode %s: give off, forecast-only or enforce", value);
	name_path(c, NULL, "mode");
}

/* ---- printing ------------------------------------------------------------------------ */

static const char *limit(int resource, int64_t value, const char *none, char *text)
{
	return value ? gn_format_demand(resource, value, text, GN_FORMAT_SIZE) : none;
}

static void add_limits(struct gn_table *table, const Gnomon__V1__ResourcePolicy *r)
{
	char text[GN_FORMAT_SIZE];
	int resource = (int)r->resource;

	gn_table_add(table, "%s", gn_format_resource(resource));
	gn_table_add(table, "%s", limit(resource, r->minimum, "0", text));
	gn_table_add(table, "%s", limit(resource, r->maximum, "as defined", text));
	gn_table_add(table, "%s", limit(resource, r->step, "any", text));
	gn_table_add(table, "%s", limit(resource, r->max_change, "no limit", text));
}

static void add_pace(struct gn_table *table, const Gnomon__V1__ResourcePolicy *r)
{
	char text[GN_FORMAT_SIZE];

	gn_table_add(table, "%s", gn_format_resource((int)r->resource));
	gn_table_add(table, "P%g", r->quantile_milli / 10.0);
	gn_table_add(table, "%s", gn_format_duration(r->horizon_us, text, sizeof text));
	gn_table_add(table, "%g %%", r->headroom_milli / 10.0);
	gn_table_add(table, "%g %%", r->dead_band_milli / 10.0);
	gn_table_add(table, "%s", gn_format_duration(r->cooldown_us, text, sizeof text));
	gn_table_add(table, "%s", gn_format_duration(r->shrink_after_us, text, sizeof text));
}

/* Two tables, since one of all columns is wider than most terminals. */
static void print_policy(const Gnomon__V1__Policy *policy)
{
	static const char *const limit_heads[] = {"RESOURCE", ">MIN",        ">MAX",
	                                          ">STEP",    ">MAX CHANGE", NULL};
	static const char *const pace_heads[] = {"RESOURCE",      "QUANTILE",   ">HORIZON",
	                                         ">HEADROOM",     ">DEAD BAND", ">COOLDOWN",
	                                         ">SHRINK AFTER", NULL};
	struct gn_table *limits = gn_table_create(limit_heads), *pace = gn_table_create(pace_heads);

	gn_output_line("%s  %s", policy->name, gn_text_mode(policy->mode));
	for (size_t i = 0; i < policy->n_resources; i++) {
		add_limits(limits, policy->resources[i]);
		add_pace(pace, policy->resources[i]);
	}
	putchar('\n');
	gn_table_print(limits);
	putchar('\n');
	gn_table_print(pace);
}

static int print_reply(struct gn_ctl *ctl, ProtobufCMessage *reply)
{
	if (!gn_ctl_print_json(ctl, reply))
		print_policy((const Gnomon__V1__Policy *)reply);
	gn_ctl_free(reply);
	return GN_CTL_OK;
}

int gn_ctl_policy_get(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = gn_ctl_vm_name(arguments, "/policy");

	gn_ctl_end(arguments);
	return print_reply(ctl, gn_ctl_call_name(ctl, "GetPolicy", name));
}

int gn_ctl_policy_set(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	static struct change c;
	Gnomon__V1__UpdatePolicyRequest request = GNOMON__V1__UPDATE_POLICY_REQUEST__INIT;

	gnomon__v1__policy__init(&c.policy);
	c.policy.resources = c.resource_of;
	take_mode(arguments, &c);
	for (int i = 1; i <= N_RESOURCES; i++)
		take_resource(arguments, &c, i);
	c.policy.name = (char *)gn_ctl_vm_name(arguments, "/policy");
	gn_ctl_end(arguments);
	if (!c.n_mask)
		gn_ctl_usage("nothing to change: give --mode, --cpu-max, ...");
	request.policy = &c.policy;
	request.update_mask = c.mask;
	request.n_update_mask = c.n_mask;
	return print_reply(ctl, gn_ctl_call(ctl, "UpdatePolicy", &request.base));
}
