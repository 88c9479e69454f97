/* cmd_status.c - status, report. */
#include "tools/ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/table.h"

static void print_ledger(const Gnomon__V1__Ledger *l)
{
	char cpu[GN_FORMAT_SIZE], cpus[GN_FORMAT_SIZE], memory[GN_FORMAT_SIZE], all[GN_FORMAT_SIZE];

	gn_output_field("promised", "%s of %s, %s of %s",
	                gn_format_milli_vcpu((int64_t)l->cpu_promised_milli, cpu, sizeof cpu),
	                gn_format_milli_vcpu((int64_t)l->cpu_capacity_milli, cpus, sizeof cpus),
	                gn_format_bytes(l->memory_promised_bytes, memory, sizeof memory),
	                gn_format_bytes(l->memory_capacity_bytes, all, sizeof all));
}

static void print_host(const Gnomon__V1__HostInfo *host)
{
	char memory[GN_FORMAT_SIZE], left[GN_FORMAT_SIZE];

	gn_output_field("host", "%s, %s%s, libvirt %s; %u CPUs, %s, %s free", host->hostname,
	                host->hypervisor, host->kvm ? " with KVM" : " without KVM",
	                host->libvirt_version, host->cpus,
	                gn_format_bytes(host->memory_bytes, memory, sizeof memory),
	                gn_format_bytes(host->memory_free_bytes, left, sizeof left));
}

static void print_dataplane(const Gnomon__V1__DataplaneStatus *d)
{
	uint64_t all = d->busy_cycles + d->idle_cycles;

	gn_output_field("",
	                "%u worker%s, %.1f %% busy since its start; %" PRIu64 " of %" PRIu64
	                " packet buffers free; %u addresses learnt",
	                d->workers, d->workers == 1 ? "" : "s",
	                all ? 100.0 * (double)d->busy_cycles / (double)all : 0.0, d->mbufs_free,
	                d->mbufs_total, d->fdb_entries);
}

static void print_peer(const char *name, bool is_connected, const char *error)
{
	gn_output_field(name, "%s%s",
	                is_connected ? "connected" : "NOT CONNECTED: ", is_connected ? "" : error);
}

static void print_status(const Gnomon__V1__CardStatus *s)
{
	char samples[GN_FORMAT_SIZE], forecasts[GN_FORMAT_SIZE], size[GN_FORMAT_SIZE];

	gn_output_field("card", "gnomon %s on board %s, started %s", s->version, s->board,
	                gn_format_when(s->started_us, s->now_us, size, sizeof size));
	print_peer("shim", s->shim_connected, s->shim_error);
	if (s->host && s->host->hostname[0])
		print_host(s->host);
	print_peer("dataplane", s->dataplane_connected, s->dataplane_error);
	if (s->dataplane)
		print_dataplane(s->dataplane);
	if (s->ledger)
		print_ledger(s->ledger);
	gn_output_field("VMs", "%u, shadows %u, plans that wait for approval %u", s->vms,
	                s->shadows, s->plans_pending);
	gn_output_field("samples", "%s (%" PRIu64 " lost), forecasts %s, history %s",
	                gn_format_count(s->samples, samples, sizeof samples), s->samples_lost,
	                gn_format_count(s->forecasts, forecasts, sizeof forecasts),
	                gn_format_bytes(s->store_bytes, size, sizeof size));
	if (s->store_error[0])
		gn_output_field("store", "NOTHING IS STORED: %s", s->store_error);
}

int gn_ctl_status(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__CardStatus *s;

	gn_ctl_end(arguments);
	s = (Gnomon__V1__CardStatus *)gn_ctl_call_empty(ctl, "GetStatus");
	if (!gn_ctl_print_json(ctl, &s->base))
		print_status(s);
	gn_ctl_free(&s->base);
	return GN_CTL_OK;
}

/* ---- report -------------------------------------------------------------------------- */

static void add_vm(struct gn_table *table, const Gnomon__V1__Report__VmReport *vm)
{
	const uint64_t counts[] = {vm->packets_rx, vm->packets_tx, vm->disk_reads, vm->disk_writes};
	char before[GN_FORMAT_SIZE], after[GN_FORMAT_SIZE];

	gn_table_add(table, "%s", vm->name);
	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
		gn_table_add(table, "%s", gn_format_count(counts[i], before, sizeof before));
	if (!vm->before || !vm->after) {
		gn_table_add(table, "-");
		gn_table_add(table, "-");
		return;
	}
	gn_table_add(table, "%u -> %u", vm->before->vcpus, vm->after->vcpus);
	gn_table_add(table, "%s -> %s",
	             gn_format_bytes(vm->before->memory_bytes, before, sizeof before),
	             gn_format_bytes(vm->after->memory_bytes, after, sizeof after));
}

static void print_report(const Gnomon__V1__Report *r)
{
	static const char *const heads[] = {"VM",      ">PACKETS IN", ">PACKETS OUT", ">READS",
	                                    ">WRITES", ">VCPUS",      ">MEMORY",      NULL};
	char since[GN_FORMAT_SIZE], samples[GN_FORMAT_SIZE], forecasts[GN_FORMAT_SIZE];
	struct gn_table *table = gn_table_create(heads);
	size_t done = 0, failed = 0;

	for (size_t i = 0; i < r->n_vms; i++)
		add_vm(table, r->vms[i]);
	gn_table_print(table);
	for (size_t i = 0; i < r->n_plans; i++) {
		done += r->plans[i]->state == GNOMON__V1__PLAN__STATE__DONE;
		failed += r->plans[i]->state == GNOMON__V1__PLAN__STATE__FAILED;
	}
	puts("");
	gn_output_line("since the card's start %s: %s samples, %s forecasts; %zu plans (%zu done, "
	               "%zu failed), %zu shadows, %zu mirror sessions",
	               gn_format_when(r->started_us, r->now_us, since, sizeof since),
	               gn_format_count(r->samples, samples, sizeof samples),
	               gn_format_count(r->forecasts, forecasts, sizeof forecasts), r->n_plans, done,
	               failed, r->n_shadows, r->n_mirrors);
}

int gn_ctl_report(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__Report *r;

	gn_ctl_end(arguments);
	r = (Gnomon__V1__Report *)gn_ctl_call_empty(ctl, "GetReport");
	if (!gn_ctl_print_json(ctl, &r->base))
		print_report(r);
	gn_ctl_free(&r->base);
	return GN_CTL_OK;
}
