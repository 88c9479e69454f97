/* publish.c - fills protobuf messages from a checked report (publish.h). Nothing is allocated:
 * the messages live on this stack for the one call. */
#include "firmware/introspect/publish.h"

#include <string.h>
#include "firmware/introspect/globals.h"
#include "proto/gnomon/v1/sample.pb-c.h"

struct parts {
	Gnomon__V1__GuestSample guest;
	Gnomon__V1__GuestCpu cpu;
	Gnomon__V1__GuestMemory memory;
	Gnomon__V1__GuestTasks tasks;
	Gnomon__V1__GuestSigns signs;
	Gnomon__V1__GuestCapability capabilities[GN_GUEST_N_CAPABILITIES];
	Gnomon__V1__GuestCapability *capability_list[GN_GUEST_N_CAPABILITIES];
	Gnomon__V1__GuestProcess processes[GN_TOP_MAX];
	Gnomon__V1__GuestProcess *process_list[GN_TOP_MAX];
	char states[GN_TOP_MAX][2];
	uint64_t busy[GN_REPORT_MAX_CPUS];
	uint64_t idle[GN_REPORT_MAX_CPUS];
};

/* protobuf-c wants char *, and only reads it. */
static char *text(const char *string)
{
	return (char *)(uintptr_t)string;
}

static void fill_cpu(struct parts *p, const struct gn_report *r)
{
	gnomon__v1__guest_cpu__init(&p->cpu);
	p->cpu.demand_milli = r->demand_milli;
	p->cpu.busy_milli = r->busy_milli;
	p->cpu.wait_milli = r->wait_milli;
	p->cpu.online = r->n_online;
	p->cpu.load1_milli = r->load_milli[0];
	p->cpu.load5_milli = r->load_milli[1];
	p->cpu.load15_milli = r->load_milli[2];
	for (unsigned i = 0; i < r->n_cpus; i++) {
		p->busy[i] = r->cpu_busy_milli[i];
		p->idle[i] = 1000 - p->busy[i];
	}
	p->cpu.n_cpu_busy_milli = p->cpu.n_cpu_idle_milli = r->n_cpus;
	p->cpu.cpu_busy_milli = p->busy;
	p->cpu.cpu_idle_milli = p->idle;
	p->guest.cpu = &p->cpu;
}

static void fill_memory(struct parts *p, const struct gn_report *r)
{
	gnomon__v1__guest_memory__init(&p->memory);
	p->memory.total_bytes = r->total_bytes;
	p->memory.free_bytes = r->free_bytes;
	p->memory.available_bytes = r->available_bytes;
	p->memory.cache_bytes = r->cache_bytes;
	p->memory.swap_total_bytes = r->swap_total_bytes;
	p->memory.swap_free_bytes = r->swap_free_bytes;
	p->memory.faults = r->faults;
	p->memory.major_faults = r->major_faults;
	p->memory.swapped_in_bytes = r->swapped_in_bytes;
	p->memory.swapped_out_bytes = r->swapped_out_bytes;
	p->guest.memory = &p->memory;
}

static void fill_tasks(struct parts *p, const struct gn_report *r)
{
	gnomon__v1__guest_tasks__init(&p->tasks);
	p->tasks.processes = r->n_processes;
	p->tasks.threads = r->n_threads;
	p->tasks.running = r->n_running;
	p->tasks.blocked = r->n_blocked;
	p->tasks.forks = r->forks;
	p->guest.tasks = &p->tasks;
}

static void fill_signs(struct parts *p, const struct gn_report *r)
{
	gnomon__v1__guest_signs__init(&p->signs);
	p->signs.clock_stopped_us = r->clock_stopped_us;
	p->signs.stuck_threads = r->n_stuck;
	p->signs.longest_sleep_us = r->longest_sleep_us;
	p->signs.stuck_pid = r->stuck_pid;
	p->signs.taint = r->taint;
	p->signs.oops = r->is_oops;
	p->signs.panic = r->is_panic;
	p->signs.lockup = r->is_lockup;
	p->signs.oom_kills = r->oom_kills;
	p->signs.log_errors = r->log_errors;
	p->signs.log_lost = r->log_lost;
	p->signs.log_text = text(r->log_text);
	p->signs.log_level = r->log_level;
	p->signs.has_leak = r->has_leak;
	p->signs.leak_bytes_per_hour = r->leak_bytes_per_hour;
	p->guest.signs = &p->signs;
}

static void fill_process(struct parts *p, const struct gn_report *r, unsigned i)
{
	const struct gn_top_entry *e = &r->top[i];
	Gnomon__V1__GuestProcess *out = &p->processes[i];

	gnomon__v1__guest_process__init(out);
	p->states[i][0] = e->process.state;
	out->pid = e->process.pid;
	out->parent = e->process.ppid;
	out->name = text(e->process.comm);
	out->state = p->states[i];
	out->kernel = e->process.is_kernel;
	out->start_us = e->process.start_ns / 1000;
	out->threads = e->process.n_threads;
	out->cpu_total_us = e->process.runtime_ns / 1000;
	out->cpu_milli = r->period_us ? e->runtime_ns / r->period_us : 0;
	out->rss_bytes = e->process.rss_pages * GN_PAGE_SIZE;
	out->minor_faults = e->minor_faults;
	out->major_faults = e->major_faults;
	out->read_calls = e->read_calls;
	out->write_calls = e->write_calls;
	out->read_bytes = e->read_bytes;
	out->write_bytes = e->write_bytes;
	p->process_list[i] = out;
}

static void fill_capabilities(struct parts *p, const struct gn_report *r)
{
	for (int i = 0; i < GN_GUEST_N_CAPABILITIES; i++) {
		enum gn_guest_capability capability = (enum gn_guest_capability)i;

		gnomon__v1__guest_capability__init(&p->capabilities[i]);
		p->capabilities[i].name = text(gn_guest_capability_name(capability));
		p->capabilities[i].available = r->has[i];
		if (!r->has[i])
			p->capabilities[i].reason = text(gn_guest_capability_reason(capability));
		p->capability_list[i] = &p->capabilities[i];
	}
	p->guest.n_capabilities = GN_GUEST_N_CAPABILITIES;
	p->guest.capabilities = p->capability_list;
}

static void fill_guest(struct parts *p, const struct gn_report *r)
{
	gnomon__v1__guest_sample__init(&p->guest);
	p->guest.state = (Gnomon__V1__GuestState)r->state;
	p->guest.reason = text(r->reason);
	p->guest.fresh = r->is_fresh;
	p->guest.torn = r->torn;
	p->guest.retries = r->retries;
	p->guest.confidence = r->confidence;
	p->guest.kernel_release = text(r->release);
	p->guest.throttled = r->is_throttled;
	p->guest.read_bytes = r->read_bytes;
	p->guest.cost_us = r->cost_us;
	p->guest.bootstrap_us = r->bootstrap_us;
	if (r->release[0])
		p->guest.found_by = text(gn_bootstrap_way_name(r->way));
	if (!r->confidence)
		return;
	fill_capabilities(p, r);
	fill_cpu(p, r);
	fill_memory(p, r);
	fill_tasks(p, r);
	fill_signs(p, r);
	for (unsigned i = 0; i < r->n_top; i++)
		fill_process(p, r, i);
	p->guest.n_top = r->n_top;
	p->guest.top = p->process_list;
}

int gn_publish_report(struct gn_channel_publisher *publisher, const struct gn_publish_stamp *stamp,
                      const struct gn_report *report)
{
	static struct parts parts; /* one thread publishes; large for a stack */
	Gnomon__V1__Sample sample = GNOMON__V1__SAMPLE__INIT, *list = &sample;
	Gnomon__V1__SampleBatch batch = GNOMON__V1__SAMPLE_BATCH__INIT;

	memset(&parts, 0, sizeof parts);
	fill_guest(&parts, report);
	sample.vm = text(stamp->vm);
	sample.wall_us = stamp->wall_us;
	sample.monotonic_us = stamp->monotonic_us;
	sample.period_us = report->period_us ? report->period_us : stamp->period_us;
	sample.sequence = stamp->sequence;
	sample.source_epoch = stamp->epoch;
	sample.guest = &parts.guest;
	batch.n_samples = 1;
	batch.samples = &list;
	return gn_channel_publish(publisher, "samples", &batch.base);
}
