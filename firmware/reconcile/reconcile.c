/* reconcile.c - see reconcile.h. One item per thing to create that is under way or was
 * refused; it is forgotten once the thing is there. */
#include "firmware/reconcile/reconcile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/message/message.h"

#define TIMEOUT_US       ((uint64_t)5000000)
#define LONGEST_PAUSE_US ((uint64_t)60000000)

struct item {
	struct item *next;
	struct gn_reconcile *reconcile;
	char name[GN_NAME_SIZE];
	char vm[GN_NAME_SIZE];
	bool waiting;
	bool kept; /* made; the dataplane's lists that the view has do not show it */
	unsigned n_failures;
	uint64_t next_us; /* monotonic */
};

struct gn_reconcile {
	struct gn_brain *brain;
	struct gn_peer *dataplane;
	struct gn_view *view;
	struct item *items;
};

void gn_reconcile_create(struct gn_brain *brain, struct gn_peer *dataplane, struct gn_view *view,
                         struct gn_reconcile **out)
{
	struct gn_reconcile *reconcile = gn_message_alloc(sizeof *reconcile);

	reconcile->brain = brain;
	reconcile->dataplane = dataplane;
	reconcile->view = view;
	*out = reconcile;
}

void gn_reconcile_destroy(struct gn_reconcile *reconcile)
{
	if (!reconcile)
		return;
	while (reconcile->items) {
		struct item *item = reconcile->items;

		reconcile->items = item->next;
		free(item);
	}
	free(reconcile);
}

static struct item *item_of(struct gn_reconcile *reconcile, const char *name, const char *vm)
{
	struct item *item;

	for (item = reconcile->items; item; item = item->next)
		if (strcmp(item->name, name) == 0)
			return item;
	item = gn_message_alloc(sizeof *item);
	item->reconcile = reconcile;
	snprintf(item->name, sizeof item->name, "%s", name);
	snprintf(item->vm, sizeof item->vm, "%s", vm);
	item->next = reconcile->items;
	reconcile->items = item;
	return item;
}

/* Forgets the item, unless its answer is still awaited. */
static void drop(struct gn_reconcile *reconcile, const char *name)
{
	struct item **link;

	for (link = &reconcile->items; *link; link = &(*link)->next) {
		struct item *item = *link;

		if (strcmp(item->name, name) != 0 || item->waiting)
			continue;
		*link = item->next;
		free(item);
		return;
	}
}

/* ---- answers ------------------------------------------------------------------------------ */

static void on_failure(struct item *item, const struct gn_status *status)
{
	struct gn_vm *vm = gn_brain_vm(item->reconcile->brain, item->vm);
	uint64_t pause = 1000000ull << (item->n_failures < 6 ? item->n_failures : 6);

	item->n_failures++;
	item->next_us =
	        gn_time_now().monotonic_us + (pause < LONGEST_PAUSE_US ? pause : LONGEST_PAUSE_US);
	if (!vm)
		return;
	if (status->code == GN_ALREADY_EXISTS)
		snprintf(vm->trouble, sizeof vm->trouble,
		         "%s exists in the dataplane with other settings: %.300s", item->name,
		         status->message);
	else
		snprintf(vm->trouble, sizeof vm->trouble, "%s cannot be made: %.300s", item->name,
		         status->message);
	if (item->n_failures == 3)
		gn_brain_tell(item->reconcile->brain, "alert", vm->name, "%s", vm->trouble);
}

static void on_created(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct item *item = context;

	item->waiting = false;
	if (!reply) {
		on_failure(item, status);
		return;
	}
	if (reply->descriptor == &gnomon__v1__port__descriptor)
		gn_view_note_port(item->reconcile->view, (const Gnomon__V1__Port *)reply);
	else
		gn_view_note_volume(item->reconcile->view, (const Gnomon__V1__Volume *)reply);
	gn_brain_tell(item->reconcile->brain, "vm.attached", item->vm, "%s is made for %s",
	              item->name, item->vm);
	drop(item->reconcile, item->name);
}

/* ---- what is missing ------------------------------------------------------------------------ */

/* The item, when it may be asked for now. */
static struct item *begin(struct gn_reconcile *reconcile, const char *name, const char *vm,
                          struct gn_time now)
{
	struct item *item = item_of(reconcile, name, vm);

	if (item->waiting || item->kept || now.monotonic_us < item->next_us)
		return NULL;
	item->waiting = true;
	return item;
}

static void want_port(struct gn_reconcile *reconcile, const struct gn_vm *vm,
                      const Gnomon__V1__VmSpec__Nic *nic, const char *name, struct gn_time now)
{
	Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;
	struct item *item = begin(reconcile, name, vm->name, now);

	if (!item)
		return;
	port.name = (char *)name;
	port.vm = (char *)vm->name;
	port.kind = nic->device[0] ? GNOMON__V1__PORT__KIND__ETHDEV
	                           : GNOMON__V1__PORT__KIND__VHOST_USER;
	port.devargs = nic->device;
	port.vlan = nic->vlan;
	port.queues = nic->queues;
	gn_peer_call(reconcile->dataplane, "CreatePort", &port.base, TIMEOUT_US, on_created, item);
}

static void want_volume(struct gn_reconcile *reconcile, const struct gn_vm *vm,
                        const Gnomon__V1__VmSpec__Disk *disk, const char *name, struct gn_time now)
{
	Gnomon__V1__Volume volume = GNOMON__V1__VOLUME__INIT;
	struct item *item = begin(reconcile, name, vm->name, now);

	if (!item)
		return;
	volume.name = (char *)name;
	volume.vm = (char *)vm->name;
	volume.path = disk->path;
	volume.read_only = disk->read_only;
	volume.queues = disk->queues;
	gn_peer_call(reconcile->dataplane, "CreateVolume", &volume.base, TIMEOUT_US, on_created,
	             item);
}

static void on_exported(void *context, const struct gn_status *status,
                        const ProtobufCMessage *reply)
{
	struct item *item = context;

	item->waiting = false;
	item->kept = reply != NULL;
	if (reply)
		gn_brain_tell(item->reconcile->brain, "vm.attached", item->vm, "%s is made for %s",
		              item->name, item->vm);
	else
		on_failure(item, status);
}

/* "exports/web-1-vda" for the volume "volumes/web-1-vda". */
static void name_export(const char *volume, char name[GN_NAME_SIZE])
{
	snprintf(name, GN_NAME_SIZE, "exports%s", strchr(volume, '/'));
}

/* True once it is there. The dataplane keeps it over its own restarts. */
static bool want_export(struct gn_reconcile *reconcile, const struct gn_vm *vm,
                        const Gnomon__V1__VmSpec__Disk *disk, const char *volume,
                        struct gn_time now)
{
	Gnomon__V1__NbdExport request = GNOMON__V1__NBD_EXPORT__INIT;
	char name[GN_NAME_SIZE];
	struct item *item;

	if (!disk->nbd_listen[0])
		return true;
	name_export(volume, name);
	item = begin(reconcile, name, vm->name, now);
	if (!item)
		return item_of(reconcile, name, vm->name)->kept;
	request.name = name;
	request.volume = (char *)volume;
	request.listen = disk->nbd_listen;
	request.read_only = disk->read_only;
	request.tls = true;
	gn_peer_call(reconcile->dataplane, "CreateNbdExport", &request.base, TIMEOUT_US,
	             on_exported, item);
	return false;
}

/* What is there already must be what the spec asks for. */
static bool port_differs(struct gn_vm *vm, const Gnomon__V1__VmSpec__Nic *nic,
                         const Gnomon__V1__Port *port)
{
	if (port->vlan == nic->vlan && (!nic->queues || port->queues == nic->queues) &&
	    strcmp(port->devargs, nic->device) == 0)
		return false;
	snprintf(vm->trouble, sizeof vm->trouble,
	         "%s has VLAN %u, %u queues and device '%.60s', asked for are %u, %u and '%.60s': "
	         "shut "
	         "the VM down, remove it from the card and put it there again",
	         port->name, port->vlan, port->queues, port->devargs, nic->vlan,
	         nic->queues ? nic->queues : 1, nic->device);
	return true;
}

static bool volume_differs(struct gn_vm *vm, const Gnomon__V1__VmSpec__Disk *disk,
                           const Gnomon__V1__Volume *volume)
{
	if (strcmp(volume->path, disk->path) == 0)
		return false;
	snprintf(vm->trouble, sizeof vm->trouble,
	         "%s is on %.120s, asked for is %.120s: shut the VM down, remove it from the card "
	         "and "
	         "put it there again",
	         volume->name, volume->path, disk->path);
	return true;
}

static void run_vm(struct gn_reconcile *reconcile, struct gn_vm *vm, struct gn_time now)
{
	const Gnomon__V1__Port *port;
	const Gnomon__V1__Volume *volume;
	char name[GN_NAME_SIZE];
	bool complete = true;
	size_t i;

	for (i = 0; i < vm->spec->n_nics; i++) {
		gn_name_port(vm->name, false, vm->spec->nics[i]->name, name);
		port = gn_view_port(reconcile->view, name);
		if (port) {
			drop(reconcile, name);
			complete &= !port_differs(vm, vm->spec->nics[i], port);
			continue;
		}
		complete = false;
		want_port(reconcile, vm, vm->spec->nics[i], name, now);
	}
	for (i = 0; i < vm->spec->n_disks; i++) {
		gn_name_volume(vm->name, false, vm->spec->disks[i]->name, name);
		volume = gn_view_volume(reconcile->view, name);
		if (volume) {
			drop(reconcile, name);
			complete &= !volume_differs(vm, vm->spec->disks[i], volume);
			complete &= want_export(reconcile, vm, vm->spec->disks[i], name, now);
			continue;
		}
		complete = false;
		want_volume(reconcile, vm, vm->spec->disks[i], name, now);
	}
	if (complete)
		vm->trouble[0] = '\0';
}

void gn_reconcile_run(struct gn_reconcile *reconcile, struct gn_time now)
{
	size_t i;

	for (i = 0; i < reconcile->brain->n_vms; i++)
		if (!reconcile->brain->vms[i]->fenced)
			run_vm(reconcile, reconcile->brain->vms[i], now);
}

static void ignore(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
}

static void delete_one(struct gn_reconcile *reconcile, const char *method, char *name)
{
	Gnomon__V1__NameRequest request = GNOMON__V1__NAME_REQUEST__INIT;

	drop(reconcile, name);
	request.name = name;
	gn_peer_call(reconcile->dataplane, method, &request.base, TIMEOUT_US, ignore, NULL);
}

void gn_reconcile_remove(struct gn_reconcile *reconcile, const struct gn_vm *vm)
{
	const Gnomon__V1__MirrorList *mirrors = reconcile->view->mirrors;
	char name[GN_NAME_SIZE], export[GN_NAME_SIZE];
	size_t i;

	for (i = 0; mirrors && i < mirrors->n_mirrors; i++)
		if (strcmp(mirrors->mirrors[i]->vm, vm->name) == 0)
			delete_one(reconcile, "DeleteMirror", mirrors->mirrors[i]->name);
	for (i = 0; i < vm->spec->n_nics; i++) {
		gn_name_port(vm->name, false, vm->spec->nics[i]->name, name);
		delete_one(reconcile, "DeletePort", name);
	}
	for (i = 0; i < vm->spec->n_disks; i++) {
		gn_name_volume(vm->name, false, vm->spec->disks[i]->name, name);
		name_export(name, export);
		if (vm->spec->disks[i]->nbd_listen[0])
			delete_one(reconcile, "DeleteNbdExport", export);
		delete_one(reconcile, "DeleteVolume", name);
	}
}
