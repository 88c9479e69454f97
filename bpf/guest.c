/* guest.c - gnomon-guest: tells a guest's host what the guest's processes call, for owners who want
 * that. One static program without configuration file or state; when it ends, its hooks are gone.
 *
 * It only writes: nothing that comes from the host is read. What the host does not take in time
 * is left out. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bpf/agent_wire.h"
#include "bpf/calls.h"
#include "bpf/window.h"
#include "firmware/core/clock.h"

#define FOR_EVER_US   (UINT64_MAX / 2000) /* in nanoseconds it is still a number */
#define MIN_PERIOD_MS 100
#define MAX_PERIOD_MS 60000
#define LOOK_AGAIN_S  5
#define PORTS         "/sys/class/virtio-ports"

static const char usage[] =
        "usage: gnomon-guest [--port NAME] [--period MS] [--parts LIST] [--api FILE:FUNCTION]...\n"
        "\n"
        "Tells the host's gnomon-shim, over a virtio-serial port, what the processes of this "
        "guest\n"
        "call. Needs root (or CAP_BPF and CAP_PERFMON), a kernel from 5.15 with type information.\n"
        "\n"
        "  --port NAME    the port's name or file, or - for standard output\n"
        "                 (default: " GN_AGENT_PORT ")\n"
        "  --period MS    between two reports, 100..60000 (default: 1000)\n"
        "  --parts LIST   of calls, runq, oncpu, blockio, by commas (default: all); each is a "
        "hook\n"
        "                 that every process of this guest pays for\n"
        "  --api FILE:FUNCTION  counts calls of a function of a program or library, by process;\n"
        "                 up to 16 times; needs 'calls'\n"
        "  --help, --version\n";

struct agent {
	const char *port;
	uint64_t period_us;
	uint32_t wanted; /* bits of enum gn_agent_part */
	struct gn_agent_report report;
	struct gn_calls *calls;
	struct gn_window *windows[GN_WINDOW_KINDS];
	int fd;
	uint8_t frame[GN_AGENT_FRAME_MAX];
	size_t size, written; /* of the frame under way */
};

/* ---- arguments ---------------------------------------------------------------------------- */

static _Noreturn void refuse(const char *what, const char *value)
{
	fprintf(stderr, "gnomon-guest: %s '%s'; see --help\n", what, value);
	exit(2);
}

static uint32_t parse_parts(char *list)
{
	uint32_t parts = 0;
	char *state = NULL, *word;

	for (word = strtok_r(list, ",", &state); word; word = strtok_r(NULL, ",", &state)) {
		unsigned i = 0;

		while (i < GN_AGENT_PART_APIS &&
		       strcmp(word, gn_agent_part_name((enum gn_agent_part)i)))
			i++;
		if (i == GN_AGENT_PART_APIS)
			refuse("--parts: there is no part", word);
		parts |= 1u << i;
	}
	return parts;
}

static uint64_t parse_period(const char *value)
{
	char *end;
	unsigned long ms = strtoul(value, &end, 10);

	if (*end || ms < MIN_PERIOD_MS || ms > MAX_PERIOD_MS)
		refuse("--period: give milliseconds from 100 to 60000, not", value);
	return ms * 1000;
}

static void add_api(struct agent *a, const char *value)
{
	const char *colon = strrchr(value, ':');

	if (!colon || colon == value || !colon[1] || strlen(value) >= GN_AGENT_API_SIZE)
		refuse("--api: give FILE:FUNCTION of less than 64 characters, not", value);
	if (a->report.n_apis == GN_CALLS_APIS)
		refuse("--api: at most 16, this is one more:", value);
	strcpy(a->report.apis[a->report.n_apis++], value);
}

static void parse(int argc, char **argv, struct agent *a)
{
	static const struct option known[] = {
	        {"port", required_argument, NULL, 'p'},
	        {"period", required_argument, NULL, 't'},
	        {"parts", required_argument, NULL, 'l'},
	        {"api", required_argument, NULL, 'a'},
	        {"help", no_argument, NULL, 'h'},
	        {"version", no_argument, NULL, 'v'},
	        {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'p':
			a->port = optarg;
			break;
		case 't':
			a->period_us = parse_period(optarg);
			break;
		case 'l':
			a->wanted = parse_parts(optarg);
			break;
		case 'a':
			add_api(a, optarg);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		case 'v':
			puts("gnomon-guest " GN_VERSION);
			exit(0);
		default:
			exit(2);
		}
	}
	if (optind < argc)
		refuse("unknown argument", argv[optind]);
}

/* ---- hooks -------------------------------------------------------------------------------- */

static void complain(const struct gn_status *status)
{
	fprintf(stderr, "gnomon-guest: %s\n", status->message);
}

static void open_calls(struct agent *a)
{
	struct gn_status status = {0};
	uint32_t n_good = 0;

	if (!(a->wanted & 1u << GN_AGENT_PART_CALLS))
		return;
	if (gn_calls_open(&a->calls, &status)) {
		complain(&status);
		return;
	}
	a->report.parts |= 1u << GN_AGENT_PART_CALLS;
	for (uint32_t i = 0; i < a->report.n_apis; i++) {
		char path[GN_AGENT_API_SIZE], *colon;

		strcpy(path, a->report.apis[i]);
		colon = strrchr(path, ':');
		*colon = '\0';
		if (gn_calls_add_api(a->calls, i, path, colon + 1, &status))
			complain(&status);
		else
			n_good++;
	}
	if (n_good)
		a->report.parts |= 1u << GN_AGENT_PART_APIS;
}

static const struct {
	enum gn_agent_part part;
	enum gn_window_kind kind;
	enum gn_agent_histogram first;
} windows[] = {
        {GN_AGENT_PART_RUNQ, GN_WINDOW_RUNQ, GN_AGENT_WAIT},
        {GN_AGENT_PART_ONCPU, GN_WINDOW_ONCPU, GN_AGENT_SLICE},
        {GN_AGENT_PART_BLOCKIO, GN_WINDOW_BLOCKIO, GN_AGENT_READ},
};
#define N_WINDOWS (sizeof windows / sizeof windows[0])

static void open_windows(struct agent *a)
{
	for (unsigned i = 0; i < N_WINDOWS; i++) {
		struct gn_status status = {0};
		struct gn_window **window = &a->windows[windows[i].kind];

		if (!(a->wanted & 1u << windows[i].part))
			continue;
		if (gn_window_open(windows[i].kind, GN_TARGET_EVERYBODY, window, &status)) {
			complain(&status);
			continue;
		}
		gn_window_start(*window, FOR_EVER_US);
		a->report.parts |= 1u << windows[i].part;
	}
}

/* ---- reports ------------------------------------------------------------------------------ */

static uint64_t read_calls(struct agent *a)
{
	const struct gn_calls_row *rows;
	uint64_t lost;
	size_t n;

	if (!a->calls || gn_calls_read(a->calls, &rows, &n, &lost))
		return 0;
	a->report.n_calls_all = 0;
	a->report.n_calls = 0;
	for (size_t i = 0; i < n; i++) {
		if (rows[i].key.slot < GN_CALLS_API)
			a->report.n_calls_all += rows[i].value.count;
		if (i >= GN_AGENT_CALLS)
			continue;
		a->report.calls[i].key = rows[i].key;
		a->report.calls[i].value = rows[i].value;
		a->report.n_calls++;
	}
	return lost;
}

static uint64_t read_windows(struct agent *a)
{
	static struct gn_window_counts counts;
	uint64_t lost = 0;

	for (unsigned i = 0; i < N_WINDOWS; i++) {
		const struct gn_window *window = a->windows[windows[i].kind];

		if (!window || gn_window_read(window, &counts))
			continue;
		for (size_t k = 0; k < counts.n_histograms; k++)
			a->report.histograms[windows[i].first + k] = counts.histograms[k];
		lost += counts.lost;
	}
	return lost;
}

static void fill(struct agent *a)
{
	uint64_t now_us = gn_clock_monotonic_us();

	a->report.lost = read_calls(a) + read_windows(a);
	a->report.period_us = now_us - a->report.uptime_us;
	a->report.uptime_us = now_us;
	a->report.sequence++;
}

/* ---- the port ------------------------------------------------------------------------------ */

static bool is_named(const char *entry, const char *name)
{
	char path[300], text[128] = "";
	FILE *file;

	snprintf(path, sizeof path, PORTS "/%s/name", entry);
	file = fopen(path, "r");
	if (!file)
		return false;
	if (!fgets(text, sizeof text, file))
		text[0] = '\0';
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	return !strcmp(text, name);
}

/* udev makes /dev/virtio-ports; guests without it have the kernel's own names. */
static int open_named(const char *name)
{
	char path[300];
	struct dirent *entry;
	DIR *ports;
	int fd;

	snprintf(path, sizeof path, "/dev/virtio-ports/%s", name);
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	ports = fd < 0 ? opendir(PORTS) : NULL;
	while (ports && fd < 0 && (entry = readdir(ports)))
		if (is_named(entry->d_name, name)) {
			snprintf(path, sizeof path, "/dev/%s", entry->d_name);
			fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		}
	if (ports)
		closedir(ports);
	return fd;
}

static void open_port(struct agent *a)
{
	static bool has_complained;

	if (!strcmp(a->port, "-"))
		a->fd = STDOUT_FILENO;
	else if (a->port[0] == '/')
		a->fd = open(a->port, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	else
		a->fd = open_named(a->port);
	if (a->fd < 0 && !has_complained)
		fprintf(stderr,
		        "gnomon-guest: the port '%s' cannot be opened (%s): has the VM a "
		        "virtio-serial channel of that name? Looking again every %d s\n",
		        a->port, strerror(errno), LOOK_AGAIN_S);
	has_complained = a->fd < 0;
}

/* Nobody listens, or not fast enough: the rest of this frame goes out before the next begins. */
static void send_rest(struct agent *a)
{
	while (a->written < a->size) {
		ssize_t n = write(a->fd, a->frame + a->written, a->size - a->written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			close(a->fd);
			a->fd = -1;
			a->size = a->written = 0;
		}
		if (n <= 0)
			return;
		a->written += (size_t)n;
	}
	a->size = a->written = 0;
}

static void tell(struct agent *a)
{
	fill(a);
	send_rest(a);
	if (a->fd < 0 || a->size)
		return;
	a->size = gn_agent_encode(&a->report, a->frame);
	send_rest(a);
}

int main(int argc, char **argv)
{
	static struct agent a = {
	        .port = GN_AGENT_PORT,
	        .period_us = 1000000,
	        .wanted = (1u << GN_AGENT_PART_APIS) - 1,
	        .fd = -1,
	};
	struct timespec pause;

	parse(argc, argv, &a);
	signal(SIGPIPE, SIG_IGN);
	open_calls(&a);
	open_windows(&a);
	if (!a.report.parts) {
		fprintf(stderr, "gnomon-guest: nothing can be observed here\n");
		return 1;
	}
	a.report.uptime_us = gn_clock_monotonic_us();
	for (;;) {
		uint64_t wait_us = a.period_us;

		if (a.fd < 0)
			open_port(&a);
		if (a.fd < 0)
			wait_us = LOOK_AGAIN_S * 1000000ull;
		pause.tv_sec = (time_t)(wait_us / 1000000);
		pause.tv_nsec = (long)(wait_us % 1000000 * 1000);
		nanosleep(&pause, NULL);
		tell(&a);
	}
}
