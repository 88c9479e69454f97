/* fake_host.c - see fake_host.h. */
#include "tests/gnomond/fake_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "firmware/core/clock.h"
#include "firmware/message/message.h"
#include "proto/gnomon/v1/host.pb-c.h"

#define MAX_VMS      8
#define MAX_COMMANDS 4096

struct vm {
	char name[64];
	bool is_shadow;
	char shadow_of[64];
	Gnomon__V1__VmState state;
	uint32_t vcpus;
	uint64_t memory_bytes;
	uint64_t cpu_time_ns;
};

struct gn_fake_host {
	struct gn_fake_host_options o;
	struct vm vms[2 * MAX_VMS];
	unsigned n_vms;
	FILE *journal;
	char ids[MAX_COMMANDS][65];
	unsigned n_ids;
	uint64_t integrated_us;
	unsigned n_silent;
	struct gn_fake_mood mood;
	struct gn_channel_service service;
};

/* ---- the load ---------------------------------------------------------------------------- */

int64_t gn_fake_host_load(const struct gn_fake_host *host, uint64_t now_us)
{
	if (host->o.chaos_us)
		return 50 + gn_fake_chaos(0, now_us / host->o.chaos_us) * 9 / 10;
	return now_us % host->o.period_us < host->o.spike_us ? host->o.high_milli
	                                                     : host->o.low_milli;
}

/* What the guest uses of its memory. */
static uint64_t memory_used(const struct gn_fake_host *host, const struct vm *vm, uint64_t now_us)
{
	uint64_t used = vm->memory_bytes / 2, most = vm->memory_bytes - (24 << 20);

	if (host->o.chaos_us)
		used += gn_fake_chaos(1, now_us / host->o.chaos_us) * 128ull * 1024;
	used += host->mood.troubles[GN_FAKE_NOISE_KIB] * gn_fake_chaos(2, now_us / 10000) * 1024 /
	        1000;
	used += host->mood.leaked_bytes;
	return used < most ? used : most;
}

static void integrate(struct gn_fake_host *host, uint64_t now_us)
{
	const uint64_t step = 5000;

	if (!host->integrated_us || now_us - host->integrated_us > 10000000)
		host->integrated_us = now_us;
	for (; host->integrated_us + step <= now_us; host->integrated_us += step)
		for (unsigned i = 0; i < host->n_vms; i++) {
			int64_t used = gn_fake_host_load(host, host->integrated_us);

			if (host->vms[i].state != GNOMON__V1__VM_STATE__RUNNING)
				continue;
			if (used > host->vms[i].vcpus * 1000ll)
				used = host->vms[i].vcpus * 1000ll;
			host->vms[i].cpu_time_ns += (uint64_t)used * step; /* milli * us = ns */
		}
}

/* ---- queries ------------------------------------------------------------------------------ */

static Gnomon__V1__Allocation *allocation_of(const struct vm *vm)
{
	Gnomon__V1__Allocation *a =
	        GN_MESSAGE_NEW(Gnomon__V1__Allocation, gnomon__v1__allocation__init);

	a->vcpus = vm->vcpus;
	a->vcpus_maximum = 4;
	a->memory_bytes = vm->memory_bytes;
	a->memory_maximum_bytes = (uint64_t)1 << 30;
	a->cpu_quota_us = -1;
	return a;
}

static void reply(struct gn_channel_call *call, ProtobufCMessage *message)
{
	gn_channel_reply(call, message);
	gn_message_free(message);
}

static void get_host(void *context, struct gn_channel_call *call, const ProtobufCMessage *request)
{
	struct gn_fake_host *host = context;
	Gnomon__V1__HostInfo *info =
	        GN_MESSAGE_NEW(Gnomon__V1__HostInfo, gnomon__v1__host_info__init);

	gn_message_set(&info->hostname, "fake");
	info->cpus = host->o.cpus;
	info->memory_bytes = (uint64_t)16 << 30;
	info->connected = true;
	info->kvm = true;
	reply(call, &info->base);
}

static void list_vms(void *context, struct gn_channel_call *call, const ProtobufCMessage *request)
{
	struct gn_fake_host *host = context;
	Gnomon__V1__HostVmList *list =
	        GN_MESSAGE_NEW(Gnomon__V1__HostVmList, gnomon__v1__host_vm_list__init);

	for (unsigned i = 0; i < host->n_vms; i++) {
		const struct vm *vm = &host->vms[i];
		Gnomon__V1__HostVm *out =
		        GN_MESSAGE_NEW(Gnomon__V1__HostVm, gnomon__v1__host_vm__init);
		Gnomon__V1__HostNic *nic =
		        GN_MESSAGE_NEW(Gnomon__V1__HostNic, gnomon__v1__host_nic__init);
		Gnomon__V1__HostDisk *disk =
		        GN_MESSAGE_NEW(Gnomon__V1__HostDisk, gnomon__v1__host_disk__init);

		gn_message_set(&out->name, "%s", vm->name);
		gn_message_set(&out->shadow_of, "%s", vm->shadow_of);
		out->state = vm->state;
		out->allocation = allocation_of(vm);
		gn_message_set(&nic->mac, "52:54:00:00:00:%02x", i);
		gn_message_set(&nic->socket_path, "%s/vhost/%s-net0.sock", host->o.run_dir,
		               vm->name + 4);
		GN_MESSAGE_APPEND(out->nics, out->n_nics, nic);
		gn_message_set(&disk->target, "vda");
		gn_message_set(&disk->socket_path, "%s/vhost/%s-vda.sock", host->o.run_dir,
		               vm->name + 4);
		GN_MESSAGE_APPEND(out->disks, out->n_disks, disk);
		GN_MESSAGE_APPEND(list->vms, list->n_vms, out);
	}
	reply(call, &list->base);
}

static void get_stats(void *context, struct gn_channel_call *call, const ProtobufCMessage *request)
{
	struct gn_fake_host *host = context;
	Gnomon__V1__HostStats *stats =
	        GN_MESSAGE_NEW(Gnomon__V1__HostStats, gnomon__v1__host_stats__init);

	stats->wall_us = gn_clock_wall_us();
	stats->monotonic_us = gn_clock_monotonic_us();
	integrate(host, stats->monotonic_us);
	gn_fake_mood_read(&host->mood, host->o.mood, stats->monotonic_us);
	for (unsigned i = 0; i < host->n_vms; i++) {
		const struct vm *vm = &host->vms[i];
		Gnomon__V1__HostVmStats *out =
		        GN_MESSAGE_NEW(Gnomon__V1__HostVmStats, gnomon__v1__host_vm_stats__init);

		if (vm->state != GNOMON__V1__VM_STATE__RUNNING) {
			GN_MESSAGE_FREE(out);
			continue;
		}
		gn_message_set(&out->name, "%s", vm->name);
		gn_message_set(&out->shadow_of, "%s", vm->shadow_of);
		out->state = vm->state;
		out->allocation = allocation_of(vm);
		out->cpu_time_ns = vm->cpu_time_ns;
		out->memory_available_bytes = vm->memory_bytes - (20 << 20);
		out->memory_usable_bytes =
		        vm->memory_bytes - memory_used(host, vm, stats->monotonic_us);
		out->memory_rss_bytes = vm->memory_bytes;
		out->memory_updated_us = stats->wall_us;
		GN_MESSAGE_APPEND(stats->vms, stats->n_vms, out);
	}
	reply(call, &stats->base);
}

/* ---- commands -------------------------------------------------------------------------------- */

static struct vm *find(struct gn_fake_host *host, const char *name)
{
	for (unsigned i = 0; i < host->n_vms; i++)
		if (strcmp(host->vms[i].name, name) == 0)
			return &host->vms[i];
	return NULL;
}

static struct vm *add_vm(struct gn_fake_host *host, const char *name, Gnomon__V1__VmState state)
{
	struct vm *vm = find(host, name);

	if (!vm)
		vm = &host->vms[host->n_vms++];
	*vm = (struct vm){.state = state, .vcpus = 1, .memory_bytes = (uint64_t)512 << 20};
	snprintf(vm->name, sizeof vm->name, "%s", name);
	return vm;
}

static void remove_vm(struct gn_fake_host *host, const char *name)
{
	struct vm *vm = find(host, name);

	if (vm)
		*vm = host->vms[--host->n_vms];
}

/* What a journal line says was done. */
static void apply(struct gn_fake_host *host, const char *vm_name, const char *action,
                  long long value)
{
	struct vm *vm = find(host, vm_name);
	char shadow[80];

	if (strcmp(action, "define") == 0) {
		snprintf(shadow, sizeof shadow, "%s-shadow", vm_name);
		vm = add_vm(host, shadow, GNOMON__V1__VM_STATE__SHUT_OFF);
		vm->is_shadow = true;
		snprintf(vm->shadow_of, sizeof vm->shadow_of, "%s", vm_name);
	} else if (strcmp(action, "undefine") == 0) {
		remove_vm(host, vm_name);
	} else if (vm && strcmp(action, "vcpus") == 0) {
		vm->vcpus = (uint32_t)value;
	} else if (vm && strcmp(action, "memory") == 0) {
		vm->memory_bytes = (uint64_t)value;
	} else if (vm && strcmp(action, "start") == 0) {
		vm->state = GNOMON__V1__VM_STATE__RUNNING;
	} else if (vm && strcmp(action, "destroy") == 0) {
		vm->state = GNOMON__V1__VM_STATE__SHUT_OFF;
	}
}

static const char *action_of(const Gnomon__V1__Command *c, long long *value)
{
	*value = 0;
	switch (c->action_case) {
	case GNOMON__V1__COMMAND__ACTION_SET_VCPUS:
		*value = c->set_vcpus->vcpus;
		return "vcpus";
	case GNOMON__V1__COMMAND__ACTION_SET_MEMORY:
		*value = (long long)c->set_memory->bytes;
		return "memory";
	case GNOMON__V1__COMMAND__ACTION_DEFINE_SHADOW:
		return "define";
	case GNOMON__V1__COMMAND__ACTION_START_SHADOW:
		return "start";
	case GNOMON__V1__COMMAND__ACTION_DESTROY_SHADOW:
		return "destroy";
	case GNOMON__V1__COMMAND__ACTION_UNDEFINE_SHADOW:
		return "undefine";
	case GNOMON__V1__COMMAND__ACTION_FENCE_VM:
		return "destroy";
	case GNOMON__V1__COMMAND__ACTION_START_VM:
		return "start";
	default:
		return "other";
	}
}

static bool was_executed(const struct gn_fake_host *host, const char *id)
{
	for (unsigned i = 0; i < host->n_ids; i++)
		if (strcmp(host->ids[i], id) == 0)
			return true;
	return false;
}

static void remember(struct gn_fake_host *host, const char *id)
{
	if (host->n_ids < MAX_COMMANDS)
		snprintf(host->ids[host->n_ids++], sizeof host->ids[0], "%s", id);
}

static enum gn_code check(struct gn_fake_host *host, const Gnomon__V1__Command *c)
{
	const struct vm *vm = find(host, c->vm);

	if (!vm)
		return GN_NOT_FOUND;
	if (gn_clock_wall_us() > c->deadline_us)
		return GN_DEADLINE_EXCEEDED;
	if (c->action_case == GNOMON__V1__COMMAND__ACTION_SET_VCPUS &&
	    c->set_vcpus->expected != vm->vcpus)
		return GN_ABORTED;
	if (c->action_case == GNOMON__V1__COMMAND__ACTION_DEFINE_SHADOW &&
	    (c->define_shadow->n_nics != 1 || c->define_shadow->n_disks != 1))
		return GN_INVALID_ARGUMENT;
	return GN_OK;
}

static void execute(void *context, struct gn_channel_call *call, const ProtobufCMessage *request)
{
	const Gnomon__V1__Command *c = (const Gnomon__V1__Command *)request;
	struct gn_fake_host *host = context;
	Gnomon__V1__CommandResult *result =
	        GN_MESSAGE_NEW(Gnomon__V1__CommandResult, gnomon__v1__command_result__init);
	bool again = was_executed(host, c->id);
	enum gn_code code = again ? GN_OK : check(host, c);
	const struct vm *vm = find(host, c->vm);
	long long value;
	const char *action = action_of(c, &value);

	gn_message_set(&result->id, "%s", c->id);
	result->repeated = again;
	result->status = GN_MESSAGE_NEW(Gnomon__V1__Status, gnomon__v1__status__init);
	result->status->code = (Gnomon__V1__Code)code;
	if (code)
		gn_message_set(&result->status->message, "the model refuses: %s",
		               gn_code_name(code));
	if (vm)
		result->before = allocation_of(vm);
	if (!code && !again) {
		integrate(host, gn_clock_monotonic_us());
		apply(host, c->vm, action, value);
		remember(host, c->id);
	}
	fprintf(host->journal, "%s %s %s %lld %s %llu\n", c->id, c->vm, action, value,
	        again  ? "again"
	        : code ? "refused"
	               : "new",
	        (unsigned long long)gn_clock_monotonic_us());
	fflush(host->journal);
	fsync(fileno(host->journal));
	vm = find(host, c->vm);
	if (vm)
		result->after = allocation_of(vm);
	gn_message_set(&result->uuid, "00000000-0000-0000-0000-000000000001");
	if (!again && host->n_silent < host->o.n_silent) {
		/* The answer is lost: the caller runs into its own timeout. */
		host->n_silent++;
		GN_MESSAGE_FREE(result);
		return;
	}
	reply(call, &result->base);
}

/* The rest of the service is not implemented. */
static gn_channel_handler *const handlers[16] = {get_host, list_vms, get_stats, execute};

static void read_journal(struct gn_fake_host *host)
{
	char id[65], vm[64], action[16], what[16];
	long long value;
	unsigned long long at;
	FILE *file = fopen(host->o.journal, "r");

	if (!file)
		return;
	while (fscanf(file, "%64s %63s %15s %lld %15s %llu", id, vm, action, &value, what, &at) ==
	       6)
		if (strcmp(what, "new") == 0) {
			apply(host, vm, action, value);
			remember(host, id);
		}
	fclose(file);
}

struct gn_fake_host *gn_fake_host_create(const struct gn_fake_host_options *options)
{
	struct gn_fake_host *host = gn_message_alloc(sizeof *host);

	host->o = *options;
	for (unsigned i = 0; i < options->n_vms && i < MAX_VMS; i++) {
		char name[32];

		snprintf(name, sizeof name, "vms/web-%u", i + 1);
		add_vm(host, name, GNOMON__V1__VM_STATE__RUNNING);
	}
	read_journal(host);
	host->journal = fopen(options->journal, "a");
	if (!host->journal)
		abort();
	host->service = (struct gn_channel_service){
	        .descriptor = &gnomon__v1__host__descriptor, .handlers = handlers, .context = host};
	return host;
}

const struct gn_channel_service *gn_fake_host_service(struct gn_fake_host *host)
{
	return &host->service;
}
