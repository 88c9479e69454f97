/* child.c - starting, hearing and ending a parser (child.h). */
#include "firmware/introspect/child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "firmware/core/clock.h"
#include "firmware/introspect/sandbox.h"

#define MAX_WAIT_MS    1000
#define EXIT_SANDBOX   10 /* exit codes of a parser */
#define EXIT_MEMORY    11
#define EXIT_RESOURCES 12

/* ---- the parser ----------------------------------------------------------------------------- */

static void forget_signals(void)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGCHLD, SIGHUP, SIGPIPE};
	sigset_t none;

	for (unsigned i = 0; i < sizeof signals / sizeof signals[0]; i++)
		signal(signals[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Leaves open: standard error and what is in 'keep', sorted. */
static void close_others(int *keep, unsigned n)
{
	unsigned from = 3;

	close(0);
	close(1);
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = i + 1; k < n; k++)
			if (keep[k] < keep[i]) {
				int swap = keep[i];

				keep[i] = keep[k];
				keep[k] = swap;
			}
	for (unsigned i = 0; i < n; i++) {
		if ((unsigned)keep[i] > from)
			close_range(from, (unsigned)keep[i] - 1, 0);
		from = (unsigned)keep[i] + 1;
	}
	close_range(from, ~0u, 0);
}

static bool map_memory(struct gn_memory *memory, const struct gn_ram_message *message,
                       const int *fds)
{
	for (uint32_t i = 0; i < message->n_regions; i++) {
		const struct gn_ram_region *r = &message->regions[i];

		if (gn_memory_add(memory, r->gpa, r->size, fds[i], r->offset) != 0)
			return false;
	}
	return memory->n_regions != 0;
}

/* Until the supervisor hangs up. */
static void observe(struct gn_observer *observer, int fd, uint64_t mapped_bytes,
                    struct gn_report *report)
{
	for (;;) {
		struct pollfd poller = {.fd = fd};
		uint64_t next_us, now_us;
		int wait_ms = 0;

		gn_sandbox_step(mapped_bytes);
		if (gn_observer_step(observer, gn_clock_monotonic_us(), report, &next_us) &&
		    send(fd, report, sizeof *report, 0) < 0 && errno != EAGAIN)
			return;
		now_us = gn_clock_monotonic_us();
		if (next_us > now_us)
			wait_ms = (int)((next_us - now_us + 999) / 1000 < MAX_WAIT_MS
			                        ? (next_us - now_us + 999) / 1000
			                        : MAX_WAIT_MS);
		if (poll(&poller, 1, wait_ms) == 1)
			return;
	}
}

static void be_parser(const struct gn_ram_message *message, const int *fds,
                      const struct gn_observer_config *config, int report_fd)
{
	struct gn_memory memory = {.n_regions = 0};
	struct gn_observer *observer;
	struct gn_report *report = malloc(sizeof *report);
	int keep[GN_RAM_MAX_REGIONS + 1];

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_NAME, "gn-parser", 0, 0, 0);
	forget_signals();
	keep[0] = report_fd;
	memcpy(keep + 1, fds, message->n_regions * sizeof *fds);
	close_others(keep, message->n_regions + 1);
	if (!map_memory(&memory, message, fds))
		_exit(EXIT_MEMORY);
	if (!report || gn_observer_create(&memory, config, &observer) != 0)
		_exit(EXIT_RESOURCES);
	if (gn_sandbox_parser(report_fd, gn_memory_size(&memory)) != 0)
		_exit(EXIT_SANDBOX);
	observe(observer, report_fd, gn_memory_size(&memory), report);
	_exit(0);
}

/* ---- the supervisor's side ---------------------------------------------------------------------
 */

int gn_child_start(const struct gn_ram_message *message, const int *fds,
                   const struct gn_observer_config *config, struct gn_child *child)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		be_parser(message, fds, config, pair[1]);
	close(pair[1]);
	if (pid < 0) {
		int err = -errno;

		close(pair[0]);
		return err;
	}
	*child = (struct gn_child){.pid = pid, .fd = pair[0]};
	return 0;
}

static bool is_flood(struct gn_child *child, uint64_t now_us)
{
	if (now_us - child->second_us >= 1000000) {
		child->second_us = now_us;
		child->n_reports = 0;
	}
	return ++child->n_reports > GN_CHILD_MOST_REPORTS;
}

int gn_child_receive(struct gn_child *child, uint64_t now_us, struct gn_report *report)
{
	ssize_t n = recv(child->fd, report, sizeof *report, MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -EPIPE;
	if (is_flood(child, now_us))
		return -EOVERFLOW;
	return n == (ssize_t)sizeof *report && gn_report_check(report) ? 1 : -EBADMSG;
}

void gn_child_stop(struct gn_child *child, int *status)
{
	int ignored;

	if (!child->pid)
		return;
	kill(child->pid, SIGKILL);
	while (waitpid(child->pid, status ? status : &ignored, 0) < 0 && errno == EINTR)
		;
	close(child->fd);
	child->pid = 0;
	child->fd = -1;
}
