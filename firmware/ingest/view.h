/* view.h - what the dataplane told last: ports, volumes, mirrors, its status; and the host's
 * figures that are only shown.
 *
 * Refreshed every period by ingest; read by whoever shows it or builds on it, without
 * waiting. Empty until the first answers. One thread. */
#ifndef GN_INGEST_VIEW_H
#define GN_INGEST_VIEW_H

#include <stdbool.h>
#include "firmware/peer/peer.h"
#include "proto/gnomon/v1/dataplane.pb-c.h"
#include "proto/gnomon/v1/host.pb-c.h"

struct gn_view {
	Gnomon__V1__PortList *ports; /* NULL: not told yet; so are the others */
	Gnomon__V1__VolumeList *volumes;
	Gnomon__V1__MirrorList *mirrors;
	Gnomon__V1__DataplaneStatus *status;
	Gnomon__V1__HostStats *stats;
};

void gn_view_fini(struct gn_view *view);

/* Each takes over a copy. */
void gn_view_set_ports(struct gn_view *view, const Gnomon__V1__PortList *ports);
void gn_view_set_volumes(struct gn_view *view, const Gnomon__V1__VolumeList *volumes);
void gn_view_set_mirrors(struct gn_view *view, const Gnomon__V1__MirrorList *mirrors);
void gn_view_set_status(struct gn_view *view, const Gnomon__V1__DataplaneStatus *status);
void gn_view_set_stats(struct gn_view *view, const Gnomon__V1__HostStats *stats);
/* One that was just made or changed. */
void gn_view_note_port(struct gn_view *view, const Gnomon__V1__Port *port);
void gn_view_note_volume(struct gn_view *view, const Gnomon__V1__Volume *volume);
void gn_view_note_mirror(struct gn_view *view, const Gnomon__V1__Mirror *mirror);
/* One that has just ended. */
void gn_view_forget_mirror(struct gn_view *view, const char *name);
void gn_view_forget_volume(struct gn_view *view, const char *name);

/* By name; NULL: none such. */
const Gnomon__V1__Port *gn_view_port(const struct gn_view *view, const char *name);
const Gnomon__V1__Volume *gn_view_volume(const struct gn_view *view, const char *name);
const Gnomon__V1__Mirror *gn_view_mirror(const struct gn_view *view, const char *name);
/* What gnomon-guest told in the VM; NULL: nothing. */
const Gnomon__V1__AgentReport *gn_view_agent(const struct gn_view *view, const char *vm);
/* The VM's QEMU process; NULL: its host does not observe it. */
const Gnomon__V1__HostProcess *gn_view_process(const struct gn_view *view, const char *vm);

#endif
