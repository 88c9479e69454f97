/* main.c - gnomon-introspect: reads what guests are really doing out of their memory.
 *
 * With --config: for every VM whose memory the dataplane hands out, until stopped. With
 * --dump: once, from a file, for support and tests. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <systemd/sd-daemon.h>
#include "firmware/core/clock.h"
#include "firmware/core/log.h"
#include "firmware/introspect/dump.h"
#include "firmware/introspect/observer.h"
#include "firmware/introspect/print.h"
#include "firmware/introspect/sandbox.h"
#include "firmware/introspect/service.h"

#define PROCESS "gnomon-introspect"

static const char usage[] =
        "usage: " PROCESS " --config FILE [--check]\n"
        "       " PROCESS " --dump FILE [--base ADDRESS] [--json] [--passes N]\n"
        "\n"
        "Reads a guest's processes, CPU demand, memory and signs of failure out of its memory.\n"
        "\n"
        "  -c, --config FILE   gnomon-introspect.yaml: watch the VMs of a dataplane\n"
        "      --check         read the configuration, say what is wrong, exit\n"
        "  -d, --dump FILE     read a memory dump: raw (QEMU's memory-backend-file) or ELF\n"
        "                      ('virsh dump --memory-only VM FILE')\n"
        "      --base ADDRESS  where a raw dump begins in guest memory (arm64: 0x40000000)\n"
        "      --passes N      read it N times, the period of --period apart, print the last\n"
        "      --period MS     default 1000\n"
        "      --json          print everything, for scripts\n"
        "      --version       print the version\n"
        "  -h, --help          print this\n";

struct options {
	const char *config;
	const char *dump;
	uint64_t base;
	unsigned passes;
	uint64_t period_us;
	bool check_only;
	bool json;
};

static bool parse_number(const char *text, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 0);
	return errno == 0 && end != text && !*end;
}

static int wrong(const char *text)
{
	fprintf(stderr, "%s; try '" PROCESS " --help'\n", text);
	return 2;
}

/* Returns an exit code, or -1 to go on. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
	        {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'},
	        {"dump", required_argument, NULL, 'd'},   {"base", required_argument, NULL, 'b'},
	        {"passes", required_argument, NULL, 'n'}, {"period", required_argument, NULL, 'p'},
	        {"json", no_argument, NULL, 'j'},         {"version", no_argument, NULL, 'V'},
	        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
	};
	uint64_t number = 0;
	int option;

	while ((option = getopt_long(argc, argv, "c:d:h", options, NULL)) >= 0) {
		if (strchr("bnp", option) && !parse_number(optarg, &number))
			return wrong("--base, --passes and --period take a number");
		switch (option) {
		case 'c':
			o->config = optarg;
			break;
		case 'k':
			o->check_only = true;
			break;
		case 'd':
			o->dump = optarg;
			break;
		case 'b':
			o->base = number;
			break;
		case 'n':
			o->passes = number && number < 1000000000 ? (unsigned)number : 1;
			break;
		case 'p':
			o->period_us = number * 1000;
			break;
		case 'j':
			o->json = true;
			break;
		case 'V':
			puts(PROCESS " " GN_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			return wrong("unknown option");
		}
	}
	if (optind != argc || !o->config == !o->dump)
		return wrong("give either --config FILE or --dump FILE");
	return -1;
}

/* ---- a dump ----------------------------------------------------------------------------- */

static int read_dump(const struct options *o, struct gn_memory *memory)
{
	struct gn_observer_config config = {
	        .period_us = o->period_us,
	        .n_top = 10,
	        .max_processes = GN_WALK_MAX,
	        .limits = {.stuck_us = 30000000, .leak_us = 300000000},
	        .is_frozen = true,
	};
	struct gn_observer *observer;
	struct gn_report *report = malloc(sizeof *report);
	uint64_t next_us, now_us = gn_clock_monotonic_us();
	bool ready = false;

	if (!report || gn_observer_create(memory, &config, &observer) != 0) {
		free(report);
		gn_log(GN_LOG_ERROR, "out of memory");
		return 1;
	}
	for (unsigned i = 0; i < o->passes; i++) {
		if (i && now_us < next_us)
			usleep((useconds_t)(next_us - now_us));
		now_us = gn_clock_monotonic_us();
		gn_observer_step(observer, now_us, report, &next_us);
		ready = report->state == GN_GUEST_READY && report->confidence;
	}
	if (o->json)
		gn_print_json(stdout, observer, report);
	else
		gn_print_text(stdout, report);
	gn_observer_destroy(observer);
	free(report);
	return ready ? 0 : 3;
}

/* The file stays open: once shut in, the process can only read, print and end. */
static int run_dump(const struct options *o)
{
	static char buffer[1 << 16];
	struct gn_memory memory = {.n_regions = 0};
	struct gn_status status;
	int fd = open(o->dump, O_RDONLY | O_CLOEXEC), code = 1, err;

	if (fd < 0)
		gn_log(GN_LOG_ERROR, "'%s' cannot be opened: %s", o->dump, strerror(errno));
	else if (gn_dump_open(&memory, fd, o->base, &status) != 0)
		gn_log(GN_LOG_ERROR, "'%s': %s", o->dump, status.message);
	else if ((err = setvbuf(stdout, buffer, _IOFBF, sizeof buffer) ? -EINVAL
	                                                               : gn_sandbox_dump()) < 0)
		gn_log(GN_LOG_ERROR,
		       "the process cannot be confined (seccomp): %s; a kernel with "
		       "CONFIG_SECCOMP_FILTER is needed",
		       strerror(-err));
	else
		code = read_dump(o, &memory);
	gn_memory_fini(&memory);
	return code;
}

/* ---- a dataplane's VMs -------------------------------------------------------------------- */

static int stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* Before other threads exist, so that all of them leave the signals to the loop. */
static int make_loop(sd_event **event)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (sd_event_default(event) < 0 ||
	    sd_event_add_signal(*event, NULL, SIGTERM, stop, NULL) < 0 ||
	    sd_event_add_signal(*event, NULL, SIGINT, stop, NULL) < 0)
		return -1;
	sd_event_set_watchdog(*event, true);
	return 0;
}

static int serve(const struct gn_introspect_config *config)
{
	struct gn_introspect_service *service = NULL;
	struct gn_status status;
	sd_event *event = NULL;
	int code = 1;

	if (make_loop(&event) != 0) {
		gn_log(GN_LOG_ERROR, "no event loop");
	} else if (gn_introspect_service_create(event, config, &service, &status) != 0) {
		gn_log(GN_LOG_ERROR, "%s", status.message);
	} else {
		gn_log(GN_LOG_INFO, "publishes on %s", config->publish_url);
		sd_notify(0, "READY=1");
		code = sd_event_loop(event) < 0 ? 1 : 0;
		sd_notify(0, "STOPPING=1");
	}
	gn_introspect_service_destroy(service);
	sd_event_unref(event);
	return code;
}

static int run_config(const struct options *o)
{
	struct gn_introspect_config *config;
	struct gn_status status;
	int code = 0;

	if (gn_introspect_config_load(o->config, &config, &status) != 0) {
		gn_log(GN_LOG_ERROR, "%s", status.message);
		return 1;
	}
	if (o->check_only)
		printf("%s is good\n", o->config);
	else
		code = serve(config);
	gn_introspect_config_free(config);
	return code;
}

int main(int argc, char **argv)
{
	struct options options = {.passes = 1, .period_us = 1000000};
	int code = parse_options(argc, argv, &options);

	if (code >= 0)
		return code;
	gn_log_init(PROCESS, GN_LOG_INFO);
	return options.config ? run_config(&options) : run_dump(&options);
}
