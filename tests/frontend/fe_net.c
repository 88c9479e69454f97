/* fe_net.c - gn-fe-net: frames between vhost-user-net sockets, as guests would send them,
 * checked at the other end. Prints one JSON object; exits 0 only when all was right. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include "firmware/core/log.h"
#include "tests/frontend/netload.h"
#include "tests/frontend/options.h"

static volatile int stop;

struct arguments {
	struct gn_netload_config load;
	bool allow_loss;
	const char *cpu;
};

#define LOAD(field)   offsetof(struct arguments, load.field)
#define DRIVER(field) offsetof(struct arguments, load.driver.field)

static const struct gn_option table[] = {
        {"socket", GN_OPTION_TEXTS, LOAD(sockets), "of a port; give two or more", LOAD(n_stations),
         GN_NETLOAD_MAX_STATIONS},
        {"observe", GN_OPTION_TEXTS, LOAD(observers), "of a mirror's port, which only listens",
         LOAD(n_observers), GN_NETLOAD_MAX_STATIONS},
        {"flows", GN_OPTION_U32, LOAD(n_flows), "per station (16)", 0, 0},
        {"min", GN_OPTION_U16, LOAD(min_bytes), "smallest frame without FCS (60)", 0, 0},
        {"max", GN_OPTION_U16, LOAD(max_bytes), "largest frame (as the smallest)", 0, 0},
        {"vlan", GN_OPTION_U16, LOAD(vlan), "tag of the frames (none)", 0, 0},
        {"station", GN_OPTION_U32, LOAD(first_station), "number of the first, makes its MAC (1)", 0,
         0},
        {"frames", GN_OPTION_U64, LOAD(n_frames), "stop after so many in all", 0, 0},
        {"seconds", GN_OPTION_SECONDS, LOAD(duration_us), "stop after so long", 0, 0},
        {"rate", GN_OPTION_U64, LOAD(rate), "frames per second in all, at most", 0, 0},
        {"window", GN_OPTION_U32, LOAD(window), "frames of a station on their way (64)", 0, 0},
        {"stall", GN_OPTION_U32, LOAD(stall_ms), "ms after which frames count as lost (1000)", 0,
         0},
        {"reconnect", GN_OPTION_U32, LOAD(reconnect_ms), "ms to wait for a back end that died", 0,
         0},
        {"seed", GN_OPTION_U64, LOAD(seed), "of the random choices (1)", 0, 0},
        {"pairs", GN_OPTION_U32, DRIVER(n_pairs), "queue pairs (1)", 0, 0},
        {"vring", GN_OPTION_U32, DRIVER(vring_size), "descriptors of a vring (256)", 0, 0},
        {"buffer", GN_OPTION_U32, DRIVER(buffer_bytes), "bytes of a buffer (2048)", 0, 0},
        {"regions", GN_OPTION_U32, DRIVER(n_regions), "memory regions of the guest (1)", 0, 0},
        {"wait", GN_OPTION_U32, DRIVER(wait_ms), "ms to wait for the sockets (5000)", 0, 0},
        {"split-header", GN_OPTION_FLAG, DRIVER(split_header), "header in its own descriptor", 0,
         0},
        {"no-event-idx", GN_OPTION_FLAG, DRIVER(no_event_idx), "do not negotiate it", 0, 0},
        {"no-indirect", GN_OPTION_FLAG, DRIVER(no_indirect), "do not negotiate it", 0, 0},
        {"no-mergeable", GN_OPTION_FLAG, DRIVER(no_mergeable), "do not negotiate it", 0, 0},
        {"allow-loss", GN_OPTION_FLAG, offsetof(struct arguments, allow_loss),
         "lost frames are no failure", 0, 0},
        {"cpu", GN_OPTION_TEXT, offsetof(struct arguments, cpu), "run on this CPU", 0, 0},
        {NULL, GN_OPTION_FLAG, 0, NULL, 0, 0}};

static const char summary[] =
        "gn-fe-net: frames between vhost-user-net ports, checked where they arrive.\n"
        "Prints JSON; exits 0 only when nothing was lost, repeated, overtaken or changed; what a\n"
        "back end loses or repeats while it restarts (--reconnect) is counted and forgiven.\n"
        "example: gn-fe-net --socket /tmp/v/a.sock --socket /tmp/v/b.sock --frames 100000";

static void on_signal(int number)
{
	stop = 1;
}

static int parse(int argc, char **argv, struct arguments *a)
{
	int result = gn_options_parse(table, summary, argc, argv, a);

	if (result)
		return result;
	if (a->load.n_stations < 2 || (!a->load.n_frames && !a->load.duration_us)) {
		fputs("give two --socket, and --frames or --seconds; see --help\n", stderr);
		return -EINVAL;
	}
	return 0;
}

static void add(json_t *root, const char *name, uint64_t value)
{
	json_object_set_new(root, name, json_integer((json_int_t)value));
}

static void print_result(const struct gn_netload_result *r, const struct gn_status *status)
{
	double seconds = (double)r->elapsed_us / 1e6;
	json_t *root = json_object();

	add(root, "sent", r->sent);
	add(root, "received", r->received);
	add(root, "bytes", r->bytes);
	json_object_set_new(root, "seconds", json_real(seconds));
	json_object_set_new(root, "frames_per_s",
	                    json_real(seconds > 0 ? (double)r->received / seconds : 0.0));
	add(root, "lost", r->lost);
	add(root, "lost_restarting", r->lost_restarting);
	add(root, "late", r->late);
	add(root, "late_restarting", r->late_restarting);
	add(root, "corrupt", r->corrupt);
	add(root, "misdelivered", r->misdelivered);
	add(root, "foreign", r->foreign);
	add(root, "device_errors", r->device_errors);
	add(root, "observed", r->observed);
	add(root, "observed_corrupt", r->observed_corrupt);
	add(root, "reconnects", r->reconnects);
	json_object_set_new(root, "longest_gap_ms", json_real((double)r->longest_gap_us / 1e3));
	json_object_set_new(root, "failure", json_string(status->message));
	json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(root);
}

int main(int argc, char **argv)
{
	struct arguments a = {.load = {.seed = 1, .driver.wait_ms = 5000, .stop = &stop}};
	struct gn_netload_result r;
	struct gn_status status = {0};
	int error = parse(argc, argv, &a);

	if (error)
		return error == 1 ? 0 : 2;
	gn_log_init("gn-fe-net", GN_LOG_INFO);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	gn_options_pin(a.cpu);
	error = gn_netload_run(&a.load, &r, &status);
	print_result(&r, &status);
	if (error)
		gn_log(GN_LOG_ERROR, "%s", status.message);
	error = error || r.corrupt || r.observed_corrupt || r.device_errors ||
	        r.late > r.late_restarting || (r.lost > r.lost_restarting && !a.allow_loss);
	return error ? 1 : 0;
}
