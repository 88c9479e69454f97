/* fake_peers.c - gn-fake-peers: plays a host's shim and a dataplane for one gnomond. */
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/core/clock.h"
#include "firmware/core/log.h"
#include "proto/gnomon/v1/sample.pb-c.h"
#include "tests/gnomond/fake_dataplane.h"
#include "tests/gnomond/fake_host.h"

static const char usage[] =
        "usage: gn-fake-peers --dir DIR [--vms N] [--cpus N] [--load-ms N] [--spike-ms N]\n"
        "                     [--low MILLI] [--high MILLI] [--silent N] [--period-ms N]\n"
        "                     [--chaos-ms N] [--only host|dataplane]\n";

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	stopped = 1;
}

struct options {
	const char *dir, *only;
	struct gn_fake_host_options host;
	uint64_t period_us;
};

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
	        {"dir", 1, 0, 'd'},      {"vms", 1, 0, 'v'},      {"cpus", 1, 0, 'c'},
	        {"load-ms", 1, 0, 'l'},  {"spike-ms", 1, 0, 's'}, {"low", 1, 0, 'w'},
	        {"high", 1, 0, 'h'},     {"silent", 1, 0, 'q'},   {"period-ms", 1, 0, 'p'},
	        {"chaos-ms", 1, 0, 'x'}, {"only", 1, 0, 'o'},     {0, 0, 0, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		uint64_t n = optarg ? strtoull(optarg, NULL, 10) : 0;

		switch (c) {
		case 'd':
			o->dir = optarg;
			break;
		case 'o':
			o->only = optarg;
			break;
		case 'v':
			o->host.n_vms = (unsigned)n;
			break;
		case 'c':
			o->host.cpus = (uint32_t)n;
			break;
		case 'l':
			o->host.period_us = n * 1000;
			break;
		case 's':
			o->host.spike_us = n * 1000;
			break;
		case 'w':
			o->host.low_milli = (int64_t)n;
			break;
		case 'h':
			o->host.high_milli = (int64_t)n;
			break;
		case 'q':
			o->host.n_silent = (unsigned)n;
			break;
		case 'x':
			o->host.chaos_us = n * 1000;
			break;
		case 'p':
			o->period_us = n * 1000;
			break;
		default:
			return -1;
		}
	}
	return o->dir ? 0 : -1;
}

static struct gn_channel_server *serve(const char *dir, const char *name,
                                       const struct gn_channel_service *service)
{
	struct gn_channel_server *server;
	struct gn_status status;
	char url[128];

	snprintf(url, sizeof url, "ipc://%s/%s.ipc", dir, name);
	if (gn_channel_server_create(url, NULL, service, 1, &server, &status)) {
		fprintf(stderr, "%s: %s\n", url, status.message);
		exit(1);
	}
	return server;
}

static struct gn_channel_publisher *open_samples(const char *dir)
{
	struct gn_channel_publisher *publisher;
	struct gn_status status;
	char url[128];

	snprintf(url, sizeof url, "ipc://%s/samples.ipc", dir);
	if (gn_channel_publisher_create(url, NULL, &publisher, &status)) {
		fprintf(stderr, "%s: %s\n", url, status.message);
		exit(1);
	}
	return publisher;
}

/* What all VMs show in a period. */
struct shown {
	Gnomon__V1__NetworkSample network;
	Gnomon__V1__DiskSample disk;
	Gnomon__V1__DiskOperation write;
	Gnomon__V1__LatencyHistogram latency;
	Gnomon__V1__GuestSample guest;
	Gnomon__V1__GuestSigns signs;
	bool has_guest;
};

static void show(struct shown *s, const struct gn_fake_mood *mood)
{
	const uint64_t *troubles = mood->troubles;

	gnomon__v1__network_sample__init(&s->network);
	gnomon__v1__disk_sample__init(&s->disk);
	gnomon__v1__disk_operation__init(&s->write);
	gnomon__v1__latency_histogram__init(&s->latency);
	gnomon__v1__guest_sample__init(&s->guest);
	gnomon__v1__guest_signs__init(&s->signs);
	s->network.rx_bytes = 12500;
	s->network.tx_bytes = 25000;
	s->network.rx_packets = 10;
	s->network.tx_packets = 20;
	s->network.tcp_opened = 1;
	s->network.tcp_retransmissions = troubles[GN_FAKE_RETRANSMISSIONS];
	s->network.tcp_resets = troubles[GN_FAKE_RESETS];
	s->latency.count = 10;
	s->latency.sum_us = 10 * (troubles[GN_FAKE_LATENCY_US] ?: 200);
	s->write.operations = 10;
	s->write.latency = &s->latency;
	s->disk.write = &s->write;
	s->disk.errors = troubles[GN_FAKE_DISK_ERRORS];
	s->signs.log_errors = troubles[GN_FAKE_LOG_ERRORS];
	s->signs.oom_kills = troubles[GN_FAKE_OOM_KILLS];
	s->signs.stuck_threads = (uint32_t)troubles[GN_FAKE_STUCK_THREADS];
	s->signs.clock_stopped_us = troubles[GN_FAKE_CLOCK_STOPPED_US];
	s->guest.signs = &s->signs;
	for (unsigned i = GN_FAKE_LOG_ERRORS; i < GN_FAKE_N_TROUBLES; i++)
		s->has_guest |= troubles[i] != 0;
}

/* One batch: network and disk of every VM, steady but for what the mood says. */
static void publish(struct gn_channel_publisher *publisher, unsigned n_vms, uint64_t period_us,
                    const char *mood_path)
{
	static uint64_t epoch, sequence;
	Gnomon__V1__SampleBatch batch = GNOMON__V1__SAMPLE_BATCH__INIT;
	Gnomon__V1__Sample samples[8], *list[8];
	struct gn_fake_mood mood = {0};
	struct shown shown = {0};
	char names[8][32];

	if (!epoch)
		epoch = gn_clock_wall_us();
	gn_fake_mood_read(&mood, mood_path, gn_clock_monotonic_us());
	show(&shown, &mood);
	sequence++;
	for (unsigned i = 0; i < n_vms && i < 8; i++) {
		gnomon__v1__sample__init(&samples[i]);
		snprintf(names[i], sizeof names[i], "vms/web-%u", i + 1);
		samples[i].vm = names[i];
		samples[i].wall_us = gn_clock_wall_us();
		samples[i].monotonic_us = gn_clock_monotonic_us();
		samples[i].period_us = period_us;
		samples[i].sequence = sequence;
		samples[i].source_epoch = epoch;
		samples[i].network = &shown.network;
		samples[i].disk = &shown.disk;
		samples[i].guest = shown.has_guest ? &shown.guest : NULL;
		list[i] = &samples[i];
		batch.n_samples = i + 1;
	}
	batch.samples = list;
	gn_channel_publish(publisher, "samples", &batch.base);
}

int main(int argc, char **argv)
{
	struct options o = {.host = {.n_vms = 1,
	                             .cpus = 4,
	                             .period_us = 4000000,
	                             .spike_us = 1000000,
	                             .low_milli = 200,
	                             .high_milli = 950},
	                    .period_us = 100000};
	struct gn_channel_server *servers[2] = {NULL, NULL};
	struct gn_channel_publisher *publisher = NULL;
	struct pollfd fds[2];
	uint64_t next_us = 0;
	char journal[128], mood[128];
	unsigned n = 0;

	if (parse(argc, argv, &o)) {
		fputs(usage, stderr);
		return 2;
	}
	gn_log_init("gn-fake-peers", GN_LOG_WARNING);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	snprintf(journal, sizeof journal, "%s/journal", o.dir);
	snprintf(mood, sizeof mood, "%s/mood", o.dir);
	o.host.mood = mood;
	o.host.journal = journal;
	o.host.run_dir = o.dir;
	if (!o.only || strcmp(o.only, "host") == 0)
		servers[n++] =
		        serve(o.dir, "shim", gn_fake_host_service(gn_fake_host_create(&o.host)));
	if (!o.only || strcmp(o.only, "dataplane") == 0) {
		servers[n++] = serve(o.dir, "dataplane",
		                     gn_fake_dataplane_service(gn_fake_dataplane_create(o.dir)));
		publisher = open_samples(o.dir);
	}
	for (unsigned i = 0; i < n; i++)
		fds[i] = (struct pollfd){.fd = gn_channel_server_fd(servers[i]), .events = POLLIN};
	while (!stopped) {
		poll(fds, n, 20);
		for (unsigned i = 0; i < n; i++)
			gn_channel_server_process(servers[i]);
		if (publisher && gn_clock_monotonic_us() >= next_us) {
			next_us = gn_clock_monotonic_us() / o.period_us * o.period_us + o.period_us;
			publish(publisher, o.host.n_vms, o.period_us, mood);
		}
	}
	for (unsigned i = 0; i < n; i++)
		gn_channel_server_destroy(servers[i]);
	gn_channel_publisher_destroy(publisher);
	return 0;
}
