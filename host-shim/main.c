/* main.c - gnomon-shim: reads its configuration, serves until it is told to end. The one
 * process of gnomon on the host; it executes what a card's signed, in-date command says and
 * libvirt lets it, within the limits that the host's owner wrote down. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "firmware/core/log.h"
#include "host-shim/config.h"
#include "host-shim/domain_xml.h"
#include "host-shim/service.h"

#define DEFAULT_CONFIG "/etc/gnomon/gnomon-shim.yaml"
#define SETTLE_US      2000000u

static const char help[] =
        "gnomon-shim - executes a gnomon card's commands on this KVM host through libvirt\n"
        "\n"
        "usage: gnomon-shim [--config FILE] [--check]\n"
        "\n"
        "  --config FILE  the configuration (default: " DEFAULT_CONFIG ")\n"
        "  --check        say whether the configuration is valid, and end\n"
        "  --debug        log more\n"
        "  --help, --version\n"
        "\n"
        "A configuration:\n"
        "\n"
        "  url: tls+tcp://192.0.2.1:7445        # where the card reaches this host\n"
        "  tls:\n"
        "    ca: /etc/gnomon/cards-ca.pem       # the root of cards; nobody else may command\n"
        "    cert: /etc/gnomon/host.pem\n"
        "    key: /etc/gnomon/host.key\n"
        "  libvirt_uri: qemu:///system\n"
        "  journal: /var/lib/gnomon-shim/journal\n"
        "  limits:\n"
        "    vms: ['web-*', 'db-1']             # the VMs it may touch\n"
        "    max_vcpus: 16\n"
        "    max_memory_mib: 65536\n"
        "    allow_shadow: true\n"
        "    allow_failover: true    # a card may end and start VMs that are lost\n"
        "    shadow_paths: [/run/gnomon, /var/lib/gnomon]\n"
        "  observe:                             # optional; needs CAP_BPF and CAP_PERFMON\n"
        "    threads: true                      # QEMU's threads, with the statistics: no hook\n"
        "    kinds: [runq, oncpu, blockio, syscalls]  # windows that a card may open\n"
        "    max_seconds: 60                    # the longest; hooks cost the host while open\n"
        "    max_windows: 2                     # at once\n"
        "  agents: /run/gnomon/agents           # optional: gnomon-guest's channels, "
        "<domain>.sock\n"
        "  drives: /run/gnomon/drives           # optional: smartctl's reports, see "
        "gnomon-drives\n";

struct options {
	const char *config;
	bool check;
	enum gn_log_level level;
};

/* Returns -1 to go on, or the exit status. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
	        {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'},
	        {"debug", no_argument, NULL, 'd'},        {"help", no_argument, NULL, 'h'},
	        {"version", no_argument, NULL, 'v'},      {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
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
			puts("gnomon-shim " GN_VERSION);
			return 0;
		default:
			fputs("gnomon-shim: see gnomon-shim --help\n", stderr);
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "gnomon-shim: '%s' is one argument too many; see --help\n", argv[optind]);
	return 2;
}

static int watch_signals(sd_event *event)
{
	sigset_t set;
	int error;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	error = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
	if (error >= 0)
		error = sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
	if (error >= 0)
		error = sd_event_set_watchdog(event, true);
	return error;
}

static int serve(const struct gn_shim_config *config, struct gn_status *status)
{
	struct gn_channel_tls tls = {0};
	char counters[PATH_MAX];
	struct gn_service_config service_config = {
	        .url = config->url,
	        .libvirt_uri = config->libvirt_uri,
	        .journal_path = config->journal,
	        .limits = gn_shim_config_limits(config),
	        .verify_us = config->verify_seconds * 1000000ull,
	        .settle_us = SETTLE_US,
	        .stats_period_s = config->stats_period_seconds,
	        .agents = config->agents,
	        .drives = config->drives,
	};
	struct gn_observation_rules rules;
	struct gn_service *service;
	sd_event *event = NULL;
	int error;
	unsigned hanging;

	if (config->tls) {
		tls.ca_file = config->tls->ca;
		tls.cert_file = config->tls->cert;
		tls.key_file = config->tls->key;
		snprintf(counters, sizeof counters, "%s.counters", config->journal);
		tls.counters_file = counters;
		service_config.tls = &tls;
	}
	if (config->observe) {
		rules = gn_shim_config_rules(config, &service_config.limits);
		service_config.observe = &rules;
	}
	error = sd_event_default(&event);
	if (error >= 0)
		error = watch_signals(event);
	if (error < 0)
		return gn_status_set(status, GN_INTERNAL, "event loop: %s", strerror(-error));
	error = gn_service_create(&service_config, event, &service, status);
	if (error) {
		sd_event_unref(event);
		return error;
	}
	gn_log(GN_LOG_INFO, "serving cards at %s", config->url);
	sd_notify(0, "READY=1");
	sd_event_loop(event);
	sd_notify(0, "STOPPING=1");
	hanging = gn_service_destroy(service);
	sd_event_unref(event);
	if (hanging) {
		/* Their memory is in use: leave without tidying up. The journal is whole. */
		gn_log(GN_LOG_WARNING, "ending while %u libvirt calls hang", hanging);
		_exit(0);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = {DEFAULT_CONFIG, false, GN_LOG_INFO};
	struct gn_status status = {0};
	struct gn_shim_config *config;
	int code = parse_options(argc, argv, &o);

	if (code >= 0)
		return code;
	gn_log_init("gnomon-shim", o.level);
	gn_domain_xml_init();
	if (gn_shim_config_load(o.config, &config, &status)) {
		gn_log(GN_LOG_ERROR, "%s", status.message);
		return 1;
	}
	if (gn_shim_config_check_files(config, &status) || (!o.check && serve(config, &status)))
		gn_log(GN_LOG_ERROR, "%s", status.message);
	else if (o.check)
		printf("%s is valid\n", o.config);
	gn_shim_config_free(config);
	return status.code == GN_OK ? 0 : 1;
}
