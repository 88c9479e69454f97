/* wire_observe.c - see wire_observe.h. */
#include "host-shim/wire_observe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "bpf/syscall_name.h"
#include "proto/gnomon/v1/host.pb-c.h"

#define VMS           "vms/"
#define RESOURCE_SIZE (sizeof VMS + GN_VM_NAME_SIZE)
#define MAX_THREADS   4096 /* in one message */

/* ---- in ------------------------------------------------------------------------------------ */

static int copy_text(const char *in, char *out, size_t size, const char *what,
                     struct gn_status *status)
{
	if (strlen(in) >= size)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%s has %zu bytes; at most %zu are allowed", what, strlen(in),
		                     size - 1);
	strcpy(out, in);
	return 0;
}

static int copy_vm(const char *in, struct gn_observation_request *out, struct gn_status *status)
{
	if (strncmp(in, VMS, strlen(VMS)))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "'%.64s' is not a VM's name; use vms/NAME", in);
	return copy_text(in + strlen(VMS), out->vm, sizeof out->vm, "the VM's name", status);
}

static const Gnomon__V1__ObservationKind kinds[GN_WINDOW_KINDS] = {
        [GN_WINDOW_RUNQ] = GNOMON__V1__OBSERVATION_KIND__RUNQ,
        [GN_WINDOW_ONCPU] = GNOMON__V1__OBSERVATION_KIND__ONCPU,
        [GN_WINDOW_BLOCKIO] = GNOMON__V1__OBSERVATION_KIND__BLOCKIO,
        [GN_WINDOW_SYSCALLS] = GNOMON__V1__OBSERVATION_KIND__SYSCALLS,
};

static int copy_kind(Gnomon__V1__ObservationKind in, struct gn_observation_request *out,
                     struct gn_status *status)
{
	unsigned kind;

	for (kind = 0; kind < GN_WINDOW_KINDS; kind++)
		if (kinds[kind] == in) {
			out->kind = (enum gn_window_kind)kind;
			return 0;
		}
	return gn_status_set(status, GN_INVALID_ARGUMENT,
	                     "kind is %d; give RUNQ, ONCPU, BLOCKIO or SYSCALLS", (int)in);
}

int gn_wire_observe_request(const ProtobufCMessage *request, struct gn_observation_request *out,
                            struct gn_status *status)
{
	const Gnomon__V1__ObserveRequest *in = (const Gnomon__V1__ObserveRequest *)request;
	int error;

	memset(out, 0, sizeof *out);
	error = copy_text(in->id, out->id, sizeof out->id, "the id", status);
	if (!error)
		error = copy_text(in->reason, out->reason, sizeof out->reason, "the reason",
		                  status);
	if (!error)
		error = copy_kind(in->kind, out, status);
	if (!error)
		error = copy_vm(in->vm, out, status);
	out->duration_us = in->duration_us;
	return error;
}

int gn_wire_observation_name(const ProtobufCMessage *request, struct gn_observation_request *out,
                             struct gn_status *status)
{
	const Gnomon__V1__ObservationRequest *in = (const Gnomon__V1__ObservationRequest *)request;
	int error;

	memset(out, 0, sizeof *out);
	error = copy_kind(in->kind, out, status);
	return error ? error : copy_vm(in->vm, out, status);
}

int gn_wire_vm_name(const ProtobufCMessage *request, struct gn_observation_request *out,
                    struct gn_status *status)
{
	memset(out, 0, sizeof *out);
	return copy_vm(((const Gnomon__V1__NameRequest *)request)->name, out, status);
}

/* ---- out ----------------------------------------------------------------------------------- */

static void fail_memory(struct gn_channel_call *call)
{
	struct gn_status status;

	gn_status_set(&status, GN_RESOURCE_EXHAUSTED, "gnomon-shim is out of memory");
	gn_channel_fail(call, &status);
}

static Gnomon__V1__Probe__Result result_of(const struct gn_observer_probe *p)
{
	if (!p->allowed)
		return GNOMON__V1__PROBE__RESULT__NOT_ALLOWED;
	switch (p->status.code) {
	case GN_OK:
		return GNOMON__V1__PROBE__RESULT__AVAILABLE;
	case GN_PERMISSION_DENIED:
		return GNOMON__V1__PROBE__RESULT__NO_CAPABILITY;
	case GN_NOT_FOUND:
		return GNOMON__V1__PROBE__RESULT__NO_TYPE_INFORMATION;
	case GN_FAILED_PRECONDITION:
		return GNOMON__V1__PROBE__RESULT__WRONG_NAMESPACE;
	default:
		return GNOMON__V1__PROBE__RESULT__UNSUPPORTED;
	}
}

void gn_wire_reply_probes(struct gn_channel_call *call,
                          const struct gn_observer_probe probes[GN_OBSERVER_PROBES],
                          const struct gn_observation_rules *rules)
{
	Gnomon__V1__ProbeList list = GNOMON__V1__PROBE_LIST__INIT;
	Gnomon__V1__Probe messages[GN_OBSERVER_PROBES], *pointers[GN_OBSERVER_PROBES];
	struct utsname system;
	char kernel[160] = "";
	unsigned i;

	for (i = 0; i < GN_OBSERVER_PROBES; i++) {
		gnomon__v1__probe__init(&messages[i]);
		messages[i].name = (char *)probes[i].name;
		messages[i].result = result_of(&probes[i]);
		messages[i].reason =
		        (char *)(probes[i].allowed ? probes[i].status.message
		                                   : "not allowed by this host's owner; see "
		                                     "observe in gnomon-shim.yaml");
		pointers[i] = &messages[i];
	}
	if (uname(&system) == 0)
		snprintf(kernel, sizeof kernel, "%s %s", system.release, system.machine);
	list.n_probes = GN_OBSERVER_PROBES;
	list.probes = pointers;
	list.kernel = kernel;
	list.maximum_us = rules->maximum_us;
	list.maximum_windows = rules->maximum_windows;
	gn_channel_reply(call, &list.base);
}

static void thread_out(const struct gn_tasks_record *r, Gnomon__V1__HostThread *m)
{
	gnomon__v1__host_thread__init(m);
	m->id = r->thread;
	m->name = (char *)r->name;
	m->cpu_ns = r->cpu_ns;
	m->run_delay_ns = r->run_delay_ns;
	m->runs = r->runs;
	m->voluntary_switches = r->voluntary_switches;
	m->involuntary_switches = r->involuntary_switches;
	m->minor_faults = r->minor_faults;
	m->major_faults = r->major_faults;
	m->read_calls = r->io.read_calls;
	m->write_calls = r->io.write_calls;
	m->read_bytes = r->io.read_bytes;
	m->write_bytes = r->io.write_bytes;
}

void gn_wire_reply_threads(struct gn_channel_call *call, const char *vm,
                           const struct gn_tasks_record *records, size_t n, uint64_t monotonic_us)
{
	size_t n_shown = n < MAX_THREADS ? n : MAX_THREADS, i;
	Gnomon__V1__ThreadList list = GNOMON__V1__THREAD_LIST__INIT;
	Gnomon__V1__HostThread *messages = calloc(n_shown + 1, sizeof *messages);
	Gnomon__V1__HostThread **pointers = calloc(n_shown + 1, sizeof(void *));
	Gnomon__V1__HostProcess process;
	struct gn_tasks_total total;
	char name[RESOURCE_SIZE];

	if (!messages || !pointers) {
		fail_memory(call);
	} else {
		for (i = 0; i < n_shown; i++) {
			thread_out(&records[i], &messages[i]);
			pointers[i] = &messages[i];
		}
		gn_tasks_sum(records, n, n ? records[0].process : 0, &total);
		gn_wire_process_out(n ? records[0].process : 0, &total, &process);
		snprintf(name, sizeof name, VMS "%s", vm);
		list.vm = name;
		list.process = &process;
		list.n_threads = n_shown;
		list.threads = pointers;
		list.monotonic_us = monotonic_us;
		gn_channel_reply(call, &list.base);
	}
	free(messages);
	free(pointers);
}

struct observation_message {
	Gnomon__V1__Observation observation;
	Gnomon__V1__DurationHistogram histograms[GN_WINDOW_HISTOGRAMS_MAX];
	Gnomon__V1__DurationHistogram *histogram_list[GN_WINDOW_HISTOGRAMS_MAX];
	Gnomon__V1__SystemCall calls[GN_SYSCALLS_SIZE];
	Gnomon__V1__SystemCall *call_list[GN_SYSCALLS_SIZE];
	char names[GN_SYSCALLS_SIZE][GN_SYSCALL_NAME_SIZE];
	char vm[RESOURCE_SIZE];
};

static void histograms_out(const struct gn_window_counts *in, struct observation_message *m)
{
	size_t i, k;

	for (i = 0; i < in->n_histograms; i++) {
		const struct gn_histogram *h = &in->histograms[i];
		Gnomon__V1__DurationHistogram *out = &m->histograms[i];

		gnomon__v1__duration_histogram__init(out);
		for (k = 0; k < GN_HISTOGRAM_SLOTS; k++)
			if (h->slots[k])
				out->n_buckets = k + 1;
		out->name = (char *)in->names[i];
		out->buckets = (uint64_t *)h->slots;
		out->count = h->count;
		out->sum_ns = h->sum_ns;
		out->maximum_ns = h->maximum_ns;
		m->histogram_list[i] = out;
	}
	m->observation.n_histograms = in->n_histograms;
	m->observation.histograms = m->histogram_list;
}

static int by_calls(const void *a, const void *b)
{
	const Gnomon__V1__SystemCall *x = *(Gnomon__V1__SystemCall *const *)a;
	const Gnomon__V1__SystemCall *y = *(Gnomon__V1__SystemCall *const *)b;

	return x->calls != y->calls ? (x->calls < y->calls) - (x->calls > y->calls)
	                            : strcmp(x->name, y->name);
}

static void calls_out(const struct gn_window_counts *in, struct observation_message *m)
{
	size_t n = 0;
	uint32_t i;

	for (i = 0; i < GN_SYSCALLS_SIZE; i++) {
		Gnomon__V1__SystemCall *out = &m->calls[n];

		if (!in->calls[i])
			continue;
		gnomon__v1__system_call__init(out);
		out->number = i < GN_SYSCALLS_NUMBERS ? i : 0;
		out->name = gn_syscall_name(i, m->names[n]);
		out->calls = in->calls[i];
		m->call_list[n++] = out;
	}
	qsort(m->call_list, n, sizeof m->call_list[0], by_calls);
	m->observation.n_system_calls = n;
	m->observation.system_calls = m->call_list;
}

void gn_wire_reply_observation(struct gn_channel_call *call, const struct gn_observation *o)
{
	static const char *const ends[] = {
	        [GN_OBSERVATION_TIME] = "time",
	        [GN_OBSERVATION_STOP] = "stop",
	        [GN_OBSERVATION_VM_GONE] = "the VM's process ended",
	};
	struct observation_message *m = calloc(1, sizeof *m);

	if (!m) {
		fail_memory(call);
		return;
	}
	gnomon__v1__observation__init(&m->observation);
	snprintf(m->vm, sizeof m->vm, VMS "%s", o->request.vm);
	m->observation.vm = m->vm;
	m->observation.id = (char *)o->request.id;
	m->observation.kind = kinds[o->request.kind];
	m->observation.state = o->open ? GNOMON__V1__OBSERVATION__STATE__OPEN
	                               : GNOMON__V1__OBSERVATION__STATE__ENDED;
	m->observation.started_us = o->started_wall_us;
	m->observation.ends_us = o->started_wall_us + o->request.duration_us;
	m->observation.ended_us = o->ended_wall_us;
	m->observation.ended_by = (char *)(o->open ? "" : ends[o->ended_by]);
	m->observation.pid = o->process;
	m->observation.lost = o->counts.lost;
	histograms_out(&o->counts, m);
	calls_out(&o->counts, m);
	gn_channel_reply(call, &m->observation.base);
	free(m);
}
