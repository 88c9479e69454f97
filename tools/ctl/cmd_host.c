/* cmd_host.c - host fit. */
#include "tools/ctl/ctl.h"

#include "firmware/core/clock.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"

static void print_fit(const Gnomon__V1__HostFit *fit)
{
	char a[GN_FORMAT_SIZE], b[GN_FORMAT_SIZE];
	uint64_t now = gn_clock_wall_us();

	if (fit->fits && fit->until_us)
		gn_output_line("it fits, until %s: then %s is promised to others",
		               gn_format_when(fit->until_us, now, a, sizeof a), fit->short_of);
	else if (fit->fits)
		gn_output_line("it fits, and no end of that is known");
	else if (fit->from_us)
		gn_output_line("it does not fit: %s is short until %s", fit->short_of,
		               gn_format_when(fit->from_us, now, a, sizeof a));
	else
		gn_output_line("it does not fit: %s is short, and no end of that is known",
		               fit->short_of);
	gn_output_field("free", "%s and %s, with all that is promised",
	                gn_format_demand(GNOMON__V1__RESOURCE__CPU, (int64_t)fit->room_cpu_milli, a,
	                                 sizeof a),
	                gn_format_bytes(fit->room_memory_bytes, b, sizeof b));
}

int gn_ctl_host_fit(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__HostFitRequest request = GNOMON__V1__HOST_FIT_REQUEST__INIT;
	ProtobufCMessage *reply;
	const char *value;
	uint64_t after_us;
	int result;

	if (!gn_ctl_option(arguments, "--vcpus", &value))
		gn_ctl_usage("give its size: --vcpus 2 --memory 4GiB");
	if (gn_parse_milli(value, &request.cpu_milli) || !request.cpu_milli)
		gn_ctl_usage("--vcpus %s: give a number of vCPUs such as 2 or 1.5", value);
	if (!gn_ctl_option(arguments, "--memory", &value))
		gn_ctl_usage("give its size: --vcpus 2 --memory 4GiB");
	if (gn_parse_bytes(value, &request.memory_bytes) || !request.memory_bytes)
		gn_ctl_usage("--memory %s: give a size such as 4GiB", value);
	if (gn_ctl_option(arguments, "--after", &value)) {
		if (gn_parse_duration(value, &after_us))
			gn_ctl_usage("--after %s: give a duration such as 2h", value);
		request.from_us = gn_clock_wall_us() + after_us;
	}
	gn_ctl_end(arguments);
	reply = gn_ctl_call(ctl, "GetHostFit", &request.base);
	result = ((const Gnomon__V1__HostFit *)reply)->fits ? GN_CTL_OK : GN_CTL_REFUSED;
	if (!gn_ctl_print_json(ctl, reply))
		print_fit((const Gnomon__V1__HostFit *)reply);
	gn_ctl_free(reply);
	return result;
}
