/* cmd_plan.c - plan list, show, approve, reject. */
#include "tools/ctl/ctl.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "firmware/core/clock.h"
#include "firmware/core/status.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"
#include "tools/ctl/table.h"
#include "tools/ctl/text.h"

static void print_list(const Gnomon__V1__PlanList *list)
{
	static const char *const heads[] = {"PLAN", "STATE", "MADE", "WHY", NULL};
	struct gn_table *table = gn_table_create(heads);
	char text[GN_FORMAT_SIZE];

	for (size_t i = 0; i < list->n_plans; i++) {
		const Gnomon__V1__Plan *p = list->plans[i];

		gn_table_add(table, "%s", p->name);
		gn_table_add(table, "%s%s", gn_text_plan_state(p->state),
		             p->must_move ? ", must move" : "");
		gn_table_add(table, "%s",
		             gn_format_when(p->created_us, gn_clock_wall_us(), text, sizeof text));
		gn_table_add(table, "%s", p->reason);
	}
	gn_table_print(table);
}

int gn_ctl_plan_list(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__ListPlansRequest request = GNOMON__V1__LIST_PLANS_REQUEST__INIT;
	const char *value;
	bool names = gn_ctl_flag(arguments, "--names");
	uint64_t limit = 20;
	Gnomon__V1__PlanList *list;

	request.pending_only = gn_ctl_flag(arguments, "--pending");
	if (gn_ctl_option(arguments, "--limit", &value) &&
	    (gn_parse_number(value, 1000, &limit) || !limit))
		gn_ctl_usage("--limit %s: give 1 to 1000", value);
	request.limit = (uint32_t)limit;
	if (arguments->n_words)
		request.vm = (char *)gn_ctl_vm_name(arguments, "");
	gn_ctl_end(arguments);
	list = (Gnomon__V1__PlanList *)gn_ctl_call(ctl, "ListPlans", &request.base);
	if (names) {
		for (size_t i = 0; i < list->n_plans; i++)
			puts(list->plans[i]->name);
	} else if (!gn_ctl_print_json(ctl, &list->base)) {
		if (list->n_plans)
			print_list(list);
		else
			puts(request.pending_only
			             ? "no plans wait for approval"
			             : "no plans: nothing needs to be changed, or there is "
			               "too little history yet");
	}
	gn_ctl_free(&list->base);
	return GN_CTL_OK;
}

/* ---- one plan ------------------------------------------------------------------------ */

static void print_inputs(const Gnomon__V1__PlanInputs *in)
{
	const struct {
		const char *what;
		int64_t value;
	} values[] = {
	        {"seen now", in->observed},   {"forecast", in->predicted},
	        {"allocated", in->allocated}, {"wanted", in->uncapped_target},
	        {"allowed", in->target},      {"host has left", in->host_free},
	};
	char text[GN_FORMAT_SIZE], error[GN_FORMAT_SIZE];

	gn_output_field("inputs", "%s, P%g within %s, from %" PRIu64 " samples",
	                gn_format_resource((int)in->resource), in->quantile_milli / 10.0,
	                gn_format_duration(in->horizon_us, text, sizeof text), in->history);
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
		gn_output_field(
		        "", "%-14s %s", values[i].what,
		        gn_format_demand((int)in->resource, values[i].value, text, sizeof text));
	gn_output_field("", "%-14s %s", "bound by", in->bound_by);
	gn_output_field("", "%-14s %s times that of assuming no change", "forecast error",
	                gn_format_ratio_q16(in->error_ratio_q16, error, sizeof error));
}

/* What an action's 'from' or 'to' means: control.proto has one number for all kinds. */
static const char *value_of(const Gnomon__V1__Plan *p, const Gnomon__V1__Action *a, int64_t value,
                            char *text)
{
	char period[GN_FORMAT_SIZE], quota[GN_FORMAT_SIZE];

	switch (a->kind) {
	case GNOMON__V1__ACTION__KIND__SET_MEMORY:
		return gn_format_demand(GNOMON__V1__RESOURCE__MEMORY, value, text, GN_FORMAT_SIZE);
	case GNOMON__V1__ACTION__KIND__SET_CPU_LIMIT:
		if (value <= 0)
			return "no limit";
		gn_format_duration((uint64_t)value, quota, sizeof quota);
		if (!a->before || !a->before->cpu_period_us)
			return strcpy(text, quota);
		gn_format_duration(a->before->cpu_period_us, period, sizeof period);
		snprintf(text, GN_FORMAT_SIZE, "%.20s in %.20s", quota, period);
		return text;
	case GNOMON__V1__ACTION__KIND__SET_METER:
		if (!value)
			return "no limit";
		return gn_format_demand(p->inputs ? (int)p->inputs->resource : 0, value, text,
		                        GN_FORMAT_SIZE);
	default:
		snprintf(text, GN_FORMAT_SIZE, "%" PRId64, value);
		return text;
	}
}

/* "set the vCPUs of vms/web-1 from 1 to 2" */
static void print_what(const Gnomon__V1__Plan *p, const Gnomon__V1__Action *a)
{
	static const struct {
		const char *verb, *object;
		bool has_values;
	} words[] = {
	        [GNOMON__V1__ACTION__KIND__KIND_UNSPECIFIED] = {"an unknown action on", "", false},
	        [GNOMON__V1__ACTION__KIND__SET_VCPUS] = {"set", "the vCPUs of ", true},
	        [GNOMON__V1__ACTION__KIND__SET_MEMORY] = {"set", "the memory of ", true},
	        [GNOMON__V1__ACTION__KIND__SET_CPU_LIMIT] = {"set", "the CPU limit of ", true},
	        [GNOMON__V1__ACTION__KIND__SET_METER] = {"set", "the limit of ", true},
	        [GNOMON__V1__ACTION__KIND__DEFINE_SHADOW] = {"define", "the shadow of ", false},
	        [GNOMON__V1__ACTION__KIND__START_SHADOW] = {"start", "the shadow of ", false},
	        [GNOMON__V1__ACTION__KIND__REMOVE_SHADOW] = {"remove", "the shadow of ", false},
	        [GNOMON__V1__ACTION__KIND__MIGRATE] = {"migrate", "", false},
	        [GNOMON__V1__ACTION__KIND__RESERVE] = {"reserve", "room for ", false},
	        [GNOMON__V1__ACTION__KIND__FENCE] = {"cut off", "the ports and disks of ", false},
	        [GNOMON__V1__ACTION__KIND__PROMOTE] = {"promote",
	                                               "the shadow's disks to be those of ", false},
	        [GNOMON__V1__ACTION__KIND__BOOT] = {"start", "", false},
	        [GNOMON__V1__ACTION__KIND__ANNOUNCE] = {"wait", "until the network hears ", false},
	        [GNOMON__V1__ACTION__KIND__CLONE] = {"clone", "the disks of the shadow of ", false},
	        [GNOMON__V1__ACTION__KIND__TRIAL] = {"start",
	                                             "the clone, apart from the network, of ",
	                                             false},
	        [GNOMON__V1__ACTION__KIND__PROBE] = {"wait", "for a sign of life of the clone of ",
	                                             false},
	};
	char from[GN_FORMAT_SIZE], to[GN_FORMAT_SIZE];
	bool is_known = (size_t)a->kind < sizeof words / sizeof words[0] && words[a->kind].verb;
	size_t kind = is_known ? (size_t)a->kind : 0;
	const char *resource = "";

	if (a->kind == GNOMON__V1__ACTION__KIND__SET_METER && p->inputs)
		resource = gn_format_resource((int)p->inputs->resource);
	if (words[kind].has_values)
		gn_output_field("action", "%s %s%s%s%s from %s to %s", words[kind].verb,
		                words[kind].object, resource, resource[0] ? " of " : "", a->vm,
		                value_of(p, a, a->from, from), value_of(p, a, a->to, to));
	else
		gn_output_field("action", "%s %s%s", words[kind].verb, words[kind].object, a->vm);
}

static void print_outcome(const Gnomon__V1__Action *a)
{
	char text[GN_FORMAT_SIZE];
	uint64_t now = gn_clock_wall_us();

	if (!a->result && !a->at_us) {
		gn_output_field("", "not sent");
		return;
	}
	gn_output_field("", "sent %s as %s", gn_format_when(a->at_us, now, text, sizeof text),
	                a->command_id[0] ? a->command_id : "the card's own");
	if (!a->result)
		gn_output_field("", "no answer yet");
	else if (a->result->code)
		gn_output_field("", "%s: %s", gn_code_name((enum gn_code)a->result->code),
		                a->result->message);
	else if (a->done_us)
		gn_output_field("", "done in %s",
		                gn_format_duration(a->done_us - a->at_us, text, sizeof text));
	else
		gn_output_field("", "done");
	if (a->after)
		gn_output_field("", "libvirt then reported %u of %u vCPUs, %s", a->after->vcpus,
		                a->after->vcpus_maximum,
		                gn_format_bytes(a->after->memory_bytes, text, sizeof text));
}

/* How long the VM was away, and what it lost. */
static void print_move(const Gnomon__V1__Move *m)
{
	char a[GN_FORMAT_SIZE], b[GN_FORMAT_SIZE], c[GN_FORMAT_SIZE];

	if (m->kind == GNOMON__V1__MOVE__KIND__REHEARSAL)
		return; /* the VM was not away */
	gn_output_field("cause", "%s; noticed in %s", m->cause,
	                gn_format_duration(m->detected_us - m->first_us, a, sizeof a));
	if (m->done_us)
		gn_output_field("away", "%s, from the first sign until the network heard it",
		                gn_format_duration(m->done_us - m->first_us, a, sizeof a));
	if (m->loss_is_known && !m->lost_us && !m->lost_bytes)
		gn_output_field("lost", "no write");
	else if (m->loss_is_known)
		gn_output_field("lost", "the writes of %s, at most %s in %s writes",
		                gn_format_duration(m->lost_us, a, sizeof a),
		                gn_format_bytes(m->lost_bytes, b, sizeof b),
		                gn_format_count(m->lost_writes, c, sizeof c));
}

static void print_plan(const Gnomon__V1__Plan *p)
{
	char made[GN_FORMAT_SIZE], changed[GN_FORMAT_SIZE], expires[GN_FORMAT_SIZE];
	char date[GN_FORMAT_SIZE];
	uint64_t now = gn_clock_wall_us();
	bool is_pending = p->state == GNOMON__V1__PLAN__STATE__PENDING;

	gn_output_line("%s  %s%s", p->name, gn_text_plan_state(p->state),
	               p->must_move ? ": the VM must move, its host has no room" : "");
	gn_output_field("why", "%s", p->reason);
	gn_output_field(
	        "made", "%s, %s; changed %s%s%s", gn_format_date(p->created_us, date, sizeof date),
	        gn_format_when(p->created_us, now, made, sizeof made),
	        gn_format_when(p->updated_us, now, changed, sizeof changed),
	        is_pending ? "; expires " : "",
	        is_pending ? gn_format_when(p->expires_us, now, expires, sizeof expires) : "");
	if (p->inputs)
		print_inputs(p->inputs);
	if (p->move)
		print_move(p->move);
	for (size_t i = 0; i < p->n_actions; i++) {
		print_what(p, p->actions[i]);
		print_outcome(p->actions[i]);
	}
}

/* Also for who began one. */
int gn_ctl_plan_print(struct gn_ctl *ctl, ProtobufCMessage *plan)
{
	if (!gn_ctl_print_json(ctl, plan))
		print_plan((const Gnomon__V1__Plan *)plan);
	gn_ctl_free(plan);
	return GN_CTL_OK;
}

static int one_plan(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments, const char *method)
{
	const char *word = gn_ctl_word(arguments, "the name of a plan");
	char name[129]; /* of common.proto's NameRequest */

	gn_ctl_end(arguments);
	if (snprintf(name, sizeof name, "%s%s", strncmp(word, "plans/", 6) ? "plans/" : "", word) >=
	    (int)sizeof name)
		gn_ctl_usage("'%.40s...' is too long for the name of a plan", word);
	return gn_ctl_plan_print(ctl, gn_ctl_call_name(ctl, method, name));
}

int gn_ctl_plan_show(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	return one_plan(ctl, arguments, "GetPlan");
}

int gn_ctl_plan_approve(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	return one_plan(ctl, arguments, "ApprovePlan");
}

int gn_ctl_plan_reject(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	return one_plan(ctl, arguments, "RejectPlan");
}
