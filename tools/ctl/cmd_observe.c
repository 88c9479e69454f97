/* cmd_observe.c - vm observe, vm threads, host probes. */
#include "tools/ctl/ctl.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/histogram.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"
#include "tools/ctl/table.h"

#define DEFAULT_US  10000000u
#define POLL_US     500000u
#define BAR_COLUMNS 40

/* ---- probes ------------------------------------------------------------------------------- */

static const char *result_text(Gnomon__V1__Probe__Result result)
{
	switch (result) {
	case GNOMON__V1__PROBE__RESULT__AVAILABLE:
		return "available";
	case GNOMON__V1__PROBE__RESULT__NOT_ALLOWED:
		return "not allowed";
	case GNOMON__V1__PROBE__RESULT__NO_CAPABILITY:
		return "no capability";
	case GNOMON__V1__PROBE__RESULT__NO_TYPE_INFORMATION:
		return "no type information";
	case GNOMON__V1__PROBE__RESULT__UNSUPPORTED:
		return "unsupported";
	case GNOMON__V1__PROBE__RESULT__WRONG_NAMESPACE:
		return "in a container";
	case GNOMON__V1__PROBE__RESULT__RESULT_UNSPECIFIED:
	default:
		return "?";
	}
}

static void print_probes(const Gnomon__V1__ProbeList *list)
{
	static const char *const heads[] = {"PROBE", "HERE", "WHY NOT", NULL};
	struct gn_table *table = gn_table_create(heads);
	char text[GN_FORMAT_SIZE];

	for (size_t i = 0; i < list->n_probes; i++) {
		gn_table_add(table, "%s", list->probes[i]->name);
		gn_table_add(table, "%s", result_text(list->probes[i]->result));
		gn_table_add(table, "%s", list->probes[i]->reason);
	}
	gn_output_field("kernel", "%s", list->kernel);
	if (list->maximum_windows)
		gn_output_field("windows", "at most %u at once, of at most %s",
		                list->maximum_windows,
		                gn_format_duration(list->maximum_us, text, sizeof text));
	putchar('\n');
	gn_table_print(table);
}

int gn_ctl_host_probes(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	ProtobufCMessage *reply;

	gn_ctl_end(arguments);
	reply = gn_ctl_call_empty(ctl, "ListProbes");
	if (!gn_ctl_print_json(ctl, reply))
		print_probes((const Gnomon__V1__ProbeList *)reply);
	gn_ctl_free(reply);
	return GN_CTL_OK;
}

/* ---- threads -------------------------------------------------------------------------------- */

static void print_threads(const Gnomon__V1__ThreadList *list)
{
	static const char *const heads[] = {"THREAD",  "NAME",   ">ON CPU", ">WAITED",  ">RUNS",
	                                    ">FAULTS", ">CALLS", ">READ",   ">WRITTEN", NULL};
	struct gn_table *table = gn_table_create(heads);
	char text[GN_FORMAT_SIZE];

	if (list->process)
		gn_output_line("%s  QEMU is process %u, %u threads", list->vm, list->process->pid,
		               list->process->threads);
	for (size_t i = 0; i < list->n_threads; i++) {
		const Gnomon__V1__HostThread *t = list->threads[i];

		gn_table_add(table, "%u", t->id);
		gn_table_add(table, "%s", t->name);
		gn_table_add(table, "%s", gn_histogram_duration(t->cpu_ns, text, sizeof text));
		gn_table_add(table, "%s",
		             gn_histogram_duration(t->run_delay_ns, text, sizeof text));
		gn_table_add(table, "%s", gn_format_count(t->runs, text, sizeof text));
		gn_table_add(table, "%s",
		             gn_format_count(t->minor_faults + t->major_faults, text, sizeof text));
		gn_table_add(table, "%s",
		             gn_format_count(t->read_calls + t->write_calls, text, sizeof text));
		gn_table_add(table, "%s", gn_format_bytes(t->read_bytes, text, sizeof text));
		gn_table_add(table, "%s", gn_format_bytes(t->write_bytes, text, sizeof text));
	}
	gn_table_print(table);
}

int gn_ctl_vm_threads(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = gn_ctl_vm_name(arguments, "");
	ProtobufCMessage *reply;

	gn_ctl_end(arguments);
	reply = gn_ctl_call_name(ctl, "ListThreads", name);
	if (!gn_ctl_print_json(ctl, reply))
		print_threads((const Gnomon__V1__ThreadList *)reply);
	gn_ctl_free(reply);
	return GN_CTL_OK;
}

/* ---- windows -------------------------------------------------------------------------------- */

static volatile sig_atomic_t is_interrupted;

static void interrupt(int number)
{
	is_interrupted = 1;
}

static Gnomon__V1__ObservationKind kind_of(const char *text)
{
	static const struct {
		const char *name;
		Gnomon__V1__ObservationKind kind;
	} kinds[] = {
	        {"runq", GNOMON__V1__OBSERVATION_KIND__RUNQ},
	        {"oncpu", GNOMON__V1__OBSERVATION_KIND__ONCPU},
	        {"blockio", GNOMON__V1__OBSERVATION_KIND__BLOCKIO},
	        {"syscalls", GNOMON__V1__OBSERVATION_KIND__SYSCALLS},
	};

	for (size_t i = 0; text && i < sizeof kinds / sizeof kinds[0]; i++)
		if (!strcmp(text, kinds[i].name))
			return kinds[i].kind;
	gn_ctl_usage("--kind %s: give runq, oncpu, blockio or syscalls",
	             text ? text : "is missing");
}

static void print_calls(const Gnomon__V1__Observation *o)
{
	static const char *const heads[] = {"SYSTEM CALL", ">CALLS", "", NULL};
	struct gn_table *table = gn_table_create(heads);
	char text[GN_FORMAT_SIZE];

	for (size_t i = 0; i < o->n_system_calls; i++) {
		uint64_t calls = o->system_calls[i]->calls, most = o->system_calls[0]->calls;
		int bar = most ? (int)((double)calls / (double)most * BAR_COLUMNS) : 0;

		gn_table_add(table, "%s", o->system_calls[i]->name);
		gn_table_add(table, "%s", gn_format_count(calls, text, sizeof text));
		gn_table_add(table, "%.*s", bar ? bar : 1,
		             "########################################");
	}
	gn_table_print(table);
}

static void print_observation(const Gnomon__V1__Observation *o)
{
	char text[GN_FORMAT_SIZE];
	uint64_t until_us = o->ended_us ? o->ended_us : o->ends_us;

	gn_output_line("%s  process %u, %s, ended by %s", o->vm, o->pid,
	               gn_format_duration(until_us - o->started_us, text, sizeof text),
	               o->ended_by);
	for (size_t i = 0; i < o->n_histograms; i++)
		if (o->histograms[i]->count || o->n_histograms == 1)
			gn_histogram_print(o->histograms[i], BAR_COLUMNS, stdout);
	if (o->kind == GNOMON__V1__OBSERVATION_KIND__SYSCALLS)
		print_calls(o);
	else if (o->n_histograms > 1 && !o->histograms[0]->count && !o->histograms[1]->count)
		puts("no block request was made by QEMU itself; disks served by the card are not "
		     "seen here");
	if (o->lost)
		gn_output_line("%" PRIu64 " events could not be followed: too many at once",
		               o->lost);
}

static void sleep_us(uint64_t us)
{
	const struct timespec time = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};

	nanosleep(&time, NULL);
}

/* Waits for the window's end; Ctrl-C ends it at once. Frees 'o'; returns it as it ended. */
static Gnomon__V1__Observation *wait_for_end(struct gn_ctl *ctl, Gnomon__V1__Observation *o)
{
	Gnomon__V1__ObservationRequest request = GNOMON__V1__OBSERVATION_REQUEST__INIT;
	char vm[136];

	snprintf(vm, sizeof vm, "%s", o->vm);
	request.vm = vm;
	request.kind = o->kind;
	while (o->state == GNOMON__V1__OBSERVATION__STATE__OPEN) {
		const char *method = "GetObservation";

		if (!is_interrupted)
			sleep_us(POLL_US);
		if (is_interrupted)
			method = "StopObserveVm";
		gn_ctl_free(&o->base);
		o = (Gnomon__V1__Observation *)gn_ctl_call(ctl, method, &request.base);
	}
	return o;
}

int gn_ctl_vm_observe(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const struct sigaction action = {.sa_handler = interrupt};
	Gnomon__V1__ObserveRequest request = GNOMON__V1__OBSERVE_REQUEST__INIT;
	Gnomon__V1__Observation *o;
	const char *value = NULL;
	uint64_t random = 0;
	char id[32];

	gn_ctl_option(arguments, "--kind", &value);
	request.kind = kind_of(value);
	request.duration_us = DEFAULT_US;
	if (gn_ctl_option(arguments, "--for", &value) &&
	    gn_parse_duration(value, &request.duration_us))
		gn_ctl_usage("--for %s: give a duration such as 10s", value);
	request.vm = (char *)gn_ctl_vm_name(arguments, "");
	gn_ctl_end(arguments);
	if (getrandom(&random, sizeof random, 0) != sizeof random)
		random = (uint64_t)time(NULL);
	snprintf(id, sizeof id, "ctl-%016" PRIx64, random);
	request.id = id;
	request.reason = (char *)"gnomonctl vm observe";
	sigaction(SIGINT, &action, NULL);
	o = wait_for_end(ctl,
	                 (Gnomon__V1__Observation *)gn_ctl_call(ctl, "ObserveVm", &request.base));
	if (!gn_ctl_print_json(ctl, &o->base))
		print_observation(o);
	gn_ctl_free(&o->base);
	return GN_CTL_OK;
}
