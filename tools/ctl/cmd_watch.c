/* cmd_watch.c - watch: events as they happen. Whether the card is there goes to standard
 * error, so that what is piped on is events alone. */
#include "tools/ctl/ctl.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "firmware/core/clock.h"
#include "proto/channel.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/connection.h"
#include "tools/ctl/format.h"
#include "proto/json.h"
#include "tools/ctl/output.h"

#define FIRST_US 5000000u /* so long is waited for the first connection */
#define TURN_MS  250

struct watch {
	const struct gn_ctl *ctl;
	struct gn_channel_subscriber *subscriber;
	uint64_t started_us; /* monotonic */
	bool is_up, was_up;
	uint64_t last_id; /* of the events; 0: none yet */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = 1;
}

/* Identifiers grow by one, also over a restart of the card. */
static void note_gap(struct watch *w, uint64_t id)
{
	if (w->last_id && id > w->last_id + 1)
		gn_output_error("%" PRIu64 " events were missed", id - w->last_id - 1);
	w->last_id = id;
}

static void print_event(void *context, const char *topic, const ProtobufCMessage *message)
{
	const Gnomon__V1__Event *event = (const Gnomon__V1__Event *)message;
	struct watch *w = context;
	char when[GN_FORMAT_SIZE];

	note_gap(w, event->id);
	if (w->ctl->json) {
		gn_json_print(message, 1, stdout);
		return;
	}
	gn_output_line("%s.%03u  %-14s  %-12s  %s",
	               gn_format_clock(event->wall_us, when, sizeof when),
	               (unsigned)(event->wall_us / 1000 % 1000), event->kind, event->resource,
	               event->text);
}

/* Tells when the card goes and comes. Returns false when it never came. */
static bool look(struct watch *w)
{
	uint64_t patience = w->ctl->timeout_us < FIRST_US ? w->ctl->timeout_us : FIRST_US;
	struct gn_status status = {0};
	bool is_up = !gn_channel_subscriber_check(w->subscriber, &status);

	if (!is_up && !w->was_up) {
		if (gn_clock_monotonic_us() - w->started_us < patience)
			return true;
		gn_output_error("%s (%s)", status.message, gn_code_name(status.code));
		return false;
	}
	if (is_up && !w->is_up && w->was_up)
		gn_output_error("connected again");
	else if (is_up && !w->is_up && isatty(STDERR_FILENO))
		gn_output_error("connected; Ctrl-C ends this");
	else if (!is_up && w->is_up)
		gn_output_error("%s; waiting for it", status.message);
	w->is_up = is_up;
	w->was_up |= is_up;
	return true;
}

static int follow(struct watch *w)
{
	while (!interrupted) {
		struct pollfd fd = {.fd = gn_channel_subscriber_fd(w->subscriber),
		                    .events = POLLIN};

		if (!look(w))
			return GN_CTL_UNREACHABLE;
		if (poll(&fd, 1, TURN_MS) >= 0)
			gn_channel_subscriber_process(w->subscriber);
		if (ferror(stdout)) /* said by the caller */
			return GN_CTL_REFUSED;
	}
	return GN_CTL_OK;
}

int gn_ctl_watch(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct watch w = {.ctl = ctl, .started_us = gn_clock_monotonic_us()};
	struct gn_status status = {0};
	int code;

	gn_ctl_end(arguments);
	if (gn_ctl_connection_subscribe(ctl->connection, print_event, &w, &w.subscriber, &status)) {
		gn_output_error("%s (%s)", status.message, gn_code_name(status.code));
		return GN_CTL_USAGE; /* our own files or url */
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	code = follow(&w);
	gn_channel_subscriber_destroy(w.subscriber);
	return code;
}
