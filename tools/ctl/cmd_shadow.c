/* cmd_shadow.c - shadow create, list, show, update, delete. */
#include "tools/ctl/ctl.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "firmware/core/clock.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"
#include "tools/ctl/session.h"
#include "tools/ctl/table.h"
#include "tools/ctl/text.h"

#define TRIGGERS_MAX 8
#define RULES_MAX    4
#define LONGEST_US   (100ull * 365 * 86400 * 1000000)

/* The options of scaling, and where they go. */
static const struct {
	const char *option;
	bool is_size; /* else a number of vCPUs */
	size_t offset;
} scaling_options[] = {
        {"--vcpus", false, offsetof(Gnomon__V1__ShadowScaling, start_vcpus)},
        {"--vcpus-step", false, offsetof(Gnomon__V1__ShadowScaling, step_vcpus)},
        {"--vcpus-ceiling", false, offsetof(Gnomon__V1__ShadowScaling, ceiling_vcpus)},
        {"--memory", true, offsetof(Gnomon__V1__ShadowScaling, start_memory_bytes)},
        {"--memory-step", true, offsetof(Gnomon__V1__ShadowScaling, step_memory_bytes)},
        {"--memory-ceiling", true, offsetof(Gnomon__V1__ShadowScaling, ceiling_memory_bytes)},
};
#define N_SCALING (sizeof scaling_options / sizeof scaling_options[0])

/* A shadow as the options describe it, and which fields they named. */
struct description {
	Gnomon__V1__Shadow shadow;
	Gnomon__V1__ShadowScaling scaling;
	bool scaling_given[N_SCALING];
	Gnomon__V1__ShadowTrigger triggers[TRIGGERS_MAX], *trigger_of[TRIGGERS_MAX];
	Gnomon__V1__ShadowReplication replication;
	Gnomon__V1__SnapshotRule rules[RULES_MAX], *rule_of[RULES_MAX];
	bool mode_given, rate_given, journal_given;
	Gnomon__V1__ShadowSchedule schedule;
	bool first_given, every_given;
	Gnomon__V1__ShadowSchedule rehearse;
	struct gn_ctl_session session;
	char *mask[9];
	size_t n_mask;
};

static void name_field(struct description *d, const char *field)
{
	d->mask[d->n_mask++] = (char *)field;
}

static void take_scaling(struct gn_ctl_arguments *a, struct description *d)
{
	char *base = (char *)&d->scaling;
	uint64_t number;
	const char *value;

	for (size_t i = 0; i < N_SCALING; i++) {
		const char *option = scaling_options[i].option;

		if (!gn_ctl_option(a, option, &value))
			continue;
		if (scaling_options[i].is_size) {
			if (gn_parse_bytes(value, (uint64_t *)(base + scaling_options[i].offset)))
				gn_ctl_usage("%s %s: give a size such as 512MiB", option, value);
		} else {
			if (gn_parse_number(value, 4096, &number))
				gn_ctl_usage("%s %s: give a number of vCPUs", option, value);
			*(uint32_t *)(base + scaling_options[i].offset) = (uint32_t)number;
		}
		d->scaling_given[i] = true;
		d->shadow.scaling = &d->scaling;
	}
	if (d->shadow.scaling)
		name_field(d, "scaling");
}

static void take_triggers(struct gn_ctl_arguments *a, struct description *d)
{
	bool is_never = false, any = false;
	const char *value;

	d->shadow.triggers = d->trigger_of;
	for (; gn_ctl_option(a, "--when", &value); any = true) {
		size_t n = d->shadow.n_triggers;

		if (!strcmp(value, "never")) {
			is_never = true;
			continue;
		}
		if (n == TRIGGERS_MAX)
			gn_ctl_usage("at most %d --when", TRIGGERS_MAX);
		if (gn_parse_trigger(value, &d->triggers[n]))
			gn_ctl_usage("--when '%s': give RESOURCE VALUE for DURATION, as in 'cpu "
			             "3.5 for 5min'",
			             value);
		d->trigger_of[n] = &d->triggers[n];
		d->shadow.n_triggers++;
	}
	if (is_never && d->shadow.n_triggers)
		gn_ctl_usage("--when never leaves no room for another --when");
	if (any)
		name_field(d, "triggers");
}

static void take_schedule(struct gn_ctl_arguments *a, struct description *d)
{
	const char *value;
	uint64_t after_us = 0;
	bool is_never = false;

	if (gn_ctl_option(a, "--after", &value)) {
		if (gn_parse_duration(value, &after_us) || after_us > LONGEST_US)
			gn_ctl_usage("--after %s: give a duration such as 10min", value);
		d->first_given = true;
	}
	if (gn_ctl_option(a, "--every", &value)) {
		is_never = !strcmp(value, "never");
		if (!is_never && gn_parse_duration(value, &d->schedule.every_us))
			gn_ctl_usage("--every %s: give a duration such as 1d, or never", value);
		d->every_given = true;
	}
	if (!d->first_given && !d->every_given)
		return;
	name_field(d, "schedule");
	if (is_never && !d->first_given)
		return;
	d->schedule.first_us = gn_clock_wall_us() + after_us;
	d->shadow.schedule = &d->schedule;
}

static void take_rehearsals(struct gn_ctl_arguments *a, struct description *d)
{
	const char *value;

	if (!gn_ctl_option(a, "--rehearse-every", &value))
		return;
	name_field(d, "rehearse");
	if (!strcmp(value, "never"))
		return;
	gnomon__v1__shadow_schedule__init(&d->rehearse);
	if (gn_parse_duration(value, &d->rehearse.every_us) || !d->rehearse.every_us ||
	    d->rehearse.every_us > LONGEST_US)
		gn_ctl_usage("--rehearse-every %s: give a duration such as 7d, or never", value);
	d->rehearse.first_us = gn_clock_wall_us();
	d->shadow.rehearse = &d->rehearse;
}

static void take_probe(struct gn_ctl_arguments *a, struct description *d)
{
	const char *value, *from;
	bool is_given = gn_ctl_option(a, "--probe", &value);

	if (gn_ctl_option(a, "--probe-from", &from)) {
		if (!is_given)
			gn_ctl_usage("--probe-from %s: give --probe as well", from);
		d->shadow.probe_from = (char *)from;
	}
	if (!is_given)
		return;
	name_field(d, "probe");
	if (strcmp(value, "traffic") != 0)
		d->shadow.probe = (char *)value;
}

/* By number: control.proto. */
static const char *const replication_modes[] = {"default", "off", "async", "in-step"};

static void take_mode(const char *value, Gnomon__V1__ShadowReplication *replication)
{
	for (int i = 0; i < 4; i++)
		if (!strcmp(value, replication_modes[i])) {
			replication->mode = (Gnomon__V1__ShadowReplication__Mode)i;
			return;
		}
	gn_ctl_usage("--replication %s: give off, async or in-step", value);
}

static void take_replication(struct gn_ctl_arguments *a, struct description *d)
{
	const char *value;

	if (gn_ctl_option(a, "--replication", &value)) {
		take_mode(value, &d->replication);
		d->mode_given = true;
	}
	if (gn_ctl_option(a, "--resync-rate", &value)) {
		if (gn_parse_bytes(value, &d->replication.resync_bytes_per_s))
			gn_ctl_usage("--resync-rate %s: give bytes per second such as 100MiB, or 0 "
			             "for no limit",
			             value);
		d->rate_given = true;
	}
	if (gn_ctl_option(a, "--journal", &value)) {
		if (gn_parse_bytes(value, &d->replication.journal_bytes))
			gn_ctl_usage("--journal %s: give a size such as 256MiB", value);
		d->journal_given = true;
	}
	if (!d->mode_given && !d->rate_given && !d->journal_given)
		return;
	d->shadow.replication = &d->replication;
	name_field(d, "replication");
}

/* "1h:24" */
static void take_rule(const char *value, Gnomon__V1__SnapshotRule *rule)
{
	char duration[32];
	const char *colon = strchr(value, ':');
	uint64_t keep = 0;

	gnomon__v1__snapshot_rule__init(rule);
	if (colon && colon - value < (long)sizeof duration) {
		snprintf(duration, sizeof duration, "%.*s", (int)(colon - value), value);
		if (!gn_parse_duration(duration, &rule->every_us) &&
		    !gn_parse_number(colon + 1, 100, &keep) && keep) {
			rule->keep = (uint32_t)keep;
			return;
		}
	}
	gn_ctl_usage("--snapshots %s: give DURATION:NUMBER such as 1h:24, or never", value);
}

static void take_rules(struct gn_ctl_arguments *a, struct description *d)
{
	bool any = false;
	const char *value;

	d->shadow.snapshots = d->rule_of;
	for (; gn_ctl_option(a, "--snapshots", &value); any = true) {
		size_t n = d->shadow.n_snapshots;

		if (!strcmp(value, "never"))
			continue;
		if (n == RULES_MAX)
			gn_ctl_usage("at most %d --snapshots", RULES_MAX);
		take_rule(value, &d->rules[n]);
		d->rule_of[n] = &d->rules[n];
		d->shadow.n_snapshots++;
	}
	if (any)
		name_field(d, "snapshots");
}

static void take_start(struct gn_ctl_arguments *a, struct description *d, bool is_update)
{
	bool stops = is_update && gn_ctl_flag(a, "--stop");

	d->shadow.start = gn_ctl_flag(a, "--start");
	if (d->shadow.start && stops)
		gn_ctl_usage("--start and --stop exclude each other");
	if (d->shadow.start || stops)
		name_field(d, "start");
}

static void take_hold(struct gn_ctl_arguments *a, struct description *d)
{
	bool releases = gn_ctl_flag(a, "--release");

	d->shadow.hold = gn_ctl_flag(a, "--hold");
	if (d->shadow.hold && releases)
		gn_ctl_usage("--hold and --release exclude each other");
	if (d->shadow.hold || releases)
		name_field(d, "hold");
}

static void take_options(struct gn_ctl_arguments *a, struct description *d, bool is_update)
{
	const char *pool;

	gnomon__v1__shadow__init(&d->shadow);
	gnomon__v1__shadow_scaling__init(&d->scaling);
	gnomon__v1__shadow_schedule__init(&d->schedule);
	gnomon__v1__shadow_replication__init(&d->replication);
	take_start(a, d, is_update);
	if (is_update)
		take_hold(a, d);
	if (!is_update && gn_ctl_option(a, "--pool", &pool))
		d->shadow.pool_path = (char *)pool;
	take_scaling(a, d);
	take_replication(a, d);
	take_rules(a, d);
	take_triggers(a, d);
	take_schedule(a, d);
	take_rehearsals(a, d);
	take_probe(a, d);
	if (gn_ctl_session_options(a, &d->session)) {
		d->shadow.mirror = &d->session.mirror;
		name_field(d, "mirror");
	}
	d->shadow.name = (char *)gn_ctl_vm_name(a, "/shadow");
	gn_ctl_end(a);
}

/* The update mask names whole messages; what the options leave out of one is kept from the
 * shadow as it is, whose strings and filters are then borrowed. */
static void keep_rest(struct description *d, const Gnomon__V1__Shadow *current)
{
	const char *from = (const char *)current->scaling;

	for (size_t i = 0; from && i < N_SCALING; i++) {
		size_t offset = scaling_options[i].offset;

		if (!d->scaling_given[i])
			memcpy((char *)&d->scaling + offset, from + offset,
			       scaling_options[i].is_size ? sizeof(uint64_t) : sizeof(uint32_t));
	}
	if (current->replication && !d->mode_given)
		d->replication.mode = current->replication->mode;
	if (current->replication && !d->rate_given)
		d->replication.resync_bytes_per_s = current->replication->resync_bytes_per_s;
	if (current->replication && !d->journal_given)
		d->replication.journal_bytes = current->replication->journal_bytes;
	if (current->schedule && !d->first_given)
		d->schedule.first_us = current->schedule->first_us;
	if (current->schedule && !d->every_given)
		d->schedule.every_us = current->schedule->every_us;
	gn_ctl_session_keep(&d->session, current->mirror);
}

/* ---- printing ------------------------------------------------------------------------ */

/* Its counters are those of 'mirror show'. */
static void print_mirror(const Gnomon__V1__Mirror *m)
{
	static const char *const directions[] = {"both directions", "what it receives",
	                                         "what it sends"};
	char sample[48] = "", cut[48] = "";
	unsigned direction = (unsigned)m->direction < 3 ? (unsigned)m->direction : 0;

	if (m->sample_one_in > 1)
		snprintf(sample, sizeof sample, ", one packet in %u", m->sample_one_in);
	if (m->truncate_bytes)
		snprintf(cut, sizeof cut, ", cut after %u bytes", m->truncate_bytes);
	gn_output_field("mirror", "%s, %zu filter%s%s%s", directions[direction], m->n_filters,
	                m->n_filters == 1 ? "" : "s", sample, cut);
}

static const char *size_or(uint64_t bytes, const char *none, char *text)
{
	return bytes ? gn_format_bytes(bytes, text, GN_FORMAT_SIZE) : none;
}

/* 0 stands for a default, which control.proto names. */
static void print_scaling(const Gnomon__V1__ShadowScaling *s)
{
	char start[GN_FORMAT_SIZE], step[GN_FORMAT_SIZE], most[GN_FORMAT_SIZE];

	if (s->ceiling_vcpus)
		snprintf(most, sizeof most, "%u", s->ceiling_vcpus);
	gn_output_field("vCPUs", "starts with %u, step %u, ceiling %s",
	                s->start_vcpus ? s->start_vcpus : 1, s->step_vcpus ? s->step_vcpus : 1,
	                s->ceiling_vcpus ? most : "production's");
	gn_output_field("memory", "starts with %s, step %s, ceiling %s",
	                size_or(s->start_memory_bytes, "production's current", start),
	                size_or(s->step_memory_bytes, "any", step),
	                size_or(s->ceiling_memory_bytes, "production's", most));
}

static void print_trigger(const Gnomon__V1__ShadowTrigger *t)
{
	char value[GN_FORMAT_SIZE], duration[GN_FORMAT_SIZE];

	gn_output_field("trigger", "%s above %s for %s", gn_format_resource((int)t->resource),
	                gn_format_demand((int)t->resource, t->threshold, value, sizeof value),
	                gn_format_duration(t->for_us, duration, sizeof duration));
}

static void print_schedule(const char *field, const Gnomon__V1__ShadowSchedule *s, uint64_t now)
{
	char first[GN_FORMAT_SIZE], every[GN_FORMAT_SIZE];

	if (!s->first_us && !s->every_us)
		return;
	gn_output_field(field, "first %s, %s%s",
	                gn_format_when(s->first_us, now, first, sizeof first),
	                s->every_us ? "then every " : "once",
	                s->every_us ? gn_format_duration(s->every_us, every, sizeof every) : "");
}

static void print_lag(const Gnomon__V1__ShadowLag *lag)
{
	char a[GN_FORMAT_SIZE], b[GN_FORMAT_SIZE];

	gn_output_field(
	        "behind", "%s in %s writes, the oldest %s old",
	        gn_format_bytes(lag->bytes, a, sizeof a), gn_format_count(lag->writes, b, sizeof b),
	        lag->us ? gn_format_duration(lag->us, (char[GN_FORMAT_SIZE]){0}, GN_FORMAT_SIZE)
	                : "0 s");
	gn_output_field("journal", "%s of %s", gn_format_bytes(lag->journal_bytes, a, sizeof a),
	                gn_format_bytes(lag->journal_size_bytes, b, sizeof b));
	if (!lag->resync_left_bytes)
		return;
	gn_output_field("resync", "%s copied, %s left",
	                gn_format_bytes(lag->resync_done_bytes, a, sizeof a),
	                gn_format_bytes(lag->resync_left_bytes, b, sizeof b));
	if (lag->resync_left_us)
		gn_output_field("", "about %s",
		                gn_format_duration(lag->resync_left_us, a, sizeof a));
}

static void print_disk(const Gnomon__V1__ShadowDisk *disk)
{
	const Gnomon__V1__VolumeMirrorStatus *s = disk->status;

	gn_output_field("disk", "%s: %s follows %s", disk->name, disk->path, disk->volume);
	if (s && s->message[0])
		gn_output_field("", "%s%s%s", s->message, s->error ? ": " : "",
		                s->error ? strerror(-s->error) : "");
}

static void print_replication(const Gnomon__V1__Shadow *s)
{
	const Gnomon__V1__ShadowReplication *r = s->replication;
	unsigned mode = r && (unsigned)r->mode < 4 ? (unsigned)r->mode : 0;
	char rate[GN_FORMAT_SIZE];

	gn_output_field("replication", "%s%s%s%s", mode ? replication_modes[mode] : "async",
	                r && r->resync_bytes_per_s ? ", resynchronised at most " : "",
	                r && r->resync_bytes_per_s
	                        ? gn_format_bytes(r->resync_bytes_per_s, rate, sizeof rate)
	                        : "",
	                r && r->resync_bytes_per_s ? " a second" : "");
	if (s->lag)
		print_lag(s->lag);
	for (size_t i = 0; i < s->n_disks; i++)
		print_disk(s->disks[i]);
}

static void print_shadow(const Gnomon__V1__Shadow *s)
{
	char text[GN_FORMAT_SIZE];
	uint64_t now = gn_clock_wall_us();

	gn_output_line("%s  %s%s%s", s->name, s->armed ? "armed" : gn_text_shadow_state(s->state),
	               s->reason[0] ? ": " : "", s->reason);
	gn_output_field("domain", "%s%s%s, %s", s->domain, s->uuid[0] ? " " : "", s->uuid,
	                s->runs    ? "runs"
	                : s->start ? "to be running"
	                           : "defined, ready to start");
	gn_output_field("made", "%s%s%s", gn_format_when(s->created_us, now, text, sizeof text),
	                s->made_by[0] ? " by " : "", s->made_by);
	gn_output_field("disk as of", "%s",
	                gn_format_when(s->disk_point_us, now, text, sizeof text));
	if (s->runs && s->run_point_us)
		gn_output_field("runs on", "a copy of its disks as of %s",
		                gn_format_when(s->run_point_us, now, text, sizeof text));
	print_replication(s);
	if (s->pool_path[0])
		gn_output_field("pool", "%s", s->pool_path);
	if (s->scaling)
		print_scaling(s->scaling);
	for (size_t i = 0; i < s->n_snapshots; i++)
		gn_output_field("snapshots", "one every %s, the newest %u",
		                gn_format_duration(s->snapshots[i]->every_us, text, sizeof text),
		                s->snapshots[i]->keep);
	for (size_t i = 0; i < s->n_triggers; i++)
		print_trigger(s->triggers[i]);
	if (s->schedule)
		print_schedule("schedule", s->schedule, now);
	if (s->rehearse)
		print_schedule("rehearsals", s->rehearse, now);
	if (s->probe[0])
		gn_output_field("probe", "%s%s%s", s->probe, s->probe_from[0] ? " from " : "",
		                s->probe_from);
	if (s->rehearsal)
		gn_ctl_rehearsal_print(&s->rehearsal->base);
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

	take_options(arguments, &d, false);
	return print_reply(ctl, gn_ctl_call(ctl, "CreateShadow", &d.shadow.base));
}

int gn_ctl_shadow_update(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	static struct description d;
	Gnomon__V1__UpdateShadowRequest request = GNOMON__V1__UPDATE_SHADOW_REQUEST__INIT;
	ProtobufCMessage *current, *reply;

	take_options(arguments, &d, true);
	if (!d.n_mask)
		gn_ctl_usage("nothing to change: give --start, --stop, --vcpus, --when, --every, "
		             "--replication, --filter, ...");
	current = gn_ctl_call_name(ctl, "GetShadow", d.shadow.name);
	keep_rest(&d, (const Gnomon__V1__Shadow *)current);
	request.shadow = &d.shadow;
	request.update_mask = d.mask;
	request.n_update_mask = d.n_mask;
	reply = gn_ctl_call(ctl, "UpdateShadow", &request.base);
	gn_ctl_free(current);
	return print_reply(ctl, reply);
}

int gn_ctl_shadow_show(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = gn_ctl_vm_name(arguments, "/shadow");

	gn_ctl_end(arguments);
	return print_reply(ctl, gn_ctl_call_name(ctl, "GetShadow", name));
}

static void print_list(const Gnomon__V1__ShadowList *list)
{
	static const char *const heads[] = {"SHADOW",  "STATE",   "DOMAIN", "DISK AS OF",
	                                    ">BEHIND", ">WRITES", "REASON", NULL};
	struct gn_table *table = gn_table_create(heads);
	char text[GN_FORMAT_SIZE];

	for (size_t i = 0; i < list->n_shadows; i++) {
		const Gnomon__V1__Shadow *s = list->shadows[i];

		gn_table_add(table, "%s", s->name);
		gn_table_add(table, "%s", s->armed ? "armed" : gn_text_shadow_state(s->state));
		gn_table_add(table, "%s", s->domain);
		gn_table_add(
		        table, "%s",
		        gn_format_when(s->disk_point_us, gn_clock_wall_us(), text, sizeof text));
		gn_table_add(table, "%s",
		             s->lag ? gn_format_bytes(s->lag->bytes, text, sizeof text) : "-");
		gn_table_add(table, "%s",
		             s->lag ? gn_format_count(s->lag->writes, text, sizeof text) : "-");
		gn_table_add(table, "%s", s->reason);
	}
	gn_table_print(table);
}

int gn_ctl_shadow_list(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__ShadowList *list;

	gn_ctl_end(arguments);
	list = (Gnomon__V1__ShadowList *)gn_ctl_call_empty(ctl, "ListShadows");
	if (!gn_ctl_print_json(ctl, &list->base)) {
		if (list->n_shadows)
			print_list(list);
		else
			puts("no shadows");
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
		gn_output_line("%s is removed", name);
	gn_ctl_free(reply);
	return GN_CTL_OK;
}

int gn_ctl_shadow_promote(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__PromoteShadowRequest request = GNOMON__V1__PROMOTE_SHADOW_REQUEST__INIT;
	const char *value;

	request.accept_loss = gn_ctl_flag(arguments, "--accept-loss");
	if (gn_ctl_option(arguments, "--accept", &value)) {
		request.accept_loss = true;
		if (gn_parse_duration(value, &request.accept_us) || !request.accept_us)
			gn_ctl_usage("--accept %s: give a duration such as 5s or 2min", value);
	}
	request.name = (char *)gn_ctl_vm_name(arguments, "/shadow");
	gn_ctl_end(arguments);
	return gn_ctl_plan_print(ctl, gn_ctl_call(ctl, "PromoteShadow", &request.base));
}
