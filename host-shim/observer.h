/* observer.h - the windows that are open on this host, and what may be opened.
 *
 * Synchronous: opening takes tens of milliseconds, closing as long as the kernel needs to be sure
 * that nobody runs the program any more. One thread for all of it (the service gives it one). */
#ifndef GN_SHIM_OBSERVER_H
#define GN_SHIM_OBSERVER_H

#include "host-shim/observation.h"
#include "host-shim/processes.h"

/* Threads, then each kind of window. */
#define GN_OBSERVER_PROBES (1 + GN_WINDOW_KINDS)

struct gn_observer_probe {
	const char *name;        /* static */
	bool allowed;            /* by the owner */
	struct gn_status status; /* OK: works here */
};

struct gn_observer;

/* 'rules' and 'processes' are borrowed. Probes with the first call that needs to know. */
int gn_observer_create(const struct gn_observation_rules *rules, struct gn_processes *processes,
                       struct gn_observer **out);
/* Closes what is open. NULL is fine. */
void gn_observer_destroy(struct gn_observer *observer);

/* What works here; kinds that the owner does not allow are not tried. */
void gn_observer_probe(struct gn_observer *observer,
                       struct gn_observer_probe out[GN_OBSERVER_PROBES]);

/* '*out' is a copy with the counts so far. */
int gn_observer_open(struct gn_observer *observer, const struct gn_observation_request *request,
                     struct gn_observation *out, struct gn_status *status);
int gn_observer_read(struct gn_observer *observer, const char *vm, enum gn_window_kind kind,
                     struct gn_observation *out, struct gn_status *status);
int gn_observer_stop(struct gn_observer *observer, const char *vm, enum gn_window_kind kind,
                     struct gn_observation *out, struct gn_status *status);

/* Closes the windows whose time is over or whose process is gone. Returns when (monotonic, us) to
 * call again; UINT64_MAX: not until another is opened. */
uint64_t gn_observer_turn(struct gn_observer *observer);

#endif
