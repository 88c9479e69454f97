/* cmd_rehearse.c - shadow rehearse, and what a rehearsal showed. */
#include "tools/ctl/ctl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "firmware/core/clock.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"

#define LOOK_NS 500000000

static bool has_ended(const Gnomon__V1__Plan *plan)
{
	switch (plan->state) {
	case GNOMON__V1__PLAN__STATE__DONE:
	case GNOMON__V1__PLAN__STATE__FAILED:
	case GNOMON__V1__PLAN__STATE__REJECTED:
	case GNOMON__V1__PLAN__STATE__EXPIRED:
		return true;
	default:
		return false;
	}
}

void gn_ctl_rehearsal_print(const ProtobufCMessage *rehearsal)
{
	const Gnomon__V1__Rehearsal *r = (const Gnomon__V1__Rehearsal *)rehearsal;
	char a[GN_FORMAT_SIZE], b[GN_FORMAT_SIZE], c[GN_FORMAT_SIZE], d[GN_FORMAT_SIZE];
	uint64_t now = gn_clock_wall_us();

	if (!r->passed) {
		gn_output_field("rehearsed", "%s, without success (%s): %s",
		                gn_format_when(r->begun_us, now, a, sizeof a), r->plan, r->message);
		return;
	}
	gn_output_field("rehearsed", "%s (%s), on its disks as of %s",
	                gn_format_when(r->begun_us, now, a, sizeof a), r->plan,
	                gn_format_when(r->point_us, now, b, sizeof b));
	gn_output_field("", "alive %s after its start; noticing, fencing and promoting come on top",
	                gn_format_duration(r->rto_us, a, sizeof a));
	gn_output_field("", "clone %s, start %s, sign of life %s, thrown away %s",
	                gn_format_duration(r->clone_us, a, sizeof a),
	                gn_format_duration(r->boot_us, b, sizeof b),
	                gn_format_duration(r->probe_us, c, sizeof c),
	                gn_format_duration(r->remove_us, d, sizeof d));
}

static ProtobufCMessage *await(struct gn_ctl *ctl, ProtobufCMessage *plan)
{
	const struct timespec look = {0, LOOK_NS};
	char name[129];

	snprintf(name, sizeof name, "%s", ((const Gnomon__V1__Plan *)plan)->name);
	while (!has_ended((const Gnomon__V1__Plan *)plan)) {
		gn_ctl_free(plan);
		nanosleep(&look, NULL);
		plan = gn_ctl_call_name(ctl, "GetPlan", name);
	}
	return plan;
}

static int print_result(struct gn_ctl *ctl, const char *shadow, const char *plan)
{
	ProtobufCMessage *reply = gn_ctl_call_name(ctl, "GetShadow", shadow);
	const Gnomon__V1__Rehearsal *r = ((const Gnomon__V1__Shadow *)reply)->rehearsal;
	bool is_ours = r && strcmp(r->plan, plan) == 0;
	int result = is_ours && r->passed ? GN_CTL_OK : GN_CTL_REFUSED;

	if (!is_ours)
		gn_output_error("%s was rehearsed again meanwhile: see 'gnomonctl plan show %s'",
		                shadow, plan);
	else if (!gn_ctl_print_json(ctl, &r->base)) {
		gn_output_line("%s", shadow);
		gn_ctl_rehearsal_print(&r->base);
	}
	gn_ctl_free(reply);
	return result;
}

int gn_ctl_shadow_rehearse(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__RehearseShadowRequest request = GNOMON__V1__REHEARSE_SHADOW_REQUEST__INIT;
	bool waits = !gn_ctl_flag(arguments, "--no-wait");
	ProtobufCMessage *plan;
	const char *value;
	int result;

	if (gn_ctl_option(arguments, "--within", &value) &&
	    (gn_parse_duration(value, &request.timeout_us) || !request.timeout_us))
		gn_ctl_usage("--within %s: give a duration such as 60s", value);
	request.name = (char *)gn_ctl_vm_name(arguments, "/shadow");
	gn_ctl_end(arguments);
	plan = gn_ctl_call(ctl, "RehearseShadow", &request.base);
	if (!waits)
		return gn_ctl_plan_print(ctl, plan);
	plan = await(ctl, plan);
	result = print_result(ctl, request.name, ((const Gnomon__V1__Plan *)plan)->name);
	gn_ctl_free(plan);
	return result;
}
