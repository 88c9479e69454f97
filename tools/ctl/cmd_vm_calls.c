/* cmd_vm_calls.c - vm calls: what a guest's processes call, as gnomon-guest inside it tells. All
 * names are the guest's: the table cleans them. */
#include "tools/ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/histogram.h"
#include "tools/ctl/output.h"
#include "tools/ctl/table.h"

#define BAR_COLUMNS 40

static void print_calls(const Gnomon__V1__AgentReport *report)
{
	static const char *const heads[] = {">PID",    "PROCESS", "CALL",     ">COUNT",
	                                    ">ERRORS", ">MEAN",   ">LONGEST", NULL};
	struct gn_table *table = gn_table_create(heads);
	char text[GN_FORMAT_SIZE];

	for (size_t i = 0; i < report->n_calls; i++) {
		const Gnomon__V1__AgentCall *c = report->calls[i];

		gn_table_add(table, "%u", c->pid);
		gn_table_add(table, "%s", c->process);
		gn_table_add(table, c->api ? "%s" : "%s()", c->name);
		gn_table_add(table, "%" PRIu64, c->count);
		if (c->api || !c->count) {
			gn_table_add(table, "-");
			gn_table_add(table, "-");
			gn_table_add(table, "-");
			continue;
		}
		gn_table_add(table, "%" PRIu64, c->errors);
		gn_table_add(table, "%s",
		             gn_histogram_duration(c->sum_ns / c->count, text, sizeof text));
		gn_table_add(table, "%s", gn_histogram_duration(c->maximum_ns, text, sizeof text));
	}
	gn_table_print(table);
}

static void print_report(const Gnomon__V1__Guest *guest)
{
	const Gnomon__V1__AgentReport *report = guest->agent;
	char text[GN_FORMAT_SIZE];

	if (!report) {
		gn_output_line(
		        "%s: gnomon-guest tells nothing: it does not run in the guest, the VM "
		        "has no channel for it, or its host's gnomon-shim.yaml has no 'agents'",
		        guest->vm);
		return;
	}
	gn_output_line("%s  %" PRIu64 " system calls in %s", guest->vm, report->system_calls,
	               gn_format_duration(report->period_us, text, sizeof text));
	if (report->lost)
		gn_output_field("lost", "%" PRIu64 " events did not fit into the guest's tables",
		                report->lost);
	putchar('\n');
	print_calls(report);
	for (size_t i = 0; i < report->n_histograms; i++)
		gn_histogram_print(report->histograms[i], BAR_COLUMNS, stdout);
}

int gn_ctl_vm_calls(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = gn_ctl_vm_name(arguments, "");
	Gnomon__V1__Guest *guest;

	gn_ctl_end(arguments);
	guest = (Gnomon__V1__Guest *)gn_ctl_call_name(ctl, "GetGuest", name);
	if (!gn_ctl_print_json(ctl, &guest->base))
		print_report(guest);
	gn_ctl_free(&guest->base);
	return GN_CTL_OK;
}
