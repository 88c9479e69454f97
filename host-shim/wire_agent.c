/* wire_agent.c - see wire_agent.h. */
#include "host-shim/wire_agent.h"

#include <stdlib.h>

#include "bpf/syscall_name.h"

struct gn_wire_agent {
	Gnomon__V1__AgentReport report;
	char *parts[GN_AGENT_N_PARTS];
	Gnomon__V1__AgentCall calls[GN_AGENT_CALLS], *call_list[GN_AGENT_CALLS];
	char names[GN_AGENT_CALLS][GN_SYSCALL_NAME_SIZE];
	Gnomon__V1__DurationHistogram histograms[GN_AGENT_N_HISTOGRAMS];
	Gnomon__V1__DurationHistogram *histogram_list[GN_AGENT_N_HISTOGRAMS];
};

/* protobuf-c wants char *, and only reads it. */
static char *text(const char *string)
{
	return (char *)(uintptr_t)string;
}

static void parts_out(const struct gn_agent_report *in, struct gn_wire_agent *m)
{
	m->report.parts = m->parts;
	for (unsigned i = 0; i < GN_AGENT_N_PARTS; i++)
		if (in->parts & 1u << i)
			m->parts[m->report.n_parts++] =
			        text(gn_agent_part_name((enum gn_agent_part)i));
}

static void call_out(const struct gn_agent_report *in, uint32_t i, struct gn_wire_agent *m)
{
	const struct gn_calls_key *key = &in->calls[i].key;
	const struct gn_calls_value *value = &in->calls[i].value;
	Gnomon__V1__AgentCall *out = &m->calls[i];

	gnomon__v1__agent_call__init(out);
	out->pid = key->process;
	out->process = text(value->name);
	out->api = key->slot >= GN_CALLS_API;
	out->name = out->api ? text(in->apis[key->slot - GN_CALLS_API])
	                     : gn_syscall_name(key->slot, m->names[i]);
	out->count = value->count;
	out->errors = value->errors;
	out->sum_ns = value->sum_ns;
	out->maximum_ns = value->maximum_ns;
	m->call_list[i] = out;
}

static void histogram_out(const struct gn_histogram *in, const char *name,
                          Gnomon__V1__DurationHistogram *out)
{
	gnomon__v1__duration_histogram__init(out);
	out->name = text(name);
	out->count = in->count;
	out->sum_ns = in->sum_ns;
	out->maximum_ns = in->maximum_ns;
	for (size_t i = 0; i < GN_HISTOGRAM_SLOTS; i++)
		if (in->slots[i])
			out->n_buckets = i + 1;
	out->buckets = (uint64_t *)(uintptr_t)in->slots;
}

static void histograms_out(const struct gn_agent_report *in, struct gn_wire_agent *m)
{
	static const char *const names[GN_AGENT_N_HISTOGRAMS] = {"wait", "slice", "read", "write",
	                                                         "other"};

	m->report.histograms = m->histogram_list;
	for (unsigned i = 0; i < GN_AGENT_N_HISTOGRAMS; i++) {
		if (!in->histograms[i].count)
			continue;
		histogram_out(&in->histograms[i], names[i], &m->histograms[i]);
		m->histogram_list[m->report.n_histograms++] = &m->histograms[i];
	}
}

struct gn_wire_agent *gn_wire_agent_create(const struct gn_agent_report *in, uint64_t age_us)
{
	struct gn_wire_agent *m = calloc(1, sizeof *m);

	if (!m)
		return NULL;
	gnomon__v1__agent_report__init(&m->report);
	m->report.age_us = age_us;
	m->report.sequence = in->sequence;
	m->report.uptime_us = in->uptime_us;
	m->report.period_us = in->period_us;
	m->report.system_calls = in->n_calls_all;
	m->report.lost = in->lost;
	parts_out(in, m);
	for (uint32_t i = 0; i < in->n_calls; i++)
		call_out(in, i, m);
	m->report.n_calls = in->n_calls;
	m->report.calls = m->call_list;
	histograms_out(in, m);
	return m;
}

Gnomon__V1__AgentReport *gn_wire_agent_message(struct gn_wire_agent *m)
{
	return &m->report;
}

void gn_wire_agent_destroy(struct gn_wire_agent *m)
{
	free(m);
}
