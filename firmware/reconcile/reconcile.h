/* reconcile.h - makes the dataplane have what the VMs' specs ask for.
 *
 * After every list of ports and volumes: what is missing is created. Creating what exists
 * already with the same settings is a no-op in the dataplane, so a restart on either side
 * needs nothing special. What is refused is kept as the VM's trouble, for operators to
 * read, and tried again with growing pauses. One thread. */
#ifndef GN_RECONCILE_H
#define GN_RECONCILE_H

#include "firmware/brain/brain.h"
#include "firmware/ingest/view.h"
#include "firmware/peer/peer.h"

struct gn_reconcile;

void gn_reconcile_create(struct gn_brain *brain, struct gn_peer *dataplane, struct gn_view *view,
                         struct gn_reconcile **out);
/* After the dataplane's peer. NULL is fine. */
void gn_reconcile_destroy(struct gn_reconcile *reconcile);

/* New lists are in the view. */
void gn_reconcile_run(struct gn_reconcile *reconcile, struct gn_time now);
/* Deletes a VM's mirrors, ports and volumes; the VM is about to be forgotten. */
void gn_reconcile_remove(struct gn_reconcile *reconcile, const struct gn_vm *vm);

#endif
