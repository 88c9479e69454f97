/* wire.c - see wire.h. Replies are built in one block of memory each: the array of messages,
 * then what they point to. */
#include "host-shim/wire.h"
#include "host-shim/wire_agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VMS "vms/"

/* Room for "vms/" and a name. */
#define RESOURCE_SIZE (sizeof VMS + GN_VM_NAME_SIZE)

const ProtobufCServiceDescriptor *gn_wire_service(void)
{
	return &gnomon__v1__host__descriptor;
}

/* ---- commands, in ---------------------------------------------------------------------- */

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

static int copy_nics(const Gnomon__V1__DefineShadow *in, struct gn_shadow_spec *out,
                     struct gn_status *status)
{
	size_t i;
	int error = 0;

	if (in->n_nics > GN_VM_MAX_NICS)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%zu NICs; at most %d can be "
		                     "cloned",
		                     in->n_nics, GN_VM_MAX_NICS);
	for (i = 0; i < in->n_nics && !error; i++) {
		error = copy_text(in->nics[i]->mac, out->nics[i].mac, sizeof out->nics[i].mac,
		                  "a NIC's mac", status);
		if (!error)
			error = copy_text(in->nics[i]->socket_path, out->nics[i].socket_path,
			                  sizeof out->nics[i].socket_path, "a NIC's socket_path",
			                  status);
	}
	out->n_nics = in->n_nics;
	return error;
}

static int copy_disk(const Gnomon__V1__DefineShadow__Disk *in, struct gn_vm_disk *out,
                     struct gn_status *status)
{
	int error =
	        copy_text(in->target, out->target, sizeof out->target, "a disk's target", status);

	if (!error)
		error = copy_text(in->socket_path, out->socket_path, sizeof out->socket_path,
		                  "a disk's socket_path", status);
	if (!error)
		error = copy_text(in->source, out->source, sizeof out->source, "a disk's source",
		                  status);
	return error;
}

static int copy_shadow(const Gnomon__V1__DefineShadow *in, struct gn_shadow_spec *out,
                       struct gn_status *status)
{
	size_t i;
	int error = copy_text(in->shadow_name, out->name, sizeof out->name, "shadow_name", status);

	out->vcpus = in->vcpus;
	out->memory_bytes = in->memory_bytes & ~1023ull;
	out->n_disks = in->n_disks;
	if (!error)
		error = copy_nics(in, out, status);
	if (!error && in->n_disks > GN_VM_MAX_DISKS)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%zu disks; at most %d can be "
		                     "cloned",
		                     in->n_disks, GN_VM_MAX_DISKS);
	for (i = 0; i < in->n_disks && !error; i++)
		error = copy_disk(in->disks[i], &out->disks[i], status);
	if (!error)
		error = copy_text(in->pool, out->pool, sizeof out->pool, "pool", status);
	if (!error)
		error = copy_text(in->pool_path, out->pool_path, sizeof out->pool_path, "pool_path",
		                  status);
	return error;
}

static void copy_cpu_limit(const Gnomon__V1__SetCpuLimit *in, struct gn_command *out)
{
	out->set_cpu_limit.expected_shares = in->expected_shares;
	out->set_cpu_limit.shares = in->shares;
	out->set_cpu_limit.expected_quota_us = in->expected_quota_us;
	out->set_cpu_limit.quota_us = in->quota_us;
	out->set_cpu_limit.period_us = in->period_us;
}

static int copy_action(const Gnomon__V1__Command *in, struct gn_command *out,
                       struct gn_status *status)
{
	switch (in->action_case) {
	case GNOMON__V1__COMMAND__ACTION_SET_VCPUS:
		out->kind = GN_COMMAND_SET_VCPUS;
		out->set_vcpus.expected = in->set_vcpus->expected;
		out->set_vcpus.vcpus = in->set_vcpus->vcpus;
		return 0;
	case GNOMON__V1__COMMAND__ACTION_SET_MEMORY:
		out->kind = GN_COMMAND_SET_MEMORY;
		out->set_memory.expected_bytes = in->set_memory->expected_bytes;
		out->set_memory.bytes = in->set_memory->bytes & ~1023ull;
		return 0;
	case GNOMON__V1__COMMAND__ACTION_SET_CPU_LIMIT:
		out->kind = GN_COMMAND_SET_CPU_LIMIT;
		copy_cpu_limit(in->set_cpu_limit, out);
		return 0;
	case GNOMON__V1__COMMAND__ACTION_DEFINE_SHADOW:
		out->kind = GN_COMMAND_DEFINE_SHADOW;
		return copy_shadow(in->define_shadow, &out->define_shadow, status);
	case GNOMON__V1__COMMAND__ACTION_START_SHADOW:
		out->kind = GN_COMMAND_START_SHADOW;
		return 0;
	case GNOMON__V1__COMMAND__ACTION_PAUSE_VM:
		out->kind = GN_COMMAND_PAUSE_VM;
		return 0;
	case GNOMON__V1__COMMAND__ACTION_RESUME_VM:
		out->kind = GN_COMMAND_RESUME_VM;
		return 0;
	case GNOMON__V1__COMMAND__ACTION_DESTROY_SHADOW:
		out->kind = GN_COMMAND_DESTROY_SHADOW;
		return 0;
	case GNOMON__V1__COMMAND__ACTION_UNDEFINE_SHADOW:
		out->kind = GN_COMMAND_UNDEFINE_SHADOW;
		return 0;
	case GNOMON__V1__COMMAND__ACTION_FENCE_VM:
		out->kind = GN_COMMAND_FENCE_VM;
		return 0;
	case GNOMON__V1__COMMAND__ACTION_START_VM:
		out->kind = GN_COMMAND_START_VM;
		return 0;
	case GNOMON__V1__COMMAND__ACTION__NOT_SET:
	default:
		break;
	}
	return gn_status_set(status, GN_INVALID_ARGUMENT,
	                     "the command has no action that gnomon-shim " GN_VERSION " knows");
}

int gn_wire_command(const ProtobufCMessage *request, struct gn_command *out,
                    struct gn_status *status)
{
	const Gnomon__V1__Command *in = (const Gnomon__V1__Command *)request;
	int error;

	memset(out, 0, sizeof *out);
	error = copy_text(in->id, out->id, sizeof out->id, "the command's id", status);
	if (!error && strncmp(in->vm, VMS, strlen(VMS)))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "'%.64s' is not a VM's name; use vms/NAME", in->vm);
	if (!error)
		error = copy_text(in->vm + strlen(VMS), out->vm, sizeof out->vm, "the VM's name",
		                  status);
	if (!error)
		error = copy_text(in->reason, out->reason, sizeof out->reason, "the reason",
		                  status);
	out->deadline_us = in->deadline_us;
	return error ? error : copy_action(in, out, status);
}

int gn_wire_unpack_command(const void *data, size_t size, struct gn_command *out,
                           struct gn_status *status)
{
	Gnomon__V1__Command *message = gnomon__v1__command__unpack(NULL, size, data);
	int error;

	if (!message)
		return gn_status_set(status, GN_DATA_LOSS, "not a command");
	error = gn_wire_command(&message->base, out, status);
	gnomon__v1__command__free_unpacked(message, NULL);
	return error;
}

int gn_wire_pack(const ProtobufCMessage *message, struct gn_wire_bytes *out)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	uint8_t *data = malloc(size + 1);

	if (!data)
		return -ENOMEM;
	out->size = protobuf_c_message_pack(message, data);
	out->data = data;
	return 0;
}

/* ---- allocations and results ------------------------------------------------------------- */

static void allocation_out(const struct gn_vm_allocation *in, Gnomon__V1__Allocation *out)
{
	gnomon__v1__allocation__init(out);
	out->vcpus = in->vcpus;
	out->vcpus_maximum = in->vcpus_maximum;
	out->memory_bytes = in->memory_bytes;
	out->memory_maximum_bytes = in->memory_maximum_bytes;
	out->cpu_shares = in->cpu_shares;
	out->cpu_quota_us = in->cpu_quota_us;
	out->cpu_period_us = in->cpu_period_us;
}

static void allocation_in(const Gnomon__V1__Allocation *in, struct gn_vm_allocation *out)
{
	out->vcpus = in->vcpus;
	out->vcpus_maximum = in->vcpus_maximum;
	out->memory_bytes = in->memory_bytes;
	out->memory_maximum_bytes = in->memory_maximum_bytes;
	out->cpu_shares = in->cpu_shares;
	out->cpu_quota_us = in->cpu_quota_us;
	out->cpu_period_us = in->cpu_period_us;
}

struct result_message {
	Gnomon__V1__CommandResult result;
	Gnomon__V1__Status status;
	Gnomon__V1__Allocation before;
	Gnomon__V1__Allocation after;
};

static void result_out(const struct gn_result *in, struct result_message *m)
{
	gnomon__v1__command_result__init(&m->result);
	gnomon__v1__status__init(&m->status);
	m->status.code = (Gnomon__V1__Code)in->status.code;
	m->status.message = (char *)in->status.message;
	m->result.status = &m->status;
	m->result.id = (char *)in->id;
	if (in->has_before) {
		allocation_out(&in->before, &m->before);
		m->result.before = &m->before;
	}
	if (in->has_after) {
		allocation_out(&in->after, &m->after);
		m->result.after = &m->after;
	}
	m->result.started_us = in->started_us;
	m->result.finished_us = in->finished_us;
	m->result.repeated = in->repeated;
	m->result.uuid = (char *)in->uuid;
}

int gn_wire_pack_result(const struct gn_result *result, struct gn_wire_bytes *out)
{
	struct result_message m;

	result_out(result, &m);
	return gn_wire_pack(&m.result.base, out);
}

int gn_wire_unpack_result(const void *data, size_t size, struct gn_result *out)
{
	Gnomon__V1__CommandResult *m = gnomon__v1__command_result__unpack(NULL, size, data);

	if (!m)
		return -EBADMSG;
	memset(out, 0, sizeof *out);
	snprintf(out->id, sizeof out->id, "%s", m->id);
	snprintf(out->uuid, sizeof out->uuid, "%s", m->uuid);
	if (m->status) {
		out->status.code = (enum gn_code)m->status->code;
		snprintf(out->status.message, sizeof out->status.message, "%s", m->status->message);
	}
	out->has_before = m->before != NULL;
	if (m->before)
		allocation_in(m->before, &out->before);
	out->has_after = m->after != NULL;
	if (m->after)
		allocation_in(m->after, &out->after);
	out->started_us = m->started_us;
	out->finished_us = m->finished_us;
	gnomon__v1__command_result__free_unpacked(m, NULL);
	return 0;
}

void gn_wire_reply_result(struct gn_channel_call *call, const struct gn_result *result)
{
	struct result_message m;

	result_out(result, &m);
	gn_channel_reply(call, &m.result.base);
}

/* ---- the host and its VMs, out ------------------------------------------------------------- */

static void fail_memory(struct gn_channel_call *call)
{
	struct gn_status status;

	gn_status_set(&status, GN_RESOURCE_EXHAUSTED, "gnomon-shim is out of memory");
	gn_channel_fail(call, &status);
}

struct drive_message {
	Gnomon__V1__HostDrive drive;
	Gnomon__V1__SmartAttribute attributes[GN_DRIVE_ATTRIBUTES_MAX];
	Gnomon__V1__SmartAttribute *list[GN_DRIVE_ATTRIBUTES_MAX];
};

static void drive_out(const struct gn_drive_report *in, struct drive_message *out)
{
	gnomon__v1__host_drive__init(&out->drive);
	out->drive.name = (char *)in->name;
	out->drive.device = (char *)in->device;
	out->drive.model = (char *)in->model;
	out->drive.size_bytes = in->size_bytes;
	out->drive.power_on_hours = in->power_on_hours;
	for (unsigned i = 0; i < in->n_attributes; i++) {
		gnomon__v1__smart_attribute__init(&out->attributes[i]);
		out->attributes[i].id = in->attributes[i].id;
		out->attributes[i].raw = in->attributes[i].raw;
		out->list[i] = &out->attributes[i];
	}
	out->drive.n_attributes = in->n_attributes;
	out->drive.attributes = out->list;
}

void gn_wire_reply_host(struct gn_channel_call *call, const struct gn_host_info *info,
                        const struct gn_host_drives *drives, const char *uri, bool connected,
                        uint64_t started_us)
{
	size_t n = drives ? drives->n : 0;
	struct drive_message *messages = calloc(n + 1, sizeof *messages);
	Gnomon__V1__HostDrive *list[GN_HOST_DRIVES_MAX];
	Gnomon__V1__HostInfo m = GNOMON__V1__HOST_INFO__INIT;

	if (!messages) {
		fail_memory(call);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		drive_out(&drives->drives[i], &messages[i]);
		list[i] = &messages[i].drive;
	}
	m.drives = list;
	m.n_drives = n;

	m.hostname = (char *)info->hostname;
	m.libvirt_uri = (char *)uri;
	m.libvirt_version = (char *)info->libvirt_version;
	m.hypervisor = (char *)info->hypervisor;
	m.cpus = info->cpus;
	m.memory_bytes = info->memory_bytes;
	m.memory_free_bytes = info->memory_free_bytes;
	m.connected = connected;
	m.shim_version = (char *)GN_VERSION;
	m.shim_started_us = started_us;
	m.kvm = info->kvm;
	gn_channel_reply(call, &m.base);
	free(messages);
}

static void resource_name(const char *domain, char out[RESOURCE_SIZE])
{
	snprintf(out, RESOURCE_SIZE, "%s%s", domain[0] ? VMS : "", domain);
}

struct vm_message {
	Gnomon__V1__HostVm vm;
	Gnomon__V1__Allocation allocation;
	Gnomon__V1__HostNic nics[GN_VM_MAX_NICS];
	Gnomon__V1__HostNic *nic_list[GN_VM_MAX_NICS];
	Gnomon__V1__HostDisk disks[GN_VM_MAX_DISKS];
	Gnomon__V1__HostDisk *disk_list[GN_VM_MAX_DISKS];
	char name[RESOURCE_SIZE];
	char shadow_of[RESOURCE_SIZE];
};

static void devices_out(const struct gn_vm_description *d, struct vm_message *m)
{
	size_t i;

	for (i = 0; i < d->n_nics; i++) {
		gnomon__v1__host_nic__init(&m->nics[i]);
		m->nics[i].mac = (char *)d->nics[i].mac;
		m->nics[i].socket_path = (char *)d->nics[i].socket_path;
		m->nics[i].target = (char *)d->nics[i].target;
		m->nic_list[i] = &m->nics[i];
	}
	for (i = 0; i < d->n_disks; i++) {
		gnomon__v1__host_disk__init(&m->disks[i]);
		m->disks[i].target = (char *)d->disks[i].target;
		m->disks[i].socket_path = (char *)d->disks[i].socket_path;
		m->disks[i].source = (char *)d->disks[i].source;
		m->disk_list[i] = &m->disks[i];
	}
	m->vm.n_nics = d->n_nics;
	m->vm.nics = m->nic_list;
	m->vm.n_disks = d->n_disks;
	m->vm.disks = m->disk_list;
}

static void vm_out(const struct gn_vm *in, struct vm_message *m)
{
	gnomon__v1__host_vm__init(&m->vm);
	resource_name(in->name, m->name);
	resource_name(in->description.shadow_of, m->shadow_of);
	m->vm.name = m->name;
	m->vm.shadow_of = m->shadow_of;
	m->vm.uuid = (char *)in->uuid;
	m->vm.state = (Gnomon__V1__VmState)in->state;
	m->vm.failed = in->failed;
	allocation_out(&in->allocation, &m->allocation);
	m->vm.allocation = &m->allocation;
	devices_out(&in->description, m);
}

void gn_wire_reply_vms(struct gn_channel_call *call, const struct gn_vm *vms, size_t n)
{
	Gnomon__V1__HostVmList list = GNOMON__V1__HOST_VM_LIST__INIT;
	struct vm_message *messages = calloc(n + 1, sizeof *messages);
	Gnomon__V1__HostVm **pointers = calloc(n + 1, sizeof(void *));
	size_t i;

	if (!messages || !pointers) {
		fail_memory(call);
	} else {
		for (i = 0; i < n; i++) {
			vm_out(&vms[i], &messages[i]);
			pointers[i] = &messages[i].vm;
		}
		list.n_vms = n;
		list.vms = pointers;
		gn_channel_reply(call, &list.base);
	}
	free(messages);
	free(pointers);
}

void gn_wire_process_out(uint32_t process, const struct gn_tasks_total *in,
                         Gnomon__V1__HostProcess *out)
{
	gnomon__v1__host_process__init(out);
	out->pid = process;
	out->threads = in->n_threads;
	out->cpu_ns = in->cpu_ns;
	out->run_delay_ns = in->run_delay_ns;
	out->minor_faults = in->minor_faults;
	out->major_faults = in->major_faults;
	out->read_calls = in->io.read_calls;
	out->write_calls = in->io.write_calls;
	out->read_bytes = in->io.read_bytes;
	out->write_bytes = in->io.write_bytes;
}

struct stats_message {
	Gnomon__V1__HostVmStats stats;
	Gnomon__V1__HostProcess process;
	Gnomon__V1__Allocation allocation;
	char name[RESOURCE_SIZE];
	char shadow_of[RESOURCE_SIZE];
	struct gn_wire_agent *agent;
};

static void stats_out(const struct gn_vm_stats *in, struct stats_message *m)
{
	gnomon__v1__host_vm_stats__init(&m->stats);
	resource_name(in->name, m->name);
	resource_name(in->shadow_of, m->shadow_of);
	m->stats.name = m->name;
	m->stats.shadow_of = m->shadow_of;
	m->stats.state = (Gnomon__V1__VmState)in->state;
	allocation_out(&in->allocation, &m->allocation);
	m->stats.allocation = &m->allocation;
	m->stats.cpu_time_ns = in->cpu_time_ns;
	m->stats.cpu_wait_ns = in->cpu_wait_ns;
	m->stats.memory_usable_bytes = in->memory_usable_bytes;
	m->stats.memory_available_bytes = in->memory_available_bytes;
	m->stats.memory_rss_bytes = in->memory_rss_bytes;
	m->stats.memory_updated_us = in->memory_updated_us;
	m->stats.swap_in_bytes = in->swap_in_bytes;
	m->stats.swap_out_bytes = in->swap_out_bytes;
	m->stats.major_faults = in->major_faults;
	if (in->process_id) {
		gn_wire_process_out(in->process_id, &in->process, &m->process);
		m->stats.process = &m->process;
	}
	if (in->agent)
		m->agent = gn_wire_agent_create(in->agent, in->agent_age_us);
	if (m->agent)
		m->stats.agent = gn_wire_agent_message(m->agent);
}

void gn_wire_reply_stats(struct gn_channel_call *call, const struct gn_vm_stats *vms, size_t n,
                         uint64_t wall_us, uint64_t monotonic_us, uint64_t memory_free_bytes)
{
	Gnomon__V1__HostStats list = GNOMON__V1__HOST_STATS__INIT;
	struct stats_message *messages = calloc(n + 1, sizeof *messages);
	Gnomon__V1__HostVmStats **pointers = calloc(n + 1, sizeof(void *));
	size_t i;

	if (!messages || !pointers) {
		fail_memory(call);
	} else {
		for (i = 0; i < n; i++) {
			stats_out(&vms[i], &messages[i]);
			pointers[i] = &messages[i].stats;
		}
		list.n_vms = n;
		list.vms = pointers;
		list.wall_us = wall_us;
		list.monotonic_us = monotonic_us;
		list.host_memory_free_bytes = memory_free_bytes;
		gn_channel_reply(call, &list.base);
	}
	for (i = 0; messages && i < n; i++)
		gn_wire_agent_destroy(messages[i].agent);
	free(messages);
	free(pointers);
}
