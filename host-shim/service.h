/* service.h - the Host service: takes calls from the channel, runs executions and queries on
 * worker threads, answers.
 *
 * Nothing here waits for libvirt or the disk: a libvirt call that hangs costs its thread, and
 * whoever waits for it is told so when his deadline comes. GetHost is answered in any case,
 * within about a second. Commands on the same domain run one after another; the same command
 * sent twice waits for the one result. Commands that a previous process left unfinished are
 * resolved by themselves.
 *
 * Owner: the event loop's thread. */
#ifndef GN_SHIM_SERVICE_H
#define GN_SHIM_SERVICE_H

#include <systemd/sd-event.h>
#include "host-shim/command.h"
#include "host-shim/observation.h"
#include "proto/channel.h"

struct gn_service_config {
	const char *url;
	const struct gn_channel_tls *tls; /* NULL for ipc */
	const char *libvirt_uri;
	const char *journal_path;
	struct gn_command_limits limits;
	uint64_t verify_us; /* how long a command's effect may take to appear */
	uint64_t settle_us; /* how long libvirtd may still be at what a lost caller asked for */
	uint32_t stats_period_s;
	const struct gn_observation_rules *observe; /* NULL: the owner did not opt in */
	const char *agents; /* directory of gnomon-guest's channels; NULL: the same */
	const char *drives; /* directory of smartctl's reports; NULL: the same */
};

struct gn_service;

/* Everything that 'config' points to is borrowed for the service's life. Succeeds while
 * libvirt is away. */
int gn_service_create(const struct gn_service_config *config, sd_event *event,
                      struct gn_service **out, struct gn_status *status);
/* The port really bound. */
uint16_t gn_service_port(const struct gn_service *service);

/* Waits a few seconds for libvirt calls that run; what is not finished then is resolved by
 * the next process. Returns how many threads hang: then the process should end at once. NULL
 * is fine. */
unsigned gn_service_destroy(struct gn_service *service);

#endif
