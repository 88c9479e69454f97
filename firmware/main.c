/* main.c - gnomond: the card's brain. Puts the parts together, turns the loop, logs.
 *
 * Order of life: configuration, loop (blocks signals), store, brain, peers, executor,
 * plans and shadows, ingest, control. Order of death: plans and shadows stop listening,
 * peers answer what still waits, then the rest, the store last. */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "firmware/alert/watch.h"
#include "firmware/brain/brain.h"
#include "firmware/config/config.h"
#include "firmware/control/control.h"
#include "firmware/core/log.h"
#include "firmware/executor/executor.h"
#include "firmware/ingest/ingest.h"
#include "firmware/loop/loop.h"
#include "firmware/mover/mover.h"
#include "firmware/plan/runner.h"
#include "firmware/reconcile/reconcile.h"
#include "firmware/shadow/provision.h"

#define DEFAULT_CONFIG "/etc/gnomon/gnomond.yaml"

static const char help[] =
        "gnomond - forecasts what each VM of a KVM host will need, and acts before it\n"
        "\n"
        "usage: gnomond [--config FILE] [--check]\n"
        "\n"
        "  -c, --config FILE  the configuration (default: " DEFAULT_CONFIG ")\n"
        "      --check        say whether the configuration is valid, and end\n"
        "      --debug        log more\n"
        "      --version      print the version\n"
        "  -h, --help         print this\n"
        "\n"
        "Every key of the file is described in firmware/config/gnomond.yaml.\n";

struct options {
	const char *config;
	bool check;
	enum gn_log_level level;
};

/* The parts, in the order of their making; all are borrowed from one another. */
struct gnomond {
	struct gn_config *config;
	struct gn_loop *loop;
	struct gn_store *store;
	struct gn_brain *brain;
	struct gn_peer *shim, *dataplane, *updater; /* updater: NULL without one */
	struct gn_executor *executor;
	struct gn_view view;
	struct gn_runner *runner;
	struct gn_shadows *shadows;
	struct gn_snapshots *snapshots;
	struct gn_mover *mover;
	struct gn_reconcile *reconcile;
	struct gn_ingest *ingest;
	struct gn_hooks *hooks;
	struct gn_alerts *alerts;
	struct gn_watch watch;
	struct gn_audit_log *audit;
	struct gn_control *control;
	struct gn_channel_tls shim_tls;
	bool shim_was_connected, dataplane_was_connected, libvirt_was_silent;
};

/* ---- what one part tells another ------------------------------------------------------- */

static void on_decided(void *context, struct gn_vm *vm, const struct gn_policy_input *input,
                       struct gn_time now)
{
	struct gnomond *g = context;

	if (g->runner)
		gn_runner_decided(g->runner, vm, input, now);
}

static void on_observed(void *context, struct gn_vm *vm, enum gn_resource resource,
                        struct gn_time now)
{
	struct gnomond *g = context;

	if (g->shadows)
		gn_shadows_observed(g->shadows, vm, resource, now);
}

/* What forecasts and rules did, and what came of it. */
static void put_event(struct gn_audit_log *audit, const Gnomon__V1__Event *event)
{
	Gnomon__V1__AuditEntry entry = GNOMON__V1__AUDIT_ENTRY__INIT;

	entry.at_us = event->wall_us;
	entry.kind = event->kind;
	entry.who = (char *)"card";
	entry.resource = event->resource;
	entry.text = event->text;
	gn_audit_log_put(audit, &entry, false);
}

static void on_event(void *context, const Gnomon__V1__Event *event)
{
	static struct gn_log_limit limit = {.burst = 20};
	struct gnomond *g = context;

	gn_log_limited(&limit, GN_LOG_INFO, "%s %s: %s", event->kind, event->resource, event->text);
	if (g->audit)
		put_event(g->audit, event);
	if (g->control)
		gn_control_publish(g->control, event);
}

static void on_removed(void *context, struct gn_vm *vm)
{
	struct gnomond *g = context;

	if (g->runner)
		gn_runner_removed(g->runner, vm);
	if (g->alerts)
		gn_alerts_end(g->alerts, vm->name, gn_time_now());
}

static void on_hook_trouble(void *context, const char *text)
{
	gn_brain_tell(((struct gnomond *)context)->brain, "alert.hook", "card", "%s", text);
}

static void on_listed(void *context)
{
	struct gnomond *g = context;

	gn_reconcile_run(g->reconcile, gn_time_now());
}

/* ---- the loop's callbacks ------------------------------------------------------------------ */

static void on_shim(void *context)
{
	gn_peer_process(((struct gnomond *)context)->shim);
}

static void on_dataplane(void *context)
{
	gn_peer_process(((struct gnomond *)context)->dataplane);
}

static void on_updater(void *context)
{
	gn_peer_process(((struct gnomond *)context)->updater);
}

static void on_samples(void *context)
{
	gn_ingest_process(((struct gnomond *)context)->ingest);
}

static void on_control(void *context)
{
	gn_control_process(((struct gnomond *)context)->control);
}

static void on_quick_tick(void *context)
{
	struct gnomond *g = context;

	gn_peer_tick(g->shim);
	gn_peer_tick(g->dataplane);
	if (g->updater)
		gn_peer_tick(g->updater);
	gn_runner_tick(g->runner, gn_time_now());
	gn_mover_tick(g->mover, gn_time_now());
	gn_hooks_tick(g->hooks, gn_time_now().monotonic_us);
}

static void note_connection(struct gnomond *g, const struct gn_peer *peer, const char *name,
                            bool *was_connected)
{
	bool connected = gn_peer_is_connected(peer);

	if (connected == *was_connected)
		return;
	*was_connected = connected;
	gn_brain_tell(g->brain, connected ? "peer.connected" : "alert", name, "%s",
	              connected ? "is connected" : gn_peer_error(peer));
}

/* The shim lives and tells so, but libvirtd on its host does not answer it. */
static void note_libvirt(struct gnomond *g)
{
	bool silent = g->brain->host && !g->brain->host->connected;

	if (silent == g->libvirt_was_silent)
		return;
	g->libvirt_was_silent = silent;
	gn_brain_tell(g->brain, silent ? "alert" : "peer.connected", "libvirt", "%s",
	              silent ? "does not answer the host's shim: nothing can be observed or "
	                       "changed until it does; look at libvirtd on the host"
	                     : "answers again");
}

static void tick_store(struct gnomond *g, struct gn_time now)
{
	struct gn_status note;

	gn_audit_log_tick(g->audit, now.wall_us);
	gn_store_tick(g->store, now.wall_us, &note);
	if (note.code != GN_OK)
		gn_log(note.code == GN_ABORTED ? GN_LOG_INFO : GN_LOG_ERROR, "%s", note.message);
	if (!gn_store_wants_all(g->store))
		return;
	gn_brain_save_all(g->brain);
	gn_runner_save_all(g->runner);
	gn_shadows_save_all(g->shadows);
	gn_alerts_save_all(g->alerts);
	gn_store_commit(g->store, true);
}

static void on_period(void *context)
{
	struct gnomond *g = context;
	struct gn_time now = gn_time_now();

	gn_ingest_tick(g->ingest, now);
	gn_shadows_tick(g->shadows, now);
	gn_snapshots_tick(g->snapshots, now);
	gn_brain_tick(g->brain, now);
	gn_watch_tick(&g->watch, now);
	tick_store(g, now);
	note_connection(g, g->shim, "shim", &g->shim_was_connected);
	note_connection(g, g->dataplane, "dataplane", &g->dataplane_was_connected);
	note_libvirt(g);
}

/* ---- making --------------------------------------------------------------------------------- */

static int make_store(struct gnomond *g, struct gn_status *status)
{
	const struct gn_config_store *s = &g->config->store;
	const struct gn_store_bounds bounds = {
	        .raw_us = s->raw_s * 1000000ull,
	        .minute_us = s->minute_s * 1000000ull,
	        .five_minutes_us = s->five_minutes_s * 1000000ull,
	        .n_events = s->events,
	        .n_plans = s->plans,
	};
	struct gn_status note;
	int error = gn_store_open(g->config->state_dir, &bounds, gn_time_now().wall_us, &g->store,
	                          &note);

	if (error) {
		*status = note;
		return error;
	}
	if (note.code != GN_OK)
		gn_log(GN_LOG_ERROR, "%s", note.message);
	return 0;
}

static int make_peers(struct gnomond *g, struct gn_status *status)
{
	const struct gn_config_endpoint *shim = g->config->shim;
	int error;

	if (shim->tls)
		g->shim_tls = (struct gn_channel_tls){.ca_file = shim->tls->ca,
		                                      .cert_file = shim->tls->cert,
		                                      .key_file = shim->tls->key,
		                                      .peer_name = shim->tls->name};
	error = gn_peer_create("host's shim", shim->url, shim->tls ? &g->shim_tls : NULL,
	                       &gnomon__v1__host__descriptor, &g->shim, status);
	if (!error)
		error = gn_peer_create("dataplane", g->config->dataplane->url, NULL,
		                       &gnomon__v1__dataplane__descriptor, &g->dataplane, status);
	if (!error && g->config->updater)
		error = gn_peer_create("updater", g->config->updater->url, NULL,
		                       &gnomon__v1__updater__descriptor, &g->updater, status);
	return error;
}

static int make_brain(struct gnomond *g)
{
	int error = gn_brain_create(g->config, g->store, gn_time_now(), &g->brain);

	if (error)
		return error;
	g->brain->listener = (struct gn_brain_listener){
	        .context = g,
	        .decided = on_decided,
	        .observed = on_observed,
	        .event = on_event,
	        .removed = on_removed,
	};
	if (g->brain->packs.note[0])
		gn_log(GN_LOG_ERROR, "%s", g->brain->packs.note);
	return 0;
}

static void make_mover(struct gnomond *g)
{
	const struct gn_mover_parts parts = {g->brain, g->runner,    g->shadows, g->executor,
	                                     g->shim,  g->dataplane, &g->view};

	gn_mover_create(&parts, gn_time_now(), &g->mover);
}

static void make_alerts(struct gnomond *g)
{
	const struct gn_config_alerts *a = &g->config->alerts;
	const struct gn_hooks_options options = {
	        .exec = a->exec,
	        .limit_us = a->exec_limit_s * 1000000ull,
	        .n_concurrent = a->exec_concurrent,
	        .syslog = a->syslog,
	        .trouble = on_hook_trouble,
	        .context = g,
	};

	g->hooks = gn_hooks_create(&options);
	g->alerts = gn_alerts_create(g->brain, g->hooks);
	gn_alerts_end_gone(g->alerts, gn_time_now());
	gn_watch_init(&g->watch, g->brain, g->alerts);
}

/* Signed with the key that the card shows to operators; a card without one (only sockets of its
 * own) keeps an unsigned log. */
static int make_audit(struct gnomond *g, struct gn_status *status)
{
	const struct gn_config_endpoint *control = g->config->control;
	struct gn_status note;
	int error = gn_audit_log_open(g->config->state_dir,
	                              control && control->tls ? control->tls->key : NULL, &g->audit,
	                              &note);

	if (error)
		*status = note;
	else if (note.code != GN_OK)
		gn_log(GN_LOG_WARNING, "%s", note.message);
	return error;
}

static int make_service(struct gnomond *g, struct gn_status *status)
{
	const struct gn_ingest_hooks hooks = {.context = g, .listed = on_listed};
	const struct gn_control_parts parts = {g->brain,     g->runner, g->shadows, g->snapshots,
	                                       g->reconcile, &g->view,  g->shim,    g->dataplane,
	                                       g->updater,   g->alerts, g->mover,   g->audit};
	const struct gn_config *c = g->config;
	int error = gn_ingest_create(g->brain, g->shim, g->dataplane, &g->view, c->samples->url,
	                             c->guests ? c->guests->url : NULL, &hooks, &g->ingest, status);

	if (!error)
		error = gn_control_create(g->config, &parts, &g->control, status);
	return error;
}

static int watch_all(struct gnomond *g)
{
	int fds[GN_CONTROL_MAX_FDS], sample_fds[GN_INGEST_MAX_FDS], error;
	unsigned i, n = gn_control_fds(g->control, fds);
	unsigned n_samples = gn_ingest_fds(g->ingest, sample_fds);

	error = gn_loop_watch(g->loop, gn_peer_fd(g->shim), on_shim, g);
	if (!error)
		error = gn_loop_watch(g->loop, gn_peer_fd(g->dataplane), on_dataplane, g);
	if (!error && g->updater)
		error = gn_loop_watch(g->loop, gn_peer_fd(g->updater), on_updater, g);
	for (i = 0; i < n_samples && error >= 0; i++)
		error = gn_loop_watch(g->loop, sample_fds[i], on_samples, g);
	for (i = 0; i < n && error >= 0; i++)
		error = gn_loop_watch(g->loop, fds[i], on_control, g);
	if (error >= 0)
		error = gn_loop_every(g->loop, 200000, on_quick_tick, g);
	if (error >= 0)
		error = gn_loop_every(g->loop, g->config->period_ms * 1000ull, on_period, g);
	return error < 0 ? error : 0;
}

static int make_all(struct gnomond *g, struct gn_status *status)
{
	int error = make_store(g, status);

	if (!error)
		error = make_audit(g, status);
	if (!error)
		error = make_brain(g);
	if (!error)
		error = make_peers(g, status);
	if (error)
		return error;
	gn_executor_create(g->shim, g->dataplane, &g->executor);
	gn_runner_create(g->brain, g->executor, gn_time_now(), &g->runner);
	gn_shadows_create(g->brain, g->executor, g->dataplane, &g->view, gn_time_now(),
	                  &g->shadows);
	gn_snapshots_create(g->shadows, &g->snapshots);
	make_mover(g);
	gn_reconcile_create(g->brain, g->dataplane, &g->view, &g->reconcile);
	make_alerts(g);
	error = make_service(g, status);
	if (!error)
		error = watch_all(g);
	return error;
}

static void unmake_all(struct gnomond *g)
{
	if (g->runner)
		gn_runner_close(g->runner);
	if (g->shadows)
		gn_shadows_close(g->shadows);
	if (g->mover)
		gn_mover_close(g->mover);
	gn_peer_destroy(g->shim);
	gn_peer_destroy(g->dataplane);
	gn_peer_destroy(g->updater);
	gn_control_destroy(g->control);
	gn_ingest_destroy(g->ingest);
	gn_reconcile_destroy(g->reconcile);
	gn_snapshots_destroy(g->snapshots);
	gn_mover_destroy(g->mover);
	gn_shadows_destroy(g->shadows);
	gn_runner_destroy(g->runner);
	gn_executor_destroy(g->executor);
	gn_view_fini(&g->view);
	gn_alerts_destroy(g->alerts);
	gn_hooks_destroy(g->hooks);
	gn_brain_destroy(g->brain);
	gn_audit_log_close(g->audit);
	gn_store_close(g->store);
	gn_loop_destroy(g->loop);
	gn_config_free(g->config);
}

/* ---- start --------------------------------------------------------------------------------------
 */

/* Started by root with a user configured: becomes that user for good. */
static int drop_privileges(const struct gn_config *config, struct gn_status *status)
{
	const struct passwd *user;

	if (!config->user || getuid() != 0)
		return 0;
	user = getpwnam(config->user);
	if (!user)
		return gn_status_set(
		        status, GN_NOT_FOUND,
		        "user '%s' does not exist; create it, or remove 'user' from the "
		        "configuration",
		        config->user);
	if ((mkdir(config->state_dir, 0700) == 0 || errno == EEXIST) &&
	    chown(config->state_dir, user->pw_uid, user->pw_gid))
		return gn_status_set(status, GN_PERMISSION_DENIED, "%s cannot be given to %s: %s",
		                     config->state_dir, config->user, strerror(errno));
	if (setgroups(0, NULL) || setgid(user->pw_gid) || setuid(user->pw_uid) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || setuid(0) == 0)
		return gn_status_set(status, GN_PERMISSION_DENIED, "cannot become user %s: %s",
		                     config->user, strerror(errno));
	return 0;
}

/* Returns -1 to go on, or the exit status. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
	        {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'},
	        {"debug", no_argument, NULL, 'd'},        {"help", no_argument, NULL, 'h'},
	        {"version", no_argument, NULL, 'v'},      {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:h", known, NULL)) != -1) {
		switch (option) {
		case 'c':
			o->config = optarg;
			break;
		case 'k':
			o->check = true;
			break;
		case 'd':
			o->level = GN_LOG_DEBUG;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		case 'v':
			printf("gnomond %s\n", GN_VERSION);
			return 0;
		default:
			fprintf(stderr, "try 'gnomond --help'\n");
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "gnomond: '%s' is not an option; try 'gnomond --help'\n", argv[optind]);
	return 2;
}

static int run(struct gnomond *g, struct gn_status *status)
{
	int error = gn_loop_create(&g->loop);

	if (!error)
		error = drop_privileges(g->config, status);
	if (!error)
		error = make_all(g, status);
	if (error)
		return error;
	gn_log(GN_LOG_INFO, "gnomond %s: %zu VMs, operators at %s", GN_VERSION, g->brain->n_vms,
	       g->config->control ? g->config->control->url : g->config->control_local->url);
	gn_loop_notify_ready();
	return gn_loop_run(g->loop);
}

int main(int argc, char **argv)
{
	struct options o = {.config = DEFAULT_CONFIG, .level = GN_LOG_INFO};
	struct gn_status status = {GN_OK, ""};
	struct gnomond g = {0};
	int code = parse_options(argc, argv, &o), error;

	if (code >= 0)
		return code;
	gn_log_init("gnomond", o.level);
	umask(0027);
	error = gn_config_load(o.config, &g.config, &status);
	if (!error && o.check)
		printf("%s is valid\n", o.config);
	else if (!error)
		error = run(&g, &status);
	if (error)
		gn_log(GN_LOG_ERROR, "%s", status.message[0] ? status.message : strerror(-error));
	unmake_all(&g);
	return error ? 1 : 0;
}
