/* hooks.c - see hooks.h. */
#include "firmware/alert/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "firmware/message/message.h"

#define MAX_RUNNING     16
#define N_WORDS         5
#define SYSLOG_PRIORITY (3 * 8 + 4) /* daemon, warning */

struct job {
	char *words[N_WORDS];
};

struct running {
	pid_t pid; /* of the program and its group; 0: free */
	uint64_t until_us;
	bool was_killed;
	char name[32]; /* of the alert */
};

struct gn_hooks {
	struct gn_hooks_options o;
	struct running running[MAX_RUNNING];
	struct job queue[GN_HOOKS_QUEUE];
	unsigned first, n_queued;
	uint64_t n_dropped;
};

static void complain(struct gn_hooks *hooks, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
static void complain(struct gn_hooks *hooks, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (hooks->o.trouble)
		hooks->o.trouble(hooks->o.context, text);
}

struct gn_hooks *gn_hooks_create(const struct gn_hooks_options *options)
{
	struct gn_hooks *hooks = gn_message_alloc(sizeof *hooks);

	hooks->o = *options;
	if (hooks->o.n_concurrent > MAX_RUNNING)
		hooks->o.n_concurrent = MAX_RUNNING;
	return hooks;
}

/* ---- the program ---------------------------------------------------------------------- */

static void free_job(struct job *job)
{
	for (unsigned i = 0; i < N_WORDS; i++)
		free(job->words[i]);
}

static int prepare(posix_spawn_file_actions_t *files, posix_spawnattr_t *attributes)
{
	sigset_t none, all;
	int error;

	sigemptyset(&none);
	sigfillset(&all);
	error = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);
	if (!error)
		error = posix_spawn_file_actions_addopen(files, 1, "/dev/null", O_WRONLY, 0);
	if (!error)
		error = posix_spawn_file_actions_addclosefrom_np(files, 3);
	/* The loop blocks signals; the program must not inherit that. */
	if (!error)
		error = posix_spawnattr_setsigmask(attributes, &none);
	if (!error)
		error = posix_spawnattr_setsigdefault(attributes, &all);
	if (!error)
		error = posix_spawnattr_setpgroup(attributes, 0);
	if (!error)
		error = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP |
		                                                     POSIX_SPAWN_SETSIGMASK |
		                                                     POSIX_SPAWN_SETSIGDEF);
	return error;
}

static int spawn(const char *program, char *const words[N_WORDS], pid_t *pid)
{
	static char *const environment[] = {
	        (char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	char *arguments[N_WORDS + 2] = {(char *)program};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	int error;

	memcpy(arguments + 1, words, N_WORDS * sizeof *words);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attributes);
	error = prepare(&files, &attributes);
	if (!error)
		error = posix_spawn(pid, program, &files, &attributes, arguments, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return error;
}

static void start(struct gn_hooks *hooks, struct running *place, uint64_t now_us)
{
	struct job *job = &hooks->queue[hooks->first];
	int error = spawn(hooks->o.exec, job->words, &place->pid);

	hooks->first = (hooks->first + 1) % GN_HOOKS_QUEUE;
	hooks->n_queued--;
	snprintf(place->name, sizeof place->name, "%s", job->words[3]);
	free_job(job);
	place->until_us = now_us + hooks->o.limit_us;
	place->was_killed = false;
	if (!error)
		return;
	place->pid = 0;
	complain(hooks, "%s cannot be run: %s; give an executable file as alerts.exec",
	         hooks->o.exec, strerror(error));
}

/* Takes note of its end, if it has; what it left in its group is killed before the pid, and
 * with it the group's number, is given back. */
static void reap(struct gn_hooks *hooks, struct running *r)
{
	siginfo_t info = {0};

	if (waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
		return;
	kill(-r->pid, SIGKILL);
	waitpid(r->pid, NULL, 0);
	r->pid = 0;
	if (r->was_killed)
		complain(hooks, "%s, run for %s, took longer than %llu s and was killed",
		         hooks->o.exec, r->name, (unsigned long long)(hooks->o.limit_us / 1000000));
	else if (info.si_code != CLD_EXITED || info.si_status)
		complain(hooks, "%s, run for %s, ended with %s %d", hooks->o.exec, r->name,
		         info.si_code == CLD_EXITED ? "status" : "signal", info.si_status);
}

void gn_hooks_tick(struct gn_hooks *hooks, uint64_t now_us)
{
	for (unsigned i = 0; i < hooks->o.n_concurrent; i++) {
		struct running *r = &hooks->running[i];

		if (r->pid)
			reap(hooks, r);
		if (r->pid && now_us >= r->until_us && !r->was_killed) {
			r->was_killed = true;
			kill(-r->pid, SIGKILL);
		}
		if (!r->pid && hooks->n_queued)
			start(hooks, r, now_us);
	}
}

static const char *kind_name(const Gnomon__V1__Alert *alert)
{
	const ProtobufCEnumValue *named = protobuf_c_enum_descriptor_get_value(
	        &gnomon__v1__alert__kind__descriptor, (int)alert->kind);

	return named ? named->name : "UNKNOWN";
}

static void enqueue(struct gn_hooks *hooks, const char *what, const Gnomon__V1__Alert *alert)
{
	const char *const words[N_WORDS] = {what, kind_name(alert), alert->resource, alert->name,
	                                    alert->text};
	struct job *job;

	if (hooks->n_queued == GN_HOOKS_QUEUE) {
		free_job(&hooks->queue[hooks->first]);
		hooks->first = (hooks->first + 1) % GN_HOOKS_QUEUE;
		hooks->n_queued--;
		if (hooks->n_dropped++ % GN_HOOKS_QUEUE == 0)
			complain(hooks,
			         "%s is too slow: %d alerts wait for it, the oldest are dropped",
			         hooks->o.exec, GN_HOOKS_QUEUE);
	}
	job = &hooks->queue[(hooks->first + hooks->n_queued++) % GN_HOOKS_QUEUE];
	for (unsigned i = 0; i < N_WORDS; i++)
		job->words[i] = gn_message_string(words[i]);
}

/* ---- syslog ----------------------------------------------------------------------------- */

/* As syslog(3), which may wait for a slow daemon. RFC 3164's form, as local daemons take it. */
static void tell_syslog(struct gn_hooks *hooks, const char *what, const Gnomon__V1__Alert *alert)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char line[1400];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int n = snprintf(line, sizeof line, "<%d>gnomond: alert %s: %s %s %s: %s", SYSLOG_PRIORITY,
	                 what, alert->name, kind_name(alert), alert->resource, alert->text);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", hooks->o.syslog);
	if (n >= (int)sizeof line)
		n = sizeof line - 1;
	if (fd < 0 ||
	    sendto(fd, line, (size_t)n, 0, (struct sockaddr *)&address, sizeof address) < 0)
		complain(hooks, "%s cannot be told of %s: %s", hooks->o.syslog, alert->name,
		         strerror(errno));
	if (fd >= 0)
		close(fd);
}

void gn_hooks_tell(struct gn_hooks *hooks, const char *what, const Gnomon__V1__Alert *alert,
                   uint64_t monotonic_us)
{
	if (hooks->o.syslog)
		tell_syslog(hooks, what, alert);
	if (!hooks->o.exec)
		return;
	enqueue(hooks, what, alert);
	gn_hooks_tick(hooks, monotonic_us);
}

unsigned gn_hooks_running(const struct gn_hooks *hooks)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MAX_RUNNING; i++)
		n += hooks->running[i].pid != 0;
	return n;
}

unsigned gn_hooks_waiting(const struct gn_hooks *hooks)
{
	return hooks->n_queued;
}

void gn_hooks_destroy(struct gn_hooks *hooks)
{
	if (!hooks)
		return;
	for (unsigned i = 0; i < MAX_RUNNING; i++)
		if (hooks->running[i].pid) {
			kill(-hooks->running[i].pid, SIGKILL);
			waitpid(hooks->running[i].pid, NULL, 0);
		}
	for (; hooks->n_queued; hooks->n_queued--) {
		free_job(&hooks->queue[hooks->first]);
		hooks->first = (hooks->first + 1) % GN_HOOKS_QUEUE;
	}
	free(hooks);
}
