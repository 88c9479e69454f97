/* service.h - the Dataplane service of proto/gnomon/v1/dataplane.proto, and the samples.
 * Control thread; runs in the sd-event loop of the dataplane it is given. */
#ifndef GN_DATAPLANE_SERVICE_H
#define GN_DATAPLANE_SERVICE_H

#include "dataplane/control/dataplane.h"

struct gn_service;

/* Listens on config->control_url. Errors of gn_channel_server_create(). */
int gn_service_create(struct gn_dataplane *dp, struct gn_service **out, struct gn_status *status);
/* Running clones are cancelled. NULL is fine; before gn_dataplane_destroy(). */
void gn_service_destroy(struct gn_service *service);

struct gn_telemetry;

/* Publishes a SampleBatch on topic "samples" every config->period_ms. */
int gn_telemetry_create(struct gn_dataplane *dp, struct gn_telemetry **out,
                        struct gn_status *status);
void gn_telemetry_destroy(struct gn_telemetry *telemetry);

#endif
