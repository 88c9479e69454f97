/* dataplane.c - what runs below all resources (workers, packet buffers, the graph), the
 * VMs that resources share, and the state file. */
#include "dataplane/control/dataplane.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include "dataplane/control/message.h"
#include "dataplane/control/names.h"
#include "dataplane/state/state.h"
#include "firmware/core/clock.h"

#define POOL_CACHE 256

static int make_pools(struct gn_dataplane *dp, struct gn_status *status)
{
	uint32_t frame = RTE_MAX(dp->config->max_frame_bytes, (uint32_t)RTE_MBUF_DEFAULT_DATAROOM);

	dp->pool = rte_pktmbuf_pool_create("gn_packets", dp->board->mbufs, POOL_CACHE,
	                                   GN_MIRROR_PRIV_SIZE,
	                                   (uint16_t)(RTE_PKTMBUF_HEADROOM + frame), SOCKET_ID_ANY);
	if (dp->pool)
		dp->clones = rte_pktmbuf_pool_create("gn_clones", dp->board->mbufs / 2, POOL_CACHE,
		                                     GN_MIRROR_PRIV_SIZE, 0, SOCKET_ID_ANY);
	if (dp->clones && gn_views_create(&dp->views) == 0)
		return 0;
	return gn_status_set(
	        status, GN_RESOURCE_EXHAUSTED,
	        "DPDK has no room for %u packet buffers of %u bytes (%s); raise memory_mib or "
	        "lower mbufs in the board file",
	        dp->board->mbufs, frame, rte_strerror(rte_errno));
}

static int make_workers(struct gn_dataplane *dp, struct gn_status *status)
{
	enum gn_worker_idle idle =
	        dp->board->idle == GN_BOARD_BACKOFF ? GN_WORKER_BACKOFF : GN_WORKER_POLL;
	unsigned i;
	int err;

	for (i = 0; i < dp->board->workers_count && i < GN_DATAPLANE_MAX_WORKERS; i++) {
		err = gn_worker_create(dp->board->workers[i], idle, &dp->workers[i]);
		if (err)
			return gn_status_set(
			        status, gn_code_from_errno(err),
			        "worker lcore %u cannot be started: %s; check 'workers' in "
			        "the board file",
			        dp->board->workers[i], strerror(-err));
		dp->n_workers++;
	}
	dp->network = dp->workers[0];
	return 0;
}

static int make_graph(struct gn_dataplane *dp, struct gn_status *status)
{
	struct gn_graph_config config = {.worker = dp->network,
	                                 .pool = dp->pool,
	                                 .clones = dp->clones,
	                                 .tsc_hz = dp->tsc_hz};

	if (getrandom(config.seed, sizeof config.seed, 0) != sizeof config.seed)
		return gn_status_set(status, GN_INTERNAL, "no random numbers: %s", strerror(errno));
	if (gn_graph_create(&config, &dp->graph) != 0)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "out of memory for the forwarding table");
	return 0;
}

int gn_dataplane_create(const struct gn_config *config, const struct gn_board *board,
                        sd_event *event, struct gn_dataplane **out, struct gn_status *status)
{
	struct gn_dataplane *dp = calloc(1, sizeof *dp);
	int err;

	if (!dp)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	dp->config = config;
	dp->board = board;
	dp->event = event;
	dp->saving = true;
	dp->started_us = gn_clock_wall_us();
	dp->tsc_hz = rte_get_tsc_hz();
	err = make_pools(dp, status);
	if (!err)
		err = make_workers(dp, status);
	if (!err)
		err = gn_nbd_server_create(&dp->nbd, status);
	if (!err)
		err = make_graph(dp, status);
	if (err) {
		gn_dataplane_destroy(dp);
		return err;
	}
	*out = dp;
	return 0;
}

/* Mirrors and exports first, since they point at ports and volumes. */
static void free_resources(struct gn_dataplane *dp)
{
	struct gn_dp_vm *vm, *next;

	while (!LIST_EMPTY(&dp->mirrors))
		gn_dp_mirror_free(dp, LIST_FIRST(&dp->mirrors));
	while (!LIST_EMPTY(&dp->ports))
		gn_dp_port_free(dp, LIST_FIRST(&dp->ports));
	while (!LIST_EMPTY(&dp->exports))
		gn_dp_export_free(dp, LIST_FIRST(&dp->exports));
	while (!LIST_EMPTY(&dp->volumes))
		gn_dp_volume_free(dp, LIST_FIRST(&dp->volumes));
	for (vm = LIST_FIRST(&dp->vms); vm; vm = next) {
		next = LIST_NEXT(vm, link); /* what is left has a meter */
		gn_message_free(vm->meter);
		vm->meter = NULL;
		gn_dp_vm_put(dp, vm);
	}
}

void gn_dataplane_destroy(struct gn_dataplane *dp)
{
	unsigned i;

	if (!dp)
		return;
	free_resources(dp);
	gn_nbd_server_destroy(dp->nbd);
	for (i = 0; i < dp->n_workers; i++)
		gn_worker_destroy(dp->workers[i]);
	gn_graph_destroy(dp->graph);
	gn_views_destroy(dp->views);
	rte_mempool_free(dp->clones);
	rte_mempool_free(dp->pool);
	gn_message_free(dp->left_out);
	free(dp);
}

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

/* ---- state --------------------------------------------------------------------------- */

/* Pointers to all that is stored, kind after kind: what exists but for what the
 * configuration makes, and what was left out at the start. */
struct lists {
	Gnomon__V1__DataplaneState state;
	void **pointers; /* NULL: count only */
	size_t n;
};

static void put(struct lists *lists, size_t *n_of_kind, void *message)
{
	if (lists->pointers)
		lists->pointers[lists->n] = message;
	lists->n++;
	++*n_of_kind;
}

/* Where the next kind begins. */
static void *here(const struct lists *lists)
{
	return lists->pointers ? lists->pointers + lists->n : NULL;
}

static void put_left_out(struct lists *lists, size_t *n_of_kind, void *array, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		put(lists, n_of_kind, ((void **)array)[i]);
}

static void walk(const struct gn_dataplane *dp, struct lists *lists)
{
	static const Gnomon__V1__DataplaneState none = GNOMON__V1__DATAPLANE_STATE__INIT;
	const Gnomon__V1__DataplaneState *left = dp->left_out ? dp->left_out : &none;
	Gnomon__V1__DataplaneState *state = &lists->state;
	const struct gn_dp_port *port;
	const struct gn_dp_volume *volume;
	const struct gn_dp_mirror *mirror;
	const struct gn_dp_export *export;
	const struct gn_dp_vm *vm;

	*state = none;
	lists->n = 0;
	state->ports = here(lists);
	LIST_FOREACH(port, &dp->ports, link)
	if (!port->from_config)
		put(lists, &state->n_ports, port->spec);
	put_left_out(lists, &state->n_ports, left->ports, left->n_ports);
	state->volumes = here(lists);
	LIST_FOREACH(volume, &dp->volumes, link)
	if (!volume->from_config)
		put(lists, &state->n_volumes, volume->spec);
	put_left_out(lists, &state->n_volumes, left->volumes, left->n_volumes);
	state->mirrors = here(lists);
	LIST_FOREACH(mirror, &dp->mirrors, link)
	put(lists, &state->n_mirrors, mirror->spec);
	put_left_out(lists, &state->n_mirrors, left->mirrors, left->n_mirrors);
	state->meters = here(lists);
	LIST_FOREACH(vm, &dp->vms, link)
	if (vm->meter)
		put(lists, &state->n_meters, vm->meter);
	put_left_out(lists, &state->n_meters, left->meters, left->n_meters);
	state->exports = here(lists);
	LIST_FOREACH(export, &dp->exports, link)
	put(lists, &state->n_exports, export->spec);
	put_left_out(lists, &state->n_exports, left->exports, left->n_exports);
}

int gn_dataplane_save(struct gn_dataplane *dp, struct gn_status *status)
{
	struct lists lists = {.pointers = NULL};
	int err;

	if (!dp->saving)
		return 0;
	walk(dp, &lists);
	lists.pointers = calloc(lists.n + 1, sizeof *lists.pointers);
	if (!lists.pointers)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "out of memory for the state file");
	walk(dp, &lists);
	err = gn_state_save(dp->config->state_dir, &lists.state, status);
	free(lists.pointers);
	return err;
}
