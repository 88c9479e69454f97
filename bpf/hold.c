/* hold.c - gn-bpf-hold KIND PROCESS: keeps the hooks of one program in place until its input ends,
 * for the benchmark of what they cost. KIND is runq, oncpu, blockio or syscalls, which look at
 * PROCESS; calls, which looks at all; or tasks, the iterator, read once a second. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/calls.h"
#include "bpf/tasks.h"
#include "bpf/window.h"

#define FOR_EVER_US (UINT64_MAX / 2000) /* in nanoseconds it is still a number */

static struct gn_calls *calls;
static struct gn_tasks *tasks;

static int hold(const char *name, uint32_t process, struct gn_status *status)
{
	enum gn_window_kind kind;
	struct gn_window *window;

	if (!strcmp(name, "calls"))
		return gn_calls_open(&calls, status);
	if (!strcmp(name, "tasks"))
		return gn_tasks_open(&tasks, status);
	if (gn_window_kind_parse(name, &kind))
		return gn_status_set(status, GN_INVALID_ARGUMENT, "there is no kind '%s'", name);
	if (gn_window_open(kind, process, &window, status))
		return -1;
	gn_window_start(window, FOR_EVER_US);
	return 0;
}

static void read_once(uint32_t process)
{
	const struct gn_calls_row *rows;
	struct gn_tasks_record *records;
	uint64_t lost;
	size_t n;

	if (calls)
		gn_calls_read(calls, &rows, &n, &lost);
	if (tasks && !gn_tasks_read(tasks, &process, 1, &records, &n))
		free(records);
}

int main(int argc, char **argv)
{
	struct gn_status status = {0};
	uint32_t process = argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;

	if (argc != 3 || hold(argv[1], process, &status)) {
		fprintf(stderr, "gn-bpf-hold: %s\n",
		        argc == 3 ? status.message : "give KIND PROCESS");
		return 1;
	}
	puts("ok");
	fflush(stdout);
	while (!poll(&(struct pollfd){.fd = STDIN_FILENO, .events = POLLIN}, 1, 1000))
		read_once(process);
	return 0;
}
