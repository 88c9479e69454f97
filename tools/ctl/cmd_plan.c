/* cmd_plan.c - plan list, show, approve, reject. */
#include "tools/ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "firmware/core/clock.h"
#include "firmware/core/status.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
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
	if (!gn_ctl_print_json(ctl, &list->base)) {
		if (list->n_plans)
			print_list(list);
		else
			puts("no plans: nothing needs to be changed, or there is too little "
			     "history yet");
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
	        {"observed", in->observed},        {"predicted", in->predicted},
	        {"allocated", in->allocated},      {"target", in->target},
	        {"uncapped", in->uncapped_target}, {"host has free", in->host_free},
	};
	char text[GN_FORMAT_SIZE];

	printf("inputs      %s, P%g within %s, from %" PRIu64 " samples\n",
	       gn_format_resource((int)in->resource), in->quantile_milli / 10.0,
	       gn_format_duration(in->horizon_us, text, sizeof text), in->history);
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
		printf("  %-14s %s\n", values[i].what,
		       gn_format_demand((int)in->resource, values[i].value, text, sizeof text));
	printf("  %-14s %s\n", "bound by", in->bound_by);
	printf("  %-14s %.2f of naive's\n", "forecast loss", in->error_ratio_q16 / 65536.0);
}

static void print_action(const Gnomon__V1__Action *a)
{
	char text[GN_FORMAT_SIZE];

	printf("action      %s of %s from %" PRId64 " to %" PRId64 ": ", gn_text_action(a->kind),
	       a->vm, a->from, a->to);
	if (!a->result)
		puts("not executed");
	else
		printf("%s%s%s, sent %s, command %s\n", gn_code_name((enum gn_code)a->result->code),
		       a->result->message[0] ? ": " : "", a->result->message,
		       gn_format_when(a->at_us, gn_clock_wall_us(), text, sizeof text),
		       a->command_id);
}

static void print_plan(const Gnomon__V1__Plan *p)
{
	char text[GN_FORMAT_SIZE];
	uint64_t now = gn_clock_wall_us();

	printf("%s  %s%s\n", p->name, gn_text_plan_state(p->state),
	       p->must_move ? ": the VM must move, its host has no room" : "");
	printf("why         %s\n", p->reason);
	printf("made        %s", gn_format_when(p->created_us, now, text, sizeof text));
	printf(", changed %s", gn_format_when(p->updated_us, now, text, sizeof text));
	if (p->state == GNOMON__V1__PLAN__STATE__PENDING)
		printf(", expires %s", gn_format_when(p->expires_us, now, text, sizeof text));
	putchar('\n');
	if (p->inputs)
		print_inputs(p->inputs);
	for (size_t i = 0; i < p->n_actions; i++)
		print_action(p->actions[i]);
}

static int one_plan(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments, const char *method)
{
	const char *word = gn_ctl_word(arguments, "the name of a plan");
	Gnomon__V1__Plan *plan;
	char name[64];

	gn_ctl_end(arguments);
	snprintf(name, sizeof name, "%s%s", strncmp(word, "plans/", 6) ? "plans/" : "", word);
	plan = (Gnomon__V1__Plan *)gn_ctl_call_name(ctl, method, name);
	if (!gn_ctl_print_json(ctl, &plan->base))
		print_plan(plan);
	gn_ctl_free(&plan->base);
	return GN_CTL_OK;
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
