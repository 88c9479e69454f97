/* cmd_status.c - status, report, watch. */
#include "tools/ctl/ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "firmware/core/clock.h"
#include "proto/channel.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/connection.h"
#include "tools/ctl/format.h"
#include "tools/ctl/json.h"
#include "tools/ctl/table.h"

static void print_ledger(const Gnomon__V1__Ledger *ledger)
{
	char a[GN_FORMAT_SIZE], b[GN_FORMAT_SIZE];

	printf("promised    %s of %s",
	       gn_format_milli_vcpu((int64_t)ledger->cpu_promised_milli, a, sizeof a),
	       gn_format_milli_vcpu((int64_t)ledger->cpu_capacity_milli, b, sizeof b));
	printf(", %s of ", gn_format_bytes(ledger->memory_promised_bytes, a, sizeof a));
	printf("%s\n", gn_format_bytes(ledger->memory_capacity_bytes, b, sizeof b));
}

static void print_host(const Gnomon__V1__HostInfo *host)
{
	char memory[GN_FORMAT_SIZE], left[GN_FORMAT_SIZE];

	printf("host        %s, %s, libvirt %s%s; %u CPUs, %s, %s free\n", host->hostname,
	       host->hypervisor, host->libvirt_version, host->kvm ? ", KVM" : ", TCG", host->cpus,
	       gn_format_bytes(host->memory_bytes, memory, sizeof memory),
	       gn_format_bytes(host->memory_free_bytes, left, sizeof left));
}

static void print_dataplane(const Gnomon__V1__DataplaneStatus *d)
{
	uint64_t all = d->busy_cycles + d->idle_cycles;

	printf("dataplane   %u worker%s, %.1f %% busy since its start, %" PRIu64 " of %" PRIu64
	       " packet buffers free, %u addresses learnt\n",
	       d->workers, d->workers == 1 ? "" : "s",
	       all ? 100.0 * (double)d->busy_cycles / (double)all : 0.0, d->mbufs_free,
	       d->mbufs_total, d->fdb_entries);
}

int gn_ctl_status(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__CardStatus *s;
	char text[GN_FORMAT_SIZE], size[GN_FORMAT_SIZE];

	gn_ctl_end(arguments);
	s = (Gnomon__V1__CardStatus *)gn_ctl_call_empty(ctl, "GetStatus");
	if (!gn_ctl_print_json(ctl, &s->base)) {
		printf("card        gnomon %s on board %s, started %s\n", s->version, s->board,
		       gn_format_when(s->started_us, s->now_us, text, sizeof text));
		printf("shim        %s%s\n", s->shim_connected ? "connected" : "NOT CONNECTED: ",
		       s->shim_connected ? "" : s->shim_error);
		printf("dataplane   %s%s\n",
		       s->dataplane_connected ? "connected" : "NOT CONNECTED: ",
		       s->dataplane_connected ? "" : s->dataplane_error);
		if (s->host && s->host->hostname[0])
			print_host(s->host);
		if (s->dataplane)
			print_dataplane(s->dataplane);
		if (s->ledger)
			print_ledger(s->ledger);
		printf("VMs         %u, shadows %u, plans that wait for approval %u\n", s->vms,
		       s->shadows, s->plans_pending);
		printf("samples     %s", gn_format_count(s->samples, text, sizeof text));
		printf(" (%" PRIu64 " lost), forecasts ", s->samples_lost);
		printf("%s, history %s\n", gn_format_count(s->forecasts, text, sizeof text),
		       gn_format_bytes(s->store_bytes, size, sizeof size));
	}
	gn_ctl_free(&s->base);
	return GN_CTL_OK;
}

/* ---- report -------------------------------------------------------------------------- */

static void print_report(const Gnomon__V1__Report *r)
{
	static const char *const heads[] = {"VM",      ">PACKETS IN", ">PACKETS OUT", ">READS",
	                                    ">WRITES", ">VCPUS",      ">MEMORY",      NULL};
	struct gn_table *table = gn_table_create(heads);
	char a[GN_FORMAT_SIZE], b[GN_FORMAT_SIZE];
	size_t done = 0;

	for (size_t i = 0; i < r->n_vms; i++) {
		const Gnomon__V1__Report__VmReport *vm = r->vms[i];

		gn_table_add(table, "%s", vm->name);
		gn_table_add(table, "%s", gn_format_count(vm->packets_rx, a, sizeof a));
		gn_table_add(table, "%s", gn_format_count(vm->packets_tx, a, sizeof a));
		gn_table_add(table, "%s", gn_format_count(vm->disk_reads, a, sizeof a));
		gn_table_add(table, "%s", gn_format_count(vm->disk_writes, a, sizeof a));
		if (vm->before && vm->after) {
			gn_table_add(table, "%u -> %u", vm->before->vcpus, vm->after->vcpus);
			gn_table_add(table, "%s -> %s",
			             gn_format_bytes(vm->before->memory_bytes, a, sizeof a),
			             gn_format_bytes(vm->after->memory_bytes, b, sizeof b));
		} else {
			gn_table_add(table, "-");
			gn_table_add(table, "-");
		}
	}
	gn_table_print(table);
	for (size_t i = 0; i < r->n_plans; i++)
		done += r->plans[i]->state == GNOMON__V1__PLAN__STATE__DONE;
	printf("\n%" PRIu64 " samples, %" PRIu64 " forecasts, %zu plans (%zu done), %zu shadows\n",
	       r->samples, r->forecasts, r->n_plans, done, r->n_shadows);
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

/* ---- watch --------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = 1;
}

static void print_event(void *context, const char *topic, const ProtobufCMessage *message)
{
	const Gnomon__V1__Event *event = (const Gnomon__V1__Event *)message;
	const struct gn_ctl *ctl = context;
	time_t seconds = (time_t)(event->wall_us / 1000000);
	struct tm local;
	char when[32];

	if (ctl->json) {
		gn_json_print(message, 1, stdout);
		return;
	}
	localtime_r(&seconds, &local);
	strftime(when, sizeof when, "%H:%M:%S", &local);
	printf("%s.%03u  %-15s %s\n", when, (unsigned)(event->wall_us / 1000 % 1000), event->kind,
	       event->text[0] ? event->text : event->resource);
}

int gn_ctl_watch(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct gn_channel_subscriber *subscriber;
	struct gn_status status = {0};

	gn_ctl_end(arguments);
	if (gn_ctl_connection_subscribe(ctl->connection, print_event, ctl, &subscriber, &status)) {
		fprintf(stderr, "gnomonctl: %s (%s)\n", status.message, gn_code_name(status.code));
		return GN_CTL_UNREACHABLE;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	while (!interrupted) {
		struct pollfd fd = {.fd = gn_channel_subscriber_fd(subscriber), .events = POLLIN};

		if (poll(&fd, 1, 500) >= 0)
			gn_channel_subscriber_process(subscriber);
	}
	gn_channel_subscriber_destroy(subscriber);
	return GN_CTL_OK;
}
