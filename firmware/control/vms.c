/* vms.c - CreateVm, DeleteVm, ListVms, GetVm. */
#include <errno.h>
#include <string.h>
#include "firmware/brain/policy_message.h"
#include "firmware/control/control_internal.h"
#include "firmware/message/message.h"

/* ---- showing -------------------------------------------------------------------------- */

static void add_devices(const struct gn_control *control, const struct gn_vm *vm,
                        Gnomon__V1__Vm *out)
{
	const struct gn_view *view = control->p.view;
	size_t i;

	for (i = 0; view->ports && i < view->ports->n_ports; i++)
		if (strcmp(view->ports->ports[i]->vm, vm->name) == 0)
			GN_MESSAGE_APPEND(out->ports, out->n_ports,
			                  GN_MESSAGE_COPY(Gnomon__V1__Port, view->ports->ports[i]));
	for (i = 0; view->volumes && i < view->volumes->n_volumes; i++)
		if (strcmp(view->volumes->volumes[i]->vm, vm->name) == 0)
			GN_MESSAGE_APPEND(
			        out->volumes, out->n_volumes,
			        GN_MESSAGE_COPY(Gnomon__V1__Volume, view->volumes->volumes[i]));
}

static void add_demands(const struct gn_control *control, const struct gn_vm *vm,
                        Gnomon__V1__Vm *out)
{
	unsigned i;

	for (i = 1; i < GN_RESOURCE_END; i++) {
		const struct gn_series *series = &vm->series[i];
		Gnomon__V1__Demand *demand;

		if (!series->seen)
			continue;
		demand = GN_MESSAGE_NEW(Gnomon__V1__Demand, gnomon__v1__demand__init);
		demand->resource = (Gnomon__V1__Resource)i;
		demand->value = series->newest.value;
		demand->allocated = series->newest.allocated;
		gn_control_add_source(control, vm, (enum gn_resource)i, demand);
		GN_MESSAGE_APPEND(out->demands, out->n_demands, demand);
	}
}

/* What an operator should know first. */
static void set_note(const struct gn_control *control, const struct gn_vm *vm, Gnomon__V1__Vm *out)
{
	const struct gn_series *memory = &vm->series[GN_RESOURCE_MEMORY];
	unsigned i;

	if (vm->trouble[0])
		gn_message_set(&out->note, "%s", vm->trouble);
	else if (control->p.brain->host && !vm->host_vm)
		gn_message_set(
		        &out->note,
		        "libvirt does not know %s: define the domain, or remove the VM from the "
		        "card",
		        gn_name_domain(vm->name));
	else if (memory->seen && memory->newest.estimated)
		gn_message_set(&out->note,
		               "the guest's balloon driver reports no figures: memory is "
		               "the host's estimate and is not changed");
	for (i = 1; i < GN_RESOURCE_END && !out->note[0]; i++)
		if (vm->series[i].has_decision && vm->series[i].decision.demoted)
			gn_message_set(
			        &out->note,
			        "%s: advice only, its forecasts are worse than 'stays as it is'",
			        gn_resource_label((enum gn_resource)i));
}

Gnomon__V1__Vm *gn_control_vm_message(struct gn_control *control, const struct gn_vm *vm)
{
	Gnomon__V1__Vm *out = GN_MESSAGE_NEW(Gnomon__V1__Vm, gnomon__v1__vm__init);
	struct gn_policy_rules rules[GN_RESOURCE_END];
	unsigned i;

	gn_message_set(&out->name, "%s", vm->name);
	out->state = vm->state;
	if (vm->allocation)
		out->allocation = GN_MESSAGE_COPY(Gnomon__V1__Allocation, vm->allocation);
	out->spec = GN_MESSAGE_COPY(Gnomon__V1__VmSpec, vm->spec);
	add_devices(control, vm, out);
	add_demands(control, vm, out);
	for (i = 1; i < GN_RESOURCE_END; i++)
		rules[i] = vm->series[i].rules;
	out->policy = gn_policy_message(vm->name, vm->mode, rules);
	if (gn_shadows_find(control->p.shadows, vm->name))
		gn_message_set(&out->shadow, "%s/shadow", vm->name);
	out->last_sample_us = vm->last_sample_us;
	if (gn_view_process(control->p.view, vm->name))
		out->process = GN_MESSAGE_COPY(Gnomon__V1__HostProcess,
		                               gn_view_process(control->p.view, vm->name));
	out->guest = gn_control_guest_summary(vm);
	set_note(control, vm, out);
	return out;
}

void gn_control_get_vm(void *context, struct gn_channel_call *call, const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;
	struct gn_control *control = context;
	struct gn_vm *vm = gn_control_vm(control, call, request->name, "");

	if (vm)
		gn_control_reply(call, &gn_control_vm_message(control, vm)->base);
}

/* A long list leaves out parts that GetVm shows, to fit into one message. */
static void shorten(Gnomon__V1__Vm *vm, size_t n_vms)
{
	if (n_vms > 100) {
		GN_MESSAGE_FREE(vm->guest);
		vm->guest = NULL;
		GN_MESSAGE_FREE(vm->policy);
		vm->policy = NULL;
	}
	if (n_vms <= 400)
		return;
	while (vm->n_ports)
		GN_MESSAGE_FREE(vm->ports[--vm->n_ports]);
	while (vm->n_volumes)
		GN_MESSAGE_FREE(vm->volumes[--vm->n_volumes]);
	GN_MESSAGE_FREE(vm->spec);
	vm->spec = NULL;
}

void gn_control_list_vms(void *context, struct gn_channel_call *call,
                         const ProtobufCMessage *message)
{
	struct gn_control *control = context;
	const struct gn_brain *brain = control->p.brain;
	Gnomon__V1__VmList *list = GN_MESSAGE_NEW(Gnomon__V1__VmList, gnomon__v1__vm_list__init);
	size_t i;

	for (i = 0; i < brain->n_vms; i++) {
		Gnomon__V1__Vm *vm = gn_control_vm_message(control, brain->vms[i]);

		shorten(vm, brain->n_vms);
		GN_MESSAGE_APPEND(list->vms, list->n_vms, vm);
	}
	gn_control_reply(call, &list->base);
}

/* ---- changing --------------------------------------------------------------------------- */

static bool is_twice(char *const *names, size_t n)
{
	size_t i, k;

	for (i = 0; i < n; i++)
		for (k = 0; k < i; k++)
			if (strcmp(names[i], names[k]) == 0)
				return true;
	return false;
}

static bool check_nics(struct gn_channel_call *call, const Gnomon__V1__VmSpec *spec)
{
	char *names[16];
	size_t i;

	if (spec->n_nics > 16) {
		gn_control_fail(call, GN_OUT_OF_RANGE, "%zu NICs; give at most 16", spec->n_nics);
		return false;
	}
	for (i = 0; i < spec->n_nics; i++) {
		const Gnomon__V1__VmSpec__Nic *nic = spec->nics[i];

		names[i] = nic->name;
		if (!gn_name_is_device(nic->name) || nic->vlan > 4094 || nic->queues > 8) {
			gn_control_fail(
			        call, GN_INVALID_ARGUMENT,
			        "nics[%zu]: name '%.32s', vlan %u, queues %u; give a name of "
			        "[a-z0-9], vlan 0 to 4094, queues 0 to 8",
			        i, nic->name, nic->vlan, nic->queues);
			return false;
		}
	}
	if (is_twice(names, spec->n_nics)) {
		gn_control_fail(call, GN_INVALID_ARGUMENT,
		                "two NICs have the same name; rename one");
		return false;
	}
	return true;
}

static bool check_disks(struct gn_channel_call *call, const Gnomon__V1__VmSpec *spec)
{
	char *names[16];
	size_t i;

	if (spec->n_disks > 16) {
		gn_control_fail(call, GN_OUT_OF_RANGE, "%zu disks; give at most 16", spec->n_disks);
		return false;
	}
	for (i = 0; i < spec->n_disks; i++) {
		const Gnomon__V1__VmSpec__Disk *disk = spec->disks[i];

		names[i] = disk->name;
		if (!gn_name_is_device(disk->name) || disk->path[0] != '/' ||
		    strlen(disk->path) > 4095 || disk->queues > 16) {
			gn_control_fail(
			        call, GN_INVALID_ARGUMENT,
			        "disks[%zu]: name '%.32s', path '%.100s', queues %u; give a name "
			        "of [a-z0-9], an absolute path, queues 0 to 16",
			        i, disk->name, disk->path, disk->queues);
			return false;
		}
	}
	if (is_twice(names, spec->n_disks)) {
		gn_control_fail(call, GN_INVALID_ARGUMENT,
		                "two disks have the same name; rename one");
		return false;
	}
	return true;
}

void gn_control_create_vm(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *message)
{
	const Gnomon__V1__VmSpec *spec = (const Gnomon__V1__VmSpec *)message;
	struct gn_control *control = context;
	struct gn_brain *brain = control->p.brain;
	struct gn_vm *vm;

	if (!gn_name_is_vm(spec->name)) {
		gn_control_fail(
		        call, GN_INVALID_ARGUMENT,
		        "name is '%.80s'; give vms/<domain>, the domain of [a-z0-9-], at most %d "
		        "characters, not ending in -shadow",
		        spec->name, GN_NAME_ID_MAX);
		return;
	}
	if (!check_nics(call, spec) || !check_disks(call, spec))
		return;
	vm = gn_brain_vm(brain, spec->name);
	if (vm && gn_message_equal(&vm->spec->base, &spec->base)) {
		gn_control_reply(call, &gn_control_vm_message(control, vm)->base);
		return;
	}
	if (vm) {
		gn_control_fail(call, GN_ALREADY_EXISTS,
		                "%s is behind the card with other NICs or disks; delete it first",
		                spec->name);
		return;
	}
	if (gn_brain_add_vm(brain, spec, false, gn_time_now(), &vm)) {
		gn_control_fail(call, GN_RESOURCE_EXHAUSTED,
		                "%zu VMs are behind the card and max_vms is %u; raise it",
		                brain->n_vms, control->config->max_vms);
		return;
	}
	gn_brain_tell(brain, "vm.created", vm->name, "%s is put behind the card", vm->name);
	gn_control_commit(control);
	gn_reconcile_run(control->p.reconcile, gn_time_now());
	gn_control_reply(call, &gn_control_vm_message(control, vm)->base);
}

/* The name of a port or volume that a running guest uses; NULL: none. */
static const char *in_use(const struct gn_view *view, const struct gn_vm *vm)
{
	size_t i;

	for (i = 0; view->ports && i < view->ports->n_ports; i++)
		if (strcmp(view->ports->ports[i]->vm, vm->name) == 0 &&
		    view->ports->ports[i]->connected)
			return view->ports->ports[i]->name;
	for (i = 0; view->volumes && i < view->volumes->n_volumes; i++)
		if (strcmp(view->volumes->volumes[i]->vm, vm->name) == 0 &&
		    view->volumes->volumes[i]->connected)
			return view->volumes->volumes[i]->name;
	return NULL;
}

void gn_control_delete_vm(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *message)
{
	const Gnomon__V1__NameRequest *request = (const Gnomon__V1__NameRequest *)message;
	struct gn_control *control = context;
	struct gn_vm *vm = gn_control_vm(control, call, request->name, "");
	const char *used;

	if (!vm)
		return;
	if (gn_shadows_find(control->p.shadows, vm->name)) {
		gn_control_fail(call, GN_FAILED_PRECONDITION,
		                "%s has a shadow; delete %s/shadow first", vm->name, vm->name);
		return;
	}
	used = in_use(control->p.view, vm);
	if (used) {
		gn_control_fail(call, GN_FAILED_PRECONDITION,
		                "%s is in use by the running guest; shut %s down first", used,
		                vm->name);
		return;
	}
	gn_reconcile_remove(control->p.reconcile, vm);
	gn_brain_remove_vm(control->p.brain, vm);
	gn_control_commit(control);
	gn_control_reply_empty(call);
}
