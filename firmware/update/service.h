/* service.h - service Updater (proto/gnomon/v1/update.proto): an install for operators. One
 * thread. */
#ifndef GN_UPDATE_SERVICE_H
#define GN_UPDATE_SERVICE_H

#include "firmware/update/install.h"
#include "proto/channel.h"

struct gn_update_service {
	struct gn_install *install;
	const char *unavailable; /* why this card has no slots; NULL: it has */
	const char *health;      /* of the running slot; "good", or what it lacks */
	bool restart_wanted;
};

/* Serves 'service' at 'url'; both are borrowed. */
int gn_update_service_create(const char *url, struct gn_update_service *service,
                             struct gn_channel_server **out, struct gn_status *status);

#endif
