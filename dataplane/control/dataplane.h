/* dataplane.h - everything the control thread knows: ports, volumes, their exports, mirrors, meters
 * and the VMs they belong to, with what runs for each on the lcores.
 *
 * Owner: the control thread, all of it; the lcore's part is reached by gn_worker_call().
 * The functions that create, update and delete first check everything and then apply. Each
 * writes the state file before it answers. When that fails, a creation is undone; an update
 * or deletion stays, and the answer says that a restart would forget it.
 *
 * One worker, the first, runs the network: every port, and so every flow of a VM, passes one
 * lcore. Volumes are spread over the other workers (or share the first if it is the only
 * one); all volumes of one VM are on one worker, since they share a meter. */
#ifndef GN_DATAPLANE_DATAPLANE_H
#define GN_DATAPLANE_DATAPLANE_H

#include <sys/queue.h>
#include <systemd/sd-event.h>
#include "board/board.h"
#include "dataplane/blk/blk.h"
#include "dataplane/config/config.h"
#include "dataplane/graph/graph.h"
#include "dataplane/meter/disk_meter.h"
#include "dataplane/mirror/writer.h"
#include "dataplane/nbd/nbd.h"
#include "proto/gnomon/v1/dataplane.pb-c.h"

#define GN_DATAPLANE_MAX_WORKERS 64

/* Exists while something refers to it. */
struct gn_dp_vm {
	LIST_ENTRY(gn_dp_vm) link;
	char *name;
	unsigned n_refs;
	unsigned n_ports;
	unsigned n_volumes;
	struct gn_vm vm;                 /* Owner: lcore */
	struct gn_mirror_set sets[2];    /* one is in use, the other is the next */
	struct gn_disk_meter disk_meter; /* Owner: the lcore of its volumes */
	struct gn_worker *volume_worker;
	Gnomon__V1__Meter *meter;                  /* NULL: no limit was set */
	struct gn_feature_counters network_before; /* at the end of the last period */
};

struct gn_dp_port {
	LIST_ENTRY(gn_dp_port) link;
	Gnomon__V1__Port *spec; /* outputs empty */
	struct gn_port *port;
	struct gn_dp_vm *vm; /* NULL: nobody's */
	bool from_config;
	struct gn_prober *prober; /* NULL: its guest is not asked */
	char *probe;              /* what it is asked; with 'prober' */
};

struct gn_dp_volume {
	LIST_ENTRY(gn_dp_volume) link;
	Gnomon__V1__Volume *spec;
	struct gn_blk *blk;
	struct gn_dp_vm *vm;
	struct gn_blk_stats before; /* at the end of the last period */
	bool from_config;
	bool cloning;
	unsigned n_exports;
};

struct gn_dp_export {
	LIST_ENTRY(gn_dp_export) link;
	Gnomon__V1__NbdExport *spec;
	struct gn_nbd_export *export;
	struct gn_dp_volume *volume;
};

struct gn_dp_mirror {
	LIST_ENTRY(gn_dp_mirror) link;
	Gnomon__V1__Mirror *spec;
	struct gn_mirror_session *session;
	struct gn_writer *writer; /* NULL: no file */
	struct gn_dp_vm *vm;
};

struct gn_dataplane {
	const struct gn_config *config;
	const struct gn_board *board;
	sd_event *event;
	unsigned n_workers;
	struct gn_worker *workers[GN_DATAPLANE_MAX_WORKERS];
	struct gn_worker *network; /* the first */
	unsigned next_volume_worker;
	struct rte_mempool *pool;
	struct rte_mempool *clones;
	struct gn_views *views;
	struct gn_graph *graph;
	uint64_t started_us; /* wall; also the samples' source_epoch */
	uint64_t tsc_hz;
	bool saving;                          /* off while the state is being restored */
	bool unsaved;                         /* the state file does not say what is */
	Gnomon__V1__DataplaneState *left_out; /* stored but not restored; NULL: nothing */
	LIST_HEAD(, gn_dp_vm) vms;
	LIST_HEAD(, gn_dp_port) ports;
	LIST_HEAD(, gn_dp_volume) volumes;
	LIST_HEAD(, gn_dp_mirror) mirrors;
	LIST_HEAD(, gn_dp_export) exports;
	struct gn_nbd_server *nbd;
};

/* Workers, pools and the graph; DPDK must have been initialised. All borrowed. */
int gn_dataplane_create(const struct gn_config *config, const struct gn_board *board,
                        sd_event *event, struct gn_dataplane **out, struct gn_status *status);
/* Deletes everything, without touching the state file. NULL is fine. */
void gn_dataplane_destroy(struct gn_dataplane *dp);

/* Ports and volumes of the board and the configuration, then what the state file says. What cannot
 * be made is logged and left out, so that one missing disk does not stop the others. */
void gn_dataplane_restore(struct gn_dataplane *dp);

/* Writes the state file, unless 'saving' is off. When that fails whoever asked for the change is
 * told, but what was changed or deleted stays so; hence gn_dataplane_save_again(), once a period,
 * which writes the file as soon as that is possible. */
int gn_dataplane_save(struct gn_dataplane *dp, struct gn_status *status);
void gn_dataplane_save_again(struct gn_dataplane *dp);

/* Forgets a resource that was left out. Returns whether there was one. */
enum gn_dp_kind {
	GN_DP_PORT,
	GN_DP_VOLUME,
	GN_DP_MIRROR,
	GN_DP_METER,
	GN_DP_EXPORT,
	GN_DP_N_KINDS
};
bool gn_dp_forget(struct gn_dataplane *dp, enum gn_dp_kind kind, const char *name);

/* ---- VMs --------------------------------------------------------------------------- */

/* Finds or makes it, and takes a reference. NULL: out of memory. */
struct gn_dp_vm *gn_dp_vm_get(struct gn_dataplane *dp, const char *name);
void gn_dp_vm_put(struct gn_dataplane *dp, struct gn_dp_vm *vm); /* NULL is fine */
struct gn_dp_vm *gn_dp_vm_find(struct gn_dataplane *dp, const char *name);

/* ---- verbs; each returns 0 or a negative errno with a sentence ---------------------- */

int gn_dp_port_create(struct gn_dataplane *dp, const Gnomon__V1__Port *request, bool from_config,
                      struct gn_dp_port **out, struct gn_status *status);
int gn_dp_port_delete(struct gn_dataplane *dp, const char *name, struct gn_status *status);
int gn_dp_port_probe(struct gn_dataplane *dp, const Gnomon__V1__ProbePortRequest *request,
                     struct gn_dp_port **out, struct gn_status *status);
void gn_dp_port_end_probe(struct gn_dataplane *dp, struct gn_dp_port *port);
struct gn_dp_port *gn_dp_port_find(struct gn_dataplane *dp, const char *name);
void gn_dp_port_free(struct gn_dataplane *dp, struct gn_dp_port *port);

int gn_dp_volume_create(struct gn_dataplane *dp, const Gnomon__V1__Volume *request,
                        bool from_config, struct gn_dp_volume **out, struct gn_status *status);
int gn_dp_volume_delete(struct gn_dataplane *dp, const char *name, struct gn_status *status);
int gn_dp_volume_resize(struct gn_dataplane *dp, const char *name, uint64_t size_bytes,
                        struct gn_dp_volume **out, struct gn_status *status);
/* Begins, changes or ends (mode OFF) its mirroring. */
int gn_dp_volume_replicate(struct gn_dataplane *dp, const char *name,
                           const Gnomon__V1__VolumeMirror *mirror, struct gn_dp_volume **out,
                           struct gn_status *status);
/* Its device anew, as the spec says. */
int gn_dp_volume_open(struct gn_dataplane *dp, struct gn_dp_volume *volume,
                      struct gn_status *status);
/* One that has no device any more waits in 'left_out', as after a restart that could not make it;
 * and another attempt at all that wait there. */
void gn_dp_volume_leave_out(struct gn_dataplane *dp, struct gn_dp_volume *volume);
void gn_dp_volume_retry(struct gn_dataplane *dp);
int gn_dp_volume_fence(struct gn_dataplane *dp, const char *name, bool fenced,
                       struct gn_dp_volume **out, struct gn_status *status);
int gn_dp_volume_promote(struct gn_dataplane *dp, const Gnomon__V1__PromoteVolumeRequest *request,
                         struct gn_dp_volume **out, struct gn_status *status);
struct gn_dp_volume *gn_dp_volume_find(struct gn_dataplane *dp, const char *name);
void gn_dp_volume_free(struct gn_dataplane *dp, struct gn_dp_volume *volume);

int gn_dp_export_create(struct gn_dataplane *dp, const Gnomon__V1__NbdExport *request,
                        struct gn_dp_export **out, struct gn_status *status);
int gn_dp_export_delete(struct gn_dataplane *dp, const char *name, struct gn_status *status);
void gn_dp_export_free(struct gn_dataplane *dp, struct gn_dp_export *export);
/* An export that may write the volume is stored and still to be restored. */
bool gn_dp_export_awaited(const struct gn_dataplane *dp, const char *volume);

/* 'replace': UpdateMirror; else CreateMirror. */
int gn_dp_mirror_set(struct gn_dataplane *dp, const Gnomon__V1__Mirror *request, bool replace,
                     struct gn_dp_mirror **out, struct gn_status *status);
int gn_dp_mirror_delete(struct gn_dataplane *dp, const char *name, struct gn_status *status);
void gn_dp_mirror_free(struct gn_dataplane *dp, struct gn_dp_mirror *mirror);
/* 'port' came or goes: sessions that name it use it, or lose it. On the lcore. */
void gn_dp_mirror_port_came(struct gn_dataplane *dp, struct gn_dp_port *port);
void gn_dp_mirror_port_goes(struct gn_dataplane *dp, struct gn_dp_port *port);

/* All zero: no limit, and nothing is kept of it. */
int gn_dp_meter_update(struct gn_dataplane *dp, const Gnomon__V1__Meter *request,
                       struct gn_status *status);

/* ---- for ports and volumes ----------------------------------------------------------- */

/* Another resource listens there. */
bool gn_dp_socket_taken(struct gn_dataplane *dp, const char *path);
/* Where a resource's socket goes by default. */
int gn_dp_socket_path(const struct gn_dataplane *dp, const char *name, const char *given, char *out,
                      size_t size, struct gn_status *status);
/* Hands the socket to config->socket_user. */
int gn_dp_socket_chown(const struct gn_dataplane *dp, const char *path, struct gn_status *status);

#endif
