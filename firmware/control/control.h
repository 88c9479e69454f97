/* control.h - gnomond's service for operators (proto/gnomon/v1/control.proto), and the
 * events that it publishes.
 *
 * Served over tls+tcp for operators and over an ipc socket on this machine. A handler first
 * checks everything, then changes; what only the dataplane can answer is passed on and
 * answered later. Reads are answered from memory. One thread. */
#ifndef GN_CONTROL_H
#define GN_CONTROL_H

#include "firmware/alert/board.h"
#include "firmware/audit/log.h"
#include "firmware/brain/brain.h"
#include "firmware/ingest/view.h"
#include "firmware/peer/peer.h"
#include "firmware/mover/mover.h"
#include "firmware/plan/runner.h"
#include "firmware/reconcile/reconcile.h"
#include "firmware/shadow/provision.h"
#include "firmware/shadow/snapshots.h"

/* What the service shows and changes; all borrowed. */
struct gn_control_parts {
	struct gn_brain *brain;
	struct gn_runner *runner;
	struct gn_shadows *shadows;
	struct gn_snapshots *snapshots;
	struct gn_reconcile *reconcile;
	struct gn_view *view;
	struct gn_peer *shim;
	struct gn_peer *dataplane;
	struct gn_peer *updater; /* NULL: the card has none */
	struct gn_alerts *alerts;
	struct gn_mover *mover;
	struct gn_audit_log *audit;
};

struct gn_control;

/* Opens the endpoints that the configuration names. */
int gn_control_create(const struct gn_config *config, const struct gn_control_parts *parts,
                      struct gn_control **out, struct gn_status *status);
/* After the peers, whose last answers come here. NULL is fine. */
void gn_control_destroy(struct gn_control *control);

/* The servers' descriptors: at most two. Returns how many. */
#define GN_CONTROL_MAX_FDS 2
unsigned gn_control_fds(const struct gn_control *control, int fds[GN_CONTROL_MAX_FDS]);
void gn_control_process(struct gn_control *control);
/* The port that the operators' endpoint is bound to; 0: none. */
uint16_t gn_control_port(const struct gn_control *control);

/* Publishes an event to every subscriber. */
void gn_control_publish(struct gn_control *control, const Gnomon__V1__Event *event);

#endif
