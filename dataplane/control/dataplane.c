/* dataplane.c - what the verbs share: the VMs that resources belong to, resources by name,
 * and the sockets that front ends meet at. */
#include "dataplane/control/dataplane.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "dataplane/control/message.h"
#include "dataplane/control/names.h"

/* ---- VMs ---------------------------------------------------------------------------- */

static struct gn_feature *make_feature(const struct gn_dataplane *dp)
{
	struct gn_feature_config config = {.tsc_hz = dp->tsc_hz,
	                                   .n_flows = dp->config->flows_per_vm};
	struct gn_feature *feature = NULL;

	if (getrandom(config.seed, sizeof config.seed, 0) != sizeof config.seed ||
	    gn_feature_create(&config, &feature) != 0)
		return NULL;
	return feature;
}

static void free_vm(struct gn_dp_vm *vm)
{
	gn_feature_destroy(vm->vm.feature);
	free(vm->name);
	free(vm);
}

static struct gn_dp_vm *make_vm(struct gn_dataplane *dp, const char *name)
{
	struct gn_dp_vm *vm = aligned_alloc(64, RTE_ALIGN(sizeof *vm, 64));

	if (!vm)
		return NULL;
	memset(vm, 0, sizeof *vm);
	vm->name = strdup(name);
	vm->vm.feature = make_feature(dp);
	if (!vm->name || !vm->vm.feature) {
		free_vm(vm);
		return NULL;
	}
	gn_meter_init(&vm->vm.meters[GN_RX]);
	gn_meter_init(&vm->vm.meters[GN_TX]);
	gn_disk_meter_init(&vm->disk_meter);
	vm->volume_worker = dp->network;
	if (dp->n_workers > 1)
		vm->volume_worker = dp->workers[1 + dp->next_volume_worker++ % (dp->n_workers - 1)];
	LIST_INSERT_HEAD(&dp->vms, vm, link);
	return vm;
}

struct gn_dp_vm *gn_dp_vm_find(struct gn_dataplane *dp, const char *name)
{
	struct gn_dp_vm *vm;

	LIST_FOREACH(vm, &dp->vms, link)
	if (strcmp(vm->name, name) == 0)
		break;
	return vm;
}

struct gn_dp_vm *gn_dp_vm_get(struct gn_dataplane *dp, const char *name)
{
	struct gn_dp_vm *vm = gn_dp_vm_find(dp, name);

	if (!vm)
		vm = make_vm(dp, name);
	if (vm)
		vm->n_refs++;
	return vm;
}

void gn_dp_vm_put(struct gn_dataplane *dp, struct gn_dp_vm *vm)
{
	if (!vm || --vm->n_refs)
		return;
	LIST_REMOVE(vm, link);
	free_vm(vm);
}

/* ---- resources by name ------------------------------------------------------------------ */

struct gn_dp_port *gn_dp_port_find(struct gn_dataplane *dp, const char *name)
{
	struct gn_dp_port *port;

	LIST_FOREACH(port, &dp->ports, link)
	if (strcmp(port->spec->name, name) == 0)
		break;
	return port;
}

struct gn_dp_volume *gn_dp_volume_find(struct gn_dataplane *dp, const char *name)
{
	struct gn_dp_volume *volume;

	LIST_FOREACH(volume, &dp->volumes, link)
	if (strcmp(volume->spec->name, name) == 0)
		break;
	return volume;
}

/* ---- sockets ------------------------------------------------------------------------ */

bool gn_dp_socket_taken(struct gn_dataplane *dp, const char *path)
{
	struct gn_dp_port *port;
	struct gn_dp_volume *volume;

	LIST_FOREACH(port, &dp->ports, link)
	if (strcmp(port->spec->socket_path, path) == 0)
		return true;
	LIST_FOREACH(volume, &dp->volumes, link)
	if (strcmp(volume->spec->socket_path, path) == 0)
		return true;
	return false;
}

int gn_dp_socket_path(const struct gn_dataplane *dp, const char *name, const char *given, char *out,
                      size_t size, struct gn_status *status)
{
	int n = *given ? snprintf(out, size, "%s", given)
	               : snprintf(out, size, "%s/vhost/%s.sock", dp->config->run_dir,
	                          gn_name_id(name));

	if (out[0] != '/')
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "socket_path '%.100s' of '%s' must be absolute", given, name);
	if (n >= (int)sizeof((struct sockaddr_un *)0)->sun_path || n >= (int)size)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "the socket path '%.110s' is longer than the system allows (%zu); "
		        "choose a shorter one",
		        out, sizeof((struct sockaddr_un *)0)->sun_path - 1);
	return 0;
}

int gn_dp_socket_chown(const struct gn_dataplane *dp, const char *path, struct gn_status *status)
{
	const struct passwd *user;

	if (!dp->config->socket_user)
		return 0;
	user = getpwnam(dp->config->socket_user);
	if (!user)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "socket_user '%s' does not exist on this machine",
		                     dp->config->socket_user);
	if (lchown(path, user->pw_uid, user->pw_gid) != 0 || chmod(path, 0600) != 0)
		return gn_status_set(status, gn_code_from_errno(errno),
		                     "the socket '%s' cannot be given to user '%s': %s", path,
		                     dp->config->socket_user, strerror(errno));
	return 0;
}
