/* life.c - what runs below all resources (workers, packet buffers, the graph): made at the
 * start, taken down at the end with every resource on it. */
#include "dataplane/control/dataplane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include "dataplane/control/message.h"
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
