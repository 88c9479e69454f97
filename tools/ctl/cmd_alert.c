/* cmd_alert.c - alert list, ack; hazard. */
#include "tools/ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "firmware/core/clock.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/table.h"
#include "tools/ctl/text.h"

static void print_alerts(const Gnomon__V1__AlertList *list)
{
	static const char *const heads[] = {"ALERT", "STATE",  "KIND", "RAISED",
	                                    "DUE",   ">TIMES", "WHAT", NULL};
	struct gn_table *table = gn_table_create(heads);
	uint64_t now = gn_clock_wall_us();
	char text[GN_FORMAT_SIZE];

	for (size_t i = 0; i < list->n_alerts; i++) {
		const Gnomon__V1__Alert *a = list->alerts[i];

		gn_table_add(table, "%s", a->name + (strncmp(a->name, "alerts/", 7) ? 0 : 7));
		gn_table_add(table, "%s", gn_text_alert_state(a->state));
		gn_table_add(table, "%s", gn_text_alert_kind(a->kind));
		gn_table_add(table, "%s", gn_format_when(a->raised_us, now, text, sizeof text));
		gn_table_add(table, "%s",
		             a->state == GNOMON__V1__ALERT__STATE__CLEARED || !a->expected_us
		                     ? "-"
		                     : gn_format_when(a->expected_us, now, text, sizeof text));
		gn_table_add(table, "%u", a->times);
		gn_table_add(table, "%s", a->text);
	}
	gn_table_print(table);
}

int gn_ctl_alert_list(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__ListAlertsRequest request = GNOMON__V1__LIST_ALERTS_REQUEST__INIT;
	Gnomon__V1__AlertList *list;

	request.include_cleared = gn_ctl_flag(arguments, "--all");
	if (arguments->n_words)
		request.resource = (char *)gn_ctl_vm_name(arguments, "");
	gn_ctl_end(arguments);
	list = (Gnomon__V1__AlertList *)gn_ctl_call(ctl, "ListAlerts", &request.base);
	if (!gn_ctl_print_json(ctl, &list->base)) {
		if (list->n_alerts)
			print_alerts(list);
		else
			puts(request.include_cleared ? "no alerts" : "no alerts now");
	}
	gn_ctl_free(&list->base);
	return GN_CTL_OK;
}

int gn_ctl_alert_ack(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *word = gn_ctl_word(arguments, "the name of an alert");
	Gnomon__V1__Alert *alert;
	char name[129]; /* of common.proto's NameRequest */

	gn_ctl_end(arguments);
	if (snprintf(name, sizeof name, "%s%s", strncmp(word, "alerts/", 7) ? "alerts/" : "",
	             word) >= (int)sizeof name)
		gn_ctl_usage("'%.40s...' is too long for the name of an alert", word);
	alert = (Gnomon__V1__Alert *)gn_ctl_call_name(ctl, "AcknowledgeAlert", name);
	if (!gn_ctl_print_json(ctl, &alert->base))
		gn_output_line("%s is acknowledged: %s", alert->name, alert->text);
	gn_ctl_free(&alert->base);
	return GN_CTL_OK;
}

/* ---- hazard -------------------------------------------------------------------------- */

static void print_hazard(const Gnomon__V1__Hazard *h)
{
	static const char *const heads[] = {"SIGN", ">LEVEL", ">WEIGHT", "WHAT", NULL};
	char ahead[GN_FORMAT_SIZE], share[GN_FORMAT_SIZE];
	struct gn_table *table;

	for (size_t i = 0; i < h->n_horizons; i++) {
		const Gnomon__V1__Hazard__Horizon *one = h->horizons[i];

		gn_output_line("fails within %s: %s%s%s",
		               gn_format_duration(one->horizon_us, ahead, sizeof ahead),
		               gn_format_ratio_q16(one->probability_q16, share, sizeof share),
		               one->strongest[0] ? ", most of all as " : "", one->strongest);
	}
	if (!h->n_signs) {
		gn_output_line("no sign of trouble");
		return;
	}
	puts("");
	table = gn_table_create(heads);
	for (size_t i = 0; i < h->n_signs; i++) {
		const Gnomon__V1__Hazard__Sign *s = h->signs[i];

		gn_table_add(table, "%s", s->name);
		gn_table_add(table, "%s",
		             gn_format_ratio_q16((int64_t)s->level_q8 << 8, share, sizeof share));
		gn_table_add(
		        table, "%s",
		        gn_format_ratio_q16((int64_t)s->log_odds_q8 * 256, share, sizeof share));
		gn_table_add(table, "%s", s->detail);
	}
	gn_table_print(table);
	puts("");
	gn_output_line("LEVEL 1 is what an operator would look into; WEIGHT is what it adds to the "
	               "log-odds of a failure.");
}

/* A VM's, or "drives/SERIAL". */
static const char *name_of_hazard(struct gn_ctl_arguments *arguments)
{
	if (arguments->n_words && !strncmp(arguments->words[0], "drives/", 7))
		return gn_ctl_word(arguments, "the name of a VM or a drive");
	return gn_ctl_vm_name(arguments, "");
}

int gn_ctl_hazard(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = name_of_hazard(arguments);
	Gnomon__V1__Hazard *hazard;

	gn_ctl_end(arguments);
	hazard = (Gnomon__V1__Hazard *)gn_ctl_call_name(ctl, "GetHazard", name);
	if (!gn_ctl_print_json(ctl, &hazard->base)) {
		if (hazard->made_us)
			print_hazard(hazard);
		else
			gn_output_line("nothing is known of %s yet: it has not been sampled", name);
	}
	gn_ctl_free(&hazard->base);
	return GN_CTL_OK;
}
