/* cmd_vm.c - vm list, show, create, delete. */
#include "tools/ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/core/clock.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"
#include "tools/ctl/table.h"
#include "tools/ctl/text.h"

#define DEVICES_MAX 32

static const Gnomon__V1__Demand *demand_of(const Gnomon__V1__Vm *vm, Gnomon__V1__Resource resource)
{
	for (size_t i = 0; i < vm->n_demands; i++)
		if (vm->demands[i]->resource == resource)
			return vm->demands[i];
	return NULL;
}

static void add_demand(struct gn_table *table, const Gnomon__V1__Vm *vm,
                       Gnomon__V1__Resource resource)
{
	const Gnomon__V1__Demand *demand = demand_of(vm, resource);
	char text[GN_FORMAT_SIZE];

	gn_table_add(table, "%s",
	             demand ? gn_format_demand((int)resource, demand->value, text, sizeof text)
	                    : "-");
}

struct gn_table *gn_ctl_vm_table(const Gnomon__V1__VmList *list)
{
	static const char *const heads[] = {"VM",      "STATE",     ">VCPUS",  ">CPU",
	                                    ">MEMORY", ">MEM USED", ">NET IN", ">NET OUT",
	                                    "MODE",    "NOTE",      NULL};
	struct gn_table *table = gn_table_create(heads);
	char text[GN_FORMAT_SIZE];

	for (size_t i = 0; i < list->n_vms; i++) {
		const Gnomon__V1__Vm *vm = list->vms[i];
		const Gnomon__V1__Allocation *a = vm->allocation;

		gn_table_add(table, "%s", vm->name);
		gn_table_add(table, "%s", gn_text_vm_state(vm->state));
		gn_table_add(table, a ? "%u/%u" : "-", a ? a->vcpus : 0, a ? a->vcpus_maximum : 0);
		add_demand(table, vm, GNOMON__V1__RESOURCE__CPU);
		gn_table_add(table, "%s",
		             a ? gn_format_bytes(a->memory_bytes, text, sizeof text) : "-");
		add_demand(table, vm, GNOMON__V1__RESOURCE__MEMORY);
		add_demand(table, vm, GNOMON__V1__RESOURCE__NETWORK_RX);
		add_demand(table, vm, GNOMON__V1__RESOURCE__NETWORK_TX);
		gn_table_add(table, "%s", vm->policy ? gn_text_mode(vm->policy->mode) : "-");
		gn_table_add(table, "%s", vm->note);
	}
	return table;
}

static const char *short_name(const char *name)
{
	return strncmp(name, "vms/", 4) ? name : name + 4;
}

int gn_ctl_vm_list(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	bool names = gn_ctl_flag(arguments, "--names");
	Gnomon__V1__VmList *list;

	gn_ctl_end(arguments);
	list = (Gnomon__V1__VmList *)gn_ctl_call_empty(ctl, "ListVms");
	if (names) {
		for (size_t i = 0; i < list->n_vms; i++)
			puts(short_name(list->vms[i]->name));
	} else if (!gn_ctl_print_json(ctl, &list->base)) {
		if (list->n_vms)
			gn_table_print(gn_ctl_vm_table(list));
		else
			puts("no VMs: put one behind the card with 'gnomonctl vm create'");
	}
	gn_ctl_free(&list->base);
	return GN_CTL_OK;
}

/* ---- show ---------------------------------------------------------------------------- */

/* Who measures it, what the other one reads, and why the guest's kernel is not asked. */
static const char *source_of(const Gnomon__V1__Demand *d, char *text, size_t size)
{
	bool is_guest = d->source == GNOMON__V1__DEMAND_SOURCE__SOURCE_GUEST;
	char other[GN_FORMAT_SIZE], added[GN_FORMAT_SIZE];
	int used;

	if (d->source == GNOMON__V1__DEMAND_SOURCE__SOURCE_DATAPLANE)
		return "the card";
	used = snprintf(text, size, "%s", is_guest ? "the guest's kernel" : "libvirt");
	if (d->has_other)
		used += snprintf(
		        text + used, size - (size_t)used, " (%s: %s)",
		        is_guest ? "libvirt" : "the guest's kernel",
		        gn_format_demand((int)d->resource, d->other_value, other, sizeof other));
	if (d->correction)
		used += snprintf(text + used, size - (size_t)used, ", %s%s of it from the change",
		                 d->correction < 0 ? "-" : "",
		                 gn_format_demand((int)d->resource, llabs(d->correction), added,
		                                  sizeof added));
	if (d->source_reason[0])
		snprintf(text + used, size - (size_t)used, "; not the guest: %s", d->source_reason);
	return text;
}

static void print_demands(const Gnomon__V1__Vm *vm)
{
	static const char *const heads[] = {"RESOURCE", ">DEMAND", ">ALLOCATED", "MEASURED BY",
	                                    NULL};
	struct gn_table *table = gn_table_create(heads);
	char text[GN_FORMAT_SIZE], source[512];

	putchar('\n');
	for (size_t i = 0; i < vm->n_demands; i++) {
		const Gnomon__V1__Demand *d = vm->demands[i];

		gn_table_add(table, "%s", gn_format_resource((int)d->resource));
		gn_table_add(table, "%s",
		             gn_format_demand((int)d->resource, d->value, text, sizeof text));
		gn_table_add(table, "%s",
		             d->allocated ? gn_format_demand((int)d->resource, d->allocated, text,
		                                             sizeof text)
		                          : "no limit");
		gn_table_add(table, "%s", source_of(d, source, sizeof source));
	}
	gn_table_print(table);
}

static void print_ports(const Gnomon__V1__Vm *vm)
{
	static const char *const heads[] = {"PORT",         "FRONT END",   ">PACKETS IN",
	                                    ">PACKETS OUT", ">DROPPED IN", ">DROPPED OUT",
	                                    "SOCKET",       NULL};
	struct gn_table *table = gn_table_create(heads);
	char text[GN_FORMAT_SIZE];

	putchar('\n');
	for (size_t i = 0; i < vm->n_ports; i++) {
		const Gnomon__V1__Port *p = vm->ports[i];
		const Gnomon__V1__PortCounters empty = GNOMON__V1__PORT_COUNTERS__INIT;
		const Gnomon__V1__PortCounters *c = p->counters ? p->counters : &empty;

		gn_table_add(table, "%s", p->name);
		gn_table_add(table, "%s", p->connected ? "connected" : "none");
		gn_table_add(table, "%s", gn_format_count(c->rx_packets, text, sizeof text));
		gn_table_add(table, "%s", gn_format_count(c->tx_packets, text, sizeof text));
		gn_table_add(table, "%" PRIu64, c->rx_dropped_ring + c->rx_dropped_meter);
		gn_table_add(table, "%" PRIu64,
		             c->tx_dropped_meter + c->tx_dropped_malformed +
		                     c->tx_dropped_isolated + c->tx_dropped_spoofed);
		gn_table_add(table, "%s", p->socket_path);
	}
	gn_table_print(table);
}

static void print_volumes(const Gnomon__V1__Vm *vm)
{
	static const char *const heads[] = {"VOLUME",  "FRONT END", ">SIZE", ">READS",
	                                    ">WRITES", ">ERRORS",   "FILE",  NULL};
	struct gn_table *table = gn_table_create(heads);
	char text[GN_FORMAT_SIZE];

	putchar('\n');
	for (size_t i = 0; i < vm->n_volumes; i++) {
		const Gnomon__V1__Volume *v = vm->volumes[i];
		const Gnomon__V1__VolumeCounters empty = GNOMON__V1__VOLUME_COUNTERS__INIT;
		const Gnomon__V1__VolumeCounters *c = v->counters ? v->counters : &empty;

		gn_table_add(table, "%s", v->name);
		gn_table_add(table, "%s", v->connected ? "connected" : "none");
		gn_table_add(table, "%s", gn_format_bytes(v->size_bytes, text, sizeof text));
		gn_table_add(table, "%s", gn_format_count(c->reads, text, sizeof text));
		gn_table_add(table, "%s", gn_format_count(c->writes, text, sizeof text));
		gn_table_add(table, "%" PRIu64, c->errors);
		gn_table_add(table, "%s", v->path);
	}
	gn_table_print(table);
}

static void print_guest(const Gnomon__V1__GuestSummary *g)
{
	char since[GN_FORMAT_SIZE], newest[GN_FORMAT_SIZE];

	gn_output_field("guest", "%s%s%s%s%s", gn_text_guest_state(g->state),
	                g->kernel_release[0] ? ", Linux " : "", g->kernel_release,
	                g->reason[0] ? ": " : "", g->reason);
	for (size_t i = 0; i < g->n_missing; i++)
		gn_output_field("  without", "%s: %s", g->missing[i]->name, g->missing[i]->reason);
	for (size_t i = 0; i < g->n_signs; i++)
		gn_output_field("  sign", "%s: %s (first %s, last %s)", g->signs[i]->name,
		                g->signs[i]->detail,
		                gn_format_when(g->signs[i]->since_us, gn_clock_wall_us(), since,
		                               sizeof since),
		                gn_format_when(g->signs[i]->newest_us, gn_clock_wall_us(), newest,
		                               sizeof newest));
}

static void print_vm(const Gnomon__V1__Vm *vm)
{
	const Gnomon__V1__Allocation *a = vm->allocation;
	char text[GN_FORMAT_SIZE], most[GN_FORMAT_SIZE];

	gn_output_line("%s  %s", vm->name, gn_text_vm_state(vm->state));
	if (a)
		gn_output_field("allocation", "%u of %u vCPUs, %s of %s", a->vcpus,
		                a->vcpus_maximum,
		                gn_format_bytes(a->memory_bytes, text, sizeof text),
		                gn_format_bytes(a->memory_maximum_bytes, most, sizeof most));
	gn_output_field("mode", "%s", vm->policy ? gn_text_mode(vm->policy->mode) : "-");
	gn_output_field("shadow", "%s", vm->shadow[0] ? vm->shadow : "none");
	gn_output_field("sampled", "%s",
	                gn_format_when(vm->last_sample_us, gn_clock_wall_us(), text, sizeof text));
	if (vm->process)
		gn_output_field(
		        "QEMU", "process %u, %u threads; on CPUs for %s, waited %s for them",
		        vm->process->pid, vm->process->threads,
		        gn_format_duration(vm->process->cpu_ns / 1000, text, sizeof text),
		        gn_format_duration(vm->process->run_delay_ns / 1000, most, sizeof most));
	if (vm->guest)
		print_guest(vm->guest);
	if (vm->note[0])
		gn_output_field("note", "%s", vm->note);
	if (vm->n_demands)
		print_demands(vm);
	if (vm->n_ports)
		print_ports(vm);
	if (vm->n_volumes)
		print_volumes(vm);
}

int gn_ctl_vm_show(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = gn_ctl_vm_name(arguments, "");
	Gnomon__V1__Vm *vm;

	gn_ctl_end(arguments);
	vm = (Gnomon__V1__Vm *)gn_ctl_call_name(ctl, "GetVm", name);
	if (!gn_ctl_print_json(ctl, &vm->base))
		print_vm(vm);
	gn_ctl_free(&vm->base);
	return GN_CTL_OK;
}

/* ---- create, delete ------------------------------------------------------------------ */

static uint32_t number_of(const char *option, const char *value, uint64_t maximum)
{
	uint64_t number;

	if (!value || gn_parse_number(value, maximum, &number))
		gn_ctl_usage("%s: give a number of at most %" PRIu64, option, maximum);
	return (uint32_t)number;
}

/* "net0,vlan=10,queues=2": the name, then settings. */
static void parse_nic(char *text, Gnomon__V1__VmSpec__Nic *nic)
{
	char *state, *word, *name = strtok_r(text, ",", &state);

	if (!name || strchr(name, '='))
		gn_ctl_usage("--nic needs a name first, such as net0");
	gnomon__v1__vm_spec__nic__init(nic);
	nic->name = name;
	while ((word = strtok_r(NULL, ",", &state))) {
		if (!strncmp(word, "vlan=", 5))
			nic->vlan = number_of("--nic vlan", word + 5, 4094);
		else if (!strncmp(word, "queues=", 7))
			nic->queues = number_of("--nic queues", word + 7, 8);
		else if (!strncmp(word, "device=", 7)) {
			/* A device has commas of its own, so it is the last. */
			if (state && state[0])
				state[-1] = ',';
			nic->device = word + 7;
			return;
		} else
			gn_ctl_usage("--nic: '%s' is none of vlan=N, queues=N, device=DPDK-DEVICE",
			             word);
	}
}

static void parse_disk(char *text, Gnomon__V1__VmSpec__Disk *disk)
{
	char *state, *word, *name = strtok_r(text, ",", &state);

	gnomon__v1__vm_spec__disk__init(disk);
	if (name && !strchr(name, '='))
		disk->name = name;
	while ((word = strtok_r(NULL, ",", &state))) {
		if (!strncmp(word, "path=", 5))
			disk->path = word + 5;
		else if (!strncmp(word, "queues=", 7))
			disk->queues = number_of("--disk queues", word + 7, 16);
		else if (!strcmp(word, "ro"))
			disk->read_only = true;
		else if (!strncmp(word, "nbd=", 4))
			disk->nbd_listen = word + 4;
		else
			gn_ctl_usage("--disk: '%s' is none of path=FILE, queues=N, "
			             "nbd=tcp://ADDRESS:PORT, ro",
			             word);
	}
	if (!disk->name[0] || !disk->path[0])
		gn_ctl_usage("--disk needs a name and a file: vda,path=/vm/web-1.raw");
}

/* What 'vm create' was told. */
struct devices {
	Gnomon__V1__VmSpec spec;
	Gnomon__V1__VmSpec__Nic nics[DEVICES_MAX], *nic_of[DEVICES_MAX];
	Gnomon__V1__VmSpec__Disk disks[DEVICES_MAX], *disk_of[DEVICES_MAX];
};

static void take_devices(struct gn_ctl_arguments *arguments, struct devices *d)
{
	const char *value;

	gnomon__v1__vm_spec__init(&d->spec);
	d->spec.nics = d->nic_of;
	d->spec.disks = d->disk_of;
	while (gn_ctl_option(arguments, "--nic", &value)) {
		size_t n = d->spec.n_nics++;

		if (n == DEVICES_MAX)
			gn_ctl_usage("at most %d --nic", DEVICES_MAX);
		parse_nic((char *)value, &d->nics[n]);
		d->nic_of[n] = &d->nics[n];
	}
	while (gn_ctl_option(arguments, "--disk", &value)) {
		size_t n = d->spec.n_disks++;

		if (n == DEVICES_MAX)
			gn_ctl_usage("at most %d --disk", DEVICES_MAX);
		parse_disk((char *)value, &d->disks[n]);
		d->disk_of[n] = &d->disks[n];
	}
}

int gn_ctl_vm_create(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	static struct devices d;
	Gnomon__V1__Vm *vm;

	take_devices(arguments, &d);
	d.spec.name = (char *)gn_ctl_vm_name(arguments, "");
	gn_ctl_end(arguments);
	vm = (Gnomon__V1__Vm *)gn_ctl_call(ctl, "CreateVm", &d.spec.base);
	if (!gn_ctl_print_json(ctl, &vm->base))
		print_vm(vm);
	gn_ctl_free(&vm->base);
	return GN_CTL_OK;
}

int gn_ctl_vm_delete(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = gn_ctl_vm_name(arguments, "");
	ProtobufCMessage *reply;

	gn_ctl_end(arguments);
	reply = gn_ctl_call_name(ctl, "DeleteVm", name);
	if (!gn_ctl_print_json(ctl, reply))
		gn_output_line("%s is no longer behind the card", name);
	gn_ctl_free(reply);
	return GN_CTL_OK;
}
