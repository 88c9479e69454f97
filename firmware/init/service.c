/* service.c - see service.h. */
#include "firmware/init/service.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the file ------------------------------------------------------------------------------- */

static int set_user(struct gn_service *service, const char *user)
{
	const struct passwd *entry = getpwnam(user);

	if (!entry)
		return -ENOENT;
	service->uid = entry->pw_uid;
	service->gid = entry->pw_gid;
	return 0;
}

/* A line's words into 'service'. */
static int take_line(char *line, struct gn_service *service)
{
	char *rest, *name = strtok_r(line, " \t\n", &rest);
	const char *user = strtok_r(NULL, " \t\n", &rest);
	size_t n = 0;

	if (!user || strlen(name) >= sizeof service->name || set_user(service, user))
		return -EINVAL;
	snprintf(service->name, sizeof service->name, "%s", name);
	for (char *word; (word = strtok_r(NULL, " \t\n", &rest));) {
		if (n == GN_SERVICE_WORDS || !(service->words[n] = strdup(word)))
			return -EINVAL;
		n++;
	}
	return n ? 0 : -EINVAL;
}

int gn_services_load(const char *path, struct gn_services *services, uint64_t now_us,
                     struct gn_status *status)
{
	FILE *file = fopen(path, "re");
	char line[1024];
	int error = 0;

	if (!file)
		return gn_status_set(status, gn_code_from_errno(errno), "'%s' cannot be read: %s",
		                     path, strerror(errno));
	for (unsigned number = 1; !error && fgets(line, sizeof line, file); number++) {
		struct gn_service *service = &services->all[services->n];

		line[strcspn(line, "#\n")] = '\0';
		if (!line[strspn(line, " \t")])
			continue;
		if (services->n == GN_SERVICES || take_line(line, service))
			error = gn_status_set(
			        status, GN_INVALID_ARGUMENT,
			        "'%s' line %u: a line is NAME USER COMMAND, with a user of "
			        "/etc/passwd, at most %d words and %d lines",
			        path, number, GN_SERVICE_WORDS, GN_SERVICES);
		else
			services->n++;
		service->output = -1;
		gn_supervise_init(&service->supervise, now_us);
	}
	fclose(file);
	return error;
}

struct gn_service *gn_services_by_pid(struct gn_services *services, pid_t pid)
{
	for (size_t i = 0; i < services->n; i++)
		if (services->all[i].pid == pid)
			return &services->all[i];
	return NULL;
}

/* ---- starting ----------------------------------------------------------------------------------
 */

static void run_child(const struct gn_service *service, int output)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	if (service->uid && (setgroups(0, NULL) || setgid(service->gid) || setuid(service->uid))) {
		dprintf(STDERR_FILENO, "init: cannot become user %u: %s\n", service->uid,
		        strerror(errno));
		_exit(127);
	}
	execv(service->words[0], service->words);
	dprintf(STDERR_FILENO, "init: %s cannot be started: %s\n", service->words[0],
	        strerror(errno));
	_exit(127);
}

int gn_service_start(struct gn_service *service, uint64_t now_us)
{
	int ends[2] = {-1, -1};
	pid_t pid = -1;
	int error;

	gn_supervise_started(&service->supervise, now_us);
	if (!pipe2(ends, O_CLOEXEC))
		pid = fork();
	if (!pid)
		run_child(service, ends[1]);
	error = errno;
	if (ends[1] >= 0)
		close(ends[1]);
	if (pid < 0) {
		if (ends[0] >= 0)
			close(ends[0]);
		gn_supervise_ended(&service->supervise, now_us);
		return -error;
	}
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	service->output = ends[0];
	service->pid = pid;
	return 0;
}

/* ---- what it says -------------------------------------------------------------------------------
 */

static void keep(struct gn_service *service, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		service->log[service->n_logged++ % GN_SERVICE_LOG] = text[i];
}

/* Lines start with "<6>" (systemd's way of telling the level), which the console need not see. */
static void show(const struct gn_service *service, const char *text, size_t size, int console)
{
	while (size) {
		const char *end = memchr(text, '\n', size);
		size_t length = end ? (size_t)(end - text) : size;
		size_t level = length > 3 && text[0] == '<' && text[2] == '>' ? 3 : 0;

		dprintf(console, "%s: %.*s\n", service->name, (int)(length - level), text + level);
		length += end != NULL;
		text += length;
		size -= length;
	}
}

bool gn_service_read(struct gn_service *service, int console)
{
	char text[4096];
	ssize_t n = read(service->output, text, sizeof text);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		close(service->output);
		service->output = -1;
		return false;
	}
	keep(service, text, (size_t)n);
	show(service, text, (size_t)n, console);
	return true;
}

/* ---- its end
 * -------------------------------------------------------------------------------------- */

/* Removes the oldest reports; their names begin with the time. */
static void drop_old_reports(const char *directory)
{
	struct dirent **entries;
	int n = scandir(directory, &entries, NULL, alphasort);
	char path[512];

	for (int i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.' && i < n - GN_SERVICE_REPORTS) {
			snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
			unlink(path);
		}
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

static void report(const struct gn_service *service, int status, const char *directory,
                   uint64_t wall_us)
{
	uint64_t from = service->n_logged < GN_SERVICE_LOG ? 0 : service->n_logged - GN_SERVICE_LOG;
	char path[512];
	FILE *file;

	snprintf(path, sizeof path, "%s/%" PRIu64 "-%s.txt", directory, wall_us / 1000,
	         service->name);
	file = fopen(path, "we");
	if (!file)
		return; /* a full disk must not keep the service from starting again */
	if (WIFSIGNALED(status))
		fprintf(file, "%s was ended by signal %d (%s)\n", service->name, WTERMSIG(status),
		        strsignal(WTERMSIG(status)));
	else
		fprintf(file, "%s ended with status %d\n", service->name, WEXITSTATUS(status));
	fprintf(file, "start %u; its last words:\n", service->supervise.starts);
	for (; from < service->n_logged; from++)
		fputc(service->log[from % GN_SERVICE_LOG], file);
	fclose(file);
	drop_old_reports(directory);
}

void gn_service_ended(struct gn_service *service, int status, const char *directory,
                      uint64_t wall_us, uint64_t now_us)
{
	bool well = WIFEXITED(status) && !WEXITSTATUS(status);

	/* What is left in the pipe; a process of its own that lives on may hold the pipe open. */
	for (errno = 0; service->output >= 0 && !errno;)
		gn_service_read(service, STDERR_FILENO);
	if (service->output >= 0)
		close(service->output);
	service->output = -1;
	service->pid = 0;
	if (!well && directory)
		report(service, status, directory, wall_us);
	gn_supervise_ended(&service->supervise, now_us);
}
