/* steps.c - what each step of a shadow does, and how it is undone (provision.h).
 *
 * Every step may meet what an earlier attempt left: what exists already as wanted is taken
 * as done, what is gone already counts as undone. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "firmware/message/message.h"
#include "firmware/shadow/provision_internal.h"

#define SECOND_US       ((uint64_t)1000000)
#define CALL_TIMEOUT_US (10 * SECOND_US)
#define COMMAND_LIFE_US (60 * SECOND_US)

static struct gn_vm *vm_of(const struct gn_shadow_record *record)
{
	return gn_brain_vm(record->shadows->brain, record->vm);
}

/* "vms/web-1-shadow": the shadow's domain as the shim and the dataplane name it. */
static void domain_name(const struct gn_shadow_record *record, char out[GN_NAME_SIZE])
{
	char domain[GN_NAME_SIZE];

	gn_name_shadow_domain(record->vm, domain);
	snprintf(out, GN_NAME_SIZE, "vms/%.120s", domain);
}

static const char *disk_name(const struct gn_shadow_record *record)
{
	const struct gn_vm *vm = vm_of(record);

	return vm && record->shadow.item < vm->spec->n_disks
	               ? vm->spec->disks[record->shadow.item]->name
	               : "";
}

static const char *nic_name(const struct gn_shadow_record *record)
{
	const struct gn_vm *vm = vm_of(record);

	return vm && record->shadow.item < vm->spec->n_nics
	               ? vm->spec->nics[record->shadow.item]->name
	               : "";
}

/* ---- answers --------------------------------------------------------------------------- */

static void on_made(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct gn_shadow_record *record = context;
	struct gn_view *view = record->shadows->view;

	if (reply && reply->descriptor == &gnomon__v1__port__descriptor)
		gn_view_note_port(view, (const Gnomon__V1__Port *)reply);
	else if (reply && reply->descriptor == &gnomon__v1__volume__descriptor)
		gn_view_note_volume(view, (const Gnomon__V1__Volume *)reply);
	else if (reply && reply->descriptor == &gnomon__v1__mirror__descriptor)
		gn_view_note_mirror(view, (const Gnomon__V1__Mirror *)reply);
	gn_shadows_answer(record, status->code, status->message);
}

static void on_removed(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	gn_shadows_answer(context, status->code == GN_NOT_FOUND ? GN_OK : status->code,
	                  status->message);
}

static void on_command(void *context, const struct gn_executor_result *result)
{
	struct gn_shadow_record *record = context;
	enum gn_code code = result->status.code;

	if (record->shadow.undoing && code == GN_NOT_FOUND)
		code = GN_OK;
	if (code == GN_OK && result->uuid && result->uuid[0])
		gn_message_set(&record->message->uuid, "%s", result->uuid);
	gn_shadows_answer(record, code, result->status.message);
}

/* ---- commands to the shim ----------------------------------------------------------------- */

static void begin_command(struct gn_shadow_record *record, Gnomon__V1__Command *command,
                          char id[65], struct gn_time now)
{
	const struct gn_shadow *s = &record->shadow;

	snprintf(id, 65, "%s-s%u-%u-%s%u-%u", gn_store_nonce(record->shadows->brain->store),
	         s->generation, (unsigned)s->step, s->undoing ? "undo" : "do", s->round,
	         s->toggles);
	command->id = id;
	command->deadline_us = now.wall_us + COMMAND_LIFE_US;
	command->reason = (char *)"a shadow of this VM is kept by the card";
}

static void simple_command(struct gn_shadow_record *record, Gnomon__V1__Command__ActionCase what,
                           struct gn_time now)
{
	Gnomon__V1__Command command = GNOMON__V1__COMMAND__INIT;
	Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;
	char id[65], name[GN_NAME_SIZE];

	begin_command(record, &command, id, now);
	domain_name(record, name);
	command.vm = name;
	command.action_case = what;
	command.start_shadow = &empty; /* the union's members of type Empty are one */
	gn_executor_command(record->shadows->executor, &command, on_command, record);
}

/* The path of a port's or volume's socket: as the dataplane tells, or as it would choose. */
static void socket_of(const struct gn_shadow_record *record, const char *name, const char *told,
                      char **out)
{
	gn_message_set(out, "%s", told && told[0] ? told : "");
	if (!(*out)[0])
		gn_message_set(out, "%s/vhost/%s.sock", record->shadows->brain->config->run_dir,
		               strchr(name, '/') + 1);
}

static void socket_of_port(const struct gn_shadow_record *record, bool shadow, const char *nic,
                           char **out)
{
	const Gnomon__V1__Port *port;
	char name[GN_NAME_SIZE];

	gn_name_port(record->vm, shadow, nic, name);
	port = gn_view_port(record->shadows->view, name);
	socket_of(record, name, port ? port->socket_path : NULL, out);
}

static void socket_of_volume(const struct gn_shadow_record *record, const char *disk, char **out)
{
	const Gnomon__V1__Volume *volume;
	char name[GN_NAME_SIZE];

	gn_name_volume(record->vm, true, disk, name);
	volume = gn_view_volume(record->shadows->view, name);
	socket_of(record, name, volume ? volume->socket_path : NULL, out);
}

/* Which of our NICs is libvirt's: the one behind the same socket. NULL: none. */
static const char *our_nic(const struct gn_shadow_record *record, const struct gn_vm *vm,
                           const Gnomon__V1__HostNic *host)
{
	size_t i;

	for (i = 0; i < vm->spec->n_nics; i++) {
		char *path = NULL;
		bool same;

		socket_of_port(record, false, vm->spec->nics[i]->name, &path);
		same = strcmp(path, host->socket_path) == 0;
		free(path);
		if (same)
			return vm->spec->nics[i]->name;
	}
	return NULL;
}

static bool has_disk(const struct gn_vm *vm, const char *target)
{
	size_t i;

	for (i = 0; i < vm->spec->n_disks; i++)
		if (strcmp(vm->spec->disks[i]->name, target) == 0)
			return true;
	return false;
}

static int fill_nics(const struct gn_shadow_record *record, const struct gn_vm *vm,
                     Gnomon__V1__DefineShadow *define, struct gn_status *why)
{
	size_t i;

	for (i = 0; i < vm->host_vm->n_nics; i++) {
		const Gnomon__V1__HostNic *host = vm->host_vm->nics[i];
		const char *ours = our_nic(record, vm, host);
		Gnomon__V1__DefineShadow__Nic *nic;

		if (!ours)
			return gn_status_set(
			        why, GN_FAILED_PRECONDITION,
			        "the NIC %s of %s is not behind the card: put it on the "
			        "card, or remove it, before a shadow is made",
			        host->mac, vm->name);
		nic = GN_MESSAGE_NEW(Gnomon__V1__DefineShadow__Nic,
		                     gnomon__v1__define_shadow__nic__init);
		gn_message_set(&nic->mac, "%s", host->mac);
		socket_of_port(record, true, ours, &nic->socket_path);
		GN_MESSAGE_APPEND(define->nics, define->n_nics, nic);
	}
	return 0;
}

static int fill_disks(const struct gn_shadow_record *record, const struct gn_vm *vm,
                      Gnomon__V1__DefineShadow *define, struct gn_status *why)
{
	size_t i;

	for (i = 0; i < vm->host_vm->n_disks; i++) {
		const Gnomon__V1__HostDisk *host = vm->host_vm->disks[i];
		Gnomon__V1__DefineShadow__Disk *disk;

		if (!has_disk(vm, host->target))
			return gn_status_set(
			        why, GN_FAILED_PRECONDITION,
			        "the disk %s of %s is not behind the card: make it a volume, "
			        "or remove it, before a shadow is made",
			        host->target, vm->name);
		disk = GN_MESSAGE_NEW(Gnomon__V1__DefineShadow__Disk,
		                      gnomon__v1__define_shadow__disk__init);
		gn_message_set(&disk->target, "%s", host->target);
		socket_of_volume(record, host->target, &disk->socket_path);
		GN_MESSAGE_APPEND(define->disks, define->n_disks, disk);
	}
	return 0;
}

static void define(struct gn_shadow_record *record, struct gn_vm *vm, struct gn_time now)
{
	Gnomon__V1__Command command = GNOMON__V1__COMMAND__INIT;
	Gnomon__V1__DefineShadow *define;
	struct gn_status why = {GN_OK, ""};
	char id[65];

	if (!vm->host_vm) {
		gn_shadows_answer(record, GN_UNAVAILABLE,
		                  "libvirt has not told the VM's devices yet");
		return;
	}
	define = GN_MESSAGE_NEW(Gnomon__V1__DefineShadow, gnomon__v1__define_shadow__init);
	gn_message_set(&define->shadow_name, "%s", record->message->domain);
	define->vcpus = gn_shadow_vcpus(record, vm);
	define->memory_bytes = gn_shadow_memory(record, vm);
	if (gn_shadow_pool(record)) {
		gn_message_set(&define->pool, "%s", GN_SHADOW_POOL);
		gn_message_set(&define->pool_path, "%s", gn_shadow_pool(record));
	}
	if (fill_nics(record, vm, define, &why) || fill_disks(record, vm, define, &why)) {
		gn_shadows_answer(record, why.code, why.message);
	} else {
		begin_command(record, &command, id, now);
		command.vm = record->vm;
		command.action_case = GNOMON__V1__COMMAND__ACTION_DEFINE_SHADOW;
		command.define_shadow = define;
		gn_executor_command(record->shadows->executor, &command, on_command, record);
	}
	GN_MESSAGE_FREE(define);
}

/* ---- the other steps --------------------------------------------------------------------------
 */

static void reserve(struct gn_shadow_record *record, const struct gn_vm *vm, struct gn_time now)
{
	struct gn_ledger *ledger = &record->shadows->brain->ledger;
	struct gn_ledger_change change = {0};
	char why[160];
	int error;

	if (!record->shadows->brain->host || !vm->allocation) {
		gn_shadows_answer(record, GN_UNAVAILABLE, "the host has not told what it has yet");
		return;
	}
	change.entry = gn_ledger_open(ledger, record->message->name, "shadow", now.wall_us);
	change.amount.cpu_milli = gn_shadow_vcpus(record, vm) * 1000ull;
	change.amount.memory_bytes = gn_shadow_memory(record, vm);
	error = gn_ledger_take(ledger, &change, 1);
	if (!error) {
		gn_shadows_answer(record, GN_OK, "");
		return;
	}
	snprintf(why, sizeof why,
	         "the host has no room for %llu vCPU and %llu MiB: make room, or lower "
	         "scaling.start",
	         (unsigned long long)change.amount.cpu_milli / 1000,
	         (unsigned long long)(change.amount.memory_bytes >> 20));
	gn_shadows_answer(record, GN_RESOURCE_EXHAUSTED, why);
}

static void unreserve(struct gn_shadow_record *record)
{
	struct gn_ledger *ledger = &record->shadows->brain->ledger;

	gn_ledger_release(ledger, gn_ledger_find(ledger, record->message->name));
	gn_shadows_answer(record, GN_OK, "");
}

static void make_port(struct gn_shadow_record *record, const struct gn_vm *vm)
{
	Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;
	char name[GN_NAME_SIZE], owner[GN_NAME_SIZE];

	gn_name_port(record->vm, true, nic_name(record), name);
	domain_name(record, owner);
	port.name = name;
	port.vm = owner;
	port.kind = GNOMON__V1__PORT__KIND__VHOST_USER;
	port.vlan = vm->spec->nics[record->shadow.item]->vlan;
	port.queues = vm->spec->nics[record->shadow.item]->queues;
	port.isolated = true;
	gn_peer_call(record->shadows->dataplane, "CreatePort", &port.base, CALL_TIMEOUT_US, on_made,
	             record);
}

static void on_mirror(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct gn_shadow_record *record = context;
	struct gn_vm *vm = vm_of(record);
	Gnomon__V1__Mirror *mirror;

	if (status->code != GN_ALREADY_EXISTS || !vm) {
		on_made(context, status, reply);
		return;
	}
	/* One is there with other settings: ours replace them. */
	mirror = gn_shadow_mirror(record, vm);
	gn_peer_call(record->shadows->dataplane, "UpdateMirror", &mirror->base, CALL_TIMEOUT_US,
	             on_made, record);
	GN_MESSAGE_FREE(mirror);
}

static void make_mirror(struct gn_shadow_record *record, const struct gn_vm *vm)
{
	Gnomon__V1__Mirror *mirror = gn_shadow_mirror(record, vm);

	gn_peer_call(record->shadows->dataplane, "CreateMirror", &mirror->base, CALL_TIMEOUT_US,
	             on_mirror, record);
	GN_MESSAGE_FREE(mirror);
}

static void remove_named(struct gn_shadow_record *record, const char *method, char *name)
{
	Gnomon__V1__NameRequest request = GNOMON__V1__NAME_REQUEST__INIT;

	request.name = name;
	gn_peer_call(record->shadows->dataplane, method, &request.base, CALL_TIMEOUT_US, on_removed,
	             record);
}

/* ---- which -------------------------------------------------------------------------------------
 */

void gn_shadow_do(struct gn_shadow_record *record, struct gn_time now)
{
	struct gn_vm *vm = vm_of(record);

	if (!vm || vm->spec->n_nics != record->shadow.n_nics ||
	    vm->spec->n_disks != record->shadow.n_disks) {
		gn_shadows_answer(
		        record, GN_FAILED_PRECONDITION,
		        "the VM's NICs or disks changed: delete the shadow and make it anew");
		return;
	}
	switch (record->shadow.step) {
	case GN_SHADOW_STEP_RESERVE:
		reserve(record, vm, now);
		return;
	case GN_SHADOW_STEP_PORT:
		make_port(record, vm);
		return;
	case GN_SHADOW_STEP_REPLICA:
		gn_shadow_make_replica(record);
		return;
	case GN_SHADOW_STEP_COPY:
		gn_shadow_make_copy(record);
		return;
	case GN_SHADOW_STEP_VOLUME:
		gn_shadow_make_volume(record, on_made);
		return;
	case GN_SHADOW_STEP_DEFINE:
		define(record, vm, now);
		return;
	case GN_SHADOW_STEP_START:
		record->started_us = now.wall_us;
		simple_command(record, GNOMON__V1__COMMAND__ACTION_START_SHADOW, now);
		return;
	case GN_SHADOW_STEP_MIRROR:
		make_mirror(record, vm);
		return;
	case GN_SHADOW_N_STEPS:
		break;
	}
	gn_shadows_answer(record, GN_INTERNAL, "no such step");
}

void gn_shadow_undo(struct gn_shadow_record *record, struct gn_time now)
{
	char name[GN_NAME_SIZE];

	switch (record->shadow.step) {
	case GN_SHADOW_STEP_RESERVE:
		unreserve(record);
		return;
	case GN_SHADOW_STEP_PORT:
		gn_name_port(record->vm, true, nic_name(record), name);
		remove_named(record, "DeletePort", name);
		return;
	case GN_SHADOW_STEP_REPLICA:
		gn_shadow_remove_replica(record);
		return;
	case GN_SHADOW_STEP_COPY:
		gn_shadow_remove_copy(record);
		return;
	case GN_SHADOW_STEP_VOLUME:
		gn_name_volume(record->vm, true, disk_name(record), name);
		remove_named(record, "DeleteVolume", name);
		return;
	case GN_SHADOW_STEP_DEFINE:
		simple_command(record, GNOMON__V1__COMMAND__ACTION_UNDEFINE_SHADOW, now);
		return;
	case GN_SHADOW_STEP_START:
		simple_command(record, GNOMON__V1__COMMAND__ACTION_DESTROY_SHADOW, now);
		return;
	case GN_SHADOW_STEP_MIRROR:
		gn_name_child(record->vm, "/mirrors/shadow", name);
		remove_named(record, "DeleteMirror", name);
		return;
	case GN_SHADOW_N_STEPS:
		break;
	}
	gn_shadows_answer(record, GN_INTERNAL, "no such step");
}
