/* service.c - requests to verbs (dataplane.h) and results to replies. Lists read every
 * counter of the network in one gn_worker_call(), so that they belong together. */
#include "dataplane/control/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <rte_mempool.h>
#include "dataplane/probe/prober.h"
#include "firmware/core/clock.h"
#include "firmware/core/log.h"
#include "proto/channel.h"

/* A CloneVolume that has not answered yet. */
struct clone_job {
	LIST_ENTRY(clone_job) link;
	struct gn_service *service;
	struct gn_channel_call *call;
	struct gn_dp_volume *volume;
	struct gn_blk_clone *clone;
	sd_event_source *source;
};

struct gn_service {
	struct gn_dataplane *dp;
	struct gn_channel_server *server;
	struct gn_channel_service descriptor;
	sd_event_source *source;
	LIST_HEAD(, clone_job) clones;
};

/* ---- outputs ------------------------------------------------------------------------- */

/* A port as it is told: the spec and what is true now. */
struct port_view {
	Gnomon__V1__Port message;
	Gnomon__V1__PortCounters counters;
	Gnomon__V1__PortProbe probe;
	const struct gn_port *port;
};

struct port_views {
	struct port_view *views;
	size_t n;
};

static void read_probe(const struct gn_prober *prober, Gnomon__V1__PortProbe *to)
{
	const struct gn_probe *probe = gn_prober_probe(prober);

	to->passed = probe->passed;
	to->seen = (char *)(uintptr_t)gn_probe_seen_text(probe->seen);
	to->http_status = probe->http_status;
}

static void read_ports(void *arg)
{
	struct port_views *all = arg;
	size_t i;

	for (i = 0; i < all->n; i++) {
		const struct gn_port *port = all->views[i].port;
		const struct gn_port_counters *c = &port->counters;
		Gnomon__V1__PortCounters *to = &all->views[i].counters;

		all->views[i].message.connected = port->connected;
		to->rx_packets = c->rx_packets;
		to->rx_bytes = c->rx_bytes;
		to->tx_packets = c->tx_packets;
		to->tx_bytes = c->tx_bytes;
		to->rx_dropped_ring = c->rx_dropped_ring;
		to->rx_dropped_meter = c->rx_dropped_meter;
		to->tx_dropped_meter = c->tx_dropped_meter;
		to->tx_dropped_malformed = c->tx_dropped_malformed;
		to->tx_dropped_isolated = c->tx_dropped_isolated;
		to->tx_flooded = c->tx_flooded;
		to->tx_dropped_spoofed = c->tx_dropped_spoofed;
		to->tx_flood_limited = c->tx_flood_limited;
		if (port->prober)
			read_probe(port->prober, &all->views[i].probe);
	}
}

static void view_port(const struct gn_dp_port *port, struct port_view *view)
{
	view->message = *port->spec;
	gnomon__v1__port_counters__init(&view->counters);
	view->message.counters = &view->counters;
	gnomon__v1__port_probe__init(&view->probe);
	view->probe.probe = port->probe;
	view->message.probe = port->prober ? &view->probe : NULL;
	view->port = port->port;
}

#define VIEW_EXPORTS_MAX 32u /* more are not shown with their volume, only in their own list */

struct volume_view {
	Gnomon__V1__Volume message;
	Gnomon__V1__VolumeCounters counters;
	Gnomon__V1__VolumeMirrorStatus mirror;
	char mirror_message[160];
	Gnomon__V1__VolumeVerify verify;
	Gnomon__V1__VolumeVerify__Range ranges[GN_VERIFY_MAX_RANGES];
	Gnomon__V1__VolumeVerify__Range *range_list[GN_VERIFY_MAX_RANGES];
	Gnomon__V1__VolumeStoreStatus store;
	struct gn_volume_nbd_status remote;
	char *exports[VIEW_EXPORTS_MAX];
};

static void view_exports(const struct gn_dataplane *dp, const struct gn_dp_volume *volume,
                         struct volume_view *view)
{
	const struct gn_dp_export *export;
	size_t n = 0;

	LIST_FOREACH(export, &dp->exports, link)
	if (export->volume == volume && n < VIEW_EXPORTS_MAX)
		view->exports[n++] = export->spec->name;
	view->message.exports = view->exports;
	view->message.n_exports = n;
}

static void view_store(const struct gn_blk *blk, struct volume_view *view)
{
	Gnomon__V1__VolumeStoreStatus *to = &view->store;

	if (!gn_blk_remote_status(blk, &view->remote))
		return;
	gnomon__v1__volume_store_status__init(to);
	to->connected = view->remote.is_connected;
	to->reconnects = view->remote.reconnects;
	to->resent = view->remote.resent;
	to->garbled = view->remote.garbled;
	to->unanswered = view->remote.unanswered;
	to->given_up = view->remote.given_up;
	to->problem = view->remote.problem;
	view->message.store_status = to;
}

/* What is wrong, and the error that said so. */
static char *mirror_message(const struct gn_vmirror_status *from, struct volume_view *view)
{
	const char *text = gn_replica_reason_text(from->reason);

	snprintf(view->mirror_message, sizeof view->mirror_message,
	         from->reason != GN_REPLICA_FINE && from->error ? "%s: %s" : "%s", text,
	         strerror(-from->error));
	return view->mirror_message;
}

static void view_replica(struct gn_blk *blk, struct volume_view *view)
{
	Gnomon__V1__VolumeMirrorStatus *to = &view->mirror;
	struct gn_vmirror_status from;
	const char *problem;

	gnomon__v1__volume_mirror_status__init(to);
	if (!gn_blk_replica_status(blk, &from, &problem)) {
		to->state = GNOMON__V1__VOLUME_MIRROR_STATUS__STATE__STALE;
		to->reason = (Gnomon__V1__VolumeMirrorStatus__Reason)from.reason;
		to->message = (char *)(uintptr_t)problem;
		return;
	}
	gn_blk_check_replica(blk);
	to->state = (Gnomon__V1__VolumeMirrorStatus__State)(from.state + 1); /* the same order */
	to->reason = (Gnomon__V1__VolumeMirrorStatus__Reason)from.reason;
	to->message = mirror_message(&from, view);
	to->phase = (char *)(uintptr_t)gn_replica_phase_name(from.phase);
	to->error = from.error;
	to->lag_bytes = from.lag_bytes;
	to->lag_writes = from.lag_writes;
	to->lag_us = from.lag_us;
	to->journal_bytes = from.journal_bytes;
	to->journal_size_bytes = from.journal_size_bytes;
	to->dirty_bytes = from.dirty_bytes;
	to->resync_left_bytes = from.resync_left_bytes;
	to->resync_done_bytes = from.resync_done_bytes;
	to->resync_left_us = from.resync_left_us;
	to->point_us = from.point_wall_us;
	to->tracked = from.tracked;
	to->writes = from.writes_applied;
	to->bytes = from.bytes_applied;
	to->resyncs = from.n_resyncs;
}

static void view_verify(struct gn_blk *blk, struct volume_view *view)
{
	Gnomon__V1__VolumeVerify *to = &view->verify;
	struct gn_vmirror_verify_status from;

	gn_blk_verify_status(blk, &from);
	if (from.state == GN_VMIRROR_VERIFY_NONE)
		return;
	gnomon__v1__volume_verify__init(to);
	to->state = (Gnomon__V1__VolumeVerify__State)from.state; /* numbered alike */
	to->number = from.number;
	to->repair = from.repairs;
	to->size_bytes = from.size_bytes;
	to->done_bytes = from.result.done_bytes;
	to->differing_bytes = from.result.differing_bytes;
	to->repaired_bytes = from.result.repaired_bytes;
	to->unsettled_bytes = from.result.unsettled_bytes;
	to->primary_unreadable_bytes = from.result.primary_unreadable_bytes;
	to->shadow_unreadable_bytes = from.result.shadow_unreadable_bytes;
	for (unsigned i = 0; i < from.result.n_ranges; i++) {
		gnomon__v1__volume_verify__range__init(&view->ranges[i]);
		view->ranges[i].offset_bytes = from.result.ranges[i].offset_bytes;
		view->ranges[i].length_bytes = from.result.ranges[i].length_bytes;
		view->range_list[i] = &view->ranges[i];
	}
	to->ranges = view->range_list;
	to->n_ranges = from.result.n_ranges;
	view->mirror.verify = to;
}

static void view_volume(const struct gn_dataplane *dp, const struct gn_dp_volume *volume,
                        struct volume_view *view)
{
	struct gn_blk_stats stats;
	Gnomon__V1__VolumeCounters *to = &view->counters;

	gn_blk_get_stats(volume->blk, &stats);
	view->message = *volume->spec;
	view->message.size_bytes = gn_blk_size_bytes(volume->blk);
	view->message.connected = gn_blk_connected(volume->blk);
	gnomon__v1__volume_counters__init(to);
	view->message.counters = to;
	if (view->message.mirror) {
		view_replica(volume->blk, view);
		view_verify(volume->blk, view);
		view->message.mirror_status = &view->mirror;
	}
	view_store(volume->blk, view);
	view_exports(dp, volume, view);
	to->reads = stats.op[GN_BLK_READ].operations;
	to->writes = stats.op[GN_BLK_WRITE].operations;
	to->flushes = stats.op[GN_BLK_FLUSH].operations;
	to->discards = stats.op[GN_BLK_DISCARD].operations;
	to->read_bytes = stats.op[GN_BLK_READ].bytes;
	to->write_bytes = stats.op[GN_BLK_WRITE].bytes;
	to->errors = stats.errors;
	to->rejected = stats.rejected;
	to->in_flight = stats.in_flight;
	to->resubmitted = stats.resubmitted;
}

struct mirror_view {
	Gnomon__V1__Mirror message;
	Gnomon__V1__MirrorCounters counters;
	const struct gn_mirror_session *session;
};

struct mirror_views {
	struct mirror_view *views;
	size_t n;
};

static void read_mirrors(void *arg)
{
	struct mirror_views *all = arg;
	size_t i;

	for (i = 0; i < all->n; i++) {
		struct gn_mirror_counters c;
		Gnomon__V1__MirrorCounters *to = &all->views[i].counters;

		gn_mirror_session_read(all->views[i].session, &c);
		to->seen = c.seen[0];
		to->copied = c.copied[0];
		to->filtered = c.filtered[0];
		to->sampled_out = c.sampled_out[0];
		to->dropped = c.dropped[0];
		to->seen_bytes = c.seen[1];
		to->copied_bytes = c.copied[1];
		to->filtered_bytes = c.filtered[1];
		to->sampled_out_bytes = c.sampled_out[1];
		to->dropped_bytes = c.dropped[1];
	}
}

static void view_mirror(const struct gn_dp_mirror *mirror, struct mirror_view *view)
{
	view->message = *mirror->spec;
	gnomon__v1__mirror_counters__init(&view->counters);
	view->message.counters = &view->counters;
	view->session = mirror->session;
}

struct export_view {
	Gnomon__V1__NbdExport message;
	Gnomon__V1__NbdExportCounters counters;
};

static void view_export(const struct gn_dp_export *export, struct export_view *view)
{
	struct gn_nbd_export_stats stats;
	Gnomon__V1__NbdExportCounters *to = &view->counters;

	gn_nbd_export_get_stats(export->export, &stats);
	view->message = *export->spec;
	view->message.size_bytes = gn_blk_size_bytes(export->volume->blk);
	view->message.counters = to;
	gnomon__v1__nbd_export_counters__init(to);
	to->connections = stats.connections;
	to->connections_total = stats.connections_total;
	to->reads = stats.reads;
	to->writes = stats.writes;
	to->flushes = stats.flushes;
	to->others = stats.others;
	to->read_bytes = stats.read_bytes;
	to->write_bytes = stats.write_bytes;
	to->errors = stats.errors;
	to->rejected = stats.rejected;
	to->in_flight = stats.in_flight;
}

/* ---- answers ------------------------------------------------------------------------- */

static void answer_empty(struct gn_channel_call *call, int err, const struct gn_status *status)
{
	const Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;

	if (err)
		gn_channel_fail(call, status);
	else
		gn_channel_reply(call, &empty.base);
}

static void answer_no_memory(struct gn_channel_call *call)
{
	struct gn_status status;

	gn_status_set(&status, GN_RESOURCE_EXHAUSTED, "out of memory");
	gn_channel_fail(call, &status);
}

/* An array of views and one of pointers to their messages, in one allocation. */
static void *make_views(size_t n, size_t view_size, void ***messages)
{
	char *memory = calloc(n + 1, view_size + sizeof(void *));
	size_t i;

	if (!memory)
		return NULL;
	*messages = (void **)(memory + (n + 1) * view_size);
	for (i = 0; i < n; i++)
		(*messages)[i] = memory + i * view_size; /* the message comes first */
	return memory;
}

static void answer_port(struct gn_service *service, struct gn_channel_call *call,
                        const struct gn_dp_port *port)
{
	struct port_view view;
	struct port_views all = {&view, 1};

	view_port(port, &view);
	gn_worker_call(service->dp->network, read_ports, &all);
	gn_channel_reply(call, &view.message.base);
}

static void answer_mirror(struct gn_service *service, struct gn_channel_call *call,
                          const struct gn_dp_mirror *mirror)
{
	struct mirror_view view;
	struct mirror_views all = {&view, 1};

	view_mirror(mirror, &view);
	gn_worker_call(service->dp->network, read_mirrors, &all);
	gn_channel_reply(call, &view.message.base);
}

/* ---- handlers -------------------------------------------------------------------------- */

static void get_status(void *context, struct gn_channel_call *call, const ProtobufCMessage *request)
{
	struct gn_dataplane *dp = ((struct gn_service *)context)->dp;
	Gnomon__V1__DataplaneStatus reply = GNOMON__V1__DATAPLANE_STATUS__INIT;
	unsigned i;

	reply.version = (char *)(uintptr_t)GN_VERSION;
	reply.board = dp->board->name;
	reply.started_us = dp->started_us;
	for (i = 0; i < dp->n_workers; i++) {
		const struct gn_worker_stats *stats = gn_worker_stats(dp->workers[i]);

		reply.loops += stats->loops;
		reply.busy_cycles += stats->busy_cycles;
		reply.idle_cycles += stats->idle_cycles;
		reply.sleeps += stats->sleeps;
	}
	reply.workers = dp->n_workers;
	reply.mbufs_total = dp->pool->size;
	reply.mbufs_free = rte_mempool_avail_count(dp->pool);
	reply.fdb_entries = gn_graph_fdb_count(dp->graph);
	gn_channel_reply(call, &reply.base);
}

static void create_port(void *context, struct gn_channel_call *call,
                        const ProtobufCMessage *request)
{
	struct gn_service *service = context;
	struct gn_status status;
	struct gn_dp_port *port;

	if (gn_dp_port_create(service->dp, (const Gnomon__V1__Port *)request, false, &port,
	                      &status))
		gn_channel_fail(call, &status);
	else
		answer_port(service, call, port);
}

static void delete_port(void *context, struct gn_channel_call *call,
                        const ProtobufCMessage *request)
{
	struct gn_service *service = context;
	struct gn_status status;
	int err = gn_dp_port_delete(service->dp, ((const Gnomon__V1__NameRequest *)request)->name,
	                            &status);

	answer_empty(call, err, &status);
}

static void probe_port(void *context, struct gn_channel_call *call, const ProtobufCMessage *request)
{
	struct gn_service *service = context;
	struct gn_status status;
	struct gn_dp_port *port;

	if (gn_dp_port_probe(service->dp, (const Gnomon__V1__ProbePortRequest *)request, &port,
	                     &status))
		gn_channel_fail(call, &status);
	else
		answer_port(service, call, port);
}

static void list_ports(void *context, struct gn_channel_call *call, const ProtobufCMessage *request)
{
	struct gn_service *service = context;
	Gnomon__V1__PortList list = GNOMON__V1__PORT_LIST__INIT;
	struct port_views all = {.n = 0};
	const struct gn_dp_port *port;
	void **messages;

	LIST_FOREACH(port, &service->dp->ports, link)
	all.n++;
	all.views = make_views(all.n, sizeof *all.views, &messages);
	if (!all.views) {
		answer_no_memory(call);
		return;
	}
	LIST_FOREACH(port, &service->dp->ports, link)
	view_port(port, &all.views[list.n_ports++]);
	gn_worker_call(service->dp->network, read_ports, &all);
	list.ports = (Gnomon__V1__Port **)messages;
	gn_channel_reply(call, &list.base);
	free(all.views);
}

static void create_volume(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *request)
{
	struct gn_service *service = context;
	struct gn_status status;
	struct gn_dp_volume *volume;
	struct volume_view view;

	if (gn_dp_volume_create(service->dp, (const Gnomon__V1__Volume *)request, false, &volume,
	                        &status)) {
		gn_channel_fail(call, &status);
		return;
	}
	view_volume(service->dp, volume, &view);
	gn_channel_reply(call, &view.message.base);
}

static void delete_volume(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *request)
{
	struct gn_service *service = context;
	struct gn_status status;
	int err = gn_dp_volume_delete(service->dp, ((const Gnomon__V1__NameRequest *)request)->name,
	                              &status);

	answer_empty(call, err, &status);
}

static void answer_volume(const struct gn_service *service, struct gn_channel_call *call, int err,
                          const struct gn_dp_volume *volume, const struct gn_status *status)
{
	struct volume_view view;

	if (err) {
		gn_channel_fail(call, status);
		return;
	}
	view_volume(service->dp, volume, &view);
	gn_channel_reply(call, &view.message.base);
}

static void update_volume_mirror(void *context, struct gn_channel_call *call,
                                 const ProtobufCMessage *message)
{
	const Gnomon__V1__UpdateVolumeMirrorRequest *request =
	        (const Gnomon__V1__UpdateVolumeMirrorRequest *)message;
	struct gn_service *service = context;
	struct gn_status status;
	struct gn_dp_volume *volume = NULL;

	int err;

	err = gn_dp_volume_replicate(service->dp, request->name, request->mirror, &volume, &status);
	answer_volume(service, call, err, volume, &status);
}

static void fence_volume(void *context, struct gn_channel_call *call,
                         const ProtobufCMessage *message)
{
	const Gnomon__V1__FenceVolumeRequest *request =
	        (const Gnomon__V1__FenceVolumeRequest *)message;
	struct gn_service *service = context;
	struct gn_dp_volume *volume = NULL;
	struct gn_status status;
	int err = gn_dp_volume_fence(service->dp, request->name, request->fenced, &volume, &status);

	answer_volume(service, call, err, volume, &status);
}

static void promote_volume(void *context, struct gn_channel_call *call,
                           const ProtobufCMessage *message)
{
	struct gn_service *service = context;
	struct gn_dp_volume *volume = NULL;
	struct gn_status status;
	int err = gn_dp_volume_promote(
	        service->dp, (const Gnomon__V1__PromoteVolumeRequest *)message, &volume, &status);

	answer_volume(service, call, err, volume, &status);
}

static void resize_volume(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *message)
{
	const Gnomon__V1__ResizeVolumeRequest *request =
	        (const Gnomon__V1__ResizeVolumeRequest *)message;
	struct gn_service *service = context;
	struct gn_status status;
	struct gn_dp_volume *volume = NULL;
	int err = gn_dp_volume_resize(service->dp, request->name, request->size_bytes, &volume,
	                              &status);

	answer_volume(service, call, err, volume, &status);
}

static void verify_volume(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *message)
{
	const Gnomon__V1__VerifyVolumeRequest *request =
	        (const Gnomon__V1__VerifyVolumeRequest *)message;
	struct gn_service *service = context;
	struct gn_dp_volume *volume = gn_dp_volume_find(service->dp, request->name);
	struct gn_status status;
	struct volume_view view;
	int err = 0;

	if (!volume)
		err = gn_status_set(&status, GN_NOT_FOUND, "there is no volume '%.100s'",
		                    request->name);
	else if (request->cancel)
		gn_blk_cancel_verify(volume->blk);
	else
		err = gn_blk_start_verify(volume->blk, request->repair, request->bytes_per_s,
		                          &status);
	if (err) {
		gn_channel_fail(call, &status);
		return;
	}
	view_volume(service->dp, volume, &view);
	gn_channel_reply(call, &view.message.base);
}

static void list_volumes(void *context, struct gn_channel_call *call,
                         const ProtobufCMessage *request)
{
	struct gn_service *service = context;
	Gnomon__V1__VolumeList list = GNOMON__V1__VOLUME_LIST__INIT;
	const struct gn_dp_volume *volume;
	struct volume_view *views;
	void **messages;
	size_t n = 0;

	LIST_FOREACH(volume, &service->dp->volumes, link)
	n++;
	views = make_views(n, sizeof *views, &messages);
	if (!views) {
		answer_no_memory(call);
		return;
	}
	LIST_FOREACH(volume, &service->dp->volumes, link)
	view_volume(service->dp, volume, &views[list.n_volumes++]);
	list.volumes = (Gnomon__V1__Volume **)messages;
	gn_channel_reply(call, &list.base);
	free(views);
}

static void create_export(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *request)
{
	struct gn_service *service = context;
	struct gn_status status;
	struct gn_dp_export *export;
	struct export_view view;

	if (gn_dp_export_create(service->dp, (const Gnomon__V1__NbdExport *)request, &export,
	                        &status)) {
		gn_channel_fail(call, &status);
		return;
	}
	view_export(export, &view);
	gn_channel_reply(call, &view.message.base);
}

static void delete_export(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *request)
{
	struct gn_service *service = context;
	struct gn_status status;
	int err = gn_dp_export_delete(service->dp, ((const Gnomon__V1__NameRequest *)request)->name,
	                              &status);

	answer_empty(call, err, &status);
}

static void list_exports(void *context, struct gn_channel_call *call,
                         const ProtobufCMessage *request)
{
	struct gn_service *service = context;
	Gnomon__V1__NbdExportList list = GNOMON__V1__NBD_EXPORT_LIST__INIT;
	const struct gn_dp_export *export;
	struct export_view *views;
	void **messages;
	size_t n = 0;

	LIST_FOREACH(export, &service->dp->exports, link)
	n++;
	views = make_views(n, sizeof *views, &messages);
	if (!views) {
		answer_no_memory(call);
		return;
	}
	LIST_FOREACH(export, &service->dp->exports, link)
	view_export(export, &views[list.n_exports++]);
	list.exports = (Gnomon__V1__NbdExport **)messages;
	gn_channel_reply(call, &list.base);
	free(views);
}

static void set_mirror(struct gn_service *service, struct gn_channel_call *call,
                       const ProtobufCMessage *request, bool replace)
{
	struct gn_status status;
	struct gn_dp_mirror *mirror;

	if (gn_dp_mirror_set(service->dp, (const Gnomon__V1__Mirror *)request, replace, &mirror,
	                     &status))
		gn_channel_fail(call, &status);
	else
		answer_mirror(service, call, mirror);
}

static void create_mirror(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *request)
{
	set_mirror(context, call, request, false);
}

static void update_mirror(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *request)
{
	set_mirror(context, call, request, true);
}

static void delete_mirror(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *request)
{
	struct gn_service *service = context;
	struct gn_status status;
	int err = gn_dp_mirror_delete(service->dp, ((const Gnomon__V1__NameRequest *)request)->name,
	                              &status);

	answer_empty(call, err, &status);
}

static void list_mirrors(void *context, struct gn_channel_call *call,
                         const ProtobufCMessage *request)
{
	struct gn_service *service = context;
	Gnomon__V1__MirrorList list = GNOMON__V1__MIRROR_LIST__INIT;
	struct mirror_views all = {.n = 0};
	const struct gn_dp_mirror *mirror;
	void **messages;

	LIST_FOREACH(mirror, &service->dp->mirrors, link)
	all.n++;
	all.views = make_views(all.n, sizeof *all.views, &messages);
	if (!all.views) {
		answer_no_memory(call);
		return;
	}
	LIST_FOREACH(mirror, &service->dp->mirrors, link)
	view_mirror(mirror, &all.views[list.n_mirrors++]);
	gn_worker_call(service->dp->network, read_mirrors, &all);
	list.mirrors = (Gnomon__V1__Mirror **)messages;
	gn_channel_reply(call, &list.base);
	free(all.views);
}

static void update_meter(void *context, struct gn_channel_call *call,
                         const ProtobufCMessage *request)
{
	struct gn_service *service = context;
	struct gn_status status;

	if (gn_dp_meter_update(service->dp, (const Gnomon__V1__Meter *)request, &status))
		gn_channel_fail(call, &status);
	else
		gn_channel_reply(call, request);
}

static void list_meters(void *context, struct gn_channel_call *call,
                        const ProtobufCMessage *request)
{
	struct gn_service *service = context;
	Gnomon__V1__MeterList list = GNOMON__V1__METER_LIST__INIT;
	const struct gn_dp_vm *vm;
	size_t n = 0;

	LIST_FOREACH(vm, &service->dp->vms, link)
	n++;
	list.meters = calloc(n + 1, sizeof *list.meters);
	if (!list.meters) {
		answer_no_memory(call);
		return;
	}
	LIST_FOREACH(vm, &service->dp->vms, link)
	if (vm->meter)
		list.meters[list.n_meters++] = vm->meter;
	gn_channel_reply(call, &list.base);
	free(list.meters);
}

/* ---- clones ---------------------------------------------------------------------------- */

static void end_clone(struct clone_job *job)
{
	job->volume->cloning = false;
	sd_event_source_unref(job->source);
	LIST_REMOVE(job, link);
	free(job);
}

static int clone_ready(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct clone_job *job = userdata;
	struct gn_blk_clone_result result;
	struct gn_status status;
	Gnomon__V1__CloneVolumeReply reply = GNOMON__V1__CLONE_VOLUME_REPLY__INIT;

	if (gn_blk_clone_finish(job->clone, &result, &status) != 0) {
		gn_channel_fail(job->call, &status);
	} else {
		reply.wall_us = result.wall_us;
		reply.reflink = result.reflink;
		reply.size_bytes = result.size_bytes;
		reply.held_us = result.held_us;
		gn_channel_reply(job->call, &reply.base);
	}
	end_clone(job);
	return 0;
}

static int start_clone(struct gn_service *service, const Gnomon__V1__CloneVolumeRequest *request,
                       struct clone_job *job, struct gn_status *status)
{
	int err;

	job->volume = gn_dp_volume_find(service->dp, request->name);
	if (!job->volume)
		return gn_status_set(status, GN_NOT_FOUND, "there is no volume '%.100s'",
		                     request->name);
	if (request->target_path[0] != '/')
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "target_path is '%.200s'; it must be an absolute path",
		                     request->target_path);
	if (request->source_path[0])
		err = gn_blk_copy_start(job->volume->blk, request->source_path,
		                        request->target_path, &job->clone, status);
	else
		err = (request->of_shadow ? gn_blk_point_start : gn_blk_clone_start)(
		        job->volume->blk, request->target_path, &job->clone, status);
	if (err)
		return err;
	if (sd_event_add_io(service->dp->event, &job->source, gn_blk_clone_fd(job->clone), EPOLLIN,
	                    clone_ready, job) < 0) {
		gn_blk_clone_cancel(job->clone);
		gn_blk_clone_finish(job->clone, &(struct gn_blk_clone_result){0}, status);
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory for the clone");
	}
	return 0;
}

static void clone_volume(void *context, struct gn_channel_call *call,
                         const ProtobufCMessage *request)
{
	struct gn_service *service = context;
	struct clone_job *job = calloc(1, sizeof *job);
	struct gn_status status;

	if (!job) {
		answer_no_memory(call);
		return;
	}
	if (start_clone(service, (const Gnomon__V1__CloneVolumeRequest *)request, job, &status) !=
	    0) {
		free(job);
		gn_channel_fail(call, &status);
		return;
	}
	job->call = call;
	job->service = service;
	job->volume->cloning = true;
	LIST_INSERT_HEAD(&service->clones, job, link);
}

static void cancel_clone(struct clone_job *job)
{
	struct gn_blk_clone_result result;
	struct gn_status status;

	gn_blk_clone_cancel(job->clone);
	gn_blk_clone_finish(job->clone, &result, &status);
	gn_status_set(&status, GN_UNAVAILABLE, "the dataplane is stopping; clone again later");
	gn_channel_fail(job->call, &status);
	end_clone(job);
}

/* ---- life ------------------------------------------------------------------------------ */

/* In the order of the service's methods in dataplane.proto. */
static gn_channel_handler *const handlers[] = {
        get_status,     create_port,   delete_port,  list_ports,    create_volume,
        delete_volume,  list_volumes,  clone_volume, create_mirror, update_mirror,
        delete_mirror,  list_mirrors,  update_meter, list_meters,   update_volume_mirror,
        create_export,  delete_export, list_exports, verify_volume, fence_volume,
        promote_volume, resize_volume, probe_port,
};

static int server_ready(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	gn_channel_server_process(((struct gn_service *)userdata)->server);
	return 0;
}

int gn_service_create(struct gn_dataplane *dp, struct gn_service **out, struct gn_status *status)
{
	struct gn_service *service = calloc(1, sizeof *service);
	int err;

	if (!service)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	service->dp = dp;
	service->descriptor =
	        (struct gn_channel_service){.descriptor = &gnomon__v1__dataplane__descriptor,
	                                    .handlers = handlers,
	                                    .context = service};
	err = gn_channel_server_create(dp->config->control_url, NULL, &service->descriptor, 1,
	                               &service->server, status);
	if (!err &&
	    sd_event_add_io(dp->event, &service->source, gn_channel_server_fd(service->server),
	                    EPOLLIN, server_ready, service) < 0)
		err = gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	if (err) {
		gn_service_destroy(service);
		return err;
	}
	*out = service;
	return 0;
}

void gn_service_destroy(struct gn_service *service)
{
	if (!service)
		return;
	while (!LIST_EMPTY(&service->clones))
		cancel_clone(LIST_FIRST(&service->clones));
	sd_event_source_unref(service->source);
	gn_channel_server_destroy(service->server);
	free(service);
}
