/* service.h - gnomon-introspect at work: takes VMs' memory from the dataplane, keeps a parser for
 * each, publishes what they report. */
#ifndef GN_INTROSPECT_SERVICE_H
#define GN_INTROSPECT_SERVICE_H

#include <systemd/sd-event.h>
#include "firmware/introspect/config.h"

struct gn_introspect_service;

/* Begins to publish and to look for the dataplane; then shuts the process in (sandbox.h).
 * Negative errno with a sentence. */
int gn_introspect_service_create(sd_event *event, const struct gn_introspect_config *config,
                                 struct gn_introspect_service **out, struct gn_status *status);
void gn_introspect_service_destroy(struct gn_introspect_service *service); /* NULL is fine */

#endif
