/* ingest.h - brings in what the card sees: the dataplane's samples and those of guests' kernels
 * (gnomon-introspect) as they are published, the shim's statistics and the dataplane's lists as
 * they are polled.
 *
 * Polls are never piled up: while one waits for its answer the next turn is left out, and
 * each has a deadline. What comes goes to the brain and the view. One thread. */
#ifndef GN_INGEST_H
#define GN_INGEST_H

#include "firmware/brain/brain.h"
#include "firmware/ingest/view.h"
#include "firmware/peer/peer.h"

struct gn_ingest;

struct gn_ingest_hooks {
	void *context;
	/* After new lists of ports and volumes. */
	void (*listed)(void *context);
};

/* All is borrowed. 'samples_url' is where the dataplane publishes, 'guests_url' where
 * gnomon-introspect does; NULL: it is not there. */
int gn_ingest_create(struct gn_brain *brain, struct gn_peer *shim, struct gn_peer *dataplane,
                     struct gn_view *view, const char *samples_url, const char *guests_url,
                     const struct gn_ingest_hooks *hooks, struct gn_ingest **out,
                     struct gn_status *status);
/* After the peers, whose last answers come here. NULL is fine. */
void gn_ingest_destroy(struct gn_ingest *ingest);

#define GN_INGEST_MAX_FDS 2
/* Readable when gn_ingest_process() has something to do. Returns how many. */
unsigned gn_ingest_fds(const struct gn_ingest *ingest, int fds[GN_INGEST_MAX_FDS]);
void gn_ingest_process(struct gn_ingest *ingest);
/* Every period: polls. */
void gn_ingest_tick(struct gn_ingest *ingest, struct gn_time now);

#endif
