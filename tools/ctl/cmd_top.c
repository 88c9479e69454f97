/* cmd_top.c - top: the VMs, again and again. */
#include "tools/ctl/ctl.h"

#include <stdio.h>

#include "firmware/core/clock.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/screen.h"
#include "tools/ctl/table.h"
#include "tools/ctl/text.h"

static void write_head(const Gnomon__V1__CardStatus *s, FILE *out)
{
	char cpu[GN_FORMAT_SIZE], cpus[GN_FORMAT_SIZE], memory[GN_FORMAT_SIZE], all[GN_FORMAT_SIZE];

	fprintf(out, "gnomon %s  %s  shim %s  dataplane %s  plans to approve %u\n", s->board,
	        gn_format_clock(gn_clock_wall_us(), cpu, sizeof cpu),
	        s->shim_connected ? "up" : "DOWN", s->dataplane_connected ? "up" : "DOWN",
	        s->plans_pending);
	if (s->ledger)
		fprintf(out, "promised %s of %s, %s of %s\n",
		        gn_format_milli_vcpu((int64_t)s->ledger->cpu_promised_milli, cpu,
		                             sizeof cpu),
		        gn_format_milli_vcpu((int64_t)s->ledger->cpu_capacity_milli, cpus,
		                             sizeof cpus),
		        gn_format_bytes(s->ledger->memory_promised_bytes, memory, sizeof memory),
		        gn_format_bytes(s->ledger->memory_capacity_bytes, all, sizeof all));
	fputc('\n', out);
}

/* The whole picture as text; 0, or the exit code of a card that does not answer. */
static int compose(void *context, FILE *out)
{
	const Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;
	struct gn_ctl *ctl = context;
	struct gn_status status = {0};
	ProtobufCMessage *card = gn_screen_ask(ctl, "GetStatus", &empty.base, &status);
	ProtobufCMessage *vms = card ? gn_screen_ask(ctl, "ListVms", &empty.base, &status) : NULL;
	int code = 0;

	if (card && vms) {
		write_head((const Gnomon__V1__CardStatus *)card, out);
		gn_table_write(gn_ctl_vm_table((const Gnomon__V1__VmList *)vms), out);
	} else {
		gn_output_clean(status.message);
		fprintf(out, "%s\n", status.message);
		code = gn_ctl_exit_code(ctl, status.code);
	}
	if (card)
		gn_ctl_free(card);
	if (vms)
		gn_ctl_free(vms);
	return code;
}

int gn_ctl_top(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	struct gn_screen screen = {.context = ctl, .compose = compose};

	if (ctl->json)
		gn_ctl_usage("top has no --json: use 'gnomonctl --json vm list'");
	gn_screen_take_options(arguments, &screen);
	gn_ctl_end(arguments);
	return gn_screen_run(&screen);
}
