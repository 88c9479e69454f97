/* cmd_shadow.c - shadow create, list, show, update, delete. */
#include "tools/ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "firmware/core/clock.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/parse.h"
#include "tools/ctl/session.h"
#include "tools/ctl/table.h"
#include "tools/ctl/text.h"

#define TRIGGERS_MAX 8

/* A shadow as the options describe it, and which fields they named. */
struct description {
	Gnomon__V1__Shadow shadow;
	Gnomon__V1__ShadowScaling scaling;
	Gnomon__V1__ShadowTrigger triggers[TRIGGERS_MAX], *trigger_of[TRIGGERS_MAX];
	Gnomon__V1__ShadowSchedule schedule;
	struct gn_ctl_session session;
	char *mask[8];
	size_t n_mask;
};

static void name_field(struct description *d, const char *field)
{
	d->mask[d->n_mask++] = (char *)field;
}

static bool take_count(struct gn_ctl_arguments *a, const char *option, uint32_t *out)
{
	const char *value;
	uint64_t number;

	if (!gn_ctl_option(a, option, &value))
		return false;
	if (gn_parse_number(value, 4096, &number))
		gn_ctl_usage("%s %s: give a number of vCPUs", option, value);
	*out = (uint32_t)number;
	return true;
}

static bool take_size(struct gn_ctl_arguments *a, const char *option, uint64_t *out)
{
	const char *value;

	if (!gn_ctl_option(a, option, &value))
		return false;
	if (gn_parse_bytes(value, out))
		gn_ctl_usage("%s %s: give a size such as 512MiB", option, value);
	return true;
}

static void take_scaling(struct gn_ctl_arguments *a, struct description *d)
{
	Gnomon__V1__ShadowScaling *s = &d->scaling;
	bool any = take_count(a, "--vcpus", &s->start_vcpus);

	any |= take_count(a, "--vcpus-step", &s->step_vcpus);
	any |= take_count(a, "--vcpus-ceiling", &s->ceiling_vcpus);
	any |= take_size(a, "--memory", &s->start_memory_bytes);
	any |= take_size(a, "--memory-step", &s->step_memory_bytes);
	any |= take_size(a, "--memory-ceiling", &s->ceiling_memory_bytes);
	if (any) {
		d->shadow.scaling = s;
		name_field(d, "scaling");
	}
}

/* "cpu 3.5 for 5min" */
static void parse_trigger(const char *text, Gnomon__V1__ShadowTrigger *trigger)
{
	char resource[32], value[32], duration[32];

	gnomon__v1__shadow_trigger__init(trigger);
	if (sscanf(text, "%31s %31s for %31s", resource, value, duration) != 3 ||
	    !(trigger->resource = (Gnomon__V1__Resource)gn_parse_resource(resource)) ||
	    gn_parse_demand((int)trigger->resource, value, &trigger->threshold) ||
	    gn_parse_duration(duration, &trigger->for_us))
		gn_ctl_usage(
		        "--when '%s': give RESOURCE VALUE for DURATION, as in 'cpu 3.5 for 5min'",
		        text);
}

static void take_triggers(struct gn_ctl_arguments *a, struct description *d)
{
	const char *value;
	size_t n = 0;

	d->shadow.triggers = d->trigger_of;
	while (n < TRIGGERS_MAX && gn_ctl_option(a, "--when", &value)) {
		parse_trigger(value, &d->triggers[n]);
		d->trigger_of[n] = &d->triggers[n];
		n++;
	}
	d->shadow.n_triggers = n;
	if (n)
		name_field(d, "triggers");
}

static void take_schedule(struct gn_ctl_arguments *a, struct description *d)
{
	const char *value;
	uint64_t after_us = 0;
	bool any = false;

	if (gn_ctl_option(a, "--after", &value)) {
		if (gn_parse_duration(value, &after_us))
			gn_ctl_usage("--after %s: give a duration such as 10min", value);
		any = true;
	}
	if (gn_ctl_option(a, "--every", &value)) {
		if (gn_parse_duration(value, &d->schedule.every_us))
			gn_ctl_usage("--every %s: give a duration such as 1d", value);
		any = true;
	}
	if (!any)
		return;
	d->schedule.first_us = gn_clock_wall_us() + after_us;
	d->shadow.schedule = &d->schedule;
	name_field(d, "schedule");
}

static void take_options(struct gn_ctl_arguments *a, struct description *d)
{
	const char *pool;

	gnomon__v1__shadow__init(&d->shadow);
	gnomon__v1__shadow_scaling__init(&d->scaling);
	gnomon__v1__shadow_schedule__init(&d->schedule);
	if (gn_ctl_flag(a, "--start")) {
		d->shadow.start = true;
		name_field(d, "start");
	}
	if (gn_ctl_flag(a, "--stop"))
		name_field(d, "start");
	if (gn_ctl_option(a, "--pool", &pool))
		d->shadow.pool_path = (char *)pool;
	take_scaling(a, d);
	take_triggers(a, d);
	take_schedule(a, d);
	if (gn_ctl_session_options(a, &d->session)) {
		d->shadow.mirror = &d->session.mirror;
		name_field(d, "mirror");
	}
	d->shadow.name = (char *)gn_ctl_vm_name(a, "/shadow");
	gn_ctl_end(a);
}

/* ---- printing ------------------------------------------------------------------------ */

static void print_mirror(const Gnomon__V1__Mirror *m)
{
	const Gnomon__V1__MirrorCounters *c = m->counters;

	if (c)
		printf("mirror      %" PRIu64 " seen = %" PRIu64 " copied + %" PRIu64
		       " filtered + %" PRIu64 " sampled out + %" PRIu64 " dropped\n",
		       c->seen, c->copied, c->filtered, c->sampled_out, c->dropped);
}

static void print_shadow(const Gnomon__V1__Shadow *s)
{
	char text[GN_FORMAT_SIZE];
	uint64_t now = gn_clock_wall_us();

	printf("%s  %s%s%s\n", s->name, s->armed ? "armed" : gn_text_shadow_state(s->state),
	       s->reason[0] ? ": " : "", s->reason);
	printf("domain      %s%s%s  %s\n", s->domain, s->uuid[0] ? " " : "", s->uuid,
	       s->start ? "started" : "defined, ready to start");
	printf("made        %s by %s\n", gn_format_when(s->created_us, now, text, sizeof text),
	       s->made_by[0] ? s->made_by : "-");
	printf("disk as of  %s\n", gn_format_when(s->disk_point_us, now, text, sizeof text));
	if (s->scaling)
		printf("scaling     starts with %u vCPUs, step %u, ceiling %u\n",
		       s->scaling->start_vcpus, s->scaling->step_vcpus, s->scaling->ceiling_vcpus);
	for (size_t i = 0; i < s->n_triggers; i++) {
		const Gnomon__V1__ShadowTrigger *t = s->triggers[i];
		char value[GN_FORMAT_SIZE];

		printf("trigger     %s above %s for %s\n", gn_format_resource((int)t->resource),
		       gn_format_demand((int)t->resource, t->threshold, value, sizeof value),
		       gn_format_duration(t->for_us, text, sizeof text));
	}
	if (s->mirror)
		print_mirror(s->mirror);
}

static int print_reply(struct gn_ctl *ctl, ProtobufCMessage *reply)
{
	if (!gn_ctl_print_json(ctl, reply))
		print_shadow((const Gnomon__V1__Shadow *)reply);
	gn_ctl_free(reply);
	return GN_CTL_OK;
}

/* ---- commands ------------------------------------------------------------------------ */

int gn_ctl_shadow_create(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	static struct description d;

	take_options(arguments, &d);
	return print_reply(ctl, gn_ctl_call(ctl, "CreateShadow", &d.shadow.base));
}

int gn_ctl_shadow_update(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	static struct description d;
	Gnomon__V1__UpdateShadowRequest request = GNOMON__V1__UPDATE_SHADOW_REQUEST__INIT;

	take_options(arguments, &d);
	if (!d.n_mask)
		gn_ctl_usage("nothing to change: give --start, --stop, --vcpus, --when, --every, "
		             "--filter, "
		             "...");
	request.shadow = &d.shadow;
	request.update_mask = d.mask;
	request.n_update_mask = d.n_mask;
	return print_reply(ctl, gn_ctl_call(ctl, "UpdateShadow", &request.base));
}

int gn_ctl_shadow_show(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = gn_ctl_vm_name(arguments, "/shadow");

	gn_ctl_end(arguments);
	return print_reply(ctl, gn_ctl_call_name(ctl, "GetShadow", name));
}

int gn_ctl_shadow_list(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	static const char *const heads[] = {"SHADOW",     "STATE",  "DOMAIN",
	                                    "DISK AS OF", "REASON", NULL};
	Gnomon__V1__ShadowList *list;

	gn_ctl_end(arguments);
	list = (Gnomon__V1__ShadowList *)gn_ctl_call_empty(ctl, "ListShadows");
	if (!gn_ctl_print_json(ctl, &list->base)) {
		struct gn_table *table = gn_table_create(heads);
		char text[GN_FORMAT_SIZE];

		for (size_t i = 0; i < list->n_shadows; i++) {
			const Gnomon__V1__Shadow *s = list->shadows[i];

			gn_table_add(table, "%s", s->name);
			gn_table_add(table, "%s",
			             s->armed ? "armed" : gn_text_shadow_state(s->state));
			gn_table_add(table, "%s", s->domain);
			gn_table_add(table, "%s",
			             gn_format_when(s->disk_point_us, gn_clock_wall_us(), text,
			                            sizeof text));
			gn_table_add(table, "%s", s->reason);
		}
		gn_table_print(table);
	}
	gn_ctl_free(&list->base);
	return GN_CTL_OK;
}

int gn_ctl_shadow_delete(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = gn_ctl_vm_name(arguments, "/shadow");
	ProtobufCMessage *reply;

	gn_ctl_end(arguments);
	reply = gn_ctl_call_name(ctl, "DeleteShadow", name);
	if (!gn_ctl_print_json(ctl, reply))
		printf("%s is removed\n", name);
	gn_ctl_free(reply);
	return GN_CTL_OK;
}
