/* main.c - gnomon-updater: installs updates into the slot that does not run, and says whether the
 * one that runs is good.
 *
 * A process of its own, since it alone writes partitions and waits for them. */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/board.h"
#include "firmware/core/clock.h"
#include "firmware/core/log.h"
#include "firmware/loop/loop.h"
#include "firmware/peer/peer.h"
#include "firmware/update/config.h"
#include "firmware/update/health.h"
#include "firmware/update/service.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "proto/gnomon/v1/dataplane.pb-c.h"

#define DEFAULT_CONFIG "/etc/gnomon/update.yaml"
#define ASK_US         2000000u /* how long an answer may take to be a sign of health */

extern char **environ;

struct updater {
	struct gn_update_config *config;
	struct gn_board *board;
	struct gn_loop *loop;
	struct gn_disk *disk;
	struct gn_install install;
	struct gn_update_service service;
	struct gn_channel_server *server;
	struct gn_peer *dataplane, *gnomond;
	struct gn_health health;
	struct gn_health_signs signs;
	bool is_good;
	unsigned restart_in; /* ticks; 0: not */
	char version[GN_SLOT_VERSION];
	uint32_t security;
};

/* ---- health -------------------------------------------------------------------------------------
 */

static void on_dataplane_status(void *context, const struct gn_status *status,
                                const ProtobufCMessage *reply)
{
	struct updater *u = context;

	u->signs.dataplane_answers = reply != NULL;
	if (reply)
		u->signs.dataplane_loops = ((const Gnomon__V1__DataplaneStatus *)reply)->loops;
}

static void on_card_status(void *context, const struct gn_status *status,
                           const ProtobufCMessage *reply)
{
	const Gnomon__V1__CardStatus *card = (const Gnomon__V1__CardStatus *)reply;
	struct updater *u = context;

	u->signs.gnomond_answers = card != NULL;
	u->signs.store_is_open = card && !card->store_error[0];
	u->signs.reaches_dataplane = card && card->dataplane_connected;
}

static void ask(struct updater *u)
{
	const Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;

	gn_peer_call(u->dataplane, "GetDataplaneStatus", &empty.base, ASK_US, on_dataplane_status,
	             u);
	gn_peer_call(u->gnomond, "GetStatus", &empty.base, ASK_US, on_card_status, u);
}

static void became_good(struct updater *u)
{
	struct gn_status status;
	FILE *mark;

	if (gn_install_good(&u->install, gn_clock_wall_us(), &status)) {
		gn_log(GN_LOG_ERROR, "%s", status.message);
		u->service.health = "it is well, but cannot be marked good: see the log";
		return;
	}
	u->is_good = true;
	u->service.health = "good";
	mark = fopen(u->config->good_file, "we");
	if (mark)
		fclose(mark);
	gn_log(GN_LOG_INFO, "slot %s is good", gn_install_slot_name(u->install.card.running));
}

/* Only a slot on trial is given up: a good one that is not well now may well have been before the
 * last power cut, and its tries are counted. */
static void failed(struct updater *u)
{
	unsigned running = u->install.card.running;
	struct gn_status status;

	if (u->restart_in || u->install.slots.slots[running].state != GN_SLOT_TRIAL)
		return;
	gn_log(GN_LOG_ERROR, "slot %s is not good: %s", gn_install_slot_name(running),
	       u->health.lacks);
	if (gn_install_bad(&u->install, u->health.lacks, gn_clock_wall_us(), &status))
		gn_log(GN_LOG_ERROR, "%s", status.message);
	u->service.restart_wanted = true;
}

static void on_second(void *context)
{
	struct updater *u = context;

	if (u->service.unavailable || u->is_good)
		return;
	switch (gn_health_observe(&u->health, &u->signs, gn_clock_monotonic_us())) {
	case GN_HEALTH_GOOD:
		became_good(u);
		return;
	case GN_HEALTH_BAD:
		failed(u);
		break;
	case GN_HEALTH_WAIT:
		break;
	}
	u->service.health = u->health.lacks[0] ? u->health.lacks : "it is well; wait a little";
	ask(u);
}

/* ---- turns --------------------------------------------------------------------------------------
 */

static void restart_card(struct updater *u)
{
	pid_t pid;
	int error =
	        posix_spawn(&pid, u->config->restart[0], NULL, NULL, u->config->restart, environ);

	if (error)
		gn_log(GN_LOG_ERROR, "%s cannot be run, and the card is not restarted: %s",
		       u->config->restart[0], strerror(error));
}

/* Reads an image back piece by piece, so that calls are answered in between; restarts the card a
 * moment after it was asked for, so that the answer gets out. */
static void on_tick(void *context)
{
	struct updater *u = context;

	gn_peer_tick(u->dataplane);
	gn_peer_tick(u->gnomond);
	for (unsigned i = 0; i < 8 && u->install.phase == GN_INSTALL_CHECKING; i++)
		gn_install_step(&u->install, gn_clock_wall_us());
	if (u->restart_in && !--u->restart_in)
		restart_card(u);
	if (u->service.restart_wanted) {
		u->service.restart_wanted = false;
		u->restart_in = 10;
	}
}

static void on_server(void *context)
{
	gn_channel_server_process(((struct updater *)context)->server);
}

static void on_dataplane(void *context)
{
	gn_peer_process(((struct updater *)context)->dataplane);
}

static void on_gnomond(void *context)
{
	gn_peer_process(((struct updater *)context)->gnomond);
}

/* ---- start --------------------------------------------------------------------------------------
 */

/* The first line of the file, or false. */
static bool read_line(const char *path, char *line, int size)
{
	FILE *file = fopen(path, "re");
	bool got = file && fgets(line, size, file);

	if (file)
		fclose(file);
	if (got)
		line[strcspn(line, "\n")] = '\0';
	return got;
}

static int read_release(struct updater *u, struct gn_status *status)
{
	char line[64];

	if (read_line(u->config->release, line, sizeof line) &&
	    sscanf(line, "%31s %u", u->version, &u->security) == 2)
		return 0;
	return gn_status_set(status, GN_INVALID_ARGUMENT,
	                     "%s does not begin with 'VERSION SECURITY' of the running image",
	                     u->config->release);
}

static int open_slots(struct updater *u, struct gn_status *status)
{
	const struct gn_disk_paths paths = {
	        .environment = u->config->environment,
	        .slots = {u->config->slot_a, u->config->slot_b},
	        .state_dir = u->config->state_dir,
	};
	struct gn_install_card card = {
	        .board = u->board->compatible,
	        .roots_file = u->config->roots,
	        .version = u->version,
	        .security = u->security,
	};
	char running[8] = "";
	int error;

	if (!read_line(u->config->running_file, running, sizeof running) ||
	    (strcmp(running, "a") && strcmp(running, "b"))) {
		u->service.unavailable =
		        "this card was not started from a slot of its disk: it cannot be updated; "
		        "flash a disk image ('make flash') or give its loader a new kernel";
		return 0;
	}
	card.running = running[0] == 'b';
	error = gn_disk_open(&paths, &u->disk);
	if (error)
		return gn_status_set(status, gn_code_from_errno(error), "%s cannot be used: %s",
		                     paths.state_dir, strerror(-error));
	return gn_install_open(&u->install, &card, u->disk, gn_clock_wall_us(), status);
}

static int make_all(struct updater *u, struct gn_status *status)
{
	int error = gn_board_load(u->config->board, &u->board, status);

	if (!error)
		error = read_release(u, status);
	if (!error)
		error = open_slots(u, status);
	if (!error)
		error = gn_peer_create("dataplane", u->config->dataplane_url, NULL,
		                       &gnomon__v1__dataplane__descriptor, &u->dataplane, status);
	if (!error)
		error = gn_peer_create("gnomond", u->config->gnomond_url, NULL,
		                       &gnomon__v1__control__descriptor, &u->gnomond, status);
	u->service.install = &u->install;
	u->service.health = "";
	if (!error)
		error = gn_update_service_create(u->config->listen, &u->service, &u->server,
		                                 status);
	gn_health_init(&u->health, u->config->steady_s * 1000000ull,
	               u->config->patience_s * 1000000ull, gn_clock_monotonic_us());
	return error;
}

static int watch_all(struct updater *u)
{
	int error = gn_loop_watch(u->loop, gn_channel_server_fd(u->server), on_server, u);

	if (error >= 0)
		error = gn_loop_watch(u->loop, gn_peer_fd(u->dataplane), on_dataplane, u);
	if (error >= 0)
		error = gn_loop_watch(u->loop, gn_peer_fd(u->gnomond), on_gnomond, u);
	if (error >= 0)
		error = gn_loop_every(u->loop, 50000, on_tick, u);
	if (error >= 0)
		error = gn_loop_every(u->loop, 1000000, on_second, u);
	return error < 0 ? error : 0;
}

static void unmake_all(struct updater *u)
{
	gn_peer_destroy(u->dataplane);
	gn_peer_destroy(u->gnomond);
	gn_channel_server_destroy(u->server);
	gn_install_close(&u->install);
	gn_disk_close(u->disk);
	gn_loop_destroy(u->loop);
	gn_board_free(u->board);
	gn_update_config_free(u->config);
}

static int run(struct updater *u, const char *path, struct gn_status *status)
{
	int error = gn_update_config_load(path, &u->config, status);

	if (!error)
		error = gn_loop_create(&u->loop);
	if (!error)
		error = make_all(u, status);
	if (!error)
		error = watch_all(u);
	if (error)
		return error;
	gn_log(GN_LOG_INFO, "gnomon-updater %s: %s", GN_VERSION,
	       u->service.unavailable ? u->service.unavailable : "serves operators");
	gn_loop_notify_ready();
	return gn_loop_run(u->loop);
}

int main(int argc, char **argv)
{
	struct gn_status status = {GN_OK, ""};
	static struct updater u;
	int error;

	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("gnomon-updater " GN_VERSION);
		return 0;
	}
	if (argc != 1 && (argc != 3 || strcmp(argv[1], "--config"))) {
		fputs("usage: gnomon-updater [--config FILE]   (default: " DEFAULT_CONFIG ")\n"
		      "Installs updates of the card's image for gnomond; every key of FILE is "
		      "described in\nfirmware/update/config.h.\n",
		      stderr);
		return 2;
	}
	gn_log_init("gnomon-updater", GN_LOG_INFO);
	error = run(&u, argc == 3 ? argv[2] : DEFAULT_CONFIG, &status);
	if (error)
		gn_log(GN_LOG_ERROR, "%s", status.message[0] ? status.message : strerror(-error));
	unmake_all(&u);
	return error ? 1 : 0;
}
